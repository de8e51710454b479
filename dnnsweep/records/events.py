"""What happened to sweeps and trials, as the ledger tells it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    """What may happen to a sweep or a trial."""

    CREATED = "created"
    QUEUED = "queued"
    LEASED = "leased"
    STARTED = "started"
    LOST = "attempt lost"
    PUT_BACK = "put back"
    STOP_REQUESTED = "stop requested"
    ENDED = "ended"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a sweep or a trial.

    Args:
        sweep: The sweep's name.
        number: The trial; None for the sweep itself.
        kind: What.
        attempt: Which start of the trial, where it is about one.
        detail: Who, why or how, where there is more to say.
        time: When, in milliseconds since 1970 (UTC).
    """

    sweep: str
    number: int | None
    kind: EventKind
    attempt: int | None
    detail: str | None
    time: int

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {name: getattr(self, name) for name in self.__slots__} | {"kind": self.kind.value}
