"""Models that listings save: held to the trainer's arrays, and to the model that `export --as keras` writes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any, cast

import keras
import numpy as np
import pandas as pd
import pytest
from listings import close_file, ruff, sweep_of, trial_of
from numpy.testing import assert_allclose, assert_array_equal

from dnnsweep import datasets, exports, spec
from dnnsweep.datasets.new_rows import read_new_rows
from dnnsweep.datasets.predictions import decode
from dnnsweep.records import DataSummary, Trial
from dnnsweep.seeds import derive
from dnnsweep.space import Hyperparameters
from dnnsweep.trainers import keras_models
from dnnsweep.trainers.compiled.builder import Builder
from dnnsweep.trainers.raw_model import raw_model
from dnnsweep.trainers.saved_model import outputs_of

N_ROWS = 80
#: Where the training of a listing begins, and where it has ended.
TRAINING, AFTER = "early_stopping = ", "def raw_model"


def customers() -> pd.DataFrame:
    """Columns as people write them: words, gaps, dates, numbers in other spellings, a name that Keras refuses."""
    rows = range(N_ROWS)
    return pd.DataFrame(
        {
            "plan": [("basic", "pro ", "[UNK]", "N/A", "1")[i % 5] for i in rows],
            "town": [f"town {i * i % 37}" if i % 7 else "-" for i in rows],
            "paid": [("True", "False", "NULL")[i * 7 % 11 % 3] for i in rows],
            "is_new": [i % 3 == 0 for i in rows],
            "joined": [
                f"{1 + i * 5 % 28:02}.{1 + i % 12:02}.{1990 + i} {i % 24:02}:00" if i % 9 else "-" for i in rows
            ],
            "m/s": [None if i % 11 == 2 else 1e-9 * (i * 7 % 19) for i in rows],
            "income": [f"{900 + i * i * 31:,}" if i % 13 else "?" for i in rows],
            "large": [1e8 + i * 13 % 29 for i in rows],
            "left": [f"2024-{1 + i % 12:02}-{1 + i * 3 % 28:02}" for i in rows],
            "churned": [("yes", "no")[i * 7 % 10 > 6] for i in rows],
            "kind": [("a", "b", "c [UNK]")[i * 5 % 7 % 3] for i in rows],
            "spent": [1000.5 + i * i % 97 for i in rows],
        }
    )


def strange_rows() -> pd.DataFrame:
    """New customers: unknown words, a column of text that looks like numbers, other gaps, far dates, no target."""
    new = customers().drop(columns=["churned", "kind", "spent"]).iloc[:12].copy()
    new["plan"] = ["1", "1", None, "1", "1", "1", "1", "1", "1", "1", "1", "1"]
    new.loc[1:3, "town"] = ["Atlantis", "n.a.", "town 4"]
    new["paid"] = [" False", "NULL ", "maybe", *new["paid"][3:]]
    new.loc[2:4, "m/s"] = np.nan
    new["income"] = range(12)
    new.loc[5:6, "joined"] = ["29.02.1904 23:00", "31.12.2199 11:00"]
    return new


@dataclass(frozen=True)
class Case:
    """A table, what is learned from it, and new rows of it.

    Args:
        dataset: Section of the sweep file, without the source.
        new: Changes new rows.
    """

    dataset: dict[str, Any]
    new: Callable[[pd.DataFrame], pd.DataFrame] = field(default=lambda rows: rows)


DATES = {"dates": ["joined", "left"], "max_categories": 12}
TEXTS = ("plan", "town", "paid")
OTHERS = ("is_new", "joined", "m/s", "income", "large", "left")
CASES = {
    "binary": Case({"target": "churned", **DATES, "drop": ["kind", "spent"]}),
    "multiclass": Case({"target": "kind", **DATES, "drop": ["churned", "spent"], "scale": "minmax"}),
    "regression": Case({"target": "spent", **DATES, "drop": ["churned", "kind"], "scale": "none", "resplit": True}),
    "text": Case({"target": "churned", "drop": ["kind", "spent", *OTHERS]}, new=lambda rows: rows[list(TEXTS)]),
    "whole": Case(
        {"target": "kind", "drop": ["churned", "spent", "joined", "left", "m/s", "income"], "missing": ["never"]},
    ),
    "numbers": Case({"target": "spent", "drop": ["churned", "kind", *TEXTS, "joined", "left", "income"]}),
    "raw numbers": Case(
        {"target": "churned", "drop": ["kind", "spent", *TEXTS, *OTHERS[:4]], "scale": "none", "dates": ["left"]}
    ),
}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["listing.py"])


def saved_by_listing(code: str, network: Any) -> dict[str, Any]:
    """Run a listing with the weights of a network instead of its training; return what it has made."""
    head, _, rest = code.partition(TRAINING)
    made: dict[str, Any] = {}
    exec(head, made)  # noqa: S102
    made["model"].set_weights(network.get_weights())
    made["model"].optimizer.build(made["model"].trainable_variables)  # as training does
    exec(AFTER + rest.partition(AFTER)[2], made)  # noqa: S102
    close_file(made)
    return made


def check_predictions(
    document: dict[str, Any],
    new: Any,
    path: str | None = None,
    data: tuple[Any, Any] | None = None,
    reading: dict[str, Any] | None = None,
) -> None:
    """Hold what a listing predicts to what the model of raw rows and the trainer's own arrays give.

    Args:
        document: The sweep file.
        new: New rows as dnnsweep takes them.
        path: File from which the listing reads them; None where they are that file.
        data: Rows and target that are handed over.
        reading: What the sweep has stored of how its columns are read; None for a new sweep.
    """
    checked = spec.check({"name": "pets", **document})
    splits = datasets.load_splits(checked.dataset, checked.task, data, reading=reading)
    rows = splits.of(datasets.Draw(derive(checked.seed, "split", 4)))
    network, summary, trial = network_for(checked, splits.first)
    code = exports.python(sweep_of(document, summary), trial)
    save_handed_over(code, data)

    made = saved_by_listing(code, network)
    listed = predict(code, made, path or new)

    fitted = rows.preprocessing
    [block] = read_new_rows(new, fitted)
    encoded = fitted.encoding.encode(block.numbers, block.text)
    expected = decode(outputs_of(network, encoded), fitted.target, block.index)
    compare(listed, expected)
    theirs = raw_model(network, fitted)
    made["keras"] = SimpleNamespace(ops=keras.ops, models=SimpleNamespace(load_model=lambda _: theirs))
    compare(predict(code, made, path or new), expected)
    assert ruff("format", "--check", code=code) == ""
    assert ruff("check", "--ignore", "I001", code=code) == ""  # own modules are imported last


def predict(code: str, made: dict[str, Any], path: str) -> pd.DataFrame:
    """Run the part of a listing that predicts the rows of the file that the command line names."""
    block = code.partition("if len(sys.argv)")[2].partition("    sys.exit()")[0].partition("\n")[2]
    called = r"^predict\((.*)\)\.to_csv\(sys.stdout, index=False\)$"
    body = re.sub(called, r"answer = predict(\1)", dedent(block), flags=re.MULTILINE)
    sys.argv[1:] = [path]
    exec(body, made)  # noqa: S102
    return cast("pd.DataFrame", made["answer"])


def network_for(checked: spec.SweepSpec, rows: datasets.Dataset) -> tuple[Any, DataSummary, Trial]:
    """A network that no training has touched, the data as a sweep stores them, and the trial that it is of."""
    if checked.network.builder is None:
        hp, summary = Hyperparameters(hidden=(8,)), rows.summary
        network = keras_models.build(hp, summary.n_features, summary.task, rows.n_outputs, seed=3)
        return network, summary, trial_of(hidden=(8,))
    builder, params = Builder(checked, rows), dict(checked.fixed)
    network = builder.build(params, seed=3)
    call = builder.describe_call(network)
    return network, replace(rows.summary, builder_call=call), replace(trial_of(), params=params)


def save_handed_over(code: str, data: tuple[Any, Any] | None) -> None:
    """Save rows as the docstring of a listing says."""
    if data is not None:
        saving = re.search(r"^    ((?:np|pd)\..*)$", code, re.MULTILINE)
        assert saving is not None
        exec(saving[1], {"np": np, "pd": pd, "x": data[0], "y": data[1]})  # noqa: S102


def compare(listed: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(listed.columns) == list(expected.columns)
    assert len(listed) > 1
    if len(expected.columns) == 1:
        assert_allclose(listed, expected, rtol=1e-5)
    else:
        assert_array_equal(listed["prediction"], expected["prediction"].astype(str))
        assert_allclose(listed.iloc[:, 1:], expected.iloc[:, 1:], atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_new_rows_of_a_csv_file_are_predicted_as_the_trainers_arrays_are(name: str) -> None:
    case = CASES[name]
    customers().to_csv("customers.csv", index=False)
    case.new(strange_rows()).to_csv("new.csv", index=False)

    check_predictions({"dataset": {"source": "csv:customers.csv", **case.dataset}}, "new.csv")


def test_new_rows_of_a_sweep_that_an_earlier_version_has_stored_are_predicted() -> None:
    table = customers()[["plan", "m/s", "large", "churned"]].assign(paid=["yes", None, "no", "no"] * (N_ROWS // 4))
    table.to_csv("customers.csv", index=False)
    table.iloc[:9].drop(columns="churned").assign(plan="else").to_csv("new.csv", index=False)

    check_predictions({"dataset": {"source": "csv:customers.csv", "target": "churned"}}, "new.csv", reading={})


def typed() -> pd.DataFrame:
    """Columns with types of their own: dates, whole numbers with gaps, categories, truth values."""
    plain = customers()
    return plain[["large", "churned"]].assign(
        day=pd.to_datetime(plain["left"]) + pd.to_timedelta(range(N_ROWS), unit="h"),
        age=pd.array([None if i % 8 == 3 else i % 50 for i in range(N_ROWS)], dtype="Int64"),
        plan=plain["plan"].where(plain["plan"] != "N/A").astype("category"),
        paid=pd.Series([None if i % 7 == 1 else i % 2 == 0 for i in range(N_ROWS)], dtype=object),
    )


def text_rows() -> np.ndarray:
    return np.array([["x", "y"], ["u", "v"], ["x", "v"], ["u", "y"]])[np.arange(N_ROWS) % 4]


IMAGES = np.random.default_rng(7).integers(0, 255, (N_ROWS, 4, 3)).astype("uint8")
LABELS = np.array(["ja", "nein", "weiß nicht"])[np.arange(N_ROWS) % 3]
HANDED_OVER: dict[str, tuple[Any, Any]] = {
    "table": (typed().drop(columns=["churned", "day"]), typed()["churned"]),
    "numbers": (customers()[["m/s", "large"]].fillna(0.0), customers()["spent"]),
    "lists": ([[i, "ab"[i % 2], None if i % 9 == 2 else i / 7] for i in range(N_ROWS)], list(LABELS)),
}


@pytest.mark.parametrize("name", HANDED_OVER)
def test_new_rows_of_tables_that_were_handed_over_are_read_from_a_csv_file(name: str) -> None:
    x, y = HANDED_OVER[name]
    new = (pd.DataFrame(x).rename(columns="x{}".format) if name == "lists" else x).iloc[:9]
    new.to_csv("new.csv", index=False)

    check_predictions({"dataset": {"source": "arrays:"}}, new, "new.csv", (x, y))


def test_new_rows_of_a_function_of_ones_own_are_read_from_a_csv_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"own_{abs(hash(tmp_path))}"
    customers().to_pickle("customers.pkl")
    Path(f"{module}.py").write_text('import pandas\ndef clean(): return pandas.read_pickle("customers.pkl")\n')
    strange_rows().to_csv("new.csv", index=False)
    dataset = {"source": f"python:{module}:clean", "target": "churned", **DATES, "drop": ["kind", "spent", "income"]}

    check_predictions({"dataset": dataset}, strange_rows(), "new.csv")


PARQUET = {
    "everything": (typed(), {"dates": ["day"]}),
    "types alone": (typed()[["large", "age", "paid", "churned"]], {}),
}


@pytest.mark.parametrize("name", PARQUET)
def test_new_rows_of_a_parquet_file_are_predicted_as_the_trainers_arrays_are(name: str) -> None:
    table, dataset = PARQUET[name]
    table.to_parquet("customers.parquet")
    table.drop(columns="churned").iloc[5:17].to_parquet("new.parquet")

    check_predictions(
        {"dataset": {"source": "parquet:customers.parquet", "target": "churned", **dataset}},
        "new.parquet",
    )


ARRAYS: dict[str, tuple[Any, Any]] = {
    "images": (IMAGES, LABELS),
    "numbers": (np.where(IMAGES[:, 0] > 240, np.nan, IMAGES[:, 0] / 3), 1e4 + IMAGES[:, 1, 1]),
    "text": (text_rows(), LABELS),
}


@pytest.mark.parametrize(
    ("name", "scale"), [("images", "standard"), ("images", "none"), ("numbers", "minmax"), ("text", "none")]
)
def test_new_rows_of_an_npz_file_are_predicted_as_the_trainers_arrays_are(name: str, scale: str) -> None:
    x, y = ARRAYS[name]
    np.savez("rows.npz", x=x, y=y)
    np.savez("new.npz", x=x[3:15])
    rows = pd.DataFrame(x[3:15]).rename(columns="x{}".format) if name == "text" else "new.npz"

    check_predictions(
        {"dataset": {"source": "npz:rows.npz", "scale": scale}},
        rows,
        "new.npz",
    )


@pytest.mark.parametrize(
    ("function", "fixed"),
    [("two_inputs", {"units": 8}), ("named_inputs", {"units": 8}), ("convolutional", {"filters": 3})],
)
def test_new_rows_are_predicted_by_the_network_of_a_builder(function: str, fixed: dict[str, Any]) -> None:
    rows = np.where(np.arange(640).reshape(10, 64) % 99 == 5, np.nan, np.arange(640).reshape(10, 64) % 17)
    np.save("new.npy", rows)
    network = {"builder": f"python:builders:{function}"}

    check_predictions({"dataset": {"source": "sklearn:digits"}, "network": network, "fixed": fixed}, rows, "new.npy")
