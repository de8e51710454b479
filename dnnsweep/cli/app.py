"""The program `dnnsweep`: its group of commands, and how errors become one message and an exit code."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from dnnsweep.cli.options import Home
from dnnsweep.cli.standard_streams import discard_output, prepare_streams, say
from dnnsweep.errors import DnnsweepError, SpecError
from dnnsweep.redaction import mask_output, redact

#: Exit code of a command that was interrupted and can be resumed.
INTERRUPTED: Final = 130
#: The order of commands in `--help`; others follow.
ORDER: Final = (
    "init",
    "validate",
    "schema",
    "run",
    "resume",
    "stop",
    "delete",
    "submit",
    "list",
    "show",
    "trials",
    "best",
    "answer",
    "confirm",
    "effects",
    "retrain",
)
#: What all of Typer's errors about usage have in common.
_UsageError: Final[type[Exception]] = typer.BadParameter.__bases__[0]
_ADVICE: Final = {
    "run": "; run the same command again to continue",
    "resume": "; run the same command again to continue",
    "confirm": "; run the same command again to continue",
    "effects": "; run the same command again to continue",
    "retrain": "; run the same command again to continue",
    "submit": "; the sweep continues without this command",
}


class _Commands(TyperGroup):
    """Ends quietly and with the right code where Typer would end silently or with another one."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return [*(name for name in ORDER if name in names), *(name for name in names if name not in ORDER)]

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _fail(f"interrupted{_ADVICE.get(ctx.invoked_subcommand, '')}", INTERRUPTED)
        except BrokenPipeError:  # Typer would end with 1
            _end_unread()


app = typer.Typer(
    name="dnnsweep",
    cls=_Commands,
    help="Hyperparameter sweeps for dense networks: Optuna samples, Keras trains, MLflow shows every trial.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
    prepare_streams()
    mask_output()
    for number in (signal.SIGINT, signal.SIGTERM):  # both end a command cleanly, also in the background of a shell
        signal.signal(number, signal.default_int_handler)
    try:
        code = app(prog_name="dnnsweep", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:
        _end_unread()
    except SpecError as error:
        _fail("\n".join(f"error: {mistake}" for mistake in error.mistakes), error.exit_code)
    except DnnsweepError as error:
        _fail(f"error: {error}", error.exit_code)
    except typer.Abort:
        _fail("nothing was done", 1)
    except _UsageError as error:
        _end_misused(error)


def _end_misused(error: Any) -> None:
    """Say what was wrong with the words of a command; without any words, its help was printed."""
    from dnnsweep.cli.usage_errors import usage_message

    if error.format_message():
        say(f"error: {usage_message(error, typer.main.get_command(app).commands)}")  # type: ignore[attr-defined]  # a group
    sys.exit(error.exit_code)


def _end_unread() -> None:
    """End without a fault although whoever read the output went away: `| head` for example."""
    discard_output()
    sys.exit(0)


def _fail(message: str, code: int) -> None:
    say(redact(message))
    sys.exit(code)


def _print_version(is_asked: bool) -> None:  # noqa: FBT001  typer's way of options that end the program
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"dnnsweep {version('dnnsweep')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    home: Home = None,
) -> None:
    pass
