"""How a run brings its results to MLflow: by which shipper, and how long MLflow may keep its end waiting."""

from __future__ import annotations

from typing import Final

from dnnsweep.delivery.process import ShipperProcess
from dnnsweep.delivery.shipper import Shipper, deliver_all
from dnnsweep.executors import ExecutorKind
from dnnsweep.ledger import Ledger
from dnnsweep.profiling import Profile
from dnnsweep.records import SweepState
from dnnsweep.runner.signals import Shutdown
from dnnsweep.settings import Settings
from dnnsweep.tracking import Tracker

#: How long MLflow may keep a complete sweep waiting.
COMPLETE_WAIT_SECONDS: Final = 300.0
#: How long it may keep a sweep waiting that was interrupted: whoever goes on with the sweep delivers the rest.
INTERRUPTED_WAIT_SECONDS: Final = 2.0
#: How long MLflow may keep an idle worker from looking for the next sweep.
IDLE_WAIT_SECONDS: Final = 20.0
#: The id of no sweep: a shipper that is told that it runs this one delivers sweeps that nobody runs.
UNOWNED: Final = ""


def create_shipper(
    kind: ExecutorKind, ledger: Ledger, settings: Settings, sweep_id: str, profile: Profile
) -> Shipper | ShipperProcess:
    """Create what delivers to MLflow while a sweep is trained, not started yet.

    Where the training takes place in this process anyway, for debugging, a thread will do; else delivery is a process
    of its own, so that it does not hold the controller up.

    Args:
        kind: The executor that trains the sweep.
        ledger: The ledger that holds the sweep.
        settings: Where ledger, tracking store and models are.
        sweep_id: The sweep that this process runs.
        profile: Told how long MLflow took.
    """
    if not kind.trains_in_this_process:
        return ShipperProcess(settings, sweep_id, profile)
    return Shipper(ledger, profile.time_methods("mlflow", Tracker(settings), "put"), settings, sweep_id)


def delivery_seconds(state: SweepState, shutdown: Shutdown | None) -> float:
    """Return how long MLflow may keep the end of a run waiting.

    Args:
        state: How the sweep was left.
        shutdown: When the worker that runs the sweep must end; None where no worker runs it. What is left of a
            worker's sweep is delivered by any idle worker, so that it waits no longer than its grace.
    """
    if state is not SweepState.COMPLETE or (shutdown is not None and shutdown.is_requested):
        return INTERRUPTED_WAIT_SECONDS
    return COMPLETE_WAIT_SECONDS if shutdown is None else min(COMPLETE_WAIT_SECONDS, shutdown.grace)


def deliver_rest(ledger: Ledger, settings: Settings) -> None:
    """Deliver what MLflow has not seen of sweeps that nobody runs; waits up to `COMPLETE_WAIT_SECONDS` for MLflow."""
    if ledger.outbox.next_due() is not None:
        deliver_all(ledger, Tracker(settings), settings, COMPLETE_WAIT_SECONDS)


def deliver_unowned(ledger: Ledger, settings: Settings, grace: float) -> None:
    """Deliver what MLflow has missed of sweeps that nobody runs, in a process of its own.

    Args:
        ledger: The ledger that holds the sweeps.
        settings: Where ledger, tracking store and models are.
        grace: Seconds after which the caller may have to end.
    """
    if ledger.outbox.next_due(UNOWNED) is None:
        return
    ledger.outbox.make_due()
    shipper = ShipperProcess(settings, UNOWNED, Profile())
    shipper.start()
    shipper.close(min(IDLE_WAIT_SECONDS, grace))
