"""When another trial is not expected to be better, against scikit-learn and on landscapes whose best point is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from dnnsweep.statistics import gaussian_process
from dnnsweep.statistics.convergence import Outlook, _chosen, clip_costs, expected_gain
from dnnsweep.statistics.gaussian_process import fit_process

Floats = NDArray[np.float64]
Landscape = Callable[[Floats], Floats]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def bowl(points: Floats) -> Floats:
    """Return a parabola with its best value, 0, at 0.4 in each coordinate."""
    return np.asarray(((points - 0.4) ** 2).sum(axis=1))


def waves(points: Floats) -> Floats:
    """Return hills and valleys closer to each other than some dozens of points can tell apart."""
    return np.asarray(np.sin(37 * points).sum(axis=1))


def outlook(landscape: Landscape, n_trials: int, noise: float, rng: np.random.Generator) -> tuple[Outlook, float]:
    """Return what is expected after random trials with noise, and how much better than the best one the optimum is."""
    points, candidates = rng.random((n_trials, 2)), rng.random((2000, 2))
    costs = landscape(points)
    observed = costs + noise * rng.normal(size=n_trials)
    left = float(costs[observed.argmin()] - landscape(candidates).min())
    return expected_gain(points, [0, 1], observed, candidates), left


def test_a_process_predicts_as_that_of_scikit_learn_does(rng: np.random.Generator) -> None:
    points, new = rng.random((30, 3)), rng.random((20, 3))
    values = np.sin(5 * points[:, 0]) + points[:, 1] ** 2 + 0.05 * rng.normal(size=30)

    process = fit_process(points, [0, 1, 1], values)
    mean, deviation = process.predict(new)

    signal, noise, *lengths = np.exp(process.log_parameters)
    kernel = ConstantKernel(signal, "fixed") * Matern([lengths[0], lengths[1], lengths[1]], "fixed", nu=2.5)
    reference = GaussianProcessRegressor(kernel, alpha=noise + gaussian_process.JITTER, optimizer=None)
    reference.fit(points, (values - values.mean()) / values.std())
    expected, spread = reference.predict(new, return_std=True)
    np.testing.assert_allclose(mean, values.mean() + values.std() * expected, rtol=1e-6)
    np.testing.assert_allclose(deviation, values.std() * spread, rtol=1e-4)
    assert process.noise == pytest.approx(0.05, rel=0.5)


def test_the_gradient_of_the_fit_is_that_of_finite_differences(rng: np.random.Generator) -> None:
    points, values = rng.random((12, 3)), rng.normal(size=12)
    squares, prior = gaussian_process._squares(points, points, [0, 1, 1], 2), gaussian_process._prior(2)
    at = np.array([0.3, -2.0, -0.5, 0.2])

    _, gradient = gaussian_process._loss(at, squares, values, prior)

    steps = 1e-6 * np.eye(4)
    losses = [
        [gaussian_process._loss(at + sign * step, squares, values, prior)[0] for sign in (1, -1)] for step in steps
    ]
    np.testing.assert_allclose(gradient, [(up - down) / 2e-6 for up, down in losses], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_a_bowl_converges_soon_and_never_while_its_optimum_is_further_off_than_the_noise(seed: int) -> None:
    rng, noise = np.random.default_rng(seed), 0.1
    found = [outlook(bowl, n_trials, noise, rng) for n_trials in (10, 20, 30, 40, 60)]

    converged = [left for expected, left in found if expected.gain <= noise]

    assert converged
    assert max(converged) <= noise


def test_more_trials_of_a_bowl_leave_less_to_expect(rng: np.random.Generator) -> None:
    few, many = (np.mean([outlook(bowl, n, 0.01, rng)[0].gain for _ in range(5)]) for n in (12, 80))

    assert many < few / 2


def test_a_landscape_that_the_trials_cannot_see_has_not_converged(rng: np.random.Generator) -> None:
    found, left = outlook(waves, 40, 0.05, rng)

    assert left > 0.05
    assert found.gain > left


def test_equal_values_say_nothing_about_what_another_trial_brings() -> None:
    points = np.linspace(0, 1, 30)[:, None]

    assert expected_gain(points, [0], np.full(30, 0.5), points) == Outlook(math.inf, 0.0)


def test_how_bad_a_bad_trial_was_changes_nothing(rng: np.random.Generator) -> None:
    points, candidates = rng.random((40, 2)), rng.random((500, 2))
    costs = bowl(points)
    worst = costs.argsort()[-10:]
    huge, diverged = costs.copy(), costs.copy()
    huge[worst], diverged[worst] = 1e300, np.inf

    found = expected_gain(points, [0, 1], costs, candidates)

    assert expected_gain(points, [0, 1], huge, candidates) == found
    assert expected_gain(points, [0, 1], diverged, candidates) == found


@pytest.mark.parametrize("best", [0.0, 1.0])
def test_noise_is_told_from_structure(rng: np.random.Generator, best: float) -> None:
    points, candidates = rng.random((150, 2)), rng.random((500, 2))
    costs = best + bowl(points) + 0.02 * rng.normal(size=150)

    noise = expected_gain(points, [0, 1], costs, candidates).noise

    assert costs.min() < 0 or best
    assert noise == pytest.approx(0.02, rel=0.5)


def test_losses_that_differ_by_factors_are_compared_by_factors(rng: np.random.Generator) -> None:
    points, candidates = rng.random((60, 2)), rng.random((500, 2))
    losses = np.exp(8 * bowl(points) - 12) * np.exp(0.1 * rng.normal(size=60))

    found = expected_gain(points, [0, 1], losses, candidates)

    assert losses.max() / losses.min() > 50
    assert 0 < found.gain < losses.min()  # no loss is negative
    assert found.noise == pytest.approx(0.1 * losses.min(), rel=0.5)


def test_a_long_sweep_is_judged_by_its_best_and_its_newest_trials() -> None:
    costs = np.concatenate([np.zeros(200), np.ones(800)])

    assert _chosen(costs) == [*range(200), *range(900, 1000)]
    assert _chosen(costs[:300]) == list(range(300))


@pytest.mark.parametrize(
    ("costs", "clipped"),
    [
        ([3.0, 1.0, 2.0], [2.0, 1.0, 2.0]),
        ([1.0, 1.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 2.0, 2.0]),  # the median is the best value
        ([1.0, math.inf, math.inf], [1.0, 1.0, 1.0]),
        ([1.0, 2.0, 4.0, math.inf, math.inf, math.inf, math.inf], [1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0]),
        ([5.0], [5.0]),
    ],
)
def test_costs_are_clipped_at_their_median(costs: list[float], clipped: list[float]) -> None:
    assert clip_costs(np.array(costs)).tolist() == clipped
