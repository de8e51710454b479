"""Where a trial or a repeat stands, and why it ended."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a trial stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAILED = "FAILED"


class Reason(StrEnum):
    """Why a trial ended."""

    COMPLETED = "completed"
    EARLY_STOPPED = "early_stopped"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"
    TIMEOUT = "timeout"
    KILLED = "killed"
    STOPPED = "stopped"

    @property
    def state(self) -> State:
        """Return the state of a trial that ended for this reason."""
        if self in (Reason.COMPLETED, Reason.EARLY_STOPPED):
            return State.COMPLETE
        return State.PRUNED if self is Reason.PRUNED else State.FAILED

    @property
    def is_in_budget(self) -> bool:
        """Return whether a trial that ended so counts as one of the trials asked for."""
        return self is not Reason.STOPPED
