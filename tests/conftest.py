"""What all tests share: TensorFlow quiet and on one thread, whoever imports it first; an MLflow store to copy."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import postgres
import pytest
from examples import load_profile
from warm_python import WarmPython

load_profile()

for name, value in {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}.items():
    os.environ.setdefault(name, value)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store: creating one takes seconds, copying it does not."""
    database = tmp_path_factory.mktemp("template") / "mlflow.db"
    code = "import sys, mlflow; mlflow.MlflowClient(tracking_uri=sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, f"sqlite:///{database}"], check=True, capture_output=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    return database


@pytest.fixture(scope="session")
def warm_python() -> Iterator[WarmPython]:
    """What runs Python programs without letting each of them load TensorFlow."""
    made = WarmPython()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Server]:
    """A PostgreSQL that runs as long as the tests do; each takes a database of its own from it."""
    with postgres.running() as server:
        yield server
