"""The loop over a trial's epochs, with engines that only pretend to train."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnnsweep.records import EpochReport, Reason, Suggestion, TrialResult
from dnnsweep.space import Hyperparameters
from dnnsweep.trainers import Job, keras_models
from dnnsweep.trainers.engine import Engine, EngineRefusedError
from dnnsweep.trainers.inputs import load_inputs
from dnnsweep.trainers.trial_loop import TrialLoop

PARAMS = {**Hyperparameters().to_params(), "learning_rate": 0.5, "schedule": "reduce_on_plateau"}


class Network:
    """Weights and nothing else."""

    def __init__(self) -> None:
        self.weights: list[Any] = []

    def count_params(self) -> int:
        return 12

    def set_weights(self, weights: list[Any]) -> None:
        self.weights = weights


class ScriptedEngine:
    """Measures what it is told to measure; its weights are the number of the epoch."""

    def __init__(self, val_losses: list[float]) -> None:
        self.network = Network()
        self.is_compiled = False
        self.val_losses = val_losses
        self.n_epochs = 0
        self.orders: list[Any] = []
        self.rates: list[tuple[int, float]] = []

    def fit(self, orders: Iterator[Any], n_epochs: int, after_epoch: Callable[[Mapping[str, float]], bool]) -> None:
        for loss in self.val_losses[:n_epochs]:
            self.orders.append(next(orders))
            self.n_epochs += 1
            if after_epoch({"loss": 0.5, "accuracy": 0.5, "val_loss": loss, "val_accuracy": 0.5}):
                return

    def penalty(self) -> float:
        return self.n_epochs / 10

    def predict(self) -> Any:
        return np.eye(3)[load_inputs(job()).data.y_validation]  # each row is predicted right

    def weights(self) -> list[Any]:
        return [self.n_epochs]

    @property
    def trained(self) -> Any:
        return self.network

    def training_rows(self, index: Any) -> tuple[Any, ...]:
        return tuple(index)

    def set_rate(self, rate: float) -> None:
        self.rates.append((self.n_epochs, rate))


class RefusingEngine(ScriptedEngine):
    """Takes an order of rows and cannot train."""

    def __init__(self, substitute: Engine) -> None:
        super().__init__([])
        self.substitute = substitute

    def fit(self, orders: Iterator[Any], *_: Any) -> None:
        next(orders)
        raise EngineRefusedError(self.substitute)


def job(**sections: Any) -> Job:
    return Job({"name": "n", "dataset": {"source": "sklearn:iris"}, **sections})


def trained(engine: Engine, models: Path | None = None, **training: Any) -> tuple[TrialResult, list[EpochReport]]:
    inputs = load_inputs(job(training=training, objective={"metric": "val_f1"}))
    reports: list[EpochReport] = []
    loop = TrialLoop(inputs, None if models is None else str(models), lambda _suggestion, _data: engine)
    return loop.train(Suggestion(3, PARAMS, seed=7), reports.append), reports


def test_an_engine_that_refuses_hands_over_with_nothing_trained() -> None:
    plain, substitute = ScriptedEngine([0.4, 0.3]), ScriptedEngine([0.4, 0.3])

    expected, _ = trained(plain, epochs=2)
    result, reports = trained(RefusingEngine(RefusingEngine(substitute)), epochs=2)

    assert (result.reason, result.n_parameters) == (Reason.COMPLETED, 12)
    assert result.curve.series == expected.curve.series
    assert [report.epoch for report in reports] == [1, 2]
    assert np.array_equal(substitute.orders, plain.orders)  # from the first epoch's order on
    assert (plain.network.weights, substitute.network.weights) == ([2], [2])


def test_what_an_epoch_measured_is_joined_by_scores_penalty_and_learning_rate() -> None:
    _, (report,) = trained(ScriptedEngine([0.4]), epochs=1)

    assert report.metrics == {
        "loss": 0.5,
        "accuracy": 0.5,
        "val_loss": 0.4,
        "val_accuracy": 0.5,
        "val_f1": 1.0,
        "l2_penalty": 0.1,
        "learning_rate": 0.5,
    }


def test_a_learning_rate_is_set_when_it_changes_and_only_then() -> None:
    engine = ScriptedEngine([0.5, 0.4, 0.4, 0.4, 0.4, 0.3])
    plateau = {"patience": 2, "factor": 0.5, "min_delta": 0.0}

    result, _ = trained(engine, epochs=6, early_stopping=None, reduce_on_plateau=plateau)

    assert engine.rates == [(4, 0.25)]  # epochs 3 and 4 are no better than epoch 2, nor is 5; 6 is
    assert result.curve.values("learning_rate") == (0.5, 0.5, 0.5, 0.5, 0.25, 0.25)


def test_the_network_gets_the_best_epochs_weights_before_it_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[Any] = []
    monkeypatch.setattr(keras_models, "save", lambda network, *_: saved.append(network.weights))
    early_stopping = {"monitor": "val_loss", "patience": 2}

    result, _ = trained(ScriptedEngine([0.5, 0.2, 0.3, 0.3, 0.1]), tmp_path, epochs=5, early_stopping=early_stopping)

    assert (result.reason, result.best_epoch, saved) == (Reason.EARLY_STOPPED, 2, [[2]])
