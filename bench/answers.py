"""What the statistics of an answer hold, on simulated values whose truth is known, into docs/answers.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from bench.report import share, table
from bench.small_sweeps import small_sweeps
from bench.sweeps import Effort
from dnnsweep.statistics.effect_intervals import Effect, effect_intervals
from dnnsweep.statistics.expected_score import Metric, model_interval, recipe_accuracy, recipe_interval, wilson
from dnnsweep.statistics.intervals import Interval, folded_mean_interval, mean_interval
from dnnsweep.statistics.race import race
from dnnsweep.statistics.shapley import exact_effects

Floats = NDArray[np.float64]
Rng = np.random.Generator

N_SWEEPS: Final = 400
N_SEEDS: Final = 10
N_BLOCKS: Final = 10
N_PLAYERS: Final = 6
#: Standard deviations of seeds and rows on the scale on which a model's own error is 1, and the mean.
RECIPES: Final = ((0.1, 2.0, 3.0), (0.3, 3.0, 6.0), (0.3, 1.5, 1.5), (0.3, 0.5, 2.0))


class Line(NamedTuple):
    """A line of a table: what was simulated, and for each sweep whether it came true."""

    name: str
    came_true: list[bool]


def answers(effort: Effort) -> str:
    """Return all tables."""
    n_sweeps = 10 if effort.is_quick else N_SWEEPS
    parts = [part(n_sweeps, np.random.default_rng(seed)) for seed, part in enumerate((_coverage, _effects, _races))]
    real = "Real networks on generated rows, from the first trial to the test score."
    return "\n\n".join(["Simulated values, no trained networks.", *parts, real, small_sweeps(n_sweeps)])


# ---- coverage


def _coverage(n_sweeps: int, rng: Rng) -> str:
    lines = [*_means(n_sweeps, rng), *_models(n_sweeps, rng), *_recipes(n_sweeps, rng)]
    rows = [[name, share(came_true)] for name, came_true in lines]
    return table([f"90 % interval of, {n_sweeps} sweeps each", "holds the truth"], rows)


def _means(n_sweeps: int, rng: Rng) -> Iterator[Line]:
    for n_blocks in (3, 10, 30):
        values = _overlapping(n_sweeps, n_blocks, 0.2, rng)
        kinds = {"new data (Nadeau and Bengio)": (20, 80), "no correction": (0, 1)}
        for kind, sizes in kinds.items():
            hits = [mean_interval(repeats, *sizes).covers(0.0) for repeats in values]
            yield Line(f"the mean of {n_blocks} repeats: {kind}", hits)
    for n_rows in (60, 300):
        hits = [_least_squares(n_rows, rng) for _ in range(n_sweeps)]
        yield Line(f"the mean of 10 repeats: least squares, {n_rows} rows split again", hits)
    folds_rng = np.random.default_rng(n_sweeps)  # its own, so that the other lines do not depend on it
    for n_rows in (60, 300):
        folded, plain = zip(*(_least_squares_in_folds(n_rows, folds_rng) for _ in range(n_sweeps)), strict=True)
        yield Line(f"the mean of 3 repeats in 5 folds: least squares, {n_rows} rows", list(folded))
        yield Line(f"the same from the means over folds, not used, {n_rows} rows", list(plain))


def _overlapping(n_sweeps: int, n_blocks: int, overlap: float, rng: Rng) -> Floats:
    """Return repeats that share a part of their error, because their rows come from the same ones."""
    shared, own = rng.normal(size=(n_sweeps, 1)), rng.normal(size=(n_sweeps, n_blocks))
    return np.asarray(math.sqrt(overlap) * shared + math.sqrt(1 - overlap) * own)


def _least_squares(n_rows: int, rng: Rng, n_columns: int = 5) -> bool:
    """Return whether the interval of a loss holds the expected loss of ordinary least squares, known in closed form."""
    features, noise = rng.normal(size=(n_rows, n_columns)), rng.normal(size=n_rows)  # all true weights are 0
    n_validation = n_rows // 5
    n_training = n_rows - n_validation
    orders = [rng.permutation(n_rows) for _ in range(10)]
    losses = np.array([_held_out_loss(features, noise, order, n_validation) for order in orders])
    return mean_interval(losses, n_validation, n_training).covers(1 + n_columns / (n_training - n_columns - 1))


def _held_out_loss(features: Floats, noise: Floats, order: NDArray[np.intp], n_validation: int) -> float:
    """Return the loss on the first rows of an order, of weights that were fitted to all others."""
    held, used = order[:n_validation], order[n_validation:]
    weights = np.linalg.lstsq(features[used], noise[used], rcond=None)[0]
    return float(np.mean((noise[held] - features[held] @ weights) ** 2))


def _least_squares_in_folds(n_rows: int, rng: Rng, n_columns: int = 5) -> tuple[bool, bool]:
    """Return whether the intervals of all folds, and of their means, hold the expected loss of least squares."""
    features, noise = rng.normal(size=(n_rows, n_columns)), rng.normal(size=n_rows)
    n_validation = n_rows // 5
    n_training = n_rows - n_validation
    orders = [rng.permutation(n_rows) for _ in range(3)]
    losses = np.array(
        [
            [_held_out_loss(features, noise, np.roll(order, n_validation * fold), n_validation) for fold in range(5)]
            for order in orders
        ]
    )
    truth = 1 + n_columns / (n_training - n_columns - 1)
    folded = folded_mean_interval(losses.mean(axis=1), losses.std(axis=1), 5, n_validation, n_training)
    return folded.covers(truth), mean_interval(losses.mean(axis=1), n_validation, n_training).covers(truth)


def _models(n_sweeps: int, rng: Rng) -> Iterator[Line]:
    for n_rows in (36, 150, 500):
        accuracies = rng.beta(18, 2, n_sweeps)
        hits = [wilson(rng.binomial(n_rows, one), n_rows).covers(one) for one in accuracies]
        yield Line(f"*this model*: accuracy, {n_rows} test rows (Wilson)", hits)
    for n_rows in (36, 150):
        losses = rng.exponential(size=(n_sweeps, n_rows)) ** 1.5
        hits = [model_interval(_mean(row), n_rows, 0, is_loss=True).covers(math.gamma(2.5)) for row in losses]
        yield Line(f"*this model*: a skewed loss, {n_rows} test rows", hits)
    scores = rng.normal(size=(n_sweeps, 100)) + 1.5 * (np.arange(100) < 33)
    truth = float(ndtr(1.5 / math.sqrt(2)))
    hits = [model_interval(_auc(row, 33), 100, 0).covers(truth) for row in scores]
    yield Line("*this model*: AUC, 100 test rows", hits)


def _mean(losses: Floats) -> Metric:
    return lambda rows: np.asarray(np.atleast_2d(losses)[:, rows].mean(axis=1))


def _auc(scores: Floats, n_positive: int) -> Metric:
    """Return the metric of one model whose first rows are the positive ones."""

    def metric(rows: NDArray[np.intp]) -> Floats:
        is_positive = rows < n_positive
        if is_positive.all() or not is_positive.any():
            return np.array([np.nan])
        negative = np.sort(scores[rows[~is_positive]])
        return np.array([np.searchsorted(negative, scores[rows[is_positive]]).mean() / len(negative)])

    return metric


def _recipes(n_sweeps: int, rng: Rng) -> Iterator[Line]:
    for n_rows in (36, 150, 500):
        hits: list[bool] = []
        two_way: list[bool] = []
        for recipe in RECIPES:
            cells, truth = _cells(recipe, n_rows, n_sweeps // len(RECIPES), rng)
            hits += [recipe_accuracy(sweep > 0).covers(truth) for sweep in cells]
            two_way += [_two_way_bootstrap(1.0 * (sweep > 0), rng).covers(truth) for sweep in cells]
        yield Line(f"*this recipe*: accuracy, 10 seeds, {n_rows} test rows", hits)
        yield Line(f"*this recipe*: the same by a two-way bootstrap, not used, {n_rows} test rows", two_way)
    for of_seeds in (0.1, 1.0):
        cells, _ = _cells((of_seeds, 1.0, 5.0), 150, n_sweeps, rng)
        hits = [recipe_interval(_mean(sweep), 150, 0).covers(5.0) for sweep in cells]
        yield Line(f"*this recipe*: a mean metric, seeds vary by {of_seeds:g}, rows by 1", hits)
        two_way = [_two_way_bootstrap(sweep, rng).covers(5.0) for sweep in cells]
        yield Line("*this recipe*: the same by a two-way bootstrap, not used", two_way)


def _cells(recipe: tuple[float, float, float], n_rows: int, n_sweeps: int, rng: Rng) -> tuple[Floats, float]:
    """Return margins of [sweeps, seeds, rows], and how often a margin is positive."""
    of_seeds, of_rows, mean = recipe
    margins = (
        mean + of_seeds * rng.normal(size=(n_sweeps, N_SEEDS, 1)) + of_rows * rng.normal(size=(n_sweeps, 1, n_rows))
    )
    margins = margins + rng.normal(size=(n_sweeps, N_SEEDS, n_rows))
    return margins, float(ndtr(mean / math.sqrt(1 + of_seeds**2 + of_rows**2)))


def _two_way_bootstrap(cells: Floats, rng: Rng, n_resamples: int = 300) -> Interval:
    n_seeds, n_rows = cells.shape
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n_resamples) / n_seeds
    rows = rng.integers(0, n_rows, (n_resamples, n_rows))
    low, high = np.quantile(np.take_along_axis(seeds @ cells, rows, axis=1).mean(axis=1), [0.05, 0.95])
    return Interval(float(low), float(high))


# ---- effects


def _effects(n_sweeps: int, rng: Rng) -> str:
    rows = [[name, share(came_true)] for name, came_true in _nulls(n_sweeps, rng)]
    nulls = table(["effects of 6 players in 10 blocks, exact", "share of sweeps"], rows)
    sizes = (1, 2, 3, 4, 5, 6)
    curve = [
        [f"{n_players} players, {name}", *(share(_found(size, effects, name)) for size in sizes)]
        for n_players in (3, 6)
        for effects in [_of_nothing(n_players, n_sweeps, rng)]
        for name in ("simultaneous", "interval")
    ]
    return nulls + "\n\n" + table(["an effect is found, of so many standard errors", *map(str, sizes)], curve)


def _nulls(n_sweeps: int, rng: Rng) -> Iterator[Line]:
    """Player 0 has an effect of 3, all others none; errors are of one training, and of players in blocks."""
    truth = np.array([3.0] + [0.0] * (N_PLAYERS - 1))
    kinds: dict[str, tuple[Callable[[], Floats], float]] = {
        "normal errors": (lambda: rng.normal(size=(N_BLOCKS, 2**N_PLAYERS)), 0.3),
        "heavy tails": (lambda: rng.standard_t(3, size=(N_BLOCKS, 2**N_PLAYERS)), 0.3),
        "player 1 varies thrice as much": (lambda: rng.normal(size=(N_BLOCKS, 2**N_PLAYERS)), 1.3),
    }
    for name, (errors, deviation) in kinds.items():
        found = [(blocks, effect_intervals(blocks, 0)) for blocks in _sweeps(n_sweeps, truth, errors, deviation, rng)]
        yield Line(f"{name}: the interval of player 1 holds the truth", [one[1].interval.covers(0) for _, one in found])
        yield Line(f"{name}: all simultaneous intervals hold the truth", [_all_cover(one, truth) for _, one in found])
        yield Line(
            f"{name}: a player without an effect is given one", [any(e.is_seen for e in one[1:]) for _, one in found]
        )
        plain = [_bootstrap_covers(blocks, truth, rng) for blocks, _ in found]
        yield Line(f"{name}: simultaneous intervals of a plain bootstrap, not used, hold the truth", plain)


def _sweeps(n_sweeps: int, truth: Floats, errors: Callable[[], Floats], deviation: float, rng: Rng) -> Iterator[Floats]:
    is_member = (np.arange(2 ** len(truth))[:, None] >> np.arange(len(truth))) & 1
    deviations = np.array([0.3, deviation] + [0.3] * (len(truth) - 2))  # of an effect, between blocks
    for _ in range(n_sweeps):
        in_blocks = truth + deviations * rng.normal(size=(N_BLOCKS, len(truth)))
        yield exact_effects(in_blocks @ is_member.T + errors() + rng.normal(size=(N_BLOCKS, 1)))


def _all_cover(found: list[Effect], truth: Floats) -> bool:
    return all(effect.simultaneous.covers(value) for effect, value in zip(found, truth, strict=True))


def _bootstrap_covers(blocks: Floats, truth: Floats, rng: Rng) -> bool:
    means, spread = blocks.mean(axis=0), blocks.std(axis=0, ddof=1)
    drawn = blocks[rng.integers(0, N_BLOCKS, (500, N_BLOCKS))].mean(axis=1)
    reach = np.quantile((np.abs(drawn - means) / spread).max(axis=1), 0.9) * spread
    return bool((np.abs(means - truth) <= reach).all())


def _of_nothing(n_players: int, n_sweeps: int, rng: Rng) -> list[Effect]:
    """Return the first player's effect in sweeps in which nothing has one, all variances being 1."""
    return [effect_intervals(rng.normal(size=(N_BLOCKS, n_players)), 0)[0] for _ in range(n_sweeps)]


def _found(size: float, effects: list[Effect], kind: str) -> list[bool]:
    """Return whether an effect would have been seen, had it been larger by so many true standard errors.

    Intervals do not become longer where the same is added to each block.
    """
    shift = size / math.sqrt(N_BLOCKS)
    return [not getattr(effect, kind).covers(-shift) for effect in effects]


# ---- races


def _races(n_sweeps: int, rng: Rng) -> str:
    """Return how often the best of nine candidates leaves, and what a race saves."""
    draws: dict[str, Callable[[], Floats]] = {
        "all equal, normal": lambda: rng.normal(size=(9, 30)),
        "all equal, coarse (two values)": lambda: rng.integers(0, 2, (9, 30)).astype(float),
        "all equal, a skewed loss": lambda: -rng.exponential(size=(9, 30)),
        "all equal, 5 % diverge": lambda: np.where(rng.random((9, 30)) < 0.05, -np.inf, rng.normal(size=(9, 30))),
        "the others worse by 1.5 deviations": lambda: rng.normal(size=(9, 30)) - 1.5 * _others(),
        "in steps of 0.5 deviations": lambda: rng.normal(size=(9, 30)) - 0.5 * np.arange(9)[:, None],
    }
    rows = []
    for name, draw in draws.items():
        raced = [race(draw(), 30) for _ in range(n_sweeps)]
        n_repeats = [sum(one.left_after.values()) + 30 * len(one.live) for one in raced]
        best_left = share([0 in one.left_after for one in raced])
        rows.append(
            [name, best_left, share([one.leader == 0 for one in raced]), f"{100 * np.mean(n_repeats) / 270:.0f} %"]
        )
    return table(
        ["races of 9 candidates, 30 blocks", "the best one leaves", "it leads at the end", "repeats run"], rows
    )


def _others() -> Floats:
    return np.array([0.0] + [1.0] * 8)[:, None]
