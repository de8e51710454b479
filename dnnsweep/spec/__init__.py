"""The sweep file: read, checked as a whole, frozen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from dnnsweep.errors import Mistake, SpecError
from dnnsweep.records import Task
from dnnsweep.space import grid_size, yaml_text
from dnnsweep.spec import documents, mistakes, rules, schema, shorthands
from dnnsweep.spec.dataset import BALANCED, BUILT_IN, FILES, HANDED_OVER, DatasetSpec
from dnnsweep.spec.default_space import DEFAULT_SPACE, fill_space, search_notes
from dnnsweep.spec.pruner import PrunerSpec
from dnnsweep.spec.repetition import ConfirmSpec, EffectsSpec
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
    "BUILT_IN",
    "DEFAULT_SPACE",
    "FILES",
    "HANDED_OVER",
    "KERAS",
    "METRICS",
    "SKLEARN",
    "BudgetSpec",
    "ConfirmSpec",
    "DatasetSpec",
    "EarlyStoppingSpec",
    "EffectsSpec",
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
    "check_measurable",
    "check_task",
    "difference",
    "json_schema",
    "load",
    "load_named",
    "read",
    "search_notes",
]


#: Section's class -> the key that a single value stands for.
_SHORT_FORMS: Final = {
    DatasetSpec.__name__: "source",
    ObjectiveSpec.__name__: "metric",
    SamplerSpec.__name__: "kind",
    PrunerSpec.__name__: "kind",
    TrainerSpec.__name__: "kind",
    BudgetSpec.__name__: "trials",
}


def json_schema() -> dict[str, Any]:
    """Return the sweep file's JSON Schema."""
    sweep_file = schema.with_short_forms(SweepSpec.model_json_schema(), _SHORT_FORMS)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **sweep_file, **schema.builder_names()}


def load(source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] = ()) -> SweepSpec:
    """Read and check a sweep file.

    Args:
        source: Path of a YAML file, or its content as mappings, lists and scalars.
        overrides: `path=value` strings that override parts of the file, and are checked like it.

    Raises:
        SpecError: The file is wrong; the error holds every mistake.
    """
    if isinstance(source, Mapping):
        document, unreadable = documents.plain(source)
    else:
        document, unreadable = documents.scan(documents.text_of(Path(source)), str(source))
    document, misplaced = documents.overridden(shorthands.expand(document), overrides)
    return _check(document, [*unreadable, *misplaced])


def load_named(source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] = ()) -> SweepSpec:
    """Read and check a sweep file as `load` does, but insist that it names its data.

    Raises:
        SpecError: The file is wrong; the error holds every mistake.
    """
    spec = load(source, overrides)
    if spec.dataset.source == HANDED_OVER:
        remedy = "call dnnsweep.run(spec, data=(x, y)), or name a source"
        raise SpecError([Mistake("dataset.source", "arrays can only be passed in Python", "", remedy)])
    return spec


def read(text: str, where: str) -> SweepSpec:
    """Read and check the text of a sweep file.

    Args:
        text: YAML text of the file.
        where: Name of the file in error messages.

    Raises:
        SpecError: The file is wrong; the error holds every mistake.
    """
    document, unreadable = documents.scan(text, where)
    return _check(document, unreadable)


def check(document: Any) -> SweepSpec:
    """Check the content of a sweep file.

    Args:
        document: Content as mappings, lists or tuples, and scalars.

    Raises:
        SpecError: The file is wrong; the error holds every mistake.
    """
    return _check(document, [])


def _check(document: Any, earlier: Sequence[Mistake]) -> SweepSpec:
    if not isinstance(document, Mapping):
        rule = "must be a mapping of sections"
        raise SpecError([*earlier, Mistake("sweep file", rule, yaml_text(document), "begin with `name:`")])
    plain, unreadable = documents.plain(document)
    plain = fill_space(shorthands.expand(plain))
    spec, invalid, locations = _validate(plain)
    mistakes_found = [*earlier, *unreadable, *invalid, *rules.broken_rules(plain, locations)]
    if mistakes_found or spec is None:
        raise SpecError(dict.fromkeys(mistakes_found))
    return _limit_to_grid(spec)


def _limit_to_grid(spec: SweepSpec) -> SweepSpec:
    """Lower the budget of a grid to the number of its points."""
    size = grid_size(spec.space, spec.default_params) if spec.sampler.kind == "grid" else None
    if size is None or size >= spec.budget.trials:
        return spec
    return spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": size})})


def _validate(plain: Any) -> tuple[SweepSpec | None, list[Mistake], list[mistakes.Location]]:
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


def check_measurable(spec: SweepSpec, undefined: Mapping[str, str]) -> None:
    """Check that each metric that trials are judged by has a value on the validation rows.

    Args:
        spec: The checked sweep file.
        undefined: Metrics that have no value -> what the validation rows hold.

    Raises:
        SpecError: An objective or a monitor has no value.
    """
    valueless = rules.valueless(spec, undefined)
    if valueless:
        raise SpecError(valueless)


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
