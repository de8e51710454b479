"""Shapley effects: what each hyperparameter adds between the baseline and the winner.

A coalition is a set of players, written as a number whose bit i says whether player i has the winner's value. The
effect of a player is its mean gain over all orders in which players can join:

    phi_i = sum over S without i of |S|! (p - |S| - 1)! / p! (v(S + i) - v(S)).

References:
    Shapley, A value for n-person games, 1953.
    Mitchell, Cooper, Frank & Holmes, Sampling permutations for Shapley value estimation, JMLR 23, 2022:
        antithetic ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: The most players of whom all coalitions are trained.
MAX_EXACT_PLAYERS: Final = 6

#: Players in the order in which they join.
Permutation = tuple[int, ...]


def exact_effects(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the effect of each player in each block, [blocks, players].

    The effects of a block sum to the value of all players minus the value of none.

    Args:
        values: Value of each coalition, [blocks, coalitions]; coalition 0 is the baseline, the last one the winner.

    Raises:
        ValueError: The number of coalitions is no power of two.

    Example:
        >>> exact_effects(np.array([[0.0, 1.0, 2.0, 5.0]]))
        array([[2., 3.]])
    """
    n_coalitions = values.shape[1]
    n_players = n_coalitions.bit_length() - 1
    if n_coalitions != 2**n_players:
        raise ValueError(f"all coalitions must have a value, a power of two; got {n_coalitions}")
    return values @ _weights(n_players)


def _weights(n_players: int) -> NDArray[np.float64]:
    """Return what each coalition's value counts for each player, [coalitions, players]."""
    coalitions = np.arange(2**n_players)
    is_member = (coalitions[:, None] >> np.arange(n_players)) & 1 == 1
    n_others = is_member.sum(axis=1, keepdims=True) - is_member
    share = [1 / (n_players * math.comb(n_players - 1, n)) for n in range(n_players)]
    return np.where(is_member, 1.0, -1.0) * np.array(share)[n_others] if n_players else np.zeros((1, 0))


def antithetic_permutations(n_players: int, n_pairs: int, seed: int) -> list[Permutation]:
    """Return random orders of the players, each followed by its reverse.

    Draw other ones for each block: then the spread over blocks, and so each interval, holds their error.

    Args:
        n_players: How many players there are.
        n_pairs: How many orders are drawn; each of them comes with its reverse.
        seed: Where the draws start, another one for each block.

    Example:
        >>> one, other = antithetic_permutations(4, 1, seed=0)
        >>> one == other[::-1]
        True
    """
    rng = np.random.default_rng(seed)
    drawn = [tuple(int(player) for player in rng.permutation(n_players)) for _ in range(n_pairs)]
    return [order for one in drawn for order in (one, one[::-1])]


def coalitions_along(permutations: Sequence[Permutation]) -> list[int]:
    """Return the coalitions whose values the orders need, each once, in ascending order.

    Example:
        >>> coalitions_along([(0, 1), (1, 0)])
        [0, 1, 2, 3]
    """
    return sorted({coalition for order in permutations for coalition in _chain(order)})


def permutation_effects(values: Mapping[int, float], permutations: Sequence[Permutation]) -> NDArray[np.float64]:
    """Return the effect of each player in one block, estimated from some orders.

    As in the exact ones, they sum to the value of all players minus the value of none.

    Args:
        values: Coalition -> its value in the block, for those of `coalitions_along`.
        permutations: Orders of the block, as `antithetic_permutations` draws them.

    Example:
        >>> permutation_effects({0: 0.0, 1: 1.0, 2: 2.0, 3: 5.0}, [(0, 1), (1, 0)])
        array([2., 3.])
    """
    effects = np.zeros(len(permutations[0]))
    for order in permutations:
        effects[list(order)] += np.diff([values[coalition] for coalition in _chain(order)])
    return effects / len(permutations)


def _chain(order: Permutation) -> list[int]:
    """Return the coalitions from none to all as the players join."""
    return [0, *(int(coalition) for coalition in np.cumsum([1 << player for player in order]))]
