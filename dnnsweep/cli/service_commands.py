"""The commands of a team: submit sweeps, run them on workers, serve the API."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnnsweep.cli.options import AsJson, File, Home, Overrides, Trainers
from dnnsweep.cli.terminal import visible
from dnnsweep.errors import SettingsError, SweepFailedError

if TYPE_CHECKING:  # the commands load what they need: `--help` must be quick
    from dnnsweep.client import SweepHandle
    from dnnsweep.records import Sweep

INTERRUPTED = 130


def submit(
    file: File,
    name: Annotated[str | None, typer.Option("--name", help="In place of the file's name.")] = None,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="In place of budget.trials.")] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", help="In place of budget.seconds.")] = None,
    overrides: Overrides = None,
    home: Home = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended, then print the best.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a sweep into the queue, for a worker to run; of the service at DNNSWEEP_API_URL, or of this home."""
    from dnnsweep import client
    from dnnsweep.cli import render

    submitted = client.submit(file, home=home, name=name, trials=trials, seconds=seconds, overrides=overrides or [])
    if wait:
        await_end(submitted.name, home)
        conclude(submitted, home, as_json=as_json, by_worker=True)
        return
    sweep = submitted.show()
    typer.echo(
        f"sweep {sweep.name} is {sweep.state.lower()}; `dnnsweep show {sweep.name}` tells how far it is", err=True
    )
    if as_json:
        render.sweep(sweep, "json")


def await_end(name: str, home: Path | None) -> None:
    """Say on stderr how far a sweep is that workers run, until it has ended.

    Raises:
        SweepFailedError: It was given up.
    """
    from dnnsweep import client
    from dnnsweep.cli import render

    said: list[str] = []

    def say(sweep: Sweep) -> None:
        line = render.standing(sweep)
        if said[-1:] != [line]:
            typer.echo(line, err=True)
            said.append(line)

    sweep = client.await_end(name, home=home, on_change=say).show()
    if sweep.state == "FAILED":
        raise SweepFailedError(sweep.error or f"sweep {name} failed")


def conclude(handle: SweepHandle, home: Path | None, *, as_json: bool, by_worker: bool = False) -> None:
    """Say how a run ended; the last thing printed is the best configuration, or the front of two objectives."""
    from dnnsweep.cli import render

    sweep = handle.show()
    best = handle.best(top=1 if len(sweep.objectives) == 1 else None)
    elsewhere = [] if home is None or str(home) == os.environ.get("DNNSWEEP_HOME") else ["--home", str(home)]
    resume = shlex.join(["dnnsweep", "resume", sweep.name, *elsewhere])
    render.conclusion(sweep, resume, by_worker=by_worker or handle.home is None)
    render.best(sweep, best, "json" if as_json else "text")
    if sweep.state in ("INTERRUPTED", "STOPPED"):
        raise typer.Exit(INTERRUPTED)
    if not best:
        raise typer.Exit(1)


def worker(
    trainers: Trainers = None,
    grace: Annotated[
        float,
        typer.Option("--grace", min=0, help="Seconds to finish or hand back a sweep in after SIGTERM or Ctrl-C."),
    ] = 30.0,
    home: Home = None,
) -> None:
    """Run queued sweeps, one after the other; several workers may share a ledger."""
    from dnnsweep import client

    client.work(home=home, trainers=trainers, grace=grace, say=lambda text: typer.echo(visible(text), err=True))


def serve(
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; beyond this machine with DNNSWEEP_TOKENS only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Likewise.")] = 8000,
    home: Home = None,
) -> None:
    """Serve the REST API of this home."""
    try:
        from dnnsweep import service
    except ModuleNotFoundError as error:
        raise SettingsError(f"the service needs {error.name}; pip install 'dnnsweep[service]'") from error
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        service.serve(host, port, home=home)
