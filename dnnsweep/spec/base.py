"""What the sections of a sweep file have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from dnnsweep.errors import Mistake


def _whole(raw: Any) -> Any:
    """Let 1e3 and 32.0 be whole numbers, as they are for hyperparameters."""
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


Whole = Annotated[int, BeforeValidator(_whole)]
Exponent = Annotated[int, Field(ge=0, le=64), BeforeValidator(_whole)]
Natural = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
Positive = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
Few = Annotated[int, Field(ge=1, le=1024), BeforeValidator(_whole)]
Several = Annotated[int, Field(ge=2, le=1024), BeforeValidator(_whole)]


class Section(BaseModel):
    """A mapping of a sweep file: frozen, without unknown keys, and strict about types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def raising(parse: Callable[[Any], tuple[Any, list[Mistake]]]) -> Callable[[Any], Any]:
    """Return what pydantic calls to validate; mistakes keep their own words."""
    return lambda raw: right(*parse(raw))


def right(good: Any, mistakes: list[Mistake]) -> Any:
    """Return what is good, unless there are mistakes."""
    if mistakes:
        raise PydanticCustomError("mistakes", "mistakes", {"mistakes": mistakes})
    return good
