"""Loading MLflow, keeping its log lines back, and explaining its errors."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies

from dnnsweep.addresses import is_loopback
from dnnsweep.errors import TrackingError
from dnnsweep.redaction import is_misread, redact, strip_credentials
from dnnsweep.settings import Settings

# MLflow reads these from the environment only. No retries: MLflow would repeat the request that creates a run, and
# leave two of them when only the answer was lost; whoever delivers pages tries again and finds the run by its key.
ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
LEVEL_VARIABLE: Final = "MLFLOW_LOGGING_LEVEL"
#: Values of MLFLOW_TRACKING_URI that are complete without a scheme.
PLAIN_NAMES: Final = frozenset({"databricks", "databricks-uc", "uc"})
_START: Final = "start the server or correct MLFLOW_TRACKING_URI, what was not delivered is kept"
#: What an error says -> what to do about it. None of these faults passes by itself.
_REMEDIES: Final = (
    (
        re.compile(r"error code 401|[Nn]ot authenticated|UNAUTHENTICATED"),
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    ),
    (
        re.compile(r"error code 403|PERMISSION_DENIED|Permission denied"),
        "give this user the right to write there, or log in as another one with MLFLOW_TRACKING_USERNAME",
    ),
    (
        re.compile(r"error code 404|unsupported URI|[Uu]nsupported scheme|Unsupported URI"),
        "correct MLFLOW_TRACKING_URI, which must lead to MLflow's server",
    ),
    (
        re.compile(r"ProxyError|Tunnel connection failed"),
        "correct the proxy that HTTP_PROXY or HTTPS_PROXY names, or name the server's host in NO_PROXY",
    ),
)
LIBRARIES: Final = frozenset({"mlflow", "alembic", "sqlalchemy", "huey", "urllib3"})

#: MLflow's codes of errors: nothing has the id or the name; something has the name already; a value is refused.
MISSING: Final = "RESOURCE_DOES_NOT_EXIST"
TAKEN: Final = "RESOURCE_ALREADY_EXISTS"
INVALID: Final = "INVALID_PARAMETER_VALUE"


def load() -> Any:
    """Import MLflow without a log line, and leave its loggers as it would have set them up itself."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "mlflow" in sys.modules:
        return importlib.import_module("mlflow")
    level = os.environ.get(LEVEL_VARIABLE)
    os.environ[LEVEL_VARIABLE] = "WARNING"
    try:
        mlflow = importlib.import_module("mlflow")
    finally:
        os.environ.pop(LEVEL_VARIABLE)
        if level is not None:
            os.environ[LEVEL_VARIABLE] = level
    logging.getLogger("mlflow").setLevel((level or "INFO").upper())
    return mlflow


@contextmanager
def silence_logs() -> Iterator[None]:
    """Drop the log lines that MLflow and its libraries write in this thread; all others are kept."""
    thread = threading.get_ident()

    def is_kept(record: logging.LogRecord) -> bool:
        return record.thread != thread or record.name.partition(".")[0] not in LIBRARIES

    # MLflow's handler also serves Alembic and SQLAlchemy; urllib3 has none and would fall back to stderr.
    filtered: list[logging.Filterer] = [
        *logging.getLogger("mlflow").handlers,
        logging.getLogger("urllib3.connectionpool"),
    ]
    for log in filtered:
        log.addFilter(is_kept)
    try:
        yield
    finally:
        for log in filtered:
            log.removeFilter(is_kept)


@contextmanager
def explain_errors(settings: Settings) -> Iterator[None]:
    """Turn whatever MLflow raises into a `TrackingError` that names the store, the reason and the remedy."""
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:  # MLflow lets through what requests, SQLAlchemy, Alembic and JSON parsers raise
        raise TrackingError(explain(settings, error)) from error


def explain(settings: Settings, error: Exception) -> str:
    """Return why MLflow did not do what it was asked, and what to do about it."""
    uri = settings.tracking_uri
    shown = strip_credentials(uri)
    text = " ".join(redact(str(error).replace(uri.rstrip("/"), shown.rstrip("/"))).split())[:500]
    return f"MLflow must take runs, got {type(error).__name__} from {shown}: {text}; {_remedy(settings, text)}"


def _remedy(settings: Settings, text: str) -> str:
    """Return what to do about an error: only a server that is away comes back by itself."""
    if settings.is_tracking_embedded:
        return f"what was not delivered is kept, see that {settings.home} can be written"
    return next((remedy for pattern, remedy in _REMEDIES if pattern.search(text)), _START)


def check_address(settings: Settings) -> None:
    """Check that the address of the tracking server means to MLflow what its user meant.

    Raises:
        TrackingError: It has no scheme, so that MLflow would take it for a folder; or a part of its password would be
            taken for something else, and shown.
    """
    uri = settings.tracking_uri
    if is_misread(uri):
        raise TrackingError(
            "MLFLOW_TRACKING_URI must have no @ behind its host; write special characters of a password as %XX, "
            "what was not delivered is kept"
        )
    if "://" not in uri and uri.partition(":")[0] not in PLAIN_NAMES:
        got = strip_credentials(f"any://{uri}").removeprefix("any://")
        raise TrackingError(
            f"MLFLOW_TRACKING_URI must be an address with a scheme, got {got}; write http://HOST:PORT, "
            "what was not delivered is kept"
        )


def bypass_proxy(settings: Settings, environ: MutableMapping[str, str] = os.environ) -> None:
    """Let MLflow, which asks the environment for a proxy, send none to it that goes to this machine itself."""
    host = "" if settings.is_tracking_embedded else urlsplit(settings.tracking_uri).hostname or ""
    if is_loopback(host) and getproxies():
        name = "no_proxy" if environ.get("no_proxy") else "NO_PROXY"
        hosts = [each.strip() for each in environ.get(name, "").split(",") if each.strip()]
        environ[name] = ",".join(dict.fromkeys((*hosts, host)))


def ignore_errors(codes: AbstractSet[str], call: Callable[..., Any], *args: Any) -> Any:
    """Return what a call to MLflow returns; None if it fails with one of these codes."""
    try:
        return call(*args)
    except Exception as error:
        if getattr(error, "error_code", None) not in codes:
            raise
    return None
