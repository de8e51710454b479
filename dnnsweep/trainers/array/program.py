"""The compiled program of a trial array: K networks of one shape, trained side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dnnsweep.trainers import dropout, layer_measures
from dnnsweep.trainers.array import scores
from dnnsweep.trainers.array.arithmetic import SlotKnobs, SlotNetworks
from dnnsweep.trainers.array.config import ArrayConfig
from dnnsweep.trainers.array.metric_layout import Monitor
from dnnsweep.trainers.array.rows import ArrayRows
from dnnsweep.trainers.array.stopping import decide
from dnnsweep.trainers.array.types import (
    CallInputs,
    EpochLayers,
    EpochMetrics,
    MovingStatistics,
    NetworkWeights,
    PlateauState,
    Scalar,
    SlotCounts,
    SlotFlags,
    SlotLayers,
    SlotMask,
    SlotMetrics,
    SlotProgress,
    SlotSums,
    SlotValues,
    SlotWeights,
)
from dnnsweep.trainers.array.update import scale_by_rates, take_step


class _TrainingState(NamedTuple):
    """What a step of training changes.

    Args:
        weights: Kernels (slots, inputs, units) and, last, all vectors (slots, vectors).
        m: First buffers of the optimizers, in the shapes of the weights.
        v: Second buffers of the optimizers, in the shapes of the weights.
        moving: Moving mean and variance of batch normalisation.
    """

    weights: Sequence[SlotWeights]
    m: Sequence[SlotWeights]
    v: Sequence[SlotWeights]
    moving: MovingStatistics


class _Call(NamedTuple):
    """What an epoch of a call changes.

    Args:
        epoch: Epochs of the call so far ().
        state: State of the training.
        best: Weights and moving statistics of each slot's best epoch.
        metrics: Metrics of the call so far (epochs_per_call, slots, metrics).
        layers: Measures of hidden layers so far (epochs_per_call, slots, hidden layers, metrics).
        progress: How far each slot's trial has come.
        end_codes: How trials ended in the last epoch (slots,).
    """

    epoch: Scalar
    state: _TrainingState
    best: Sequence[SlotWeights]
    metrics: EpochMetrics
    layers: EpochLayers
    progress: SlotProgress
    end_codes: SlotCounts


class CallResult(NamedTuple):
    """What one call of the program returns.

    Args:
        n_epochs: Epochs trained.
        metrics: Metrics (epochs_per_call, slots, metrics), in the order of `MetricLayout.names`; zeros where no epoch
            was trained.
        layers: Measures of hidden layers (epochs_per_call, slots, hidden layers, metrics), in the order of
            `ArrayConfig.layer_names` and `layer_measures.names_for`; the updates are those of whole epochs.
        progress: How far each slot's trial has come.
        end_codes: How trials ended (slots,), by `stopping.END_CODES`; 0 where they continue.
    """

    n_epochs: int
    metrics: NDArray[np.floating]
    layers: NDArray[np.floating]
    progress: SlotProgress
    end_codes: NDArray[np.int32]


class ArrayProgram:
    """Trains up to K networks at once; compiled at the first call.

    Args:
        config: What it is compiled for.
        rows: Rows that it trains on and validates with.
    """

    def __init__(self, config: ArrayConfig, rows: ArrayRows) -> None:
        self.config = config
        self._dtype = tf.as_dtype(config.dtype)
        self._rows = rows
        n_hidden, n_slots = sum(config.hidden), config.n_slots
        shapes: list[tuple[int, ...]] = [(n_slots, *pair) for pair in pairwise(config.widths)]
        shapes.append((n_slots, 3 * n_hidden + config.n_outputs))
        moving = [(n_slots, n_hidden)] * 2
        self._state = _TrainingState(*(self._variables(part) for part in (shapes, shapes, shapes, moving)))
        self._best = self._variables([*shapes, *moving])  # weights and moving statistics of each slot's best epoch
        self._knobs = SlotKnobs(*self._variables([(n_slots,)] * len(SlotKnobs._fields)))
        self._networks = SlotNetworks(config, self._knobs)
        shape = (len(config.monitors), n_slots, 2)
        self._conversions = tf.Variable(tf.zeros(shape, tf.float64), trainable=False)  # scale and offset of monitors
        # Not AutoGraph, which triples the time of tracing.
        self._call = tf.function(self._train_epochs, jit_compile=True, autograph=False)
        self._fill = tf.function(self._fill_slot, jit_compile=True, autograph=False)

    def _variables(self, shapes: Sequence[tuple[int, ...]]) -> list[tf.Variable]:
        return [tf.Variable(tf.zeros(shape, self._dtype), trainable=False) for shape in shapes]

    @property
    def n_bytes(self) -> int:
        """Return the memory of weights, buffers, statistics, best weights and own rows of all slots."""
        variables = [variable for part in (*self._state, self._best) for variable in part]
        n_values = sum(int(np.prod(variable.shape)) for variable in variables)
        return self._rows.n_bytes + n_values * int(self._dtype.size)

    def start_trial(
        self, slot: int, weights: NetworkWeights, knobs: SlotKnobs, first_v: float, monitors: Sequence[Monitor]
    ) -> None:
        """Write what a trial starts from into a slot.

        Args:
            slot: Slot, from 0.
            weights: Starting weights.
            knobs: Hyperparameters of the trial.
            first_v: Value that the second buffer of the optimizer starts from.
            monitors: What the rules watch, in the units of the trial's rows.
        """
        for index, monitor in enumerate(monitors):
            self._conversions[index, slot].assign([monitor.scale, monitor.offset])
        kernels, vectors, moving = _pack(weights, self.config.dtype)
        values = np.array([*knobs, first_v], self.config.dtype)
        self._fill(tf.constant(slot), [*kernels, vectors], moving, values)

    def _fill_slot(
        self, slot: Scalar, weights: Sequence[tf.Tensor], moving: Sequence[tf.Tensor], values: tf.Tensor
    ) -> None:
        def assign(variable: tf.Variable, value: tf.Tensor) -> None:
            if 0 not in value.shape:  # without hidden layers there are no statistics
                variable.assign(tf.tensor_scatter_nd_update(variable, [[slot]], value[None]))

        *knobs, first_v = tf.unstack(values)
        m, v = [tf.zeros_like(w) for w in weights], [tf.zeros_like(w) + first_v for w in weights]
        fresh = _TrainingState(weights, m, v, moving)
        for variables, new in (*zip(self._state, fresh, strict=True), (self._knobs, knobs)):
            for variable, value in zip(variables, new, strict=True):
                assign(variable, value)

    def run(self, inputs: CallInputs, n_epochs: int, progress: SlotProgress) -> CallResult:
        """Train all slots for some epochs; stop early after an epoch in which an active trial ended.

        Args:
            inputs: Inputs of `epochs_per_call` epochs, of which the first `n_epochs` count.
            n_epochs: The most epochs to train.
            progress: Progress after the call before.
        """
        n_done, metrics, layers, progress, end_codes = self._call(inputs, tf.constant(n_epochs), progress)
        on_host = tf.nest.map_structure(np.array, progress)
        return CallResult(int(n_done), metrics.numpy(), layers.numpy(), on_host, end_codes.numpy())

    def best_weights(self, slot: int) -> NetworkWeights:
        """Return the weights of a slot's best epoch."""
        *kernels, vectors, means, variances = [variable[slot].numpy() for variable in self._best]
        hidden, n_outputs = list(self.config.hidden), self.config.n_outputs
        n_hidden = sum(hidden)
        biases, gammas, betas = np.split(vectors, [n_hidden + n_outputs, 2 * n_hidden + n_outputs])
        of_hidden = (_split(part, hidden) for part in (gammas, betas, means, variances))
        return NetworkWeights(tuple(kernels), _split(biases, [*hidden, n_outputs]), *of_hidden)

    # What follows runs inside the compiled program.

    def _train_epochs(
        self, inputs: CallInputs, n_epochs: Scalar, progress: SlotProgress
    ) -> tuple[Scalar, EpochMetrics, EpochLayers, SlotProgress, SlotCounts]:
        def continues(now: _Call) -> Scalar:
            return tf.logical_and(now.epoch < n_epochs, tf.reduce_all(now.end_codes == 0))

        def body(now: _Call) -> tuple[_Call]:
            state, sums = self._train_epoch(now.state, self._inputs_at(now.epoch, inputs, now.progress))
            of_layers = self._measure_layers(now.state.weights, state.weights, n_epochs)  # (slots, layers, metrics)
            layers = now.layers
            if self.config.hidden:
                layers = tf.tensor_scatter_nd_update(layers, [[now.epoch]], of_layers[None])
            measured = self._measure(sums, state, now.progress)  # (slots, metrics)
            metrics = tf.tensor_scatter_nd_update(now.metrics, [[now.epoch]], measured[None])
            progress, end_codes, is_best = decide(self._config_in_units(), measured, now.progress)
            present = (*state.weights, *state.moving)
            best = [_select(is_best, new, old) for new, old in zip(present, now.best, strict=True)]
            return (_Call(now.epoch + 1, state, best, metrics, layers, progress, end_codes),)

        (last,) = tf.while_loop(continues, body, (self._first(progress),))
        for variables, values in (*zip(self._state, last.state, strict=True), (self._best, last.best)):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        return last.epoch, last.metrics, last.layers, last.progress, last.end_codes

    def _config_in_units(self) -> ArrayConfig:
        """Return the configuration with monitors in the units of each slot's rows."""
        if not self.config.has_own_rows:
            return self.config
        conversions = self._conversions.value()  # (monitors, slots, 2)
        return self.config.with_monitors(
            [
                replace(monitor, scale=conversions[index, :, 0], offset=conversions[index, :, 1])
                for index, monitor in enumerate(self.config.monitors)
            ]
        )

    def _first(self, progress: SlotProgress) -> _Call:
        config = self.config
        return _Call(
            epoch=tf.constant(0),
            state=_TrainingState(*([variable.value() for variable in part] for part in self._state)),
            best=[variable.value() for variable in self._best],
            metrics=tf.zeros((config.epochs_per_call, config.n_slots, len(config.layout.names)), tf.float64),
            layers=tf.zeros((config.epochs_per_call, config.n_slots, *self._layers_shape), tf.float64),
            progress=progress,
            end_codes=tf.zeros((config.n_slots,), tf.int32),
        )

    def _inputs_at(self, epoch: Scalar, inputs: CallInputs, progress: SlotProgress) -> CallInputs:
        """Return the inputs of an epoch of the call, at the learning rates that the epochs before it left."""
        of_epoch = inputs.at(epoch)
        if not isinstance(progress.plateau, PlateauState):
            return of_epoch
        rates = progress.plateau.rate  # (slots,)
        return of_epoch._replace(coefficients=scale_by_rates(of_epoch.coefficients, of_epoch.is_scaled, rates))

    def _train_epoch(self, state: _TrainingState, inputs: CallInputs) -> tuple[_TrainingState, SlotSums]:
        """Train one epoch; return the new state and sums over rows of loss and metric (slots, 2)."""
        config = self.config
        order, is_row = self._rows.batches(inputs.row_orders)  # (slots, steps, batch) each, or (steps, batch) of all

        def body(
            step: Scalar, state: _TrainingState, masks: Sequence[SlotMask], sums: SlotSums
        ) -> tuple[Scalar, _TrainingState, Sequence[SlotMask], SlotSums]:
            next_masks = self._draw_masks(inputs, tf.minimum(step + 1, config.n_steps - 1))
            batch = self._rows.batch(order[:, step], is_row, step)
            learned = self._networks.learn(state.weights, state.moving, batch, masks)
            updated = take_step(state.weights, state.m, state.v, learned.gradients, inputs.coefficients[:, step])
            sums += tf.cast(learned.sums, tf.float64)
            return step + 1, _TrainingState(*updated, learned.moving), next_masks, sums

        # The masks of a step are drawn in the one before: XLA would otherwise draw them again for each of their uses.
        masks = self._draw_masks(inputs, tf.constant(0))
        start = (tf.constant(0), state, masks, tf.zeros((config.n_slots, 2), tf.float64))
        _, state, _, sums = tf.while_loop(lambda step, *_: step < config.n_steps, body, start)
        return state, sums

    @property
    def _layers_shape(self) -> tuple[int, int]:
        return len(self.config.hidden), len(layer_measures.names_for(self.config.activation))

    def _measure_layers(
        self, before: Sequence[SlotWeights], after: Sequence[SlotWeights], n_epochs: Scalar
    ) -> SlotLayers:
        """Return what is measured of hidden layers before an epoch, and how far it moved their kernels."""

        def body(turn: Scalar, _: SlotLayers) -> tuple[Scalar, SlotLayers]:
            measured = self._networks.measure_layers(before, self._rows.to_measure())
            pairs = zip(before[:-2], after[:-2], strict=True)  # kernels of hidden layers
            moved = [layer_measures.length(new - old) for old, new in pairs]
            measured["update_ratio"] = list(map(tf.math.divide_no_nan, moved, measured["weight_norm"]))
            names = layer_measures.names_for(self.config.activation)
            return turn + 1, tf.stack([tf.stack(measured[name], axis=1) for name in names], axis=2)

        start = tf.zeros((self.config.n_slots, *self._layers_shape), tf.float64)
        if not self.config.hidden:
            return start
        # A loop of one turn, which XLA cannot know: it fuses nothing of it with the training, whose bits stay the same.
        return tf.while_loop(lambda turn, _: turn < tf.minimum(n_epochs, 1), body, (tf.constant(0), start))[1]

    def _draw_masks(self, inputs: CallInputs, step: Scalar) -> Sequence[SlotMask]:
        n_units = [self.config.batch_size * units for units in self.config.hidden]
        return dropout.draw_masks(inputs.dropout_keys[:, step], inputs.dropout_thresholds, n_units)

    def _measure(self, sums: SlotSums, state: _TrainingState, progress: SlotProgress) -> SlotMetrics:
        """Return the metrics of an epoch (slots, metrics), in double precision: shares of rows are exact."""
        measured = dict(self._metrics(sums, state, progress))
        return tf.stack([tf.cast(measured[name], tf.float64) for name in self.config.layout.names], axis=1)

    def _metrics(
        self, sums: SlotSums, state: _TrainingState, progress: SlotProgress
    ) -> Iterator[tuple[str, SlotValues]]:
        """Yield the metrics of an epoch by name, each (slots,)."""
        config = self.config
        totals, logits = self._networks.evaluate(state.weights, state.moving, self._rows.validation)
        n_train, n_validation = self._rows.counts  # () or (slots,)
        training, validation = sums / n_train[..., None], totals / n_validation[..., None]  # (slots, 2) each
        for index, name in enumerate(("loss", config.layout.metric)):
            yield name, training[:, index]
            yield f"val_{name}", validation[:, index]
        yield "l2_penalty", self._networks.penalty(state.weights)
        if config.layout.scores:
            targets = self._rows.targets()
            probabilities = scores.probabilities_of(config.task, logits[:, : targets.y.shape[1]])
            yield from scores.scores(config, probabilities, targets).items()
        if isinstance(progress.plateau, PlateauState):
            yield "learning_rate", progress.plateau.rate


def _pack(
    weights: NetworkWeights, dtype: str
) -> tuple[list[NDArray[np.floating]], NDArray[np.floating], list[NDArray[np.floating]]]:
    """Return kernels, all vectors in one, and both moving statistics, as `SlotNetworks` takes them."""
    empty = np.zeros(0)  # without hidden layers there is nothing else to concatenate
    vectors = np.concatenate([*weights.biases, *weights.gammas, *weights.betas]).astype(dtype)
    moving = [np.concatenate([*part, empty]).astype(dtype) for part in (weights.means, weights.variances)]
    return [kernel.astype(dtype) for kernel in weights.kernels], vectors, moving


def _split(vector: NDArray[np.floating], sizes: Sequence[int]) -> tuple[NDArray[np.floating], ...]:
    return tuple(np.split(vector, np.cumsum(sizes)[:-1])) if sizes else ()


def _select(is_new: SlotFlags, new: SlotWeights, old: SlotWeights) -> SlotWeights:
    """Return the new weights of some slots and the old ones of all others."""
    return tf.where(tf.reshape(is_new, (-1, *[1] * (len(new.shape) - 1))), new, old)
