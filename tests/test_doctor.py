"""The doctor: each way in which MLflow can differ from the ledger is found, told, and repaired."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from kept_network import save_network
from workspace import Workspace, prepared

import dnnsweep
from dnnsweep.cli.render import print_diagnosis
from dnnsweep.delivery.doctor import Diagnosis, Kind
from dnnsweep.errors import TrackingError
from dnnsweep.ledger import Ledger
from dnnsweep.records import Candidate, Sweep, Trial
from dnnsweep.tracking.model_format import Signature
from dnnsweep.tracking.page import ModelPage
from dnnsweep.tracking.views import VIEW_TAG

PRETEND = {"DNNSWEEP_TRAINER": "scripted_trainer:ScriptedTrainer"}
Shown = Trial | Candidate
Damage = Callable[[Any, str, Shown], None]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Workspace]:
    """A sweep of four trials and three candidates that MLflow has seen."""
    made = prepared(tmp_path_factory.mktemp("doctor"), template, PRETEND)
    confirm = {"top": 2, "blocks": 3, "budget": 0}
    done = made.run("run", made.file(budget={"trials": 4}, confirm=confirm), "--trainers", "1", "--no-test")
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


def _duplicate(client: Any, experiment: str, trial: Shown) -> None:
    run = client.get_run(trial.run_id)
    client.create_run(experiment, tags={"dnnsweep.key": run.data.tags["dnnsweep.key"]})


def _orphan(client: Any, experiment: str, trial: Shown) -> None:
    key = client.get_run(trial.run_id).data.tags["dnnsweep.key"]
    client.create_run(experiment, tags={"dnnsweep.key": f"{key.rpartition('/')[0]}/99"})


def _delete(client: Any, _: str, trial: Shown) -> None:
    client.delete_run(trial.run_id)


def _revive(client: Any, _: str, trial: Shown) -> None:
    client.update_run(trial.run_id, status="RUNNING")


def _other_status(client: Any, _: str, trial: Shown) -> None:
    client.set_terminated(trial.run_id, "FAILED")


def _other_tag(client: Any, _: str, trial: Shown) -> None:
    client.set_tag(trial.run_id, "dnnsweep.reason", "failed")


def _other_point(client: Any, _: str, trial: Shown) -> None:
    client.log_metric(trial.run_id, "val_loss", 0.0, step=2)


def _no_files(client: Any, _: str, trial: Shown) -> None:
    parent = client.get_run(trial.run_id).data.tags["mlflow.parentRunId"]
    shutil.rmtree(Path(client.get_run(parent).info.artifact_uri.removeprefix("file://")))


def _no_data(client: Any, _experiment: str, _trial: Shown) -> None:
    file = str(client.tracking_uri).removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM inputs")


def _no_description(client: Any, _: str, trial: Shown) -> None:
    client.set_tag(client.get_run(trial.run_id).data.tags["mlflow.parentRunId"], "mlflow.note.content", "other words")


def _cut_file(client: Any, _: str, trial: Shown) -> None:
    parent = client.get_run(trial.run_id).data.tags["mlflow.parentRunId"]
    os.truncate(Path(client.get_run(parent).info.artifact_uri.removeprefix("file://")) / "sweep.yaml", 10)


def _rebuilt(client: Any, experiment: str, trial: Shown) -> None:
    """A run of the same key with other parameters and without any point."""
    run = client.get_run(trial.run_id)
    client.delete_run(trial.run_id)
    made = client.create_run(experiment, tags=dict(run.data.tags))
    client.log_param(made.info.run_id, "dropout", "0.999")


#: Damages of the sweep's own run, or of none.
OF_THE_SWEEP = (_orphan, _no_files, _cut_file, _no_data, _no_description)


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
        (_no_files, {Kind.WRONG}),
        (_cut_file, {Kind.WRONG}),
        (_no_data, {Kind.WRONG}),
        (_no_description, {Kind.WRONG}),
    ],
)
def test_each_damage_is_found_and_repaired(workspace: Workspace, client: Any, damage: Damage, kinds: set[Kind]) -> None:
    assert diagnosed(workspace, repair=False) == []
    experiment = client.get_experiment_by_name("pretend").experiment_id
    damage(client, experiment, workspace.trials()[1])

    found = diagnosed(workspace, repair=False)
    assert {kind for _, kind, _ in found} == kinds
    assert {number for number, _, _ in found} == {None if damage in OF_THE_SWEEP else 1}
    assert not any(is_repaired for _, _, is_repaired in found)
    assert diagnosed(workspace, repair=False) == found  # to look changes nothing

    assert diagnosed(workspace, repair=True) == [(number, kind, True) for number, kind, _ in found]
    assert diagnosed(workspace, repair=False) == []
    runs = client.search_runs([experiment], "tags.`dnnsweep.trial` = '1'")
    assert [run.info.run_id for run in runs] == [workspace.trials()[1].run_id]


def _of_candidate(found: Diagnosis) -> list[tuple[int | None, int | None, str, bool]]:
    return [(item.number, item.candidate, item.kind, item.is_repaired) for item in found.differences]


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (_delete, Kind.MISSING),
        (_duplicate, Kind.DUPLICATE),
        (_revive, Kind.STALE),
        (lambda client, _, shown: client.log_metric(shown.run_id, "mean_objective", 0.0, step=2), Kind.WRONG),
    ],
)
def test_damages_of_a_candidate_are_found_and_repaired(
    workspace: Workspace, client: Any, damage: Damage, kind: Kind
) -> None:
    experiment = client.get_experiment_by_name("pretend").experiment_id
    damage(client, experiment, candidates(workspace)[1])

    checked = dnnsweep.doctor(repair=False, home=workspace.home)
    repaired = dnnsweep.doctor(home=workspace.home)

    assert _of_candidate(checked) == [(None, 1, kind, False)]
    assert "sweep pretend, candidate 1: " in said(checked)
    assert _of_candidate(repaired) == [(None, 1, kind, True)]
    assert diagnosed(workspace, repair=False) == []
    [run] = client.search_runs([experiment], "tags.`dnnsweep.candidate` = '1'")
    assert run.info.run_id == candidates(workspace)[1].run_id


def candidates(workspace: Workspace) -> list[Candidate]:
    with closing(Ledger.open(f"sqlite:///{workspace.home / 'dnnsweep.db'}")) as ledger:
        return ledger.candidates(ledger.sweep("pretend"))


def said(diagnosis: Diagnosis) -> str:
    """Return what the command prints."""
    with redirect_stdout(StringIO()) as out:
        print_diagnosis(diagnosis, "text")
    return out.getvalue()


def test_the_view_of_a_sweep_lists_the_sweep_and_its_trials_alone(workspace: Workspace, client: Any) -> None:
    experiment = client.get_experiment_by_name("pretend")
    tags = [text for name, text in experiment.tags.items() if name.startswith(VIEW_TAG)]
    view = json.loads(tags[0])

    listed = client.search_runs(
        [experiment.experiment_id], view["searchFilter"], order_by=[f"{view['orderByKey']} ASC"]
    )
    all_of_it = client.search_runs([experiment.experiment_id], order_by=[f"{view['orderByKey']} ASC"])

    best = dnnsweep.best("pretend", home=workspace.home)
    sweep = dnnsweep.show("pretend", home=workspace.home)
    assert [run.info.run_id for run in listed] == [sweep.run_id, *(trial.run_id for trial in best)]
    assert len(best) == 4
    shown_last = [run.data.tags["mlflow.runName"].partition(" ")[0] for run in all_of_it[-3:]]
    assert (len(all_of_it), shown_last) == (8, ["confirm"] * 3)


def test_the_page_of_a_sweep_links_to_runs_that_were_made_anew(workspace: Workspace, client: Any) -> None:
    best = dnnsweep.best("pretend", home=workspace.home)[0]
    sweep = dnnsweep.show("pretend", home=workspace.home)
    client.log_metric(best.run_id, "objective", 123.0, step=0)  # cannot be taken back: the run is made anew

    assert [number for number, *_ in diagnosed(workspace, repair=True)] == [best.number]

    anew = dnnsweep.best("pretend", home=workspace.home)[0]
    note = client.get_run(sweep.run_id).data.tags["mlflow.note.content"]
    assert anew.run_id != best.run_id
    assert f"(#/runs/{anew.run_id})" in note
    assert diagnosed(workspace, repair=False) == []


def test_a_model_that_mlflow_lacks_is_logged_and_registered(
    workspace: Workspace, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(_ledger_id: str, sweep: Sweep, trial: Trial, _file: Path) -> ModelPage:
        place = (sweep.name, str(sweep.run_id), f"trial-{trial.number}", None)
        signature = Signature(("a",), None, {"prediction": "double"}, [1.0])
        return ModelPage(f"model/{trial.number}", *place, signature, "model.py", {}, 0, contents={"model.py": "1"})

    monkeypatch.setattr("dnnsweep.delivery.model_pages.model_page", made)
    monkeypatch.setattr(Ledger, "model_name", lambda *_: "model.keras")
    monkeypatch.setattr("dnnsweep.delivery.doctor.kept_models", lambda *_: [])
    best = dnnsweep.best("pretend", home=workspace.home)[0].number

    assert diagnosed(workspace, repair=False) == [(best, "model", False)]
    assert diagnosed(workspace, repair=True) == [(best, "model", True)]
    assert diagnosed(workspace, repair=False) == []
    client.delete_registered_model_alias("pretend", "champion")
    assert diagnosed(workspace, repair=True) == [(best, "model", True)]
    assert client.get_model_version_by_alias("pretend", "champion").version == 1
    client.delete_registered_model("pretend")


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
    assert (agreed.code, agreed.out) == (0, "ledger and MLflow agree: 1 sweeps, 8 runs\n")
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


def test_a_value_that_is_longer_than_mlflow_takes_is_no_difference(workspace: Workspace) -> None:
    with closing(sqlite3.connect(workspace.home / "dnnsweep.db")) as connection, connection:
        change = "UPDATE trials SET params = json_set(params, '$.notes', ?), error = ? WHERE number = 3"
        connection.execute(change, ("é" * 7000, "x" * 9000))

    repaired = diagnosed(workspace, repair=True)

    assert repaired == [(3, "wrong", True)] * 2  # a parameter and a tag were not there
    assert diagnosed(workspace, repair=False) == []


@pytest.fixture
def model(workspace: Workspace) -> Iterator[Path]:
    """The kept model of the best trial, which MLflow has a copy of."""
    sweep = dnnsweep.show("pretend", home=workspace.home)
    path = workspace.home / "models" / "pretend" / "best" / "best.keras"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("weights"), b"0123456789" * 100)
    assert name_model(workspace, sweep.best_number, path.name) == 1
    diagnosed(workspace, repair=True)  # MLflow may lack it
    assert diagnosed(workspace, repair=False) == []
    yield path
    name_model(workspace, sweep.best_number, None)
    shutil.rmtree(workspace.home / "models")


def name_model(workspace: Workspace, number: int | None, name: str | None) -> int:
    with closing(sqlite3.connect(workspace.home / "dnnsweep.db")) as connection, connection:
        return connection.execute("UPDATE trials SET model_path = ? WHERE number = ?", (name, number)).rowcount


@pytest.mark.parametrize(
    ("damage", "what"), [(Path.unlink, "is missing"), (lambda path: os.truncate(path, 50), "is damaged")]
)
def test_a_model_that_is_gone_or_damaged_is_fetched_from_mlflow(
    workspace: Workspace, model: Path, damage: Callable[[Path], None], what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    best, content = dnnsweep.show("pretend", home=workspace.home).best_number, model.read_bytes()
    damage(model)

    checked = workspace.run("doctor", "--check")
    assert checked.code == 1
    assert f"sweep pretend, trial {best}: model: its model {model} {what}; `dnnsweep export" in checked.out
    assert diagnosed(workspace, repair=True) == [(best, "model", True)]
    assert capfd.readouterr() == ("", "")
    assert model.read_bytes() == content
    assert diagnosed(workspace, repair=False) == []


@pytest.fixture
def retrained(workspace: Workspace) -> Iterator[Path]:
    """The model of a retrained winner, which MLflow does not know yet."""
    file = save_network(workspace.home / "models" / "pretend" / "retrained" / "trial-100000009-1.keras")
    told = {"model": file.name, "trial": None, "params": {"dropout": 0.1}}
    tell_retrained(
        workspace, told, {"metric": "accuracy", "score": 0.75, "model_score": 0.75, "this_model": [0.5, 1.0]}
    )
    yield file
    tell_retrained(workspace, None, None)
    shutil.rmtree(workspace.home / "models")
    diagnosed(workspace, repair=True)


def tell_retrained(workspace: Workspace, told: object, test: object) -> None:
    with closing(sqlite3.connect(workspace.home / "dnnsweep.db")) as connection, connection:
        change = "UPDATE sweeps SET answer = json_set(answer, '$.retrained', json(?), '$.test', json(?))"
        assert connection.execute(change, (json.dumps(told), json.dumps(test))).rowcount == 1


def test_a_retrained_winner_that_is_not_the_champion_is_found_and_made_it(
    workspace: Workspace, client: Any, retrained: Path
) -> None:
    run_id, content = dnnsweep.show("pretend", home=workspace.home).run_id, retrained.read_bytes()
    assert {kind for _, kind, _ in diagnosed(workspace, repair=False)} == {"wrong", "model"}

    assert all(is_repaired for *_, is_repaired in diagnosed(workspace, repair=True))

    champion = client.get_model_version_by_alias("pretend", "champion")
    assert {name: champion.tags[f"dnnsweep.{name}"] for name in ("retrained", "test_accuracy", "this_model")} == {
        "retrained": "true",
        "test_accuracy": "0.75",
        "this_model": "[0.5, 1.0]",
    }
    answer = json.loads(Path(client.download_artifacts(run_id, "answer.json")).read_text())
    assert answer["test"]["score"] == 0.75
    client.delete_registered_model_alias("pretend", "champion")
    retrained.unlink()
    assert diagnosed(workspace, repair=True) == [(None, "model", True), (None, "model", True)]
    assert client.get_model_version_by_alias("pretend", "champion").version == champion.version
    assert retrained.read_bytes() == content
    assert diagnosed(workspace, repair=False) == []
    client.delete_registered_model("pretend")


def test_a_model_that_is_lost_in_both_places_is_said_to_be_lost_and_the_rest_is_repaired(
    workspace: Workspace, client: Any, model: Path
) -> None:
    sweep = dnnsweep.show("pretend", home=workspace.home)
    copy = Path(client.get_run(sweep.run_id).info.artifact_uri.removeprefix("file://")) / "best" / "model.keras"
    model.unlink()
    os.truncate(copy, 50)

    assert diagnosed(workspace, repair=True) == [(sweep.best_number, "model", False)]
    said = workspace.run("doctor")
    assert said.code == 1
    assert "1 differences, 1 of them not repaired" in said.out
    assert f"`dnnsweep export pretend --trial {sweep.best_number}` writes the code that trains it again" in said.out
    copy.unlink()


def test_a_difference_that_mlflow_keeps_is_not_said_to_be_repaired(
    workspace: Workspace, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    client.set_tag(workspace.trials()[1].run_id, "dnnsweep.reason", "failed")
    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "log_batch", lambda *_, **__: None)

        assert diagnosed(workspace, repair=True) == [(1, "wrong", False)]

    assert diagnosed(workspace, repair=True) == [(1, "wrong", True)]


@pytest.mark.parametrize("content", [None, b"", b"this is no database " * 500])
def test_an_embedded_store_that_is_gone_or_corrupt_is_made_anew(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    caplog.set_level(logging.WARNING, logger="dnnsweep")
    database = workspace.home / "mlflow.db"
    for path in workspace.home.glob("mlflow.db*"):
        path.unlink()
    if content is None:
        assert {kind for _, kind, _ in diagnosed(workspace, repair=False)} == {"missing"}
        assert not database.exists()  # to look creates nothing
    else:
        database.write_bytes(content)
        with pytest.raises(TrackingError, match=r"is corrupt: .*; `dnnsweep doctor` without --check moves it aside"):
            diagnosed(workspace, repair=False)

    assert diagnosed(workspace, repair=True) == []

    assert "8 runs are delivered again" in caplog.text
    assert diagnosed(workspace, repair=False) == []
    asides = [path.read_bytes() for path in workspace.home.glob("mlflow.db.aside-*")]
    assert asides == ([] if content is None else [content])


def test_an_mlflow_that_cannot_be_reached_is_an_error_and_no_traceback(workspace: Workspace) -> None:
    refused = workspace.run("doctor", "--check", environ={"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"})

    assert refused.code == 1
    assert "127.0.0.1:1" in refused.err
    assert "Traceback" not in refused.err
