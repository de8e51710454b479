"""Which trainings effects need, and what they say of planted ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from recorded import ACCURACY, BASELINE, LOSS, PLANTED, WINNER, measured, planted, train_coalitions

from dnnsweep.answers.contrast import Contrast, contrast_between
from dnnsweep.answers.effects import measure_effects, plan_effects
from dnnsweep.records import Objective, Reason, Repeat, State


def differing(n_players: int) -> Contrast:
    names = [f"knob_{index}" for index in range(n_players)]
    return contrast_between(dict.fromkeys(names, 0), dict.fromkeys(names, 1), {})


# ---- players and coalitions


def names(contrast: Contrast) -> list[tuple[str, ...]]:
    return [player.names for player in contrast.players]


def test_optimizer_and_learning_rate_are_one_player_and_equal_values_are_none() -> None:
    assert names(contrast_between(BASELINE, WINNER, {})) == [
        ("optimizer", "learning_rate"),
        ("dropout",),
        ("batch_norm",),
    ]
    assert names(contrast_between(BASELINE, BASELINE, {})) == []


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ({"dropout": ["batch_norm"]}, [("optimizer", "learning_rate"), ("dropout", "batch_norm")]),
        ({"dropout": ["optimizer"]}, [("optimizer", "learning_rate", "dropout"), ("batch_norm",)]),
        ({"dropout": ["l2"]}, [("optimizer", "learning_rate"), ("dropout",), ("batch_norm",)]),  # l2 does not differ
        (
            {"dropout": ["batch_norm"], "batch_norm": ["optimizer"]},
            [("optimizer", "learning_rate", "dropout", "batch_norm")],
        ),
    ],
)
def test_a_conditional_hyperparameter_goes_with_its_parent(
    parents: dict[str, list[str]], expected: list[tuple[str, ...]]
) -> None:
    assert names(contrast_between(BASELINE, WINNER, parents)) == expected


def test_coalitions_lead_from_the_baseline_to_the_winner() -> None:
    contrast = contrast_between(BASELINE, WINNER, {})

    assert contrast.params(0) == BASELINE
    assert contrast.params(contrast.n_coalitions - 1) == WINNER
    assert contrast.params(0b101) == {**WINNER, "dropout": 0.0}
    assert len({str(contrast.params(coalition)) for coalition in range(8)}) == 8
    assert contrast.label(0b101) == "baseline with optimizer, learning_rate and batch_norm of the winner"


def test_a_hyperparameter_that_only_one_of_them_has_comes_and_goes_with_its_player() -> None:
    contrast = contrast_between({"kind": "plain"}, {"kind": "deep", "depth": 3}, {"depth": ["kind"]})

    assert [contrast.params(coalition) for coalition in (0, 1)] == [{"kind": "plain"}, {"kind": "deep", "depth": 3}]


# ---- which trainings


@pytest.mark.parametrize("n_players", [1, 3, 6])
def test_all_coalitions_of_up_to_six_players_are_train_coalitions(n_players: int) -> None:
    plan = plan_effects(differing(n_players), 10, seed=0)

    assert plan.trainings() == [(coalition, block) for block in range(10) for coalition in range(2**n_players)]
    assert plan.is_exact


def test_nothing_is_trained_if_nothing_differs() -> None:
    plan = plan_effects(differing(0), 10, seed=0, max_trainings=3)

    assert plan.trainings() == []
    assert measure_effects(plan, [], {}, ACCURACY) is None


@pytest.mark.parametrize(("n_players", "max_trainings"), [(4, 159), (4, 100), (7, 300), (9, None), (20, None)])
def test_orders_of_the_players_take_as_many_trainings_as_they_may(n_players: int, max_trainings: float | None) -> None:
    plan = plan_effects(differing(n_players), 10, seed=0, max_trainings=max_trainings)
    limit = 640 if max_trainings is None else max_trainings

    assert not plan.is_exact
    assert plan.n_blocks == 10
    assert len(plan.trainings()) <= limit
    assert len(plan.trainings()) > 0.6 * limit
    assert len(set(plan.orders)) > 5  # other ones for each block, but few players have few orders


def test_exact_effects_are_preferred_where_they_can_be_paid() -> None:
    assert plan_effects(differing(4), 10, seed=0, max_trainings=160).is_exact


def test_too_small_a_budget_leaves_fewer_blocks_but_three() -> None:
    some, few = (plan_effects(differing(5), 10, seed=0, max_trainings=limit) for limit in (50, 1))

    assert (some.n_blocks, len(some.trainings())) == (5, 50)
    assert (few.n_blocks, len(few.trainings())) == (3, 30)


# ---- what they say


@pytest.mark.parametrize(("objective", "sign"), [(ACCURACY, 1.0), (LOSS, -1.0)])
def test_planted_effects_are_found_with_their_sign_and_the_largest_first(objective: Objective, sign: float) -> None:
    plan = plan_effects(contrast_between(BASELINE, WINNER, {}), 10, seed=0)

    found = measured(plan, train_coalitions(plan, planted(np.random.default_rng(2), sign)), objective)

    assert [one.player.names[0] for one in found.effects] == ["optimizer", "batch_norm", "dropout"]
    assert [one.effect.is_seen for one in found.effects] == [True, True, False]
    for one in found.effects:
        assert one.effect.simultaneous.covers(PLANTED[one.player.names[0]])


@pytest.mark.parametrize("max_trainings", [None, 500])
def test_effects_sum_to_the_winner_minus_the_baseline(max_trainings: float | None) -> None:
    plan = plan_effects(differing(6), 10, seed=0, max_trainings=max_trainings)
    rng = np.random.default_rng(4)
    repeats = train_coalitions(plan, lambda *_: float(rng.normal()))
    by_place = {(one.candidate, one.block): one.value or 0.0 for one in repeats}

    found = measured(plan, repeats)

    expected = np.mean([by_place[63, block] - by_place[0, block] for block in range(10)])
    assert plan.is_exact is (max_trainings is None)
    assert found.total == pytest.approx(expected)
    assert sum(one.effect.mean for one in found.effects) == pytest.approx(expected)


def test_effects_are_those_of_the_definition_over_all_orders() -> None:
    plan = plan_effects(differing(3), 2, seed=0)
    values = np.random.default_rng(5).normal(size=8)
    repeats = train_coalitions(plan, lambda params, _: float(values[sum(params[f"knob_{i}"] << i for i in range(3))]))

    found = {one.player.name: one.effect.mean for one in measured(plan, repeats).effects}

    for player in range(3):
        gains = []
        for order in itertools.permutations(range(3)):
            before = sum(1 << other for other in order[: order.index(player)])
            gains.append(values[before | 1 << player] - values[before])
        assert found[f"knob_{player}"] == pytest.approx(np.mean(gains))


def test_a_coalition_that_diverged_counts_as_the_worst_of_its_block_that_did_not() -> None:
    plan = plan_effects(differing(2), 4, seed=0)
    scores = {(0, 0): 0.5, (1, 0): 0.75, (0, 1): None, (1, 1): 0.875}

    found = measured(plan, train_coalitions(plan, lambda params, _: scores[params["knob_0"], params["knob_1"]]))

    assert found.n_diverged == 4
    effects = {one.player.name: one.effect.mean for one in found.effects}  # of 0.5, 0.75, 0.5, 0.875
    assert effects == pytest.approx({"knob_0": 0.3125, "knob_1": 0.0625})


def test_a_block_in_which_everything_diverged_is_left_out() -> None:
    plan = plan_effects(differing(2), 4, seed=0)
    repeats = train_coalitions(plan, lambda params, block: None if block == 1 else float(sum(params.values())))

    found = measured(plan, repeats)

    assert (found.n_blocks, found.n_lost) == (3, 1)
    assert found.total == pytest.approx(2.0)


def test_blocks_whose_trainings_have_not_all_ended_say_nothing_yet() -> None:
    plan = plan_effects(differing(2), 4, seed=0)
    rng = np.random.default_rng(6)
    repeats = train_coalitions(plan, lambda *_: float(rng.normal()))

    assert measured(plan, repeats[:-1]) == measured(plan, repeats[:12])
    assert measure_effects(plan, repeats[:7], {c: c for c in range(4)}, ACCURACY) is None
    waiting = [one if one.number else Repeat(0, 0, 0, 1, State.RUNNING) for one in repeats]
    assert measured(plan, waiting).n_blocks == 3


def test_repeats_of_other_purposes_are_used_by_the_number_of_their_candidate() -> None:
    plan = plan_effects(differing(1), 3, seed=0)
    repeats = [Repeat(0, c, b, 1, State.COMPLETE, Reason.COMPLETED, c + b / 10) for b in range(5) for c in (4, 9)]

    found = measure_effects(plan, repeats, {0: 4, 1: 9}, ACCURACY)

    assert found is not None
    assert found.n_blocks == 3
    assert found.total == pytest.approx(5.0)


def test_effects_without_any_are_seldom_seen() -> None:
    plan = plan_effects(differing(3), 10, seed=0)
    rng, n_seen = np.random.default_rng(9), 0
    for _ in range(40):
        found = measured(plan, train_coalitions(plan, lambda *_: float(rng.normal())))
        n_seen += any(one.effect.is_seen for one in found.effects)

    assert n_seen <= 8  # of Binomial(40, 0.1) exceeded with a probability of 0.016; the seed is fixed
    assert not math.isnan(found.total)
