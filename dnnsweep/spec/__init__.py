"""The sweep file: read, checked as a whole, frozen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dnnsweep.errors import Mistake, SpecError
from dnnsweep.records import Task
from dnnsweep.space import grid_size, yaml_text
from dnnsweep.spec import documents, mistakes, rules, schema
from dnnsweep.spec.dataset import BALANCED, HANDED_OVER, DatasetSpec
from dnnsweep.spec.pruner import PrunerSpec
from dnnsweep.spec.rules.data import KERAS, SKLEARN
from dnnsweep.spec.sections import (
    BudgetSpec,
    NetworkSpec,
    ObjectiveSpec,
    ResourcesSpec,
    SamplerSpec,
    SweepSpec,
    TrainerSpec,
)
from dnnsweep.spec.training import METRICS, EarlyStoppingSpec, PlateauSpec, TrainingSpec

__all__ = [
    "BALANCED",
    "HANDED_OVER",
    "KERAS",
    "METRICS",
    "SKLEARN",
    "BudgetSpec",
    "DatasetSpec",
    "EarlyStoppingSpec",
    "NetworkSpec",
    "ObjectiveSpec",
    "PlateauSpec",
    "PrunerSpec",
    "ResourcesSpec",
    "SamplerSpec",
    "SweepSpec",
    "TrainerSpec",
    "TrainingSpec",
    "check",
    "check_task",
    "difference",
    "json_schema",
    "load",
    "load_named",
    "read",
]


def json_schema() -> dict[str, Any]:
    """Return the sweep file's JSON Schema."""
    whole = SweepSpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, **schema.own_names()}


def load(source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] = ()) -> SweepSpec:
    """Read and check a sweep file.

    Args:
        source: A YAML file, or its content as mappings, lists and scalars.
        overrides: `path=value` strings that replace parts of it, checked in the same way.

    Raises:
        SpecError: Anything is wrong; carries every mistake.
    """
    if isinstance(source, Mapping):
        document, found = documents.plain(source)
    else:
        document, found = documents.scan(documents.text_of(Path(source)), str(source))
    document, misplaced = documents.overridden(document, overrides)
    return _checked(document, [*found, *misplaced])


def load_named(source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] = ()) -> SweepSpec:
    """Read and check a sweep file as `load` does; it must name its data.

    Raises:
        SpecError: Anything is wrong; carries every mistake.
    """
    spec = load(source, overrides)
    if spec.dataset.source == HANDED_OVER:
        remedy = "call dnnsweep.run(spec, data=(x, y)), or name a source"
        raise SpecError([Mistake("dataset.source", "arrays are handed over in Python", "", remedy)])
    return spec


def read(text: str, where: str) -> SweepSpec:
    """Read and check the text of a sweep file.

    Args:
        text: In YAML.
        where: Its name, for errors.

    Raises:
        SpecError: Anything is wrong; carries every mistake.
    """
    document, found = documents.scan(text, where)
    return _checked(document, found)


def check(document: Any) -> SweepSpec:
    """Check a sweep file that was read already.

    Args:
        document: Mappings, lists or tuples, and scalars.

    Raises:
        SpecError: Anything is wrong; carries every mistake.
    """
    return _checked(document, [])


def _checked(document: Any, known: Sequence[Mistake]) -> SweepSpec:
    if not isinstance(document, Mapping):
        rule = "must be a mapping of sections"
        raise SpecError([*known, Mistake("sweep file", rule, yaml_text(document), "begin with `name:`")])
    plain, odd = documents.plain(document)
    spec, wrong, places = _model(plain)
    found = [*known, *odd, *wrong, *rules.broken(plain, places)]
    if found or spec is None:
        raise SpecError(dict.fromkeys(found))
    return _limited(spec)


def _limited(spec: SweepSpec) -> SweepSpec:
    """Lower the budget of a grid to its points."""
    size = grid_size(spec.space, spec.default_params) if spec.sampler.kind == "grid" else None
    if size is None or size >= spec.budget.trials:
        return spec
    return spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": size})})


def _model(plain: Any) -> tuple[SweepSpec | None, list[Mistake], list[mistakes.Location]]:
    try:
        return SweepSpec.model_validate(plain), [], []
    except ValidationError as error:
        return None, *mistakes.translate(error)


def check_task(spec: SweepSpec, task: Task) -> None:
    """Check the metrics that a sweep file names against the task of its data.

    Raises:
        SpecError: A metric is not computed for this task.
    """
    unmeasured = rules.unmeasured(spec, task)
    if unmeasured:
        raise SpecError(unmeasured)


def difference(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """List what differs between two plain sweep files, a line for each path.

    Example:
        >>> difference({"seed": 0, "name": "a"}, {"seed": 1, "name": "a"})
        ['seed: was 0, is 1']
    """
    lines: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        where = f"{path}.{key}" if path else str(key)
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += difference(before, after, where)
        elif before != after:
            lines.append(f"{where}: was {yaml_text(before)}, is {yaml_text(after)}")
    return lines
