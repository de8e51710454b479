from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import thorough
from sklearn import metrics as sk
from warm_python import WarmPython

from dnnsweep import datasets, spec
from dnnsweep.diagnoses import diagnose_result
from dnnsweep.errors import SpecError
from dnnsweep.ledger import summary_json
from dnnsweep.records import AttemptStarted, EpochReport, Reason, Suggestion, Task, TrialResult, metrics_for
from dnnsweep.space import KNOBS, OPTIMIZERS, Hyperparameters
from dnnsweep.spec import DatasetSpec
from dnnsweep.trainers import Job, SequentialTrainer, TrialDroppedError, keras_models
from dnnsweep.trainers.attempt import MAX_ERROR_CHARACTERS, one_line
from dnnsweep.trainers.fit import FitTrainer
from dnnsweep.trainers.shuffling import row_order
from dnnsweep.trainers.stopping import DIVERGED_LOSS, is_diverged

SWEEPS = Path(__file__).resolve().parents[1] / "sweeps"
SMALL = {"hidden": (8,), "optimizer": "adam", "learning_rate": 0.01}


def job(source: str = "iris", models: Path | None = None, **training: Any) -> Job:
    spec = {"name": "n", "dataset": {"source": f"sklearn:{source}"}, "training": {"epochs": 3, **training}}
    return Job(spec, None if models is None else str(models))


def train(trainer: SequentialTrainer, seed: int = 1, number: int = 0, **knobs: Any) -> TrialResult:
    return trainer.train(Suggestion(number, {**Hyperparameters().to_params(), **SMALL, **knobs}, seed), lambda _: None)


@pytest.fixture(scope="module")
def iris() -> FitTrainer:
    """Three epochs of iris without early stopping."""
    return FitTrainer(job(early_stopping=None))


@pytest.fixture(scope="module")
def baseline(iris: SequentialTrainer) -> TrialResult:
    return train(iris)


# --- what is measured


class Kept:
    """A trial on which early stopping had to go back, and the model that it saved."""

    def __init__(self, task: Task, folder: Path) -> None:
        import keras

        source = {Task.BINARY: "breast_cancer", Task.MULTICLASS: "digits", Task.REGRESSION: "diabetes"}[task]
        self.data = datasets.load(DatasetSpec(source=f"sklearn:{source}"))
        trainer = FitTrainer(job(source, folder, epochs=25, early_stopping={"monitor": "val_loss", "patience": 3}))
        self.reports: list[EpochReport] = []
        knobs = {"hidden": (32,), "learning_rate": 0.05, "dropout": 0.1, "l2": 0.001, "batch_norm": True}
        suggestion = Suggestion(4, {**SMALL, **knobs, "batch_size": 64}, seed=5, attempt=2)
        self.result = trainer.train(suggestion, self.reports.append)
        self.model = keras.models.load_model(str(self.result.model_path))
        self.best = self.result.curve.at(self.result.best_epoch or 0)

    def predict(self) -> Any:
        return self.model.predict(self.data.x_validation, verbose=0).astype("float64")


@pytest.fixture(scope="module", params=list(Task), ids=[task.value for task in Task])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(request.param, tmp_path_factory.mktemp("models"))


def test_each_epoch_reports_the_metrics_of_the_task_and_the_penalty(kept: Kept) -> None:
    names = {*metrics_for(kept.data.summary.task), "l2_penalty"}

    assert all(set(report.metrics) == names for report in kept.reports)
    assert all(type(value) is float for report in kept.reports for value in report.metrics.values())
    assert [report.epoch for report in kept.reports] == list(range(1, kept.result.curve.n_epochs + 1))
    assert {(report.number, report.attempt) for report in kept.reports} == {(4, 2)}


def test_the_result_holds_the_curve_that_was_reported(kept: Kept) -> None:
    curve = kept.result.curve

    assert [curve.at(report.epoch) for report in kept.reports] == [dict(report.metrics) for report in kept.reports]
    assert curve.ended_at == tuple(report.ended_at for report in kept.reports)
    assert list(curve.ended_at) == sorted(curve.ended_at)
    assert curve.ended_at[0] > 1_600_000_000_000  # milliseconds
    assert (kept.result.number, kept.result.attempt, kept.result.error) == (4, 2, None)
    assert kept.result.n_parameters == kept.model.count_params()
    assert kept.result.seconds >= (curve.ended_at[-1] - curve.ended_at[0]) / 1000


def test_early_stopping_ends_the_trial_and_names_the_best_epoch(kept: Kept) -> None:
    losses = kept.result.curve.values("val_loss")

    assert kept.result.reason is Reason.EARLY_STOPPED
    assert kept.result.best_epoch == losses.index(min(losses)) + 1
    assert kept.result.curve.n_epochs == kept.result.best_epoch + 3


def test_the_saved_model_has_the_weights_of_the_best_epoch(kept: Kept) -> None:
    data, losses = kept.data, kept.result.curve.values("val_loss")
    scores = kept.model.evaluate(data.x_validation, data.y_validation, verbose=0, return_dict=True)

    assert scores["loss"] - kept.best["l2_penalty"] == pytest.approx(kept.best["val_loss"], abs=1e-5)
    assert abs(losses[-1] - kept.best["val_loss"]) > 1e-3  # the last epoch's weights would not do
    assert Path(str(kept.result.model_path)).name == "trial-4-2.keras"


def test_the_loss_of_keras_is_the_reported_one_plus_the_penalty(kept: Kept) -> None:
    data = kept.data
    scores = kept.model.evaluate(data.x_validation, data.y_validation, verbose=0, return_dict=True)
    squares = sum(float((layer.kernel.numpy() ** 2).sum()) for layer in kept.model.layers if hasattr(layer, "kernel"))

    assert kept.best["l2_penalty"] == pytest.approx(0.001 * squares, rel=1e-5)
    assert kept.best["l2_penalty"] > 1e-2
    assert scores["loss"] == pytest.approx(kept.best["val_loss"] + kept.best["l2_penalty"], abs=1e-5)


def test_validation_metrics_are_those_of_scikit_learn(kept: Kept) -> None:
    data, predicted = kept.data, kept.predict()
    if data.summary.task is Task.REGRESSION:
        truth, guess = ((part * data.target_std) + data.target_mean for part in (data.y_validation, predicted.ravel()))
        expected = {
            "val_loss": sk.mean_squared_error(data.y_validation, predicted.ravel()),
            "val_mse": sk.mean_squared_error(truth, guess),
            "val_mae": sk.mean_absolute_error(truth, guess),
        }
        assert data.target_std > 10  # so that the units matter
    else:
        others = [] if predicted.shape[1] > 1 else [1 - predicted]
        probabilities = np.hstack([*others, predicted])
        probabilities /= probabilities.sum(axis=1, keepdims=True)  # single precision leaves a rest
        expected = {
            "val_loss": sk.log_loss(data.y_validation, probabilities),
            "val_accuracy": sk.accuracy_score(data.y_validation, probabilities.argmax(axis=1)),
        }

    assert {name: kept.best[name] for name in expected} == pytest.approx(expected, rel=1e-4)


# --- plain Keras as the reference


def plain_keras(hp: Hyperparameters, data: datasets.Dataset, seed: int, n_epochs: int) -> dict[str, list[float]]:
    """Train a textbook network on arrays, one `fit` an epoch; return Keras's own history."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)

    def dense(units: int, activation: str | None = None, *, use_bias: bool = True) -> Any:
        l2 = keras.regularizers.L2(hp.l2) if hp.l2 else None
        return layers.Dense(units, activation, use_bias, kernel_initializer="he_uniform", kernel_regularizer=l2)

    is_regression = data.summary.task is Task.REGRESSION
    network = keras.Sequential(
        [
            *(keras.Input((data.summary.n_features,)), dense(hp.hidden[0], use_bias=False)),
            *(layers.BatchNormalization(), layers.Activation("relu"), layers.Dropout(hp.dropout)),
            dense(hp.hidden[1], use_bias=False),
            *(layers.BatchNormalization(), layers.Activation("relu"), layers.Dropout(hp.dropout)),
            dense(data.n_outputs, None if is_regression else "softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(hp.learning_rate, momentum=0.9, nesterov=True)
    if is_regression:
        network.compile(optimizer, "mse", metrics=["mse", "mae"])
    else:
        network.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history: dict[str, list[float]] = {}
    validation = (data.x_validation, data.y_validation)
    for epoch in range(1, n_epochs + 1):
        order = row_order(seed, epoch, len(data.x_train))
        x, y = data.x_train[order], data.y_train[order]
        fitted = network.fit(x, y, hp.batch_size, shuffle=False, validation_data=validation, verbose=0)
        for name, values in fitted.history.items():
            history.setdefault(name, []).extend(values)
    return history


KNOBS_OF_REFERENCE: dict[str, Any] = {
    "hidden": (16, 8),
    "initializer": "he_uniform",
    "optimizer": "nesterov",
    "learning_rate": 0.02,
    "dropout": 0.25,
    "batch_norm": True,
    "batch_size": 48,
}


def test_the_curve_is_that_of_a_plain_keras_loop() -> None:
    result = train(FitTrainer(job("digits", early_stopping=None)), seed=9, **KNOBS_OF_REFERENCE)

    data = datasets.load(DatasetSpec(source="sklearn:digits"))
    expected = plain_keras(Hyperparameters(**KNOBS_OF_REFERENCE), data, seed=9, n_epochs=3)

    assert len(data.x_train) % 48  # the last batch is ragged
    for name in metrics_for(Task.MULTICLASS):  # without an L2 term Keras's losses are the data's
        assert result.curve.values(name) == pytest.approx(expected[name], abs=2e-6), name


def test_the_curve_of_a_regression_is_that_of_a_plain_keras_loop_in_the_units_of_the_target() -> None:
    knobs = {**KNOBS_OF_REFERENCE, "l2": 0.01}
    curve = train(FitTrainer(job("diabetes", early_stopping=None)), seed=9, **knobs).curve

    data = datasets.load(DatasetSpec(source="sklearn:diabetes"))
    expected = plain_keras(Hyperparameters(**knobs), data, seed=9, n_epochs=3)

    std = data.target_std
    assert curve.values("val_mse") == pytest.approx(np.array(expected["val_mse"]) * std**2, rel=1e-5)
    assert curve.values("mse") == pytest.approx(np.array(expected["mse"]) * std**2, rel=1e-5)
    assert curve.values("val_mae") == pytest.approx(np.array(expected["val_mae"]) * std, rel=1e-5)
    assert curve.values("mae") == pytest.approx(np.array(expected["mae"]) * std, rel=1e-5)
    with_penalty = np.add(curve.values("val_loss"), curve.values("l2_penalty"))
    assert with_penalty == pytest.approx(expected["val_loss"], rel=1e-5)


OTHERS: dict[str, Any] = {
    "initializer": "he_normal",
    "dropout": 0.5,
    "l2": 0.1,
    "batch_norm": True,
    "optimizer": "sgd",
    "learning_rate": 0.02,
    "schedule": "cosine",
    "global_clipnorm": 0.1,
    "batch_size": 31,
    "hidden": (9,),
    "activation": "tanh",
}


@pytest.mark.parametrize("knob", KNOBS)
def test_every_hyperparameter_changes_the_curve(knob: str, iris: SequentialTrainer, baseline: TrialResult) -> None:
    assert train(iris, **{knob: OTHERS[knob]}).curve.values("loss") != baseline.curve.values("loss")


# --- repeating itself


def test_a_suggestion_gives_the_same_bits_whatever_was_trained_before(iris: SequentialTrainer) -> None:
    import keras

    knobs: dict[str, Any] = {"dropout": 0.3, "batch_norm": True, "hidden": (8, 8)}
    first = train(iris, seed=3, **knobs)
    train(iris, seed=4, optimizer="sgd")
    keras.utils.set_random_seed(99)
    again = train(FitTrainer(job(early_stopping=None)), seed=3, number=8, **knobs)
    other = train(iris, seed=4, **knobs)

    assert again.curve.series == first.curve.series
    assert other.curve.values("loss") != first.curve.values("loss")


ELSEWHERE = """
import json
from dnnsweep.records import Suggestion
from dnnsweep.trainers import Job
from dnnsweep.trainers.fit import FitTrainer
trainer = FitTrainer(Job({job!r}))
trainer.open()
result = trainer.train(Suggestion(0, {params!r}, 3), lambda _: None)
print(json.dumps([list(series.values) for series in result.curve.series]))
"""


def run_afresh(code: str) -> str:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, check=True, text=True
    ).stdout


def test_a_network_is_traced_once(iris: SequentialTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that creates variables would be traced twice, which takes as long as all else."""
    import keras

    traced: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        step = getattr(keras.Model, name)

        def trace(*given: Any) -> Any:
            traced.append(name)
            return step(*given)

        return trace

    for name in ("train_step", "test_step"):
        monkeypatch.setattr(keras.Model, name, counted(name))

    assert train(iris, optimizer="adam", batch_norm=True, dropout=0.1).reason is Reason.COMPLETED

    assert traced == ["train_step", "test_step"]


def test_another_process_gives_the_same_bits(iris: SequentialTrainer, tmp_path: Path, warm_python: WarmPython) -> None:
    params = {**Hyperparameters().to_params(), **SMALL, "dropout": 0.3, "batch_norm": True}
    here = iris.train(Suggestion(0, params, 3), lambda _: None)

    (tmp_path / "there.py").write_text(ELSEWHERE.format(job=job(early_stopping=None).spec, params=params))
    there = warm_python.run("there.py", cwd=tmp_path)

    assert there.returncode == 0, there.stderr
    assert json.loads(there.stdout) == [list(series.values) for series in here.curve.series]


def test_row_order_is_a_permutation_that_depends_on_seed_and_epoch() -> None:
    orders = {(seed, epoch): row_order(seed, epoch, 50).tolist() for seed in (0, 1) for epoch in (1, 2)}

    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == 4
    assert row_order(0, 1, 50).dtype == np.int32


# --- endings


def test_without_early_stopping_all_epochs_are_trained_and_the_last_is_kept(tmp_path: Path) -> None:
    import keras

    trainer = FitTrainer(job(models=tmp_path, early_stopping=None, epochs=4))
    result = train(trainer, number=6, learning_rate=0.5)  # so that the last epoch need not be the best
    data = datasets.load(DatasetSpec(source="sklearn:iris"))
    model = keras.models.load_model(tmp_path / "trial-6-1.keras")

    assert (result.reason, result.best_epoch, result.curve.n_epochs) == (Reason.COMPLETED, 4, 4)
    loss = model.evaluate(data.x_validation, data.y_validation, verbose=0)[0]
    assert loss == pytest.approx(result.curve.values("val_loss")[-1], abs=1e-5)


def scripted(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> list[float]:
    """Let training be a script of validation losses; the output's bias says which epoch the weights are of."""
    kept: list[float] = []

    def fit(network: Any, _batches: Any, _validation: Any, n_epochs: int, after_epoch: Callable[[Any], bool]) -> None:
        for epoch, loss in enumerate(losses[:n_epochs], start=1):
            network.get_layer("output").bias.assign([float(epoch)] * 3)
            if after_epoch({"loss": 0.5, "accuracy": 0.5, "val_loss": loss, "val_accuracy": 0.5}):
                return

    def save(network: Any, *_: Any) -> None:
        kept.append(float(network.get_layer("output").bias.numpy()[0]))

    monkeypatch.setattr(keras_models, "fit", fit)
    monkeypatch.setattr(keras_models, "save", save)
    return kept


@pytest.mark.parametrize(
    ("losses", "ending"),
    [
        ([0.5, 0.4, 0.3, 0.2], (Reason.COMPLETED, 4, 4)),
        ([0.5, 0.2, 0.3, 0.1], (Reason.COMPLETED, 4, 4)),
        ([0.5, 0.2, 0.1, 0.3], (Reason.COMPLETED, 3, 4)),  # all epochs trained: the best one's weights all the same
        ([0.5, 0.6, 0.6, 0.1], (Reason.EARLY_STOPPED, 1, 3)),
        ([0.5, 0.2, 0.3, 0.3], (Reason.COMPLETED, 2, 4)),  # patience runs out with the last epoch
        ([0.5, math.nan, 0.1, 0.1], (Reason.DIVERGED, None, 2)),
        ([0.5, 0.4, math.inf, 0.1], (Reason.DIVERGED, None, 3)),
        ([2 * DIVERGED_LOSS, 0.1, 0.1, 0.1], (Reason.DIVERGED, None, 1)),
    ],
)
def test_a_trial_ends_for_the_right_reason_at_the_right_epoch_with_the_right_weights(
    losses: list[float], ending: tuple[Reason, int | None, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = scripted(monkeypatch, losses)

    result = train(FitTrainer(job(models=tmp_path, epochs=4, early_stopping={"patience": 2})))

    assert (result.reason, result.best_epoch, result.curve.n_epochs) == ending
    assert kept == ([] if ending[1] is None else [ending[1]])
    assert (result.model_path is None) == (ending[1] is None)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_absurd_learning_rate_diverges_with_every_optimizer(optimizer: str, tmp_path: Path) -> None:
    trainer = FitTrainer(job("digits", tmp_path, epochs=30))

    result = train(trainer, hidden=(32, 32), optimizer=optimizer, learning_rate=1e6, batch_size=256)
    curve = [result.curve.at(epoch) for epoch in range(1, result.curve.n_epochs + 1)]

    assert (result.reason, result.best_epoch, result.error) == (Reason.DIVERGED, None, None)
    assert [is_diverged(metrics) for metrics in curve] == [False] * (len(curve) - 1) + [True]
    assert result.model_path is None
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_training_fails_the_trial_and_the_next_one_trains(
    iris: SequentialTrainer, baseline: TrialResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: Any) -> None:
        raise ValueError("a layer\n  is wrong")

    with monkeypatch.context() as patch:
        patch.setattr(keras_models, "build", build)
        failed = train(iris, number=3)

    assert (failed.number, failed.reason, failed.best_epoch) == (3, Reason.FAILED, None)
    assert failed.error == "ValueError: a layer is wrong"
    assert train(iris).curve.series == baseline.curve.series


def test_running_out_of_memory_in_an_epoch_keeps_the_epochs_before_it(
    iris: SequentialTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = keras_models.l2_penalty
    calls: list[float] = []

    def run_out(network: Any, hp: Hyperparameters) -> float:
        calls.append(measured(network, hp))
        if len(calls) == 3:
            raise MemoryError("no room")
        return calls[-1]

    monkeypatch.setattr(keras_models, "l2_penalty", run_out)
    failed = train(iris)

    assert (failed.reason, failed.error, failed.curve.n_epochs) == (Reason.FAILED, "MemoryError: no room", 2)


def test_no_epoch_is_believed_that_was_trained_without_memory(
    iris: SequentialTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def require_memory() -> None:
        raise MemoryError("none left")

    monkeypatch.setattr("dnnsweep.trainers.trial_loop.require_memory", require_memory)
    told: list[Any] = []
    with pytest.raises(MemoryError, match="none left"):
        iris.train(Suggestion(0, Hyperparameters().to_params(), 1), told.append)

    assert told == []


def test_the_text_of_an_error_is_one_line_of_bounded_length() -> None:
    text = one_line(RuntimeError("a\n" * 1000))

    assert len(text) == MAX_ERROR_CHARACTERS
    assert text.startswith("RuntimeError: a a a")
    assert "\n" not in text


class GoneError(Exception):
    """The controller is gone."""


@pytest.mark.parametrize("error", [GoneError("gone"), KeyboardInterrupt()])
def test_what_report_raises_is_not_the_fault_of_the_trial(error: BaseException, iris: SequentialTrainer) -> None:
    def report(_: EpochReport) -> None:
        raise error

    with pytest.raises(type(error)):
        iris.train(Suggestion(0, SMALL, 1), report)

    assert train(iris).reason is Reason.COMPLETED


def test_a_trial_that_is_not_wanted_any_more_is_left_without_a_result() -> None:
    trainer = FitTrainer(job())
    said: list[AttemptStarted | EpochReport | TrialResult] = []

    def emit(message: AttemptStarted | EpochReport | TrialResult) -> None:
        said.append(message)
        if isinstance(message, EpochReport) and (message.number, message.epoch) == (0, 2):
            raise TrialDroppedError

    trainer.take(Suggestion(0, SMALL, 1))
    trainer.take(Suggestion(1, SMALL, 1))
    trainer.step(emit)
    trainer.step(emit)

    assert [type(message) for message in said if message.number == 0] == [AttemptStarted, EpochReport, EpochReport]
    assert isinstance(said[-1], TrialResult)
    assert said[-1].number == 1


# --- opening

OPENING = """
import sys
from dnnsweep.trainers import Job
from dnnsweep.trainers.fit import FitTrainer
print(FitTrainer(Job({job!r})).open().data.n_features, "tensorflow" in sys.modules, "keras" in sys.modules)
"""


def test_opening_loads_the_data_and_not_tensorflow() -> None:
    assert run_afresh(OPENING.format(job=job("diabetes").spec)).split() == ["10", "False", "False"]


def test_arrays_can_be_handed_over() -> None:
    x, y = np.random.default_rng(0).normal(size=(60, 3)), ["a", "b"] * 30
    trainer = FitTrainer(Job({"name": "n", "dataset": {}, "training": {"epochs": 1}}, data=(x, np.array(y))))

    summary = trainer.open().data

    assert (summary.task, summary.n_features, summary.classes) == (Task.BINARY, 3, ("a", "b"))
    assert train(trainer).reason is Reason.COMPLETED


def test_a_monitor_that_the_data_do_not_have_is_a_mistake_at_once() -> None:
    with pytest.raises(SpecError, match=r"training\.early_stopping\.monitor"):
        FitTrainer(job("diabetes", early_stopping={"monitor": "val_accuracy"})).open()


def test_a_trial_over_its_time_ends_after_its_epoch() -> None:
    result = train(FitTrainer(job(epochs=50, timeout_seconds=1e-9)))

    assert (result.reason, result.best_epoch, result.curve.n_epochs) == (Reason.TIMEOUT, None, 1)
    assert "training.timeout_seconds = 1e-09" in str(result.error)


def test_a_trial_within_its_time_is_not_touched(baseline: TrialResult) -> None:
    result = train(FitTrainer(job(early_stopping=None, timeout_seconds=600)))

    assert result.curve.series == baseline.curve.series


def test_epochs_before_the_first_that_is_looked_at_are_never_the_best() -> None:
    rule = {"monitor": "loss", "patience": 2, "min_delta": 10.0, "start_from_epoch": 3}

    result = train(FitTrainer(job(epochs=9, early_stopping=rule)))

    assert (result.reason, result.best_epoch, result.curve.n_epochs) == (Reason.EARLY_STOPPED, 4, 6)


def test_a_first_value_of_nan_is_not_the_best_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([math.nan, 0.5, 0.6, 0.4, 0.4])
    monkeypatch.setattr("dnnsweep.trainers.scores.scores", lambda *_: {"val_auc": next(values)})

    result = train(FitTrainer(job(epochs=9, early_stopping={"monitor": "val_auc", "patience": 2})))

    assert (result.reason, result.best_epoch, result.curve.n_epochs) == (Reason.EARLY_STOPPED, 3, 5)


def test_a_plateau_begins_at_the_first_value_that_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([math.nan, 0.5, 0.6, 0.7, 0.7, 0.7, 0.9])
    monkeypatch.setattr("dnnsweep.trainers.scores.scores", lambda *_: {"val_auc": next(values)})
    plateau = {"monitor": "val_auc", "patience": 2, "factor": 0.5}
    trainer = FitTrainer(job(epochs=7, early_stopping=None, reduce_on_plateau=plateau))

    curve = train(trainer, learning_rate=0.5, optimizer="sgd", schedule="reduce_on_plateau").curve

    assert curve.values("learning_rate") == (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25)


def test_a_schedules_learning_rate_is_a_metric_where_it_changes(iris: SequentialTrainer, baseline: TrialResult) -> None:
    rates = train(iris, schedule="cosine", learning_rate=0.5).curve.values("learning_rate")

    # 90 rows make 3 steps an epoch; the last steps of three epochs are the 2nd, 5th and 8th of 9, from 0
    assert rates == pytest.approx([0.25 * (1 + math.cos(math.pi * step / 9)) for step in (2, 5, 8)], rel=1e-5)
    assert baseline.curve.values("learning_rate") == ()


# --- what is found in it


def codes(trainer: FitTrainer, result: TrialResult, **knobs: Any) -> set[str]:
    data, params = summary_json(trainer.open().data), {**Hyperparameters().to_params(), **SMALL, **knobs}
    return {finding.code.value for finding in diagnose_result(result, params, data)}


def test_a_short_training_is_found_and_so_are_steps_that_are_much_too_long(
    iris: FitTrainer, baseline: TrialResult
) -> None:
    knobs: dict[str, Any] = {"learning_rate": 100.0}

    assert codes(iris, baseline) == {"stopped_too_early"}
    assert "update_ratio" in codes(iris, train(iris, **knobs), **knobs)


@thorough(
    "`python -m bench diseases` trains it too, and layers are measured as plain Keras would in less deep networks"
)
def test_twenty_layers_of_sigmoid_are_found_ill_and_with_batch_normalisation_healthy() -> None:
    document = spec.load(SWEEPS / "deep_sigmoid.yaml", ["training.epochs=15", "training.early_stopping=null"])
    trainer, ill = FitTrainer(Job(document.to_json())), dict(document.default_params)
    healthy = {**ill, "batch_norm": True}

    assert codes(trainer, train(trainer, **ill), **ill) == {"vanishing_gradient"}
    assert codes(trainer, train(trainer, **healthy), **healthy) <= {"stopped_too_early"}
