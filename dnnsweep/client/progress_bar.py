"""A progress bar for scripts on a terminal and for notebooks."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self, TextIO

from dnnsweep.runner.controller import Progress


class ProgressBar:
    """A bar that is shown while the `with` block runs, on stderr or below a notebook's cell.

    Nothing is shown where nobody looks: stderr is a file or a pipe, and this is no notebook.

    Args:
        name: Name of the sweep.
        is_wanted: Whether to show anything.
    """

    def __init__(self, name: str, *, is_wanted: bool = True) -> None:
        from tqdm.auto import tqdm

        self._name = name
        self._is_seen = is_wanted and (_is_notebook() or _is_terminal(sys.stderr))
        self._bar: Any = tqdm(desc=f"{name}: loading data", unit="trial", disable=not self._is_seen)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def update(self, progress: Progress) -> None:
        """Show how far the sweep is; while repeats are trained, beside the full bar of its trials."""
        if progress.n_repeats is not None:
            n_ended, n_asked = progress.n_repeats
            self._bar.set_postfix_str(f"{progress.phase}: {n_ended} of {n_asked} repeats")
            return
        self._bar.total = progress.n_trials
        self._bar.set_description_str(self._name, refresh=False)
        self._bar.set_postfix_str(_best_text(progress), refresh=False)
        self._bar.n = progress.n_finished
        self._bar.refresh()

    def write(self, note: str) -> None:
        """Write a sentence above the bar."""
        if self._is_seen:
            self._bar.write(f"note: {note}", file=sys.stderr)


def _best_text(progress: Progress) -> str:
    best = progress.best
    values = "" if best is None else f"best {', '.join(f'{value:.5g}' for value in best.values)} (trial {best.number})"
    failed = f"{progress.n_failed} failed" if progress.n_failed else ""
    return ", ".join(filter(None, (values, failed)))


def _is_terminal(stream: TextIO | None) -> bool:
    """Return whether somebody sits before a stream; a process that was started without it has None."""
    return stream is not None and not stream.closed and stream.isatty()


def _is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", ())
