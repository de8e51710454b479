"""Trials by Keras's `fit` in double precision: what trials in single precision are held to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import keras

from dnnsweep import spec
from dnnsweep.records import Suggestion, Task
from dnnsweep.space import PLATEAU, Hyperparameters
from dnnsweep.trainers import keras_models
from dnnsweep.trainers.array import weights
from dnnsweep.trainers.inputs import TrainerInputs
from dnnsweep.trainers.shuffling import row_order

#: Keras's losses, which have the L2 term in them.
WITH_L2 = ("loss", "val_loss")


@contextmanager
def double() -> Iterator[None]:
    """Let Keras compute in double precision."""
    with computing_in("float64"):
        yield


@contextmanager
def computing_in(kind: str) -> Iterator[None]:
    precision(kind)
    try:
        yield
    finally:
        precision("float32")


def precision(kind: str) -> None:
    keras.config.set_floatx(kind)
    keras.config.set_dtype_policy(kind)  # made from the other when it is first asked for


def fitted(material: TrainerInputs, item: Suggestion) -> list[dict[str, float]]:
    """Train by Keras's `fit` in float64, from the weights that float32 starts from; return each epoch's metrics."""
    return fitted_in_turn(material, [item], "float64")[0]


def fitted_in_turn(material: TrainerInputs, items: Sequence[Suggestion], kind: str) -> list[list[dict[str, float]]]:
    """Train suggestions by Keras's `fit`, from the weights that float32 starts from.

    Args:
        material: Sweep file and data.
        items: What is trained, different in their seeds only, so that TensorFlow traces one network for all of them;
            without dropout, whose masks are others in double precision.
        kind: Precision of the arithmetic.

    Returns:
        Of each suggestion, the metrics of each epoch.
    """
    hp, n_epochs = Hyperparameters.of(items[0].params), material.sweep.training.epochs
    data = material.data_for(items[0])
    task, n_steps = data.summary.task, keras_models.n_steps(data.summary.n_train, hp.batch_size)
    widths = (data.summary.n_features, *hp.hidden, data.n_outputs)
    with computing_in(kind):
        network = keras_models.build(hp, widths[0], task, data.n_outputs, items[0].seed)
        optimizer = keras_models.optimizer_of(hp, n_steps * n_epochs)
        optimizer.build(network.trainable_variables)
        fresh = [variable.numpy() for variable in optimizer.variables]
        keras_models.compile_(network, optimizer, task, 1)  # a call for each step: traced in half the time
        courses = []
        for item in items:
            start = weights.initial(hp, widths, item.seed)
            network.set_weights(weights.keras_order(start, batch_norm=hp.batch_norm))
            for variable, value in zip(optimizer.variables, fresh, strict=True):
                variable.assign(value)
            courses.append(course_of(network, material, item, kind))
    return courses


def course_of(network: Any, material: TrainerInputs, item: Suggestion, kind: str) -> list[dict[str, float]]:
    """Train a compiled network; return the metrics of each epoch."""
    hp, data = Hyperparameters.of(item.params), material.data_for(item)
    epochs: list[dict[str, float]] = []
    reduce = None if hp.schedule != PLATEAU else callback_of(material.sweep.plateau)

    def after_epoch(_: int, logs: Mapping[str, float]) -> None:
        measured = {name.replace(keras_models.DATA_LOSS, "loss"): logs[name] for name in logs if name not in WITH_L2}
        epochs.append({**measured, "l2_penalty": keras_models.l2_penalty(network, hp)})
        if reduce is not None:
            reduce.set_model(network)
            reduce.on_epoch_end(len(epochs) - 1, measured)
            epochs[-1]["learning_rate"] = measured["learning_rate"]

    of_targets = kind if data.summary.task is Task.REGRESSION else "int32"
    rows = keras_models.hold(data.x_train.astype(kind), data.y_train.astype(of_targets), data.w_train)
    held = keras_models.hold(data.x_validation.astype(kind), data.y_validation.astype(of_targets))
    orders = (row_order(item.seed, epoch, len(data.x_train)) for epoch in count(1))
    network.fit(
        keras_models.batches_of(rows, orders, hp.batch_size),
        steps_per_epoch=keras_models.n_steps(data.summary.n_train, hp.batch_size),
        epochs=material.sweep.training.epochs,
        shuffle=False,
        validation_data=keras_models.evaluation_of(*held),
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=after_epoch)],
        verbose=0,
    )
    return epochs


def callback_of(section: spec.PlateauSpec | None) -> Any:
    """Return Keras's own callback."""
    assert section is not None
    mode = "max" if section.monitor.endswith("accuracy") else "min"
    names = {"min_learning_rate": "min_lr"}
    numbers = {names.get(name, name): value for name, value in section.model_dump().items()}
    callback = keras.callbacks.ReduceLROnPlateau(mode=mode, **numbers)
    callback.on_train_begin()
    return callback
