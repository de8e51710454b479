"""Common parts of the sections of a sweep file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from dnnsweep.errors import Mistake


def _integer_if_whole(raw: Any) -> Any:
    """Accept 1e3 and 32.0 as whole numbers, as for hyperparameters."""
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


Whole = Annotated[int, BeforeValidator(_integer_if_whole)]
Exponent = Annotated[int, Field(ge=0, le=64), BeforeValidator(_integer_if_whole)]
Natural = Annotated[int, Field(ge=0), BeforeValidator(_integer_if_whole)]
Positive = Annotated[int, Field(ge=1), BeforeValidator(_integer_if_whole)]
Few = Annotated[int, Field(ge=1, le=1024), BeforeValidator(_integer_if_whole)]
Folds = Annotated[int, Field(ge=2, le=20), BeforeValidator(_integer_if_whole)]
Several = Annotated[int, Field(ge=2, le=1024), BeforeValidator(_integer_if_whole)]


def is_unused(value: Any) -> bool:
    """Return whether a file does not use a key: the condition under which a field is left out of the file's JSON.

    A field with `exclude_if=is_unused` can be added to a section without a change to the JSON of any other file.
    """
    return not value


class Section(BaseModel):
    """A mapping of a sweep file: frozen, without unknown keys, and strict about types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def validator_of(parse: Callable[[Any], tuple[Any, list[Mistake]]]) -> Callable[[Any], Any]:
    """Turn a function that returns a value and mistakes into a validator for pydantic."""
    return lambda raw: raise_mistakes(*parse(raw))


def raise_mistakes(value: Any, mistakes: list[Mistake]) -> Any:
    """Return a value, or raise its mistakes as pydantic's error."""
    if mistakes:
        raise PydanticCustomError("mistakes", "mistakes", {"mistakes": mistakes})
    return value
