"""Asking and telling in a fixed order, so that who trained faster cannot leak into sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from dnnsweep import seeds
from dnnsweep.ledger import Asked, StudyTrial, Told
from dnnsweep.records import Reason, Suggestion
from dnnsweep.study import Study
from dnnsweep.study.pruning import Pruner

#: Reason and values of each trial that has ended.
Outcomes = Mapping[int, tuple[Reason, tuple[float, ...] | None]]


class FixedOrder:
    """Tells results by trial number; suggestion i + W is asked right after result i was told.

    So what the sampler knows at each suggestion depends on the sweep file alone, not on the number of trainers, the
    order in which trials end, or interruptions.

    Args:
        study: Fresh.
        defaults: The hyperparameters of every trial, by name; those that are searched are replaced.
        seed: The sweep's.
        window: W.
        pruning: What judges trials while they train; None where none is pruned.
    """

    def __init__(
        self, study: Study, defaults: Mapping[str, Any], seed: int, window: int, pruning: Pruner | None = None
    ) -> None:
        self.pruning = pruning
        self._study = study
        self._defaults = defaults
        self._seed = seed
        self._window = window
        self.n_asked = 0
        self.n_told = 0

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
            values: Of each trial what the pruner judged it by, at each epoch; needed where trials are pruned.
        """
        self._study.restore_attrs(study_attrs)
        self.n_asked, self.n_told = len(trials), max(0, len(trials) - self._window)
        for trial in trials:
            outcome = None
            if trial.number < self.n_told and trial.reason is not None:
                outcome = (trial.reason, trial.penalty if trial.values is None else trial.values)
            if self.pruning is not None:
                self._restore_course(self.pruning, trial, values.get(trial.number, ()))
            reports = self._reports(trial.number, trial.reason) if outcome is not None else {}
            self._study.restore(trial.number, trial.params, trial.system_attrs, outcome, reports)
        if self.pruning is not None:
            self.pruning.settle()  # the verdicts are those of before

    def _restore_course(self, pruning: Pruner, trial: StudyTrial, values: Sequence[float]) -> None:
        """Let the pruner know a trial again; those that were not told are judged anew, to the same verdicts."""
        if trial.reason is None:
            return
        if trial.number < self.n_told:
            pruning.restore(values, trial.system_attrs, trial.reason)
            return
        for epoch, value in enumerate(values, 1):
            pruning.report(trial.number, epoch, value)
        pruning.end(trial.number, trial.reason)

    def _reports(self, number: int, reason: Reason | None) -> Mapping[int, float]:
        """Return what samplers go by where a trial was pruned."""
        if self.pruning is None or reason is not Reason.PRUNED:
            return {}
        return self.pruning.values(number)

    def advance(self, outcomes: Outcomes, may_ask: Callable[[int], bool]) -> tuple[list[Told], list[Asked]]:
        """Tell what can be told now and ask what may be asked after it.

        Args:
            outcomes: Reason and values of the trials that have ended.
            may_ask: Whether the budget allows one more suggestion, given the number asked so far.

        Returns:
            What was told and what was asked, each in order.
        """
        told: list[Told] = []
        asked = self._ask(may_ask)
        while self.n_told in outcomes:
            told.append(self._tell(*outcomes[self.n_told]))
            asked += self._ask(may_ask)
        return told, asked

    def study_attrs(self) -> Mapping[str, object]:
        """Return what the sampler remembers about the study."""
        return self._study.study_attrs()

    def _tell(self, reason: Reason, values: tuple[float, ...] | None) -> Told:
        number = self.n_told
        penalty = self._study.tell(number, reason, values, self._reports(number, reason))
        self.n_told += 1
        reached = {} if self.pruning is None else self.pruning.attrs(number)
        return Told(number, penalty, {**self._study.attrs(number), **reached})

    def _ask(self, may_ask: Callable[[int], bool]) -> list[Asked]:
        asked = []
        while self.n_asked < self.n_told + self._window and may_ask(self.n_asked) and self._study.may_ask(self.n_asked):
            number = self.n_asked
            params = {**self._defaults, **self._study.ask(number)}
            suggestion = Suggestion(number, params, seeds.derive(self._seed, "trial", number))
            asked.append(Asked(suggestion, self._study.attrs(number)))
            self.n_asked += 1
        return asked
