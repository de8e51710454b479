"""The section `dataset` of a sweep file: where rows come from, how they are split, scaled and weighted."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from dnnsweep.errors import Mistake
from dnnsweep.space import yaml_text
from dnnsweep.spec.base import Section, Whole, is_unused, raise_mistakes, validator_of

HANDED_OVER: Final = "arrays:"
#: Kinds of sources that bring their own data sets, whose sizes are known.
BUILT_IN: Final = ("sklearn", "keras")
#: Kinds of sources that are files, named by a path.
FILES: Final = ("csv", "parquet", "npz")
BALANCED: Final = "balanced"
#: `balanced`, or label -> weight.
ClassWeight: TypeAlias = str | Mapping[str, float]

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
    validation: float = Field(default=0.2, gt=0, lt=1, description="share of the rows used for validation")
    test: float = Field(default=0.2, ge=0, lt=1, description="share of the rows held out from every choice")
    scale: Literal["standard", "minmax", "none"] = Field(
        default="standard", description="how numbers are scaled; fitted on the training rows only"
    )
    seed: Whole = Field(default=0, ge=0, lt=2**32, description="seed of the split")
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
