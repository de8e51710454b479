"""One run of a sweep on this machine, from the checked file to the delivered result."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Final

from dnnsweep import study
from dnnsweep.delivery.process import ShipperProcess
from dnnsweep.delivery.shipper import Shipper, deliver_all
from dnnsweep.errors import DnnsweepError, LeaseLostError, Mistake, SpecError, SweepHeldError, SweepNotFoundError
from dnnsweep.executors import Executor
from dnnsweep.executors.inprocess import InProcessExecutor
from dnnsweep.executors.local import LocalExecutor
from dnnsweep.ledger import Lease, Ledger, NewSweep, summary_json
from dnnsweep.profiling import Profile
from dnnsweep.records import DataSummary, Objective, Sweep, SweepState
from dnnsweep.records.ranking import reaches_target
from dnnsweep.runner.claim import Claim, interruptible
from dnnsweep.runner.controller import Controller, FixedOrder, Plan, Progress, abandon
from dnnsweep.settings import Settings
from dnnsweep.space import branch_texts, sometimes_absent, yaml_text
from dnnsweep.spec import HANDED_OVER, SweepSpec, check_task, load, load_named
from dnnsweep.study.pruning import Pruner
from dnnsweep.tracking import Tracker
from dnnsweep.trainers import Job, TrainerPlan, TrainerReady

LEASE_WRITES: Final = ("renew", "end")
#: How often to look whether another process has let a sweep go.
WAIT_SECONDS: Final = 1.0
#: How long MLflow may take at the end of a run, and after an interruption.
DELIVERY_SECONDS: Final = 300.0
INTERRUPTED_DELIVERY_SECONDS: Final = 2.0
#: What a worker keeps of its grace for all that follows the last trial.
CLOSING_SECONDS: Final = 4.0


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
    return load(spec, [*overrides, f"dataset.source='{HANDED_OVER}'"]) if has_data else load_named(spec, overrides)


@dataclass(frozen=True, slots=True)
class Outline:
    """What a run of a sweep file would do.

    Args:
        spec: The sweep file, resolved, as plain JSON.
        data: What the data are.
        window: How many suggestions may be ahead of the results told to the sampler.
        objectives: One, or two.
        defaults: The hyperparameters that are not searched.
        plan: How trials are trained, and why.
        otherwise: The values of hyperparameters whose conditions may not hold.
    """

    spec: Mapping[str, Any]
    data: DataSummary
    window: int
    objectives: tuple[Objective, ...]
    defaults: Mapping[str, Any]
    plan: TrainerPlan
    otherwise: Mapping[str, Any]

    @property
    def direction(self) -> str:
        """Return whether to `maximize` or to `minimize` the first objective."""
        return self.objectives[0].direction

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "spec": dict(self.spec),
            "data": summary_json(self.data),
            "window": self.window,
            "direction": self.direction,
            "trainer": {"kind": self.plan.kind, "slots": self.plan.slots, "device": self.plan.device},
            "fixed": {
                name: list(value) if isinstance(value, tuple) else value for name, value in self.defaults.items()
            },
        }

    def lines(self, *, is_explained: bool = False) -> Iterator[tuple[str, str]]:
        """Yield what a person wants to know, as names and texts; on demand why trials are trained as they are."""
        spec, data = self.spec, self.data
        yield "sweep", spec["name"]
        yield "data", f"{spec['dataset']['source']}: {data.n_features} features"
        yield "task", f"{data.task}, {len(data.classes)} classes" if data.classes else str(data.task)
        yield "rows", f"{data.n_train} training, {data.n_validation} validation, {data.n_test} test"
        for note in data.notes:
            yield "note", note
        yield "objective", " and ".join(map(str, self.objectives))
        for name, domain in spec["space"].items():
            for text in branch_texts(domain):
                yield "search", f"{name}: {text}"
            if name in self.otherwise:
                yield "search", f"{name}: {yaml_text(self.otherwise[name])} otherwise"
        for name, value in self.defaults.items():
            yield "fixed", f"{name}: {yaml_text(value)}"
        budget, sampler = spec["budget"], spec["sampler"]["kind"]
        seconds = "" if budget["seconds"] is None else f", at most {budget['seconds']:g} seconds"
        target = "" if budget["target"] is None else f", until {self.objectives[0].metric} is {budget['target']:g}"
        yield "budget", f"{budget['trials']} trials of at most {spec['training']['epochs']} epochs{seconds}{target}"
        yield "sampler", f"{sampler}, at most {self.window} suggestions ahead of the results"
        if spec["pruner"]["kind"] != "none":
            rest = ", ".join(f"{name}: {yaml_text(value)}" for name, value in spec["pruner"].items() if name != "kind")
            yield "pruner", f"{spec['pruner']['kind']}, {rest}"
        slots = f", {self.plan.slots} trials side by side" if self.plan.kind == "array" else ""
        yield "trainer", f"{self.plan.kind} on a {self.plan.device}{slots}"
        for reason in self.plan.reasons if is_explained else ():
            yield "because", reason


def outline(spec: SweepSpec) -> Outline:
    """Load the data of a sweep file and return what a run of it would do; store nothing.

    Raises:
        DataError: The data cannot be used as the sweep file asks.
        SpecError: A metric is not computed for the data's task.
    """
    from dnnsweep.trainers.auto import AutoTrainer

    opening = AutoTrainer(Job(spec.to_json())).open()
    defaults = spec.default_params
    fixed = {name: value for name, value in defaults.items() if name not in spec.space}
    otherwise = {name: defaults[name] for name in sometimes_absent(spec.space, defaults)}
    return Outline(spec.to_json(), opening.data, spec.window, spec.objectives, fixed, opening.plan, otherwise)


def run_sweep(
    spec: SweepSpec,
    settings: Settings,
    *,
    data: tuple[Any, Any] | None,
    trainers: int | None,
    executor: str,
    on_progress: Callable[[Progress], None],
    on_plan: Callable[[TrainerPlan], None] = lambda _: None,
    on_wait: Callable[[str], None] | None = None,
    profile: Profile | None = None,
) -> SweepState:
    """Run a sweep until it is complete, stopped or interrupted; see `client.run` for the arguments."""
    while True:
        try:
            return _run(
                spec,
                settings,
                data=data,
                trainers=trainers,
                executor=executor,
                on_progress=on_progress,
                on_plan=on_plan,
                profile=profile,
            )
        except SweepHeldError as held:
            if on_wait is None:
                raise
            on_wait(str(held))
        time.sleep(WAIT_SECONDS)


def _run(
    spec: SweepSpec,
    settings: Settings,
    *,
    data: tuple[Any, Any] | None,
    trainers: int | None,
    executor: str,
    on_progress: Callable[[Progress], None],
    on_plan: Callable[[TrainerPlan], None],
    profile: Profile | None,
) -> SweepState:
    """Run a sweep that nobody else runs.

    Raises:
        SweepHeldError: Somebody does.
    """
    known = _conclude_if_spent(spec, settings)
    if known is not None and _has_spent(known, spec):
        return SweepState.COMPLETE
    plan = None if known is None else _plan_of(known)
    job = Job(spec.to_json(), str(settings.models(spec.name)), data, plan)
    hands = _executor(executor, job, trainers or spec.resources.trainers, settings.trainer, spec.window)
    with closing(hands):
        opening = hands.open()
        check_task(spec, opening.data.task)
        on_plan(opening.plan)
        with closing(Ledger.open(settings.database_url, create=True, patience=settings.patience)) as ledger:
            lease = ledger.begin(_new_sweep(spec, opening))
            run = _Run(spec, settings, ledger, lease, hands, profile or Profile(), is_local=executor == "local")
            state = _control(run, on_progress)
            _note_usage(run)
            return state


@dataclass(frozen=True, slots=True)
class _Run:
    """What belongs to one run of a sweep."""

    spec: SweepSpec
    settings: Settings
    ledger: Ledger
    lease: Lease
    hands: Executor
    profile: Profile
    is_local: bool
    claim: Claim | None = None

    @property
    def is_draining(self) -> bool:
        """Return whether the worker that runs it is asked to end."""
        return self.claim is not None and self.claim.is_draining.is_set()


def _note_usage(run: _Run) -> None:
    n_slots, n_busy = run.hands.slot_epochs
    run.profile.occupancy = n_busy / n_slots if n_slots else None
    run.profile.trainer_memory_mb = run.hands.memory_mb
    run.profile.trials = run.profile.calls.get("tell", 0)


def run_claimed(spec: SweepSpec, settings: Settings, claim: Claim) -> SweepState:
    """Run a sweep that a worker has claimed, until it is complete, stopped, or handed back to the queue."""
    sweep = claim.ledger.sweep(spec.name)
    if _has_spent(sweep, spec):
        claim.lease.end(SweepState.COMPLETE)
        return SweepState.COMPLETE
    plan = _plan_of(sweep) if sweep.data else None
    job = Job(claim.spec, str(settings.models(spec.name)), None, plan)
    hands = _executor("local", job, claim.trainers, settings.trainer, spec.window)
    with closing(hands):
        with claim.loading():
            opening = hands.open()
        check_task(spec, opening.data.task)
        claim.check(opening.data)
        claim.ledger.store_data(claim.lease, _new_sweep(spec, opening))
        run = _Run(spec, settings, claim.ledger, claim.lease, hands, Profile(), is_local=True, claim=claim)
        return _control(run, lambda _: None)


def _plan_of(sweep: Sweep) -> TrainerPlan:
    """Return how a sweep's trials were trained before, and will be to its end."""
    reason = f"trainer: {sweep.trainer}, slots: {sweep.slots}, as when the sweep was created"
    return TrainerPlan(sweep.trainer, sweep.slots, sweep.device, (reason,))


def _conclude_if_spent(spec: SweepSpec, settings: Settings) -> Sweep | None:
    """Return the sweep as the ledger knows it; if no trial is left to train, conclude it and deliver what is left.

    Refuses what could not be run, before trainers are started.
    """
    with suppress(SweepNotFoundError), closing(Ledger.open(settings.database_url)) as ledger:
        ledger.check(spec.name, spec.digest, spec.identity())
        sweep = ledger.sweep(spec.name)
        if _has_spent(sweep, spec):
            if sweep.state is not SweepState.COMPLETE or sweep.n_trials != spec.budget.trials:
                ledger.mark_complete(spec.name, spec.to_json())
            if ledger.outbox.next_due() is not None:
                deliver_all(ledger, Tracker(settings), settings, DELIVERY_SECONDS)
        return sweep
    return None


def _has_spent(sweep: Sweep, spec: SweepSpec) -> bool:
    """Return whether a sweep has nothing left to train: all its trials, or a value as good as its target."""
    return sweep.n_finished >= spec.budget.trials or reaches_target(
        sweep.best_value, spec.budget.target, sweep.direction
    )


def _executor(kind: str, job: Job, n_trainers: int | None, trainer: str, n_most: int) -> Executor:
    if kind == "inprocess":
        return InProcessExecutor(job, trainer)
    if kind == "local":
        return LocalExecutor(job, n_trainers, trainer, n_most)
    raise SpecError([Mistake("--executor", "must be local or inprocess", repr(kind))])


def _new_sweep(spec: SweepSpec, opening: TrainerReady) -> NewSweep:
    plan = opening.plan
    return NewSweep.of(spec, opening.data, trainer=plan.kind, slots=plan.slots, device=plan.device)


def _control(run: _Run, on_progress: Callable[[Progress], None]) -> SweepState:
    profile, ledger, hands = run.profile, run.ledger, run.hands
    tracker, shipper = Tracker(run.settings), _shipper(run)
    state = SweepState.INTERRUPTED
    try:
        sweep = ledger.sweep(run.spec.name)
        lease = profile.time_context("ledger", profile.time_methods("ledger", run.lease, *LEASE_WRITES), "turn")
        order = _order(run.spec, sweep, profile)
        controller = Controller(_plan(sweep, run.settings, run.claim), lease, order, hands, on_progress)
        ledger.outbox.make_due()
        shipper.start()
        with interruptible(_interruption(run, controller)):
            if run.is_draining:
                _interruption(run, controller)()
            state = profile.time_whole(controller.run)
    except LeaseLostError:
        raise
    except BaseException as error:
        hands.close()
        if run.claim is None:
            with suppress(DnnsweepError):  # the first error counts
                abandon(run.lease, error)
        raise
    finally:
        hands.close()
        shipper.close(_delivery_seconds(run, state))
        if state is SweepState.COMPLETE and ledger.outbox.count(run.lease.sweep_id) == 0:
            tracker.optimise()
    return state


def _delivery_seconds(run: _Run, state: SweepState) -> float:
    """Return how long MLflow may take at the end; what is left of a worker's sweep is delivered by an idle worker."""
    if state is not SweepState.COMPLETE or run.is_draining:
        return INTERRUPTED_DELIVERY_SECONDS
    return DELIVERY_SECONDS if run.claim is None else min(DELIVERY_SECONDS, run.claim.grace)


def _interruption(run: _Run, controller: Controller) -> Callable[[], None]:
    """Return what a signal does: a sweep at hand is interrupted, a worker's may finish what is being trained."""
    claim = run.claim
    if claim is None:
        return controller.interrupt

    def drain() -> None:
        claim.is_draining.set()
        controller.drain(max(0.0, claim.grace - CLOSING_SECONDS))

    return drain


def _shipper(run: _Run) -> Shipper | ShipperProcess:
    if run.is_local:
        return ShipperProcess(run.settings, run.lease.sweep_id, run.profile)
    store = run.profile.time_methods("mlflow", Tracker(run.settings), "put")
    return Shipper(run.ledger, store, run.settings, run.lease.sweep_id)


def _plan(sweep: Sweep, settings: Settings, claim: Claim | None) -> Plan:
    return Plan(
        left_as=SweepState.INTERRUPTED if claim is None else SweepState.QUEUED,
        objectives=sweep.objectives,
        n_trials=sweep.n_trials,
        max_seconds=sweep.spec["budget"]["seconds"],
        models=settings.models(sweep.name),
        timeout=sweep.spec["training"].get("timeout_seconds"),
        target=sweep.spec["budget"].get("target"),
        silence=sweep.spec["resources"].get("silence_seconds", math.inf),
    )


def _order(spec: SweepSpec, sweep: Sweep, profile: Profile) -> FixedOrder:
    defaults = spec.default_params
    fresh = study.Study(spec.space, sweep.directions, spec.sampler.kind, spec.seed, spec.enqueue, defaults)
    fresh.set_population(spec.population)
    fresh = profile.time_methods("tell", profile.time_methods("ask", fresh, "ask"), "tell")
    return FixedOrder(fresh, defaults, spec.seed, sweep.window, _pruning(spec, sweep))


def _pruning(spec: SweepSpec, sweep: Sweep) -> Pruner | None:
    """Return what judges trials while they train; None where none is pruned."""
    if spec.pruner.kind == "none":
        return None
    return Pruner(spec.pruner.settings(), sweep.direction, spec.training.epochs, sweep.window, spec.seed)
