"""What every engine does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import builders
import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from dnnsweep.records import Suggestion
from dnnsweep.trainers import Job
from dnnsweep.trainers.compiled import CompiledTrainer
from dnnsweep.trainers.compiled.program_engine import ProgramEngine
from dnnsweep.trainers.engine import Engine
from dnnsweep.trainers.inputs import TrainerInputs, load_inputs
from dnnsweep.trainers.keras_engine import KerasEngine
from dnnsweep.trainers.layer_probe import LayerProbes
from dnnsweep.trainers.shuffling import row_order

PARAMS = {"units": 8, "dropout": 0.0, "l2": 0.01, "batch_norm": True, "optimizer": "sgd", "learning_rate": 0.05}
Maker = Callable[[], Engine]


@pytest.fixture(scope="module", params=[KerasEngine, ProgramEngine])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def job(kind: type) -> Job:
    trainer, network = "fit" if kind is KerasEngine else "auto", {"builder": "python:builders:dense"}
    return Job({"name": "n", "dataset": {"source": "sklearn:digits"}, "network": network, "trainer": trainer})


@pytest.fixture(scope="module")
def inputs(job: Job) -> TrainerInputs:
    return load_inputs(job)


@pytest.fixture(scope="module")
def new_engine(kind: type, job: Job, inputs: TrainerInputs) -> Maker:
    trainer = CompiledTrainer(job, inputs, "cpu")

    def new() -> Engine:
        engine = trainer.engine_for(Suggestion(0, PARAMS, seed=3), inputs.data)
        assert type(engine) is kind
        return engine

    return new


def orders(inputs: TrainerInputs) -> Iterator[Any]:
    return (row_order(3, epoch, inputs.data.summary.n_train) for epoch in count(1))


def by_weights(weights: list[Any]) -> keras.Model:
    """A network of the builder's, which no engine has seen, with these weights."""
    model = builders.dense(units=8, dropout=0.0, l2=0.01)
    model.set_weights(weights)
    return model


def after_each_epoch(engine: Engine, inputs: TrainerInputs, n_epochs: int, look: Callable[[], Any]) -> list[Any]:
    seen: list[Any] = []

    def after_epoch(_: Mapping[str, float]) -> bool:
        seen.append(look())
        return False

    engine.fit(orders(inputs), n_epochs, after_epoch)
    return seen


def test_an_epoch_is_measured_after_its_steps(new_engine: Maker, inputs: TrainerInputs) -> None:
    engine, measured, weights = new_engine(), list[Mapping[str, float]](), list[Any]()

    def after_epoch(metrics: Mapping[str, float]) -> bool:
        measured.append(metrics)
        weights.append(engine.weights())
        return False

    engine.fit(orders(inputs), 2, after_epoch)

    assert [set(metrics) for metrics in measured] == [{"loss", "accuracy", "val_loss", "val_accuracy"}] * 2
    y = inputs.data.y_validation
    for metrics, weights_then in zip(measured, weights, strict=True):
        probabilities = by_weights(weights_then).predict(inputs.data.x_validation, verbose=0)  # (rows, classes)
        assert_allclose(metrics["val_loss"], -np.log(probabilities[np.arange(len(y)), y]).mean(), rtol=1e-4)
        assert_allclose(metrics["val_accuracy"], (probabilities.argmax(axis=1) == y).mean(), atol=1e-6)


def test_training_stops_when_it_is_told_to(new_engine: Maker, inputs: TrainerInputs) -> None:
    n_epochs: list[float] = []

    def stop_at_the_third(metrics: Mapping[str, float]) -> bool:
        n_epochs.append(metrics["loss"])
        return len(n_epochs) == 3

    new_engine().fit(orders(inputs), 9, stop_at_the_third)

    assert len(n_epochs) == 3


def test_predictions_are_those_of_the_weights_as_they_are(new_engine: Maker, inputs: TrainerInputs) -> None:
    engine = new_engine()

    looks = after_each_epoch(engine, inputs, 2, lambda: (engine.predict(), engine.weights()))

    for predictions, weights in looks:
        assert_allclose(predictions, by_weights(weights)(inputs.data.x_validation), atol=1e-5)
    assert np.abs(looks[0][0] - looks[1][0]).max() > 1e-3


def test_the_penalty_is_that_of_the_weights_as_they_are(new_engine: Maker, inputs: TrainerInputs) -> None:
    engine = new_engine()

    looks = after_each_epoch(engine, inputs, 2, lambda: (engine.penalty(), engine.weights()))

    for penalty, weights in looks:
        hidden = [kernel for kernel in weights if kernel.ndim == 2][:2]  # those with a regularizer
        expected = sum(1e-5 * np.abs(kernel).sum() + 0.01 * np.square(kernel).sum() for kernel in hidden)
        assert penalty == pytest.approx(float(expected), rel=1e-5)


def test_weights_are_a_copy(new_engine: Maker, inputs: TrainerInputs) -> None:
    engine = new_engine()
    kept: list[list[Any]] = []

    def keep() -> float:
        kept.append(engine.weights())
        return float(np.abs(kept[0][0]).sum())

    first, second = after_each_epoch(engine, inputs, 2, keep)

    assert first == second
    assert np.abs(kept[0][0] - kept[1][0]).max() > 0


def test_a_learning_rate_counts_from_the_next_epoch_on(new_engine: Maker, inputs: TrainerInputs) -> None:
    engine, plain = new_engine(), new_engine()

    def stop_learning() -> Any:
        engine.set_rate(0.0)
        return engine.weights()[0]  # the first kernel

    stopped = after_each_epoch(engine, inputs, 3, stop_learning)
    trained = after_each_epoch(plain, inputs, 3, lambda: plain.weights()[0])

    assert_array_equal(stopped[0], trained[0])
    assert_array_equal(stopped[0], stopped[2])
    assert np.abs(trained[0] - trained[2]).max() > 1e-4


def by_plain_keras(weights: list[Any], x: Any, y: Any) -> dict[str, list[float]]:
    """What a person would compute of the hidden layers, on rows that the network is trained with."""
    model = by_weights(weights)
    activations = [layer.output for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    kernels = [layer.kernel for layer in model.layers if isinstance(layer, keras.layers.Dense)][:-1]
    with tf.GradientTape() as tape:
        *answers, probabilities = keras.Model(model.input, [*activations, model.output])(x, training=True)
        loss = keras.losses.SparseCategoricalCrossentropy()(y, probabilities)
    gradients = tape.gradient(loss, [kernel.value for kernel in kernels])
    answers = [np.asarray(answer) for answer in answers]
    return {
        "gradient_norm": [float(np.linalg.norm(gradient)) for gradient in gradients],
        "weight_norm": [float(np.linalg.norm(kernel)) for kernel in kernels],
        "activation_variance": [float(answer.var()) for answer in answers],
        "dead_units": [float((answer <= 0).all(axis=0).mean()) for answer in answers],
    }


def test_layers_are_measured_as_plain_keras_would(new_engine: Maker, inputs: TrainerInputs) -> None:
    engine, n_rows = new_engine(), inputs.data.summary.n_train
    rows = np.arange(32) * n_rows // 32
    start = engine.weights()
    measure = LayerProbes(inputs.data.summary.task, n_rows).watch(engine, n_rows, n_steps=34)

    seen = after_each_epoch(engine, inputs, 2, lambda: (measure(), engine.weights()))

    for before, (layers, after) in zip([start, seen[0][1]], seen, strict=True):
        by_name = by_plain_keras(before, inputs.data.x_train[rows], inputs.data.y_train[rows])
        moved = [float(np.linalg.norm(after[i] - before[i]) / np.linalg.norm(before[i])) / 34 for i in (0, 5)]
        for metric, values in {**by_name, "update_ratio": moved}.items():
            assert list(layers[metric]) == ["dense_1", "dense_2"]
            assert_allclose(list(layers[metric].values()), values, rtol=1e-3, atol=1e-7)
    assert set(seen[0][0]) == {*by_name, "update_ratio"}
