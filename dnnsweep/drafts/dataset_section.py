"""The section `dataset` of a draft: the rows as they were read, and what is done with their columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dnnsweep import spec
from dnnsweep.datasets.clean_columns import ColumnKind, clean_column
from dnnsweep.datasets.csv_forms import CsvForm
from dnnsweep.datasets.profiles import ColumnProfile, find_leaks, profile_column
from dnnsweep.datasets.sources import read, read_whole_table
from dnnsweep.drafts.column_choices import ColumnChoices, choose_columns
from dnnsweep.drafts.sweep_text import Entry, Item
from dnnsweep.drafts.target_choice import choose_task, find_target, guess_target
from dnnsweep.errors import Mistake, SpecError
from dnnsweep.records import Task
from dnnsweep.space import yaml_text

#: Asks a person for the target: takes the names of the columns and the probable target, and returns a name.
AskTarget = Callable[[Sequence[str], str], str]
#: Rows from which a smaller share of them is enough to validate and test on.
MANY_ROWS: Final = 50_000


@dataclass(frozen=True, slots=True)
class SeenRows:
    """What a look at the rows of a source found.

    Args:
        shape: Number of rows and columns, in words.
        target: Profile of the target.
        task: Task that the target makes; None where reading decides.
        task_reason: Why it is this task; empty if there is no other.
        predicted: What the sweep finds out, in words.
        entries: Keys of the section `dataset`.
        notes: What was seen and decided, a line each.
    """

    shape: str
    target: ColumnProfile
    task: Task | None
    task_reason: str
    predicted: str
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]


def see_rows(source: str, target: str | None, ask: AskTarget | None) -> SeenRows:
    """Look at the rows of a source.

    Args:
        source: The source as a sweep file names it.
        target: The column to predict; None asks for it, or guesses.
        ask: Asks a person for the target of a table; None where nobody can be asked.

    Raises:
        SpecError: The source cannot be read, or there is nothing to predict or to learn from.
    """
    table = read_whole_table(spec.DatasetSpec(source=source))
    return _see_arrays(source, target) if table is None else _see_table(source, *table, target, ask)


def _see_arrays(source: str, target: str | None) -> SeenRows:
    if target is not None:
        rule, remedy = "belongs to tables with named columns", "remove it"
        raise SpecError([Mistake("--target", rule, yaml_text(target), remedy)])
    rows = read(spec.DatasetSpec(source=source), None, None)
    profile = profile_column(rows.target, clean_column(rows.target, rows.y, is_target=True))
    # An array of bytes holds pixels, which share one range.
    is_image = isinstance(rows.x, np.ndarray) and rows.x.dtype == np.uint8
    entries = (
        Entry("source", source),
        *_share_entries(len(rows.y) - (rows.n_own_test or 0), rows.n_own_test),
        *([Entry("scale", "minmax", "pixels share one range")] if is_image else []),
    )
    shape = f"{len(rows.y):,} rows and {rows.x.shape[1]:,} columns"
    return SeenRows(shape, profile, *choose_task(profile), "suit these rows best", entries, (f"{source}: {shape}",))


def _see_table(source: str, frame: Any, form: CsvForm | None, target: str | None, ask: AskTarget | None) -> SeenRows:
    decimal = "." if form is None else form.decimal
    columns = {name: clean_column(name, frame[name], decimal) for name in frame}
    profiles = {name: profile_column(name, column) for name, column in columns.items()}
    name, found = _choose_target(profiles, target, ask)
    if profiles[name].kind is not ColumnKind.DATE:
        columns[name] = clean_column(name, frame[name], decimal, is_target=True)
        profiles[name] = profile_column(name, columns[name])
    task, reason = choose_task(profiles[name])
    leaks = find_leaks(columns, name, is_classified=task is not Task.REGRESSION)
    labels = set(columns[name].values.dropna()) if profiles[name].kind is ColumnKind.TEXT else set()
    choices = choose_columns(profiles, leaks, profiles[name], labels)
    shape = f"{len(frame):,} rows and {len(profiles):,} columns"
    entries = (
        Entry("source", source),
        *_form_entries(form),
        Entry("target", name),
        *_column_entries(choices),
        *_share_entries(len(frame), None),
    )
    notes = (f"{source}: {shape}", f"target: {name}{found}", *_column_notes(choices))
    return SeenRows(shape, profiles[name], task, reason, f"predict {name} best", entries, notes)


def _form_entries(form: CsvForm | None) -> list[Entry]:
    """Return how a CSV file is written, unless it is the usual way."""
    usual = CsvForm()
    named = ("separator", "decimal", "encoding")
    odd = (
        {} if form is None else {key: getattr(form, key) for key in named if getattr(form, key) != getattr(usual, key)}
    )
    return [Entry("csv", odd, "as found in the file")] if odd else []


def _choose_target(profiles: Mapping[str, ColumnProfile], target: str | None, ask: AskTarget | None) -> tuple[str, str]:
    """Return the target, and how it was found."""
    if target is not None:
        return find_target(target, list(profiles)), ""
    guessed, reason = guess_target(profiles)
    if ask is None:
        return guessed, f" (a guess: {reason}; --target names another column)"
    return find_target(ask(list(profiles), guessed), list(profiles)), ""


def _column_entries(choices: ColumnChoices) -> list[Entry]:
    entries = []
    if choices.dropped:
        entries.append(Entry("drop", tuple(Item(name, reason) for name, reason in choices.dropped.items())))
    for name in choices.groups[:1]:
        comment = "keeps all rows with one value together; take the column out of `drop` for it"
        entries.append(Entry("split", {"by": name}, comment, is_hint=True))
    if choices.dates:
        dates = dict(choices.dates) if any(choices.dates.values()) else list(choices.dates)
        entries.append(Entry("dates", dates, "become days, and month, weekday and hour where they vary"))
        comment = "learns from the past to predict the future; take the column out of `dates` for it"
        entries.append(Entry("split", {"order": next(iter(choices.dates))}, comment, is_hint=True))
    if choices.missing:
        comment = f"the usual words, and {choices.missing_reason}"
        entries.append(Entry("missing", list(choices.missing), comment))
    return entries


def _column_notes(choices: ColumnChoices) -> list[str]:
    dropped = [f"drop {name}: {reason}" for name, reason in choices.dropped.items()]
    dates = [f"dates: {', '.join(choices.dates)}"] if choices.dates else []
    missing = [f"missing values: {choices.missing_reason}"] if choices.missing else []
    return [*dropped, *dates, *missing, *(f"look at this: {warning}" for warning in choices.warnings)]


def _share_entries(n_rows: int, n_own_test: int | None) -> list[Entry]:
    share = 0.1 if n_rows > MANY_ROWS else 0.2
    validation = Entry("validation", share, "share of the rows that early stopping and the objective look at")
    if n_own_test is not None:
        return [validation]
    return [validation, Entry("test", share, "share of the rows that no choice ever sees")]
