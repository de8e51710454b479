"""Scores of validation rows: the program's, the reference's, and scikit-learn's on the saved model."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from examples import thorough, uncompiled
from sklearn.metrics import f1_score, precision_score, r2_score, recall_score, roc_auc_score

from dnnsweep import spec
from dnnsweep.records import CLASS_SCORES, Reason, Suggestion, Task, TrialResult, metrics_for
from dnnsweep.space import Hyperparameters
from dnnsweep.trainers import Job, TrainerPlan
from dnnsweep.trainers.array import ArrayTrainer
from dnnsweep.trainers.array import scores as in_program
from dnnsweep.trainers.array.config import ArrayConfig
from dnnsweep.trainers.array.rows import Targets
from dnnsweep.trainers.array.slots import TrialArray
from dnnsweep.trainers.fit import FitTrainer
from dnnsweep.trainers.groups import group_of
from dnnsweep.trainers.inputs import load_inputs
from dnnsweep.trainers.scores import scores

SLOTS = 3


def by_scikit_learn(y: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """What a person would write, where every class occurs."""
    is_binary = answers.shape[1] == 1
    labels = answers[:, 0] > 0.5 if is_binary else answers.argmax(axis=1)
    options: dict[str, Any] = {"average": "macro", "zero_division": 0}
    return {
        "val_auc": roc_auc_score(y, answers[:, 0]) if is_binary else roc_auc_score(y, answers, multi_class="ovr"),
        "val_f1": f1_score(y, labels, **options),
        "val_precision": precision_score(y, labels, **options),
        "val_recall": recall_score(y, labels, **options),
    }


def job(source: str, models: Path | None = None, **training: Any) -> Job:
    metrics = [] if source == "diabetes" else list(CLASS_SCORES)
    document = {
        "name": "n",
        "dataset": {"source": f"sklearn:{source}"},
        "training": {"epochs": 6, "metrics": metrics, "early_stopping": None, **training},
    }
    return Job(document, None if models is None else str(models))


def suggestion(number: int = 0, **knobs: Any) -> Suggestion:
    small: dict[str, Any] = {"hidden": (8,), "optimizer": "adam", "learning_rate": 0.01, **knobs}
    return Suggestion(number, Hyperparameters(**small).to_params(), number + 3)


def in_array(own: Job, *items: Suggestion) -> dict[int, TrialResult]:
    trainer, got = ArrayTrainer(own, load_inputs(own), TrainerPlan("array", SLOTS)), dict[int, TrialResult]()
    for item in items:
        trainer.take(item)
    while not trainer.is_idle:
        trainer.step(
            lambda message: got.update({message.number: message}) if isinstance(message, TrialResult) else None
        )
    return got


def logits_of(kind: str, n_rows: int, n_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(n_rows)
    logits = random.normal(size=(SLOTS, n_rows, n_outputs)).astype("float32")
    if kind == "ties":
        logits = np.round(logits, 1)
    if kind == "saturated":
        logits *= 100  # many probabilities are 0 and 1
    if kind == "constant":
        logits = np.zeros_like(logits)
    y = random.permutation(np.arange(n_rows) % max(2, n_outputs)).astype("int32")
    if kind == "rare":
        y = np.where(np.arange(n_rows) < 2, y, 0).astype("int32")  # some classes do not occur
    return logits, y


@functools.cache
def program_of(source: str) -> tuple[ArrayConfig, Any]:
    """Return the configuration of an array and the program of its scores, which is compiled once for each shape."""
    config = TrialArray(group_of(suggestion().params), load_inputs(job(source)), SLOTS).config

    def scores_of(answers: tf.Tensor, y: tf.Tensor) -> dict[str, tf.Tensor]:
        return in_program.scores(config, answers, Targets(y[tf.newaxis], is_row=None))

    return config, tf.function(scores_of, jit_compile=True)


@pytest.mark.parametrize("kind", ["plain", "ties", "saturated", "constant", "rare"])
@pytest.mark.parametrize("n_outputs", [1, 3, 10])
@pytest.mark.parametrize("n_rows", [30, 501])
def test_the_programs_scores_are_those_of_scikit_learn(kind: str, n_outputs: int, n_rows: int) -> None:
    config, program = program_of("digits" if n_outputs > 1 else "breast_cancer")
    logits, y = logits_of(kind, n_rows, n_outputs)
    all_answers = np.asarray(in_program.probabilities_of(config.task, logits))

    by_name = program(tf.constant(all_answers), tf.constant(y))

    for slot, answers in enumerate(all_answers):
        expected = scores(CLASS_SCORES, y, answers)
        for name in config.layout.scores:
            np.testing.assert_allclose(by_name[name][slot], expected[name], atol=1e-6)
        if kind != "rare":
            assert expected == pytest.approx(by_scikit_learn(y, answers), abs=1e-12)


def test_a_network_without_numbers_has_no_scores() -> None:
    assert all(np.isnan(list(scores(CLASS_SCORES, np.array([0, 1]), np.array([[np.nan], [0.5]])).values())))
    assert np.isnan(scores(["val_auc"], np.array([1, 1]), np.array([[0.2], [0.5]]))["val_auc"])
    assert np.isnan(scores(["val_auc"], np.array([1, 1]), np.array([[0.2, 0.8], [0.5, 0.5]]))["val_auc"])


@pytest.mark.parametrize(
    "source", ["wine", pytest.param("breast_cancer", marks=uncompiled), pytest.param("diabetes", marks=uncompiled)]
)
def test_array_and_fit_measure_the_same(source: str) -> None:
    own = job(source)
    items = [suggestion(0), suggestion(1, batch_norm=True, dropout=0.3), suggestion(2, dropout=0.3)]
    arrays = in_array(own, *items)

    fit = FitTrainer(own).train(items[1], lambda _: None)
    names = {"val_r2"} if source == "diabetes" else set(CLASS_SCORES)
    assert names <= {series.metric for series in fit.curve.series}
    for name in names:
        np.testing.assert_allclose(arrays[1].curve.values(name), fit.curve.values(name), atol=1e-5)


@pytest.mark.parametrize(
    "source", ["digits", pytest.param("breast_cancer", marks=uncompiled), pytest.param("diabetes", marks=uncompiled)]
)
@pytest.mark.parametrize("trainer", ["array", "fit"])
def test_what_is_stated_is_what_scikit_learn_finds_of_the_saved_model(
    source: str, trainer: str, tmp_path: Path
) -> None:
    own, item = job(source, tmp_path), suggestion(0, learning_rate=0.003)
    result = in_array(own, item)[0] if trainer == "array" else FitTrainer(own).train(item, lambda _: None)
    data = load_inputs(own).data

    answers = keras.models.load_model(result.model_path).predict(data.x_validation, verbose=0)

    stated = result.curve.at(result.best_epoch or 0)
    if source == "diabetes":
        assert stated["val_r2"] == pytest.approx(r2_score(data.y_validation, answers.ravel()), abs=1e-5)
        assert set(metrics_for(Task.REGRESSION)) <= set(stated)
    else:
        expected = by_scikit_learn(data.y_validation, answers)
        assert {name: stated[name] for name in expected} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("source", "monitor"),
    [
        ("breast_cancer", "val_auc"),
        pytest.param("wine", "val_f1", marks=thorough("another score is watched in the same way")),
        pytest.param("diabetes", "val_r2", marks=thorough("slots on rows of their own watch it too")),
    ],
)
def test_early_stopping_watches_scores_in_arrays_as_in_fit(source: str, monitor: str) -> None:
    own = job(source, epochs=40, early_stopping={"monitor": monitor, "patience": 3, "min_delta": 0.001})
    item = suggestion(0)

    fit, array = FitTrainer(own).train(item, lambda _: None), in_array(own, item)[0]

    assert fit.reason is array.reason is Reason.EARLY_STOPPED
    assert (fit.best_epoch, fit.curve.n_epochs) == (array.best_epoch, array.curve.n_epochs)
    values = fit.curve.values(monitor)
    assert max(values) - values[(fit.best_epoch or 0) - 1] <= 0.003  # it is the better end


def test_scores_are_measured_where_they_are_named_only() -> None:
    document: dict[str, Any] = {"name": "a", "dataset": {"source": "sklearn:wine"}}
    assert spec.check(document).scores == ()
    assert spec.check({**document, "objective": {"metric": "val_auc"}}).scores == ("val_auc",)
    stopping = {"early_stopping": {"monitor": "val_f1"}, "metrics": ["val_recall", "val_accuracy"]}
    assert spec.check({**document, "training": stopping}).scores == ("val_f1", "val_recall")
    assert "metrics" not in spec.check(document).to_json()["training"]
