"""What records are as JSON, for the OpenAPI document."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import field, fields, make_dataclass
from types import GenericAlias
from typing import Any, Final, get_type_hints

from dnnsweep.answers.answer import Answer
from dnnsweep.records import SWEEP_COLUMNS, TRIAL_COLUMNS, Sweep, Trial


def json_record(record: type[Any], names: Sequence[str]) -> type[Any]:
    """Return a dataclass with the keys that a record's JSON has: some of its fields and of its properties.

    Args:
        record: A dataclass.
        names: The keys in their order.
    """
    hints = get_type_hints(record)
    defaults = {item.name: item.default for item in fields(record)}
    keys = [
        (name, hints[name], field(default=defaults[name]))
        if name in hints
        else (name, get_type_hints(getattr(record, name).fget)["return"])
        for name in names
    ]
    return make_dataclass(record.__name__, keys, kw_only=True, namespace={"__doc__": inspect.getdoc(record)})


SWEEP: Final = json_record(Sweep, SWEEP_COLUMNS)
SWEEPS: Final = GenericAlias(list, SWEEP)
TRIAL: Final = json_record(Trial, TRIAL_COLUMNS)
TRIALS: Final = GenericAlias(list, TRIAL)
ANSWER: Final = Answer
