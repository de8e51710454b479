"""The section `pruner` of a sweep file: how trials that are worse than others are ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from dnnsweep.spec.base import Exponent, Natural, Positive, Section, Several

#: The settings of each kind, by Optuna's names and defaults; a null one follows from `training.epochs`.
SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "none": {},
    "median": {"n_startup_trials": 5, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1},
    "asha": {"min_resource": None, "reduction_factor": 4, "min_early_stopping_rate": 0, "bootstrap_count": 0},
    "hyperband": {"min_resource": 1, "max_resource": None, "reduction_factor": 3, "bootstrap_count": 0},
    "patient": {"patience": 5, "min_delta": 0.0, "wrapped": None},
}


class PrunerSpec(Section):
    """How trials that are worse than others are ended: by Optuna's pruners, whose steps and resources are epochs."""

    kind: Literal["none", "median", "asha", "hyperband", "patient"] = "none"
    n_startup_trials: Natural | None = Field(default=None, description="median: complete trials before any pruning")
    n_warmup_steps: Natural | None = Field(default=None, description="median: no trial is pruned before this epoch")
    interval_steps: Positive | None = Field(default=None, description="median: epochs between comparisons")
    n_min_trials: Positive | None = Field(
        default=None, description="median: complete trials that must have reached an epoch"
    )
    min_resource: Positive | None = Field(default=None, description="asha, hyperband: epochs of the first rung")
    max_resource: Positive | None = Field(default=None, description="hyperband: epochs of the last rung")
    reduction_factor: Several | None = Field(
        default=None, description="asha, hyperband: one in this many trials continues at a rung"
    )
    min_early_stopping_rate: Exponent | None = Field(default=None, description="asha: rungs to skip")
    bootstrap_count: Natural | None = Field(
        default=None, description="asha, hyperband: trials at a rung before one continues"
    )
    patience: Natural | None = Field(default=None, description="patient: epochs without improvement")
    min_delta: float | None = Field(
        default=None, ge=0, description="patient: smallest change that counts as an improvement"
    )
    wrapped: PrunerSpec | None = Field(
        default=None, description="patient: pruner that decides then; null: the trial is pruned"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, raw: Any) -> Any:
        """Fill in defaults, so that a file which spells one out is the same sweep."""
        if not isinstance(raw, Mapping) or not isinstance(raw.get("kind", "none"), str):
            return raw
        given = {name: value for name, value in raw.items() if value is not None}
        return {**SETTINGS.get(raw.get("kind", "none"), {}), **given}

    def settings(self) -> dict[str, Any]:
        """Return the kind and its settings."""
        values = {name: getattr(self, name) for name in SETTINGS[self.kind]}
        plain = {name: value.settings() if isinstance(value, PrunerSpec) else value for name, value in values.items()}
        return {"kind": self.kind, **plain}

    def foreign(self) -> list[str]:
        """Return the given settings that belong to other kinds."""
        names = (name for name in type(self).model_fields if name != "kind")
        return [name for name in names if getattr(self, name) is not None and name not in SETTINGS[self.kind]]
