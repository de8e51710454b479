from __future__ import annotations

import gzip
import hashlib
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from examples import n_examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from dnnsweep.datasets import Dataset, load
from dnnsweep.errors import DataError
from dnnsweep.records import Task
from dnnsweep.spec import DatasetSpec

PENGUINS = Path(__file__).parent.parent / "sweeps" / "data" / "penguins.csv"


def pets(n: int = 40) -> pd.DataFrame:
    """A table of numbers, booleans and texts, some of them missing; the label follows from the row's number."""
    rows = range(n)
    return pd.DataFrame(
        {
            "id": [f"pet-{i}" for i in rows],
            "weight": [None if i % 10 == 3 else 1.5 * i for i in rows],
            "is_tame": [i % 3 == 0 for i in rows],
            "kind": [None if i % 8 == 1 else ("cat", "dog", "fish")[i % 3] for i in rows],
            "label": ["yes" if i % 4 else "no" for i in rows],
        }
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], str]:
    """Write a csv file; return its source."""

    def write_csv(content: str | bytes, name: str = "data.csv") -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return f"csv:{path}"

    return write_csv


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    """Write an npz file; return its source."""

    def save_npz(**content: Any) -> str:
        np.savez(tmp_path / "data.npz", **content)
        return f"npz:{tmp_path / 'data.npz'}"

    return save_npz


def numbers(n: int = 40, width: int = 3) -> np.ndarray:
    return np.random.default_rng(7).normal(5.0, 3.0, size=(n, width))


def classes(n: int = 40, n_classes: int = 2) -> np.ndarray:
    return np.arange(n) % n_classes


def of(x: Any, y: Any, task: str = "auto", **spec: Any) -> Dataset:
    return load(DatasetSpec(**spec), task, (x, y))


def refused(spec: DatasetSpec, task: str = "auto", data: Any = None) -> str:
    with pytest.raises(DataError) as caught:
        load(spec, task, data)
    return str(caught.value)


def same_inputs(data: Dataset, other: Dataset) -> bool:
    parts = ("x_train", "x_validation", "y_train", "y_validation")
    return all(np.array_equal(getattr(data, part), getattr(other, part)) for part in parts)


# What is read


@pytest.mark.parametrize(
    ("name", "task", "n_rows", "n_features", "n_outputs"),
    [
        ("digits", Task.MULTICLASS, 1797, 64, 10),
        ("breast_cancer", Task.BINARY, 569, 30, 1),
        ("wine", Task.MULTICLASS, 178, 13, 3),
        ("iris", Task.MULTICLASS, 150, 4, 3),
        ("diabetes", Task.REGRESSION, 442, 10, 1),
    ],
)
def test_each_data_set_of_scikit_learn_is_read(
    name: str, task: Task, n_rows: int, n_features: int, n_outputs: int
) -> None:
    data = load(DatasetSpec(source=f"sklearn:{name}"))

    summary = data.summary
    assert (summary.task, summary.n_features, data.n_outputs) == (task, n_features, n_outputs)
    assert summary.n_train + summary.n_validation + summary.n_test == n_rows
    assert len(summary.columns) == n_features
    assert data.x_train.shape == (summary.n_train, n_features)
    assert data.x_validation.shape == (summary.n_validation, n_features)
    assert data.x_test.shape == (summary.n_test, n_features)
    for x, y in [(data.x_train, data.y_train), (data.x_validation, data.y_validation), (data.x_test, data.y_test)]:
        assert x.dtype == np.float32
        assert y.dtype == (np.float32 if task is Task.REGRESSION else np.int32)
        assert len(x) == len(y)
        assert np.isfinite(x).all()


def test_digits_are_split_and_scaled_as_a_plain_scikit_learn_script_does_it() -> None:
    x, y = load_digits(return_X_y=True)
    rest, x_test, y_rest, y_test = train_test_split(x, y, test_size=round(0.25 * 1797), random_state=3, stratify=y)
    x_train, x_validation, y_train, y_validation = train_test_split(
        rest, y_rest, test_size=round(0.1 * 1797), random_state=3, stratify=y_rest
    )
    scaler = StandardScaler().fit(x_train)

    data = load(DatasetSpec(source="sklearn:digits", validation=0.1, test=0.25, seed=3))

    assert_array_equal(data.x_train, scaler.transform(x_train).astype("float32"))
    assert_array_equal(data.x_validation, scaler.transform(x_validation).astype("float32"))
    assert_array_equal(data.x_test, scaler.transform(x_test).astype("float32"))
    assert_array_equal(data.y_train, y_train)
    assert_array_equal(data.y_validation, y_validation)
    assert_array_equal(data.y_test, y_test)


def test_penguins_are_encoded_as_a_plain_scikit_learn_script_does_it() -> None:
    table = pd.read_csv(PENGUINS)
    x, y = table.drop(columns="species"), table["species"]
    labels, y = np.unique(y, return_inverse=True)
    number = list(x.select_dtypes(["number", "bool"]))
    text = [name for name in x if name not in number]
    x[text] = x[text].fillna("missing")
    rest, x_test, y_rest, y_test = train_test_split(x, y, test_size=69, random_state=0, stratify=y)
    x_train, x_validation, y_train, _ = train_test_split(rest, y_rest, test_size=69, random_state=0, stratify=y_rest)
    encoder = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), MinMaxScaler()), number),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), text),
    )

    data = load(DatasetSpec(source=f"csv:{PENGUINS}", target="species", scale="minmax"))

    assert_array_equal(data.x_train, encoder.fit_transform(x_train).astype("float32"))
    assert_array_equal(data.x_validation, encoder.transform(x_validation).astype("float32"))
    assert_array_equal(data.x_test, encoder.transform(x_test).astype("float32"))
    assert_array_equal(data.y_train, y_train)
    assert_array_equal(data.y_test, y_test)
    assert data.summary.classes == tuple(labels) == ("Adelie", "Chinstrap", "Gentoo")
    assert data.summary.columns == tuple(x.columns)
    assert data.summary.notes == (
        f"Filled 8 missing numbers in {', '.join(map(repr, number))} with the median of the training rows.",
        "Turned 11 missing texts in 'sex' into the category 'missing'.",
        "One-hot encoded the text columns 'island', 'sex'.",
    )


def test_classes_of_scikit_learn_keep_their_order_and_names() -> None:
    data = load(DatasetSpec(source="sklearn:breast_cancer", validation=0.2, test=0.0))

    assert data.summary.classes == ("malignant", "benign")  # not in the order of the alphabet
    y = load_breast_cancer().target
    assert sum(data.y_train) + sum(data.y_validation) == sum(y)


def test_scikit_learn_does_not_scale_diabetes_by_its_test_rows() -> None:
    data = load(DatasetSpec(source="sklearn:diabetes", scale="none", test=0.0))

    ages = np.concatenate([data.x_train, data.x_validation])[:, 0]
    assert sorted(ages) == sorted(load_diabetes(scaled=False).data[:, 0])


def test_text_becomes_one_column_for_each_category_after_the_numbers(write: Callable[[str], str]) -> None:
    source = write(pets().to_csv(index=False))

    data = load(DatasetSpec(source=source, target="label", drop=("id",), scale="none", test=0.0))

    # weight, is_tame as it is, then kind: cat, dog, fish, missing
    assert data.summary.n_features == data.x_train.shape[1] == 6
    assert set(np.unique(data.x_train[:, 1])) == {0.0, 1.0}
    assert set(np.unique(data.x_train[:, 2:])) == {0.0, 1.0}
    assert_array_equal(data.x_train[:, 2:].sum(axis=1), 1.0)
    assert data.x_train[:, 5].sum() + data.x_validation[:, 5].sum() == 5  # rows 1, 9, 17, 25, 33
    assert data.summary.columns == ("weight", "is_tame", "kind")
    assert data.summary.classes == ("no", "yes")
    assert data.summary.notes[0] == "Left out the columns 'id'."


def test_missing_numbers_become_the_median_of_the_training_rows() -> None:
    x = numbers(60)
    x[:, 0] = np.arange(60)
    x[::7, 1] = np.nan

    data = of(x, classes(60), scale="none")

    train_rows = data.x_train[:, 0].astype(int)
    median = np.nanmedian(x[train_rows, 1])
    for part in (data.x_train, data.x_validation, data.x_test):
        is_filled = part[:, 0] % 7 == 0
        assert is_filled.any()
        assert_array_equal(part[is_filled, 1], np.float32(median))


def test_a_number_that_only_other_rows_have_is_filled_with_zero() -> None:
    rows = of(np.arange(40.0).reshape(-1, 1), classes(), scale="none").x_train[:, 0].astype(int)
    x = numbers()
    x[rows, 2] = np.nan  # the same split: it depends on the target and the seed only

    data = of(x, classes())

    assert_array_equal(data.x_train[:, 2], 0.0)
    assert np.isfinite(data.x_test).all()


def test_text_that_no_training_row_has_is_zero_everywhere() -> None:
    rows = of(np.arange(40.0).reshape(-1, 1), classes(), scale="none")
    kinds = np.array(["cat", "dog"] * 20, dtype=object)
    kinds[rows.x_test[:, 0].astype(int)] = "unicorn"

    data = of(pd.DataFrame({"kind": kinds}), classes())

    assert data.x_train.shape[1] == 2
    assert_array_equal(data.x_test, 0.0)
    assert_array_equal(data.x_validation.sum(axis=1), 1.0)


def test_images_are_flattened_row_by_row() -> None:
    images = np.arange(40 * 2 * 3, dtype="uint8").reshape(40, 2, 3)

    data = of(images, classes(), scale="none")

    assert data.x_train.shape[1] == 6
    assert {tuple(row) for row in data.x_train} <= {tuple(image.ravel().astype("float32")) for image in images}
    assert data.summary.notes == ("Flattened each row of 2 x 3 numbers to 6.",)


def test_an_npz_file_of_x_and_y_is_split_like_arrays(save: Callable[..., str]) -> None:
    x, y = numbers(), np.array(["left", "right"] * 20)

    data = load(DatasetSpec(source=save(x=x, y=y)))

    assert same_inputs(data, of(x, y))
    assert data.summary == of(x, y).summary
    assert data.summary.classes == ("left", "right")


def test_an_npz_file_may_hold_its_own_test_rows(save: Callable[..., str]) -> None:
    x, y, x_test, y_test = numbers(), classes(), 100 + numbers(6), classes(6)

    data = load(DatasetSpec(source=save(x_train=x, y_train=y, x_test=x_test, y_test=y_test), test=0.5))

    without = of(x, y, test=0.0)
    assert same_inputs(data, without)
    assert (data.summary.n_train, data.summary.n_validation, data.summary.n_test) == (32, 8, 6)
    mean, std = _moments_of(x, without)
    np.testing.assert_allclose(data.x_test, (x_test - mean) / std, rtol=1e-5)
    assert_array_equal(data.y_test, y_test)
    assert data.summary.notes == ("Used the 6 test rows that the source provides; dataset.test is ignored.",)


def test_arrays_beside_rows_and_target_are_named_in_a_note(save: Callable[..., str]) -> None:
    arrays = {"x": numbers(), "y": classes(), "groups": np.arange(40), "names": np.array(["a"])}

    data = load(DatasetSpec(source=save(**arrays)))

    advice = "to split or weight rows by them, make them columns of a table"
    assert data.summary.notes == (f"Left out the arrays 'groups', 'names'; {advice}.",)
    assert data.summary.fingerprint == load(DatasetSpec(source=save(x=arrays["x"], y=arrays["y"]))).summary.fingerprint


def _moments_of(x: np.ndarray, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    rows = of(np.arange(float(len(x))).reshape(-1, 1), classes(len(x)), scale="none", test=0.0).x_train
    train = x[rows[:, 0].astype(int)]
    assert len(train) == data.summary.n_train
    return train.mean(axis=0), train.std(axis=0)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (numbers().tolist(), classes().tolist()),
        (pd.DataFrame(numbers(), columns=["x0", "x1", "x2"]), pd.Series(classes(), name="y")),
        (pd.DataFrame(numbers(), columns=["x0", "x1", "x2"]), pd.DataFrame({"y": classes()})),
        (numbers(), classes().reshape(-1, 1)),
        (np.ma.masked_array(numbers(), mask=False), tuple(classes().tolist())),
        (pd.DataFrame(numbers(), columns=["x0", "x1", "x2"]).astype("Float64"), pd.Series(classes(), dtype="Int64")),
    ],
)
def test_lists_frames_and_arrays_of_equal_rows_are_equal_data(x: Any, y: Any) -> None:
    data, plain = of(x, y), of(numbers(), classes())

    assert same_inputs(data, plain)
    assert data.summary == plain.summary


def test_nested_lists_may_mix_numbers_and_text() -> None:
    data = of([[i * 7 % 40, "even" if i % 4 < 2 else "odd"] for i in range(40)], classes(), scale="none")

    assert data.x_train.shape[1] == 3
    assert data.summary.columns == ("x0", "x1")


def test_categories_and_nullable_columns_of_pandas_are_read() -> None:
    frame = pd.DataFrame(
        {
            "grade": pd.Categorical([1, 2, None, 3] * 10),
            "count": pd.array([1, None, 3, 4] * 10, dtype="Int64"),
            "flag": pd.array([True, False, None, True] * 10, dtype="boolean"),
            "word": pd.array(["a", "b", None, "c"] * 10, dtype="string"),
        }
    )

    data = of(frame, classes(), scale="none")

    assert data.x_train.shape[1] == 10  # count, flag; 1, 2, 3, missing; a, b, c, missing
    assert np.isfinite(data.x_train).all()


def test_booleans_with_gaps_in_a_csv_file_are_text_with_a_category_for_the_gaps(write: Callable[[str], str]) -> None:
    rows = "".join(f"{('True', 'False', '')[i % 3]},{i / 7},{'ab'[i % 2]}\n" for i in range(60))

    data = load(DatasetSpec(source=write(f"flag,n,y\n{rows}"), target="y"))

    assert data.summary.n_features == 4  # n; False, True, missing


def test_data_handed_over_stand_in_for_any_source() -> None:
    spec = DatasetSpec(source="csv:nowhere.csv", target="label", drop=("id",))

    assert same_inputs(load(spec, data=(numbers(), classes())), of(numbers(), classes()))


def test_the_arrays_handed_over_are_left_as_they_are() -> None:
    x, y = numbers(), classes().astype(float)
    x[3, 1] = np.nan
    before = x.copy(), y.copy()

    of(x, y, test=0.0)

    assert_array_equal(x, before[0])
    assert_array_equal(y, before[1])


def test_a_csv_file_may_be_compressed_and_begin_with_a_byte_order_mark(write: Callable[..., str]) -> None:
    text = pets().to_csv(index=False)
    spec: dict[str, Any] = {"target": "label", "drop": ("id",)}
    plain = load(DatasetSpec(source=write(text), **spec))

    marked = load(DatasetSpec(source=write(b"\xef\xbb\xbf" + text.encode()), **spec))
    packed = load(DatasetSpec(source=write(gzip.compress(text.encode()), "data.csv.gz"), **spec))

    assert marked.summary == packed.summary == plain.summary


def test_a_data_set_crosses_a_process_boundary() -> None:
    data = of(numbers(), classes())

    copy = pickle.loads(pickle.dumps(data))  # noqa: S301 - our own bytes

    assert same_inputs(copy, data)
    assert copy.summary == data.summary


# The task


@pytest.mark.parametrize(
    ("y", "task", "decided", "labels"),
    [
        (["b", "a"] * 20, "auto", Task.BINARY, ("a", "b")),
        (["b", "a", "c", "c"] * 10, "auto", Task.MULTICLASS, ("a", "b", "c")),
        ([True, False] * 20, "auto", Task.BINARY, ("False", "True")),
        ([7, -1] * 20, "auto", Task.BINARY, ("-1", "7")),
        ([10, 9, 9, 100] * 10, "auto", Task.MULTICLASS, ("9", "10", "100")),
        (np.arange(200) % 50, "auto", Task.MULTICLASS, tuple(map(str, range(50)))),
        (np.arange(204) % 51, "auto", Task.REGRESSION, ()),
        (np.arange(204) % 51, "multiclass", Task.MULTICLASS, tuple(map(str, range(51)))),
        ([0.0, 1.0] * 20, "auto", Task.BINARY, ("0", "1")),
        ([0.0, 1.0] * 20, "regression", Task.REGRESSION, ()),
        ([1.0, 2.0] * 20, "auto", Task.REGRESSION, ()),
        ([0.0, 1.0] * 20, "binary", Task.BINARY, ("0", "1")),
        ([0, 1] * 20, "regression", Task.REGRESSION, ()),
        ([0, 1] * 20, "multiclass", Task.MULTICLASS, ("0", "1")),
        ([True, False] * 20, "regression", Task.REGRESSION, ()),
        (np.array([2**63, 2**63 + 5] * 20, dtype="uint64"), "auto", Task.BINARY, (str(2**63), str(2**63 + 5))),
        (pd.Categorical(["low", "high"] * 20), "auto", Task.BINARY, ("high", "low")),
    ],
)
def test_the_task_is_read_from_the_target_unless_it_is_given(
    y: Any, task: str, decided: Task, labels: tuple[str, ...]
) -> None:
    data = of(numbers(len(y)), y, task, validation=0.25, test=0.25)

    assert data.summary.task is decided
    assert data.summary.classes == labels
    assert data.n_outputs == (len(labels) if decided is Task.MULTICLASS else 1)
    first = np.asarray(y)[0]
    if labels:
        assert {labels[index] for index in data.y_train} == set(labels)
        assert str(int(first) if isinstance(first, float) else first) in labels


def test_a_class_index_is_the_place_of_its_label() -> None:
    y = np.array(["dog", "cat", "fish", "cat"] * 10)
    codes = {"cat": 0.0, "dog": 1.0, "fish": 2.0}

    data = of(np.array([[codes[label]] for label in y]), y, scale="none")

    assert_array_equal(data.x_train[:, 0], data.y_train)
    assert_array_equal(data.x_test[:, 0], data.y_test)


def test_numbers_to_predict_are_standardised_by_the_training_rows() -> None:
    y = numbers(50, 1)[:, 0] * 1000

    data = of(y.reshape(-1, 1), y, scale="none")

    train = data.x_train[:, 0].astype("float64")
    assert data.target_mean == pytest.approx(train.mean(), rel=1e-6)
    assert data.target_std == pytest.approx(train.std(), rel=1e-6)
    for x, scaled in [(data.x_train, data.y_train), (data.x_test, data.y_test)]:
        np.testing.assert_allclose(scaled * data.target_std + data.target_mean, x[:, 0], rtol=1e-4)
    assert abs(data.y_train.mean()) < 1e-6
    assert data.y_train.std() == pytest.approx(1.0, abs=1e-6)


def test_class_targets_have_mean_zero_and_deviation_one() -> None:
    data = of(numbers(), classes())

    assert (data.target_mean, data.target_std) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("y", "note"),
    [
        ([0.0, 1.0] * 20, "Took the target's 0.0 and 1.0 for classes; if they are amounts, write task: regression."),
        (
            [1.0, 2.0] * 20,
            "Treated the target's 2 distinct values as numbers; if they are classes, write task: binary.",
        ),
        (range(60), "Treated the target's 60 distinct values as numbers; if they are classes, write task: multiclass."),
    ],
)
def test_a_target_that_looks_like_classes_is_pointed_out(y: Any, note: str) -> None:
    assert of(numbers(len(y)), list(y)).summary.notes == (note,)


# Splitting and scaling


@settings(deadline=None, max_examples=n_examples(40))
@given(
    n=st.integers(60, 200),
    n_classes=st.integers(2, 4),
    validation=st.floats(0.1, 0.4),
    test=st.one_of(st.just(0.0), st.floats(0.1, 0.4)),
    seed=st.integers(0, 2**32 - 1),
)
def test_parts_hold_every_row_once_and_each_class_in_its_share(
    n: int, n_classes: int, validation: float, test: float, seed: int
) -> None:
    y = classes(n, n_classes)

    data = of(np.arange(n).reshape(-1, 1), y, validation=validation, test=test, scale="none", seed=seed)

    parts = [data.x_train, data.x_validation, data.x_test]
    assert sorted(np.concatenate(parts)[:, 0]) == list(range(n))
    assert len(data.x_validation) == round(validation * n)
    assert len(data.x_test) == round(test * n)
    for x, target in [(data.x_train, data.y_train), (data.x_validation, data.y_validation), (data.x_test, data.y_test)]:
        assert_array_equal(y[x[:, 0].astype(int)], target)
        counts = np.bincount(target, minlength=n_classes)
        assert max(counts) - min(counts) <= 3  # rounded once for each split, from shares that differ by one row


def test_the_seed_alone_decides_the_split() -> None:
    x, y = numbers(), classes()

    assert same_inputs(of(x, y, seed=5), of(x, y, seed=5))
    assert not same_inputs(of(x, y, seed=5), of(x, y, seed=6))


def test_without_test_rows_the_test_part_is_empty() -> None:
    data = of(pets()[["weight", "kind"]], pets()["label"], test=0.0)

    assert data.x_test.shape == (0, data.summary.n_features)
    assert data.y_test.shape == (0,)
    assert (data.x_test.dtype.name, data.y_test.dtype.name) == ("float32", "int32")
    assert data.summary.n_test == 0


@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
def test_scaling_follows_from_the_training_rows_only(scale: str) -> None:
    x, y = numbers(), classes()
    raw = of(x, y, scale="none")

    data = of(x, y, scale=scale)

    train = raw.x_train.astype("float64")
    shift, size = {
        "standard": (train.mean(axis=0), train.std(axis=0)),
        "minmax": (train.min(axis=0), np.ptp(train, axis=0)),
        "none": (0.0, 1.0),
    }[scale]
    for part in ("x_train", "x_validation", "x_test"):
        np.testing.assert_allclose(getattr(data, part), (getattr(raw, part) - shift) / size, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
def test_test_rows_change_nothing_but_themselves(scale: str) -> None:
    frame = pets(80).drop(columns=["id", "label"]).astype({"weight": float})
    y = pd.Series([float(i % 7) for i in range(80)])
    rows = of(np.arange(80.0).reshape(-1, 1), y, scale="none").x_test[:, 0].astype(int)
    wild, wild_y = frame.copy(), y.copy()
    wild.loc[rows, "weight"] = [1e6 if i % 2 else np.nan for i in range(len(rows))]
    wild.loc[rows, "kind"] = "unicorn"
    wild.loc[rows, "is_tame"] = True
    wild_y[rows] = -1e6

    data, other = of(frame, y, scale=scale), of(wild, wild_y, scale=scale)

    assert same_inputs(data, other)
    assert (data.target_mean, data.target_std) == (other.target_mean, other.target_std)
    assert not np.array_equal(data.x_test, other.x_test)
    assert not np.array_equal(data.y_test, other.y_test)


def test_own_test_rows_change_nothing_but_themselves(save: Callable[..., str]) -> None:
    part = {"x_train": numbers(), "y_train": classes(40, 3)}
    mild = load(DatasetSpec(source=save(**part, x_test=numbers(6), y_test=classes(6, 3))))

    wild = load(DatasetSpec(source=save(**part, x_test=np.full((9, 3), 1e9), y_test=np.ones(9, dtype=int))))

    assert same_inputs(mild, wild)
    assert mild.summary.task is wild.summary.task is Task.MULTICLASS


@pytest.mark.parametrize("scale", ["standard", "minmax"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8"])
def test_constant_columns_become_finite(scale: str, dtype: str) -> None:
    x = numbers().clip(0).astype(dtype)
    x[:, 0] = 0
    x[:, 1] = 3

    data = of(x, classes(), scale=scale)

    assert_array_equal(data.x_train[:, :2], 0.0)
    assert np.isfinite(data.x_train).all()


def test_large_offsets_do_not_eat_small_differences() -> None:
    seconds = 1.7e9 + np.arange(40.0)  # 32 bits would round them to multiples of 128

    data = of(seconds.reshape(-1, 1), classes())

    assert len(np.unique(data.x_train)) == len(data.x_train)


@settings(deadline=None, max_examples=n_examples(60), suppress_health_check=[HealthCheck.filter_too_much])
@given(
    x=arrays(np.float64, (30, 3), elements=st.floats(-1e30, 1e30) | st.just(np.nan)),
    scale=st.sampled_from(["standard", "minmax", "none"]),
)
def test_inputs_are_finite_or_the_data_are_refused(x: np.ndarray, scale: str) -> None:
    try:
        data = of(x, classes(30), scale=scale)
    except DataError as error:
        assert str(error).startswith("dataset.source: ")  # noqa: PT017 - being refused is one of two right answers
        return
    for part in (data.x_train, data.x_validation, data.x_test):
        assert np.isfinite(part).all()


# Fingerprints


def test_the_fingerprint_does_not_depend_on_split_or_scale() -> None:
    x, y = numbers(), classes()

    assert of(x, y).summary.fingerprint == of(x, y, scale="none", seed=9, test=0.0).summary.fingerprint


@settings(deadline=None, max_examples=n_examples(30))
@given(row=st.integers(0, 39), column=st.sampled_from(["weight", "is_tame", "kind", "label"]))
def test_changing_one_cell_changes_the_fingerprint(row: int, column: str) -> None:
    frame = pets().drop(columns="id")
    old = frame[column][row]
    changed = frame.copy()
    changed.loc[row, column] = {"weight": 0.123, "is_tame": not old, "kind": "bird"}.get(
        column, "no" if old == "yes" else "yes"
    )

    before, after = (of(x.drop(columns="label"), x["label"]).summary.fingerprint for x in (frame, changed))

    assert before != after


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.rename(columns={"a": "z"}),
        lambda x: x[["b", "a", "c", "d"]],
        lambda x: x.assign(c=x["d"], d=x["c"]),
        lambda x: x.assign(c=x["c"].fillna("missing")),
        lambda x: x.assign(c=x["c"].fillna("None")),
        lambda x: x.assign(a=x["a"].fillna(0.0)),
        lambda x: x.assign(b=x["b"].astype(str).astype("category")),
        lambda x: x.iloc[::-1].reset_index(drop=True),
    ],
)
def test_names_order_gaps_and_types_are_part_of_the_fingerprint(change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    frame = pd.DataFrame(
        {"a": [1.5, None, 3.0, 4.0] * 10, "b": [1.0, 2.0] * 20, "c": ["u", "v", None, "w"] * 10, "d": ["u", "w"] * 20}
    )

    changed = of(change(frame), classes()).summary.fingerprint

    assert changed != of(frame, classes()).summary.fingerprint


def test_texts_that_join_to_the_same_letters_differ() -> None:
    data = of(pd.DataFrame({"a": ["xy", "z"] * 20}), classes())
    other = of(pd.DataFrame({"a": ["x", "yz"] * 20}), classes())

    assert data.summary.fingerprint != other.summary.fingerprint


def test_classes_and_numbers_of_equal_value_differ() -> None:
    assert of(numbers(), classes()).summary.fingerprint != of(numbers(), classes().astype(float)).summary.fingerprint


def test_equal_numbers_of_another_width_byte_order_or_layout_are_equal_data() -> None:
    x = np.arange(-60, 60).reshape(40, 3)
    expected = of(x, classes()).summary.fingerprint
    shapes = [x.astype("float32"), x.astype(">f8"), np.asfortranarray(x), np.where(x == 0, -0.0, x), x.astype("int8")]

    assert {of(shape, classes()).summary.fingerprint for shape in shapes} == {expected}


def test_fingerprints_are_made_of_the_bytes_that_they_promise() -> None:
    # A change here makes every sweep stored so far refuse its own data.
    x, y = np.array([[0.5, -0.0], [np.nan, 2.0]] * 10), ["u", "v"] * 10

    def word(text: str) -> bytes:
        return len(text).to_bytes(8, "little") + text.encode()

    def sizes(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(8, "little") for number in numbers)

    expected = b"".join(map(word, ["dnnsweep data 1", "y", "text", "x0", "x1"])) + sizes(2, 0, 0)
    expected += sizes(20, 2) + np.array([[0.5, 0.0], [np.nan, 2.0]] * 10, dtype="<f8").tobytes()
    expected += sizes(20, 2) + word("u") + word("v") + np.array([0, 1] * 10, dtype="<i8").tobytes()

    assert of(x, y).summary.fingerprint == hashlib.sha256(expected).hexdigest()


def test_the_same_csv_file_has_the_same_fingerprint_and_another_cell_has_another(write: Callable[[str], str]) -> None:
    text = PENGUINS.read_text()

    def fingerprint(content: str) -> str:
        return load(DatasetSpec(source=write(content), target="species")).summary.fingerprint

    assert fingerprint(text) == fingerprint(text)
    assert fingerprint(text.replace("39.1,18.7", "39.1,18.8")) != fingerprint(text)
    assert fingerprint(text.replace("39.1,", ",", 1)) != fingerprint(text)


# Refusals


def test_arrays_that_were_not_handed_over_are_asked_for() -> None:
    message = refused(DatasetSpec())

    assert message == (
        "dataset.source: arrays must be passed in Python, got 'arrays:'; call dnnsweep.run(spec, data=(x, y))"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("sklearn:digitz", "dataset.source: must be one of sklearn:digits, "),
        ("sklearn:digitz", "did you mean digits?"),
        ("feather:a.feather", "dataset.source: must name a known kind of source, got 'feather:a.feather'"),
        ("csv:nowhere.csv", "dataset.source: must be a file that exists, got 'nowhere.csv'; check the path"),
        ("csv:.", "dataset.source: must be a file that exists, got the folder '.'; check the path"),
        ("npz:nowhere.npz", "dataset.source: must be a file that exists, got 'nowhere.npz'; check the path"),
        (f"csv:{'a' * 5000}", "dataset.source: must be a file that can be read, got 'aaa"),
        ("csv:~nobody-here/a.csv", "dataset.source: must be a file that can be read, got '~nobody-here/a.csv'"),
    ],
)
def test_sources_that_do_not_exist_are_refused(source: str, message: str) -> None:
    assert message in refused(DatasetSpec(source=source, target="y"))


def test_a_csv_file_needs_a_target(write: Callable[[str], str]) -> None:
    assert refused(DatasetSpec(source=write("a,y\n1,2\n"))).startswith("dataset.target: is missing; name the column")


LABELS = "".join(f"{i},{'ab'[i % 2]}\n" for i in range(20))
NAMES = "".join(f"name {i},{'ab'[i % 2]}\n" for i in range(51))


@pytest.mark.parametrize(
    ("content", "spec", "message"),
    [
        ("", {}, "dataset.source: must be a CSV file with a line of column names, got "),
        ("\n\n", {}, "dataset.source: must be a CSV file with a line of column names, got "),
        ("x,y\n", {}, "dataset.source: must hold rows, got column names only"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", {}, "dataset.source: must be a CSV file in UTF-8, got "),
        (b"x,y\n1,caf\x81\n", {}, "save it as UTF-8"),
        ("x,y\n1,2\n1,2,3\n", {}, "Expected 2 fields in line 3, saw 3; check the file"),
        ('x,y\n1,"2\n3,4\n', {}, "EOF inside string starting at row 1; check the file"),
        ("x,y\n1,2,3\n4,5,6\n", {}, "Expected 2 fields in line 2, saw 3; check the file"),
        (f"x,x,y\n{LABELS}", {}, "dataset.source: column names must be unique, got 'x' more than once; rename"),
        (f"x,label\n{LABELS}", {"target": "labels"}, "dataset.target: must be a column of the table, got 'labels'"),
        (f"x,label\n{LABELS}", {"target": "labels"}, "did you mean label?"),
        (f"x,label\n{LABELS}", {"target": "q"}, "the columns are 'x', 'label'"),
        ("x:y;z\n1:2\n", {}, "name the character between columns with dataset.csv.separator"),
        (f"x,y\n{LABELS}", {"drop": ("w",)}, "dataset.drop.0: must be a column of the table, got 'w'"),
        (f"x,y\n{LABELS}", {"drop": ("x",)}, "dataset.drop: must leave a column to learn from, got 'x'"),
        ("y\na\nb\n", {}, "dataset.drop: must leave a column to learn from"),
        (f"x,y\n{LABELS}5,\n6,\n", {}, "dataset.target: y must not be missing, got 2 of 22 rows without it; remove"),
        ("x,y\n" + "1,a\n" * 20, {}, "dataset.target: y must have at least two distinct values, got a in every row"),
        ("x,y\n" + "1,2.5\n" * 20, {}, "y must have at least two distinct values, got 2.5 in every row"),
        ("x,y\n" + "1,0.5\n2,inf\n" * 20, {}, "dataset.target: y must be finite and at most 3.4e+38 in size, got 20"),
        (f"x,y\ninf,a\n{LABELS}", {}, "dataset.source: numbers must be finite and at most 3.4e+38 in size"),
        (f"x,y\n-1e39,a\n{LABELS}", {}, "got infinite or larger ones in 'x'; leave it out with dataset.drop"),
        ("w,x,y\n" + ",1,a\n,2,b\n" * 9, {}, "dataset.source: columns must not be empty, got 'w'; leave it out with"),
        (f"x,y\n{NAMES}", {}, "texts must occur again in other rows, got 51 different ones in 51 rows of 'x', such as"),
        (f"x,y\n{NAMES}", {}, "such as 'name 0'; it looks like an identifier: dataset.drop: [x]"),
        (f"x,y\n{LABELS}1,rare\n", {}, "dataset.target: each class must have enough rows for every part, got 'rare'"),
    ],
)
def test_csv_files_that_cannot_be_used_are_refused(
    write: Callable[[str | bytes], str], content: str | bytes, spec: dict[str, Any], message: str
) -> None:
    assert message in refused(DatasetSpec(**{"source": write(content), "target": "y", **spec}))


def test_every_column_that_cannot_be_used_is_named_at_once(write: Callable[[str], str]) -> None:
    rows = "".join(f"name {i},,inf,{i},{'ab'[i % 2]}\n" for i in range(60))

    message = refused(DatasetSpec(source=write(f"who,gap,far,n,y\n{rows}"), target="y"))

    assert len(message.splitlines()) == 3
    assert all(f"'{name}'" in message for name in ("who", "gap", "far"))


def test_wrong_target_and_wrong_drop_are_named_at_once(write: Callable[[str], str]) -> None:
    message = refused(DatasetSpec(source=write("ab,cd\n1,2\n"), target="abc", drop=("cde",)))

    assert [line.split(":")[0] for line in message.splitlines()] == ["dataset.target", "dataset.drop.0"]


def test_texts_among_numbers_are_counted_and_shown(write: Callable[[str], str]) -> None:
    rows = "".join(f"{'n.b.' if i > 77 else i + 0.5},{'ab'[i % 2]}\n" for i in range(80))

    message = refused(DatasetSpec(source=write(f"charge,y\n{rows}"), target="y"))

    assert "got 'n.b.' in 2 rows among the 78 numbers of 'charge'; if missing values are meant, write" in message
    assert (
        "write dataset.missing: [n.b.]; to have a category for each word, dataset.text: [charge]; or leave" in message
    )


def test_fifty_texts_in_a_column_are_allowed() -> None:
    data = of(pd.DataFrame({"a": [f"t{i % 50}" for i in range(400)]}), classes(400))

    assert data.x_train.shape[1] == 50


def test_broken_npz_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=numbers(), y=classes())
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[400] ^= 0xFF
    np.save(tmp_path / "data.npy", numbers())
    single = (tmp_path / "data.npy").read_bytes()

    for content in (b"", b"PK", b"not an archive", whole[: len(whole) // 2], whole[:-5], bytes(flipped), single):
        path.write_bytes(content)
        assert refused(DatasetSpec(source=f"npz:{path}")).startswith("dataset.source: must be an npz file")


@settings(deadline=None, max_examples=n_examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10_000), value=st.integers(0, 255), length=st.integers(0, 10_000))
def test_damaged_npz_files_are_read_or_refused(tmp_path: Path, position: int, value: int, length: int) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=numbers(12, 2), y=classes(12))
    damaged = bytearray(path.read_bytes())
    damaged[position % len(damaged)] = value
    path.write_bytes(damaged[: max(1, length % len(damaged))] if length % 2 else damaged)

    try:
        data = load(DatasetSpec(source=f"npz:{path}", validation=0.3, test=0.0))
    except DataError:
        return
    assert np.isfinite(data.x_train).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"a": np.ones(3)},
            "dataset.source: must hold the arrays x and y, or x_train, y_train, x_test and y_test, got 'a'",
        ),
        ({"x_train": numbers(), "y_train": classes()}, "got 'x_train', 'y_train'; rename the arrays"),
        ({"x": np.array([[1, "a"]], dtype=object), "y": np.ones(1)}, "must be an npz file of plain arrays, got "),
        ({"x": numbers(), "y": classes(39)}, "x and y must have the same number of rows, got 40 in x and 39 in y"),
        ({"x": numbers(), "y": np.eye(40)}, "y must hold one value per row, got ndarray of shape (40, 40)"),
        ({"x": numbers(), "y": np.eye(40)}, "for one-hot rows, y.argmax(axis=1); for several targets, one sweep for"),
        (
            {"x": numbers(), "y": classes(), "x_val": numbers(4), "y_val": classes(4)},
            "got 'x_val', 'y_val' beside them",
        ),
        (
            {"x": numbers(), "y": classes(), "x_valid": numbers(4)},
            "append these to x_train and y_train, or call them x_",
        ),
        ({"x": numbers(), "y": classes(), "x_test": numbers(4)}, "got 'x_test' beside them; rename or remove them"),
        ({"x": numbers(), "y": np.array([1, 2, 2, 3, 3] * 7 + [9, 2, 2, 3, 3])}, "write task: regression"),
        ({"x": numbers(), "y": np.ones((40, 2))}, "for several targets, one sweep for each"),
        ({"x": np.ones(40), "y": classes()}, "x must have rows and columns, got ndarray of shape (40,); for a single"),
        ({"x": np.float64(3), "y": classes()}, "x must have rows and columns, got ndarray of shape ()"),
        ({"x": np.ones((0, 3)), "y": np.ones(0)}, "x must have rows and columns, got ndarray of shape (0, 3)"),
        ({"x": numbers(), "y": np.float64(1)}, "y must hold one value per row, got ndarray of shape ()"),
        ({"x": numbers() * 1j, "y": classes()}, "columns must hold numbers or text, got complex in 'x0', 'x1', 'x2'"),
        (
            {"x": np.full((40, 2, 2), "a"), "y": classes()},
            "x must hold numbers or have two dimensions, got 3 dimensions",
        ),
        ({"x": numbers(), "y": np.array([b"a", b"b"] * 20)}, "y must hold numbers, text or booleans, got bytes"),
    ],
)
def test_npz_files_of_the_wrong_arrays_are_refused(
    save: Callable[..., str], content: dict[str, Any], message: str
) -> None:
    assert message in refused(DatasetSpec(source=save(**content)))


def test_sparse_matrices_are_refused_with_what_to_pass() -> None:
    rows = scipy.sparse.csr_matrix(np.eye(30))

    with pytest.raises(DataError, match=r"x must be .*, got the sparse csr_matrix; pass x\.toarray\(\)"):
        load(DatasetSpec(source="arrays:"), data=(rows, np.arange(30) % 2))
    with pytest.raises(DataError, match=r"y must be .*, got the sparse csr_matrix; pass y\.toarray\(\)"):
        load(DatasetSpec(source="arrays:"), data=(np.eye(30), rows[:, :1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_test": numbers(6, 2)}, "dataset.source: x_test must be like x_train (3 columns of numbers), got 2"),
        ({"x_test": np.full((6, 3), "a")}, "got 3 columns of text"),
        ({"y_test": classes(6).astype(float)}, "y_test must be like y_train (whole numbers), got numbers"),
        ({"y_test": classes(6) + 1}, "dataset.source: every class of y_test must occur in y_train, got '2'"),
        (
            {"y_test": classes(5)},
            "x_test and y_test must have the same number of rows, got 6 in x_test and 5 in y_test",
        ),
        ({"x_test": np.full((6, 3), np.inf)}, "numbers must be finite"),
        ({"x_test": np.ones((0, 3)), "y_test": classes(0)}, "x_test must have rows and columns"),
    ],
)
def test_own_test_rows_that_do_not_fit_are_refused(
    save: Callable[..., str], change: dict[str, Any], message: str
) -> None:
    content = {"x_train": numbers(), "y_train": classes(), "x_test": numbers(6), "y_test": classes(6), **change}

    assert message in refused(DatasetSpec(source=save(**content)))


FRAME = pd.DataFrame(numbers(), columns=["a", "b", "c"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (numbers(), "dataset.source: data must be a pair of rows and target, got ndarray; pass data=(x, y)"),
        ((numbers(), None), "y must hold one value per row, got NoneType of shape ()"),
        (([[1, 2], [3]], [0, 1]), "x must be an array, a list or a DataFrame with rows of equal length"),
        (({"a": [1, 2]}, [0, 1]), "x must have rows and columns, got dict of shape ()"),
        ((numbers(3), [0, 1]), "x and y must have the same number of rows, got 3 in x and 2 in y"),
        ((scipy.sparse.eye(40).tocsr(), classes()), "x must be an array with all its values, got the sparse csr_"),
        ((scipy.sparse.eye(40).tocsr(), classes()), "pass x.toarray()"),
        ((numbers(), scipy.sparse.csr_matrix(classes()).T), "pass y.toarray()"),
        ((FRAME, pd.Series(classes(), index=range(1, 41))), "x and y must have the same index"),
        ((FRAME.set_axis(["a", "a", "b"], axis=1), classes()), "column names must be unique, got 'a' more than once"),
        ((FRAME.set_axis([1, "1", "b"], axis=1), classes()), "column names must be unique, got '1' more than once"),
        ((FRAME[[]], classes()), "x must have rows and columns, got shape (40, 0)"),
        ((pd.DataFrame({"day": pd.date_range("2020-01-01", periods=40)}), classes()), "write dataset.dates: [day]"),
        (
            (pd.DataFrame({"bag": [[1]] * 40}), classes()),
            "got mixed in 'bag'; convert it to one of these, or remove it from x",
        ),
        ((FRAME.assign(a=np.inf), classes()), "got infinite or larger ones in 'a'; remove it from x"),
        ((numbers(), [None, *classes(39)]), "y must not be missing, got 1 of 40 rows without it"),
        ((numbers(), ["a", None] * 20), "y must not be missing, got 20 of 40 rows without it"),
        ((numbers(), [{"a": 1}] * 40), "y must hold numbers, text or booleans, got mixed"),
        ((numbers(), pd.date_range("2020-01-01", periods=40)), "y must hold numbers, text or booleans, got datetime64"),
        ((np.ma.masked_array(numbers(), mask=True), classes()), "columns must not be empty, got 'x0', 'x1', 'x2'"),
    ],
)
def test_data_that_cannot_be_used_are_refused(data: Any, message: str) -> None:
    assert message in refused(DatasetSpec(), data=data)


REALS = numbers(40, 1)[:, 0]


@pytest.mark.parametrize(
    ("y", "task", "message"),
    [
        (["a", "b"] * 20, "regression", "task: regression needs a numeric target, got text ('a', 'b')"),
        (["a", "b"] * 20, "regression", "write task: binary or leave it out"),
        (["a", "b", "c", "c"] * 10, "regression", "write task: multiclass or leave it out"),
        (classes(42, 3), "binary", "task: binary needs exactly two classes, got 3 distinct values"),
        (classes(42, 3), "binary", "write task: multiclass or leave it out"),
        (REALS, "binary", "task: binary needs exactly two classes, got 40 distinct values; write task: regression"),
        ([0.5, 1.5] * 20, "binary", "task: classes must be text, booleans or whole numbers, got fractions"),
        (REALS, "multiclass", "got fractions; write task: regression or leave it out"),
    ],
)
def test_tasks_that_the_target_does_not_have_are_refused(y: Any, task: str, message: str) -> None:
    assert message in refused(DatasetSpec(), task, (numbers(len(y)), y))


@pytest.mark.parametrize(
    ("y", "spec", "message"),
    [
        # round(0.01 * 40) = 0 rows
        (REALS, {"validation": 0.01}, "dataset.validation: must leave a row to validate on, got 0 of 40; raise it"),
        (REALS, {"test": 0.01}, "dataset.test: must leave a row to test on, got 0 of 40; raise it, set it to 0"),
        # 40 - round(0.5 * 40) - round(0.49 * 40) = 0
        (REALS, {"test": 0.5, "validation": 0.49}, "dataset.validation: must leave a row to train on, got 0 of 40"),
        # round(0.05 * 40) = 2 rows for 4 classes
        (classes(40, 4), {"validation": 0.05}, "must leave a row of each of the 4 classes to validate on, got 2 of 40"),
        (classes(40, 4), {"test": 0.05}, "must leave a row of each of the 4 classes to test on, got 2 of 40"),
        (classes(40, 4), {"test": 0.5, "validation": 0.45}, "of each of the 4 classes to train on, got 2 of 40; lower"),
        ([0] * 20 + [1] * 19 + [2], {}, "each class must have enough rows for every part, got '2' with 1"),
        # one of the two is drawn to test on, which leaves one to train and validate on
        (["a"] * 38 + ["b"] * 2, {"test": 0.5}, "each class must have enough rows for every part, got 'b' with 2"),
        # both are drawn to validate on
        (["a"] * 98 + ["b"] * 2, {"test": 0.0, "validation": 0.95}, "enough rows for every part, got 'b' with 2"),
    ],
)
def test_data_too_small_to_be_split_are_refused(y: Any, spec: dict[str, Any], message: str) -> None:
    assert message in refused(DatasetSpec(**spec), data=(numbers(len(y)), y))


def test_a_target_that_is_constant_among_the_training_rows_is_refused() -> None:
    test_row = int(of(np.arange(40.0).reshape(-1, 1), REALS, scale="none").x_test[0, 0])
    y = np.full(40, 0.5)
    y[test_row] = 1.5

    message = refused(DatasetSpec(), data=(numbers(), y))

    assert (
        message == "dataset.source: y must vary among the training rows, got 0.5 in all 24; add rows with other values"
    )


def test_numbers_that_scaling_throws_out_of_range_are_refused() -> None:
    x = numbers()
    rows = of(np.arange(40.0).reshape(-1, 1), classes(), scale="none")
    x[:, 1] = 0.0
    x[rows.x_train[:, 0].astype(int)[0], 1] = 1e-30
    x[rows.x_test[:, 0].astype(int)[0], 1] = 1e30

    message = refused(DatasetSpec(), data=(x, classes()))

    assert message.startswith("dataset.source: numbers must fit in 32 bits after scaling, got larger ones in 'x1'")


def test_targets_that_scaling_throws_out_of_range_are_refused() -> None:
    test_row = int(of(np.arange(40.0).reshape(-1, 1), REALS, scale="none").x_test[0, 0])
    y = np.arange(40) * 1e-20
    y[test_row] = 1e30

    message = refused(DatasetSpec(), data=(numbers(), y))

    assert message.startswith("dataset.source: y must fit in 32 bits after scaling, got 1e+30; remove rows")


# Import


def test_data_are_read_without_any_library_that_trains_or_stores() -> None:
    heavy = ("tensorflow", "keras", "optuna", "mlflow", "sqlalchemy", "ray", "fastapi")
    code = f"import sys, dnnsweep.datasets; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_one_large_class_and_constant_columns_are_told() -> None:
    x = pd.DataFrame({"a": range(100), "same": [7.0] * 100, "gaps": [None, 1] * 50})

    notes = of(x, ["yes" if i < 15 else "no" for i in range(100)]).summary.notes

    imbalance = (
        "Imbalanced: always predicting 'no' is 85.0% accurate, so accuracy says little; val_auc, val_f1 and "
        "class_weight: balanced allow for it."
    )
    assert imbalance in notes
    assert any("Kept the constant columns 'same', 'gaps', which have no effect." in note for note in notes)
    assert not any("Imbalanced" in note for note in of(x[["a"]], classes(100)).summary.notes)
