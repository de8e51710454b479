"""MLflow's UI: the command that serves it, and the address of a sweep in it."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from dnnsweep.errors import TrackingError
from dnnsweep.redaction import strip_credentials
from dnnsweep.settings import Settings
from dnnsweep.tracking.store import readable_copy
from dnnsweep.tracking.store_file import is_writable
from dnnsweep.tracking.tracker import Tracker
from dnnsweep.tracking.views import view_key

log: Final = logging.getLogger(__name__)
#: The file that takes what the UI prints.
LOG: Final = "mlflow-ui.log"
HOST: Final = "127.0.0.1"
START_SECONDS: Final = 120.0


def ui_command(settings: Settings, host: str = HOST, port: int = 5000) -> list[str]:
    """Return the command that serves MLflow's UI on the embedded store, to be run with `ui_environment`."""
    options = (
        ("--backend-store-uri", settings.tracking_uri),
        ("--artifacts-destination", settings.artifacts.as_uri()),
        ("--host", host),
        ("--port", str(port)),
        ("--workers", "1"),
    )
    return [sys.executable, "-m", "mlflow", "server", *(word for option in options for word in option)]


def ui_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for `ui_command`: one process, and no telemetry."""
    return {**environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def ui_url(address: str, experiment_id: str | None = None, direction: str | None = None) -> str:
    """Return the page of one sweep's runs, or the list of experiments.

    Args:
        address: Address at which the UI is served; that of a tracking server will do.
        experiment_id: Id of the sweep's experiment; None for the list of experiments.
        direction: `maximize` or `minimize` the objective, to list the trials flat, best first, with their
            hyperparameters. None shows the sweep's own run with its trials folded under it.

    Example:
        >>> ui_url("http://127.0.0.1:5000", "3")
        'http://127.0.0.1:5000/#/experiments/3/runs?workflowType=machine_learning'
    """
    page = "" if experiment_id is None else f"/{experiment_id}/runs"
    query = {"workflowType": "machine_learning"}
    if direction is not None:
        query["viewStateShareKey"] = view_key(direction)
    return f"{strip_credentials(address).rstrip('/')}/#/experiments{page}?{urlencode(query)}"


def serve_ui(
    settings: Settings,
    port: int = 5000,
    *,
    on_ready: Callable[[str], None] = print,
    experiment: str | None = None,
    direction: str | None = None,
) -> None:
    """Serve the UI on the embedded store until it is interrupted; a tracking server serves its own.

    Args:
        settings: Where the tracking store is.
        port: Port to listen on, on 127.0.0.1.
        on_ready: Called with the address once the UI answers.
        experiment: Name of the sweep whose address is told; None for the list of all sweeps.
        direction: Order of the sweep's trials; see `ui_url`.

    Raises:
        TrackingError: The store cannot be read, or the UI does not come up.
    """
    if not settings.is_tracking_embedded:
        on_ready(ui_url(settings.tracking_uri, _experiment_id(settings, experiment), direction))
        return
    with _served_store(settings) as (served, folder):
        experiment_id = _experiment_id(served, experiment)
        check_port(port)
        process = _start(served, port, folder)
        try:
            _wait_until_up(process, port, folder)
            on_ready(ui_url(f"http://{HOST}:{port}", experiment_id, direction))
            process.wait()
        finally:
            process.terminate()
            process.wait()


def _experiment_id(settings: Settings, experiment: str | None) -> str | None:
    tracker = Tracker(settings)
    tracker.prepare()
    return None if experiment is None else tracker.experiment_id(experiment)


@contextmanager
def _served_store(settings: Settings) -> Iterator[tuple[Settings, Path]]:
    """Yield the settings to serve, and a folder for the log; for a home that cannot be written, those of a copy."""
    if is_writable(settings.tracking_file):
        yield settings, settings.home
        return
    log.warning("the home %s can only be read, so the UI shows a copy of MLflow's store as it is now", settings.home)
    with readable_copy(settings) as copied, tempfile.TemporaryDirectory() as folder:
        yield copied, Path(folder)


def check_port(port: int) -> None:
    """Check that the UI can listen on a port.

    Raises:
        TrackingError: It is in use, or belongs to the system.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a port just left is free
        try:
            probe.bind((HOST, port))
        except OSError as error:
            rule, got = "the UI must be able to listen on its port", f"{port}: {error.strerror}"
            raise TrackingError(f"{rule}, got {got}; choose another one with --port") from error


def _start(settings: Settings, port: int, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / LOG).open("wb") as output:
        return subprocess.Popen(  # noqa: S603  our own interpreter
            ui_command(settings, port=port),
            env=ui_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _wait_until_up(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        if _answers(port):
            return
        time.sleep(0.1)
    if process.poll() is not None:
        check_port(port)  # somebody may have taken it meanwhile
    lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = f": {lines[-1]}" if lines else ""
    raise TrackingError(f"the UI must come up on port {port}, but did not{last}; {folder / LOG} says more")


def _answers(port: int) -> bool:
    connection = HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
