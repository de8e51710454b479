"""Models of MLflow's: logged with their files, registered, and given the alias by which programs load them.

A model is found by its key. A crash between two steps leaves a model that the next put completes, and no second one.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from dnnsweep.confined_files import open_below
from dnnsweep.tracking.access import INVALID, MISSING, TAKEN, ignore_errors
from dnnsweep.tracking.model_format import write_mlmodel
from dnnsweep.tracking.page import CHAMPION, KEY_TAG, ModelPage

MLMODEL: Final = "MLmodel"
#: How MLflow says that a registered model has no such alias.
_NO_ALIAS: Final = frozenset({MISSING, INVALID})


def put_model(client: Any, experiment_id: str, page: ModelPage) -> None:
    """Log a model with its files, and register it if the page says so; putting twice changes nothing.

    Args:
        client: MLflow's client.
        experiment_id: Id of the page's experiment.
        page: What MLflow should have.
    """
    model = find_model(client, experiment_id, page.key) or _create_model(client, experiment_id, page)
    if not _is_whole(client, model, page):
        _put_files(client, model, page)
        client.finalize_logged_model(model.model_id, importlib.import_module("mlflow.entities").LoggedModelStatus.READY)
    _name_in_run(client, model, page.run_id)
    if page.registered_name is not None:
        version = _find_version(client, page.registered_name, model) or _create_version(client, model, page)
        if _champion(client, page.registered_name) != version:
            client.set_registered_model_alias(page.registered_name, CHAMPION, version)


def find_mistakes(client: Any, experiment_id: str | None, page: ModelPage) -> list[str]:
    """Return what MLflow lacks of a model, in words."""
    model = None if experiment_id is None else find_model(client, experiment_id, page.key)
    if model is None:
        return [f"there is no model {page.name}"]
    if not _is_whole(client, model, page):
        return [f"the model {page.name} is not whole"]
    if page.registered_name is None:
        return []
    version = _find_version(client, page.registered_name, model)
    if version is None:
        return [f"the model {page.name} is not registered as {page.registered_name}"]
    is_champion = _champion(client, page.registered_name) == version
    return [] if is_champion else [f"{page.registered_name}@{CHAMPION} is not the model {page.name}"]


def delete_models(client: Any, run_id: str) -> None:
    """Delete all models of a run, and what the registry has of them."""
    run = ignore_errors({MISSING}, client.get_run, run_id)
    if run is None:
        return
    for model in _search_models(client, run.info.experiment_id, f"source_run_id = '{run_id}'"):
        ignore_errors({MISSING}, client.delete_logged_model, model.model_id)
    for version in list(client.search_model_versions(f"run_id = '{run_id}'")):
        ignore_errors({MISSING}, client.delete_model_version, version.name, version.version)
        if not client.search_model_versions(f"name = '{version.name}'"):
            ignore_errors({MISSING}, client.delete_registered_model, version.name)


def find_model(client: Any, experiment_id: str, key: str) -> Any:
    """Return the model with a key; one that is whole, if there is one."""
    models = list(_search_models(client, experiment_id, f"tags.`{KEY_TAG}` = '{key}'"))
    return next(iter(sorted(models, key=lambda model: (not _is_ready(model), model.creation_timestamp))), None)


def _search_models(client: Any, experiment_id: str, condition: str) -> Iterator[Any]:
    token = None
    while True:
        models = client.search_logged_models([experiment_id], condition, page_token=token)
        yield from models
        token = models.token
        if not token:
            return


def _create_model(client: Any, experiment_id: str, page: ModelPage) -> Any:
    return client.create_logged_model(
        experiment_id,
        name=page.name,
        source_run_id=page.run_id,
        tags={**page.tags, KEY_TAG: page.key},
        params=dict(page.params),
        model_type="keras",
    )


def _is_ready(model: Any) -> bool:
    return str(getattr(model.status, "value", model.status)) == "READY"


def _put_files(client: Any, model: Any, page: ModelPage) -> None:
    created_at = datetime.fromtimestamp(page.created_at / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    identity = {
        "artifact_path": model.artifact_location,
        "model_id": model.model_id,
        "model_uuid": model.model_id,
        "run_id": page.run_id,
    }
    mlmodel = write_mlmodel(page.signature, page.code, page.artifacts, created_at, **identity)
    with tempfile.TemporaryDirectory() as scratch:
        for path, content in {**page.contents, MLMODEL: mlmodel}.items():
            file = Path(scratch) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        for path, source in page.files.items():
            file = Path(scratch) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with open_below(Path(source).parent, Path(source).name) as opened, file.open("wb") as copy:
                shutil.copyfileobj(opened, copy)
        client.log_model_artifacts(model.model_id, scratch)


def _is_whole(client: Any, model: Any, page: ModelPage) -> bool:
    """Return whether a model is ready and has all of its files; what is in them never changes."""
    if not _is_ready(model):
        return False
    folders = {path.rpartition("/")[0] for path in (MLMODEL, *page.contents, *page.files)}
    found = {
        entry.path
        for folder in folders
        for entry in client.list_logged_model_artifacts(model.model_id, folder or None)
        if not entry.is_dir and entry.file_size != 0
    }
    return found >= {MLMODEL, *page.contents, *page.files}


def _name_in_run(client: Any, model: Any, run_id: str) -> None:
    """Name the model among the outputs of its run; MLflow would take the same name twice."""
    outputs = client.get_run(run_id).outputs
    named = [] if outputs is None else [output.model_id for output in outputs.model_outputs]
    if model.model_id not in named:
        output = importlib.import_module("mlflow.entities").LoggedModelOutput(model.model_id, step=0)
        client.log_outputs(run_id, [output])


def _find_version(client: Any, name: str, model: Any) -> str | None:
    versions = client.search_model_versions(f"name = '{name}'")
    return next((str(each.version) for each in versions if each.source == model.artifact_location), None)


def _create_version(client: Any, model: Any, page: ModelPage) -> str:
    name = str(page.registered_name)
    ignore_errors({TAKEN}, client.create_registered_model, name)
    # By its place: by its id, MLflow's client would look for the model in the store of the process, not in this one.
    version = client.create_model_version(
        name, model.artifact_location, page.run_id, dict(page.tags), model_id=model.model_id, await_creation_for=0
    )
    return str(version.version)


def _champion(client: Any, name: str) -> str | None:
    """Return the version that has the alias; None if none has it."""
    version = ignore_errors(_NO_ALIAS, client.get_model_version_by_alias, name, CHAMPION)
    return None if version is None else str(version.version)
