"""Repeats of configurations: in blocks, and retrained on all development rows; in arrays held to `fit`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from test_array import array_of, difference, results, suggestion

from dnnsweep.records import Reason, Retraining, Suggestion, TrialResult
from dnnsweep.trainers import Job, TrainerPlan
from dnnsweep.trainers.array import ArrayTrainer
from dnnsweep.trainers.compiled import CompiledTrainer
from dnnsweep.trainers.fit import FitTrainer
from dnnsweep.trainers.groups import group_for
from dnnsweep.trainers.inputs import load_inputs
from dnnsweep.trainers.retraining import answer_test
from dnnsweep.trainers.saved_model import load_model, outputs_of, read_preprocessing


def job(target: str, models: Path | None = None, dataset: dict[str, Any] | None = None, **training: Any) -> Job:
    """Rows of numbers and words, some of which only a few rows have, in groups of a few rows."""
    rng = np.random.default_rng(3)
    x = pd.DataFrame({"a": rng.normal(size=110), "b": rng.normal(3, 2, 110)})
    x["kind"] = [f"rare{i}" if i % 27 == 0 else "uv"[i % 2] for i in range(110)]
    x["group"] = np.arange(110) // 4
    signal = x["a"] - x["b"] + (x["kind"] == "u")
    y = {"classes": np.where(signal > -2.5, "yes", "no"), "number": 7 * signal.to_numpy() + 100}[target]
    document = {
        "name": "n",
        "dataset": {"source": "arrays:", **(dataset or {})},
        "training": {"epochs": 8, **training},
        "space": {"schedule": ["constant", "cosine", "reduce_on_plateau"], "learning_rate": [0.01, 0.1]},
    }
    return Job(document, None if models is None else str(models), (x, y))


def repeat(number: int, block: int, **knobs: Any) -> Suggestion:
    return replace(suggestion(number, 100 + block, batch_size=16, **knobs), block=block)


def by_fit(own: Job, item: Suggestion) -> TrialResult:
    return FitTrainer(own).train(item, lambda _: None)


def assert_same(one: TrialResult, other: TrialResult) -> None:
    assert (one.reason, one.best_epoch, one.n_parameters) == (other.reason, other.best_epoch, other.n_parameters)
    for series in one.curve.series:
        assert difference(one, other, series.metric) < 1e-4, series.metric


def test_repeats_in_an_array_equal_fit_on_the_rows_of_their_block_whatever_their_neighbours(tmp_path: Path) -> None:
    stopping = {"monitor": "val_loss", "patience": 2}
    own = job("classes", tmp_path, {"split": {"by": "group"}}, early_stopping=stopping, epochs=12)
    first = repeat(0, 0, dropout=0.2, batch_norm=True, learning_rate=0.1, schedule="reduce_on_plateau")
    others = [repeat(1, 0, optimizer="sgd", learning_rate=1e6), *(repeat(i, i % 2, l2=1e-3) for i in (2, 3, 4))]
    array = array_of(own, 2)

    ended = results(array, first, *others)
    [alone] = results(array, first).values()

    assert set(ended) == {0, 1, 2, 3, 4}
    assert ended[1].reason is Reason.DIVERGED
    assert ended[0].curve.series == alone.curve.series
    assert ended[2].curve.series == ended[4].curve.series != ended[3].curve.series  # one block, one seed, one split
    assert_same(by_fit(own, first), ended[0])
    assert not list(tmp_path.iterdir())  # no repeat saves a model
    assert len(array._arrays) == 1


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Suggestion, dict[int, TrialResult]]:
    """One retraining that opens the test rows and saves its model, and two that do neither."""
    own = job("number", tmp_path_factory.mktemp("models"), early_stopping={"monitor": "val_loss", "patience": 1})
    item = suggestion(0, dropout=0.2, schedule="cosine", learning_rate=0.1, batch_size=32)
    asked = [replace(item, retraining=Retraining(5, opens_test=True, saves_model=True))]
    asked += [replace(item, number=i, seed=i, retraining=Retraining(5)) for i in (1, 2)]
    return own, asked[0], results(array_of(own, 2), *asked)


def test_a_retraining_takes_all_development_rows_and_all_of_its_epochs(
    retrained: tuple[Job, Suggestion, dict[int, TrialResult]],
) -> None:
    own, item, ended = retrained
    data = load_inputs(own).data_for(item)

    assert (data.summary.n_train, data.summary.n_validation, data.summary.n_test) == (88, 22, 0)
    for result in ended.values():
        assert (result.reason, result.best_epoch, result.curve.n_epochs) == (Reason.COMPLETED, 5, 5)
    assert [ended[i].model_path is None and ended[i].test is None for i in range(3)] == [False, True, True]
    # The schedule is that of all eight epochs.
    assert ended[0].curve.values("learning_rate")[-1] == pytest.approx(0.05 * (1 + np.cos(np.pi * 14 / 24)), rel=1e-5)
    again = by_fit(own, item)
    assert_same(again, ended[0])
    assert again.test is not None
    assert ended[0].test is not None
    assert_array_equal(again.test.targets, ended[0].test.targets)
    assert again.test.outputs == pytest.approx(ended[0].test.outputs, rel=1e-4)


def test_the_answers_for_the_test_rows_are_those_of_the_saved_model_in_the_target_s_units(
    retrained: tuple[Job, Suggestion, dict[int, TrialResult]],
) -> None:
    own, _, ended = retrained
    path, test = ended[0].model_path, ended[0].test
    assert path is not None
    assert test is not None
    preprocessing = read_preprocessing(Path(path))
    assert preprocessing is not None
    assert own.data is not None
    x, y = own.data
    rows = x.iloc[[int(np.flatnonzero(y == target)[0]) for target in test.targets]]

    encoded = preprocessing.encoding.encode(rows[["a", "b", "group"]].to_numpy(np.float64), rows[["kind"]].to_numpy())
    outputs = outputs_of(load_model(Path(path)), encoded) * preprocessing.target.std + preprocessing.target.mean

    assert len(test.targets) == 22
    assert test.outputs.shape == (22, 1)
    assert test.outputs == pytest.approx(outputs, rel=1e-5)
    assert np.corrcoef(test.targets, test.outputs[:, 0])[0, 1] > 0.5


def test_without_test_rows_there_are_no_answers() -> None:
    inputs = load_inputs(job("classes", dataset={"test": 0.0}))
    assert answer_test(inputs, inputs.splits.whole, None) is None


def job_with_test_rows(path: Path, x_test: Any, y_test: Any) -> Job:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), np.arange(60) % 3
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return Job({"name": "n", "dataset": {"source": f"npz:{path}"}, "training": {"epochs": 2}})


def test_no_trial_and_no_repeat_changes_with_the_test_rows(tmp_path: Path) -> None:
    """Features of the test rows are replaced by garbage, and their targets are permuted."""
    rng = np.random.default_rng(1)
    features, garbage, targets = rng.normal(size=(30, 3)), rng.uniform(-1e6, 1e6, (30, 3)), np.arange(30) % 3
    jobs = [
        job_with_test_rows(tmp_path / "a.npz", features, targets),
        job_with_test_rows(tmp_path / "b.npz", garbage, targets[::-1]),
    ]
    inputs = [load_inputs(own) for own in jobs]
    trial, retraining = suggestion(0), replace(suggestion(3), retraining=Retraining(2))

    for item in (trial, repeat(1, 1), repeat(2, 2), retraining):
        for data in ([own.data_for(item) for own in inputs], [own.rows_of(group_for(item)).data for own in inputs]):
            for name in ("x_train", "y_train", "x_validation", "y_validation"):
                assert getattr(data[0], name).tobytes() == getattr(data[1], name).tobytes()
    one, other = (by_fit(own, repeat(1, 1)) for own in jobs)
    assert one.reason is Reason.COMPLETED
    assert one.curve.series == other.curve.series


def test_repeats_have_an_array_of_their_own_with_slots_that_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    own = job("classes")
    trainer = ArrayTrainer(own, load_inputs(own), TrainerPlan("array", 8))
    trial, again = suggestion(0), suggestion(1, dropout=0.3)
    longer, shorter = (replace(again, retraining=Retraining(n)) for n in (5, 4))
    groups = [group_for(item) for item in (trial, repeat(1, 0), longer, shorter)]

    assert len({*groups, group_for(again)}) == 4
    assert [trainer._n_slots_of(group_for(item)) for item in (trial, repeat(1, 0), longer)] == [8, 8, 8]
    monkeypatch.setattr("dnnsweep.trainers.groups.OWN_ROWS_BYTES", 4 * 88 * 8 * 3)
    assert [trainer._n_slots_of(group_for(item)) for item in (trial, repeat(1, 0), longer)] == [8, 3, 8]


def test_a_retraining_whose_rows_cannot_be_used_fails_alone() -> None:
    """They were not kept, as the sweep file asks for no repeats, and are others when they are read again."""
    plain = job("classes", epochs=1)
    own = replace(plain, spec={**plain.spec, "confirm": None})
    trainer = array_of(own, 2)
    assert own.data is not None
    own.data[0].loc[0, "a"] = 7.0
    item = replace(suggestion(0), retraining=Retraining(1))

    [ended] = results(trainer, item).values()

    assert ended.reason is Reason.FAILED
    assert "dataset.source: must give the same rows" in str(ended.error)


def test_a_network_of_one_s_own_is_built_for_the_inputs_of_its_rows(tmp_path: Path) -> None:
    """Words that only validation rows have are inputs of repeats and retrainings."""
    plain = job("classes", tmp_path, epochs=3)
    spec = {name: section for name, section in plain.spec.items() if name != "space"}
    own = replace(plain, spec={**spec, "network": {"builder": "python:builders:for_features"}})
    inputs, params = load_inputs(own), {"batch_size": 32, "optimizer": "adam", "learning_rate": 0.01}
    trainer = CompiledTrainer(own, inputs, "cpu")
    asked = [
        Suggestion(0, params, 5, block=1),
        Suggestion(1, params, 5, retraining=Retraining(2, opens_test=True, saves_model=True)),
    ]

    again, retrained = (trainer.train(item, lambda _: None) for item in asked)

    n_features = inputs.splits.whole.summary.n_features
    assert n_features > inputs.data.summary.n_features
    assert again.n_parameters == retrained.n_parameters == 3 * (n_features + 1) + 4
    assert (again.reason, retrained.reason, retrained.best_epoch) == (Reason.COMPLETED, Reason.COMPLETED, 2)
    assert retrained.model_path is not None
    assert retrained.test is not None
    rows = inputs.splits.open_test(inputs.splits.whole)
    assert rows is not None
    assert retrained.test.outputs == pytest.approx(outputs_of(load_model(Path(retrained.model_path)), rows.x))
