"""The noise of a trial's value: how much it changes when its configuration is trained again."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dnnsweep.ledger import RepeatLease
from dnnsweep.records import Purpose, SweepState
from dnnsweep.records.phases import Phase
from dnnsweep.runner.candidates import find_candidate, repeat_in_block, take_candidates
from dnnsweep.runner.repeat_training import RepeatTraining

#: Repeats from which the noise is estimated, unless there are more folds.
N_REPEATS: Final = 5


@dataclass(frozen=True, slots=True)
class TrialNoise:
    """The noise of trials, as far as it was measured by repeats in blocks.

    Each block has a seed and a split of its own, so that both are part of the noise. The race that confirms the best
    trials uses the same repeats again.

    Args:
        lease: The repeats of the sweep.
        seed: Seed of the sweep.
        n_folds: Folds of a trial; None for one split.
    """

    lease: RepeatLease
    seed: int
    n_folds: int | None

    def of(self, params: Mapping[str, Any]) -> float | None:
        """Return the standard deviation of a trial's value; None if it was not measured yet.

        Args:
            params: The trial's hyperparameters.
        """
        candidate = find_candidate(self.lease, params)
        if candidate is None:
            return None
        repeats = [repeat for repeat in self.lease.repeats if repeat.candidate == candidate.number]
        ended = [repeat for repeat in repeats if repeat.block < self._n_repeats and repeat.reason is not None]
        if len(ended) < self._n_repeats:
            return None
        return deviation_of_trial([repeat.value for repeat in ended if repeat.value is not None], self.n_folds)

    def measure(self, number: int, params: Mapping[str, Any], training: RepeatTraining) -> SweepState:
        """Train the repeats of a trial that are missing; return `COMPLETE` unless that was cut short.

        Args:
            number: Number of the trial.
            params: The trial's hyperparameters.
            training: Trains repeats, under the same lease.
        """
        (candidate,) = take_candidates(self.lease, Purpose.NOISE, [(f"trial {number}", params, number)])
        wanted = [repeat_in_block(self.seed, candidate.number, block) for block in range(self._n_repeats)]
        state, _ = training.train(lambda _: wanted, Phase.MEASURING)
        return state

    @property
    def _n_repeats(self) -> int:
        return max(N_REPEATS, self.n_folds or 0)


def deviation_of_trial(values: Sequence[float], n_folds: int | None) -> float:
    """Return the standard deviation of a trial's value, from values of single trainings.

    With folds, the value is the mean of k trainings whose training rows overlap. Its variance is s^2 (1/k + 1/(k - 1)).

    Args:
        values: One value for each training; with fewer than two the deviation counts as 0.
        n_folds: The k folds of a trial; None for one split.

    Example:
        >>> deviation_of_trial([1.0, 2.0, 3.0], None)
        1.0

    References:
        Nadeau & Bengio, Inference for the Generalization Error, 2003; Makarova et al., 2022, use it for k folds.
    """
    if len(values) < 2:
        return 0.0
    deviation = statistics.stdev(values)
    return deviation if n_folds is None else deviation * math.sqrt(1 / n_folds + 1 / (n_folds - 1))
