"""A trainer that only pretends to train: its curve is a formula of the seed and the hyperparameters."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kept_network import save_network

from dnnsweep import seeds
from dnnsweep.errors import DataError, Mistake
from dnnsweep.records import (
    DataSummary,
    EpochReport,
    Reason,
    Retraining,
    Suggestion,
    Task,
    TestAnswers,
    TrialResult,
    curve_from_reports,
)
from dnnsweep.trainers import Job, SequentialTrainer, TrainerPlan, TrainerReady

SUMMARY = DataSummary("f" * 64, Task.MULTICLASS, 4, ("a", "b", "c", "d"), ("0", "1", "2"), 60, 20, 20)
OPENING = TrainerReady(SUMMARY, TrainerPlan("scripted"))


class ScriptedTrainer(SequentialTrainer):
    """Trains at once; the sweep file's description says what goes wrong. Dropout makes its networks smaller, too.

    Retrained networks answer test rows, of which they know as many as a formula of their seed says.

    `sleep=SECONDS` slows each epoch; `gate=PATH` holds trials from number 8 on, after an epoch, until the path
    exists; `kill=NUMBER` kills the process in a trial's first attempt, `kill_always=NUMBER` in each;
    `hang=NUMBER` and `freeze=NUMBER` make one stay silent for ever in its first attempt, awake or stopped;
    `stuck=NUMBER` does so from the second epoch on, in each; `fail_from=NUMBER` makes trials fail;
    `diverge=NUMBER` makes one diverge; `die_at_start` never opens.
    """

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._epochs = job.spec["training"]["epochs"]
        self._models = job.models
        words = (job.spec["description"] or "").split()
        self._orders = dict(word.partition("=")[::2] for word in words)

    def open(self) -> TrainerReady:
        if "die_at_start" in self._orders:
            os.kill(os.getpid(), signal.SIGKILL)
        return OPENING

    def warm_up(self) -> None:
        pass

    def train(self, suggestion: Suggestion, report: Callable[[EpochReport], None]) -> TrialResult:
        start = time.monotonic()
        number, attempt = suggestion.number, suggestion.attempt
        reports = []
        n_epochs = self._epochs if suggestion.retraining is None else suggestion.retraining.n_epochs
        for epoch in range(1, n_epochs + 1):
            time.sleep(float(self._orders.get("sleep", 0)))
            self._maybe_die(number, attempt)
            while epoch > 1 and str(number) == self._orders.get("stuck"):
                time.sleep(0.05)
            reports.append(
                EpochReport(number, attempt, epoch, self._metrics(suggestion, epoch), time.time_ns() // 10**6)
            )
            report(reports[-1])
            self._wait_at_gate(number)
        reason, error = self._ending(number)
        best = n_epochs if reason is Reason.COMPLETED else None
        seconds, size = time.monotonic() - start, 20 - round(20 * suggestion.params["dropout"])
        result = TrialResult(
            number, attempt, reason, curve_from_reports(reports), best, seconds, error, n_parameters=size
        )
        return result if suggestion.retraining is None else self._retrained(result, suggestion, suggestion.retraining)

    def _retrained(self, result: TrialResult, suggestion: Suggestion, retraining: Retraining) -> TrialResult:
        if retraining.saves_model and self._models is not None:
            path = Path(self._models) / f"trial-{result.number}-{result.attempt}.keras"
            result = replace(result, model_path=str(save_network(path)))
        return replace(result, test=answers_of(suggestion.seed)) if retraining.opens_test else result

    def _maybe_die(self, number: int, attempt: int) -> None:
        always, once = self._orders.get("kill_always"), self._orders.get("kill")
        if str(number) == always or (str(number) == once and attempt == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if attempt == 1 and str(number) == self._orders.get("freeze"):
            os.kill(os.getpid(), signal.SIGSTOP)
        while attempt == 1 and str(number) == self._orders.get("hang"):
            time.sleep(0.05)

    def _wait_at_gate(self, number: int) -> None:
        gate = self._orders.get("gate")
        while gate is not None and number >= 8 and not Path(gate).exists():
            time.sleep(0.01)

    def _metrics(self, suggestion: Suggestion, epoch: int) -> dict[str, float]:
        noise = seeds.derive(suggestion.seed, epoch) / 2**31
        loss = suggestion.params["dropout"] + 1 / epoch + noise / 10
        if str(suggestion.number) == self._orders.get("diverge") and epoch == self._epochs:
            loss = float("nan")
        return {
            "loss": loss,
            "accuracy": 1 - loss / 3,
            "val_loss": loss,
            "val_accuracy": 1 - loss / 3,
            "l2_penalty": 0.0,
        }

    def _ending(self, number: int) -> tuple[Reason, str | None]:
        if number >= int(self._orders.get("fail_from", 10**9)):
            return Reason.FAILED, f"RuntimeError: trial {number} was told to fail"
        if str(number) == self._orders.get("diverge"):
            return Reason.DIVERGED, None
        return Reason.COMPLETED, None


def answers_of(seed: int) -> TestAnswers:
    """What a network of this seed says of 20 test rows: the second of three classes, where it is not wrong."""
    import numpy as np  # which most of what this trainer is for does without

    outputs = np.tile([0.1, 0.7, 0.2], (20, 1))
    outputs[: seed % 5] = [0.6, 0.3, 0.1]
    return TestAnswers(np.ones(20, np.int32), outputs)


class RefusingTrainer(ScriptedTrainer):
    """Its data cannot be used."""

    def open(self) -> TrainerReady:
        raise DataError([Mistake("dataset.source", "no such thing")])


class SlowTrainer(ScriptedTrainer):
    """It takes a minute to load its data."""

    def open(self) -> TrainerReady:
        time.sleep(60)
        return OPENING


class InterruptedTrainer(ScriptedTrainer):
    """Somebody presses Ctrl-C while it loads its data, in the controller's process."""

    def open(self) -> TrainerReady:
        signal.raise_signal(signal.SIGINT)
        return OPENING


class LoadingTrainer(ScriptedTrainer):
    """It loads its data in earnest."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._job = job

    def open(self) -> TrainerReady:
        from dnnsweep import datasets, spec  # seconds, which the other trainers need not wait for

        sweep = spec.check(self._job.spec)
        return TrainerReady(
            datasets.load(sweep.dataset, sweep.task, self._job.data, self._job.limits).summary, OPENING.plan
        )


class CrashingTrainer(ScriptedTrainer):
    """It breaks while it starts."""

    def open(self) -> TrainerReady:
        raise ValueError("last words")
