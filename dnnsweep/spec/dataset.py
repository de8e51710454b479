"""The section `dataset` of a sweep file: where rows come from, how they are split, scaled and weighted."""

from __future__ import annotations

import codecs
import math
import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from dnnsweep.errors import Mistake
from dnnsweep.space import yaml_text
from dnnsweep.spec.base import Folds, Section, Whole, is_unused, raise_mistakes, validator_of

HANDED_OVER: Final = "arrays:"
#: Kinds of sources that bring their own data sets, whose sizes are known.
BUILT_IN: Final = ("sklearn", "keras")
#: Kinds of sources that are files, named by a path.
FILES: Final = ("csv", "parquet", "npz")
BALANCED: Final = "balanced"
#: `balanced`, or label -> weight.
ClassWeight: TypeAlias = str | Mapping[str, float]

#: Most words of a text column that become inputs of their own, unless a sweep file says otherwise.
MAX_CATEGORIES: Final = 50
#: What Python can decode besides text.
_ODD_ENCODINGS: Final = (
    "unicode_escape",
    "raw_unicode_escape",
    "idna",
    "punycode",
    "utf-7",
    "mbcs",
    "oem",
    "undefined",
)

_DATES: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
    ]
}
_CLASS_WEIGHT: Final[dict[str, Any]] = {
    "anyOf": [
        {"enum": [BALANCED, None]},
        {"type": "object", "minProperties": 1, "additionalProperties": {"type": "number", "exclusiveMinimum": 0}},
    ]
}


def _check_class_weight(raw: Any) -> tuple[ClassWeight | None, list[Mistake]]:
    path = "dataset.class_weight"
    if raw is None or raw == BALANCED:
        return raw, []
    if not isinstance(raw, Mapping) or not raw:
        rule = f"must be {BALANCED} or weights by label"
        return None, [Mistake(path, rule, yaml_text(raw), f"write {BALANCED}, or `label: weight` lines below it")]
    mistakes = [
        Mistake(f"{path}.{label}", "must be a number above 0", yaml_text(weight), "raise it")
        for label, weight in raw.items()
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf
    ]
    if mistakes:
        return None, mistakes
    return types.MappingProxyType({str(label): float(weight) for label, weight in raw.items()}), []


def _check_words(raw: Any) -> tuple[tuple[str, ...] | None, list[Mistake]]:
    """Read words for missing values; a number such as -999 is one as well."""
    if raw is None:
        return None, []
    if not isinstance(raw, list | tuple):
        remedy = "write [NA, unknown], or [] for none"
        return None, [Mistake("dataset.missing", "must be a list of words", yaml_text(raw), remedy)]
    wrong = [
        index for index, word in enumerate(raw) if isinstance(word, bool) or not isinstance(word, str | int | float)
    ]
    rule, remedy = "must be a word or a number", "put it in quotes"
    mistakes = [Mistake(f"dataset.missing.{index}", rule, yaml_text(raw[index]), remedy) for index in wrong]
    return tuple(dict.fromkeys(str(word).strip() for word in raw)), mistakes


def _check_dates(raw: Any) -> tuple[Mapping[str, str | None], list[Mistake]]:
    """Read columns of dates, a list of names or a mapping of names to formats."""
    given = dict.fromkeys(raw) if isinstance(raw, list | tuple) and all(isinstance(name, str) for name in raw) else raw
    if not isinstance(given, Mapping):
        remedy = 'write [signup_date], or {signup_date: "%d/%m/%Y"}'
        return {}, [
            Mistake("dataset.dates", "must be a list of columns, or columns with formats", yaml_text(raw), remedy)
        ]
    rule, remedy = "must be a format with percent signs or null", 'write it like "%d/%m/%Y"'
    mistakes = [
        Mistake(f"dataset.dates.{name}", rule, yaml_text(form), remedy)
        for name, form in given.items()
        if form is not None and (not isinstance(form, str) or "%" not in form)
    ]
    return types.MappingProxyType(dict(given)), mistakes


def _plain_dates(dates: Mapping[str, str | None]) -> Any:
    return dict(dates) if any(dates.values()) else list(dates)


def _is_text_encoding(name: str) -> bool:
    """Return whether a name is that of an encoding that spells table text, and nothing else that Python can decode."""
    try:
        is_odd = codecs.lookup(name).name.replace("-", "_") in _ODD_ENCODINGS
        encoded = "a,b\n".encode(name)
        return not is_odd and b"\n" in encoded and encoded.decode(name) == "a,b\n"  # the ends of lines are counted
    except (LookupError, ValueError, TypeError):
        return False


class CsvSpec(Section):
    """How a CSV file is written; what is null is found out from the file."""

    separator: str | None = Field(
        default=None, min_length=1, max_length=1, description="character between columns; null: found out"
    )
    decimal: Literal[".", ","] | None = Field(default=None, description="decimal mark; null: found out")
    encoding: str | None = Field(
        default=None, description="Python's name of the encoding, such as cp1252; null: UTF-8, or found out"
    )

    @model_validator(mode="after")
    def _check_characters(self) -> Self:
        if self.separator is not None and self.separator in '"\r\n' + (self.decimal or ""):
            got, remedy = yaml_text(self.separator), 'write ",", ";", "|" or "\\t"'
            raise_mistakes(None, [Mistake("dataset.csv.separator", "must separate columns", got, remedy)])
        if self.encoding is not None and not _is_text_encoding(self.encoding):
            got, remedy = yaml_text(self.encoding), "write utf-8, cp1252, utf-16 or another one that Python knows"
            raise_mistakes(None, [Mistake("dataset.csv.encoding", "must be an encoding of text", got, remedy)])
        return self


class SplitSpec(Section):
    """How rows are split, by a column that is not a feature."""

    by: str | None = Field(
        default=None, min_length=1, description="column of groups, such as patients; each group is in one part only"
    )
    order: str | None = Field(
        default=None, min_length=1, description="column of numbers or dates; later rows validate, the latest test"
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.by is None) == (self.order is None):
            given = f"by: {self.by}, order: {self.order}" if self.by else "neither"
            raise_mistakes(
                None, [Mistake("dataset.split", "must be one of by: COLUMN and order: COLUMN", given, "write one")]
            )
        return self

    @property
    def kind(self) -> Literal["by", "order"]:
        """Return which key is given."""
        return "by" if self.by is not None else "order"

    @property
    def column(self) -> str:
        """Return the name of the column."""
        return str(self.by if self.by is not None else self.order)


class DatasetSpec(Section):
    """Where the rows come from and how they are split and scaled."""

    source: str = Field(
        default=HANDED_OVER,
        description="sklearn:NAME, keras:NAME, csv:PATH, parquet:PATH, npz:PATH or python:MODULE:FUNCTION; "
        "arrays: stands for arrays passed in Python",
    )
    target: str | None = Field(default=None, description="csv, parquet: the column to predict")
    drop: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="csv, parquet: columns to leave out, such as identifiers"
    )
    csv: CsvSpec | None = Field(
        default=None, exclude_if=is_unused, description="csv: separator, decimal mark and encoding; null: found out"
    )
    missing: Annotated[
        tuple[str, ...] | None,
        PlainValidator(validator_of(_check_words)),
        PlainSerializer(lambda words: words if words is None else list(words)),
        WithJsonSchema({"type": ["array", "null"], "items": {"type": ["string", "number"]}}),
    ] = Field(
        default=None,
        exclude_if=lambda words: words is None,
        description="tables: words for missing values; null: the usual ones; []: only blank cells",
    )
    text: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        exclude_if=is_unused,
        description="tables: columns to read as text though they hold numbers or dates",
    )
    dates: Annotated[
        Mapping[str, str | None],
        PlainValidator(validator_of(_check_dates)),
        PlainSerializer(_plain_dates),
        WithJsonSchema(_DATES),
    ] = Field(
        default_factory=lambda: types.MappingProxyType({}),
        exclude_if=is_unused,
        description="tables: columns of dates, which become numbers; or column: format",
    )
    max_categories: Whole = Field(
        default=MAX_CATEGORIES,
        exclude_if=lambda most: most == MAX_CATEGORIES,
        ge=2,
        le=10_000,
        description="tables: most words of a column; the rarest others become one category",
    )
    validation: float = Field(default=0.2, gt=0, lt=1, description="share of the rows used for validation")
    test: float = Field(default=0.2, ge=0, lt=1, description="share of the rows held out from every choice")
    scale: Literal["standard", "minmax", "none"] = Field(
        default="standard", description="how numbers are scaled; fitted on the training rows only"
    )
    seed: Whole = Field(default=0, ge=0, lt=2**32, description="seed of the split")
    folds: Folds | None = Field(
        default=None,
        exclude_if=is_unused,
        description="train each trial once for each of so many folds, and take the mean; null: one split",
    )
    resplit: bool = Field(default=False, exclude_if=is_unused, description="draw other validation rows for each trial")
    split: SplitSpec | None = Field(
        default=None, exclude_if=is_unused, description="split by a column of the table; null: at random"
    )
    class_weight: Annotated[
        ClassWeight | None,
        PlainValidator(validator_of(_check_class_weight)),
        PlainSerializer(lambda weight: dict(weight) if isinstance(weight, Mapping) else weight),
        WithJsonSchema(_CLASS_WEIGHT),
    ] = Field(
        exclude_if=is_unused,
        default=None,
        description="balanced: classes count equally in the training loss; or label: weight",
    )
    sample_weight: str | None = Field(
        default=None, exclude_if=is_unused, min_length=1, description="column of the rows' weights in the training loss"
    )

    @property
    def is_redrawn(self) -> bool:
        """Return whether a sweep trains on more than one split of its rows."""
        return self.resplit or self.folds is not None
