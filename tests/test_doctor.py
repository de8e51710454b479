"""The doctor: each way in which MLflow can differ from the ledger is found, told, and repaired."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from workspace import Workspace, prepared

import dnnsweep
from dnnsweep.delivery.doctor import Kind
from dnnsweep.records import Trial

PRETEND = {"DNNSWEEP_TRAINER": "scripted_trainer:ScriptedTrainer"}
Damage = Callable[[Any, str, Trial], None]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Workspace]:
    """A sweep of four trials that MLflow has seen."""
    made = prepared(tmp_path_factory.mktemp("doctor"), template, PRETEND)
    done = made.run("run", made.file(budget={"trials": 4}), "--trainers", "1")
    assert done.code == 0, done.err
    yield made
    assert made.end() == []


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{workspace.home / 'mlflow.db'}")


def diagnosed(workspace: Workspace, *, repair: bool) -> list[tuple[int | None, str, bool]]:
    found = dnnsweep.doctor(repair=repair, home=workspace.home)
    return [(item.number, item.kind, item.is_repaired) for item in found.differences]


def _duplicate(client: Any, experiment: str, trial: Trial) -> None:
    run = client.get_run(trial.run_id)
    client.create_run(experiment, tags={"dnnsweep.key": run.data.tags["dnnsweep.key"]})


def _orphan(client: Any, experiment: str, trial: Trial) -> None:
    key = client.get_run(trial.run_id).data.tags["dnnsweep.key"]
    client.create_run(experiment, tags={"dnnsweep.key": f"{key.rpartition('/')[0]}/99"})


def _delete(client: Any, _: str, trial: Trial) -> None:
    client.delete_run(trial.run_id)


def _revive(client: Any, _: str, trial: Trial) -> None:
    client.update_run(trial.run_id, status="RUNNING")


def _other_status(client: Any, _: str, trial: Trial) -> None:
    client.set_terminated(trial.run_id, "FAILED")


def _other_tag(client: Any, _: str, trial: Trial) -> None:
    client.set_tag(trial.run_id, "dnnsweep.reason", "failed")


def _other_point(client: Any, _: str, trial: Trial) -> None:
    client.log_metric(trial.run_id, "val_loss", 0.0, step=2)


def _rebuilt(client: Any, experiment: str, trial: Trial) -> None:
    """A run of the same key with other parameters and without any point."""
    run = client.get_run(trial.run_id)
    client.delete_run(trial.run_id)
    made = client.create_run(experiment, tags=dict(run.data.tags))
    client.log_param(made.info.run_id, "dropout", "0.999")


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (_delete, {Kind.MISSING}),
        (_duplicate, {Kind.DUPLICATE}),
        (_orphan, {Kind.ORPHAN}),
        (_revive, {Kind.STALE}),
        (_other_status, {Kind.WRONG}),
        (_other_tag, {Kind.WRONG}),
        (_other_point, {Kind.WRONG}),
        (_rebuilt, {Kind.STALE, Kind.WRONG}),
    ],
)
def test_each_damage_is_found_and_repaired(workspace: Workspace, client: Any, damage: Damage, kinds: set[Kind]) -> None:
    assert diagnosed(workspace, repair=False) == []
    experiment = client.get_experiment_by_name("pretend").experiment_id
    damage(client, experiment, workspace.trials()[1])

    found = diagnosed(workspace, repair=False)
    assert {kind for _, kind, _ in found} == kinds
    assert {number for number, _, _ in found} == {None if Kind.ORPHAN in kinds else 1}
    assert not any(is_repaired for _, _, is_repaired in found)
    assert diagnosed(workspace, repair=False) == found  # to look changes nothing

    assert diagnosed(workspace, repair=True) == [(number, kind, True) for number, kind, _ in found]
    assert diagnosed(workspace, repair=False) == []
    runs = client.search_runs([experiment], "tags.`dnnsweep.trial` = '1'")
    assert [run.info.run_id for run in runs] == [workspace.trials()[1].run_id]


def test_a_sweeps_own_run_is_repaired_and_its_trials_are_folded_under_it(workspace: Workspace, client: Any) -> None:
    run_id = dnnsweep.show("pretend", home=workspace.home).run_id
    client.log_param(run_id, "extra", "a person's own")
    client.log_metric(run_id, "best_value", 123.0, step=0)  # cannot be taken back: the run is made anew

    assert diagnosed(workspace, repair=True)[0] == (None, "wrong", True)

    sweep = dnnsweep.show("pretend", home=workspace.home)
    assert sweep.run_id != run_id
    assert diagnosed(workspace, repair=False) == []
    parents = {client.get_run(trial.run_id).data.tags["mlflow.parentRunId"] for trial in workspace.trials()}
    assert parents == {sweep.run_id}


def test_the_command_reports_repairs_and_exits_as_it_says(workspace: Workspace, client: Any) -> None:
    client.delete_run(workspace.trials()[0].run_id)
    client.update_run(workspace.trials()[2].run_id, status="RUNNING")

    checked = workspace.run("doctor", "--check")
    assert checked.code == 1
    assert "sweep pretend, trial 0: missing: its run was deleted" in checked.out
    assert "sweep pretend, trial 2: stale: its status is RUNNING, not FINISHED" in checked.out
    assert "2 differences; `dnnsweep doctor` repairs them" in checked.out
    repaired = workspace.run("doctor", "pretend")
    assert repaired.code == 0
    assert "2 differences, all repaired" in repaired.out
    agreed = workspace.run("doctor", "--check")
    assert (agreed.code, agreed.out) == (0, "ledger and MLflow agree: 1 sweeps, 5 runs\n")
    assert workspace.run("doctor", "--json").json == []


def test_what_waits_in_the_outbox_is_delivered_first(workspace: Workspace) -> None:
    database = workspace.home / "dnnsweep.db"
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        'c.execute("INSERT INTO outbox (sweep_id, number, kind, version, attempts, created_at, due_at, claimed_until) '
        "SELECT id, 0, 'sync', 1, 0, 0, 0, 0 FROM sweeps\"); c.commit()"
    )
    subprocess.run([sys.executable, "-c", code, str(database)], check=True)

    assert diagnosed(workspace, repair=False) == [(None, "behind", False)]
    assert diagnosed(workspace, repair=True) == []


def test_an_mlflow_that_cannot_be_reached_is_an_error_and_no_traceback(workspace: Workspace) -> None:
    refused = workspace.run("doctor", "--check", environ={"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"})

    assert refused.code == 1
    assert "127.0.0.1:1" in refused.err
    assert "Traceback" not in refused.err
