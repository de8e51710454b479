"""Repeats in a fixed order: which follow depends on the results before them alone, not on who trained faster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dnnsweep.ledger import Asked, StudyTrial, Told
from dnnsweep.ledger.repeat_lease import BLOCK, CANDIDATE, FIRST_NUMBER, RepeatLease
from dnnsweep.records import Repeat, Retraining, Suggestion
from dnnsweep.runner.controller.order import NO_PRUNING
from dnnsweep.runner.controller.trials import Outcome

#: Repeats that have ended, by the number of the candidate and the block.
Results = Mapping[tuple[int, int], Repeat]


@dataclass(frozen=True, slots=True)
class PlannedRepeat:
    """A repeat that is wanted.

    Args:
        candidate: Number of the candidate.
        block: The block, from 0.
        seed: Seeds weights, row order and dropout.
        retraining: How it is trained on all development rows; None for a repeat on the split of its block.
    """

    candidate: int
    block: int
    seed: int
    retraining: Retraining | None = None


class RepeatOrder:
    """Asks for the repeats that a plan wants, given the results so far.

    Args:
        lease: Knows the candidates, and the repeats that were asked for before.
        plan: Returns all repeats that are wanted by now, in their order, given those that have ended. A repeat that was
            asked for is not asked for again.
    """

    def __init__(self, lease: RepeatLease, plan: Callable[[Results], Sequence[PlannedRepeat]]) -> None:
        self.pruner = NO_PRUNING
        self._lease = lease
        self._plan = plan
        self._n_told = 0
        self._has_begun = False

    @property
    def is_over(self) -> bool:
        """Return whether all repeats that are wanted have ended."""
        return self._has_begun and self._n_told == len(self._lease.repeats)

    def restore(
        self, trials: Sequence[StudyTrial], study_attrs: Mapping[str, object], values: Mapping[int, Sequence[float]]
    ) -> None:
        """Do nothing: repeats that were asked before are told again."""

    def suggestion_of(self, trial: StudyTrial) -> Suggestion:
        """Return the suggestion of a repeat in a block that was asked before and has not ended."""
        block = trial.system_attrs[BLOCK]
        return Suggestion(trial.number, trial.params, trial.seed, trial.attempts + 1, block=block)

    def advance(
        self,
        outcome: Callable[[int], Outcome | None],
        may_ask: Callable[[int], bool],  # noqa: ARG002  the plan says how many
    ) -> tuple[list[Told], list[Asked]]:
        """Tell the repeats that have ended, up to the first one that has not; ask for those that follow."""
        told = []
        while outcome(FIRST_NUMBER + self._n_told) is not None:
            told.append(Told(FIRST_NUMBER + self._n_told, None, {}))
            self._n_told += 1
        if self._has_begun and not told:
            return [], []
        self._has_begun = True
        return told, self._ask()

    def _ask(self) -> list[Asked]:
        results = {(repeat.candidate, repeat.block): repeat for repeat in self._lease.repeats[: self._n_told]}
        known = {(repeat.candidate, repeat.block) for repeat in self._lease.repeats}
        new = [item for item in self._plan(results) if (item.candidate, item.block) not in known]
        first = FIRST_NUMBER + len(self._lease.repeats)
        return [self._asked(number, item) for number, item in enumerate(new, first)]

    def _asked(self, number: int, item: PlannedRepeat) -> Asked:
        block = item.block if item.retraining is None else None
        params = self._lease.candidates[item.candidate].params
        suggestion = Suggestion(number, params, item.seed, block=block, retraining=item.retraining)
        return Asked(suggestion, {CANDIDATE: item.candidate, BLOCK: item.block})

    def study_attrs(self) -> Mapping[str, object]:
        """Return nothing: the repeats themselves are all there is to remember."""
        return {}
