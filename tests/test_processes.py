"""Processes of our own beside the controller: what they import, how MLflow is fed by one, where time goes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import SWEEP

from dnnsweep import processes
from dnnsweep.delivery import process
from dnnsweep.ledger import Ledger, NewSweep
from dnnsweep.profiling import Profile
from dnnsweep.records import DataSummary, Objective, SweepState, Task
from dnnsweep.settings import Settings, cache_folder, find_settings
from dnnsweep.trainers.program_cache import make_program_folder

DATA = DataSummary("f" * 64, Task.MULTICLASS, 4, ("a",), ("0", "1", "2"), 60, 20, 20)
ENTRY = """
from multiprocessing.connection import Connection


def main(descriptor):
    connection = Connection(descriptor)
    connection.send(connection.recv() * 2)
"""


def test_a_process_imports_what_its_parent_imports_and_talks_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "doubler.py").write_text(ENTRY)
    monkeypatch.syspath_prepend(str(tmp_path))
    process, connection = processes.start("doubler:main", subprocess.DEVNULL, {})
    connection.send(21)
    assert connection.recv() == 42
    assert process.wait(timeout=30) == 0


# ---- shipping


@pytest.fixture
def settings(tmp_path: Path, template: Path) -> Settings:
    home = tmp_path / "home"
    home.mkdir()
    (home / "mlflow.db").write_bytes(template.read_bytes())
    return find_settings(home, {})


def begun(settings: Settings) -> tuple[Ledger, str]:
    ledger = Ledger.open(settings.database_url, create=True)
    new = NewSweep("shipped", {**SWEEP, "name": "shipped"}, {}, "d", DATA, 4, (Objective("val_accuracy", "maximize"),))
    return ledger, ledger.begin(new).sweep_id


def until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_is_in_the_outbox_is_delivered_by_a_process(settings: Settings) -> None:
    ledger, sweep_id = begun(settings)
    profile = Profile()
    shipper = process.ShipperProcess(settings, sweep_id, profile)
    shipper.start()
    shipper.close(60)
    assert ledger.outbox.count(sweep_id) == 0
    assert ledger.sweep("shipped").run_id is not None
    assert profile.calls["mlflow"] == 1
    assert profile.parts["mlflow"] > 0
    ledger.close()


def test_a_shipping_process_that_is_killed_is_replaced(settings: Settings) -> None:
    ledger, sweep_id = begun(settings)
    shipper = process.ShipperProcess(settings, sweep_id, Profile())
    shipper.start()
    first = shipper._process
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: shipper._process is not first)
    shipper.close(60)
    assert ledger.outbox.count(sweep_id) == 0
    ledger.close()


def test_closing_before_the_start_does_nothing(settings: Settings) -> None:
    process.ShipperProcess(settings, "none", Profile()).close(1)


# ---- profile


class Clockwork:
    def tick(self, n: int) -> int:
        return n + 1

    def tock(self) -> str:
        raise ValueError("tock")


def test_a_profile_counts_calls_and_their_time_even_of_those_that_fail() -> None:
    profile = Profile()
    clockwork = profile.time_methods("clock", Clockwork(), "tick", "tock")
    assert clockwork.tick(1) == 2
    with pytest.raises(ValueError, match="tock"):
        clockwork.tock()
    assert profile.calls == {"clock": 2}
    assert profile.parts["clock"] > 0
    assert profile.time_whole(lambda: SweepState.COMPLETE) is SweepState.COMPLETE
    assert set(profile.to_json()) == {"trials", "seconds", "parts", "calls", "occupancy", "trainer_memory_mb"}


# ---- cache


def test_the_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    assert cache_folder({"DNNSWEEP_CACHE": str(tmp_path / "mine"), "XDG_CACHE_HOME": "/x"}) == tmp_path / "mine"
    assert cache_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/dnnsweep")
    assert cache_folder({"DNNSWEEP_CACHE": ""}) is None


def test_programs_have_a_folder_for_each_tensorflow_and_processor(tmp_path: Path) -> None:
    folder = make_program_folder({"DNNSWEEP_CACHE": str(tmp_path)})
    assert folder is not None
    assert folder.is_dir()
    assert folder.parent == tmp_path
    (tmp_path / "file").touch()
    assert make_program_folder({"DNNSWEEP_CACHE": str(tmp_path / "file")}) is None
    assert make_program_folder({"DNNSWEEP_CACHE": ""}) is None
