"""Settings: read once from arguments and environment variables, then passed on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dnnsweep.errors import SettingsError

DEFAULT_HOME = "dnnsweep-home"
#: Name of the folder, among a sweep's models, that holds those of the best trials.
BEST = "best"
#: Name of the folder beside it with models of configurations that were trained again on all development rows.
RETRAINED = "retrained"
#: Seconds for which a sweep continues without its ledger's database.
DEFAULT_PATIENCE = 120.0
DEFAULT_TRAINER = "dnnsweep.trainers.auto:AutoTrainer"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a ledger, a tracking store and files are.

    Args:
        home: Absolute path of the folder that holds the embedded files.
        database_url: Address of the ledger's database, as SQLAlchemy writes it.
        tracking_uri: Address of MLflow's tracking store.
        trainer: The trainer's class as `module:class`; tests replace it.
        patience: Seconds for which a sweep continues without its ledger's database.
    """

    home: Path
    database_url: str
    tracking_uri: str
    trainer: str = DEFAULT_TRAINER
    patience: float = DEFAULT_PATIENCE

    @property
    def is_tracking_embedded(self) -> bool:
        """Return whether MLflow's store is the SQLite file in the home."""
        return self.tracking_uri == sqlite_url(self.tracking_file)

    @property
    def tracking_file(self) -> Path:
        """Return the SQLite file of the embedded store."""
        return self.home / "mlflow.db"

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

    def retrained_model(self, sweep: str, name: str) -> Path:
        """Return where the model of a sweep's retrained winner is kept."""
        return self.models(sweep) / RETRAINED / name


def find_settings(home: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Find the settings: the argument first, then the environment, then the default.

    Args:
        home: The home's folder; None reads `DNNSWEEP_HOME`, else takes `./dnnsweep-home`.
        environ: Environment variables; read are `DNNSWEEP_HOME`, `DNNSWEEP_DATABASE_URL`, `MLFLOW_TRACKING_URI`,
            `DNNSWEEP_TRAINER` and `DNNSWEEP_DATABASE_PATIENCE` (seconds).

    Example:
        >>> find_settings("/data/home", {}).database_url
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


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """The address of a service.

    Args:
        url: Address without a slash at its end.
        token: Token to send with each request; None if the service asks for none.
    """

    url: str
    token: str | None = field(default=None, repr=False)


def find_service(environ: Mapping[str, str] = os.environ) -> ServiceAddress | None:
    """Return the service that commands talk to instead of a home; None if there is none.

    Args:
        environ: Environment variables; read are `DNNSWEEP_API_URL` and `DNNSWEEP_TOKEN`.

    Raises:
        SettingsError: The address is not valid, or the token cannot be sent. The message reveals no token or password.
    """
    url = environ.get("DNNSWEEP_API_URL", "").strip().rstrip("/")
    if not url:
        return None
    if not url.startswith(("http://", "https://")) or "@" in url:
        got = "one with a user" if "@" in url else url
        raise SettingsError(f"DNNSWEEP_API_URL must be http://HOST:PORT or https://HOST, got {got}; set DNNSWEEP_TOKEN")
    _check_port(url)
    token = environ.get("DNNSWEEP_TOKEN", "").strip() or None
    if token is not None and not is_sendable(token):
        raise SettingsError("DNNSWEEP_TOKEN must consist of visible ASCII characters, got others")
    return ServiceAddress(url, token)


def _check_port(url: str) -> None:
    """Check that what stands behind a host is a port; otherwise it may be a password, which is not shown."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise SettingsError(
            "DNNSWEEP_API_URL must be http://HOST:PORT or https://HOST, got another host or port"
        ) from None


def is_sendable(token: str) -> bool:
    """Return whether a token can be sent in an HTTP header unchanged."""
    return all("!" <= letter <= "~" for letter in token)


#: The most that what comes over the network may ask for, unless the operator says otherwise.
DEFAULT_MAXIMA: Final[Mapping[str, int]] = {
    "TRIALS": 10_000,
    "EPOCHS": 10_000,
    "UNITS": 4_096,
    "ROWS": 10_000_000,
    "COLUMNS": 10_000,
    "BYTES": 1_000_000_000,
    "RATE": 50,
}
#: Memory that a trainer may take while it loads a file: so much, and so many times `Limits.max_bytes`.
LOADING_BYTES: Final = 500_000_000
LOADING_FACTOR: Final = 6


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that sweeps sent over the network, and those who send them, may ask for.

    Args:
        data_root: Folder whose files a sweep may name; None allows no files.
        allowed_python: Functions (`module:function`) and modules that a sweep may name.
        max_trials: Most trials in a budget, inclusive.
        max_epochs: Most epochs of a trial, inclusive.
        max_units: Most units in a layer, inclusive.
        max_rows: Most rows of data, inclusive.
        max_columns: Most columns of data, inclusive, and most inputs of a network after text was encoded.
        max_bytes: Most bytes of data, inclusive: of a file, of what it holds once it is decompressed, of the table of
            numbers that is made of it, and of a network's inputs.
        max_rate: Most requests of a token in a second, on average.
    """

    data_root: Path | None = None
    allowed_python: frozenset[str] = frozenset()
    max_trials: int = DEFAULT_MAXIMA["TRIALS"]
    max_epochs: int = DEFAULT_MAXIMA["EPOCHS"]
    max_units: int = DEFAULT_MAXIMA["UNITS"]
    max_rows: int = DEFAULT_MAXIMA["ROWS"]
    max_columns: int = DEFAULT_MAXIMA["COLUMNS"]
    max_bytes: int = DEFAULT_MAXIMA["BYTES"]
    max_rate: int = DEFAULT_MAXIMA["RATE"]

    @property
    def max_memory(self) -> int:
        """Return the bytes of memory that a trainer may take while it loads a file."""
        return LOADING_BYTES + LOADING_FACTOR * self.max_bytes


def read_limits(environ: Mapping[str, str] = os.environ) -> Limits:
    """Read the limits that the operator has set.

    Args:
        environ: Environment variables; read are `DNNSWEEP_DATA_ROOT`, `DNNSWEEP_ALLOWED_PYTHON` (separated by commas),
            `DNNSWEEP_MAX_TRIALS`, `..._EPOCHS`, `..._UNITS`, `..._ROWS`, `..._COLUMNS`, `..._BYTES`
            and `..._RATE`.

    Raises:
        SettingsError: A limit is not a whole number above 0.
    """
    root = environ.get("DNNSWEEP_DATA_ROOT")
    allowed = (name.strip().removeprefix("python:") for name in environ.get("DNNSWEEP_ALLOWED_PYTHON", "").split(","))
    return Limits(
        data_root=Path(root).expanduser().absolute() if root else None,
        allowed_python=frozenset(name for name in allowed if name),
        **{f"max_{name.lower()}": _read_maximum(environ, name) for name in DEFAULT_MAXIMA},
    )


def _read_maximum(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(f"DNNSWEEP_MAX_{name}") or str(DEFAULT_MAXIMA[name])
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise SettingsError(f"DNNSWEEP_MAX_{name} must be a whole number above 0, got {text!r}")
    return int(text)


def are_docs_public(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether the description of the API may be read without a token.

    Args:
        environ: Environment variables; `DNNSWEEP_PUBLIC_DOCS` is read.

    Raises:
        SettingsError: The variable is neither `true` nor `false`.
    """
    text = environ.get("DNNSWEEP_PUBLIC_DOCS") or "false"
    if text not in ("true", "false"):
        raise SettingsError(f"DNNSWEEP_PUBLIC_DOCS must be true or false, got {text!r}")
    return text == "true"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder that caches what all homes can share; None if nothing may be cached.

    Args:
        environ: Environment variables; `DNNSWEEP_CACHE` is read first, then `XDG_CACHE_HOME`, then `HOME`. An empty
            `DNNSWEEP_CACHE` turns caching off.
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
