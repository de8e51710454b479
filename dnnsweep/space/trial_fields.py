"""What a trial can be asked for beside its hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from dnnsweep.records import FindingCode, Reason, State
from dnnsweep.space.knobs import Knob

#: Fields of a trial that a condition may name. No hyperparameter of a builder may have one of these names.
TRIAL_FIELDS: Final[Mapping[str, Knob]] = MappingProxyType(
    {
        "number": Knob("number", "integer"),
        "value": Knob("value", "real"),
        "value_2": Knob("value_2", "real"),
        "state": Knob("state", "choice", choices=tuple(State)),
        "reason": Knob("reason", "choice", choices=tuple(Reason)),
        "epochs": Knob("epochs", "integer"),
        "best_epoch": Knob("best_epoch", "integer"),
        "seconds": Knob("seconds", "real"),
        "attempts": Knob("attempts", "integer"),
        "seed": Knob("seed", "integer"),
        "findings": Knob("findings", "codes", choices=tuple(FindingCode)),
    }
)
