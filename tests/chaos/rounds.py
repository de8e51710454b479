"""Rounds: sweeps that are run to their end while they are disturbed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import postgres
from workspace import SWEEP, Command, prepared, wait_until

import dnnsweep
from chaos.audit import Outcome, Row, audited, environment, outcome_of
from chaos.disturbances import Disturbance, Kills
from chaos.mlflow_server import MlflowServer
from chaos.plans import PRETENDED, Plan
from chaos.stage import Stage
from dnnsweep.records import SweepState

#: A round ends at last, whatever is done to it.
MAX_RUNS = 60
#: How long a round may take when nobody disturbs it any more.
END_SECONDS = 300
N_WORKERS = 2


class Round:
    """One sweep that is disturbed, or several that two workers share.

    Args:
        stage: Where they are run.
        disturbance: What is done to them.
        n_faults: How often at most.
    """

    def __init__(self, stage: Stage, disturbance: Disturbance, n_faults: int) -> None:
        self._stage = stage
        self._disturbance = disturbance
        self._n_faults = n_faults
        self._deadline = 0.0

    def run(self) -> None:
        """Run all to the end, and deliver what is left."""
        if self._stage.plan.n_sweeps:
            self._share()
        else:
            self._repeat()
        self._conclude()

    def _repeat(self) -> None:
        """Run a sweep again until it is complete."""
        for _ in range(MAX_RUNS):
            command = self._start(0, "run", self._file(self._stage.plan.names[0]), "--trainers", "2")
            self._stage.commands = [command]
            while command.process.poll() is None:
                self._disturb(command)
            if command.code == 0:
                return
        raise AssertionError(f"the sweep did not end in {MAX_RUNS} runs: {command.err[-2000:]}")

    def _share(self) -> None:
        """Let two workers train queued sweeps, and replace those that have ended."""
        with environment(self._stage.workspace.environ):
            for name in self._stage.plan.names:
                words = {**SWEEP, **self._stage.plan.sweep, "name": name}
                dnnsweep.submit(words, home=self._stage.workspace.home)
        workers = self._stage.commands
        workers += [self._worker(index) for index in range(N_WORKERS)]
        while not self._is_complete():
            self._disturb(workers[0])
            for index, worker in enumerate(workers):
                if worker.process.poll() is not None:
                    workers[index] = self._worker(index)
        for worker in workers:
            with suppress(ProcessLookupError):
                worker.process.send_signal(signal.SIGTERM)
            worker.process.wait(END_SECONDS)

    def _is_complete(self) -> bool:
        with environment(self._stage.workspace.environ):
            return all(sweep.state is SweepState.COMPLETE for sweep in dnnsweep.sweeps(home=self._stage.workspace.home))

    def _worker(self, index: int) -> Command:
        return self._start(index, "worker", "--trainers", "1")

    def _start(self, index: int, *words: str) -> Command:
        self._stage.words = words
        return self._stage.workspace.start(*words, environ=self._disturbance.environ(index))

    def _file(self, name: str) -> str:
        return self._stage.workspace.file(**{**self._stage.plan.sweep, "name": name})

    def _disturb(self, command: Command) -> None:
        """Wait for a while, or for the end of a command; then disturb, unless it was done often enough."""
        with suppress(subprocess.TimeoutExpired):
            command.process.wait(self._stage.chance.uniform(*self._stage.plan.pause))
        if self._disturbance.n_faults < self._n_faults:
            self._disturbance.strike()
            self._deadline = time.monotonic() + END_SECONDS
            return
        self._disturbance.relent()
        assert time.monotonic() < self._deadline, [each.err[-2000:] for each in self._stage.commands]

    def _conclude(self) -> None:
        """Deliver what is left."""
        self._disturbance.relent()
        if self._stage.server is not None:
            assert wait_until(self._stage.server.is_up, END_SECONDS)
        for name in self._stage.plan.names:
            words = ("doctor", name) if self._disturbance.needs_doctor else ("run", self._file(name))
            done = self._stage.workspace.start(*words)
            assert done.process.wait(END_SECONDS) == 0, done.err


def undisturbed(folder: Path, plan: Plan = PRETENDED) -> Outcome:
    """Return what a sweep gives that nobody disturbs."""
    workspace = prepared(folder, None, plan.environ)
    command = workspace.start("run", workspace.file(**plan.sweep), "--trainers", "1")
    assert command.process.wait(END_SECONDS) == 0, command.err
    return outcome_of(workspace, str(plan.sweep["name"]))


def disturbed(
    folder: Path,
    chance: random.Random,
    n_faults: int,
    expected: Outcome,
    *,
    kind: Callable[[Stage], Disturbance] = Kills,
    plan: Plan = PRETENDED,
    title: str = "any process killed",
    template: Path | None = None,
    database: postgres.Server | None = None,
    has_server: bool = False,
) -> Row:
    """Run rounds until they were disturbed so often; return what is left of their sweeps, added up.

    Args:
        folder: Empty; a folder in it for each round.
        chance: Decides what happens when.
        n_faults: How often to disturb.
        expected: The undisturbed sweep.
        kind: Makes what is done to a round.
        plan: What is run.
        title: What is done, in words.
        template: An empty MLflow store to copy, where there is no server.
        database: PostgreSQL for the ledger; None for SQLite.
        has_server: Whether MLflow is a server of its own.
    """
    place = f"{'SQLite' if database is None else 'PostgreSQL'}, MLflow {'server' if has_server else 'embedded'}"
    total = Row(f"{title}: {place}")
    for index in range(n_faults):
        own = folder / f"round-{index}"
        own.mkdir()
        environ = {**plan.environ, **({} if database is None else {"DNNSWEEP_DATABASE_URL": database.database()})}
        with ExitStack() as stack:
            server = _started(own, stack) if has_server else None
            if server is not None:
                environ["MLFLOW_TRACKING_URI"] = server.uri
            workspace = prepared(own, None, environ)
            workspace.environ["PYTHONPATH"] = str(Path(__file__).parents[1])  # MLflow can be imported
            if template is not None and not has_server:
                (workspace.home / "mlflow.db").write_bytes(template.read_bytes())
            stage = Stage(workspace, plan, chance, server, stack)
            disturbance = kind(stage)
            stack.callback(workspace.end)
            Round(stage, disturbance, min(n_faults - total.faults, plan.n_faults)).run()
            row = _row(stage, expected)
            row.faults = disturbance.n_faults
        if not row.is_good:
            sys.stderr.write(f"{own}: {row}\n")
        assert row.faults, f"{title}: nothing was disturbed"
        total.add(row)
        if total.faults >= n_faults:
            break
    return total


def _started(folder: Path, stack: ExitStack) -> MlflowServer:
    server = MlflowServer(folder)
    stack.callback(server.kill)
    server.start()
    assert wait_until(server.is_up, END_SECONDS)
    return server


def _row(stage: Stage, expected: Outcome) -> Row:
    row = Row("")
    for name in stage.plan.names:
        row.add(audited("", stage.workspace, stage.tracking_uri, expected, 0, name, stage.plan.may_fail))
    return row
