"""Rules for the sections `training` and `pruner`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dnnsweep.errors import Mistake
from dnnsweep.space import PLATEAU as SCHEDULE
from dnnsweep.space import Range, yaml_text
from dnnsweep.spec.pruner import SETTINGS, PrunerSpec
from dnnsweep.spec.sections import SweepSpec

PLATEAU: Final = "training.reduce_on_plateau"
FLOOR: Final = f"{PLATEAU}.min_learning_rate"


def check_warm_up(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that early stopping looks at some epoch."""
    stopping, epochs = spec.training.early_stopping, spec.training.epochs
    if stopping is not None and stopping.start_from_epoch >= epochs:
        path, got = "training.early_stopping.start_from_epoch", yaml_text(stopping.start_from_epoch)
        yield Mistake(path, f"must be below training.epochs = {epochs}, or every epoch is ignored", got, "lower it")


def check_plateau(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that some trial asks for the section, which would be ignored in silence otherwise."""
    if spec.training.reduce_on_plateau is not None and spec.plateau is None:
        section = "space" if "schedule" in spec.space else "fixed"
        got = spec.space["schedule"].to_json() if section == "space" else spec.fixed["schedule"]
        rule, remedy = f"belongs to schedule: {SCHEDULE}", f"add it to {section}.schedule, or remove this section"
        yield Mistake(PLATEAU, rule, f"{section}.schedule={yaml_text(got)}", remedy)


def check_floor(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that some learning rate lies above the lower bound, or none would ever be reduced."""
    plateau, domains = spec.training.reduce_on_plateau, spec.domains("learning_rate")
    highest = max(domain.high if isinstance(domain, Range) else max(domain.values) for domain in domains)
    if plateau is not None and plateau.min_learning_rate >= highest:
        rule = f"must be below the highest learning rate {yaml_text(highest)}, or none is reduced"
        yield Mistake(FLOOR, rule, yaml_text(plateau.min_learning_rate), "lower it")


def check_pruner(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that settings belong to the kind of pruner."""
    yield from _check_settings(spec.pruner, "pruner")
    wrapped = spec.pruner.wrapped
    if spec.pruner.kind == "patient" and wrapped is not None:
        yield from _check_settings(wrapped, "pruner.wrapped")
        if wrapped.kind in ("none", "patient"):
            rule, remedy = "must be median, asha or hyperband", "remove it to prune without asking another pruner"
            yield Mistake("pruner.wrapped.kind", rule, yaml_text(wrapped.kind), remedy)


def _check_settings(pruner: PrunerSpec, path: str) -> Iterator[Mistake]:
    """Find settings of other kinds of pruners."""
    for name in pruner.foreign():
        kinds = ", ".join(kind for kind, settings in SETTINGS.items() if name in settings)
        yield Mistake(f"{path}.{name}", f"belongs to {kinds}", f"it with kind: {pruner.kind}", "remove it")


def check_rungs(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that rungs lie within a trial."""
    epochs = spec.training.epochs
    pruners = {"pruner": spec.pruner} | ({} if spec.pruner.wrapped is None else {"pruner.wrapped": spec.pruner.wrapped})
    for path, pruner in pruners.items():
        if pruner.max_resource is not None and (pruner.min_resource or 1) > pruner.max_resource:
            rule, got = "must not be above max_resource", f"{pruner.min_resource} and {pruner.max_resource}"
            yield Mistake(f"{path}.min_resource", rule, got, "exchange them")
        first = (pruner.min_resource or 1) * (pruner.reduction_factor or 1) ** (pruner.min_early_stopping_rate or 0)
        if pruner.min_early_stopping_rate and first > epochs:
            rule = f"must leave a rung within training.epochs = {epochs}"
            got = f"{pruner.min_early_stopping_rate}, which puts the first one at epoch {first}"
            yield Mistake(f"{path}.min_early_stopping_rate", rule, got, "lower it")
        for name in ("n_warmup_steps", "min_resource", "max_resource"):
            value = getattr(pruner, name)
            if value is not None and value > epochs:
                yield Mistake(
                    f"{path}.{name}", f"must not be above training.epochs = {epochs}", yaml_text(value), "lower it"
                )
