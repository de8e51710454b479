"""Targets of the Makefile, and the workflows that call them."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([\w.-]+):(?!=)", MAKEFILE, re.MULTILINE))
PYTHONS = ("3.11", "3.12", "3.13")


@pytest.fixture
def fake_python(tmp_path: Path) -> Path:
    """A Python that says that it is 3.10; whatever it is asked for is noted."""
    code = "import sys; sys.version_info = (3, 10, 9); sys.argv = sys.argv[1:]; exec(sys.argv[1])"
    path = tmp_path / "python"
    path.write_text(
        f'#!/bin/sh\necho "$1 $2" >> "{tmp_path}/asked"\n[ "$1" = -c ] && exec {sys.executable} -c "{code}" "$@"\n'
    )
    path.chmod(0o755)
    return path


def test_an_installation_into_an_unsupported_python_is_refused_at_once(fake_python: Path, tmp_path: Path) -> None:
    words = ["make", "install", f"PYTHON={fake_python}", f"VENV={tmp_path / 'venv'}"]

    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "dnnsweep needs Python 3.11 to 3.13, this is 3.10" in done.stderr
    assert "-m venv" not in (tmp_path / "asked").read_text()
    assert not (tmp_path / "venv").exists()


def test_the_versions_of_python_are_the_same_everywhere() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["ci"]["strategy"]["matrix"]

    assert 'requires-python = ">=3.11,<3.14"' in project
    assert re.findall(r"Python :: (3\.\d+)", project) == list(PYTHONS)
    assert matrix["python"] == list(PYTHONS)
    assert "(3, 11) <= v < (3, 14)" in MAKEFILE


def test_every_target_of_the_help_exists() -> None:
    told = set(re.findall(r'@echo "make ([\w.-]+)', MAKEFILE))

    assert told <= TARGETS
    assert {"test", "check", "test-all", "test-wheel"} <= told


# -- make test-all --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def test_all() -> ModuleType:
    found = importlib.util.spec_from_file_location("test_all", ROOT / "tools" / "test_all.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_every_folder_of_tests_is_run_by_a_part(test_all: ModuleType) -> None:
    [left_out] = re.findall(r"^norecursedirs = (\[.*\])", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    folders = {name for name in yaml.safe_load(left_out) if not name.startswith(".")}
    recipes = {
        name: re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
        for name, target in test_all.PARTS.items()
    }

    assert all(len(recipe) == 1 for recipe in recipes.values())
    assert folders == {
        folder for [recipe] in recipes.values() for folder in re.findall(r"tests/(\w+)\b(?!\.)", recipe)
    } - {"test_study"}


def test_parts_are_left_out_by_name_and_no_other_name_is_taken(test_all: ModuleType) -> None:
    assert test_all.selected(["compose", "browser"]) == [
        part for part in test_all.PARTS if part not in ("compose", "browser")
    ]
    with pytest.raises(ValueError, match=r"SKIP must name parts of check .*, got docker"):
        test_all.selected(["docker"])


def test_a_part_that_cannot_be_run_here_fails_before_anything_is_run(
    test_all: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ran: list[str] = []

    def run(part: str) -> bool:
        ran.append(part)
        return True

    monkeypatch.setattr(test_all, "run", run)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)

    monkeypatch.setattr(sys, "argv", ["test_all.py"])
    assert test_all.main() == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("compose cannot be tested here: there is no docker command")
    assert said[1].startswith("browser cannot be tested here: there is no Chromium")
    assert said[1].endswith('SKIP="browser" leaves it out')
    assert ran == []

    monkeypatch.setattr(sys, "argv", ["test_all.py", "--skip", "compose browser"])
    assert test_all.main() == 0
    assert ran == [part for part in test_all.PARTS if part not in ("compose", "browser")]


def test_one_part_that_fails_fails_all_and_the_others_are_run(
    test_all: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def run(part: str) -> bool:
        ran.append(part)
        return part != "test"

    monkeypatch.setattr(test_all, "run", run)
    monkeypatch.setattr(sys, "argv", ["test_all.py", "--skip", "compose browser gp"])

    assert test_all.main() == 1
    assert ran == [part for part in test_all.PARTS if part not in ("compose", "browser", "gp")]
    assert capsys.readouterr().out == "failed: test\n"


# -- workflows ------------------------------------------------------------------------------------------------------


def test_the_workflows_are_those_of_the_documentation() -> None:
    assert [path.name for path in WORKFLOWS] == ["build.yml", "ci.yml", "nightly.yml"]


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict[Any, Any]:
    read: dict[Any, Any] = yaml.safe_load(request.param.read_text(encoding="utf-8"))
    return read


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_a_workflow_may_only_read(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert not [job for job in workflow["jobs"].values() if "permissions" in job]
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False]


def test_actions_are_githubs_own_at_a_major_version(workflow: dict[Any, Any]) -> None:
    used = [step["uses"] for step in steps(workflow) if "uses" in step]

    assert used
    assert [name for name in used if not re.fullmatch(r"actions/[\w-]+@v\d+", name)] == []


def test_every_command_of_a_workflow_exists(workflow: dict[Any, Any]) -> None:
    commands = "\n".join(step["run"] for step in steps(workflow) if "run" in step)
    made = re.findall(r"\bmake ([\w.-]+)", commands)
    scripts = re.findall(r"(?<![\w/])(\.ci/\w+)", commands)

    assert set(made) <= TARGETS
    assert all((ROOT / script).is_file() for script in scripts)
    assert made or scripts


def test_every_job_ends_at_last(workflow: dict[Any, Any]) -> None:
    assert all(isinstance(job.get("timeout-minutes"), int) for job in workflow["jobs"].values())
    assert all(job["runs-on"].startswith("ubuntu-") for job in workflow["jobs"].values())
