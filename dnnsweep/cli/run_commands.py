"""Commands that train or decide what is trained: validate, run, resume, submit, stop, delete."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dnnsweep.cli.app import app
from dnnsweep.cli.options import (
    AsJson,
    Explain,
    File,
    Home,
    MaxSeconds,
    MaxTrials,
    Name,
    NewName,
    NoTest,
    Overrides,
    Trainers,
)
from dnnsweep.cli.standard_streams import say
from dnnsweep.cli.terminal import is_terminal
from dnnsweep.errors import DnnsweepError, Mistake, SpecError, SweepFailedError
from dnnsweep.executors import ExecutorKind

if TYPE_CHECKING:  # the commands load what they need: `--help` and queries must be quick
    from dnnsweep.records import Sweep

#: What a command that takes a name does with the sweep.
_DOES: Final = {"resume": "continues", "show": "shows"}


@app.command()
def validate(file: File, overrides: Overrides = None, *, explain: Explain = False, as_json: AsJson = False) -> None:
    """Check a sweep file, then its data; print what a run would do."""
    from dnnsweep import client
    from dnnsweep.cli import render

    _refuse_name(file, None, "show")
    render.print_outline(client.validate(file, overrides=overrides or []), as_json=as_json, is_explained=explain)


@app.command()
def schema() -> None:
    """Print the sweep file's JSON Schema."""
    from dnnsweep.cli import formats
    from dnnsweep.spec import json_schema

    formats.print_json(json_schema())


@app.command()
def run(
    file: File,
    name: NewName = None,
    trials: MaxTrials = None,
    seconds: MaxSeconds = None,
    overrides: Overrides = None,
    trainers: Trainers = None,
    executor: Annotated[
        ExecutorKind, typer.Option("--executor", help="Choose where to train; inprocess is for debugging.")
    ] = ExecutorKind.LOCAL,
    home: Home = None,
    *,
    no_confirm: Annotated[
        bool, typer.Option("--no-confirm", help="Do not repeat the best configurations after the last trial.")
    ] = False,
    no_test: NoTest = False,
    explain: Explain = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait while another process runs the sweep, then continue it.")
    ] = False,
    profile: Annotated[
        Path | None, typer.Option("--profile", help="Write where the time went to a JSON file.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a sweep here. Running it again continues where it stopped."""
    from dnnsweep import client
    from dnnsweep.cli import run_ending
    from dnnsweep.cli.progress_display import display
    from dnnsweep.profiling import Profile

    _refuse_name(file, home, "resume")
    measured = Profile()
    with display(str(name or file)) as shown:
        sweep = client.run(
            file,
            home=home,
            name=name,
            trials=trials,
            seconds=seconds,
            overrides=overrides or [],
            trainers=trainers,
            executor=executor,
            confirm=not no_confirm,
            test=not no_test,
            on_progress=shown.on_progress,
            on_phase=shown.on_phase,
            on_plan=(lambda plan: shown.say("\n".join(plan.reasons))) if explain else None,
            on_note=lambda note: shown.say(f"note: {note}"),
            on_wait=_announce_once(shown.say) if wait else None,
            profile=measured,
        )
    if profile is not None:
        profile.write_text(json.dumps(measured.to_json(), indent=2) + "\n", encoding="utf-8")
    run_ending.conclude(sweep, home, as_json=as_json)


def _refuse_name(file: Path, home: Path | None, command: str) -> None:
    """Refuse the name of a sweep where its file is wanted.

    Args:
        file: What was given as the sweep file.
        home: Where sweeps are looked for.
        command: The command that does the like for a sweep that is there already.

    Raises:
        SpecError: There is no such file, but a sweep of that name.
    """
    if not file.exists() and str(file) in _sweep_names(home):
        from dnnsweep.cli.run_ending import elsewhere

        remedy = f"`{shlex.join(['dnnsweep', command, str(file), *elsewhere(home)])}` {_DOES[command]} it"
        raise SpecError([Mistake(str(file), "must be a sweep file", "the name of a sweep", remedy)])


def _sweep_names(home: Path | None) -> Collection[str]:
    """Return the names of the sweeps there are; none where they cannot be read, for others to say so."""
    from dnnsweep import client

    try:
        return [sweep.name for sweep in client.sweeps(home=home)]
    except DnnsweepError:
        return ()


def _announce_once(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that says whom a run waits for, the first time it is called."""
    announced: list[str] = []

    def announce(holder: str) -> None:
        if not announced:
            say(f"waiting: {holder}")
        announced.append(holder)

    return announce


@app.command()
def resume(
    name: Name, trainers: Trainers = None, home: Home = None, *, no_test: NoTest = False, as_json: AsJson = False
) -> None:
    """Continue a sweep that was interrupted or stopped."""
    from dnnsweep import client
    from dnnsweep.cli import run_ending
    from dnnsweep.cli.progress_display import display

    with display(name) as shown:
        sweep = client.resume(
            name,
            home=home,
            trainers=trainers,
            test=not no_test,
            on_progress=shown.on_progress,
            on_phase=shown.on_phase,
        )
    if sweep.home is None:  # a service's workers run it
        _await_end(name, home)
    run_ending.conclude(sweep, home, as_json=as_json)


@app.command()
def submit(
    file: File,
    name: NewName = None,
    trials: MaxTrials = None,
    seconds: MaxSeconds = None,
    overrides: Overrides = None,
    home: Home = None,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the sweep has ended, then print its best configuration.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Queue a sweep for a worker, at the service at DNNSWEEP_API_URL or in this home."""
    from dnnsweep import client
    from dnnsweep.cli import render, run_ending

    _refuse_name(file, home, "resume")
    submitted = client.submit(file, home=home, name=name, trials=trials, seconds=seconds, overrides=overrides or [])
    if wait:
        _await_end(submitted.name, home)
        run_ending.conclude(submitted, home, as_json=as_json, by_worker=True)
        return
    sweep = submitted.show()
    hint = f"`dnnsweep show {sweep.name}` shows its progress"
    say(f"sweep {sweep.name} is {sweep.state.lower()}; {hint}")
    if as_json:
        render.print_sweep(sweep, "json")


def _await_end(name: str, home: Path | None) -> None:
    """Print the progress of a sweep that workers run to stderr, until it has ended.

    Raises:
        SweepFailedError: The sweep was given up.
    """
    from dnnsweep import client
    from dnnsweep.cli import render

    printed: list[str] = []

    def print_change(sweep: Sweep) -> None:
        line = render.progress_line(sweep)
        if printed[-1:] != [line]:
            say(line)
            printed.append(line)

    sweep = client.await_end(name, home=home, on_change=print_change).show()
    if sweep.state == "FAILED":
        raise SweepFailedError(sweep.error or f"sweep {name} failed")


@app.command()
def stop(name: Name, home: Home = None) -> None:
    """Stop a running sweep; `resume` continues it."""
    from dnnsweep import client

    is_running = client.stop(name, home=home)
    say(f"sweep {name} is being stopped" if is_running else f"sweep {name} is not running")


@app.command()
def delete(
    name: Name,
    home: Home = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete a sweep with its trials, models and MLflow runs."""
    from dnnsweep import client

    client.show(name, home=home)
    if not yes:
        if not is_terminal(sys.stdin):
            raise typer.BadParameter("without a terminal nobody can be asked; add --yes to delete the sweep")
        typer.confirm(f"Delete sweep {name} and all its trials?", abort=True, err=True)
    is_gone = client.delete(name, home=home)
    rest = "" if is_gone else "; its MLflow runs will be removed by the next command that can reach MLflow"
    typer.echo(f"sweep {name} was deleted{rest}", err=True)
