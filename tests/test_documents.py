from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
from effort import MAX_CALLS, n_calls
from hypothesis import given, settings
from hypothesis import strategies as st

from dnnsweep.errors import SpecError
from dnnsweep.spec import documents
from dnnsweep.spec.documents import MAX_BYTES, MAX_VALUES, overridden, override, parse, plain, read, scan, write

SCALARS: list[tuple[str, Any]] = [
    ("5", 5),
    ("-5", -5),
    ("007", 7),
    ("1e-4", 1e-4),
    ("1.0e-4", 1e-4),
    (".5", 0.5),
    ("5.", 5.0),
    ("-.inf", -math.inf),
    ("true", True),
    ("FALSE", False),
    ("null", None),
    ("~", None),
    ("", None),
    # text in YAML 1.2, something else in YAML 1.1
    ("on", "on"),
    ("no", "no"),
    ("yes", "yes"),
    ("none", "none"),
    ("2024-01-01", "2024-01-01"),
    ("1:30", "1:30"),
    ("1_000", "1_000"),
    ("0x1F", "0x1F"),
    ("'5'", "5"),
    ('"true"', "true"),
    ("'null'", "null"),
    ("<<", "<<"),
    ("=", "="),
    ("|\n  5\n", "5\n"),
    ("9" * 1001, math.inf),  # too long for a number of any use
    ("csv:data/a b.csv", "csv:data/a b.csv"),
    ("\u00fcbung # comment", "\u00fcbung"),
]

# text, what the error must say
UNREADABLE: list[tuple[str, str]] = [
    ("a: [1, 2", "text line"),
    ("a: 'open", "text line"),
    ("a: b: c", "text line 1: must be plain YAML: mapping values are not allowed"),
    ("\ta: 1", "text line 1"),
    ("a:\n\tb: 1", "text line 2"),
    ("a: 1\n  b: 2", "text line 2"),
    ("a: 1\n---\nb: 2", "text line 2: must be plain YAML: a second document; remove `---`"),
    ("a: &x 1\nb: *x", "text line 2: must be plain YAML: an alias"),
    ("*x : 1", "an alias"),
    ("a: *unknown", "an alias"),
    ("a: !!python/object/apply:os.system [id]", "a tag"),
    ("a: !!int '5'", "a tag"),
    ("a: !!binary aGk=", "a tag"),
    ("!!set {a, b}", "a tag"),
    ("!!str a: 1", "a tag"),
    ("a: !local 5", "a tag"),
    ("%TAG ! tag:x,2000:\n---\na: 1\n...\n%BAD", "text"),
    ("@a", "text line 1"),
    ("`a`", "text line 1"),
    ("a: \0", "control characters are not allowed"),
    ("a: \x1b[31m", "control characters are not allowed"),
    ('a: "\\ud800"', "text line 1"),
    ("a: \ud800", "must be text"),
    ("[" * 100, "nested deeper than 20 levels"),
    ("- " * 100, "nested deeper than 20 levels"),
    ("{a: " * 100, "nested deeper than 20 levels"),
    ("? " * 100, "nested deeper than 20 levels"),
]


def _said(error: pytest.ExceptionInfo[SpecError]) -> list[str]:
    return [str(mistake) for mistake in error.value.mistakes]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_are_read_as_yaml_1_2_does(text: str, value: Any) -> None:
    parsed = parse(f"a: {text}", "text")["a"]

    assert (parsed, type(parsed)) == (value, type(value))


def test_not_a_number_is_read() -> None:
    assert math.isnan(parse(".nan", "text"))


@pytest.mark.parametrize(("text", "said"), UNREADABLE, ids=lambda text: ascii(text[:20]))
def test_what_is_no_plain_yaml_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(SpecError) as error:
        parse(text, "text")

    assert len(error.value.mistakes) == 1
    assert said in str(error.value)
    str(error.value).encode()  # can be printed


@pytest.mark.parametrize("text", ["", "# a comment", "---", "--- # nothing\n...\n", "\n\n"])
def test_empty_document_is_null(text: str) -> None:
    assert parse(text, "text") is None


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("---\na: 1\n...\n", {"a": 1}),
        ("%YAML 1.2\n---\na: 1", {"a": 1}),
        ("a: &anchor 1", {"a": 1}),
        ("{a: [1, {b: 2}], c: {}}", {"a": [1, {"b": 2}], "c": {}}),
        ("1: a\ntrue: b\nnull: c\n1e3: d", {"1": "a", "true": "b", "null": "c", "1e3": "d"}),
        ("[a, b]: c", {"['a', 'b']": "c"}),
        ("? {a: 1}\n: c", {"{a: 1}": "c"}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
    ],
)
def test_document_is_read_as_lists_and_mappings_with_keys_of_text(text: str, document: Any) -> None:
    assert parse(text, "text") == document


def test_every_repeated_key_is_reported_with_its_path_and_line() -> None:
    text = """\
name: a
name: b
space:
  dropout: {low: 0, high: 0.5, low: 0.1}
enqueue:
  - {l2: 0}
  - {l2: 0, "l2": 1, l2: 2}
"a b": {1: x, "1": y}
"""
    with pytest.raises(SpecError) as error:
        parse(text, "text")

    assert _said(error) == [
        "name: must be given once, got it again on line 2; keep one of them",
        "space.dropout.low: must be given once, got it again on line 4; keep one of them",
        "enqueue.1.l2: must be given once, got it again on line 7; keep one of them",
        "enqueue.1.l2: must be given once, got it again on line 7; keep one of them",
        "'a b'.1: must be given once, got it again on line 8; keep one of them",
    ]


def test_scan_goes_on_with_the_last_of_repeated_keys() -> None:
    document, mistakes = scan("a: 1\na: 2", "text", "top")

    assert document == {"a": 2}
    assert [mistake.path for mistake in mistakes] == ["top.a"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * MAX_BYTES,
        "{" * MAX_BYTES,
        "- " * (MAX_BYTES // 2),
        "? " * (MAX_BYTES // 2),
        "!" * MAX_BYTES,
        "&" * MAX_BYTES,
        '"' + "a" * (MAX_BYTES - 1),
        "[" + "0," * (MAX_BYTES // 2 - 1) + "]",
        "a: " + "9" * (MAX_BYTES - 3),
        "a:\n" * (MAX_BYTES // 3),
        "#" * MAX_BYTES,
        " " * MAX_BYTES,
        "\n" * MAX_BYTES,
    ],
    ids=lambda text: repr(text[:4]),
)
def test_largest_text_is_read_or_refused_with_little_effort(text: str) -> None:
    def read() -> None:
        try:
            parse(text, "text")
        except SpecError as error:
            assert error.mistakes  # noqa: PT017  either outcome is right here

    assert n_calls(read) < MAX_CALLS


def _refuse(document: Any) -> None:
    mistakes = plain(document)[1]
    if mistakes:
        raise SpecError(mistakes)


def test_parser_without_libyaml_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    monkeypatch.setattr(documents, "_PARSER", yaml.SafeLoader)

    for text, value in SCALARS:
        assert parse(f"a: {text}", "text") == {"a": value}
    for text, _ in UNREADABLE:
        with pytest.raises(SpecError):
            _refuse(parse(text, "text"))  # PyYAML reads a lone surrogate; the check of the document finds it


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfea\x00:\x00", "must be UTF-8 text"),
        (b"name: \xe9t\xe9", "must be UTF-8 text, got invalid continuation byte at byte 6"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "must be UTF-8 text"),
        (b"PK\x03\x04", "control characters are not allowed"),
        (b"#" * 1_100_000, "must have at most 200000 bytes"),
    ],
)
def test_file_that_is_no_text_is_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_bytes(content)

    with pytest.raises(SpecError) as error:
        read(file)

    assert said in str(error.value)
    assert str(file) in error.value.mistakes[0].path


@pytest.mark.parametrize("name", ["missing.yaml", ".", "sweep.yaml/under", "a\0b", "x" * 5000])
def test_file_that_cannot_be_opened_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "sweep.yaml").write_text("name: a")

    with pytest.raises(SpecError, match="must be a sweep file that can be read"):
        read(tmp_path / name)


def test_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(SpecError, match="must have at most 200000 bytes"):
        read(Path("/dev/zero"))


def test_pipe_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"name: a")
    os.close(writing)
    try:
        assert read(Path(f"/dev/fd/{reading}")) == {"name": "a"}
    finally:
        os.close(reading)


def test_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_bytes(b"\xef\xbb\xbfname: a")

    assert read(tmp_path / "sweep.yaml") == {"name": "a"}


@pytest.mark.parametrize(
    ("overrides", "document"),
    [
        ([], {"training": {"epochs": 50}, "enqueue": [{"l2": 0}, {"l2": 1}], "space": None}),
        (["training.epochs=5"], {"training": {"epochs": 5}}),
        (["training.epochs=5", "training.epochs=6"], {"training": {"epochs": 6}}),
        ([" training . epochs = 5 "], {"training": {"epochs": 5}}),
        (["training.epochs="], {"training": {"epochs": None}}),
        (["training.early_stopping.patience=3"], {"training": {"epochs": 50, "early_stopping": {"patience": 3}}}),
        (["budget.trials=3"], {"budget": {"trials": 3}}),
        (["space.dropout={low: 0, high: .5}"], {"space": {"dropout": {"low": 0, "high": 0.5}}}),
        (["space.hidden=[[64, 32], [64]]"], {"space": {"hidden": [[64, 32], [64]]}}),
        (["enqueue.1.l2=1e-3"], {"enqueue": [{"l2": 0}, {"l2": 1e-3}]}),
        (["enqueue.0={dropout: 0}"], {"enqueue": [{"dropout": 0}, {"l2": 1}]}),
        (["name='5'"], {"name": "5"}),
        (["dataset.source=csv:a=b.csv"], {"dataset": {"source": "csv:a=b.csv"}}),
        (["training=null", "training.epochs=1"], {"training": {"epochs": 1}}),
    ],
)
def test_override_replaces_its_place_and_nothing_else(overrides: list[str], document: dict[str, Any]) -> None:
    original = {"training": {"epochs": 50}, "enqueue": [{"l2": 0}, {"l2": 1}], "space": None}
    untouched = parse(write(original), "text")

    changed = override(original, overrides)

    assert changed == {**original, **document}
    assert original == untouched


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs", "--set: must be written path=value, got 'epochs'"),
        ("=5", "--set: must be written path=value"),
        (" =5", "--set: must be written path=value"),
        ("a..b=5", "--set: must be written path=value"),
        (".a=5", "--set: must be written path=value"),
        ("", "--set: must be written path=value"),
        (".".join("a" * 50) + "=1", "--set: must be written path=value"),
        ("name.first=5", "--set name.first: must lead to a place in the sweep file, got 'a' where first was expected"),
        ("enqueue.2=5", "got [{l2: 0}, {l2: 1}] where 2 was expected"),
        ("enqueue.-1=5", "where -1 was expected"),
        ("enqueue.²=5", "where ² was expected"),
        ("enqueue." + "9" * 5000 + "=5", "was expected"),
        ("enqueue.l2=5", "where l2 was expected"),
        ("training.epochs=[", "must be plain YAML"),
        ("training.epochs=*x", "an alias"),
        ("training={epochs: 1, epochs: 2}", "training.epochs: must be given once"),
        ("a=\udcff", "must be text"),
        ("a=" + "x" * 300_000, "must have at most 200000 characters"),
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_wrong_override_is_refused(text: str, said: str) -> None:
    with pytest.raises(SpecError) as error:
        override({"name": "a", "training": {}, "enqueue": [{"l2": 0}, {"l2": 1}]}, [text])

    assert said in str(error.value)


def test_every_wrong_override_is_reported_and_right_ones_apply() -> None:
    document, mistakes = overridden({"name": "a"}, ["x", "name.y=1", "seed=3", "seed: 4"])

    assert document == {"name": "a", "seed": 3}
    assert [mistake.path for mistake in mistakes] == ["--set", "--set name.y", "--set"]


def test_plain_turns_tuples_and_odd_keys_into_what_yaml_has() -> None:
    document, mistakes = plain({"hidden": (64, (32,)), 1: {None: 2.5}, "a": True})

    assert document == {"hidden": [64, [32]], "1": {"null": 2.5}, "a": True}
    assert mistakes == []


def test_plain_reports_text_that_no_database_stores() -> None:
    document, mistakes = plain({"a": ["x\0y"], "b\ud800": 1})

    assert document == {"a": ["xy"], "b": 1}
    assert [mistake.path for mistake in mistakes] == ["a.0", "sweep file"]


def test_plain_refuses_what_is_too_large_or_contains_itself() -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(SpecError, match="must not be nested deeper than 20 levels"):
        plain({"a": endless})
    with pytest.raises(SpecError, match=f"must hold at most {MAX_VALUES} values"):
        plain({"a": [0] * MAX_VALUES})
    assert len(plain([0] * (MAX_VALUES - 1))[0]) == MAX_VALUES - 1


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_HARD_TEXT = st.sampled_from(
    ["1e-4", "1e5", "5", "-", "", "null", "~", "no", "true", "1:30", "0x1F", ".inf", "a: b", "# c", "a\nb", " a ", "<<"]
)
_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT | _HARD_TEXT,
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(_TEXT | _HARD_TEXT, parts, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(_DOCUMENTS)
def test_what_is_written_is_read_back(document: Any) -> None:
    assert repr(parse(write(document), "text")) == repr(document)  # repr tells 1 from 1.0 and True


@settings(deadline=None)
@given(st.text() | st.text("[]{}:,-?&*!|>'\"%@` \n\t#ab1.~", max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        parse(text, "text")
    except SpecError as error:
        assert str(error).startswith("text") or "must be given once" in str(error)  # noqa: PT017  either is right
