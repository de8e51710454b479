"""The parts that run whole sweeps: 100 trials, 1,000 trials, and the memory of one trainer."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import commands
from bench.commands import RIVALS, Run
from bench.numbers import Line, ratios, spread, verdict
from bench.report import table

#: How many times faster a sweep of 100 trials has to be: with compiled programs at hand, and with an empty cache.
GOALS: Final = {"plain_loop": (25, 18), "tuner": (30, 22), "ray_tune": (40, 28)}
LONG_GOAL: Final = 45
OCCUPANCY_GOAL: Final = 0.9
MEMORY_GOAL_MB: Final = 50
OVERHEAD_GOAL_MS: Final = 5


@dataclass(frozen=True, slots=True)
class Effort:
    """How thoroughly to measure.

    Args:
        repetitions: Of each contender, in turns.
        is_whole: Whether rivals run all their trials; else few, and the rest is extrapolated.
        is_quick: Whether it is only to be seen that everything works.
    """

    repetitions: int = 3
    is_whole: bool = False
    is_quick: bool = False

    @property
    def few_and_many(self) -> tuple[int, int]:
        """Return the trials of the two runs that a line is drawn through."""
        return (1, 2) if self.is_quick else (3, 9)

    @property
    def hundred(self) -> int:
        """Return the trials of a sweep."""
        return 12 if self.is_quick else 100

    @property
    def thousand(self) -> int:
        """Return the trials of a long sweep."""
        return 120 if self.is_quick else 1000

    @property
    def how(self) -> str:
        """Return how rivals are measured, as a sentence."""
        few, many = self.few_and_many
        return (
            "Rivals ran all of their trials."
            if self.is_whole
            else f"Rivals ran {few} and {many} trials; the rest is extrapolated along a line."
        )


@dataclass(slots=True)
class _Rival:
    """What was measured of a rival, repetition by repetition."""

    seconds: list[float]
    lines: list[Line]
    epochs: list[float]
    best: list[float]


def _measured(module: str, n_trials: int, effort: Effort, seed: int) -> tuple[float, Line, Run]:
    few, many = effort.few_and_many
    if effort.is_whole:
        many = n_trials
    first, last = (commands.rival(module, n, seed) for n in (few, many))
    line = Line.through((few, first.seconds), (many, last.seconds))
    return line.at(n_trials), line, last


def hundred(effort: Effort) -> str:
    """Compare a sweep of 100 trials with the rivals, and return the table."""
    n_trials = effort.hundred
    rivals = {module: _Rival([], [], [], []) for module in RIVALS}
    ours: dict[str, list[Run]] = {"empty": [], "warm": []}
    n_many = n_trials if effort.is_whole else effort.few_and_many[1]
    for seed in range(effort.repetitions):
        with tempfile.TemporaryDirectory() as cache:
            for runs in ours.values():
                runs.append(commands.dnnsweep(n_trials, Path(cache), seed))
        for module, rival in rivals.items():
            seconds, line, run = _measured(module, n_trials, effort, seed)
            rival.seconds.append(seconds)
            rival.lines.append(line)
            rival.epochs.append(run.n_epochs / n_many)
            rival.best.append(run.best)
    return "\n".join([_costs(rivals, ours, n_trials), "", _comparison(rivals, ours), "", _said(ours, effort)])


def _costs(rivals: dict[str, _Rival], ours: dict[str, list[Run]], n_trials: int) -> str:
    header = [f"{n_trials} trials, cold", "seconds", "of which the start", "a trial", "epochs a trial"]
    names = {"empty": "dnnsweep, empty cache", "warm": "dnnsweep, compiled programs at hand"}
    rows = [
        [
            names[state],
            spread(_seconds(runs)),
            "",
            spread([s / n_trials for s in _seconds(runs)]),
            spread([run.n_epochs / n_trials for run in runs]),
        ]
        for state, runs in ours.items()
    ]
    rows += [
        [
            RIVALS[module],
            spread(rival.seconds),
            spread([line.fixed for line in rival.lines]),
            spread([line.per_trial for line in rival.lines]),
            spread(rival.epochs),
        ]
        for module, rival in rivals.items()
    ]
    return table(header, rows)


def _comparison(rivals: dict[str, _Rival], ours: dict[str, list[Run]]) -> str:
    rows = []
    for module, rival in rivals.items():
        cells = [RIVALS[module]]
        for state, goal in zip(("warm", "empty"), GOALS[module], strict=True):
            times = ratios(rival.seconds, _seconds(ours[state]))
            cells += [spread(times), verdict(times, goal)]
        rows.append(cells)
    return table(["times as fast as", "programs at hand", "goal", "empty cache", "goal"], rows)


def _said(ours: dict[str, list[Run]], effort: Effort) -> str:
    busy = _occupancies([run.profile for run in ours["warm"]])
    best = spread([run.best for run in ours["warm"]], 4)
    shown = f"{spread(busy)} of the slots were busy while trials were left" if busy else "no slots were used"
    return f"{effort.how} dnnsweep's best validation accuracy was {best}; {shown}."


def _seconds(runs: Sequence[Run]) -> list[float]:
    return [run.seconds for run in runs]


def _occupancies(profiles: Sequence[dict[str, Any]]) -> list[float]:
    return [profile["occupancy"] for profile in profiles if profile["occupancy"] is not None]


@contextmanager
def _compiled(n_trials: int, *options: str) -> Iterator[Path]:
    """Hold a cache in which the programs of a sweep of so many trials lie: as many slots, hence as wide a window."""
    window = min(max(4, math.ceil(n_trials / 8)), 64)
    with tempfile.TemporaryDirectory() as cache:
        commands.dnnsweep(2 * window, Path(cache), 0, "--set", f"sampler.window={window}", *options)
        yield Path(cache)


def thousand(effort: Effort) -> str:
    """Compare a sweep of 1,000 trials with 30 of the plain loop, and return the tables."""
    plain, runs = list[float](), list[Run]()
    n_trials = effort.thousand
    with _compiled(n_trials) as cache:
        for seed in range(effort.repetitions):
            runs.append(commands.dnnsweep(n_trials, cache, seed))
            plain.append(_measured("plain_loop", 30, effort, seed)[0] / 30 * 1000)
    ours = [run.seconds / n_trials * 1000 for run in runs]
    profiles = [run.profile for run in runs]
    times, busy = ratios(plain, ours), _occupancies(profiles)
    summary = [
        ["plain loop, ms a trial (of 30)", spread(plain), ""],
        ["dnnsweep, ms a trial", spread(ours), ""],
        ["times as fast", spread(times), verdict(times, LONG_GOAL)],
    ]
    if busy:
        summary.append(["slots busy while trials were left", spread(busy), verdict(busy, OCCUPANCY_GOAL)])
    parts = dict.fromkeys(part for profile in profiles for part in profile["parts"])
    rows = [
        [part, spread([profile["parts"].get(part, 0.0) / n_trials * 1000 for profile in profiles])] for part in parts
    ]
    return "\n".join(
        [
            table([f"{n_trials} trials", "", "goal"], summary),
            "",
            table(["controller, by part", "ms a trial"], rows),
            "",
            effort.how,
        ]
    )


def overhead(effort: Effort) -> str:
    """Measure the controller's own work for each trial while nothing else wants the cores, and return the table."""
    n_trials = effort.thousand
    parts = [commands.pretended(n_trials, seed)["parts"] for seed in range(effort.repetitions)]
    each = {
        name: [of_run[name] / n_trials * 1000 for of_run in parts] for name in ("ask", "tell", "ledger", "messages")
    }
    own = [sum(values) for values in zip(each["ledger"], each["messages"], strict=True)]
    rows = [[name, spread(values), ""] for name, values in each.items()]
    rows.append(["ledger and messages", spread(own), verdict(own, OVERHEAD_GOAL_MS, is_limit=True)])
    return table([f"{n_trials} trials that nobody trains", "ms a trial", "goal"], rows)


def memory(effort: Effort) -> str:
    """Measure the memory of one trainer over 1,000 trials, and return the table."""
    n_trials, alone = effort.thousand, ("--trainers", "1")
    with _compiled(n_trials, *alone) as cache:
        runs = [commands.dnnsweep(n_trials, cache, seed, *alone) for seed in range(effort.repetitions)]
    curves = [[(int(n), float(size)) for n, size in run.profile["trainer_memory_mb"]] for run in runs]
    last = [max(points) for points in curves]
    grown = [growth(points, n_trials // 10) for points in curves]
    rows = [
        [f"resident after {n_trials // 10} trials, MB", spread([at(points, n_trials // 10) for points in curves]), ""],
        [f"resident after {min(last)[0]} trials, MB", spread([size for _, size in last], 4), ""],
        ["growth between them, at its largest, MB", spread(grown), verdict(grown, MEMORY_GOAL_MB, is_limit=True)],
    ]
    return table([f"one trainer, {n_trials} trials", "", "goal"], rows)


def at(points: Sequence[tuple[int, float]], n_trials: int) -> float:
    """Return the memory when so many trials had ended, or soon after.

    Example:
        >>> at([(10, 400.0), (110, 420.0), (200, 430.0)], 100)
        420.0
    """
    return next((size for n, size in sorted(points) if n >= n_trials), math.nan)


def growth(points: Sequence[tuple[int, float]], n_trials: int) -> float:
    """Return by how much memory grew, at most, after so many trials.

    Example:
        >>> growth([(10, 400.0), (110, 420.0), (200, 440.0), (300, 430.0)], 100)
        20.0
    """
    return max((size for n, size in points if n >= n_trials), default=math.nan) - at(points, n_trials)
