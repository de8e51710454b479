"""The trainer processes of one executor."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing.connection import Connection, wait

from dnnsweep.executors.trainer_handle import TrainerHandle
from dnnsweep.trainers import Job


class TrainerPool:
    """Starts trainers, replaces them, and counts what all of them have used.

    Args:
        job: The sweep to train.
        trainer: `module:class` of the trainer.
    """

    def __init__(self, job: Job, trainer: str) -> None:
        self._job = job
        self._trainer = trainer
        self._handles: list[TrainerHandle] = []
        self._removed_slot_epochs = (0, 0)

    def __iter__(self) -> Iterator[TrainerHandle]:
        return iter(tuple(self._handles))  # who goes through them may replace some

    def __contains__(self, handle: TrainerHandle) -> bool:
        return handle in self._handles

    def start(self, n_trainers: int) -> None:
        """Start more trainers."""
        self._handles += [TrainerHandle(self._job, self._trainer) for _ in range(n_trainers)]

    def remove(self, handle: TrainerHandle) -> None:
        """Kill a trainer."""
        self._removed_slot_epochs = _sum_of_pairs(self._removed_slot_epochs, _slot_epochs(handle))
        handle.close()
        self._handles.remove(handle)

    def replace(self, handle: TrainerHandle) -> None:
        """Kill a trainer and start another one."""
        self.remove(handle)
        self.start(1)

    def close(self) -> None:
        """Kill all trainers."""
        for handle in self._handles:
            handle.kill()
        for handle in self._handles:
            handle.close()
        self._handles = []

    def wait(self, timeout: float) -> list[TrainerHandle]:
        """Return the trainers that have sent something or have died; wait for one up to `timeout` seconds."""
        by_connection = {handle.connection: handle for handle in self._handles}
        ready = wait(list(by_connection), timeout)
        return [by_connection[connection] for connection in ready if isinstance(connection, Connection)]

    @property
    def slot_epochs(self) -> tuple[int, int]:
        """Return epochs times slots of all trainers so far, and those of them in which there was a trial."""
        return _sum_of_pairs(self._removed_slot_epochs, *map(_slot_epochs, self._handles))


def _slot_epochs(handle: TrainerHandle) -> tuple[int, int]:
    return handle.usage.slot_epochs, handle.usage.busy_slot_epochs


def _sum_of_pairs(*pairs: tuple[int, int]) -> tuple[int, int]:
    return sum(first for first, _ in pairs), sum(second for _, second in pairs)
