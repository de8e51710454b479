"""Which tests each of several processes begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

#: Files of tests that wait for processes most of their time -> about how many seconds; longer ones get company last.
WAITING: Final = {
    "acceptance/test_outages.py": 300,
    "acceptance/test_run.py": 280,
    "acceptance/test_worker.py": 100,
    "test_doctor.py": 60,
    "acceptance/test_backup.py": 50,
    "acceptance/test_chaos.py": 40,
    "test_warm_commands.py": 20,
    "contracts/test_executor.py": 15,
}
#: So many processes are kept busy by tests that compute.
N_COMPUTING: Final = 2


class Item(Protocol):
    """What is used of a test."""

    @property
    def nodeid(self) -> str:
        """Return its address, which begins with its file."""


T = TypeVar("T", bound=Item)


def in_shares(items: Sequence[T], n_processes: int) -> list[T]:
    """Return tests in an order of which xdist gives each process an equal part, from the first to the last.

    The first parts begin with tests that wait, as many seconds in each of them, and the last ones have none. Otherwise
    one process would have all of these, and still be waiting when the others have nothing left to compute.

    Args:
        items: Tests in their usual order, those of a file together.
        n_processes: Number of processes.
    """
    shares = _shares(max(1, n_processes - N_COMPUTING))
    waiting = [[item for item in items if _file_of(item) in share] for share in shares]
    others = [item for item in items if _file_of(item) not in WAITING]
    order: list[T] = []
    for index in range(n_processes):
        n_own = len(items) * (index + 1) // n_processes - len(order)
        first = waiting[index] if index < len(waiting) else []
        n_others = max(0, n_own - len(first)) if index < n_processes - 1 else len(others)
        order += [*first, *others[:n_others]]
        others = others[n_others:]
    return order


def _shares(n_shares: int) -> list[list[str]]:
    """Return the files of each of some shares: the longest first, each to the share that has least."""
    shares: list[list[str]] = [[] for _ in range(n_shares)]
    for file in sorted(WAITING, key=WAITING.__getitem__, reverse=True):
        min(shares, key=lambda share: sum(WAITING[each] for each in share)).append(file)
    return shares


def _file_of(item: Item) -> str:
    """Return the file of a test, below the folder of tests."""
    return item.nodeid.partition("::")[0].removeprefix("tests/")
