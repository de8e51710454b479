"""The hyperparameters that dnnsweep applies itself: every knob once, and its possible values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from dnnsweep.space.initializers import INITIALIZERS
from dnnsweep.space.messages import did_you_mean, unquote_remedy, yaml_text
from dnnsweep.space.optimizers import OPTIMIZERS

ACTIVATIONS: Final = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid")
#: The schedule that reacts to measurements; its parameters are a section of the sweep file.
PLATEAU: Final = "reduce_on_plateau"
SCHEDULES: Final = ("constant", "cosine", "exponential", PLATEAU)
#: Share of the learning rate that an exponential schedule leaves after the last step.
LAST_SHARE: Final = 0.01
MAX_LAYERS: Final = 100
MAX_UNITS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """A point of the search space: everything about a network and its training that can be searched or fixed.

    Args:
        initializer: Initializer of every kernel, one of `INITIALIZERS`.
        dropout: Share of each hidden activation that is dropped during training, in [0, 1).
        l2: Factor of the sum of squared kernel weights in the loss, >= 0.
        batch_norm: Whether batch normalisation stands between each hidden linear layer and its activation.
        optimizer: One of `OPTIMIZERS`.
        learning_rate: Learning rate of the first step, > 0.
        schedule: How the learning rate changes over all epochs, one of `SCHEDULES`.
        global_clipnorm: Largest joint norm of all gradients in a step, >= 0; 0 turns clipping off.
        batch_size: Rows per step, >= 1.
        hidden: Units of each hidden layer, from the input on; empty for a linear model.
        activation: Activation of every hidden layer, one of `ACTIVATIONS`.
    """

    initializer: str = "glorot_uniform"
    dropout: float = 0.0
    l2: float = 0.0
    batch_norm: bool = False
    optimizer: str = "adam"
    learning_rate: float = 0.001
    schedule: str = "constant"
    global_clipnorm: float = 0.0
    batch_size: int = 32
    hidden: tuple[int, ...] = (64, 32)
    activation: str = "relu"

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Hyperparameters:
        """Build from a mapping by name; knobs that it lacks keep their defaults."""
        values = {name: params[name] for name in KNOBS if name in params}
        if "hidden" in values:
            values["hidden"] = tuple(values["hidden"])
        return cls(**values)

    def to_params(self) -> dict[str, Any]:
        """Return every knob by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Knob:
    """The rule for the values of a hyperparameter.

    Args:
        name: Name of the hyperparameter.
        kind: `real`, `integer`, `boolean`, `choice` or `widths`; `codes` for what a trial may have several of.
        choices: The allowed values of a choice.
        low: Smallest allowed number.
        high: Largest allowed number.
        is_low_excluded: Whether `low` itself is refused.
        is_high_excluded: Whether `high` itself is refused.
    """

    name: str
    kind: str
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    is_low_excluded: bool = False
    is_high_excluded: bool = False

    @property
    def rule(self) -> str:
        """Return the rule in words."""
        if self.kind == "boolean":
            return "must be true or false"
        if self.kind == "choice":
            return f"must be one of {', '.join(self.choices)}"
        if self.kind == "widths":
            return f"must be a list of at most {MAX_LAYERS} whole numbers from 1 to {MAX_UNITS}"
        noun = "a whole number" if self.kind == "integer" else "a number"
        return f"must be {noun}{self._bounds()}"

    def _bounds(self) -> str:
        low = "" if self.low == -math.inf else f" {'above' if self.is_low_excluded else 'from'} {self.low:.15g}"
        high = "" if self.high == math.inf else f" {'to below' if self.is_high_excluded else 'to'} {self.high:.15g}"
        return low + high

    def parse(self, raw: Any) -> Any:
        """Return a value as `Hyperparameters` holds it.

        Raises:
            ValueError: The value breaks the rule; the text of the error is the remedy, possibly empty.
        """
        return _PARSERS[self.kind](self, raw)


def _parse_choice(knob: Knob, raw: Any) -> str:
    if isinstance(raw, str) and raw in knob.choices:
        return str(raw)
    raise ValueError(did_you_mean(raw, knob.choices))


def _parse_boolean(_: Knob, raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    raise ValueError("write true or false without quotes" if isinstance(raw, str) else "")


def _parse_number(knob: Knob, raw: Any) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueError(unquote_remedy(raw))
    value = _finite(raw)
    too_low = value < knob.low or (knob.is_low_excluded and value == knob.low)
    too_high = value > knob.high or (knob.is_high_excluded and value == knob.high)
    if too_low or too_high:
        raise ValueError("")
    return value


def _finite(raw: float) -> float:
    try:
        value = float(raw)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError("write a finite number")
    return value + 0.0  # turns -0.0 into 0.0: they are equal, but would identify different sweeps


def _parse_integer(knob: Knob, raw: Any) -> int:
    value = _parse_number(knob, raw)
    if isinstance(raw, float) and not value.is_integer():
        raise ValueError("")
    return int(raw)


def _parse_widths(_: Knob, raw: Any) -> tuple[int, ...]:
    if not isinstance(raw, list | tuple) or len(raw) > MAX_LAYERS:
        raise ValueError("write a list, for example [64, 32]")
    return tuple(_parse_width(index, width) for index, width in enumerate(raw))


def _parse_width(index: int, raw: Any) -> int:
    try:
        return _parse_integer(_UNITS, raw)
    except ValueError as error:
        raise ValueError(f"entry {index} is {yaml_text(raw)}") from error


_UNITS: Final = Knob("units", "integer", low=1, high=MAX_UNITS)
_PARSERS: Final[Mapping[str, Callable[[Knob, Any], Any]]] = {
    "choice": _parse_choice,
    "boolean": _parse_boolean,
    "real": _parse_number,
    "integer": _parse_integer,
    "widths": _parse_widths,
}

KNOBS: Final[Mapping[str, Knob]] = {
    knob.name: knob
    for knob in (
        Knob("initializer", "choice", choices=tuple(INITIALIZERS)),
        Knob("dropout", "real", low=0.0, high=1.0, is_high_excluded=True),
        Knob("l2", "real", low=0.0),
        Knob("batch_norm", "boolean"),
        Knob("optimizer", "choice", choices=tuple(OPTIMIZERS)),
        Knob("learning_rate", "real", low=0.0, is_low_excluded=True),
        Knob("schedule", "choice", choices=SCHEDULES),
        Knob("global_clipnorm", "real", low=0.0),
        Knob("batch_size", "integer", low=1, high=1_000_000),
        Knob("hidden", "widths"),
        Knob("activation", "choice", choices=ACTIVATIONS),
    )
}
