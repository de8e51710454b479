"""One trial array: which trial is in which slot, what each slot is fed with, and what comes out of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnnsweep.datasets import Dataset
from dnnsweep.records import AttemptStarted, Reason, Suggestion, Task, direction_of
from dnnsweep.space import PLATEAU, Hyperparameters
from dnnsweep.spec import PlateauSpec
from dnnsweep.trainers import Emit, TrialDroppedError, dropout, keras_models
from dnnsweep.trainers.array import optimizers, weights
from dnnsweep.trainers.array.arithmetic import Knobs
from dnnsweep.trainers.array.program import Program, Rows
from dnnsweep.trainers.array.stopping import ENDS
from dnnsweep.trainers.array.types import METRICS, Feed, PlateauRule, Rates, Shape, Standing
from dnnsweep.trainers.attempt import Attempt, in_own_units, one_line
from dnnsweep.trainers.groups import Group
from dnnsweep.trainers.inputs import TrainerInputs
from dnnsweep.trainers.shuffling import row_order

#: Running trials are reported at most so often, unless they may be pruned; how they end is reported at once.
REPORT_SECONDS: Final = 1.0
#: Multiplications and additions of one call: fewer do not repay the host's work, more delay refills.
CALL_ARITHMETIC: Final = 5e7
MAX_EPOCHS_PER_CALL: Final = 8
_REASONS: Final = {code: reason for reason, code in ENDS.items()}


class Ended(NamedTuple):
    """A trial that has ended; `save` writes its model to a path, as long as its slot is not refilled."""

    course: Attempt
    reason: Reason
    best_epoch: int | None
    save: Callable[[Path], None]


class Array:
    """K slots of one compiled program.

    Args:
        group: What its trials have in common.
        material: The sweep file and its data.
        n_slots: K.
        dtype: Of all arithmetic.
    """

    def __init__(self, group: Group, material: TrainerInputs, n_slots: int, dtype: str = "float32") -> None:
        data = material.data
        self._material = material
        self.shape = _shape(group, material, n_slots, dtype)
        self.program = Program(
            self.shape,
            _rows(data.x_train, data.y_train, dtype, data.w_train),
            _rows(data.x_validation, data.y_validation, dtype),
        )
        self._variance = data.validation_variance
        self._limit = material.sweep.training.timeout_seconds
        self._report_seconds = REPORT_SECONDS if material.sweep.pruner.kind == "none" else 0.0
        self._waiting: deque[Attempt] = deque()
        self._slots: list[Attempt | None] = [None] * n_slots
        self._feed = _Feed(self.shape)
        self._reported: dict[int, tuple[int, float]] = {}
        self.n_slot_epochs = self.n_busy_slot_epochs = 0

    def take(self, suggestion: Suggestion) -> None:
        """Put a suggestion in line."""
        self._waiting.append(Attempt(suggestion))

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is left to train."""
        return not self._waiting and not any(self._slots)

    @property
    def n_bytes(self) -> int:
        """Return the memory of the slots' state."""
        return self.program.n_bytes

    def held(self) -> list[Attempt]:
        """Return the trials that have not ended."""
        return [*(course for course in self._slots if course is not None), *self._waiting]

    def compile(self) -> None:
        """Compile the program, with nothing in its slots."""
        self.program.run(self._feed.arrays(), 0, self._feed.standing)

    def step(self, emit: Emit) -> list[Ended]:
        """Fill free slots, train for a call, and return the trials that ended in it."""
        for slot, course in enumerate(self._slots):
            if course is None and self._waiting:
                self._begin(slot, self._waiting.popleft(), emit)
        if not any(self._slots):
            return []
        n_epochs = self._feed.prepare(self._slots)
        outcome = self.program.run(self._feed.arrays(), n_epochs, self._feed.standing)
        moment = round(time.time() * 1000)
        self._feed.standing = outcome.standing
        self.n_slot_epochs += outcome.n_epochs * self.shape.slots
        for slot, course in enumerate(self._slots):
            if course is not None:
                self.n_busy_slot_epochs += outcome.n_epochs
                for ahead, metrics in enumerate(outcome.metrics[: outcome.n_epochs, slot]):
                    course.add(self._named(metrics) | self._feed.rate(ahead, slot, metrics), moment)
        self._report(emit, moment / 1000)
        ends = [slot for slot, code in enumerate(outcome.ends) if code and self._slots[slot] is not None]
        ended = [self._end(slot, _REASONS[int(outcome.ends[slot])]) for slot in ends]
        late = [slot for slot, course in enumerate(self._slots) if course is not None and course.is_late(self._limit)]
        return [*ended, *(self._end(slot, Reason.TIMEOUT) for slot in late)]

    def _begin(self, slot: int, course: Attempt, emit: Emit) -> None:
        course.began = time.perf_counter()
        hp, seed = Hyperparameters.of(course.suggestion.params), course.suggestion.seed
        try:
            start = weights.initial(hp, self.shape.widths, seed)
        except Exception as error:  # noqa: BLE001  a result, as for any error while training
            emit(course.end(Reason.FAILED, error=one_line(error)))
            return
        course.n_parameters = keras_models.n_parameters(hp, self.shape.widths)
        self._slots[slot] = course  # before what may fail: it is among those held then
        knobs = Knobs(
            float(hp.batch_norm), hp.dropout, float(np.float32(hp.l2)), hp.global_clipnorm
        )  # as Keras rounds l2
        self.program.put(slot, start, knobs, optimizers.FIRST_V.get(hp.optimizer, 0.0))
        self._feed.begin(slot, hp, seed)
        emit(AttemptStarted(course.suggestion.number, course.suggestion.attempt))

    def _named(self, values: Any) -> dict[str, float]:
        second = "mae" if self.shape.task is Task.REGRESSION else "accuracy"
        names = [name.replace("metric", second) for name in self.shape.measured]
        measured = dict(zip(names, values.tolist(), strict=True))
        penalty = measured.pop("l2_penalty")
        measured.pop("learning_rate", None)  # of all slots, whatever their schedule
        own = in_own_units(measured, self.shape.task, self._material.data.target_std, self._variance)
        return {**own, "l2_penalty": penalty}

    def _report(self, emit: Emit, moment: float) -> None:
        """Report the epochs of trials that last, in batches: those that end soon come with their result."""
        for slot, course in enumerate(self._slots):
            if course is None:
                continue
            n_sent, last = self._reported.setdefault(id(course), (0, moment))
            if moment - last < self._report_seconds:
                continue
            self._reported[id(course)] = (len(course.reports), moment)
            try:
                for report in course.reports[n_sent:]:
                    emit(report)
            except TrialDroppedError:
                self._free(slot, course)

    def _free(self, slot: int, course: Attempt) -> None:
        self._slots[slot] = None
        self._feed.end(slot)
        self._reported.pop(id(course), None)

    def _end(self, slot: int, reason: Reason) -> Ended:
        course = self._slots[slot]
        assert course is not None  # noqa: S101  only active slots end
        self._free(slot, course)
        best_epoch = int(self._feed.standing.best_epoch[slot]) or None

        def save(path: Path) -> None:
            keras_models.save(self.model(slot, course.suggestion), *self._identity(course.suggestion), path)

        return Ended(course, reason, None if reason in (Reason.DIVERGED, Reason.TIMEOUT) else best_epoch, save)

    def _identity(self, suggestion: Suggestion) -> tuple[Hyperparameters, Task]:
        return Hyperparameters.of(suggestion.params), self.shape.task

    def model(self, slot: int, suggestion: Suggestion) -> Any:
        """Return a slot's kept weights as an ordinary Keras model, not compiled.

        Args:
            slot: Which.
            suggestion: What was trained in it last.
        """
        hp, shape = Hyperparameters.of(suggestion.params), self.shape
        network = keras_models.build(hp, shape.n_features, shape.task, shape.n_outputs, suggestion.seed)
        network.set_weights(weights.keras_order(self.program.kept(slot), has_norm=hp.batch_norm))
        return network


def _rows(x: NDArray[Any], y: NDArray[Any], dtype: str, weights: NDArray[Any] | None = None) -> Rows:
    targets = y.astype(dtype) if y.dtype.kind == "f" else y
    factors = None if weights is None else keras_models.placed(weights.astype(dtype))
    return Rows(keras_models.placed(x.astype(dtype)), keras_models.placed(targets), factors)


def _shape(group: Group, material: TrainerInputs, n_slots: int, dtype: str) -> Shape:
    sweep, data = material.sweep, material.data
    stopping, n_rows = sweep.training.early_stopping, data.summary.n_train
    widths = (data.summary.n_features, *group.hidden, data.n_outputs)
    per_row = sum(a * b for a, b in pairwise(widths))
    per_epoch = n_slots * (3 * n_rows + data.summary.n_validation) * per_row
    return Shape(
        slots=n_slots,
        n_features=data.summary.n_features,
        hidden=group.hidden,
        activation=group.activation,
        task=data.summary.task,
        n_outputs=data.n_outputs,
        batch_size=min(group.batch_size, n_rows),
        n_rows=n_rows,
        epochs_per_call=max(1, min(MAX_EPOCHS_PER_CALL, round(CALL_ARITHMETIC / per_epoch))),
        monitor=None if stopping is None else _monitor(stopping.monitor, sweep.scores),
        **_units(None if stopping is None else stopping.monitor, data),
        is_maximized=stopping is not None and direction_of(stopping.monitor) == "maximize",
        min_delta=0.0 if stopping is None else stopping.min_delta,
        patience=0 if stopping is None else stopping.patience,
        n_epochs=sweep.training.epochs,
        scores=sweep.scores,
        is_clipped="global_clipnorm" in sweep.space or sweep.defaults.global_clipnorm > 0,
        start_from_epoch=0 if stopping is None else stopping.start_from_epoch,
        plateau=None if sweep.plateau is None else _plateau(sweep.plateau, sweep.scores, data),
        dtype=dtype,
    )


def _plateau(asked: PlateauSpec, scores: tuple[str, ...], data: Dataset) -> PlateauRule:
    return PlateauRule(
        monitor=_monitor(asked.monitor, scores),
        **_units(asked.monitor, data),
        is_maximized=direction_of(asked.monitor) == "maximize",
        min_delta=asked.min_delta,
        factor=asked.factor,
        patience=asked.patience,
        cooldown=asked.cooldown,
        min_rate=asked.min_learning_rate,
    )


def _monitor(metric: str, scores: tuple[str, ...]) -> int:
    """Return where the program measures a metric, or for `mse` and `r2` the loss that they follow from."""
    if metric in scores:
        return len(METRICS) + scores.index(metric)
    is_validation, name = metric.startswith("val_"), metric.removeprefix("val_")
    is_loss = name in ("loss", "mse", "r2")
    return METRICS.index(("val_" if is_validation else "") + ("loss" if is_loss else "metric"))


def _units(metric: str | None, data: Dataset) -> dict[str, float]:
    """Return what turns a measured metric into its own units: `scale` times it, plus `offset`."""
    if metric == "val_r2":
        variance = data.validation_variance
        return {"scale": -1 / variance, "offset": 1.0} if variance else {"scale": 0.0, "offset": 0.0}
    scale = {"mse": data.target_std**2, "mae": data.target_std}.get((metric or "").removeprefix("val_"), 1.0)
    return {"scale": scale, "offset": 0.0}


class _Feed:
    """What each slot is fed with: row order, coefficients and keys of the coming epochs, and where it stands."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        n_calls, slots, steps = shape.epochs_per_call, shape.slots, shape.n_steps
        self._orders = np.zeros((n_calls, slots, shape.n_rows), np.int32)
        self._coefficients = np.zeros((n_calls, slots, steps, len(optimizers.COEFFICIENTS)), shape.dtype)
        self._coefficients[..., optimizers.COEFFICIENTS.index("outside")] = 1  # nothing to divide by zero in idle slots
        self._keys = np.zeros((n_calls, slots, steps, len(shape.hidden), 4), np.uint32)
        self._dropout = np.zeros(slots, np.float32)
        self._learning_rates = np.zeros((n_calls, slots))  # of each epoch's last step, where a schedule says it
        self._is_scaled: NDArray[np.bool_] | tuple[()] = ()
        self._n_done = np.zeros(slots, np.int64)
        self._points: list[tuple[Hyperparameters, int] | None] = [None] * slots
        self._seeds = np.zeros((slots, len(shape.hidden)), np.int64)
        n_waited, epoch, best_epoch = (np.zeros(slots, np.int32) for _ in range(3))
        best, is_active = np.full(slots, np.nan, shape.dtype), np.zeros(slots, bool)
        rates: Rates | tuple[()] = ()
        if shape.plateau is not None:
            self._is_scaled = np.zeros((slots, len(optimizers.COEFFICIENTS)), bool)
            rates = Rates(np.ones(slots, shape.dtype), best.copy(), n_waited.copy(), n_waited.copy())
        self.standing = Standing(best, n_waited, epoch, best_epoch, is_active, rates)

    def begin(self, slot: int, hp: Hyperparameters, seed: int) -> None:
        """Prepare a slot for a new trial."""
        self._points[slot] = (hp, seed)
        self._dropout[slot] = hp.dropout
        self._seeds[slot] = keras_models.layer_seeds(hp, seed)[1]
        *parts, rates = self.standing
        for part, value in zip(parts, (np.nan, 0, 0, 0, True), strict=True):
            part[slot] = value
        for part, value in zip(rates, (hp.learning_rate, np.nan, 0, 0), strict=bool(rates)):
            part[slot] = value
        if isinstance(self._is_scaled, np.ndarray):
            self._is_scaled[slot] = optimizers.is_scaled(hp.optimizer) & (hp.schedule == PLATEAU)

    def end(self, slot: int) -> None:
        """Note that a slot is idle."""
        self._points[slot] = None
        self.standing.is_active[slot] = False

    def prepare(self, courses: list[Attempt | None]) -> int:
        """Lay ready the next call's input; return how many epochs it is for."""
        shape = self._shape
        self._n_done = np.array([0 if course is None else len(course.reports) for course in courses])
        n_left = (shape.n_epochs - len(course.reports) for course in courses if course is not None)
        n_epochs = min(shape.epochs_per_call, *n_left)
        for ahead in range(n_epochs):
            for slot, hp, seed, n_done in self._active(courses):
                first_step = (n_done + ahead) * shape.n_steps
                self._orders[ahead, slot] = row_order(seed, n_done + ahead + 1, shape.n_rows)
                steps = range(first_step, first_step + shape.n_steps)
                rates = self._scheduled(hp, steps)
                self._learning_rates[ahead, slot] = rates if isinstance(rates, float) else rates[-1]
                self._coefficients[ahead, slot] = optimizers.coefficients(
                    hp.optimizer, rates, first_step, shape.n_steps, shape.dtype
                )
            if self._dropout.any():
                first_steps = (self._n_done + ahead) * shape.n_steps
                self._keys[ahead] = dropout.keys(self._seeds, first_steps, shape.n_steps)
        return n_epochs

    def _scheduled(self, hp: Hyperparameters, steps: range) -> float | NDArray[np.floating]:
        """Return the learning rate of steps (steps,), 1 where the program multiplies by the one it knows."""
        n_steps = self._shape.n_steps * self._shape.n_epochs
        return 1.0 if hp.schedule == PLATEAU else keras_models.learning_rates(hp, steps, n_steps)

    def rate(self, ahead: int, slot: int, measured: NDArray[Any]) -> dict[str, float]:
        """Return the learning rate of an epoch's last step as a metric, where it is not the same in all epochs.

        Args:
            ahead: Which epoch of the last call.
            slot: Which.
            measured: By the program in that epoch.
        """
        point = self._points[slot]
        if point is None or point[0].schedule == "constant":
            return {}
        is_known = point[0].schedule == PLATEAU
        return {"learning_rate": float(measured[-1] if is_known else self._learning_rates[ahead, slot])}

    def _active(self, courses: list[Attempt | None]) -> Iterator[tuple[int, Hyperparameters, int, int]]:
        for slot, (course, point) in enumerate(zip(courses, self._points, strict=True)):
            if course is not None and point is not None:
                yield slot, *point, len(course.reports)

    def arrays(self) -> Feed:
        """Return what the next call is fed with."""
        return Feed(self._orders, self._coefficients, self._keys, dropout.threshold(self._dropout), self._is_scaled)
