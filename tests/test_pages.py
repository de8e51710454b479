from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from dnnsweep.answers.answer import Answer
from dnnsweep.delivery.pages import BestSoFar, SweepResults, run_name, sweep_page, trial_page
from dnnsweep.records import Curve, Objective, Reason, Series, State, Sweep, SweepState, Trial
from dnnsweep.space import Hyperparameters
from dnnsweep.tracking.page import NOTE_TAG, Point

PARAMS = {"optimizer": "adam", "learning_rate": 0.00123456, "batch_norm": True, "hidden": [64, 32], "dropout": 0.25}
SWEEP = Sweep(
    id="s1",
    name="digits",
    state=SweepState.RUNNING,
    description="which techniques?",
    source="sklearn:digits",
    objectives=(Objective("val_accuracy", "maximize"),),
    n_trials=3,
    n_finished=1,
    n_running=1,
    n_failed=0,
    best_number=0,
    best_value=0.9,
    window=4,
    data={"task": "multiclass", "n_features": 64, "n_train": 3, "n_validation": 2, "n_test": 1, "fingerprint": "f"},
    spec={"space": {"learning_rate": {}, "batch_norm": [], "hidden": []}},
    run_id="parent",
    n_undelivered=0,
    error=None,
    created_at=100,
    ended_at=None,
    seconds=1.0,
)
TRIAL = Trial(
    sweep="digits",
    number=7,
    values=(0.9,),
    params=PARAMS,
    state=State.COMPLETE,
    reason=Reason.EARLY_STOPPED,
    best_epoch=2,
    epochs=3,
    seconds=1.0,
    run_id=None,
    seed=5,
    attempts=1,
    error=None,
    metrics={},
    started_at=200,
    ended_at=300,
)
CURVE = Curve(
    (Series("val_loss", (1.0, 0.5, math.nan)), Series("gradient_norm", (1.0, math.inf, 3.0), "hidden_1")),
    (210, 220, 230),
)


def ended(number: int, value: float | None, at: int) -> Trial:
    return replace(TRIAL, number=number, values=None if value is None else (value,), ended_at=at)


def drawn(trials: list[Trial], direction: str) -> list[Point]:
    curve = BestSoFar(direction)
    curve.extend(trials)
    return curve.points


def test_a_trials_points_are_its_finite_epochs_at_their_own_times() -> None:
    page = trial_page("ledger", SWEEP, TRIAL, CURVE)

    points = [(p.metric, p.value, p.step, p.time) for p in page.points]
    assert points == [
        ("val_loss", 1.0, 1, 210),
        ("val_loss", 0.5, 2, 220),
        ("gradient_norm/hidden_1", 1.0, 1, 210),
        ("gradient_norm/hidden_1", 3.0, 3, 230),
        ("objective", 0.9, 0, 300),
        ("best_epoch", 2.0, 0, 300),
    ]
    assert page.tags["dnnsweep.findings"] == "val_loss not finite from epoch 3"


def test_a_trials_page_carries_every_hyperparameter_and_says_where_it_belongs() -> None:
    page = trial_page("ledger", SWEEP, TRIAL, CURVE)

    assert page.params == {name: str(value) for name, value in PARAMS.items()}
    assert (page.key, page.parent_run_id, page.experiment) == ("ledger/s1/7", "parent", "digits")
    assert page.tags["dnnsweep.sweep"] == "digits"
    assert page.tags["dnnsweep.trial"] == "7"
    assert page.tags["dnnsweep.state"] == "COMPLETE"
    assert page.tags["dnnsweep.reason"] == "early_stopped"


def test_a_trials_status_is_the_one_of_the_design() -> None:
    statuses = {}
    for reason in Reason:
        trial = replace(TRIAL, state=reason.state, reason=reason, values=None)
        statuses[reason.value] = trial_page("ledger", SWEEP, trial, CURVE).status

    assert statuses == {
        "completed": "FINISHED",
        "early_stopped": "FINISHED",
        "pruned": "FINISHED",
        "diverged": "FAILED",
        "failed": "FAILED",
        "timeout": "FAILED",
        "killed": "FAILED",
        "stopped": "KILLED",
    }
    assert trial_page("ledger", SWEEP, replace(TRIAL, state=State.QUEUED, reason=None), CURVE).status == "SCHEDULED"
    assert trial_page("ledger", SWEEP, replace(TRIAL, state=State.RUNNING, reason=None), CURVE).status == "RUNNING"


def test_a_trial_without_a_value_has_no_objective() -> None:
    page = trial_page("ledger", SWEEP, replace(TRIAL, values=None, reason=Reason.DIVERGED, state=State.FAILED), CURVE)

    assert {point.metric for point in page.points} == {"val_loss", "gradient_norm/hidden_1"}


def test_a_runs_name_tells_its_number_and_what_was_searched() -> None:
    assert run_name(TRIAL, {"optimizer": [], **SWEEP.spec["space"]}) == "0007 adam lr=0.00123 bn hidden=64-32"
    assert run_name(TRIAL, {}) == "0007"


def test_a_runs_name_tells_words_as_they_are_and_values_of_conditions_that_do_not_hold() -> None:
    space = {"schedule": [], "dropout": {"when": {"schedule": ["cosine"]}, "low": 0.0, "high": 0.5}}
    trial = replace(TRIAL, params={**TRIAL.params, "schedule": "constant", "dropout": 0.0})

    assert run_name(trial, space) == "0007 constant dropout=0"


def test_a_runs_name_tells_hyperparameters_of_every_kind_those_of_a_builder_too() -> None:
    params = {**Hyperparameters(schedule="cosine").to_params(), "mode": "good", "skip": True, "deep": False, "heads": 2}
    expected = (
        "0007 adam glorot_uniform dropout=0 l2=0 lr=0.001 cosine global_clipnorm=0 batch=32 hidden=64-32 relu "
        "mode=good skip heads=2"
    )

    assert run_name(replace(TRIAL, params=params), {name: [] for name in params}) == expected


def test_the_best_so_far_is_a_curve_over_trials_that_stops_at_the_first_open_one() -> None:
    trials = [
        ended(0, None, 10),
        ended(1, 0.5, 40),
        ended(2, 0.4, 20),
        ended(3, 0.9, 50),
        replace(TRIAL, number=4, reason=None, ended_at=None, values=None),
        ended(5, 1.0, 60),
    ]

    points = [(point.value, point.step, point.time) for point in drawn(trials, "maximize")]

    assert points == [(0.5, 1, 40), (0.5, 2, 40), (0.9, 3, 50)]


def test_a_curve_that_is_drawn_piece_by_piece_is_the_same() -> None:
    values = (0.5, None, 0.4, 0.7, 0.6)
    trials = [ended(number, value, 1000 - number) for number, value in enumerate(values)]
    curve = BestSoFar("maximize")

    for n_ended in (0, 2, 2, 5):
        still_open = [replace(trial, ended_at=None, reason=None) for trial in trials[n_ended:]]
        curve.extend([*trials[:n_ended], *still_open][curve.n_seen :])

    assert curve.points == drawn(trials, "maximize")
    assert [point.step for point in curve.points] == [0, 1, 2, 3, 4]


def test_two_objectives_are_points_and_curves_of_their_own() -> None:
    both = (Objective("val_accuracy", "maximize"), Objective("n_parameters", "minimize"))
    sweep, trials = replace(SWEEP, objectives=both), [ended(0, 0.5, 10), ended(1, None, 20), ended(2, 0.4, 30)]
    values = [(0.5, 900.0), None, (0.4, 100.0)]
    trials = [replace(trial, values=both_values) for trial, both_values in zip(trials, values, strict=True)]
    curve = BestSoFar(*sweep.directions)
    curve.extend(trials)

    shown = {p.metric: p.value for p in trial_page("ledger", sweep, trials[2], CURVE).points if p.step == 0}

    assert shown == {"objective": 0.4, "objective_2": 100.0, "best_epoch": 2.0}
    assert [(p.metric, p.value, p.step) for p in curve.points] == [
        ("best_value", 0.5, 0),
        ("best_value_2", 900.0, 0),
        ("best_value", 0.5, 1),
        ("best_value_2", 900.0, 1),
        ("best_value", 0.5, 2),
        ("best_value_2", 100.0, 2),
    ]
    page = sweep_page("ledger", sweep, curve.points, "", SweepResults())
    assert page.tags["dnnsweep.objective"] == "maximize val_accuracy and minimize n_parameters"


def test_the_size_of_a_network_is_a_single_point() -> None:
    page = trial_page("ledger", SWEEP, replace(TRIAL, metrics={"n_parameters": 26.0}), CURVE)

    assert Point("n_parameters", 26.0, 0, 300) in page.points


def test_the_best_so_far_of_a_loss_goes_down() -> None:
    trials = [ended(0, 0.5, 10), ended(1, 0.4, 20), ended(2, 0.6, 30)]

    assert [point.value for point in drawn(trials, "minimize")] == [0.5, 0.4, 0.4]


def test_the_parent_carries_the_sweep_file_and_the_best_model() -> None:
    results = SweepResults([TRIAL], "import keras\n", {"best/model.keras": "/models/best.keras"})
    page = sweep_page("ledger", SWEEP, [], "name: digits\n", results)

    assert page.texts == {"sweep.yaml": "name: digits\n", "best.py": "import keras\n"}
    assert page.files == {"best/model.keras": "/models/best.keras"}
    assert (page.key, page.parent_run_id, page.status) == ("ledger/s1", None, "RUNNING")


def test_the_parent_carries_what_the_sweep_answers() -> None:
    answer = Answer("digits", "val_accuracy", "maximize", p_best=0.75, sentences=["Trial 7 wins.", "It is tied."])
    page = sweep_page("ledger", SWEEP, [], "", SweepResults([TRIAL], answer=answer))

    assert json.loads(page.texts["answer.json"]) == answer.to_json()
    assert page.tags[NOTE_TAG].startswith("**Trial 7 wins.**\n\n- It is tied.\n\n**Best single training: ")


def test_a_page_is_new_only_while_its_run_is_unknown() -> None:
    assert trial_page("ledger", SWEEP, TRIAL, CURVE, is_new=True).is_new
    assert not trial_page("ledger", SWEEP, replace(TRIAL, run_id="r"), CURVE, is_new=True).is_new
    assert not trial_page("ledger", SWEEP, TRIAL, CURVE).is_new


def test_the_list_of_a_sweep_shows_what_was_searched_and_draws_validation_metrics_first() -> None:
    by_loss = replace(SWEEP, objectives=(Objective("val_loss", "minimize"), Objective("n_parameters", "minimize")))

    views = [sweep_page("ledger", sweep, [], "", SweepResults()).view for sweep in (SWEEP, by_loss)]

    assert trial_page("ledger", SWEEP, TRIAL, CURVE).view == views[0]
    assert {view.params for view in views} == {("learning_rate", "batch_norm", "hidden")}
    assert [view.metrics for view in views] == [
        ("val_accuracy", "val_loss", "loss", "accuracy"),
        ("val_loss", "val_accuracy", "loss", "accuracy"),
    ]
    assert [view.note for view in views] == ["which techniques?"] * 2


@pytest.mark.parametrize(
    ("source", "kind", "place"),
    [
        ("csv:data/churn.csv", "local", {"uri": "data/churn.csv"}),
        ("sklearn:digits", "code", {"tags": {"mlflow.source.name": "sklearn:digits"}}),
        ("python:rows:load", "code", {"tags": {"mlflow.source.name": "python:rows:load"}}),
    ],
)
def test_a_sweep_names_its_data_as_mlflow_does(source: str, kind: str, place: dict[str, object]) -> None:
    data = {**SWEEP.data, "fingerprint": "0123456789abcdef" * 4}
    named = sweep_page("ledger", replace(SWEEP, source=source, data=data), [], "", SweepResults()).dataset

    assert named is not None
    assert (named.name, named.source_type, json.loads(named.source)) == (source, kind, place)
    assert named.digest == "0123456789abcdef0123456789abcdef0123"
    assert json.loads(named.profile) == {
        "num_rows": 6,
        "n_train": 3,
        "n_validation": 2,
        "n_test": 1,
        "n_features": 64,
        "task": "multiclass",
    }
    assert sweep_page("ledger", replace(SWEEP, data={}), [], "", SweepResults()).dataset is None
