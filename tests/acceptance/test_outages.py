"""MLflow refuses, hangs, restarts or loses answers; a controller is paused; PostgreSQL restarts: all with real ones."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import chaos
import postgres
import pytest
from proxy import Fault, Proxy
from set_clock import SetClock
from workspace import Workspace, identity, prepared, wait_until

N_TRIALS = 12


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> chaos.Outcome:
    return chaos.undisturbed(tmp_path_factory.mktemp("undisturbed"), chaos.pretended(n_trials=N_TRIALS))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[chaos.MlflowServer]:
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "server.db").write_bytes(template.read_bytes())
    made = chaos.MlflowServer(folder)
    made.start()
    try:
        assert wait_until(made.is_up)
        yield made
    finally:
        made.kill()


@contextmanager
def disturbed(tmp_path: Path, server: chaos.MlflowServer, name: str) -> Iterator[tuple[Workspace, Proxy, str]]:
    """Yield a workspace behind a proxy, and a sweep's file of this name."""
    proxy = Proxy(server.uri, random.Random(name))
    with ExitStack() as stack:
        stack.enter_context(proxy.running())
        workspace = prepared(tmp_path, None, {**chaos.PRETEND, "MLFLOW_TRACKING_URI": proxy.uri})
        workspace.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "2"
        workspace.environ["PYTHONPATH"] = str(Path(__file__).parents[1])  # MLflow can be imported
        stack.callback(workspace.end)
        yield workspace, proxy, workspace.file(**chaos.pretended(name, N_TRIALS).sweep)


def assert_whole(workspace: Workspace, server: chaos.MlflowServer, name: str, expected: chaos.Outcome) -> None:
    row = chaos.audited("here", workspace, server.uri, expected, 0, name)
    assert row.is_good, row


@pytest.mark.timeout(300)
def test_answers_lost_after_the_work_was_done_leave_one_run_for_each_trial(
    tmp_path: Path, server: chaos.MlflowServer, expected: chaos.Outcome
) -> None:
    with disturbed(tmp_path, server, "lost") as (workspace, proxy, file):
        proxy.disturb(Fault.LOST, 0.25, certain="/runs/create")
        done = workspace.run("run", file, "--trainers", "2")
        assert done.code == 0, done.err
        assert any(path.endswith("/runs/create") for path in proxy.lost), proxy.lost

        proxy.disturb(Fault.NONE)
        assert workspace.run("resume", "lost").code == 0
        assert_whole(workspace, server, "lost", expected)


@pytest.mark.timeout(300)
def test_requests_that_are_sent_twice_leave_one_run_for_each_trial(
    tmp_path: Path, server: chaos.MlflowServer, expected: chaos.Outcome
) -> None:
    with disturbed(tmp_path, server, "twice") as (workspace, proxy, file):
        proxy.disturb(Fault.TWICE)
        done = workspace.run("run", file, "--trainers", "2")
        assert done.code == 0, done.err
        assert "MLflow had 13 runs of sweep twice twice; the second ones were deleted" in done.err
        assert_whole(workspace, server, "twice", expected)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.HANG])
def test_a_server_that_answers_nothing_useful_keeps_nobody_waiting(
    tmp_path: Path, server: chaos.MlflowServer, expected: chaos.Outcome, fault: Fault
) -> None:
    with disturbed(tmp_path, server, fault.value) as (workspace, proxy, file):
        proxy.disturb(fault)
        command = workspace.start("run", file, "--trainers", "2")
        command.until_ended(N_TRIALS - 1)  # trained while nothing arrives
        assert "updates behind" in workspace.run("show", fault.value).out
        assert command.code == 0, command.err
        assert "still waiting for MLflow" in command.err
        assert "dnnsweep resume" in command.err
        assert proxy.n_faults > 0

        proxy.disturb(Fault.NONE)
        mended = workspace.run("doctor", fault.value)
        assert mended.code == 0, mended.err
        assert_whole(workspace, server, fault.value, expected)


@pytest.mark.timeout(300)
def test_what_a_restarted_server_missed_is_delivered_while_the_sweep_goes_on(
    tmp_path: Path, server: chaos.MlflowServer, expected: chaos.Outcome
) -> None:
    with disturbed(tmp_path, server, "restarted") as (workspace, _, file):
        command = workspace.start("run", file, "--trainers", "2")
        command.until_ended(3)
        server.kill()
        command.until_ended(8)
        server.start()
        assert wait_until(server.is_up)
        assert command.code == 0, command.err
        if "still waiting for MLflow" in command.err:  # it started when the sweep had ended
            assert workspace.run("resume", "restarted").code == 0
        assert_whole(workspace, server, "restarted", expected)


def pause(pid: int, database: Path) -> None:
    """Stop a process outside its transactions: within one it would keep SQLite's lock, and nobody could take over."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        try:
            with closing(sqlite3.connect(database, timeout=2, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.05)
        else:
            return


@pytest.mark.timeout(200)
def test_whatever_the_clocks_only_a_controller_that_is_paused_is_replaced_and_it_can_write_nothing_more(
    tmp_path: Path, expected: chaos.Outcome
) -> None:
    workspace = prepared(tmp_path, None, chaos.PRETEND)
    words = {**chaos.pretended(n_trials=N_TRIALS).sweep, "description": f"sleep=0.1 gate={workspace.gate}"}
    clocks = {ahead: SetClock(tmp_path / f"clock{ahead}", ahead) for ahead in (-200, 0, 200)}
    environ = {ahead: clock.environ(workspace.environ["PYTHONPATH"]) for ahead, clock in clocks.items()}
    file = workspace.file(**words)
    first = workspace.start("run", file, "--trainers", "2", environ=environ[0])
    first.until_ended(8)
    waiting = workspace.start("run", file, "--trainers", "2", "--wait", environ=environ[200])
    for ahead in (200, -200):  # its clock is set while others look, whose clocks are wrong as well
        clocks[0].set_ahead(ahead)
        deletion = workspace.run("delete", "pretend", "--yes", environ=environ[-ahead])
        assert (deletion.code, deletion.out) == (1, "")
        assert f"is being run by process {first.process.pid}" in deletion.err
        shown = workspace.run("show", "pretend", "--json", environ=environ[-ahead])
        assert shown.json["state"] == "RUNNING"
    assert (first.process.poll(), waiting.process.poll()) == (None, None)
    assert waiting.n_ended == 0

    pause(first.process.pid, workspace.home / "dnnsweep.db")
    workspace.gate.touch()
    waiting.until_ended(1)
    os.kill(first.process.pid, signal.SIGCONT)

    assert first.code == 1
    assert "another controller took this sweep over" in first.err
    assert "Traceback" not in first.err
    assert waiting.code == 0, waiting.err
    assert identity(workspace.trials()) == expected.trials
    assert workspace.end() == []


@pytest.mark.timeout(200)
def test_postgresql_may_restart_and_when_it_stays_away_the_sweep_can_be_resumed(
    tmp_path: Path, expected: chaos.Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres.running() as database:
        environ = {**chaos.PRETEND, "DNNSWEEP_DATABASE_URL": database.database()}
        monkeypatch.setenv("DNNSWEEP_DATABASE_URL", environ["DNNSWEEP_DATABASE_URL"])
        workspace = prepared(tmp_path, None, environ)
        file = workspace.file(**chaos.pretended(n_trials=N_TRIALS, sleep=0.3).sweep)
        first = workspace.start("run", file, "--trainers", "2", environ={"DNNSWEEP_DATABASE_PATIENCE": "15"})
        first.until_ended(4)
        database.stop("fast")
        time.sleep(3)
        database.start()
        first.until_ended(9)  # it went on
        database.stop("fast")
        assert first.code == 1
        assert "Traceback" not in first.err
        database.start()

        again = workspace.run("run", file, "--trainers", "2")
        assert again.code == 0, again.err
        assert identity(workspace.trials()) == expected.trials
        assert workspace.end() == []
