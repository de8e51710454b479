"""Which trainer trains a sweep, and how many slots its arrays have: from the sweep file and the shape of its data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from dnnsweep.records import DataSummary, Task
from dnnsweep.space import Choice, Domain
from dnnsweep.spec import SweepSpec
from dnnsweep.trainers import TrainerPlan
from dnnsweep.trainers.groups import Group

#: The most slots that repay themselves, by the weights of a network: on one core, and on a GPU.
SLOTS_BY_WEIGHTS: Final = {
    "cpu": ((50_000, 16), (100_000, 4), (200_000, 2), (math.inf, 1)),
    "gpu": ((50_000, 64), (500_000, 32), (5_000_000, 8), (math.inf, 2)),
}
#: Additions and multiplications that one process makes for small networks; for large ones several times more.
ARITHMETIC_PER_SECOND: Final = 1.5e10
#: Fewer trials than this for each program do not repay compiling it.
TRIALS_PER_PROGRAM: Final = 2


def choose(sweep: SweepSpec, data: DataSummary, device: str = "cpu") -> TrainerPlan:
    """Choose how the trials of a sweep are trained.

    Args:
        sweep: The checked sweep file.
        data: What its data are.
        device: `cpu` or `gpu`.

    Returns:
        The plan. K, the slots of an array, is a quarter of the window (two arrays then hold half of it, which keeps
        them busy), but at most what repays itself for networks of this size; from the file and its data alone, so that
        results do not depend on a machine's cores.
    """
    asked = sweep.trainer
    if asked.kind == "fit":
        return TrainerPlan("fit", device=device, reasons=("trainer: fit, as the sweep file says",))
    n_programs, n_trials = _n_programs(sweep), sweep.budget.trials
    if asked.kind == "auto" and n_trials < TRIALS_PER_PROGRAM * n_programs:
        why = f"trainer: fit, because {n_trials} trials of up to {n_programs:g} shapes would not repay compiling them"
        return TrainerPlan("fit", device=device, reasons=(why,))
    chosen = "as the sweep file says" if asked.kind == "array" else "because all that is searched can differ in it"
    n_weights = max(_weights(sweep, data))
    most = next(slots for bound, slots in SLOTS_BY_WEIGHTS[device] if n_weights <= bound)
    slots = asked.slots or min(max(1, sweep.window // 4), most)
    bound = f"a quarter of the window {sweep.window}, at most {most} for {n_weights:,} weights on a {device}"
    reasons = (
        f"trainer: array, {chosen}",
        f"slots: {slots}, {'as the sweep file says' if asked.slots else bound}",
        f"programs: up to {n_programs:g}, one for each {_shapes(sweep)}"
        if n_programs > 1
        else "programs: 1, all trials have the same shapes",
    )
    return TrainerPlan("array", slots, device, reasons, _seconds(sweep, data, n_weights))


def _seconds(sweep: SweepSpec, data: DataSummary, n_weights: int) -> float:
    """Guess how long one process would train: every epoch of every trial, forward and backward."""
    arithmetic = 2 * n_weights * (3 * data.n_train + data.n_validation)
    return sweep.budget.trials * sweep.training.epochs * arithmetic / ARITHMETIC_PER_SECOND


def _n_programs(sweep: SweepSpec) -> float:
    return math.prod(_n_values(sweep.space[knob]) for knob in Group.KNOBS if knob in sweep.space)


def _n_values(domain: Domain) -> float:
    if isinstance(domain, Choice):
        return len(domain.values)
    return math.floor((domain.high - domain.low) / (domain.step or 1)) + 1 if domain.is_integer else math.inf


def _shapes(sweep: SweepSpec) -> str:
    return " and ".join(sorted(Group.KNOBS & set(sweep.space)))


def _weights(sweep: SweepSpec, data: DataSummary) -> Iterator[int]:
    """Yield the weights of each network that may be built."""
    domain = sweep.space.get("hidden")
    n_outputs = len(data.classes) if data.task is Task.MULTICLASS else 1
    for hidden in domain.values if isinstance(domain, Choice) else [sweep.defaults.hidden]:
        widths = (data.n_features, *hidden, n_outputs)
        yield sum((a + 1) * b for a, b in pairwise(widths))
