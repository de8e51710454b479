"""Sources beyond csv and scikit-learn; splits by a column; weights of rows."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils.class_weight import compute_sample_weight

from dnnsweep.datasets import Dataset, keras_files, load
from dnnsweep.errors import DataError, SpecError
from dnnsweep.records import Task
from dnnsweep.spec import DatasetSpec, check

N = 60


def visits() -> pd.DataFrame:
    """Visits of patients, three each, on days that do not follow the rows."""
    rows = np.arange(N)
    return pd.DataFrame(
        {
            "patient": [f"p{number:02}" for number in rows // 3],
            "day": [f"2024-{1 + number % 4:02}-{1 + number % 13:02}" for number in rows],
            "pulse": 60.0 + (rows * 7) % 31,
            "age": rows // 3 + 20,
            "trust": 0.5 + rows % 3,
            "ill": np.where(rows % 5 == 0, "yes", "no"),
        }
    )


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    visits().to_csv("visits.csv", index=False)
    return tmp_path


def of_visits(task: str = "auto", **changes: Any) -> Dataset:
    given: dict[str, Any] = {"source": "csv:visits.csv", "target": "ill", "drop": ("patient", "day", "trust")}
    return load(check({"name": "a", "dataset": {**given, **changes}}).dataset, task)


def refused(**changes: Any) -> str:
    with pytest.raises((DataError, SpecError)) as caught:
        of_visits(**changes)
    return str(caught.value)


def assert_same(data: Dataset, other: Dataset) -> None:
    for part in ("x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test"):
        assert_array_equal(getattr(data, part), getattr(other, part), err_msg=part)
    assert data.summary.fingerprint == other.summary.fingerprint


# ---- parquet


def test_a_parquet_file_gives_what_the_same_csv_file_gives() -> None:
    visits().to_parquet("visits.parquet")

    assert_same(of_visits(source="parquet:visits.parquet"), of_visits())


def test_parquet_files_keep_types_that_csv_files_lose() -> None:
    table = visits().assign(age=pd.array([None, *range(1, N)], dtype="Int64"), kind=pd.Categorical(["a", "b"] * 30))
    table.set_index("patient").to_parquet("visits.parquet")

    data = of_visits(source="parquet:visits.parquet", drop=("day", "trust"))

    assert data.summary.columns == ("pulse", "age", "kind")
    assert data.summary.n_features == 4


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: path.write_bytes(b"PAR1 but not really"), "must be a parquet file"),
        (lambda path: path.write_bytes(b""), "must be a parquet file"),
        (lambda path: path.mkdir(), "the folder"),
        (lambda _: None, "must be a file that exists"),
        (visits()[:0].to_parquet, "must hold rows"),
    ],
)
def test_wrong_parquet_files_are_refused(folder: Path, write: Callable[[Path], Any], words: str) -> None:
    write(folder / "wrong.parquet")

    assert words in refused(source="parquet:wrong.parquet")


# ---- keras


def images(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, *shape)).astype("uint8")


def kept(name: str) -> Path:
    path = keras_files.keras_folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_a_copied_file_of_keras_is_read_where_keras_looks_for_it() -> None:
    y = np.arange(80) % 10
    np.savez(kept("mnist.npz"), x_train=images(80, 28, 28), y_train=y, x_test=images(20, 28, 28), y_test=y[:20])

    data = load(DatasetSpec(source="keras:mnist"))

    assert (data.summary.n_features, data.summary.n_test, data.summary.task) == (784, 20, Task.MULTICLASS)


def test_prices_of_california_are_split_as_the_sweep_file_says() -> None:
    np.savez(kept("california_housing.npz"), x=images(50, 8).astype("float32"), y=np.linspace(1e4, 5e5, 50))

    data = load(DatasetSpec(source="keras:california_housing"))

    assert (data.summary.n_train, data.summary.n_test, data.summary.task) == (30, 10, Task.REGRESSION)


def test_images_of_clothes_are_read_as_keras_reads_them() -> None:
    for part, n in (("train", 80), ("t10k", 20)):
        labels, pixels = (np.arange(n) % 10).astype("uint8"), images(n, 28, 28)
        kept(f"fashion-mnist/{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + labels.tobytes()))
        kept(f"fashion-mnist/{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + pixels.tobytes()))

    arrays = keras_files.load_arrays("fashion_mnist")

    assert_array_equal(arrays["x_train"], images(80, 28, 28))
    assert_array_equal(arrays["y_test"], np.arange(20) % 10)
    data = load(DatasetSpec(source="keras:fashion_mnist"))
    assert (data.summary.n_features, data.summary.n_test) == (784, 20)


def test_colour_images_are_read_from_the_archive_if_it_is_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    path = kept("cifar-10-batches-py-target_archive")
    with tarfile.open(path, "w:gz") as archive:
        for index, name in enumerate([*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]):
            pixels = images(20 + index, 3, 32, 32).reshape(-1, 3072)
            content = pickle.dumps({b"data": pixels, b"labels": [row % 10 for row in range(20 + index)]})
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert "SHA-256 differs from the original's" in refused(source="keras:cifar10", target=None, drop=())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(keras_files.FILES, "cifar10", (keras_files.KerasFile(path.name, "", digest),))

    data = load(DatasetSpec(source="keras:cifar10"))

    assert (data.summary.n_features, data.summary.n_test) == (3072, 25)
    first = images(20, 3, 32, 32)[0].transpose(1, 2, 0)
    assert_array_equal(keras_files.load_arrays("cifar10")["x_train"][0], first)


@pytest.mark.parametrize("name", keras_files.FILES)
def test_without_a_network_the_file_that_keras_looks_for_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)

    error = refused(source=f"keras:{name}", target=None, drop=())

    assert f"copy the file to {keras_files.keras_folder() / keras_files.FILES[name][0].path}" in error
    assert "no route to host" in error
    assert list(keras_files.keras_folder().rglob("*.*")) == []


def test_what_is_fetched_must_be_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(b"an error page"))

    assert "SHA-256 differs from the original's" in refused(source="keras:mnist", target=None, drop=())
    assert not (keras_files.keras_folder() / "mnist.npz").exists()


def test_what_is_fetched_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=images(50, 8).astype("float32"), y=np.linspace(1e4, 5e5, 50))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    monkeypatch.setitem(
        keras_files.FILES, "california_housing", (keras_files.KerasFile("c.npz", "https://example.org/c.npz", digest),)
    )
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(buffer.getvalue()))

    assert load(DatasetSpec(source="keras:california_housing")).summary.n_train == 30
    assert [path.name for path in keras_files.keras_folder().iterdir()] == ["c.npz"]


def test_a_broken_copy_is_refused_and_kept() -> None:
    kept("mnist.npz").write_bytes(b"half")

    assert "must be mnist as Keras stores it" in refused(source="keras:mnist", target=None, drop=())
    assert kept("mnist.npz").exists()


def test_the_names_that_a_sweep_file_may_use_are_those_with_files() -> None:
    from dnnsweep.spec import KERAS

    assert tuple(keras_files.FILES) == KERAS


# ---- python


MODULE = """
import numpy as np
import pandas as pd
print("loaded")
X, Y = np.arange(120.0).reshape(60, 2) % 7, np.arange(60) % 3
def pair(): return X, Y
def lists(): return X.tolist(), Y.tolist()
def apart(): return (X[:40], Y[:40]), (X[40:], Y[40:])
def dictionary(): return {"x_train": X[:40], "y_train": Y[:40], "x_test": X[40:], "y_test": Y[40:], "more": 1}
def table(): print("to stderr"); return pd.read_csv("visits.csv")
def frames(): return pd.DataFrame(X), pd.Series(Y)
def own(): return (pd.DataFrame(X[:40]), Y[:40]), (pd.DataFrame(X[40:]), Y[40:])
def nothing(): return None
def three(): return X, Y, Y
def wrong(): raise RuntimeError("the disk is gone")
def unlike(): return X, Y[:3]
def lacking(): return {"rows": X}
CONSTANT = 3
"""


@pytest.fixture
def module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"rows_{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
    (folder / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(folder))
    return name


@pytest.mark.parametrize("function", ["pair", "lists", "frames", "apart", "dictionary"])
def test_a_function_of_ones_own_returns_rows(module: str, function: str) -> None:
    data = load(check({"name": "a", "dataset": {"source": f"python:{module}:{function}"}}).dataset)

    x, y = np.arange(120.0).reshape(60, 2) % 7, np.arange(60) % 3
    if function in ("apart", "dictionary"):
        assert data.summary.n_test == 20
        assert_array_equal(data.y_test, y[40:])
    else:
        expected = load(DatasetSpec(), data=(x, y))
        assert_array_equal(data.x_train, expected.x_train)
        assert_array_equal(data.y_test, expected.y_test)


def test_a_function_may_return_a_table(module: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert_same(of_visits(source=f"python:{module}:table"), of_visits())
    out, err = capfd.readouterr()
    assert "to stderr" not in out
    assert "to stderr" in err


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("nothing", "must return (x, y)"),
        ("three", "must return (x, y)"),
        ("wrong", "RuntimeError: the disk is gone"),
        ("unlike", "the same number of rows"),
        ("lacking", "must hold the arrays"),
        ("CONSTANT", "must name a function"),
        ("absent", "must name a function"),
    ],
)
def test_functions_that_return_no_rows_are_refused(module: str, function: str, words: str) -> None:
    assert words in refused(source=f"python:{module}:{function}", target=None, drop=())


def test_rows_with_test_rows_of_their_own_are_not_split_by_a_column(module: str) -> None:
    assert "cannot be used where the source provides test rows" in refused(
        source=f"python:{module}:own", target=None, drop=(), split={"by": "0"}, class_weight=None
    )


def test_a_table_of_a_function_needs_a_target(module: str) -> None:
    assert "dataset.target: is missing" in refused(source=f"python:{module}:table", target=None, drop=())


def test_a_module_that_is_not_there_is_refused() -> None:
    assert "module" in refused(source="python:no_such_module:rows", target=None, drop=())


# ---- splits by a column


def test_a_group_is_in_one_part_only_as_scikit_learn_draws_it() -> None:
    data = of_visits(split={"by": "patient"}, drop=("day", "trust"), scale="none")

    groups = np.arange(N) // 3
    rest, test = next(GroupShuffleSplit(1, test_size=4, random_state=0).split(groups, groups=groups))
    train, validation = next(GroupShuffleSplit(1, test_size=4, random_state=0).split(rest, groups=groups[rest]))
    pulse = visits()["pulse"].to_numpy("float32")
    assert_array_equal(data.x_test[:, 0], pulse[test])
    assert_array_equal(data.x_validation[:, 0], pulse[rest[validation]])
    assert_array_equal(data.x_train[:, 0], pulse[rest[train]])
    parts = [set(part[:, 1]) for part in (data.x_train, data.x_validation, data.x_test)]  # age stands for the patient
    assert len(set.union(*parts)) == sum(map(len, parts))
    assert "patient" not in data.summary.columns
    assert any("'patient'" in note for note in data.summary.notes)


@pytest.mark.parametrize("column", ["day", "number"])
def test_later_rows_are_held_out(column: str) -> None:
    table = visits()
    table["number"] = pd.to_datetime(table["day"]).dt.day_of_year
    table.to_csv("visits.csv", index=False)
    left_out = tuple({"patient", "trust", "day", "number"} - {column})

    data = of_visits(split={"order": column}, drop=left_out, scale="none")

    moments = dict(zip(table["pulse"] * 1000 + table["age"], table["number"], strict=True))
    times = [
        [moments[float(pulse) * 1000 + float(age)] for pulse, age in part]
        for part in (data.x_train, data.x_validation, data.x_test)
    ]
    assert max(times[0]) < min(times[1])
    assert max(times[1]) < min(times[2])
    assert data.summary.n_test >= 12
    assert data.summary.n_validation >= 12 - (data.summary.n_test - 12)


def test_a_split_by_a_column_needs_no_test_rows() -> None:
    for split in ({"by": "patient"}, {"order": "day"}):
        assert (
            of_visits(
                split=split, drop=tuple({"trust", "patient", "day"} - set(split.values())), test=0.0
            ).summary.n_test
            == 0
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": {"by": "patients"}, "drop": ("day",)}, "dataset.split.by: must be a column"),
        ({"split": {"order": "patient"}, "drop": ("day",)}, "dataset.split.order: must hold numbers or dates"),
        ({"split": {"by": "half"}, "drop": ("day",)}, "dataset.split.by: must have at least 3 groups"),
        ({"split": {"by": "gaps"}, "drop": ("day",)}, "dataset.split.by: must have a value in every row"),
        ({"split": {"order": "half"}, "drop": ("day",)}, "dataset.split.order"),
        ({"sample_weight": "patient", "drop": ("day",)}, "dataset.sample_weight: must be a column of numbers"),
        ({"sample_weight": "gaps", "drop": ("day",)}, "dataset.sample_weight: must be 0 or more"),
        ({"sample_weight": "nothing", "drop": ("day",)}, "dataset.sample_weight: must be above 0 in a training row"),
        ({"sample_weight": "trusts", "drop": ("day",)}, "did you mean trust?"),
        ({"class_weight": {"yes": 2.0}}, "no weight for 'no'"),
        ({"class_weight": {"yes": 2.0, "no": 1.0, "maybe": 1.0}}, "no class 'maybe'"),
        (
            {"class_weight": "balanced", "target": "pulse", "drop": ("patient", "day", "ill")},
            "needs a target with classes",
        ),
    ],
)
def test_columns_that_cannot_split_or_weight_are_refused(changes: dict[str, Any], words: str) -> None:
    table = visits().assign(half=np.arange(N) % 2, nothing=0, gaps=[None, *range(1, N)])
    table.to_csv("visits.csv", index=False)

    assert words in refused(**changes)


def test_arrays_have_no_columns_to_split_by() -> None:
    spec = check({"name": "a", "dataset": {"source": "arrays:", "split": {"by": "patient"}}}).dataset
    with pytest.raises(DataError, match="named columns"):
        load(spec, data=(np.zeros((9, 2)), np.arange(9) % 3))

    table = visits()
    data = load(spec, data=(table[["patient", "pulse", "age"]], table["ill"]))
    assert data.summary.columns == ("pulse", "age")


def test_what_splits_and_weights_belongs_to_the_data() -> None:
    before = of_visits(split={"by": "patient"}, drop=("day", "trust")).summary.fingerprint
    visits().assign(patient=[f"q{number // 3}" for number in range(N)]).to_csv("visits.csv", index=False)

    assert of_visits(split={"by": "patient"}, drop=("day", "trust")).summary.fingerprint != before


# ---- weights


def test_balanced_classes_weigh_what_scikit_learn_gives_them() -> None:
    data = of_visits(class_weight="balanced")

    assert data.w_train is not None
    assert_allclose(data.w_train, compute_sample_weight("balanced", data.y_train), rtol=1e-6)
    assert of_visits().w_train is None


def test_weights_of_a_column_and_of_classes_multiply() -> None:
    data = of_visits(sample_weight="trust", drop=("patient", "day"), class_weight={"no": 1.0, "yes": 3.0}, scale="none")

    table = visits().set_index(["pulse", "age"])
    expected = [
        table.loc[(float(pulse), float(age)), "trust"] * (3.0 if label else 1.0)
        for (pulse, age), label in zip(data.x_train, data.y_train, strict=True)
    ]
    assert data.w_train is not None
    assert_allclose(data.w_train, np.ravel(expected), rtol=1e-6)
    assert "trust" not in data.summary.columns


def test_sweeps_from_before_these_keys_are_the_same_sweeps() -> None:
    plain = check({"name": "a", "dataset": {"source": "sklearn:iris"}}).to_json()

    assert not {"split", "class_weight", "sample_weight"} & set(plain["dataset"])


# ---- size


def test_a_large_table_is_not_held_four_times(folder: Path) -> None:
    """Half a million rows of fifty columns: 200 MB as numbers of 64 bits."""
    n_rows, n_columns = 500_000, 50
    rows = np.random.default_rng(0).normal(size=(n_rows, n_columns)).round(3)
    table = pd.DataFrame(rows, columns=[f"c{index}" for index in range(n_columns)])
    table.assign(y=np.arange(n_rows) % 2).to_parquet(folder / "large.parquet")
    code = (
        "import resource; from dnnsweep.datasets import load; from dnnsweep.spec import DatasetSpec\n"
        "load(DatasetSpec(source='sklearn:iris'))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "data = load(DatasetSpec(source='parquet:large.parquet', target='y'))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, len(data.x_train))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    kilobytes, n_train = map(int, done.stdout.split())

    assert n_train == 300_000
    assert kilobytes * 1024 < 3 * n_rows * n_columns * 8
