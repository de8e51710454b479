"""What a sweep file without `space` searches."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from dnnsweep.space import TRAINING_KNOBS, grid_size, parse_space
from dnnsweep.spec.sections import SweepSpec

#: The space of a file that has none. Each knob is searched unless the file fixes its value.
DEFAULT_SPACE: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "initializer": ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_normal"],
        "dropout": {"low": 0.0, "high": 0.5},
        "l2": {"low": 1.0e-6, "high": 1.0e-2, "log": True},
        "batch_norm": [True, False],
        "optimizer": ["momentum", "nesterov", "rmsprop", "adam", "adamw", "nadam"],
        "learning_rate": {"low": 1.0e-4, "high": 1.0e-1, "log": True},
    }
)


def fill_space(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a sweep file with a search space: its own, or the default one.

    A builder's network is only known to have what training needs, so nothing else is searched for it. A grid tries the
    values that it is given, so there is no default for it.

    Args:
        document: The file as plain data.

    Example:
        >>> list(fill_space({"name": "a", "fixed": {"dropout": 0.1, "l2": 0.0}})["space"])
        ['initializer', 'batch_norm', 'optimizer', 'learning_rate']
        >>> fill_space({"name": "a", "space": {}})["space"]
        {}
    """
    if "space" in document or _part(document, "sampler").get("kind") == "grid":
        return document
    return {**document, "space": default_space(document)}


def default_space(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a sweep file searches that has no space.

    Args:
        document: The file as plain data.
    """
    network = _part(document, "network")
    taken, has_builder = {*_part(document, "fixed"), *network}, bool(network.get("builder"))
    return {
        name: domain
        for name, domain in DEFAULT_SPACE.items()
        if name not in taken and (name in TRAINING_KNOBS or not has_builder)
    }


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    raw = document.get(name)
    return raw if isinstance(raw, Mapping) else {}


def search_notes(spec: SweepSpec) -> tuple[str, ...]:
    """Return what a person should know about the search of a sweep, one sentence each."""
    if not spec.space:
        return ("The sweep searches nothing. Its trials repeat one configuration, each with another seed.",)
    default = parse_space("space", default_space(spec.to_json()))[0]
    if spec.space == default and spec.sampler.kind != "grid":
        return (f"The sweep searches the default space: {', '.join(spec.space)}.",)
    return _repetition_notes(spec)


def _repetition_notes(spec: SweepSpec) -> tuple[str, ...]:
    """Say that a sampler will come to the same points again and again; a grid ends before it does."""
    size = None if spec.sampler.kind == "grid" else grid_size(spec.space, spec.default_params)
    if size is None or size >= spec.budget.trials:
        return ()
    points = f"{size} {'point' if size == 1 else 'points'}"
    repeated = f"The space has {points}, so {spec.budget.trials} trials repeat some of them, each with another seed."
    return (f"{repeated} `sampler: grid` tries each point once.",)
