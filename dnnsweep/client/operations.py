"""What keeps homes and services going: workers, the MLflow UI, deletions, and the comparison of ledger and MLflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from dnnsweep.settings import find_settings, read_limits
from dnnsweep.stores.local import LocalStore
from dnnsweep.stores.resolve import Home, remote_store

if TYPE_CHECKING:
    from dnnsweep.delivery.doctor import Diagnosis

#: How long deletions may keep the caller waiting for MLflow.
DELETE_SECONDS: Final = 60.0
#: In how many seconds a worker finishes or hands back what it runs.
GRACE_SECONDS: Final = 30.0


def work(
    *,
    home: Home = None,
    trainers: int | None = None,
    executor: str = "local",
    grace: float = GRACE_SECONDS,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Run queued sweeps, one after the other, until SIGTERM or Ctrl-C.

    Args:
        home: Where they are stored.
        trainers: Training processes of a sweep; None for what its file says, else one per core.
        executor: Which executor runs the trainers; see `run`.
        grace: Seconds in which a sweep is finished or handed back to the queue after SIGTERM or Ctrl-C.
        say: Called with a line of text for each thing that happens.

    Raises:
        LedgerError: The ledger cannot be opened.
        SettingsError: A limit of the operator's is wrong.
    """
    from dnnsweep.executors import ExecutorKind
    from dnnsweep.runner.worker import Worker, WorkerOptions

    options = WorkerOptions(ExecutorKind.named(executor), trainers, grace)
    Worker(find_settings(home), read_limits(), options, say).run()


def delete(name: str, *, home: Home = None) -> bool:
    """Remove a sweep, its trials, its model and its MLflow runs.

    Returns:
        Whether MLflow has removed the runs already; else they are removed when it can be reached again, those of a
        service by one of its workers.

    Raises:
        SweepNotFoundError: There is no such sweep.
        SweepHeldError: It is running.
    """
    service = remote_store(home)
    if service is not None:
        return service.delete(name)
    from dnnsweep.delivery.shipper import deliver_all
    from dnnsweep.tracking import Tracker

    settings = find_settings(home)
    with LocalStore.opened(settings) as place:
        tracker = Tracker(settings)
        return place.delete(name) or deliver_all(place.ledger, tracker, settings, DELETE_SECONDS)


def doctor(name: str | None = None, *, is_mending: bool = True, home: Home = None) -> Diagnosis:
    """Compare the ledger with MLflow, run by run, and mend what MLflow shows otherwise.

    Args:
        name: The only sweep to look at; None for all but those that are running.
        is_mending: Whether to deliver what is behind and to mend; else nothing is changed.
        home: Where the sweeps are stored.

    Raises:
        TrackingError: MLflow cannot be reached or refuses.
    """
    from dnnsweep.delivery.doctor import diagnose

    with LocalStore.opened(find_settings(home)) as place:
        return diagnose(place.ledger, find_settings(home), name, is_mending=is_mending)


def serve_ui(
    name: str | None = None, *, port: int = 5000, home: Home = None, on_address: Callable[[str], None] = print
) -> None:
    """Serve the MLflow UI on 127.0.0.1 until it is interrupted.

    Args:
        name: Print the address of this sweep; None for all.
        port: Where to listen.
        home: Whose runs to show.
        on_address: Called with the address; once the UI answers there.

    Raises:
        SweepNotFoundError: There is no such sweep.
        TrackingError: The UI cannot be started.
    """
    from dnnsweep import tracking
    from dnnsweep.delivery.shipper import deliver_all

    settings = find_settings(home)
    with LocalStore.opened(settings) as place:
        direction = None if name is None else place.sweep(name).direction
        deliver_all(place.ledger, tracking.Tracker(settings), settings, DELETE_SECONDS)
    tracking.serve_ui(settings, port, on_ready=on_address, experiment=name, direction=direction)
