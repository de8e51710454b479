"""What a run of a sweep file would do, found out without storing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dnnsweep import user_functions
from dnnsweep.ledger import summary_json
from dnnsweep.records import DataSummary, Objective
from dnnsweep.space import sometimes_absent
from dnnsweep.spec import SweepSpec, search_notes
from dnnsweep.trainers import Job, TrainerPlan


@dataclass(frozen=True, slots=True)
class Outline:
    """What a run of a sweep file would do.

    Args:
        spec: The sweep file as plain JSON, with all defaults filled in.
        data: Summary of the data, which were loaded to make the outline.
        window: How many suggestions may be ahead of the results told to the sampler.
        objectives: One objective, or two.
        defaults: Values of the hyperparameters that are not searched.
        plan: How trials are trained, and why.
        otherwise: Values that conditional hyperparameters take where their conditions do not hold.
        search_notes: What a person should know about the search, one sentence each.
    """

    spec: Mapping[str, Any]
    data: DataSummary
    window: int
    objectives: tuple[Objective, ...]
    defaults: Mapping[str, Any]
    plan: TrainerPlan
    otherwise: Mapping[str, Any]
    search_notes: tuple[str, ...]

    @property
    def direction(self) -> str:
        """Return whether to `maximize` or to `minimize` the first objective."""
        return self.objectives[0].direction

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "spec": dict(self.spec),
            "data": summary_json(self.data),
            "window": self.window,
            "direction": self.direction,
            "trainer": {"kind": self.plan.kind, "slots": self.plan.slots, "device": self.plan.device},
            "fixed": {
                name: list(value) if isinstance(value, tuple) else value for name, value in self.defaults.items()
            },
        }


def outline(spec: SweepSpec) -> Outline:
    """Load the data of a sweep file and return what a run of it would do.

    Raises:
        DataError: The data cannot be used as the sweep file asks.
        SpecError: A metric is not computed for the data's task, or a function is one that trainers cannot import.
    """
    from dnnsweep.trainers.auto import AutoTrainer

    for path, name in {"network.builder": spec.network.builder, "dataset.source": spec.dataset.source}.items():
        if name is not None and name.startswith("python:"):
            user_functions.check_shared(name, path)
    ready = AutoTrainer(Job(spec.to_json())).open()
    defaults = spec.default_params
    return Outline(
        spec=spec.to_json(),
        data=ready.data,
        window=spec.window,
        objectives=spec.objectives,
        defaults={name: value for name, value in defaults.items() if name not in spec.space},
        plan=ready.plan,
        otherwise={name: defaults[name] for name in sometimes_absent(spec.space, defaults)},
        search_notes=search_notes(spec),
    )
