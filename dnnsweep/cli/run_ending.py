"""How a run ended and what to type next, said to stderr."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from dnnsweep.cli.render import format_losses
from dnnsweep.cli.standard_streams import say
from dnnsweep.records import Sweep, SweepState
from dnnsweep.records.ranking import reaches_target
from dnnsweep.spec import FILES


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
    commands = {
        f"ui {sweep.name}": "all trials, in MLflow",
        f"best {sweep.name}": "the best trials",
        f"export {sweep.name} -o best.py": "the best as Keras code",
    }
    kind = sweep.source.partition(":")[0]
    if kind in FILES:  # of which there may be another with new rows
        commands[f"predict {sweep.name} new.{kind}"] = "what the best says about new rows"
    if not has_ui:
        del commands[f"ui {sweep.name}"]
    texts = [" ".join(["dnnsweep", command, *map(shlex.quote, elsewhere)]) for command in commands]
    width = max(map(len, texts))
    lines = [f"{text:{width}}  # {what}" for text, what in zip(texts, commands.values(), strict=True)]
    say("\n".join(["next:", *(f"  {line}" for line in lines)]))


def _ending(sweep: Sweep) -> str:
    counts = f"{sweep.n_finished} of {sweep.n_trials} trials"
    if sweep.state is SweepState.STOPPED:
        return f"sweep {sweep.name} was stopped after {counts}"
    if sweep.state is SweepState.INTERRUPTED:
        return f"sweep {sweep.name} was interrupted after {counts}"
    if sweep.state is not SweepState.COMPLETE:
        return f"sweep {sweep.name} was left and is {sweep.state.lower()} again: {counts}"
    if sweep.n_finished >= sweep.n_trials:
        return f"sweep {sweep.name} is complete: {sweep.n_finished} trials, {format_losses(sweep)}"
    budget = sweep.spec["budget"]
    if reaches_target(sweep.best_value, budget.get("target"), sweep.direction):
        return f"sweep {sweep.name} has reached its target of {budget['target']:g}: {counts}"
    return f"sweep {sweep.name} has spent its {budget['seconds']:g} seconds: {counts}"
