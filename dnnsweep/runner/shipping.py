"""How a run brings its results to MLflow: by which shipper, and how long MLflow may keep its end waiting."""

from __future__ import annotations

from typing import Final, Protocol

from dnnsweep.delivery.process import ShipperProcess
from dnnsweep.delivery.shipper import Shipper
from dnnsweep.executors import ExecutorKind
from dnnsweep.ledger import Ledger
from dnnsweep.profiling import Profile
from dnnsweep.records import SweepState
from dnnsweep.settings import Settings
from dnnsweep.tracking import Tracker

#: How long MLflow may keep a complete sweep waiting.
COMPLETE_WAIT_SECONDS: Final = 300.0
#: How long it may keep a sweep waiting that was interrupted: whoever goes on with the sweep delivers the rest.
INTERRUPTED_WAIT_SECONDS: Final = 2.0
#: How long the first delivery of such a run may take: a run that is interrupted at once must not deliver nothing, each
#: time, because importing MLflow takes longer.
FIRST_WAIT_SECONDS: Final = 3.0
#: How long the end of a shipper that has nothing to deliver may keep an idle worker from looking for the next sweep.
IDLE_WAIT_SECONDS: Final = 5.0
#: The id of no sweep: a shipper that is told that it runs this one delivers sweeps that nobody runs.
UNOWNED: Final = ""


class Shipping(Protocol):
    """Brings to MLflow what a sweep has to show while it is trained."""

    def begin(self, ledger: Ledger, sweep_id: str, profile: Profile) -> None:
        """Begin to deliver a sweep that this process runs; the profile is told how long MLflow took."""

    def end(self, state: SweepState) -> None:
        """See to what is left of the sweep, which was left in this state."""


def _create_shipper(
    kind: ExecutorKind, ledger: Ledger, settings: Settings, sweep_id: str, profile: Profile
) -> Shipper | ShipperProcess:
    """Create what delivers to MLflow while a sweep is trained, not started yet.

    Where the training takes place in this process anyway, for debugging, a thread will do; else delivery is a process
    of its own, so that it does not hold the controller up.
    """
    if not kind.trains_in_this_process:
        return ShipperProcess(settings, sweep_id, profile)
    return Shipper(ledger, profile.time_methods("mlflow", Tracker(settings), "put"), settings, sweep_id)


class RunShipping:
    """The delivery of one run: whoever started it waits for MLflow.

    Args:
        kind: The executor that trains the sweep.
        settings: Where ledger, tracking store and models are.
    """

    def __init__(self, kind: ExecutorKind, settings: Settings) -> None:
        self._kind = kind
        self._settings = settings
        self._shipper: Shipper | ShipperProcess | None = None

    def begin(self, ledger: Ledger, sweep_id: str, profile: Profile) -> None:
        """Begin to deliver a sweep; see `Shipping`."""
        self._shipper = _create_shipper(self._kind, ledger, self._settings, sweep_id, profile)
        self._shipper.start()

    def end(self, state: SweepState) -> None:
        """Wait until MLflow has all of the sweep, for a moment only if the user has interrupted the run."""
        if self._shipper is None:
            return
        if state is SweepState.INTERRUPTED:
            self._shipper.close(INTERRUPTED_WAIT_SECONDS, FIRST_WAIT_SECONDS)
        else:
            self._shipper.close(COMPLETE_WAIT_SECONDS)


class WorkerShipping:
    """The delivery of a worker, which goes on between sweeps, for as long as there is something to deliver.

    The worker waits for MLflow only when it ends. So a short grace costs nothing that is delivered later.

    Args:
        kind: The executor that trains sweeps.
        settings: Where ledger, tracking store and models are.
    """

    def __init__(self, kind: ExecutorKind, settings: Settings) -> None:
        self._kind = kind
        self._settings = settings
        self._shipper: Shipper | ShipperProcess | None = None

    def begin(self, ledger: Ledger, sweep_id: str, profile: Profile) -> None:
        """Begin to deliver a sweep; see `Shipping`."""
        if self._shipper is None or not self._shipper.is_alive:
            self._start(ledger, sweep_id, profile)
        else:
            self._shipper.serve(sweep_id)

    def end(self, state: SweepState) -> None:  # noqa: ARG002  nobody waits, however the sweep was left
        """Deliver what is left of the sweep while the worker goes on."""
        if self._shipper is not None:
            self._shipper.serve(UNOWNED)

    def tend(self, ledger: Ledger) -> None:
        """Deliver what MLflow has missed of sweeps that nobody runs, or rest if there is nothing."""
        if ledger.outbox.seconds_to_next(UNOWNED) is None:
            self.close(IDLE_WAIT_SECONDS)
        elif self._shipper is None or not self._shipper.is_alive:
            ledger.outbox.make_due()
            self._start(ledger, UNOWNED, Profile())

    def close(self, seconds: float) -> None:
        """End.

        Args:
            seconds: How long MLflow may keep this process waiting.
        """
        shipper, self._shipper = self._shipper, None
        if shipper is not None:
            shipper.close(seconds)

    def _start(self, ledger: Ledger, sweep_id: str, profile: Profile) -> None:
        self.close(0.0)
        self._shipper = _create_shipper(self._kind, ledger, self._settings, sweep_id, profile)
        self._shipper.start()
