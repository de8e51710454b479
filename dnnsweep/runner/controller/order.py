"""Asking and telling in a fixed order, so that who trained faster cannot leak into sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from dnnsweep import seeds
from dnnsweep.ledger import Asked, StudyTrial, Told
from dnnsweep.records import Reason, Suggestion
from dnnsweep.records.sweeps import CONCLUSION
from dnnsweep.runner.controller.stop_rules import StopRules
from dnnsweep.runner.controller.trials import Outcome
from dnnsweep.study import Study
from dnnsweep.study.pruning import NoPruning, Pruner

NO_PRUNING: Final = NoPruning()


class FixedOrder:
    """Tells results by trial number; suggestion i + W is asked right after result i was told.

    So what the sampler knows at each suggestion depends on the sweep file alone, not on the number of trainers, the
    order in which trials end, or interruptions.

    Rules that may end the sweep early hold suggestions back, and the results before them, too, where it takes more of
    the results to know whether one is needed. So suggestions are those of a sweep without such rules, up to its end.

    Args:
        study: A study that was not asked yet.
        defaults: The hyperparameters of every trial, by name; those that are searched are replaced.
        seed: Seeds the trials.
        window: How many suggestions may be ahead of the results told, W.
        pruner: What judges trials while they train.
        rules: What may end the sweep before its budget is spent; none by default.
    """

    def __init__(  # noqa: PLR0913, PLR0917  a sweep's whole order
        self,
        study: Study,
        defaults: Mapping[str, Any],
        seed: int,
        window: int,
        pruner: Pruner | NoPruning = NO_PRUNING,
        rules: StopRules | None = None,
    ) -> None:
        self.pruner = pruner
        self._rules = rules or StopRules()
        self._study = study
        self._defaults = defaults
        self._seed = seed
        self._window = window
        self.n_asked = 0
        self.n_told = 0

    @property
    def is_over(self) -> bool:
        """Return whether no trial is open, and rules allow no other one now; otherwise the budget ends a sweep."""
        return self._rules.is_over

    @staticmethod
    def suggestion_of(trial: StudyTrial) -> Suggestion:
        """Return the suggestion of a trial that was asked before and has not ended."""
        return Suggestion(trial.number, trial.params, trial.seed, trial.attempts + 1)

    def restore(
        self,
        trials: Sequence[StudyTrial],
        study_attrs: Mapping[str, object],
        values: Mapping[int, Sequence[float]] = MappingProxyType({}),
    ) -> None:
        """Rebuild the study as it was when its last suggestion was asked; later results are told again.

        Args:
            trials: All trials asked before, in their order.
            study_attrs: What the sampler remembers about the study.
            values: Number of each trial -> what the pruner judged it by at each epoch; needed where trials are pruned.
        """
        self._study.restore_attrs({key: value for key, value in study_attrs.items() if key != CONCLUSION})
        self.n_asked, self.n_told = len(trials), max(0, len(trials) - self._window)
        for trial in trials:
            outcome = None
            if trial.number < self.n_told and trial.reason is not None:
                outcome = (trial.reason, trial.penalty if trial.values is None else trial.values)
            self._restore_in_pruner(trial, values.get(trial.number, ()))
            reports = self._reports(trial.number, trial.reason) if outcome is not None else {}
            self._study.restore(trial.number, trial.params, trial.system_attrs, outcome, reports)
            self._rules.begin(trial.params)
        self.pruner.settle()  # to the same verdicts as before

    def _restore_in_pruner(self, trial: StudyTrial, values: Sequence[float]) -> None:
        """Tell the pruner of a trial again; a trial that the sampler was not told of is judged anew."""
        if trial.reason is None:
            return
        if trial.number < self.n_told:
            self.pruner.restore(values, trial.system_attrs, trial.reason)
            return
        for epoch, value in enumerate(values, 1):
            self.pruner.report(trial.number, epoch, value)
        self.pruner.end(trial.number, trial.reason)

    def _reports(self, number: int, reason: Reason | None) -> Mapping[int, float]:
        """Return the objective at each epoch of a pruned trial, by which samplers judge it; nothing for others."""
        return self.pruner.values(number) if reason is Reason.PRUNED else {}

    def advance(
        self, outcome: Callable[[int], Outcome | None], may_ask: Callable[[int], bool]
    ) -> tuple[list[Told], list[Asked]]:
        """Tell what can be told now and ask what may be asked after it.

        Args:
            outcome: Returns how a trial ended; None if it has not.
            may_ask: Whether the budget allows one more suggestion, given the number asked so far.

        Returns:
            What was told and what was asked, each in order.
        """
        told: list[Told] = []
        self._rules.follow(outcome)
        asked = self._ask(may_ask)
        while (ended := outcome(self.n_told)) is not None and not self._is_held_back(may_ask):
            told.append(self._tell(*ended))
            if may_ask(self.n_asked):
                self._rules.look(self.n_told)
            asked += self._ask(may_ask)
        return told, asked

    @property
    def conclusion(self) -> str | None:
        """Return why no more suggestions are asked for, whatever the budget allows; None while there may be more."""
        return self._rules.conclusion

    @property
    def unmeasured(self) -> tuple[int, Mapping[str, Any]] | None:
        """Return number and hyperparameters of the trial whose noise must be measured first; None if none must."""
        return self._rules.unmeasured

    def _is_held_back(self, may_ask: Callable[[int], bool]) -> bool:
        """Return whether the next suggestion is due, but it is not known yet whether it is needed."""
        is_due = self.n_asked < self.n_told + self._window and may_ask(self.n_asked)
        return is_due and self.conclusion is None and not self._rules.may_ask()

    def study_attrs(self) -> Mapping[str, object]:
        """Return what the sampler remembers about the study, and why it is asked no more."""
        concluded = {} if self.conclusion is None else {CONCLUSION: self.conclusion}
        return {**self._study.study_attrs(), **concluded}

    def _tell(self, reason: Reason, values: tuple[float, ...] | None) -> Told:
        number = self.n_told
        penalty = self._study.tell(number, reason, values, self._reports(number, reason))
        self.n_told += 1
        return Told(number, penalty, {**self._study.attrs(number), **self.pruner.attrs(number)})

    def _ask(self, may_ask: Callable[[int], bool]) -> list[Asked]:
        asked = []
        while self.n_asked < self.n_told + self._window and self._may_ask(may_ask):
            number = self.n_asked
            params = {**self._defaults, **self._study.ask(number)}
            self._rules.begin(params)
            suggestion = Suggestion(number, params, seeds.derive(self._seed, "trial", number))
            asked.append(Asked(suggestion, self._study.attrs(number)))
            self.n_asked += 1
        return asked

    def _may_ask(self, may_ask: Callable[[int], bool]) -> bool:
        return may_ask(self.n_asked) and self._rules.may_ask() and self._study.may_ask(self.n_asked)
