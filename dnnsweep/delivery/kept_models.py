"""The models that a sweep keeps: whether they are there and whole, and fetched back from MLflow where they are not."""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from dnnsweep.delivery.pages import MODEL_ARTIFACT, RETRAINED_ARTIFACT
from dnnsweep.ledger import Ledger
from dnnsweep.records import Sweep
from dnnsweep.settings import Settings, sqlite_url
from dnnsweep.tracking.page import RunState

#: What reading a file that is no whole archive may raise.
_UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)


class ArtifactSource(Protocol):
    """What has copies of models."""

    def run(self, run_id: str) -> RunState | None:
        """Return a run; None if there is none."""

    def artifacts(self, run_id: str) -> dict[str, int | None]:
        """Return the paths of a run's artifacts, and their sizes."""

    def download(self, run_id: str, path: str, folder: Path) -> Path:
        """Copy an artifact into a folder and return the copy."""


@dataclass(frozen=True, slots=True)
class KeptModel:
    """A model that a home should keep.

    Args:
        number: Number of its trial; None for the retrained winner's.
        file: Where it is kept.
        artifact: Where the run of its sweep has a copy; None if it has none.
    """

    number: int | None
    file: Path
    artifact: str | None


def kept_models(ledger: Ledger, settings: Settings, sweep: Sweep) -> Iterator[KeptModel]:
    """Yield the models that this home should keep: of the trials that no other beats, and of the retrained winner.

    Workers that share a database server keep models in homes of their own, so a home without any of this sweep's may
    be another one's.
    """
    is_ledger_here = settings.database_url == sqlite_url(settings.home / "dnnsweep.db")
    if not is_ledger_here and not settings.models(sweep.name).exists():
        return
    for number in sweep.front:
        name = ledger.model_name(sweep.id, number)
        if name is not None:
            artifact = MODEL_ARTIFACT if number == sweep.best_number else None
            yield KeptModel(number, settings.best_model(sweep.name, name), artifact)
    file = retrained_file(settings, sweep, ledger.answer(sweep))
    if file is not None:
        yield KeptModel(None, file, RETRAINED_ARTIFACT)


def retrained_file(settings: Settings, sweep: Sweep, answer: Mapping[str, Any]) -> Path | None:
    """Return where the retrained winner's model is kept, given the stored answer; None if there is none."""
    name = (answer.get("retrained") or {}).get("model")
    return None if name is None else settings.retrained_model(sweep.name, name)


def describe_damage(model: Path) -> str | None:
    """Return what is wrong with the file of a model, which is a zip archive; None if it is whole."""
    if not model.is_file():
        return "is missing"
    try:
        with zipfile.ZipFile(model) as archive:
            return None if archive.testzip() is None else "is damaged"
    except _UNREADABLE:
        return "is damaged"


def fetch_model(store: ArtifactSource, run_id: str | None, model: KeptModel) -> bool:
    """Put MLflow's copy of a model in the place of the file; return whether it has a whole one."""
    if run_id is None or model.artifact is None or store.run(run_id) is None:
        return False
    if model.artifact not in store.artifacts(run_id):
        return False
    folder = model.file.parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".model-", dir=folder) as scratch:
        copy = store.download(run_id, model.artifact, Path(scratch))
        if describe_damage(copy) is not None:
            return False
        copy.replace(model.file)
    return True
