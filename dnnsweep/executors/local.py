"""Trainers as processes of this machine, one per core by default."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import IO, Any, Final, cast

from dnnsweep import processes
from dnnsweep.errors import DnnsweepError, TrainerError
from dnnsweep.executors import DropTrial, TrainerEvent, TrainerLost, TrialDropped
from dnnsweep.records import Suggestion, TrialResult
from dnnsweep.settings import DEFAULT_TRAINER
from dnnsweep.trainers import Job, TrainerPlan, TrainerReady, TrainerUsage
from dnnsweep.trainers.groups import Group, group_of
from dnnsweep.trainers.program_cache import make_program_folder

#: A trainer uses one core, and TensorFlow's log lines are nobody's business.
TRAINER_ENVIRONMENT: Final = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "KERAS_BACKEND": "tensorflow",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
#: Each model that is built leaves some 8 MB behind: after so many a process that trains by `fit` is replaced.
TRIALS_PER_PROCESS: Final = 100
#: For so many slots of an array a trainer holds one more trial, which takes the place of the next one that ends.
SLOTS_PER_SPARE: Final = 4
#: Training that repays the start of one more trainer.
SECONDS_PER_TRAINER: Final = 15.0
#: How long a process may give no sign of life where the sweep file does not say it.
HUNG_SECONDS: Final = 60.0
#: Longer than this between two looks, nobody listened: the controller was held up.
ATTENTION_SECONDS: Final = 5.0
#: Trainers that may die before they have loaded the data, one after the other, until it is given up.
MAX_FAILED_STARTS: Final = 3


class _Process:
    """A trainer's process and the connection to it."""

    def __init__(self, job: Job, trainer: str) -> None:
        self.output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed by `close`
        self.is_open = False
        self.n_trained = 0
        self.held: dict[int, Group] = {}
        self.leaving: set[int] = set()
        self.warm: set[Group] = set()
        self.usage = TrainerUsage(0, 0, 0, math.nan)
        self.heard_at = time.monotonic()
        environment = {**TRAINER_ENVIRONMENT, **_cached_programs()}
        self._process, self.connection = processes.start(
            "dnnsweep.executors.trainer_process:main", self.output, environment
        )
        with contextlib.suppress(OSError):  # a process that is gone already is found by `events`
            self.connection.send((trainer, job))

    @property
    def pid(self) -> int:
        return self._process.pid

    def death(self) -> str:
        """Say how the process died, with the last line it printed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.5)  # its connection closes a moment before it ends
        self.kill()
        code = self._process.wait()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        self.output.seek(max(0, self.output.seek(0, os.SEEK_END) - 10_000))
        lines = self.output.read().decode(errors="replace").replace("\0", "").strip().splitlines()
        return f"the trainer died {how}" + (f": {lines[-1].strip()[:500]}" if lines else "")

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self.connection.close()
        self.output.close()


class LocalExecutor:
    """Runs trainers as processes; a suggestion goes to one that has room for it.

    Args:
        job: The sweep.
        n_trainers: Processes; None for as many as repay their start, up to one per core that this process may use.
        trainer: `module:class` of the trainer.
        n_most: The most processes that could ever be busy.
    """

    def __init__(
        self, job: Job, n_trainers: int | None = None, trainer: str = DEFAULT_TRAINER, n_most: int = 1024
    ) -> None:
        self._job = job
        self._trainer = trainer
        self._n_trainers = n_trainers
        self._n_most = n_most
        self._processes: list[_Process] = []
        self._n_failed_starts = 0
        self._opening: TrainerReady | None = None
        self._lost: set[int] = set()
        self._hung_seconds = float(job.spec.get("resources", {}).get("hung_seconds", HUNG_SECONDS))
        self._looked_at = time.monotonic()
        self._ended_usage = (0, 0)
        self.memory_mb: list[tuple[int, float]] = []
        self.slot_epochs = (0, 0)

    def open(self) -> TrainerReady:
        """Start the trainers; return as soon as the first one has loaded the data."""
        self._start(min(self._n_trainers or 1, self._n_most))
        while True:
            for process in self._ready(timeout=0.2):
                message = self._receive(process)
                if isinstance(message, TrainerReady):
                    if self._n_trainers is None:
                        self._start(min(n_useful_trainers(message.plan), self._n_most) - 1)
                    return message

    def _start(self, n_processes: int) -> None:
        self._processes += [_Process(self._job, self._trainer) for _ in range(n_processes)]

    def submit(self, suggestion: Suggestion) -> bool:
        """Hand a suggestion to the trainer with the most room for it, if one has loaded the data and has any.

        Trials of one group fit into one compiled program, so they go where it was compiled already, unless others wait
        there. A trial that has lost its trainer before is trained alone: it may have been the cause.
        """
        group = group_of(suggestion.params)
        fitting = [process for process in self._processes if self._has_room(process, suggestion.number, group)]
        if not fitting:
            return False
        process = min(fitting, key=lambda process: self._cost(process, group))
        process.held[suggestion.number] = group
        process.warm.add(group)
        self.slot_epochs = self._slot_epochs()
        with contextlib.suppress(OSError):  # it died just now: `events` finds out
            process.connection.send(suggestion)
        return True

    def _has_room(self, process: _Process, number: int, group: Group) -> bool:
        if not process.is_open or not self._lost.isdisjoint(process.held):
            return False
        if number in self._lost:
            return not process.held
        return self._n_alike(process, group) < self._room

    def _n_alike(self, process: _Process, group: Group) -> int:
        if self._plan.kind != "array":
            return len(process.held)
        return sum(other == group for other in process.held.values())

    def _cost(self, process: _Process, group: Group) -> int:
        return len(process.held) + len(process.leaving) + (0 if group in process.warm else self._plan.slots)

    @property
    def _plan(self) -> TrainerPlan:
        return TrainerPlan("fit") if self._opening is None else self._opening.plan

    @property
    def _room(self) -> int:
        """Return how many trials of a group a trainer holds: a slot that ends is refilled without waiting for us."""
        slots = self._plan.slots
        return slots + -(-slots // SLOTS_PER_SPARE) if self._plan.kind == "array" else slots

    def events(self, timeout: float) -> Sequence[TrainerEvent]:
        """Return reports, results and losses."""
        events = self._heard(timeout)
        return [*events, *self._lost_by_silence()]

    def _lost_by_silence(self) -> list[TrainerEvent]:
        """Replace processes that give no sign of life; the time in which nobody listened does not count."""
        now = time.monotonic()
        if (gap := now - self._looked_at) > ATTENTION_SECONDS:
            for process in self._processes:
                process.heard_at += gap
        self._looked_at = now
        hung = [process for process in self._processes if now - process.heard_at > self._hung_seconds]
        why = f"the trainer gave no sign of life for {self._hung_seconds:g} seconds"
        losses = [self._replace(process, why) for process in hung]
        return [loss for loss in losses if loss is not None]

    def kill(self, number: int) -> tuple[int, ...]:
        """End the process that holds a trial, or has to leave it, and start another one; return what else it held."""
        for process in self._processes:
            if number in process.held or number in process.leaving:
                self._exchange(process)
                return tuple(other for other in process.held if other != number)
        return ()

    def drop(self, number: int) -> None:
        """Let a trial's trainer leave it after its present epoch, and count on the room that it leaves."""
        for process in self._processes:
            if number in process.held:
                with contextlib.suppress(OSError):  # it died just now: `events` finds out
                    process.connection.send(DropTrial(number))
                process.leaving.add(number)
                self._free(process, number)
                return

    def _heard(self, timeout: float) -> Sequence[TrainerEvent]:
        until = time.monotonic() + timeout
        while True:
            ready = self._ready(max(0.0, until - time.monotonic()))
            messages = [message for process in ready for message in self._received(process)]
            events = [message for message in messages if message is not None and not isinstance(message, TrainerReady)]
            if events or messages or time.monotonic() >= until:
                return events

    def close(self) -> None:
        """Kill the trainers: what they hold is in the ledger or is trained again."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.close()
        self._processes = []

    def pids(self) -> list[int]:
        """Return the process ids of the trainers."""
        return [process.pid for process in self._processes]

    def _ready(self, timeout: float) -> list[_Process]:
        by_connection = {process.connection: process for process in self._processes}
        ready = wait(list(by_connection), timeout)
        return [by_connection[connection] for connection in ready if isinstance(connection, Connection)]

    def _received(self, process: _Process) -> Iterator[TrainerEvent | TrainerReady | None]:
        """Take in everything that a process has sent."""
        yield self._receive(process)
        while process in self._processes and process.connection.poll():
            yield self._receive(process)

    def _receive(self, process: _Process) -> TrainerEvent | TrainerReady | None:
        process.heard_at = time.monotonic()
        try:
            message: Any = process.connection.recv()
        except Exception:  # noqa: BLE001  it is gone, or sends what cannot be read
            return self._replace(process)
        if isinstance(message, DnnsweepError):
            raise message
        if isinstance(message, TrainerReady):
            self._check_same_data(message)
            process.is_open = True
            self._n_failed_starts = 0
        if isinstance(message, TrainerUsage):
            process.usage = message
            self.memory_mb.append((message.n_trials, message.memory_mb))
            return None
        if isinstance(message, TrialDropped | TrialResult):
            process.leaving.discard(message.number)
        if isinstance(message, TrialResult) and message.number in process.held:
            self._free(process, message.number)
        return cast("TrainerEvent | TrainerReady", message)

    def _free(self, process: _Process, number: int) -> None:
        """Make room for another trial; an old process of the reference trainer ends here."""
        process.held.pop(number, None)
        self._lost.discard(number)
        process.n_trained += 1
        if self._plan.kind != "array" and process.n_trained >= TRIALS_PER_PROCESS:
            self._exchange(process)

    def _slot_epochs(self) -> tuple[int, int]:
        usages = [process.usage for process in self._processes]
        n_slots, n_busy = self._ended_usage
        return (
            n_slots + sum(usage.slot_epochs for usage in usages),
            n_busy + sum(usage.busy_slot_epochs for usage in usages),
        )

    def _remove(self, process: _Process) -> None:
        n_slots, n_busy = self._ended_usage
        self._ended_usage = n_slots + process.usage.slot_epochs, n_busy + process.usage.busy_slot_epochs
        process.close()
        self._processes.remove(process)

    def _exchange(self, process: _Process) -> None:
        self._remove(process)
        self._processes.append(_Process(self._job, self._trainer))

    def _check_same_data(self, opening: TrainerReady) -> None:
        if self._opening is not None and self._opening.data.fingerprint != opening.data.fingerprint:
            raise TrainerError("the data changed while the sweep was running; restore them and run it again")
        self._opening = self._opening or opening

    def _replace(self, process: _Process, why: str | None = None) -> TrainerLost | None:
        """Start another trainer in the place of one that died, or that must, for a reason."""
        error = why or process.death()
        self._n_failed_starts += not process.is_open
        if self._n_failed_starts < MAX_FAILED_STARTS:
            self._exchange(process)
        elif any(other.is_open for other in self._processes if other is not process):
            self._remove(process)  # go on with those that work
        else:
            raise TrainerError(f"no trainer could be started: {error}")
        self._lost |= process.held.keys()
        if not process.held and not process.leaving:
            return None
        return TrainerLost(tuple(process.held), error, tuple(process.leaving))


def _cached_programs() -> dict[str, str]:
    """Return the environment that lets TensorFlow keep compiled programs on disk, where it does not do so already."""
    flags, folder = os.environ.get("TF_XLA_FLAGS", ""), make_program_folder()
    if "persistent_cache" in flags or folder is None:
        return {}
    return {"TF_XLA_FLAGS": f"{flags} --tf_xla_persistent_cache_directory={folder}".strip()}


def n_useful_trainers(plan: TrainerPlan) -> int:
    """Return how many trainers repay their start, which takes seconds: at most one per core."""
    return max(1, min(n_cores(), math.ceil(min(plan.seconds / SECONDS_PER_TRAINER, 1024))))


def n_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
