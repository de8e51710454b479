"""Measures the hidden layers of any Keras network before and after each epoch, beside its training."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, pairwise
from typing import Any, Final, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dnnsweep.records import LayerMetrics, Task
from dnnsweep.trainers import keras_models, layer_measures
from dnnsweep.trainers.engine import Engine
from dnnsweep.trainers.structures import is_plain, structure_of, symbolic_inputs

#: Probes that are kept, the latest ones.
MAX_PROBES: Final = 16
#: The longest name of a layer that curves have room for.
MAX_NAME: Final = 80
#: Layers that are activations and nothing else -> the name of the activation.
_ACTIVATIONS: Final = {keras.layers.ReLU: "relu", keras.layers.ELU: "elu", keras.layers.LeakyReLU: "leaky_relu"}

Measured = tuple[str, Sequence[str], Sequence[float]]  # a metric, layers, and its value in each


class _Hidden(NamedTuple):
    """A layer with a kernel, before the last one.

    Args:
        layer: The layer.
        answer: What it answers after its activation.
        activation: Name of the activation; None if it is none that is known.
    """

    layer: keras.Layer
    answer: Any
    activation: str | None


class LayerProbe:
    """Measures networks of one structure on a copy, whose weights are those of the network that trains.

    Args:
        network: Sequential or Functional network of the structure; it is not changed.
        task: Task of the data, which decides the loss.
        is_compiled: Whether XLA compiles it, which it does not repay beside training without XLA.
    """

    def __init__(self, network: keras.Model, task: Task, *, is_compiled: bool) -> None:
        with _same_randomness():
            self._copy = keras.models.clone_model(network, clone_function=_without_dropout)
        self._hidden = list(_hidden_layers(self._copy))
        answers = [hidden.answer for hidden in self._hidden]
        self._network = keras.Model(symbolic_inputs(self._copy), [*answers, self._copy.outputs[0]], name="probe")
        self._loss = keras_models.LOSSES[task](reduction="none")
        self._places = {id(variable): place for place, variable in enumerate(self._copy.weights)}
        self._kernels = [self._places[id(hidden.layer.kernel)] for hidden in self._hidden]
        self._run = tf.function(self._measure, autograph=False, jit_compile=is_compiled)

    @property
    def n_layers(self) -> int:
        """Return the number of hidden layers."""
        return len(self._hidden)

    def measure(self, weights: Sequence[keras.Variable], rows: tuple[Any, ...], names: Sequence[str]) -> list[Measured]:
        """Return what is measured of a network: each metric, the layers that have it, and its values.

        Args:
            weights: Weights of a network of the structure.
            rows: Features, targets and perhaps weights of the rows to measure on.
            names: Names of the hidden layers.
        """
        values = iter(self._run([variable.value for variable in weights], rows).numpy().tolist())
        kinds = ("gradient_norm", "weight_norm", "activation_variance")
        measured: list[Measured] = [(kind, names, list(islice(values, len(names)))) for kind in kinds]
        of_idle: dict[str, tuple[list[str], list[float]]] = {}
        for hidden, name in zip(self._hidden, names, strict=True):
            if hidden.activation is not None:
                layers, shares = of_idle.setdefault(layer_measures.IDLE[hidden.activation][0], ([], []))
                layers.append(name)
                shares.append(next(values))
        return [*measured, *((kind, *pair) for kind, pair in of_idle.items())]

    def kernels(self, weights: Sequence[keras.Variable]) -> list[NDArray[np.float64]]:
        """Return a copy of the kernels of the hidden layers, from the weights of a network."""
        return [weights[place].numpy().astype(np.float64) for place in self._kernels]

    def _measure(self, variables: list[tf.Variable], rows: tuple[Any, ...]) -> tf.Tensor:
        x, y, *row_weights = rows
        weights = [variable.value() for variable in variables]
        kernels = [weights[place] for place in self._kernels]
        network = self._network
        trainable, others = network.trainable_variables, network.non_trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(kernels)
            given = ([self._among(weights, variable) for variable in part] for part in (trainable, others))
            (*answers, predictions), _ = network.stateless_call(*given, x, training=True)
            losses = self._loss(y, predictions)  # (rows,)
            total = tf.reduce_mean(losses * row_weights[0] if row_weights else losses)
        gradients = tape.gradient(total, kernels, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        flat = [tf.reshape(answer, (1, -1, answer.shape[-1])) for answer in answers]  # (1, rows, units) each
        idle = [
            layer_measures.idle_share(answer, hidden.activation)[0]
            for answer, hidden in zip(flat, self._hidden, strict=True)
            if hidden.activation is not None
        ]
        lengths = [layer_measures.length(part[None])[0] for part in (*gradients, *kernels)]
        return tf.stack([*lengths, *(layer_measures.spread(answer)[0] for answer in flat), *idle])

    def _among(self, weights: list[tf.Tensor], variable: keras.Variable) -> tf.Tensor:
        """Return the given value of a variable of the copy; its own for the state of a random generator."""
        place = self._places.get(id(variable))
        return variable.value.value() if place is None else weights[place]


class LayerProbes:
    """The probes of a trainer, one for each structure.

    Args:
        task: Task of the data.
        most_rows: The most training rows of a split of the sweep.
    """

    def __init__(self, task: Task, most_rows: int) -> None:
        self._task = task
        self._most_rows = most_rows
        self._probes: dict[tuple[str, bool], LayerProbe | None] = {}

    def watch(self, engine: Engine, n_rows: int, n_steps: int) -> Callable[[], LayerMetrics]:
        """Measure a network before its first epoch; return a function to call after each epoch.

        What cannot be measured is trained all the same: a model with code of its own, or one that TensorFlow cannot
        trace.

        Args:
            engine: Engine that is about to train the network.
            n_rows: Number of training rows.
            n_steps: Steps of an epoch.

        Returns:
            Function that returns what was measured of the epoch that has just ended; nothing where that is impossible.
        """
        if not isinstance(engine.network, keras.Model) or not is_plain(engine.network):
            return dict
        key = structure_of(engine.network), engine.is_compiled
        if key in self._probes and self._probes[key] is None:
            return dict
        try:
            probe = self._probes.get(key) or LayerProbe(engine.network, self._task, is_compiled=engine.is_compiled)
            if probe.n_layers:
                rows = engine.training_rows(layer_measures.rows_to_measure(n_rows, self._most_rows))
                self._keep(key, probe)
                return _Watch(probe, engine, rows, n_steps).after_epoch
        except Exception:  # noqa: BLE001  whatever a layer raises; its training shows what it is worth
            probe = None
        self._keep(key, None)
        return dict

    def _keep(self, key: tuple[str, bool], probe: LayerProbe | None) -> None:
        self._probes = dict(list(self._probes.items())[-MAX_PROBES + 1 :])
        self._probes[key] = probe


class _Watch:
    """Measures one network while it trains.

    Args:
        probe: Probe of its structure.
        engine: Engine that trains it.
        rows: Rows to measure on.
        n_steps: Steps of an epoch.
    """

    def __init__(self, probe: LayerProbe, engine: Engine, rows: tuple[Any, ...], n_steps: int) -> None:
        self._probe = probe
        self._weights = list(engine.trained.weights)  # Keras collects them anew each time
        self._rows = rows
        self._n_steps = n_steps
        self._names = layer_names(engine.network)
        self._kernels = probe.kernels(self._weights)
        self._measured = probe.measure(self._weights, rows, self._names)

    def after_epoch(self) -> LayerMetrics:
        """Return what was measured before the epoch that has just ended, and how far it moved the weights."""
        before, measured = self._kernels, self._measured
        self._kernels = self._probe.kernels(self._weights)
        pairs = zip(before, self._kernels, strict=True)
        updates = [_share(float(np.linalg.norm(new - old)), float(np.linalg.norm(old))) for old, new in pairs]
        self._measured = self._probe.measure(self._weights, self._rows, self._names)
        return layer_measures.by_layer([*measured, ("update_ratio", self._names, updates)], self._n_steps)


def layer_names(network: keras.Model) -> list[str]:
    """Return the names of the hidden layers.

    A name that Keras has made up counts all layers of the process, so the layer is counted in its network instead:
    `dense_1`, `dense_2`.
    """
    names: list[str] = []
    for hidden in _hidden_layers(network):
        kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(hidden.layer).__name__).lower()
        name = re.sub(r"[^\w.-]", "_", hidden.layer.name, flags=re.ASCII)[:MAX_NAME]
        if re.fullmatch(rf"{kind}(_\d+)?", name) or name in names:
            name = f"{kind}_{1 + sum(bool(re.fullmatch(rf'{kind}_[0-9]+', other)) for other in names)}"
        names.append(name)
    return names


def _hidden_layers(network: keras.Model) -> Iterator[_Hidden]:
    """Yield the layers with a kernel but the last one, each with what it answers after its activation."""
    layers = list(network.layers)
    with_kernel = [index for index, layer in enumerate(layers) if _has_kernel(layer)]
    for start, end in pairwise(with_kernel):
        own = [(layer, _activation_of(layer)) for layer in layers[start:end]]
        layer, activation = next((pair for pair in own if pair[1] != "linear"), own[0])
        yield _Hidden(layers[start], layer.output, activation if activation in layer_measures.IDLE else None)


def _has_kernel(layer: keras.Layer) -> bool:
    return isinstance(getattr(layer, "kernel", None), keras.Variable) and layer.trainable


def _activation_of(layer: keras.Layer) -> str:
    """Return the name of a layer's activation; `linear` for a layer without one."""
    if type(layer) in _ACTIVATIONS:
        return _ACTIVATIONS[type(layer)]
    return str(getattr(getattr(layer, "activation", None), "__name__", "linear"))


def _without_dropout(layer: keras.Layer) -> keras.Layer:
    """Return a copy of a layer with weights of its own, and a layer that does nothing in place of dropout."""
    if isinstance(layer, keras.layers.Dropout):
        return keras.layers.Identity(name=layer.name)
    return layer.__class__.from_config(layer.get_config())


@contextmanager
def _same_randomness() -> Iterator[None]:
    """Leave Python's generator as it was: Keras draws the seeds of copied layers from it."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
