from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from examples import n_examples, thorough
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from listings import close_file, ruff, sweep_of, trial_of
from numpy.testing import assert_allclose, assert_array_equal
from warm_python import WarmPython

from dnnsweep import datasets, exports, spec
from dnnsweep.datasets.new_rows import read_new_rows
from dnnsweep.datasets.predictions import decode
from dnnsweep.errors import ExportError
from dnnsweep.exports.formatting import WIDTH, literal
from dnnsweep.records import (
    Curve,
    DataSummary,
    Series,
    Suggestion,
    Sweep,
    Task,
    Trial,
    TrialResult,
    metrics_for,
    scores_for,
)
from dnnsweep.seeds import derive
from dnnsweep.space import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, Hyperparameters
from dnnsweep.spec import documents
from dnnsweep.trainers import Job, TrainerPlan
from dnnsweep.trainers.array import ArrayTrainer
from dnnsweep.trainers.fit import FitTrainer
from dnnsweep.trainers.inputs import load_inputs

PENGUINS = Path(__file__).parent.parent / "sweeps" / "data" / "penguins.csv"
#: Where the data part of a listing ends.
NETWORK = "SEED = "


def summary(task: Task = Task.MULTICLASS, **changes: Any) -> DataSummary:
    classes = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("a", "b", "c"), Task.REGRESSION: ()}[task]
    values = {"n_features": 4, "columns": ("p", "q", "r", "s"), "n_train": 60, "n_validation": 20, "n_test": 20}
    return DataSummary(**{"fingerprint": "f", "task": task, "classes": classes, **values, **changes})


def iris(task: Task = Task.MULTICLASS, **document: Any) -> Sweep:
    return sweep_of({"dataset": {"source": "sklearn:iris"}, **document}, summary(task))


# --- listings run as they stand


@dataclass(frozen=True)
class Case:
    """A configuration whose listing is run."""

    document: dict[str, Any]
    knobs: dict[str, Any]


CASES = {
    "digits": Case(
        {
            "dataset": {"source": "sklearn:digits"},
            "objective": {"metric": "val_accuracy"},
            "training": {"epochs": 8},
        },
        {"batch_norm": True, "dropout": 0.2, "l2": 0.001, "initializer": "he_normal", "optimizer": "nesterov"},
    ),
    "breast_cancer": Case(
        {
            "dataset": {"source": "sklearn:breast_cancer", "scale": "minmax"},
            "objective": {"metric": "val_loss"},
            "training": {"epochs": 30, "early_stopping": {"monitor": "val_accuracy", "patience": 15}},
        },
        {"hidden": (16,), "activation": "tanh", "l2": 1e-4, "optimizer": "adamw", "learning_rate": 0.01},
    ),
    "diabetes": Case(
        {
            "dataset": {"source": "sklearn:diabetes"},
            "objective": {"metric": "val_r2"},
            "training": {
                "epochs": 20,
                "early_stopping": {"monitor": "val_mse", "patience": 4, "min_delta": 1.0, "start_from_epoch": 3},
            },
        },
        {"hidden": (32, 16), "l2": 0.01, "dropout": 0.1, "optimizer": "rmsprop", "schedule": "exponential"},
    ),
    "weighted": Case(
        {
            "dataset": {"source": f"csv:{PENGUINS}", "target": "species", "class_weight": "balanced"},
            "objective": {"metric": "val_loss"},
            "training": {"epochs": 10, "early_stopping": None},
        },
        {"optimizer": "adam", "l2": 0.001},
    ),
    "scored": Case(
        {
            "dataset": {"source": "sklearn:wine"},
            "objective": {"metric": "val_f1"},
            "training": {"epochs": 30, "early_stopping": {"monitor": "val_auc", "patience": 4, "start_from_epoch": 6}},
        },
        {"optimizer": "adam", "learning_rate": 0.003},
    ),
    "areas": Case(
        {
            "dataset": {"source": "sklearn:breast_cancer", "scale": "minmax"},
            "objective": {"metric": "val_auc"},
            "training": {"epochs": 8, "early_stopping": {"monitor": "val_precision", "patience": 4}},
        },
        {"optimizer": "sgd", "learning_rate": 0.1, "schedule": "cosine", "global_clipnorm": 0.5},
    ),
    "determined": Case(
        {
            "dataset": {"source": "sklearn:diabetes"},
            "objective": {"metric": "val_r2"},
            "training": {"epochs": 30, "early_stopping": {"monitor": "val_r2", "patience": 4}},
        },
        {"optimizer": "adam", "learning_rate": 0.01, "schedule": "exponential"},
    ),
    "lowered": Case(
        {
            "dataset": {"source": "sklearn:diabetes"},
            "objective": {"metric": "val_mae"},
            "training": {
                "epochs": 30,
                "early_stopping": {"monitor": "val_mse", "patience": 12},
                "reduce_on_plateau": {"monitor": "val_mae", "factor": 0.3, "patience": 2, "min_delta": 2.0},
            },
        },
        {"optimizer": "momentum", "learning_rate": 0.02, "schedule": "reduce_on_plateau", "l2": 0.01},
    ),
    "lowered_by_a_score": Case(
        {
            "dataset": {"source": "sklearn:breast_cancer"},
            "objective": {"metric": "val_loss"},
            "training": {
                "epochs": 12,
                "early_stopping": None,
                "reduce_on_plateau": {
                    "monitor": "val_auc",
                    "factor": 0.5,
                    "patience": 1,
                    "cooldown": 1,
                    "min_learning_rate": 0.0005,
                },
            },
        },
        {"optimizer": "nadam", "learning_rate": 0.02, "schedule": "reduce_on_plateau", "l2": 0.001},
    ),
    "penguins": Case(
        {
            "dataset": {
                "source": "csv:penguins.csv",
                "target": "species",
                "test": 0.1,
                "max_categories": 2,
                "resplit": True,
                "class_weight": "balanced",
            },
            "objective": {"metric": "val_accuracy"},
            "training": {"epochs": 10, "early_stopping": None},
        },
        {"learning_rate": 0.01, "batch_norm": True},
    ),
}
#: Cases of which others show the same -> which do.
REPEATED = {
    "breast_cancer": "areas scale to the same range, and digits have an L2 term",
    "weighted": "penguins are weighted as well",
    "scored": "diabetes are not looked at from the first epoch on either, and two objectives have an F1 score",
    "determined": "diabetes have the same metric and schedule",
    "lowered": "a score lowers learning rates as an error does",
}


def printed(output: str) -> dict[str, float]:
    """The scores that a listing prints, by their names."""
    return {name: float(value) for name, value in re.findall(r"^(\w+): (\S+)$", output, re.MULTILINE)}


def without_times(output: str) -> str:
    """What a listing prints, but for how long its epochs took."""
    return re.sub(r"\d+m?s(?:/step)?", "", output)


def write_messily(source: Path, path: Path) -> None:
    """Write penguins as a person might: an index, semicolons, decimal commas, thousands, blanks, question marks."""
    table = pd.read_csv(source)
    mass = [f"{value:,.0f}".replace(",", ".") if pd.notna(value) else "?" for value in table["body_mass_g"]]
    table.assign(body_mass_g=mass, sex=table["sex"] + " ").to_csv(path, sep=";", decimal=",")


def new_penguins() -> None:
    """Write penguins as others write them: only commas, and another island."""
    table = pd.read_csv(PENGUINS).drop(columns="species").iloc[::9]
    table.assign(body_mass_g=3500, island="Atlantis").to_csv("new.csv", sep=";", decimal=",", index=False)


#: Listings that predict new rows, too -> what writes these to a file.
NEW_ROWS: dict[str, Callable[[], None]] = {
    "penguins": new_penguins,
    "diabetes": lambda: np.save("new.npy", np.linspace(-3, 200, 70).reshape(7, 10)),
}


def compare_predictions(listed: pd.DataFrame, models: Path, new: Path) -> None:
    """Hold what a listing predicts to the trial's own model and arrays."""
    from dnnsweep.trainers.saved_model import load_model, outputs_of, read_preprocessing

    [path] = models.rglob("*.keras")
    fitted = read_preprocessing(path)
    assert fitted is not None
    [block] = read_new_rows(new, fitted)
    outputs = outputs_of(load_model(path), fitted.encoding.encode(block.numbers, block.text))
    expected = decode(outputs, fitted.target, block.index)
    numbers = expected.select_dtypes("number").columns
    assert list(listed) == list(expected)
    assert_allclose(listed[numbers], expected[numbers], rtol=1e-5, atol=1e-5)
    assert_array_equal(listed.drop(columns=numbers), expected.drop(columns=numbers))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=thorough(REPEATED[name]) if name in REPEATED else []) for name in CASES]
)
def test_a_listing_reaches_the_score_that_the_trial_is_stated_to_have(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm_python: WarmPython
) -> None:
    monkeypatch.chdir(tmp_path)
    write_messily(PENGUINS, Path("penguins.csv"))
    case = CASES[name]
    document = spec.check({"name": name, **case.document}).to_json()
    trainer = FitTrainer(Job(document, models=str(tmp_path / "models")))
    data, params = trainer.open().data, Hyperparameters(**case.knobs).to_params()
    result = trainer.train(Suggestion(4, params, seed=5), lambda _: None)
    metric = document["objective"]["metric"]
    stated = result.curve.at(result.best_epoch or 0)[metric]
    if "lowered" in name:
        assert len(set(result.curve.values("learning_rate"))) >= 3
    code = exports.python(sweep_of(document, data), trial_of(stated, seed=5, **case.knobs), result.curve)
    (tmp_path / "listing.py").write_text(code, encoding="utf-8")

    done = warm_python.run("listing.py", cwd=tmp_path, errors=["UserWarning"])

    assert done.returncode == 0, done.stderr
    assert f"repeats the trial: val_loss agrees in each of {result.curve.n_epochs} epochs\n" in done.stdout
    if name == "areas":
        command = [sys.executable, "-W", "error::UserWarning", "listing.py"]
        alone = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert without_times(done.stdout) == without_times(alone.stdout)
    if name in NEW_ROWS:
        NEW_ROWS[name]()
        [new] = tmp_path.glob("new.*")
        predicted = warm_python.run("listing.py", new.name, cwd=tmp_path, errors=["UserWarning"])
        assert predicted.returncode == 0, predicted.stderr
        (tmp_path / "predicted.csv").write_text(predicted.stdout)
        compare_predictions(pd.read_csv(tmp_path / "predicted.csv"), tmp_path / "models", new)
    scores = printed(done.stdout)
    assert list(scores)[-2:] == [metric, metric.replace("val_", "test_")]
    assert f"{metric} {stated:.6g}" in (ast.get_docstring(ast.parse(code)) or "")
    if metric in ("val_accuracy", "val_f1", "val_auc", "val_r2"):
        assert scores[metric] == pytest.approx(stated, abs=1e-3)
    elif metric == "val_loss":
        assert scores[metric] == pytest.approx(stated, rel=1e-3)
    else:
        assert scores[metric] == pytest.approx(stated, rel=1e-3)


#: Trials of an array, and what runs of their listings print. Steps of RMSprop that are far too long for this network
#: double each difference again and again, also between two runs of Keras that start an ulp apart.
ROUNDED: dict[str, tuple[dict[str, Any], str]] = {
    "smooth": ({"activation": "tanh", "optimizer": "adam", "learning_rate": 0.003}, "repeats the trial"),
    "chaotic": ({"batch_norm": True, "optimizer": "rmsprop", "learning_rate": 0.3}, "left the trial in epoch"),
}


@pytest.mark.parametrize("name", ROUNDED)
def test_a_listing_says_whether_rounding_led_it_away_from_the_trial_of_an_array(
    name: str, tmp_path: Path, warm_python: WarmPython
) -> None:
    knobs, expected = ROUNDED[name]
    training = {"epochs": 25, "early_stopping": None}
    document = spec.check({"name": name, "dataset": {"source": "sklearn:diabetes"}, "training": training}).to_json()
    own = Job(document)
    inputs = load_inputs(own)
    trainer, results = ArrayTrainer(own, inputs, TrainerPlan("array", 1)), list[TrialResult]()
    trainer.take(Suggestion(4, Hyperparameters(**knobs).to_params(), seed=5))
    while not trainer.is_idle:
        trainer.step(lambda message: results.append(message) if isinstance(message, TrialResult) else None)
    stated = results[0].curve.at(results[0].best_epoch or 0)["val_loss"]
    sweep = sweep_of(document, inputs.data.summary)
    code = exports.python(sweep, trial_of(stated, seed=5, **knobs), results[0].curve)
    (tmp_path / "listing.py").write_text(code, encoding="utf-8")

    done = warm_python.run("listing.py", cwd=tmp_path, errors=["UserWarning"])

    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert ("within the spread of seeds" in done.stdout) == (name == "chaotic")


def test_a_listing_compares_itself_with_complete_trials_of_numbers_only() -> None:
    values = (0.5, 0.25)
    curve = Curve((Series("val_loss", values),), (1, 2))
    lost = Curve((Series("val_loss", (0.5, float("nan"))),), (1, 2))

    assert 'MEASURED = """\n0.5 0.25\n"""' in exports.python(iris(), trial_of(), curve)
    for trial, measured in ((trial_of(None), curve), (trial_of(), lost), (trial_of(), Curve())):
        assert "MEASURED" not in exports.python(iris(), trial, measured)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_what_a_listing_compares_is_the_loss_without_the_penalty_formatted_as_ruff_would(task: Task, l2: float) -> None:
    curve = Curve((Series("val_loss", tuple(1 / n for n in range(1, 60))),), tuple(range(59)))

    code = exports.python(iris(task), trial_of(l2=l2), curve)

    penalised = "mse" if task is Task.REGRESSION else "cross_entropy"
    assert f'compare(history.history["val_{penalised if l2 else "loss"}"])' in code
    assert ruff("format", "--check", code=code) == ""
    assert ruff("check", "--select", "E,F,I", code=code) == ""


def test_a_listing_of_two_objectives_prints_both_as_the_trial_states_them(
    tmp_path: Path, warm_python: WarmPython
) -> None:
    objective = [{"metric": "val_f1"}, {"metric": "n_parameters"}]
    checked = spec.check(
        {"name": "pair", "dataset": {"source": "sklearn:iris"}, "objective": objective, "training": {"epochs": 8}}
    )
    knobs: dict[str, Any] = {"hidden": (7,), "batch_norm": True, "optimizer": "adam", "learning_rate": 0.02}
    trainer = FitTrainer(Job(checked.to_json()))
    data, params = trainer.open().data, Hyperparameters(**knobs).to_params()
    stated = trainer.train(Suggestion(4, params, seed=5), lambda _: None).metrics
    trial = replace(trial_of(seed=5, **knobs), values=(stated["val_f1"], stated["n_parameters"]))
    code = exports.python(sweep_of(checked.to_json(), data), trial)
    (tmp_path / "listing.py").write_text(code, encoding="utf-8")

    done = warm_python.run("listing.py", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    scores = printed(done.stdout)
    # 4 * 7 weights and 4 * 7 of batch normalisation, then 7 * 3 + 3
    assert scores["n_parameters"] == stated["n_parameters"] == 28 + 28 + 24
    assert scores["val_f1"] == pytest.approx(stated["val_f1"], abs=1e-3)
    assert set(scores) == {"n_parameters", "val_f1", "test_f1"}
    title = str(ast.get_docstring(ast.parse(code))).partition("\n")[0]
    assert title == f"Best trial 4 of the sweep pair: val_f1 {stated['val_f1']:.6g}, n_parameters 80."


# --- the data part


def pets(n: int = 40) -> pd.DataFrame:
    """Numbers, booleans and texts, some of them missing; two targets that follow from the row's number."""
    rows = range(n)
    return pd.DataFrame(
        {
            "id": [f"pet-{i}" for i in rows],
            "weight": [None if i % 10 == 3 else 1.5 * i for i in rows],
            "legs": [i % 5 for i in rows],
            "is_tame": [i % 3 == 0 for i in rows],
            "kind": [None if i % 8 == 1 else ("cat", "dog", "fish")[i % 3] for i in rows],
            "is_sold": [None if i % 7 == 2 else i % 2 == 0 for i in rows],
            "colour": [("red", "blue")[i % 2] for i in rows],
            "label": ["yes" if i % 4 else "no" for i in rows],
            "code": [i % 3 for i in rows],
            "size": [3 + i % 3 for i in rows],
            "price": [float(i) / 7 for i in rows],
            "sold_at": [i * 11 for i in rows],
        }
    )


TARGETS = ["label", "code", "size", "price", "sold_at"]
CSV = {
    "everything": [],
    "numbers": ["kind", "is_sold", "colour", "weight"],
    "numbers with gaps": ["kind", "is_sold", "colour"],
    "text with gaps": ["weight", "legs", "is_tame", "is_sold"],
    "mixed text": ["weight", "legs", "is_tame"],
    "whole text": ["weight", "legs", "is_tame", "is_sold", "kind"],
    "numbers and whole text": ["weight", "is_sold", "kind"],
}


def check_rows(document: dict[str, Any], data: tuple[Any, Any] | None = None) -> str:
    """Hold the rows of a listing, made in the working directory, to those that the trainers get; return its code."""
    checked = spec.check({"name": "pets", **document})
    splits = datasets.load_splits(checked.dataset, checked.task, data)
    expected = splits.of(datasets.Draw(derive(checked.seed, "split", 4))) if checked.dataset.resplit else splits.first
    code = exports.python(sweep_of(document, splits.first.summary), trial_of())
    if data is not None:
        saving = re.search(r"^    ((?:np|pd)\..*)$", code, re.MULTILINE)
        assert saving is not None
        exec(saving[1], {"np": np, "pd": pd, "x": data[0], "y": data[1]})  # noqa: S102
    head = code.partition(NETWORK)[0]
    listed: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["listing.py"])
        exec(re.sub("^(import keras|from keras import layers)$", "", head, flags=re.MULTILINE), listed)  # noqa: S102
    close_file(listed)
    for ours, theirs in {"train": "train", "val": "validation", "test": "test"}.items():
        x, y = getattr(expected, f"x_{theirs}"), getattr(expected, f"y_{theirs}")
        if theirs == "test" and not len(y):
            assert checked.dataset.resplit or "x_test" not in code
            continue
        inputs = np.asarray(listed[f"x_{ours}"])
        assert inputs.dtype.kind == "f"
        assert_allclose(inputs.astype(np.float32), x, rtol=0, atol=1e-12)  # a mean depends on the order of its sum
        assert_array_equal(np.asarray(listed[f"y_{ours}"]).astype(y.dtype), y)
        assert listed[f"y_{ours}"].shape == y.shape
    if expected.w_train is not None:
        assert_allclose(listed["w_train"], expected.w_train, rtol=1e-6)
    assert ruff("format", "--check", code=code) == ""
    assert ruff("check", code=code) == ""
    return code


@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
@pytest.mark.parametrize("name", spec.SKLEARN)
def test_rows_of_scikit_learn_are_the_trainers_rows(name: str, scale: str) -> None:
    check_rows({"dataset": {"source": f"sklearn:{name}", "scale": scale, "seed": 3, "validation": 0.15}})


@pytest.mark.parametrize("name", ["iris", "breast_cancer", "diabetes"])
def test_rows_without_test_rows_are_the_trainers_rows(name: str) -> None:
    code = check_rows({"dataset": {"source": f"sklearn:{name}", "test": 0}})

    assert "test rows" not in code


def test_whole_numbers_that_a_sweep_file_takes_for_numbers_are_standardised() -> None:
    code = check_rows({"dataset": {"source": "sklearn:iris"}, "task": "regression"})

    assert "stratify" not in code


@pytest.mark.parametrize("scale", ["standard", "none"])
@pytest.mark.parametrize("columns", CSV)
@pytest.mark.parametrize("target", ["label", "price"])
def test_rows_of_csv_files_are_the_trainers_rows(
    target: str, columns: str, scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pets().to_csv("pets.csv", index=False)
    drop = ["id", *(set(TARGETS) - {target}), *CSV[columns]]

    code = check_rows({"dataset": {"source": "csv:pets.csv", "target": target, "drop": sorted(drop), "scale": scale}})

    assert ("SimpleImputer" in code) == (columns in ("everything", "numbers with gaps"))
    assert ('fillna("missing")' in code) == (columns in ("everything", "text with gaps", "mixed text"))
    assert ("OneHotEncoder" in code) == ("numbers" not in columns or "text" in columns)


ROLES: dict[str, dict[str, Any]] = {
    "groups": {"split": {"by": "id"}},
    "groups without test rows": {"split": {"by": "id"}, "test": 0.0},
    "order of numbers": {"split": {"order": "sold_at"}},
    "order of dates": {"split": {"order": "day"}},
    "order without test rows": {"split": {"order": "day"}, "test": 0.0},
    "balanced": {"class_weight": "balanced"},
    "classes": {"class_weight": {"no": 2.0, "yes": 0.5}},
    "weights": {"sample_weight": "sold_at"},
    "all": {"split": {"by": "id"}, "sample_weight": "sold_at", "class_weight": "balanced"},
}


def calendar() -> pd.DataFrame:
    table = pets(60)
    return table.assign(id=[f"pet-{i // 2}" for i in range(60)], day=[f"2024-01-{1 + i % 28:02}" for i in range(60)])


@pytest.mark.parametrize("scale", ["standard", "none"])
@pytest.mark.parametrize("columns", ["everything", "numbers"])
@pytest.mark.parametrize("roles", ROLES)
@pytest.mark.parametrize("kind", ["csv", "parquet", "arrays", "python"])
def test_splits_and_weights_are_the_trainers(
    kind: str, roles: str, columns: str, scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    table, dataset = calendar(), {**ROLES[roles], "scale": scale}
    used = [dataset.get("sample_weight"), *(dataset.get("split") or {}).values()]
    drop = {"id", "day", *TARGETS, *CSV[columns]} - {"label", *used}
    data = None
    if kind in ("csv", "parquet"):
        table.to_csv("pets.csv", index=False)
        table.to_parquet("pets.parquet")
        dataset |= {"source": f"{kind}:pets.{kind}", "target": "label", "drop": sorted(drop)}
    elif kind == "arrays":
        data = (table.drop(columns=[*drop, "label"]), table["label"])
        dataset |= {"source": "arrays:"}
    else:
        module = f"own_{abs(hash(tmp_path))}"
        table.drop(columns=sorted(drop)).to_csv("own.csv", index=False)
        returned = 't.drop(columns="label"), t["label"]' if scale == "none" else "t"
        lines = ["import pandas as pd", "def rows():", '    t = pd.read_csv("own.csv")', f"    return {returned}"]
        Path(f"{module}.py").write_text("\n".join(lines))
        dataset |= {"source": f"python:{module}:rows", **({} if scale == "none" else {"target": "label"})}

    code = check_rows({"dataset": dataset}, data)

    assert ("w_train" in code) == bool(dataset.get("class_weight") or dataset.get("sample_weight"))
    has_later_test = "order" in (dataset.get("split") or {}) and dataset.get("test") != 0
    assert ("# The latest rows are test rows, and those before them validation" in code) == has_later_test


def messy() -> pd.DataFrame:
    """Columns as people write them: gaps, blanks, numbers in other spellings, dates, many words, an index."""
    rows = range(120)
    return pd.DataFrame(
        {
            "index": rows,
            "charge": [" " if i % 17 == 3 else "None" if i % 19 == 2 else f"{i * 7 % 101 / 4}" for i in rows],
            "income": [f"{900 + i * i * 31:,}" if i % 13 else "?" for i in rows],
            "rate": [f"{i * 3 % 17 / 2:.1f} %" for i in rows],
            "share": [f"{i * 11 % 29 / 4:.2f}".replace(".", ",") for i in rows],
            "plan": [("basic", "basic ", "None", " pro")[i % 4] if i % 11 else "N/A" for i in rows],
            "colour": [("red", "missing")[i % 2] if i % 7 else None for i in rows],
            "town": [f"town {i * i % 83}" for i in rows],
            "zip": [100 + i * 7 % 5 for i in rows],
            "age": [-999 if i % 10 == 4 else i * 3 % 50 for i in rows],
            "day": [f"{1 + i % 28:02}.{1 + i % 12:02}.2023 {i % 24:02}:00" if i % 9 else "-" for i in rows],
            "label": [("yes", "yes ", " no")[i % 3] for i in rows],
            "price": [f"${1000 + i * 777:,}" for i in rows],
            "group": [f"g{i % 40}{' ' * (i % 2)}" for i in rows],
            "when": [f"{1 + i % 28}/{1 + i % 12}/2023" for i in rows],
            "weight": [f"{1 + i % 3}%" for i in rows],
        }
    )


MESSY: dict[str, dict[str, Any]] = {
    "label": {"target": "label", "scale": "standard", "split": {"by": "group"}},
    "price": {"target": "price", "scale": "none", "split": {"order": "when"}, "sample_weight": "weight"},
}


@pytest.mark.parametrize("columns", ["everything", "numbers"])
@pytest.mark.parametrize("name", MESSY)
@pytest.mark.parametrize("kind", ["csv", "parquet", "arrays", "table", "pair"])
def test_cells_that_people_write_are_read_as_the_trainers_read_them(
    kind: str, name: str, columns: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    table, (target, dataset) = messy(), (MESSY[name]["target"], {**MESSY[name], "dates": ["day"], "max_categories": 30})
    used = [target, dataset.get("sample_weight"), *dataset["split"].values()]
    table = table.drop(columns=[name for name in ("label", "price", "group", "when", "weight") if name not in used])
    if columns == "numbers":
        table = table.drop(columns=["plan", "colour", "town", "zip"])
        dataset["missing"] = ["?", "-", "None", -999]
    else:
        dataset["text"] = ["zip"]
    data = None
    if kind in ("csv", "parquet"):
        table.to_csv("messy.csv", index=False, sep=";", decimal=",")
        table.to_parquet("messy.parquet")
        dataset["source"] = f"{kind}:messy.{kind}"
    else:
        table.to_pickle("messy.pkl")
        module = f"own_{abs(hash(tmp_path))}"
        returned = "t" if kind == "table" else f"t.drop(columns={target!r}), t[{target!r}]"
        lines = ["import pandas as pd", "def rows():", '    t = pd.read_pickle("messy.pkl")', f"    return {returned}"]
        Path(f"{module}.py").write_text("\n".join(lines))
        dataset["source"] = "arrays:" if kind == "arrays" else f"python:{module}:rows"
        data = (table.drop(columns=target), table[target]) if kind == "arrays" else None
        if kind != "table":
            del dataset["target"]

    code = check_rows({"dataset": dataset}, data)

    assert "missing values, numbers and dates as people write them" in code
    assert ("na_values" in code) == (kind == "csv")
    assert ("become one category" in code) == (columns == "everything")


def test_a_table_that_pandas_reads_alone_needs_no_more_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pets().to_csv("pets.csv", index=False, na_rep="NA")
    dataset = {"source": "csv:pets.csv", "target": "label", "drop": ["id", "is_sold"]}

    code = check_rows({"dataset": dataset})
    with_truth_values = check_rows({"dataset": {**dataset, "drop": ["id"]}})

    assert 'table = pd.read_csv(path, dtype={"kind": str, "colour": str}, low_memory=False)\n' in code
    assert "as people write them" not in code
    assert 'texts = ["kind", "is_sold", "colour"]' in with_truth_values


RESPLIT: dict[str, dict[str, Any]] = {
    "text and numbers": {"drop": ["id"]},
    "text alone": {"drop": ["id", "weight", "legs", "is_tame"], "test": 0.0},
    "groups": {"split": {"by": "id"}, "class_weight": "balanced"},
}


@pytest.mark.parametrize("name", RESPLIT)
def test_the_split_of_a_trial_that_has_its_own_is_the_trainers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rare = ["parrot" if i == 7 else kind for i, kind in enumerate(calendar()["kind"])]
    calendar().assign(kind=rare).to_csv("pets.csv", index=False)
    drop = [*RESPLIT[name].get("drop", []), "day", *(set(TARGETS) - {"label"})]
    own = {"source": "csv:pets.csv", "target": "label", **RESPLIT[name], "drop": sorted(drop)}

    code = check_rows({"dataset": {**own, "resplit": True}})

    assert f"random_state={derive(0, 'split', 4)}" in code


@pytest.mark.parametrize("function", ["pair", "apart", "dictionary", "words"])
def test_rows_of_a_function_are_the_trainers_rows(
    function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"own_{abs(hash(tmp_path))}"
    parts = '{"x_train": X[:40], "y_train": Y[:40], "x_test": X[40:], "y_test": Y[40:]}'
    returned = {"pair": "X, Y", "apart": "(X[:40], Y[:40]), (X[40:], Y[40:])", "dictionary": parts}
    returned["words"] = "[[a, 'pq'[int(b) % 2]] for a, b in X], ['uvw'[c] for c in Y]"
    lines = ["import numpy as np", "X, Y = np.arange(120.0).reshape(60, 2) % 7, np.arange(60) % 3"]
    Path(f"{module}.py").write_text("\n".join([*lines, f"def rows(): return {returned[function]}"]))

    code = check_rows({"dataset": {"source": f"python:{module}:rows"}})

    assert f"from {module} import rows" in code


@pytest.mark.parametrize(
    ("target", "task"),
    [("code", "auto"), ("size", "auto"), ("size", "regression"), ("sold_at", "auto"), ("is_tame", "auto")],
)
def test_targets_of_csv_files_are_the_trainers_targets(
    target: str, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pets(60).to_csv("pets.csv", index=False)  # 60 distinct whole numbers are no classes
    dataset = {"source": "csv:pets.csv", "target": target, "drop": sorted({"id", *TARGETS} - {target})}

    code = check_rows({"dataset": dataset, "task": task})

    assert ("np.unique" in code) == (target in ("size", "is_tame") and task == "auto")


def test_odd_names_of_files_and_columns_are_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"label": 'the "label"', "kind": "it's a\\kind", "colour": "a\tb\n"}
    pets().rename(columns=names).to_csv("o'pets #1.csv", index=False)
    dataset = {"source": "csv:o'pets #1.csv", "target": 'the "label"', "drop": ["it's a\\kind", "a\tb\n"]}

    check_rows({"dataset": dataset})


def test_many_left_out_columns_have_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    extra = {f"a_column_of_little_use_{i}": range(40) for i in range(6)}
    pets()[["legs", "label"]].assign(**extra).to_csv("pets.csv", index=False)

    code = check_rows({"dataset": {"source": "csv:pets.csv", "target": "label", "drop": list(extra), "scale": "none"}})

    assert "x = data.drop(columns=left_out)\n" in code


@given(st.text())
def test_a_literal_is_the_text_that_it_stands_for(value: str) -> None:
    assert ast.literal_eval(literal(value)) == value


def images(kind: str = "uint8", n: int = 40) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 100, size=(n, 3, 2)).astype(kind)


def numbers(n: int = 40, width: int = 3) -> np.ndarray:
    return np.random.default_rng(7).normal(5.0, 3.0, size=(n, width))


def with_gaps(n: int = 40) -> np.ndarray:
    x = numbers(n)
    x[::7, 1] = np.nan
    return x


def classes(n: int = 40, n_classes: int = 3) -> np.ndarray:
    return np.arange(n) % n_classes


LETTERS = np.array(["b", "a", "c"])[classes()]
ARRAYS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "numbers": lambda: (numbers(), classes()),
    "single": lambda: (numbers().astype("float32"), classes(n_classes=2)),
    "half": lambda: (numbers().astype("float16"), classes()),
    "images": lambda: (images(), classes().reshape(-1, 1)),
    "long": lambda: (images("int64")[:, 0], classes() + 1),
    "booleans": lambda: (numbers() > 5, classes() > 0),
    "gaps": lambda: (with_gaps(), LETTERS),
    "regression": lambda: (numbers(), numbers()[:, :1].astype("float32")),
    "text": lambda: (np.array([["x", "y"], ["u", "v"], ["x", "v"], ["u", "y"]])[np.arange(40) % 4], LETTERS),
}


@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
@pytest.mark.parametrize("name", ARRAYS)
def test_rows_of_npz_files_are_the_trainers_rows(
    name: str, scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = ARRAYS[name]()
    np.savez("rows.npz", x=x, y=y)

    check_rows({"dataset": {"source": "npz:rows.npz", "scale": scale}})


@pytest.mark.parametrize("name", ARRAYS)
def test_test_rows_of_npz_files_stay_test_rows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    x, y = ARRAYS[name]()
    np.savez(tmp_path / "rows.npz", x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])

    code = check_rows({"dataset": {"source": "npz:~/rows.npz"}})

    assert code.count("train_test_split(") == 1


def frame() -> pd.DataFrame:
    """A table as a person has it in Python: categories, whole numbers that may be missing, short floats."""
    table = pets()[["weight", "is_tame", "kind", "is_sold"]]
    whole = pd.array([None if i % 9 == 4 else i for i in range(40)], dtype="Int64")
    return table.assign(
        weight=table["weight"].astype("float32"), kind=table["kind"].astype("category"), legs=whole, level=classes()
    )


TABLES: dict[str, Callable[[], tuple[Any, Any]]] = {
    **ARRAYS,
    "series": lambda: (pd.Series(numbers()[:, 0]), pd.Series(classes())),
    "frame of numbers": lambda: (frame()[["weight", "is_tame", "legs"]], pd.Series(LETTERS)),
    "short frame": lambda: (pd.DataFrame(numbers().astype("float32")), classes()),
    "frame": lambda: (frame(), pd.Series(LETTERS, dtype="category")),
    "frame with other names": lambda: (frame().set_axis([5, 4, "a", 2, 1, 0], axis="columns"), pd.DataFrame(LETTERS)),
    "frame of text": lambda: (frame()[["kind", "is_sold"]], numbers()[:, 0]),
    "lists": lambda: ([[i, "ab"[i % 2], None if i % 9 == 2 else i / 7] for i in range(40)], list(LETTERS)),
    "objects": lambda: (np.array([[i, "ab"[i % 2], i / 7] for i in range(40)], dtype=object), list(LETTERS)),
}


@pytest.mark.parametrize("name", TABLES)
def test_rows_that_were_handed_over_are_read_from_the_file_that_the_docstring_saves(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    check_rows({"dataset": {"source": "arrays:"}}, TABLES[name]())


def test_arrays_are_read_from_an_npz_file_of_the_sweeps_name() -> None:
    code = exports.python(sweep_of({"dataset": {"source": "arrays:"}}, summary()), trial_of())

    assert 'np.savez("pets.npz", x=x, y=y)' in code
    assert 'np.load("pets.npz")' in code


# --- traits and calls of builders, as the ledger stores them


def built(*words: str, **sections: Any) -> Sweep:
    """A sweep whose networks a function of the user's own builds."""
    sweep = iris(**sections)
    return replace(
        sweep,
        spec={**sweep.spec, "network": {"builder": "python:nets:build"}},
        data={**sweep.data, "traits": list(words)},
    )


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (("takes_n_features", "takes_units", "flat_input"), "build(n_features=4, units=(8, 4))"),
        (("takes_n_outputs", "one_input"), "build(n_outputs=3)"),
        (("flat_input",), "build()"),
        (("dictionary", "named_inputs"), """build({"units": (8, 4), "mode": "fast"})"""),
    ],
)
def test_a_listing_calls_a_builder_with_what_it_takes(words: tuple[str, ...], call: str) -> None:
    trial = replace(trial_of(), params={"units": [8, 4], "mode": "fast"})

    code = exports.python(built(*words), trial)

    assert "from nets import build\n" in code
    assert f"\nmodel = {call}\n" in code
    assert ("def inputs(x)" in code) == ("flat_input" not in words)
    assert ruff("format", "--check", code=code) == ""


def test_traits_of_a_newer_version_are_refused() -> None:
    sweep = iris()
    newer = replace(sweep, data={**sweep.data, "traits": ["text", "sparse"]})

    with pytest.raises(ExportError, match=r"^sweep pets was stored by a newer dnnsweep \('sparse' is not"):
        exports.python(newer, trial_of())

    assert "name: pets-best" in exports.sweep_file(newer, trial_of())


@pytest.mark.parametrize(
    ("l2", "metric", "comment"),
    [
        (0.1, "val_loss", "# `loss` includes the L2 penalty; `cross_entropy` measures how well the model predicts."),
        (0.0, "loss", "# `loss` weights the rows; `cross_entropy` measures how well the model predicts."),
    ],
)
def test_a_listing_says_why_the_loss_of_keras_is_not_the_loss_of_the_data(l2: float, metric: str, comment: str) -> None:
    dataset = {"source": "sklearn:iris", "class_weight": "balanced"}

    code = exports.python(iris(dataset=dataset, objective={"metric": metric}), trial_of(l2=l2))

    assert comment in code


# --- the network part


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    knobs: dict[str, st.SearchStrategy[Any]] = {
        "initializer": st.sampled_from(tuple(INITIALIZERS)),
        "dropout": st.sampled_from([0.0, 0.1, 1 / 3]),
        "l2": st.sampled_from([0.0, 1e-6, 0.0123456789]),
        "batch_norm": st.booleans(),
        "optimizer": st.sampled_from(tuple(OPTIMIZERS)),
        "learning_rate": st.sampled_from([1e-5, 0.1, 0.0031622776601683794]),
        "batch_size": st.sampled_from([1, 32, 4096]),
        "hidden": st.lists(st.sampled_from([3, 64]), max_size=5).map(tuple),
        "activation": st.sampled_from(ACTIVATIONS),
    }
    drawn: dict[str, Any] = {name: draw(values) for name, values in knobs.items()}
    return trial_of(**drawn)


@st.composite
def sweeps(draw: st.DrawFn) -> Sweep:
    task = draw(st.sampled_from(list(Task)))
    metrics = st.sampled_from((*metrics_for(task), *scores_for(task)))
    rules = st.fixed_dictionaries(
        {"monitor": metrics, "patience": st.integers(0, 20), "min_delta": st.sampled_from([0.0, 0.001])}
    )
    training = {"epochs": draw(st.integers(1, 200)), "early_stopping": draw(st.none() | rules)}
    return iris(task, objective={"metric": draw(metrics)}, training=training)


def network_of(sweep: Sweep, trial: Trial) -> dict[str, Any]:
    """What a listing has made before it trains."""
    import keras

    head, seed, body = exports.python(sweep, trial).partition(NETWORK)
    imports = "\n".join(line for line in head.splitlines() if line.startswith(("import ", "from ")))
    made: dict[str, Any] = {"std": 2.0}
    keras.utils.clear_session()
    exec(imports + "\n" + seed + body.partition("model.fit(")[0], made)  # noqa: S102
    return made


@settings(max_examples=n_examples(25), phases=[Phase.reuse, Phase.generate])  # to shrink would take minutes
@given(sweeps(), trials())
def test_the_network_is_the_trainers_network(sweep: Sweep, trial: Trial) -> None:
    import keras

    from dnnsweep.trainers import keras_models

    hp, task = Hyperparameters.of(trial.params), Task(sweep.data["task"])
    n_outputs = 3 if task is Task.MULTICLASS else 1
    expected = keras_models.build(hp, 4, task, n_outputs, seed=1)
    x = np.random.default_rng(1).normal(size=(8, 4)).astype("float32")

    made = network_of(sweep, trial)

    model = made["model"]
    model.set_weights([weight + 0.01 for weight in expected.get_weights()])
    expected.set_weights(model.get_weights())
    assert_array_equal(np.asarray(model(x)), np.asarray(expected(x)))
    assert [float(loss) for loss in model.losses] == [float(loss) for loss in expected.losses]
    assert dropouts(model) == dropouts(expected)
    assert initializers(model) == initializers(expected)
    optimizer = keras_models.optimizer_of(hp)
    assert type(model.optimizer) is type(optimizer)
    assert {**model.optimizer.get_config(), "name": ""} == {**optimizer.get_config(), "name": ""}
    assert isinstance(keras.losses.get(model.loss), type(keras.losses.get(LOSSES[task])))


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_the_network_of_a_listing_starts_from_the_trials_weights(initializer: str) -> None:
    from dnnsweep.trainers import keras_models

    trial = trial_of(seed=5, initializer=initializer, hidden=(8, 3), dropout=0.5, batch_norm=True)

    made = network_of(iris(objective={"metric": "val_loss"}), trial)

    expected = keras_models.build(Hyperparameters.of(trial.params), 4, Task.MULTICLASS, 3, seed=5)
    for weights, started in zip(expected.get_weights(), made["model"].get_weights(), strict=True):
        assert_array_equal(weights, started)


LOSSES = {
    Task.BINARY: "binary_crossentropy",
    Task.MULTICLASS: "sparse_categorical_crossentropy",
    Task.REGRESSION: "mean_squared_error",
}


def dropouts(model: Any) -> list[float]:
    return [layer.rate for layer in model.layers if "Dropout" in type(layer).__name__]


def initializers(model: Any) -> list[type]:
    return [type(layer.kernel_initializer) for layer in model.layers if hasattr(layer, "kernel_initializer")]


@settings(deadline=None, max_examples=n_examples(40))
@given(sweeps(), trials())
def test_a_listing_is_formatted_and_free_of_what_it_does_not_need(sweep: Sweep, trial: Trial) -> None:
    code = exports.python(sweep, trial)

    compile(code, "listing.py", "exec")
    assert ruff("format", "--check", code=code) == ""
    assert ruff("check", "--extend-select=E501,F,I,W", code=code) == ""
    assert 75 <= code.count("\n") <= 175
    assert max(map(len, code.splitlines())) <= WIDTH
    assert "dnnsweep." not in re.sub('""".*?"""', "", code, flags=re.DOTALL).split()
    assert "import dnnsweep" not in code
    assert "from dnnsweep" not in code
    params = trial.params
    assert ("BatchNormalization" in code) == ("use_bias" in code) == (params["batch_norm"] and params["hidden"] != ())
    assert ("Dropout(" in code) == (params["dropout"] > 0 and params["hidden"] != ())
    assert ("L2(" in code) == (params["l2"] > 0)
    assert ("EarlyStopping" in code) == (sweep.spec["training"]["early_stopping"] is not None)


@pytest.mark.parametrize(
    ("l2", "task", "metric", "monitored"),
    [
        (0.0, Task.BINARY, "val_loss", "val_loss"),
        (0.1, Task.BINARY, "val_loss", "val_cross_entropy"),
        (0.1, Task.MULTICLASS, "loss", "cross_entropy"),
        (0.1, Task.MULTICLASS, "val_accuracy", "val_accuracy"),
        (0.1, Task.REGRESSION, "val_loss", "val_mse"),
        (0.0, Task.REGRESSION, "val_mae", "val_mae"),
    ],
)
def test_early_stopping_watches_the_loss_without_the_l2_penalty(
    l2: float, task: Task, metric: str, monitored: str
) -> None:
    rule = {"monitor": metric, "patience": 3}

    made = network_of(iris(task, training={"early_stopping": rule}), trial_of(l2=l2, hidden=(4,)))

    stopping, model = made["early_stopping"], made["model"]
    x, y = numbers(12, 4), classes(12, 2)
    model.fit(x, y, validation_data=(x, y), epochs=1, callbacks=[stopping], verbose=0)  # fails where it is not measured
    assert (stopping.monitor, stopping.patience, stopping.restore_best_weights) == (monitored, 3, True)
    assert stopping.monitor_op.__name__ == ("greater" if "accuracy" in metric else "less")


@pytest.mark.parametrize(("metric", "expected"), [("val_loss", 6.0), ("val_mae", 3.0), ("val_mse", 1.5)])
def test_min_delta_of_regression_is_in_units_of_the_target(metric: str, expected: float) -> None:
    rule = {"monitor": metric, "min_delta": 6.0}

    made = network_of(iris(Task.REGRESSION, training={"early_stopping": rule}), trial_of())

    assert made["early_stopping"].min_delta == expected  # std is 2: 6 / 2 and 6 / 2**2


def test_a_training_metric_as_objective_is_printed_beside_the_validation_rows_score() -> None:
    code = exports.python(iris(objective={"metric": "accuracy"}), trial_of())

    assert re.findall(r'print\(f"(\w+)', code) == ["train_accuracy", "val_accuracy", "test_accuracy"]


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (["n_parameters"], ["n_parameters"]),
        (["val_loss", "val_accuracy"], ["val_loss", "val_accuracy", "test_loss", "test_accuracy"]),
        (
            ["val_auc", "accuracy"],
            [f"{part}_{name}" for part in ("train", "val", "test") for name in ("accuracy", "auc")],
        ),
    ],
)
def test_every_objective_is_printed(metrics: list[str], expected: list[str]) -> None:
    code = exports.python(iris(objective=[{"metric": metric} for metric in metrics]), trial_of())

    assert re.findall(r'print\(f"(\w+)', code) == expected
    assert ruff("check", "--select", "E,F,W", "--line-length", "120", code=code) == ""


def test_the_docstring_says_where_the_code_comes_from() -> None:
    best, other, lost = (
        ast.get_docstring(ast.parse(exports.python(iris(), trial)))
        for trial in (trial_of(0.123456789), trial_of(number=5), trial_of(None, number=6))
    )

    assert str(best).startswith("Best trial 4 of the sweep pets: val_loss 0.123457.")
    assert str(other).startswith("Trial 5 of the sweep pets: val_loss 0.5.")
    assert str(lost).startswith("Trial 6 of the sweep pets, which ended as diverged.")


# --- the sweep file


def test_a_sweep_file_keeps_both_objectives() -> None:
    objective = [{"metric": "val_accuracy"}, {"metric": "n_parameters"}]

    checked = spec.check(documents.parse(exports.sweep_file(iris(objective=objective), trial_of()), "export"))

    assert [str(objective) for objective in checked.objectives] == ["maximize val_accuracy", "minimize n_parameters"]


@given(sweeps(), trials())
def test_a_sweep_file_fixes_every_hyperparameter(sweep: Sweep, trial: Trial) -> None:
    checked = spec.check(documents.parse(exports.sweep_file(sweep, trial), "export"))

    assert checked.name == "pets-best"
    assert checked.defaults == Hyperparameters.of(trial.params)
    assert checked.fixed.keys() == trial.params.keys()
    assert (checked.space, checked.enqueue, checked.budget.trials) == ({}, (), 1)
    plain = checked.to_json()
    assert all(
        plain[section] == sweep.spec[section] for section in ("dataset", "objective", "training", "task", "seed")
    )


def test_a_sweep_file_of_a_searched_sweep_leaves_the_search_behind() -> None:
    document: dict[str, Any] = {
        "name": "n" * 100,
        "network": {"activation": "tanh"},
        "space": {"hidden": [[8], [8, 4]], "l2": {"low": 0.001, "high": 0.1, "log": True}},
        "fixed": {"dropout": 0.5},
        "enqueue": [{"hidden": [8], "l2": 0.01}],
        "budget": {"trials": 50, "seconds": 10},
    }
    trial = trial_of(hidden=(8, 4), l2=0.02, dropout=0.5, activation="tanh", number=12)

    checked = spec.check(documents.parse(exports.sweep_file(iris(**document), trial), "export"))

    assert checked.name == "n" * 91 + "-trial-12"
    assert checked.defaults == Hyperparameters.of(trial.params)
    assert checked.budget.seconds is None


def test_exporting_loads_neither_data_libraries_nor_keras() -> None:
    code = "import sys, dnnsweep.exports; print({'pandas', 'sklearn', 'keras', 'tensorflow'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


def test_a_sweep_file_leaves_out_the_plateau_that_only_other_trials_had() -> None:
    section = {"monitor": "val_loss", "factor": 0.5}
    document: dict[str, Any] = {
        "space": {"schedule": ["cosine", "reduce_on_plateau"]},
        "training": {"epochs": 9, "reduce_on_plateau": section},
    }
    exported = {
        name: spec.check(
            documents.parse(exports.sweep_file(iris(**document), trial_of(schedule=name, number=5)), "export")
        )
        for name in ("cosine", "reduce_on_plateau")
    }

    assert exported["cosine"].training.reduce_on_plateau is None
    assert exported["cosine"].training.epochs == 9
    assert exported["reduce_on_plateau"].plateau == spec.PlateauSpec(monitor="val_loss", factor=0.5)


def test_a_plateau_without_its_section_is_exported_with_its_numbers() -> None:
    code = exports.python(iris(), trial_of(schedule="reduce_on_plateau"))

    assert "keras.callbacks.ReduceLROnPlateau" in code
    assert 'monitor="val_loss", factor=0.1, patience=10, min_delta=0.0001' in code
    assert "callbacks=[early_stopping, reduce_on_plateau]" in code
