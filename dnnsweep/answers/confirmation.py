"""What repeats of candidates say about which configuration wins, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dnnsweep.answers.recorded_scores import Place, by_place, score_of, score_table
from dnnsweep.answers.scales import clipped
from dnnsweep.records import Candidate, Objective, Repeat, spread_of
from dnnsweep.statistics.intervals import Interval, folded_mean_interval, mean_interval
from dnnsweep.statistics.outperformance import Outperformance, is_better_than_baseline, outperformance, p_best
from dnnsweep.statistics.paired_scores import Scores, averageable, difference
from dnnsweep.statistics.race import Race, departures, race


@dataclass(frozen=True, slots=True)
class SplitSizes:
    """How each block splits the development rows.

    Args:
        n_training: Training rows of a repeat, or of one of its folds.
        n_validation: Validation rows of a repeat, or of one of its folds.
        n_folds: Folds of a repeat; 1 without cross-validation.
        is_drawn_again: Whether each block has a split of its own. Where all share one, intervals are about the seed.
    """

    n_training: int
    n_validation: int
    n_folds: int = 1
    is_drawn_again: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """How a candidate stands after its repeats.

    Args:
        number: Number of the candidate.
        label: What it is called, such as `trial 12` or `baseline`.
        trial: Number of the trial that has its hyperparameters; None if there is none.
        params: Every hyperparameter.
        mean: Mean of the objective over the repeats that did not diverge; None if all did.
        interval: Where the mean for new data of the same source plausibly is.
        n: Number of repeats.
        n_diverged: How many of them have no value: diverged, failed, or killed.
        is_live: Whether it is still in the race.
        p_best: How often it has the best mean when the blocks are drawn again.
        p_winner_is_better: The winner's probability of outperformance against it; None for the winner itself, and
            where the two have no block in common.
    """

    number: int
    label: str
    trial: int | None
    params: Mapping[str, Any]
    mean: float | None
    interval: Interval
    n: int
    n_diverged: int
    is_live: bool = True
    p_best: float = 0.0
    p_winner_is_better: Outperformance | None = None

    @property
    def is_tied(self) -> bool:
        """Whether the winner is not better by enough to matter."""
        return self.p_winner_is_better is not None and self.p_winner_is_better.is_tied


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a race says.

    Args:
        standings: All candidates: the winner, then the others that are still in the race, then those that left last.
        baseline: Number of the candidate that is the baseline; None if it was not repeated.
        is_better_than_baseline: Whether the winner is another configuration than the baseline, and better.
        n_blocks: Blocks in which every candidate that was still in the race has a repeat.
    """

    standings: tuple[Standing, ...]
    baseline: int | None
    is_better_than_baseline: bool
    n_blocks: int

    @property
    def winner(self) -> Standing | None:
        """Return the candidate that leads; None if all of its repeats diverged."""
        return None if self.standings[0].mean is None else self.standings[0]

    @property
    def runner_up(self) -> Standing | None:
        """Return the candidate after the winner; None if there is no other."""
        return self.standings[1] if len(self.standings) > 1 else None

    @property
    def of_baseline(self) -> Standing | None:
        """Return how the baseline stands; None if it was not repeated."""
        return next((one for one in self.standings if one.number == self.baseline), None)

    @property
    def tied(self) -> tuple[int, ...]:
        """Return the numbers of the trials that the winner is not better than by enough to matter."""
        return tuple(one.trial for one in self.standings if one.is_tied and one.trial is not None)


def confirm(
    candidates: Sequence[Candidate],
    repeats: Iterable[Repeat],
    objective: Objective,
    sizes: SplitSizes,
    baseline: int | None,
) -> Confirmation | None:
    """Return what the repeats say about the candidates.

    Repeats in blocks that are not full yet are left out, so that all candidates in the race are compared in the same
    blocks.

    Args:
        candidates: The candidates of the race, best trial first.
        repeats: Repeats that the race has asked for (`RaceRules.own`); those of others are not looked at.
        objective: What the sweep improves.
        sizes: How each block splits the development rows.
        baseline: Number of the candidate that is the baseline; None if there is none.

    Returns:
        None, if no block is full.
    """
    numbers = [candidate.number for candidate in candidates]
    ended = {place: repeat for place, repeat in by_place(repeats).items() if place[0] in numbers}
    scores = score_table(ended, numbers, max((block + 1 for _, block in ended), default=0), objective.direction)
    n_full = departures(scores).n_full
    if n_full == 0:
        return None
    scores = scores[:, :n_full]
    standing_race = race(scores, n_full)
    leader, shares = standing_race.leader, p_best(scores, standing_race.leader, seed=0).tolist()
    standings = tuple(
        replace(
            _standing(
                candidate, [ended[place] for place in _places(candidate, n_full) if place in ended], objective, sizes
            ),
            is_live=row in standing_race.live,
            p_best=shares[row],
            p_winner_is_better=_comparison(scores, leader, row),
        )
        for row, candidate in ((row, candidates[row]) for row in _order(scores, standing_race))
    )
    is_better = baseline in numbers and is_better_than_baseline(leader, numbers.index(baseline), scores)
    return Confirmation(standings, baseline if baseline in numbers else None, is_better, n_full)


def compare_with_baseline(
    confirmation: Confirmation, repeats: Iterable[Repeat], objective: Objective, sizes: SplitSizes
) -> Confirmation:
    """Return a confirmation whose winner and baseline are compared in all blocks that both have.

    Args:
        confirmation: What the race says.
        repeats: All repeats of the sweep, those after the race included.
        objective: What the sweep improves.
        sizes: How each block splits the development rows.
    """
    winner, baseline = confirmation.winner, confirmation.of_baseline
    if winner is None or baseline is None or winner == baseline:
        return confirmation
    ended = by_place(repeats)
    blocks = sorted(block for one, block in ended if one == winner.number and (baseline.number, block) in ended)
    own = {one.number: [ended[one.number, block] for block in blocks] for one in (winner, baseline)}
    rows = {number: np.array([score_of(one, objective.direction) for one in own[number]]) for number in own}
    compared = outperformance(rows[winner.number], rows[baseline.number])
    standings = []
    for one in confirmation.standings:
        if one.number in own:
            value = _of_repeats(own[one.number], objective, sizes)
            against = compared if one.number == baseline.number else None
            one = replace(one, **value, p_winner_is_better=against)  # noqa: PLW2901  the same one, better known
        standings.append(one)
    return replace(confirmation, standings=tuple(standings), is_better_than_baseline=compared.is_better)


def _places(candidate: Candidate, n_blocks: int) -> list[Place]:
    return [(candidate.number, block) for block in range(n_blocks)]


def _order(scores: Scores, ended: Race) -> list[int]:
    """Return the rows of the candidates: the leader, who is live, and who left last before who left first."""
    gains = averageable(scores) - averageable(scores)[ended.leader]
    means = [float(row[~np.isnan(row)].mean()) if not np.isnan(row).all() else -math.inf for row in gains]
    live = averageable(scores[list(ended.live)]).mean(axis=1).tolist()
    keys = {row: (-math.inf, -mean) for row, mean in zip(ended.live, live, strict=True)}
    keys |= {row: (-float(n_run), -means[row]) for row, n_run in ended.left_after.items()}
    keys[ended.leader] = (-math.inf, -math.inf)
    return sorted(keys, key=lambda row: (*keys[row], row))


def _comparison(scores: Scores, leader: int, row: int) -> Outperformance | None:
    if row == leader or np.isnan(difference(scores[leader], scores[row])).all():
        return None
    return outperformance(scores[leader], scores[row])


def _standing(candidate: Candidate, repeats: Sequence[Repeat], objective: Objective, sizes: SplitSizes) -> Standing:
    """Return what a candidate's own repeats say; how it stands among the others is filled in later."""
    of_repeats = _of_repeats(repeats, objective, sizes)
    return Standing(candidate.number, candidate.label, candidate.trial, candidate.params, **of_repeats)


def _of_repeats(repeats: Sequence[Repeat], objective: Objective, sizes: SplitSizes) -> dict[str, Any]:
    with_value = [repeat for repeat in repeats if repeat.value is not None and math.isfinite(repeat.value)]
    values = np.array([repeat.value for repeat in with_value], dtype=float)
    return {
        "mean": float(values.mean()) if len(values) else None,
        "interval": clipped(_interval(with_value, objective.metric, sizes), objective.metric),
        "n": len(repeats),
        "n_diverged": len(repeats) - len(with_value),
    }


def _interval(repeats: Sequence[Repeat], metric: str, sizes: SplitSizes) -> Interval:
    values = np.array([repeat.value for repeat in repeats], dtype=float)
    n_validation = sizes.n_validation if sizes.is_drawn_again else 0
    spreads = np.array([(repeat.metrics or {}).get(spread_of(metric), math.nan) for repeat in repeats])
    if sizes.n_folds == 1 or np.isnan(spreads).any():
        return mean_interval(values, n_validation, sizes.n_training)
    return folded_mean_interval(values, spreads, sizes.n_folds, n_validation, sizes.n_training)
