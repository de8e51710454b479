"""Which trainings tell what each hyperparameter adds between baseline and winner, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dnnsweep import seeds
from dnnsweep.answers.contrast import Contrast, Player
from dnnsweep.answers.recorded_scores import Place, by_place, score_of
from dnnsweep.records import Objective, Repeat
from dnnsweep.statistics.effect_intervals import Effect, effect_intervals
from dnnsweep.statistics.paired_scores import Scores, without_divergence
from dnnsweep.statistics.shapley import (
    MAX_EXACT_PLAYERS,
    Permutation,
    antithetic_permutations,
    coalitions_along,
    exact_effects,
    permutation_effects,
)

#: The fewest blocks that an effect is measured in: two have a spread, but hardly know it.
MIN_BLOCKS: Final = 3
#: The most pairs of orders in a block; that many know their mean well.
MAX_PAIRS: Final = 64


@dataclass(frozen=True, slots=True)
class EffectsPlan:
    """The trainings that effects need.

    Args:
        contrast: Baseline and winner, and what differs between them.
        n_blocks: Number of blocks.
        orders: Orders in which players join, for each block; empty if all coalitions are trained.
    """

    contrast: Contrast
    n_blocks: int
    orders: tuple[tuple[Permutation, ...], ...] = ()

    @property
    def is_exact(self) -> bool:
        """Return whether all coalitions are trained."""
        return not self.orders

    def coalitions(self, block: int) -> Sequence[int]:
        """Return the coalitions that a block trains, in ascending order."""
        return range(self.contrast.n_coalitions) if self.is_exact else coalitions_along(self.orders[block])

    def trainings(self) -> list[Place]:
        """Return all trainings in order: coalition and block. Those of the baseline and the winner may exist."""
        return [(coalition, block) for block in range(self.n_blocks) for coalition in self.coalitions(block)]


def plan_effects(contrast: Contrast, n_blocks: int, seed: int, max_trainings: float | None = None) -> EffectsPlan:
    """Return which trainings the effects of a sweep need.

    All coalitions are trained where there are at most six players, and the trainings are not limited, or suffice.
    Otherwise each block trains the coalitions along random orders of the players, each with its reverse: as many as
    fit, and at least one pair. Where one pair in each block is too many, there are fewer blocks, but three at least.

    Args:
        contrast: Baseline and winner, and what differs between them. No training is needed if nothing does.
        n_blocks: Blocks that are asked for.
        seed: The sweep's seed.
        max_trainings: The most trainings; None pays for all coalitions of six players.
    """
    n_players, n_all = len(contrast.players), contrast.n_coalitions * n_blocks
    if n_players == 0:
        return EffectsPlan(contrast, n_blocks=0)
    if n_players <= MAX_EXACT_PLAYERS and (max_trainings is None or n_all <= max_trainings):
        return EffectsPlan(contrast, n_blocks)
    limit = 2**MAX_EXACT_PLAYERS * n_blocks if max_trainings is None else max_trainings
    n_run = min(n_blocks, max(MIN_BLOCKS, int(limit // (2 * n_players))))
    plan = EffectsPlan(contrast, n_run, _orders(n_players, 1, n_run, seed))
    for n_pairs in range(2, MAX_PAIRS + 1):
        larger = EffectsPlan(contrast, n_run, _orders(n_players, n_pairs, n_run, seed))
        if len(larger.trainings()) > limit:
            break
        plan = larger
    return plan


def _orders(n_players: int, n_pairs: int, n_blocks: int, seed: int) -> tuple[tuple[Permutation, ...], ...]:
    drawn = (antithetic_permutations(n_players, n_pairs, seeds.derive(seed, "orders", b)) for b in range(n_blocks))
    return tuple(map(tuple, drawn))


@dataclass(frozen=True, slots=True)
class PlayerEffect:
    """What a player adds between baseline and winner.

    Args:
        player: The player.
        effect: Mean and intervals; positive is better, whatever the objective's direction.
    """

    player: Player
    effect: Effect


@dataclass(frozen=True, slots=True)
class MeasuredEffects:
    """The effects of all players.

    Args:
        effects: Those that are seen first, the largest first.
        total: The winner's score minus the baseline's, which the effects sum to.
        n_blocks: Blocks that were analysed.
        n_lost: Blocks that were not, because all of their repeats diverged.
        n_diverged: Repeats of the analysed blocks that diverged, and count as the worst one that did not.
        is_exact: Whether all coalitions were trained.
    """

    effects: tuple[PlayerEffect, ...]
    total: float
    n_blocks: int
    n_lost: int
    n_diverged: int
    is_exact: bool


def measure_effects(
    plan: EffectsPlan,
    repeats: Iterable[Repeat],
    candidates: Mapping[int, int],
    objective: Objective,
) -> MeasuredEffects | None:
    """Return the effect of each player, from the blocks whose trainings have all ended.

    Args:
        plan: The trainings that were asked for.
        repeats: Repeats of the plan's coalitions; others are not looked at.
        candidates: Coalition -> number of the candidate that has its hyperparameters.
        objective: What the sweep improves.

    Returns:
        None, if nothing differs between winner and baseline, or fewer than two blocks can be analysed.
    """
    ended = by_place(repeats)
    full = [b for b in range(plan.n_blocks) if all((candidates.get(c, -1), b) in ended for c in plan.coalitions(b))]
    scores_by_block = {
        block: np.array([score_of(ended[candidates[c], block], objective.direction) for c in plan.coalitions(block)])
        for block in full
    }
    usable = {block: scores for block, scores in scores_by_block.items() if np.isfinite(scores).any()}
    if not plan.contrast.players or len(usable) < 2:
        return None
    by_block = np.array([_effects_of(plan, block, scores) for block, scores in usable.items()])
    found = effect_intervals(by_block, seed=0)
    pairs = [PlayerEffect(player, effect) for player, effect in zip(plan.contrast.players, found, strict=True)]
    pairs.sort(key=lambda pair: (not pair.effect.is_seen, -abs(pair.effect.mean)))
    n_diverged = sum(int(np.isneginf(scores).sum()) for scores in usable.values())
    total, n_usable = float(by_block.sum(axis=1).mean()), len(usable)
    return MeasuredEffects(tuple(pairs), total, n_usable, len(full) - n_usable, n_diverged, plan.is_exact)


def _effects_of(plan: EffectsPlan, block: int, scores: Scores) -> Scores:
    numbers = without_divergence(scores[:, None])[:, 0]
    if plan.is_exact:
        return np.asarray(exact_effects(numbers[None])[0])
    values = dict(zip(plan.coalitions(block), numbers.tolist(), strict=True))
    return permutation_effects(values, plan.orders[block])
