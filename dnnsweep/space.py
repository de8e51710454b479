"""The hyperparameters, every knob once, and the domains that a sweep searches."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from dnnsweep.errors import Mistake

INITIALIZERS: Final = (
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
)
OPTIMIZERS: Final = ("sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw", "nadam")
ACTIVATIONS: Final = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid")
ALIASES: Final = {
    "xavier": "glorot_uniform",
    "xavier_uniform": "glorot_uniform",
    "xavier_normal": "glorot_normal",
    "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
    "swish": "silu",
}
MAX_LAYERS: Final = 100
MAX_UNITS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """One point: everything about a network and its training that can be swept or fixed.

    Args:
        initializer: Of every kernel; one of `INITIALIZERS`.
        dropout: Share of a hidden activation that is dropped while training, in [0, 1).
        l2: Factor of the squared kernels that is added to the loss, >= 0.
        batch_norm: Whether batch normalisation stands between each hidden linear layer and its activation.
        optimizer: One of `OPTIMIZERS`.
        learning_rate: > 0, constant.
        batch_size: Rows a step, >= 1.
        hidden: Units of each hidden layer, from the input on; empty for a linear model.
        activation: Of every hidden layer; one of `ACTIVATIONS`.
    """

    initializer: str = "glorot_uniform"
    dropout: float = 0.0
    l2: float = 0.0
    batch_norm: bool = False
    optimizer: str = "adam"
    learning_rate: float = 0.001
    batch_size: int = 32
    hidden: tuple[int, ...] = (64, 32)
    activation: str = "relu"

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Hyperparameters:
        """Build from a mapping; knobs that it lacks keep their defaults."""
        known = {name: params[name] for name in KNOBS if name in params}
        if "hidden" in known:
            known["hidden"] = tuple(known["hidden"])
        return cls(**known)

    def to_params(self) -> dict[str, Any]:
        """Return every knob by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Knob:
    """What a hyperparameter may be.

    Args:
        name: As in `Hyperparameters`.
        kind: `real`, `integer`, `boolean`, `choice` or `widths`.
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
        """Return in words what a value must be."""
        if self.kind == "boolean":
            return "must be true or false"
        if self.kind == "choice":
            return f"must be one of {', '.join(self.choices)}"
        if self.kind == "widths":
            return f"must be a list of at most {MAX_LAYERS} whole numbers from 1 to {MAX_UNITS}"
        noun = "a whole number" if self.kind == "integer" else "a number"
        return f"must be {noun}{self._bounds()}"

    def _bounds(self) -> str:
        low = "" if self.low == -math.inf else f" {'above' if self.is_low_excluded else 'from'} {self.low:g}"
        high = "" if self.high == math.inf else f" {'to below' if self.is_high_excluded else 'to'} {self.high:g}"
        return low + high

    def parse(self, raw: Any) -> Any:
        """Return a value as the knob holds it.

        Raises:
            ValueError: The value breaks the knob's rule; its text is the remedy, possibly empty.
        """
        return _PARSERS[self.kind](self, raw)


def _parse_choice(knob: Knob, raw: Any) -> str:
    if isinstance(raw, str) and raw in knob.choices:
        return raw
    raise ValueError(suggest(raw, knob.choices))


def _parse_boolean(_: Knob, raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    raise ValueError("write true or false without quotes" if isinstance(raw, str) else "")


def _parse_number(knob: Knob, raw: Any) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueError("write the number without quotes" if isinstance(raw, str) else "")
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
        raise ValueError("") from None
    if not math.isfinite(value):
        raise ValueError("write a finite number")
    return value


def _parse_integer(knob: Knob, raw: Any) -> int:
    value = _parse_number(knob, raw)
    if isinstance(raw, float) and not value.is_integer():
        raise ValueError("")
    return int(raw)


def _parse_widths(knob: Knob, raw: Any) -> tuple[int, ...]:
    if not isinstance(raw, list | tuple) or len(raw) > MAX_LAYERS:
        raise ValueError("write a list, for example [64, 32]")
    unit = Knob(knob.name, "integer", low=1, high=MAX_UNITS)
    return tuple(_parse_integer(unit, width) for width in raw)


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
        Knob("initializer", "choice", choices=INITIALIZERS),
        Knob("dropout", "real", low=0.0, high=1.0, is_high_excluded=True),
        Knob("l2", "real", low=0.0),
        Knob("batch_norm", "boolean"),
        Knob("optimizer", "choice", choices=OPTIMIZERS),
        Knob("learning_rate", "real", low=0.0, is_low_excluded=True),
        Knob("batch_size", "integer", low=1, high=1_000_000),
        Knob("hidden", "widths"),
        Knob("activation", "choice", choices=ACTIVATIONS),
    )
}
assert tuple(KNOBS) == tuple(field.name for field in fields(Hyperparameters))


@dataclass(frozen=True, slots=True)
class Choice:
    """A domain of listed values, in the order of the sweep file."""

    values: tuple[Any, ...]

    def contains(self, value: Any) -> bool:
        """Return whether a parsed value is in the domain."""
        return value in self.values

    def to_json(self) -> Any:
        """Return the domain as a sweep file writes it."""
        return [list(value) if isinstance(value, tuple) else value for value in self.values]


@dataclass(frozen=True, slots=True)
class Range:
    """A domain of numbers.

    Args:
        low: Included.
        high: Included.
        log: Whether the logarithm is uniform.
        step: Distance of the grid that starts at `low`; None for every number (for whole numbers, 1).
        is_integer: Whether the values are whole numbers.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    is_integer: bool = False

    def contains(self, value: Any) -> bool:
        """Return whether a parsed value is in the domain."""
        if not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-8)

    def to_json(self) -> Any:
        """Return the domain as a sweep file writes it."""
        plain: dict[str, Any] = {"low": self.low, "high": self.high}
        if self.log:
            plain["log"] = True
        if self.step is not None:
            plain["step"] = self.step
        return plain


Domain = Choice | Range
SearchSpace = Mapping[str, Domain]

_RANGE_KEYS: Final = ("low", "high", "log", "step")


def suggest(raw: Any, known: Sequence[str]) -> str:
    """Return a remedy that names the closest known word, or nothing.

    Example:
        >>> suggest("xavier_uniform", INITIALIZERS)
        'did you mean glorot_uniform?'
    """
    if not isinstance(raw, str):
        return ""
    alias = ALIASES.get(raw.lower())
    close = [alias] if alias in known else difflib.get_close_matches(raw, known, n=1)
    return f"did you mean {close[0]}?" if close else ""


def show(raw: Any) -> str:
    """Return a value as an error shows it: short, and as YAML would write it.

    Example:
        >>> show(True), show("adam"), show(None)
        ('true', "'adam'", 'null')
    """
    if raw is None or isinstance(raw, bool):
        return {None: "null", True: "true", False: "false"}[raw]
    text = repr(raw)
    return text if len(text) <= 80 else f"{text[:77]}..."


def parse_values(path: str, raw: Any) -> tuple[dict[str, Any], list[Mistake]]:
    """Check a mapping of knobs to single values (`fixed`, or an entry of `enqueue`).

    Args:
        path: Its YAML path.
        raw: As read from YAML.

    Returns:
        The values that are right, and every mistake.
    """
    return _parse_each(path, raw, parse_value)


def parse_space(path: str, raw: Any) -> tuple[dict[str, Domain], list[Mistake]]:
    """Check a mapping of knobs to domains (`space`).

    Args:
        path: Its YAML path.
        raw: As read from YAML.

    Returns:
        The domains that are right, and every mistake.
    """
    return _parse_each(path, raw, parse_domain)


def _parse_each(
    path: str, raw: Any, parse: Callable[[str, Knob, Any], tuple[Any, list[Mistake]]]
) -> tuple[dict[str, Any], list[Mistake]]:
    if not isinstance(raw, Mapping):
        return {}, [Mistake(path, "must be a mapping of hyperparameters", show(raw), "write `name: value` lines")]
    good: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for name, value in raw.items():
        knob = KNOBS.get(name) if isinstance(name, str) else None
        if knob is None:
            mistakes.append(unknown(path, name, tuple(KNOBS)))
            continue
        parsed, wrong = parse(f"{path}.{name}", knob, value)
        mistakes += wrong
        if not wrong:
            good[name] = parsed
    return good, mistakes


def unknown(path: str, name: Any, known: Sequence[str]) -> Mistake:
    """Return the mistake of a key that does not exist."""
    where = f"{path}.{name}" if path else str(name)
    return Mistake(where, "unknown key", "", suggest(name, known) or f"known are {', '.join(known)}")


def parse_value(path: str, knob: Knob, raw: Any) -> tuple[Any, list[Mistake]]:
    """Check one value of a knob."""
    try:
        return knob.parse(raw), []
    except ValueError as error:
        return None, [Mistake(path, knob.rule, show(raw), str(error))]


def parse_domain(path: str, knob: Knob, raw: Any) -> tuple[Domain | None, list[Mistake]]:
    """Check the domain of a knob: a list, `{values: [...]}` or `{low, high, log, step}`."""
    if isinstance(raw, Mapping) and "values" in raw:
        extra = [unknown(path, key, ("values",)) for key in raw if key != "values"]
        domain, mistakes = _parse_choice_domain(f"{path}.values", knob, raw["values"])
        return domain, extra + mistakes
    if isinstance(raw, Mapping):
        return _parse_range(path, knob, raw)
    return _parse_choice_domain(path, knob, raw)


def _parse_choice_domain(path: str, knob: Knob, raw: Any) -> tuple[Choice | None, list[Mistake]]:
    if not isinstance(raw, list) or not raw:
        numbers = " or {low: ..., high: ...}" if knob.kind in ("real", "integer") else ""
        remedy = f"a single value belongs under `fixed: {{{knob.name}: {show(raw)}}}`" if raw not in ([], None) else ""
        return None, [Mistake(path, f"must be a list of values{numbers}", show(raw), remedy)]
    if knob.kind == "widths" and not any(isinstance(item, list) for item in raw):
        return None, [Mistake(path, "must be a list of lists of units", show(raw), f"write [{show(raw)}]")]
    parsed = [parse_value(f"{path}.{index}", knob, item) for index, item in enumerate(raw)]
    mistakes = [mistake for _, wrong in parsed for mistake in wrong]
    values = tuple(value for value, _ in parsed)
    if not mistakes and len(set(values)) < len(values):
        mistakes = [Mistake(path, "values must differ from each other", show(raw), "remove the repeated ones")]
    return (None if mistakes else Choice(values)), mistakes


def _parse_range(path: str, knob: Knob, raw: Mapping[str, Any]) -> tuple[Range | None, list[Mistake]]:
    if knob.kind not in ("real", "integer"):
        return None, [Mistake(path, "must be a list of values", show(dict(raw)), knob.rule)]
    mistakes = [unknown(path, key, _RANGE_KEYS) for key in raw if key not in _RANGE_KEYS]
    mistakes += [Mistake(f"{path}.{key}", "is missing", "", knob.rule) for key in ("low", "high") if key not in raw]
    bounds: dict[str, Any] = {}
    for key in ("low", "high"):
        if key in raw:
            bounds[key], wrong = parse_value(f"{path}.{key}", knob, raw[key])
            mistakes += wrong
    mistakes += _check_scale(path, knob, raw)
    if mistakes:
        return None, mistakes
    step = None if raw.get("step") is None else _finite(raw["step"])
    domain = Range(bounds["low"], bounds["high"], bool(raw.get("log", False)), step, knob.kind == "integer")
    mistakes = _check_range(path, domain)
    return (None if mistakes else domain), mistakes


def _check_scale(path: str, knob: Knob, raw: Mapping[str, Any]) -> list[Mistake]:
    mistakes = []
    log, step = raw.get("log", False), raw.get("step")
    if not isinstance(log, bool):
        mistakes.append(Mistake(f"{path}.log", "must be true or false", show(log)))
    positive = Knob("step", knob.kind, low=0.0, is_low_excluded=True)
    if step is not None:
        mistakes += parse_value(f"{path}.step", positive, step)[1]
    if log is True and step is not None:
        mistakes.append(Mistake(path, "log and step cannot be combined", f"step={show(step)}", "remove one of them"))
    return mistakes


def _check_range(path: str, domain: Range) -> list[Mistake]:
    if domain.low > domain.high:
        got = f"low={domain.low:g} and high={domain.high:g}"
        return [Mistake(path, "low must not exceed high", got, "exchange them")]
    if domain.log and domain.low <= 0:
        got = f"low={domain.low:g}"
        return [Mistake(f"{path}.low", "must be above 0 for a logarithmic domain", got, "raise low or remove log")]
    return []
