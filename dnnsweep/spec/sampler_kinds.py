"""The samplers that a sweep file can name, and what each can handle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class SamplerKind:
    """What the rules of a sweep file must know of a sampler.

    Args:
        max_objectives: The most objectives that it can handle.
        is_finite: Whether it tries every point of a finite search space.
        needs_range: Whether some hyperparameter must be a range of numbers in every trial.
        package: Importable package that it needs beside dnnsweep's own dependencies; None if there is none.
        extra: Extra of dnnsweep that installs the package.
    """

    max_objectives: int = 2
    is_finite: bool = False
    needs_range: bool = False
    package: str | None = None
    extra: str | None = None


#: Name in the sweep file -> what it can handle. A line here and a line in `study.samplers` add a sampler.
SAMPLERS: Final[Mapping[str, SamplerKind]] = {
    "tpe": SamplerKind(),
    "random": SamplerKind(),
    "grid": SamplerKind(is_finite=True),
    "qmc": SamplerKind(),
    "cmaes": SamplerKind(max_objectives=1, needs_range=True),
    "nsga2": SamplerKind(),
    "gp": SamplerKind(package="torch", extra="gp"),
}

if TYPE_CHECKING:
    SamplerName: TypeAlias = str
else:
    SamplerName = Literal[tuple(SAMPLERS)]


def sampler_names(is_allowed: Callable[[SamplerKind], bool]) -> str:
    """Return the names of some samplers in words.

    Args:
        is_allowed: Whether to name a sampler.

    Example:
        >>> sampler_names(lambda sampler: sampler.is_finite or sampler.needs_range)
        'grid or cmaes'
    """
    *first, last = (name for name, sampler in SAMPLERS.items() if is_allowed(sampler))
    return f"{', '.join(first)} or {last}" if first else last
