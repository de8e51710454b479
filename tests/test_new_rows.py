"""New rows: brought to the columns of training whatever they come as, and compared with those of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from dnnsweep.datasets import load, new_rows
from dnnsweep.datasets.drift import Drift
from dnnsweep.datasets.new_rows import read_new_rows
from dnnsweep.datasets.predictions import decode
from dnnsweep.datasets.preprocessing import Preprocessing, TargetEncoding
from dnnsweep.errors import DataError
from dnnsweep.records import Task
from dnnsweep.spec import DatasetSpec

CLASSES = ["no", "yes"] * 20


def customers(n_rows: int = 40) -> pd.DataFrame:
    rows = np.arange(n_rows)
    return pd.DataFrame(
        {
            "age": [None if row % 10 == 3 else 20.0 + row for row in rows],
            "city": [None if row % 8 == 1 else ("Rome", "Oslo", "Bonn")[row % 3] for row in rows],
            "score": rows % 7,
            "churn": CLASSES[:n_rows],
        }
    )


@pytest.fixture(scope="module")
def fitted() -> Preprocessing:
    return load(DatasetSpec(), data=(customers().drop(columns="churn"), CLASSES)).preprocessing


@pytest.fixture(scope="module")
def images() -> Preprocessing:
    return load(DatasetSpec(), data=(np.arange(240.0).reshape(40, 2, 3), CLASSES)).preprocessing


def inputs(rows: Any, fitted: Preprocessing) -> np.ndarray:
    """What the network would get of rows."""
    blocks = [fitted.encoding.encode(block.numbers, block.text) for block in read_new_rows(rows, fitted)]
    return np.concatenate(blocks)


def refused(rows: Any, fitted: Preprocessing) -> str:
    with pytest.raises(DataError) as caught:
        inputs(rows, fitted)
    return str(caught.value)


def test_every_form_of_a_table_gives_the_same_inputs(fitted: Preprocessing, tmp_path: Path) -> None:
    table = customers()
    expected = inputs(table, fitted)
    table.to_csv(tmp_path / "rows.csv", index=False)
    table.to_parquet(tmp_path / "rows.parquet")
    forms: dict[str, Any] = {
        "CSV": tmp_path / "rows.csv",
        "parquet": str(tmp_path / "rows.parquet"),
        "columns": {name: list(column) for name, column in table.items()},
        "rows": table.to_dict("records"),
        "shuffled columns": table[["churn", "score", "city", "age"]],
        "without the target": table.drop(columns="churn"),
        "categories": table.astype({"city": "category", "score": "Int64"}),
        "texts": table.astype({"age": str, "score": str}).replace("nan", None),
    }

    assert expected.shape == (40, 6)
    for name, rows in forms.items():
        assert_array_equal(inputs(rows, fitted), expected, err_msg=name)
    for row in (0, 3, 9):
        assert_array_equal(inputs(dict(table.iloc[row]), fitted), expected[row : row + 1])


def test_a_row_of_training_gets_the_inputs_of_training(fitted: Preprocessing) -> None:
    data = load(DatasetSpec(), data=(customers().drop(columns="churn"), CLASSES))

    trained = {row.tobytes() for part in (data.x_train, data.x_validation, data.x_test) for row in part}

    assert {row.tobytes() for row in inputs(customers(), fitted)} == trained


def test_any_number_of_rows_is_read_in_blocks(fitted: Preprocessing, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = inputs(customers(), fitted)
    monkeypatch.setattr(new_rows, "BLOCK_ROWS", 7)

    blocks = list(read_new_rows(customers().set_index(np.arange(40) + 100), fitted))

    assert [len(block.numbers) for block in blocks] == [7, 7, 7, 7, 7, 5]
    assert blocks[1].index.tolist() == list(range(107, 114))
    assert_array_equal(inputs(customers(), fitted), whole)


def test_a_csv_file_is_read_as_training_read_its_own_or_in_the_form_that_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = customers().assign(
        age=[f"{1000 + row},5" for row in range(40)],
        since=[f"{1 + row % 28:02}.{1 + row % 12:02}.2024" for row in range(40)],
        city=["Köln ", "N/A", "Rome", "Bonn"] * 10,
    )
    (tmp_path / "training.csv").write_bytes(table.to_csv(index=False, sep=";").encode("cp1252"))
    spec = DatasetSpec.model_validate(
        {"source": f"csv:{tmp_path / 'training.csv'}", "target": "churn", "dates": ["since"]}
    )
    data = load(spec)
    table.to_csv(tmp_path / "commas.csv", index=False)
    monkeypatch.setattr(new_rows, "BLOCK_ROWS", 7)

    same = inputs(tmp_path / "training.csv", data.preprocessing)

    assert data.preprocessing.encoding.texts.categories == (("Bonn", "Köln", "Rome", "missing"),)
    assert {row.tobytes() for row in same} == {
        row.tobytes() for part in (data.x_train, data.x_validation, data.x_test) for row in part
    }
    assert_array_equal(inputs(tmp_path / "commas.csv", data.preprocessing), same)
    assert_array_equal(inputs(table, data.preprocessing), same)


def test_rows_are_read_as_older_versions_read_them_for_their_models(tmp_path: Path) -> None:
    table = customers().assign(city=["Rome ", "Rome", None, "Oslo"] * 10)
    table.to_csv(tmp_path / "rows.csv", index=False)
    spec = DatasetSpec(source=f"csv:{tmp_path / 'rows.csv'}", target="churn")
    data = load(spec, reading={})

    assert data.preprocessing.encoding.texts.categories == (("Oslo", "Rome", "Rome ", "missing"),)
    for rows in (tmp_path / "rows.csv", table):
        assert {row.tobytes() for row in inputs(rows, data.preprocessing)} == {
            row.tobytes() for part in (data.x_train, data.x_validation, data.x_test) for row in part
        }


def test_a_table_may_have_no_rows(fitted: Preprocessing) -> None:
    assert inputs(customers()[:0], fitted).shape == (0, 6)


@pytest.mark.parametrize("form", ["images", "flat", "npz", "npy", "table"])
def test_rows_that_were_arrays_are_arrays_or_tables_as_wide(form: str, images: Preprocessing, tmp_path: Path) -> None:
    rows = np.arange(12.0).reshape(2, 2, 3)
    np.savez(tmp_path / "rows.npz", x=rows, y=[0, 1])
    np.save(tmp_path / "rows.npy", rows)
    forms: dict[str, Any] = {
        "images": rows,
        "flat": rows.reshape(2, 6).tolist(),
        "npz": tmp_path / "rows.npz",
        "npy": tmp_path / "rows.npy",
        "table": pd.DataFrame(rows.reshape(2, 6), columns=list("abcdef")),
    }

    assert_array_equal(
        inputs(forms[form], images), images.encoding.encode(rows.reshape(2, 6), np.empty((2, 0), object))
    )
    assert rows[0, 0, 1] == 1  # what was passed is left as it is


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["true", "false", "TRUE"], [1, 0, 1]),
        ([True, False, True], [1, 0, 1]),
        ([True, False, None], [1, 0, 2]),
    ],
)
def test_truth_values_are_the_words_that_they_were_in_training(values: list[Any], expected: list[int]) -> None:
    words = [None if row % 5 == 0 else row % 2 == 0 for row in range(40)]
    fitted = load(DatasetSpec(), data=(pd.DataFrame({"paid": words, "n": [1, 2] * 20}), CLASSES)).preprocessing

    encoded = inputs(pd.DataFrame({"paid": values, "n": 1}), fitted)[:, 1:]

    assert fitted.encoding.texts.categories == (("False", "True", "missing"),)
    assert encoded.argmax(axis=1).tolist() == expected


def test_whole_numbers_beside_gaps_are_the_words_that_they_were_in_training() -> None:
    codes = ["7" if row % 2 else "x9" for row in range(40)]
    fitted = load(DatasetSpec(), data=(pd.DataFrame({"code": codes, "n": [1, 2] * 20}), CLASSES)).preprocessing

    encoded = inputs(pd.DataFrame({"code": [7.0, None], "n": 1}), fitted)[:, 1:]

    assert encoded.tolist() == [[1, 0], [0, 0]]


def test_columns_that_are_missing_or_of_another_type_are_all_named(fitted: Preprocessing) -> None:
    table = customers().astype(object)
    table.loc[4, "age"] = "old"
    table.loc[6, "age"] = "young"

    assert refused(table.drop(columns=["age", "score"]).rename(columns={"city": "City"}), fitted).splitlines() == [
        "table: must have every column of training, got none named 'age'; the columns are 'City', 'churn'",
        "table: must have every column of training, got none named 'city'; did you mean City?",
        "table: must have every column of training, got none named 'score'; the columns are 'City', 'churn'",
    ]
    assert refused(table.assign(city=1.5, score=pd.Timestamp("2026-01-01")), fitted).splitlines() == [
        "table: column 'age' must hold numbers, got 'old', 'young'; correct these cells, or leave them empty",
        "table: column 'score' must hold numbers, got datetime64; convert it",
        "table: column 'city' must hold text, such as 'Bonn', 'Oslo', 'Rome', got numbers such as 1.5; convert it",
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((3, 3)), "table: must be a table with names of columns, got an array of shape (3, 3)"),
        (customers().assign(score=np.inf), "table: numbers must be finite and at most 3.4e+38 in size, got infinite"),
        (5, "table: must be a table of rows, got int; pass a DataFrame, a dictionary, an array or a path"),
        ("none.csv", "table: must be a file that exists, got 'none.csv'"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "table: column names must be unique, got 'a' more than once"),
    ],
)
def test_what_is_no_table_of_training_is_refused(rows: Any, message: str, fitted: Preprocessing) -> None:
    assert refused(rows, fitted).startswith(message)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((2, 5)), "table: each row must be an array of shape (2, 3), got (2, 5) for all rows"),
        (np.array([["a"] * 6]), "table: must hold numbers, got an array of <U1; convert it"),
        (pd.DataFrame(np.zeros((1, 5))), "table: must have every column of training, got none named 'x0'"),
        (np.full((1, 6), np.inf), "table: numbers must be finite"),
    ],
)
def test_what_is_no_array_of_training_is_refused(rows: Any, message: str, images: Preprocessing) -> None:
    assert refused(rows, images).startswith(message)


def drift_of(rows: Any, fitted: Preprocessing) -> tuple[str, ...]:
    drift = Drift(fitted.encoding)
    for block in read_new_rows(rows, fitted):
        drift.add(block)
    return drift.notes()


def test_rows_like_those_of_training_have_no_drift(fitted: Preprocessing, images: Preprocessing) -> None:
    assert drift_of(customers(), fitted) == ()
    assert drift_of(customers()[3:4], fitted) == ()  # one gap in one row says nothing
    assert drift_of(np.arange(240.0).reshape(40, 6), images) == ()


def test_drift_is_told_column_by_column(fitted: Preprocessing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_rows, "BLOCK_ROWS", 9)
    table = customers().astype({"score": float})
    table.loc[[1, 5], "city"] = "Paris"
    table.loc[30, "city"] = "Ghent"
    table.loc[7, "age"] = -300
    table.loc[:25, "score"] = None

    assert drift_of(table, fitted) == (
        (
            "city has words that training did not have, in 3 of 40 rows: 'Paris' (2), 'Ghent' (1). "
            "They count as no word at all."
        ),
        "age is far outside its range in training, 21 to 59, in 1 of 40 rows, such as -300.",
        "score is missing in 65% of the rows; in training it was missing in 0%.",
    )


def test_many_columns_that_have_drifted_are_counted(images: Preprocessing) -> None:
    assert drift_of(np.full((5, 6), 1e6), images) == (
        "Numbers are far outside those of training in 'x0', 'x1', 'x2', 'x3', 'x4' and 1 more.",
    )


@pytest.mark.parametrize(
    ("kind", "classes", "expected"),
    [
        ("text", ("no", "yes"), ["yes", "no", "no"]),
        ("integer", ("0", "1"), [1, 0, 0]),
        ("boolean", ("False", "True"), [True, False, False]),
    ],
)
def test_labels_are_values_of_the_targets_own_kind(kind: str, classes: tuple[str, ...], expected: list[Any]) -> None:
    target = TargetEncoding("y", Task.BINARY, kind, classes)

    frame = decode(np.array([[0.75], [0.25], [0.5]], np.float32), target, pd.RangeIndex(3))

    assert frame["prediction"].tolist() == expected
    assert list(frame.columns) == ["prediction", *(f"probability_{label}" for label in classes)]
    assert frame.iloc[0, 1:].tolist() == [0.25, 0.75]


def test_names_that_a_source_has_for_its_classes_are_the_labels() -> None:
    target = load(DatasetSpec(source="sklearn:iris")).preprocessing.target

    assert target.labels() == ["setosa", "versicolor", "virginica"]
