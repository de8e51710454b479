"""How long the rest of a run takes, from the trials that have ended in it."""

from __future__ import annotations

import bisect
import heapq
from collections import deque
from collections.abc import Sequence
from typing import Final

#: How many of the latest trials say how long one takes.
N_LATEST: Final = 500
#: How many must have said so before anything is estimated, if no more than these train at once.
MIN_ENDED: Final = 3
MAX_ENDED: Final = 20
#: How many queued trials are laid out one by one; more than these are counted as a whole.
MAX_LAID_OUT: Final = 128
#: How long an estimate is only counted down.
KEEP_SECONDS: Final = 0.5
#: Steps of this size run evenly through any sample.
_STEP: Final = 0.6180339887498949


class Pace:
    """Follows the trials of one run. What passed before its first trial ended counts as starting up.

    Only trials that began after that say how long a trial takes: those before waited for programs to compile.
    """

    def __init__(self) -> None:
        self._first_at: float | None = None
        self._held_at = 0.0
        self._n_held = 0
        self._held_seconds = 0.0
        self._latest: deque[float] = deque(maxlen=N_LATEST)
        self._estimate: tuple[float, float] | None = None

    def hold(self, now: float, n_training: int) -> None:
        """Note how many trials train from now on."""
        if self._first_at is not None:
            self._held_seconds += self._n_held * (now - self._held_at)
        self._held_at, self._n_held = now, n_training

    def end(self, now: float, began_at: float, seconds: float) -> None:
        """Note that a trial has ended.

        Args:
            now: The clock's reading.
            began_at: When its trainer began with it, by the same clock.
            seconds: How long its trainer says that it took.
        """
        if self._first_at is None:
            self._first_at = now
        elif began_at >= self._first_at:
            self._latest.append(max(seconds, now - began_at))

    def seconds_left(self, now: float, began_at: Sequence[float], n_left: int) -> float | None:
        """Return an estimate of the seconds until all trials have ended; None while it cannot be known.

        Args:
            now: The clock's reading.
            began_at: When each of the trials began that train.
            n_left: How many trials have yet to end, those that train included.
        """
        first_at = self._first_at
        if first_at is None or len(self._latest) < max(MIN_ENDED, min(len(began_at), MAX_ENDED)):
            return None
        if self._estimate is None or now - self._estimate[1] > KEEP_SECONDS:
            ages = [now - max(moment, first_at) for moment in began_at]
            width = round(self._held_seconds / (now - first_at)) if now > first_at else len(ages)
            self._estimate = time_left(sorted(self._latest), ages, n_left - len(ages), width), now
        seconds, estimated_at = self._estimate
        return max(0.0, seconds - (now - estimated_at))


def time_left(durations: Sequence[float], ages: Sequence[float], n_queued: int, width: int) -> float:
    """Return the seconds until all trials have ended, each as long as one of those that ended.

    Args:
        durations: How long trials took, in seconds, shortest first.
        ages: How long each trial that trains has trained.
        n_queued: How many trials have yet to begin.
        width: How many usually train at once, for moments in which some have just ended.

    Example:
        >>> time_left([10.0, 10.0], [4.0, 9.0], 2, 2)
        16.0
    """
    ends = [_rest(durations, age, index) for index, age in enumerate(ages)]
    if n_queued > 0:
        ends += [0.0] * (max(1, width) - len(ends))
    if not ends:
        return 0.0
    heapq.heapify(ends)
    for index in range(min(n_queued, MAX_LAID_OUT)):
        heapq.heapreplace(ends, ends[0] + _spread(durations, len(ages) + index))
    n_more = max(0, n_queued - MAX_LAID_OUT)
    return max(ends) + n_more * sum(durations) / len(durations) / len(ends)


def _rest(durations: Sequence[float], age: float, index: int) -> float:
    """Return how long a trial of some age has yet to train: as those that lasted longer, or a little more."""
    longer = durations[bisect.bisect_right(durations, age) :]
    return _spread(longer, index) - age if longer else max(age / 5, durations[-1] / 10)


def _spread(sample: Sequence[float], index: int) -> float:
    """Return a value of a sample; values of successive indices run evenly through it."""
    return sample[int(index * _STEP % 1 * len(sample))]
