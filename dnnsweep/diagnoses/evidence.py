"""One training as the rules of diagnosis see it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from dnnsweep.records import Curve, Reason

#: A training has learned little if it took away less than this share of the loss of a constant answer.
POOR_SKILL: Final = 0.5
#: Trends are read from the first and the last of so many parts of a training.
N_PARTS: Final = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """One training as the rules of diagnosis see it.

    Args:
        number: Number of the trial.
        params: Hyperparameters of the trial.
        reason: Why the training ended.
        curve: What was measured, epoch by epoch.
        constant_loss: Loss of the best constant answer: what a network has that learned nothing but the mean.
        n_outputs: Units of the output layer.
    """

    number: int
    params: Mapping[str, Any]
    reason: Reason
    curve: Curve
    constant_loss: float
    n_outputs: int = 1

    @property
    def n_epochs(self) -> int:
        """Return the number of epochs trained."""
        return self.curve.n_epochs

    @property
    def is_whole(self) -> bool:
        """Return whether the training came to its own end."""
        return self.reason in (Reason.COMPLETED, Reason.EARLY_STOPPED)

    def layers(self, metric: str) -> dict[str, tuple[float, ...]]:
        """Return a metric of each layer that it was measured in, from the input on."""
        return {s.layer: s.values for s in self.curve.series if s.metric == metric and s.layer is not None}

    def relative(self, metric: str) -> list[float]:
        """Return a loss in each epoch as a share of that of a constant answer; infinite where it is no number."""
        values = (value / self.constant_loss for value in self.curve.values(metric))
        return [value if math.isfinite(value) else math.inf for value in values]

    @property
    def losses(self) -> tuple[list[float], list[float]]:
        """Return the relative training and validation losses; none unless both are known in each epoch."""
        train, validation = self.relative("loss"), self.relative("val_loss")
        return (train, validation) if len(train) == len(validation) else ([], [])

    @property
    def skill(self) -> float:
        """Return the share of the constant answer's loss that training took away in its best epoch."""
        return 1 - min(self.relative("loss"), default=math.inf)

    @property
    def is_poor(self) -> bool:
        """Return whether the network learned little from its own training rows."""
        return self.skill < POOR_SKILL


def is_mostly(flags: Sequence[bool]) -> bool:
    """Return whether something holds in at least half of the epochs, of which there is at least one."""
    return bool(flags) and 2 * sum(flags) >= len(flags)


def decline(values: Sequence[float]) -> float:
    """Return how far values fell towards their end: the mean of the part before the last less that of the last.

    Example:
        >>> decline([10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
        2.0
    """
    size = window(len(values))
    return fmean(values[-2 * size : -size]) - fmean(values[-size:])


def window(n_epochs: int) -> int:
    """Return the epochs of one of `N_PARTS` parts of a training, at least one."""
    return max(1, n_epochs // N_PARTS)
