"""How a run ended: what it has found on stdout; what to know about it, and what to type next, on stderr."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from dnnsweep.cli.app import INTERRUPTED
from dnnsweep.cli.render import format_losses, print_best
from dnnsweep.cli.render_answer import print_answer
from dnnsweep.cli.standard_streams import say
from dnnsweep.errors import SweepNotFoundError
from dnnsweep.records import Sweep, SweepState
from dnnsweep.records.ranking import reaches_target
from dnnsweep.spec import FILES

if TYPE_CHECKING:
    from dnnsweep.answers.answer import Answer
    from dnnsweep.client import SweepHandle

#: How a sweep stands that is left before it is complete: interrupted, stopped, or taken over by somebody else.
_LEFT: Final = ("INTERRUPTED", "STOPPED", "QUEUED", "RUNNING")
#: The most lines that a run ends with once it has an answer.
MAX_LINES: Final = 12


def elsewhere(home: Path | None) -> list[str]:
    """Return the words that name a home in a command, unless it finds that home by itself."""
    return [] if home is None or str(home) == os.environ.get("DNNSWEEP_HOME") else ["--home", str(home)]


def conclude(handle: SweepHandle, home: Path | None, *, as_json: bool, by_worker: bool = False) -> None:
    """Print how a run ended and what it has found; at last its answer, or the best configuration, or the front.

    Args:
        handle: The sweep.
        home: The home that was named on the command line.
        as_json: Whether to print the best trials as JSON.
        by_worker: Whether workers run it.

    Raises:
        Exit: The sweep is not complete, or none of its trials is.
    """
    sweep = handle.show()
    best = handle.best(top=1 if len(sweep.objectives) == 1 else None)
    say_conclusion(sweep, _resume_command(sweep, home), by_worker=by_worker or handle.home is None)
    answer = confirmed_answer(handle) if sweep.state is SweepState.COMPLETE and not as_json else None
    if answer is None:
        print_best(sweep, best, "json" if as_json else "text")
    else:
        print_answer(answer, as_json=False)
    sys.stdout.flush()  # before what comes next, where both go to one place
    if answer is not None:
        _say_more(sweep, answer, elsewhere(home), has_ui=handle.home is not None)
    elif best:
        say_next(sweep, elsewhere(home), has_ui=handle.home is not None)
    if sweep.state in _LEFT:
        raise typer.Exit(INTERRUPTED)
    if not best:
        raise typer.Exit(1)


def conclude_answer(handle: SweepHandle, home: Path | None, *, as_json: bool) -> None:
    """Print what a sweep answers now that it was asked more.

    Args:
        handle: The sweep.
        home: The home that was named on the command line.
        as_json: Whether to print the answer as JSON.

    Raises:
        Exit: It was interrupted or stopped meanwhile.
    """
    end_unless_complete(handle, home)
    print_answer(handle.answer(), as_json=as_json)


def end_unless_complete(handle: SweepHandle, home: Path | None) -> None:
    """Say how a sweep was left, unless it is complete.

    Raises:
        Exit: It was interrupted or stopped.
    """
    sweep = handle.show()
    if sweep.state in _LEFT:
        say_conclusion(sweep, _resume_command(sweep, home))
        raise typer.Exit(INTERRUPTED)


def confirmed_answer(handle: SweepHandle) -> Answer | None:
    """Return what a sweep answers by repeats of its best trials; None if there were none."""
    from dnnsweep.answers.answer import CONFIRMED

    try:
        answer = handle.answer()
    except SweepNotFoundError:
        return None
    return answer if answer.kind == CONFIRMED else None


def _resume_command(sweep: Sweep, home: Path | None) -> str:
    return shlex.join(["dnnsweep", "resume", sweep.name, *elsewhere(home)])


def say_conclusion(sweep: Sweep, resume_command: str, *, by_worker: bool = False) -> None:
    """Say to stderr how a run ended, and how to continue it.

    Args:
        sweep: The sweep.
        resume_command: The command that continues it.
        by_worker: Whether workers run it; they deliver by themselves what MLflow has not seen.
    """
    hint = "" if sweep.state is SweepState.COMPLETE else f"; run `{resume_command}` to continue"
    delivered = "; all in MLflow" if sweep.state is SweepState.COMPLETE and not sweep.n_undelivered else ""
    say(f"{_ending(sweep)}{delivered}{hint}")
    if sweep.n_undelivered:
        who = "a worker" if by_worker else f"`{resume_command}` or `dnnsweep doctor`"
        waiting = f"{sweep.n_undelivered} updates are still waiting for MLflow"
        why = f": {sweep.delivery_error}" if sweep.delivery_error else ""
        when = " once that is mended" if why else ""
        say(f"{waiting}{why}; {who} will deliver them{when}")


def say_next(sweep: Sweep, elsewhere: Sequence[str], *, has_ui: bool) -> None:
    """Say to stderr which commands look at what a run has found.

    Args:
        sweep: The sweep, with a best trial.
        elsewhere: Words that name its home in a command.
        has_ui: Whether its MLflow UI can be started here.
    """
    can_be_confirmed = sweep.state is SweepState.COMPLETE and len(sweep.objectives) == 1
    commands = _commands(sweep, has_ui=has_ui, can_be_confirmed=can_be_confirmed)
    texts = [" ".join(["dnnsweep", command, *map(shlex.quote, elsewhere)]) for command in commands]
    width = max(map(len, texts))
    lines = [f"{text:{width}}  # {what}" for text, what in zip(texts, commands.values(), strict=True)]
    say("\n".join(["next:", *(f"  {line}" for line in lines)]))


def _say_more(sweep: Sweep, answer: Answer, elsewhere: Sequence[str], *, has_ui: bool) -> None:
    """Say in one line which commands look at what an answer is about, if the answer has left room for it."""
    if len(answer.sentences) < MAX_LINES:
        commands = _commands(sweep, has_ui=has_ui, is_trial=(answer.winner or {}).get("number") is not None)
        texts = (" ".join(["dnnsweep", command, *map(shlex.quote, elsewhere)]) for command in commands)
        say(f"More: {', '.join(f'`{text}`' for text in texts)}")


def _commands(
    sweep: Sweep, *, has_ui: bool, can_be_confirmed: bool = False, is_trial: bool = True
) -> Mapping[str, str]:
    """Return commands that look at what a run has found, with what they show.

    Args:
        sweep: The sweep.
        has_ui: Whether its MLflow UI can be started here, and more trained.
        can_be_confirmed: Whether its best trials can be repeated, and were not.
        is_trial: Whether the winner is a trial; the code of a baseline that is none cannot be exported.
    """
    commands = {
        f"ui {sweep.name}": "all trials, in MLflow",
        f"best {sweep.name}": "the best trials",
        f"confirm {sweep.name}": "whether the best was lucky: trains it again",
        f"export {sweep.name} -o best.{'py' if is_trial else 'keras'}": "the best as Keras code",
    }
    kind = sweep.source.partition(":")[0]
    if kind in FILES:  # of which there may be another with new rows
        commands[f"predict {sweep.name} new.{kind}"] = "what the best says about new rows"
    left_out = [*([] if has_ui else ["ui", "confirm"]), *([] if can_be_confirmed else ["confirm"])]
    return {command: what for command, what in commands.items() if command.partition(" ")[0] not in left_out}


def _ending(sweep: Sweep) -> str:
    counts = f"{sweep.n_finished} of {sweep.n_trials} trials"
    if sweep.state is SweepState.COMPLETE:
        return f"sweep {sweep.name} {_completion(sweep, counts)}"
    if sweep.state is SweepState.STOPPED:
        return f"sweep {sweep.name} was stopped after {counts}"
    if sweep.state is SweepState.INTERRUPTED:
        return f"sweep {sweep.name} was interrupted after {counts}"
    return f"sweep {sweep.name} was left and is {sweep.state.lower()} again: {counts}"


def _completion(sweep: Sweep, counts: str) -> str:
    """Return what a complete sweep has done."""
    if sweep.n_finished >= sweep.n_trials:
        return f"is complete: {sweep.n_finished} trials, {format_losses(sweep)}"
    if sweep.conclusion is not None:
        return f"is complete after {counts}, {format_losses(sweep)}: {sweep.conclusion}"
    budget = sweep.spec["budget"]
    if reaches_target(sweep.best_value, budget.get("target"), sweep.direction):
        return f"has reached its target of {budget['target']:g}: {counts}"
    return f"has spent its {budget['seconds']:g} seconds: {counts}"
