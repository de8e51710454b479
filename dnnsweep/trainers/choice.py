"""Which trainer trains a sweep, and how many slots its arrays have: from the sweep file and the shape of its data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from dnnsweep.records import DataSummary, Task
from dnnsweep.space import Choice, Conditional, Domain, Layers, Leaf, Subspace, cases, countable, leaves, subspaces
from dnnsweep.spec import SweepSpec
from dnnsweep.trainers import TrainerPlan
from dnnsweep.trainers.array.optimizers import UPDATE_RULES
from dnnsweep.trainers.groups import Group, max_own_slots

#: The most slots that repay themselves, by the weights of a network: on one core, and on a GPU. Measured, but for the
#: GPU's last bound: twice as many slots would gain a third there at most.
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
        data: Summary of its data.
        device: `cpu` or `gpu`.

    Returns:
        The plan. K, the slots of an array, is a quarter of the window (two arrays then hold half of it, which keeps
        them busy), but at most what repays itself for networks of this size; from the file and its data alone, so that
        results do not depend on a machine's cores.
    """
    reason = _reason_for_fit(sweep)
    if reason is not None:
        return TrainerPlan("fit", device=device, reasons=(f"trainer: fit, {reason}",))
    return _array_plan(sweep, data, device)


def _reason_for_fit(sweep: SweepSpec) -> str | None:
    """Return why a sweep is not trained in arrays; None if it is."""
    if sweep.trainer.kind == "fit":
        return "as the sweep file says"
    # One such value is enough: trainers are chosen for a sweep, so that all of its trials are trained alike.
    missing = [name for name in _optimizers(sweep) if name not in UPDATE_RULES]
    if missing:
        return f"because the optimizer {missing[0]} is not in trial arrays"
    n_programs, n_trials = _n_programs(sweep), sweep.budget.trials
    if sweep.trainer.kind == "auto" and n_trials < TRIALS_PER_PROGRAM * n_programs:
        return f"because {n_trials} trials of up to {n_programs:g} shapes would not repay compiling them"
    return None


def _array_plan(sweep: SweepSpec, data: DataSummary, device: str) -> TrainerPlan:
    requested, n_programs = sweep.trainer, _n_programs(sweep)
    why = "as the sweep file says" if requested.kind == "array" else "because all that is searched can differ in it"
    n_weights = max(_weights(sweep, data))
    max_slots = next(slots for bound, slots in SLOTS_BY_WEIGHTS[device] if n_weights <= bound)
    if sweep.dataset.is_redrawn:
        max_slots = min(max_slots, max_own_slots(data.n_train + data.n_validation, data.n_features))
    n_folds = sweep.dataset.folds or 1  # each of which takes a slot
    max_slots = max(1, max_slots // n_folds)
    slots = requested.slots or min(max(1, sweep.window // 4), max_slots)
    rule = f"a quarter of the window {sweep.window}, at most {max_slots} for {n_weights:,} weights on a {device}"
    reasons = (
        f"trainer: array, {why}",
        f"slots: {slots}, {'as the sweep file says' if requested.slots else rule}",
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
    """Count the shapes: in each case of the conditions, every value of what makes them with every other."""
    space = countable(sweep.space)
    shapes_by_case = {
        tuple(part for name, part in subspaces(space, case, sweep.default_params).items() if name in Group.KNOB_NAMES)
        for case in cases(space, sweep.default_params)
    }
    return sum(math.prod(_n_values(part) for part in shapes) for shapes in shapes_by_case)


def _n_values(part: Subspace) -> float:
    return math.inf if part.n_values is None else part.n_values


def _shapes(sweep: SweepSpec) -> str:
    return " and ".join(sorted(Group.KNOB_NAMES & set(sweep.space)))


def _optimizers(sweep: SweepSpec) -> Iterator[str]:
    """Yield the optimizers that trials may have."""
    domains, has_default = _domains(sweep, "optimizer")
    if has_default:
        yield sweep.defaults.optimizer
    for domain in domains:
        if isinstance(domain, Choice):
            yield from domain.values


def _weights(sweep: SweepSpec, data: DataSummary) -> Iterator[int]:
    """Yield the weights of each network that may be built; of layers of one width, those of the largest."""
    n_outputs = len(data.classes) if data.task is Task.MULTICLASS else 1
    for hidden in _largest(sweep):
        widths = (data.n_features, *hidden, n_outputs)
        yield sum((a + 1) * b for a, b in pairwise(widths))


def _largest(sweep: SweepSpec) -> Iterator[tuple[int, ...]]:
    domains, has_default = _domains(sweep, "hidden")
    if has_default:
        yield sweep.defaults.hidden
    for domain in domains:
        if isinstance(domain, Layers):
            yield (_highest(domain.units),) * _highest(domain.layers)
        elif isinstance(domain, Choice):
            yield from domain.values


def _domains(sweep: SweepSpec, name: str) -> tuple[list[Leaf], bool]:
    """Return the domains that a hyperparameter is sampled from, and whether some trials may have its default."""
    searched = sweep.space.get(name)
    if searched is None:
        return [], True
    return [leaf for _, leaf in leaves(searched)], isinstance(searched, Conditional)


def _highest(domain: Domain) -> int:
    return int(max(domain.values) if isinstance(domain, Choice) else domain.high)
