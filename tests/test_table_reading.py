"""What becomes of columns as people write them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas._libs.parsers import STR_NA_VALUES

import dnnsweep
from dnnsweep.datasets import Dataset, load
from dnnsweep.datasets.categories import fit_categories, join_rare
from dnnsweep.datasets.cells import PANDAS_GAPS, number_of
from dnnsweep.datasets.csv_forms import CsvForm, find_form
from dnnsweep.datasets.dates import date_numbers, find_format, looks_dated, moments_of, varying_parts
from dnnsweep.datasets.frames import Table
from dnnsweep.datasets.readings import Reading
from dnnsweep.datasets.table_reading import read_rows
from dnnsweep.errors import DataError, SpecError
from dnnsweep.exports import column_code
from dnnsweep.records import Sweep
from dnnsweep.records.column_reading import ColumnReading
from dnnsweep.runner.leased_sweep import stored_reading
from dnnsweep.spec import check
from dnnsweep.spec.dataset import CsvSpec

N = 120
LABELS = ["yes" if row % 3 else "no" for row in range(N)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load_frame(frame: pd.DataFrame, target: Any = LABELS, **dataset: Any) -> Dataset:
    spec = check({"name": "a", "dataset": {"source": "arrays:", "scale": "none", **dataset}})
    return load(spec.dataset, spec.task, (frame, pd.Series(target)))


def load_csv(frame: pd.DataFrame, reading: Any = None, task: str = "auto", **dataset: Any) -> Dataset:
    frame.to_csv("table.csv", index=False)
    given = {"source": "csv:table.csv", "target": "label", "scale": "none", **dataset}
    return load(check({"name": "a", "dataset": given}).dataset, task, reading=reading)


def column(cells: Sequence[Any]) -> pd.DataFrame:
    """A table whose column holds some cells again and again, beside a column of numbers."""
    return pd.DataFrame({"cell": [cells[row % len(cells)] for row in range(N)], "x": np.arange(N) * 7 % N})


def refused(load_table: Callable[..., Dataset], *arguments: Any, **dataset: Any) -> str:
    with pytest.raises((DataError, SpecError)) as caught:
        load_table(*arguments, **dataset)
    return str(caught.value)


def values_of(data: Dataset, name: str) -> set[Any]:
    """The numbers that a column became, or its categories."""
    encoding = data.preprocessing.encoding
    if name in encoding.numbers.columns:
        index = encoding.numbers.columns.index(name)
        return set(np.vstack([data.x_train, data.x_validation, data.x_test])[:, index].tolist())
    return set(encoding.texts.categories[encoding.texts.columns.index(name)])


# ---- cells


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("12", 12.0, 12.0),
        ("-1.5e3", -1500.0, None),
        ("1,200", 1200.0, 1.2),
        ("1.200", 1.2, 1200.0),
        ("1,234,567.8", 1234567.8, None),
        ("1.234.567,8", None, 1234567.8),
        ("1 200", 1200.0, 1200.0),
        ("1\u00a0200,5", None, 1200.5),
        ("1'200", 1200.0, 1200.0),
        ("3,25", None, 3.25),
        ("0,125", None, 0.125),
        ("12%", 12.0, 12.0),
        ("12.5 %", 12.5, None),
        ("$1,200", 1200.0, 1.2),
        ("-$5", -5.0, -5.0),
        ("5 €", 5.0, 5.0),
        ("1,20,0", None, None),
        ("1,200,3", None, None),
        ("1_000", None, None),
        ("inf", None, None),
        ("nan", None, None),
        ("12 kg", None, None),
        ("%", None, None),
        ("1" * 100_000 + "x", None, None),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, point: float | None, comma: float | None) -> None:
    assert (number_of(text), number_of(text, ",")) == (point, comma)


@pytest.mark.parametrize(
    ("cells", "options", "expected", "note"),
    [
        (["1.5", " ", "2.5"], {}, {1.5, 2.5}, "Took cells of 'cell' for missing values: 40 blank;"),
        (["1", "?", "N/A", "3"], {}, {1.0, 3.0}, "Took cells of 'cell' for missing values: 30 '?', 30 'N/A';"),
        (["1", "None", "3"], {}, {1.0, 3.0}, "40 'None'"),
        (["1,200", "900"], {}, {1200.0, 900.0}, "Read texts of 'cell' as numbers, such as '1,200'."),
        (["12%", "7.5%"], {}, {12.0, 7.5}, "such as '12%'"),
        (["1,5", "2,25"], {}, {1.5, 2.25}, "such as '1,5'"),
        (["1.200,5", "7"], {}, {1200.5, 7.0}, "such as '1.200,5'"),
        ([" 4", "5 ", "6"], {}, {4.0, 5.0, 6.0}, ""),
        (["4", "5"], {"text": ["cell"]}, {"4", "5"}, "One-hot"),
        (["2010-11", "2011-12"], {"text": ["cell"]}, {"2010-11", "2011-12"}, "One-hot"),
        (["007", "8"], {"text": ["cell"]}, {"007", "8"}, "One-hot"),
        (["a", " a", "b "], {}, {"a", "b"}, "Stripped blanks around 80 texts of 'cell'."),
        (
            ["a", "None", ""],
            {},
            {"a", "None", "missing"},
            "Turned 40 missing texts in 'cell' into the category 'missing'",
        ),
        (["a", "NA"], {}, {"a", "missing"}, "60 'NA'"),
        (["a", "NA", ""], {"missing": []}, {"a", "NA", "missing"}, ""),
        (["a", "missing", ""], {}, {"a", "missing", "missing_"}, "into the category 'missing_'"),
        (["a", "n.b.", "NA"], {"missing": ["n.b."]}, {"a", "NA", "missing"}, "40 'n.b.'"),
        (["1.5", "-999"], {"missing": [-999]}, {1.5}, "60 '-999'"),
        (["1", "2", "3+", "4+"], {}, {"1", "2", "3+", "4+"}, "One-hot"),
        (["true", "false "], {}, {"true", "false"}, "Stripped"),
        (["Berlin", "New York"], {}, {"Berlin", "New York"}, "One-hot"),
        (["18-25", "26-35"], {}, {"18-25", "26-35"}, "One-hot"),
        (["1.2.3", "1.10.0"], {}, {"1.2.3", "1.10.0"}, "One-hot"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "frame"])
def test_cells_become_numbers_or_words(
    cells: Sequence[str], options: dict[str, Any], expected: set[Any], note: str, kind: str
) -> None:
    table = column(cells)

    data = load_csv(table.assign(label=LABELS), **options) if kind == "csv" else load_frame(table, **options)

    values = values_of(data, "cell")
    median = data.preprocessing.encoding.numbers.medians
    gap = set() if median is None or "text" in options else {float(median[0])}
    assert expected <= values <= expected | gap
    assert note in "\n".join(data.summary.notes)


@pytest.mark.parametrize(
    ("cells", "options", "words"),
    [
        (
            ["1", "2", "3", "unknown"],
            {},
            "got 'unknown' in 30 rows among the 90 numbers of 'cell'; if missing values are meant, write dataset.mis",
        ),
        (["1", "2", "3", "x"], {}, "to have a category for each word, dataset.text: [cell]; or remove it from x"),
        (["1", "2", "3", "NA", "n.b."], {}, "write dataset.missing: [NA, n.b.]"),
        (["1", "2", "3", "?"], {"missing": ["NA"]}, "write dataset.missing: ['?']"),
        (["1,5", "2,5", "3.5"], {}, "got '3.5' in 40 rows among the 80 numbers of 'cell'"),
        (
            ["2024-01-31", "2024-02-01"],
            {},
            "dataset.dates: must list every column of dates, got 'cell' with '2024-01-31'",
        ),
        (
            ["31.01.2024", "1.2.2024"],
            {},
            "write dataset.dates: [cell], or remove it from x; if they are words, dataset.t",
        ),
        (["1/2/2024", "3/2/2024"], {"dates": ["cell"]}, "which may be %d/%m/%Y or %m/%d/%Y; say which, as in"),
        (["1/2/2024", "soon"], {"dates": ["cell"]}, "got 'soon' in 60 rows among the dates of 'cell'"),
        (["soon", "late"], {"dates": ["cell"]}, "must list columns of dates, got 'cell' with 'soon', 'late'"),
        (["1", "2"], {"dates": ["cell"]}, "must list columns of dates, got 'cell' with '1', '2'"),
        (["1", "2"], {"dates": ["day"]}, "dataset.dates.day: must be a column of the table, got 'day'"),
        (["1/2/2024", "2/2/2024"], {"dates": {"cell": "%Y"}}, "column 'cell' must hold dates like %Y, got '1/2/2024'"),
        (["1", "2"], {"text": ["word"]}, "dataset.text.0: must be a column of the table, got 'word'"),
        (["?", "NA"], {}, "columns must not be empty, got 'cell'"),
        ([f"C{row}" for row in range(N)], {}, "got 120 different ones in 120 rows of 'cell', such as 'C0'"),
        ([[1], [2]], {}, "columns must hold numbers or text, got mixed in 'cell'"),
    ],
)
def test_cells_that_cannot_be_read_are_named_with_the_remedy(
    cells: Sequence[Any], options: dict[str, Any], words: str
) -> None:
    assert words in refused(load_frame, column(cells), **options)


def test_every_column_that_cannot_be_read_is_named_at_once() -> None:
    table = column(["1", "2", "3", "x"]).assign(
        id=[f"C{row}" for row in range(N)], day="2024-01-31", night="2024-01-30", gap="", label=LABELS
    )

    message = refused(load_csv, table, dates=[])

    assert "dataset.drop: [id]" in message
    assert "write dataset.dates: [day, night]" in message
    assert all(f"'{name}'" in message for name in ("cell", "gap"))
    assert len(message.splitlines()) == 4


def test_gaps_of_pandas_are_those_that_pandas_has() -> None:
    assert set(PANDAS_GAPS) == set(STR_NA_VALUES)
    assert set(column_code._PANDAS_GAPS) == set(STR_NA_VALUES)


def test_values_of_objects_are_read_like_their_texts() -> None:
    frame = pd.DataFrame({"cell": [1, "2", None, 3.5, "n.a."] * (N // 5), "flag": [True, None, False] * (N // 3)})

    data = load_frame(frame.astype(object))

    assert {1.0, 2.0, 3.5} <= values_of(data, "cell")
    assert values_of(data, "flag") == {"True", "False", "missing"}


# ---- dates


@pytest.mark.parametrize(
    ("texts", "form"),
    [
        (["2024-01-31", "2024-02-01T10:30:00Z"], "ISO8601"),
        (["2024/01/31"], "ISO8601"),
        (["31.01.2024", "01.02.2024"], "%d.%m.%Y"),
        (["31/01/2024", "01/02/2024"], "%d/%m/%Y"),
        (["01/02/2024", "1/31/2024"], "%m/%d/%Y"),
        (["1/31/24 1:05 PM"], "%m/%d/%y %I:%M %p"),
        (["31 Jan 2024", "1 Feb 2024"], "%d %b %Y"),
        (["January 31, 2024", "May 1, 2024"], "%B %d, %Y"),
        (["10/Oct/2000:13:55:36 -0700"], "%d/%b/%Y:%H:%M:%S %z"),
        (["31.12.2024 23:59:59.123"], "%d.%m.%Y %H:%M:%S.%f"),
        (["1/1/2024", "2/2/2024"], "%d/%m/%Y"),  # day and month are equal
    ],
)
def test_the_format_of_dates_is_found(texts: list[str], form: str) -> None:
    assert find_format(texts).formats == (form,)
    assert looks_dated(texts)


@pytest.mark.parametrize(
    "text", ["A-1", "1234-5", "555-1234", "0-1", "192.168.1.1", "12:30", "May", "2024 Q1", "v 1.2"]
)
def test_other_texts_are_no_dates(text: str) -> None:
    assert not looks_dated([text])


def test_dates_become_days_and_angles_of_what_varies() -> None:
    moments = moments_of(np.array(["1970-01-02 06:00", "1970-04-02 06:00", ""], dtype=object), "ISO8601")

    numbers = date_numbers(moments, "day", varying_parts(moments))

    assert list(numbers) == [
        "day_days",
        *(f"day_{part}_{wave}" for part in ("month", "weekday") for wave in ("sin", "cos")),
    ]
    assert_allclose(numbers["day_days"], [1.25, 91.25, np.nan])
    assert_allclose(numbers["day_month_sin"], [0.0, 1.0, np.nan])
    assert_allclose(numbers["day_weekday_cos"], [*np.cos(2 * np.pi * np.array([4, 3]) / 7), np.nan])


@pytest.mark.parametrize(
    "days",
    [
        pd.date_range("2023-01-01 00:00", periods=N, freq="7h").strftime("%d.%m.%Y %H:%M"),
        pd.date_range("2023-01-01 00:00", periods=N, freq="7h"),
        pd.date_range("2023-01-01 02:00", periods=N, freq="7h", tz="Asia/Jerusalem"),
        pd.date_range("2023-01-01 00:00", periods=N, freq="7h").strftime("%Y-%m-%dT%H:%M:%SZ"),
    ],
)
def test_equal_moments_in_any_form_are_equal_data(days: Any) -> None:
    expected = pd.date_range("2023-01-01 00:00", periods=N, freq="7h").strftime("%Y-%m-%d %H:%M")
    tables = [pd.DataFrame({"day": column, "x": np.arange(N) * 7 % N}) for column in (days, expected)]

    data, plain = (load_frame(table, dates=["day"]) for table in tables)

    assert_array_equal(data.x_train, plain.x_train)
    assert data.summary.n_features == 8
    assert data.summary.fingerprint == plain.summary.fingerprint
    assert data.summary.columns == ("day", "x")


def test_dates_without_marks_between_their_parts_are_read() -> None:
    days = pd.date_range("2023-01-01", periods=N, freq="3D").strftime("%Y%m%d")

    data = load_csv(pd.DataFrame({"day": days, "label": LABELS}), dates=["day"])

    assert data.preprocessing.encoding.numbers.columns[0] == "day_days"


def test_rows_are_ordered_by_dates_of_any_form() -> None:
    days = pd.date_range("2023-01-01", periods=N, freq="3D").strftime("%d.%m.%Y")
    table = pd.DataFrame({"day": days, "x": np.arange(N) / 7, "label": LABELS}).sample(frac=1, random_state=0)

    data = load_csv(table, split={"order": "day"})

    assert data.x_train.max() < data.x_validation.min() < data.x_test.min()


# ---- index, identifiers, categories


@pytest.mark.parametrize("name", ["Unnamed: 0", "row"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_column_that_numbers_the_rows_is_left_out(name: str, first: int) -> None:
    table = pd.DataFrame({name: np.arange(N) + first, "x": np.arange(N) * 7 % N, "label": LABELS})

    data = load_csv(table)

    assert data.summary.columns == ("x",)
    assert f"Left out '{name}': an index, or a column without name and values." in data.summary.notes


def test_what_a_saved_index_and_a_last_comma_leave_is_left_out() -> None:
    table = column(["a", "b"]).assign(label=LABELS).sample(frac=1, random_state=0)
    Path("saved.csv").write_text(table.to_csv().replace("\n", ",\n"))

    data = load_csv(table, source="csv:saved.csv")

    assert data.summary.columns == ("cell", "x")


def test_row_numbers_are_kept_where_there_is_nothing_else_or_a_split_needs_them() -> None:
    table = pd.DataFrame({"row": range(N), "label": LABELS})

    assert load_csv(table).summary.columns == ("row",)
    ordered = load_csv(table.assign(x=np.arange(N) * 7 % N), split={"order": "row"})
    assert ordered.summary.columns == ("x",)
    numbered = load_csv(table.assign(row=range(1000, 1000 + N), x=np.arange(N) * 7 % N))
    assert numbered.summary.columns == ("row", "x")
    assert any(note.startswith("The numbers of 'row' go up by one") for note in numbered.summary.notes)


def test_the_rarest_words_become_one_category_that_is_no_word() -> None:
    words = [*["often"] * 40, *["other"] * 30, *(f"w{row % 25}" for row in range(50))]
    table = pd.DataFrame({"word": words, "label": LABELS}).sample(frac=1, random_state=1)

    data = load_csv(table, max_categories=5)

    categories = values_of(data, "word")
    assert len(categories) == 5
    assert {"often", "other", "other_"} <= categories
    counts = pd.Series(words)  # each part has its share of classes, not of words
    assert categories - {"other_"} <= set(counts)
    assert "rarest words of 'word' in the category 'other_'" in "\n".join(data.summary.notes)


def test_of_words_that_are_equally_frequent_the_last_in_the_alphabet_are_joined() -> None:
    words = np.array([["d"], ["b"], ["c"], ["a"], ["d"], ["never trained on"]], dtype=object)
    table = Table(np.empty((6, 0)), words, (), ("word",))
    reading = Reading((ColumnReading("word", "text"),))

    fitted = fit_categories(reading, table, np.arange(5), most=3)

    assert fitted.columns[0].words == ("a", "d")
    assert join_rare(table, fitted).text.T.tolist() == [["d", "other", "other", "a", "d", "other"]]
    assert fit_categories(reading, table, np.arange(5), most=4).columns[0].words is None


def test_as_many_words_as_are_allowed_stay_beside_a_gap() -> None:
    words = [f"w{row % 5}" if row % 7 else "" for row in range(N)]

    data = load_csv(pd.DataFrame({"word": words, "label": LABELS}), max_categories=5)

    assert values_of(data, "word") == {*(f"w{row}" for row in range(5)), "missing"}


# ---- targets


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["yes", "yes ", " no"], ("no", "yes")),
        (["None", "Mild"], ("Mild", "None")),
        (["1", "2", "3+"], ("1", "2", "3+")),
        (["1 ", "2", "3"], ("1", "2", "3")),
        (["0.0", "1.0"], ("0", "1")),
    ],
)
def test_classes_are_read_as_people_write_them(labels: list[str], classes: tuple[str, ...]) -> None:
    target = [labels[row % len(labels)] for row in range(N)]

    assert load_csv(column(["a", "b", "c", "d", "e"]).assign(label=target)).summary.classes == classes


def test_amounts_to_predict_are_read_as_people_write_them() -> None:
    amounts = [f"${1000 + row * 37:,}" for row in range(N)]

    data = load_csv(column(["a", "b"]).assign(label=amounts))

    assert data.summary.task.value == "regression"
    assert 1000 < data.target_mean < 6000


def test_a_target_with_gaps_or_strays_is_refused_with_its_cells() -> None:
    table = column(["a", "b"])

    gaps = refused(load_csv, table.assign(label=["yes", "no", "N/A"] * 40))
    strays = refused(load_csv, table.assign(label=[f"{row / 7:.3f}" if row % 9 else "none yet" for row in range(N)]))

    assert "label must not be missing, got 40 of 120 rows without it ('N/A'); remove these rows" in gaps
    assert "dataset.target: columns of numbers must hold nothing else, got 'none yet' in 14 rows" in strays


def test_weights_and_groups_are_read_as_people_write_them() -> None:
    table = column(["a", "b"]).assign(
        label=LABELS, group=[f"g{row // 4}{' ' * (row % 2)}" for row in range(N)], weight="12%"
    )

    data = load_csv(table, split={"by": "group"}, sample_weight="weight")

    assert set(data.w_train.tolist() if data.w_train is not None else []) == {12.0}
    assert data.summary.n_train % 4 == 0  # no group is torn by a blank


# ---- CSV files


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ("a,b\n1,2\n", CsvForm()),
        ("a;b\n1,5;2\n", CsvForm(";", ",")),
        ("a;b\n1.5;2\n", CsvForm(";")),
        ("a;b\n1.234,5;2\n", CsvForm(";", ",")),
        ("a;b\n1,234;2.5\n", CsvForm(";")),
        ("a\tb\n1\t2\n", CsvForm("\t")),
        ("a|b\n1|2\n", CsvForm("|")),
        ("sep=;\na;b\n1;2\n", CsvForm(";", has_separator_line=True)),
        ("sep=,\na,b\n1,2\n", CsvForm(",", has_separator_line=True)),
        ("id,tags\n1,a;b\n2,c;d\n", CsvForm()),
        ('id,text\n1,"a,b;c"\n2,"d"\n', CsvForm()),
        ("size, kg;price, EUR\n1,5;2,5\n", CsvForm(";", ",")),
        ("a\n1\n", CsvForm()),
        ("", CsvForm()),
    ],
)
def test_the_form_of_a_csv_file_is_found(content: str, form: CsvForm) -> None:
    assert find_form(content.encode(), None) == form


def test_a_sweep_file_may_say_how_a_csv_file_is_written() -> None:
    given = CsvSpec(separator="|", decimal=",", encoding="cp1252")

    assert find_form("a|b;c\n1|2;3\n".encode("cp1252"), given) == CsvForm("|", ",", "cp1252")


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("options", [{}, {"sep": ";", "decimal": ","}, {"sep": "\t"}])
def test_a_file_of_another_form_gives_the_same_rows(options: dict[str, Any], encoding: str, end: str) -> None:
    table = pd.DataFrame({"größe": np.arange(N) / 8, "word": ["süß", "sauer"] * (N // 2), "label": LABELS})
    plain = load_csv(table)
    text = table.to_csv(index=False, **options).encode(encoding)
    Path(f"other.csv{end}").write_bytes(gzip.compress(text) if end else text)

    data = load_csv(table, source=f"csv:other.csv{end}")

    assert_array_equal(data.x_train, plain.x_train)
    assert data.summary.fingerprint == plain.summary.fingerprint
    assert ("Read the file as one with" in "".join(data.summary.notes)) == (
        encoding[:3] != "utf" or "16" in encoding or bool(options)
    )


def test_a_form_that_does_not_fit_names_the_keys() -> None:
    Path("bad.csv").write_bytes(b"x,label\n1,caf\x81\n")

    assert "name its encoding with dataset.csv.encoding" in refused(
        load_csv, column(["a"]).assign(label=LABELS), source="csv:bad.csv"
    )


# ---- a whole table


def customers(n: int = 600) -> pd.DataFrame:
    """Customers as a person has them: an identifier, dates, blanks, words for gaps, thousands, percents, many towns."""
    rng = np.random.default_rng(3)
    rows = np.arange(n)
    return pd.DataFrame(
        {
            "customer_id": [f"C{number}" for number in rng.permutation(n) + 10_000],
            "signup_date": pd.date_range("2021-03-01", periods=n, freq="29h").strftime("%Y-%m-%d"),
            "age": np.where(rows % 16 == 0, np.nan, rng.integers(18, 80, n)),
            "city": [f"town {town}" for town in rng.integers(0, 80, n)],
            "plan": rng.choice(["basic", "basic ", "pro"], n),
            "payment": np.where(rng.random(n) < 0.02, "N/A", rng.choice(["card", "bank"], n)),
            "autopay": rng.choice(["true", "false"], n),
            "total_charge": [" " if row % 20 == 3 else f"{row * 7.25:.2f}" for row in rng.permutation(n)],
            "income": [f"{value:,}" for value in rng.integers(9_000, 90_000, n)],
            "discount": [f"{value / 2}%" for value in rng.integers(0, 60, n)],
            "nps": np.where(rng.random(n) < 0.5, np.nan, rng.integers(0, 11, n)),
            "churn": np.where(rng.random(n) < 0.075, "yes", "no"),
        }
    )


def test_a_messy_table_is_accepted_with_notes_once_the_sweep_file_says_what_it_must() -> None:
    customers().to_csv("churn.csv")
    file: dict[str, Any] = {"name": "churn", "dataset": {"source": "churn.csv", "target": "churn"}}

    with pytest.raises(DataError) as refusal:
        dnnsweep.validate(file)
    told = [str(mistake) for mistake in refusal.value.mistakes]
    assert "it looks like an identifier: dataset.drop: [customer_id]" in told[0]
    assert "write dataset.dates: [signup_date], or leave it out" in told[1]
    assert len(told) == 2

    data = dnnsweep.validate(file, overrides=["dataset.drop=[customer_id]", "dataset.dates=[signup_date]"]).data
    assert data.n_features == 50 + 2 + 3 + 6 + 5  # towns, plans, payments, numbers, and the date with its angles
    notes = "\n".join(data.notes)
    for words in (
        "Left out 'Unnamed: 0': an index",
        "Took cells of 'payment', 'total_charge' for missing values: 30 blank,",
        "texts of 'plan'",
        "Read texts of 'income', 'discount' as numbers, such as '",
        "Turned the dates of 'signup_date' into days since 1970-01-01, and sine and cosine of month and weekday.",
        "rarest words of 'city' in the category 'other'",
    ):
        assert words in notes


# ---- a reading as a value


def messy() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = np.arange(N)
    return pd.DataFrame(
        {
            "Unnamed: 0": rows,
            "day": pd.date_range("2022-01-01", periods=N, freq="31h").strftime("%d/%m/%Y %H:%M"),
            "age": [rng.integers(18, 80) if row % 9 else "n.a." for row in rows],
            "income": [f"{value:,}" for value in rng.integers(900, 90_000, N)],
            "town": [f"town {row * row % 67}" for row in rows],
            "plan": [("basic", "basic ", "pro")[row % 3] if row % 11 else "N/A" for row in rows],
            "word": ["missing" if row % 5 else "" for row in rows],
            "label": LABELS,
        }
    )


def test_new_rows_are_read_as_the_training_rows_were() -> None:
    data = load_csv(messy(), dates=["day"], max_categories=10)
    reading = Reading.from_json(json.loads(json.dumps(data.summary.reading)))
    raw = pd.read_csv("table.csv", keep_default_na=False, dtype=str)

    table = read_rows(raw.iloc[::-1], reading)  # every cell as text, and in another order

    inputs = data.preprocessing.encoding.encode(table.numbers, table.text)
    known = {row.tobytes() for part in (data.x_train, data.x_validation, data.x_test) for row in part}
    assert {row.tobytes() for row in inputs} == known
    assert reading == data.preprocessing.reading


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.drop(columns="age"), "none named 'age'"),
        (lambda table: table.assign(age="old"), "column 'age' must hold numbers, got 'old'"),
        (lambda table: table.assign(day="2022-01-01"), "column 'day' must hold dates like %d/%m/%Y %H:%M, got '2022-"),
        (lambda table: table.assign(income=pd.Timestamp(0)), "column 'income' must hold numbers, got datetime64"),
    ],
)
def test_new_rows_of_another_kind_are_refused(change: Callable[[pd.DataFrame], pd.DataFrame], words: str) -> None:
    reading = load_csv(messy(), dates=["day"]).preprocessing.reading

    with pytest.raises(DataError, match=words.replace("%", "%")):
        read_rows(change(messy()), reading)


def test_unknown_words_and_gaps_of_new_rows_are_read_without_the_training_rows() -> None:
    reading = load_csv(messy(), dates=["day"], max_categories=10).preprocessing.reading
    new = messy().head(2).assign(town=["Atlantis", None], plan=["free", "?"], age=[None, " "])

    table = read_rows(new, reading)

    texts = dict(zip(table.text_columns, table.text.T.tolist(), strict=True))
    assert texts["town"] == ["other", None]
    assert texts["plan"] == ["free", None]
    assert np.isnan(table.numbers[:, table.number_columns.index("age")]).all()


def test_a_sweep_is_read_as_when_it_was_created() -> None:
    first = load_csv(messy(), dates=["day"], max_categories=10)

    again = load_csv(messy(), reading=json.loads(json.dumps(first.summary.reading)), dates=["day"], max_categories=10)

    assert_array_equal(again.x_train, first.x_train)
    assert again.summary.fingerprint == first.summary.fingerprint
    assert again.summary.reading == first.summary.reading


def test_sweeps_of_earlier_versions_read_columns_as_they_did() -> None:
    table = column(["a", "a ", "None", ""]).assign(row=range(N), label=[0.0, 1.0] * (N // 2))

    earlier, new = load_csv(table, reading={}), load_csv(table)

    assert earlier.summary.columns == ("cell", "x", "row")
    assert values_of(earlier, "cell") == {"a", "a ", "missing"}
    assert earlier.summary.task.value == "regression"
    assert earlier.summary.reading == {}
    assert "under a new name they are read anew" in "".join(earlier.summary.notes)
    assert (new.summary.columns, new.summary.task.value) == (("cell", "x"), "binary")


@pytest.mark.parametrize(
    ("stored", "reading"),
    [({}, None), ({"fingerprint": "f"}, {}), ({"fingerprint": "f", "reading": {"version": 1}}, {"version": 1})],
)
def test_what_is_stored_of_a_sweep_says_how_its_rows_are_read(stored: dict[str, Any], reading: Any) -> None:
    """Nobody has read the rows yet; a version did that stored no reading; this version did."""
    blank = dict.fromkeys((each.name for each in fields(Sweep)), None)
    sweep = Sweep(**{**blank, "data": stored})  # type: ignore[arg-type]

    assert stored_reading(sweep) == reading


def test_a_plain_table_has_the_fingerprint_and_the_inputs_that_it_had() -> None:
    table = pd.DataFrame({"x": np.arange(N) / 3, "word": ["a", "b", None] * (N // 3), "label": LABELS})

    earlier, new = load_csv(table, reading={}), load_csv(table)

    assert_array_equal(new.x_train, earlier.x_train)
    assert new.summary.fingerprint == earlier.summary.fingerprint
    assert replace(new.summary, notes=()) == replace(earlier.summary, notes=())


def test_sweep_files_without_these_keys_keep_the_digest_that_they_had() -> None:
    plain = check({"name": "a", "dataset": {"source": "csv:a.csv", "target": "y", "max_categories": 50}})

    assert set(plain.to_json()["dataset"]) == {"source", "target", "drop", "validation", "test", "scale", "seed"}


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ({"missing": "NA"}, "dataset.missing: must be a list of words"),
        ({"missing": [None]}, "dataset.missing.0: must be a word or a number, got null"),
        ({"dates": "day"}, "dataset.dates: must be a list of columns, or columns with formats"),
        (
            {"dates": {"day": "YYYY"}},
            "must be a format with percent signs or null, got 'YYYY'; write it like \"%d/%m/%Y\"",
        ),
        ({"dates": ["y"]}, "dataset.dates: must name columns to learn from, got 'y', which is the target"),
        ({"dates": ["a"], "text": ["a"]}, "dataset.text.0: must be a column of its own"),
        ({"max_categories": 1}, "dataset.max_categories: must be at least 2"),
        ({"csv": {"separator": "\n"}}, "dataset.csv.separator: must separate columns"),
        ({"csv": {"separator": ",", "decimal": ","}}, "dataset.csv.separator: must separate columns"),
        ({"csv": {"encoding": "rot13"}}, "dataset.csv.encoding: must be an encoding of text, got 'rot13'"),
        ({"csv": {"encoding": "unicode_escape"}}, "must be an encoding of text"),
        ({"source": "parquet:a.parquet", "csv": {"decimal": ","}}, "dataset.csv: belongs to csv sources only"),
        ({"source": "sklearn:iris", "target": None, "dates": ["a"]}, "dataset.dates: belongs to tables with named"),
        ({"target": ["y", "z"]}, "for several targets, run a sweep for each"),
    ],
)
def test_wrong_keys_are_refused(dataset: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        check({"name": "a", "dataset": {"source": "csv:a.csv", "target": "y", **dataset}})

    assert words in str(caught.value)
