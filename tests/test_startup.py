"""What a fresh interpreter loads: commands that only read must be quick."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples import thorough
from serving import serving, settings_of
from workspace import SWEEP, TESTS, Workspace, prepared

HEAVY = {"tensorflow", "keras", "mlflow", "optuna", "fastapi", "ray", "pandas", "sklearn", "scipy", "alembic", "numpy"}
#: Typer checks arguments with pydantic, so commands load that; what is held here is that our models stay out.
MODELS = {
    "dnnsweep.spec",
    "dnnsweep.runner.run",
    "dnnsweep.datasets",
    "dnnsweep.runner.controller",
    "dnnsweep.tracking",
}
#: Says on stderr which modules were loaded when the interpreter ends.
SPY = "import atexit, sys\natexit.register(lambda: sys.__stderr__.write('loaded: ' + ' '.join(sys.modules) + '\\n'))\n"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = prepared(
        tmp_path_factory.mktemp("workspace"), None, {"DNNSWEEP_TRAINER": "scripted_trainer:ScriptedTrainer"}
    )
    done = made.run("run", made.file(budget={"trials": 3}), "--executor", "inprocess")
    assert done.code == 0, done.err
    yield made
    assert made.end() == []


def loaded(workspace: Workspace, *arguments: str) -> set[str]:
    """Return the modules that an interpreter has loaded when it ends."""
    environment = {**workspace.environment(), "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", SPY + "from dnnsweep.cli import main; main()", *arguments],
        env=environment,
        cwd=workspace.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    said, _, names = done.stderr.rpartition("loaded: ")
    assert (done.returncode, said.partition("value: the best of")[0]) == (0, "")
    assert done.stdout
    return set(names.split())


#: Words of commands -> whether others load all that these load.
READING = {
    ("--help",): True,
    ("--version",): False,
    ("run", "--help"): False,
    ("submit", "--help"): True,
    ("serve", "--help"): False,
    ("worker", "--help"): True,
    ("list",): False,
    ("list", "--json"): True,
    ("show", "pretend"): False,
    ("trials", "pretend"): False,
    ("trials", "pretend", "--json"): True,
    ("best", "pretend"): True,
    ("best", "pretend", "--csv"): True,
    ("best", "pretend", "--where", "optimizer == 'adam' or dropout < 0.5", "--json"): False,
}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(words, id=" ".join(words), marks=thorough("others load as much") if is_repeated else [])
        for words, is_repeated in READING.items()
    ],
)
def test_commands_that_only_read_load_nothing_heavy(workspace: Workspace, arguments: tuple[str, ...]) -> None:
    names = loaded(workspace, *arguments)

    assert "dnnsweep" in names
    assert sorted(names & (HEAVY | MODELS)) == []


@pytest.mark.parametrize("arguments", [["list"], ["best", "pretend"], ["trials", "pretend", "--json"]], ids=" ".join)
def test_commands_that_ask_a_service_load_nothing_heavy(workspace: Workspace, arguments: list[str]) -> None:
    with serving(settings_of(workspace.home)) as url:
        workspace.environ["DNNSWEEP_API_URL"] = url
        try:
            names = loaded(workspace, *arguments)
        finally:
            del workspace.environ["DNNSWEEP_API_URL"]

    assert "dnnsweep.stores.http" in names
    assert sorted(names & (HEAVY | MODELS)) == []


def test_help_does_not_even_load_the_ledger(workspace: Workspace) -> None:
    assert sorted(loaded(workspace, "--help") & {"sqlalchemy", "yaml", "dnnsweep.client", "dnnsweep.ledger"}) == []


def test_the_spy_sees_what_a_command_loads(workspace: Workspace) -> None:
    assert {"pydantic", "numpy"} <= loaded(workspace, "validate", workspace.file())


@pytest.mark.parametrize("code", ["import dnnsweep", "import dnnsweep; dnnsweep.best", "import dnnsweep.client"])
def test_importing_the_package_loads_nothing_heavy(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", SPY + code], capture_output=True, text=True, check=True)

    names = set(done.stderr.removeprefix("loaded: ").split())
    assert "dnnsweep" in names
    assert sorted(names & (HEAVY | MODELS | {"pydantic", "typer", "rich"})) == []


def test_importing_the_package_loads_its_client_only_when_it_is_used() -> None:
    code = "import json, sys, dnnsweep; before = 'dnnsweep.client' in sys.modules; dnnsweep.best; "
    code += "print(json.dumps([before, 'dnnsweep.client' in sys.modules]))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == [False, True]


def test_the_controllers_process_never_loads_what_trains(tmp_path: Path) -> None:
    """Its executor's processes do; here they are pretend trainers, so that nothing else could have loaded it."""
    file = tmp_path / "sweep.yaml"
    file.write_text(json.dumps({**SWEEP, "budget": {"trials": 2}}))
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "DNNSWEEP_TRAINER": "scripted_trainer:ScriptedTrainer"}
    (tmp_path / "mlflow.py").write_text("raise ImportError('without MLflow')\n")

    done = subprocess.run(
        [sys.executable, "-c", SPY + "from dnnsweep.cli import main; main()", "run", str(file), "--trainers", "1"],
        env={**environment, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(TESTS)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    names = set(done.stderr.rpartition("loaded: ")[2].split())
    assert "optuna" in names
    assert not names & {"tensorflow", "keras", "sklearn", "pandas"}
