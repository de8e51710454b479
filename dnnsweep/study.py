"""The Optuna study of a sweep: in memory, rebuilt from the ledger, asked and told in a fixed order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from dnnsweep import seeds
from dnnsweep.records import Reason, State
from dnnsweep.space import Choice, Domain, SearchSpace

#: What a diverged trial counts as where no value was told before it, by direction.
FIRST_PENALTY: Final = {"maximize": 0.0, "minimize": 1e9}

_DIRECTIONS: Final = {"maximize": StudyDirection.MAXIMIZE, "minimize": StudyDirection.MINIMIZE}

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Study:
    """Asks and tells one Optuna study.

    The sampler is seeded anew for each suggestion, from the sweep's seed and the trial's number: Optuna does not
    store a sampler's random state, and a rebuilt study must go on as if it had never stopped.

    Args:
        space: What is searched.
        direction: `maximize` or `minimize`.
        kind: `tpe` or `random`.
        seed: The sweep's.
        enqueue: Configurations to suggest first; knobs that they lack are sampled.
    """

    def __init__(
        self,
        space: SearchSpace,
        direction: str,
        kind: str = "tpe",
        seed: int = 0,
        enqueue: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._space = space
        self._kind = kind
        self._seed = seed
        self._enqueue = enqueue
        self._direction = direction
        self._distributions = {name: distribution(domain) for name, domain in space.items()}
        self._worst: float | None = None
        self._study = optuna.create_study(direction=_DIRECTIONS[direction], sampler=self._sampler(0))

    def restore(
        self,
        number: int,
        params: Mapping[str, Any],
        attrs: Mapping[str, Any],
        outcome: tuple[State, float | None] | None,
    ) -> None:
        """Add a trial that was suggested before, in the order of numbers.

        Args:
            number: The trial's.
            params: Its hyperparameters.
            attrs: What the sampler remembers about it.
            outcome: As `tell` was given it, with a penalty as the value; None if it was not told yet.
        """
        state, value = outcome if outcome is not None else (State.RUNNING, None)
        trial = create_trial(
            state=_optuna_state(state, value),
            value=value,
            params={name: _encoded(params[name]) for name in self._space},
            distributions=self._distributions,
            system_attrs=dict(attrs),
        )
        self._study.add_trial(trial)
        if len(self._trials()) != number + 1:
            raise ValueError(f"trials must be restored in order, got {number} after {len(self._trials()) - 2}")
        if value is not None and state is State.COMPLETE:  # a penalty is no value
            self._note(value)

    def restore_attrs(self, attrs: Mapping[str, Any]) -> None:
        """Restore what the sampler remembers about the study."""
        for key, value in attrs.items():
            self._study._storage.set_study_system_attr(self._study._study_id, key, value)  # noqa: SLF001  no public way

    def ask(self, number: int) -> dict[str, Any]:
        """Suggest the next point.

        Args:
            number: Of the trial it becomes; the number of trials asked before.

        Returns:
            A value for each hyperparameter of the space.
        """
        self._study.sampler = self._sampler(number)
        if number < len(self._enqueue):
            self._study.enqueue_trial({name: _encoded(value) for name, value in self._enqueue[number].items()})
        trial = self._study.ask(self._distributions)
        if trial.number != number:
            raise ValueError(f"suggestions must be asked in order, got {number} instead of {trial.number}")
        return {name: _decoded(domain, trial.params[name]) for name, domain in self._space.items()}

    def tell(self, number: int, reason: Reason, value: float | None) -> float | None:
        """Tell how a trial ended; in the order of numbers.

        Args:
            number: The trial.
            reason: Why it ended.
            value: Its objective; None unless it is complete.

        Returns:
            The penalty told in place of the value of a diverged trial: the worst value told so far, so that the
            sampler avoids what the worst trials have in common; None for other reasons.
        """
        if reason is Reason.DIVERGED:
            penalty = FIRST_PENALTY[self._direction] if self._worst is None else self._worst
            self._study.tell(number, penalty)
            return penalty
        if value is None:
            self._study.tell(number, state=TrialState.FAIL)
            return None
        self._study.tell(number, value)
        self._note(value)
        return None

    def attrs(self, number: int) -> dict[str, Any]:
        """Return what the sampler remembers about a trial, as plain JSON."""
        return dict(self._trials()[number].system_attrs)

    def study_attrs(self) -> dict[str, Any]:
        """Return what the sampler remembers about the study, as plain JSON."""
        storage = self._study._storage  # noqa: SLF001  no public way
        return dict(storage.get_study_system_attrs(self._study._study_id))  # noqa: SLF001

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _note(self, value: float) -> None:
        worse = min if self._direction == "maximize" else max
        self._worst = value if self._worst is None else worse(self._worst, value)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed = seeds.derive(self._seed, "ask", number)
        if self._kind == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return _Tpe(self._distributions, seed)


class _Tpe(optuna.samplers.TPESampler):
    """TPE that knows its search space; Optuna's looks for it in all trials, in most of the time of a suggestion.

    Args:
        distributions: What every trial is sampled from.
        seed: Of its random numbers.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], seed: int) -> None:
        super().__init__(seed=seed)
        self._known = {name: known for name, known in sorted(distributions.items()) if not known.single()}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return what all trials have in common."""
        return self._known


def distribution(domain: Domain) -> BaseDistribution:
    """Return a domain as Optuna writes it."""
    if isinstance(domain, Choice):
        return CategoricalDistribution([_encoded(value) for value in domain.values])
    if domain.is_integer:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def _encoded(value: Any) -> Any:
    """Optuna's categories are scalars; widths become text."""
    return json.dumps(list(value)) if isinstance(value, list | tuple) else value


def _decoded(domain: Domain, value: Any) -> Any:
    if not isinstance(domain, Choice):
        return value
    return next(
        choice for choice in domain.values if _encoded(choice) == value and type(_encoded(choice)) is type(value)
    )


def _optuna_state(state: State, value: float | None) -> TrialState:
    if state is State.RUNNING:
        return TrialState.RUNNING
    if state is State.PRUNED:
        return TrialState.PRUNED
    return TrialState.FAIL if value is None else TrialState.COMPLETE
