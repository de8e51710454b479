"""Records of what happened to sweeps and trials."""

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
        sweep: Name of the sweep.
        number: Number of the trial; None for the sweep itself.
        kind: What happened.
        attempt: The attempt at the trial, if the event is about one.
        detail: Who did it, why or how, if there is more to say.
        time: When it happened, in milliseconds since 1970 (UTC).
    """

    sweep: str
    number: int | None
    kind: EventKind
    attempt: int | None
    detail: str | None
    time: int

    def to_json(self) -> dict[str, Any]:
        """Return the event as plain JSON."""
        return {name: getattr(self, name) for name in self.__slots__} | {"kind": self.kind.value}
