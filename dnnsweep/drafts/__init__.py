"""Drafts: sweep files that are written after a look at the data, with a reason for each choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from dnnsweep import spec
from dnnsweep.datasets import Dataset, load
from dnnsweep.datasets.profiles import ColumnProfile
from dnnsweep.drafts.dataset_section import AskTarget, see_rows
from dnnsweep.drafts.search_choices import DataFacts, choose_metric, search_entries, weight_entries
from dnnsweep.drafts.source_choice import find_source, sweep_name
from dnnsweep.drafts.sweep_text import Block, Entry, document_of, text_of

__all__ = ["AskTarget", "Draft", "draft_name", "draft_sweep"]

#: Most classes whose shares are told.
MAX_LISTED: Final = 5


@dataclass(frozen=True, slots=True)
class Draft:
    """A sweep file that was written for some data.

    Args:
        name: Name of the sweep.
        text: The sweep file.
        notes: What was seen and decided, and why, a line each.
    """

    name: str
    text: str
    notes: tuple[str, ...]


def draft_name(typed: str) -> str:
    """Return the name that the draft for a source gets.

    Raises:
        SpecError: There is no such kind of source, data set or file.
    """
    return sweep_name(find_source(typed))


def draft_sweep(typed: str, target: str | None = None, ask: AskTarget | None = None) -> Draft:
    """Look at data and write a sweep file for them.

    Args:
        typed: A source as a sweep file names it, or the path of a file.
        target: The column to predict; None asks for it, or guesses.
        ask: Asks a person for the target of a table; None where nobody can be asked.

    Raises:
        SpecError: The data cannot be read, or cannot be swept as they are.
    """
    source = find_source(typed)
    seen = see_rows(source, target, ask)
    rows = spec.check({"name": "draft", "dataset": document_of(seen.entries)}).dataset
    facts = _facts(load(rows, "auto" if seen.task is None else seen.task.value), seen.target)
    name = sweep_name(source)
    entries = (
        Entry("name", name),
        Entry("description", f"Which training techniques {seen.predicted}? The rows come from {typed}."),
        Entry("task", facts.task.value, seen.task_reason),
        Entry("dataset", Block((*seen.entries, *weight_entries(facts)))),
        *search_entries(facts),
    )
    header = (f"Written by `dnnsweep init` for {typed}: {seen.shape}. Change whatever you like.",)
    text = text_of(header, entries)
    assert spec.read(text, name) == spec.check(document_of(entries))  # noqa: S101  comments change nothing
    return Draft(name, text, (*seen.notes, *_search_notes(facts, seen.task_reason)))


def _facts(dataset: Dataset, target: ColumnProfile) -> DataFacts:
    summary = dataset.summary
    labels = np.concatenate([dataset.y_train, dataset.y_validation, dataset.y_test])
    counts: list[int] = np.bincount(labels).tolist() if summary.classes else []
    return DataFacts(
        task=summary.task,
        shares={label: count / len(labels) for label, count in zip(summary.classes, counts, strict=True)},
        is_validated=len(np.unique(dataset.y_validation)) == len(summary.classes),
        skewness=target.skewness,
        n_train=summary.n_train,
        n_features=summary.n_features,
    )


def _search_notes(facts: DataFacts, why: str) -> list[str]:
    shares = sorted(facts.shares.items(), key=lambda pair: -pair[1])
    listed = ", ".join(f"{label} {share:.1%}" for label, share in shares[:MAX_LISTED])
    more = f" and {len(shares) - MAX_LISTED} more" if len(shares) > MAX_LISTED else ""
    metric, reason = choose_metric(facts)
    return [
        f"task: {facts.task.value}{f', {listed}{more}' if listed else ''}{f'; {why}' if why else ''}",
        f"metric: {metric}, {reason}",
        *(["classes are weighted, so that rare ones count as much as frequent ones"] if facts.is_imbalanced else []),
    ]
