"""What is due by the clock: renewals of the lease, updates of long trials, and the ends of overdue ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from dnnsweep.runner.controller.attempts import Attempt

#: How often trials that last long are brought up to date in the ledger and in MLflow.
PROGRESS_SECONDS: Final = 10.0
#: How often the lease is prolonged and a wish to stop is looked for.
RENEW_SECONDS: Final = 2.0
#: After a longer time between two looks at the clock, the controller itself was held up.
ATTENTION_SECONDS: Final = 5.0

Clock = Callable[[], float]


class Watchdog:
    """Reads the clock for one run of a sweep, which begins when the watchdog is created.

    Args:
        clock: Returns seconds, from any beginning; never goes back.
        timeout: Seconds that a trial may train; None for no limit.
        silence: Seconds that a trial may report nothing.
    """

    def __init__(self, clock: Clock, timeout: float | None, silence: float) -> None:
        self._clock = clock
        self._timeout = timeout
        self._silence = silence
        self._began_at = self._looked_at = self._renewed_at = clock()
        self._drained_by = math.inf

    def now(self) -> float:
        """Return the clock's reading."""
        return self._clock()

    def seconds(self) -> float:
        """Return how long this run has lasted."""
        return self._clock() - self._began_at

    def drain(self, seconds: float) -> None:
        """Let the run end when no trial runs any more, or after some seconds."""
        self._drained_by = self._clock() + seconds

    @property
    def is_draining(self) -> bool:
        """Return whether no more trials are to be started."""
        return self._drained_by < math.inf

    def is_drained(self, n_running: int) -> bool:
        """Return whether the run is to end because it was drained, given how many trials run."""
        return self.is_draining and (n_running == 0 or self._clock() >= self._drained_by)

    def take_renewal(self) -> bool:
        """Return whether the lease must be renewed now; if so, that is due again only after `RENEW_SECONDS`."""
        now = self._clock()
        if now - self._renewed_at < RENEW_SECONDS:
            return False
        self._renewed_at = now
        return True

    def take_update(self, attempt: Attempt) -> bool:
        """Return whether the epochs of an attempt must be stored now; if so, that is due again only later."""
        now = self._clock()
        if now - attempt.stored_at < PROGRESS_SECONDS:
            return False
        attempt.stored_at = now
        return True

    def take_gap(self) -> float:
        """Return the seconds since the last call if they are too many for a controller that was not held up, else 0.

        Trainers are not to blame for such a time: nobody listened to them.
        """
        now = self._clock()
        gap, self._looked_at = now - self._looked_at, now
        return gap if gap > ATTENTION_SECONDS else 0.0

    def overdue(self, attempt: Attempt) -> str | None:
        """Return why an attempt must be ended by force; None if it need not."""
        return attempt.overdue(self._clock(), self._timeout, self._silence)
