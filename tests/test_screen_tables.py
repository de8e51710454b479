"""Tables for people: what fits, what is left out, and where lines break."""

from __future__ import annotations

import io
import sys

import pytest

from dnnsweep.cli.screen_tables import Column, fit, print_facts, print_table, table_lines

SENTENCE = "the trainer was ended because of trial 12"
COLUMNS = (
    Column("number", ["0", "10"], is_numeric=True),
    Column("value", ["0.9712", "0.9"], is_numeric=True),
    Column("reason", ["completed", "completed"]),
    Column("initializer", ["glorot_normal", "he_uniform"]),
    Column("learning_rate", ["0.001", "0.0001234"]),
)


class Screen(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def names(columns: object) -> list[str]:
    assert isinstance(columns, list | tuple)
    return [column.name for column in columns]


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (200, []),
        (55, []),
        (54, ["reason"]),
        (44, ["reason"]),
        (43, ["reason", "learning_rate"]),
        (20, ["reason", "initializer", "learning_rate"]),
        (12, ["value", "reason", "initializer", "learning_rate"]),
        (1, ["value", "reason", "initializer", "learning_rate"]),
    ],
)
def test_columns_are_left_out_as_a_whole_constant_ones_first_then_from_the_right(
    width: int, left_out: list[str]
) -> None:
    shown, rest = fit(COLUMNS, width)

    assert names(rest) == left_out
    assert names(shown) == [name for name in names(COLUMNS) if name not in left_out]
    assert width < 6 or max(map(len, table_lines(shown, width))) <= width


def test_one_row_has_no_constant_columns() -> None:
    columns = [Column("a", ["x"]), Column("b", ["x"]), Column("c", ["x"])]

    assert names(fit(columns, 4)[1]) == ["c"]


def test_numbers_stand_at_the_right_and_wide_characters_count_twice() -> None:
    columns = [Column("name", ["日本", "a"]), Column("n", ["5", "10"], is_numeric=True)]

    assert list(table_lines(columns, None)) == ["name   n", "日本   5", "a     10"]


@pytest.mark.parametrize("width", range(30, 60, 3))
def test_sentences_break_between_words_and_nothing_else_does(width: int) -> None:
    columns = [Column("trial", ["1", "2"], is_numeric=True), Column("how", [SENTENCE, "ended"], is_prose=True)]

    head, *lines = table_lines(columns, width)

    assert head.split() == ["trial", "how"]
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()) == f"1 {SENTENCE} 2 ended"


def test_a_word_wider_than_its_column_stays_whole() -> None:
    lines = list(
        table_lines([Column("a", ["x"]), Column("how", ["see /a/very/long/path/of/a/file"], is_prose=True)], 9)
    )

    assert lines[-1].split() == ["/a/very/long/path/of/a/file"]


def print_on_screen(monkeypatch: pytest.MonkeyPatch, columns: int, *, is_wide: bool = False) -> tuple[str, str]:
    out, err = Screen(), io.StringIO()
    with monkeypatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        print_table(COLUMNS, is_wide=is_wide)
    return out.getvalue(), err.getvalue()


def test_what_a_screen_has_no_room_for_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert print_on_screen(monkeypatch, 42)[1] == (
        "2 more columns: --wide, or --json (reason completed, learning_rate)\n"
    )
    assert print_on_screen(monkeypatch, 200)[1] == ""
    wide, note = print_on_screen(monkeypatch, 20, is_wide=True)
    assert ("learning_rate" in wide, note) == (True, "")


def test_a_file_gets_every_column_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")

    print_table([*COLUMNS, Column("how", [SENTENCE * 20] * 2, is_prose=True)])
    print_facts([("about", SENTENCE * 20)])

    out, err = capsys.readouterr()
    assert (len(out.splitlines()), err) == (4, "")
    assert "\x1b" not in out


def test_facts_are_broken_between_words_at_the_edge_of_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", screen := Screen())

    print_facts([("about", SENTENCE), ("state", "COMPLETE")])

    lines = screen.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert lines == ["about  the trainer was ended because of", "       trial 12", "state  COMPLETE"]
