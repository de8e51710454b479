"""Sweeps that end when another trial is not expected to help, with the pretend trainer in this process."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_mlflow import use_fake_mlflow
from test_answering import identity_of_repeats, interrupted_after, repeats_of
from workspace import SWEEP

import dnnsweep
from dnnsweep.cli import run_ending
from dnnsweep.records import Purpose, SweepState
from dnnsweep.runner.controller import Progress
from dnnsweep.runner.trial_noise import N_REPEATS, deviation_of_trial

#: One hyperparameter that matters, so that it converges soon.
UNTIL: dict[str, Any] = {
    "space": {"dropout": {"low": 0.0, "high": 0.6}},
    "sampler": {"kind": "random", "window": 3},
    "budget": {"trials": 40, "until": "converged"},
    "seed": 1,
    "confirm": None,
}
Run = Callable[..., dnnsweep.SweepHandle]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("DNNSWEEP_DATABASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DNNSWEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DNNSWEEP_TRAINER", "scripted_trainer:ScriptedTrainer")
    use_fake_mlflow(monkeypatch)

    def call(spec: Any = None, **arguments: Any) -> dnnsweep.SweepHandle:
        return dnnsweep.run({**SWEEP, **UNTIL, **(spec or {})}, executor="inprocess", **arguments)

    return call


def trials_of(sweep: dnnsweep.SweepHandle) -> list[tuple[Any, ...]]:
    return [(trial.number, dict(trial.params), trial.seed, trial.value, trial.reason) for trial in sweep.trials()]


def test_a_sweep_ends_when_no_trial_is_expected_to_improve_by_more_than_the_noise_of_repeats(run: Run) -> None:
    sweep = run()

    shown = sweep.show()
    last = max(candidate.number for candidate, _ in repeats_of())
    repeats = [(candidate, repeat) for candidate, repeat in repeats_of() if candidate.number == last]
    assert (shown.state, len(sweep.trials())) == (SweepState.COMPLETE, shown.n_finished)
    assert 20 < shown.n_finished < 40
    assert {candidate.purpose for candidate, _ in repeats} == {Purpose.NOISE}
    noise = statistics.stdev(repeat.value or math.nan for _, repeat in repeats)
    assert len(repeats) == N_REPEATS
    why = f"another trial is not expected to improve val_accuracy by more than its noise of {noise:.2g}"
    assert shown.conclusion == why
    assert f"complete: {why}" in [event.detail for event in dnnsweep.events("pretend")]
    counts = f"{shown.n_finished} of 40 trials, 0 failed"
    assert run_ending._ending(shown) == f"sweep pretend is complete after {counts}: {why}"


def test_a_sweep_that_was_interrupted_between_repeats_ends_where_it_would_have(run: Run) -> None:
    whole = run({"name": "whole"})
    sweep = run(on_progress=interrupted_after(3))
    assert sweep.state is SweepState.INTERRUPTED

    sweep = run()

    assert trials_of(sweep) == trials_of(whole)
    assert identity_of_repeats() == identity_of_repeats("whole")
    assert sweep.show().conclusion == whole.show().conclusion


def test_a_sweep_that_has_converged_is_not_trained_again_under_the_same_budget(run: Run) -> None:
    sweep = run()
    before, began = trials_of(sweep), list[Progress]()

    run(on_progress=began.append)

    assert began == []
    assert trials_of(sweep) == before
    assert sweep.show().conclusion is not None


def test_a_sweep_that_has_converged_goes_on_without_the_rule(run: Run) -> None:
    n_early = len(run().trials())

    sweep = run({"budget": {"trials": 40}})

    assert n_early < 40 == len(sweep.trials())
    assert sweep.show().conclusion is None


def test_repeats_for_the_noise_are_used_again_by_the_race_of_the_best(run: Run) -> None:
    run({"confirm": {"top": 3, "budget": 1}})

    rows = [(candidate.number, repeat.block) for candidate, repeat in repeats_of()]
    assert len(rows) == len(set(rows))
    raced = {candidate.number for candidate, repeat in repeats_of() if candidate.purpose is not Purpose.RETRAIN}
    assert len(raced) >= 4
    assert all({(number, block) for block in range(3)} <= set(rows) for number in raced)


def test_a_sweep_whose_time_is_spent_while_the_noise_is_measured_is_complete(run: Run) -> None:
    paused: list[bool] = []

    def spend(progress: Progress) -> None:
        if progress.n_repeats is not None and not paused:
            paused.append(True)
            time.sleep(4)

    sweep = run({"budget": {**UNTIL["budget"], "seconds": 4}}, on_progress=spend)

    assert sweep.state is SweepState.COMPLETE
    assert sweep.show().conclusion is None


def test_noise_that_cannot_be_measured_ends_no_sweep(run: Run) -> None:
    sweep = run({"description": "fail_from=1000", "budget": {**UNTIL["budget"], "trials": 24}})

    assert (sweep.show().n_finished, sweep.show().conclusion) == (24, None)
    assert {repeat.value for _, repeat in repeats_of()} == {None}


def test_the_noise_of_a_mean_over_folds_counts_that_they_share_rows() -> None:
    values = [0.1, 0.4, 0.3, 0.2, 0.5]

    spread = statistics.stdev(values)

    assert deviation_of_trial(values, None) == spread
    assert deviation_of_trial(values, 5) == pytest.approx(spread * math.sqrt(1 / 5 + 1 / 4))
    assert deviation_of_trial([0.3], None) == 0.0
