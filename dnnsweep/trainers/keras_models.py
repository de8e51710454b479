"""A point of the search space as a Keras model, trained and saved. The door to Keras and TensorFlow.

Importing this module loads TensorFlow, on one thread: a sweep keeps each core busy with a trainer of its own. Variables
that are set in the environment win, and a TensorFlow that was imported before (in a notebook) is left as it is.
"""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

if "tensorflow" not in sys.modules:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns that each network is traced anew, as it must be

from dnnsweep.processes import silence_stderr

# What TensorFlow writes while it loads obeys no log level.
with silence_stderr(is_needed=(_is_ours := "tensorflow" not in sys.modules)):
    import keras
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

    tf.config.list_physical_devices()

from dnnsweep.datasets.preprocessing import Preprocessing
from dnnsweep.errors import TrainerError
from dnnsweep.records import Task
from dnnsweep.space import INITIALIZERS, LAST_SHARE, OPTIMIZERS, Hyperparameters
from dnnsweep.trainers import keras_settings, saved_model

if keras.backend.backend() != "tensorflow":
    raise TrainerError(
        f"Keras must run on TensorFlow, got {keras.backend.backend()}; set KERAS_BACKEND=tensorflow before Keras loads"
    )
if _is_ours:
    keras_settings.use_defaults(keras)

HEADS: Final[Mapping[Task, str]] = {
    Task.BINARY: "sigmoid",
    Task.MULTICLASS: "softmax",
    Task.REGRESSION: "linear",
}
LOSSES: Final[Mapping[Task, Any]] = {
    Task.BINARY: keras.losses.BinaryCrossentropy,
    Task.MULTICLASS: keras.losses.SparseCategoricalCrossentropy,
    Task.REGRESSION: keras.losses.MeanSquaredError,
}
METRICS: Final[Mapping[Task, str]] = {
    Task.BINARY: "accuracy",
    Task.MULTICLASS: "accuracy",
    Task.REGRESSION: "mae",
}
_METRIC_CLASSES: Final[Mapping[Task, Any]] = {
    Task.BINARY: keras.metrics.BinaryAccuracy,
    Task.MULTICLASS: keras.metrics.SparseCategoricalAccuracy,
    Task.REGRESSION: keras.metrics.MeanAbsoluteError,
}
#: Name under which Keras computes the loss without the L2 term; Keras's own `loss` contains it.
DATA_LOSS: Final = "data_loss"
#: How `fit` runs: as a graph of TensorFlow's, as one that XLA compiles, or operation by operation.
GRAPH: Final = "graph"
XLA: Final = "xla"
EAGER: Final = "eager"
#: Rows of a step in which nothing is learned.
EVALUATION_ROWS: Final = 4096


def build(hp: Hyperparameters, n_features: int, task: Task, n_outputs: int, seed: int) -> keras.Sequential:
    """Build a network with its starting weights, not compiled.

    For each hidden width: linear layer, batch normalisation if asked for, activation, dropout if above 0; then the
    output. Batch normalisation shifts by itself, so the linear layer before it has no bias. The L2 term is on every
    kernel, the output's too, and on nothing else. Layers are named `hidden_1`, `batch_norm_1`, `activation_1`,
    `dropout_1`, ..., `output`.

    Args:
        hp: Point to build.
        n_features: Number of inputs, >= 1.
        task: Task of the data, which decides the output's activation: sigmoid, softmax or none.
        n_outputs: Units of the output: the number of classes, or 1 for two classes and for regression.
        seed: Seed of starting weights and dropout. Each layer's own seed is drawn from it as Keras draws it for layers
            that are built, in the same order, after `keras.utils.set_random_seed(seed)`. So plain code can repeat a
            trial.

    Example:
        >>> network = build(Hyperparameters(hidden=(4,), dropout=0.5), 3, Task.MULTICLASS, 2, seed=0)
        >>> [layer.name for layer in network.layers]
        ['hidden_1', 'activation_1', 'dropout_1', 'output']
        >>> network.count_params()
        26

    References:
        Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.
        He et al., Delving deep into rectifiers, 2015. Ioffe & Szegedy, Batch normalization, 2015.
    """
    kernel_seeds, dropout_seeds = layer_seeds(hp, seed)
    layers = [keras.Input((n_features,), name="features")]
    for index, width in enumerate(hp.hidden, start=1):
        layers += _hidden(hp, index, width, kernel_seeds[index - 1], dropout_seeds[index - 1])
    layers.append(_dense(hp, "output", n_outputs, kernel_seeds[-1], activation=HEADS[task]))
    return keras.Sequential(layers, name="network")


def layer_seeds(hp: Hyperparameters, seed: int) -> tuple[list[int], list[int]]:
    """Return the seeds of all kernels, the output's last, and of each hidden layer's dropout.

    Each is drawn as `keras.random.make_default_seed` does after `keras.utils.set_random_seed(seed)`, in the order in
    which layers are built. Without dropout none is drawn for it, and its seeds are 0.
    """
    draw = random.Random(seed)  # noqa: S311  Keras draws its seeds from Python's generator too
    kernels, dropouts = [], []
    for _ in hp.hidden:
        kernels.append(_seed(draw))
        dropouts.append(_seed(draw) if hp.dropout > 0 else 0)
    return [*kernels, _seed(draw)], dropouts


def initial_kernels(hp: Hyperparameters, widths: Sequence[int], seed: int) -> list[NDArray[np.float32]]:
    """Return the kernels (inputs, units) that `build` starts from.

    Args:
        hp: Point that names the initializer.
        widths: Inputs, units of each hidden layer, outputs.
        seed: Seed of the trial.
    """
    shapes = pairwise(widths)
    kernel_seeds, _ = layer_seeds(hp, seed)
    return [
        _initializer_of(hp, kernel_seed)(shape, dtype="float32").numpy()
        for kernel_seed, shape in zip(kernel_seeds, shapes, strict=True)
    ]


def n_parameters(hp: Hyperparameters, widths: Sequence[int]) -> int:
    """Return the number of weights of what `build` returns, as Keras counts them: all that are saved.

    A layer of b units after a units has a * b weights and b biases; batch normalisation has 4 * b numbers (scale,
    shift, mean, variance), and the layer before it no biases.

    Args:
        hp: Point whose network is counted.
        widths: Inputs, units of each hidden layer, outputs.

    Example:
        >>> n_parameters(Hyperparameters(hidden=(4,)), (3, 4, 2))
        26
    """
    *hidden, output = pairwise(widths)
    beside = 4 if hp.batch_norm else 1
    return sum((a + beside) * b for a, b in hidden) + (output[0] + 1) * output[1]


def _hidden(hp: Hyperparameters, index: int, width: int, kernel_seed: int, dropout_seed: int) -> list[keras.Layer]:
    layers = [
        _dense(hp, f"hidden_{index}", width, kernel_seed, use_bias=not hp.batch_norm),
        keras.layers.Activation(hp.activation, name=f"activation_{index}"),
    ]
    if hp.batch_norm:
        layers.insert(1, keras.layers.BatchNormalization(name=f"batch_norm_{index}"))
    if hp.dropout > 0:
        layers.append(keras.layers.Dropout(hp.dropout, seed=dropout_seed, name=f"dropout_{index}"))
    return layers


def _dense(hp: Hyperparameters, name: str, width: int, seed: int, **options: Any) -> keras.Layer:
    kernel = {
        "kernel_initializer": _initializer_of(hp, seed),
        "kernel_regularizer": keras.regularizers.L2(hp.l2) if hp.l2 > 0 else None,
    }
    return keras.layers.Dense(width, name=name, **kernel, **options)


def _initializer_of(hp: Hyperparameters, seed: int) -> keras.initializers.Initializer:
    return getattr(keras.initializers, INITIALIZERS[hp.initializer].keras_class)(seed=seed)


def _seed(draw: random.Random) -> int:
    return draw.randint(1, int(1e9))


def optimizer_of(hp: Hyperparameters, n_steps: int | None = None) -> keras.optimizers.Optimizer:
    """Return the optimizer that `space.OPTIMIZERS` describes, new, at the trial's learning rate.

    A learning rate on a schedule goes from its start to 0 (`cosine`) or to `LAST_SHARE` of it (`exponential`).

    Args:
        hp: Point that names the optimizer, its learning rate and schedule, and the norm that gradients are clipped to.
        n_steps: Number of steps in all epochs; None for a constant learning rate.
    """
    optimizer = OPTIMIZERS[hp.optimizer]
    rate = hp.learning_rate if n_steps is None else _schedule_of(hp, n_steps)
    clipping = {"global_clipnorm": hp.global_clipnorm} if hp.global_clipnorm else {}
    return getattr(keras.optimizers, optimizer.keras_class)(rate, **optimizer.options, **clipping)


def _schedule_of(hp: Hyperparameters, n_steps: int) -> Any:
    if hp.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(hp.learning_rate, n_steps)
    if hp.schedule == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(hp.learning_rate, n_steps, LAST_SHARE)
    return hp.learning_rate


def learning_rates(hp: Hyperparameters, steps: range, n_steps: int) -> float | NDArray[np.floating]:
    """Return the learning rate of each of some steps (steps,), as Keras computes it; one for all where it is constant.

    Args:
        hp: Point that names the schedule.
        steps: Steps, counted from 0.
        n_steps: Number of steps in all epochs.
    """
    schedule = _schedule_of(hp, n_steps)
    return schedule if isinstance(schedule, float) else np.asarray(schedule(tf.range(steps.start, steps.stop)))


def compile_(network: keras.Model, optimizer: Any, task: Task, n_steps: int, mode: str = GRAPH) -> None:
    """Compile for `fit`: the task's loss and metric, and the loss without the L2 term as `data_loss`.

    All variables are created here. TensorFlow traces a step a second time if the first one creates any.

    Args:
        network: Network whose layers are built, from `build` or elsewhere.
        optimizer: New optimizer from `optimizer_of`.
        task: Task of the data, which decides the loss and whether `accuracy` or `mae` is measured beside it. Weights of
            rows count in neither.
        n_steps: Steps of an epoch; one call into TensorFlow takes them all, which is faster and gives the same bits.
        mode: `GRAPH`, `XLA` or, for networks that TensorFlow cannot trace, `EAGER`.
    """
    network.compile(
        optimizer=optimizer,
        loss=LOSSES[task](),
        metrics=[
            _METRIC_CLASSES[task](name=METRICS[task]),
            keras.metrics.MeanMetricWrapper(LOSSES[task](reduction="none"), DATA_LOSS),
        ],
        steps_per_execution=n_steps,
        run_eagerly=mode == EAGER,
        jit_compile=mode == XLA,
    )
    if mode != EAGER:
        optimizer.build(network.trainable_variables)


def fit(
    network: keras.Model,
    batches: tf.data.Dataset,
    validation: tf.data.Dataset,
    n_epochs: int,
    after_epoch: Callable[[Mapping[str, float]], bool],
) -> None:
    """Train a compiled network with one `model.fit`.

    Args:
        network: Network from `build` or any other, compiled with the steps of an epoch as `n_steps`.
        batches: Batches of all epochs, from `batches_of`.
        validation: Validation rows, from `evaluation_of`; the `val_` metrics are over all of them.
        n_epochs: The most epochs to train.
        after_epoch: Function that takes each epoch's `loss`, `accuracy` or `mae`, and the same with `val_`, and returns
            whether to stop. The losses are without the L2 term.
    """

    def end_epoch(_: int, logs: Mapping[str, float]) -> None:
        network.stop_training = after_epoch(_without_penalty(logs))

    network.fit(
        batches,
        steps_per_epoch=network.steps_per_execution,
        epochs=n_epochs,
        shuffle=False,
        validation_data=validation,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)],
        verbose=0,
    )


def _without_penalty(logs: Mapping[str, float]) -> dict[str, float]:
    return {name.replace(DATA_LOSS, "loss"): logs[name] for name in logs if name.removeprefix("val_") != "loss"}


def n_steps(n_rows: int, batch_size: int) -> int:
    """Return the steps of an epoch, the shorter last one included.

    Example:
        >>> n_steps(100, 32)
        4
    """
    return -(-n_rows // batch_size)


def hold(x: Any, y: NDArray[Any], weights: NDArray[Any] | None = None) -> tuple[Any, ...]:
    """Copy rows to TensorFlow, in main memory: a whole table might leave no room on an accelerator.

    Args:
        x: Features (rows, ...), or a nest of such arrays for a network of several inputs.
        y: Targets (rows,).
        weights: Weights of the rows in the loss (rows,); None for equal ones.

    Returns:
        Features and targets, and the weights where there are any.
    """
    with tf.device("CPU:0"):
        parts = (x, y) if weights is None else (x, y, weights)
        return tuple(tf.nest.map_structure(tf.constant, part) for part in parts)


def to_device(rows: NDArray[Any]) -> tf.Tensor:
    """Copy rows to where programs run: an accelerator if there is one."""
    return tf.constant(rows)


def device() -> str:
    """Return `gpu` if TensorFlow can use one, else `cpu`."""
    return "gpu" if tf.config.list_physical_devices("GPU") else "cpu"


def batches_of(rows: tuple[Any, ...], orders: Iterable[NDArray[np.int32]], batch_size: int) -> tf.data.Dataset:
    """Return the batches of all epochs, one after the other; they can be iterated over once.

    Args:
        rows: Features, targets and perhaps weights, from `hold`.
        orders: Order of the rows (rows,) in each epoch; taken one at a time, when the epoch begins.
        batch_size: Rows of a step; the last step of each epoch takes the remaining ones.
    """
    order = tf.TensorSpec((len(rows[1]),), tf.int32)
    epochs = tf.data.Dataset.from_generator(lambda: iter(orders), output_signature=order)
    indices = epochs.flat_map(lambda order: tf.data.Dataset.from_tensor_slices(order).batch(batch_size))
    return indices.map(lambda index: tf.nest.map_structure(lambda part: tf.gather(part, index), rows))


def take(rows: tuple[Any, ...], index: NDArray[np.int32]) -> tuple[Any, ...]:
    """Return some rows by their numbers, of each part of what `hold` returned."""
    return tuple(tf.nest.map_structure(lambda part: tf.gather(part, index), part) for part in rows)


def evaluation_of(x: Any, y: tf.Tensor) -> tf.data.Dataset:
    """Return all rows in few, large steps, to measure on; they can be iterated over again and again."""
    starts = tf.data.Dataset.range(0, len(y), EVALUATION_ROWS)
    return starts.map(lambda start: tf.nest.map_structure(lambda rows: rows[start : start + EVALUATION_ROWS], (x, y)))


def predictions_of(network: keras.Model, x: Any, n_rows: int) -> NDArray[Any]:
    """Return the predictions of a network for all rows (rows, outputs).

    Args:
        network: Network from `build` or any other.
        x: Features, from `hold`.
        n_rows: Number of rows.
    """

    def predictions_from(start: int) -> NDArray[Any]:
        rows = tf.nest.map_structure(lambda part: part[start : start + EVALUATION_ROWS], x)
        return np.asarray(network(rows, training=False))

    return np.concatenate([predictions_from(start) for start in range(0, max(1, n_rows), EVALUATION_ROWS)])


def l2_penalty(network: keras.Sequential, hp: Hyperparameters) -> float:
    """Return `l2 * sum(w**2)` over every kernel: what Keras adds to the data's loss."""
    if hp.l2 == 0:
        return 0.0
    kernels = [layer.kernel.numpy() for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    return hp.l2 * sum(float(np.sum(np.square(kernel, dtype=np.float64))) for kernel in kernels)


def weight_penalty(network: keras.Model) -> float:
    """Return what the regularizers of any network's weights add to the data's loss."""
    weights = [weight for weight in network.trainable_weights if weight.regularizer is not None]
    return sum(float(weight.regularizer(weight)) for weight in weights)


def save(network: keras.Model, hp: Hyperparameters, preprocessing: Preprocessing, path: Path) -> None:
    """Save a network and its preprocessing as a `.keras` file that appears whole or not at all.

    It is compiled anew before, with the task's loss and metric: the optimizer's state belongs to the last epoch and not
    to the weights kept.
    """
    task = preprocessing.target.task
    network.compile(optimizer=optimizer_of(hp), loss=LOSSES[task](), metrics=[METRICS[task]])
    network.optimizer.build(network.trainable_variables)  # one without its variables is loaded with a warning
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        network.save(part)
        saved_model.add_preprocessing(part, preprocessing)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
