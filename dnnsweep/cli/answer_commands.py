"""Commands about what a sweep answers: answer, report, confirm, effects, retrain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dnnsweep.cli.app import app
from dnnsweep.cli.options import AsJson, Home, Name, NoTest, Trainers
from dnnsweep.executors import ExecutorKind

Blocks = Annotated[
    int | None,
    typer.Option("--blocks", min=1, help="Repeat each configuration at most this often.", show_default=False),
]
Executor = Annotated[
    ExecutorKind, typer.Option("--executor", help="Choose where to train; inprocess is for debugging.")
]


@app.command()
def answer(name: Name, home: Home = None, *, as_json: AsJson = False) -> None:
    """Print what a sweep answers: its winner, the score to expect, and which techniques made the difference."""
    from dnnsweep import client
    from dnnsweep.cli import render_answer

    render_answer.print_answer(client.answer(name, home=home), as_json=as_json)


@app.command()
def report(
    name: Name,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to this file.", show_default="stdout")
    ] = None,
    home: Home = None,
) -> None:
    """Draw what a sweep answers: one HTML page with charts and tables, which needs no network."""
    from dnnsweep import client
    from dnnsweep.cli import exported_files

    exported_files.write_text(client.report(name, home=home), output)


@app.command()
def confirm(
    name: Name,
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, help="Repeat this many of the best trials.", show_default="the file's, else 8"),
    ] = None,
    blocks: Blocks = None,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            help="Let repeats after the third take this share of the trials' epochs.",
            show_default="the file's, else 0.25",
        ),
    ] = None,
    trainers: Trainers = None,
    executor: Executor = ExecutorKind.LOCAL,
    home: Home = None,
    *,
    no_test: NoTest = False,
    as_json: AsJson = False,
) -> None:
    """Repeat the best trials of a complete sweep to tell luck from merit, then score the winner on the test rows."""
    from dnnsweep import client
    from dnnsweep.cli import run_ending
    from dnnsweep.cli.progress_display import display

    with display(name) as shown:
        sweep = client.confirm(
            name,
            top=top,
            blocks=blocks,
            budget=budget,
            test=not no_test,
            home=home,
            trainers=trainers,
            executor=executor,
            on_progress=shown.on_progress,
            on_phase=shown.on_phase,
        )
    run_ending.conclude_answer(sweep, home, as_json=as_json)


@app.command()
def effects(
    name: Name,
    blocks: Blocks = None,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            help="Take this share of the trials' epochs, if that is less than all combinations need.",
            show_default="all combinations of up to six hyperparameters",
        ),
    ] = None,
    isolate: Annotated[
        str | None,
        typer.Option(
            "--isolate",
            metavar="HYPERPARAMETER",
            help="Compare the values of one hyperparameter instead, each with its own best learning rate.",
            show_default=False,
        ),
    ] = None,
    trainers: Trainers = None,
    executor: Executor = ExecutorKind.LOCAL,
    home: Home = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Measure which hyperparameters make the difference between the baseline and the winner of a complete sweep."""
    from dnnsweep import client
    from dnnsweep.cli import render_answer, run_ending
    from dnnsweep.cli.progress_display import display

    with display(name) as shown:
        sweep = client.effects(
            name,
            blocks=blocks,
            budget=budget,
            isolate=isolate,
            home=home,
            trainers=trainers,
            executor=executor,
            on_progress=shown.on_progress,
            on_phase=shown.on_phase,
        )
    run_ending.end_unless_complete(sweep, home)
    if isolate is None:
        found = sweep.answer()
        shares = sweep.importances() if found.importance is None else found.importance
        render_answer.print_effects(found, shares, as_json=as_json)
    else:
        render_answer.print_isolated(sweep.answer(), isolate, as_json=as_json)


@app.command()
def retrain(
    name: Name,
    trial: Annotated[int, typer.Option("--trial", min=0, help="Retrain this trial.", show_default=False)],
    trainers: Trainers = None,
    executor: Executor = ExecutorKind.LOCAL,
    home: Home = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Retrain a trial on all rows but the test rows, score it on these, and deliver its model from then on."""
    from dnnsweep import client
    from dnnsweep.cli import run_ending
    from dnnsweep.cli.progress_display import display

    with display(name) as shown:
        sweep = client.retrain(
            name,
            trial,
            home=home,
            trainers=trainers,
            executor=executor,
            on_progress=shown.on_progress,
            on_phase=shown.on_phase,
        )
    run_ending.conclude_answer(sweep, home, as_json=as_json)
