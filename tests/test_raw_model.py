"""Models that take raw rows: held to the trainer's own encoding and network, in a process that has no dnnsweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal
from warm_python import WarmPython

from dnnsweep import datasets
from dnnsweep.datasets.new_rows import read_new_rows
from dnnsweep.datasets.predictions import decode
from dnnsweep.records import Task
from dnnsweep.records.input_names import input_names
from dnnsweep.space import Hyperparameters
from dnnsweep.spec import DatasetSpec
from dnnsweep.trainers import keras_models
from dnnsweep.trainers.raw_model import MAX_INPUTS, NUMBERS, raw_model
from dnnsweep.trainers.saved_model import outputs_of

N_ROWS = 60
TARGETS: dict[str, Any] = {
    "binary": np.array(["no", "yes"])[np.arange(N_ROWS) % 2],
    "multiclass": np.array(["a", "b", "c"])[np.arange(N_ROWS) % 3],
    "regression": 1e4 + 50 * np.random.default_rng(3).normal(size=N_ROWS),
}
CASES = [(task, scale) for task in TARGETS for scale in ("standard", "minmax", "none")]
#: Loads models where there is no dnnsweep, and answers for the rows beside them.
PROGRAM = """
import sys
import warnings
from pathlib import Path

warnings.simplefilter("error")


class NoDnnsweep:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "dnnsweep":
            raise ImportError("there is no dnnsweep here")


sys.meta_path.insert(0, NoDnnsweep())
import keras
import numpy as np
import tensorflow as tf

for path in sorted(Path.cwd().glob("*.keras")):
    model, stored = keras.models.load_model(path), np.load(path.with_suffix(".npz"))
    rows = {name: stored[name].astype(object) if stored[name].dtype.kind == "U" else stored[name] for name in stored}
    rows = rows.get("rows", rows)
    answers = model(keras.tree.map_structure(tf.constant, rows))
    plain = {name: value.numpy().astype(str if value.dtype == tf.string else float) for name, value in answers.items()}
    np.savez(path.with_suffix(".answers.npz"), **plain)
    if path.name == "multiclass-minmax.keras":
        assert len(model.predict(rows, verbose=0)["prediction"]) == len(plain["prediction"])
"""


def messy() -> pd.DataFrame:
    """Gaps, a constant, tiny and large numbers, truth values, words, and a name that Keras refuses."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": np.where(rng.random(N_ROWS) < 0.2, np.nan, rng.normal(50, 10, N_ROWS)),
            "city": np.array(["Rome", "Oslo", None], dtype=object)[np.arange(N_ROWS) % 3],
            "constant": 7.0,
            "m/s": rng.normal(size=N_ROWS) * 1e-9,
            "large": 1e8 + rng.normal(0, 3, N_ROWS),
            "is_new": np.arange(N_ROWS) % 3 == 0,
            "plan": np.array(["free", "pro"], dtype=object)[np.arange(N_ROWS) % 2],
        }
    )


def network_for(data: datasets.Dataset) -> Any:
    return keras_models.build(
        Hyperparameters(hidden=(8,)), data.summary.n_features, data.summary.task, data.n_outputs, seed=1
    )


def new_rows() -> tuple[np.ndarray, np.ndarray]:
    """Numbers and texts of rows, one of them without any, and one with words that no training row has."""
    frame = messy()
    numbers = frame[["age", "constant", "m/s", "large", "is_new"]].to_numpy(np.float64)
    texts = frame[["city", "plan"]].astype(object).to_numpy(copy=True)
    texts[pd.isna(texts)] = None
    numbers[5], texts[5], texts[3] = np.nan, None, "unknown"
    return numbers, texts


@pytest.fixture(scope="module")
def models() -> dict[str, tuple[datasets.Dataset, Any]]:
    """The data of each case, and a network for them."""
    made = {}
    for task, scale in CASES:
        data = datasets.load(DatasetSpec.model_validate({"scale": scale}), data=(messy(), TARGETS[task]))
        made[f"{task}-{scale}"] = data, network_for(data)
    images = np.random.default_rng(1).integers(0, 255, (N_ROWS, 4, 3)).astype(np.uint8)
    data = datasets.load(DatasetSpec(), data=(images, TARGETS["binary"]))
    return {**made, "images": (data, network_for(data))}


@pytest.fixture(scope="module")
def answers(
    tmp_path_factory: pytest.TempPathFactory, warm_python: WarmPython, models: dict[str, tuple[datasets.Dataset, Any]]
) -> Path:
    """A folder with the answers that each model gives to raw rows, where there is no dnnsweep."""
    folder = tmp_path_factory.mktemp("raw")
    numbers, texts = new_rows()
    columns = [*numbers.T, *np.where(texts == None, "", texts).astype(str).T]  # noqa: E711  for each element
    table = dict(zip(["age", "constant", "m_s", "large", "is_new", "city", "plan"], columns, strict=True))
    for name, (data, network) in models.items():
        raw_model(network, data.preprocessing).save(folder / f"{name}.keras")
        np.savez(folder / f"{name}.npz", **(table if name != "images" else {"rows": image_rows()}))
    (folder / "program.py").write_text(PROGRAM)
    done = warm_python.run("program.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def image_rows() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 255, (7, 4, 3)).astype(np.float32)


@pytest.mark.parametrize("name", [*(f"{task}-{scale}" for task, scale in CASES), "images"])
def test_raw_rows_are_answered_as_the_trainers_arrays_are(
    name: str, answers: Path, models: dict[str, tuple[datasets.Dataset, Any]]
) -> None:
    data, network = models[name]
    numbers, texts = new_rows()
    if name == "images":
        numbers, texts = image_rows().reshape(7, -1), np.empty((7, 0), dtype=object)

    inputs = data.preprocessing.encoding.encode(numbers, texts)
    frame = decode(outputs_of(network, inputs), data.preprocessing.target, pd.RangeIndex(len(numbers)))

    given = np.load(answers / f"{name}.answers.npz")
    if data.summary.task is Task.REGRESSION:
        assert_allclose(given["prediction"], frame["prediction"], rtol=1e-5)
        assert name != "regression-standard" or 9e3 < frame["prediction"].mean() < 1.1e4
    else:
        assert_array_equal(given["prediction"], frame["prediction"].astype(str))
        assert_allclose(given["probabilities"], frame.iloc[:, 1:], atol=1e-5)


def test_the_encoding_of_a_training_row_is_what_was_trained_on() -> None:
    data = datasets.load(DatasetSpec(), data=(messy(), TARGETS["binary"]))
    numbers, texts = messy()[["age", "constant", "m/s", "large", "is_new"]], messy()[["city", "plan"]]

    inputs = data.preprocessing.encoding.encode(
        numbers.to_numpy(np.float64), texts.astype(object).where(texts.notna(), None).to_numpy()
    )

    rows = {row.tobytes() for row in inputs}
    assert {row.tobytes() for row in (*data.x_train, *data.x_validation, *data.x_test)} == rows


def test_dates_rare_words_and_words_for_gaps_are_taken_as_in_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    days = rng.uniform(-9000, 40000, 400).round(3)
    frame = pd.DataFrame(
        {
            "joined": pd.to_datetime(days * 86_400_000, unit="ms").strftime("%Y-%m-%d %H:%M:%S"),
            "plan": rng.choice(["free", "pro", "N/A", "a", "b", "c"], 400, p=[0.4, 0.3, 0.15, 0.05, 0.05, 0.05]),
            "age": rng.normal(50, 10, 400),
        }
    )
    frame.loc[7, "joined"] = ""
    spec = DatasetSpec.model_validate({"dates": ["joined"], "max_categories": 3})
    data = datasets.load(spec, data=(frame, np.arange(400) % 2))
    fitted = data.preprocessing
    network = network_for(data)
    [block] = read_new_rows(frame.assign(plan=frame["plan"].replace("c", "never seen")), fitted)

    seconds = pd.to_datetime(frame["joined"].replace("", None)).dt.as_unit("s").to_numpy()
    rows = {
        "joined": (seconds - np.datetime64("1970-01-01")) / np.timedelta64(1, "D"),
        "plan": frame["plan"].replace("c", "never seen").to_numpy(object),
        "age": frame["age"].to_numpy(),
    }
    raw_model(network, fitted).save(tmp_path / "dated.keras")
    loaded = keras.models.load_model(tmp_path / "dated.keras")
    answers = loaded({name: tf.constant(column) for name, column in rows.items()})

    expected = outputs_of(network, fitted.encoding.encode(block.numbers, block.text))
    assert [how.parts for how in fitted.reading.columns] == [("month", "weekday", "hour"), (), ()]
    assert fitted.encoding.texts.categories == (("free", "missing", "other", "pro"),)
    assert_allclose(answers["probabilities"][:, 1:], expected, atol=1e-5)


def test_any_text_may_be_a_word_or_a_class() -> None:
    words = ["[UNK]", "", " a ", "missing", None] * 8
    frame = pd.DataFrame({"word": words, "n": [1, 2, 3, 4] * 10})
    target = np.array(["[UNK]", "other"])[np.arange(40) % 2]
    readings: tuple[dict[str, Any] | None, ...] = (None, {})
    for reading in readings:  # today's, and that of older versions, which kept empty texts
        data = datasets.load(DatasetSpec(), data=(frame, target), reading=reading)
        network = network_for(data)
        rows = frame.assign(word=[*words[:-1], "unknown"])
        [block] = read_new_rows(rows, data.preprocessing)

        answers = raw_model(network, data.preprocessing)(
            {
                "word": tf.constant(
                    rows["word"].fillna("").str.strip() if reading is None else rows["word"].fillna("")
                ),
                "n": tf.constant(rows["n"].to_numpy(np.float64)),
            }
        )

        expected = outputs_of(network, data.preprocessing.encoding.encode(block.numbers, block.text))
        is_gap = rows["word"].isna().to_numpy() & (reading is not None)  # Keras cannot tell a gap from an empty text
        assert_allclose(answers["probabilities"].numpy()[~is_gap, 1:], expected[~is_gap], atol=1e-5)
        assert {label.decode() for label in answers["prediction"].numpy()} <= {"[UNK]", "other"}


def test_truth_values_beside_gaps_may_be_spelled_in_any_way(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "paid,n,y\n" + "".join(f"{('true', 'false', '')[row % 3]},{row % 4},{row % 2}\n" for row in range(60))
    )
    data = datasets.load(DatasetSpec(source=f"csv:{path}", target="y"))
    network = network_for(data)
    [block] = read_new_rows(path, data.preprocessing)
    words = np.array(["true", "FALSE", ""], dtype=object)[np.arange(60) % 3]

    answers = raw_model(network, data.preprocessing)(
        {"paid": tf.constant(words), "n": tf.constant(np.arange(60.0) % 4)}
    )

    expected = outputs_of(network, data.preprocessing.encoding.encode(block.numbers, block.text))
    assert_allclose(answers["probabilities"][:, 1:], expected, atol=1e-5)


def test_very_many_columns_of_numbers_are_one_input() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, MAX_INPUTS + 1))).rename(columns=str)
    data = datasets.load(DatasetSpec(), data=(frame.assign(word=["a", "b"] * 10), [0, 1] * 10))

    model = raw_model(network_for(data), data.preprocessing)

    assert {name: tensor.shape for name, tensor in model.input.items()} == {
        NUMBERS: (None, MAX_INPUTS + 1),
        "word": (None, 1),
    }


def test_networks_of_several_inputs_take_raw_rows() -> None:
    data = datasets.load(DatasetSpec(), data=(np.arange(120.0).reshape(20, 6), [0, 1] * 10))
    image, plain = keras.Input((2, 2, 1), name="image"), keras.Input((2,), name="plain")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(image), plain])
    network = keras.Model({"plain": plain, "image": image}, keras.layers.Dense(1, activation="sigmoid")(joined))

    probabilities = raw_model(network, data.preprocessing)(np.arange(12.0).reshape(2, 6))["probabilities"]

    inputs = data.preprocessing.encoding.encode(np.arange(12.0).reshape(2, 6), np.empty((2, 0), dtype=object))
    assert_allclose(probabilities[:, 1:], outputs_of(network, inputs), rtol=1e-6)


def test_names_that_keras_refuses_are_replaced() -> None:
    assert input_names(["a/b", "a_b", "", "c"]) == {"a/b": "a_b", "a_b": "a_b_1", "": "column_2", "c": "c"}
