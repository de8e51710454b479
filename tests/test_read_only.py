"""A home that can only be read: every question is answered, nothing is written, and a change is refused in words."""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from test_ledger import NEW, ask, finish

from dnnsweep.errors import LedgerError, SweepNotFoundError
from dnnsweep.ledger import Ledger
from dnnsweep.ledger.tables import HEAD
from dnnsweep.records import SweepState
from dnnsweep.settings import Settings, find_settings
from dnnsweep.stores.local import LocalStore

#: What lets root write where permissions forbid it; the numbers of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
OVERRIDES = (1, 2)
PR_CAPBSET_DROP = 24


def _obey_permissions() -> None:
    """Let permissions bind root as well, in a process that is about to become another program."""
    if os.geteuid() == 0:
        for capability in OVERRIDES:
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that obeys permissions."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DNNSWEEP", "MLFLOW"))}
    return subprocess.run(
        [sys.executable, "-m", "dnnsweep", *words, "--home", str(home)],
        preexec_fn=_obey_permissions,
        env={**kept, "DNNSWEEP_CACHE": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """A home with a sweep of two trials."""
    settings = find_settings(tmp_path_factory.mktemp("made") / "home", {})
    with closing(Ledger.open(settings.database_url, create=True)) as ledger:
        lease = ledger.begin(NEW)
        ask(lease, 2)
        for number in range(2):
            finish(lease, number, 0.5)
        lease.end(SweepState.COMPLETE)
    shutil.copyfile(template, settings.tracking_file)
    return settings.home


@pytest.fixture
def settings(made: Path, tmp_path: Path) -> Settings:
    shutil.copytree(made, tmp_path / "home")
    return find_settings(tmp_path / "home", {})


@pytest.fixture
def home(settings: Settings) -> Iterator[Path]:
    """A home without the permission to write, as on a medium for reading."""
    paths = [settings.home, *settings.home.iterdir()]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield settings.home
    for path in paths:
        path.chmod(0o755)


@pytest.mark.parametrize("is_log_left", [False, True])
def test_questions_are_answered_and_nothing_is_written(settings: Settings, home: Path, *, is_log_left: bool) -> None:
    if is_log_left:  # by a process that was killed: what it stored last is in the log alone
        home.chmod(0o755)
        leave_a_log(home / "dnnsweep.db")
        home.chmod(0o555)
    before = {path.name: path.read_bytes() for path in home.iterdir()}

    listed = run(home, "list", "--json")
    checked = run(home, "doctor", "--check")
    refused = run(home, "doctor")

    assert (listed.returncode, listed.stderr) == (0, "")
    assert ('"in the log"' in listed.stdout) is is_log_left
    assert (checked.returncode, checked.stderr) == (1, "")
    assert "missing: there is no run of it" in checked.stdout
    assert refused.returncode == 1
    assert "`dnnsweep doctor --check` compares" in refused.stderr
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before
    assert settings.home == home


def leave_a_log(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE sweeps SET description = 'in the log'")
        connection.commit()
        kept = {path: path.read_bytes() for path in (file, file.with_name(f"{file.name}-wal"))}
    for path, content in kept.items():
        path.write_bytes(content)


@pytest.fixture
def _unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite opens files as it does where it cannot write: for this process, whoever it belongs to."""
    connect = sqlite3.connect

    def refuse(name: str, **options: Any) -> sqlite3.Connection:
        if "mode=ro" in name:
            opened: sqlite3.Connection = connect(name, **options)
            return opened
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorname = "SQLITE_CANTOPEN"
        raise error

    monkeypatch.setattr(sqlite3.dbapi2, "connect", refuse)
    monkeypatch.setattr(sqlite3, "connect", refuse)


@pytest.mark.usefixtures("_unwritable")
def test_every_question_to_a_store_is_answered(settings: Settings) -> None:
    with LocalStore.opened(settings) as store:
        assert store.ledger.is_read_only
        assert [sweep.name for sweep in store.sweeps()] == ["digits"]
        assert [trial.number for trial in store.trials("digits", "dropout < 1")] == [0, 1]
        assert [trial.number for trial in store.best("digits")] == [0, 1]
        assert store.curve("digits", 0).n_epochs == 2
        assert store.events("digits")
        assert store.stats().n_ended == 2


@pytest.mark.usefixtures("_unwritable")
def test_a_change_is_refused_in_words(settings: Settings) -> None:
    with LocalStore.opened(settings) as store, pytest.raises(LedgerError, match="can only be read here, not written"):
        store.delete("digits")


@pytest.mark.usefixtures("_unwritable")
def test_whoever_must_write_is_told_what_must_be_writable(settings: Settings) -> None:
    with pytest.raises(LedgerError, match="which must be writable, like its folder"):
        Ledger.open(settings.database_url)


def test_a_ledger_of_an_older_version_is_not_read_before_it_was_brought_up_to_date(
    settings: Settings, request: pytest.FixtureRequest
) -> None:
    with closing(sqlite3.connect(settings.home / "dnnsweep.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
    request.getfixturevalue("_unwritable")

    with (
        pytest.raises(LedgerError, match=f"from schema version 0001 to {HEAD}, but cannot be written; copy the home"),
        LocalStore.opened(settings),
    ):
        pass


@pytest.mark.usefixtures("_unwritable")
def test_a_home_that_is_not_there_is_still_not_there(tmp_path: Path) -> None:
    with pytest.raises(SweepNotFoundError), LocalStore.opened(find_settings(tmp_path / "nowhere", {})):
        pass
