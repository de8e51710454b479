"""Where the services live: read once from arguments and environment, then passed on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

DEFAULT_HOME = "dnnsweep-home"
#: The folder of a sweep's models that holds the best trial's.
BEST = "best"
#: How long a sweep goes on without its ledger's database, in seconds.
DEFAULT_PATIENCE = 120.0
DEFAULT_TRAINER = "dnnsweep.trainers.planned:PlannedTrainer"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a ledger, a tracking store and files are.

    Args:
        home: The folder that holds what is embedded; absolute.
        database_url: The ledger, as SQLAlchemy writes it.
        tracking_uri: Where MLflow keeps runs.
        trainer: What trains, as `module:class`; tests pretend with another one.
        patience: Seconds for which a sweep goes on without its ledger's database.
    """

    home: Path
    database_url: str
    tracking_uri: str
    trainer: str = DEFAULT_TRAINER
    patience: float = DEFAULT_PATIENCE

    @property
    def is_tracking_embedded(self) -> bool:
        """Return whether MLflow's store is the SQLite file in the home."""
        return self.tracking_uri == sqlite_url(self.home / "mlflow.db")

    @property
    def artifacts(self) -> Path:
        """Return the folder of the embedded store's artifacts."""
        return self.home / "mlartifacts"

    def models(self, sweep: str) -> Path:
        """Return the folder of a sweep's models."""
        return self.home / "models" / sweep

    def best_model(self, sweep: str, name: str) -> Path:
        """Return where the model of a sweep's best trial is kept."""
        return self.models(sweep) / BEST / name


def resolve(home: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Find the settings: the argument first, then the environment, then the default.

    Args:
        home: The folder; None reads `DNNSWEEP_HOME`, else `./dnnsweep-home`.
        environ: Read for `DNNSWEEP_HOME`, `DNNSWEEP_DATABASE_URL`, `MLFLOW_TRACKING_URI`, `DNNSWEEP_TRAINER`
            and `DNNSWEEP_DATABASE_PATIENCE` (seconds).

    Example:
        >>> resolve("/data/home", {}).database_url
        'sqlite:////data/home/dnnsweep.db'
    """
    folder = Path(home or environ.get("DNNSWEEP_HOME") or DEFAULT_HOME).expanduser().absolute()
    return Settings(
        home=folder,
        database_url=environ.get("DNNSWEEP_DATABASE_URL") or sqlite_url(folder / "dnnsweep.db"),
        tracking_uri=environ.get("MLFLOW_TRACKING_URI") or sqlite_url(folder / "mlflow.db"),
        trainer=environ.get("DNNSWEEP_TRAINER") or DEFAULT_TRAINER,
        patience=_seconds(environ.get("DNNSWEEP_DATABASE_PATIENCE"), DEFAULT_PATIENCE),
    )


def _seconds(text: str | None, default: float) -> float:
    with suppress(ValueError):
        return max(0.0, float(text or default))
    return default


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder of what is made once and used again by all homes; None if nothing is to be kept.

    Args:
        environ: Read for `DNNSWEEP_CACHE`, else `XDG_CACHE_HOME`, else `HOME`; an empty `DNNSWEEP_CACHE` means none.
    """
    chosen = environ.get("DNNSWEEP_CACHE")
    if chosen == "":
        return None
    with suppress(RuntimeError):  # there is no home
        return (
            Path(chosen) if chosen else Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dnnsweep"
        ).absolute()
    return None


def sqlite_url(file: Path) -> str:
    """Return the URL of a SQLite file; SQLAlchemy ends a path at `?` and decodes `%`."""
    return f"sqlite:///{str(file).replace('%', '%25').replace('?', '%3F')}"
