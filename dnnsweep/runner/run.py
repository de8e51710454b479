"""One run of a sweep on this machine, from the checked file to the delivered result."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from dnnsweep.delivery.shipper import catch_up
from dnnsweep.errors import DnnsweepError, SweepHeldError, SweepNotFoundError
from dnnsweep.executors import Executor, ExecutorKind, create_executor
from dnnsweep.ledger import Lease, LeaseWatch, Ledger, NewSweep
from dnnsweep.profiling import Profile
from dnnsweep.records import Sweep, SweepState
from dnnsweep.records.phases import Phase
from dnnsweep.records.sweeps import has_spent_budget
from dnnsweep.runner.answering import Isolation, is_answered, is_retrained
from dnnsweep.runner.controller import Progress
from dnnsweep.runner.leased_sweep import LeasedSweep, new_sweep, stored_plan, stored_reading
from dnnsweep.runner.loading import StopRequestedError, load_data
from dnnsweep.runner.shipping import COMPLETE_WAIT_SECONDS, RunShipping
from dnnsweep.settings import Settings
from dnnsweep.spec import SweepSpec, check_task, search_notes
from dnnsweep.stores.polling import retry_while_uncertain
from dnnsweep.trainers import Job, TrainerPlan

#: How often to look whether another process has let a sweep go.
WAIT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a sweep is run here; nothing of it changes the sweep's trials.

    Args:
        data: `(x, y)`, used instead of the file's data source; trainers cannot read what has no name. None uses the
            source.
        n_trainers: Trainers to start; None for what the file says, else as many as repay their start.
        executor: Which executor runs the trainers.
        on_progress: Called after each change, in this thread.
        on_phase: Called with what the run begins to do before it trains.
        on_plan: Called once, with how trials will be trained, unless there is nothing left to train.
        on_note: Called with each sentence that a person should know about search and data, when `on_plan` is.
        on_wait: Called again and again, with who runs the sweep, while another process does; None waits no longer than
            it takes to see that it does.
        opens_test: Whether the winner may be scored on the test rows once the budget is complete.
        retrained: Number of the trial to retrain and score in place of the winner; None answers what the file asks.
        isolation: The comparison of a hyperparameter's values to make; None answers what the file asks.
        profile: Filled with where the time goes.
    """

    data: tuple[Any, Any] | None = None
    n_trainers: int | None = None
    executor: ExecutorKind = ExecutorKind.LOCAL
    on_progress: Callable[[Progress], None] = lambda _: None
    on_phase: Callable[[Phase], None] = lambda _: None
    on_plan: Callable[[TrainerPlan], None] = lambda _: None
    on_note: Callable[[str], None] = lambda _: None
    on_wait: Callable[[str], None] | None = None
    opens_test: bool = True
    retrained: int | None = None
    isolation: Isolation | None = None
    profile: Profile = field(default_factory=Profile)


def run_sweep(spec: SweepSpec, settings: Settings, options: RunOptions) -> SweepState:
    """Run a sweep until it is complete, stopped or interrupted; return how it was left.

    Raises:
        SweepHeldError: Another process runs the sweep, and `options.on_wait` is None.
        DnnsweepError: The sweep cannot be run; `client.run` lists the reasons.
    """
    watch = LeaseWatch()
    while True:
        try:
            return retry_while_uncertain(lambda: _run_unheld(spec, settings, options, watch))
        except SweepHeldError as held:
            if options.on_wait is None:
                raise
            options.on_wait(str(held))
        time.sleep(WAIT_SECONDS)


def _run_unheld(spec: SweepSpec, settings: Settings, options: RunOptions, watch: LeaseWatch) -> SweepState:
    """Run a sweep that nobody else runs.

    Raises:
        SweepHeldError: Somebody else does.
    """
    stored = _read_sweep(spec, settings, watch)  # first: what cannot be run is refused before trainers are started
    has_spent = stored is not None and has_spent_budget(stored, spec.to_json()["budget"])
    if stored is not None and has_spent and _is_answered(stored, spec, settings, options):
        with closing(Ledger.open(settings.database_url, watch=watch)) as ledger:
            _conclude(ledger, stored, spec)
            catch_up(ledger, settings, COMPLETE_WAIT_SECONDS)
        return SweepState.COMPLETE
    plan, reading = (None, None) if stored is None else (stored_plan(stored), stored_reading(stored))
    job = Job(spec.to_json(), str(settings.models(spec.name)), options.data, plan, reading=reading)
    n_trainers = options.n_trainers or spec.resources.trainers
    with closing(
        create_executor(options.executor, job, settings.trainer, n_trainers=n_trainers, max_trainers=spec.window)
    ) as executor:
        return _train(spec, settings, options, executor, watch)


def _read_sweep(spec: SweepSpec, settings: Settings, watch: LeaseWatch) -> Sweep | None:
    """Return the sweep as the ledger has it; None if it is new.

    Raises:
        SweepConflictError: The name is taken by another content.
    """
    with suppress(SweepNotFoundError), closing(Ledger.open(settings.database_url, watch=watch)) as ledger:
        ledger.check(spec.name, spec.digest, spec.identity())
        return ledger.sweep(spec.name)
    return None


def _is_answered(stored: Sweep, spec: SweepSpec, settings: Settings, options: RunOptions) -> bool:
    """Return whether a sweep with nothing left to train has nothing left to answer either."""
    if options.isolation is not None:  # what it lacks is known once its values are
        return False
    with closing(Ledger.open(settings.database_url)) as ledger:
        answer = ledger.answer(stored)
    if options.retrained is not None:
        return is_retrained(answer, options.retrained)
    return is_answered(answer, spec, stored, opens_test=options.opens_test)


def _conclude(ledger: Ledger, stored: Sweep, spec: SweepSpec) -> None:
    """Store that a sweep with nothing left to train is complete, unless that is stored already."""
    if stored.state is not SweepState.COMPLETE or stored.n_trials != spec.budget.trials:
        ledger.mark_complete(spec.name, spec.to_json())


def _train(
    spec: SweepSpec, settings: Settings, options: RunOptions, executor: Executor, watch: LeaseWatch
) -> SweepState:
    """Take the lease on the sweep, so that it can be seen and stopped, let trainers load the data, and train it."""
    url, patience, profile = settings.database_url, settings.patience, options.profile
    with closing(Ledger.open(url, create=True, patience=patience, watch=watch)) as ledger:
        lease = ledger.begin(NewSweep.of(spec))
        try:
            _load(spec, ledger, lease, executor, options)
        except StopRequestedError:
            executor.close()
            state = lease.end(SweepState.STOPPED)
            catch_up(ledger, settings, COMPLETE_WAIT_SECONDS)
            return state
        shipping = RunShipping(options.executor, settings)
        leased = LeasedSweep(
            spec,
            settings,
            ledger,
            lease,
            executor,
            shipping,
            profile,
            opens_test=options.opens_test,
            retrained=options.retrained,
            isolation=options.isolation,
        )
        state = leased.train(options.on_progress)
    n_slots, n_busy = executor.slot_epochs
    profile.note_usage(n_slots=n_slots, n_busy=n_busy, memory_mb=executor.memory_mb)
    return state


def _load(spec: SweepSpec, ledger: Ledger, lease: Lease, executor: Executor, options: RunOptions) -> None:
    """Let trainers load the data of a leased sweep, and store what they are; if that fails, undo taking the lease.

    Raises:
        StopRequestedError: The sweep is to stop.
        DnnsweepError: The data cannot be used.
    """
    try:
        ready = load_data(executor, lease, options.on_phase)
        check_task(spec, ready.data.task)  # not every trainer does so itself
        options.on_plan(ready.plan)
        for note in (*search_notes(spec), *ready.data.notes):
            options.on_note(note)
        ledger.store_data(lease, new_sweep(spec, ready))
    except StopRequestedError:
        raise
    except BaseException as error:
        executor.close()
        with suppress(DnnsweepError):  # the first error counts
            lease.withdraw(str(error) or "interrupted")
        raise
