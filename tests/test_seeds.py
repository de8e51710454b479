from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dnnsweep.seeds import derive


@pytest.mark.parametrize(
    ("parts", "seed"),
    [
        # printf '0\x1ftrial\x1f0' | b2sum -l 32
        ((0, "trial", 0), 0x8D9A5672 >> 1),
        # printf '' | b2sum -l 32
        ((), 0x1271CF25 >> 1),
    ],
)
def test_seed_is_the_same_on_every_machine(parts: tuple[int | str, ...], seed: int) -> None:
    assert derive(*parts) == seed


def test_seed_is_the_same_in_another_process() -> None:
    command = [sys.executable, "-c", "from dnnsweep.seeds import derive; print(derive(7, 'trial', 3))"]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}

    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)

    assert int(answer.stdout) == derive(7, "trial", 3)


def test_seeds_of_many_trials_differ_and_fit_into_31_bits() -> None:
    seeds = [derive(sweep, "trial", number) for sweep in range(10) for number in range(1000)]

    assert all(0 <= seed < 2**31 for seed in seeds)
    assert max(seeds) > 2**30
    assert len(set(seeds)) >= 9_998  # 10000**2 / 2**32 = 0.02 collisions expected


@pytest.mark.parametrize(
    ("one", "other"),
    [((1, 2), (2, 1)), ((12,), (1, 2)), ((0,), (0, 0)), (("a", "b"), ("ab",)), ((-1,), (1,)), ((), (0,))],
)
def test_different_contexts_give_different_seeds(one: tuple[int | str, ...], other: tuple[int | str, ...]) -> None:
    assert derive(*one) != derive(*other)


def test_half_of_all_bits_are_set() -> None:
    seeds = [derive("bits", number) for number in range(2000)]

    shares = [sum(seed >> bit & 1 for seed in seeds) / len(seeds) for bit in range(31)]

    assert all(0.44 < share < 0.56 for share in shares)  # 0.5 +- 5 sigma, sigma = 0.5 / sqrt(2000) = 0.011
