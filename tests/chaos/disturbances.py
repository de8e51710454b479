"""What is done to sweeps: processes killed, clocks set, disks failed, runs purged, requests lost and doubled."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import disturbed_trainer
from proxy import Fault, Proxy
from workspace import wait_until

from chaos.clocks import clock
from chaos.disk import Disk
from chaos.stage import Stage
from dnnsweep.records import State, Trial

#: Who is killed, how often among ten.
VICTIMS = {"controller": 4, "trainer": 3, "shipping": 2, "server": 1}
#: Trials that were lost so often are spared: once more, and they would rightly end as killed.
MAX_LOSSES = 2
#: How soon a run notices that a trainer was killed.
LOSS_SECONDS = 5
#: How far clocks are set.
JUMP_SECONDS = 200.0
#: How requests are disturbed, and which share of them.
REQUESTS = {Fault.TWICE: 0.5, Fault.LOST: 0.25, Fault.ERROR: 0.25, Fault.HANG: 0.05}
#: Runs that are purged at a time.
MAX_PURGED = 3
#: How long a run may take that finds its disk read-only.
END_SECONDS = 300


class Disturbance:
    """Something that happens to a sweep; this one lets it be.

    Args:
        stage: What is disturbed.
    """

    #: Whether `dnnsweep doctor` has to mend what is left; otherwise the sweep is run again, which only delivers.
    needs_doctor = False

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._n_faults = 0

    @property
    def n_faults(self) -> int:
        """Return how often it has disturbed."""
        return self._n_faults

    def environ(self, index: int) -> Mapping[str, str]:  # noqa: ARG002  for those that do
        """Return what the environment of a command is to have beside the rest.

        Args:
            index: Tells the workers apart.
        """
        return {}

    def strike(self) -> None:
        """Disturb once, if there is something to disturb."""

    def relent(self) -> None:
        """Let all be well from now on."""


class Kills(Disturbance):
    """Processes of all kinds are killed."""

    def strike(self) -> None:
        """Kill one."""
        victim = self._stage.chance.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        if victim == "server":
            self._restart_server()
        else:
            self._kill(self._stage.pids(victim))

    def _restart_server(self) -> None:
        if self._stage.server is not None:
            self._stage.server.kill()
            self._stage.server.start()
            self._n_faults += 1

    def _kill(self, pids: list[int]) -> None:
        if pids and self._stage.alive():
            with suppress(ProcessLookupError):
                os.kill(self._stage.chance.choice(pids), signal.SIGKILL)
                self._n_faults += 1


class TrainerKills(Kills):
    """Trainers are killed that have reported an epoch, while they train."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._marks = _marks(stage)

    def strike(self) -> None:
        """Kill one, if that costs no trial its last attempt; count it if it cost a trial an attempt."""
        if any(_is_at_its_last(trial) for trial in self._stage.trials()):
            return
        n_faults, n_lost = self._n_faults, self._stage.n_lost_attempts()
        self._kill([pid for pid in self._stage.pids("trainer") if (self._marks / str(pid)).exists()])
        if self._n_faults > n_faults and not wait_until(lambda: self._stage.n_lost_attempts() > n_lost, LOSS_SECONDS):
            self._n_faults = n_faults


def _is_at_its_last(trial: Trial) -> bool:
    """Return whether a trial runs for the last time, or is to."""
    is_waiting = trial.state is State.QUEUED
    return trial.reason is None and trial.attempts + is_waiting > MAX_LOSSES


class Starvation(Disturbance):
    """Trainers get no more memory in the middle of their work; they see to that themselves."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._marks = _marks(stage)

    @property
    def n_faults(self) -> int:
        """Return how many did."""
        return len(list(self._marks.glob("starved-*")))


def _marks(stage: Stage) -> Path:
    folder = stage.workspace.folder / "trainers"
    folder.mkdir()
    stage.workspace.environ[disturbed_trainer.FOLDER] = str(folder)
    return folder


class ClockJumps(Kills):
    """The clocks of two commands are set forward and back, each on its own, and processes are killed."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._clocks = [clock(stage.workspace.folder / f"clock{index}") for index in range(2)]

    def environ(self, index: int) -> Mapping[str, str]:
        """Return one of two clocks."""
        return self._clocks[index % 2].environ(self._stage.workspace.environ["PYTHONPATH"])

    def strike(self) -> None:
        """Set a clock, or kill a process."""
        if self._stage.chance.random() < 0.3:
            super().strike()
            return
        self._stage.chance.choice(self._clocks).set_ahead(self._stage.chance.uniform(-JUMP_SECONDS, JUMP_SECONDS))
        self._n_faults += 1


class Purges(Disturbance):
    """Runs vanish from MLflow's database, as `mlflow gc` makes them vanish that were deleted."""

    needs_doctor = True

    def strike(self) -> None:
        """Purge some of the runs."""
        if not self._stage.store.exists():
            return
        with closing(sqlite3.connect(self._stage.store, timeout=30)) as store, store:
            try:
                ids = [run_id for (run_id,) in store.execute("SELECT run_uuid FROM runs")]
            except sqlite3.OperationalError:  # its tables are being made
                return
            chosen = self._stage.chance.sample(ids, min(len(ids), self._stage.chance.randint(1, MAX_PURGED)))
            tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            of_runs = [name for name in tables if _has_runs(store, name)]
            for table in sorted(of_runs, key=lambda name: name == "runs"):
                store.executemany(f"DELETE FROM {table} WHERE run_uuid = ?", [(run_id,) for run_id in chosen])  # noqa: S608
            self._n_faults += len(chosen)


def _has_runs(store: sqlite3.Connection, table: str) -> bool:
    return any(column[1] == "run_uuid" for column in store.execute(f"PRAGMA table_info({table})"))


class Requests(Disturbance):
    """Requests to MLflow's server are sent twice, get lost, or lose their answers."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._proxy = Proxy(stage.tracking_uri, stage.chance)
        stage.stack.enter_context(self._proxy.running())
        stage.workspace.environ["MLFLOW_TRACKING_URI"] = self._proxy.uri
        stage.workspace.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "2"

    @property
    def n_faults(self) -> int:
        """Return how many requests it has disturbed."""
        return self._proxy.n_faults

    def strike(self) -> None:
        """Disturb requests in another way from now on."""
        fault = self._stage.chance.choice(list(REQUESTS))
        self._proxy.disturb(fault, REQUESTS[fault])

    def relent(self) -> None:
        """Pass all requests on."""
        self._proxy.disturb(Fault.NONE)


class ReadOnlyDisk(Disturbance):
    """The file system of the home becomes read-only while it is used, and is mounted again later."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._disk = Disk(stage.workspace.folder / "disk", stage.workspace.home)
        stage.stack.callback(self._disk.unmount)
        stage.workspace.environ["DNNSWEEP_DATABASE_PATIENCE"] = "5"

    def strike(self) -> None:
        """Let the disk fail; see that the run and the next one say so; mend it."""
        command = self._stage.commands[-1]
        if command.process.poll() is not None:
            return
        self._disk.fail()
        command.process.wait(END_SECONDS)
        again = self._stage.workspace.start(*self._stage.words)
        again.process.wait(END_SECONDS)
        for each in (command, again):
            assert "Traceback" not in each.err, each.err
            assert "error: the ledger can" in each.err or "waiting for MLflow" in each.err, each.err
        assert not self._stage.workspace.end()
        self._disk.mend()
        self._n_faults += 1
