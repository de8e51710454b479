"""What a sweep spent its time on: searching, and answering."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dnnsweep.records import Candidate, Purpose, Repeat, Trial

#: What a configuration is repeated for -> what the time is called.
NAMES: Final = {
    Purpose.NOISE: "measure the noise of trials",
    Purpose.CONFIRM: "confirm the best trials",
    Purpose.EFFECTS: "measure effects",
    Purpose.ISOLATE: "compare values in isolation",
    Purpose.CURE: "try cures",
    Purpose.RETRAIN: "retrain the winner",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a sweep, with what it cost.

    Args:
        name: What was done.
        n_trainings: Number of networks trained.
        n_epochs: Number of epochs that these were trained.
        seconds: Time in which at least one of them was being trained.
    """

    name: str
    n_trainings: int
    n_epochs: int
    seconds: float


def parts_of(trials: Sequence[Trial], candidates: Sequence[Candidate], repeats: Sequence[Repeat]) -> list[Part]:
    """Return what a sweep spent its time on, without the parts in which nothing was trained.

    Args:
        trials: All trials of the sweep.
        candidates: All configurations that it repeated.
        repeats: Repeats of these.
    """
    purposes = {candidate.number: candidate.purpose for candidate in candidates}
    trained: dict[str, list[Trial | Repeat]] = {"search": [trial for trial in trials if trial.epochs]}
    for purpose, name in NAMES.items():
        trained[name] = [repeat for repeat in repeats if repeat.epochs and purposes.get(repeat.candidate) is purpose]
    return [_part(name, those) for name, those in trained.items() if those]


def _part(name: str, trained: Sequence[Trial | Repeat]) -> Part:
    spans = [(one.started_at, one.ended_at) for one in trained]
    known = [(start, end) for start, end in spans if start is not None and end is not None]
    return Part(name, len(trained), sum(one.epochs for one in trained), covered(known) / 1000)


def covered(spans: Iterable[tuple[int, int]]) -> int:
    """Return how much is covered by spans that may overlap.

    Example:
        >>> covered([(0, 10), (5, 12), (20, 21)])
        13
    """
    total, reached = 0, None
    for start, end in sorted(spans):
        first = start if reached is None else max(start, reached)
        total += max(0, end - first)
        reached = end if reached is None else max(reached, end)
    return total


def duration_text(seconds: float) -> str:
    """Return a duration as people read it.

    Example:
        >>> duration_text(0.25), duration_text(59.6), duration_text(3725)
        ('0.2 s', '1 min', '1 h 2 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
