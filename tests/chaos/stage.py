"""Where a sweep is disturbed, and the commands that run it."""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from workspace import Command, Workspace

import dnnsweep
from chaos.audit import environment
from chaos.mlflow_server import MlflowServer
from chaos.plans import Plan
from dnnsweep.records import Trial

WORDS = {"trainer": b"dnnsweep.executors.trainer_process", "shipping": b"dnnsweep.delivery.process"}


@dataclass
class Stage:
    """A round's processes, and all that may be done to them.

    Args:
        workspace: Folder to run commands in; MLflow can be imported there.
        plan: What is run.
        chance: Decides what happens when.
        server: MLflow's; None for the embedded store.
        stack: Undone when the round is over.
        commands: Those that run or share the sweeps, started last.
        words: The command line of the last one.
    """

    workspace: Workspace
    plan: Plan
    chance: random.Random
    server: MlflowServer | None
    stack: ExitStack
    commands: list[Command] = field(default_factory=list)
    words: tuple[str, ...] = ()

    @property
    def store(self) -> Path:
        """Return the database of MLflow's runs."""
        return self.workspace.home / "mlflow.db" if self.server is None else self.server.database

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.store}" if self.server is None else self.server.uri

    def trials(self) -> list[Trial]:
        """Return the trials of all sweeps that there are."""
        with environment(self.workspace.environ):
            return [trial for name in self._names() for trial in self.workspace.trials(name)]

    def n_lost_attempts(self) -> int:
        """Return how many attempts have ended because their trainers did."""
        with environment(self.workspace.environ):
            events = [event for name in self._names() for event in dnnsweep.events(name, home=self.workspace.home)]
        return sum(event.kind == "attempt lost" for event in events)

    def _names(self) -> list[str]:
        return [sweep.name for sweep in dnnsweep.sweeps(home=self.workspace.home)]

    def alive(self) -> list[int]:
        """Return the processes of the commands that have not ended."""
        return [command.process.pid for command in self.commands if command.process.poll() is None]

    def pids(self, victim: str) -> list[int]:
        """Return the processes of a kind: `controller`, `trainer` or `shipping`."""
        if victim == "controller":
            return self.alive()
        found = []
        for pid in self.workspace.processes():
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if WORDS[victim] in line:
                found.append(pid)
        return found
