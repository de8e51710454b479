"""Writes of a lease one by one, as tests fill a ledger; a controller writes in turns of many."""

from __future__ import annotations

from typing import Any, cast

from dnnsweep.ledger import Lease, Turn


class _EachAlone:
    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def __getattr__(self, name: str) -> Any:
        def write(*arguments: Any, **named: Any) -> None:
            with self._lease.turn() as turn:
                getattr(turn, name)(*arguments, **named)

        return write


def write(lease: Lease) -> Turn:
    """Return what makes a turn of its own of each write that it is given."""
    return cast("Turn", _EachAlone(lease))
