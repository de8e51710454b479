"""Metrics that may have no value, because the validation rows hold one class or one number: said before training."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dnnsweep import spec
from dnnsweep.errors import SpecError
from dnnsweep.exports import score_code
from dnnsweep.records import Reason, Task, TrialResult, curve_from_reports
from dnnsweep.runner.controller.trials import evaluate
from dnnsweep.trainers import Job
from dnnsweep.trainers.inputs import TrainerInputs, load_inputs
from dnnsweep.trainers.scores import scores

#: 60 rows in order of `day`: the validation rows are 36 to 47.
N_ROWS = 60
ONE_CLASS = ["no", "yes"] * 18 + ["no"] * 12 + ["no", "yes"] * 6
ONE_NUMBER = [*map(float, range(36)), *[7.0] * 12, *map(float, range(12))]
TWO_OF_THREE = ["a", "b", "c"] * 12 + ["a", "b"] * 6 + ["a", "b", "c"] * 4
REMEDY = "name val_loss, or change how dataset.split, dataset.validation or dataset.seed choose these rows"


def inputs(
    target: list[Any], keys: Any = range(N_ROWS), split: str = "order", seed: int = 0, **more: Any
) -> TrainerInputs:
    rows = pd.DataFrame({"key": list(keys), "x": np.linspace(0.0, 1.0, N_ROWS)})
    dataset = {"split": {split: "key"}, "validation": 0.2, "test": 0.2, "seed": seed}
    checked = spec.check({"name": "n", "dataset": dataset, "space": {}, **more})
    return load_inputs(Job(checked.to_json(), data=(rows, pd.Series(target, name="churned"))))


@pytest.mark.parametrize(
    ("path", "sections"),
    [
        ("objective.metric", {"objective": {"metric": "val_auc"}}),
        ("objective.1.metric", {"objective": [{"metric": "val_loss"}, {"metric": "val_auc"}]}),
        ("training.early_stopping.monitor", {"training": {"early_stopping": {"monitor": "val_auc"}}}),
        (
            "training.reduce_on_plateau.monitor",
            {"training": {"reduce_on_plateau": {"monitor": "val_auc"}}, "fixed": {"schedule": "reduce_on_plateau"}},
        ),
    ],
)
def test_an_area_over_one_class_is_refused_wherever_trials_are_judged_by_it(path: str, sections: Any) -> None:
    with pytest.raises(SpecError) as refused:
        inputs(ONE_CLASS, **sections)

    got = "got the class 'no' in all 12 validation rows"
    assert str(refused.value) == f"{path}: val_auc has no value on these data, {got}; {REMEDY}"


def test_a_split_by_groups_is_refused_for_those_seeds_that_leave_one_class_to_validate_on() -> None:
    groups = [row // 15 for row in range(N_ROWS)]  # of which the last one holds one class
    target = ["no", "yes"] * 22 + ["no"] * 16
    is_refused = {}

    for seed in range(6):
        data = inputs(target, groups, "by", seed, objective={"metric": "val_loss"}).data
        is_refused[seed] = bool(data.undefined)
        with pytest.raises(SpecError, match="val_auc has no value") if is_refused[seed] else nullcontext():
            inputs(target, groups, "by", seed, objective={"metric": "val_auc"})

    assert set(is_refused.values()) == {True, False}


def test_r2_over_one_number_is_refused() -> None:
    with pytest.raises(SpecError, match=r"objective\.metric: val_r2 has no value on these data, got the same target"):
        inputs(ONE_NUMBER, objective={"metric": "val_r2"})
    assert inputs(ONE_NUMBER, objective={"metric": "val_mae"}).data.undefined.keys() == {"val_r2"}


def test_metrics_that_judge_nothing_may_be_without_a_value_which_is_noted() -> None:
    loaded = inputs(ONE_CLASS, objective={"metric": "val_loss"}, training={"metrics": ["val_auc"]})

    assert loaded.data.summary.notes[-1] == "No validation row is of the class 'yes', so val_auc has no value."


def test_a_class_that_is_missing_is_noted_and_the_area_over_the_others_has_a_value() -> None:
    data = inputs(TWO_OF_THREE, objective={"metric": "val_auc"}).data

    assert data.undefined == {}
    assert data.summary.notes[-1] == "No validation row is of the class 'c'."


def test_rows_of_every_class_are_not_noted() -> None:
    data = inputs(["a", "b"] * 30, objective={"metric": "val_auc"}).data

    assert data.undefined == {}
    assert not any(note.startswith("No ") for note in data.summary.notes)


@pytest.mark.parametrize("missing", [None, 0, 2])
def test_the_area_of_a_listing_is_that_of_the_trial_also_where_a_class_has_no_row(missing: int | None) -> None:
    random = np.random.default_rng(0)
    y = np.arange(30) % 3
    y = y if missing is None else np.where(y == missing, 1, y)
    answers = random.dirichlet(np.ones(3), size=30)
    [code] = score_code.score_function(["val_auc"], Task.MULTICLASS, "x")
    names: dict[str, Any] = {
        "np": np, "roc_auc_score": roc_auc_score, "model": SimpleNamespace(predict=lambda *_, **__: answers)
    }  # fmt: skip

    exec(code, names)  # noqa: S102  it is code that people run

    assert names["scores"](None, y)["auc"] == pytest.approx(scores(["val_auc"], y, answers)["val_auc"], abs=1e-12)
    if missing is None:
        assert names["scores"](None, y)["auc"] == pytest.approx(roc_auc_score(y, answers, multi_class="ovr"))


def test_a_trial_without_any_epoch_to_keep_has_failed() -> None:
    result = TrialResult(0, 1, Reason.COMPLETED, curve_from_reports([]), None, 1.0)

    failed, values = evaluate(result, "val_loss")

    assert (failed.reason, failed.error, values) == (Reason.FAILED, "the monitor had no value in any epoch", None)
