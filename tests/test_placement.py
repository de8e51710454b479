"""Which trainer gets a suggestion."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dnnsweep.executors.placement import TrainerLoad, choose_trainer
from dnnsweep.records import Retraining, Suggestion
from dnnsweep.trainers import TrainerPlan
from dnnsweep.trainers.groups import Group, group_for, group_of

A, B = group_of({"batch_size": 16}), group_of({"batch_size": 32})
FIT = TrainerPlan("fit")
FOUR = TrainerPlan("array", slots=4)


def load(*groups: Group, compiled: tuple[Group, ...] = (), leaving: int = 0, is_open: bool = True) -> TrainerLoad:
    """What a trainer has to do that holds trials 0, 1, ... of these groups."""
    return TrainerLoad(is_open, dict(enumerate(groups)), set(range(100, 100 + leaving)), {*groups, *compiled})


@pytest.mark.parametrize(
    ("plan", "loads", "chosen"),
    [
        (FIT, [], None),
        (FIT, [load(is_open=False)], None),
        (FIT, [load(is_open=False), load()], 1),
        (FIT, [load(A)], None),  # one trial at a time
        (FIT, [load(B)], None),
        (FIT, [load(A), load()], 1),
        (FIT, [load(leaving=1), load()], 1),  # both have room; the first must leave a dropped trial before
        (FIT, [load(leaving=1)], 0),
        (FOUR, [load(A, A, A, A)], 0),  # four slots and one spare
        (FOUR, [load(A, A, A, A, A)], None),
        (FOUR, [load(B, B, B, B, B)], 0),  # each group has an array of its own
        (FOUR, [load(A), load()], 0),  # cost 1; the other one would have to compile, cost 4
        (FOUR, [load(B), load()], 1),  # 1 + 4 against 4
        (FOUR, [load(A, A, A), load()], 0),  # 3 against 4
        (FOUR, [load(A, A, A, A), load()], 0),  # 4 against 4: the first
        (FOUR, [load(A, A, A, B, B), load()], 1),  # 5 against 4
        (FOUR, [load(A, A, A, A, A), load(A)], 1),
        (FOUR, [load(A, A), load(compiled=(A,))], 1),  # 2 against 0
        (FOUR, [load(leaving=2, compiled=(A,)), load(A)], 1),  # 2 against 1
    ],
)
def test_a_trial_goes_to_the_trainer_with_the_least_to_do_before_it(
    plan: TrainerPlan, loads: list[TrainerLoad], chosen: int | None
) -> None:
    assert choose_trainer(loads, 50, A, plan, lost=set()) == chosen


@pytest.mark.parametrize(("slots", "n_held"), [(1, 2), (4, 5), (5, 7), (8, 10), (9, 12)])  # a spare for each 4 slots
def test_an_array_has_a_spare_for_every_four_slots(slots: int, n_held: int) -> None:
    trainer, plan = load(), TrainerPlan("array", slots)

    while choose_trainer([trainer], len(trainer.held), A, plan, lost=set()) is not None:
        trainer.held[len(trainer.held)] = A

    assert len(trainer.held) == n_held


@pytest.mark.parametrize(
    ("number", "lost", "loads", "chosen"),
    [
        (50, {50}, [load(A), load()], 1),  # alone, although its program is compiled in the first
        (50, {50}, [load(A), load(B)], None),
        (50, {0}, [load(A)], None),  # nothing comes beside a trial that has lost its trainer
        (50, {0}, [load(A), load()], 1),
        (50, {7}, [load(A), load()], 0),  # trial 7 is held by neither
    ],
)
def test_a_trial_that_has_lost_its_trainer_is_trained_alone(
    number: int, lost: set[int], loads: list[TrainerLoad], chosen: int | None
) -> None:
    assert choose_trainer(loads, number, A, FOUR, lost) == chosen


def test_trials_repeats_and_retrainings_of_one_point_take_no_room_from_each_other() -> None:
    trial = Suggestion(0, {"batch_size": 16}, 0)
    suggestions = [trial, replace(trial, block=2), replace(trial, retraining=Retraining(3))]
    one, other = (group_for(replace(trial, block=block, number=block)) for block in (0, 1))
    trainer = load(*[A] * 5)

    assert group_for(trial) == A
    assert one == other
    for suggestion in suggestions[1:]:
        assert choose_trainer([trainer], 50, group_for(suggestion), FOUR, set()) == 0
    assert choose_trainer([trainer], 50, group_for(trial), FOUR, set()) is None
    assert choose_trainer([load(*[one] * 5)], 50, other, FOUR, set()) is None
