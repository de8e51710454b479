"""Puts pages of runs into MLflow; putting a page twice changes nothing."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from dnnsweep.errors import ArtifactError, TrackingError
from dnnsweep.settings import Settings
from dnnsweep.tracking import access, model_registry, store, store_file
from dnnsweep.tracking.access import INVALID, MISSING, TAKEN, explain_errors, ignore_errors, silence_logs
from dnnsweep.tracking.page import ENDED, KEY_TAG, ExperimentView, ModelPage, Point, RunPage, RunState
from dnnsweep.tracking.run_contents import (
    Delivered,
    check_finite,
    datasets_of,
    put_artifacts,
    put_status,
    put_values,
)
from dnnsweep.tracking.views import VIEW_TAG, experiment_tags

log: Final = logging.getLogger(__name__)
_REMOVAL: Final = ": MLflow shows every sweep of the ledger; `dnnsweep delete` removes one from both"


class Tracker:
    """Puts pages into MLflow so that putting a page twice changes nothing.

    A run is found by its id or by its key, so a crash between creating it and filling it leaves no second one. A run
    that somebody deleted is restored by the next page that knows its id, because the ledger keeps that id; one that was
    purged is created again. An embedded store that is gone or corrupt is made anew: what was corrupt is moved aside.

    Args:
        settings: Where the tracking store and its artifacts are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None
        self._identity: store_file.Identity | None = None
        self._loss: str | None = None
        self._experiments: dict[str, str] = {}
        self._views: dict[str, ExperimentView] = {}
        self._delivered: dict[str, Delivered] = {}

    def prepare(self) -> str | None:
        """Create the embedded store if it is missing, which takes seconds, and import MLflow; `put` does so if need be.

        Returns:
            Why the embedded store is another one than before, so that it lacks what was put; None if it is the same, or
            if that was told before.

        Raises:
            TrackingError: The store cannot be created or opened, or MLflow does not know its kind of address.
        """
        self._prepare()
        loss, self._loss = self._loss, None
        return loss

    def _prepare(self) -> None:
        if self._client is not None and self._is_same_file():
            return
        with self._explained():
            access.check_address(self._settings)
            access.bypass_proxy(self._settings)
            uri = self._open_file() if self._settings.is_tracking_embedded else self._settings.tracking_uri
            mlflow = access.load()
            with silence_logs():
                self._client = mlflow.MlflowClient(tracking_uri=uri)

    def _is_same_file(self) -> bool:
        return not self._settings.is_tracking_embedded or store_file.identify(self._database) == self._identity

    def _open_file(self) -> str:
        """Note which file the embedded store is, after it was created if need be; return its address for MLflow."""
        if self._database.exists() and self._database.stat().st_size == 0:
            self._set_aside(store_file.EMPTY)  # MLflow would fill it with tables, and nobody would miss the runs
        if store.create_store(self._database):
            self._loss = self._loss or f"MLflow's store {self._database} was gone and was made anew"
        elif self._identity is not None and not self._is_same_file():
            self._loss = self._loss or f"MLflow's store {self._database} was replaced by another one"
        self._forget()
        self._identity = store_file.identify(self._database)
        return store_file.fresh_url(self._database, self._identity)

    def _forget(self) -> None:
        """Forget what was put into a store that is gone."""
        self._client = self._identity = None
        self._experiments.clear()
        self._delivered.clear()

    def check(self) -> None:
        """Read all of the embedded store's file, and move it aside if it is corrupt: SQLite may answer from memory.

        Raises:
            TrackingError: It was corrupt.
        """
        self._prepare()
        self._set_aside_corrupt()

    def put(self, page: RunPage) -> str:
        """Bring a run up to a page, creating it first if need be, and return its id.

        Parameters that the run has already stay as they are; longer values than MLflow takes end in an ellipsis; a file
        that is gone is left out. The end time stays when an ended run goes on, as MLflow cannot clear it.

        Raises:
            ValueError: A point is not finite; MLflow would show NaN as 0.
            ArtifactError: The run is there but for its files, which have no place, or one that cannot be written.
            TrackingError: The server cannot be reached or refuses; nothing is lost, put the page again.
        """
        check_finite(page)
        with self._open() as client:
            run = self._find_or_create(client, page)
            run_id = str(run.info.run_id)
            delivered = self._delivered.setdefault(run_id, Delivered())
            if page.parent_run_id is None:
                self._experiment(client, page)  # so that it is shown as this version shows it
            put_values(client, run, page, delivered)
            refusal = self._put_artifacts(client, run_id, page, delivered)
            put_status(client, run, page)
        if refusal is not None:
            raise refusal
        if page.status in ENDED:
            self._delivered.pop(run_id, None)
        return run_id

    def _put_artifacts(self, client: Any, run_id: str, page: RunPage, delivered: Delivered) -> ArtifactError | None:
        """Put the files of a run; return why that was refused. The run ends without them if need be."""
        try:
            put_artifacts(client, run_id, page, delivered)
        except Exception as error:  # noqa: BLE001  each kind of place for artifacts raises errors of its own
            refusal = ArtifactError(f"of a run, its files did not arrive: {access.explain(self._settings, error)}")
            refusal.run_id = run_id
            return refusal
        return None

    def delete(self, run_id: str) -> None:
        """Delete a run so that it can be restored; one that is gone already is fine.

        Raises:
            TrackingError: The server cannot be reached or refuses.
        """
        with self._open() as client:
            ignore_errors({MISSING}, client.delete_run, run_id)
        self._delivered.pop(run_id, None)

    def put_model(self, page: ModelPage) -> None:
        """Log a model and register it as its page says; putting twice changes nothing.

        Raises:
            ArtifactError: The server cannot be reached or refuses; the run is there, and the page can be put again.
        """
        try:
            with self._open() as client:
                model_registry.put_model(client, client.get_run(page.run_id).info.experiment_id, page)
        except TrackingError as error:
            refusal = ArtifactError(f"of a run, its model did not arrive: {error}")
            refusal.run_id = page.run_id
            raise refusal from error

    def model_mistakes(self, page: ModelPage) -> list[str]:
        """Return what MLflow lacks of a model, in words.

        Raises:
            TrackingError: The server cannot be reached or refuses.
        """
        experiment_id = self.experiment_id(page.experiment)
        with self._open() as client:
            return model_registry.find_mistakes(client, experiment_id, page)

    def delete_models(self, run_id: str) -> None:
        """Delete the models of a run, and what the registry has of them.

        Raises:
            TrackingError: The server cannot be reached or refuses.
        """
        with self._open() as client:
            model_registry.delete_models(client, run_id)

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

    def run(self, run_id: str) -> RunState | None:
        """Return a run, even if it was deleted; None if there is none.

        Raises:
            TrackingError: The server cannot be reached or refuses.
        """
        with self._open() as client:
            run = ignore_errors({MISSING}, client.get_run, run_id)
            return None if run is None else _state(run)

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

    def artifacts(self, run_id: str) -> dict[str, int | None]:
        """Return the paths of a run's artifacts, and how many bytes each has, where MLflow knows.

        Raises:
            TrackingError: The server cannot be reached or refuses.
        """
        with self._open() as client:
            folders, files = [""], dict[str, int | None]()
            while folders:
                entries = client.list_artifacts(run_id, folders.pop() or None)
                folders += [entry.path for entry in entries if entry.is_dir]
                files |= {entry.path: entry.file_size for entry in entries if not entry.is_dir}
            return files

    def download(self, run_id: str, path: str, folder: Path) -> Path:
        """Copy an artifact into a folder and return the copy.

        Raises:
            TrackingError: The server cannot be reached or refuses.
        """
        with self._open() as client:
            return Path(client.download_artifacts(run_id, path, str(folder)))

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
        return self._settings.tracking_file

    @contextmanager
    def _open(self) -> Iterator[Any]:
        self._prepare()
        with self._explained(), silence_logs():
            yield self._client

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Explain whatever MLflow raises; a corrupt embedded store is moved aside, so that a new one can be made."""
        try:
            with explain_errors(self._settings):
                yield
        except TrackingError:
            self._set_aside_corrupt()
            raise

    def _set_aside_corrupt(self) -> None:
        flaw = store_file.describe_flaw(self._database) if self._settings.is_tracking_embedded else None
        if flaw is not None:
            raise TrackingError(self._set_aside(flaw))

    def _set_aside(self, flaw: str) -> str:
        aside = store_file.set_aside(self._database)
        self._forget()
        self._loss = f"MLflow's store {self._database} was corrupt ({flaw}), was moved to {aside} and is made anew"
        return self._loss

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
        if name not in self._experiments or self._views.get(name) != page.view:
            self._experiments[name] = self._resolve_experiment(client, name, experiment_tags(page.view))
            self._views[name] = page.view
        return self._experiments[name]

    def _resolve_experiment(self, client: Any, name: str, tags: Mapping[str, str]) -> str:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            # Refused if another process has created it meanwhile.
            ignore_errors({TAKEN}, client.create_experiment, name, self._artifact_location(name), tags)
            experiment = client.get_experiment_by_name(name)
        if experiment.lifecycle_stage == "deleted":
            log.warning("experiment %s was deleted in MLflow and is restored%s", name, _REMOVAL)
            client.restore_experiment(experiment.experiment_id)
        for tag, value in tags.items():
            # A description is its reader's as soon as there is one; the view is ours, and changes with the sweep.
            if tag not in experiment.tags or (tag.startswith(VIEW_TAG) and experiment.tags[tag] != value):
                client.set_experiment_tag(experiment.experiment_id, tag, value)
        return str(experiment.experiment_id)

    def _artifact_location(self, experiment: str) -> str | None:
        return (self._settings.artifacts / experiment).as_uri() if self._settings.is_tracking_embedded else None


def _find_or_create_in(client: Any, experiment_id: str, page: RunPage) -> Any:
    if not page.is_new:
        for run in _search(client, experiment_id, f"tags.`{KEY_TAG}` = '{page.key}'", limit=1):
            return run
    return client.create_run(experiment_id, start_time=page.started_at, tags=page.all_tags, run_name=page.shown_name)


def _state(run: Any) -> RunState:
    return RunState(
        run_id=str(run.info.run_id),
        key=run.data.tags.get(KEY_TAG, ""),
        status=run.info.status,
        started_at=run.info.start_time or 0,
        is_deleted=run.info.lifecycle_stage == "deleted",
        params=run.data.params,
        tags=run.data.tags,
        n_metrics=len(run.data.metrics),
        datasets=datasets_of(run),
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
