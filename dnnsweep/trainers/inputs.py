"""What a trainer works on: the checked sweep file and its data."""

from __future__ import annotations

from dataclasses import dataclass

from dnnsweep import datasets, spec
from dnnsweep.records import Suggestion
from dnnsweep.seeds import derive
from dnnsweep.trainers import Job


@dataclass(frozen=True, slots=True)
class TrainerInputs:
    """The sweep file and its data, loaded.

    Args:
        sweep: Checked sweep file.
        data: Rows, split and encoded as it says; where trials have splits of their own, the first of them.
        splits: Every split that a trial may ask for.
    """

    sweep: spec.SweepSpec
    data: datasets.Dataset
    splits: datasets.Splits

    def data_for(self, suggestion: Suggestion) -> datasets.Dataset:
        """Return the rows that a suggestion is trained on.

        Raises:
            DataError: The rows of its split cannot be used.
        """
        dataset = self.sweep.dataset
        if not dataset.is_redrawn:
            return self.data
        seed = derive(self.sweep.seed, "split", suggestion.number) if dataset.resplit else dataset.seed
        return self.splits.of(datasets.Draw(seed, suggestion.fold))


def load_inputs(job: Job) -> TrainerInputs:
    """Check the sweep file and load its data.

    Raises:
        DataError: The data cannot be used as the sweep file asks.
        SpecError: The sweep file is wrong, names a metric that the data's task does not have, or judges trials by one
            that has no value on these validation rows.
    """
    sweep = spec.check(job.spec)  # a job is plain data, so that any process can read it; this takes 3 ms
    splits = datasets.load_splits(sweep.dataset, sweep.task, job.data, job.limits, job.reading)
    spec.check_task(sweep, splits.first.summary.task)
    spec.check_measurable(sweep, splits.first.undefined)
    return TrainerInputs(sweep, splits.first, splits)
