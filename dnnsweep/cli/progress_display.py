"""Progress on stderr: a live display on a terminal, elsewhere plain lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dnnsweep.cli.formats import format_values
from dnnsweep.cli.live_frame import LiveFrame
from dnnsweep.cli.progress_view import ASCII, BEHIND_SECONDS, UNICODE, ProgressView, repeats_text
from dnnsweep.cli.standard_streams import say
from dnnsweep.cli.terminal import escape_controls
from dnnsweep.runner.controller import Progress, TrialEnded


@dataclass(frozen=True, slots=True)
class Display:
    """What a run tells its user through.

    Args:
        on_progress: Called with each change.
        on_phase: Called with what the run begins to do.
        say: Called with a message.
    """

    on_progress: Callable[[Progress], None]
    on_phase: Callable[[str], None]
    say: Callable[[str], None]


@contextmanager
def display(title: str) -> Iterator[Display]:
    """Show progress while the block runs.

    Args:
        title: The name of what is being run.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        lines = PlainLines()
        yield Display(lines.tell, lambda _: None, say)
        lines.end()
        return
    is_unicode = (sys.stderr.encoding or "").lower().startswith("utf")
    view, began_at = ProgressView(escape_controls(title), UNICODE if is_unicode else ASCII), time.monotonic()
    frame = LiveFrame(sys.stderr, lambda width: view.lines(width, time.monotonic(), time.monotonic() - began_at))

    def show(progress: Progress) -> None:
        view.note(progress, time.monotonic())
        if progress.ended is not None and progress.ended.result.error:
            frame.print_above(ended_line(progress, progress.ended))

    frame.start()
    try:
        yield Display(show, view.note_phase, lambda text: frame.print_above(escape_controls(text)))
    finally:
        frame.close()


class PlainLines:
    """Prints a line when a trial has ended, and two for all repeats of a purpose: at their begin and at their end."""

    def __init__(self) -> None:
        self._repeating: Progress | None = None

    def tell(self, progress: Progress) -> None:
        """Print what is new, if that is worth a line."""
        if progress.n_repeats is not None and progress.n_repeats[1]:
            self._note_repeats(progress)
        if progress.ended is not None and (progress.n_repeats is None or progress.ended.result.error):
            say(ended_line(progress, progress.ended))

    def _note_repeats(self, progress: Progress) -> None:
        if self._repeating is None or self._repeating.phase is not progress.phase:
            self.end()
            say(f"{progress.phase}: repeats begin")
        self._repeating = progress

    def end(self) -> None:
        """Print how many repeats have ended, if any were trained."""
        if self._repeating is not None:
            say(repeats_text(self._repeating).replace("  ", ": ", 1))
        self._repeating = None


def ended_line(progress: Progress, ended: TrialEnded) -> str:
    """Return one line about a trial that has ended, or a repeat that has failed."""
    if progress.n_repeats is None:
        return trial_line(progress, ended)
    return f"{progress.phase}: a repeat ended as {ended.result.reason}, {escape_controls(ended.result.error or '')}"


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
    if progress.behind_seconds >= BEHIND_SECONDS:
        parts.append(f"MLflow {progress.n_behind} updates behind")
    if result.error:
        parts.append(escape_controls(result.error))
    return ", ".join(parts)
