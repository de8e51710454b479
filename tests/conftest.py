"""What all tests share: TensorFlow quiet and on one thread, whoever imports it first; an MLflow store to copy."""

from __future__ import annotations

import ctypes
import fcntl
import functools
import gc
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, ClassVar

import postgres
import pytest
import warm_processes
from examples import PROFILE, QUICK_COMPILATION, load_profile
from shares import in_shares
from warm_processes import SOCKET
from warm_python import WarmPython
from workspace import IS_WARM

load_profile()

for name, value in {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    # Tests compile many programs and train each for a moment: without its optimizations XLA takes half the time.
    # The project's own processes do without (`workspace.environment_of_a_user`), and so does the full profile.
    **({} if PROFILE == "full" else {"XLA_FLAGS": QUICK_COMPILATION}),
}.items():
    os.environ.setdefault(name, value)


class Memory:
    """What this process holds of the machine's memory.

    Networks that are built and thrown away leave holes in the heap of C, which grows by gigabytes unless it is asked to
    close them.
    """

    #: Closing holes takes a moment, and is put off until the process has grown by so many bytes.
    STEP: ClassVar[int] = 128 * 2**20

    def __init__(self) -> None:
        self._before = self.n_bytes()

    def n_bytes(self) -> int:
        with suppress(OSError):
            return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return 0

    def give_back(self) -> None:
        if self.n_bytes() < self._before + self.STEP:
            return
        with suppress(OSError, AttributeError):  # another C library than the GNU system's
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        self._before = self.n_bytes()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let several processes begin with tests that wait, and others with those that compute."""
    if n_processes := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
        items[:] = in_shares(items, n_processes)


def pytest_collection_finish() -> None:
    """Search for garbage seldom, and leave out what libraries and tests have made so far: it stays."""
    gc.collect()
    gc.freeze()
    # Building a network makes hundreds of thousands of objects that stay until its test ends.
    gc.set_threshold(50_000, 10, 50)


@pytest.fixture(scope="session")
def memory() -> Memory:
    return Memory()


@pytest.fixture(autouse=True)
def _give_memory_back(memory: Memory) -> Iterator[None]:
    yield
    memory.give_back()


@pytest.fixture(autouse=True, scope="module")
def _forget_networks() -> Iterator[None]:
    """What tests of one module have built is of no use to the next one."""
    yield
    if keras := sys.modules.get("keras"):
        keras.utils.clear_session()
        gc.collect()


@pytest.fixture(autouse=True)
def _compile_where_that_matters(request: pytest.FixtureRequest) -> Iterator[None]:
    """Carry out programs operation by operation in tests that are marked as `examples.uncompiled`."""
    if PROFILE == "full" or request.node.get_closest_marker("uncompiled") is None:
        yield
        return
    from dnnsweep.trainers.array.program import ArrayProgram
    from dnnsweep.trainers.compiled.epoch_program import EpochProgram

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((ArrayProgram, "run"), (ArrayProgram, "start_trial"), (EpochProgram, "epoch")):
            patch.setattr(owner, name, _uncompiled(getattr(owner, name)))
        yield


def _uncompiled(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that calls TensorFlow's functions as they stand."""
    import tensorflow as tf

    @functools.wraps(method)
    def call(*arguments: Any) -> Any:
        tf.config.run_functions_eagerly(run_eagerly=True)
        try:
            return method(*arguments)
        finally:
            tf.config.run_functions_eagerly(run_eagerly=False)

    return call


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes that test have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def _processes_are_warm(shared_folder: Path) -> None:
    if IS_WARM:
        os.environ[SOCKET] = str(shared_folder / "processes.socket")
        warm_processes.take_place()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> Path:
    """An empty MLflow store for all processes that test: creating one takes seconds, copying it does not."""
    own = tmp_path_factory.getbasetemp()
    database = shared_folder / "mlflow-template.db"
    with (shared_folder / "mlflow-template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first process creates it, others wait
        if not database.exists():
            create_store(own / "creating.db").rename(database)
    return database


def create_store(database: Path) -> Path:
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
