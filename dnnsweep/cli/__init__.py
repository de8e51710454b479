"""The command line: parse, one call of the client, render."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from dnnsweep.cli import service_commands
from dnnsweep.cli.options import (
    AsCsv,
    AsJson,
    AsYaml,
    Explain,
    File,
    Home,
    Name,
    Number,
    Overrides,
    Trainers,
    Where,
)
from dnnsweep.cli.terminal import visible
from dnnsweep.errors import DnnsweepError, SpecError
from dnnsweep.redaction import redact

if TYPE_CHECKING:  # the commands load what they need: `--help` and queries must be quick
    from dnnsweep.trainers import TrainerPlan


class Form(StrEnum):
    """What a configuration can be exported as."""

    python = "python"
    yaml = "yaml"
    keras = "keras"


class ExecutorKind(StrEnum):
    """Where trainers run."""

    local = "local"
    inprocess = "inprocess"


_FORMS = {".yaml": Form.yaml, ".yml": Form.yaml, ".keras": Form.keras}


_ADVICE = {
    "run": "; the same command goes on with it",
    "resume": "; the same command goes on with it",
    "submit": "; the sweep goes on without being waited for",
}


class _Commands(TyperGroup):
    """Ends quietly and with the right code where Typer would end silently or with another one."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            _fail(f"interrupted{_ADVICE.get(ctx.invoked_subcommand, '')}", service_commands.INTERRUPTED)
        except BrokenPipeError:  # the reader of our output went away, `| head` for example
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        return result


app = typer.Typer(
    name="dnnsweep",
    cls=_Commands,
    help="Hyperparameter sweeps for dense networks: Optuna samples, Keras trains, MLflow shows every trial.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; errors become one message and an exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # both end a command cleanly, also in the background of a shell
        signal.signal(number, signal.default_int_handler)
    try:
        app(standalone_mode=True)
    except SpecError as error:
        _fail("\n".join(f"error: {mistake}" for mistake in error.mistakes), error.exit_code)
    except DnnsweepError as error:
        _fail(f"error: {error}", error.exit_code)


def _fail(message: str, code: int) -> None:
    typer.echo(visible(redact(message)), err=True)
    sys.exit(code)


def _version(is_asked: bool) -> None:  # noqa: FBT001  typer's way of options that end the program
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"dnnsweep {version('dnnsweep')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def validate(file: File, overrides: Overrides = None, *, explain: Explain = False, as_json: AsJson = False) -> None:
    """Check a sweep file, then its data; print what it will do."""
    from dnnsweep import client
    from dnnsweep.cli import render

    render.outline(client.validate(file, overrides=overrides or []), as_json=as_json, is_explained=explain)


@app.command()
def schema() -> None:
    """Print the sweep file's JSON Schema."""
    from dnnsweep.cli import render
    from dnnsweep.spec import json_schema

    render.print_json(json_schema())


@app.command()
def run(
    file: File,
    name: Annotated[str | None, typer.Option("--name", help="In place of the file's name.")] = None,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="In place of budget.trials.")] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", help="In place of budget.seconds.")] = None,
    overrides: Overrides = None,
    trainers: Trainers = None,
    executor: Annotated[
        ExecutorKind, typer.Option("--executor", help="inprocess trains in the command itself, for debugging.")
    ] = ExecutorKind.local,
    home: Home = None,
    *,
    explain: Explain = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait while another process runs the sweep, then go on with it.")
    ] = False,
    profile: Annotated[
        Path | None, typer.Option("--profile", help="Write where the time went to a JSON file.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a sweep here; running it again goes on where it stopped."""
    from dnnsweep import client
    from dnnsweep.cli.progress_display import display
    from dnnsweep.profiling import Profile

    measured = Profile()
    with display(str(name or file)) as on_progress:
        sweep = client.run(
            file,
            home=home,
            name=name,
            trials=trials,
            seconds=seconds,
            overrides=overrides or [],
            trainers=trainers,
            executor=executor,
            on_progress=on_progress,
            on_plan=_explain if explain else None,
            on_wait=_saying_once() if wait else None,
            profile=measured,
        )
    if profile is not None:
        profile.write_text(json.dumps(measured.to_json(), indent=2) + "\n", encoding="utf-8")
    service_commands.conclude(sweep, home, as_json=as_json)


def _saying_once() -> Callable[[str], None]:
    """Return what says, the first time, whom a run waits for."""
    said: list[str] = []

    def say(holder: str) -> None:
        if not said:
            typer.echo(f"waiting: {holder}", err=True)
        said.append(holder)

    return say


def _explain(plan: TrainerPlan) -> None:
    for reason in plan.reasons:
        typer.echo(reason, err=True)


@app.command()
def resume(name: Name, trainers: Trainers = None, home: Home = None, *, as_json: AsJson = False) -> None:
    """Go on with a sweep that was interrupted or stopped."""
    from dnnsweep import client
    from dnnsweep.cli.progress_display import display

    with display(name) as on_progress:
        sweep = client.resume(name, home=home, trainers=trainers, on_progress=on_progress)
    if sweep.home is None:  # a service's workers run it
        service_commands.await_end(name, home)
    service_commands.conclude(sweep, home, as_json=as_json)


@app.command("list")
def list_(home: Home = None, *, as_json: AsJson = False, as_yaml: AsYaml = False, as_csv: AsCsv = False) -> None:
    """List the sweeps."""
    from dnnsweep import client
    from dnnsweep.cli import render

    render.sweeps(client.sweeps(home=home), _form(as_json=as_json, as_yaml=as_yaml, as_csv=as_csv))


@app.command()
def show(
    name: Name,
    home: Home = None,
    *,
    events: Annotated[bool, typer.Option("--events", help="What happened to it and its trials, oldest first.")] = False,
    as_json: AsJson = False,
    as_yaml: AsYaml = False,
    as_csv: AsCsv = False,
) -> None:
    """Show one sweep."""
    from dnnsweep import client
    from dnnsweep.cli import render

    form = _form(as_json=as_json, as_yaml=as_yaml, as_csv=as_csv)
    if events:
        render.events(client.events(name, home=home), form)
    else:
        render.sweep(client.show(name, home=home), form)


@app.command()
def trials(
    name: Name,
    top: Annotated[int | None, typer.Option("--top", min=1, help="Only the first so many.", show_default="all")] = None,
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

    form = _form(as_json=as_json, as_yaml=as_yaml, as_csv=as_csv)
    render.trials(client.show(name, home=home), client.trials(name, where=where, home=home)[:top], form)


@app.command()
def best(
    name: Name,
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, help="How many; 5 unless given, with two objectives the whole front."),
    ] = None,
    where: Where = None,
    home: Home = None,
    *,
    as_json: AsJson = False,
    as_yaml: AsYaml = False,
    as_csv: AsCsv = False,
) -> None:
    """Print the best configurations, best first; with two objectives their Pareto front."""
    from dnnsweep import client
    from dnnsweep.cli import render

    form = _form(as_json=as_json, as_yaml=as_yaml, as_csv=as_csv)
    render.trials(client.show(name, home=home), client.best(name, top=top, where=where, home=home), form)


def _form(**wanted: bool) -> str:
    chosen = [name.removeprefix("as_") for name, is_wanted in wanted.items() if is_wanted]
    if len(chosen) > 1:
        raise typer.BadParameter(f"choose one of {', '.join(f'--{name}' for name in chosen)}")
    return chosen[0] if chosen else "text"


@app.command()
def export(
    name: Name,
    form: Annotated[
        Form | None, typer.Option("--as", help="What to write.", show_default="as FILE ends, else python")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write.", show_default="stdout")
    ] = None,
    trial: Number = None,
    home: Home = None,
) -> None:
    """Export a configuration as Keras code, as a sweep file, or as a saved model."""
    from dnnsweep import client
    from dnnsweep.cli import render

    if form is Form.keras and output is None:
        raise typer.BadParameter("a saved model needs a file to go to; add -o FILE.keras")
    chosen = form or _FORMS.get(output.suffix if output else "", Form.python)
    if chosen is Form.keras:
        with tempfile.TemporaryDirectory() as folder:  # of the copy of a service's
            render.copied(client.model_file(name, number=trial, home=home, folder=folder), output)
    else:
        render.written(client.export(name, form=chosen, number=trial, home=home), output)


@app.command()
def doctor(
    name: Annotated[str | None, typer.Argument(help="Only this sweep.", show_default="all sweeps")] = None,
    home: Home = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit with 1 if anything differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the ledger with MLflow, run by run, and mend what MLflow shows otherwise."""
    from dnnsweep import client
    from dnnsweep.cli import render

    found = client.doctor(name, is_mending=not check, home=home)
    render.examination(found, "json" if as_json else "text")
    if any(not difference.is_mended for difference in found.differences):
        raise typer.Exit(1)


@app.command()
def ui(
    name: Annotated[str | None, typer.Argument(help="Print the address of this sweep.", show_default=False)] = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Where to listen, on 127.0.0.1.")] = 5000,
    home: Home = None,
) -> None:
    """Start the MLflow UI on this home and print its address."""
    from dnnsweep import client

    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        client.serve_ui(name, port=port, home=home, on_address=typer.echo)


@app.command()
def stop(name: Name, home: Home = None) -> None:
    """Stop a running sweep; `resume` goes on with it."""
    from dnnsweep import client

    is_running = client.stop(name, home=home)
    typer.echo(f"sweep {name} is being stopped" if is_running else f"sweep {name} is not running", err=True)


@app.command()
def delete(
    name: Name,
    home: Home = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a sweep, its trials, its model and its MLflow runs."""
    from dnnsweep import client

    client.show(name, home=home)
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete sweep {name} and all its trials?", abort=True, err=True)
    is_gone = client.delete(name, home=home)
    rest = "" if is_gone else "; MLflow cannot be reached, its runs are removed by the next command that can"
    typer.echo(f"sweep {name} is deleted{rest}", err=True)


for command in (service_commands.submit, service_commands.worker, service_commands.serve):
    app.command()(command)
