"""What a sweep answers after its budget: whether the winner is luck, and which hyperparameters made the difference."""

from __future__ import annotations

from pydantic import Field

from dnnsweep.spec.base import Section, Several


class ConfirmSpec(Section):
    """How the best configurations are repeated to tell luck from merit."""

    top: Several = Field(default=8, description="best trials that are repeated, beside the baseline")
    blocks: Several = Field(default=30, description="the most repeats of a configuration; three are always run")
    budget: float = Field(
        default=0.25,
        ge=0,
        le=100,
        description="epochs of the repeats after the third, as a share of the trials' epochs",
    )


class EffectsSpec(Section):
    """How the effect of each hyperparameter between baseline and winner is measured."""

    blocks: Several = Field(default=10, description="repeats of each combination")
    budget: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="epochs of the repeats as a share of the trials' epochs; null: all combinations of up to six",
    )
