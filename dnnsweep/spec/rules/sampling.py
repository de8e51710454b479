"""Rules for samplers, and for configurations to try first."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Final

from dnnsweep.errors import Mistake
from dnnsweep.space import Leaf, Range, grid_size, leaves, scalar_domains, yaml_text
from dnnsweep.spec.sampler_kinds import SAMPLERS, sampler_names
from dnnsweep.spec.sections import SweepSpec

#: The most points of a grid, whose order is drawn at once.
MAX_GRID_POINTS: Final = 1_000_000


def check_grid(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that a grid is finite, and that only a grid asks for `steps`."""
    is_grid = SAMPLERS[spec.sampler.kind].is_finite
    for path, domain in _ranges(spec):
        if is_grid and domain.n_values is None:
            yield Mistake(
                path, "must be finite for a grid", yaml_text(domain.to_json()), "add steps: 5, or list values"
            )
        elif not is_grid and domain.steps is not None:
            remedy = "write sampler: {kind: grid}, or use step"
            yield Mistake(f"{path}.steps", "belongs to grids", yaml_text(domain.steps), remedy)
    if not is_grid:
        return
    size = grid_size(spec.space, spec.default_params)
    if size is not None and size > MAX_GRID_POINTS:
        rule, got = f"must make at most {MAX_GRID_POINTS} points for a grid", f"{size}"
        yield Mistake("space", rule, got, "take fewer steps, or another sampler")
    if spec.enqueue:
        got = f"{len(spec.enqueue)} configurations"
        yield Mistake("enqueue", "cannot be combined with a grid, which tries every point", got, "remove it")


def _ranges(spec: SweepSpec) -> Iterator[tuple[str, Range]]:
    for name, domain in spec.space.items():
        for suffix, leaf in leaves(domain):
            for part, scalar in scalar_domains(leaf).items():
                if isinstance(scalar, Range):
                    yield f"space.{name}{suffix}{part}", scalar


def check_sampler(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that the sampler can sample the space."""
    kind, sampler = spec.sampler.kind, SAMPLERS[spec.sampler.kind]
    in_every_trial = [domain for domain in spec.space.values() if isinstance(domain, Leaf)]
    scalars = [scalar for domain in in_every_trial for scalar in scalar_domains(domain).values()]
    if sampler.needs_range and not any(isinstance(scalar, Range) and scalar.low < scalar.high for scalar in scalars):
        others = sampler_names(lambda sampler: not sampler.needs_range)
        rule = f"must be {others} unless some hyperparameter is a range of numbers in every trial"
        yield Mistake("sampler.kind", rule, yaml_text(kind), "search a range, or take tpe")
    if sampler.package is not None and importlib.util.find_spec(sampler.package) is None:
        remedy = f"pip install 'dnnsweep[{sampler.extra}]'"
        yield Mistake("sampler.kind", f"needs the package {sampler.package}", yaml_text(kind), remedy)


def check_population(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that only NSGA-II has a population."""
    population, kind = spec.sampler.population, spec.sampler.kind
    if population is not None and kind != "nsga2":
        remedy = "remove it, or write kind: nsga2"
        yield Mistake("sampler.population", f"belongs to nsga2, not to {kind}", yaml_text(population), remedy)


def check_enqueue_fits(spec: SweepSpec) -> Iterator[Mistake]:
    """Check that configurations to try first fit into the budget."""
    if len(spec.enqueue) > spec.budget.trials:
        got = f"{len(spec.enqueue)} with budget.trials={spec.budget.trials}"
        yield Mistake("enqueue", "must not hold more configurations than trials", got, "raise budget.trials")
