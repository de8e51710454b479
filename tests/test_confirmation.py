"""Which repeats a race asks for, and what they say: planted winners, kills, divergence, budgets."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from recorded import ACCURACY, LOSS, SIZES, candidate, noisy, repeat, rules, trained, trial

from dnnsweep.answers.configurations import Chosen, baseline_params, choose_candidates, configuration_key
from dnnsweep.answers.confirmation import Confirmation, SplitSizes, compare_with_baseline, confirm
from dnnsweep.answers.race_rules import lookahead_for
from dnnsweep.records import Objective, Reason, Repeat, State
from dnnsweep.space import Choice, Range, Searched
from dnnsweep.statistics.intervals import folded_mean_interval, mean_interval


def confirmed(repeats: list[Repeat], n: int, objective: Objective = ACCURACY, baseline: int | None = None) -> Any:
    candidates = [candidate(one, None if one == baseline else 10 + one) for one in range(n)]
    return confirm(candidates, repeats, objective, SIZES, baseline)


# ---- which repeats are asked for


def test_three_blocks_of_all_candidates_are_asked_for_at_once_and_in_order() -> None:
    places = rules().next_blocks([])

    assert places == [(candidate, block) for block in range(3) for candidate in range(3)]


def test_who_has_lost_is_not_asked_for_any_more_and_the_race_ends_with_one() -> None:
    repeats = trained(rules(), noisy([0.9, 0.5, 0.1]))

    n_repeats = [sum(one.candidate == number for one in repeats) for number in range(3)]
    assert n_repeats[0] < 30
    assert n_repeats[2] <= n_repeats[1] <= n_repeats[0]
    assert n_repeats[2] > 3


def test_equal_candidates_are_repeated_until_the_last_block() -> None:
    assert len(trained(rules(n_blocks=12), lambda _, block: float(block))) == 3 * 12


@pytest.mark.parametrize("n_blocks", [2, 3])
def test_three_blocks_are_always_run(n_blocks: int) -> None:
    assert len(trained(rules(n_blocks=n_blocks, max_epochs=0), noisy([0.9, 0.5, 0.1]))) == 9


def test_a_single_candidate_is_repeated_three_times() -> None:
    assert len(trained(rules(1, lookahead=20), noisy([0.5]))) == 3


@pytest.mark.parametrize(("max_epochs", "n_more"), [(29, 0), (30, 1), (89, 2), (90, 3)])
def test_epochs_after_the_third_block_stay_within_the_budget(max_epochs: float, n_more: int) -> None:
    repeats = trained(rules(max_epochs=max_epochs), lambda _, block: float(block))

    assert max(one.block for one in repeats) == 2 + n_more


@pytest.mark.parametrize(("max_epochs", "n_more"), [(19, 0), (20, 1), (29, 1), (1000, 27)])
def test_what_is_left_of_the_budget_pays_for_winner_and_baseline(max_epochs: float, n_more: int) -> None:
    of_three = [repeat(candidate, block, 0.5) for block in range(3) for candidate in range(3)]

    places = rules(max_epochs=max_epochs).next_of_two(of_three, winner=2, baseline=0)

    assert places == [(candidate, block) for block in range(3, 3 + n_more) for candidate in (2, 0)]


def test_more_blocks_of_two_tell_what_three_blocks_cannot() -> None:
    of_three = [repeat(candidate, block, 0.5 + candidate / 10) for block in range(3) for candidate in range(3)]
    later = [repeat(candidate, block, 0.6 + candidate / 10) for block in range(3, 10) for candidate in (0, 2)]
    found = confirmed(of_three, 3, baseline=0)
    assert not found.is_better_than_baseline

    compared = compare_with_baseline(found, [*of_three, *later], ACCURACY, SIZES)

    assert compared.is_better_than_baseline
    assert [(one.number, one.n) for one in compared.standings] == [(2, 10), (1, 3), (0, 10)]
    assert compared.standings[0].mean == pytest.approx(0.77)


def test_epochs_are_counted_as_measured_once_they_are() -> None:
    short = trained(rules(max_epochs=90), lambda *_: 0.5, epochs=lambda *_: 5)
    longer = trained(rules(max_epochs=90), lambda *_: 0.5, epochs=lambda *_: 15)

    assert [max(one.block for one in repeats) for repeats in (short, longer)] == [2 + 6, 2 + 2]


def test_a_baseline_without_a_trial_is_expected_to_take_what_the_others_take() -> None:
    far = rules(2, epochs={0: 10.0, 1: None}, lookahead=30, max_epochs=40)

    assert max(block for _, block in far.next_blocks([])) == 2 + 2


@pytest.mark.parametrize("lookahead", [1, 2, 5, 40])
def test_what_is_asked_for_does_not_depend_on_the_order_in_which_repeats_end(lookahead: int) -> None:
    race = rules(4, lookahead=lookahead, max_epochs=700)
    value = noisy([0.9, 0.8, 0.6, 0.1])
    in_turn = [(one.candidate, one.block) for one in trained(race, value, epochs=lambda c, b: 5 + (c + b) % 7)]
    rng = np.random.default_rng(1)

    for _ in range(3):
        ended: list[Repeat] = []
        asked = race.next_blocks(ended)
        while waiting := [place for place in asked if place not in {(one.candidate, one.block) for one in ended}]:
            one, block = waiting[int(rng.integers(len(waiting)))]
            ended.append(repeat(one, block, value(one, block), 5 + (one + block) % 7))
            longer = race.next_blocks(ended)
            assert longer[: len(asked)] == asked
            asked = longer
        assert asked == in_turn
        assert race.next_blocks(sorted(ended, key=lambda one: one.number)) == in_turn


def test_blocks_run_ahead_by_as_many_as_are_allowed() -> None:
    race, value = rules(lookahead=3), noisy([0.9, 0.9, 0.9])
    three = [repeat(one, block, value(one, block)) for one in range(3) for block in range(3)]

    assert max(block for _, block in race.next_blocks([])) == 2
    assert max(block for _, block in race.next_blocks(three)) == 2 + 3
    assert max(block for _, block in race.next_blocks(three[:-1])) == 2 + 2  # block 2 is not full
    assert [lookahead_for(*sizes) for sizes in ((20, 9), (4, 9), (30, 3))] == [2, 1, 10]


def test_repeats_that_run_wait_or_were_stopped_count_as_not_run() -> None:
    race, value = rules(), noisy([0.9, 0.5, 0.1])
    first = [repeat(one, block, value(one, block)) for one in range(3) for block in range(3)]
    open_ended = [
        replace(first[-1], state=State.QUEUED, reason=None, value=None),
        replace(first[-1], state=State.RUNNING, reason=None, value=None),
        replace(first[-1], state=State.FAILED, reason=Reason.STOPPED, value=None),
    ]

    assert len(race.next_blocks(first)) == 12
    assert [len(race.next_blocks([*first[:-1], one])) for one in open_ended] == [9, 9, 9]


def test_repeats_that_effects_add_change_neither_the_race_nor_its_winner() -> None:
    race = rules(max_epochs=90)
    repeats = trained(race, noisy([0.9, 0.88, 0.1]))
    more = [repeat(one, block, float(one)) for one in (0, 1, 2) for block in range(40) if block > repeats[-1].block]

    assert race.next_blocks([*repeats, *more]) == race.next_blocks(repeats)
    assert race.own([*more, *repeats]) == repeats
    assert confirmed(race.own([*repeats, *more]), 3).winner.number == 0
    assert confirmed([*repeats, *more], 3).winner.number == 1  # what `own` prevents


@pytest.mark.parametrize("reason", [Reason.DIVERGED, Reason.FAILED, Reason.TIMEOUT, Reason.KILLED])
def test_a_candidate_that_never_has_a_value_leaves(reason: Reason) -> None:
    def ended(one: int, block: int) -> Repeat:
        return repeat(one, block, None, reason=reason) if one else repeat(one, block, 0.5)

    repeats: list[Repeat] = []
    while len(places := rules(2).next_blocks(repeats)) > len(repeats):
        repeats = [ended(*place) for place in places]

    assert len(repeats) == 2 * 6


# ---- what they say


def test_the_planted_winner_wins_in_both_directions() -> None:
    means = [0.5, 0.9, 0.7]
    repeats = trained(rules(), noisy(means))
    mirrored = [replace(one, value=1 - one.value) for one in repeats if one.value is not None]

    largest, smallest = confirmed(repeats, 3), confirmed(mirrored, 3, LOSS)

    assert [one.number for one in largest.standings] == [1, 2, 0]
    assert [one.number for one in smallest.standings] == [1, 2, 0]
    assert largest.winner.p_best > 0.95
    assert largest.runner_up.number == 2
    assert sum(one.p_best for one in largest.standings) == pytest.approx(1)
    assert largest.winner.p_winner_is_better is None


def test_the_interval_of_a_mean_is_that_for_new_data() -> None:
    values = [0.5, 0.75, 0.6]
    found = confirmed([repeat(0, block, value) for block, value in enumerate(values)], 1)

    assert found.winner.mean == pytest.approx(np.mean(values))
    assert found.winner.interval == pytest.approx(mean_interval(np.array(values), 20, 80))
    assert found.runner_up is None


def test_an_interval_holds_no_value_that_the_metric_cannot_have() -> None:
    found = confirmed([repeat(0, block, value) for block, value in enumerate([0.99, 0.9, 1.0])], 1)

    assert found.winner.interval.high == 1.0
    assert confirmed([repeat(0, b, v) for b, v in enumerate([1e-3, 0.2, 0.1])], 1, LOSS).winner.interval.low == 0.0


def test_blocks_that_share_a_split_have_intervals_about_the_seed_alone() -> None:
    repeats = [repeat(0, block, value) for block, value in enumerate([0.5, 0.75, 0.6])]
    sizes = replace(SIZES, is_drawn_again=False)

    found = confirm([candidate(0, 0)], repeats, LOSS, sizes, None)

    assert found is not None
    assert found.standings[0].interval == pytest.approx(mean_interval(np.array([0.5, 0.75, 0.6])))


def test_repeats_in_folds_have_the_interval_of_all_folds() -> None:
    folds = np.random.default_rng(5).normal(0.5, 0.1, (3, 4))
    repeats = [
        repeat(0, block, float(row.mean()), metrics={"val_loss_std": float(row.std())})
        for block, row in enumerate(folds)
    ]
    sizes = SplitSizes(n_training=75, n_validation=25, n_folds=4)

    found = confirm([candidate(0, 0)], repeats, LOSS, sizes, None)

    assert found is not None
    assert found.standings[0].interval == pytest.approx(mean_interval(folds.ravel(), 25, 75))


def test_repeats_in_folds_cover_the_truth_where_means_of_folds_would_not() -> None:
    """Folds of one sample: scores share the error of the sample, as Nadeau and Bengio assume."""
    rng, n_folds, n_hits, n_naive = np.random.default_rng(8), 5, 0, 0
    share = 1 / n_folds  # the correlation that the correction assumes: validation rows / all rows
    for _ in range(300):
        folds = math.sqrt(share) * rng.normal() + math.sqrt(1 - share) * rng.normal(size=(3, n_folds))
        means = folds.mean(axis=1)
        n_hits += folded_mean_interval(means, folds.std(axis=1), n_folds, 20, 80).covers(0.0)
        n_naive += mean_interval(means).covers(0.0)

    assert 0.86 <= n_hits / 300 <= 0.95
    assert n_naive / 300 < 0.8


def test_candidates_that_left_are_ordered_by_when_and_are_never_tied() -> None:
    found = confirmed(trained(rules(), noisy([0.9, 0.5, 0.1])), 3)

    assert [one.is_live for one in found.standings] == [True, False, False]
    assert found.tied == ()
    assert all(one.p_winner_is_better.is_better for one in found.standings[1:])


def test_trials_that_the_winner_does_not_outperform_are_tied() -> None:
    values = {0: [2.0, 2, 2, 2], 1: [1.0, 1, 1, 2], 2: [1.0, 1, 3, 3], 3: [2.0, 2, 2, 1]}
    repeats = [repeat(one, block, value / 4) for one, line in values.items() for block, value in enumerate(line)]

    found = confirmed(repeats, 4, baseline=2)

    assert (found.winner.trial, found.tied) == (10, (13,))  # the baseline has no trial
    assert found.of_baseline.is_tied
    assert not found.is_better_than_baseline


@pytest.mark.parametrize(("n_blocks", "is_better"), [(4, False), (5, True)])
def test_a_winner_is_better_than_the_baseline_if_it_wins_often_enough_to_be_no_luck(
    n_blocks: int, is_better: bool
) -> None:
    repeats = [repeat(one, block, 0.9 - one / 10) for block in range(n_blocks) for one in range(2)]

    found = confirmed(repeats, 2, baseline=1)

    assert found.is_better_than_baseline is is_better
    assert found.of_baseline.p_winner_is_better.probability == 1.0


def test_a_baseline_that_wins_is_not_better_than_itself() -> None:
    repeats = [repeat(one, block, 0.9 - one / 10) for block in range(9) for one in range(2)]
    found = confirmed(repeats, 2, baseline=0)

    assert found.winner.number == found.baseline == 0
    assert not found.is_better_than_baseline


def test_candidates_that_diverged_are_ordered_by_rank_and_not_by_the_mean_of_what_is_left() -> None:
    steady = [repeat(0, block, 0.8) for block in range(6)]
    wild = [repeat(1, block, 0.99 if block == 0 else None) for block in range(6)]

    found = confirmed([*steady, *wild], 2)

    assert [one.number for one in found.standings] == [0, 1]
    assert [(one.n, one.n_diverged, one.mean) for one in found.standings] == [(6, 0, pytest.approx(0.8)), (6, 5, 0.99)]
    assert found.standings[0].p_best > 0.9


def test_there_is_no_winner_if_all_candidates_diverged() -> None:
    found = confirmed([repeat(one, block, None) for one in range(2) for block in range(3)], 2)

    assert found.winner is None
    assert [(one.mean, one.n_diverged) for one in found.standings] == [(None, 3), (None, 3)]


@pytest.mark.parametrize("repeats", [[], [repeat(0, 0, 0.5)], [repeat(0, 1, 0.5), repeat(1, 1, 0.5)]])
def test_nothing_is_said_before_a_block_is_full(repeats: list[Repeat]) -> None:
    assert confirmed(repeats, 2) is None


def test_blocks_that_are_not_full_and_repeats_of_others_say_nothing() -> None:
    full = [repeat(one, block, 0.9 - one / 10 + block / 100) for block in range(3) for one in range(2)]

    assert confirmed([*full, repeat(0, 3, 0.1), repeat(7, 0, 1.0)], 2) == confirmed(full, 2)


def test_the_same_repeats_give_the_same_answer_in_any_order() -> None:
    repeats = trained(rules(), noisy([0.9, 0.88, 0.7]))
    found: Confirmation = confirmed(repeats, 3)

    assert confirmed(repeats[::-1], 3) == found


# ---- which configurations are repeated


def labels(chosen: list[Chosen]) -> list[str]:
    return [one.label for one in chosen]


TRIALS = [trial(0, 0.5), trial(1, 0.7, l2=0.1), trial(2, None, l2=0.2), trial(3, 0.9, l2=0.3), trial(4, 0.8, l2=0.3)]


@pytest.mark.parametrize(
    ("top", "baseline", "expected"),
    [
        (8, {"l2": 9.0}, ["trial 3", "trial 1", "trial 0", "baseline"]),  # 4 has the values of 3, and 2 diverged
        (2, {"l2": 9.0}, ["trial 3", "trial 1", "baseline"]),
        (2, {"l2": 0.0}, ["trial 3", "trial 1", "baseline (trial 0)"]),
        (2, {"l2": 0.3}, ["baseline (trial 3)", "trial 1"]),
        (2, {"l2": 0.2}, ["trial 3", "trial 1", "baseline"]),  # its trial is not complete
    ],
)
def test_the_best_configurations_and_the_baseline_are_candidates_once(
    top: int, baseline: dict[str, Any], expected: list[str]
) -> None:
    chosen = choose_candidates(TRIALS, ACCURACY, top, baseline)

    assert labels(chosen) == expected
    assert [configuration_key(one.params) for one in chosen if one.is_baseline] == [configuration_key(baseline)]


def test_a_sweep_with_one_complete_trial_has_two_candidates_and_one_without_has_none() -> None:
    assert labels(choose_candidates([trial(0, 0.5)], LOSS, 8, {"l2": 1.0})) == ["trial 0", "baseline"]
    assert labels(choose_candidates([trial(0, 0.5)], LOSS, 8, {"l2": 0.0})) == ["baseline (trial 0)"]
    assert choose_candidates([trial(0, None)], LOSS, 8, {"l2": 0.0}) == []


def test_equal_values_are_ordered_as_everywhere_by_loss_and_number() -> None:
    equal = [trial(0, 0.5, l2=0.1), trial(1, 0.5, l2=0.2), replace(trial(2, 0.5, l2=0.3), metrics={"val_loss": 0.1})]

    assert labels(choose_candidates(equal, ACCURACY, 3, {"l2": 0.1})) == ["trial 2", "baseline (trial 0)", "trial 1"]


def test_the_baseline_is_what_is_enqueued_first_filled_up_with_defaults() -> None:
    space: dict[str, Searched] = {"l2": Range(0.1, 1.0), "filters": Choice((8, 16)), "rate": Range(0.25, 0.5)}
    defaults = {"l2": 0.0, "batch_size": 32}

    assert baseline_params(space, defaults, []) == {"l2": 0.0, "batch_size": 32, "filters": 8, "rate": 0.25}
    given = baseline_params(space, defaults, [{"filters": 16, "l2": 0.5}, {"filters": 8}])
    assert given == {"l2": 0.5, "batch_size": 32, "filters": 16, "rate": 0.25}
