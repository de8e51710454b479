"""Parts of long lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of what there is.

    Args:
        items: The part, in order.
        total: How many items there are in all.
    """

    items: list[T]
    total: int
