"""The `--where` language: comparisons of a trial's fields, joined by and, or, not. Parsed, never evaluated."""

from __future__ import annotations

import ast
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from dnnsweep.errors import QueryError
from dnnsweep.space import KNOBS, TRIAL_FIELDS, Knob, did_you_mean, yaml_text

MAX_LENGTH: Final = 2_000
MAX_DEPTH: Final = 50
#: The most comparisons; the database makes each of them for each trial, and one for a list.
MAX_COMPARISONS: Final = 50

#: Fields that a condition may name: hyperparameters, and other facts about a trial.
FIELDS: Final[Mapping[str, Knob]] = {**KNOBS, **TRIAL_FIELDS}

_OPERATORS: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_MIRRORED: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WORDS: Final = {"true": True, "false": False, "null": None, "none": None}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field against a literal.

    Args:
        field: A key of `FIELDS`, or one of the builder's own hyperparameters.
        operator: `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `not in` or, for a field that holds several, `has`.
        literal: A value of the field's kind or None; for `in`, a tuple of them.
    """

    field: str
    operator: str
    literal: Any


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Condition


Condition = Comparison | AllOf | AnyOf | Not
_Fields = Mapping[str, Knob]


def parse(text: str, builder_knobs: Mapping[str, Knob] = MappingProxyType({})) -> Condition:
    """Parse a `--where` expression.

    Args:
        text: Expression of at most `MAX_LENGTH` characters, such as
            `optimizer == 'adam' and 0.1 < dropout <= 0.3 and not batch_norm` or `'overfitting' in findings`.
        builder_knobs: The builder's own hyperparameters, which the expression may name too.

    Raises:
        QueryError: The text is not in the language or makes too many comparisons, a field does not exist, or a literal
            is not of its kind.

    Example:
        >>> parse("dropout < 0.3")
        Comparison(field='dropout', operator='<', literal=0.3)
    """
    if len(text) > MAX_LENGTH:
        raise QueryError(f"--where must have at most {MAX_LENGTH} characters, got {len(text)}")
    if "\\" in text:
        raise QueryError("--where must not contain a backslash; nothing in a trial needs one")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it cannot be read"
        raise QueryError(
            f"--where must be an expression like \"optimizer == 'adam'\", got {yaml_text(text)}: {reason}"
        ) from error
    # Python reads names in the form NFKC; those of a sweep file are as somebody has typed them.
    own = {unicodedata.normalize("NFKC", name): knob for name, knob in builder_knobs.items()}
    condition = _condition(tree.body, 0, {**FIELDS, **own})
    if (n_comparisons := count_comparisons(condition)) > MAX_COMPARISONS:
        remedy = "write the values of one field as a list, like number in [1, 2]"
        raise QueryError(f"--where must have at most {MAX_COMPARISONS} comparisons, got {n_comparisons}; {remedy}")
    return condition


def count_comparisons(condition: Condition) -> int:
    """Return how often a condition compares a field; `in` with a list is one comparison.

    Example:
        >>> count_comparisons(parse("0.1 < dropout <= 0.3 and number in [1, 2, 3]"))
        3
    """
    match condition:
        case AllOf(parts=parts) | AnyOf(parts=parts):
            return sum(map(count_comparisons, parts))
        case Not(part=part):
            return count_comparisons(part)
    return 1


def _condition(node: ast.expr, depth: int, fields: _Fields) -> Condition:
    if depth > MAX_DEPTH:
        raise QueryError(f"--where must not be nested deeper than {MAX_DEPTH} levels")
    match node:
        case ast.BoolOp(op=ast.And(), values=values):
            return AllOf(tuple(_condition(value, depth + 1, fields) for value in values))
        case ast.BoolOp(values=values):
            return AnyOf(tuple(_condition(value, depth + 1, fields) for value in values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Not(_condition(operand, depth + 1, fields))
        case ast.Compare():
            return _comparisons(node, fields)
        case ast.Name(id=name) if name in fields and fields[name].kind == "boolean":
            return Comparison(fields[name].name, "==", literal=True)
    raise QueryError(f"--where must be made of comparisons, got {_source_text(node)}")


def _comparisons(node: ast.Compare, fields: _Fields) -> Condition:
    sides = [node.left, *node.comparators]
    parts = tuple(
        _comparison(left, operator, right, fields)
        for left, operator, right in zip(sides[:-1], node.ops, sides[1:], strict=True)
    )
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _comparison(left: ast.expr, operator: ast.cmpop, right: ast.expr, fields: _Fields) -> Condition:
    symbol = _symbol(operator, right)
    if symbol in ("in", "not in") and _is_field(right) and _field(right, fields).kind == "codes":
        return _membership(left, _field(right, fields), is_in=symbol == "in")
    if _is_field(left) and not _is_field(right):
        return _typed_comparison(_field(left, fields), symbol, _literal(right))
    if _is_field(right) and not _is_field(left) and symbol in _MIRRORED:
        return _typed_comparison(_field(right, fields), _MIRRORED[symbol], _literal(left))
    sides = f"{_source_text(left)} and {_source_text(right)}"
    remedy = "; put text in quotes" if _is_field(left) and _is_field(right) else ""
    raise QueryError(f"--where must compare a field with a value, got {sides}{remedy}")


def _membership(left: ast.expr, field: Knob, *, is_in: bool) -> Condition:
    """Return whether a field that holds several codes holds one of them."""
    code = None if _is_field(left) else _literal(left)
    if not isinstance(code, str):
        raise QueryError(f"--where: {field.name} holds {_NOUNS[field.kind]}, got {_source_text(left)}")
    part = Comparison(field.name, "has", _checked_choice(field, code))
    return part if is_in else Not(part)


def _symbol(operator: ast.cmpop, right: ast.expr) -> str:
    if isinstance(operator, ast.Is | ast.IsNot):
        if _is_field(right) or _literal(right) is not None:
            raise QueryError("--where: `is` must be followed by None; use == for values")
        return "==" if isinstance(operator, ast.Is) else "!="
    return _OPERATORS[type(operator)]


def _is_field(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id.lower() not in _WORDS


def _field(node: ast.expr, fields: _Fields) -> Knob:
    name = node.id if isinstance(node, ast.Name) else ""
    if name not in fields:
        remedy = did_you_mean(name, tuple(fields)) or f"known are {', '.join(fields)}"
        raise QueryError(f"--where: unknown field {name[:80]}; {remedy}")
    return fields[name]


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as value)) if (
            not isinstance(value, bool)
        ):
            return -value if isinstance(sign, ast.USub) else value
        case ast.Name(id=name) if name.lower() in _WORDS:
            return _WORDS[name.lower()]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return tuple(_literal(item) for item in items)
    raise QueryError(
        f"--where must compare with a number, a text, true, false, None or a list, got {_source_text(node)}"
    )


def _typed_comparison(field: Knob, operator: str, literal: Any) -> Comparison:
    if field.kind == "codes":
        raise QueryError(f"--where: {field.name} holds several texts; write '{field.choices[0]}' in {field.name}")
    if operator in ("in", "not in"):
        if not isinstance(literal, tuple):
            raise QueryError(f"--where: {field.name} {operator} must be followed by a list, got {yaml_text(literal)}")
        items = tuple(_checked_literal(field, "==", item) for item in literal)
        return Comparison(field.name, operator, tuple(dict.fromkeys(items)))
    return Comparison(field.name, operator, _checked_literal(field, operator, literal))


def _checked_literal(field: Knob, operator: str, literal: Any) -> Any:
    is_order = operator not in ("==", "!=")
    if literal is None and not is_order:
        return None
    if field.kind in ("choice", "boolean", "widths") and is_order:
        raise QueryError(f"--where: {field.name} cannot be ordered, got {operator}; use == or in")
    if not _is_kind(field.kind, literal):
        raise QueryError(f"--where: {field.name} must be compared with {_NOUNS[field.kind]}, got {yaml_text(literal)}")
    return _checked_choice(field, literal) if field.kind == "choice" else literal


def _checked_choice(field: Knob, literal: str) -> str:
    spelled = literal.upper() if field.name == "state" else literal
    if spelled not in field.choices:
        remedy = did_you_mean(spelled, field.choices) or f"known are {', '.join(field.choices)}"
        raise QueryError(f"--where: {field.name} is never {yaml_text(literal)}; {remedy}")
    return spelled


_NOUNS: Final = {
    "codes": "texts in quotes",
    "choice": "a text in quotes",
    "boolean": "true or false",
    "widths": "a list of units like [64, 32]",
    "integer": "a number of usual size",
    "real": "a finite number",
}


def _is_kind(kind: str, literal: Any) -> bool:
    if kind == "choice":
        return isinstance(literal, str)
    if kind == "boolean":
        return isinstance(literal, bool)
    if kind == "widths":
        return isinstance(literal, tuple) and all(type(item) is int for item in literal)
    if isinstance(literal, float):
        return math.isfinite(literal)
    return type(literal) is int and abs(literal) < 2**63  # the largest that a database can hold


def _source_text(node: ast.expr) -> str:
    try:
        return ast.unparse(node)[:80]
    except (RecursionError, ValueError):
        return "an expression that cannot be shown"
