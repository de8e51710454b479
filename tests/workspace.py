"""Real `dnnsweep` processes for tests: started, watched, interrupted, and never left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import warm_processes
from examples import PROFILE
from warm_commands import ForkedProcess, start_beside_trainers, warm_commands
from warm_processes import SOCKET, ForkedChild

import dnnsweep
from dnnsweep.records import Trial

TESTS = Path(__file__).parent
MARK = "DNNSWEEP_TEST_MARK"
#: What the tests' sweeps have in common; the pretend trainer's curve depends on dropout and the seed.
SWEEP: dict[str, Any] = {
    "name": "pretend",
    "dataset": {"source": "sklearn:iris"},
    "space": {"dropout": {"low": 0.0, "high": 0.6}, "optimizer": ["sgd", "adam", "nadam"]},
    "objective": {"metric": "val_accuracy"},
    "training": {"epochs": 3},
    "budget": {"trials": 16},
}
#: Whether commands and what they start have their modules loaded; not by `make chaos`, nor with the full profile.
IS_WARM = PROFILE != "full" and "PYTEST_VERSION" in os.environ
#: Commands that load MLflow or the libraries of data in their own process.
HEAVY_COMMANDS = ("delete", "doctor", "validate")
#: How long a command may take on a busy machine before the test gives up.
PATIENCE = 90.0


def started_afresh(
    words: Sequence[str], *, cwd: Path, out: Path, err: Path, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a command in a session and an interpreter of its own."""
    with out.open("wb") as to_out, err.open("wb") as to_err:
        return subprocess.Popen(
            [sys.executable, "-m", "dnnsweep", *words],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=to_out,
            stderr=to_err,
            env=env,
            start_new_session=True,
        )


def started(
    words: Sequence[str], *, cwd: Path, out: Path, err: Path, env: Mapping[str, str]
) -> subprocess.Popen[bytes] | ForkedProcess | ForkedChild:
    """Start a command in a session of its own, with its modules loaded where that makes no difference."""
    if not IS_WARM:
        return started_afresh(words, cwd=cwd, out=out, err=err, env=env)
    socket = os.environ[SOCKET]
    warm_processes.lease(socket)  # the next command needs it too
    start = start_beside_trainers if words[0] in HEAVY_COMMANDS and not replaces_mlflow(env) else warm_commands().start
    return start(words, cwd=cwd, out=out, err=err, env={**env, SOCKET: socket})


def replaces_mlflow(env: Mapping[str, str]) -> bool:
    """Return whether an interpreter with this environment would import a module of a test as MLflow."""
    return any((Path(folder) / "mlflow.py").exists() for folder in env.get("PYTHONPATH", "").split(os.pathsep))


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Return whether a condition was met in time; what takes long to ask is asked less often."""
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        if condition():
            return True
        time.sleep(max(0.02, 4 * (time.monotonic() - began)))
    return condition()


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that is dead but not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def environment_of_a_user() -> dict[str, str]:
    """Return this process's environment without what only tests have in it."""
    return {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}


def identity(trials: list[Trial]) -> list[tuple[Any, ...]]:
    """Return what must not depend on how a sweep was run."""
    return [(t.number, dict(t.params), t.seed, t.value, t.state, t.reason, t.epochs) for t in trials]


@dataclass
class Command:
    """A started command; its output goes to files."""

    process: subprocess.Popen[bytes] | ForkedProcess | ForkedChild
    folder: Path

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    @property
    def code(self) -> int:
        return self.process.wait(PATIENCE)

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def n_ended(self) -> int:
        """Return how many trials are said to have ended."""
        return sum(line.startswith("[") for line in self.err.splitlines())

    def until_ended(self, n_trials: int) -> None:
        """Wait until so many trials have ended."""
        wait_until(lambda: self.n_ended >= n_trials or self.process.poll() is not None)
        assert self.process.poll() is None, f"ended too early: {self.err}"
        assert self.n_ended >= n_trials, self.err

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> float:
        """Send a signal to its process group, as a terminal does; return the seconds until it has ended."""
        start = time.monotonic()
        os.killpg(self.process.pid, number)
        self.process.wait(PATIENCE)
        return time.monotonic() - start


@dataclass
class Workspace:
    """A folder to run commands in; its home is ready for MLflow."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    commands: list[Command] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def gate(self) -> Path:
        """Trials from number 8 on wait until it exists, if the sweep's description says so."""
        return self.folder / "gate"

    def file(self, **changes: Any) -> str:
        """Write a sweep file; changes replace its sections."""
        path = self.folder / f"sweep-{uuid.uuid4().hex[:6]}.yaml"
        path.write_text(json.dumps({**SWEEP, **changes}))
        return str(path)

    def start(self, *words: str, environ: Mapping[str, str] | None = None) -> Command:
        """Start a command in a session of its own."""
        folder = self.folder / f"command-{len(self.commands)}"
        folder.mkdir()
        out, err, env = folder / "out", folder / "err", self.environment(environ)
        for file in (out, err):
            file.touch()
        self.commands.append(Command(started(words, cwd=self.folder, out=out, err=err, env=env), folder))
        return self.commands[-1]

    def run(self, *words: str, environ: Mapping[str, str] | None = None) -> Command:
        """Run a command to its end."""
        command = self.start(*words, environ=environ)
        command.process.wait(PATIENCE)
        return command

    def environment(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        inherited = environment_of_a_user().items()
        kept = {name: value for name, value in inherited if not name.startswith(("DNNSWEEP", "MLFLOW"))}
        own = {MARK: self.mark, "DNNSWEEP_HOME": str(self.home), "PYTHONPATH": str(TESTS), "COLUMNS": "200"}
        return {**kept, **own, **self.environ, **(changes or {})}

    def trials(self, name: str = "pretend") -> list[Trial]:
        return dnnsweep.trials(name, home=self.home)

    def processes(self) -> list[int]:
        """Return every process that one of these commands started, itself included, wherever it went."""
        wanted = f"{MARK}={self.mark}".encode()
        found = [command.process.pid for command in self.commands if command.process.poll() is None]
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return [pid for pid in dict.fromkeys(found) if is_alive(pid)]

    def trainers(self) -> list[int]:
        """Return the processes that train."""
        found = []
        for pid in self.processes():
            with suppress(OSError):
                if b"dnnsweep.executors.trainer_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def end(self) -> list[int]:
        """Kill what is left, and return it."""
        left = self.processes()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for command in self.commands:
            command.process.wait(PATIENCE)
        return left


def prepared(folder: Path, template: Path | None, environ: Mapping[str, str]) -> Workspace:
    """Return a workspace; with a template its MLflow store exists already, without one MLflow cannot be imported."""
    workspace = Workspace(folder, dict(environ))
    workspace.home.mkdir(parents=True)
    if template is not None:
        shutil.copy(template, workspace.home / "mlflow.db")
        return workspace
    without = folder / "without-mlflow"
    without.mkdir()
    (without / "mlflow.py").write_text("raise ImportError('this test does without MLflow')\n")
    workspace.environ["PYTHONPATH"] = os.pathsep.join([str(without), str(TESTS)])
    return workspace
