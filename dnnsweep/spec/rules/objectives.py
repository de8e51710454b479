"""Rules for one objective, and for two together."""

from __future__ import annotations

from collections.abc import Iterator

from dnnsweep.errors import Mistake
from dnnsweep.records import N_PARAMETERS, Objective, direction_of
from dnnsweep.space import yaml_text
from dnnsweep.spec.sampler_kinds import SAMPLERS, sampler_names
from dnnsweep.spec.sections import OBJECTIVES, SweepSpec


def by_path(spec: SweepSpec) -> list[tuple[str, Objective]]:
    """Return each objective with its YAML path."""
    if len(spec.objectives) == 1:
        return [("objective", spec.objectives[0])]
    return [(f"objective.{index}", objective) for index, objective in enumerate(spec.objectives)]


def check_direction(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that each metric is improved towards its better end."""
    for path, objective in by_path(spec):
        better = direction_of(objective.metric)
        if objective.metric in OBJECTIVES and objective.direction != better:
            rule, remedy = f"must be {better}, the better end of {objective.metric}", f"write {better} or leave it out"
            yield Mistake(f"{path}.direction", rule, yaml_text(objective.direction), remedy)


def check_pair(spec: SweepSpec) -> Iterator[Mistake]:
    """Check what cannot be combined with two objectives."""
    if len(spec.objectives) == 1:
        yield from _check_curve(spec)
        return
    first, second = (objective.metric for objective in spec.objectives)
    if first == second:
        yield Mistake("objective.1.metric", "must differ from the first metric", yaml_text(second), "change one")
    for key in ("target", "until", "without_improvement"):
        given = getattr(spec.budget, key)
        if given is not None:
            rule, remedy = "cannot be combined with two objectives", "remove it, or name one objective"
            yield Mistake(f"budget.{key}", rule, yaml_text(given), remedy)
    pruner = spec.pruner.kind
    if pruner != "none":
        rule = "must be none for two objectives, as no single value says that a trial is worse than others"
        yield Mistake("pruner.kind", rule, yaml_text(pruner), "remove it, or name one objective")
    if SAMPLERS[spec.sampler.kind].max_objectives == 1:
        rule = f"must be {sampler_names(lambda sampler: sampler.max_objectives > 1)} for two objectives"
        yield Mistake("sampler.kind", rule, yaml_text(spec.sampler.kind), "take nsga2 or tpe")


def _check_curve(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that a pruner can compare epochs."""
    if spec.objectives[0].metric == N_PARAMETERS and spec.pruner.kind != "none":
        rule = f"must be none for {N_PARAMETERS}, which is the same in all epochs"
        yield Mistake("pruner.kind", rule, yaml_text(spec.pruner.kind), "remove it")
