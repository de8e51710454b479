"""What every executor does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from scripted_trainer import SUMMARY

from dnnsweep.errors import DataError, TrainerError
from dnnsweep.executors import Executor, TrainerEvent, TrainerLost, TrialDropped
from dnnsweep.executors.inprocess import InProcessExecutor
from dnnsweep.executors.local import LocalExecutor
from dnnsweep.records import EpochReport, Reason, Suggestion, TrialResult
from dnnsweep.records.phases import Phase
from dnnsweep.trainers import Job

PRETEND = "scripted_trainer:ScriptedTrainer"
Maker = Callable[..., Executor]


def job(description: str = "", source: str = "sklearn:iris") -> Job:
    dataset = {"source": source}
    return Job({"name": "x", "description": description, "dataset": dataset, "training": {"epochs": 3}})


def suggestion(number: int) -> Suggestion:
    return Suggestion(number, {"dropout": 0.1}, seed=number)


@pytest.fixture(params=["inprocess", "local"])
def executor_of(request: pytest.FixtureRequest) -> Iterator[Maker]:
    made: list[Executor] = []

    def make(description: str = "", n_trainers: int = 1, trainer: str = PRETEND) -> Executor:
        executor: Executor = (
            InProcessExecutor(job(description), trainer)
            if request.param == "inprocess"
            else LocalExecutor(job(description), n_trainers, trainer)
        )
        made.append(executor)
        return executor

    yield make
    for executor in made:
        executor.close()


def until(kind: type[TrainerEvent], executor: Executor, seconds: float = 60) -> list[TrainerEvent]:
    events: list[TrainerEvent] = []
    end = time.monotonic() + seconds
    while not any(isinstance(event, kind) for event in events):
        assert time.monotonic() < end, f"no {kind}, but {events}"
        events += executor.events(0.2)
    return events


def until_result(executor: Executor) -> list[TrainerEvent]:
    return until(TrialResult, executor)


def submit(executor: Executor, number: int, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not executor.submit(suggestion(number)):
        assert time.monotonic() < end, "no trainer became free"
        executor.events(0.1)


def test_opening_returns_what_the_trainer_found_in_the_data_and_says_what_takes_time(executor_of: Maker) -> None:
    phases: list[Phase] = []

    assert executor_of().open(on_phase=phases.append).data == SUMMARY

    assert phases[-1:] == [Phase.LOADING]
    assert set(phases) <= {Phase.STARTING, Phase.LOADING}


def test_who_waits_for_the_data_can_give_up(executor_of: Maker) -> None:
    executor, n_calls = executor_of(trainer="scripted_trainer:SlowTrainer"), 0

    def give_up() -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 3:
            raise KeyError

    with pytest.raises(KeyError):
        executor.open(give_up)


def test_a_suggestion_comes_back_as_reports_and_a_result(executor_of: Maker) -> None:
    executor = executor_of()
    executor.open()

    submit(executor, 7)

    *reports, result = until_result(executor)
    assert [report.epoch for report in reports if isinstance(report, EpochReport)] == [1, 2, 3]
    assert isinstance(result, TrialResult)
    assert (result.number, result.reason, result.best_epoch) == (7, Reason.COMPLETED, 3)


def test_a_busy_trainer_takes_no_second_suggestion(executor_of: Maker) -> None:
    executor = executor_of("sleep=0.2")
    executor.open()
    submit(executor, 0)

    assert executor.submit(suggestion(1)) is False

    until_result(executor)
    assert executor.submit(suggestion(1)) is True
    until_result(executor)


def test_a_dropped_trial_is_left_without_a_result_and_makes_room(executor_of: Maker, tmp_path: Path) -> None:
    executor = executor_of(f"sleep=0.2 gate={tmp_path / 'gate'}")
    executor.open()
    submit(executor, 8)
    until(EpochReport, executor)  # it waits at the gate now

    executor.drop(8)
    assert executor.submit(suggestion(1)) is True
    (tmp_path / "gate").touch()

    events = [*until(TrialDropped, executor), *until_result(executor)]
    assert TrialDropped(8) in events
    assert [event.number for event in events if isinstance(event, TrialResult)] == [1]


def test_the_same_suggestion_gives_the_same_curve_in_every_executor(executor_of: Maker) -> None:
    executor = executor_of()
    executor.open()
    submit(executor, 3)

    result = until_result(executor)[-1]

    assert isinstance(result, TrialResult)
    assert result.curve.values("val_loss") == pytest.approx((1.10946, 0.63158, 0.43649), abs=0.1)


def test_data_that_cannot_be_used_are_refused_as_they_would_be_here(executor_of: Maker) -> None:
    with pytest.raises(DataError, match=r"dataset.source: no such thing"):
        executor_of(trainer="scripted_trainer:RefusingTrainer").open()


# -- processes only -------------------------------------------------------------------------------------------------


@pytest.fixture
def local() -> Iterator[Callable[..., LocalExecutor]]:
    made: list[LocalExecutor] = []

    def make(description: str = "", n_trainers: int = 1) -> LocalExecutor:
        made.append(LocalExecutor(job(description), n_trainers, PRETEND))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_a_trainer_that_is_killed_is_reported_with_its_trial_and_replaced(local: Callable[..., LocalExecutor]) -> None:
    executor = local("sleep=0.1")
    executor.open()
    submit(executor, 4)
    old = executor.pids()

    os.kill(old[0], signal.SIGKILL)

    lost = until(TrainerLost, executor)[-1]
    assert isinstance(lost, TrainerLost)
    assert lost.numbers == (4,)
    assert "SIGKILL" in lost.error
    submit(executor, 4)
    assert isinstance(until_result(executor)[-1], TrialResult)
    assert executor.pids() != old


def test_trainers_that_cannot_start_are_given_up(local: Callable[..., LocalExecutor]) -> None:
    with pytest.raises(TrainerError, match="SIGKILL"):
        local("die_at_start").open()


def test_a_trainers_last_words_are_in_the_error() -> None:
    executor = LocalExecutor(job(), 1, "scripted_trainer:CrashingTrainer")

    with closing(executor), pytest.raises(TrainerError, match="ValueError: last words"):
        executor.open()


def test_closing_leaves_no_process_behind(local: Callable[..., LocalExecutor]) -> None:
    executor = local("sleep=5", n_trainers=3)
    executor.open()
    submit(executor, 0)
    pids = executor.pids()

    executor.close()

    assert len(pids) == 3
    assert not any(is_alive(pid) for pid in pids)


def test_a_process_is_replaced_after_many_trials(
    local: Callable[..., LocalExecutor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnnsweep.executors.local.TRIALS_PER_PROCESS", 2)
    executor, pids = local(), []
    executor.open()
    for number in range(4):
        submit(executor, number)
        pids.append(executor.pids()[0])
        until_result(executor)

    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert not is_alive(pids[0])


def test_trainers_ignore_ctrl_c(local: Callable[..., LocalExecutor]) -> None:
    executor = local("sleep=0.1")
    executor.open()
    submit(executor, 0)

    os.kill(executor.pids()[0], signal.SIGINT)

    assert isinstance(until_result(executor)[-1], TrialResult)


def test_trainers_end_by_themselves_when_their_controller_is_killed(tmp_path: Path) -> None:
    """The controller is a process of its own here, and dies by -9 in the middle of a trial."""
    script = tmp_path / "controller.py"
    script.write_text(
        "import time\n"
        "from dnnsweep.executors.local import LocalExecutor\n"
        "from dnnsweep.records import Suggestion\n"
        "from dnnsweep.trainers import Job\n"
        "job = Job({'description': 'sleep=60', 'training': {'epochs': 3}})\n"
        "executor = LocalExecutor(job, 2, 'scripted_trainer:ScriptedTrainer')\n"
        "executor.open()\n"
        "while not executor.submit(Suggestion(0, {'dropout': 0.1}, 0)): executor.events(0.1)\n"
        "print(*executor.pids(), flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    controller = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment)
    assert controller.stdout is not None
    pids = [int(word) for word in controller.stdout.readline().split()]
    controller.kill()
    controller.wait()
    controller.stdout.close()

    assert len(pids) == 2
    assert wait_until(lambda: not any(is_alive(pid) for pid in pids), seconds=2)


def test_a_script_without_a_main_guard_is_not_run_again_by_its_trainers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('started', flush=True)\n"
        "from dnnsweep.executors.local import LocalExecutor\n"
        "from dnnsweep.trainers import Job\n"
        "job = Job({'description': '', 'training': {'epochs': 1}})\n"
        "executor = LocalExecutor(job, 2, 'scripted_trainer:ScriptedTrainer')\n"
        "executor.open()\n"
        "executor.close()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=True)

    assert done.stdout == "started\n"
