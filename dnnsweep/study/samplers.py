"""The samplers: Optuna's, made so that a study that was rebuilt goes on as if it had never stopped."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from dnnsweep import seeds

#: Trials of a generation of NSGA-II where nothing else is said; Optuna's default.
POPULATION: Final = 50

Distributions = Mapping[str, BaseDistribution]


def sampler(
    kind: str, distributions: Distributions, seed: int, number: int, population: int = POPULATION
) -> BaseSampler:
    """Return the sampler of one suggestion.

    It is seeded from the sweep's seed and the trial's number: Optuna does not store a sampler's random state. What a
    sampler has to remember beside it, Optuna keeps in attributes of trials and studies, which the ledger holds.

    Args:
        kind: `tpe`, `random`, `qmc`, `cmaes`, `nsga2` or `gp`; a `grid` suggests by itself and takes `random` here.
        distributions: What every trial is sampled from.
        seed: The sweep's.
        number: The trial's.
        population: Of `nsga2`: trials of a generation.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _sampler(kind, distributions, seed, number, population)


def _sampler(kind: str, distributions: Distributions, seed: int, number: int, population: int) -> BaseSampler:
    own = seeds.derive(seed, "ask", number)
    if kind == "nsga2":
        return NSGAIISampler(population_size=population, seed=own)
    if kind == "tpe":
        return _Tpe(distributions, own)
    if kind == "qmc":
        return _Sobol(distributions, seeds.derive(seed, "sequence", 0), number)
    if kind == "cmaes":
        independent = RandomSampler(seed=own)
        return CmaEsSampler(seed=own, independent_sampler=independent, warn_independent_sampling=False)
    if kind == "gp":
        return optuna.samplers.GPSampler(seed=own)
    return RandomSampler(seed=own)


def _several(distributions: Distributions) -> dict[str, BaseDistribution]:
    return {name: known for name, known in sorted(distributions.items()) if not known.single()}


class _Tpe(TPESampler):
    """TPE that knows its search space; Optuna's looks for it in all trials, in most of the time of a suggestion.

    Args:
        distributions: What every trial is sampled from.
        seed: Of its random numbers.
    """

    def __init__(self, distributions: Distributions, seed: int) -> None:
        super().__init__(seed=seed)
        self._known = _several(distributions)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return what all trials have in common."""
        return self._known


class _Sobol(QMCSampler):
    """A scrambled Sobol sequence in which trial i takes point i.

    Optuna's counts points in an attribute of the study and takes the first one at random, because it does not know its
    search space before; a sequence without its first points covers the space less evenly.

    Args:
        distributions: What every trial is sampled from.
        seed: Of the scrambling; the same for all trials of a sweep.
        number: The trial's.
    """

    def __init__(self, distributions: Distributions, seed: int, number: int) -> None:
        super().__init__(scramble=True, seed=seed, warn_independent_sampling=False)
        self._known = _several(distributions)
        self._number = number

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return what all trials have in common."""
        return self._known

    def _find_sample_id(self, study: Any, search_space: Any) -> int:  # noqa: ARG002  Optuna's hook
        return self._number
