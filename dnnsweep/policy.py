"""What a sweep that comes over the network may ask for: the operator's data, code and limits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from dnnsweep.errors import Mistake, SpecError
from dnnsweep.settings import Limits
from dnnsweep.space import yaml_text
from dnnsweep.spec import HANDED_OVER, SweepSpec

_SOURCE: Final = "dataset.source"
_FILES: Final = ("csv", "parquet", "npz")
_SHELVES: Final = ("sklearn", "keras")
#: Hyperparameters that say how many units a layer has.
_WIDTHS: Final = ("hidden", "units")


def check(spec: SweepSpec, limits: Limits) -> None:
    """Check a sweep against what the operator allows.

    Raises:
        SpecError: It asks for more; carries every mistake.
    """
    found = [*_source(spec, limits), *_builder(spec, limits), *_sizes(spec, limits)]
    if found:
        raise SpecError(found)


def check_rows(n_rows: int, limits: Limits) -> None:
    """Check how many rows a sweep's data have.

    Raises:
        SpecError: More than the operator allows.
    """
    if n_rows > limits.max_rows:
        raise SpecError([_too_much(_SOURCE, limits.max_rows, n_rows, " rows")])


def with_real_paths(spec: SweepSpec, limits: Limits) -> dict[str, Any]:
    """Return a checked sweep file as plain JSON whose source, where it is a file, is that file's real path."""
    plain = spec.to_json()
    kind, _, name = spec.dataset.source.partition(":")
    if kind in _FILES and limits.data_root is not None:
        path = os.path.realpath(limits.data_root / name)
        plain["dataset"] = {**plain["dataset"], "source": f"{kind}:{path}"}
    return plain


def hide_data_root(text: str, limits: Limits) -> str:
    """Return a text in which files of the data folder are named by their paths from there."""
    return text if limits.data_root is None else text.replace(f"{os.path.realpath(limits.data_root)}{os.sep}", "")


def _source(spec: SweepSpec, limits: Limits) -> Iterator[Mistake]:
    source = spec.dataset.source
    kind, _, name = source.partition(":")
    if kind in _FILES:
        yield from _file(source, name, limits.data_root)
    elif source == HANDED_OVER:
        yield Mistake(_SOURCE, "arrays are handed over in Python", "", "name a source")
    elif kind not in _SHELVES and not _is_allowed(source, limits):
        yield _forbidden(_SOURCE, source)


def _file(source: str, name: str, root: Path | None) -> Iterator[Mistake]:
    """A file must exist below the data folder once every symbolic link is followed; of others nothing is said."""
    if root is None:
        remedy = "name sklearn:NAME or keras:NAME, or ask the operator to set DNNSWEEP_DATA_ROOT"
        yield Mistake(_SOURCE, "files need a data folder of the service, which has none", yaml_text(source), remedy)
        return
    path, folder = Path(os.path.realpath(root / name)), Path(os.path.realpath(root))
    if not path.is_relative_to(folder):
        remedy = "write its path from there"
        yield Mistake(_SOURCE, "must be a file below the service's data folder", yaml_text(source), remedy)
    elif not os.path.isfile(path):  # noqa: PTH113  pathlib's raises where a name is too long
        rule = "must be a file that exists below the service's data folder"
        yield Mistake(_SOURCE, rule, yaml_text(source), "check the path; relative paths start there")


def _builder(spec: SweepSpec, limits: Limits) -> Iterator[Mistake]:
    builder = spec.network.builder
    if builder is not None and not _is_allowed(builder, limits):
        yield _forbidden("network.builder", builder)


def _is_allowed(function: str, limits: Limits) -> bool:
    """Return whether a function, `python:module:function`, or its whole module is on the operator's list."""
    name = function.removeprefix("python:")
    return function.startswith("python:") and not {name, name.partition(":")[0]}.isdisjoint(limits.allowed_python)


def _forbidden(path: str, function: str) -> Mistake:
    rule = "must be a function that the service's operator allows"
    return Mistake(path, rule, yaml_text(function), "ask the operator to list it in DNNSWEEP_ALLOWED_PYTHON")


def _sizes(spec: SweepSpec, limits: Limits) -> Iterator[Mistake]:
    asked: dict[str, tuple[float, int]] = {
        "budget.trials": (spec.budget.trials, limits.max_trials),
        "training.epochs": (spec.training.epochs, limits.max_epochs),
    }
    plain = spec.to_json()
    places: dict[str, Mapping[str, Any]] = {name: plain[name] for name in ("network", "space", "fixed")}
    places |= {f"enqueue.{index}": entry for index, entry in enumerate(plain["enqueue"])}
    for place, values in places.items():
        asked |= {f"{place}.{name}": (_largest(values[name]), limits.max_units) for name in _WIDTHS if name in values}
    for path, (got, most) in asked.items():
        if got > most:
            yield _too_much(path, most, got)


def _largest(plain: Any) -> float:
    """Return the largest number in lists and mappings."""
    if isinstance(plain, Mapping):
        return max(map(_largest, plain.values()), default=0)
    if isinstance(plain, list):
        return max(map(_largest, plain), default=0)
    return plain if isinstance(plain, int | float) and not isinstance(plain, bool) else 0


def _too_much(path: str, most: int, got: float, unit: str = "") -> Mistake:
    rule = f"must be at most {most}{unit} on this service"
    return Mistake(path, rule, f"{got:.15g}{unit}", "lower it, or ask the operator for more")
