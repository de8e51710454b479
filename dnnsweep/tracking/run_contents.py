"""What a run in MLflow holds, put from its page: values, artifacts and status; what is there is not put again."""

from __future__ import annotations

import importlib
import logging
import math
import os
import posixpath
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from dnnsweep.confined_files import open_below
from dnnsweep.tracking.access import MISSING, ignore_errors
from dnnsweep.tracking.page import ENDED, Point, RunPage

OWN_TAG_PREFIX: Final = "dnnsweep."


log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Delivered:
    """What this process has put into a run that is still open; it saves work, and nothing depends on it.

    Args:
        points: Points that were put.
        artifacts: Artifact path -> what its content was, in short.
    """

    points: set[Point] = field(default_factory=set)
    artifacts: dict[str, object] = field(default_factory=dict)


def datasets_of(run: Any) -> frozenset[tuple[str, str]]:
    """Return the name and the digest of each data set that is logged with a run."""
    inputs = run.inputs.dataset_inputs if run.inputs else ()
    return frozenset((each.dataset.name, each.dataset.digest) for each in inputs)


def put_values(client: Any, run: Any, page: RunPage, delivered: Delivered) -> None:
    """Put tags, hyperparameters, points and the data set of a page; tags of ours that it lacks are removed."""
    entities = importlib.import_module("mlflow.entities")
    tags = {name: value for name, value in page.all_tags.items() if run.data.tags.get(name) != value}
    stale = [name for name in run.data.tags if name.startswith(OWN_TAG_PREFIX) and name not in page.all_tags]
    params = {name: value for name, value in page.all_params.items() if name not in run.data.params}
    points = [point for point in page.points if point not in delivered.points]
    client.log_batch(  # cut by the client into requests of at most 1000 values
        run.info.run_id,
        metrics=[entities.Metric(point.metric, point.value, point.time, point.step) for point in points],
        params=[entities.Param(name, value) for name, value in params.items()],
        tags=[entities.RunTag(name, value) for name, value in tags.items()],
        synchronous=True,
    )
    delivered.points.update(points)
    for name in stale:
        ignore_errors({MISSING}, client.delete_tag, run.info.run_id, name)
    if page.dataset is not None and (page.dataset.name, page.dataset.digest) not in datasets_of(run):
        dataset = entities.Dataset(**asdict(page.dataset))
        client.log_inputs(run.info.run_id, [entities.DatasetInput(dataset)])


def put_artifacts(client: Any, run_id: str, page: RunPage, delivered: Delivered) -> None:
    """Put the texts and files of a page; a file that is gone is left out."""
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


def put_status(client: Any, run: Any, page: RunPage) -> None:
    """Put the status of a page, and when its run ended."""
    if page.status not in ENDED:
        if run.info.status != page.status:
            client.update_run(run.info.run_id, status=page.status)
        return
    ended_at = page.ended_at or max((point.time for point in page.points), default=page.started_at)
    if (run.info.status, run.info.end_time) != (page.status, ended_at):
        client.set_terminated(run.info.run_id, status=page.status, end_time=ended_at)


def check_finite(page: RunPage) -> None:
    """Refuse points that some databases of MLflow cannot hold.

    Raises:
        ValueError: A point is not finite.
    """
    for point in page.points:
        if not math.isfinite(point.value):
            got = f"{point.metric}={point.value} at step {point.step}"
            raise ValueError(f"{page.name}: points must be finite, got {got}; leave it out")
