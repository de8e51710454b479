"""Whatever a valid sweep file asks for can be suggested and trained."""

from __future__ import annotations

import math
from typing import Any

import sweep_files
from examples import n_examples
from hypothesis import HealthCheck, given, settings

from dnnsweep import spec
from dnnsweep.records import Reason, Suggestion, TrialResult, metrics_for
from dnnsweep.study import Study
from dnnsweep.trainers import Job
from dnnsweep.trainers.auto import AutoTrainer


@settings(deadline=None, max_examples=n_examples(12), suppress_health_check=list(HealthCheck))
@given(sweep_files.documents())
def test_a_valid_sweep_file_trains_an_epoch(document: dict[str, Any]) -> None:
    stopping = document["training"]["early_stopping"]
    training = {**document["training"], "epochs": 1}
    if stopping is not None:
        training["early_stopping"] = {**stopping, "start_from_epoch": 0}
    pruner = {"kind": document["pruner"]["kind"]}  # rungs of more than one epoch would be a mistake
    sweep = spec.check({**document, "training": training, "pruner": pruner})
    directions, defaults = tuple(one.direction for one in sweep.objectives), sweep.default_params
    study = Study(sweep.space, directions, sweep.sampler.kind, sweep.seed, sweep.enqueue, defaults)
    trainer = AutoTrainer(Job(sweep.to_json()))
    task, ended, points = trainer.open().data.task, dict[int, TrialResult](), dict[int, dict[str, Any]]()

    for number in range(min(2, sweep.budget.trials)):
        points[number] = {**sweep.default_params, **study.ask(number)}
        trainer.take(Suggestion(number, points[number], number))
    while not trainer.is_idle:
        trainer.step(
            lambda message: ended.update({message.number: message}) if isinstance(message, TrialResult) else None
        )

    assert len(ended) == min(2, sweep.budget.trials)
    for result in ended.values():
        assert result.reason in (Reason.COMPLETED, Reason.DIVERGED), result
        measured = {series.metric for series in result.curve.series if series.layer is None}
        is_steady = points[result.number]["schedule"] == "constant"
        assert {*metrics_for(task), *sweep.scores, "l2_penalty", *([] if is_steady else ["learning_rate"])} == measured
        if result.reason is Reason.COMPLETED and sweep.training.early_stopping is None:
            assert math.isfinite(result.curve.at(1)["loss"])
