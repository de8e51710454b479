from __future__ import annotations

import dataclasses
import json
import math
import pickle
from types import MappingProxyType
from typing import Any

import pytest

from dnnsweep.records import (
    Curve,
    EpochReport,
    Objective,
    Reason,
    Series,
    State,
    Suggestion,
    Sweep,
    Task,
    Trial,
    TrialResult,
    curve_from_reports,
    direction_of,
    metrics_for,
)


@pytest.mark.parametrize(
    ("reason", "state", "is_in_budget"),
    [
        ("completed", State.COMPLETE, True),
        ("early_stopped", State.COMPLETE, True),
        ("pruned", State.PRUNED, True),
        ("diverged", State.FAILED, True),
        ("failed", State.FAILED, True),
        ("timeout", State.FAILED, True),
        ("killed", State.FAILED, True),
        ("stopped", State.FAILED, False),
    ],
)
def test_reason_decides_state_and_budget(reason: str, state: State, is_in_budget: bool) -> None:
    assert Reason(reason).state is state
    assert Reason(reason).is_in_budget is is_in_budget


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (Task.BINARY, ("loss", "accuracy", "val_loss", "val_accuracy")),
        (Task.MULTICLASS, ("loss", "accuracy", "val_loss", "val_accuracy")),
        (Task.REGRESSION, ("loss", "mse", "mae", "val_loss", "val_mse", "val_mae", "val_r2")),
    ],
)
def test_task_decides_metrics(task: Task, names: tuple[str, ...]) -> None:
    assert metrics_for(task) == names


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("accuracy", "maximize"),
        ("val_accuracy", "maximize"),
        ("loss", "minimize"),
        ("val_loss", "minimize"),
        ("val_mae", "minimize"),
        ("mse", "minimize"),
    ],
)
def test_metric_has_a_better_end(metric: str, direction: str) -> None:
    assert direction_of(metric) == direction


def _reports() -> list[EpochReport]:
    return [
        EpochReport(3, 1, 1, {"loss": 0.5, "val_loss": 0.6}, 10, {"gradient_norm": {"dense": 1.0, "output": 2.0}}),
        EpochReport(3, 1, 2, {"loss": math.nan, "val_loss": 0.7}, 20, {"gradient_norm": {"dense": 3.0, "output": 4.0}}),
    ]


def test_reports_become_a_curve_of_the_network_and_its_layers() -> None:
    curve = curve_from_reports(iter(_reports()))

    assert curve.n_epochs == 2
    assert curve.ended_at == (10, 20)
    assert curve.values("val_loss") == (0.6, 0.7)
    assert math.isnan(curve.values("loss")[1])
    assert Series("gradient_norm", (1.0, 3.0), "dense") in curve.series
    assert Series("gradient_norm", (2.0, 4.0), "output") in curve.series
    assert len(curve.series) == 4


def test_curve_keeps_layers_apart_from_the_network() -> None:
    curve = curve_from_reports(_reports())

    assert curve.values("gradient_norm") == ()
    assert curve.at(1) == {"loss": 0.5, "val_loss": 0.6}
    assert set(curve.at(2)) == {"loss", "val_loss"}


def test_curve_without_epochs_is_empty() -> None:
    assert curve_from_reports([]) == Curve()
    assert (Curve().n_epochs, Curve().values("loss")) == (0, ())


@pytest.mark.parametrize(
    "record",
    [
        Suggestion(1, {"dropout": 0.5, "hidden": (64, 32)}, seed=7),
        _reports()[0],
        TrialResult(1, 1, Reason.COMPLETED, Curve((Series("loss", (0.5,)),), (10,)), 1, 0.1),
        TrialResult(1, 2, Reason.FAILED, Curve(), None, 0.1, error="boom"),
    ],
    ids=lambda record: type(record).__name__,
)
def test_what_travels_arrives_as_it_was_sent(record: Any) -> None:
    assert pickle.loads(pickle.dumps(record)) == record  # noqa: S301  our own bytes


def test_records_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Suggestion(1, {}, 7).number = 2  # type: ignore[misc]


def _filled(kind: type[Any], **values: Any) -> Any:
    return kind(**{field.name: values.get(field.name) for field in dataclasses.fields(kind)})


def test_trial_becomes_plain_json_without_numbers_that_are_not_finite() -> None:
    trial = _filled(
        Trial,
        number=4,
        values=(math.inf, 900.0),
        params=MappingProxyType({"hidden": (64, 32), "dropout": 0.5, "batch_norm": True}),
        state=State.COMPLETE,
        reason=Reason.EARLY_STOPPED,
        metrics={"loss": math.nan, "val_loss": 0.25},
    )

    plain = trial.to_json()

    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["params"] == {"hidden": [64, 32], "dropout": 0.5, "batch_norm": True}
    assert plain["metrics"] == {"loss": None, "val_loss": 0.25}
    assert (plain["number"], plain["value"], plain["state"], plain["reason"]) == (4, None, "COMPLETE", "early_stopped")
    assert plain["values"] == [None, 900.0]
    assert type(plain["state"]) is str
    assert tuple(plain) == (
        *("sweep", "number", "value", "params", "state", "reason", "best_epoch", "epochs", "seconds", "run_id"),
        *("seed", "attempts", "error", "metrics", "started_at", "ended_at", "values", "confirmed", "findings"),
    )


def test_sweep_becomes_plain_json() -> None:
    both = (Objective("val_accuracy", "maximize"), Objective("n_parameters", "minimize"))
    spec, data = {"network": {"hidden": (64,)}}, {"classes": ("0", "1")}
    sweep = _filled(Sweep, name="digits", seconds=1.5, spec=spec, data=data, objectives=both)

    plain = sweep.to_json()

    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["spec"] == {"network": {"hidden": [64]}}
    assert (plain["metric"], plain["direction"]) == ("val_accuracy", "maximize")
    assert plain["objectives"][1] == {"metric": "n_parameters", "direction": "minimize"}
    assert tuple(plain) == (
        *("id", "name", "state", "description", "source", "metric", "direction", "n_trials", "n_finished"),
        *("n_running", "n_failed", "best_number", "best_value", "window", "data", "spec", "run_id", "n_undelivered"),
        *("error", "created_at", "ended_at", "seconds", "trainer", "slots", "device", "objectives", "n_pruned"),
        *("front", "delivery_error", "submitted_by", "stopped_by", "n_diverged", "repeated_for", "conclusion"),
    )
