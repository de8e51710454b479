"""What one change of a configuration does, in paired blocks: a cure that is tried, or another value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnnsweep.answers.recorded_scores import by_place, score_of
from dnnsweep.records import Objective, Repeat
from dnnsweep.statistics.intervals import Interval, mean_interval
from dnnsweep.statistics.outperformance import Outperformance, outperformance


@dataclass(frozen=True, slots=True)
class MeasuredChange:
    """What a change does.

    Args:
        effect: Mean gain over the blocks in which both trainings have a value; positive is better. None without any.
        interval: Interval of that mean for these development rows; None for fewer than two such blocks.
        outperformance: How often the changed configuration is better, where a training without a value is worse than
            each that has one.
        n_blocks: Number of blocks.
        n_diverged_before: Trainings without a value before the change.
        n_diverged_after: Trainings without a value after it.
    """

    effect: float | None
    interval: Interval | None
    outperformance: Outperformance
    n_blocks: int
    n_diverged_before: int
    n_diverged_after: int

    @property
    def is_better(self) -> bool:
        """Return whether the change is better by enough to matter, and not plausibly by luck.

        Either the number of blocks that it won tells, or the size of its gain does, if nothing was lost by it.
        """
        if self.outperformance.is_better:
            return True
        gains = self.interval is not None and self.interval.low > 0 and self.n_diverged_after == 0
        return gains and not self.outperformance.is_tied

    def to_json(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Return it as a finding lists a cure that was tried.

        Args:
            change: Hyperparameter -> its other value.
        """
        return {
            "change": dict(change),
            "effect": self.effect,
            "interval": None if self.interval is None else list(self.interval),
            "p_better": self.outperformance.probability,
            "n_blocks": self.n_blocks,
            "n_diverged_before": self.n_diverged_before,
            "n_diverged_after": self.n_diverged_after,
            "is_cure": self.is_better,
        }


def measure_change(before: int, after: int, repeats: Iterable[Repeat], objective: Objective) -> MeasuredChange | None:
    """Return what a change does, from the blocks in which both configurations were trained.

    Args:
        before: Number of the candidate without the change.
        after: Number of the candidate with the change.
        repeats: Repeats of both; those of other candidates are not looked at.
        objective: What the sweep improves.

    Returns:
        None, if they have no block in common.
    """
    ended = by_place(repeats)
    blocks = sorted(block for candidate, block in ended if candidate == before and (after, block) in ended)
    if not blocks:
        return None
    old, new = (np.array([score_of(ended[one, b], objective.direction) for b in blocks]) for one in (before, after))
    has_both = np.isfinite(old) & np.isfinite(new)
    gains = new[has_both] - old[has_both]
    return MeasuredChange(
        effect=float(gains.mean()) if len(gains) else None,
        interval=mean_interval(gains) if len(gains) > 1 else None,
        outperformance=outperformance(new, old),
        n_blocks=len(blocks),
        n_diverged_before=int((~np.isfinite(old)).sum()),
        n_diverged_after=int((~np.isfinite(new)).sum()),
    )
