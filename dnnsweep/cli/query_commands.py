"""Commands that ask: list, show, trials, best, export, doctor."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from dnnsweep.cli.app import app
from dnnsweep.cli.options import AsCsv, AsJson, AsYaml, Home, Name, Number, Where, chosen_form


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
    as_json: AsJson = False,
    as_yaml: AsYaml = False,
    as_csv: AsCsv = False,
) -> None:
    """List all sweeps."""
    from dnnsweep import client
    from dnnsweep.cli import render

    form = chosen_form(as_json=as_json, as_yaml=as_yaml, as_csv=as_csv)
    if deleted:
        render.print_deleted(client.deleted_sweeps(home=home), form)
    else:
        render.print_sweeps(client.sweeps(home=home), form)


@app.command()
def show(
    name: Name,
    home: Home = None,
    *,
    events: Annotated[
        bool, typer.Option("--events", help="Show what happened to the sweep and its trials, oldest first.")
    ] = False,
    as_json: AsJson = False,
    as_yaml: AsYaml = False,
    as_csv: AsCsv = False,
) -> None:
    """Show one sweep."""
    from dnnsweep import client
    from dnnsweep.cli import render

    form = chosen_form(as_json=as_json, as_yaml=as_yaml, as_csv=as_csv)
    if events:
        render.print_events(client.events(name, home=home), form)
    else:
        render.print_sweep(client.show(name, home=home), form)


@app.command()
def trials(
    name: Name,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="Show at most this many trials.", show_default="all")
    ] = None,
    where: Where = None,
    home: Home = None,
    *,
    as_json: AsJson = False,
    as_yaml: AsYaml = False,
    as_csv: AsCsv = False,
) -> None:
    """List the trials of a sweep, in their order."""
    from dnnsweep import client
    from dnnsweep.cli import render

    form = chosen_form(as_json=as_json, as_yaml=as_yaml, as_csv=as_csv)
    sweep, matching = client.show_trials(name, where=where, home=home)
    render.print_trials(sweep, matching[:top], form)


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
    as_json: AsJson = False,
    as_yaml: AsYaml = False,
    as_csv: AsCsv = False,
) -> None:
    """Print the best configurations, best first; the Pareto front of two objectives."""
    from dnnsweep import client
    from dnnsweep.cli import render

    form = chosen_form(as_json=as_json, as_yaml=as_yaml, as_csv=as_csv)
    render.print_trials(*client.show_best(name, top=top, where=where, home=home), form)


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
    if chosen is ExportForm.keras:
        with tempfile.TemporaryDirectory() as folder:  # for a model that a service holds
            exported_files.copy_model(client.model_file(name, number=trial, home=home, folder=folder), file)
    else:
        exported_files.write_text(client.export(name, form=chosen, number=trial, home=home), file)


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
