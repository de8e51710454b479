"""Progress on stderr: a live display on a terminal, elsewhere one plain line per finished trial."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dnnsweep.cli.formats import format_setting, format_values
from dnnsweep.cli.render import format_losses
from dnnsweep.cli.terminal import escape_controls
from dnnsweep.runner.controller import Progress, TrialEnded


@contextmanager
def display(title: str) -> Iterator[Callable[[Progress], None]]:
    """Show progress while the block runs; yield the function to call with each change.

    Args:
        title: The name of what is being run.
    """
    if not sys.stderr.isatty():
        yield print_line
        return
    console = Console(stderr=True)
    waiting = Text(f"{title}: loading the data", style="dim")
    with Live(waiting, console=console, refresh_per_second=4, transient=True, redirect_stdout=False) as live:

        def show(progress: Progress) -> None:
            if progress.ended is not None and progress.ended.result.error:
                live.console.print(Text(trial_line(progress, progress.ended), style="red"))
            live.update(_draw(title, progress))

        yield show


def print_line(progress: Progress) -> None:
    """Print one line when a trial has ended, nothing else."""
    if progress.ended is not None:
        with suppress(OSError):  # a sweep goes on when nobody reads its progress any more
            sys.stderr.write(trial_line(progress, progress.ended) + "\n")
            sys.stderr.flush()


def trial_line(progress: Progress, ended: TrialEnded) -> str:
    """Return one line about a trial that has ended."""
    result = ended.result
    parts = [f"[{progress.n_finished}/{progress.n_trials}] trial {result.number}: {result.reason}"]
    if ended.values is not None:
        parts.append(format_values(ended.values))
    epochs = "1 epoch" if result.curve.n_epochs == 1 else f"{result.curve.n_epochs} epochs"
    parts.append(f"{epochs} in {result.seconds:.1f} s")
    if progress.best is not None:
        parts.append(f"best {format_values(progress.best.values)} (trial {progress.best.number})")
    if progress.best is not None and len(progress.best.values) > 1:
        parts.append(f"front of {progress.n_best}")
    if progress.n_behind:
        parts.append(f"MLflow {progress.n_behind} updates behind")
    if result.error:
        parts.append(escape_controls(result.error))
    return ", ".join(parts)


def _draw(title: str, progress: Progress) -> Group:
    head = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=progress.n_trials, completed=progress.n_finished, width=40)
    left = "" if progress.seconds_left is None else f"about {_duration(progress.seconds_left)} left"
    failed = Text(format_losses(progress), style="red" if progress.n_failed else "dim")
    head.add_row(Text(title, style="bold"), bar, f"{progress.n_finished}/{progress.n_trials}", failed, left)
    running = ", ".join(f"{trial} (epoch {epochs})" for trial, epochs in sorted(progress.running.items()))
    behind = Text(f"MLflow   {progress.n_behind} updates behind", style="dim") if progress.n_behind else Text("")
    return Group(head, Text(f"running  {running or '-'}"), _best(progress), behind)


def _best(progress: Progress) -> Text:
    if progress.best is None:
        return Text("best     -")
    settings = "  ".join(f"{name}={format_setting(setting)}" for name, setting in progress.best.params.items())
    values = progress.best.values
    size = f", front of {progress.n_best}" if len(values) > 1 else ""
    return Text(f"best     {format_values(values)}  (trial {progress.best.number}{size})  {settings}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
