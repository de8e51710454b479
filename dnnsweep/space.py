"""The hyperparameters, every knob once, and the domains that a sweep searches."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
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
MAX_STEPS: Final = 1_000_000


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
        low = "" if self.low == -math.inf else f" {'above' if self.is_low_excluded else 'from'} {self.low:.15g}"
        high = "" if self.high == math.inf else f" {'to below' if self.is_high_excluded else 'to'} {self.high:.15g}"
        return low + high

    def parse(self, raw: Any) -> Any:
        """Return a value as the knob holds it.

        Raises:
            ValueError: The value breaks the knob's rule; its text is the remedy, possibly empty.
        """
        return _PARSERS[self.kind](self, raw)


def _parse_choice(knob: Knob, raw: Any) -> str:
    if isinstance(raw, str) and raw in knob.choices:
        return str(raw)
    raise ValueError(suggest(raw, knob.choices))


def _parse_boolean(_: Knob, raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    raise ValueError("write true or false without quotes" if isinstance(raw, str) else "")


def _parse_number(knob: Knob, raw: Any) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueError(unquoted(raw))
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
    return value + 0.0  # no -0.0: it equals 0.0 and would make another sweep


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
        raise ValueError(f"entry {index} is {show(raw)}") from error


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
        """Return whether a parsed value is in the domain; true is not 1."""
        return any(value == known and isinstance(value, bool) == isinstance(known, bool) for known in self.values)

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
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.is_integer and value != int(value):
            return False
        return self.step is None or _is_on_grid(value, self.low, self.step)

    def to_json(self) -> Any:
        """Return the domain as a sweep file writes it."""
        plain: dict[str, Any] = {"low": self.low, "high": self.high}
        if self.log:
            plain["log"] = True
        if self.step is not None:
            plain["step"] = self.step
        return plain


def _is_on_grid(value: float, low: float, step: float) -> bool:
    """Optuna's rule: the number of steps from low is whole, up to 1e-8."""
    n_steps = (value - low) / step
    return abs(n_steps - round(n_steps)) < 1e-8


Domain = Choice | Range
SearchSpace = Mapping[str, Domain]

_RANGE_KEYS: Final = ("low", "high", "log", "step")


def closest(raw: Any, known: Sequence[str]) -> str | None:
    """Return the known word that was probably meant.

    Example:
        >>> closest("xavier_uniform", INITIALIZERS), closest("banana", INITIALIZERS)
        ('glorot_uniform', None)
    """
    if not isinstance(raw, str) or len(raw) > 40:
        return None
    alias = ALIASES.get(raw.lower())
    close = [alias] if alias in known else difflib.get_close_matches(raw, known, n=1)
    return close[0] if close else None


def suggest(raw: Any, known: Sequence[str]) -> str:
    """Return a remedy that names the closest known word, or nothing.

    Example:
        >>> suggest("xavier_uniform", INITIALIZERS)
        'did you mean glorot_uniform?'
    """
    word = closest(raw, known)
    return f"did you mean {word}?" if word else ""


def unquoted(raw: Any) -> str:
    """Return the remedy for a text where a number belongs."""
    if not isinstance(raw, str):
        return ""
    try:
        float(raw)
    except ValueError:
        return "write a number"
    return "write the number without quotes or underscores"


def show(raw: Any) -> str:
    """Return a value as an error shows it: short, and as YAML would write it.

    Example:
        >>> show(True), show("adam"), show(None), show({"values": [1, 2]})
        ('true', "'adam'", 'null', '{values: [1, 2]}')
    """
    text = _shown(raw)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _shown(raw: Any) -> str:
    if raw is None or isinstance(raw, bool):
        return {None: "null", True: "true", False: "false"}[raw]
    if isinstance(raw, Mapping):
        return f"{{{', '.join(f'{key_text(key)}: {show(raw[key])}' for key in list(raw)[:20])}}}"
    if isinstance(raw, list | tuple):
        return f"[{', '.join(map(show, raw[:40]))}]"
    return repr(raw[:100]) if isinstance(raw, str) else _shown_scalar(raw)


def _shown_scalar(raw: Any) -> str:
    if isinstance(raw, int) and raw.bit_length() > 300:
        return f"a whole number of {raw.bit_length()} bits"
    if isinstance(raw, float) and not math.isfinite(raw):
        return ".nan" if math.isnan(raw) else ".inf" if raw > 0 else "-.inf"
    return repr(raw)


def key_text(key: Any) -> str:
    """Return a key as it stands in a YAML path: in quotes if it is odd.

    Example:
        >>> key_text("dropout"), key_text("a b"), key_text(1)
        ('dropout', "'a b'", '1')
    """
    is_word = isinstance(key, str) and len(key) <= 60 and key.isprintable() and " " not in key
    return key if key and is_word else show(key)


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
    return {name: good[name] for name in KNOBS if name in good}, mistakes


def unknown(path: str, name: Any, known: Sequence[str]) -> Mistake:
    """Return the mistake of a key that does not exist."""
    where = f"{path}.{key_text(name)}" if path else key_text(name)
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
        return None, [Mistake(path, "must be a list of values", show(raw), f"each {knob.rule}")]
    mistakes = [unknown(path, key, (*_RANGE_KEYS, "values")) for key in raw if key not in _RANGE_KEYS]
    mistakes += [Mistake(f"{path}.{key}", "is missing", "", "add it") for key in ("low", "high") if key not in raw]
    numbers, wrong = _parse_numbers(path, knob, raw)
    mistakes += wrong
    log = raw.get("log", False)
    if not isinstance(log, bool):
        mistakes.append(Mistake(f"{path}.log", "must be true or false", show(log)))
    if mistakes:
        return None, mistakes
    domain = Range(**numbers, log=log, is_integer=knob.kind == "integer")
    mistakes = _check_range(path, domain)
    return (None if mistakes else domain), mistakes


def _parse_numbers(path: str, knob: Knob, raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    rules = {"low": knob, "high": knob}
    if raw.get("step") is not None:
        rules["step"] = Knob("step", knob.kind, low=0, is_low_excluded=True)
    numbers: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for key, rule in rules.items():
        if key in raw:
            numbers[key], wrong = parse_value(f"{path}.{key}", rule, raw[key])
            mistakes += wrong
    return numbers, mistakes


def _check_range(path: str, domain: Range) -> list[Mistake]:
    low, high, step = domain.low, domain.high, domain.step
    got = f"low={show(low)} and high={show(high)}"
    if low > high:
        return [Mistake(path, "low must not exceed high", got, "exchange them")]
    mistakes = []
    if domain.log and low <= 0:
        rule = "must be above 0 for a logarithmic domain"
        mistakes.append(Mistake(f"{path}.low", rule, show(low), "raise low or remove log"))
    if domain.log and step is not None:
        rule = "log and step cannot be combined"
        mistakes.append(Mistake(path, rule, f"step={show(step)}", "remove one of them"))
    return mistakes or _check_step(path, domain, got)


def _check_step(path: str, domain: Range, got: str) -> list[Mistake]:
    """The grid must end at high, or high would silently mean something else."""
    if domain.step is None:
        return []
    low, high, step = (Decimal(str(number)) for number in (domain.low, domain.high, domain.step))
    got = f"{got} and step={show(domain.step)}"
    if step > high - low:
        return [Mistake(f"{path}.step", "must not exceed the distance from low to high", got, "lower it")]
    if high - low > step * MAX_STEPS:
        return [Mistake(f"{path}.step", f"must make at most {MAX_STEPS} steps", got, "raise it or remove it")]
    if (high - low) % step == 0:
        return []
    top = low + (high - low) // step * step
    remedy = f"write high: {int(top) if domain.is_integer else float(top)}"
    return [Mistake(f"{path}.high", "must be low plus a whole number of steps", got, remedy)]
