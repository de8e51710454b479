"""Short forms of sections, such as `sampler: random`, and their long forms, which are the same sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dnnsweep.spec.source_kinds import FILE_ENDINGS, KINDS

#: Section -> the key that a single value stands for.
KEYS: Final[Mapping[str, str]] = {
    "dataset": "source",
    "objective": "metric",
    "sampler": "kind",
    "pruner": "kind",
    "trainer": "kind",
}
#: Section -> the key that a single number stands for.
NUMBER_KEYS: Final[Mapping[str, str]] = {"budget": "trials"}


def expand(document: Any) -> Any:
    """Return a sweep file's plain content with long forms in place of short ones; whatever is wrong stays as it is.

    Example:
        >>> expand({"sampler": "random", "dataset": "churn.csv", "budget": 50})
        {'sampler': {'kind': 'random'}, 'dataset': {'source': 'csv:churn.csv'}, 'budget': {'trials': 50}}
    """
    if not isinstance(document, Mapping):
        return document
    return {name: _expand_section(name, content) for name, content in document.items()}


def _expand_section(name: str, content: Any) -> Any:
    if name == "objective" and isinstance(content, list | tuple):
        return [_expand_value(name, item) for item in content]
    section = _expand_value(name, content)
    if not isinstance(section, Mapping):
        return section
    if name == "dataset" and isinstance(section.get("source"), str):
        return {**section, "source": _with_kind(section["source"])}
    if name == "pruner" and isinstance(section.get("wrapped"), str | Mapping):
        return {**section, "wrapped": _expand_section(name, section["wrapped"])}
    return section


def _expand_value(name: str, content: Any) -> Any:
    if isinstance(content, str) and name in KEYS:
        return {KEYS[name]: content}
    if isinstance(content, int | float) and not isinstance(content, bool) and name in NUMBER_KEYS:
        return {NUMBER_KEYS[name]: content}
    return content


def _with_kind(source: str) -> str:
    """Return a source with its kind, which the ending of a file's name says."""
    if source.partition(":")[0] in KINDS:
        return source
    endings = (kind for ending, kind in FILE_ENDINGS.items() if source.lower().endswith(ending))
    kind = next(endings, None)
    return source if kind is None else f"{kind}:{source}"
