"""Ledgers of released versions go on under this one; older schemas are copied and upgraded, newer ones refused."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import postgres
import pytest
from fake_mlflow import use_fake_mlflow
from sqlalchemy import Engine, create_engine, inspect
from workspace import identity

import dnnsweep
from dnnsweep.cli import main
from dnnsweep.errors import LedgerError
from dnnsweep.ledger import Ledger, database, migrations, upgrades
from dnnsweep.ledger.tables import HEAD

ROOT = Path(__file__).resolve().parents[1]
LEDGERS = ROOT / "tests" / "data" / "ledgers"
#: Released version -> its commit. `tools/keep_ledger.py` made what is kept of each; docs/releasing.md tells when.
VERSIONS = {"0.1.0": "19699ae"}
#: Sweeps that the old version left unfinished; all are trained by the trainer that only pretends.
UNFINISHED = ("tpe", "pruned", "queued")
#: Takes a ledger of schema 0006 back to 0004: what was added since goes.
DOWNGRADE = """
DELETE FROM sweeps WHERE state = 'QUEUED';
DROP INDEX ix_trials_standing;
DROP INDEX ix_trials_ended_at;
ALTER TABLE sweeps DROP COLUMN priority;
ALTER TABLE sweeps DROP COLUMN queued_at;
ALTER TABLE sweeps DROP COLUMN is_restricted;
UPDATE alembic_version SET version_num = '0004';
"""
#: The version after the newest one.
NEXT = f"{int(HEAD) + 1:04}"
#: A schema of the future; the second statement goes wrong if it is told to.
REVISION = """
from alembic import op

revision, down_revision, branch_labels, depends_on = "{next}", "{head}", None, None


def upgrade():
    op.execute("CREATE TABLE new (id INTEGER)")
    op.execute("{second}")
"""
GOOD = "INSERT INTO new VALUES (1)"
BAD = "INSERT INTO nowhere VALUES (1)"
COMMANDS = (
    ("list", "--json"),
    ("show", "tpe"),
    ("best", "tpe"),
    ("trials", "tpe"),
    ("stop", "tpe"),
    ("delete", "tpe", "--yes"),
    ("export", "tpe", "--as", "python"),
    ("resume", "tpe"),
    ("doctor", "--check"),
    ("worker",),
    ("serve", "--port", "8000"),
)
Answer = Callable[..., Any]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DNNSWEEP_DATABASE_URL", "MLFLOW_TRACKING_URI", "DNNSWEEP_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DNNSWEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DNNSWEEP_TRAINER", "scripted_trainer:ScriptedTrainer")
    monkeypatch.setattr("dnnsweep.ledger.watch.LEASE_SECONDS", 0.1)  # for so long is a lost holder watched
    use_fake_mlflow(monkeypatch)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def typed(*words: str) -> int:
    """Type a command; return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["dnnsweep", *words])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Answer:
    def ask(*words: str) -> Any:
        assert typed(*words, "--json") == 0
        return json.loads(capsys.readouterr().out)

    return ask


def restored(home: Path, version: str, *, script: str = "") -> Path:
    """Lay the ledger of a version into a home."""
    file = home / "dnnsweep.db"
    sql = gzip.decompress((LEDGERS / f"{version}.sql.gz").read_bytes()).decode()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(sql)
        connection.executescript(f"PRAGMA foreign_keys = ON; {script}")
    return file


def told_by(version: str) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads((LEDGERS / f"{version}.json").read_text(encoding="utf-8"))
    return answers


def assert_holds(new: Any, old: Any, where: str) -> None:
    """Check that an answer holds all that an older one held; it may hold more keys."""
    if isinstance(old, dict):
        assert set(old) <= set(new), where
        for key, value in old.items():
            assert_holds(new[key], value, f"{where}.{key}")
    elif isinstance(old, list):
        assert len(new) == len(old), where
        for index, value in enumerate(old):
            assert_holds(new[index], value, f"{where}[{index}]")
    else:
        assert new == old, where


def dump(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


def copies(home: Path) -> list[Path]:
    return sorted(path for path in home.iterdir() if ".before-v" in path.name)


def document(name: str) -> Mapping[str, Any]:
    documents = json.loads((LEDGERS / "sweeps.json").read_text(encoding="utf-8"))
    return next(item for item in documents if item["name"] == name)


# -- released versions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_released_ledger_shows_the_same(version: str, home: Path, answer: Answer) -> None:
    restored(home, version)

    for command, old in told_by(version).items():
        assert_holds(answer(*command.split()), old, command)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", UNFINISHED)
def test_a_sweep_that_a_released_version_left_unfinished_resumes_to_the_same_trials(
    name: str, version: str, home: Path, tmp_path: Path
) -> None:
    restored(home, version)
    before = [trial for trial in dnnsweep.trials(name) if trial.ended_at is not None]

    resumed = dnnsweep.run(document(name), executor="inprocess")
    undisturbed = dnnsweep.run(document(name), executor="inprocess", home=tmp_path / "other")

    assert len(before) < len(resumed.trials())
    assert identity(resumed.trials()) == identity(undisturbed.trials())
    # This MLflow has never seen the runs of the released version, so they are made anew.
    assert [replace(trial, run_id=None) for trial in before] == [
        replace(resumed.trials()[trial.number], run_id=None) for trial in before
    ]


def test_the_page_knows_each_released_version_and_the_schema_of_this_one() -> None:
    page = (ROOT / "docs" / "upgrading.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+\.\d+\.\d+) \| (\d{4}) \|$", page, re.MULTILINE)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

    assert [row[0] for row in rows] == [*VERSIONS, version]
    assert rows[-1] == (version, HEAD)


# -- older schemas --------------------------------------------------------------------------------------------------


def test_an_older_schema_is_upgraded_and_shows_the_same(home: Path, answer: Answer) -> None:
    restored(home, "0.1.0", script=DOWNGRADE)

    for command, old in told_by("0.1.0").items():
        if command == "list":
            assert_holds(answer(command), [sweep for sweep in old if sweep["name"] != "queued"], command)
        elif "queued" not in command:
            assert_holds(answer(*command.split()), old, command)


def test_a_copy_is_kept_before_an_upgrade(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = restored(home, "0.1.0", script=DOWNGRADE)
    file.chmod(0o600)
    before = dump(file)

    dnnsweep.sweeps()

    [copy] = copies(home)
    assert copy.name.startswith(f"dnnsweep.db.before-v{HEAD}-20")
    assert dump(copy) == before
    assert copy.stat().st_mode & 0o777 == 0o600
    assert f"upgraded from schema version 0004 to {HEAD}; {copy}" in caplog.text
    assert {path.name for path in home.iterdir()} == {"dnnsweep.db", copy.name}


def test_no_copy_is_made_of_a_new_ledger_or_of_one_that_is_up_to_date(home: Path) -> None:
    Ledger.open(f"sqlite:///{home}/dnnsweep.db", create=True).close()
    Ledger.open(f"sqlite:///{home}/dnnsweep.db").close()

    assert [path.name for path in home.iterdir()] == ["dnnsweep.db"]


def test_a_copy_holds_what_is_in_the_write_ahead_log_alone(home: Path) -> None:
    file = restored(home, "0.1.0", script=DOWNGRADE)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_autocheckpoint = 0")
        other.execute("UPDATE sweeps SET description = 'the last word' WHERE name = 'tpe'")
        other.commit()
        assert b"the last word" not in file.read_bytes()
        dnnsweep.sweeps()

    with closing(sqlite3.connect(copies(home)[0])) as connection:
        [(word,)] = connection.execute("SELECT description FROM sweeps WHERE name = 'tpe'")
    assert word == "the last word"


def test_no_copy_is_overwritten(home: Path) -> None:
    for _ in range(3):
        file = restored(home, "0.1.0", script=DOWNGRADE)
        dnnsweep.sweeps()
        file.unlink()

    first, second, third = copies(home)
    assert (second.name, third.name) == (f"{first.name}-2", f"{first.name}-3")
    assert dump(first) == dump(second) == dump(third)


def test_a_ledger_that_cannot_be_copied_is_not_upgraded(home: Path) -> None:
    file = restored(home, "0.1.0", script=DOWNGRADE)
    before = dump(file)
    (home / "dnnsweep.db.copying").mkdir()

    with pytest.raises(LedgerError, match=r"before its schema is upgraded, .* must be copied, which failed: .*; make"):
        dnnsweep.sweeps()

    assert dump(file) == before
    assert copies(home) == []


OPEN = """
import sys
from dnnsweep.ledger import Ledger, migrations

print("ready", flush=True)
sys.stdin.readline()
Ledger.open(sys.argv[1])
"""


def open_at_once(url: str, n_processes: int = 3) -> list[str]:
    """Open a ledger in several processes at the same moment; return what each said on stderr."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(n_processes)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=90)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * n_processes, said
    return said


def test_of_several_processes_that_open_an_older_ledger_at_once_one_upgrades_and_copies_it(home: Path) -> None:
    file = restored(home, "0.1.0", script=DOWNGRADE)

    said = open_at_once(f"sqlite:///{file}")

    assert len(copies(home)) == 1
    assert sum("the ledger was upgraded" in text for text in said) == 1


# -- a schema of the future -----------------------------------------------------------------------------------------


@contextmanager
def next_schema(folder: Path, second: str) -> Iterator[None]:
    """Let this program know one version more."""
    folder.mkdir()
    revision = REVISION.format(next=NEXT, head=HEAD, second=second)
    (folder / f"v{NEXT}_next.py").write_text(revision, encoding="utf-8")
    configured = migrations._config

    def config(connection: Any = None) -> Any:
        made = configured(connection)
        own = Path(migrations.__file__).parent / "versions"
        made.set_main_option("version_locations", f"{own}:{folder}")
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "_config", config)
        patch.setattr(upgrades, "HEAD", NEXT)
        patch.setattr(database, "HEAD", NEXT)
        yield


def test_the_next_schema_will_be_upgraded_to_after_a_copy_too(home: Path, tmp_path: Path) -> None:
    file = restored(home, "0.1.0")
    before = dump(file)

    with next_schema(tmp_path / "next", GOOD):
        assert len(dnnsweep.sweeps()) == 6

    assert dump(copies(home)[0]) == before
    assert f"before-v{NEXT}" in copies(home)[0].name
    with pytest.raises(LedgerError, match=rf"schema has version {NEXT}, .* up to {HEAD}; upgrade dnnsweep, or use"):
        dnnsweep.sweeps()


def test_an_upgrade_that_fails_leaves_the_ledger_as_it_was(home: Path, tmp_path: Path) -> None:
    file = restored(home, "0.1.0", script=DOWNGRADE)
    before = dump(file)

    failure = rf"cannot be upgraded from schema version 0004 to {NEXT}: no such table: nowhere; it was left as it was"
    with next_schema(tmp_path / "next", BAD), pytest.raises(LedgerError, match=failure):
        dnnsweep.sweeps()

    assert dump(file) == before
    assert [path.name for path in home.iterdir()] == ["dnnsweep.db"]
    assert len(dnnsweep.sweeps()) == 5


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_newer_ledger_is_refused_in_plain_words_and_left_alone(
    command: tuple[str, ...], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = restored(home, "0.1.0", script="UPDATE alembic_version SET version_num = '0042';")
    before = file.read_bytes()

    assert typed(*command) == 1

    said = capsys.readouterr()
    assert said.out == ""
    assert " ".join(said.err.split()) == (
        f"error: the ledger at {file} was made by a newer dnnsweep: its schema has version 0042, "
        f"this dnnsweep ({upgrades._own_version()}) knows versions up to {HEAD}; upgrade dnnsweep, or use another home"
    )
    assert file.read_bytes() == before
    assert [path.name for path in home.iterdir()] == ["dnnsweep.db"]


@pytest.mark.parametrize("word", ["run", "submit"])
def test_a_newer_ledger_takes_no_sweep(
    word: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = restored(home, "0.1.0", script="UPDATE alembic_version SET version_num = '0042';")
    before = file.read_bytes()
    (tmp_path / "tpe.yaml").write_text(json.dumps(document("tpe")), encoding="utf-8")

    assert typed(word, str(tmp_path / "tpe.yaml")) == 1

    assert "upgrade dnnsweep" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_a_database_of_another_program_is_refused(home: Path) -> None:
    file = home / "dnnsweep.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript("CREATE TABLE alembic_version (version_num TEXT)")
        connection.executescript("INSERT INTO alembic_version VALUES ('0584bdc529eb')")
    before = file.read_bytes()

    with pytest.raises(LedgerError, match=r"is no ledger: its tables are of version 0584bdc529eb, .*DATABASE_URL"):
        dnnsweep.sweeps()

    assert file.read_bytes() == before


# -- PostgreSQL -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    if postgres.programs() is None:
        pytest.skip("there is no PostgreSQL here")
    with postgres.running() as running:
        yield running


@pytest.fixture
def older(server: postgres.Server) -> Iterator[Engine]:
    """A ledger of schema 0004."""
    engine = create_engine(server.database())
    with engine.begin() as connection:
        migrations.upgrade(connection, "0004")
    yield engine
    engine.dispose()


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def version_of(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return migrations.current(connection)


def test_postgresql_is_upgraded(older: Engine) -> None:
    Ledger.open(url_of(older)).close()

    assert version_of(older) == HEAD
    assert "queued_at" in {column["name"] for column in inspect(older).get_columns("sweeps")}


def test_an_upgrade_of_postgresql_that_fails_leaves_nothing_behind(older: Engine, tmp_path: Path) -> None:
    with next_schema(tmp_path / "next", BAD), pytest.raises(LedgerError, match="left as it was"):
        Ledger.open(url_of(older))

    assert version_of(older) == "0004"
    assert "queued_at" not in {column["name"] for column in inspect(older).get_columns("sweeps")}
    assert not inspect(older).has_table("new")


def test_of_several_processes_that_open_an_older_postgresql_at_once_one_upgrades_it(older: Engine) -> None:
    said = open_at_once(url_of(older))

    assert version_of(older) == HEAD
    assert sum("the ledger was upgraded" in text for text in said) == 1


def test_a_newer_postgresql_is_refused_and_left_alone(
    server: postgres.Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = create_engine(server.database())
    monkeypatch.setenv("DNNSWEEP_DATABASE_URL", url_of(engine))
    Ledger.open(url_of(engine), create=True).close()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0042'")

    for command in COMMANDS:
        assert typed(*command) == 1
        assert "schema has version 0042" in " ".join(capsys.readouterr().err.split())

    assert version_of(engine) == "0042"
    engine.dispose()
