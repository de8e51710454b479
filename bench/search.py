"""What all contenders search: `sweeps/digits.yaml`, its data and its networks, with plain Keras around them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from dnnsweep import datasets, spec
from dnnsweep.datasets import Dataset
from dnnsweep.space import Choice, Hyperparameters

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
FILE: Final = "sweeps/digits.yaml"
EPOCHS: Final = 20
PATIENCE: Final = 5
#: What dnnsweep is told, so that it trains what the others do.
SETTINGS: Final = (
    f"training.epochs={EPOCHS}",
    f"training.early_stopping.patience={PATIENCE}",
)


class Ended(NamedTuple):
    """A trial: the validation accuracy of its best epoch, and how many epochs it took."""

    value: float
    epochs: int


def material() -> tuple[spec.SweepSpec, Dataset]:
    """Return the sweep file and the rows that dnnsweep would train on."""
    sweep = spec.load(FILE)
    return sweep, datasets.load(sweep.dataset, sweep.task)


def suggested(trial: Any, sweep: spec.SweepSpec) -> dict[str, Any]:
    """Let an Optuna trial suggest a point of the sweep's space."""
    params = {}
    for name, domain in sweep.space.items():
        if isinstance(domain, Choice):
            params[name] = trial.suggest_categorical(name, domain.values)
        else:
            params[name] = trial.suggest_float(name, domain.low, domain.high, log=domain.log)
    return params


def compiled(params: Mapping[str, Any], data: Dataset, seed: int) -> Any:
    """Return the network that dnnsweep would train, compiled as one does for `fit`."""
    from dnnsweep.trainers import keras_models

    hp = Hyperparameters.of(params)
    network = keras_models.build(hp, data.summary.n_features, data.summary.task, data.n_outputs, seed)
    network.compile(keras_models.optimizer_of(hp), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


def stopping() -> Any:
    """Return early stopping as dnnsweep stops."""
    import keras

    return keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True)


def trained(params: Mapping[str, Any], data: Dataset, seed: int, *callbacks: Any) -> Ended:
    """Train a point with `fit`.

    Args:
        params: The point; what it lacks has dnnsweep's defaults.
        data: To train and to validate on.
        seed: Of starting weights and dropout.
        callbacks: For `fit`, beside early stopping.
    """
    patience = stopping()
    history = compiled(params, data, seed).fit(
        data.x_train,
        data.y_train,
        batch_size=Hyperparameters.of(params).batch_size,
        epochs=EPOCHS,
        validation_data=(data.x_validation, data.y_validation),
        callbacks=[patience, *callbacks],
        verbose=0,
    )
    values = history.history["val_accuracy"]
    return Ended(float(values[patience.best_epoch]), len(values))
