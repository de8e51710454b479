"""A sweep that this process holds the lease on: a controller trains it, while a shipper brings it to MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from dnnsweep import study
from dnnsweep.errors import DnnsweepError, LeaseLostError
from dnnsweep.executors import Executor
from dnnsweep.ledger import Lease, Ledger, NewSweep, RepeatLease
from dnnsweep.profiling import Profile
from dnnsweep.records import Sweep, SweepState
from dnnsweep.runner.answering import Answering, Isolation, is_answered
from dnnsweep.runner.controller import Controller, ControllerSettings, FixedOrder, Progress, abandon
from dnnsweep.runner.controller.stop_rules import StopRules, UntilConverged, WithoutImprovement
from dnnsweep.runner.repeat_training import RepeatTraining
from dnnsweep.runner.shipping import Shipping
from dnnsweep.runner.signals import Shutdown, handle_signals
from dnnsweep.runner.trial_noise import TrialNoise
from dnnsweep.settings import Settings
from dnnsweep.space import Coordinates
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
                order = self._order()
                self.ledger.outbox.make_due()
                self.shipping.begin(self.ledger, self.lease.sweep_id, self.profile)
                state, conclusion = self.profile.time_whole(lambda: self._train_trials(order, on_progress))
                if state is SweepState.COMPLETE:
                    state = self._answer(on_progress)
                    state = self.lease.end(state, why=conclusion if state is SweepState.COMPLETE else None)
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
        trials, training = self.ledger.trials_of(sweep), self._repeat_training(lease, on_progress)
        answering = Answering(self.spec, sweep, trials, training, opens_test=self.opens_test)
        if self.retrained is not None:
            return answering.retrain(self.retrained)
        return answering.run() if self.isolation is None else answering.isolate(self.isolation)

    def _train_trials(
        self, order: FixedOrder, on_progress: Callable[[Progress], None]
    ) -> tuple[SweepState, str | None]:
        """Train the trials, and measure the noise of the best one wherever that decides whether more are needed.

        Returns:
            How the sweep is to be left, and why if results have ended it before its budget was spent.
        """
        while True:
            controller = self._controller(order, on_progress)
            state = self._control(controller)
            if state is not SweepState.COMPLETE or order.unmeasured is None or not order.is_over:
                return state, order.conclusion
            noise, (number, params) = self._noise(), order.unmeasured
            state = noise.measure(number, params, self._repeat_training(noise.lease, on_progress))
            if state is not SweepState.COMPLETE:
                return self.lease.end(state), None
            order = self._order()

    def _noise(self) -> TrialNoise:
        return TrialNoise(RepeatLease(self.lease), self.spec.seed, self.spec.dataset.folds)

    def _repeat_training(self, lease: RepeatLease, on_progress: Callable[[Progress], None]) -> RepeatTraining:
        return RepeatTraining(self._controller_settings(), lease, self.executor, self._control, on_progress)

    def _control(self, controller: Controller) -> SweepState:
        """Run a controller; a signal interrupts a run here, and lets a worker finish what is being trained."""
        shutdown = self.shutdown
        if shutdown is None:
            with handle_signals(controller.interrupt):
                return controller.run()

        def drain() -> None:
            controller.drain(max(0.0, shutdown.grace - CLOSING_SECONDS))

        def begin_and_drain() -> None:
            shutdown.begin()
            drain()

        with handle_signals(begin_and_drain):
            if shutdown.is_requested:  # before the signals were handled here
                drain()
            return controller.run()

    def _controller(self, order: FixedOrder, on_progress: Callable[[Progress], None]) -> Controller:
        lease = self.profile.time_methods("ledger", self.lease, *LEASE_WRITES)
        lease = self.profile.time_context("ledger", lease, "turn")
        data = self.ledger.sweep(self.spec.name).data
        settings = replace(self._controller_settings(), data=data)
        return Controller(settings, lease, order, self.executor, on_progress=on_progress)

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

    def _order(self) -> FixedOrder:
        """Return what asks and tells, with the window that was stored when the sweep was created."""
        sweep, spec, defaults = self.ledger.sweep(self.spec.name), self.spec, self.spec.default_params
        fresh = study.Study(spec.space, sweep.directions, spec.sampler.kind, spec.seed, spec.enqueue, defaults)
        fresh.set_population(spec.population)
        fresh = self.profile.time_methods("tell", self.profile.time_methods("ask", fresh, "ask"), "tell")
        return FixedOrder(fresh, defaults, spec.seed, sweep.window, self._pruner(sweep), self._stop_rules())

    def _stop_rules(self) -> StopRules:
        spec, objective, n_trials = self.spec, self.spec.objectives[0], self.spec.budget.without_improvement
        without = None if n_trials is None else WithoutImprovement(objective, n_trials)
        if spec.budget.until is None:
            return StopRules(without)
        coordinates = Coordinates(spec.space, spec.default_params)
        return StopRules(without, UntilConverged(objective, coordinates, spec.seed, self._noise().of))

    def _pruner(self, sweep: Sweep) -> Pruner | NoPruning:
        spec = self.spec
        if spec.pruner.kind == "none":
            return NoPruning()
        return Pruner(spec.pruner.settings(), sweep.direction, spec.training.epochs, sweep.window, spec.seed)


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
