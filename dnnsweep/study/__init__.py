"""The Optuna study of a sweep: kept in memory, rebuilt from the ledger, asked and told in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from dnnsweep.records import Reason, State
from dnnsweep.space import SearchSpace
from dnnsweep.study import samplers
from dnnsweep.study.grid import Grid
from dnnsweep.study.parameters import DIRECTIONS, Parameters

#: Value told for a diverged trial before any other value was told, by direction.
FIRST_PENALTY: Final = {"maximize": 0.0, "minimize": 1e9}

#: Attribute of a trial that holds its position in the grid.
GRID: Final = "dnnsweep:grid"
#: Attribute of a study that holds its first population, which a larger budget later must not change.
POPULATION: Final = "dnnsweep:population"

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Study:
    """An Optuna study that is asked and told in the order of trial numbers.

    The sampler is seeded anew for each suggestion, from the sweep's seed and the trial's number. Optuna does not store
    a sampler's random state, and a rebuilt study must continue as if it had never stopped.

    Args:
        space: Hyperparameters to search, each with its domain.
        direction: `maximize` or `minimize`, or a direction for each objective.
        kind: `tpe`, `random`, `grid`, `qmc`, `cmaes`, `nsga2` or `gp`.
        seed: Seed of the sweep.
        enqueue: Configurations to suggest first; hyperparameters that they lack are sampled.
        defaults: Values of hyperparameters whose conditions do not hold.
    """

    def __init__(  # noqa: PLR0913, PLR0917  a sweep's whole search
        self,
        space: SearchSpace,
        direction: str | tuple[str, ...],
        kind: str = "tpe",
        seed: int = 0,
        enqueue: Sequence[Mapping[str, Any]] = (),
        defaults: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._kind = kind
        self._seed = seed
        self._enqueue = enqueue
        self._directions = (direction,) if isinstance(direction, str) else direction
        self._parameters = Parameters(space, defaults)
        self._worst: tuple[float, ...] | None = None
        self._grid = Grid(space, seed, defaults) if kind == "grid" else None
        self._study = optuna.create_study(directions=[DIRECTIONS[name] for name in self._directions])
        self._study.sampler = self._sampler(0)

    def set_population(self, n_trials: int) -> None:
        """Set the number of trials in a generation of `nsga2`; a restored study keeps the number it began with."""
        if self._kind == "nsga2":
            self.restore_attrs({POPULATION: n_trials})

    def restore(
        self,
        number: int,
        params: Mapping[str, Any],
        attrs: Mapping[str, Any],
        outcome: tuple[Reason, tuple[float, ...] | None] | None,
        reports: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        """Add a trial that was suggested before, in the order of numbers.

        Args:
            number: Number of the trial.
            params: Hyperparameters of the trial.
            attrs: Attributes that the sampler keeps about the trial.
            outcome: Reason and values that `tell` received, with a penalty as the values; None if it was not told yet.
            reports: Reports that `tell` received.
        """
        reason, values = outcome if outcome is not None else (None, None)
        state = State.RUNNING if reason is None else reason.state
        if self._grid is not None:
            self._grid.begin(number, attrs[GRID])
            if reason is not None:
                self._grid.end(number, reason)
        encoded = self._parameters.encode(params)
        trial = create_trial(
            state=_optuna_state(state, values),
            values=_optuna_values(values, reports),
            intermediate_values=dict(reports),
            params=encoded,
            distributions={name: self._parameters.distributions[name] for name in encoded},
            system_attrs=dict(attrs),
        )
        self._study.add_trial(trial)
        if len(self._trials()) != number + 1:
            raise ValueError(f"trials must be restored in order, got {number} after {len(self._trials()) - 2}")
        if values is not None and state is State.COMPLETE:  # a penalty is no value
            self._note_worst(values)

    def restore_attrs(self, attrs: Mapping[str, Any]) -> None:
        """Restore the attributes that the sampler keeps about the study."""
        for key, value in attrs.items():
            self._study._storage.set_study_system_attr(self._study._study_id, key, value)  # noqa: SLF001  no public way

    def may_ask(self, number: int) -> bool:
        """Return whether a point is left to suggest, given what was told so far; only a grid runs out of points."""
        return self._grid is None or self._grid.has_point(number)

    def ask(self, number: int) -> dict[str, Any]:
        """Suggest the next point.

        Args:
            number: Number of the new trial, which equals the number of trials asked before.

        Returns:
            A value for each hyperparameter of the space.
        """
        self._study.sampler = self._sampler(number)
        first, attrs = self._first(number)
        if first:
            self._study.enqueue_trial(self._parameters.encode(first))
        trial = self._study.ask()
        params = self._parameters.suggest(trial)
        if trial.number != number:
            raise ValueError(f"suggestions must be asked in order, got {number} instead of {trial.number}")
        for key, value in attrs.items():
            trial.storage.set_trial_system_attr(trial._trial_id, key, value)  # noqa: SLF001  no public way
        return params

    def _first(self, number: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return the hyperparameters that a trial does not leave to the sampler, and attributes to keep about it."""
        if self._grid is not None:
            position = self._grid.position(number)
            return self._grid.begin(number, position), {GRID: position}
        return self._enqueue[number] if number < len(self._enqueue) else {}, {}

    def tell(
        self,
        number: int,
        reason: Reason,
        values: tuple[float, ...] | None,
        reports: Mapping[int, float] = MappingProxyType({}),
    ) -> tuple[float, ...] | None:
        """Tell the sampler how a trial ended; called in the order of numbers.

        Args:
            number: Number of the trial.
            reason: Why the trial ended.
            values: The value of each objective; None unless the trial is complete.
            reports: Epoch -> objective, for a pruned trial: what samplers use if there is no value.

        Returns:
            The penalty told in place of a diverged trial's values: the worst value told so far, for each objective by
            itself, so that the sampler avoids what the worst trials have in common. None for other reasons.
        """
        if self._grid is not None:
            self._grid.end(number, reason)
        if reason is Reason.DIVERGED:
            penalty = self._worst or tuple(FIRST_PENALTY[name] for name in self._directions)
            self._study.tell(number, penalty)
            return penalty
        if reason is Reason.PRUNED:
            self._report(number, reports)
            self._study.tell(number, state=TrialState.PRUNED)
            return None
        if values is None:
            self._study.tell(number, state=TrialState.FAIL)
            return None
        self._study.tell(number, values)
        self._note_worst(values)
        return None

    def _report(self, number: int, reports: Mapping[int, float]) -> None:
        storage, trial_id = self._study._storage, self._trials()[number]._trial_id  # noqa: SLF001  no public way
        for epoch, value in reports.items():
            storage.set_trial_intermediate_value(trial_id, epoch, value)

    def attrs(self, number: int) -> dict[str, Any]:
        """Return the attributes that the sampler keeps about a trial, as plain JSON."""
        return dict(self._trials()[number].system_attrs)

    def study_attrs(self) -> dict[str, Any]:
        """Return the attributes that the sampler keeps about the study, as plain JSON."""
        storage = self._study._storage  # noqa: SLF001  no public way
        return dict(storage.get_study_system_attrs(self._study._study_id))  # noqa: SLF001

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _note_worst(self, values: tuple[float, ...]) -> None:
        before = self._worst or values
        worse = (min if name == "maximize" else max for name in self._directions)
        self._worst = tuple(worst(pair) for worst, pair in zip(worse, zip(before, values, strict=True), strict=True))

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        parameters = self._parameters
        population = self.study_attrs().get(POPULATION, samplers.POPULATION)
        ask = samplers.Ask(parameters.distributions, self._seed, number, parameters.optional, population)
        return samplers.make_sampler(self._kind, ask)


def _optuna_values(values: tuple[float, ...] | None, reports: Mapping[int, float]) -> tuple[float, ...] | None:
    """Return the values that Optuna takes for a trial; for a pruned one the last report, unless it is NaN."""
    if not reports:
        return values
    last = reports[max(reports)]
    return None if math.isnan(last) else (last,)


def _optuna_state(state: State, values: tuple[float, ...] | None) -> TrialState:
    if state is State.RUNNING:
        return TrialState.RUNNING
    if state is State.PRUNED:
        return TrialState.PRUNED
    return TrialState.FAIL if values is None else TrialState.COMPLETE
