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
        requested_by: Name of the token whose request it was; None for what commands did on a home, or for no request.
    """

    sweep: str
    number: int | None
    kind: EventKind
    attempt: int | None
    detail: str | None
    time: int
    requested_by: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the event as plain JSON."""
        return {name: getattr(self, name) for name in self.__slots__} | {"kind": self.kind.value}


@dataclass(frozen=True, slots=True)
class DeletedSweep:
    """What is kept of a sweep that was deleted.

    Args:
        id: Identified the sweep among the sweeps of all ledgers.
        name: Name that the sweep had; another one may have it now.
        submitted_by: Name of the token that created the sweep; None for a command on a home.
        stopped_by: Name of the token that stopped it last; None for nobody, or for a command on a home.
        deleted_by: Name of the token that deleted it; None for a command on a home.
        created_at: When the sweep was created, in milliseconds since 1970 (UTC).
        deleted_at: When it was deleted, in milliseconds since 1970 (UTC).
        events: What had happened to the sweep itself, oldest first; what happened to its trials is not kept.
    """

    id: str
    name: str
    submitted_by: str | None
    stopped_by: str | None
    deleted_by: str | None
    created_at: int
    deleted_at: int
    events: tuple[Event, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"events": [event.to_json() for event in self.events]}
