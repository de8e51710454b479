"""One epoch of training, of one contender after the other in this process.

Run as a script: `python -m bench.epochs CASE CONTENDER ...`. For each contender it prints `ready` once it is warm,
waits for a line, measures, and prints the milliseconds of one epoch of one trial. So several can be measured side by
side.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

N_WARM_UP: Final = 2
MIN_LAPS: Final = 3


@dataclass(frozen=True, slots=True)
class Case:
    """A network and its data.

    Args:
        source: In the words of a sweep file.
        hidden: Units of the hidden layers.
        batch_size: Rows of a step.
        n_rows: Rows that are used at most, for training and validation together.
        builder: Makes the network instead, called with `built`.
        built: The hyperparameters of that network.
    """

    source: str
    hidden: tuple[int, ...]
    batch_size: int
    n_rows: int = 1_000_000
    builder: str | None = None
    built: Mapping[str, Any] = field(default_factory=dict)


#: Of `sweeps/mnist_cnn.yaml`, on images of noise: how long an epoch lasts does not depend on what they show.
CNN: Final = Case(
    "noise",
    (),
    50,
    2500,
    "python:sweeps.mnist_cnn:build",
    {"filters": 8, "kernel_size": 3, "dropout": 0.25, "batch_norm": False, "initializer": "he_normal"},
)
#: The digits' network in several sizes, to see how many slots repay themselves.
SIZES: Final = {
    "x".join(map(str, hidden)): Case("sklearn:digits", hidden, 32)
    for hidden in ((64, 32), (128, 64), (256, 128), (256, 256), (512, 256), (512, 512))
}
#: A table of 50,000 rows and 100 columns of noise.
TABLE: Final = Case("table", (128, 64), 128, 50_000)
CASES: Final = {
    "digits": Case("sklearn:digits", (64, 32), 32),
    "letter": Case("npz:letter.npz", (128, 64), 128),
    "mnist": Case("npz:mnist.npz", (300, 100), 128, 12_500),
}


def is_at_hand(case: Case) -> bool:
    """Return whether a case's data are there."""
    if case.builder is not None:
        return True
    kind, _, name = case.source.partition(":")
    folder = os.environ.get("BENCH_DATA")
    return kind == "sklearn" or (folder is not None and (Path(folder) / name).is_file())


class Stopwatch:
    """Times laps, after some to warm up and after a word from outside.

    Args:
        seconds: To measure for.
    """

    def __init__(self, seconds: float) -> None:
        self.times: list[float] = []
        self._seconds = seconds
        self._n_laps = 0
        self._began = self._last = 0.0

    def is_over(self) -> bool:
        """Note that a lap has ended; return whether it was the last one."""
        self._n_laps += 1
        if self._n_laps < N_WARM_UP:
            return False
        if self._n_laps == N_WARM_UP:
            print("ready", flush=True)
            sys.stdin.readline()
            self._began = self._last = time.perf_counter()
            return False
        now = time.perf_counter()
        self.times.append(now - self._last)
        self._last = now
        return now - self._began >= self._seconds and len(self.times) >= MIN_LAPS

    def run(self, lap: Callable[[], object]) -> None:
        """Call a lap again and again until it is over."""
        lap()
        while not self.is_over():
            lap()


def main(name: str, seconds: float, contenders: list[str]) -> None:
    """Measure contenders one after the other."""
    measures: dict[str, Callable[[Case, Stopwatch, int], int]] = {
        "fit": _fit,
        "fit_jit": _fit_jit,
        "compiled": _compiled,
        "sgemm": _sgemm,
    }
    measures |= {"array": _array, "built": _built}
    for contender in contenders:
        kind, _, slots = contender.partition(":")
        watch = Stopwatch(seconds)
        n_epochs = measures[kind]({**CASES, **SIZES, "cnn": CNN}[name], watch, int(slots or 1))
        print(statistics.median(watch.times) / n_epochs * 1000, flush=True)


def material_of(case: Case) -> Any:
    """Return the sweep file and the data of a case, as a trainer reads them."""
    from dnnsweep.trainers import Job
    from dnnsweep.trainers.inputs import load_inputs

    document: dict[str, Any] = {
        "name": "bench",
        "dataset": {"source": case.source},
        "network": {"hidden": list(case.hidden)},
        "fixed": {"batch_size": case.batch_size},
        "training": {"epochs": 1_000_000, "early_stopping": None},
    }
    if case.builder is not None:
        document |= {"network": {"builder": case.builder}, "dataset": {"test": 0.0, "scale": "none"}}
        document["fixed"] |= case.built
        generator = np.random.default_rng(0)
        return load_inputs(
            Job(document, data=(generator.random((case.n_rows, 784), np.float32), np.arange(case.n_rows) % 10))
        )
    if case is TABLE:
        document["dataset"] = {"test": 0.0}
        return load_inputs(Job(document, data=_table(case.n_rows)))
    if case.source.startswith("npz:"):
        with np.load(Path(os.environ["BENCH_DATA"]) / case.source.removeprefix("npz:")) as arrays:
            x, y = arrays["x_train"][: case.n_rows], arrays["y_train"][: case.n_rows]
        document["dataset"] = {"test": 0.0}
        return load_inputs(Job(document, data=(x.reshape(len(x), -1), y)))
    return load_inputs(Job(document))


def _table(n_rows: int) -> tuple[Any, Any]:
    """Return 100 columns of noise, rounded so that files of them stay small, and a class of ten that they decide."""
    generator = np.random.default_rng(0)
    x = np.round(8 * generator.normal(size=(n_rows, 100))) / 8
    return x, np.argmax(x @ generator.normal(size=(100, 10)), axis=1)


def suggestions_of(case: Case, n_trials: int) -> list[Any]:
    """Return trials of a case that differ in all that the slots of an array may differ in."""
    from dnnsweep.records import Suggestion
    from dnnsweep.space import OPTIMIZERS, Hyperparameters

    base = {**Hyperparameters().to_params(), "hidden": case.hidden, "batch_size": case.batch_size, "dropout": 0.3}
    varied = (
        {"optimizer": tuple(OPTIMIZERS)[number % 8], "batch_norm": number % 2 == 0, "l2": 1e-4}
        for number in range(n_trials)
    )
    return [Suggestion(number, {**base, **of_trial}, number) for number, of_trial in enumerate(varied)]


def _array(case: Case, watch: Stopwatch, slots: int) -> int:
    from dnnsweep.trainers.array.slots import TrialArray
    from dnnsweep.trainers.groups import group_of

    suggestions = suggestions_of(case, slots)
    array = TrialArray(group_of(suggestions[0].params), material_of(case), slots)
    for suggestion in suggestions:
        array.enqueue(suggestion)
    watch.run(lambda: array.step(lambda _: None))
    return slots * array.config.epochs_per_call


def _network(case: Case, data: Any) -> tuple[Any, Any]:
    from dnnsweep.space import Hyperparameters
    from dnnsweep.trainers import keras_models

    hp = Hyperparameters(hidden=case.hidden, batch_size=case.batch_size, dropout=0.3, l2=1e-4, batch_norm=True)
    network = keras_models.build(hp, data.summary.n_features, data.summary.task, data.n_outputs, 0)
    return network, keras_models.optimizer_of(hp)


def _fit(case: Case, watch: Stopwatch, _: int) -> int:
    return _fitted(case, watch)


def _fit_jit(case: Case, watch: Stopwatch, _: int) -> int:
    """`fit` with all that Keras itself offers: XLA, and all steps of an epoch in one call."""
    return _fitted(case, watch, is_jit=True)


def _fitted(case: Case, watch: Stopwatch, *, is_jit: bool = False) -> int:
    material = material_of(case)
    data, x_shape = material.data, (-1,)
    if case.builder is None:
        network, optimizer = _network(case, data)
    else:
        import keras

        from dnnsweep.trainers.compiled.builder import Builder

        network, optimizer = Builder(material.sweep, data).build(case.built, 0), keras.optimizers.Adam()
        x_shape = network.inputs[0].shape[1:]
    n_steps = -(-len(data.x_train) // case.batch_size) if is_jit else 1
    network.compile(
        optimizer,
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=is_jit,
        steps_per_execution=n_steps,
    )

    import keras

    class Laps(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.model.stop_training = watch.is_over()

    network.fit(
        data.x_train.reshape(len(data.x_train), *x_shape),
        data.y_train,
        batch_size=case.batch_size,
        epochs=1_000_000,
        validation_data=(data.x_validation.reshape(len(data.x_validation), *x_shape), data.y_validation),
        callbacks=[Laps()],
        verbose=0,
    )
    return 1


def _built(case: Case, watch: Stopwatch, _: int) -> int:
    """The trainer of networks that a function builds, as a sweep uses it."""
    from dnnsweep.records import EpochReport, Suggestion
    from dnnsweep.trainers import Job
    from dnnsweep.trainers.compiled import CompiledTrainer

    class OverError(Exception):
        pass

    def lap(_: EpochReport) -> None:
        if watch.is_over():
            raise OverError

    material = material_of(case)
    params = {**case.built, "batch_size": case.batch_size}
    with suppress(OverError):
        CompiledTrainer(Job(material.sweep.to_json()), material, "cpu").train(Suggestion(0, params, 0), lap)
    return 1


def _compiled(case: Case, watch: Stopwatch, _: int) -> int:
    """Keras's own layers, optimizer and dropout in a loop of one's own: a whole epoch is one compiled function."""
    import keras
    import tensorflow as tf

    data = material_of(case).data
    network, optimizer = _network(case, data)
    optimizer.build(network.trainable_variables)
    x, y, x_validation, y_validation = map(
        tf.constant, (data.x_train, data.y_train, data.x_validation, data.y_validation)
    )
    n_steps = -(-len(data.x_train) // case.batch_size)
    loss_of = keras.losses.SparseCategoricalCrossentropy()

    def step(number: Any, order: Any, total: Any) -> Any:
        rows = order[number]
        with tf.GradientTape() as tape:
            loss = loss_of(tf.gather(y, rows), network(tf.gather(x, rows), training=True))
            whole = loss + tf.add_n(network.losses)
        optimizer.apply(tape.gradient(whole, network.trainable_variables), network.trainable_variables)
        return number + 1, order, total + loss

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def epoch(order: Any) -> Any:
        total = tf.while_loop(lambda number, *_: number < n_steps, step, (tf.constant(0), order, tf.constant(0.0)))[2]
        answers = network(x_validation, training=False)
        is_right = tf.argmax(answers, axis=1, output_type=tf.int32) == y_validation
        return total, loss_of(y_validation, answers), tf.reduce_mean(tf.cast(is_right, tf.float32))

    generator = np.random.default_rng(0)

    def lap() -> None:
        order = np.resize(generator.permutation(len(data.x_train)), (n_steps, case.batch_size))
        epoch(tf.constant(order.astype(np.int32)))[0].numpy()

    watch.run(lap)
    return 1


def _sgemm(case: Case, watch: Stopwatch, _: int) -> int:
    """The matrix products of an epoch alone, by NumPy: forward, and backward to weights and to inputs."""
    data = material_of(case).data
    widths = (data.summary.n_features, *case.hidden, data.n_outputs)
    n_steps = -(-data.summary.n_train // case.batch_size)
    training = _products(widths, case.batch_size, is_trained=True)
    validation = _products(widths, data.summary.n_validation, is_trained=False)

    def epoch() -> None:
        for _ in range(n_steps):
            for a, b, out in training:
                np.matmul(a, b, out=out)
        for a, b, out in validation:
            np.matmul(a, b, out=out)

    watch.run(epoch)
    return 1


def _products(widths: tuple[int, ...], n_rows: int, *, is_trained: bool) -> list[tuple[Any, Any, Any]]:
    """Return factors and room for the product of each matrix multiplication of a step."""
    generator = np.random.default_rng(0)
    rows = [generator.normal(size=(n_rows, width)).astype(np.float32) for width in widths]
    found: list[tuple[Any, Any, Any]] = []
    for layer, pair in enumerate(pairwise(widths)):
        kernel = generator.normal(size=pair).astype(np.float32)
        found.append((rows[layer], kernel, np.empty_like(rows[layer + 1])))
        if is_trained:
            found.append((rows[layer].T, rows[layer + 1], np.empty_like(kernel)))
        if is_trained and layer:
            found.append((rows[layer + 1], kernel.T, np.empty_like(rows[layer])))
    return found


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
