"""Operating a home: stop and delete sweeps, run a worker, repair MLflow, and serve its UI."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from dnnsweep.errors import LedgerError
from dnnsweep.settings import find_settings, read_limits
from dnnsweep.stores.local import LocalStore
from dnnsweep.stores.polling import retry_while_uncertain
from dnnsweep.stores.resolve import Home, open_store, remote_store

if TYPE_CHECKING:
    from dnnsweep.delivery.doctor import Diagnosis

#: How long MLflow may keep the caller of an operation waiting.
MLFLOW_WAIT_SECONDS: Final = 60.0
#: How long a worker takes, at most, to finish or hand back what it runs.
WORKER_GRACE_SECONDS: Final = 30.0


def stop(name: str, *, home: Home = None) -> bool:
    """Ask whoever runs a sweep to stop, or take it from the queue; return whether it was running or waiting.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    with open_store(home) as store:
        return store.stop(name)


def delete(name: str, *, home: Home = None) -> bool:
    """Delete a sweep, its trials, its models and its MLflow runs.

    Returns:
        Whether MLflow has removed the runs already. If not, they are removed when MLflow can be reached again, those of
        a service by one of its workers.

    Raises:
        SweepNotFoundError: There is no such sweep.
        SweepHeldError: The sweep is running.
    """
    service = remote_store(home)
    if service is not None:
        return service.delete(name)
    from dnnsweep.delivery.shipper import deliver_all
    from dnnsweep.tracking import Tracker

    settings = find_settings(home)
    with LocalStore.opened(settings) as store:
        tracker = Tracker(settings)
        is_gone = retry_while_uncertain(lambda: store.delete(name))
        return is_gone or deliver_all(store.ledger, tracker, settings, MLFLOW_WAIT_SECONDS)


def work(
    *,
    home: Home = None,
    trainers: int | None = None,
    executor: str = "local",
    grace: float = WORKER_GRACE_SECONDS,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Run queued sweeps, one after the other, until SIGTERM or Ctrl-C.

    Args:
        home: Folder with the queue; None for the usual home.
        trainers: Number of training processes for a sweep; None takes the file's, else as many as repay their start.
        executor: Which executor runs the trainers; see `run`.
        grace: Seconds in which a sweep is finished or handed back to the queue after SIGTERM or Ctrl-C.
        say: Called with a line of text for each thing that happens.

    Raises:
        LedgerError: The ledger cannot be opened.
        SettingsError: A limit that the operator has set is wrong.
    """
    from dnnsweep.executors import ExecutorKind
    from dnnsweep.runner.worker import Worker, WorkerOptions

    options = WorkerOptions(ExecutorKind.named(executor), trainers, grace)
    Worker(find_settings(home), read_limits(), options, say).run()


def doctor(name: str | None = None, *, repair: bool = True, home: Home = None) -> Diagnosis:
    """Compare the ledger with MLflow run by run, and repair any mismatch.

    Args:
        name: The only sweep to compare; None for all sweeps that are not running.
        repair: Whether to deliver what is behind and make the runs agree with the ledger; if not, nothing is changed.
        home: Folder in which the sweeps are stored; None for the usual home.

    Raises:
        TrackingError: MLflow cannot be reached or refuses.
        LedgerError: The home can only be read, and `repair` is true.
    """
    from dnnsweep.delivery.doctor import diagnose

    with LocalStore.opened(find_settings(home)) as store:
        if repair and store.ledger.is_read_only:
            raise LedgerError(
                f"a home that can only be read cannot be repaired, got {find_settings(home).home}; "
                "`dnnsweep doctor --check` compares"
            )
        return diagnose(store.ledger, find_settings(home), name, repair=repair)


def serve_ui(
    name: str | None = None,
    *,
    port: int = 5000,
    home: Home = None,
    on_address: Callable[[str], None] = print,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve the MLflow UI on 127.0.0.1 until it is interrupted.

    Args:
        name: The sweep whose address is told; None for the list of all sweeps.
        port: Port to listen on.
        home: Folder whose runs are shown; None for the usual home.
        on_address: Called with the address once the UI answers there.
        say: Called with a line of text before each step that may take long.

    Raises:
        SweepNotFoundError: There is no such sweep.
        TrackingError: The UI cannot be started.
    """
    settings = find_settings(home)
    with LocalStore.opened(settings) as store:
        direction = None if name is None else store.sweep(name).direction
        say(f"starting the MLflow UI on port {port}" if settings.is_tracking_embedded else "asking the MLflow server")
        from dnnsweep import tracking  # takes seconds, as it loads MLflow
        from dnnsweep.delivery.shipper import deliver_all

        if settings.is_tracking_embedded:
            tracking.check_port(port)
        if not store.ledger.is_read_only:
            deliver_all(store.ledger, tracking.Tracker(settings), settings, MLFLOW_WAIT_SECONDS)
    tracking.serve_ui(settings, port, on_ready=on_address, experiment=name, direction=direction)
