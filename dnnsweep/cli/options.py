"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _named(context: typer.Context, home: Path | None) -> Path | None:
    """Return a home that stands in the command itself: one of the environment is found by whoever needs it."""
    source = context.get_parameter_source("home")
    return home if source is not None and source.name == "COMMANDLINE" else None


Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="DNNSWEEP_HOME",
        help="Where everything is stored.",
        show_default="dnnsweep-home",
        callback=_named,
    ),
]
File = Annotated[Path, typer.Argument(help="The sweep file.", show_default=False)]
Name = Annotated[str, typer.Argument(help="The sweep's name.", show_default=False)]
Where = Annotated[
    str | None,
    typer.Option("--where", help="Only trials that meet a condition: \"optimizer == 'adam' and dropout < 0.3\"."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsYaml = Annotated[bool, typer.Option("--yaml", help="Print YAML.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Replace a part of the sweep file; repeatable.")
]
Trainers = Annotated[
    int | None,
    typer.Option(
        "--trainers", min=1, max=1024, help="Training processes.", show_default="the file's, else one per core"
    ),
]
Explain = Annotated[bool, typer.Option("--explain", help="Say how trials are trained, and why.")]
Number = Annotated[int | None, typer.Option("--trial", min=0, help="The trial.", show_default="the best")]
