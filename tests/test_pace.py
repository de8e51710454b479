"""The time left of a run, estimated in simulated runs: no clock, no trainer."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from dnnsweep.runner.controller.pace import KEEP_SECONDS, Pace, time_left
from dnnsweep.spec.window import window

#: How long the first trials wait for programs to compile.
START_SECONDS = 60.0


class Trained(NamedTuple):
    """When a trial began and ended."""

    began_at: float
    ended_at: float


def train(n_trials: int, n_slots: int, seconds: Callable[[int], float], joins_at: float | None = None) -> list[Trained]:
    """Return the trials of a run in the order in which they end.

    Args:
        n_trials: Number of trials.
        n_slots: Trials that train at once.
        seconds: How long each trial takes.
        joins_at: When as many slots more come in; None for never.
    """
    free = [(START_SECONDS, 0.0)] * n_slots + [(joins_at or 0.0, joins_at or 0.0)] * (n_slots if joins_at else 0)
    heapq.heapify(free)
    trials = []
    for number in range(n_trials):
        ready_at, began_at = heapq.heappop(free)
        ended_at = ready_at + seconds(number)
        heapq.heappush(free, (ended_at, ended_at))
        trials.append(Trained(began_at, ended_at))
    return sorted(trials, key=lambda trial: trial.ended_at)


def estimates(trials: list[Trained]) -> Iterator[tuple[float, float, float | None]]:
    """Yield moments from a tenth of the trials on, how long the run really lasts from then, and the estimate."""
    pace, end = Pace(), trials[-1].ended_at
    changes = sorted({moment for trial in trials for moment in trial})
    for now in sorted({*changes, *(end * percent / 100 for percent in range(100))}):
        for trial in trials:
            if trial.ended_at == now:
                pace.end(now, trial.began_at, now - trial.began_at)
        training = [trial.began_at for trial in trials if trial.began_at <= now < trial.ended_at]
        pace.hold(now, len(training))
        n_ended = sum(trial.ended_at <= now for trial in trials)
        left = pace.seconds_left(now, training, len(trials) - n_ended)
        if n_ended >= len(trials) / 10:
            yield now, end - now, left


def runs(n_trials: int) -> dict[str, list[Trained]]:
    chance = random.Random(n_trials)
    n_slots = min(16, window(n_trials))
    return {
        "alike, one after the other": train(n_trials, 1, lambda _: 2.0),
        "of random length, one after the other": train(n_trials, 1, lambda _: chance.uniform(1, 3)),
        "alike, side by side": train(n_trials, n_slots, lambda _: 8.0),
        "nearly alike, side by side": train(n_trials, n_slots, lambda _: chance.uniform(7, 9)),
        "half of them stopped early": train(
            n_trials, n_slots, lambda _: 8.0 if chance.random() < 0.5 else chance.uniform(1, 6)
        ),
        "quick": train(n_trials, n_slots, lambda _: chance.uniform(0.1, 0.3)),
        "a second trainer comes in": train(n_trials, 2, lambda _: chance.uniform(1, 3), joins_at=START_SECONDS + 5),
    }


@pytest.mark.parametrize("n_trials", [30, 100, 300])
@pytest.mark.parametrize("name", runs(30))
def test_the_time_left_is_right_within_a_factor_of_two_from_a_tenth_of_the_run_on(n_trials: int, name: str) -> None:
    """Near the end it may be off by the length of one trial, which is all that is left then."""
    trials = runs(n_trials)[name]
    longest = max(trial.ended_at - max(trial.began_at, START_SECONDS) for trial in trials) + KEEP_SECONDS

    told = [(now, left, told) for now, left, told in estimates(trials) if told is not None]

    wrong = [
        (now, left, told) for now, left, told in told if not left / 2 <= told <= 2 * left and abs(told - left) > longest
    ]
    assert told
    assert wrong == []


@pytest.mark.parametrize("n_trials", [30, 100, 300])
@pytest.mark.parametrize("name", runs(30))
def test_the_time_left_is_known_before_a_third_of_the_trials_has_ended(n_trials: int, name: str) -> None:
    trials = runs(n_trials)[name]
    third = trials[n_trials // 3].ended_at

    assert all(told is not None for now, _, told in estimates(trials) if now >= third)


def test_nothing_is_known_before_trials_have_ended_that_did_not_wait_for_the_start() -> None:
    pace = Pace()
    assert pace.seconds_left(5.0, [0.0, 0.0], 30) is None
    for now in (60.0, 60.1, 60.2, 60.3):
        pace.end(now, 0.0, now)
    assert pace.seconds_left(61.0, [60.0], 26) is None
    for now in (62.0, 64.0, 66.0):
        pace.hold(now - 2, 1)
        pace.end(now, now - 2, 2.0)

    left = pace.seconds_left(66.0, [66.0], 23)

    assert left == pytest.approx(46.0)


def test_an_estimate_is_counted_down_between_changes() -> None:
    pace = Pace()
    for now in (10.0, 12.0, 14.0, 16.0):
        pace.hold(now - 2, 1)
        pace.end(now, now - 2, 2.0)

    first = pace.seconds_left(16.0, [16.0], 5)

    assert first == pytest.approx(10.0)
    assert pace.seconds_left(16.0 + KEEP_SECONDS / 2, [16.0], 5) == pytest.approx(10.0 - KEEP_SECONDS / 2)


@pytest.mark.parametrize(
    ("durations", "ages", "n_queued", "width", "expected"),
    [
        ([10.0], [], 0, 0, 0.0),
        ([10.0], [4.0], 0, 1, 6.0),
        ([10.0], [4.0, 9.0], 0, 2, 6.0),
        ([10.0], [4.0], 1, 1, 16.0),
        ([10.0], [], 4, 2, 20.0),
        ([10.0], [10.0], 0, 1, 2.0),
        ([2.0], [], 10_000, 4, 5_000.0),
    ],
)
def test_queued_trials_are_laid_out_behind_those_that_train(
    durations: list[float], ages: list[float], n_queued: int, width: int, expected: float
) -> None:
    assert time_left(durations, ages, n_queued, width) == pytest.approx(expected)
