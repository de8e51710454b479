"""Hyperparameters and domains as YAML writes them: read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from dnnsweep.errors import Mistake
from dnnsweep.space.builder_knobs import NAME_RULE, VALUES_RULE, builder_knob, is_builder_knob_name
from dnnsweep.space.domains import Choice, Layers, Leaf, Range
from dnnsweep.space.knobs import KNOBS, MAX_LAYERS, MAX_UNITS, Knob
from dnnsweep.space.messages import closest_name, did_you_mean, key_text, yaml_text

MAX_STEPS: Final = 1_000_000

_LAYERS: Final = {
    "layers": Knob("layers", "integer", low=1, high=MAX_LAYERS),
    "units": Knob("units", "integer", low=1, high=MAX_UNITS),
}
_RANGE_KEYS: Final = ("low", "high", "log", "step", "steps")
#: The most values that a grid takes from one range.
MAX_GRID_VALUES: Final = 10_000


def parse_values(path: str, raw: Any, taken: Sequence[str] | None = None) -> tuple[dict[str, Any], list[Mistake]]:
    """Read a mapping of hyperparameters to single values (`fixed`, or an entry of `enqueue`).

    Args:
        path: YAML path of the mapping.
        raw: The mapping as YAML holds it.
        taken: Names that a builder's own hyperparameters must not have; None if there is no builder.

    Returns:
        The valid values by name, and every mistake.
    """
    return parse_mapping(path, raw, parse_value, taken)


def parse_mapping(
    path: str,
    raw: Any,
    parse: Callable[[str, Knob, Any], tuple[Any, list[Mistake]]],
    taken: Sequence[str] | None,
) -> tuple[dict[str, Any], list[Mistake]]:
    """Read a mapping of hyperparameters, each by itself.

    Args:
        path: YAML path of the mapping.
        raw: The mapping as YAML holds it.
        parse: Reads what stands beside a name: `parse_value`, or a function for domains.
        taken: Names that a builder's own hyperparameters must not have; None if there is no builder.

    Returns:
        Whatever is valid by name, in the order of the knobs, and every mistake.
    """
    if not isinstance(raw, Mapping):
        return {}, [Mistake(path, "must be a mapping of hyperparameters", yaml_text(raw), "write `name: value` lines")]
    valid: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for name, value in raw.items():
        knob = _knob(path, name, [value] if parse is parse_value else value, taken)
        if isinstance(knob, Mistake):
            mistakes.append(knob)
            continue
        parsed, wrong = parse(f"{path}.{name}", knob, value)
        mistakes += wrong
        if not wrong:
            valid[name] = parsed
    order = [*KNOBS, *(name for name in valid if name not in KNOBS)]
    return {name: valid[name] for name in order if name in valid}, mistakes


def _knob(path: str, name: Any, values: Any, taken: Sequence[str] | None) -> Knob | Mistake:
    if isinstance(name, str) and name in KNOBS:
        return KNOBS[name]
    if taken is None:
        return unknown_key(path, name, tuple(KNOBS))
    where = f"{path}.{key_text(name)}"
    if not is_builder_knob_name(name, taken):
        return Mistake(where, NAME_RULE.format(", ".join(taken)), yaml_text(name), "rename it")
    return builder_knob(name, values) or Mistake(where, VALUES_RULE, yaml_text(values))


def unknown_key(path: str, name: Any, known: Sequence[str]) -> Mistake:
    """Return the mistake for a key that does not exist."""
    where = f"{path}.{key_text(name)}" if path else key_text(name)
    return Mistake(where, "unknown key", "", did_you_mean(name, known) or f"known are {', '.join(known)}")


def parse_value(path: str, knob: Knob, raw: Any) -> tuple[Any, list[Mistake]]:
    """Read one value of a knob; return it, or None and the mistake."""
    try:
        return knob.parse(raw), []
    except ValueError as error:
        return None, [Mistake(path, knob.rule, yaml_text(raw), str(error))]


def parse_domain(path: str, knob: Knob, raw: Any) -> tuple[Leaf | None, list[Mistake]]:
    """Read a domain without conditions: a list, `{values: [...]}`, `{low, high, log, step}` or `{layers, units}`."""
    if isinstance(raw, Mapping) and knob.kind == "widths" and "values" not in raw:
        return _parse_layers(path, knob, raw)
    if isinstance(raw, Mapping) and "values" in raw:
        extra = [unknown_key(path, key, ("values",)) for key in raw if key != "values"]
        domain, mistakes = _parse_choice_domain(f"{path}.values", knob, raw["values"])
        return domain, extra + mistakes
    if isinstance(raw, Mapping):
        return _parse_range(path, knob, raw)
    return _parse_choice_domain(path, knob, raw)


def _parse_choice_domain(path: str, knob: Knob, raw: Any) -> tuple[Choice | None, list[Mistake]]:
    if not isinstance(raw, list) or not raw:
        numbers = " or {low: ..., high: ...}" if knob.kind in ("real", "integer") else ""
        remedy = (
            f"a single value belongs under `fixed: {{{knob.name}: {yaml_text(raw)}}}`" if raw not in ([], None) else ""
        )
        return None, [Mistake(path, f"must be a list of values{numbers}", yaml_text(raw), remedy)]
    if knob.kind == "widths" and not any(isinstance(item, list) for item in raw):
        return None, [Mistake(path, "must be a list of lists of units", yaml_text(raw), f"write [{yaml_text(raw)}]")]
    parsed = [parse_value(f"{path}.{index}", knob, item) for index, item in enumerate(raw)]
    mistakes = [mistake for _, wrong in parsed for mistake in wrong]
    values = tuple(value for value, _ in parsed)
    if not mistakes and len(set(values)) < len(values):
        mistakes = [Mistake(path, "values must differ from each other", yaml_text(raw), "remove the repeated ones")]
    return (None if mistakes else Choice(values)), mistakes


def _parse_layers(path: str, knob: Knob, raw: Mapping[str, Any]) -> tuple[Layers | None, list[Mistake]]:
    if _LAYERS.keys().isdisjoint(raw):
        remedy = "write [[64, 32], [64]], or layers: and units: with a domain each"
        return None, [Mistake(path, "must be a list of values", yaml_text(raw), f"each {knob.rule}; {remedy}")]
    mistakes = [unknown_key(path, key, tuple(_LAYERS)) for key in raw if key not in _LAYERS]
    parsed: dict[str, Any] = {}
    for key, part in _LAYERS.items():
        if key not in raw:
            mistakes.append(Mistake(f"{path}.{key}", "is missing", "", "add it"))
        elif isinstance(raw[key], list | Mapping):
            parsed[key], wrong = parse_domain(f"{path}.{key}", part, raw[key])
            mistakes += wrong
        else:
            remedy = f"write [{yaml_text(raw[key])}]"
            mistakes.append(
                Mistake(
                    f"{path}.{key}", "must be a list of values or {low: ..., high: ...}", yaml_text(raw[key]), remedy
                )
            )
    return (None if mistakes else Layers(**parsed)), mistakes


def _parse_range(path: str, knob: Knob, raw: Mapping[str, Any]) -> tuple[Range | None, list[Mistake]]:
    if knob.kind not in ("real", "integer"):
        return None, [Mistake(path, "must be a list of values", yaml_text(raw), f"each {knob.rule}")]
    unknown = [key for key in raw if key not in _RANGE_KEYS]
    mistakes = [unknown_key(path, key, (*_RANGE_KEYS, "values")) for key in unknown]
    present = {*raw, *(closest_name(key, _RANGE_KEYS) for key in unknown)}
    mistakes += [Mistake(f"{path}.{key}", "is missing", "", "add it") for key in ("low", "high") if key not in present]
    numbers, wrong = _parse_numbers(path, knob, raw)
    mistakes += wrong
    log = raw.get("log", False)
    if not isinstance(log, bool):
        mistakes.append(Mistake(f"{path}.log", "must be true or false", yaml_text(log)))
    if mistakes:
        return None, mistakes
    domain = Range(**numbers, log=log, is_integer=knob.kind == "integer")
    mistakes = _check_range(path, domain)
    return (None if mistakes else domain), mistakes


def _parse_numbers(path: str, knob: Knob, raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    rules = {"low": knob, "high": knob}
    if raw.get("step") is not None:
        rules["step"] = Knob("step", knob.kind, low=0, is_low_excluded=True)
    if raw.get("steps") is not None:
        rules["steps"] = Knob("steps", "integer", low=2, high=MAX_GRID_VALUES)
    numbers: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for key, rule in rules.items():
        if key in raw:
            numbers[key], wrong = parse_value(f"{path}.{key}", rule, raw[key])
            mistakes += wrong
    return numbers, mistakes


def _check_range(path: str, domain: Range) -> list[Mistake]:
    low, high, step = domain.low, domain.high, domain.step
    got = f"low={yaml_text(low)} and high={yaml_text(high)}"
    if low > high:
        return [Mistake(path, "low must not exceed high", got, "exchange them")]
    mistakes = []
    if domain.log and low <= 0:
        rule = "must be above 0 for a logarithmic domain"
        mistakes.append(Mistake(f"{path}.low", rule, yaml_text(low), "raise low or remove log"))
    if domain.log and step is not None:
        rule = "log and step cannot be combined"
        mistakes.append(Mistake(path, rule, f"step={yaml_text(step)}", "remove one of them"))
    if domain.steps is not None and step is not None:
        got = f"step={yaml_text(step)} and steps={yaml_text(domain.steps)}"
        mistakes.append(Mistake(path, "step and steps cannot be combined", got, "remove one of them"))
    return mistakes or _check_step(path, domain, got)


def _check_step(path: str, domain: Range, got: str) -> list[Mistake]:
    """Check that steps from low end at high, as high would silently mean something else otherwise."""
    if domain.step is None:
        return []
    low, high, step = (Decimal(str(number)) for number in (domain.low, domain.high, domain.step))
    got = f"{got} and step={yaml_text(domain.step)}"
    if step > high - low:
        return [Mistake(f"{path}.step", "must not exceed the distance from low to high", got, "lower it")]
    if high - low > step * MAX_STEPS:
        return [Mistake(f"{path}.step", f"must make at most {MAX_STEPS} steps", got, "raise it or remove it")]
    if (high - low) % step == 0:
        return []
    top = low + (high - low) // step * step
    remedy = f"write high: {int(top) if domain.is_integer else float(top)}"
    return [Mistake(f"{path}.high", "must be low plus a whole number of steps", got, remedy)]
