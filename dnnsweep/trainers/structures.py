"""The structure of a network: what a compiled program depends on, apart from all that can be loaded into it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import keras

_LAYERS: Final = keras.layers
#: Layers that were measured to be fast and right in a program. Subclasses are not: they may compute something else.
DENSE: Final = frozenset(
    {
        _LAYERS.InputLayer,
        _LAYERS.Dense,
        _LAYERS.Activation,
        _LAYERS.ReLU,
        _LAYERS.LeakyReLU,
        _LAYERS.ELU,
        _LAYERS.PReLU,
        _LAYERS.Softmax,
        _LAYERS.BatchNormalization,
        _LAYERS.LayerNormalization,
        _LAYERS.UnitNormalization,
        _LAYERS.Dropout,
        _LAYERS.Flatten,
        _LAYERS.Reshape,
        _LAYERS.Permute,
        _LAYERS.Concatenate,
        _LAYERS.Add,
        _LAYERS.Subtract,
        _LAYERS.Multiply,
        _LAYERS.Average,
        _LAYERS.Maximum,
        _LAYERS.Minimum,
        _LAYERS.Dot,
        _LAYERS.Rescaling,
    }
)
#: Regularizers whose strengths can be loaded.
NORMS: Final = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)


def layers(network: keras.Model) -> Iterator[keras.Layer]:
    """Yield the layers of a network and of the networks in it."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from layers(layer)
        else:
            yield layer


def symbolic_inputs(network: keras.Model) -> Any:
    """Return the symbolic inputs as the network was made of them; None where it does not know them."""
    try:
        return network.input
    except (AttributeError, ValueError):  # a Sequential that was never called has `inputs` only
        inputs = getattr(network, "inputs", None)
        return inputs[0] if inputs and len(inputs) == 1 else inputs


def obstacle(network: keras.Model) -> str | None:
    """Return in a few words what keeps a network from being trained by a program; None if nothing does."""
    if not is_plain(network):
        return f"the class {type(network).__name__}, which may have code of its own"
    inner_layers = list(layers(network))
    if others := sorted({type(layer).__name__ for layer in inner_layers if type(layer) not in DENSE}):
        return f"{', '.join(others)}, for which XLA is slow on a CPU or not measured"
    for layer in inner_layers:
        if (obstacle_in_layer := _layer_obstacle(layer)) is not None:
            return f"{obstacle_in_layer} in the layer {layer.name}"
    return None


def is_plain(network: keras.Model) -> bool:
    """Return whether a network is made of its layers alone, without code of its own."""
    tensor = keras.Input((1,))
    kinds = (keras.Sequential, type(keras.Model(tensor, tensor)))  # Functional has no public name
    inner = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    return type(network) in kinds and all(map(is_plain, inner))


def _layer_obstacle(layer: keras.Layer) -> str | None:
    config = layer.get_config()
    if not isinstance(config.get("activation", ""), str):
        return "an activation function that is not of Keras"
    if layer.activity_regularizer is not None:
        return "an activity regularizer"
    if any(type(weight.regularizer) not in (*NORMS, type(None)) for weight in layer.weights):
        return "a regularizer that is no L1 or L2"
    if getattr(layer, "noise_shape", None) is not None:
        return "the shape of its noise"
    kind = keras.config.floatx()
    return None if layer.compute_dtype == layer.variable_dtype == kind else f"numbers that are no {kind}"


def strengths(regularizer: Any) -> tuple[float, float]:
    """Return the factors of a weight's absolute values and of its squares.

    Example:
        >>> strengths(keras.regularizers.L2(0.5))
        (0.0, 0.5)
    """
    return float(getattr(regularizer, "l1", 0.0)), float(getattr(regularizer, "l2", 0.0))


def structure_of(network: keras.Model) -> str:
    """Return a text that is equal for networks that one program can train.

    Initializers, seeds, names, rates of dropout above 0 and strengths of regularizers do not matter.
    """
    names = {name: f"#{index}" for index, name in enumerate(_names(network))}
    return json.dumps(_essence(network.get_config(), names), sort_keys=True, default=str)


def _names(network: keras.Model) -> Iterator[str]:
    """Yield the names of a network, of its layers and of its inputs."""
    yield network.name
    for layer in network.layers:
        yield from _names(layer) if isinstance(layer, keras.Model) else (layer.name,)
    yield from (tensor.name for tensor in network.inputs)


def _essence(config: Any, names: Mapping[str, str]) -> Any:
    """Return what a program depends on of a network's configuration.

    Args:
        config: The configuration, or a part of it.
        names: Names of the network, its layers and its inputs -> what stands for each, since names do not matter.
    """
    if isinstance(config, list | tuple):
        return [_essence(part, names) for part in config]
    if not isinstance(config, Mapping):
        return names.get(config, config) if isinstance(config, str) else config
    kept = {}
    for key, value in config.items():
        if key.endswith("_regularizer"):
            kept[key] = value is not None
        elif key == "rate":
            kept[key] = value > 0
        elif key == "activation":
            kept[key] = value  # a layer may be called like a function
        elif key != "seed" and not key.endswith("_initializer"):
            kept[key] = _essence(value, names)
    return kept
