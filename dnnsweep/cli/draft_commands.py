"""The command that writes a sweep file to start from: init."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from dnnsweep.cli.app import app
from dnnsweep.cli.standard_streams import say
from dnnsweep.cli.terminal import is_terminal
from dnnsweep.errors import DnnsweepError, ExportError

#: Stands for stdout where a file is named.
STDOUT: Final = "-"
#: Most columns that are listed before a person is asked for one.
MAX_LISTED: Final = 40


@app.command()
def init(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="Look at this table: a CSV, parquet or npz file, sklearn:NAME, keras:NAME or python:MODULE:FUNCTION.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", metavar="COLUMN", help="Predict this column.", show_default="asked for, or guessed and said"
        ),
    ] = None,
    example: Annotated[
        str | None,
        typer.Option("--example", metavar="NAME", help="Write one of the examples instead, for instance digits."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write to this file; - is stdout.", show_default="NAME.yaml"
        ),
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Write a sweep file for a table, after a look at it, with a reason for each choice."""
    if (source is None) == (example is None):
        raise typer.BadParameter(_either_remedy() if source is None else "name a source or --example, not both")
    if example is not None:
        if target is not None:
            raise typer.BadParameter("an example has its target; remove --target")
        _write_example(example, output, is_forced=force)
    else:
        _write_draft(str(source), target, output, is_forced=force)


def _either_remedy() -> str:
    from dnnsweep.drafts.source_choice import tables_in

    tables = tables_in(Path.cwd())
    named = tables[0] if tables else "customers.csv"
    found = f"found {', '.join(tables[:5])} here" if tables else "found no table here"
    return f"name a table, such as `{shlex.join(['dnnsweep', 'init', named])}`, or `--example digits`; {found}"


def _write_draft(source: str, target: str | None, output: str | None, *, is_forced: bool) -> None:
    from dnnsweep.drafts import draft_name, draft_sweep

    file = _writable(output or f"{draft_name(source)}.yaml", is_forced=is_forced)
    draft = draft_sweep(source, target, _ask_target if is_terminal(sys.stdin) else None)
    say("\n".join(draft.notes))
    _write(file, {}, draft.text)


def _write_example(name: str, output: str | None, *, is_forced: bool) -> None:
    from dnnsweep.drafts.example_files import find_example

    example = find_example(name)
    file = _writable(output or f"{name}.yaml", is_forced=is_forced)
    if file is None and example.companions:
        say(f"it needs {', '.join(example.companions)}; name a file with -o, and they are written as well")
    say(example.description)
    companions = {} if file is None else example.companions
    for path, content in companions.items():
        if Path(path).exists() and Path(path).read_bytes() != content:
            _writable(path, is_forced=is_forced)
    _write(file, companions, example.text)


def _writable(name: str, *, is_forced: bool) -> Path | None:
    """Return the file to write; None for stdout.

    Raises:
        ExportError: It exists.
    """
    if name == STDOUT:
        return None
    if Path(name).exists() and not is_forced:
        raise ExportError(f"{name} exists, and is not replaced; add --force, or name another file with -o")
    return Path(name)


def _ask_target(columns: Sequence[str], probable: str) -> str:
    """Ask for the target on the terminal, until a column is named."""
    from dnnsweep.drafts.target_choice import find_target

    more = f", and {len(columns) - MAX_LISTED} more" if len(columns) > MAX_LISTED else ""
    say(f"columns: {', '.join(columns[:MAX_LISTED])}{more}")

    def named(typed: str) -> str:
        try:
            return find_target(typed, columns)
        except DnnsweepError as error:
            raise typer.BadParameter(str(error)) from error

    answer: str = typer.prompt("Which column shall be predicted?", default=probable, value_proc=named, err=True)
    return answer


def _write(file: Path | None, companions: Mapping[str, bytes], text: str) -> None:
    """Write a sweep file and the files that it needs, and say what to type next.

    Raises:
        ExportError: A file cannot be written.
    """
    if file is None:
        sys.stdout.write(text)
        return
    for path, content in {**{Path(name): content for name, content in companions.items()}, file: text.encode()}.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise ExportError(f"{path} cannot be written: {error.strerror}") from error
        say(f"written to {path}")
    say(f"next: {shlex.join(['dnnsweep', 'run', str(file)])}")
