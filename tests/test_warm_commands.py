"""A command run by a child of a warm process is the command that a fresh interpreter runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from warm_commands import WarmCommands, start_beside_trainers, warm_commands
from workspace import IS_WARM, Workspace, prepared, started_afresh


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return prepared(tmp_path, None, {"DNNSWEEP_TRAINER": "scripted_trainer:ScriptedTrainer"})


def told_each_way(workspace: Workspace, *words: str) -> list[tuple[int, str, str]]:
    """Return exit code and output of a command, started in each way."""
    told = []
    ways: dict[str, Callable[..., Any]] = {"warm": warm_commands().start, "fresh": started_afresh}
    if IS_WARM:
        ways["beside trainers"] = start_beside_trainers
    for name, start in ways.items():
        out, err = workspace.folder / f"{name}-out", workspace.folder / f"{name}-err"
        out.touch()
        err.touch()
        process = start(words, cwd=workspace.folder, out=out, err=err, env=workspace.environment())
        told.append((process.wait(60), out.read_text(), err.read_text()))
    return told


@pytest.mark.parametrize("code", [0, 1, 2])
def test_it_ends_and_prints_alike(workspace: Workspace, code: int) -> None:
    words = {0: ["validate", workspace.file()], 1: ["show", "nothing"], 2: ["validate", "nowhere.yaml"]}[code]

    warm, *others = told_each_way(workspace, *words)

    assert others == [warm] * len(others)
    assert warm[0] == code
    assert warm[1] + warm[2]


def test_it_leads_a_session_and_is_killed_as_any_process(workspace: Workspace) -> None:
    command = workspace.start("worker")

    assert os.getsid(command.process.pid) == os.getpgid(command.process.pid) == command.process.pid
    assert workspace.processes() == [command.process.pid]
    command.process.kill()

    assert command.process.wait(60) == -signal.SIGKILL
    assert workspace.processes() == []


def test_commands_of_different_folders_run_side_by_side(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = prepared(tmp_path_factory.mktemp("other"), None, {})
    commands = [each.start("list", "--json") for each in (workspace, other, workspace)]

    assert [command.process.wait(60) for command in commands] == [0, 0, 0]
    assert len({command.process.pid for command in commands}) == 3


@pytest.mark.parametrize("command", ["list", "validate"])
def test_what_python_runs_when_it_starts_is_run_once(workspace: Workspace, command: str) -> None:
    folder = workspace.folder / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("with open('runs', 'a') as file:\n    file.write('run ')\n")
    words = {"list": ["list", "--json"], "validate": ["validate", workspace.file()]}[command]

    done = workspace.run(*words, environ={"PYTHONPATH": str(folder)})

    assert done.code == 0, done.err
    assert (workspace.folder / "runs").read_text() == "run "


def test_a_process_that_cannot_fork_any_more_is_no_endless_wait(workspace: Workspace) -> None:
    commands = WarmCommands()
    commands.close()

    with pytest.raises((AssertionError, ValueError, BrokenPipeError)):
        commands.start(["list"], cwd=workspace.folder, out=workspace.folder, err=workspace.folder, env={})
