"""An attempt at a trial, as the controller follows it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Final

from dnnsweep.records import Curve, EpochReport, Reason, Suggestion, TrialResult, curve_from_reports

#: How much longer than its limit a trial may take until its trainer, which should have ended it, is killed.
GRACE_SECONDS: Final = 10.0


@dataclass(slots=True)
class Attempt:
    """A trial that a trainer works on.

    Args:
        suggestion: What is trained.
        started_at: When it was handed to its trainer, by `time.monotonic`.
        stored_at: When its epochs were last stored.
        began_at: When its trainer took it up; None before.
        heard_at: When it was last heard of.
        reports: Of its epochs so far.
        result: How it ended, while a verdict of the pruner on one of its epochs is still awaited.
    """

    suggestion: Suggestion
    started_at: float
    stored_at: float
    began_at: float | None = None
    heard_at: float = 0.0
    reports: list[EpochReport] = field(default_factory=list)
    result: TrialResult | None = None

    def overdue(self, now: float, limit: float | None, silence: float) -> str | None:
        """Return why it must be ended by force, if it must.

        Args:
            now: By `time.monotonic`.
            limit: Seconds that it may train; None for any.
            silence: Seconds that it may report nothing.
        """
        if self.began_at is None or self.result is not None:
            return None
        if limit is not None and now - self.began_at > limit + GRACE_SECONDS:
            return f"it trained longer than training.timeout_seconds = {limit:g}, and its trainer did not end it"
        if now - self.heard_at > silence:
            return f"it reported nothing for resources.silence_seconds = {silence:g}"
        return None

    def pause(self, seconds: float) -> None:
        """Leave out a time in which nobody listened to its trainer."""
        if self.began_at is not None:
            self.began_at, self.heard_at = self.began_at + seconds, self.heard_at + seconds

    def curve(self, n_epochs: int) -> Curve:
        """Return its first epochs."""
        return curve_from_reports(self.reports[:n_epochs]) if self.result is None else self.result.curve.until(n_epochs)

    def cut_off(self, reason: Reason, error: str) -> TrialResult:
        """Return how it ended, when it did not end by itself."""
        return self._ended(reason, curve_from_reports(self.reports), error)

    def pruned(self, epoch: int) -> TrialResult:
        """Return how it ended, pruned after an epoch; what it trained beyond does not count."""
        if self.result is None:
            return self._ended(Reason.PRUNED, self.curve(epoch))
        return replace(self.result, reason=Reason.PRUNED, curve=self.curve(epoch), best_epoch=None, error=None)

    def _ended(self, reason: Reason, curve: Curve, error: str | None = None) -> TrialResult:
        seconds = time.monotonic() - self.started_at
        return TrialResult(self.suggestion.number, self.suggestion.attempt, reason, curve, None, seconds, error)
