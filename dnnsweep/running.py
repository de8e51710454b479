"""One run of a sweep on this machine, from the checked file to the delivered result."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from dnnsweep import study
from dnnsweep.controller import Controller, FixedOrder, Plan, Progress, abandon
from dnnsweep.delivery import Shipper, deliver_all
from dnnsweep.errors import DnnsweepError, LeaseLostError, Mistake, SpecError, SweepNotFoundError
from dnnsweep.executors import Executor
from dnnsweep.executors.inprocess import InProcessExecutor
from dnnsweep.executors.local import LocalExecutor, n_cores
from dnnsweep.ledger import Lease, Ledger, NewSweep, summary_json
from dnnsweep.records import DataSummary, Sweep, SweepState
from dnnsweep.settings import Settings
from dnnsweep.space import show
from dnnsweep.spec import HANDED_OVER, SweepSpec, check_task, load
from dnnsweep.tracking import Tracker
from dnnsweep.trainers import Job

#: How long MLflow may take at the end of a run, and after an interruption.
DELIVERY_SECONDS: Final = 300.0
INTERRUPTED_DELIVERY_SECONDS: Final = 2.0


def read_spec(
    spec: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str], *, has_data: bool
) -> SweepSpec:
    """Read and check a sweep file or its content.

    Args:
        spec: A path, or plain mappings, lists and scalars.
        overrides: `path=value` strings.
        has_data: Whether arrays are handed over in place of the file's data source.

    Raises:
        SpecError: Anything is wrong; carries every mistake.
    """
    wanted = [*overrides, f"dataset.source='{HANDED_OVER}'"] if has_data else overrides
    checked = load(spec, wanted)
    if not has_data and checked.dataset.source == HANDED_OVER:
        remedy = "call dnnsweep.run(spec, data=(x, y)), or name a source"
        raise SpecError([Mistake("dataset.source", "arrays are handed over in Python", "", remedy)])
    return checked


@dataclass(frozen=True, slots=True)
class Outline:
    """What a run of a sweep file would do.

    Args:
        spec: The sweep file, resolved, as plain JSON.
        data: What the data are.
        window: How many suggestions may be ahead of the results told to the sampler.
        direction: `maximize` or `minimize`.
        defaults: The hyperparameters that are not searched.
    """

    spec: Mapping[str, Any]
    data: DataSummary
    window: int
    direction: str
    defaults: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "spec": dict(self.spec),
            "data": summary_json(self.data),
            "window": self.window,
            "direction": self.direction,
            "fixed": {
                name: list(value) if isinstance(value, tuple) else value for name, value in self.defaults.items()
            },
        }

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield what a person wants to know, as names and texts."""
        spec, data = self.spec, self.data
        yield "sweep", spec["name"]
        yield "data", f"{spec['dataset']['source']}: {data.n_features} features"
        yield "task", f"{data.task}, {len(data.classes)} classes" if data.classes else str(data.task)
        yield "rows", f"{data.n_train} training, {data.n_validation} validation, {data.n_test} test"
        for note in data.notes:
            yield "note", note
        yield "objective", f"{self.direction} {spec['objective']['metric']}"
        for name, domain in spec["space"].items():
            yield "search", f"{name}: {show(domain)}"
        for name, value in self.defaults.items():
            yield "fixed", f"{name}: {show(value)}"
        budget, sampler = spec["budget"], spec["sampler"]["kind"]
        seconds = "" if budget["seconds"] is None else f", at most {budget['seconds']:g} seconds"
        yield "budget", f"{budget['trials']} trials of at most {spec['training']['epochs']} epochs{seconds}"
        yield "sampler", f"{sampler}, at most {self.window} suggestions ahead of the results"


def outline(spec: SweepSpec) -> Outline:
    """Load the data of a sweep file and return what a run of it would do; store nothing.

    Raises:
        DataError: The data cannot be used as the sweep file asks.
        SpecError: A metric is not computed for the data's task.
    """
    from dnnsweep import datasets

    summary = datasets.load(spec.dataset, spec.task).summary
    check_task(spec, summary.task)
    searched = {name: value for name, value in spec.defaults.to_params().items() if name not in spec.space}
    window = _window(spec)
    return Outline(spec.to_json(), summary, window, spec.objective.resolved_direction, searched)


def _window(spec: SweepSpec) -> int:
    return spec.sampler.window or study.window(spec.budget.trials)


def run(
    spec: SweepSpec,
    settings: Settings,
    *,
    data: tuple[Any, Any] | None,
    trainers: int | None,
    executor: str,
    on_progress: Callable[[Progress], None],
) -> SweepState:
    """Run a sweep until it is complete, stopped or interrupted; see `client.run` for the arguments."""
    if _is_done(spec, settings):
        return SweepState.COMPLETE
    job = Job(spec.to_json(), str(settings.models(spec.name)), data)
    wanted = trainers or spec.resources.trainers or n_cores()
    hands = _executor(executor, job, min(wanted, _window(spec)), settings.trainer)  # no more are ever busy
    with closing(hands):
        summary = hands.open()
        check_task(spec, summary.task)
        with closing(Ledger.open(settings.database_url, create=True)) as ledger:
            lease = ledger.begin(_new_sweep(spec, summary))
            return _control(spec, settings, ledger, lease, hands=hands, on_progress=on_progress)


def _is_done(spec: SweepSpec, settings: Settings) -> bool:
    """Return whether no trial is left to train, after delivering what MLflow has not seen.

    Refuses what could not be run, before trainers are started.
    """
    with suppress(SweepNotFoundError), closing(Ledger.open(settings.database_url)) as ledger:
        ledger.check(spec.name, spec.digest, spec.identity())
        sweep = ledger.sweep(spec.name)
        if sweep.n_finished < spec.budget.trials:
            return False
        if sweep.state is not SweepState.COMPLETE or sweep.n_trials != spec.budget.trials:
            ledger.conclude(spec.name, spec.to_json())
        if ledger.outbox.next_due() is not None:
            deliver_all(ledger, Tracker(settings), settings, DELIVERY_SECONDS)
        return True
    return False


def _executor(kind: str, job: Job, n_trainers: int, trainer: str) -> Executor:
    if kind == "inprocess":
        return InProcessExecutor(job, trainer)
    if kind == "local":
        return LocalExecutor(job, n_trainers, trainer)
    raise SpecError([Mistake("--executor", "must be local or inprocess", repr(kind))])


def _new_sweep(spec: SweepSpec, summary: DataSummary) -> NewSweep:
    return NewSweep(
        name=spec.name,
        spec=spec.to_json(),
        identity=spec.identity(),
        digest=spec.digest,
        data=summary,
        window=_window(spec),
        metric=spec.objective.metric,
        direction=spec.objective.resolved_direction,
    )


def _control(
    spec: SweepSpec,
    settings: Settings,
    ledger: Ledger,
    lease: Lease,
    *,
    hands: Executor,
    on_progress: Callable[[Progress], None],
) -> SweepState:
    tracker = Tracker(settings)
    shipper = Shipper(ledger, tracker, settings, lease.sweep_id)
    state = SweepState.INTERRUPTED
    try:
        sweep = ledger.sweep(spec.name)
        controller = Controller(_plan(sweep, settings), lease, _order(spec, sweep), hands, on_progress)
        ledger.outbox.hurry()
        shipper.start()
        with _interruptible(controller.interrupt):
            state = controller.run()
    except LeaseLostError:
        raise
    except BaseException as error:
        hands.close()
        with suppress(DnnsweepError):  # the first error counts
            abandon(lease, error)
        raise
    finally:
        hands.close()
        shipper.close(DELIVERY_SECONDS if state is SweepState.COMPLETE else INTERRUPTED_DELIVERY_SECONDS)
        if state is SweepState.COMPLETE and ledger.outbox.count(lease.sweep_id) == 0:
            tracker.optimise()
    return state


def _plan(sweep: Sweep, settings: Settings) -> Plan:
    return Plan(
        metric=sweep.metric,
        direction=sweep.direction,
        n_trials=sweep.n_trials,
        max_seconds=sweep.spec["budget"]["seconds"],
        models=settings.models(sweep.name),
    )


def _order(spec: SweepSpec, sweep: Sweep) -> FixedOrder:
    fresh = study.Study(spec.space, sweep.direction, spec.sampler.kind, spec.seed, spec.enqueue)
    return FixedOrder(fresh, spec.defaults, spec.seed, sweep.window)


@contextmanager
def _interruptible(interrupt: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the sweep at its next safe point; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: object) -> None:
        interrupt()
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
