"""Commands that keep running until they are ended: ui, worker, serve."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from dnnsweep.cli.app import app
from dnnsweep.cli.options import Home, Trainers, sweep_names
from dnnsweep.cli.standard_streams import say
from dnnsweep.errors import SettingsError
from dnnsweep.redaction import redact


@app.command()
def ui(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Print the address of this sweep.", show_default=False, autocompletion=sweep_names
        ),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Listen on this port of 127.0.0.1.")] = 5000,
    home: Home = None,
    *,
    in_browser: Annotated[bool, typer.Option("--open", help="Open the address in the browser.")] = False,
) -> None:
    """Start the MLflow UI on this home and print its address."""
    from dnnsweep import client

    def tell(address: str) -> None:
        typer.echo(redact(address))
        say("Ctrl-C ends it")
        if in_browser and typer.launch(address) != 0:
            say("no browser could be opened; open the address yourself")

    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        client.serve_ui(name, port=port, home=home, on_address=tell, say=say)


@app.command()
def worker(
    trainers: Trainers = None,
    grace: Annotated[
        float,
        typer.Option(
            "--grace", min=0, help="Take at most this many seconds to finish or hand back a sweep when asked to end."
        ),
    ] = 30.0,
    home: Home = None,
) -> None:
    """Run queued sweeps, one after the other. Several workers may share a ledger."""
    from dnnsweep import client

    client.work(home=home, trainers=trainers, grace=grace, say=say)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option("--host", help="Bind to this address; other than localhost only if DNNSWEEP_TOKENS is set.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Listen on this port.")] = 8000,
    home: Home = None,
) -> None:
    """Serve the REST API of this home."""
    try:
        from dnnsweep import service
    except ModuleNotFoundError as error:
        raise SettingsError(f"the service needs {error.name}; pip install 'dnnsweep[service]'") from error
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        service.serve(host, port, home=home)
