"""Puts pages of runs into MLflow; putting a page twice changes nothing."""

from __future__ import annotations

import importlib
import logging
import math
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from dnnsweep.confined_files import open_below
from dnnsweep.settings import Settings
from dnnsweep.tracking import access, store
from dnnsweep.tracking.access import explain_errors, ignore_errors, silence_logs
from dnnsweep.tracking.page import KEY_TAG, Point, RunPage, RunState
from dnnsweep.tracking.views import experiment_tags

OWN_TAG_PREFIX: Final = "dnnsweep."
ENDED: Final = frozenset({"FINISHED", "FAILED", "KILLED"})
MAX_PARAM_LENGTH: Final = 6000
MAX_TAG_LENGTH: Final = 8000

MISSING: Final = "RESOURCE_DOES_NOT_EXIST"
TAKEN: Final = "RESOURCE_ALREADY_EXISTS"
INVALID: Final = "INVALID_PARAMETER_VALUE"

log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class _Delivered:
    """What this process has put into a run that is still open; it saves work, and nothing depends on it.

    Args:
        points: Points that were put.
        artifacts: Artifact path -> what its content was, in short.
    """

    points: set[Point] = field(default_factory=set)
    artifacts: dict[str, object] = field(default_factory=dict)


class Tracker:
    """Puts pages into MLflow so that putting a page twice changes nothing.

    A run is found by its id or by its key, so a crash between creating it and filling it leaves no second one. A run
    that somebody deleted is restored by the next page that knows its id, because the ledger keeps that id; one that was
    purged is created again.

    Args:
        settings: Where the tracking store and its artifacts are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None
        self._experiments: dict[str, str] = {}
        self._delivered: dict[str, _Delivered] = {}

    def prepare(self) -> None:
        """Create the embedded store if it is missing, which takes seconds, and import MLflow; `put` does so if need be.

        Raises:
            TrackingError: The store cannot be created or opened, or MLflow does not know its kind of address.
        """
        if self._client is not None:
            return
        with explain_errors(self._settings.tracking_uri):
            if self._settings.is_tracking_embedded:
                store.create_store(self._database)
            mlflow = access.load()
            with silence_logs():
                self._client = mlflow.MlflowClient(tracking_uri=self._settings.tracking_uri)

    def put(self, page: RunPage) -> str:
        """Bring a run up to a page, creating it first if need be, and return its id.

        Parameters that the run has already stay as they are; longer values than MLflow takes end in an ellipsis; a file
        that is gone is left out. The end time stays when an ended run goes on, as MLflow cannot clear it.

        Raises:
            ValueError: A point is not finite; MLflow would show NaN as 0.
            TrackingError: The server cannot be reached or refuses; nothing is lost, put the page again.
        """
        _check_finite(page)
        with self._open() as client:
            run = self._find_or_create(client, page)
            run_id = str(run.info.run_id)
            delivered = self._delivered.setdefault(run_id, _Delivered())
            _put_values(client, run, page, delivered)
            _put_artifacts(client, run_id, page, delivered)
            _put_status(client, run, page)
        if page.status in ENDED:
            self._delivered.pop(run_id, None)
        return run_id

    def delete(self, run_id: str) -> None:
        """Delete a run so that it can be restored; one that is gone already is fine.

        Raises:
            TrackingError: The server cannot be reached or refuses.
        """
        with self._open() as client:
            ignore_errors({MISSING}, client.delete_run, run_id)
        self._delivered.pop(run_id, None)

    def runs(self, experiment: str, prefix: str) -> list[RunState]:
        """Return the runs of an experiment whose key begins with a text, deleted ones too.

        Raises:
            TrackingError: The server cannot be reached or refuses.
        """
        with self._open() as client:
            stored = client.get_experiment_by_name(experiment)
            if stored is None:
                return []
            condition = f"tags.`{KEY_TAG}` LIKE '{prefix}%'"
            return [_state(run) for run in _search(client, stored.experiment_id, condition, is_all=True)]

    def points(self, run_id: str, metrics: Sequence[str]) -> set[Point]:
        """Return all points of some metrics of a run.

        Raises:
            TrackingError: The server cannot be reached or refuses.
        """
        with self._open() as client:
            return {
                Point(metric, point.value, point.step, point.timestamp)
                for metric in metrics
                for point in client.get_metric_history(run_id, metric)
            }

    def artifacts(self, run_id: str) -> set[str]:
        """Return the paths of a run's artifacts.

        Raises:
            TrackingError: The server cannot be reached or refuses.
        """
        with self._open() as client:
            folders, files = [""], set[str]()
            while folders:
                entries = client.list_artifacts(run_id, folders.pop() or None)
                folders += [entry.path for entry in entries if entry.is_dir]
                files |= {entry.path for entry in entries if not entry.is_dir}
            return files

    def experiment_id(self, name: str) -> str | None:
        """Return the id of an experiment; None if there is none or it was deleted.

        Raises:
            TrackingError: The server cannot be reached or refuses.
        """
        with self._open() as client:
            experiment = client.get_experiment_by_name(name)
        is_gone = experiment is None or experiment.lifecycle_stage == "deleted"
        return None if is_gone else str(experiment.experiment_id)

    def optimise(self) -> None:
        """Speed up the embedded store: it counts its tables, without which sorting many runs takes seconds."""
        if self._settings.is_tracking_embedded:
            store.analyse_store(self._database)

    @property
    def _database(self) -> Path:
        return self._settings.home / "mlflow.db"

    @contextmanager
    def _open(self) -> Iterator[Any]:
        self.prepare()
        with explain_errors(self._settings.tracking_uri), silence_logs():
            yield self._client

    def _find_or_create(self, client: Any, page: RunPage) -> Any:
        run = ignore_errors({MISSING}, client.get_run, page.run_id) if page.run_id else None
        if run is None:
            return self._find_or_create_by_key(client, page)
        if run.info.lifecycle_stage == "deleted":
            self._experiments.pop(page.experiment, None)
            self._experiment(client, page)
            client.restore_run(page.run_id)
        return run

    def _find_or_create_by_key(self, client: Any, page: RunPage) -> Any:
        experiment_id = self._experiments.pop(page.experiment, None)
        if experiment_id is not None:
            # Refused if the experiment was deleted meanwhile.
            run = ignore_errors({MISSING, INVALID}, _find_or_create_in, client, experiment_id, page)
            if run is not None:
                self._experiments[page.experiment] = experiment_id
                return run
        return _find_or_create_in(client, self._experiment(client, page), page)

    def _experiment(self, client: Any, page: RunPage) -> str:
        name = page.experiment
        if name not in self._experiments:
            self._experiments[name] = self._resolve_experiment(client, name, experiment_tags(page.columns))
        return self._experiments[name]

    def _resolve_experiment(self, client: Any, name: str, tags: Mapping[str, str]) -> str:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            # Refused if another process has created it meanwhile.
            ignore_errors({TAKEN}, client.create_experiment, name, self._artifact_location(name), tags)
            experiment = client.get_experiment_by_name(name)
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        for tag, value in tags.items():
            if tag not in experiment.tags:
                client.set_experiment_tag(experiment.experiment_id, tag, value)
        return str(experiment.experiment_id)

    def _artifact_location(self, experiment: str) -> str | None:
        if not self._settings.is_tracking_embedded:
            return None
        return (self._settings.artifacts / experiment).as_uri()


def _find_or_create_in(client: Any, experiment_id: str, page: RunPage) -> Any:
    if not page.is_new:
        for run in _search(client, experiment_id, f"tags.`{KEY_TAG}` = '{page.key}'", limit=1):
            return run
    return client.create_run(experiment_id, start_time=page.started_at, tags=_tags(page), run_name=page.name)


def _state(run: Any) -> RunState:
    return RunState(
        run_id=str(run.info.run_id),
        key=run.data.tags[KEY_TAG],
        status=run.info.status,
        started_at=run.info.start_time or 0,
        is_deleted=run.info.lifecycle_stage == "deleted",
        params=run.data.params,
        tags=run.data.tags,
        n_metrics=len(run.data.metrics),
    )


def _search(
    client: Any, experiment_id: str, condition: str, limit: int = 1000, *, is_all: bool = False
) -> Iterator[Any]:
    token, kind = None, importlib.import_module("mlflow.entities").ViewType
    view = kind.ALL if is_all else kind.ACTIVE_ONLY
    while True:
        runs = client.search_runs([experiment_id], condition, view, max_results=limit, page_token=token)
        yield from runs
        token = runs.token
        if not token:
            return


def _tags(page: RunPage) -> dict[str, str]:
    return {name: _fit(value, MAX_TAG_LENGTH) for name, value in page.all_tags.items()}


def _put_values(client: Any, run: Any, page: RunPage, delivered: _Delivered) -> None:
    entities = importlib.import_module("mlflow.entities")
    tags = {name: value for name, value in _tags(page).items() if run.data.tags.get(name) != value}
    stale = [name for name in run.data.tags if name.startswith(OWN_TAG_PREFIX) and name not in page.all_tags]
    params = {name: value for name, value in page.params.items() if name not in run.data.params}
    points = [point for point in page.points if point not in delivered.points]
    client.log_batch(  # cut by the client into requests of at most 1000 values
        run.info.run_id,
        metrics=[entities.Metric(point.metric, point.value, point.time, point.step) for point in points],
        params=[entities.Param(name, _fit(value, MAX_PARAM_LENGTH)) for name, value in params.items()],
        tags=[entities.RunTag(name, value) for name, value in tags.items()],
        synchronous=True,
    )
    delivered.points.update(points)
    for name in stale:
        ignore_errors({MISSING}, client.delete_tag, run.info.run_id, name)


def _put_artifacts(client: Any, run_id: str, page: RunPage, delivered: _Delivered) -> None:
    for path, text in page.texts.items():
        if delivered.artifacts.get(path) != hash(text):
            client.log_text(run_id, text, path)
            delivered.artifacts[path] = hash(text)
    for path, source in page.files.items():
        try:
            file = open_below(Path(source).parent, Path(source).name)
        except FileNotFoundError:
            log.debug("%s of run %s was left out: %s is gone", path, run_id, source)  # a better one has replaced it
            continue
        with file:
            status = os.fstat(file.fileno())
            signature = status.st_mtime_ns, status.st_size
            if delivered.artifacts.get(path) != signature:
                _log_file(client, run_id, path, file)
                delivered.artifacts[path] = signature


def _log_file(client: Any, run_id: str, path: str, source: BinaryIO) -> None:
    folder, name = posixpath.split(path)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / name  # MLflow names an artifact after its file, and opens it by its name
        with file.open("wb") as copy:
            shutil.copyfileobj(source, copy)
        client.log_artifact(run_id, str(file), folder or None)


def _put_status(client: Any, run: Any, page: RunPage) -> None:
    if page.status not in ENDED:
        if run.info.status != page.status:
            client.update_run(run.info.run_id, status=page.status)
        return
    ended_at = page.ended_at or max((point.time for point in page.points), default=page.started_at)
    if (run.info.status, run.info.end_time) != (page.status, ended_at):
        client.set_terminated(run.info.run_id, status=page.status, end_time=ended_at)


def _check_finite(page: RunPage) -> None:
    for point in page.points:
        if not math.isfinite(point.value):
            got = f"{point.metric}={point.value} at step {point.step}"
            raise ValueError(f"{page.name}: points must be finite, got {got}; leave it out")


def _fit(value: str, length: int) -> str:
    return value if len(value) <= length else value[: length - 1] + "…"
