from __future__ import annotations

import itertools

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import create_trial

from dnnsweep.records.ranking import Rank, beats, pareto_front, rank
from dnnsweep.runner.controller.incumbents import Incumbents

DIRECTIONS = [("maximize",), ("minimize",), *itertools.product(("maximize", "minimize"), repeat=2)]
#: Few values, so that many trials are equal in one objective or in both.
NUMBERS = st.sampled_from([-1.0, 0.0, 0.5, 0.75, 1e9]) | st.floats(-1e6, 1e6)


@st.composite
def fields(draw: st.DrawFn) -> tuple[tuple[str, ...], list[tuple[float, ...]]]:
    """The directions of one objective or two, and the values of trials."""
    directions = draw(st.sampled_from(DIRECTIONS))
    return directions, draw(st.lists(st.tuples(*[NUMBERS] * len(directions)), max_size=30))


def ranks(directions: tuple[str, ...], found: list[tuple[float, ...]]) -> list[Rank]:
    return [rank(values, 1 / (1 + number % 3), number, *directions) for number, values in enumerate(found)]


def numbers(found: list[Rank]) -> list[int]:
    return [int(one[-1]) for one in found]


@given(fields())
def test_the_front_is_what_no_other_beats(field: tuple[tuple[str, ...], list[tuple[float, ...]]]) -> None:
    directions, found = field
    every = ranks(directions, found)

    assert pareto_front(every) == sorted(one for one in every if not any(beats(other, one) for other in every))


@given(fields())
def test_the_front_is_that_of_optuna(field: tuple[tuple[str, ...], list[tuple[float, ...]]]) -> None:
    directions, found = field
    study = optuna.create_study(directions=[StudyDirection[one.upper()] for one in directions])
    study.add_trials([create_trial(values=values) for values in found])

    mine = numbers(pareto_front(ranks(directions, found)))

    if len(directions) == 2:
        assert sorted(mine) == [trial.number for trial in study.best_trials]
    elif found:
        assert [found[number][0] for number in mine] == [study.best_value]


@given(fields())
def test_a_front_that_trials_join_one_by_one_is_the_same(
    field: tuple[tuple[str, ...], list[tuple[float, ...]]],
) -> None:
    directions, found = field
    incumbents, joined = Incumbents(*directions), set[int]()

    for number, values in enumerate(found):
        if incumbents.add(number, values, 1 / (1 + number % 3), {}):
            joined.add(number)

    kept = pareto_front(ranks(directions, found))
    assert sorted(incumbents.ranks) == kept
    assert set(numbers(kept)) <= joined
    assert (None if incumbents.best is None else incumbents.best.number) == next(iter(numbers(kept)), None)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0.1, 0.5, 0), (0.2, 0.1, 1), True),  # one objective: the better value
        ((0.1, 0.5, 0), (0.1, 0.6, 1), True),  # then val_loss
        ((0.1, 0.5, 0), (0.1, 0.5, 1), True),  # then the number
        ((0.1, 9.0, 0.5, 0), (0.2, 9.0, 0.1, 1), True),  # two: nowhere worse and somewhere better
        ((0.1, 9.0, 0.5, 0), (0.2, 8.0, 0.5, 1), False),
        ((0.1, 9.0, 0.1, 0), (0.1, 9.0, 0.5, 1), False),  # equal in both: val_loss only orders them
    ],
)
def test_which_of_two_trials_leaves_no_reason_to_take_the_other(one: Rank, other: Rank, *, expected: bool) -> None:
    assert beats(one, other) is expected
    assert not beats(other, one)
