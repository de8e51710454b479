"""Loading MLflow, keeping its log lines back, and explaining its errors."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from dnnsweep.errors import TrackingError

# MLflow reads these from the environment only. No retries: MLflow would repeat the request that creates a run, and
# leave two of them when only the answer was lost; whoever delivers pages tries again and finds the run by its key.
ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
LEVEL_VARIABLE: Final = "MLFLOW_LOGGING_LEVEL"
LIBRARIES: Final = frozenset({"mlflow", "alembic", "sqlalchemy", "huey", "urllib3"})


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
def explain_errors(uri: str) -> Iterator[None]:
    """Turn whatever MLflow raises into a `TrackingError` that names the store."""
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:  # MLflow lets through what requests, SQLAlchemy, Alembic and JSON parsers raise
        raise TrackingError(_explain(uri, error)) from error


def _explain(uri: str, error: Exception) -> str:
    shown = strip_password(uri)
    text = " ".join(str(error).replace(uri.rstrip("/"), shown.rstrip("/")).split())[:500]
    return (
        f"the tracking store must take runs, got {type(error).__name__} from {shown}: {text}; "
        "start the server or correct MLFLOW_TRACKING_URI, what was not delivered is kept"
    )


def strip_password(uri: str) -> str:
    """Return an address without user and password.

    Example:
        >>> strip_password("https://me:secret@host:5000/path")
        'https://host:5000/path'
    """
    parts = urlsplit(uri)
    return uri.replace(f"{parts.netloc.rpartition('@')[0]}@", "", 1) if "@" in parts.netloc else uri


def ignore_errors(codes: AbstractSet[str], call: Callable[..., Any], *args: Any) -> Any:
    """Return what a call to MLflow returns; None if it fails with one of these codes."""
    try:
        return call(*args)
    except Exception as error:
        if getattr(error, "error_code", None) not in codes:
            raise
    return None
