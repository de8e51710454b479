"""Trials that are trained once for each fold, by a scripted trainer without TensorFlow."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dnnsweep import spec
from dnnsweep.records import AttemptStarted, EpochReport, Reason, Retraining, Suggestion, TrialResult
from dnnsweep.trainers import Emit, Job, TrainerPlan, TrainerReady, TrialDroppedError
from dnnsweep.trainers.attempt import Attempt, FoldResult
from dnnsweep.trainers.fit import FitTrainer
from dnnsweep.trainers.folding import FoldingTrainer, in_folds

#: What a fold does: its losses, why it ends, and its best epoch.
Script = tuple[Sequence[float], Reason, int | None]


class ScriptedFolds:
    """A trainer that trains `slots` folds side by side, an epoch of each in a step."""

    def __init__(self, scripts: Sequence[Script], slots: int = 2) -> None:
        self.scripts = scripts
        self.slots = slots
        self.waiting = deque[Attempt]()
        self.running: list[Attempt] = []
        self.n_trained = 0

    def open(self) -> TrainerReady:
        raise NotImplementedError

    def warm_up(self) -> None:
        raise NotImplementedError

    def take(self, suggestion: Suggestion) -> None:
        self.waiting.append(Attempt(suggestion))

    @property
    def is_idle(self) -> bool:
        return not self.waiting and not self.running

    slot_epochs = (0, 0)

    def step(self, emit: Emit) -> None:
        while self.waiting and len(self.running) < self.slots:
            attempt = self.waiting.popleft()
            self.running.append(attempt)
            emit(AttemptStarted(attempt.suggestion.number, attempt.suggestion.attempt))
        for attempt in list(self.running):
            self._train_epoch(attempt, emit)

    def _train_epoch(self, attempt: Attempt, emit: Emit) -> None:
        losses, reason, best = self.scripts[attempt.suggestion.fold or 0]
        loss = losses[len(attempt.reports)]
        report = attempt.add({"loss": loss, "val_loss": loss, "l2_penalty": 0.0}, 1000 + len(attempt.reports))
        self.n_trained += 1
        try:
            emit(report)
        except TrialDroppedError:
            self.running.remove(attempt)
            return
        if len(attempt.reports) == len(losses):
            self.running.remove(attempt)
            attempt.n_parameters = 5
            fold = attempt.suggestion.fold
            if fold is None:
                emit(attempt.end(reason, best))
                return
            result = attempt.end(reason, best, error="no memory" if reason is Reason.FAILED else None)
            assert isinstance(result, FoldResult)
            saver = writer(f"fold {fold}") if fold == 0 else None
            emit(FoldResult(**{name: getattr(result, name) for name in TrialResult.__slots__}, fold=fold, save=saver))


def writer(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(text)

    return write


def sweep_of(n_folds: int, patience: int | None = 2, **document: Any) -> spec.SweepSpec:
    stopping = None if patience is None else {"monitor": "val_loss", "patience": patience}
    training = {"epochs": 5, "early_stopping": stopping, **document.pop("training", {})}
    return spec.check(
        {"name": "n", "dataset": {"source": "sklearn:iris", "folds": n_folds}, "training": training, **document}
    )


Told = list[AttemptStarted | EpochReport | TrialResult]


def told_by(
    scripts: Sequence[Script], slots: int, drop_at: int | None = None, models: Path | None = None, **document: Any
) -> tuple[Told, ScriptedFolds]:
    """Train one trial; return what its trainer told, and the trainer of the folds."""
    folds, told = ScriptedFolds(scripts, slots), Told()
    trainer = FoldingTrainer(folds, sweep_of(len(scripts), **document), None if models is None else str(models))

    def emit(message: AttemptStarted | EpochReport | TrialResult) -> None:
        told.append(message)
        if isinstance(message, EpochReport) and message.epoch == drop_at:
            raise TrialDroppedError

    trainer.take(Suggestion(3, {}, seed=1))
    while not trainer.is_idle:
        trainer.step(emit)
    return told, folds


def result_of(told: Told) -> TrialResult:
    [result] = [message for message in told if isinstance(message, TrialResult)]
    assert type(result) is TrialResult  # a fold's result may hold a function, which no process can receive
    return result


COMPLETED, STOPPED = Reason.COMPLETED, Reason.EARLY_STOPPED
LONG: Script = ([0.9, 0.7, 0.8, 0.6, 0.5], COMPLETED, 5)
SHORT: Script = ([0.5, 0.4, 0.6, 0.7], STOPPED, 2)


@pytest.mark.parametrize("slots", [1, 2, 3, 7])
def test_a_trial_is_worth_the_mean_of_its_folds_at_their_best_epochs_so_far(slots: int) -> None:
    told, _ = told_by([LONG, SHORT, SHORT], slots)

    result = result_of(told)
    assert result.curve.values("val_loss") == pytest.approx(
        [(0.9 + 0.5 + 0.5) / 3, (0.7 + 0.8) / 3, (0.7 + 0.8) / 3, (0.6 + 0.8) / 3, (0.5 + 0.8) / 3]
    )
    assert result.curve.values("val_loss_std")[-1] == pytest.approx(math.sqrt(2 / 3 * 0.01 / 2))
    assert (result.reason, result.best_epoch, result.n_parameters) == (STOPPED, 5, 5)
    assert result.metrics["val_loss"] == pytest.approx((0.5 + 0.4 + 0.4) / 3)
    reports = [message for message in told if isinstance(message, EpochReport)]
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5][: len(reports)]
    assert all(report.fold is None for report in reports)
    assert isinstance(told[0], AttemptStarted)
    assert told[-1] is result


def test_without_early_stopping_the_curve_is_the_mean_of_the_curves() -> None:
    up: Script = ([0.1, 0.2, 0.3, 0.4, 0.5], COMPLETED, 5)
    told, _ = told_by([LONG, up], 2, patience=None)

    result = result_of(told)
    assert result.curve.values("val_loss") == pytest.approx([0.5, 0.45, 0.55, 0.5, 0.5])
    assert result.reason is COMPLETED


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_a_trial_with_a_fold_that_diverges_has_diverged_and_is_trained_no_further(slots: int) -> None:
    lost: Script = ([0.9, math.nan], Reason.DIVERGED, None)
    told, folds = told_by([LONG, lost, LONG], slots)

    result = result_of(told)
    assert (result.reason, result.best_epoch, result.curve.n_epochs) == (Reason.DIVERGED, None, 2)
    assert result.curve.values("val_loss")[0] == pytest.approx(0.9)
    assert math.isnan(result.curve.values("val_loss")[1])
    assert folds.n_trained < 3 * 5


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_a_trial_with_a_fold_that_fails_fails_at_once_and_names_it(slots: int) -> None:
    failing: Script = ([0.9, 0.8], Reason.FAILED, None)
    told, folds = told_by([LONG, failing, LONG], slots)

    assert result_of(told).reason is Reason.FAILED
    assert result_of(told).error == "fold 2: no memory"
    assert folds.n_trained < 5 + 2 + 5


def test_a_trial_that_is_pruned_leaves_all_of_its_folds() -> None:
    told, folds = told_by([LONG, LONG, LONG], 3, drop_at=2, pruner={"kind": "median"})

    assert not any(isinstance(message, TrialResult) for message in told)
    assert folds.n_trained <= 3 * 3
    assert folds.is_idle


def test_the_model_of_a_trial_is_that_of_its_first_fold_saved_once_the_mean_is_known(tmp_path: Path) -> None:
    folds = ScriptedFolds([LONG, SHORT])
    trainer = FoldingTrainer(folds, sweep_of(2), str(tmp_path))
    results: list[TrialResult] = []

    def emit(message: AttemptStarted | EpochReport | TrialResult) -> None:
        if isinstance(message, TrialResult):
            results.append(message)

    for number, scripts in enumerate([[LONG, SHORT], [LONG, LONG], [SHORT, SHORT]]):
        folds.scripts = scripts
        trainer.take(Suggestion(number, {}, seed=1))
        while not trainer.is_idle:
            trainer.step(emit)

    first, worse, better = results
    assert Path(str(first.model_path)).read_text() == "fold 0"
    assert worse.model_path is None  # 0.5 is worse than (0.5 + 0.4) / 2, though its first fold was not
    assert better.model_path is not None
    assert Path(better.model_path).name == "trial-2-1.keras"


def test_a_trial_that_takes_too_long_ends_late_with_all_of_its_folds() -> None:
    told, folds = told_by([LONG, LONG, LONG], 1, training={"timeout_seconds": 1e-9})

    result = result_of(told)
    assert result.reason is Reason.TIMEOUT
    assert "timeout_seconds" in str(result.error)
    assert folds.n_trained <= 3


def test_a_trial_says_that_it_is_alive_while_no_fold_but_one_is_trained() -> None:
    told, _ = told_by([LONG, LONG], 1)

    n_signs = sum(isinstance(message, AttemptStarted) for message in told)
    assert n_signs >= 3  # of each fold, and of the epochs of the first one


def test_only_a_sweep_file_that_asks_for_folds_gets_them() -> None:
    plain, folded = (sweep_of(2).to_json(), sweep_of(2).to_json())
    del plain["dataset"]["folds"]

    assert type(in_folds(FitTrainer, Job(plain))) is FitTrainer
    assert type(in_folds(FitTrainer, Job(folded))) is FoldingTrainer


def test_an_array_has_room_for_all_folds_of_the_trials_side_by_side() -> None:
    from dnnsweep.datasets import load
    from dnnsweep.trainers.choice import choose

    sweep = spec.check(
        {"name": "n", "dataset": {"source": "sklearn:iris", "folds": 5}, "space": {}, "budget": {"trials": 100}}
    )
    plan: TrainerPlan = choose(sweep, load(sweep.dataset).summary)
    assert plan.slots == 3  # of 16 slots, five for each


def test_a_repeat_is_trained_once_and_what_it_tells_is_handed_on_unchanged() -> None:
    folds, told = ScriptedFolds([([3.0, 2.0], Reason.COMPLETED, 2)] * 2), Told()
    trainer = FoldingTrainer(folds, sweep_of(2), None)

    trainer.take(Suggestion(3, {}, seed=1, block=0))
    trainer.take(Suggestion(4, {}, seed=1, retraining=Retraining(2)))
    trainer.take(Suggestion(5, {}, seed=1))
    while not trainer.is_idle:
        trainer.step(told.append)

    for number in (3, 4):
        of_repeat = [message for message in told if message.number == number]
        assert of_repeat[0] == AttemptStarted(number, 1)
        assert [report.metrics["val_loss"] for report in of_repeat[1:-1] if isinstance(report, EpochReport)] == [3, 2]
        assert isinstance(of_repeat[-1], TrialResult)
        assert set(of_repeat[-1].metrics) == {"loss", "val_loss", "l2_penalty", "n_parameters"}
    [trial] = [message for message in told if isinstance(message, TrialResult) and message.number == 5]
    assert "val_loss_std" in trial.metrics
