"""Commands that ask: list, show, trials, best, export, predict, doctor."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dnnsweep.cli.app import app
from dnnsweep.cli.options import (
    AsCsv,
    AsJson,
    AsYaml,
    Home,
    Limit,
    Name,
    Number,
    Offset,
    Where,
    Wide,
    chosen_form,
)
from dnnsweep.cli.standard_streams import say
from dnnsweep.errors import QueryError, SweepNotFoundError
from dnnsweep.records import FindingCode, Trial

if TYPE_CHECKING:
    from dnnsweep.records import Sweep

#: Rows of a table on a screen, unless somebody says how many.
PAGE_ROWS: Final = 50


class TrialOrder(StrEnum):
    """How a list of trials can be sorted."""

    number = "number"
    newest = "newest"
    best = "best"

    @property
    def phrase(self) -> str:
        """Return the order in words."""
        return "in their order" if self is TrialOrder.number else f"{self.value} first"


class ExportForm(StrEnum):
    """What a configuration can be exported as."""

    python = "python"
    yaml = "yaml"
    keras = "keras"
    optuna = "optuna"


_FORMS: Final = {".yaml": ExportForm.yaml, ".yml": ExportForm.yaml, ".keras": ExportForm.keras}


@app.command("list")
def list_(
    home: Home = None,
    *,
    deleted: Annotated[
        bool,
        typer.Option("--deleted", help="List deleted sweeps instead, with who submitted, stopped and deleted them."),
    ] = False,
    wide: Wide = False,
    as_json: AsJson = False,
    as_yaml: AsYaml = False,
    as_csv: AsCsv = False,
) -> None:
    """List all sweeps."""
    from dnnsweep import client
    from dnnsweep.cli import render

    form = chosen_form(as_json=as_json, as_yaml=as_yaml, as_csv=as_csv)
    if deleted:
        render.print_deleted(client.deleted_sweeps(home=home), form, is_wide=wide)
    else:
        render.print_sweeps(client.sweeps(home=home), form, is_wide=wide)


@app.command()
def show(
    name: Name,
    home: Home = None,
    limit: Limit = None,
    offset: Offset = 0,
    *,
    events: Annotated[
        bool, typer.Option("--events", help="Show what happened to the sweep and its trials, oldest first.")
    ] = False,
    wide: Wide = False,
    as_json: AsJson = False,
    as_yaml: AsYaml = False,
    as_csv: AsCsv = False,
) -> None:
    """Show one sweep."""
    from dnnsweep import client
    from dnnsweep.cli import render

    form = chosen_form(as_json=as_json, as_yaml=as_yaml, as_csv=as_csv)
    size = _page_size(limit, form)
    if not events:
        if limit is not None or offset:
            raise typer.BadParameter("--limit and --offset are about events; add --events")
        sweep, form, sentences = _show_answered(name, home, form)
        render.print_sweep(sweep, form, sentences, _ill_trials(name, home) if form == "text" else ())
    elif size is None and not offset:
        render.print_events(client.events(name, home=home), form, is_wide=wide)
    else:
        page = client.event_page(name, limit=size, offset=offset, home=home)
        is_whole = limit is None and len(page.items) == page.total
        render.print_events(page.items[:: -1 if is_whole else 1], form, is_wide=wide)
        render.say_part(page, offset, "events", "newest first")


def _show_answered(name: str, home: Path | None, form: str) -> tuple[Sweep, str, Sequence[str]]:
    """Return a sweep, the form to print it in, and for people what it answers."""
    from dnnsweep import client

    sweep, sentences = client.show(name, home=home), []
    if form == "text":
        with suppress(SweepNotFoundError):
            sentences = list(client.answer(name, home=home).sentences)
    return sweep, form, sentences


def _ill_trials(name: str, home: Path | None) -> Sequence[Trial]:
    """Return the trials of a sweep in which something was found; none if an older service knows no findings."""
    from dnnsweep import client

    with suppress(QueryError):
        return client.trials(name, where=" or ".join(f"'{code}' in findings" for code in FindingCode), home=home)
    return ()


def _page_size(limit: int | None, form: str) -> int | None:
    """Return how many items of a list to read: a screen gets a page of it, unless somebody says how many."""
    return PAGE_ROWS if limit is None and form == "text" and sys.stdout.isatty() else limit


@app.command()
def trials(
    name: Name,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="Show at most this many trials, oldest first.")
    ] = None,
    where: Where = None,
    home: Home = None,
    limit: Limit = None,
    offset: Offset = 0,
    order: Annotated[
        TrialOrder | None, typer.Option("--order", help="Sort the trials.", show_default="newest if not all fit")
    ] = None,
    *,
    wide: Wide = False,
    as_json: AsJson = False,
    as_yaml: AsYaml = False,
    as_csv: AsCsv = False,
) -> None:
    """List the trials of a sweep, in their order."""
    from dnnsweep import client
    from dnnsweep.cli import render

    form = chosen_form(as_json=as_json, as_yaml=as_yaml, as_csv=as_csv)
    if top is not None and limit is not None:
        raise typer.BadParameter("choose one of --top, --limit")
    if top is not None:
        order, limit = order or TrialOrder.number, top
    size = _page_size(limit, form)
    chosen = order or (TrialOrder.newest if size else TrialOrder.number)
    sweep, page = client.show_trials(name, where=where, order=chosen, limit=size, offset=offset, home=home)
    is_whole = order is None and limit is None and len(page.items) == page.total
    items = sorted(page.items, key=lambda trial: trial.number) if is_whole else page.items
    render.print_trials(sweep, items, form, is_wide=wide)
    if top is None:
        render.say_part(page, offset, "trials", chosen.phrase)


@app.command()
def best(
    name: Name,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            min=1,
            help="Show at most this many trials.",
            show_default="5, or the whole front of two objectives",
        ),
    ] = None,
    where: Where = None,
    home: Home = None,
    *,
    wide: Wide = False,
    as_json: AsJson = False,
    as_yaml: AsYaml = False,
    as_csv: AsCsv = False,
) -> None:
    """Print the best configurations, best first; the Pareto front of two objectives."""
    from dnnsweep import client
    from dnnsweep.cli import render

    form = chosen_form(as_json=as_json, as_yaml=as_yaml, as_csv=as_csv)
    sweep, trials = client.show_best(name, top=top, where=where, home=home)
    render.print_trials(sweep, trials, form, is_wide=wide)
    if form == "text":
        render.say_kind(sweep, trials)


@app.command()
def export(
    name: Name,
    form: Annotated[
        ExportForm | None,
        typer.Option("--as", help="Choose the form to export.", show_default="by the ending of FILE, else python"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write to this file; for optuna, to a database such as sqlite:///study.db.",
            show_default="stdout",
        ),
    ] = None,
    trial: Number = None,
    home: Home = None,
    *,
    encoded: Annotated[
        bool, typer.Option("--encoded", help="Save the network alone, which takes rows that are encoded already.")
    ] = False,
) -> None:
    """Export a configuration as Keras code, as a sweep file or as a saved model; or all trials as an Optuna study."""
    from dnnsweep import client
    from dnnsweep.cli import exported_files

    if form is ExportForm.optuna:
        _export_study(name, output, trial, home)
        return
    file = Path(output) if output else None
    if form is ExportForm.keras and file is None:
        raise typer.BadParameter("a saved model must go to a file; add -o FILE.keras")
    chosen = form or _FORMS.get(file.suffix if file else "", ExportForm.python)
    if encoded and chosen is not ExportForm.keras:
        raise typer.BadParameter("--encoded is about a saved model; add --as keras")
    if chosen is ExportForm.keras:
        client.export_model(name, file, number=trial, encoded=encoded, home=home)
        untested = client.untested_note(name, trial, home)
        if untested is not None:
            say(f"note: {untested}")
        takes = "rows that are encoded as the exported Python code does it" if encoded else "the columns of raw rows"
        say(f"written to {file}; it takes {takes}")
    else:
        exported_files.write_text(client.export(name, form=chosen, number=trial, home=home), file)


@app.command()
def predict(
    name: Name,
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="CSV, parquet or npz file of new rows; the target and other columns are not looked at.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to this file.", show_default="stdout")
    ] = None,
    trial: Annotated[
        int | None,
        typer.Option(
            "--trial", min=0, help="Use this trial's model.", show_default="the retrained winner, else the best"
        ),
    ] = None,
    home: Home = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Predict new rows: print CSV with a row for each row, its prediction and the probability of each class."""
    from dnnsweep import client
    from dnnsweep.cli.predictions_output import write_predictions

    def note(sentence: str) -> None:
        say(f"note: {sentence}")

    blocks = client.predict_blocks(name, table, number=trial, home=home, on_note=note)
    n_rows = write_predictions(blocks, output, "json" if as_json else "csv")
    if output is not None:
        say(f"written to {output}: {n_rows} rows")


def _export_study(name: str, url: str | None, trial: int | None, home: Path | None) -> None:
    from dnnsweep import client

    if url is None or "://" not in url:
        raise typer.BadParameter("a study must go to a database; add -o sqlite:///study.db")
    if trial is not None:
        raise typer.BadParameter("a study has all trials of a sweep; remove --trial")
    client.export_study(name, url, home=home)
    typer.echo(f"written to {url}, as the study {name}", err=True)


@app.command()
def doctor(
    name: Annotated[str | None, typer.Argument(help="Check only this sweep.", show_default="all sweeps")] = None,
    home: Home = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit with 1 if anything differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the ledger with MLflow run by run and repair any mismatch."""
    from dnnsweep import client
    from dnnsweep.cli import render

    diagnosis = client.doctor(name, repair=not check, home=home)
    render.print_diagnosis(diagnosis, "json" if as_json else "text")
    if any(not difference.is_repaired for difference in diagnosis.differences):
        raise typer.Exit(1)
