"""The hyperparameters, every knob once, and the domains that a sweep searches."""

from dnnsweep.space.domains import Choice, Domain, Range, SearchSpace, grid_size
from dnnsweep.space.knobs import (
    ACTIVATIONS,
    INITIALIZERS,
    KNOBS,
    LAST_SHARE,
    MAX_LAYERS,
    MAX_UNITS,
    OPTIMIZERS,
    PLATEAU,
    SCHEDULES,
    Hyperparameters,
    Knob,
)
from dnnsweep.space.own import TRAINING_KNOBS, own_knobs
from dnnsweep.space.parsing import (
    MAX_GRID_VALUES,
    MAX_STEPS,
    parse_domain,
    parse_space,
    parse_value,
    parse_values,
    unknown,
)
from dnnsweep.space.words import ALIASES, closest, key_text, show, suggest, unquoted

__all__ = [
    "ACTIVATIONS",
    "ALIASES",
    "INITIALIZERS",
    "KNOBS",
    "LAST_SHARE",
    "MAX_GRID_VALUES",
    "MAX_LAYERS",
    "MAX_STEPS",
    "MAX_UNITS",
    "OPTIMIZERS",
    "PLATEAU",
    "SCHEDULES",
    "TRAINING_KNOBS",
    "Choice",
    "Domain",
    "Hyperparameters",
    "Knob",
    "Range",
    "SearchSpace",
    "closest",
    "grid_size",
    "key_text",
    "own_knobs",
    "parse_domain",
    "parse_space",
    "parse_value",
    "parse_values",
    "show",
    "suggest",
    "unknown",
    "unquoted",
]
