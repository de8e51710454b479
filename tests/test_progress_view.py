"""The live display: what a frame shows, how wide it is, and how it is drawn anew. No terminal, no clock."""

from __future__ import annotations

import io
import os
from dataclasses import replace

import pytest
from rich.cells import cell_len

from dnnsweep.cli.live_frame import LiveFrame, erasure
from dnnsweep.cli.progress_view import ASCII, Piece, ProgressView, format_rate, sparkline
from dnnsweep.records import Curve, Reason, Suggestion, TrialResult
from dnnsweep.records.phases import Phase
from dnnsweep.runner.controller import Incumbent, Progress, TrialEnded

SETTINGS = {"optimizer": "adam", "learning_rate": 0.001567, "hidden": (64, 32), "batch_size": 32, "activation": "relu"}
BEST = Incumbent(6, (0.98050135,), 0.1, SETTINGS)
EMPTY = Progress(
    100, 0, 0, dict.fromkeys(range(16), 0), None, 0.0, None, phase=Phase.COMPILING, searched=tuple(SETTINGS)[:3]
)


def trial(number: int, value: float | None, reason: Reason = Reason.COMPLETED) -> TrialEnded:
    result = TrialResult(number, 1, reason, Curve(), None, 1.0)
    return TrialEnded(Suggestion(number, SETTINGS, 1), result, None if value is None else (value,))


def run(view: ProgressView, n_trials: int, seconds: float = 0.5) -> Progress:
    """Let trials end at regular intervals, each better than the one before; return the last change."""
    progress = EMPTY
    for number in range(n_trials):
        value = 0.9 + number / 1000
        progress = replace(
            EMPTY,
            n_finished=number + 1,
            best=replace(BEST, number=number, values=(value,)),
            ended=trial(number, value),
            seconds_left=(100 - number) * seconds,
            phase=Phase.TRAINING,
        )
        view.note(progress, 100 + number * seconds)
    return progress


def text_of(view: ProgressView, width: int = 80, now: float = 115.0, elapsed: float = 15.0) -> str:
    return "\n".join("".join(piece.text for piece in line) for line in view.lines(width, now, elapsed))


def test_a_run_says_what_it_is_doing_from_its_start_to_its_end() -> None:
    view = ProgressView("digits")
    assert text_of(view, elapsed=0) == "digits  starting  0 s"
    for phase in (Phase.STARTING, Phase.LOADING):
        view.note_phase(phase)
        assert text_of(view) == f"digits  {phase.value}  15 s"
    for phase in (Phase.COMPILING, Phase.TRAINING, Phase.DELIVERING):
        view.note(replace(EMPTY, phase=phase), 115.0)
        assert text_of(view).startswith(f"digits  {phase.value}  15 s\n")


def test_before_a_trial_has_ended_nothing_is_guessed() -> None:
    view = ProgressView("digits")
    view.note(EMPTY, 100.0)

    assert text_of(view).splitlines()[1:] == [f"{'─' * 40}  0/100  0 failed", "16 running"]


def test_a_frame_shows_rate_latest_results_and_a_curve_of_the_best_so_far() -> None:
    view = ProgressView("digits")
    run(view, 31)

    _, bar, facts, latest, best, settings = text_of(view).splitlines()

    assert bar == f"{'━' * 12}{'─' * 28}  31/100  0 failed"
    assert facts == "16 running   2 trials/s   about 35 s left"
    assert latest == "latest   0.93  0.929  0.928  0.927  0.926  0.925  0.924  0.923"
    assert best.startswith("best     0.93 (trial 30)  ▁▁")
    assert best.endswith("▇██")
    assert settings == "         optimizer=adam  learning_rate=0.001567  hidden=[64, 32]"


def test_the_time_left_is_counted_down_and_never_below_a_second() -> None:
    view = ProgressView("digits")
    view.note(replace(EMPTY, seconds_left=90.0), 100.0)

    assert [text_of(view, now=now).split("about ")[1] for now in (100.0, 130.5, 500.0)] == [
        "1 min 30 s left",
        "1 min 0 s left",
        "1 s left",
    ]


def test_once_nothing_trains_any_more_no_time_is_left() -> None:
    view = ProgressView("digits")
    view.note(replace(EMPTY, seconds_left=90.0, phase=Phase.DELIVERING), 100.0)

    assert text_of(view).splitlines()[1:] == [f"{'─' * 40}  0/100  0 failed"]


def test_only_what_is_searched_stands_in_the_best_line() -> None:
    view = ProgressView("digits")
    view.note(replace(EMPTY, best=BEST, searched=("learning_rate",)), 100.0)

    assert text_of(view).splitlines()[-1].split() == ["learning_rate=0.001567"]


@pytest.mark.parametrize("seconds", [0.0, 29.0])
def test_some_updates_that_wait_for_mlflow_are_no_news(seconds: float) -> None:
    view = ProgressView("digits")
    view.note(replace(EMPTY, n_behind=12, behind_seconds=seconds), 100.0)

    assert "MLflow" not in text_of(view)


def test_an_mlflow_that_gets_nothing_for_half_a_minute_is_named() -> None:
    view = ProgressView("digits")
    view.note(replace(EMPTY, n_behind=12, behind_seconds=31.0), 100.0)

    assert text_of(view).splitlines()[-1] == "MLflow got nothing for 31 s: 12 updates wait"


def test_trials_without_a_value_are_counted_by_what_became_of_them() -> None:
    view = ProgressView("digits")
    counts = replace(EMPTY, n_finished=9, n_failed=3, n_diverged=2, n_pruned=4)
    view.note(replace(counts, ended=trial(8, None, Reason.DIVERGED)), 100.0)

    assert "9/100  1 failed, 2 diverged, 4 pruned" in text_of(view)
    assert "latest   diverged" in text_of(view)


@pytest.mark.parametrize("width", [*range(12, 90, 7), 60, 79, 200])
def test_no_line_is_wider_than_the_screen_and_none_breaks_inside_a_word(width: int) -> None:
    view = ProgressView("a-sweep-with-a-name-that-is-very-long-indeed-and-longer")
    progress = run(view, 31)
    view.note(replace(progress, n_failed=30, n_pruned=20, n_behind=7, behind_seconds=40.0), 115.0)

    lines = text_of(view, width).splitlines()

    assert max(map(cell_len, lines)) <= width
    words = {word for line in text_of(view, 200).splitlines()[2:] for word in line.split()}
    if width >= 60:
        broken = {word for line in lines[2:] for word in line.split()} - words
        assert all(set(word) <= set("▁▂▃▄▅▆▇█") for word in broken)


def test_a_terminal_without_unicode_gets_plain_characters() -> None:
    view = ProgressView("digits", ASCII)
    run(view, 31)

    assert text_of(view).isascii()


@pytest.mark.parametrize(
    ("values", "width", "curve"),
    [
        ([], 5, ""),
        ([0.5], 5, "▁"),
        ([0.5, 0.5], 5, "▁▁"),
        ([3.0, 2.0, 1.0], 5, "█▅▁"),
        ([0.0] * 50 + [1.0] * 50, 4, "▁▁██"),
        ([0.0, 1.0], 0, ""),
    ],
)
def test_a_curve_is_as_high_as_its_values(values: list[float], width: int, curve: str) -> None:
    assert sparkline(values, width) == curve


@pytest.mark.parametrize(
    ("per_second", "text"), [(123.4, "123 trials/s"), (3.456, "3.5 trials/s"), (0.05, "3 trials/min")]
)
def test_a_rate_is_told_in_a_unit_that_suits_it(per_second: float, text: str) -> None:
    assert format_rate(per_second) == text


# -- drawing ------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A terminal of some width, without a file."""


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def test_a_frame_is_drawn_over_the_last_one_and_removed_at_the_end(terminal: Terminal) -> None:
    frame = LiveFrame(terminal, lambda width: [[Piece("one", "bold")], [Piece(f"{width} wide")]])

    frame.start()
    frame.print_above("a message")
    frame.close()

    drawn = "\x1b[1mone\x1b[0m\n39 wide"
    gone = "\r\x1b[1A\x1b[J"
    written = terminal.getvalue()
    assert written.startswith(f"\x1b[?25l{drawn}{gone}")
    assert f"{gone}a message\n{drawn}" in written
    assert written.endswith(f"{drawn}{gone}\x1b[?25h")


def test_no_colour_is_used_where_none_is_wanted(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    frame = LiveFrame(terminal, lambda _: [[Piece("failed", "bad"), Piece("best", "bold")]])

    frame.start()
    frame.close()

    assert terminal.getvalue().startswith("\x1b[?25lfailed\x1b[1mbest\x1b[0m")


def test_a_terminal_that_is_gone_does_not_end_the_run() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:  # noqa: ARG002  nobody takes it
            raise OSError(os.strerror(5))

    frame = LiveFrame(Gone(), lambda _: [[Piece("one")]])

    frame.start()
    frame.print_above("lost")
    frame.close()


@pytest.mark.parametrize(
    ("sizes", "width", "n_up"), [([10], 40, 0), ([10, 40], 40, 1), ([10, 41], 40, 2), ([70, 77, 59, 5], 50, 6)]
)
def test_lines_that_a_narrower_terminal_has_broken_are_removed_as_well(sizes: list[int], width: int, n_up: int) -> None:
    assert erasure(sizes, width) == ("\r\x1b[J" if n_up == 0 else f"\r\x1b[{n_up}A\x1b[J")
