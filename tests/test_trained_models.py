"""Trained models of a sweep: predictions, exports, and what is said where there are none."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_mlflow import use_fake_mlflow
from serving import WRITER, serving, settings_of
from typer.testing import CliRunner

import dnnsweep
from dnnsweep.cli import app
from dnnsweep.client import load_trained_model
from dnnsweep.errors import DataError, ExportError
from dnnsweep.records.model_files import PREPROCESSING
from dnnsweep.settings import find_settings


def customers(n_rows: int = 60) -> pd.DataFrame:
    rows = np.arange(n_rows)
    return pd.DataFrame(
        {
            "id": rows,
            "age": [None if row % 10 == 3 else 20.0 + row for row in rows],
            "city": [None if row % 8 == 1 else ("Rome", "Oslo", "Bonn")[row % 3] for row in rows],
            "churn": [("no", "yes")[row % 2] for row in rows],
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, and a home with a sweep of two networks on it."""
    made = tmp_path_factory.mktemp("trained")
    customers().to_csv(made / "customers.csv", index=False)
    spec = {
        "name": "churn",
        "dataset": {"source": f"csv:{made / 'customers.csv'}", "target": "churn", "drop": ["id"]},
        "space": {"dropout": [0.0, 0.5]},
        "training": {"epochs": 1},
        "trainer": "fit",
        "budget": 2,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DNNSWEEP_DATABASE_URL", "MLFLOW_TRACKING_URI", "DNNSWEEP_TRAINER", "DNNSWEEP_API_URL"):
            patch.delenv(name, raising=False)
        use_fake_mlflow(patch)
        dnnsweep.run(spec, home=made / "home", executor="inprocess", progress=False)
    return made


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DNNSWEEP_HOME", str(folder / "home"))
    return folder / "home"


def outputs_by_hand(home: Path) -> np.ndarray:
    """The probability of `yes` by the network and the trainer's encoding."""
    model = load_trained_model("churn", home=home)
    table, encoding = customers(), model.preprocessing.encoding
    texts = table[["city"]].astype(object).where(table[["city"]].notna(), None).to_numpy()
    return np.asarray(model.network(encoding.encode(table[["age"]].to_numpy(np.float64), texts)))[:, 0]


def test_the_command_the_handle_and_the_exported_model_predict_alike(home: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    expected, best = outputs_by_hand(home), dnnsweep.best("churn")[0]
    sweep = dnnsweep.SweepHandle("churn", home)
    customers()[["city", "age"]].to_csv(tmp_path / "new.csv", index=False)

    printed = CliRunner().invoke(app, ["predict", "churn", str(tmp_path / "new.csv")])
    written = CliRunner().invoke(app, ["predict", "churn", str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv")])
    as_json = CliRunner().invoke(
        app, ["predict", "churn", str(tmp_path / "new.csv"), "--json", "--trial", str(best.number)]
    )
    table = sweep.predict(customers().set_index("id"))
    raw = sweep.model()(
        {
            "age": tf.constant(customers()["age"].to_numpy()),
            "city": tf.constant(customers()["city"].fillna("").to_list()),
        }
    )

    rows = pd.read_csv(tmp_path / "out.csv")
    assert (printed.exit_code, written.exit_code, as_json.exit_code) == (0, 0, 0), printed.output + as_json.output
    assert printed.stdout == (tmp_path / "out.csv").read_text()
    assert written.stderr == f"written to {tmp_path / 'out.csv'}: 60 rows\n"
    assert list(rows.columns) == ["prediction", "probability_no", "probability_yes"]
    np.testing.assert_allclose(rows["probability_yes"], expected, atol=1e-6)
    assert rows["prediction"].tolist() == np.where(expected > 0.5, "yes", "no").tolist()
    assert json.loads(as_json.stdout) == rows.to_dict("records")
    assert table.index.name == "id"
    pd.testing.assert_frame_equal(table.reset_index(drop=True), rows, check_dtype=False, rtol=1e-6)
    np.testing.assert_allclose(raw["probabilities"][:, 1], expected, atol=1e-5)
    assert [word.decode() for word in raw["prediction"].numpy()] == rows["prediction"].tolist()
    assert sweep.model(encoded=True).input_shape == (None, 5)


def test_drift_is_said_beside_the_predictions(home: Path, tmp_path: Path) -> None:
    customers().assign(city="Ghent").to_csv(tmp_path / "new.csv", index=False)

    told = CliRunner().invoke(app, ["predict", "churn", str(tmp_path / "new.csv")])
    with pytest.warns(UserWarning, match="city has words that training did not have, in 60 of 60 rows: 'Ghent'"):
        dnnsweep.predict("churn", tmp_path / "new.csv", home=home)

    assert told.stderr.startswith("note: city has words that training did not have, in 60 of 60 rows: 'Ghent' (60).")
    assert len(told.stdout.splitlines()) == 61


def test_wrong_tables_and_trials_without_weights_are_refused_before_anything_is_written(
    home: Path, tmp_path: Path
) -> None:
    other = 1 - dnnsweep.best("churn")[0].number
    customers().drop(columns="age").to_csv(tmp_path / "new.csv", index=False)
    (tmp_path / "out.csv").write_text("the one before")

    wrong = CliRunner().invoke(app, ["predict", "churn", str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv")])

    assert isinstance(wrong.exception, DataError)
    assert "table: must have every column of training, got none named 'age'" in str(wrong.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "out.csv"]
    assert (tmp_path / "out.csv").read_text() == "the one before"
    with pytest.raises(ExportError, match=f"only the best trials' weights are kept, got trial {other}"):
        dnnsweep.predict("churn", customers(), number=other, home=home)


def test_a_model_is_exported_with_its_preprocessing_or_alone(home: Path, tmp_path: Path) -> None:
    import keras

    raw = CliRunner().invoke(app, ["export", "churn", "-o", str(tmp_path / "raw.keras")])
    alone = CliRunner().invoke(app, ["export", "churn", "-o", str(tmp_path / "alone.keras"), "--encoded"])

    assert set(keras.models.load_model(tmp_path / "raw.keras").input) == {"age", "city"}
    assert raw.stderr.endswith("raw.keras; it takes the columns of raw rows\n")
    assert (tmp_path / "alone.keras").read_bytes() == dnnsweep.model_file("churn", home=home).read_bytes()
    assert alone.stderr.endswith("it takes rows that are encoded as the exported Python code does it\n")
    refused = CliRunner().invoke(app, ["export", "churn", "--encoded"], standalone_mode=False)
    assert "--encoded is about a saved model" in str(refused.exception)
    with pytest.raises(ExportError, match="cannot be written"):
        dnnsweep.export_model("churn", tmp_path / "none" / "best.keras", home=home)


def test_a_service_answers_as_the_home_behind_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = dnnsweep.predict("churn", customers(), home=home)
    with serving(find_settings(home, {}), [WRITER]) as url:
        monkeypatch.delenv("DNNSWEEP_HOME")
        monkeypatch.setenv("DNNSWEEP_API_URL", url)
        monkeypatch.setenv("DNNSWEEP_TOKEN", str(WRITER.secret))

        pd.testing.assert_frame_equal(dnnsweep.predict("churn", customers()), expected)


# --- models of older versions


@pytest.fixture
def old_home(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose model has no preprocessing, as older versions left it."""
    shutil.copytree(folder / "home", tmp_path / "home")
    [model] = (tmp_path / "home").rglob("*.keras")
    with zipfile.ZipFile(model) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != PREPROCESSING}
    with zipfile.ZipFile(model, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    monkeypatch.setenv("DNNSWEEP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_preprocessing_that_an_older_version_did_not_keep_is_fitted_again(home: Path, old_home: Path) -> None:
    pd.testing.assert_frame_equal(
        dnnsweep.predict("churn", customers(), home=old_home), dnnsweep.predict("churn", customers(), home=home)
    )


def test_what_cannot_be_fitted_again_is_said_with_what_to_do(old_home: Path, folder: Path) -> None:
    table = (folder / "customers.csv").read_text()
    try:
        (folder / "customers.csv").write_text(table.replace("Rome", "Roma"))
        with pytest.raises(ExportError, match=r"without its preprocessing, and csv:.* has changed since; put the old"):
            dnnsweep.predict("churn", customers(), home=old_home)
        (folder / "customers.csv").unlink()
        with pytest.raises(ExportError, match=r"without its preprocessing, and its data cannot be read again"):
            dnnsweep.predict("churn", customers(), home=old_home)
    finally:
        (folder / "customers.csv").write_text(table)


def test_a_service_with_an_old_model_sends_its_user_to_the_home(
    old_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(settings_of(old_home), [WRITER]) as url:
        monkeypatch.delenv("DNNSWEEP_HOME")
        monkeypatch.setenv("DNNSWEEP_API_URL", url)
        monkeypatch.setenv("DNNSWEEP_TOKEN", str(WRITER.secret))

        with pytest.raises(
            ExportError, match="without its preprocessing; ask where its home is, or export the network"
        ):
            dnnsweep.predict("churn", customers())


def test_a_damaged_model_is_said(old_home: Path) -> None:
    [model] = old_home.rglob("*.keras")
    model.write_bytes(model.read_bytes()[:1000])

    with pytest.raises(ExportError, match=r"is damaged .*; `dnnsweep doctor` fetches MLflow's copy"):
        dnnsweep.predict("churn", customers(), home=old_home)
