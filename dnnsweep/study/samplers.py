"""The samplers: Optuna's, made so that a study that was rebuilt goes on as if it had never stopped."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.search_space.group_decomposed import _SearchSpaceGroup
from optuna.trial import FrozenTrial, TrialState

from dnnsweep import seeds

#: Trials of a generation of NSGA-II where nothing else is said; Optuna's default.
POPULATION: Final = 50

Distributions = Mapping[str, BaseDistribution]


def make_nsga2(seed: int, number: int, population: int = POPULATION) -> BaseSampler:
    """Return NSGA-II for one suggestion, as `sampler` does for others.

    Args:
        seed: The sweep's.
        number: The trial's.
        population: Trials of a generation.
    """
    return NSGAIISampler(population_size=population, seed=seeds.derive(seed, "ask", number))


def make_sampler(
    kind: str, distributions: Distributions, seed: int, number: int, sometimes: Collection[str] = ()
) -> BaseSampler:
    """Return the sampler of one suggestion.

    It is seeded from the sweep's seed and the trial's number: Optuna does not store a sampler's random state. What a
    sampler has to remember beside it, Optuna keeps in attributes of trials and studies, which the ledger holds.

    Args:
        kind: `tpe`, `random`, `qmc`, `cmaes` or `gp`; a `grid` suggests by itself and takes `random` here.
        distributions: What trials are sampled from.
        seed: The sweep's.
        number: The trial's.
        sometimes: Names of parameters that not every trial has.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        made = _sampler(kind, distributions, seed, number, sometimes)
        return _InEveryTrial(made, sometimes) if sometimes and kind in ("cmaes", "gp") else made


def _sampler(
    kind: str, distributions: Distributions, seed: int, number: int, sometimes: Collection[str]
) -> BaseSampler:
    own = seeds.derive(seed, "ask", number)
    if kind == "tpe" and sometimes:
        return _ConditionalTpe(multivariate=True, group=True, seed=own)
    if kind == "tpe":
        return _Tpe(distributions, own)
    if kind == "qmc":
        return _Sobol(distributions, seeds.derive(seed, "sequence", 0), number)
    if kind == "cmaes":
        independent = RandomSampler(seed=own)
        return CmaEsSampler(seed=own, independent_sampler=independent, warn_independent_sampling=False)
    if kind == "gp":
        return optuna.samplers.GPSampler(seed=own, warn_independent_sampling=False)
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


class _ConditionalTpe(TPESampler):
    """TPE that learns each parameter from the trials that have it, those that the same trials have together.

    It finds the same groups as Optuna's, which goes through the parameters of all trials for it and copies them; and a
    trial that is open counts for what it has, not for what was drawn for conditions that then did not hold.
    """

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return all parameters, and remember their groups."""
        first: dict[frozenset[str], dict[str, BaseDistribution]] = {}
        for ended in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
            first.setdefault(frozenset(ended.distributions), ended.distributions)
        groups = _SearchSpaceGroup()
        for distributions in first.values():
            groups.add_distributions(distributions)
        self._search_space_group = groups
        found = [item for group in groups.search_spaces for item in sorted(group.items())]
        return {name: known for name, known in found if not known.single()}

    def _get_params(self, trial: FrozenTrial, study: optuna.Study) -> dict[str, Any]:  # noqa: ARG002  Optuna's hook
        return trial.params


class _InEveryTrial(BaseSampler):
    """A sampler that looks at the parameters of every trial only, and leaves the others to be drawn independently.

    CMA-ES gives up for good when a parameter is missing from a trial.

    Args:
        inner: The sampler.
        sometimes: Names of parameters that not every trial has.
    """

    def __init__(self, inner: BaseSampler, sometimes: Collection[str]) -> None:
        self._inner = inner
        self._sometimes = sometimes

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what all trials have in common by design, and not only as far as was seen."""
        found = self._inner.infer_relative_search_space(study, trial)
        return {name: known for name, known in found.items() if name not in self._sometimes}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values for what all trials have."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a value for anything else."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Pass on that a trial begins."""
        self._inner.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Pass on how a trial ended."""
        self._inner.after_trial(study, trial, state, values)


class _Sobol(QMCSampler):
    """A scrambled Sobol sequence in which trial i takes point i.

    Optuna's counts points in an attribute of the study and takes the first one at random, because it does not know its
    search space before; a sequence without its first points covers the space less evenly.

    Args:
        distributions: What trials are sampled from, each with a dimension of its own, whether a trial has it or not.
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
