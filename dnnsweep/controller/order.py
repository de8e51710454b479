"""Asking and telling in a fixed order, so that who trained faster cannot leak into sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dnnsweep import seeds
from dnnsweep.ledger import Asked, StudyTrial, Told
from dnnsweep.ranking import Value
from dnnsweep.records import Reason, Suggestion
from dnnsweep.study import Study

Outcomes = Mapping[int, tuple[Reason, Value | None]]


class FixedOrder:
    """Tells results by trial number; suggestion i + W is asked right after result i was told.

    So what the sampler knows at each suggestion depends on the sweep file alone, not on the number of trainers, the
    order in which trials end, or interruptions.

    Args:
        study: Fresh.
        defaults: The hyperparameters of every trial, by name; those that are searched are replaced.
        seed: The sweep's.
        window: W.
    """

    def __init__(self, study: Study, defaults: Mapping[str, Any], seed: int, window: int) -> None:
        self._study = study
        self._defaults = defaults
        self._seed = seed
        self._window = window
        self.n_asked = 0
        self.n_told = 0

    def restore(self, trials: Sequence[StudyTrial], study_attrs: Mapping[str, object]) -> None:
        """Rebuild the study as it was when its last suggestion was asked; later results are told again.

        Args:
            trials: All trials asked before, in their order.
            study_attrs: What the sampler remembers about the study.
        """
        self._study.restore_attrs(study_attrs)
        self.n_asked, self.n_told = len(trials), max(0, len(trials) - self._window)
        for trial in trials:
            outcome = None
            if trial.number < self.n_told and trial.reason is not None:
                outcome = (trial.reason, trial.penalty if trial.value is None else trial.value)
            self._study.restore(trial.number, trial.params, trial.system_attrs, outcome)

    def advance(self, outcomes: Outcomes, may_ask: Callable[[int], bool]) -> tuple[list[Told], list[Asked]]:
        """Tell what can be told now and ask what may be asked after it.

        Args:
            outcomes: Reason and value of the trials that have ended.
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

    def _tell(self, reason: Reason, value: Value | None) -> Told:
        number = self.n_told
        penalty = self._study.tell(number, reason, value)
        self.n_told += 1
        return Told(number, penalty, self._study.attrs(number))

    def _ask(self, may_ask: Callable[[int], bool]) -> list[Asked]:
        asked = []
        while self.n_asked < self.n_told + self._window and may_ask(self.n_asked) and self._study.may_ask(self.n_asked):
            number = self.n_asked
            params = {**self._defaults, **self._study.ask(number)}
            suggestion = Suggestion(number, params, seeds.derive(self._seed, "trial", number))
            asked.append(Asked(suggestion, self._study.attrs(number)))
            self.n_asked += 1
        return asked
