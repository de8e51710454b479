"""A trial in a slot: the attempt at it, its hyperparameters, and what was reported of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dnnsweep.datasets import Dataset
from dnnsweep.records import EpochReport
from dnnsweep.space import Hyperparameters
from dnnsweep.trainers.array.metric_layout import MetricLayout
from dnnsweep.trainers.attempt import Attempt


@dataclass(slots=True)
class SlotTrial:
    """A trial that is trained in a slot.

    Args:
        attempt: The attempt at it, with a report for each epoch so far.
        data: Data that it is trained on.
        layout: What an epoch measures, in the units of these data.
        n_sent: Number of reports that were sent.
        sent_at: Time of the last look at unsent reports, in seconds since 1970; None before the first.
        hp: Its hyperparameters, read from the suggestion.
    """

    attempt: Attempt
    data: Dataset
    layout: MetricLayout
    n_sent: int = 0
    sent_at: float | None = None
    hp: Hyperparameters = field(init=False)

    def __post_init__(self) -> None:
        self.hp = Hyperparameters.of(self.attempt.suggestion.params)

    @property
    def seed(self) -> int:
        """Return the seed of weights, row orders and dropout."""
        return self.attempt.suggestion.seed

    @property
    def n_epochs(self) -> int:
        """Return the number of epochs trained."""
        return len(self.attempt.reports)

    @property
    def n_rows(self) -> int:
        """Return the number of training rows."""
        return self.data.summary.n_train

    def take_unsent(self, moment: float, every_seconds: float) -> Sequence[EpochReport]:
        """Return the reports to send now and count them as sent; none before it is time again.

        Args:
            moment: Time now, in seconds since 1970.
            every_seconds: Seconds that must have passed since the last time; counted from the first call.
        """
        if self.sent_at is None:
            self.sent_at = moment
        if moment - self.sent_at < every_seconds:
            return ()
        unsent = self.attempt.reports[self.n_sent :]
        self.n_sent, self.sent_at = len(self.attempt.reports), moment
        return unsent
