"""An attempt at a trial, as the controller follows it; a trial that loses its trainer is attempted again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from dnnsweep.records import Curve, EpochReport, Reason, Suggestion, TrialResult, curve_from_reports

#: How much longer than its limit a trial may take before its trainer, which should have ended it, is killed.
TIMEOUT_GRACE_SECONDS: Final = 10.0


@dataclass(slots=True)
class Attempt:
    """A trainer's work on a trial, from the suggestion to the result; all times are readings of one clock.

    Args:
        suggestion: What is trained.
        started_at: When the suggestion was handed to a trainer.
        stored_at: When the epochs were last stored.
        began_at: When the trainer began to train; None before.
        heard_at: When the trainer was last heard of.
        reports: The reports of the epochs so far.
        result: How the attempt ended, while the pruner has yet to judge one of its epochs.
    """

    suggestion: Suggestion
    started_at: float
    stored_at: float
    began_at: float | None = None
    heard_at: float = 0.0
    reports: list[EpochReport] = field(default_factory=list)
    result: TrialResult | None = None

    @property
    def number(self) -> int:
        """Return the trial's number."""
        return self.suggestion.number

    def hear(self, now: float) -> None:
        """Record a sign of life from the trainer, of which the first says that it has begun."""
        self.heard_at = now
        self.began_at = now if self.began_at is None else self.began_at

    def overdue(self, now: float, limit: float | None, silence: float) -> str | None:
        """Return why the attempt must be ended by force; None if it need not.

        Args:
            now: The clock's reading.
            limit: Seconds that the trial may train; None for no limit.
            silence: Seconds that the trial may report nothing.
        """
        if self.began_at is None or self.result is not None:
            return None
        if limit is not None and now - self.began_at > limit + TIMEOUT_GRACE_SECONDS:
            return f"it trained longer than training.timeout_seconds = {limit:g}, and its trainer did not end it"
        if now - self.heard_at > silence:
            return f"it reported nothing for resources.silence_seconds = {silence:g}"
        return None

    def pause(self, seconds: float) -> None:
        """Leave out a time, in seconds, in which nobody listened to the trainer."""
        if self.began_at is not None:
            self.began_at, self.heard_at = self.began_at + seconds, self.heard_at + seconds

    def curve(self, n_epochs: int) -> Curve:
        """Return the curve of the first epochs."""
        return curve_from_reports(self.reports[:n_epochs]) if self.result is None else self.result.curve.until(n_epochs)

    def cut_off(self, now: float, reason: Reason, error: str) -> TrialResult:
        """Return the result of an attempt that is ended from outside."""
        return self._result(now, reason, curve_from_reports(self.reports), error)

    def pruned(self, now: float, epoch: int) -> TrialResult:
        """Return the result of an attempt that is pruned after an epoch; later epochs do not count."""
        if self.result is None:
            return self._result(now, Reason.PRUNED, self.curve(epoch))
        return replace(self.result, reason=Reason.PRUNED, curve=self.curve(epoch), best_epoch=None, error=None)

    def _result(self, now: float, reason: Reason, curve: Curve, error: str | None = None) -> TrialResult:
        seconds = now - self.started_at
        return TrialResult(self.number, self.suggestion.attempt, reason, curve, None, seconds, error)
