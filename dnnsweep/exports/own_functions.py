"""Functions of the user's own that a listing imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Functions that listings define.
_DEFINED: Final = frozenset(
    ("read", "clean", "month", "split_dates", "predict", "raw_model", "batches", "inputs", "scores", "compare")
)


@dataclass(frozen=True, slots=True, order=True)
class OwnFunction:
    """A function of the user's own.

    Args:
        module: Module that it is imported from.
        function: Its name there.
    """

    module: str
    function: str

    @classmethod
    def of(cls, source: str) -> OwnFunction:
        """Return the function that `python:module:function` names."""
        _, module, function = source.split(":")
        return cls(module, function)

    @property
    def name(self) -> str:
        """Return its name in a listing.

        Example:
            >>> OwnFunction("rows", "load").name, OwnFunction("rows", "read").name
            ('load', 'own_read')
        """
        return f"own_{self.function}" if self.function in _DEFINED else self.function

    @property
    def statement(self) -> str:
        """Return the statement that imports it."""
        alias = "" if self.name == self.function else f" as {self.name}"
        return f"from {self.module} import {self.function}{alias}"
