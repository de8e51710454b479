"""Pruning: Optuna's pruners, asked in a fixed order, so that who trained faster cannot leak into their verdicts."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, PatientPruner, SuccessiveHalvingPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from dnnsweep.records import Reason, State

#: The attribute of a trial that holds at which epoch the pruner wrote each of the others.
REACHED: Final = "dnnsweep:reached_at"

_STATES: Final = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
}


@dataclass(slots=True)
class _JudgedTrial:
    """What a pruner sees of a trial: those attributes of Optuna's `FrozenTrial` that pruners read.

    Args:
        number: The trial's number.
        intermediate_values: Epoch, from 1 -> the objective at that epoch.
        system_attrs: What the pruner remembers about the trial: the rungs that it has reached.
        reached_at: Name of each system attribute -> the epoch at which it was written.
        n_judged: How many epochs have a verdict.
        reason: Why the trial ended; None while it trains.
    """

    number: int
    intermediate_values: dict[int, float] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    reached_at: dict[str, int] = field(default_factory=dict)
    n_judged: int = 0
    reason: Reason | None = None

    @property
    def state(self) -> TrialState:
        """Return the trial's state in Optuna's words."""
        return TrialState.RUNNING if self.reason is None else _STATES[self.reason.state]

    @property
    def last_step(self) -> int | None:
        """Return the last epoch that was reported."""
        return len(self.intermediate_values) or None

    @property
    def _trial_id(self) -> int:
        return self.number

    @property
    def is_fully_judged(self) -> bool:
        """Return whether the trial has ended and every epoch of it was judged."""
        return self.reason is not None and self.n_judged == len(self.intermediate_values)

    def is_past(self, epoch: int) -> bool:
        """Return whether everything is known that the trial did up to an epoch."""
        return self.is_fully_judged or self.n_judged >= epoch

    def until(self, epoch: int) -> _JudgedTrial:
        """Return the trial as it was known after an epoch; that it has ended shows one epoch later."""
        if self.is_fully_judged and len(self.intermediate_values) < epoch:
            return self
        values = {step: value for step, value in self.intermediate_values.items() if step <= epoch}
        attrs = {key: value for key, value in self.system_attrs.items() if self.reached_at[key] <= epoch}
        return _JudgedTrial(self.number, values, attrs)

    def cut(self, epoch: int) -> None:
        """End the trial as pruned at an epoch, and forget the epochs after it."""
        self.reason = Reason.PRUNED
        for step in range(epoch + 1, len(self.intermediate_values) + 1):
            del self.intermediate_values[step]


class Pruner:
    """Judges trials, epoch by epoch, as Optuna would.

    A verdict on trial i at epoch e is made of what earlier trials had done by epoch e, and of all that those did which
    the sampler was told before trial i was asked: trials up to i - W. Later trials do not enter. So verdicts depend on
    the sweep file alone, not on who trained faster or on interruptions; with W = 1 they are those of Optuna in a loop.
    A trial does not wait for a verdict: it trains on, and is cut off where it was pruned.

    Attributes:
        needs_reports: Whether epochs are judged, so that each must be reported, after an interruption too.

    Args:
        rule: The section `pruner` of the sweep file: `kind` and the settings of that kind.
        direction: `maximize` or `minimize`.
        n_epochs: How many epochs a trial trains at most.
        window: How many suggestions may be ahead of the results told to the sampler, W.
        seed: Seeds the draw of Hyperband's brackets.
    """

    needs_reports: Final = True

    def __init__(self, rule: Mapping[str, Any], direction: str, n_epochs: int, window: int, seed: int) -> None:
        self._pruner = _optuna_pruner(rule, n_epochs)
        self._direction = StudyDirection.MAXIMIZE if direction == "maximize" else StudyDirection.MINIMIZE
        self._window = window
        self._name = study_name(seed)
        self._trials: list[_JudgedTrial] = []
        self._n_settled = 0

    def restore(self, values: Sequence[float], attrs: Mapping[str, Any], reason: Reason) -> None:
        """Add a trial that the sampler was told of in an earlier run; trials must come in the order of numbers.

        Args:
            values: The objective at each epoch of the trial.
            attrs: What `attrs` returned of the trial in that run.
            reason: Why the trial ended.
        """
        reached_at = attrs.get(REACHED, {})
        self._trials.append(
            _JudgedTrial(
                number=len(self._trials),
                intermediate_values=dict(enumerate(values, 1)),
                system_attrs={key: attrs[key] for key in reached_at},
                reached_at=dict(reached_at),
                n_judged=len(values),
                reason=reason,
            )
        )

    def report(self, number: int, epoch: int, value: float) -> None:
        """Note the objective of a trial at an epoch, unless that was noted before."""
        self._trial(number).intermediate_values.setdefault(epoch, value)

    def end(self, number: int, reason: Reason) -> None:
        """Note that a trial has ended by itself, after the epochs reported."""
        self._trial(number).reason = reason

    def forget(self, number: int) -> None:
        """Forget what a trial has done, because it is trained again."""
        self._trials[self._trial(number).number] = _JudgedTrial(number)

    def settle(self) -> list[tuple[int, int]]:
        """Judge what can be judged by now; return the trials that are pruned, each with the last epoch that counts."""
        pruned = []
        for trial in self._trials[self._n_settled :]:
            while not trial.is_fully_judged and trial.n_judged < len(trial.intermediate_values):
                if not self._can_judge(trial):
                    break
                if self._judge(trial):
                    pruned.append((trial.number, trial.n_judged))
                    trial.cut(trial.n_judged)
        while self._n_settled < len(self._trials) and self._trials[self._n_settled].is_fully_judged:
            self._n_settled += 1
        return pruned

    def n_judged(self, number: int) -> int:
        """Return for how many epochs of a trial there is a verdict."""
        return self._trial(number).n_judged

    def n_final(self, number: int, n_reported: int) -> int:  # noqa: ARG002  `NoPruning` needs it
        """Return how many epochs of a trial stay, whatever the verdicts on later ones are.

        Args:
            number: Number of the trial.
            n_reported: How many epochs it has reported.
        """
        return self.n_judged(number)

    def is_fully_judged(self, number: int) -> bool:
        """Return whether a trial has ended and there is a verdict for every epoch of it."""
        return self._trial(number).is_fully_judged

    def values(self, number: int) -> dict[int, float]:
        """Return what was reported of a trial: epoch -> objective."""
        return dict(self._trial(number).intermediate_values)

    def attrs(self, number: int) -> dict[str, Any]:
        """Return what the pruner remembers about a trial, as plain JSON.

        Raises:
            ValueError: The trial is not settled: there is more to remember yet.
        """
        trial = self._trial(number)
        if not trial.is_fully_judged:
            raise ValueError(f"a trial must be settled before its attributes are stored, got trial {number}")
        return {**trial.system_attrs, REACHED: dict(trial.reached_at)} if trial.system_attrs else {}

    def _trial(self, number: int) -> _JudgedTrial:
        while len(self._trials) <= number:
            self._trials.append(_JudgedTrial(len(self._trials)))
        return self._trials[number]

    def _can_judge(self, trial: _JudgedTrial) -> bool:
        first = max(self._n_settled, trial.number - self._window + 1)
        return all(earlier.is_past(trial.n_judged + 1) for earlier in self._trials[first : trial.number])

    def _judge(self, trial: _JudgedTrial) -> bool:
        """Return the verdict on the first epoch that has none."""
        epoch = trial.n_judged + 1
        judged = trial.until(epoch)
        judged.system_attrs = dict(trial.system_attrs)
        others = _Others(self._trials, trial.number, max(0, trial.number - self._window + 1), epoch)
        view = _View(self._name, self._direction, others, judged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, about curves of NaN
            is_pruned = self._pruner.prune(cast("optuna.Study", view), cast("FrozenTrial", judged))
        for key, value in judged.system_attrs.items():
            if key not in trial.system_attrs:
                trial.system_attrs[key] = value
                trial.reached_at[key] = epoch
        trial.n_judged = epoch
        return bool(is_pruned)


class NoPruning:
    """Stands in for a `Pruner` where no trial is pruned: it takes the same calls, and lets every trial train on."""

    needs_reports: Final = False

    def restore(self, values: Sequence[float], attrs: Mapping[str, Any], reason: Reason) -> None:
        """Do nothing: no trial is compared with others."""

    def report(self, number: int, epoch: int, value: float) -> None:
        """Do nothing: no epoch is judged."""

    def end(self, number: int, reason: Reason) -> None:
        """Do nothing: no trial is compared with others."""

    def forget(self, number: int) -> None:
        """Do nothing: nothing was noted."""

    def settle(self) -> list[tuple[int, int]]:
        """Return no trial."""
        return []

    def n_final(self, number: int, n_reported: int) -> int:  # noqa: ARG002  one answer for all trials
        """Return that all reported epochs stay."""
        return n_reported

    def is_fully_judged(self, number: int) -> bool:  # noqa: ARG002  one answer for all trials
        """Return that there is nothing to wait for."""
        return True

    def values(self, number: int) -> dict[int, float]:  # noqa: ARG002  one answer for all trials
        """Return nothing: the sampler is told of no pruned trial."""
        return {}

    def attrs(self, number: int) -> dict[str, Any]:  # noqa: ARG002  one answer for all trials
        """Return nothing to remember."""
        return {}


@dataclass(frozen=True, slots=True)
class _Others:
    """The trials that a verdict takes into account.

    Args:
        all_trials: All trials, by number.
        number: The trial that is judged.
        n_told: How many of the first trials are known to their end.
        epoch: Up to which epoch the other trials before the judged one are known.
    """

    all_trials: Sequence[_JudgedTrial]
    number: int
    n_told: int
    epoch: int

    def __iter__(self) -> Iterator[_JudgedTrial]:
        yield from self.all_trials[: self.n_told]
        for trial in self.all_trials[self.n_told : self.number]:
            yield trial.until(self.epoch)


class _View:
    """What a pruner reads of a study, and where it writes what it remembers about the trial that is judged.

    Args:
        study_name: Decides which of Hyperband's brackets a trial is in.
        direction: Whether larger or smaller values are better.
        trials: The trials that the verdict takes into account.
        judged: The trial that is judged.
    """

    def __init__(self, study_name: str, direction: StudyDirection, trials: Any, judged: _JudgedTrial) -> None:
        self.study_name = study_name
        self.direction = direction
        self.trials = trials
        self.judged = judged
        self._storage = self
        self._study_id = 0

    def get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002, FBT001, FBT002  as Optuna has it
        states: Container[TrialState] | None = None,
    ) -> list[_JudgedTrial]:
        """Return the trials that are in some states; in any if none is given."""
        return [trial for trial in self.trials if states is None or trial.state in states]

    def set_trial_system_attr(self, _: int, key: str, value: Any) -> None:
        """Remember something about the trial that is judged; pruners write about no other."""
        self.judged.system_attrs[key] = value


class _Hyperband(HyperbandPruner):
    """Hyperband whose brackets are made of a view; Optuna's reads their trials from the study's storage."""

    def _create_bracket_study(self, study: Any, bracket_id: int) -> Any:
        in_bracket = [trial for trial in study.trials if self._get_bracket_id(study, trial) == bracket_id]
        return _View(study.study_name, study.direction, in_bracket, study.judged)


def study_name(seed: int) -> str:
    """Return the name by which Hyperband draws the bracket of each trial."""
    return f"dnnsweep-{seed}"


def _optuna_pruner(rule: Mapping[str, Any], n_epochs: int) -> BasePruner:
    """Return Optuna's pruner.

    Its settings never depend on what was seen before, as Optuna's `auto` ones do: `min_resource` is a hundredth of the
    epochs, at least one, and `max_resource` all of them, which is what `auto` finds once a trial has trained them all.
    """
    given = {name: value for name, value in rule.items() if name not in ("kind", "wrapped") and value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match rule["kind"]:
            case "median":
                return MedianPruner(**given)
            case "asha":
                return SuccessiveHalvingPruner(**{"min_resource": max(n_epochs // 100, 1), **given})
            case "hyperband":
                return _Hyperband(**{"max_resource": n_epochs, **given})
            case "patient":
                wrapped = rule.get("wrapped")
                return PatientPruner(None if wrapped is None else _optuna_pruner(wrapped, n_epochs), **given)
    raise ValueError(f"there is no pruner {rule['kind']}")
