"""What the live display shows: the lines of one frame, from what is known so far."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size

from dnnsweep.cli.formats import format_setting, format_values
from dnnsweep.cli.render import format_losses
from dnnsweep.cli.terminal import break_lines, escape_controls
from dnnsweep.records.phases import Phase
from dnnsweep.runner.controller import Progress

#: MLflow may be some updates behind while trials train; it is news only if none has reached it for so long.
BEHIND_SECONDS: Final = 30.0
#: Trials a second are counted over this time.
RATE_SECONDS: Final = 30.0
N_LATEST: Final = 8
MAX_BAR: Final = 40
MAX_SPARKS: Final = 30
#: The most lines that hyperparameters of the best trial take.
MAX_SETTING_LINES: Final = 3
_LABEL: Final = 9


class Piece(NamedTuple):
    """A text in one style.

    Args:
        text: The text.
        style: `plain`, `bold`, `dim`, `good` or `bad`.
    """

    text: str
    style: str = "plain"


class Symbols(NamedTuple):
    """What bars and curves are made of.

    Args:
        done: A part of a bar that is done.
        left: A part of a bar that is not.
        levels: Heights of a curve, lowest first.
    """

    done: str
    left: str
    levels: str


UNICODE: Final = Symbols("━", "─", "▁▂▃▄▅▆▇█")
ASCII: Final = Symbols("#", "-", "_.-=+*#%")
Line = Sequence[Piece]


class ProgressView:
    """Gathers what is told of a run, and lays it out for any width. It reads no clock: times are given.

    Args:
        title: Name of what is run.
        symbols: What bars and curves are made of.
    """

    def __init__(self, title: str, symbols: Symbols = UNICODE) -> None:
        self._title = title
        self._symbols = symbols
        self._phase = "starting"
        self._progress: Progress | None = None
        self._repeating: Progress | None = None
        self._told_at = 0.0
        self._ended_at: deque[float] = deque()
        self._first_ended_at: float | None = None
        self._latest: deque[Piece] = deque(maxlen=N_LATEST)
        self._bests: list[float] = []

    def note_phase(self, phase: str) -> None:
        """Note what the run begins to do."""
        self._phase = phase

    def note(self, progress: Progress, now: float) -> None:
        """Note how far the run is.

        Args:
            progress: What its controller says.
            now: When it says so, in seconds from any beginning.
        """
        self._phase = progress.phase
        if progress.n_repeats is not None:  # its other numbers are no trials'
            self._repeating = progress
            return
        self._progress, self._told_at, self._repeating = progress, now, None
        if progress.ended is None:
            return
        self._ended_at.append(now)
        self._first_ended_at = now if self._first_ended_at is None else self._first_ended_at
        values = progress.ended.values
        text = progress.ended.result.reason.value if values is None else format_values(values)
        self._latest.appendleft(Piece(text, "bad" if values is None else "plain"))
        if progress.best is not None and math.isfinite(progress.best.values[0]):
            self._bests.append(progress.best.values[0])

    def lines(self, width: int, now: float, elapsed: float) -> list[list[Piece]]:
        """Return the lines of a frame, none wider than the screen.

        Args:
            width: Columns of the screen.
            now: The present, by the clock of `note`.
            elapsed: Seconds since the display began.
        """
        lines: list[Line] = [self._head(width, elapsed)]
        if self._progress is not None:
            lines += self._body(self._progress, width, now)
        return [_cut(line, width) for line in lines]

    def _head(self, width: int, elapsed: float) -> Line:
        rest = f"  {self._phase}  {format_duration(elapsed)}"
        title = self._title
        if cell_len(title) > width - len(rest):
            title = set_cell_size(title, max(1, width - len(rest)))
        return [Piece(title, "bold"), Piece(rest, "dim")]

    def _body(self, progress: Progress, width: int, now: float) -> Iterator[Line]:
        repeating = self._repeating
        yield self._bar_line(progress, width)
        if repeating is not None:
            yield [Piece(repeats_text(repeating))]
        elif progress.phase is not Phase.DELIVERING:
            yield [Piece("   ".join(self._facts(progress, now)))]
        if self._latest:
            yield [Piece(f"{'latest':{_LABEL}}", "dim"), *_spaced(self._latest)]
        yield from self._best_lines(progress, width)
        newest = repeating or progress
        if newest.behind_seconds >= BEHIND_SECONDS:
            behind = f"MLflow got nothing for {format_duration(newest.behind_seconds)}: {newest.n_behind} updates wait"
            yield [Piece(behind, "bad")]

    def _facts(self, progress: Progress, now: float) -> Iterator[str]:
        yield f"{len(progress.running)} running"
        rate = self._rate(now)
        if rate is not None:
            yield rate
        if progress.seconds_left is not None:
            left = max(0.0, progress.seconds_left - (now - self._told_at))
            yield f"about {format_duration(max(1.0, left))} left"

    def _bar_line(self, progress: Progress, width: int) -> Line:
        count = f"  {progress.n_finished}/{progress.n_trials}  "
        losses = format_losses(progress)
        size = max(4, min(MAX_BAR, width - len(count) - len(losses)))
        n_done = min(size, size * progress.n_finished // max(1, progress.n_trials))
        done, left = self._symbols.done * n_done, self._symbols.left * (size - n_done)
        style = "bad" if progress.n_failed else "dim"
        return [Piece(done, "good"), Piece(left, "dim"), Piece(count), Piece(losses, style)]

    def _rate(self, now: float) -> str | None:
        """Return how fast trials end: those of the last seconds, without the first ones, that started up together."""
        if self._first_ended_at is None:
            return None
        while self._ended_at and self._ended_at[0] < now - RATE_SECONDS:
            self._ended_at.popleft()
        seconds = min(RATE_SECONDS, now - self._first_ended_at)
        n_ended = sum(moment > self._first_ended_at for moment in self._ended_at)
        return None if n_ended == 0 or seconds <= 0 else f"{format_rate(n_ended / seconds)}"

    def _best_lines(self, progress: Progress, width: int) -> Iterator[Line]:
        best = progress.best
        if best is None:
            return
        front = f", front of {progress.n_best}" if len(best.values) > 1 else ""
        text = f"{format_values(best.values)} (trial {best.number}{front})"
        room = min(MAX_SPARKS, width - _LABEL - len(text) - 2)
        sparks = f"  {sparkline(self._bests, room, self._symbols.levels)}" if room > 0 else ""
        yield [Piece(f"{'best':{_LABEL}}", "dim"), Piece(text, "bold"), Piece(sparks, "good")]
        named = [f"{name}={format_setting(best.params[name])}" for name in progress.searched if name in best.params]
        settings = break_lines("  ".join(word.replace(" ", "\u00a0") for word in named), max(1, width - _LABEL))
        for line in settings[:MAX_SETTING_LINES]:
            yield [Piece(" " * _LABEL + escape_controls(line.replace("\u00a0", " ").strip()))]


def repeats_text(progress: Progress) -> str:
    """Return how far the repeats are that are being trained, after the trials of a sweep."""
    n_ended, n_asked = progress.n_repeats or (0, 0)
    return f"{progress.phase}  {n_ended} of {n_asked} repeats"


def _spaced(pieces: Sequence[Piece] | deque[Piece]) -> Iterator[Piece]:
    for index, piece in enumerate(pieces):
        yield Piece(f"{'  ' if index else ''}{piece.text}", piece.style)


def _cut(line: Line, width: int) -> list[Piece]:
    """Return a line without what a screen has no room for: pieces from the first that does not fit on."""
    kept: list[Piece] = []
    room = width
    for piece in line:
        size = cell_len(piece.text)
        if size > room:
            return kept or [Piece(set_cell_size(piece.text, width), piece.style)]
        kept.append(piece)
        room -= size
    return kept


def sparkline(values: Sequence[float], width: int, levels: str = UNICODE.levels) -> str:
    """Return a curve of values, the last one of each equal share of them, as high as they are.

    Example:
        >>> sparkline([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8), sparkline([1.0, 1.0, 9.0, 9.0], 2)
        ('▁▂▃▄▅▆▇█', '▁█')
    """
    if not values or width < 1:
        return ""
    size = min(width, len(values))
    shares = [values[(index + 1) * len(values) // size - 1] for index in range(size)]
    low, high = min(shares), max(shares)
    scale = (len(levels) - 1) / (high - low) if high > low else 0.0
    return "".join(levels[round((value - low) * scale)] for value in shares)


def format_duration(seconds: float) -> str:
    """Return a duration for people.

    Example:
        >>> format_duration(59.6), format_duration(125), format_duration(7260)
        ('1 min 0 s', '2 min 5 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def format_rate(per_second: float) -> str:
    """Return how many trials end in a second, or in a minute where they are few.

    Example:
        >>> format_rate(12.34), format_rate(0.5), format_rate(0.02)
        ('12 trials/s', '0.5 trials/s', '1.2 trials/min')
    """
    if per_second >= 10:
        return f"{per_second:.0f} trials/s"
    return f"{per_second:.2g} trials/s" if per_second >= 0.1 else f"{60 * per_second:.2g} trials/min"
