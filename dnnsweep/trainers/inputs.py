"""What a trainer works on: the checked sweep file and its data."""

from __future__ import annotations

from dataclasses import dataclass

from dnnsweep import datasets, spec
from dnnsweep.records import Suggestion
from dnnsweep.seeds import derive
from dnnsweep.trainers import Job
from dnnsweep.trainers.groups import Group


@dataclass(frozen=True, slots=True)
class GroupRows:
    """The rows of the suggestions of a group.

    Args:
        data: The rows that all of them are trained on; where each has its own, a split of the same inputs.
        most: The most training rows and the most validation rows of one of them.
        are_own: Whether each may have rows of its own.
    """

    data: datasets.Dataset
    most: tuple[int, int]
    are_own: bool


@dataclass(frozen=True, slots=True)
class TrainerInputs:
    """The sweep file and its data, loaded.

    Args:
        sweep: Checked sweep file.
        data: Rows, split and encoded as it says; where trials have splits of their own, the first of them.
        splits: Every split that a trial or a repeat may ask for.
    """

    sweep: spec.SweepSpec
    data: datasets.Dataset
    splits: datasets.Splits

    def data_for(self, suggestion: Suggestion) -> datasets.Dataset:
        """Return the rows that a suggestion is trained on.

        Raises:
            DataError: The rows of its split cannot be used.
        """
        if suggestion.retraining is not None:
            return self.splits.whole
        if suggestion.block is not None:
            return self.splits.of_block(self._draw_of_block(suggestion.block))
        dataset = self.sweep.dataset
        if not dataset.is_redrawn:
            return self.data
        seed = derive(self.sweep.seed, "split", suggestion.number) if dataset.resplit else dataset.seed
        return self.splits.of(datasets.Draw(seed, suggestion.fold))

    def _draw_of_block(self, block: int) -> datasets.Draw:
        """Return the split of a block; with folds, one fold after the other of one partition after the other."""
        n_folds = self.sweep.dataset.folds
        partition, fold = (block, None) if n_folds is None else divmod(block, n_folds)
        return datasets.Draw(derive(self.sweep.seed, "block split", partition), fold)

    def rows_of(self, group: Group) -> GroupRows:
        """Return the rows of the suggestions of a group."""
        splits = self.splits
        if group.n_epochs is not None:
            summary = splits.whole.summary
            return GroupRows(splits.whole, (summary.n_train, summary.n_validation), are_own=False)
        if group.is_in_blocks:
            return GroupRows(splits.first_of_blocks, splits.most_rows_of_blocks, are_own=True)
        return GroupRows(self.data, splits.most_rows, are_own=self.sweep.dataset.is_redrawn)


def load_inputs(job: Job) -> TrainerInputs:
    """Check the sweep file and load its data.

    Raises:
        DataError: The data cannot be used as the sweep file asks.
        SpecError: The sweep file is wrong, names a metric that the data's task does not have, or judges trials by one
            that has no value on these validation rows.
    """
    sweep = spec.check(job.spec)  # a job is plain data, so that any process can read it; this takes 3 ms
    is_repeated = sweep.confirm is not None or sweep.effects is not None
    splits = datasets.load_splits(sweep.dataset, sweep.task, job.data, job.limits, job.reading, is_repeated=is_repeated)
    spec.check_task(sweep, splits.first.summary.task)
    spec.check_measurable(sweep, splits.first.undefined)
    return TrainerInputs(sweep, splits.first, splits)
