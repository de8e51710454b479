"""Tests that wait are spread over the processes that test, and all are run once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from shares import N_COMPUTING, WAITING, in_shares


@dataclass(frozen=True)
class Named:
    nodeid: str


ITEMS = [Named(f"tests/{file}::test_{n}") for file in [*WAITING, "test_space.py"] for n in range(5)]
ITEMS += [Named(f"dnnsweep/space/__init__.py::{n}") for n in range(400)]


@pytest.mark.parametrize("n_processes", [1, 2, 3, 4, 5, 9, 500])
def test_every_test_is_run_once(n_processes: int) -> None:
    order = in_shares(ITEMS, n_processes)

    assert len(order) == len(ITEMS)
    assert set(order) == set(ITEMS)


@pytest.mark.parametrize("n_processes", [3, 4, 5])
def test_all_processes_but_two_begin_with_tests_that_wait_equally_long(n_processes: int) -> None:
    order, seconds = in_shares(ITEMS, n_processes), list[int]()

    for index in range(n_processes):
        part = order[len(order) * index // n_processes : len(order) * (index + 1) // n_processes]
        files = [item.nodeid.partition("::")[0].removeprefix("tests/") for item in part]
        waiting = [file for file in files if file in WAITING]
        assert files[: len(waiting)] == waiting
        seconds.append(sum(WAITING[file] for file in set(waiting)))

    assert seconds[-N_COMPUTING:] == [0, 0]
    assert min(seconds[:-N_COMPUTING]) > 0.7 * max(seconds)
