"""Trains the repeats of a sweep with its own trainers, under its own lease."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dnnsweep.executors import Executor
from dnnsweep.ledger import RepeatLease
from dnnsweep.records import SweepState
from dnnsweep.records.phases import Phase
from dnnsweep.runner.controller import Controller, ControllerSettings, Progress
from dnnsweep.runner.repeat_order import PlannedRepeat, RepeatOrder, Results
from dnnsweep.settings import RETRAINED

#: A budget that no repeats reach: the plan ends them.
UNLIMITED: Final = 2**31


@dataclass(frozen=True, slots=True)
class RepeatTraining:
    """Trains what plans want.

    Args:
        settings: Settings of the sweep's controller, whose rules for trials hold for repeats.
        lease: The repeats.
        executor: The open executor that has trained the sweep.
        control: Runs a controller to its end.
        on_progress: Called after each change.
    """

    settings: ControllerSettings
    lease: RepeatLease
    executor: Executor
    control: Callable[[Controller], SweepState]
    on_progress: Callable[[Progress], None]

    def train(self, plan: Callable[[Results], Sequence[PlannedRepeat]], phase: Phase) -> tuple[SweepState, bool]:
        """Train what a plan wants until it wants nothing more.

        Args:
            plan: Returns all repeats that are wanted by now, given those that have ended.
            phase: What the run is doing meanwhile.

        Returns:
            `COMPLETE`, unless the run was stopped or interrupted; and whether the plan has all it wants. It has not,
            where the time of the sweep was spent.

        Raises:
            SweepFailedError: Too many repeats failed one after the other.
        """
        self.lease.close_unfinished_retrainings()
        order = RepeatOrder(self.lease, plan)
        settings = replace(
            self.settings,
            n_trials=UNLIMITED,
            target=None,
            keeps_all_models=True,
            kept_models=RETRAINED,
            is_followed=True,
            data={},  # curves of repeats are not kept, so nothing is told of them
        )

        n_before = self._n_ended()

        def report(progress: Progress) -> None:
            n_repeats = (self._n_ended() - n_before, len(self.lease.repeats) - n_before)
            self.on_progress(replace(progress, phase=phase, n_repeats=n_repeats))

        controller = Controller(settings, self.lease, order, self.executor, on_progress=report)
        return self.control(controller), order.is_over

    def remove_models(self, kept: str | None) -> None:
        """Remove the models of retrained configurations but one, once the ledger does not name them any more."""
        folder = self.settings.models / RETRAINED
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name != kept:
                path.unlink(missing_ok=True)

    def _n_ended(self) -> int:
        return sum(repeat.reason is not None for repeat in self.lease.repeats)
