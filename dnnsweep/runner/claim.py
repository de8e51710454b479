"""A sweep that a worker has claimed from the queue: it is trained, or handed back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from dnnsweep.executors import ExecutorKind, create_executor
from dnnsweep.ledger import Lease, Ledger
from dnnsweep.profiling import Profile
from dnnsweep.records import DataSummary, SweepState
from dnnsweep.records.sweeps import has_spent_budget
from dnnsweep.runner.answering import is_answered
from dnnsweep.runner.leased_sweep import LeasedSweep, new_sweep, stored_plan, stored_reading
from dnnsweep.runner.loading import StopRequestedError, load_data
from dnnsweep.runner.shipping import Shipping
from dnnsweep.runner.signals import Shutdown
from dnnsweep.settings import Limits, Settings
from dnnsweep.spec import SweepSpec, check_task
from dnnsweep.trainers import Job


@dataclass(frozen=True, slots=True)
class Claim:
    """A sweep that a worker has claimed.

    Args:
        ledger: The ledger that holds the sweep.
        lease: The right to write the sweep.
        spec: The checked sweep file.
        limits: What the operator allows a sweep that came over the network; None for a sweep of this home.
        executor: Which executor runs the trainers.
        n_trainers: Trainers to start; None for as many as repay their start.
        check_data: Called with the summary of the data; raises where they are more than the operator allows.
        shutdown: When the worker must end.
        shipping: Brings the sweep to MLflow.
    """

    ledger: Ledger
    lease: Lease
    spec: SweepSpec
    limits: Limits | None
    executor: ExecutorKind
    n_trainers: int | None
    check_data: Callable[[DataSummary], None]
    shutdown: Shutdown
    shipping: Shipping


def run_claimed(claim: Claim, settings: Settings) -> SweepState:
    """Run a sweep that a worker has claimed, until it is complete, stopped, or handed back to the queue.

    Raises:
        DnnsweepError: The sweep cannot go on; the lease is still held.
    """
    ledger, lease, spec = claim.ledger, claim.lease, claim.spec
    sweep = ledger.sweep(spec.name)
    if has_spent_budget(sweep, spec.to_json()["budget"]) and is_answered(ledger.answer(sweep), spec, sweep):
        return lease.end(SweepState.COMPLETE)
    models, reading = str(settings.models(spec.name)), stored_reading(sweep)
    job = Job(spec.to_json(), models, None, stored_plan(sweep), claim.limits, reading)
    executor = create_executor(
        claim.executor, job, settings.trainer, n_trainers=claim.n_trainers, max_trainers=spec.window
    )
    with closing(executor):
        try:
            with claim.shutdown.abruptly():  # loading can take long, and a request ends it at once
                ready = load_data(executor, lease)
        except StopRequestedError:
            executor.close()
            return lease.end(SweepState.STOPPED)
        check_task(spec, ready.data.task)  # not every trainer does so itself
        claim.check_data(ready.data)
        ledger.store_data(lease, new_sweep(spec, ready))
        leased = LeasedSweep(spec, settings, ledger, lease, executor, claim.shipping, Profile(), claim.shutdown)
        return leased.train(lambda _: None)
