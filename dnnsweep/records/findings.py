"""What is wrong with a training, as a record: a code, the evidence for it, and what may help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self


class FindingCode(StrEnum):
    """The diagnoses, each with the rule in `dnnsweep.diagnoses` that makes it."""

    VANISHING_GRADIENT = "vanishing_gradient"
    EXPLODING_GRADIENT = "exploding_gradient"
    DEAD_UNITS = "dead_units"
    SATURATED_UNITS = "saturated_units"
    POOR_INITIALIZATION = "poor_initialization"
    UPDATE_RATIO = "update_ratio"
    OVERFITTING = "overfitting"
    UNDERFITTING = "underfitting"
    STOPPED_TOO_EARLY = "stopped_too_early"
    UNSTABLE = "unstable"
    DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class Finding:
    """One diagnosis of a trial with its evidence.

    Args:
        code: The diagnosis.
        number: Number of the trial.
        layer: The layer in which it shows; None where it is about the whole network.
        epoch: The first epoch in which it shows, from 1.
        value: The number that was measured; None where it was not finite.
        threshold: The number that it was compared with; None where there is none.
        sentence: Sentence that says what was found.
        advice: Changes of hyperparameters that may help, the most promising one first. Each can be tried on its own.
    """

    code: FindingCode
    number: int
    layer: str | None
    epoch: int
    value: float | None
    threshold: float | None
    sentence: str
    advice: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain JSON."""
        advice = [
            {name: list(v) if isinstance(v, tuple) else v for name, v in change.items()} for change in self.advice
        ]
        return {**asdict(self), "code": self.code.value, "advice": advice}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Return the finding that `to_json` made JSON of."""
        fields = {name: plain[name] for name in cls.__slots__}
        return cls(**{**fields, "code": FindingCode(plain["code"]), "advice": tuple(plain["advice"])})
