"""Arguments and options that several commands take."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer


def _only_if_typed(context: typer.Context, home: Path | None) -> Path | None:
    """Return the home that was typed, before the command or behind it.

    One in the environment is found by whoever needs it.
    """
    source = context.get_parameter_source("home")
    if source is not None and source.name == "COMMANDLINE":
        return home
    before: Path | None = None if context.parent is None else context.parent.params.get("home")
    return before


def sweep_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the sweeps whose names begin as what was typed, for the shell to complete."""
    from dnnsweep import client

    with suppress(Exception):  # a shell has no place for errors here
        home: Path | None = context.params.get("home")
        if home is None and context.parent is not None:
            home = context.parent.params.get("home")
        return [sweep.name for sweep in client.sweeps(home=home) if sweep.name.startswith(incomplete)]
    return []


Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="DNNSWEEP_HOME",
        help="Store everything in this folder.",
        show_default="dnnsweep-home",
        callback=_only_if_typed,
    ),
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The sweep file.", show_default=False)]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The sweep's name.", show_default=False, autocompletion=sweep_names)
]
NewName = Annotated[str | None, typer.Option("--name", help="Override the sweep's name.")]
MaxTrials = Annotated[int | None, typer.Option("--trials", min=1, help="Override budget.trials.")]
MaxSeconds = Annotated[float | None, typer.Option("--seconds", help="Override budget.seconds.")]
Where = Annotated[
    str | None,
    typer.Option("--where", help="Show only trials that meet a condition: \"optimizer == 'adam' and dropout < 0.3\"."),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", min=1, help="Show at most this many, newest first.", show_default="50 on a terminal, else all"
    ),
]
Offset = Annotated[int, typer.Option("--offset", min=0, help="Leave out this many at the beginning.")]
Wide = Annotated[bool, typer.Option("--wide", help="Show all columns, even if the terminal breaks their lines.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsYaml = Annotated[bool, typer.Option("--yaml", help="Print YAML.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a part of the sweep file. Can be repeated."),
]
Trainers = Annotated[
    int | None,
    typer.Option(
        "--trainers",
        min=1,
        max=1024,
        help="Start this many training processes.",
        show_default="the file's, else one per core",
    ),
]
NoTest = Annotated[bool, typer.Option("--no-test", help="Keep the test rows closed: do not score the winner.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say how trials will be trained, and why.")]
Number = Annotated[
    int | None, typer.Option("--trial", min=0, help="Export this trial.", show_default="the winner, else the best")
]


def chosen_form(**is_wanted: bool) -> str:
    """Return the form of output that was asked for: `text`, `json`, `yaml` or `csv`.

    Args:
        is_wanted: `as_json`, `as_yaml` and `as_csv`, as a command takes them.

    Raises:
        BadParameter: Several forms were asked for.
    """
    chosen = [name.removeprefix("as_") for name, is_chosen in is_wanted.items() if is_chosen]
    if len(chosen) > 1:
        raise typer.BadParameter(f"choose one of {', '.join(f'--{name}' for name in chosen)}")
    return chosen[0] if chosen else "text"
