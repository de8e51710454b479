"""The source of a draft: what a person typed, as a sweep file names it, and a name for the sweep."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Final

from dnnsweep import spec
from dnnsweep.errors import Mistake, SpecError
from dnnsweep.records.sweeps import MAX_NAME_LENGTH
from dnnsweep.space import closest_name, yaml_text
from dnnsweep.spec.shorthands import expand
from dnnsweep.spec.source_kinds import FILE_ENDINGS, KINDS, TABLES

#: Endings of files that are tables but not known to sweep files by their ending, and those that have to be converted.
_TEXT_ENDINGS: Final = (".tsv", ".txt", ".data", ".tab")
_OFFICE_ENDINGS: Final = (".xlsx", ".xls", ".ods", ".json", ".jsonl", ".feather", ".sqlite", ".db")


def find_source(typed: str) -> str:
    """Return the source that a person means, as `dataset.source` names it.

    Args:
        typed: A source with its kind, or the path of a file.

    Raises:
        SpecError: There is no such kind of source, data set or file.
    """
    lower = typed.lower()
    if lower.endswith(_OFFICE_ENDINGS) and typed.partition(":")[0] not in KINDS:
        rule, remedy = "must be a CSV, parquet or npz file", "save the table as CSV"
        raise SpecError([Mistake("SOURCE", rule, yaml_text(typed), remedy)])
    has_text = lower.endswith(_TEXT_ENDINGS) and typed.partition(":")[0] not in KINDS
    source = f"csv:{typed}" if has_text else str(expand({"dataset": typed})["dataset"]["source"])
    kind, _, name = source.partition(":")
    _check_source(source, kind)
    if kind in spec.FILES:
        _check_file(name)
    return source


def _check_source(source: str, kind: str) -> None:
    if kind == "arrays":
        remedy = "call dnnsweep.run(spec, data=(x, y)), or name a file"
        raise SpecError([Mistake("SOURCE", "arrays can only be passed in Python", yaml_text(source), remedy)])
    try:
        spec.check({"name": "draft", "dataset": {"source": source, **({"target": "?"} if kind in TABLES else {})}})
    except SpecError as error:
        wrong = (Mistake("SOURCE", mistake.rule, mistake.got, mistake.remedy) for mistake in error.mistakes)
        raise SpecError(wrong) from None


def _check_file(name: str) -> None:
    path = Path(name).expanduser()
    try:
        if path.is_file():
            return
        meant = closest_name(path.name, [file.name for file in path.parent.iterdir() if file.is_file()])
    except (OSError, ValueError):
        meant = None
    remedy = f"did you mean {path.parent / meant}?" if meant else "check the path"
    got = f"the folder {yaml_text(name)}" if path.is_dir() else yaml_text(name)
    raise SpecError([Mistake("SOURCE", "must be a file that exists", got, remedy)])


def tables_in(folder: Path) -> list[str]:
    """Return the names of the files of rows in a folder."""
    endings = (*FILE_ENDINGS, *_TEXT_ENDINGS[:1])
    try:
        return sorted(file.name for file in folder.iterdir() if file.name.lower().endswith(endings))
    except OSError:
        return []


def sweep_name(source: str) -> str:
    """Return a name for a sweep of a source.

    Example:
        >>> [sweep_name(source) for source in ("csv:data/Kunden 2024.csv.gz", "sklearn:wine", "python:loaders:visits")]
        ['Kunden_2024', 'wine', 'visits']
    """
    kind, _, name = source.partition(":")
    if kind in spec.FILES:
        name = Path(name).name
        endings = [ending for ending in (*FILE_ENDINGS, *_TEXT_ENDINGS) if name.lower().endswith(ending)]
        name = name[: len(name) - len(max(endings, key=len))] if endings else Path(name).stem
    else:
        name = name.rpartition(":")[2]
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "_", ascii_name).strip("_-")[:MAX_NAME_LENGTH] or "sweep"
