"""One hyperparameter compared with its best settings, and changes that are tried."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from recorded import ACCURACY, LOSS, SIZES, candidate, repeat

from dnnsweep.answers.answer import Answer
from dnnsweep.answers.changes import measure_change
from dnnsweep.answers.isolation import (
    Base,
    IsolationPlan,
    best_candidates,
    compare_values,
    plan_isolation,
    values_to_compare,
)
from dnnsweep.answers.sentences import sentences
from dnnsweep.records import Repeat
from dnnsweep.space import Branch, Choice, Conditional, Layers, Range, Searched
from dnnsweep.statistics.quasi_random import halton

RATES: dict[str, Searched] = {
    "batch_norm": Choice((True, False)),
    "optimizer": Choice(("sgd", "adam")),
    "learning_rate": Conditional(
        (Branch(Range(0.01, 1.0, log=True), {"optimizer": ("sgd",)}), Branch(Range(1e-4, 1e-2, log=True), {}))
    ),
    "dropout": Conditional((Branch(Range(0.2, 0.4), {"batch_norm": (False,)}),)),
}
DEFAULTS = {"dropout": 0.0, "batch_norm": False, "optimizer": "adam", "learning_rate": 0.001, "l2": 0.0}
PARAMS = {**DEFAULTS, "batch_norm": True, "l2": 0.1}


def plan(name: str, values: tuple[Any, ...], space: dict[str, Searched] = RATES, **params: Any) -> IsolationPlan:
    return plan_isolation(Base(space, DEFAULTS, {**PARAMS, **params}), name, values, 5, seed=0)


# ---- which configurations


def test_points_are_those_of_scipy_before_they_are_shifted() -> None:
    np.testing.assert_allclose(halton(40, 3), scipy.stats.qmc.Halton(3, scramble=False).random(40))
    shifted = halton(40, 3, seed=1)
    assert ((shifted >= 0) & (shifted < 1)).all()
    np.testing.assert_allclose((shifted - halton(40, 3)) % 1.0, np.tile((shifted[0]) % 1.0, (40, 1)))


def test_each_value_is_tried_with_the_same_spread_of_optimizers_and_learning_rates() -> None:
    listed = plan("batch_norm", (True, False)).configurations

    assert [len(one) for one in listed] == [32, 32]
    for value, one in zip((True, False), listed, strict=True):
        assert {params["batch_norm"] for params in one} == {value}
        assert {params["l2"] for params in one} == {0.1}
        assert sorted(params["optimizer"] for params in one).count("sgd") == 16
        for params in one:
            low, high = (0.01, 1.0) if params["optimizer"] == "sgd" else (1e-4, 1e-2)
            assert low <= params["learning_rate"] <= high
    steps = [[(params["optimizer"], params["learning_rate"]) for params in one] for one in listed]
    assert steps[0] == steps[1]


def test_what_is_conditional_on_the_value_follows_it() -> None:
    with_norm, without = plan("batch_norm", (True, False)).configurations

    assert {params["dropout"] for params in with_norm} == {0.0}
    assert [params["dropout"] for params in without] == [pytest.approx(0.3)] * 32


def test_a_learning_rate_that_is_not_searched_is_tried_around_its_value() -> None:
    (one,) = plan("batch_norm", (True,), {"batch_norm": Choice((True, False))}).configurations

    rates = sorted(params["learning_rate"] for params in one)
    assert {params["optimizer"] for params in one} == {"adam"}
    assert len(rates) == 32
    assert 0.001 / 30 <= rates[0] < 0.00005
    assert 0.02 < rates[-1] <= 0.03


def test_an_optimizer_is_tried_with_its_own_learning_rates() -> None:
    sgd, adam = plan("optimizer", ("sgd", "adam")).configurations

    assert min(params["learning_rate"] for params in sgd) >= 0.01
    assert max(params["learning_rate"] for params in adam) <= 0.01


def test_learning_rates_are_tried_with_each_optimizer_once() -> None:
    (one,) = plan("learning_rate", (0.01,)).configurations

    assert sorted(params["optimizer"] for params in one) == ["adam", "sgd"]


@pytest.mark.parametrize(
    ("name", "baseline", "winner", "expected"),
    [
        ("batch_norm", False, True, (True, False)),
        ("optimizer", "adam", "adam", ("adam", "sgd")),
        ("learning_rate", 0.1, 0.001, (0.001, 0.1)),
        ("hidden", (8,), (16, 16), ((16, 16), (8,))),
        ("l2", 0.0, 0.0, (0.0,)),  # not searched
    ],
)
def test_the_values_of_the_sweep_file_and_of_both_configurations_are_compared(
    name: str, baseline: Any, winner: Any, expected: tuple[Any, ...]
) -> None:
    space = {**RATES, "hidden": Layers(Choice((1, 2)), Choice((8, 16)))}

    assert values_to_compare(space, name, baseline, winner) == expected


# ---- what they say


def test_the_best_configuration_of_each_value_is_chosen_by_block_0_alone() -> None:
    repeats = [repeat(one, 0, value) for one, value in enumerate([0.5, 0.9, 0.9, 0.1, None, None])]
    repeats += [repeat(0, 1, 1.0)]
    groups = [[0, 1, 2], [3], [4, 5]]

    assert best_candidates(groups, repeats, ACCURACY) == [1, 3, None]
    assert best_candidates(groups, repeats, LOSS) == [0, 3, None]
    assert best_candidates([*groups, [6]], repeats, ACCURACY) is None


def isolated(repeats: list[Repeat]) -> list[dict[str, Any]]:
    best = [candidate(4, params={"batch_norm": True}), candidate(7, params={"batch_norm": False}), None]
    return compare_values(plan("batch_norm", (True, False, True)), best, repeats, ACCURACY, SIZES)


def test_values_are_compared_in_the_blocks_that_did_not_choose_them() -> None:
    rng = np.random.default_rng(1)
    repeats = [repeat(4, b, 0.8 + 0.01 * float(rng.normal())) for b in range(1, 6)]
    repeats += [repeat(7, b, 0.6 + 0.01 * float(rng.normal())) for b in range(1, 6)]

    first, second = isolated([*repeats, repeat(4, 0, 0.0), repeat(7, 0, 1.0)])

    assert (first["value"], second["value"], first["n"], second["n"]) == (True, False, 5, 5)
    assert first["interval"][0] < first["mean"] < first["interval"][1]
    assert second["p_first_is_better"] == 1.0
    assert second["behind"] == pytest.approx(first["mean"] - second["mean"])
    assert second["behind_interval"][0] > 0.15
    assert isolated([]) == []


def test_a_comparison_of_values_is_told() -> None:
    repeats = [repeat(one, b, value + b / 100) for one, value in ((4, 0.8), (7, 0.6)) for b in range(1, 6)]

    (line, *_) = sentences(Answer("s", "val_accuracy", "maximize", isolated=isolated(repeats)))[1:]

    assert line.startswith("batch norm, each value with its own best learning rate: true 83.0 % (")
    assert line.endswith("; true is better than false in 100 % (55 to 100 %) of blocks")


# ---- changes that are tried


def test_a_change_is_measured_by_its_paired_gain() -> None:
    old, new = [0.5, 0.7, 0.6], [0.58, 0.81, 0.69]
    repeats = [repeat(one, b, value) for one, line in enumerate((old, new)) for b, value in enumerate(line)]
    expected = scipy.stats.ttest_rel(new, old).confidence_interval(0.9)

    found, back = measure_change(0, 1, repeats, ACCURACY), measure_change(0, 1, repeats, LOSS)

    assert found is not None
    assert found.effect == pytest.approx(np.mean(new) - np.mean(old))
    assert found.interval == pytest.approx((expected.low, expected.high))
    assert found.is_better  # three wins alone would not do
    assert back is not None
    assert back.effect == pytest.approx(np.mean(old) - np.mean(new))
    assert not back.is_better
    assert measure_change(0, 2, repeats, ACCURACY) is None


def test_a_change_after_which_nothing_diverges_is_better_without_a_gain() -> None:
    repeats = [repeat(one, b, None if one == 0 else 0.5) for one in range(2) for b in range(5)]

    found = measure_change(0, 1, repeats, LOSS)

    assert found is not None
    assert (found.effect, found.interval, found.is_better) == (None, None, True)
    assert (found.n_diverged_before, found.n_diverged_after, found.n_blocks) == (5, 0, 5)


def test_a_change_that_makes_a_training_diverge_needs_more_than_a_gain() -> None:
    repeats = [repeat(0, b, 0.5 + b / 1000) for b in range(5)]
    repeats += [repeat(1, b, None if b == 4 else 0.7 + b / 900) for b in range(5)]

    found = measure_change(0, 1, repeats, ACCURACY)

    assert found is not None
    assert found.interval is not None
    assert found.interval.low > 0
    assert not found.is_better


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([0.5, 0.52, 0.51], [0.91, 0.92, 0.9], "Batch norm true cures it: +40.0 points (+38."),
        ([0.5, 0.6, 0.5], [0.5, 0.5, 0.6], "Batch norm true was tried and did not help: +0 points (-"),
        ([None] * 5, [0.9] * 5, "Batch norm true cures it: it failed in 0 instead of 5 of 5 blocks."),
    ],
)
def test_cures_that_were_tried_are_told(old: list[float | None], new: list[float | None], expected: str) -> None:
    repeats = [repeat(one, b, value) for one, line in enumerate((old, new)) for b, value in enumerate(line)]
    found = measure_change(0, 1, repeats, ACCURACY)
    assert found is not None
    finding = {"code": "dead_units", "number": 3, "epoch": 1, "sentence": "Trial 3 is ill.", "advice": [{"l2": 1}]}
    cure = found.to_json({"batch_norm": True})

    lines = sentences(Answer("s", "val_accuracy", "maximize", findings=[{**finding, "cures": [cure]}]))

    assert any(line.startswith(f"Trial 3 is ill. {expected}") for line in lines)
    assert not any("Try" in line for line in lines)
    assert all(not isinstance(value, float) or math.isfinite(value) for value in cure.values())


def test_trainings_that_run_are_no_blocks() -> None:
    repeats = [repeat(one, b, 0.5 + one / 10 + b / 100) for one in range(2) for b in range(3)]
    running = [*repeats[:-1], replace(repeats[-1], reason=None, state=repeats[-1].state.RUNNING)]

    found = measure_change(0, 1, running, ACCURACY)

    assert found is not None
    assert found.n_blocks == 2
