"""Real workers on one ledger: they share queued sweeps, drain when they are asked to end, and replace one another."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import postgres
import pytest
from serving import serving, settings_of
from set_clock import SetClock
from workspace import SWEEP, Command, Workspace, identity, prepared, wait_until

import dnnsweep
from dnnsweep.records import State, SweepState
from dnnsweep.settings import Limits, ServiceAddress
from dnnsweep.stores.remote import RemoteStore

PRETEND = {"DNNSWEEP_TRAINER": "scripted_trainer:ScriptedTrainer"}
Identity = list[tuple[Any, ...]]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    made = prepared(tmp_path, None, PRETEND)
    yield made
    made.end()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """What `run` makes of the sweep, undisturbed."""
    made = prepared(tmp_path_factory.mktemp("run"), None, PRETEND)
    done = made.run("run", made.file(), "--trainers", "1")
    assert done.code == 0, done.err
    return identity(made.trials())


def submit(workspace: Workspace, name: str = "pretend", **changes: Any) -> None:
    dnnsweep.submit({**SWEEP, "name": name, **changes}, home=workspace.home)


def worker(workspace: Workspace, *words: str, environ: Mapping[str, str] | None = None) -> Command:
    return workspace.start("worker", "--trainers", "1", *words, environ=environ)


def states(workspace: Workspace) -> list[SweepState]:
    return [sweep.state for sweep in dnnsweep.sweeps(home=workspace.home)]


def until(workspace: Workspace, condition: Callable[[], bool]) -> None:
    assert wait_until(condition), [command.err for command in workspace.commands]


def terminate(command: Command) -> int:
    """Send SIGTERM to a worker alone, as a container's engine does; return its exit code."""
    command.process.send_signal(signal.SIGTERM)
    return command.code


def test_a_worker_finds_the_trials_that_run_finds(workspace: Workspace, expected: Identity) -> None:
    submitted = workspace.run("submit", workspace.file())
    assert (submitted.code, submitted.out) == (0, "")
    assert "sweep pretend is queued" in submitted.err
    running = worker(workspace)
    until(workspace, lambda: states(workspace) == [SweepState.COMPLETE])

    assert terminate(running) == 0
    assert identity(workspace.trials()) == expected
    assert "sweep pretend: complete" in running.err
    assert workspace.processes() == []


def test_whoever_waits_for_a_sweep_gets_what_run_prints(workspace: Workspace) -> None:
    waiting = workspace.start("submit", workspace.file(), "--wait", "--json")
    worker(workspace)

    assert waiting.code == 0, waiting.err
    assert waiting.json == [trial.to_json() for trial in dnnsweep.best("pretend", top=1, home=workspace.home)]
    assert "sweep pretend is complete: 16 trials, 0 failed" in waiting.err


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_three_workers_with_wrong_clocks_complete_five_sweeps_though_one_is_killed_and_postgresql_restarts(
    workspace: Workspace, expected: Identity, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        server: postgres.Server | None = None
        if kind == "postgresql":
            server = stack.enter_context(postgres.running())
            url = server.database()
            workspace.environ["DNNSWEEP_DATABASE_URL"] = url
            monkeypatch.setenv("DNNSWEEP_DATABASE_URL", url)
            stack.callback(workspace.end)
        names = [f"sweep-{index}" for index in range(5)]
        submit(workspace, names[0], description="sleep=0.2")
        clocks = [SetClock(workspace.folder / f"clock{ahead}", ahead) for ahead in (-200, 60, 200)]
        environ = [clock.environ(workspace.environ["PYTHONPATH"]) for clock in clocks]
        victim = worker(workspace, environ=environ[0])
        until(workspace, lambda: sum(trial.state is State.COMPLETE for trial in workspace.trials(names[0])) >= 3)
        for name in names[1:]:
            submit(workspace, name)
        others = [worker(workspace, environ=ahead) for ahead in environ[1:]]
        os.kill(victim.process.pid, signal.SIGKILL)
        if server is not None:
            until(workspace, lambda: SweepState.COMPLETE in states(workspace))
            server.stop("fast")
            time.sleep(1)
            server.start()
        until(workspace, lambda: states(workspace) == [SweepState.COMPLETE] * 5)

        for name in names:
            assert identity(workspace.trials(name)) == expected
            ended = [event.number for event in dnnsweep.events(name, home=workspace.home) if event.kind == "ended"]
            assert sorted(number for number in ended if number is not None) == list(range(16))
        leased = [event for event in dnnsweep.events(names[0], home=workspace.home) if event.kind == "leased"]
        assert len(leased) == 2
        assert {terminate(other) for other in others} == {0}


def test_a_worker_that_is_asked_to_end_finishes_its_trial_and_hands_the_sweep_back(
    workspace: Workspace, expected: Identity
) -> None:
    submit(workspace, description="sleep=0.3")
    first = worker(workspace, "--grace", "60")
    until(
        workspace,
        lambda: any(trial.state is State.RUNNING for trial in workspace.trials()) and len(workspace.trials()) > 2,
    )

    assert terminate(first) == 0
    after = workspace.trials()
    assert "sweep pretend: handed back" in first.err
    assert states(workspace) == [SweepState.QUEUED]
    assert {trial.attempts for trial in after if trial.state is not State.QUEUED} == {1}
    assert 0 < sum(trial.state is State.COMPLETE for trial in after) < 16

    worker(workspace)
    until(workspace, lambda: states(workspace) == [SweepState.COMPLETE])
    assert identity(workspace.trials()) == expected
    assert {trial.attempts for trial in workspace.trials()} == {1}  # nothing was trained twice


def test_a_worker_without_time_puts_what_it_trains_back_with_the_same_seeds(
    workspace: Workspace, expected: Identity
) -> None:
    submit(workspace, description="hang=5")
    first = worker(workspace, "--grace", "5")
    until(workspace, lambda: sum(trial.state is State.COMPLETE for trial in workspace.trials()) >= 5)
    asked_at = time.monotonic()

    assert terminate(first) == 0
    assert time.monotonic() - asked_at < 60  # it waited for no trial that hangs
    assert workspace.trials()[5].state is State.QUEUED

    worker(workspace)
    until(workspace, lambda: states(workspace) == [SweepState.COMPLETE])
    assert identity(workspace.trials()) == expected
    assert workspace.trials()[5].attempts == 2


def test_a_worker_that_loads_data_stops_and_hands_back_at_once(workspace: Workspace) -> None:
    submit(workspace)
    loading = workspace.start("worker", environ={"DNNSWEEP_TRAINER": "scripted_trainer:SlowTrainer"})
    until(workspace, lambda: states(workspace) == [SweepState.RUNNING])
    assert workspace.run("stop", "pretend").code == 0
    until(workspace, lambda: states(workspace) == [SweepState.STOPPED])
    submit(workspace)
    until(workspace, lambda: states(workspace) == [SweepState.RUNNING])

    assert terminate(loading) == 0
    assert states(workspace) == [SweepState.QUEUED]
    assert workspace.processes() == []


def test_a_sweep_that_is_stopped_ends_and_the_worker_goes_on_with_the_next(workspace: Workspace) -> None:
    submit(workspace, "first", description="sleep=0.5")
    submit(workspace, "second", budget={"trials": 2})
    worker(workspace)
    until(workspace, lambda: len(workspace.trials("first")) > 0)

    assert workspace.run("stop", "first").code == 0
    until(workspace, lambda: states(workspace) == [SweepState.STOPPED, SweepState.COMPLETE])


@pytest.mark.parametrize(
    ("trainer", "told"),
    [
        ("scripted_trainer:RefusingTrainer", "dataset.source: no such thing"),
        ("scripted_trainer:CrashingTrainer", "no trainer could be started"),
    ],
)
def test_a_sweep_that_cannot_be_run_fails_with_its_reason_and_the_worker_lives(
    workspace: Workspace, trainer: str, told: str
) -> None:
    submit(workspace)
    running = workspace.start("worker", environ={"DNNSWEEP_TRAINER": trainer})
    until(workspace, lambda: states(workspace) == [SweepState.FAILED])

    assert told in (dnnsweep.show("pretend", home=workspace.home).error or "")
    waiting = workspace.start("submit", workspace.file(), "--wait")  # which queues it again
    assert waiting.code == 1
    assert told in waiting.err
    assert terminate(running) == 0


def test_a_worker_checks_again_what_came_over_the_network(workspace: Workspace, tmp_path: Path) -> None:
    """Between submission and run a file becomes a link out of the data folder, another one grows."""
    root = tmp_path / "data"
    root.mkdir()
    rows = np.arange(40.0).reshape(10, 4)
    for name in ("linked", "grown"):
        np.savez(root / f"{name}.npz", x=rows, y=np.arange(10) % 2)
    limits = Limits(data_root=root, max_rows=20)
    with serving(settings_of(workspace.home), limits=limits) as url:
        place = RemoteStore(ServiceAddress(url))
        for name in ("linked", "grown"):
            place.submit({"name": name, "dataset": {"source": f"npz:{name}.npz"}, "budget": {"trials": 1}})
    (root / "linked.npz").rename(tmp_path / "elsewhere.npz")
    (root / "linked.npz").symlink_to(tmp_path / "elsewhere.npz")
    np.savez(root / "grown.npz", x=np.arange(160.0).reshape(40, 4), y=np.arange(40) % 2)
    environ = {
        "DNNSWEEP_TRAINER": "scripted_trainer:LoadingTrainer",
        "DNNSWEEP_DATA_ROOT": str(root),
        "DNNSWEEP_MAX_ROWS": "20",
    }
    workspace.start("worker", environ=environ)
    until(workspace, lambda: states(workspace) == [SweepState.FAILED] * 2)

    told = [sweep.error or "" for sweep in dnnsweep.sweeps(home=workspace.home)]
    assert "must be a file below the service's data folder" in told[0]
    assert "must be at most 20 rows on this service, got 40 rows" in told[1]
    assert str(tmp_path) not in "".join(told)


def test_a_file_of_the_data_folder_is_trained_on_wherever_the_worker_was_started(
    workspace: Workspace, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    np.savez(root / "rows.npz", x=np.random.default_rng(0).normal(size=(60, 4)), y=np.arange(60) % 2)
    with serving(settings_of(workspace.home), limits=Limits(data_root=root)) as url:
        RemoteStore(ServiceAddress(url)).submit(
            {"name": "a", "dataset": {"source": "npz:rows.npz"}, "budget": {"trials": 2}}
        )
        workspace.start(
            "worker", environ={"DNNSWEEP_TRAINER": "scripted_trainer:LoadingTrainer", "DNNSWEEP_DATA_ROOT": str(root)}
        )
        until(workspace, lambda: states(workspace) == [SweepState.COMPLETE])

    assert dnnsweep.show("a", home=workspace.home).source == "npz:rows.npz"
    assert dnnsweep.show("a", home=workspace.home).data["n_train"] == 36
