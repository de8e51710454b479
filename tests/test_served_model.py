"""Models of MLflow's: they load where there is no dnnsweep, take raw rows, and answer as the trainer's network does."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from test_pages import SWEEP, TRIAL
from warm_python import WarmPython

from dnnsweep import datasets, exports
from dnnsweep.datasets.new_rows import read_new_rows
from dnnsweep.datasets.predictions import decode
from dnnsweep.delivery.model_pages import model_page
from dnnsweep.errors import ArtifactError, TrackingError
from dnnsweep.records import SweepState
from dnnsweep.settings import Settings, find_settings
from dnnsweep.space import Hyperparameters
from dnnsweep.spec import DatasetSpec
from dnnsweep.tracking import Tracker
from dnnsweep.tracking.page import ModelPage, RunPage
from dnnsweep.trainers import keras_models
from dnnsweep.trainers.saved_model import add_preprocessing, outputs_of

N_ROWS = 60
#: Loads what is registered where there is no dnnsweep, and writes its answers.
PROGRAM = """
import io
import json
import sys
import warnings
from pathlib import Path


class NoDnnsweep:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "dnnsweep":
            raise ImportError("there is no dnnsweep here")


sys.meta_path.insert(0, NoDnnsweep())
import mlflow
import numpy as np
import pandas as pd

mlflow.set_tracking_uri(sys.argv[1])
table = mlflow.pyfunc.load_model("models:/table@champion")
told = {
    "table": table.predict(pd.read_csv("new.csv")).to_dict("list"),
    "records": table.predict(pd.DataFrame(json.loads(Path("records.json").read_text()))).to_dict("list"),
    "example": len(table.predict(pd.DataFrame(**table.input_example_request()["dataframe_split"]))),
    "images": mlflow.pyfunc.load_model("models:/images@champion").predict(np.load("new.npy")).to_dict("list"),
}
try:
    table.predict(pd.read_csv("new.csv").assign(age="old"))
except mlflow.MlflowException as error:
    told["mistake"] = str(error)
Path("told.json").write_text(json.dumps(told))
""".replace("table.input_example_request()", "json.loads(Path('request.json').read_text())")


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Data, a network for them, and the network's file."""

    data: datasets.Dataset
    network: Any
    file: Path


def people(folder: Path) -> Path:
    """A table as people have it: gaps by other words, decimal commas, dates in an order of their own, words."""
    rng, rows = np.random.default_rng(0), np.arange(N_ROWS)
    ages = np.where(rows % 7 == 0, "n/a", rng.integers(18, 90, N_ROWS).astype(str))
    frame = pd.DataFrame(
        {
            "age": ages,
            "since": pd.Timestamp("2024-01-15") + pd.to_timedelta(rows * 3, unit="D"),
            "income": [f"{value:.2f}".replace(".", ",") for value in rng.normal(3000, 500, N_ROWS)],
            "city": np.array([" Rome", "Oslo ", ""], dtype=object)[rows % 3],
            "churn": np.array(["no", "yes"])[rows % 2],
        }
    )
    frame["since"] = frame["since"].dt.strftime("%d.%m.%Y")
    frame.to_csv(folder / "people.csv", index=False, sep=";")
    return folder / "people.csv"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """A network for a table, and one for images."""
    folder = tmp_path_factory.mktemp("networks")
    table = DatasetSpec.model_validate({"source": f"csv:{people(folder)}", "target": "churn", "dates": ["since"]})
    images = np.random.default_rng(1).integers(0, 255, (N_ROWS, 4, 3)).astype(np.uint8)
    loaded = {
        "table": datasets.load(table),
        "images": datasets.load(DatasetSpec(), data=(images, np.linspace(1e4, 2e4, N_ROWS))),
    }
    result = {}
    for name, data in loaded.items():
        knobs = Hyperparameters(hidden=(8,))
        network = keras_models.build(knobs, data.summary.n_features, data.summary.task, data.n_outputs, seed=1)
        network.save(folder / f"{name}.keras")
        add_preprocessing(folder / f"{name}.keras", data.preprocessing)
        result[name] = Made(data, network, folder / f"{name}.keras")
    return result


def page_of(made: Made, name: str, tracker: Tracker, number: int = 7) -> ModelPage:
    """The model of a trial of a sweep that has ended, whose run is there."""
    run = RunPage(key=f"ledger/{name}", experiment=name, name=name, status="FINISHED", started_at=1, ended_at=2)
    sweep = replace(SWEEP, id=name, name=name, state=SweepState.COMPLETE, run_id=tracker.put(run))
    page = model_page("ledger", sweep, replace(TRIAL, number=number), made.file)
    assert page is not None
    return replace(page, registered_name=name)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Settings:
    folder = tmp_path_factory.mktemp("home")
    shutil.copy(template, folder / "mlflow.db")
    return find_settings(folder, {})


@pytest.fixture
def tracker(home: Settings) -> Tracker:
    return Tracker(home)


@pytest.fixture
def client(home: Settings) -> Any:
    import mlflow

    return mlflow.MlflowClient(tracking_uri=home.tracking_uri)


NEW = [
    {"age": "33", "since": "31.12.2025", "income": "2.750,50", "city": "Oslo", "phone": "not looked at"},
    {"age": None, "since": "01.02.2024", "income": "3100,00", "city": " Paris "},
    {"age": "n/a", "since": None, "income": "2900", "city": None},
]


def expected(made: Made, rows: Any) -> dict[str, list[Any]]:
    """What the trainer's network answers, by the package itself."""
    fitted = made.data.preprocessing
    [block] = read_new_rows(rows, fitted)
    outputs = outputs_of(made.network, fitted.encoding.encode(block.numbers, block.text))
    return {str(name): list(values) for name, values in decode(outputs, fitted.target, block.index).items()}


def assert_same(told: dict[str, list[Any]], wanted: dict[str, list[Any]]) -> None:
    assert list(told) == list(wanted)
    for name, values in wanted.items():
        if isinstance(values[0], str):
            assert told[name] == values
        else:
            assert_allclose(told[name], values, rtol=1e-5, atol=1e-6)


def test_a_registered_model_answers_raw_rows_where_there_is_no_dnnsweep(
    made: dict[str, Made], home: Settings, tracker: Tracker, warm_python: WarmPython, tmp_path: Path
) -> None:
    pages = {name: page_of(each, name, tracker) for name, each in made.items()}
    for page in pages.values():
        tracker.put_model(page)
        assert tracker.model_mistakes(page) == []
    images = np.random.default_rng(2).integers(0, 255, (5, 4, 3)).astype(np.float64)
    np.save(tmp_path / "new.npy", images)
    pd.DataFrame(NEW).to_csv(tmp_path / "new.csv", index=False)
    (tmp_path / "records.json").write_text(json.dumps(NEW))
    (tmp_path / "request.json").write_text(str(pages["table"].contents["serving_input_example.json"]))
    (tmp_path / "program.py").write_text(PROGRAM)

    done = warm_python.run("program.py", home.tracking_uri, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    assert_same(told["table"], expected(made["table"], pd.read_csv(tmp_path / "new.csv")))
    assert_same(told["records"], expected(made["table"], pd.DataFrame(NEW)))
    assert_same(told["images"], expected(made["images"], images))
    assert told["example"] == 1
    assert "age" in told["mistake"]
    assert "old" in told["mistake"]


def test_a_model_is_put_once_and_a_better_one_takes_the_alias(
    made: dict[str, Made], tracker: Tracker, client: Any
) -> None:
    first, better = (page_of(made["table"], "better", tracker, number) for number in (7, 9))

    for page in (first, first, better, better):
        tracker.put_model(page)

    versions = client.search_model_versions("name = 'better'")
    champion = client.get_model_version_by_alias("better", "champion")
    assert len(versions) == 2
    assert champion.tags["dnnsweep.trial"] == "9"
    models = [output.model_id for output in client.get_run(first.run_id).outputs.model_outputs]
    assert sorted(model in champion.source for model in models) == [False, True]
    assert tracker.model_mistakes(better) == []
    assert tracker.model_mistakes(first) == ["better@champion is not the model trial-7"]


@pytest.mark.parametrize(
    "step", ["log_model_artifacts", "finalize_logged_model", "log_outputs", "create_model_version"]
)
def test_a_crash_between_two_steps_leaves_one_model_that_is_completed_later(
    made: dict[str, Made], tracker: Tracker, client: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    import mlflow

    page = page_of(made["table"], f"crash-{step}", tracker)

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionResetError("down")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, step, fail)
        with pytest.raises(ArtifactError, match="down") as refused:
            tracker.put_model(page)
    assert refused.value.run_id == page.run_id
    assert tracker.model_mistakes(page)

    tracker.put_model(page)
    experiment = client.get_experiment_by_name(page.experiment).experiment_id
    assert tracker.model_mistakes(page) == []
    assert len(client.search_logged_models([experiment])) == 1


def test_what_is_missing_of_a_model_is_told(made: dict[str, Made], tracker: Tracker, client: Any) -> None:
    page = page_of(made["table"], "lacking", tracker)
    assert tracker.model_mistakes(page) == ["there is no model trial-7"]
    tracker.put_model(page)

    client.delete_registered_model_alias("lacking", "champion")
    assert tracker.model_mistakes(page) == ["lacking@champion is not the model trial-7"]
    client.delete_registered_model("lacking")
    assert tracker.model_mistakes(page) == ["the model trial-7 is not registered as lacking"]
    tracker.put_model(page)
    place = Path(client.get_model_version_by_alias("lacking", "champion").source.removeprefix("file://"))
    (place / "artifacts" / "network.keras").unlink()
    assert tracker.model_mistakes(page) == ["the model trial-7 is not whole"]
    tracker.put_model(page)
    assert tracker.model_mistakes(page) == []


def test_the_models_of_a_run_are_deleted_with_what_the_registry_has_of_them(
    made: dict[str, Made], tracker: Tracker, client: Any
) -> None:
    page = page_of(made["table"], "deleted", tracker)
    tracker.put_model(page)

    tracker.delete_models(page.run_id)
    tracker.delete_models(page.run_id)

    assert tracker.model_mistakes(page) == ["there is no model trial-7"]
    assert not client.search_registered_models("name = 'deleted'")


def test_a_model_is_described_with_signature_example_and_pinned_requirements(
    made: dict[str, Made], tracker: Tracker
) -> None:
    page = page_of(made["table"], "described", tracker)

    assert [column["name"] for column in page.signature.inputs] == ["age", "since", "income", "city"]
    assert page.signature.outputs == {
        "prediction": "string",
        "probability_no": "double",
        "probability_yes": "double",
    }
    requirements = str(page.contents["requirements.txt"]).splitlines()
    assert {line.partition("==")[0] for line in requirements} >= {"mlflow", "keras", "numpy", "pandas"}
    assert all("==" in line for line in requirements)
    assert page_of(made["images"], "described", tracker).signature.inputs == [
        {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4, 3]}}
    ]


def test_the_example_of_a_row_is_written_as_the_rows_of_training_were(made: dict[str, Made], tracker: Tracker) -> None:
    page = page_of(made["table"], "described", tracker)
    age, since, income, city = page.signature.example

    assert (18 <= age <= 90, 2000 <= income <= 4500, city in ("Rome", "Oslo")) == (True, True, True)
    assert pd.Timestamp("2024-01-15") <= pd.to_datetime(since, format="%d.%m.%Y") <= pd.Timestamp("2024-07-15")
    [row] = json.loads(str(page.contents["serving_input_example.json"]))["dataframe_split"]["data"]
    assert row == [age, since, income, city]
    assert np.shape(page_of(made["images"], "described", tracker).signature.example) == (4, 3)


def test_a_network_without_its_preprocessing_or_damaged_has_no_model(made: dict[str, Made], tmp_path: Path) -> None:
    sweep, bare = replace(SWEEP, state=SweepState.COMPLETE), tmp_path / "bare.keras"
    with zipfile.ZipFile(bare, "w") as archive:
        archive.writestr("config.json", "{}")

    assert model_page("ledger", sweep, TRIAL, bare) is None
    bare.write_bytes(b"no archive")
    assert model_page("ledger", sweep, TRIAL, bare) is None
    assert model_page("ledger", sweep, TRIAL, tmp_path / "gone.keras") is None
    assert model_page("ledger", sweep, TRIAL, made["table"].file) is not None


def test_the_modules_of_a_model_are_named_by_their_content_and_import_nothing_of_dnnsweep() -> None:
    modules = exports.pack_row_modules()
    with zipfile.ZipFile(io.BytesIO(modules.archive)) as archive:
        names = archive.namelist()
        texts = [archive.read(name).decode() for name in names]

    assert f"{modules.package}/datasets/new_rows.py" in names
    assert all(name.startswith(f"{modules.package}/") for name in names)
    lines = [line.strip() for text in texts for line in text.splitlines()]
    assert not [line for line in lines if line.startswith(("from dnnsweep.", "from dnnsweep ", "import dnnsweep"))]


def test_an_experiment_that_is_away_is_a_tracking_error(made: dict[str, Made], tracker: Tracker) -> None:
    page = replace(page_of(made["table"], "away", tracker), run_id="0" * 32)

    with pytest.raises(TrackingError, match="its model did not arrive"):
        tracker.put_model(page)
