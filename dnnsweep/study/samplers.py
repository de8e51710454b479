"""Samplers: Optuna's, set up so that a rebuilt study continues as if it had never stopped."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.search_space.group_decomposed import _SearchSpaceGroup
from optuna.trial import FrozenTrial, TrialState

from dnnsweep import seeds

#: Trials in a generation of NSGA-II by default, as in Optuna.
POPULATION: Final = 50

Distributions = Mapping[str, BaseDistribution]


@dataclass(frozen=True, slots=True)
class Ask:
    """What a sampler is made for: one suggestion.

    Args:
        distributions: Distribution of each parameter.
        seed: Seed of the sweep.
        number: Number of the trial.
        optional: Names of parameters that not every trial has.
        population: Number of trials in a generation, for samplers that breed generations.
    """

    distributions: Distributions
    seed: int
    number: int
    optional: Collection[str] = ()
    population: int = POPULATION

    @property
    def own_seed(self) -> int:
        """Return the seed of this suggestion."""
        return seeds.derive(self.seed, "ask", self.number)


def make_sampler(kind: str, ask: Ask) -> BaseSampler:
    """Return the sampler of one suggestion.

    The sampler is seeded from the sweep's seed and the trial's number, because Optuna does not store a sampler's random
    state. Whatever else a sampler must remember, Optuna keeps in attributes of trials and studies, which the ledger
    stores.

    Args:
        kind: Name of the sampler; a `grid` chooses its points itself and takes `random` here.
        ask: The suggestion to make.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _MAKERS[kind](ask)


def _make_tpe(ask: Ask) -> BaseSampler:
    if ask.optional:
        return _ConditionalTpe(multivariate=True, group=True, seed=ask.own_seed)
    return _Tpe(ask.distributions, ask.own_seed)


def _make_random(ask: Ask) -> BaseSampler:
    return RandomSampler(seed=ask.own_seed)


def _make_qmc(ask: Ask) -> BaseSampler:
    return _Sobol(ask.distributions, seeds.derive(ask.seed, "sequence", 0), ask.number)


def _make_cmaes(ask: Ask) -> BaseSampler:
    independent = _make_random(ask)
    sampler = CmaEsSampler(seed=ask.own_seed, independent_sampler=independent, warn_independent_sampling=False)
    return _CommonParameters(sampler, ask.optional) if ask.optional else sampler


def _make_nsga2(ask: Ask) -> BaseSampler:
    return NSGAIISampler(population_size=ask.population, seed=ask.own_seed)


def _make_gp(ask: Ask) -> BaseSampler:
    sampler = optuna.samplers.GPSampler(seed=ask.own_seed, warn_independent_sampling=False)
    return _CommonParameters(sampler, ask.optional) if ask.optional else sampler


#: Name in the sweep file -> its sampler; `spec.sampler_kinds` says what each can handle.
_MAKERS: Final[Mapping[str, Callable[[Ask], BaseSampler]]] = {
    "tpe": _make_tpe,
    "random": _make_random,
    "grid": _make_random,
    "qmc": _make_qmc,
    "cmaes": _make_cmaes,
    "nsga2": _make_nsga2,
    "gp": _make_gp,
}


def _without_single(distributions: Distributions) -> dict[str, BaseDistribution]:
    """Return the distributions of more than one value."""
    return {name: distribution for name, distribution in sorted(distributions.items()) if not distribution.single()}


class _Tpe(TPESampler):
    """TPE that knows its search space; Optuna's infers it from all trials, which takes most of a suggestion's time.

    Args:
        distributions: Distribution of each parameter, all of which every trial has.
        seed: Seed of the sampler.
    """

    def __init__(self, distributions: Distributions, seed: int) -> None:
        super().__init__(seed=seed)
        self._varying = _without_single(distributions)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return the parameters that all trials have in common."""
        return self._varying


class _ConditionalTpe(TPESampler):
    """TPE that learns each parameter from the trials that have it, jointly with others that the same trials have.

    It finds the same groups as Optuna's TPE, which goes through the parameters of all trials and copies them. A running
    trial counts for the parameters that it has, not for those drawn before its conditions were known.
    """

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return all parameters, after setting their groups."""
        distinct: dict[frozenset[str], dict[str, BaseDistribution]] = {}
        for ended in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
            distinct.setdefault(frozenset(ended.distributions), ended.distributions)
        groups = _SearchSpaceGroup()
        for distributions in distinct.values():
            groups.add_distributions(distributions)
        self._search_space_group = groups
        pairs = [pair for group in groups.search_spaces for pair in sorted(group.items())]
        return {name: distribution for name, distribution in pairs if not distribution.single()}

    def _get_params(self, trial: FrozenTrial, study: optuna.Study) -> dict[str, Any]:  # noqa: ARG002  Optuna's hook
        return trial.params


class _CommonParameters(BaseSampler):
    """A sampler that handles only the parameters that all trials have; the others are sampled independently.

    CMA-ES gives up for good when a parameter is missing from a trial.

    Args:
        inner: Sampler of the common parameters.
        optional: Names of parameters that not every trial has.
    """

    def __init__(self, inner: BaseSampler, optional: Collection[str]) -> None:
        self._inner = inner
        self._optional = optional

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that all trials have by design, not only those seen in all trials so far."""
        inferred = self._inner.infer_relative_search_space(study, trial)
        return {name: distribution for name, distribution in inferred.items() if name not in self._optional}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values for the common parameters."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a value for any other parameter."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Tell the inner sampler that a trial begins."""
        self._inner.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the inner sampler how a trial ended."""
        self._inner.after_trial(study, trial, state, values)


class _Sobol(QMCSampler):
    """A scrambled Sobol sequence in which trial i takes point i.

    Optuna's sampler counts points in an attribute of the study and takes the first one at random, because it does not
    know its search space in advance. A sequence without its first points covers the space less evenly.

    Args:
        distributions: Distribution of each parameter; each has its own dimension, whether a trial has it or not.
        seed: Seed of the scrambling, the same for all trials of a sweep.
        number: Number of the trial.
    """

    def __init__(self, distributions: Distributions, seed: int, number: int) -> None:
        super().__init__(scramble=True, seed=seed, warn_independent_sampling=False)
        self._varying = _without_single(distributions)
        self._number = number

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return the parameters that all trials have in common."""
        return self._varying

    def _find_sample_id(self, study: Any, search_space: Any) -> int:  # noqa: ARG002  Optuna's hook
        return self._number
