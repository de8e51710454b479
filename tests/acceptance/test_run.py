"""Sweeps run by real processes: interrupted, killed, stopped, cut off from MLflow; and what they leave behind."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from keyboard import call
from warm_python import WarmPython
from workspace import Command, Workspace, identity, prepared, wait_until

import dnnsweep
from dnnsweep.records import Reason, State, SweepState, Trial

PRETEND = {"DNNSWEEP_TRAINER": "scripted_trainer:ScriptedTrainer"}
UNREACHABLE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
Summary = list[tuple[Any, ...]]


@pytest.fixture
def workspace(tmp_path: Path, template: Path) -> Iterator[Workspace]:
    """Trainers pretend, MLflow is real."""
    made = prepared(tmp_path, template, PRETEND)
    yield made
    assert made.end() == []


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Workspace]:
    """Trainers pretend, and there is no MLflow."""
    made = prepared(tmp_path, None, PRETEND)
    yield made
    assert made.end() == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """What the tests' sweep gives with one trainer that nobody disturbs."""
    made = prepared(tmp_path_factory.mktemp("undisturbed"), None, PRETEND)
    done = made.run("run", made.file(), "--trainers", "1")
    assert (done.code, made.end()) == (0, []), done.err
    return identity(made.trials())


def assert_no_traceback(*commands: Command) -> None:
    for command in commands:
        assert "Traceback" not in command.err + command.out


def gated(workspace: Workspace, **changes: Any) -> str:
    """Write a sweep file whose trials from number 8 on are held until the workspace's gate exists."""
    return workspace.file(description=f"gate={workspace.gate}", **changes)


def bounded(command: Command, seconds: float) -> bool:
    return wait_until(lambda: command.process.poll() is not None, seconds)


# -- the same trials, whatever happens ------------------------------------------------------------------------------


def test_the_undisturbed_sweep_holds_what_was_asked_for(undisturbed: Summary) -> None:
    assert [trial[0] for trial in undisturbed] == list(range(16))
    assert len({trial[2] for trial in undisturbed}) == 16
    assert all(trial[4] is State.COMPLETE and trial[6] == 3 for trial in undisturbed)


@pytest.mark.parametrize("n_trainers", [2, 4])
def test_the_number_of_trainers_does_not_change_the_trials(
    quick: Workspace, undisturbed: Summary, n_trainers: int
) -> None:
    done = quick.run("run", quick.file(description="sleep=0.01"), "--trainers", str(n_trainers))

    assert done.code == 0, done.err
    assert identity(quick.trials()) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_goes_on_to_the_same_trials(
    workspace: Workspace, undisturbed: Summary, number: signal.Signals
) -> None:
    file = gated(workspace)
    first = workspace.start("run", file, "--trainers", "2")
    first.until_ended(8)

    seconds = first.interrupt(number)

    assert (first.code, workspace.processes()) == (130, [])
    assert seconds < 5
    assert "interrupted after 8 of 16 trials; run `dnnsweep resume pretend` to continue" in first.err
    assert first.out.startswith("best val_accuracy")
    assert_no_traceback(first)
    sweep = dnnsweep.show("pretend", home=workspace.home)
    assert (sweep.state, sweep.n_running, sweep.n_finished) == (SweepState.INTERRUPTED, 0, 8)
    workspace.gate.touch()
    again = workspace.run("run", file, "--trainers", "2")
    assert (again.code, again.n_ended) == (0, 8), again.err
    assert identity(workspace.trials()) == undisturbed
    assert_shown(workspace)


ASHA: dict[str, Any] = {"training": {"epochs": 12}, "pruner": {"kind": "asha", "reduction_factor": 2}}


def test_a_pruned_sweep_gives_the_same_trials_whoever_trains_them_and_whatever_is_killed(workspace: Workspace) -> None:
    alone = workspace.run("run", workspace.file(**ASHA, name="alone"), "--trainers", "1")
    file = workspace.file(**ASHA, description=f"sleep=0.02 kill=5 gate={workspace.gate}")
    first = workspace.start("run", file, "--trainers", "4")
    first.until_ended(6)
    first.interrupt()
    workspace.gate.touch()

    again = workspace.run("run", file, "--trainers", "3")

    assert (alone.code, first.code, again.code) == (0, 130, 0), again.err
    trials = workspace.trials()
    assert identity(trials) == identity(workspace.trials("alone"))
    pruned = [trial for trial in trials if trial.state is State.PRUNED]
    assert 3 < len(pruned) < 16
    assert {trial.reason for trial in pruned} == {Reason.PRUNED}
    assert min(trial.epochs for trial in pruned) < 12
    assert all(trial.state is State.COMPLETE for trial in dnnsweep.best("pretend", top=99, home=workspace.home))
    assert_shown(workspace)


def test_a_trainer_that_does_not_leave_a_pruned_trial_is_ended(quick: Workspace) -> None:
    assert quick.run("run", quick.file(**ASHA, name="alone"), "--trainers", "1").code == 0
    pruned = next(trial for trial in quick.trials("alone") if trial.state is State.PRUNED and trial.epochs == 1)
    file = quick.file(**ASHA, description=f"stuck={pruned.number}", resources={"silence_seconds": 2})

    done = quick.run("run", file, "--trainers", "1")

    assert done.code == 0, done.err
    assert identity(quick.trials()) == identity(quick.trials("alone"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_interrupted_while_it_loads_ends_at_once_and_leaves_nothing(
    quick: Workspace, number: signal.Signals
) -> None:
    command = quick.start("run", quick.file(), environ={"DNNSWEEP_TRAINER": "scripted_trainer:SlowTrainer"})
    assert wait_until(lambda: len(quick.trainers()) > 0)

    seconds = command.interrupt(number)

    assert (command.code, quick.processes()) == (130, [])
    assert seconds < 5
    assert "interrupted" in command.err
    assert_no_traceback(command)
    assert dnnsweep.sweeps(home=quick.home) == []


def test_a_second_ctrl_c_does_not_lose_what_was_finished(quick: Workspace, undisturbed: Summary) -> None:
    first = quick.start("run", gated(quick))
    first.until_ended(8)

    os.killpg(first.process.pid, signal.SIGINT)
    with suppress(ProcessLookupError):
        os.killpg(first.process.pid, signal.SIGINT)

    assert bounded(first, 5)
    assert (first.code, quick.processes()) == (130, [])
    assert_no_traceback(first)
    quick.gate.touch()
    assert quick.run("resume", "pretend").code == 0
    assert identity(quick.trials()) == undisturbed


def test_a_killed_controller_takes_its_trainers_along_and_the_next_run_repeats_nothing(
    quick: Workspace, undisturbed: Summary
) -> None:
    file = gated(quick)
    first = quick.start("run", file, "--trainers", "2")
    first.until_ended(8)
    assert len(quick.trainers()) == 2

    first.process.kill()
    first.process.wait()

    assert wait_until(lambda: not quick.processes(), 2)
    before = {trial.number: trial for trial in quick.trials() if trial.reason}
    assert len(before) == 8
    quick.gate.touch()
    again = quick.run("run", file)  # refused if it took the dead process's lease for a living one's
    assert again.code == 0, again.err
    after = quick.trials()
    assert identity(after) == undisturbed
    assert all(after[number] == trial for number, trial in before.items())
    assert again.n_ended == 16 - len(before)


def test_a_killed_trainer_costs_its_trial_one_attempt_and_changes_no_value(
    quick: Workspace, undisturbed: Summary
) -> None:
    done = quick.run("run", quick.file(description="kill=3"), "--trainers", "2")

    assert done.code == 0, done.err
    assert identity(quick.trials()) == undisturbed
    assert [trial.attempts for trial in quick.trials()] == [2 if number == 3 else 1 for number in range(16)]
    assert_no_traceback(done)


def test_a_trainer_killed_from_outside_is_replaced(quick: Workspace, undisturbed: Summary) -> None:
    running = quick.start("run", gated(quick), "--trainers", "2")
    running.until_ended(8)
    assert wait_until(lambda: dnnsweep.show("pretend", home=quick.home).n_running == 2)

    for pid in quick.trainers():
        os.kill(pid, signal.SIGKILL)

    quick.gate.touch()
    assert running.code == 0, running.err
    assert identity(quick.trials()) == undisturbed
    assert [trial.attempts for trial in quick.trials()] == [1] * 8 + [2, 2] + [1] * 6


def test_a_trial_that_kills_every_trainer_ends_as_killed_and_the_others_go_on(quick: Workspace) -> None:
    done = quick.run("run", quick.file(description="kill_always=2"), "--trainers", "2")

    assert done.code == 0, done.err
    trials = quick.trials()
    assert (trials[2].reason, trials[2].attempts, trials[2].value) == (Reason.KILLED, 3, None)
    assert "SIGKILL" in str(trials[2].error)
    assert [trial.reason for trial in trials if trial.number != 2] == [Reason.COMPLETED] * 15


def test_a_trainer_that_is_stopped_is_replaced_and_changes_no_value(quick: Workspace, undisturbed: Summary) -> None:
    file = quick.file(description="freeze=3", resources={"hung_seconds": 3})

    done = quick.run("run", file, "--trainers", "2")

    assert done.code == 0, done.err
    assert identity(quick.trials()) == undisturbed
    assert [trial.attempts for trial in quick.trials()] == [2 if number == 3 else 1 for number in range(16)]
    lost = [event for event in dnnsweep.events("pretend", home=quick.home) if event.kind == "attempt lost"]
    assert [(event.number, event.attempt) for event in lost] == [(3, 1)]
    assert "no sign of life for 3 seconds" in str(lost[0].detail)


def test_a_trial_that_stays_silent_ends_as_timeout_and_the_others_go_on(quick: Workspace, undisturbed: Summary) -> None:
    file = quick.file(description="hang=3", resources={"silence_seconds": 1.5}, sampler={"window": 16})

    done = quick.run("run", file, "--trainers", "2")

    assert done.code == 0, done.err
    silent = quick.trials()[3]
    assert (silent.reason, silent.value) == (Reason.TIMEOUT, None)
    assert "silence_seconds = 1.5" in str(silent.error)
    assert [trial.reason for trial in quick.trials() if trial.number != 3] == [Reason.COMPLETED] * 15
    assert [trial.number for trial in quick.trials()] == [trial[0] for trial in undisturbed]


def test_trainers_that_cannot_start_end_the_run_with_the_reason(quick: Workspace) -> None:
    done = quick.run("run", quick.file(description="die_at_start"))

    assert done.code == 1
    assert "SIGKILL" in done.err
    assert_no_traceback(done)
    assert dnnsweep.sweeps(home=quick.home) == []


# -- two processes and one sweep ------------------------------------------------------------------------------------


def test_a_running_sweep_is_held_can_be_stopped_from_outside_and_resumed(quick: Workspace) -> None:
    file = gated(quick)
    first = quick.start("run", file, "--trainers", "2")
    first.until_ended(8)

    second, deletion = quick.run("run", file), quick.run("delete", "pretend", "--yes")
    assert (second.code, deletion.code) == (1, 1)
    assert f"process {first.process.pid} on" in second.err
    assert "dnnsweep stop pretend" in second.err
    assert_no_traceback(second, deletion)
    assert first.process.poll() is None

    assert quick.run("stop", "pretend").code == 0
    assert bounded(first, 10)
    assert first.code == 130
    assert "stopped" in first.err
    assert "`dnnsweep resume pretend" in first.err
    n_stopped = sum(trial.reason is Reason.STOPPED for trial in quick.trials())
    assert n_stopped == 2
    assert dnnsweep.show("pretend", home=quick.home).state is SweepState.STOPPED
    assert "not running" in quick.run("stop", "pretend").err

    quick.gate.touch()
    resumed = quick.run("resume", "pretend")
    assert resumed.code == 0, resumed.err
    sweep = dnnsweep.show("pretend", home=quick.home)
    assert (sweep.state, sweep.n_finished) == (SweepState.COMPLETE, 16)
    assert len(quick.trials()) == 16 + n_stopped


def test_two_runs_started_together_do_not_both_train(quick: Workspace, undisturbed: Summary) -> None:
    file = gated(quick)

    both = [quick.start("run", file, "--trainers", "1") for _ in range(2)]
    assert wait_until(lambda: any(command.process.poll() is not None for command in both))
    quick.gate.touch()

    assert sorted(command.code for command in both) == [0, 1]
    assert identity(quick.trials()) == undisturbed
    assert [trial.attempts for trial in quick.trials()] == [1] * 16
    assert_no_traceback(*both)


def test_a_run_that_waits_goes_on_where_the_other_one_ended(quick: Workspace, undisturbed: Summary) -> None:
    file = gated(quick)
    first = quick.start("run", file, "--trainers", "1")
    first.until_ended(8)

    second = quick.start("run", file, "--wait")
    assert wait_until(lambda: f"process {first.process.pid} on" in second.err)
    first.interrupt()
    quick.gate.touch()

    assert (first.code, second.code) == (130, 0), second.err
    assert second.err.count("waiting:") == 1
    assert identity(quick.trials()) == undisturbed


def test_events_tell_the_story_of_a_sweep(quick: Workspace) -> None:
    assert quick.run("run", quick.file(description="kill=3"), "--trainers", "2").code == 0

    shown, listed = quick.run("show", "pretend", "--events"), quick.run("show", "pretend", "--events", "--json").json
    of_trial = [(event["kind"], event["attempt"]) for event in listed if event["number"] == 3]

    assert of_trial[:4] == [("created", None), ("started", 1), ("attempt lost", 1), ("started", 2)]
    assert of_trial[4] == ("ended", 2)
    assert "SIGKILL" in shown.out
    assert [event["kind"] for event in listed if event["number"] is None][:2] == ["created", "leased"]


# -- endings --------------------------------------------------------------------------------------------------------


def test_ten_failures_in_a_row_end_the_sweep_with_the_error_shown(quick: Workspace) -> None:
    done = quick.run("run", quick.file(description="fail_from=2", budget={"trials": 40}))

    assert done.code == 1
    assert "10 trials in a row failed" in done.err
    assert "RuntimeError: trial 11 was told to fail" in done.err
    assert_no_traceback(done)
    sweep = dnnsweep.show("pretend", home=quick.home)
    assert sweep.state is SweepState.FAILED
    assert "trial 11" in str(sweep.error)
    assert sweep.n_finished < 20


def test_a_time_budget_ends_the_sweep_and_what_ran_does_not_count(quick: Workspace) -> None:
    file = gated(quick, budget={"trials": 100}, sampler={"window": 4})

    done = quick.run("run", file, "--seconds", "3", "--trainers", "2")

    assert done.code == 0, done.err
    trials, sweep = quick.trials(), dnnsweep.show("pretend", home=quick.home)
    assert (sweep.state, sweep.n_finished) == (SweepState.COMPLETE, 8)
    assert [trial.reason for trial in trials] == [Reason.COMPLETED] * 8 + [Reason.STOPPED] * 2 + [None] * 2
    assert 3 <= sweep.seconds < 13
    again = quick.run("run", file, "--seconds", "3", "--trainers", "2")
    assert again.code == 0, again.err
    assert quick.trials() == trials
    quick.gate.touch()
    more = quick.run("run", file, "--trials", "10", "--set", "budget.seconds=null")
    assert more.code == 0, more.err
    assert dnnsweep.show("pretend", home=quick.home).n_finished == 10


def test_a_target_that_is_reached_ends_the_sweep_and_a_higher_one_goes_on(
    quick: Workspace, undisturbed: Summary
) -> None:
    values = [value for _, _, _, value, *_ in undisturbed if value is not None]
    low, high = sorted(values)[len(values) // 2], max(values)

    done = quick.run("run", quick.file(), "--set", f"budget.target={low!r}", "--trainers", "1")

    assert done.code == 0, done.err
    assert f"has reached its target of {low:g}" in done.err
    sweep, n_first = dnnsweep.show("pretend", home=quick.home), len(quick.trials())
    assert (sweep.state, sweep.best_value is not None and sweep.best_value >= low) == (SweepState.COMPLETE, True)
    assert sweep.n_finished < len(undisturbed)
    again = quick.run("run", quick.file(), "--set", f"budget.target={low!r}")
    assert (again.code, again.n_ended, len(quick.trials())) == (0, 0, n_first)
    more = quick.run("run", quick.file(), "--set", f"budget.target={high + 1}")
    assert more.code == 0, more.err
    assert dnnsweep.show("pretend", home=quick.home).n_finished == len(undisturbed)


def test_a_grid_ends_when_every_point_was_tried_whatever_happened(quick: Workspace) -> None:
    space = {"dropout": {"low": 0.0, "high": 0.6, "steps": 4}, "optimizer": ["sgd", "adam", "nadam"]}
    file = gated(quick, space=space, sampler={"kind": "grid"}, budget={"trials": 100})

    stopped = quick.run("run", file, "--seconds", "3", "--trainers", "2")
    quick.gate.touch()
    done = quick.run("run", file, "--set", "budget.seconds=null")

    assert (stopped.code, done.code) == (0, 0), done.err
    trials = quick.trials()
    tried = [(t.params["dropout"], t.params["optimizer"]) for t in trials if t.reason is Reason.COMPLETED]
    assert len(set(tried)) == len(tried) == 12
    assert sum(trial.reason is Reason.STOPPED for trial in trials) == len(trials) - 12 > 0


# -- terminals and pipes --------------------------------------------------------------------------------------------


def test_progress_is_a_line_for_each_trial_on_stderr_and_the_best_comes_last_on_stdout(quick: Workspace) -> None:
    done = quick.run("run", quick.file(description="diverge=1", budget={"trials": 5}))

    *progress, state, behind = done.err.splitlines()[:-5]
    assert done.code == 0, done.err
    assert [line.partition("]")[0] for line in progress] == [f"[{n}/5" for n in range(1, 6)]
    assert sum("trial 1: diverged" in line for line in progress) == 1
    assert state == "sweep pretend is complete: 5 trials, 0 failed, 1 diverged"
    assert behind.startswith("6 updates are still waiting for MLflow")
    best = max(
        (trial for trial in quick.trials() if trial.value is not None), key=lambda trial: float(trial.value or 0)
    )
    assert done.out.splitlines()[0] == f"best val_accuracy: {best.value:.6g} (trial {best.number}, epoch 3 of 3)"


def test_a_run_that_prints_json_prints_nothing_else_on_stdout(quick: Workspace) -> None:
    done = quick.run("run", quick.file(budget={"trials": 4}), "--json")

    assert done.code == 0, done.err
    assert [entry["number"] for entry in done.json] == [dnnsweep.best("pretend", home=quick.home)[0].number]
    assert done.json == quick.run("best", "pretend", "--top", "1", "--json").json


def test_a_reader_that_goes_away_is_no_error(quick: Workspace) -> None:
    assert quick.run("run", quick.file(budget={"trials": 60})).code == 0
    for words in (["trials", "pretend"], ["trials", "pretend", "--json"], ["list"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "dnnsweep", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=quick.environment(),
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        with process.stderr as stderr:
            said = stderr.read()
        assert (process.wait(60), said) == (0, b""), words


class Terminal:
    """A command on a terminal of its own, as a person sees it."""

    def __init__(self, workspace: Workspace, *words: str) -> None:
        self._far, near = pty.openpty()
        termios.tcsetwinsize(near, (40, 160))
        code = (
            "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
            "os.execv(sys.executable, [sys.executable, '-m', 'dnnsweep', *sys.argv[1:]])"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdin=near,
            stdout=near,
            stderr=near,
            env=workspace.environment({"TERM": "xterm"}),
            start_new_session=True,
        )
        os.close(near)
        self._seen = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the far side is closed
            while part := os.read(self._far, 65536):
                self._seen += part

    @property
    def seen(self) -> str:
        return self._seen.decode(errors="replace")

    def type(self, keys: bytes) -> None:
        os.write(self._far, keys)

    def end(self) -> int:
        code = self.process.wait(90)
        self._reader.join(10)
        os.close(self._far)
        return code


def test_on_a_terminal_the_display_is_alive_and_the_best_comes_last(quick: Workspace) -> None:
    file = quick.file(name="shown", description="sleep=0.2 diverge=1", budget={"trials": 6})

    terminal = Terminal(quick, "run", file)

    assert terminal.end() == 0, terminal.seen
    assert "\x1b[" in terminal.seen
    for text in ("training", "/6", " running", "0 failed, 1 diverged", "latest", "best", "dropout=", "next:"):
        assert text in terminal.seen, text
    last = terminal.seen.rpartition("best val_accuracy")[2]
    assert "learning_rate: 0.001" in last
    assert "Traceback" not in terminal.seen


def test_ctrl_c_on_a_terminal_interrupts_and_leaves_a_usable_screen(quick: Workspace) -> None:
    terminal = Terminal(quick, "run", gated(quick))
    assert wait_until(lambda: "8/16" in terminal.seen)

    terminal.type(b"\x03")

    assert wait_until(lambda: terminal.process.poll() is not None, 15)  # 5, but other tests keep the machine busy
    assert terminal.end() == 130
    assert "was interrupted after" in terminal.seen
    assert "Traceback" not in terminal.seen
    assert terminal.seen.rindex("\x1b[?25h") > terminal.seen.rindex("\x1b[?25l")  # the cursor is shown again
    assert quick.processes() == []


# -- what was stored, and what MLflow shows -------------------------------------------------------------------------


def mlflow_client(workspace: Workspace) -> Any:
    import mlflow

    return mlflow.MlflowClient(tracking_uri=f"sqlite:///{workspace.home / 'mlflow.db'}")


def assert_shown(workspace: Workspace, name: str = "pretend") -> None:
    """Compare MLflow, through its own client, with the ledger."""
    client, sweep, trials = mlflow_client(workspace), dnnsweep.show(name, home=workspace.home), workspace.trials(name)
    experiment = client.get_experiment_by_name(name)
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id], max_results=1000)}
    assert len(runs) == len(trials) + 1
    assert sweep.n_undelivered == 0
    parent = runs[str(sweep.run_id)]
    assert parent.info.status == "FINISHED"
    assert "mlflow.parentRunId" not in parent.data.tags
    points = client.get_metric_history(parent.info.run_id, "best_value")
    assert sorted((point.step, point.value) for point in points) == best_so_far(trials, sweep.direction)
    text = Path(client.download_artifacts(parent.info.run_id, "sweep.yaml")).read_text()
    assert yaml.safe_load(text) == sweep.spec
    for trial in trials:
        assert_trial_shown(client, runs[str(trial.run_id)], trial, parent.info.run_id)


def best_so_far(trials: list[Trial], direction: str) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    better = max if direction == "maximize" else min
    for trial in trials:
        values = ([found[-1][1]] if found else []) + ([] if trial.value is None else [trial.value])
        if values:
            found.append((trial.number, better(values)))
    return found


def assert_trial_shown(client: Any, run: Any, trial: Trial, parent: str) -> None:
    assert run.data.params == {name: str(value) for name, value in trial.params.items()}
    assert run.info.status == ("FAILED" if trial.state is State.FAILED else "FINISHED")
    assert run.info.end_time == trial.ended_at
    assert run.info.start_time <= (trial.started_at or 0)  # MLflow keeps the first attempt's
    assert trial.attempts > 1 or run.info.start_time == trial.started_at
    tags = {name.removeprefix("dnnsweep."): text for name, text in run.data.tags.items()}
    assert tags["mlflow.parentRunId"] == parent
    expected = (trial.sweep, str(trial.number), trial.state, trial.reason)
    assert tuple(tags[name] for name in ("sweep", "trial", "state", "reason")) == expected
    names = set(run.data.metrics)
    assert not any(math.isnan(value) for value in run.data.metrics.values())
    assert {"loss", "accuracy", "val_accuracy", "l2_penalty"} <= names
    if trial.value is None:
        assert not {"objective", "best_epoch"} & names
        return
    assert run.data.metrics["objective"] == trial.value
    assert run.data.metrics["best_epoch"] == trial.best_epoch
    of_network = {name for name in names if "/" not in name}
    for metric in of_network - {"objective", "best_epoch", "n_parameters"}:
        history = client.get_metric_history(run.info.run_id, metric)
        assert sorted(point.step for point in history) == list(range(1, trial.epochs + 1)), metric
        at_best = next(point.value for point in history if point.step == trial.best_epoch)
        assert at_best == trial.metrics[metric]


def by_hand(workspace: Workspace, name: str) -> list[tuple[Any, ...]]:
    statement = """
        SELECT t.number, t.value, json_extract(t.params, '$.dropout'), json_extract(t.params, '$.optimizer'),
               json_extract(t.params, '$.learning_rate'), json_extract(t.params, '$.hidden'),
               t.reason, t.best_epoch, t.epochs, t.seconds, t.run_id
        FROM trials t JOIN sweeps s ON s.id = t.sweep_id
        WHERE s.name = ? AND t.state = 'COMPLETE'
        ORDER BY CASE s.direction WHEN 'maximize' THEN -t.value ELSE t.value END, t.val_loss, t.number
    """
    with closing(sqlite3.connect(workspace.home / "dnnsweep.db")) as connection:
        return connection.execute(statement, [name]).fetchall()


def as_queried(best: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    knobs: Callable[[Any], tuple[Any, ...]] = lambda params: (  # noqa: E731  a view, not a function of its own
        params["dropout"],
        params["optimizer"],
        params["learning_rate"],
        json.dumps(params["hidden"], separators=(",", ":")),
    )
    names = ("reason", "best_epoch", "epochs", "seconds", "run_id")
    return [(t["number"], t["value"], *knobs(t["params"]), *(t[name] for name in names)) for t in best]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Workspace]:
    """A finished sweep in which one trial diverged and one was killed."""
    made = prepared(tmp_path_factory.mktemp("finished"), template, PRETEND)
    done = made.run("run", made.file(description="diverge=4 kill_always=2"), "--trainers", "2")
    assert done.code == 0, done.err
    assert "waiting for MLflow" not in done.err
    yield made
    assert made.end() == []


Read = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def read(finished: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Read:
    """Calls commands that read the finished sweep, in this process."""
    for name in [name for name in os.environ if name.startswith(("DNNSWEEP_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DNNSWEEP_HOME", str(finished.home))
    return partial(call, capsys)


def test_best_is_what_a_query_written_by_hand_finds(finished: Workspace, read: Read) -> None:
    best, first = (json.loads(read("best", "pretend", "--top", top, "--json").stdout) for top in ("100", "3"))

    assert len(best) == 14
    assert as_queried(best) == by_hand(finished, "pretend")
    assert as_queried(first) == by_hand(finished, "pretend")[:3]


def test_mlflow_shows_every_trial_as_the_ledger_has_it(finished: Workspace) -> None:
    assert {trial.reason for trial in finished.trials()} == {Reason.COMPLETED, Reason.DIVERGED, Reason.KILLED}
    assert_shown_but(finished, {2})


def assert_shown_but(workspace: Workspace, unmeasured: set[int]) -> None:
    """Like `assert_shown`; some trials have measured nothing."""
    client, trials = mlflow_client(workspace), workspace.trials()
    for trial in trials:
        run = client.get_run(trial.run_id)
        if trial.number in unmeasured:
            assert (run.data.metrics, run.info.status) == ({}, "FAILED")
            assert "SIGKILL" in run.data.tags["dnnsweep.error"]
        else:
            assert_trial_shown(client, run, trial, str(dnnsweep.show("pretend", home=workspace.home).run_id))


def test_a_value_that_is_not_finite_is_a_finding_in_mlflow_and_no_number(finished: Workspace) -> None:
    client, trial = mlflow_client(finished), finished.trials()[4]

    run = client.get_run(trial.run_id)

    assert trial.reason is Reason.DIVERGED
    assert [point.step for point in client.get_metric_history(trial.run_id, "val_loss")] == [1, 2]
    assert "val_loss not finite from epoch 3" in run.data.tags["dnnsweep.findings"]
    with closing(sqlite3.connect(finished.home / "mlflow.db")) as connection:
        assert connection.execute("SELECT count(*) FROM metrics WHERE is_nan").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM metrics WHERE abs(value) > 1e300").fetchone() == (0,)


def test_json_yaml_and_csv_say_the_same(read: Read) -> None:
    for words in (["best", "pretend"], ["trials", "pretend"], ["best", "pretend", "--where", "value > 99"]):
        as_json, as_yaml, as_csv = (read(*words, form) for form in ("--json", "--yaml", "--csv"))
        entries = json.loads(as_json.stdout)
        assert yaml.safe_load(as_yaml.stdout) == entries
        rows = list(csv.DictReader(io.StringIO(as_csv.stdout)))
        assert [int(row["number"]) for row in rows] == [entry["number"] for entry in entries]
        for row, entry in zip(rows, entries, strict=True):
            assert row["value"] == ("" if entry["value"] is None else repr(entry["value"]))
            assert float(row["params.dropout"]) == entry["params"]["dropout"]
            assert json.loads(row["params.hidden"]) == entry["params"]["hidden"]
            assert (row["reason"], row["run_id"]) == (entry["reason"], entry["run_id"])
        assert (as_json.stderr, as_yaml.stderr, as_csv.stderr) == ("", "", "")


def test_a_sweep_survives_an_unreachable_mlflow_and_delivers_later_without_doubles(
    workspace: Workspace, undisturbed: Summary
) -> None:
    done = workspace.run("run", workspace.file(), environ=UNREACHABLE)

    assert done.code == 0, done.err
    assert identity(workspace.trials()) == undisturbed
    assert "17 updates are still waiting for MLflow" in done.err
    before, _, _ = done.err.partition("next:\n")
    assert len(before.splitlines()) == 18
    assert done.out.startswith("best val_accuracy")
    assert "17 updates behind" in workspace.run("show", "pretend").out
    for _ in range(2):
        resumed = workspace.run("resume", "pretend")
        assert (resumed.code, resumed.n_ended) == (0, 0), resumed.err
        assert "waiting for MLflow" not in resumed.err
        assert_shown(workspace)


def test_a_deleted_sweep_is_gone_from_the_ledger_the_models_and_mlflow(workspace: Workspace) -> None:
    assert workspace.run("run", workspace.file(budget={"trials": 3})).code == 0
    (workspace.home / "models" / "pretend").mkdir(parents=True)

    done = workspace.run("delete", "pretend", "--yes")

    assert (done.code, done.out) == (0, ""), done.err
    assert dnnsweep.sweeps(home=workspace.home) == []
    assert not (workspace.home / "models" / "pretend").exists()
    client = mlflow_client(workspace)
    assert client.search_runs([client.get_experiment_by_name("pretend").experiment_id]) == []
    assert workspace.run("run", workspace.file(budget={"trials": 2})).code == 0
    assert len(workspace.trials()) == 2
    assert_shown(workspace)


def test_runs_of_a_sweep_deleted_while_mlflow_was_away_are_removed_later(workspace: Workspace) -> None:
    assert workspace.run("run", workspace.file(budget={"trials": 2})).code == 0

    deleted = workspace.run("delete", "pretend", "--yes", environ=UNREACHABLE)

    assert deleted.code == 0, deleted.err
    assert "by the next command that can reach MLflow" in deleted.err
    client = mlflow_client(workspace)
    experiment = client.get_experiment_by_name("pretend").experiment_id
    assert len(client.search_runs([experiment])) == 3
    assert workspace.run("run", workspace.file(name="other", budget={"trials": 1})).code == 0
    assert client.search_runs([experiment]) == []


# -- the real trainer -----------------------------------------------------------------------------------------------


def table(path: Path, shift: float = 0.0) -> None:
    rows = [("width", "place", "kind")]
    rows += [(str(n % 3 + n / 100 + shift), "ab"[n % 2], ("x", "y", "z")[n % 3]) for n in range(90)]
    path.write_text("\n".join(map(",".join, rows)) + "\n")


KERAS = {
    "name": "table",
    "dataset": {"source": "csv:table.csv", "target": "kind"},
    "space": {"learning_rate": {"values": [0.01, 1000000.0]}, "optimizer": ["sgd", "adam"], "dropout": [0.0, 0.1]},
    "objective": {"metric": "val_loss"},
    "training": {"epochs": 3},
    "budget": {"trials": 3},
    "confirm": None,
    "enqueue": [
        {"learning_rate": 1000000.0, "optimizer": "sgd", "dropout": 0.0},
        {"learning_rate": 0.01, "optimizer": "adam", "dropout": 0.1},
        {"learning_rate": 0.01, "optimizer": "sgd", "dropout": 0.0},
    ],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Workspace]:
    """A small table, three real networks, one of which blows up."""
    made = prepared(tmp_path_factory.mktemp("trained"), template, {})
    table(made.folder / "table.csv")
    done = made.run("run", made.file(**KERAS), "--trainers", "1", "--json")
    assert done.code == 0, done.err
    (made.folder / "run.err").write_text(done.err)
    (made.folder / "run.out").write_text(done.out)
    yield made
    assert made.end() == []


def test_a_learning_rate_of_a_million_diverges_and_the_sweep_goes_on(trained: Workspace) -> None:
    trials = trained.trials("table")

    assert trials[0].params["learning_rate"] == 1e6
    assert (trials[0].reason, trials[0].state, trials[0].value) == (Reason.DIVERGED, State.FAILED, None)
    assert [trial.reason for trial in trials[1:]] == [Reason.COMPLETED] * 2
    assert all(trial.value is not None and math.isfinite(trial.value) for trial in trials[1:])


def test_nothing_of_tensorflow_reaches_the_screen(trained: Workspace) -> None:
    lines = (trained.folder / "run.err").read_text().partition("\nnext:\n")[0].splitlines()
    *progress, state = [line for line in lines if not line.startswith("note: ")]  # notes on the data come first

    assert [line[:3] for line in progress] == ["[1/", "[2/", "[3/"]
    assert state == "sweep table is complete: 3 trials, 0 failed, 1 diverged; all in MLflow"
    (best,) = json.loads((trained.folder / "run.out").read_text())
    assert best["number"] == dnnsweep.best("table", home=trained.home)[0].number


def test_mlflow_shows_real_training_as_the_ledger_has_it(trained: Workspace) -> None:
    trials, client = trained.trials("table"), mlflow_client(trained)
    parent = str(dnnsweep.show("table", home=trained.home).run_id)

    for trial in trials:
        assert_trial_shown(client, client.get_run(trial.run_id), trial, parent)
    with closing(sqlite3.connect(trained.home / "mlflow.db")) as connection:
        assert connection.execute("SELECT count(*) FROM metrics WHERE is_nan").fetchone() == (0,)
    assert as_queried(trained.run("best", "table", "--json").json) == by_hand(trained, "table")


def test_only_the_best_model_is_kept_and_mlflow_has_it_too(trained: Workspace) -> None:
    best, client = dnnsweep.best("table", home=trained.home)[0], mlflow_client(trained)

    kept = [path.name for path in (trained.home / "models").rglob("*.keras")]

    assert kept == [f"trial-{best.number}-1.keras"]
    path = dnnsweep.model_file("table", home=trained.home)
    shown = client.download_artifacts(dnnsweep.show("table", home=trained.home).run_id, "best/model.keras")
    assert Path(shown).read_bytes() == path.read_bytes()


def test_a_sweep_is_refused_when_its_data_have_changed(trained: Workspace) -> None:
    file, before = trained.file(**{**KERAS, "budget": {"trials": 4}}), trained.trials("table")
    table(trained.folder / "table.csv", shift=0.5)

    done = trained.run("run", file, "--trainers", "1")

    table(trained.folder / "table.csv")
    assert done.code == 1
    assert "the data at csv:table.csv have changed" in done.err
    assert_no_traceback(done)
    assert trained.trials("table") == before
    assert dnnsweep.show("table", home=trained.home).n_trials == 3


def test_wrong_files_and_wrong_data_end_with_2_and_store_nothing(tmp_path: Path) -> None:
    made = prepared(tmp_path, None, {})
    home = made.folder / "never"
    table(made.folder / "table.csv")
    wrong = {
        "training.epochs": made.file(**{**KERAS, "training": {"epochs": 0}}),
        "dataset.target": made.file(**{**KERAS, "dataset": {"source": "csv:table.csv", "target": "colour"}}),
        "dataset.source": made.file(**{**KERAS, "dataset": {"source": "csv:nowhere.csv", "target": "kind"}}),
    }

    for path, file in wrong.items():
        done = made.run("run", file, "--trainers", "1", environ={"DNNSWEEP_HOME": str(home)})
        assert (done.code, done.out) == (2, ""), done.err
        assert done.err.startswith(f"error: {path}: ")
        assert_no_traceback(done)
        if path == "training.epochs":
            assert not home.exists()
        else:  # what took the lease while the data were loaded
            assert {file.name.partition("-")[0] for file in home.iterdir()} <= {"dnnsweep.db"}
            assert dnnsweep.sweeps(home=home) == []
    assert made.end() == []


def test_arrays_are_swept_from_a_script_without_a_main_guard(tmp_path: Path, warm_python: WarmPython) -> None:
    made = prepared(tmp_path, None, {})
    script = made.folder / "script.py"
    script.write_text(
        "import json\n"
        "import numpy as np\n"
        "import dnnsweep\n"
        "x = np.random.default_rng(0).normal(size=(80, 3))\n"
        "y = 10 * x[:, 0] + 100\n"
        "spec = {'name': 'arrays', 'space': {'dropout': [0.0, 0.2]}, 'training': {'epochs': 2}, 'dataset': {}}\n"
        "sweep = dnnsweep.run(spec, data=(x, y), trials=2, trainers=2)\n"
        "print(json.dumps([sweep.state, sweep.show().data['task'], sweep.best()[0].value, len(sweep.trials())]))\n"
    )

    done = warm_python.run(script, environ=made.environment())

    assert done.returncode == 0, done.stderr
    state, task, value, n_trials = json.loads(done.stdout)
    assert (state, task, n_trials) == ("COMPLETE", "regression", 2)
    assert 0 < value < 10
    assert done.stderr == ""
    assert made.end() == []
