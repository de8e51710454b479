"""One epoch of training: trial arrays against `fit`, and against what the matrix products alone would take.

Run as a script it is one contender in a process of its own: `python -m bench.epochs CASE CONTENDER` prints JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

MIN_SECONDS = 3.0
ONE_THREAD = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A network and its data.

    Args:
        source: In the words of a sweep file.
        hidden: Units of the hidden layers.
        batch_size: Rows of a step.
        n_rows: Rows that are used at most, for training and validation together.
    """

    source: str
    hidden: tuple[int, ...]
    batch_size: int
    n_rows: int = 1_000_000


CASES = {
    "digits": Case("sklearn:digits", (64, 32), 32),
    "letter": Case("npz:letter.npz", (128, 64), 128),
    "mnist": Case("npz:mnist.npz", (300, 100), 128, 12_500),
}


def is_at_hand(case: Case) -> bool:
    """Return whether a case's data are there."""
    kind, _, name = case.source.partition(":")
    folder = os.environ.get("BENCH_DATA")
    return kind == "sklearn" or (folder is not None and (Path(folder) / name).is_file())


def measured(case: str, contender: str, n_processes: int = 1) -> float:
    """Return milliseconds per trial and epoch of a contender, with so many processes side by side.

    Args:
        case: Of `CASES`.
        contender: `fit`, `sgemm` or `array:K`.
        n_processes: Of one thread each; together they train so many times more trials.
    """
    command = [sys.executable, "-m", "bench.epochs", case, contender]
    environment = {**os.environ, **ONE_THREAD}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(n_processes)]
    each = [json.loads(process.communicate()[0]) for process in running]
    return float(1 / sum(1 / milliseconds for milliseconds in each))


def main(name: str, contender: str) -> None:
    """Measure one contender in this process and print its milliseconds per trial and epoch."""
    case = CASES[name]
    kind, _, slots = contender.partition(":")
    measure = {"fit": _fit, "sgemm": _sgemm, "array": _array}[kind]
    print(json.dumps(measure(case, int(slots or 1))))


def _material(case: Case) -> Any:
    from dnnsweep.trainers import Job
    from dnnsweep.trainers.material import load

    document: dict[str, Any] = {
        "name": "bench",
        "dataset": {"source": case.source},
        "network": {"hidden": list(case.hidden)},
        "fixed": {"batch_size": case.batch_size},
        "training": {"epochs": 1_000_000, "early_stopping": None},
    }
    if case.source.startswith("npz:"):
        with np.load(Path(os.environ["BENCH_DATA"]) / case.source.removeprefix("npz:")) as arrays:
            x, y = arrays["x_train"][: case.n_rows], arrays["y_train"][: case.n_rows]
        document["dataset"] = {"test": 0.0}
        return load(Job(document, data=(x.reshape(len(x), -1), y)))
    return load(Job(document))


def _repeated(epoch: Any) -> float:
    """Return the milliseconds of the fastest of several epochs, after two to warm up."""
    epoch(), epoch()
    times, began = list[float](), time.perf_counter()
    while time.perf_counter() - began < MIN_SECONDS or len(times) < 3:
        start = time.perf_counter()
        epoch()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1000


def _array(case: Case, slots: int) -> float:
    from dnnsweep.records import Suggestion
    from dnnsweep.space import OPTIMIZERS, Hyperparameters
    from dnnsweep.trainers.array.slots import Array
    from dnnsweep.trainers.groups import group_of

    base = {**Hyperparameters().to_params(), "hidden": case.hidden, "batch_size": case.batch_size, "dropout": 0.3}
    array = Array(group_of(base), _material(case), slots)
    for number in range(slots):
        varied = {"optimizer": OPTIMIZERS[number % 8], "batch_norm": number % 2 == 0, "l2": 1e-4}
        array.take(Suggestion(number, {**base, **varied}, number))
    return _repeated(lambda: array.step(lambda _: None)) / slots / array.shape.epochs_per_call


def _fit(case: Case, _: int) -> float:
    from dnnsweep import networks
    from dnnsweep.space import Hyperparameters

    data = _material(case).data
    hp = Hyperparameters(hidden=case.hidden, batch_size=case.batch_size, dropout=0.3, l2=1e-4, batch_norm=True)
    network = networks.build(hp, data.summary.n_features, data.summary.task, data.n_outputs, 0)
    network.compile(networks.optimizer_of(hp), "sparse_categorical_crossentropy", metrics=["accuracy"])
    validation = (data.x_validation, data.y_validation)
    began, ends = time.perf_counter(), list[float]()

    class Clock(networks.keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            ends.append(time.perf_counter())
            if ends[-1] - began > MIN_SECONDS * 2 and len(ends) > 4:
                self.model.stop_training = True

    network.fit(
        data.x_train,
        data.y_train,
        batch_size=hp.batch_size,
        epochs=1000,
        validation_data=validation,
        callbacks=[Clock()],
        verbose=0,
    )
    return float(np.median(np.diff(ends)[1:])) * 1000


def _sgemm(case: Case, _: int) -> float:
    """The matrix products of an epoch alone, by NumPy: forward, and backward to weights and inputs."""
    data = _material(case).data
    widths = (data.summary.n_features, *case.hidden, data.n_outputs)
    generator = np.random.default_rng(0)
    kernels = [generator.normal(size=pair).astype(np.float32) for pair in pairwise(widths)]
    rows = [generator.normal(size=(case.batch_size, width)).astype(np.float32) for width in widths]
    validation = [generator.normal(size=(data.summary.n_validation, width)).astype(np.float32) for width in widths]
    n_steps = -(-data.summary.n_train // case.batch_size)

    def epoch() -> None:
        for _ in range(n_steps):
            for layer, kernel in enumerate(kernels):
                rows[layer] @ kernel
                rows[layer].T @ rows[layer + 1]
                if layer:
                    rows[layer + 1] @ kernel.T
        for layer, kernel in enumerate(kernels):
            validation[layer] @ kernel

    return _repeated(epoch)


if __name__ == "__main__":
    main(*sys.argv[1:])
