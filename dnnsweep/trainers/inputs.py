"""What a trainer works on: the checked sweep file and its data."""

from __future__ import annotations

from dataclasses import dataclass

from dnnsweep import datasets, spec
from dnnsweep.trainers import Job


@dataclass(frozen=True, slots=True)
class TrainerInputs:
    """The sweep file and its data, loaded.

    Args:
        sweep: Checked sweep file.
        data: Rows, split and encoded as it says.
    """

    sweep: spec.SweepSpec
    data: datasets.Dataset


def load_inputs(job: Job) -> TrainerInputs:
    """Check the sweep file and load its data.

    Raises:
        DataError: The data cannot be used as the sweep file asks.
        SpecError: The sweep file is wrong, names a metric that the data's task does not have, or judges trials by one
            that has no value on these validation rows.
    """
    sweep = spec.check(job.spec)  # a job is plain data, so that any process can read it; this takes 3 ms
    data = datasets.load(sweep.dataset, sweep.task, job.data, job.limits, job.reading)
    spec.check_task(sweep, data.summary.task)
    spec.check_measurable(sweep, data.undefined)
    return TrainerInputs(sweep, data)
