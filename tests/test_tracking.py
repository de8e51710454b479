"""The tracker, checked with MLflow's own client on stores that it did not make."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dnnsweep.errors import ArtifactError, TrackingError
from dnnsweep.settings import Settings, find_settings
from dnnsweep.tracking import Tracker, check_port, readable_copy, serve_ui, ui_command, ui_environment, ui_url
from dnnsweep.tracking.page import DatasetInput, ExperimentView, Point, RunPage
from dnnsweep.tracking.views import MAX_VIEW_LENGTH, VIEW_TAG, experiment_tags

ROOT = Path(__file__).parents[1]
POINTS = (Point("loss", 0.5, 1, 1000), Point("loss", 0.25, 2, 2000), Point("val_loss", 0.1 + 0.2, 1, 1000))
PAGE = RunPage(
    view=ExperimentView("Which optimizer?", "maximize", ("learning_rate", "dropout"), ("val_accuracy", "loss")),
    key="ledger/digits/0",
    experiment="digits",
    name="0000 adam",
    status="FINISHED",
    started_at=500,
    ended_at=3000,
    params={"optimizer": "adam", "dropout": "0.1"},
    tags={"dnnsweep.sweep": "digits", "dnnsweep.reason": "completed"},
    points=POINTS,
    texts={"notes/sweep.yaml": "name: digits\n"},
)
RUNNING = replace(PAGE, status="RUNNING", ended_at=None, tags={"dnnsweep.sweep": "digits"}, points=POINTS[:1])
#: A folder's name that no URL takes as it is.
ODD_NAME = "50%41 a?b"


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNNSWEEP_CACHE", "")


@pytest.fixture
def settings(template: Path, tmp_path: Path) -> Settings:
    shutil.copy(template, tmp_path / "mlflow.db")
    return find_settings(tmp_path, {})


@pytest.fixture
def tracker(settings: Settings) -> Tracker:
    return Tracker(settings)


@pytest.fixture
def client(settings: Settings) -> Any:
    import mlflow

    return mlflow.MlflowClient(tracking_uri=settings.tracking_uri)


def runs_of(client: Any, experiment: str = "digits") -> list[Any]:
    from mlflow.entities import ViewType

    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id], run_view_type=ViewType.ALL))


def history(client: Any, run_id: str, metric: str) -> list[tuple[int, float, int]]:
    return [(point.step, point.value, point.timestamp) for point in client.get_metric_history(run_id, metric)]


def contents(client: Any, run_id: str) -> tuple[Any, ...]:
    run = client.get_run(run_id)
    metrics = {name: history(client, run_id, name) for name in run.data.metrics}
    artifacts = [file.path for file in client.list_artifacts(run_id)]
    return dict(run.info), run.data.params, run.data.tags, metrics, artifacts


def artifact(client: Any, run_id: str, path: str) -> bytes:
    return Path(client.download_artifacts(run_id, path)).read_bytes()


def test_put_page_is_there_whole(tracker: Tracker, client: Any) -> None:
    run_id = tracker.put(PAGE)

    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status, run.info.start_time, run.info.end_time) == (
        "0000 adam",
        "FINISHED",
        500,
        3000,
    )
    assert run.data.params == {"optimizer": "adam", "dropout": "0.1"}
    assert run.data.tags == {
        "dnnsweep.sweep": "digits",
        "dnnsweep.reason": "completed",
        "dnnsweep.key": "ledger/digits/0",
        "mlflow.runName": "0000 adam",
    }
    assert history(client, run_id, "loss") == [(1, 0.5, 1000), (2, 0.25, 2000)]
    assert history(client, run_id, "val_loss") == [(1, 0.1 + 0.2, 1000)]
    assert artifact(client, run_id, "notes/sweep.yaml") == b"name: digits\n"


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("is_restarted", [True, False])
def test_putting_twice_is_putting_once(
    tracker: Tracker, settings: Settings, client: Any, *, is_known: bool, is_restarted: bool
) -> None:
    run_id = tracker.put(PAGE)
    before = contents(client, run_id)

    again = Tracker(settings) if is_restarted else tracker
    assert again.put(replace(PAGE, run_id=run_id if is_known else None)) == run_id

    assert contents(client, run_id) == before
    assert len(runs_of(client)) == 1


def test_run_that_was_only_created_is_filled(tracker: Tracker, client: Any) -> None:
    experiment = client.create_experiment("digits")
    created = client.create_run(experiment, start_time=500, tags={"dnnsweep.key": PAGE.key})

    assert tracker.put(PAGE) == created.info.run_id

    run = client.get_run(created.info.run_id)
    assert (run.info.status, run.info.run_name, len(runs_of(client))) == ("FINISHED", "0000 adam", 1)
    assert len(history(client, run.info.run_id, "loss")) == 2


def test_lost_answer_to_a_creation_leaves_one_run(
    tracker: Tracker, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    create = mlflow.MlflowClient.create_run

    def create_and_lose(*args: Any, **kwargs: Any) -> None:
        create(*args, **kwargs)
        raise ConnectionResetError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "create_run", create_and_lose)
        with pytest.raises(TrackingError, match="lost"):
            tracker.put(PAGE)

    run_id = tracker.put(PAGE)
    assert [run.info.run_id for run in runs_of(client)] == [run_id]


def test_new_page_is_created_without_a_search_and_found_by_its_key_afterwards(
    tracker: Tracker, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "search_runs", lambda *_, **__: pytest.fail("it was searched for"))
        run_id = tracker.put(replace(PAGE, is_new=True))

    assert tracker.put(PAGE) == run_id
    assert len(runs_of(client)) == 1
    assert len(history(client, run_id, "loss")) == 2


def test_crash_between_values_and_status_is_mended(
    tracker: Tracker, settings: Settings, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionResetError("down")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "set_terminated", fail)
        with pytest.raises(TrackingError):
            tracker.put(PAGE)

    run_id = Tracker(settings).put(PAGE)
    assert client.get_run(run_id).info.status == "FINISHED"
    assert len(history(client, run_id, "loss")) == 2


@pytest.mark.parametrize("is_restarted", [True, False])
def test_later_page_adds_what_is_new(tracker: Tracker, settings: Settings, client: Any, *, is_restarted: bool) -> None:
    run_id = tracker.put(RUNNING)
    assert client.get_run(run_id).info.status == "RUNNING"
    assert history(client, run_id, "loss") == [(1, 0.5, 1000)]

    later = Tracker(settings) if is_restarted else tracker
    later.put(replace(PAGE, run_id=run_id, params={**PAGE.params, "l2": "0.01"}, name="0000 adam, best"))

    run = client.get_run(run_id)
    assert history(client, run_id, "loss") == [(1, 0.5, 1000), (2, 0.25, 2000)]
    assert run.data.params == {"optimizer": "adam", "dropout": "0.1", "l2": "0.01"}
    assert (run.info.run_name, run.info.status, run.info.end_time) == ("0000 adam, best", "FINISHED", 3000)


def test_thousands_of_points_arrive_once(tracker: Tracker, client: Any) -> None:
    points = tuple(Point(f"m{metric}", step / 3, step, step) for step in range(500) for metric in range(5))
    page = replace(PAGE, points=points)

    run_id = tracker.put(page)
    tracker.put(page)

    assert [len(history(client, run_id, f"m{metric}")) for metric in range(5)] == [500] * 5


def test_more_tags_and_params_than_one_request_takes_arrive(tracker: Tracker, client: Any) -> None:
    many = {f"k{index}": str(index) for index in range(150)}

    run_id = tracker.put(replace(PAGE, params=many, tags=many))

    data = client.get_run(run_id).data
    assert data.params == many
    assert many.items() <= data.tags.items()


def test_tags_follow_the_page_and_those_of_people_stay(tracker: Tracker, client: Any) -> None:
    run_id = tracker.put(replace(RUNNING, tags={"dnnsweep.state": "FAILED", "dnnsweep.reason": "stopped"}))
    client.set_tag(run_id, "reviewed", "yes")

    tracker.put(replace(RUNNING, run_id=run_id, tags={"dnnsweep.state": "RUNNING"}))

    assert client.get_run(run_id).data.tags == {
        "dnnsweep.state": "RUNNING",
        "dnnsweep.key": PAGE.key,
        "mlflow.runName": PAGE.name,
        "reviewed": "yes",
    }


def test_parameter_that_is_there_is_left_as_it_is(tracker: Tracker, client: Any) -> None:
    run_id = tracker.put(PAGE)

    tracker.put(replace(PAGE, params={"optimizer": "sgd"}))

    assert client.get_run(run_id).data.params["optimizer"] == "adam"


def test_long_values_are_cut_with_an_ellipsis(tracker: Tracker, client: Any) -> None:
    page = replace(PAGE, params={"hidden": "é" * 7000}, tags={"dnnsweep.error": "x" * 9000, "just": "y" * 8000})

    run_id = tracker.put(page)
    tracker.put(page)

    data = client.get_run(run_id).data
    assert data.params["hidden"] == "é" * 5999 + "…"
    assert data.tags["dnnsweep.error"] == "x" * 7999 + "…"
    assert data.tags["just"] == "y" * 8000


def test_what_mlflow_or_a_database_refuses_is_put_so_that_it_compares_equal_afterwards(tracker: Tracker) -> None:
    awkward = {
        "long": "x" * 9000,
        "astral": "\N{GRINNING FACE}" * 9000,
        "nul": "a\0b",
        "surrogate": "a\ud800b",
        "lines": "a\r\n" * 4000,
        "blank": "  ",
        "n" * 300: "a long name",
    }
    page = replace(PAGE, name="0000 " + "width=1024 " * 1000, params=awkward)
    page = replace(page, tags={name: text for name, text in awkward.items() if len(name) < 250})

    run_id = tracker.put(page)
    assert tracker.put(replace(page, run_id=run_id)) == run_id

    run = tracker.run(run_id)
    assert run is not None
    assert (run.params, run.tags) == (page.all_params, page.all_tags)
    assert len(run.tags["mlflow.runName"]) == 250  # PostgreSQL takes no more


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_ended_run_carries_its_status_and_end(tracker: Tracker, client: Any, status: str) -> None:
    run_id = tracker.put(replace(PAGE, status=status, ended_at=4321))

    info = client.get_run(run_id).info
    assert (info.status, info.end_time) == (status, 4321)


def test_run_that_was_killed_goes_on_and_ends_anew(tracker: Tracker, client: Any) -> None:
    def put(status: str, ended_at: int | None) -> tuple[str, int | None]:
        info = client.get_run(tracker.put(replace(PAGE, status=status, ended_at=ended_at))).info
        return info.status, info.end_time

    assert put("SCHEDULED", None) == ("SCHEDULED", None)
    assert put("RUNNING", None) == ("RUNNING", None)
    assert put("KILLED", 3000) == ("KILLED", 3000)
    assert put("SCHEDULED", None) == ("SCHEDULED", 3000)
    assert put("RUNNING", None) == ("RUNNING", 3000)
    assert put("FINISHED", 9000) == ("FINISHED", 9000)


def test_end_without_a_time_is_that_of_the_last_point(tracker: Tracker, client: Any) -> None:
    run_id = tracker.put(replace(PAGE, ended_at=None))

    assert client.get_run(run_id).info.end_time == 2000


def test_trials_are_found_under_their_sweep(tracker: Tracker, client: Any) -> None:
    parent = tracker.put(replace(RUNNING, key="ledger/digits"))
    children = {tracker.put(replace(PAGE, key=f"ledger/digits/{n}", parent_run_id=parent)) for n in range(3)}

    experiment = client.get_experiment_by_name("digits").experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert {run.info.run_id for run in found} == children
    assert len(children) == 3


def test_files_lie_at_their_artifact_paths(tracker: Tracker, settings: Settings, client: Any, tmp_path: Path) -> None:
    model = tmp_path / "best-3.keras"
    model.write_bytes(b"first")
    page = replace(RUNNING, files={"best/model.keras": str(model), "best-3.keras": str(model)})
    run_id = tracker.put(page)
    assert artifact(client, run_id, "best/model.keras") == b"first"
    assert artifact(client, run_id, "best-3.keras") == b"first"

    model.write_bytes(b"better")
    tracker.put(replace(page, texts={"notes/sweep.yaml": "name: other\n"}))

    assert artifact(client, run_id, "best/model.keras") == b"better"
    assert artifact(client, run_id, "notes/sweep.yaml") == b"name: other\n"
    assert (settings.artifacts / "digits" / run_id / "artifacts" / "best" / "model.keras").exists()


def test_file_that_is_gone_or_a_link_to_another_folder_is_left_out(
    tracker: Tracker, client: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="dnnsweep")

    (tmp_path / "secret").write_text("of another folder")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "linked.keras").symlink_to(tmp_path / "secret")
    files = {"best/model.keras": str(tmp_path / "gone.keras"), "2.keras": str(tmp_path / "models" / "linked.keras")}

    run_id = tracker.put(replace(PAGE, files=files))

    assert [file.path for file in client.list_artifacts(run_id)] == ["notes"]
    assert client.get_run(run_id).info.status == "FINISHED"
    assert "gone.keras is gone" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_point_that_is_not_finite_is_refused_before_anything_is_sent(
    tracker: Tracker, client: Any, value: float
) -> None:
    with pytest.raises(ValueError, match=r"points must be finite, got loss=-?(nan|inf) at step 7"):
        tracker.put(replace(PAGE, points=(Point("loss", value, 7, 1000),)))

    assert client.get_experiment_by_name("digits") is None


def test_experiment_is_marked_as_machine_learning_and_keeps_its_artifacts_in_the_home(
    tracker: Tracker, settings: Settings, client: Any
) -> None:
    tracker.put(PAGE)

    experiment = client.get_experiment_by_name("digits")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert experiment.artifact_location == (settings.artifacts / "digits").as_uri()
    assert tracker.experiment_id("digits") == experiment.experiment_id
    assert tracker.experiment_id("other") is None


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_experiment_carries_the_views_that_addresses_name(
    tracker: Tracker, client: Any, *, is_there: bool, direction: str
) -> None:
    if is_there:
        client.create_experiment("digits")
    tracker.put(replace(PAGE, view=replace(PAGE.view, direction=direction)))

    key = ui_url("http://h", "1", direction).rpartition("viewStateShareKey=")[2]
    tags = client.get_experiment_by_name("digits").tags
    view = json.loads(tags[f"mlflow.sharedViewState.{key}"])
    assert tags["mlflow.note.content"] == "Which optimizer?"
    assert (view["orderByKey"], view["orderByAsc"]) == ("tags.`dnnsweep.order`", True)
    assert view["columnOrder"] == [
        "attributes.`Run Name`",
        "metrics.`objective`",
        "params.`learning_rate`",
        "params.`dropout`",
        "tags.`dnnsweep.state`",
        "tags.`dnnsweep.reason`",
        "metrics.`best_epoch`",
        "tags.`dnnsweep.findings`",
    ]
    charts = [(chart["type"], chart.get("metricKey")) for chart in view["compareRunCharts"] if not chart["deleted"]]
    assert charts == [("PARALLEL", None), ("LINE", "val_accuracy"), ("LINE", "loss")]


def test_a_view_follows_its_sweep_and_a_description_stays_its_readers(
    tracker: Tracker, settings: Settings, client: Any
) -> None:
    tracker.put(PAGE)
    experiment = client.get_experiment_by_name("digits").experiment_id
    client.set_experiment_tag(experiment, "mlflow.note.content", "My own words.")

    changed = replace(PAGE, view=replace(PAGE.view, note="Other words.", params=("l2",)))
    for each in (tracker, Tracker(settings)):
        each.put(changed)
        tags = client.get_experiment(experiment).tags
        assert tags["mlflow.note.content"] == "My own words."
        assert "params.`l2`" in json.loads(tags["mlflow.sharedViewState.dnnsweep-maximize"])["selectedColumns"]


@pytest.mark.parametrize(
    ("n_params", "has_charts", "has_columns"),
    [(0, True, False), (15, True, True), (60, False, True), (999, False, False)],
)
def test_a_view_is_never_longer_than_what_servers_take(n_params: int, *, has_charts: bool, has_columns: bool) -> None:
    names = tuple(f"hyperparameter_{number}" for number in range(n_params))
    [text] = [
        value
        for name, value in experiment_tags(ExperimentView(params=names, metrics=("val_loss", "loss"))).items()
        if name.startswith(VIEW_TAG)
    ]

    view = json.loads(text)
    assert len(text) <= MAX_VIEW_LENGTH
    assert ("compareRunCharts" in view) is has_charts
    assert any(column.startswith("params.") for column in view["selectedColumns"]) is has_columns


@pytest.mark.parametrize("is_known", [True, False])
def test_data_are_named_once_and_found_in_the_run(tracker: Tracker, client: Any, *, is_known: bool) -> None:
    data = DatasetInput("sklearn:digits", "0123abcd", "code", '{"tags": {}}', '{"num_rows": 1797}')
    run_id = tracker.put(replace(PAGE, dataset=data))
    tracker.put(replace(PAGE, dataset=data, run_id=run_id if is_known else None))

    [named] = client.get_run(run_id).inputs.dataset_inputs
    stored = tracker.run(run_id)
    assert (named.dataset.name, named.dataset.digest, named.dataset.profile) == (data.name, data.digest, data.profile)
    assert stored is not None
    assert stored.datasets == {("sklearn:digits", "0123abcd")}


@pytest.mark.parametrize("is_restarted", [True, False])
@pytest.mark.parametrize("is_known", [True, False])
def test_deleted_experiment_is_restored_with_its_runs(
    tracker: Tracker, settings: Settings, client: Any, *, is_restarted: bool, is_known: bool
) -> None:
    run_id = tracker.put(RUNNING)
    experiment = tracker.experiment_id("digits")
    client.delete_experiment(experiment)
    assert tracker.experiment_id("digits") is None

    later = Tracker(settings) if is_restarted else tracker
    assert later.put(replace(PAGE, run_id=run_id if is_known else None)) == run_id

    assert client.get_experiment(experiment).lifecycle_stage == "active"
    assert client.get_run(run_id).info.lifecycle_stage == "active"
    assert len(runs_of(client)) == 1


def test_known_run_that_somebody_deleted_is_restored(tracker: Tracker, client: Any) -> None:
    run_id = tracker.put(RUNNING)
    client.delete_run(run_id)

    assert tracker.put(replace(PAGE, run_id=run_id)) == run_id

    info = client.get_run(run_id).info
    assert (info.lifecycle_stage, info.status) == ("active", "FINISHED")


def test_run_that_was_purged_is_created_again(tracker: Tracker, settings: Settings, client: Any) -> None:
    run_id = tracker.put(PAGE)
    with closing(sqlite3.connect(settings.home / "mlflow.db")) as connection:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            connection.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (run_id,))  # noqa: S608
        connection.commit()

    again = tracker.put(replace(PAGE, run_id=run_id))

    assert again != run_id
    assert [run.info.run_id for run in runs_of(client)] == [again]
    assert len(history(client, again, "loss")) == 2


def test_deleted_run_is_gone_and_deleting_again_is_fine(tracker: Tracker, client: Any) -> None:
    run_id = tracker.put(PAGE)

    tracker.delete(run_id)
    tracker.delete(run_id)
    tracker.delete("0" * 32)

    assert client.get_run(run_id).info.lifecycle_stage == "deleted"


def test_page_of_a_deleted_key_without_its_id_starts_a_new_run(tracker: Tracker, client: Any) -> None:
    run_id = tracker.put(PAGE)
    tracker.delete(run_id)

    assert tracker.put(PAGE) != run_id

    assert len(runs_of(client)) == 2


def test_analyze_counts_the_tables(tracker: Tracker, settings: Settings) -> None:
    tracker.put(PAGE)

    tracker.optimise()

    with closing(sqlite3.connect(settings.home / "mlflow.db")) as connection:
        assert {"runs", "metrics", "latest_metrics"} <= {
            row[0] for row in connection.execute("SELECT tbl FROM sqlite_stat1")
        }


def test_analyze_leaves_a_store_that_is_not_there_alone(tmp_path: Path) -> None:
    Tracker(find_settings(tmp_path, {})).optimise()

    assert list(tmp_path.iterdir()) == []


def test_refused_connection_is_a_tracking_error_at_once(tmp_path: Path) -> None:
    tracker = Tracker(find_settings(tmp_path, {"MLFLOW_TRACKING_URI": "http://me:secret@127.0.0.1:1"}))
    started = time.monotonic()

    with pytest.raises(TrackingError, match=r"got MlflowException from http://127\.0\.0\.1:1: .*refused") as caught:
        tracker.put(PAGE)

    assert time.monotonic() - started < 10
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["nonsense://somewhere", "file:///nowhere/mlruns"])
def test_store_of_a_kind_that_mlflow_refuses_is_a_tracking_error(tmp_path: Path, uri: str) -> None:
    with pytest.raises(TrackingError, match="MLFLOW_TRACKING_URI"):
        Tracker(find_settings(tmp_path, {"MLFLOW_TRACKING_URI": uri})).prepare()


def test_broken_store_is_a_tracking_error(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database, and long enough to be looked at" * 100)

    with pytest.raises(TrackingError, match="not a database"):
        Tracker(find_settings(tmp_path, {})).put(PAGE)


def remove(database: Path) -> None:
    database.unlink()


def empty(database: Path) -> None:
    os.truncate(database, 0)


def scramble(database: Path) -> None:
    with database.open("r+b") as file:
        file.write(b"garbage!" * (database.stat().st_size // 8))


def exchange(database: Path) -> None:
    other = database.with_name("other.db")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(other)) as target:
        source.backup(target)
        target.execute("DELETE FROM experiment_tags")
        target.execute("DELETE FROM experiments WHERE name = 'digits'")
        target.commit()
    other.replace(database)


@pytest.mark.parametrize(
    ("damage", "said", "is_kept"),
    [
        (remove, "was gone and was made anew", False),
        (empty, "was corrupt (the file is empty), was moved to", True),
        (scramble, "was corrupt (", True),
        (exchange, "was replaced by another one", False),
    ],
)
def test_a_store_that_is_damaged_behind_the_trackers_back_is_noticed_and_made_anew(
    tracker: Tracker,
    settings: Settings,
    template: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    said: str,
    *,
    is_kept: bool,
) -> None:
    from dnnsweep.tracking import store

    monkeypatch.setattr(store, "_run_migrations", lambda made: shutil.copy(template, made))
    assert tracker.prepare() is None
    first = tracker.put(PAGE)
    damage(settings.tracking_file)

    with suppress(TrackingError):  # a corrupt one is moved aside before a new one is made
        tracker.check()
    loss = tracker.prepare()

    assert loss is not None
    assert said in loss
    assert tracker.prepare() is None  # it is said once
    again = tracker.put(replace(PAGE, run_id=first))
    with closing(sqlite3.connect(settings.tracking_file)) as connection:
        assert (again,) in connection.execute("SELECT run_uuid FROM runs").fetchall()
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    asides = [
        path for path in settings.home.iterdir() if ".aside-" in path.name and path.name[-4:] not in ("-wal", "-shm")
    ]
    assert bool(asides) is is_kept


def test_the_log_of_a_store_that_is_gone_is_not_applied_to_the_next_one(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dnnsweep.tracking import store

    monkeypatch.setattr(store, "_run_migrations", lambda made: shutil.copy(template, made))
    (tmp_path / "mlflow.db-wal").write_bytes(b"of another file")

    assert store.create_store(tmp_path / "mlflow.db")

    assert [path.read_bytes() for path in tmp_path.glob("*.aside-*-wal")] == [b"of another file"]
    assert not (tmp_path / "mlflow.db-wal").exists()


def test_what_was_moved_aside_is_never_overwritten(tmp_path: Path) -> None:
    from dnnsweep.tracking import store_file

    kept = []
    for content in (b"first", b"second"):
        (tmp_path / "mlflow.db").write_bytes(content)
        kept.append(store_file.set_aside(tmp_path / "mlflow.db"))

    assert [path.read_bytes() for path in kept] == [b"first", b"second"]


def test_a_store_that_is_locked_is_not_taken_for_a_corrupt_one(settings: Settings) -> None:
    from dnnsweep.tracking import store_file

    with closing(sqlite3.connect(settings.tracking_file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert store_file.describe_flaw(settings.tracking_file, seconds=0) is None
    assert store_file.describe_flaw(settings.tracking_file) is None


def test_a_run_whose_files_have_no_place_is_whole_but_for_them(
    tracker: Tracker, settings: Settings, client: Any
) -> None:
    settings.artifacts.write_text("no folder")

    with pytest.raises(ArtifactError, match="its files did not arrive") as refused:
        tracker.put(PAGE)

    run = client.get_run(refused.value.run_id)
    assert (run.info.status, run.data.params) == ("FINISHED", PAGE.params)
    settings.artifacts.unlink()
    assert tracker.put(replace(PAGE, run_id=run.info.run_id)) == run.info.run_id
    assert artifact(client, run.info.run_id, "notes/sweep.yaml") == b"name: digits\n"


@pytest.mark.parametrize("uri", ["localhost:5000", "mlflow.example.org", "me:secret@mlflow:5000", "./mlruns"])
def test_an_address_without_a_scheme_is_said_to_have_none(tmp_path: Path, uri: str) -> None:
    with pytest.raises(
        TrackingError, match=r"must be an address with a scheme, got .*; write http://HOST:PORT"
    ) as error:
        Tracker(find_settings(tmp_path, {"MLFLOW_TRACKING_URI": uri})).put(PAGE)

    assert "secret" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (403, "give this user the right to write there"),
        (404, "correct MLFLOW_TRACKING_URI"),
        (500, "start the server"),
    ],
)
def test_a_server_that_refuses_is_told_from_one_that_is_away(tmp_path: Path, status: int, remedy: str) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(TrackingError, match=remedy):
            Tracker(find_settings(tmp_path, {"MLFLOW_TRACKING_URI": uri})).put(PAGE)
        server.shutdown()


def test_an_experiment_that_somebody_deleted_comes_back_and_that_is_said(
    tracker: Tracker, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = tracker.put(RUNNING)
    client.delete_experiment(tracker.experiment_id("digits"))

    tracker.put(replace(PAGE, run_id=run_id))

    assert tracker.experiment_id("digits") is not None
    assert ["experiment digits was deleted in MLflow and is restored" in text for text in caplog.messages] == [True]


def test_a_copy_is_read_in_place_of_a_store_and_leaves_it_as_it_is(tracker: Tracker, settings: Settings) -> None:
    run_id = tracker.put(PAGE)
    before = settings.tracking_file.read_bytes()

    with readable_copy(settings) as copied:
        reader = Tracker(copied)
        assert [run.run_id for run in reader.runs("digits", "ledger/")] == [run_id]
        assert reader.artifacts(run_id) == {"notes/sweep.yaml": 13}

    assert settings.tracking_file.read_bytes() == before


FROM_NOTHING = """
import logging, sys, threading
from dnnsweep.tracking.page import DatasetInput, ExperimentView, Point, RunPage
from dnnsweep.tracking.views import MAX_VIEW_LENGTH, VIEW_TAG, experiment_tags
from dnnsweep.settings import find_settings
from dnnsweep.tracking import Tracker

tracker = Tracker(find_settings(sys.argv[1], {}))
assert "mlflow" not in sys.modules
root = logging.getLogger()
before = (root.level, list(root.handlers))

def work():
    for status in ("RUNNING", "KILLED", "RUNNING", "FINISHED"):
        tracker.put(RunPage("k", "digits", "r", status, 1, points=(Point("loss", 0.5, 1, 1),), texts={"a.txt": "a"}))
    tracker.optimise()

thread = threading.Thread(target=work)
thread.start()
thread.join()
assert (root.level, root.handlers) == before
assert logging.getLogger("mlflow").level == logging.INFO
assert not {"tensorflow", "keras"} & set(sys.modules)
import mlflow
assert mlflow.active_run() is None
assert mlflow.MlflowClient(tracking_uri=sys.argv[2]).get_experiment_by_name("digits") is not None
"""


def test_store_is_created_from_nothing_in_silence(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    command = [sys.executable, "-c", FROM_NOTHING, str(home), f"sqlite:///{home / 'mlflow.db'}"]

    # A variable that makes MLflow print a hint when it is imported.
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "GEMINI_CLI": "1"}, capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert sorted(path.name for path in home.iterdir() if not path.name.startswith("mlflow.db")) == ["mlartifacts"]


def test_outage_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tracker = Tracker(find_settings(tmp_path, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}))

    with pytest.raises(TrackingError):
        tracker.put(PAGE)

    assert capfd.readouterr() == ("", "")


def test_log_lines_of_other_threads_are_kept(tracker: Tracker, capfd: pytest.CaptureFixture[str]) -> None:
    import logging

    tracker.put(PAGE)
    logging.getLogger("mlflow.somewhere").warning("still here")

    assert "still here" in capfd.readouterr().err


def test_store_of_a_faster_process_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dnnsweep.tracking import store

    def finish_second(made: Path) -> None:
        sqlite3.connect(made).close()
        (tmp_path / "mlflow.db").write_bytes(b"of the other process")

    monkeypatch.setattr(store, "_run_migrations", finish_second)
    store.create_store(tmp_path / "mlflow.db")

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("mlflow.db", b"of the other process")]


def test_store_is_created_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dnnsweep.tracking import store

    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(store, "_run_migrations", lambda made: sqlite3.connect(made).close())
    store.create_store(tmp_path / "mlflow.db")

    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def opened(home: Path, cache: Path) -> tuple[list[Any], dict[str, list[Any]]]:
    """Return all that is in a store which was made and opened: its schema, and its rows but for times and places."""
    from dnnsweep.tracking import store

    store.create_store(home / "mlflow.db", {"DNNSWEEP_CACHE": str(cache)})
    Tracker(find_settings(home, {})).prepare()
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
        tables = [name for kind, name, *_ in schema if kind == "table"]
        rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}  # noqa: S608
    rows["experiments"] = [
        tuple(value for value in row if not isinstance(value, int) or value < 10**12) for row in rows["experiments"]
    ]
    return schema, rows


def test_a_copied_store_equals_a_migrated_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dnnsweep.tracking import store

    migrated = opened(tmp_path / ODD_NAME, tmp_path / "cache")
    monkeypatch.setattr(store, "_run_migrations", lambda _: pytest.fail("the migrations ran again"))

    copied = opened(tmp_path / "second", tmp_path / "cache")

    assert copied == migrated
    assert len(migrated[0]) > 100
    assert [row[1] for row in migrated[1]["experiments"]] == ["Default"]
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"not a database " * 1000, None])
def test_a_doubtful_template_is_made_anew(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    from dnnsweep.tracking import store

    kept = store.template_path({"DNNSWEEP_CACHE": str(tmp_path)})
    assert kept is not None
    kept.write_bytes(template.read_bytes() if content is None else content)
    if content is None:
        with closing(sqlite3.connect(kept)) as connection:
            connection.execute("DELETE FROM alembic_version")
            connection.commit()
    monkeypatch.setattr(store, "_run_migrations", lambda made: shutil.copy(template, made))

    store.create_store(tmp_path / "home" / "mlflow.db", {"DNNSWEEP_CACHE": str(tmp_path)})

    for database in (tmp_path / "home" / "mlflow.db", kept):
        with closing(sqlite3.connect(database)) as connection:
            assert len(connection.execute("SELECT version_num FROM alembic_version").fetchall()) == 1


def test_a_template_of_other_migrations_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dnnsweep.tracking import store

    environ = {"DNNSWEEP_CACHE": str(tmp_path)}
    before = store.template_path(environ)
    monkeypatch.setattr(store, "_migrations", lambda: 7)

    assert store.template_path(environ) not in (None, before)
    assert store.template_path({"DNNSWEEP_CACHE": ""}) is None


def test_a_store_is_made_where_no_template_can_be_kept(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dnnsweep.tracking import store

    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setattr(store, "_run_migrations", lambda made: shutil.copy(template, made))

    store.create_store(tmp_path / "home" / "mlflow.db", {"DNNSWEEP_CACHE": str(tmp_path / "cache")})

    assert [path.name for path in (tmp_path / "home").iterdir()] == ["mlflow.db"]


@pytest.fixture(scope="module")
def served(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of the server."""
    home = tmp_path_factory.mktemp("served")
    shutil.copy(template, home / "mlflow.db")
    return find_settings(home, {})


@pytest.fixture(scope="module")
def server(served: Settings) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        ui_command(served, port=port), env=ui_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 120
        while get(port, "/health") != b"OK":
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> bytes:
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection, suppress(ConnectionRefusedError):
        connection.request("GET", path)
        return connection.getresponse().read()
    return b""


def test_server_takes_pages_in_silence_and_serves_their_artifacts(
    server: int, served: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"http://127.0.0.1:{server}")
    embedded = Tracker(served).put(replace(PAGE, experiment="embedded", points=()))
    remote = Tracker(find_settings(tmp_path / "elsewhere", {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server}"}))
    run_id = remote.put(RUNNING)
    remote.put(replace(PAGE, run_id=run_id))
    before = contents(client, run_id)

    remote.put(PAGE)
    printed = capfd.readouterr()

    assert printed == ("", "")
    assert contents(client, run_id) == before
    assert client.get_run(run_id).info.status == "FINISHED"
    assert history(client, run_id, "loss") == [(1, 0.5, 1000), (2, 0.25, 2000)]
    for run in (run_id, embedded):
        assert get(server, f"/get-artifact?run_id={run}&path=notes/sweep.yaml") == b"name: digits\n"
    stored = list(served.artifacts.rglob("sweep.yaml"))
    assert len(stored) == 2


class InterruptedByTestError(Exception):
    pass


def test_ui_is_up_when_its_address_is_told_and_down_afterwards(settings: Settings, tracker: Tracker) -> None:
    tracker.put(PAGE)
    port, told = free_port(), []

    def look(address: str) -> None:
        told.append((address, get(port, "/health")))
        raise InterruptedByTestError

    with pytest.raises(InterruptedByTestError):
        serve_ui(settings, port, on_ready=look, experiment="digits", direction="maximize")

    assert told == [(ui_url(f"http://127.0.0.1:{port}", tracker.experiment_id("digits"), "maximize"), b"OK")]
    assert get(port, "/health") == b""


def test_ui_on_a_port_in_use_is_refused_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(TrackingError) as refused:
            check_port(port)

    rule = "the UI must be able to listen on its port"
    assert str(refused.value) == f"{rule}, got {port}: Address already in use; choose another one with --port"
    check_port(port)


def test_what_a_ui_that_does_not_come_up_said_last_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "print('first'); print('no such table'); print()"
    monkeypatch.setattr("dnnsweep.tracking.ui.ui_command", lambda *_, **__: [sys.executable, "-c", code])

    with pytest.raises(TrackingError, match=r"but did not: no such table; .*/mlflow-ui\.log says more$"):
        serve_ui(settings, free_port())


def test_ui_of_a_tracking_server_is_its_own(server: int, served: Settings, tmp_path: Path) -> None:
    Tracker(served).put(PAGE)
    told: list[str] = []

    address = f"http://127.0.0.1:{server}"
    serve_ui(
        find_settings(tmp_path / "elsewhere", {"MLFLOW_TRACKING_URI": address}),
        on_ready=told.append,
        experiment="digits",
    )

    assert told == [ui_url(address, Tracker(served).experiment_id("digits"))]


def test_address_leads_to_the_runs_of_a_sweep() -> None:
    runs = "https://h/mlflow/#/experiments/7/runs?workflowType=machine_learning"

    assert ui_url("http://h:5000") == "http://h:5000/#/experiments?workflowType=machine_learning"
    assert ui_url("https://me:pw@h/mlflow/", "7") == runs
    assert ui_url("https://h/mlflow", "7", "maximize") == f"{runs}&viewStateShareKey=dnnsweep-maximize"
    assert ui_url("https://h/mlflow", "7", "minimize") == f"{runs}&viewStateShareKey=dnnsweep-minimize"


def test_a_store_is_used_in_a_home_whatever_it_is_called(tmp_path: Path, template: Path) -> None:
    home = tmp_path / ODD_NAME
    home.mkdir()
    shutil.copy(template, home / "mlflow.db")
    odd = Tracker(find_settings(home, {}))

    odd.put(replace(PAGE, texts={"note.txt": "here"}))

    assert [path.read_text() for path in home.rglob("note.txt")] == ["here"]
    assert (home / "mlflow.db").stat().st_size > 100_000
