"""The operator's policy: which data, code and sizes a sweep sent over the network may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from dnnsweep.confined_files import real_path_below
from dnnsweep.errors import Mistake, SpecError
from dnnsweep.settings import Limits
from dnnsweep.space import yaml_text
from dnnsweep.spec import BUILT_IN, FILES, HANDED_OVER, SweepSpec

_SOURCE: Final = "dataset.source"
#: Hyperparameters that say how many units a layer has.
_WIDTHS: Final = ("hidden", "units")


def check(spec: SweepSpec, limits: Limits) -> None:
    """Check a sweep against what the operator allows.

    Raises:
        SpecError: The sweep asks for more; the error holds every mistake.
    """
    mistakes = [*_check_source(spec, limits), *_check_builder(spec, limits), *_check_sizes(spec, limits)]
    if mistakes:
        raise SpecError(mistakes)


def check_rows(n_rows: int, limits: Limits) -> None:
    """Check the number of rows of a sweep's data.

    Raises:
        SpecError: The data have more rows than the operator allows.
    """
    if n_rows > limits.max_rows:
        raise SpecError([_too_much(_SOURCE, limits.max_rows, n_rows, " rows")])


def _check_source(spec: SweepSpec, limits: Limits) -> Iterator[Mistake]:
    source = spec.dataset.source
    kind, _, name = source.partition(":")
    if kind in FILES:
        yield from _check_file(source, name, limits.data_root)
    elif source == HANDED_OVER:
        yield Mistake(_SOURCE, "arrays can only be passed in Python", "", "name a source")
    elif kind not in BUILT_IN and not _is_allowed(source, limits):
        yield _forbidden(_SOURCE, source)


def _check_file(source: str, name: str, root: Path | None) -> Iterator[Mistake]:
    """Check that a file exists below the data folder once links are followed; reveal nothing about others.

    This tells mistakes early. What is trained on is checked where it is opened (`datasets.files`).
    """
    if root is None:
        remedy = "name sklearn:NAME or keras:NAME, or ask the operator to set DNNSWEEP_DATA_ROOT"
        yield Mistake(_SOURCE, "files need a data folder, and this service has none", yaml_text(source), remedy)
        return
    try:
        path = root / real_path_below(root, name)
    except FileNotFoundError:
        remedy = "write its path from there"
        yield Mistake(_SOURCE, "must be a file below the service's data folder", yaml_text(source), remedy)
        return
    if not os.path.isfile(path):  # noqa: PTH113  pathlib's raises where a name is too long
        rule = "must be a file that exists below the service's data folder"
        yield Mistake(_SOURCE, rule, yaml_text(source), "check the path; relative paths start there")


def _check_builder(spec: SweepSpec, limits: Limits) -> Iterator[Mistake]:
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


def _check_sizes(spec: SweepSpec, limits: Limits) -> Iterator[Mistake]:
    asked: dict[str, tuple[float, int]] = {
        "budget.trials": (spec.budget.trials, limits.max_trials),
        "training.epochs": (spec.training.epochs, limits.max_epochs),
    }
    plain = spec.to_json()
    sections: dict[str, Mapping[str, Any]] = {name: plain[name] for name in ("network", "space", "fixed")}
    sections |= {f"enqueue.{index}": entry for index, entry in enumerate(plain["enqueue"])}
    for section, values in sections.items():
        asked |= {f"{section}.{name}": (_largest(values[name]), limits.max_units) for name in _WIDTHS if name in values}
    for path, (got, maximum) in asked.items():
        if got > maximum:
            yield _too_much(path, maximum, got)


def _largest(plain: Any) -> float:
    """Return the largest number in lists and mappings."""
    if isinstance(plain, Mapping):
        return max(map(_largest, plain.values()), default=0)
    if isinstance(plain, list):
        return max(map(_largest, plain), default=0)
    return plain if isinstance(plain, int | float) and not isinstance(plain, bool) else 0


def _too_much(path: str, maximum: int, got: float, unit: str = "") -> Mistake:
    rule = f"must be at most {maximum}{unit} on this service"
    return Mistake(path, rule, f"{got:.15g}{unit}", "lower it, or ask the operator for more")
