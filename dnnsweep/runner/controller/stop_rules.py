"""What ends a sweep before its budget is spent, decided by results in the order of trials.

So where a sweep ends depends on the sweep file alone, as its trials do: a sweep that ends early has the first trials of
one that does not.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from dnnsweep import seeds
from dnnsweep.records import Objective, Reason
from dnnsweep.runner.controller.trials import Outcome
from dnnsweep.space import Coordinates

if TYPE_CHECKING:  # only sweeps that ask for it load SciPy
    from dnnsweep.statistics.convergence import Outlook

#: Results before anything is expected of more trials.
FIRST_LOOK: Final = 20
#: Results from one look to the next: a tenth of those that there are, but not fewer than these.
LOOK_EVERY: Final = 5
#: Points among which a better one is sought: random ones, and neighbours of each of the best trials.
N_RANDOM: Final = 1000
N_BEST: Final = 5
N_NEIGHBOURS: Final = 100
#: The noise is measured once no more than so many times what the process takes for noise is expected.
PLAUSIBLE: Final = 10.0

#: Returns the standard deviation of a trial's value when its hyperparameters are trained again; None if that was not
#: measured yet.
Noise = Callable[[Mapping[str, Any]], float | None]


class WithoutImprovement:
    """Ends a sweep when so many trials in a row, by their numbers, were not better than the best before them.

    Args:
        objective: What the sweep improves.
        n_trials: How many trials.
    """

    def __init__(self, objective: Objective, n_trials: int) -> None:
        self._objective = objective
        self._n_trials = n_trials
        self._best = math.inf
        self._n_since = 0

    def end(self, outcome: Outcome) -> None:
        """Note how the next trial ended, in the order of numbers."""
        reason, values = outcome
        self._n_since += reason.is_in_budget
        if values is not None and (cost := self._objective.cost(values[0])) < self._best:
            self._best, self._n_since = cost, 0

    def may_ask(self, n_open: int) -> bool:
        """Return whether another trial is needed even if none of those that are open is better.

        Args:
            n_open: Trials that were asked for, and of which it was not noted yet how they ended.
        """
        return self._n_since + n_open < self._n_trials

    def conclusion(self, n_open: int) -> str | None:
        """Return why the sweep ends; None if it goes on."""
        if n_open or self._n_since < self._n_trials:
            return None
        return f"{self._n_trials} trials in a row did not improve {self._objective.metric}"


class UntilConverged:
    """Ends a sweep when another trial is not expected to improve on the best one by more than its own noise.

    Args:
        objective: What the sweep improves.
        coordinates: Coordinates of the points of the search space.
        seed: Seed of the sweep.
        noise: Tells the noise of a trial, as far as it was measured.

    Attributes:
        conclusion: Why the sweep ends; None if it goes on.
        unmeasured: Number and hyperparameters of the trial whose noise decides whether the sweep goes on; None if there
            is none, or if it was measured.
    """

    def __init__(self, objective: Objective, coordinates: Coordinates, seed: int, noise: Noise) -> None:
        self._objective = objective
        self._coordinates = coordinates
        self._seed = seed
        self._noise = noise
        self._params: list[Mapping[str, Any]] = []
        self._costs: list[float | None] = []
        self.conclusion: str | None = None
        self.unmeasured: tuple[int, Mapping[str, Any]] | None = None

    def begin(self, params: Mapping[str, Any]) -> None:
        """Note the hyperparameters of the next trial, in the order of numbers."""
        self._params.append(params)

    def end(self, outcome: Outcome) -> None:
        """Note how the next trial ended, in the order of numbers."""
        reason, values = outcome
        if values is not None:
            self._costs.append(self._objective.cost(values[0]))
        else:  # what an error ended says nothing about its hyperparameters
            self._costs.append(math.inf if reason in (Reason.PRUNED, Reason.DIVERGED) else None)

    def look(self, n_told: int) -> None:
        """Decide by the first results, so many, whether the sweep ends, if it is time to."""
        if not _is_due(n_told):
            return
        known = {number: cost for number, cost in enumerate(self._costs[:n_told]) if cost is not None}
        if len(known) < FIRST_LOOK or not any(map(math.isfinite, known.values())):
            return
        outlook = self._outlook(list(known), list(known.values()))
        if outlook.gain > PLAUSIBLE * outlook.noise:
            return
        best = min(known, key=known.__getitem__)
        noise = self._noise(self._params[best])
        if noise is None:
            self.unmeasured = (best, self._params[best])
        elif outlook.gain <= noise:
            metric = self._objective.metric
            self.conclusion = f"another trial is not expected to improve {metric} by more than its noise of {noise:.2g}"

    def _outlook(self, numbers: Sequence[int], costs: Sequence[float]) -> Outlook:
        import numpy as np

        from dnnsweep.statistics.convergence import expected_gain

        tried = [self._params[number] for number in numbers]
        points = np.array([self._coordinates.encode(params) for params in tried])
        candidates = np.array(self._candidates(tried, costs))
        return expected_gain(points, self._coordinates.groups, np.array(costs), candidates)

    def _candidates(self, tried: Sequence[Mapping[str, Any]], costs: Sequence[float]) -> list[list[float]]:
        """Return points among which a better one than those tried is sought."""
        chance = random.Random(seeds.derive(self._seed, "converged", len(tried)))  # noqa: S311  points, no secrets
        best = sorted(range(len(tried)), key=costs.__getitem__)[:N_BEST]
        near = (self._coordinates.neighbour(tried[index], chance) for index in best for _ in range(N_NEIGHBOURS))
        return [*(self._coordinates.draw(chance) for _ in range(N_RANDOM)), *near]


def _is_due(n_told: int) -> bool:
    """Return whether it is time to look, which depends on the number of results alone.

    Example:
        >>> [n_told for n_told in range(100) if _is_due(n_told)][-8:]
        [50, 55, 60, 66, 72, 79, 86, 94]
    """
    look = FIRST_LOOK
    while look < n_told:
        look += max(LOOK_EVERY, look // 10)
    return look == n_told


class StopRules:
    """The rules of a sweep file, any number of them.

    Args:
        without: Ends the sweep after some trials without improvement; None if that is not asked for.
        until: Ends the sweep when it has converged; None if that is not asked for.
    """

    def __init__(self, without: WithoutImprovement | None = None, until: UntilConverged | None = None) -> None:
        self._without = without
        self._until = until
        self._n_begun = self._n_ended = 0

    def begin(self, params: Mapping[str, Any]) -> None:
        """Note the hyperparameters of the next trial, in the order of numbers."""
        self._n_begun += 1
        if self._until is not None:
            self._until.begin(params)

    def follow(self, outcome: Callable[[int], Outcome | None]) -> None:
        """Note how the next trials ended, as far as all before them have.

        Args:
            outcome: Returns how a trial ended; None if it has not.
        """
        while (ended := outcome(self._n_ended)) is not None:
            self._n_ended += 1
            for rule in (self._without, self._until):
                if rule is not None:
                    rule.end(ended)

    def look(self, n_told: int) -> None:
        """Decide what is decided by the results that were told, before the next suggestion is asked for."""
        if self._until is not None and self.conclusion is None:
            self._until.look(n_told)

    def may_ask(self) -> bool:
        """Return whether another suggestion may be asked for."""
        is_free = self.conclusion is None and self.unmeasured is None
        return is_free and (self._without is None or self._without.may_ask(self._n_open))

    @property
    def conclusion(self) -> str | None:
        """Return why no more suggestions are asked for; None while there may be more."""
        if self._until is not None and self._until.conclusion is not None:
            return self._until.conclusion
        return None if self._without is None else self._without.conclusion(self._n_open)

    @property
    def unmeasured(self) -> tuple[int, Mapping[str, Any]] | None:
        """Return number and hyperparameters of the trial whose noise must be measured first; None if none must."""
        return None if self._until is None else self._until.unmeasured

    @property
    def is_over(self) -> bool:
        """Return whether no trial is open, and none follows unless a noise is measured."""
        return self._n_open == 0 and (self.conclusion is not None or self.unmeasured is not None)

    @property
    def _n_open(self) -> int:
        return self._n_begun - self._n_ended
