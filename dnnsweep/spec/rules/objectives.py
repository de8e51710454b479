"""What one objective may be, and two of them together."""

from __future__ import annotations

from collections.abc import Iterator

from dnnsweep.errors import Mistake
from dnnsweep.records import N_PARAMETERS, Objective, direction_of
from dnnsweep.space import yaml_text
from dnnsweep.spec.sections import OBJECTIVES, SweepSpec


def named(spec: SweepSpec) -> list[tuple[str, Objective]]:
    """Return each objective with its path."""
    if len(spec.objectives) == 1:
        return [("objective", spec.objectives[0])]
    return [(f"objective.{index}", one) for index, one in enumerate(spec.objectives)]


def check_direction(spec: SweepSpec) -> Iterator[Mistake]:
    """A metric is improved towards its better end."""
    for path, one in named(spec):
        better = direction_of(one.metric)
        if one.metric in OBJECTIVES and one.direction != better:
            rule, remedy = f"must be {better}, the better end of {one.metric}", f"write {better} or leave it out"
            yield Mistake(f"{path}.direction", rule, yaml_text(one.direction), remedy)


def check_pair(spec: SweepSpec) -> Iterator[Mistake]:
    """What a trade-off between two objectives leaves no room for."""
    if len(spec.objectives) == 1:
        yield from _check_curve(spec)
        return
    first, second = (one.metric for one in spec.objectives)
    if first == second:
        yield Mistake(
            "objective.1.metric", "must be another metric than the first one", yaml_text(second), "change one"
        )
    if spec.budget.target is not None:
        rule, remedy = "belongs to sweeps of one objective", "remove it, or name one objective"
        yield Mistake("budget.target", rule, yaml_text(spec.budget.target), remedy)
    pruner = spec.pruner.kind
    if pruner != "none":
        rule = "must be none for two objectives: no value alone says that a trial is worse than others"
        yield Mistake("pruner.kind", rule, yaml_text(pruner), "remove it, or name one objective")
    if spec.sampler.kind == "cmaes":
        rule = "must be tpe, random, grid, qmc, nsga2 or gp for two objectives"
        yield Mistake("sampler.kind", rule, yaml_text(spec.sampler.kind), "take nsga2 or tpe")


def _check_curve(spec: SweepSpec) -> Iterator[Mistake]:
    """A pruner compares epochs."""
    if spec.objectives[0].metric == N_PARAMETERS and spec.pruner.kind != "none":
        rule = f"must be none for {N_PARAMETERS}, which is the same in all epochs"
        yield Mistake("pruner.kind", rule, yaml_text(spec.pruner.kind), "remove it")
