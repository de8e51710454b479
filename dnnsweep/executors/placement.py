"""Which trainer gets a suggestion, from what each of them holds and has compiled."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from dnnsweep.trainers import TrainerPlan
from dnnsweep.trainers.groups import Group

#: Slots of an array for which a trainer holds one more trial, which takes the place of the next one that ends.
SLOTS_PER_SPARE: Final = 4


@dataclass(slots=True)
class TrainerLoad:
    """What a trainer has to do.

    Args:
        is_open: Whether it has loaded the data.
        held: Trials that it trains or has waiting -> the group of each.
        leaving: Trials that were dropped and that it has not left yet.
        compiled: Groups that it was given trials of, so that it has their program.
    """

    is_open: bool = False
    held: dict[int, Group] = field(default_factory=dict)
    leaving: set[int] = field(default_factory=set)
    compiled: set[Group] = field(default_factory=set)


def choose_trainer(
    loads: Sequence[TrainerLoad], number: int, group: Group, plan: TrainerPlan, lost: Collection[int]
) -> int | None:
    """Choose the trainer that gets a trial: of those with room for it, the one with the least to do.

    Trials of one group fit into one compiled program, so they go where it was compiled already, unless others wait
    there. A trial that has lost its trainer before is trained alone: it may have been the cause.

    Args:
        loads: What each trainer has to do.
        number: Number of the trial.
        group: Group of the trial.
        plan: How trials are trained.
        lost: Trials that have lost a trainer and have not ended since.

    Returns:
        Index of the trainer in `loads`; None if none has room.

    Example:
        >>> from dnnsweep.trainers.groups import group_of
        >>> group = group_of({})
        >>> loads = [TrainerLoad(is_open=True, held={0: group}), TrainerLoad(is_open=True)]
        >>> choose_trainer(loads, 1, group, TrainerPlan("fit"), set())
        1
    """
    fitting = [index for index, load in enumerate(loads) if _has_room(load, number, group, plan, lost)]
    return min(fitting, key=lambda index: _cost(loads[index], group, plan), default=None)


def _has_room(load: TrainerLoad, number: int, group: Group, plan: TrainerPlan, lost: Collection[int]) -> bool:
    if not load.is_open or any(other in lost for other in load.held):
        return False
    if number in lost:
        return not load.held
    if plan.kind != "array":
        return len(load.held) < plan.slots
    n_spares = -(-plan.slots // SLOTS_PER_SPARE)  # a slot is filled again without waiting for the controller
    return sum(other == group for other in load.held.values()) < plan.slots + n_spares


def _cost(load: TrainerLoad, group: Group, plan: TrainerPlan) -> int:
    """Return what is to be done before a trial: compiling a program counts as much as an array full of trials."""
    return len(load.held) + len(load.leaving) + (0 if group in load.compiled else plan.slots)
