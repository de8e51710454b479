"""A home is backed up by docs/backup.md while a sweep is running, and restored."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from saving_trainer import read_model
from workspace import Workspace, identity, prepared

import dnnsweep
from dnnsweep.records import SweepState

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "backup.md").read_text(encoding="utf-8")
SAVING = {"DNNSWEEP_TRAINER": "saving_trainer:SavingTrainer"}
#: The sweep's file holds trials from this number on until the copy is made.
N_BEFORE = 8
#: The page's line that makes the copy.
BACK_UP = "python backup_home.py home backup-of-today"


@dataclass(frozen=True)
class BackedUp:
    """A home of which a copy was made while a sweep was running; the sweep went on to its end.

    Args:
        bench: Its folder and commands.
        file: The sweep's file.
        copy: The copy.
        expected: The trials at the sweep's end.
    """

    bench: Workspace
    file: str
    copy: Path
    expected: list[tuple[Any, ...]]


def back_up(bench: Workspace, copy: Path) -> None:
    """Copy a home with the page's script."""
    [script] = re.findall(r"^```python\n(# backup_home.py\n.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (bench.folder / "backup_home.py").write_text(script, encoding="utf-8")
    command = [sys.executable, "backup_home.py", str(bench.home), str(copy)]
    done = subprocess.run(command, cwd=bench.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[BackedUp]:
    bench = prepared(tmp_path_factory.mktemp("backup"), template, SAVING)
    file = bench.file(description=f"sleep=0.05 gate={bench.gate}")
    running = bench.start("run", file, "--trainers", "1")
    running.until_ended(4)
    back_up(bench, bench.folder / "backup-of-today")
    assert running.process.poll() is None
    bench.gate.touch()
    assert running.code == 0, running.err
    yield BackedUp(bench, file, bench.folder / "backup-of-today", identity(bench.trials()))
    assert bench.end() == []


def let_minutes_pass(home: Path) -> None:
    """Let the claims on the outbox run out, as they have when a home is restored later."""
    with closing(sqlite3.connect(home / "dnnsweep.db")) as ledger, ledger:
        ledger.execute("UPDATE outbox SET claimed_until = 0")


def names_of_models(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "dnnsweep.db")) as ledger:
        return [name for (name,) in ledger.execute("SELECT model_path FROM trials WHERE model_path IS NOT NULL")]


def differences(home: Path) -> list[Any]:
    """Return how MLflow differs from the ledger."""
    return dnnsweep.doctor(repair=False, home=home).differences


def test_a_copy_made_while_a_sweep_was_running_is_whole(backed_up: BackedUp) -> None:
    for name in ("dnnsweep.db", "mlflow.db"):
        with closing(sqlite3.connect(backed_up.copy / name)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    ended = [trial for trial in dnnsweep.trials("pretend", home=backed_up.copy) if trial.ended_at is not None]
    assert 4 <= len(ended) <= N_BEFORE
    assert identity(ended) == backed_up.expected[: len(ended)]
    [model] = names_of_models(backed_up.copy)
    assert (backed_up.copy / "models" / "pretend" / "best" / model).is_file()


def test_a_home_restored_as_the_page_says_goes_on_in_its_place_and_elsewhere(backed_up: BackedUp) -> None:
    bench = backed_up.bench
    let_minutes_pass(backed_up.copy)
    consoles = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lines = [
        line.removeprefix("$ ").replace("dnnsweep-home", "home") for text in consoles for line in text.splitlines()
    ]
    assert lines[1] == BACK_UP  # the copy was made by it, while the sweep was running

    for line in [lines[0], *lines[2:]]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environ = {**bench.environment(), "PATH": path}
        done = subprocess.run(["/bin/sh", "-ec", line], cwd=bench.folder, env=environ, capture_output=True, check=False)
        assert done.returncode == 0, (line, done.stdout, done.stderr)

    moved = bench.folder / "moved"
    for home in (bench.home, moved):
        assert dnnsweep.show("pretend", home=home).state is SweepState.INTERRUPTED
        assert differences(home) == []
    assert (moved / "mlartifacts" / "pretend").is_dir()

    resumed = bench.run("run", backed_up.file, "--trainers", "1")
    assert resumed.code == 0, resumed.err
    assert identity(bench.trials()) == backed_up.expected
    assert differences(bench.home) == []
    best = dnnsweep.best("pretend", top=1, home=bench.home)[0].number
    assert read_model(dnnsweep.model_file("pretend", home=bench.home)) == f"trial {best}"


def test_an_older_copy_is_not_overwritten(backed_up: BackedUp, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("yesterday's", encoding="utf-8")

    with pytest.raises(AssertionError, match="File exists"):
        back_up(backed_up.bench, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
