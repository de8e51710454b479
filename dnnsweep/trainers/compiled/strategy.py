"""The fastest strategy to train a network, decided by what it contains.

Measured on two cores (`make bench`, docs/performance.md): an epoch of dense layers as one XLA program is some ten times
as fast as `fit` with all steps of an epoch in one call, which needs nothing but Keras; convolutions that XLA compiles
for a CPU are several times slower than those of TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import keras
import tensorflow as tf

from dnnsweep.space import PLATEAU, Choice, Hyperparameters
from dnnsweep.spec import SweepSpec
from dnnsweep.trainers import keras_models, structures
from dnnsweep.trainers.compiled.builder import inputs_of

PROGRAM: Final = "program"
#: Schedules that a program can follow: its learning rate is set once, or between epochs.
PROGRAM_SCHEDULES: Final = ("constant", PLATEAU)

#: Methods that a model may override to train in its own manner, which a program would not do.
_STEP_METHODS: Final = ("train_step", "test_step", "compute_loss")


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a network is trained.

    Args:
        kind: `PROGRAM`, where each epoch is one program of XLA; otherwise how `fit` runs: `keras_models.GRAPH`, `XLA`
            or `EAGER`.
        reason: Sentence that says why.
    """

    kind: str
    reason: str


def strategy_for(network: keras.Model, device: str, x: Any, *, is_fit: bool = False) -> Strategy:
    """Choose how a network is trained.

    Args:
        network: Network that is built and not compiled.
        device: `cpu` or `gpu`.
        x: A few rows (rows, features), to try the network with.
        is_fit: Whether the sweep file asks for Keras's own `fit`.
    """
    if (error := _untraceable(network, x)) is not None:
        return Strategy(
            keras_models.EAGER,
            f"way: fit, one operation after the other, because the network cannot be traced: {error}",
        )
    if is_fit:
        return Strategy(
            keras_models.GRAPH, "way: fit with all steps of an epoch in one call, as the sweep file asks for fit"
        )
    if overridden := _overridden_steps(network):
        return Strategy(
            keras_models.GRAPH,
            f"way: fit with all steps of an epoch in one call, because the model has its own {overridden[0]}",
        )
    if (obstacle := structures.obstacle(network)) is None:
        return Strategy(PROGRAM, "way: each epoch is one program of XLA, because all layers are dense")
    if device == "gpu" and all(layer.supports_jit for layer in structures.layers(network)):
        return Strategy(
            keras_models.XLA, "way: fit compiled by XLA, all steps of an epoch in one call, because there is a GPU"
        )
    how = "fit with all steps of an epoch in one call and without XLA"
    return Strategy(keras_models.GRAPH, f"way: {how}, because of {obstacle}")


def is_for_program(hp: Hyperparameters) -> bool:
    """Return whether a program can train at a point: not if the optimizer follows a schedule or clips gradients."""
    return hp.schedule in PROGRAM_SCHEDULES and not hp.global_clipnorm


def strategies_for_sweep(main: Strategy, sweep: SweepSpec) -> tuple[Strategy, ...]:
    """Return how the trials of a sweep are trained, the main strategy first.

    Args:
        main: Strategy for the networks of the sweep.
        sweep: Sweep file, whose trials may ask for what programs do not have.
    """
    schedules, norms = _values(sweep, "schedule"), _values(sweep, "global_clipnorm")
    missing = [f"schedule {value}" for value in schedules if value not in PROGRAM_SCHEDULES]
    missing += ["global_clipnorm"] if any(norms) else []
    if main.kind != PROGRAM or not missing:
        return (main,)
    fit, lacks = "way: fit with all steps of an epoch in one call", ", ".join(missing)
    if not set(PROGRAM_SCHEDULES) & set(schedules) or all(norms):
        return (Strategy(keras_models.GRAPH, f"{fit}, because programs do not have {lacks}"),)
    return main, Strategy(keras_models.GRAPH, f"{fit} for trials with what programs do not have: {lacks}")


def _values(sweep: SweepSpec, name: str) -> tuple[Any, ...]:
    """Return the values that a hyperparameter may have; of a range, both ends."""
    domains = sweep.domains(name)
    ends = (domain.values if isinstance(domain, Choice) else (domain.low, domain.high) for domain in domains)
    return tuple(dict.fromkeys(value for values in ends for value in values))


def _overridden_steps(network: keras.Model) -> list[str]:
    return [name for name in _STEP_METHODS if getattr(type(network), name) is not getattr(keras.Model, name)]


def _untraceable(network: keras.Model, x: Any) -> str | None:
    """Return why a network cannot be made a graph; None if it can."""
    try:
        tf.function(lambda rows: network(rows, training=True)).get_concrete_function(inputs_of(network, x))
    except Exception as error:  # noqa: BLE001  whatever a layer raises is the reason
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return None
