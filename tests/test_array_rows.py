"""Arrays whose slots are trained on different splits of the rows, held to plain Keras on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from double_precision import double, fitted_in_turn
from examples import uncompiled
from test_array import array_of, difference, layer_difference, reports_in_double, results, suggestion

from dnnsweep.errors import DataError
from dnnsweep.records import AttemptStarted, EpochReport, Reason, Suggestion, TrialResult
from dnnsweep.spec import SweepSpec
from dnnsweep.trainers import Job, Trainer, TrainerPlan
from dnnsweep.trainers.array import ArrayTrainer
from dnnsweep.trainers.fit import FitTrainer
from dnnsweep.trainers.folding import FoldingTrainer
from dnnsweep.trainers.inputs import load_inputs


def groups_of_any_size(seed: int = 0) -> pd.DataFrame:
    """Rows of 20 groups, some of which are ten times as large as others, and their weights."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(20), rng.integers(2, 20, 20))
    columns = {name: rng.normal(size=len(group)) + group % 3 for name in "abc"}
    return pd.DataFrame({**columns, "group": group, "weight": rng.uniform(0.5, 2, len(group))})


def own_job(target: str, dataset: dict[str, Any] | None = None, **training: Any) -> Job:
    x = groups_of_any_size()
    signal = x["a"] - x["b"] + 0.2 * x["group"]
    y = {"classes": np.where(signal > 2, "yes", "no"), "number": 7 * signal.to_numpy() + 100}[target]
    document = {
        "name": "n",
        "dataset": {"source": "arrays:", "resplit": True, "split": {"by": "group"}, **(dataset or {})},
        "training": {"epochs": 4, "early_stopping": None, **training},
        "space": {"global_clipnorm": [0.0, 0.3], "schedule": ["constant", "cosine", "reduce_on_plateau"]},
    }
    return Job(document, None, (x, y))


ITEMS: dict[str, dict[str, Any]] = {
    "classes": {"optimizer": "adam", "batch_norm": True, "l2": 1e-3},
    "number": {"optimizer": "nadam", "global_clipnorm": 0.3},
}


@pytest.mark.parametrize("target", ["classes", pytest.param("number", marks=uncompiled)])
def test_in_double_precision_slots_on_splits_of_any_size_equal_fit_on_the_same_rows(target: str) -> None:
    dataset = {"sample_weight": "weight", **({"class_weight": "balanced"} if target == "classes" else {})}
    inputs = load_inputs(own_job(target, dataset))
    items = [suggestion(i, batch_size=16, **ITEMS[target]) for i in range(3)]
    data = [inputs.data_for(item) for item in items]
    assert len({-(-each.summary.n_train // 16) for each in data}) > 1  # some slots rest while others take a step

    with double():
        reports = reports_in_double(inputs, items, slots=2)
        expected = fitted_in_turn(inputs, items, "float64")

    for item, rows, epochs in zip(items, data, expected, strict=True):
        for report, epoch in zip(reports[item.number], epochs, strict=True):
            for name, value in epoch.items():
                own = report.metrics[name] / (rows.target_std if name.endswith("mae") else 1)
                assert own == pytest.approx(value, rel=1e-8, abs=1e-8), (item.number, report.epoch, name)


@pytest.mark.parametrize(
    ("target", "monitor", "more"),
    [("classes", "val_auc", ["val_f1"]), pytest.param("number", "val_r2", [], marks=uncompiled)],
)
def test_scores_and_early_stopping_of_a_slot_are_those_of_its_own_rows(
    target: str, monitor: str, more: list[str]
) -> None:
    own = own_job(target, epochs=9, metrics=more, early_stopping={"monitor": monitor, "patience": 2, "min_delta": 0.05})
    items = [suggestion(i, dropout=0.2, batch_norm=True, activation="tanh", learning_rate=0.03) for i in range(3)]

    by_array = results(array_of(own, 2), *items)[1]

    by_fit = FitTrainer(own).train(items[1], lambda _: None)
    assert (by_fit.reason, by_fit.best_epoch) == (by_array.reason, by_array.best_epoch)
    assert layer_difference(by_fit, by_array) < 1e-3
    for series in (series for series in by_fit.curve.series if series.layer is None):
        assert difference(by_fit, by_array, series.metric) < 1e-4, series.metric


def test_neighbours_on_other_splits_change_no_bit() -> None:
    own = own_job("classes")
    point: dict[str, Any] = {"dropout": 0.3, "batch_norm": True}
    array = array_of(own, 3)
    [alone] = results(array, suggestion(4, **point)).values()

    crowd = [suggestion(1, learning_rate=1e6, optimizer="sgd"), *(suggestion(i, **point) for i in (2, 3, 4, 5))]
    crowded = results(array, *crowd)

    assert crowded[1].reason is Reason.DIVERGED
    assert crowded[4].curve.series == alone.curve.series
    assert crowded[5].curve.series != alone.curve.series
    [compiled] = array._arrays.values()
    assert compiled.program._call.experimental_get_tracing_count() == 1


@uncompiled
def test_a_trial_whose_rows_cannot_be_used_fails_alone() -> None:
    """A class that one group holds alone is missing where that group validates."""
    plain = own_job("classes", {"test": 0.0})
    assert plain.data is not None
    x, y = plain.data
    own = Job(plain.spec, None, (x, np.where(groups_of_any_size()["group"] == 11, "rare", y)))
    inputs = load_inputs(own)

    ended = results(array_of(own, 2), *(suggestion(i) for i in range(6)))

    lacking = set[int]()
    for number in range(6):
        try:
            inputs.data_for(suggestion(number))
        except DataError:
            lacking.add(number)
    assert {number for number, result in ended.items() if result.reason is Reason.FAILED} == lacking
    assert 0 < len(lacking) < 6
    assert all("rare" in str(ended[number].error) for number in lacking)


def folded(trainer: Trainer, sweep: SweepSpec, *items: Suggestion) -> dict[int, TrialResult]:
    """Train suggestions in folds."""
    folding, got = FoldingTrainer(trainer, sweep, None), dict[int, TrialResult]()

    def emit(message: AttemptStarted | EpochReport | TrialResult) -> None:
        if isinstance(message, TrialResult):
            got[message.number] = message

    for item in items:
        folding.take(item)
    while not folding.is_idle:
        folding.step(emit)
    return got


@uncompiled
def test_a_trial_in_folds_is_the_same_in_an_array_and_by_fit() -> None:
    """Folds of 67 and 68 rows, of which one takes a step more in each epoch."""
    document = {
        "name": "n",
        "dataset": {"source": "sklearn:iris", "folds": 2, "test": 0.1, "class_weight": "balanced"},
        "training": {"epochs": 6, "early_stopping": {"monitor": "val_loss", "patience": 2}},
    }
    own = Job(document)
    inputs = load_inputs(own)
    items = [suggestion(i, dropout=0.2, batch_norm=True, batch_size=67, learning_rate=0.1) for i in range(3)]

    by_array = folded(ArrayTrainer(own, inputs, TrainerPlan("array", 1)), inputs.sweep, *items)
    by_fit = folded(FitTrainer(own), inputs.sweep, items[1])

    assert set(by_array) == {0, 1, 2}
    assert (by_fit[1].reason, by_fit[1].best_epoch) == (by_array[1].reason, by_array[1].best_epoch)
    assert layer_difference(by_fit[1], by_array[1]) < 1e-3
    for series in (series for series in by_fit[1].curve.series if series.layer is None):
        assert difference(by_fit[1], by_array[1], series.metric) < 1e-4, series.metric
    assert by_array[1].metrics["val_loss_std"] > 0
