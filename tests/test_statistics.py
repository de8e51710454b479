"""What repeats may claim, against second implementations, known values and populations whose truth is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from dnnsweep.statistics.effect_intervals import effect_intervals, max_t_quantile, moderated
from dnnsweep.statistics.expected_score import model_interval, recipe_accuracy, recipe_interval, wilson
from dnnsweep.statistics.intervals import Interval, mean_interval
from dnnsweep.statistics.outperformance import is_better_than_baseline, outperformance, p_best
from dnnsweep.statistics.paired_scores import averageable, oriented, without_divergence
from dnnsweep.statistics.race import FRACTIONS, race, stakes_against
from dnnsweep.statistics.shapley import (
    antithetic_permutations,
    coalitions_along,
    exact_effects,
    permutation_effects,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# ---- races


def test_a_candidate_that_always_loses_leaves_and_the_leader_stays() -> None:
    scores = np.array([[0.9] * 10, [0.5] * 10])

    ended = race(scores, max_blocks=30)

    assert ended.left_after == {1: 6}  # the mean of (1 + f)^n passes 20 at n = 6
    assert (ended.live, ended.leader, ended.is_over) == ((0,), 0, True)


def test_the_direction_of_the_objective_turns_a_race_around(rng: np.random.Generator) -> None:
    values = rng.normal(size=(4, 20)) + np.array([[0.0], [1.0], [3.0], [6.0]])

    largest = race(oriented(values.tolist(), "maximize"), 30)
    smallest = race(oriented((-values).tolist(), "minimize"), 30)

    assert largest == smallest
    assert largest.leader == 3
    assert race(oriented(values.tolist(), "minimize"), 30).leader == 0


@pytest.mark.parametrize("n_blocks", [1, 2, 3])
def test_nothing_leaves_or_ends_for_three_equal_differences(n_blocks: int) -> None:
    ended = race(np.array([[0.9] * n_blocks, [0.8] * n_blocks]), max_blocks=30)

    assert (ended.left_after, ended.is_over) == ({}, False)


def test_a_race_of_equal_candidates_ends_at_its_last_block(rng: np.random.Generator) -> None:
    scores = np.repeat(rng.normal(size=(1, 5)), 3, axis=0)

    ended = race(scores, max_blocks=5)

    assert (ended.live, ended.leader, ended.is_over) == ((0, 1, 2), 0, True)


def test_a_race_goes_on_from_any_block_as_if_it_had_not_been_interrupted(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(5, 30)) + np.arange(5)[:, None]
    whole = race(scores, 30)
    known = scores.copy()
    for candidate, n_run in whole.left_after.items():
        known[candidate, n_run:] = np.nan

    assert race(known, 30) == whole
    for n_run in range(1, 30):
        part = race(known[:, :n_run], 30)
        assert part.left_after == {one: left for one, left in whole.left_after.items() if left <= n_run}


def test_a_repeat_that_diverged_loses_its_block_by_rank_and_not_by_a_size() -> None:
    steady, wild = [0.5] * 12, [0.9] * 12
    for block in range(0, 12, 2):
        wild[block] = math.nan

    ended = race(oriented([steady, wild], "maximize"), 30)

    assert ended.left_after == {}
    assert race(oriented([steady, [None] * 12], "maximize"), 30).left_after == {1: 6}
    assert race(oriented([steady, [None, *wild[1::2] * 2]], "maximize"), 30).leader == 1  # 12 of 13 blocks are won


def test_scores_are_bets_only_by_their_ratios(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(3, 9))

    np.testing.assert_allclose(stakes_against(1e-6 * scores + 4), stakes_against(scores), rtol=1e-6)


def test_a_stake_is_the_product_that_its_formula_says(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(2, 6))
    d = scores[0] - scores[1]
    expected = 0.0
    for fraction in FRACTIONS:
        stake = 1.0
        for n in range(1, 7):
            stake *= 1 - fraction * max(-1.0, min(1.0, d[n - 1] / math.sqrt(sum(d[:n] ** 2) / n)))
        expected += stake / len(FRACTIONS)

    assert stakes_against(scores)[0, 1, -1] == pytest.approx(expected)


def test_the_expectation_of_a_stake_is_one_over_all_signs(rng: np.random.Generator) -> None:
    """For equal candidates all signs of the differences are equally likely; Ville's inequality asks for no more."""
    sizes = rng.exponential(size=8)
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=8)))

    stakes = [stakes_against(np.array([sizes * sign, np.zeros(8)]))[0, 1, -1] for sign in signs]

    assert np.mean(stakes) == pytest.approx(1.0)


@pytest.mark.parametrize("draw", ["normal", "coarse", "heavy"])
def test_the_best_candidate_seldom_leaves(draw: str, rng: np.random.Generator) -> None:
    draws: dict[str, Callable[[], NDArray[np.float64]]] = {
        "normal": lambda: rng.normal(size=(4, 12)),
        "coarse": lambda: rng.integers(0, 2, (4, 12)).astype(float),
        "heavy": lambda: rng.standard_cauchy((4, 12)),
    }

    n_left = sum(0 in race(draws[draw](), 12).left_after for _ in range(60))

    assert n_left <= 7  # of Binomial(60, 0.05) exceeded with a probability of 0.02 at most; the seed is fixed


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros((2, 0)), "must have a full block"),
        (np.array([[1.0, 1.0], [1.0, np.nan]]), "must have a repeat in block 1"),
    ],
)
def test_a_race_without_full_blocks_is_refused(scores: NDArray[np.float64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        race(scores, 30)


# ---- means, outperformance


def test_the_interval_of_a_mean_is_that_of_scipy_without_an_overlap(rng: np.random.Generator) -> None:
    values = rng.normal(size=12)
    expected = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.9)

    assert mean_interval(values) == pytest.approx((expected.low, expected.high))


def test_the_correction_for_overlap_does_not_shrink_with_the_number_of_repeats() -> None:
    values = np.tile([0.0, 1.0], 5000)

    low, high = mean_interval(values, n_validation=20, n_training=80)

    # s = 0.5, (1 / 10000 + 1 / 4) = 0.2501, and the normal quantile 1.6449 for so many
    assert high - low == pytest.approx(2 * 1.6450 * 0.5 * math.sqrt(0.2501), rel=1e-3)


def test_one_repeat_has_no_interval() -> None:
    assert mean_interval(np.array([1.0])) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("one", "other", "probability", "is_tied", "is_better"),
    [
        ([2, 2, 2], [1, 1, 1], 1.0, False, False),  # three wins may be luck
        ([2] * 5, [1] * 5, 1.0, False, True),
        ([2, 2, 2, 1], [1, 1, 1, 1], 0.875, False, False),
        ([1, 1], [1, 1], 0.5, True, False),
        ([2] * 74 + [0] * 26, [1] * 100, 0.74, True, False),
        ([2] * 76 + [0] * 24, [1] * 100, 0.76, False, True),
        ([-math.inf, 2, -math.inf], [1, -math.inf, -math.inf], 0.5, True, False),
        ([2, math.nan], [1, 5], 1.0, False, False),
    ],
)
def test_outperformance_counts_blocks(
    one: list[float], other: list[float], probability: float, is_tied: bool, is_better: bool
) -> None:
    found = outperformance(np.array(one, dtype=float), np.array(other, dtype=float))

    assert (found.probability, found.is_tied, found.is_better) == (probability, is_tied, is_better)


@pytest.mark.parametrize(("n_won", "n"), [(0, 3), (3, 3), (7, 10), (29, 30)])
def test_the_interval_of_outperformance_is_the_exact_one_of_scipy(n_won: int, n: int) -> None:
    won = np.where(np.arange(n) < n_won, 1.0, -1.0)
    expected = scipy.stats.binomtest(n_won, n).proportion_ci(0.9, method="exact")

    assert outperformance(won, np.zeros(n)).interval == pytest.approx((expected.low, expected.high))


def test_candidates_without_a_block_in_common_are_not_compared() -> None:
    with pytest.raises(ValueError, match="a block in common"):
        outperformance(np.array([1.0, np.nan]), np.array([np.nan, 1.0]))


def test_a_winner_that_is_the_baseline_is_no_better_than_it() -> None:
    scores = np.array([[2.0] * 9, [1.0] * 9])

    assert is_better_than_baseline(0, 1, scores)
    assert not is_better_than_baseline(0, 0, scores)
    assert not is_better_than_baseline(1, 0, scores)


def test_the_probability_to_be_the_best_is_that_of_all_resamples() -> None:
    scores = np.array([[3.0, 1.0, 2.0], [2.0, 2.5, 1.0]])
    exact = np.mean([(scores[0] - scores[1])[list(drawn)].sum() > 0 for drawn in itertools.product(range(3), repeat=3)])

    assert p_best(scores, winner=0, seed=3) == pytest.approx([exact, 1 - exact], abs=0.015)
    np.testing.assert_array_equal(p_best(scores, 0, seed=3), p_best(scores, 0, seed=3))


def test_equal_candidates_share_the_probability_and_a_hopeless_one_that_left_has_none() -> None:
    scores = np.array([[1.0, 2.0, 3.0, 2.0], [1.0, 2.0, 3.0, 2.0], [0.0, 0.0, 0.0, np.nan]])

    assert p_best(scores, winner=0, seed=0) == pytest.approx([0.5, 0.5, 0.0])


def test_a_candidate_that_diverged_once_can_still_be_the_best_by_rank() -> None:
    scores = np.array([[2.0] * 9 + [-np.inf], [1.0] * 10])

    assert p_best(scores, winner=0, seed=0)[0] > 0.99
    np.testing.assert_array_equal(averageable(scores).mean(axis=1), [0.9, 0.1])


# ---- effects


def by_definition(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean gain of each player over all orders, the other definition of Shapley's."""
    n_players = len(values).bit_length() - 1
    gains = np.zeros(n_players)
    orders = list(itertools.permutations(range(n_players)))
    for order in orders:
        coalition = 0
        for player in order:
            gains[player] += values[coalition | 1 << player] - values[coalition]
            coalition |= 1 << player
    return gains / len(orders)


@pytest.mark.parametrize("n_players", [1, 2, 3, 4, 5, 6])
def test_exact_effects_are_the_mean_gains_over_all_orders(n_players: int, rng: np.random.Generator) -> None:
    values = rng.normal(size=(3, 2**n_players))

    effects = exact_effects(values)

    np.testing.assert_allclose(effects, [by_definition(block) for block in values], atol=1e-12)
    np.testing.assert_allclose(effects.sum(axis=1), values[:, -1] - values[:, 0], atol=1e-12)


def test_the_glove_game_has_its_published_effects() -> None:
    """One player has a left glove, two have a right one, and a pair is worth 1: 2/3, 1/6, 1/6."""
    values = [float(bool(coalition & 1) and bool(coalition & 6)) for coalition in range(8)]

    np.testing.assert_allclose(exact_effects(np.array([values])), [[2 / 3, 1 / 6, 1 / 6]])


def test_players_that_do_the_same_have_the_same_effect_and_one_that_does_nothing_has_none(
    rng: np.random.Generator,
) -> None:
    by_count = rng.normal(size=4)  # players 0 to 2 count alike; player 3 counts nothing
    values = np.array([[by_count[(coalition & 7).bit_count()] for coalition in range(16)]])

    effects = exact_effects(values)[0]

    assert effects[:3] == pytest.approx([effects[0]] * 3)
    assert effects[3] == pytest.approx(0.0, abs=1e-15)


def test_a_number_of_coalitions_that_is_no_power_of_two_is_refused() -> None:
    with pytest.raises(ValueError, match="got 6"):
        exact_effects(np.zeros((2, 6)))


def test_all_permutations_give_the_exact_effects(rng: np.random.Generator) -> None:
    values = rng.normal(size=16)

    effects = permutation_effects(dict(enumerate(values)), list(itertools.permutations(range(4))))

    np.testing.assert_allclose(effects, exact_effects(values[None])[0], atol=1e-12)


def test_few_permutations_sum_to_the_whole_and_are_exact_for_pairs_of_players(rng: np.random.Generator) -> None:
    """An order and its reverse see each pair once in each order: the effects of pairwise games have no error."""
    alone, pairs = rng.normal(size=9), np.triu(rng.normal(size=(9, 9)), 1)
    permutations = antithetic_permutations(9, 1, seed=4)

    def value(coalition: int) -> float:
        members = np.array([coalition >> player & 1 for player in range(9)])
        return float(members @ alone + members @ pairs @ members)

    effects = permutation_effects(
        {coalition: value(coalition) for coalition in coalitions_along(permutations)}, permutations
    )

    assert effects.sum() == pytest.approx(value(511) - value(0))
    np.testing.assert_allclose(effects, alone + (pairs + pairs.T).sum(axis=1) / 2)


def test_permutations_are_other_ones_for_another_seed_and_the_same_for_the_same() -> None:
    assert antithetic_permutations(8, 3, 1) == antithetic_permutations(8, 3, 1)
    assert antithetic_permutations(8, 3, 1) != antithetic_permutations(8, 3, 2)


def test_a_coalition_that_diverged_has_the_worst_value_of_its_block() -> None:
    values = np.array([[1.0, -np.inf, 2.0, 5.0], [1.0, 0.5, 2.0, 4.0]])

    np.testing.assert_array_equal(without_divergence(values.T)[:, 0], [1.0, 1.0, 2.0, 5.0])
    with pytest.raises(ValueError, match="did not diverge"):
        without_divergence(np.array([[-np.inf], [-np.inf]]))


def test_one_player_has_the_t_interval_twice(rng: np.random.Generator) -> None:
    effects = rng.normal(size=(10, 1))

    (effect,) = effect_intervals(effects, seed=0)

    assert effect.interval == pytest.approx(mean_interval(effects[:, 0]))
    assert effect.simultaneous == pytest.approx(effect.interval, abs=0.05)


def test_simultaneous_intervals_reach_as_far_as_the_theory_says(rng: np.random.Generator) -> None:
    """For players without correlation that is Sidak's quantile; players that are copies are one player."""
    n_blocks = 10
    independent = np.linalg.qr(np.column_stack([np.ones(n_blocks), rng.normal(size=(n_blocks, 5))]))[0][:, 1:]
    sidak = scipy.stats.t.ppf(1 - (1 - 0.9 ** (1 / 5)) / 2, n_blocks - 1)

    assert max_t_quantile(independent, 9, seed=0) == pytest.approx(sidak, rel=0.03)
    opposite = np.column_stack([independent[:, 0], -2 * independent[:, 0]])
    normal = max_t_quantile(opposite, 1e6, seed=0)
    assert normal == pytest.approx(scipy.stats.norm.ppf(0.95), rel=0.03)


def test_variances_that_differ_by_chance_are_pooled_and_others_are_not(rng: np.random.Generator) -> None:
    alike = rng.chisquare(9, 2000) / 9 * 4.0
    unlike = np.array([1e-6, 1.0, 1e6])

    pooled, apart = moderated(alike, 9), moderated(unlike, 9)

    assert pooled.degrees_of_freedom > 200
    np.testing.assert_allclose(pooled.variances, 4.0, rtol=0.2)
    assert apart.degrees_of_freedom < 10
    np.testing.assert_allclose(apart.variances[1:], unlike[1:], rtol=0.1)


def test_the_spread_of_variances_is_found_that_they_were_drawn_with(rng: np.random.Generator) -> None:
    """Inverse chi-square variances with 8 degrees of freedom around 4, seen in blocks with 9."""
    truth = 8 * 4.0 / rng.chisquare(8, 20_000)

    found = moderated(truth * rng.chisquare(9, 20_000) / 9, 9)

    assert found.degrees_of_freedom == pytest.approx(17, rel=0.05)


def test_a_variance_of_zero_gives_and_takes_nothing() -> None:
    assert moderated(np.array([0.0, 2.0]), 9).variances.tolist() == [0.0, 2.0]
    assert moderated(np.array([0.0, 2.0, 2.0]), 9).variances == pytest.approx([0.0, *[pytest.approx(2, rel=0.2)] * 2])


def test_no_simultaneous_interval_is_shorter_than_that_of_the_effect_alone(rng: np.random.Generator) -> None:
    effects = rng.normal(size=(10, 6)) * [9.0, 1.0, 1.0, 1.0, 1.0, 1.0]

    for effect, values in zip(effect_intervals(effects, seed=0), effects.T, strict=True):
        assert effect.interval == pytest.approx(mean_interval(values))
        assert effect.simultaneous.low <= effect.interval.low
        assert effect.interval.high <= effect.simultaneous.high


def test_a_player_that_changes_nothing_in_any_block_has_no_effect(rng: np.random.Generator) -> None:
    effects = np.column_stack([rng.normal(size=10) + 50, np.zeros(10)])

    seen = [effect.is_seen for effect in effect_intervals(effects, seed=0)]

    assert seen == [True, False]
    assert not effect_intervals(np.zeros((10, 2)), seed=0)[0].is_seen


def test_effects_of_one_block_have_no_interval() -> None:
    with pytest.raises(ValueError, match="at least two blocks; got 1"):
        effect_intervals(np.zeros((1, 3)), seed=0)


def test_players_without_an_effect_seldom_get_one(rng: np.random.Generator) -> None:
    sweeps = rng.normal(size=(100, 10, 4)) @ rng.normal(size=(4, 4))

    n_seen = sum(any(effect.is_seen for effect in effect_intervals(blocks, seed=0)) for blocks in sweeps)

    assert 2 <= n_seen <= 19  # 10 expected, with a standard deviation of 3


# ---- test scores


@pytest.mark.parametrize(("n_correct", "n"), [(0, 10), (36, 36), (81, 263), (970, 1000)])
def test_the_interval_of_an_accuracy_is_the_one_of_scipy(n_correct: int, n: int) -> None:
    expected = scipy.stats.binomtest(n_correct, n).proportion_ci(0.9, method="wilson")

    assert wilson(n_correct, n) == pytest.approx((expected.low, expected.high))


def mean_of(losses: NDArray[np.floating]) -> Callable[[NDArray[np.intp]], NDArray[np.float64]]:
    return lambda rows: np.asarray(np.atleast_2d(losses)[:, rows].mean(axis=1))


def test_the_interval_of_a_mean_metric_is_the_t_interval(rng: np.random.Generator) -> None:
    losses = rng.normal(size=80) + 3
    expected = scipy.stats.ttest_1samp(losses, 0.0).confidence_interval(0.9)

    found = model_interval(mean_of(losses), 80, seed=0)

    assert found == pytest.approx((expected.low, expected.high), abs=0.03)
    assert found == model_interval(mean_of(losses), 80, seed=0)


def test_the_interval_of_a_loss_stays_positive_and_is_symmetric_in_ratios(rng: np.random.Generator) -> None:
    losses = rng.exponential(size=6) ** 3

    low, high = model_interval(mean_of(losses), 6, seed=0, is_loss=True)

    assert 0 < low < losses.mean() < high
    assert low * high == pytest.approx(losses.mean() ** 2)
    assert model_interval(mean_of(np.zeros(6)), 6, seed=0, is_loss=True) == (0.0, 0.0)


def test_resamples_that_have_no_score_are_left_out() -> None:
    labels = np.array([1.0, *[0.0] * 9])

    def n_if_both(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.array([labels[rows].mean() if labels[rows].any() else np.nan])

    assert all(math.isfinite(end) for end in model_interval(n_if_both, 10, seed=0))


@pytest.mark.parametrize("kind", ["rows", "seeds"])
def test_the_interval_of_a_recipe_is_the_t_interval_of_the_only_thing_that_varies(
    kind: str, rng: np.random.Generator
) -> None:
    varying = rng.normal(size=60 if kind == "rows" else 10)
    losses = np.broadcast_to(varying if kind == "rows" else varying[:, None], (10, 60))
    expected = scipy.stats.ttest_1samp(varying, 0.0).confidence_interval(0.9)

    assert recipe_interval(mean_of(losses), 60, seed=0) == pytest.approx((expected.low, expected.high), abs=0.03)


def test_the_interaction_of_seeds_and_rows_is_counted_once(rng: np.random.Generator) -> None:
    """Without effects of seeds and rows all cells are independent: the error is that of a mean of so many cells."""
    cells = rng.normal(size=(40, 400))
    cells -= cells.mean(axis=0) * 0.999  # rows agree, up to a thousandth
    cells += rng.normal(size=400) * 40**-0.5

    low, high = recipe_interval(mean_of(cells), 400, seed=0)

    assert (high - low) / 2 == pytest.approx(1.645 / math.sqrt(40 * 400), rel=0.25)


def test_a_recipe_without_a_mistake_is_not_certain() -> None:
    low, high = recipe_accuracy(np.ones((10, 36), dtype=bool))

    assert (round(low, 3), high) == (0.945, 1.0)  # 0.9819 -+ 1.69 * 0.0221, by hand
    assert recipe_accuracy(np.zeros((10, 36), dtype=bool)) == pytest.approx((0.0, 1 - low))


def test_the_intervals_of_an_accuracy_agree_for_many_rows(rng: np.random.Generator) -> None:
    is_correct = rng.random((10, 3000)) < 0.8 + 0.1 * rng.random((10, 1)) - 0.2 * rng.random(3000)

    closed, bootstrapped = recipe_accuracy(is_correct), recipe_interval(mean_of(1.0 * is_correct), 3000, seed=0)

    assert closed == pytest.approx(bootstrapped, abs=0.002)


def test_the_accuracy_of_a_recipe_is_covered_where_seeds_and_rows_matter(rng: np.random.Generator) -> None:
    truth = scipy.stats.norm.cdf(2 / math.sqrt(1 + 0.3**2 + 1.5**2))
    seeds, rows = 0.3 * rng.normal(size=(150, 10, 1)), 1.5 * rng.normal(size=(150, 1, 150))
    sweeps = 2 + seeds + rows + rng.normal(size=(150, 10, 150)) > 0

    n_covered = sum(recipe_accuracy(sweep).covers(truth) for sweep in sweeps)

    assert 125 <= n_covered <= 145  # 135 expected, with a standard deviation of 3.7


def test_an_interval_covers_its_ends() -> None:
    assert Interval(0.0, 1.0).covers(1.0)
    assert not Interval(0.0, 1.0).covers(1.1)
