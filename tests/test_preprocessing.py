from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from dnnsweep.datasets import load
from dnnsweep.datasets.encoding import Encoding, encode, fit_encoding
from dnnsweep.datasets.frames import Table
from dnnsweep.datasets.preprocessing import Preprocessing
from dnnsweep.datasets.splits import Split
from dnnsweep.errors import ExportError
from dnnsweep.spec import DatasetSpec


def messy_table(seed: int) -> Table:
    """Columns of all magnitudes, a constant one among them; two tables in three have gaps."""
    rng = np.random.default_rng(seed)
    n_rows, n_columns = rng.integers(8, 60), rng.integers(1, 8)
    x = rng.normal(size=(n_rows, n_columns)) * 10.0 ** rng.integers(-12, 12, n_columns)
    x += 10.0 ** rng.integers(-3, 7, n_columns)
    x[:, 0] = 3.7
    if seed % 3:
        x[rng.random(x.shape) < 0.3] = np.nan
    words = np.array([["b", "a", "é", None][rng.integers(4)] for _ in range(n_rows)], dtype=object).reshape(-1, 1)
    names = tuple(f"column {index}" for index in range(n_columns))
    return Table(x.astype(np.float32 if seed % 2 else np.float64), words, names, ("word",))


def encode_by_scikit_learn(table: Table, rows: Split, scale: str) -> list[Any]:
    scalers: dict[str, list[Any]] = {"standard": [StandardScaler()], "minmax": [MinMaxScaler()], "none": []}
    steps = [SimpleImputer(strategy="median", keep_empty_features=True)] if np.isnan(table.numbers).any() else []
    numbers = make_pipeline(*(steps + scalers[scale] or ["passthrough"]))
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    words = np.where(pd.isna(table.text), "missing", table.text)
    numbers.fit(table.numbers[rows.train])
    one_hot.fit(words[rows.train])
    return [
        np.hstack([numbers.transform(table.numbers[part]).astype(np.float32), one_hot.transform(words[part])])
        for part in (rows.train, rows.validation, rows.test)
    ]


@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
def test_inputs_are_scikit_learns_to_the_last_bit_also_by_an_encoding_that_was_json(scale: str) -> None:
    for seed in range(24):
        table = messy_table(seed)
        parts = np.split(np.random.default_rng(seed).permutation(len(table.numbers)), [4, 6])
        rows = Split(parts[0], parts[1], parts[2], np.concatenate(parts[:2]))
        encoding = fit_encoding(table, rows.train, scale)
        expected = encode_by_scikit_learn(table, rows, scale)

        for part, inputs in zip(encode(table, rows, encoding), expected, strict=True):
            assert part.tobytes() == inputs.tobytes()
        restored = Encoding.from_json(json.loads(json.dumps(encoding.to_json(), allow_nan=False)))
        assert restored.encode(table.numbers[rows.test], table.text[rows.test]).tobytes() == expected[2].tobytes()


def test_a_number_that_no_row_lacked_is_filled_in_new_rows() -> None:
    x = np.arange(40.0).reshape(20, 2)
    encoding = load(DatasetSpec(scale="none"), data=(x, [0, 1] * 10)).preprocessing.encoding

    medians = encoding.encode(np.full((1, 2), np.nan), np.empty((1, 0), dtype=object))

    assert medians[0, 1] - medians[0, 0] == 1
    assert 0 < medians[0, 0] < 39


def test_what_was_fitted_survives_as_text() -> None:
    frame = pd.DataFrame({"weight": [1.5, None, 2.5, 4.0] * 10, "kind": ["cat", "dog", None, "é"] * 10})
    fitted = load(DatasetSpec(), data=(frame, np.arange(40.0) ** 2)).preprocessing

    restored = Preprocessing.from_text(fitted.to_text())

    assert restored.to_text() == fitted.to_text()
    assert restored.columns == ("weight", "kind")
    assert restored.row_shape is None
    assert restored.target == fitted.target
    assert restored.target.std > 1
    assert restored.encoding.texts.categories == (("cat", "dog", "missing", "é"),)
    assert_array_equal(restored.encoding.numbers.lowest, [1.5])
    assert restored.encoding.numbers.missing_shares[0] == pytest.approx(0.25, abs=0.1)


def test_a_row_of_an_array_keeps_its_shape() -> None:
    fitted = load(DatasetSpec(), data=(np.zeros((20, 2, 3)), [0, 1] * 10)).preprocessing

    assert Preprocessing.from_text(fitted.to_text()).row_shape == (2, 3)


def test_preprocessing_of_a_newer_version_is_refused() -> None:
    text = load(DatasetSpec(source="sklearn:iris")).preprocessing.to_text()

    with pytest.raises(ExportError, match=r"must have version 1, got 2; upgrade dnnsweep"):
        Preprocessing.from_text(text.replace('"version":1', '"version":2'))
