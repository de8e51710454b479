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
class _Course:
    """What a pruner sees of a trial; of Optuna's `FrozenTrial` it has what pruners read.

    Args:
        number: The trial's.
        intermediate_values: Epoch, from 1 -> the objective then.
        system_attrs: What the pruner remembers about it: the rungs that it has reached.
        reached_at: The epoch at which each of these was written.
        n_judged: Epochs for which there is a verdict.
        reason: Why it ended; None while it trains.
    """

    number: int
    intermediate_values: dict[int, float] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    reached_at: dict[str, int] = field(default_factory=dict)
    n_judged: int = 0
    reason: Reason | None = None

    @property
    def state(self) -> TrialState:
        """Return where it stands, as Optuna says it."""
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
        """Return whether it has ended and every epoch of it was judged."""
        return self.reason is not None and self.n_judged == len(self.intermediate_values)

    def is_past(self, epoch: int) -> bool:
        """Return whether all is known that it did up to an epoch."""
        return self.is_fully_judged or self.n_judged >= epoch

    def until(self, epoch: int) -> _Course:
        """Return what was known of it when it had trained for so many epochs; that it ended shows an epoch later."""
        if self.is_fully_judged and len(self.intermediate_values) < epoch:
            return self
        values = {step: value for step, value in self.intermediate_values.items() if step <= epoch}
        attrs = {key: value for key, value in self.system_attrs.items() if self.reached_at[key] <= epoch}
        return _Course(self.number, values, attrs)

    def cut(self, epoch: int) -> None:
        """Let it end as pruned at an epoch."""
        self.reason = Reason.PRUNED
        for step in range(epoch + 1, len(self.intermediate_values) + 1):
            del self.intermediate_values[step]


class Pruner:
    """Judges trials, epoch by epoch, as Optuna would.

    A verdict on trial i at epoch e is made of what earlier trials had done by epoch e, and of all that those did which
    the sampler was told before trial i was asked: trials up to i - W. Later trials do not enter. So verdicts depend on
    the sweep file alone, not on who trained faster or on interruptions; with W = 1 they are those of Optuna in a loop.
    A trial does not wait for a verdict: it trains on, and is cut off where it was pruned.

    Args:
        rule: The sweep file's `pruner`, with `kind` and the settings of that kind.
        direction: `maximize` or `minimize`.
        n_epochs: The most epochs of a trial.
        window: W.
        seed: The sweep's; Hyperband's brackets are drawn by it.
    """

    def __init__(self, rule: Mapping[str, Any], direction: str, n_epochs: int, window: int, seed: int) -> None:
        self._pruner = _optuna_pruner(rule, n_epochs)
        self._direction = StudyDirection.MAXIMIZE if direction == "maximize" else StudyDirection.MINIMIZE
        self._window = window
        self._name = study_name(seed)
        self._courses: list[_Course] = []
        self._n_settled = 0

    def restore(self, values: Sequence[float], attrs: Mapping[str, Any], reason: Reason) -> None:
        """Add a trial that the sampler was told of before, in the order of numbers.

        Args:
            values: The objective at each of its epochs.
            attrs: As `attrs` returned them.
            reason: Why it ended.
        """
        reached_at = attrs.get(REACHED, {})
        self._courses.append(
            _Course(
                number=len(self._courses),
                intermediate_values=dict(enumerate(values, 1)),
                system_attrs={key: attrs[key] for key in reached_at},
                reached_at=dict(reached_at),
                n_judged=len(values),
                reason=reason,
            )
        )

    def report(self, number: int, epoch: int, value: float) -> None:
        """Take down the objective of a trial at an epoch, unless it is known."""
        self._course(number).intermediate_values.setdefault(epoch, value)

    def end(self, number: int, reason: Reason) -> None:
        """Note that a trial has ended by itself, after the epochs reported."""
        self._course(number).reason = reason

    def forget(self, number: int) -> None:
        """Forget what a trial has done: it is trained again."""
        self._courses[self._course(number).number] = _Course(number)

    def settle(self) -> list[tuple[int, int]]:
        """Judge all that can be judged by now; return the trials that are pruned, each with its last epoch."""
        pruned = []
        for course in self._courses[self._n_settled :]:
            while not course.is_fully_judged and course.n_judged < len(course.intermediate_values):
                if not self._can_judge(course):
                    break
                if self._judge(course):
                    pruned.append((course.number, course.n_judged))
                    course.cut(course.n_judged)
        while self._n_settled < len(self._courses) and self._courses[self._n_settled].is_fully_judged:
            self._n_settled += 1
        return pruned

    def n_judged(self, number: int) -> int:
        """Return for how many epochs of a trial there is a verdict."""
        return self._course(number).n_judged

    def is_fully_judged(self, number: int) -> bool:
        """Return whether a trial has ended and there is a verdict for every epoch of it."""
        return self._course(number).is_fully_judged

    def values(self, number: int) -> dict[int, float]:
        """Return what was reported of a trial: epoch -> objective."""
        return dict(self._course(number).intermediate_values)

    def attrs(self, number: int) -> dict[str, Any]:
        """Return what the pruner remembers about a trial, as plain JSON.

        Raises:
            ValueError: The trial is not settled: there is more to remember yet.
        """
        course = self._course(number)
        if not course.is_fully_judged:
            raise ValueError(f"a trial must be settled before its attributes are stored, got trial {number}")
        return {**course.system_attrs, REACHED: dict(course.reached_at)} if course.system_attrs else {}

    def _course(self, number: int) -> _Course:
        while len(self._courses) <= number:
            self._courses.append(_Course(len(self._courses)))
        return self._courses[number]

    def _can_judge(self, course: _Course) -> bool:
        first = max(self._n_settled, course.number - self._window + 1)
        return all(earlier.is_past(course.n_judged + 1) for earlier in self._courses[first : course.number])

    def _judge(self, course: _Course) -> bool:
        """Return the verdict on the first epoch that has none."""
        epoch = course.n_judged + 1
        mine = course.until(epoch)
        mine.system_attrs = dict(course.system_attrs)
        others = _Others(self._courses, course.number, max(0, course.number - self._window + 1), epoch)
        view = _View(self._name, self._direction, others, mine)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, about curves of NaN
            is_pruned = self._pruner.prune(cast("optuna.Study", view), cast("FrozenTrial", mine))
        for key, value in mine.system_attrs.items():
            if key not in course.system_attrs:
                course.system_attrs[key] = value
                course.reached_at[key] = epoch
        course.n_judged = epoch
        return bool(is_pruned)


@dataclass(frozen=True, slots=True)
class _Others:
    """The trials that a verdict takes into account.

    Args:
        courses: All trials.
        number: The trial that is judged.
        n_told: So many trials are known to their end.
        epoch: The others before it are known up to here.
    """

    courses: Sequence[_Course]
    number: int
    n_told: int
    epoch: int

    def __iter__(self) -> Iterator[_Course]:
        yield from self.courses[: self.n_told]
        for course in self.courses[self.n_told : self.number]:
            yield course.until(self.epoch)


class _View:
    """What a pruner reads of a study, and where it writes what it remembers about the trial that is judged.

    Args:
        study_name: Hyperband's brackets depend on it.
        direction: The better end of the objective.
        trials: Those that a verdict takes into account.
        mine: The trial that is judged.
    """

    def __init__(self, study_name: str, direction: StudyDirection, trials: Any, mine: _Course) -> None:
        self.study_name = study_name
        self.direction = direction
        self.trials = trials
        self.mine = mine
        self._storage = self
        self._study_id = 0

    def get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002, FBT001, FBT002  as Optuna has it
        states: Container[TrialState] | None = None,
    ) -> list[_Course]:
        """Return the trials in some states."""
        return [trial for trial in self.trials if states is None or trial.state in states]

    def set_trial_system_attr(self, _: int, key: str, value: Any) -> None:
        """Remember something about the trial that is judged: pruners write of no other."""
        self.mine.system_attrs[key] = value


class _Hyperband(HyperbandPruner):
    """Hyperband whose brackets are made of a view; Optuna's reads their trials from the study's storage."""

    def _create_bracket_study(self, study: Any, bracket_id: int) -> Any:
        own = [trial for trial in study.trials if self._get_bracket_id(study, trial) == bracket_id]
        return _View(study.study_name, study.direction, own, study.mine)


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
