"""A sweep that this process holds the lease on: a controller trains it, while a shipper brings it to MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from dnnsweep import study
from dnnsweep.errors import DnnsweepError, LeaseLostError
from dnnsweep.executors import Executor
from dnnsweep.ledger import Lease, Ledger, NewSweep, RepeatLease
from dnnsweep.profiling import Profile
from dnnsweep.records import Sweep, SweepState
from dnnsweep.records.ranking import reaches_target
from dnnsweep.runner.answering import Answering, Isolation, is_answered
from dnnsweep.runner.controller import Controller, ControllerSettings, FixedOrder, Progress, abandon
from dnnsweep.runner.repeat_training import RepeatTraining
from dnnsweep.runner.shipping import Shipping
from dnnsweep.runner.signals import Shutdown, handle_signals
from dnnsweep.settings import Settings
from dnnsweep.spec import SweepSpec
from dnnsweep.study.pruning import NoPruning, Pruner
from dnnsweep.trainers import TrainerPlan, TrainerReady

#: The methods of a lease, beside its turns, whose time a profile counts as the ledger's.
LEASE_WRITES: Final = ("renew", "end")
#: What a worker keeps of its grace for all that follows the last trial.
CLOSING_SECONDS: Final = 4.0


@dataclass(frozen=True, slots=True)
class LeasedSweep:
    """A sweep that this process has leased, and what trains it.

    Args:
        spec: The checked sweep file.
        settings: Where ledger, tracking store and models are.
        ledger: The ledger that holds the sweep.
        lease: The right to write the sweep.
        executor: An open executor, which is closed once the sweep is trained.
        shipping: Brings the sweep to MLflow.
        profile: Filled with where the time goes.
        shutdown: When the worker that runs the sweep must end; None where no worker runs it.
        opens_test: Whether the winner may be scored on the test rows once the budget is complete.
        retrained: Number of the trial to retrain and score in place of the winner; None answers what the file asks.
        isolation: The comparison of a hyperparameter's values to make; None answers what the file asks.
    """

    spec: SweepSpec
    settings: Settings
    ledger: Ledger
    lease: Lease
    executor: Executor
    shipping: Shipping
    profile: Profile
    shutdown: Shutdown | None = None
    opens_test: bool = True
    retrained: int | None = None
    isolation: Isolation | None = None

    def train(self, on_progress: Callable[[Progress], None]) -> SweepState:
        """Train the sweep until it is complete, stopped or interrupted; return how it was left.

        Raises:
            LeaseLostError: Another controller took the sweep over.
            DnnsweepError: The sweep cannot go on; unless a worker runs it, which does so itself, it was abandoned.
        """
        state = SweepState.INTERRUPTED
        try:
            with self.lease.prolonged():  # taking up thousands of trials, or sampling after them, can take long
                controller = self._controller(on_progress)
                self.ledger.outbox.make_due()
                self.shipping.begin(self.ledger, self.lease.sweep_id, self.profile)
                state = self._control(controller, self.profile.time_whole)
                if state is SweepState.COMPLETE:
                    state = self.lease.end(self._answer(on_progress))
        except LeaseLostError:
            raise
        except BaseException as error:
            self.executor.close()
            if self.shutdown is None:
                with suppress(DnnsweepError):  # the first error counts
                    abandon(self.lease, error)
            raise
        finally:
            self.executor.close()
            self.shipping.end(state)
        return state

    def _answer(self, on_progress: Callable[[Progress], None]) -> SweepState:
        """Answer the sweep, whose trials have all ended; return how it is to be left."""
        sweep, lease = self.ledger.sweep(self.spec.name), RepeatLease(self.lease)
        is_named = self.retrained is not None or self.isolation is not None
        if not is_named and is_answered(lease.answer(), self.spec, sweep, opens_test=self.opens_test):
            return SweepState.COMPLETE
        training = RepeatTraining(self._controller_settings(), lease, self.executor, self._control, on_progress)
        trials = self.ledger.trials_of(sweep)
        answering = Answering(self.spec, sweep, trials, training, opens_test=self.opens_test)
        if self.retrained is not None:
            return answering.retrain(self.retrained)
        return answering.run() if self.isolation is None else answering.isolate(self.isolation)

    def _control(
        self, controller: Controller, run: Callable[[Callable[[], SweepState]], SweepState] = lambda run: run()
    ) -> SweepState:
        """Run the controller; a signal interrupts a run here, and lets a worker finish what is being trained.

        Args:
            controller: The controller of trials or of repeats.
            run: Calls the function that it is given, and may time it.
        """
        shutdown = self.shutdown
        if shutdown is None:
            with handle_signals(controller.interrupt):
                return run(controller.run)

        def drain() -> None:
            controller.drain(max(0.0, shutdown.grace - CLOSING_SECONDS))

        def begin_and_drain() -> None:
            shutdown.begin()
            drain()

        with handle_signals(begin_and_drain):
            if shutdown.is_requested:  # before the signals were handled here
                drain()
            return run(controller.run)

    def _controller(self, on_progress: Callable[[Progress], None]) -> Controller:
        sweep = self.ledger.sweep(self.spec.name)
        lease = self.profile.time_methods("ledger", self.lease, *LEASE_WRITES)
        lease = self.profile.time_context("ledger", lease, "turn")
        order = self._order(sweep)
        return Controller(self._controller_settings(), lease, order, self.executor, on_progress=on_progress)

    def _controller_settings(self) -> ControllerSettings:
        spec = self.spec
        return ControllerSettings(
            objectives=spec.objectives,
            n_trials=spec.budget.trials,
            max_seconds=spec.budget.seconds,
            models=self.settings.models(spec.name),
            timeout=spec.training.timeout_seconds,
            silence=spec.resources.silence_seconds,
            target=spec.budget.target,
            left_as=SweepState.INTERRUPTED if self.shutdown is None else SweepState.QUEUED,
            searched=tuple(spec.space),
            keeps_all_models=spec.keeps_all_models,
            is_followed=True,
        )

    def _order(self, sweep: Sweep) -> FixedOrder:
        """Return what asks and tells, with the window that was stored when the sweep was created."""
        spec, defaults = self.spec, self.spec.default_params
        fresh = study.Study(spec.space, sweep.directions, spec.sampler.kind, spec.seed, spec.enqueue, defaults)
        fresh.set_population(spec.population)
        fresh = self.profile.time_methods("tell", self.profile.time_methods("ask", fresh, "ask"), "tell")
        return FixedOrder(fresh, defaults, spec.seed, sweep.window, self._pruner(sweep))

    def _pruner(self, sweep: Sweep) -> Pruner | NoPruning:
        spec = self.spec
        if spec.pruner.kind == "none":
            return NoPruning()
        return Pruner(spec.pruner.settings(), sweep.direction, spec.training.epochs, sweep.window, spec.seed)


def has_spent_budget(sweep: Sweep, spec: SweepSpec) -> bool:
    """Return whether a sweep has nothing left to train: all its trials ended, or a value reaches its target."""
    return sweep.n_finished >= spec.budget.trials or reaches_target(
        sweep.best_value, spec.budget.target, sweep.direction
    )


def stored_plan(sweep: Sweep) -> TrainerPlan | None:
    """Return how a sweep's trials were trained before, and will be to its end; None if none was trained yet."""
    if not sweep.data:
        return None
    reason = f"trainer: {sweep.trainer}, slots: {sweep.slots}, as when the sweep was created"
    return TrainerPlan(sweep.trainer, sweep.slots, sweep.device, (reason,))


def stored_reading(sweep: Sweep) -> Mapping[str, Any] | None:
    """Return how the data of a sweep were read before, and will be to its end; None if nobody has read them yet."""
    return sweep.data.get("reading", {}) if sweep.data else None


def new_sweep(spec: SweepSpec, ready: TrainerReady) -> NewSweep:
    """Return a sweep as the ledger stores it, with what a trainer has told of its data and of the training."""
    plan = ready.plan
    return NewSweep.of(spec, ready.data, trainer=plan.kind, slots=plan.slots, device=plan.device)
