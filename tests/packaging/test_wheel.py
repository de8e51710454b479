"""What is released: sdist and wheel are built, the wheel is installed elsewhere, and used; `make test-wheel`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
WHEEL = f"dnnsweep-{VERSION}-py3-none-any.whl"
SDIST = f"dnnsweep-{VERSION}.tar.gz"
UV = Path(sys.executable).parent / "uv"
SWEEP = """
name: wine
dataset: {source: "sklearn:wine"}
network: {hidden: [8]}
space:
  dropout: {low: 0.0, high: 0.5}
  optimizer: [sgd, adam]
objective: {metric: val_accuracy}
training: {epochs: 3}
budget: {trials: 2}
"""

pytestmark = pytest.mark.timeout(1200)


def checked_out(folder: Path) -> Path:
    """Copy what git would check out, and what it does not know yet, but nothing that it ignores."""
    listed = [shutil.which("git") or "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def build(source: Path, target: Path, *words: str) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), *words, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checked_out(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def dist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build(source, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> dict[str, bytes]:
    """The wheel's files."""
    with zipfile.ZipFile(dist / WHEEL) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(wheel: dict[str, bytes]) -> list[str]:
    return wheel[f"dnnsweep-{VERSION}.dist-info/METADATA"].decode().splitlines()


def test_a_build_makes_one_sdist_and_one_wheel_of_this_version(dist: Path) -> None:
    assert {path.name for path in dist.iterdir()} == {WHEEL, SDIST}


def test_the_wheel_holds_the_package_the_examples_and_nothing_else(wheel: dict[str, bytes], source: Path) -> None:
    package = {str(path.relative_to(source)) for path in (source / "dnnsweep").rglob("*") if path.is_file()}
    examples = {f"dnnsweep/{path.relative_to(source)}" for path in (source / "sweeps").rglob("*") if path.is_file()}

    assert "dnnsweep/sweeps/digits.yaml" in examples
    assert {name for name in wheel if ".dist-info/" not in name} == package | examples
    assert {name.partition("/")[0] for name in wheel} == {"dnnsweep", f"dnnsweep-{VERSION}.dist-info"}
    assert "dnnsweep/py.typed" in wheel
    assert len([name for name in wheel if name.startswith("dnnsweep/ledger/migrations/versions/v0")]) >= 5


def test_the_metadata_say_what_is_needed(metadata: list[str]) -> None:
    for line in (f"Version: {VERSION}", "License-Expression: Apache-2.0", "License-File: LICENSE"):
        assert line in metadata
    [python] = [line for line in metadata if line.startswith("Requires-Python: ")]
    assert set(python.removeprefix("Requires-Python: ").split(",")) == {">=3.11", "<3.14"}
    extras = {line.removeprefix("Provides-Extra: ") for line in metadata if line.startswith("Provides-Extra: ")}
    assert extras == set(PROJECT["optional-dependencies"])
    assert "Description-Content-Type: text/markdown" in metadata


def test_the_sdist_holds_what_the_wheel_is_built_from_and_no_leftovers(dist: Path, source: Path) -> None:
    with tarfile.open(dist / SDIST) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    for name in ("LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "dnnsweep/py.typed", "tests/conftest.py"):
        assert name in names
    assert names - {"PKG-INFO"} <= {str(path.relative_to(source)) for path in source.rglob("*")}
    assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", "dist"))]


def test_the_tree_builds_the_wheel_that_the_sdist_builds(wheel: dict[str, bytes], source: Path, tmp_path: Path) -> None:
    build(source, tmp_path, "--wheel")

    with zipfile.ZipFile(tmp_path / WHEEL) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == wheel


# -- installed ------------------------------------------------------------------------------------------------------


class Installed:
    """An environment that knows the wheel and nothing of this checkout.

    Args:
        folder: An empty folder.
        wheel: The wheel.
    """

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        self._bin = folder / "venv" / "bin"
        self._uv("venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
        self.constraints = ROOT / "requirements.lock"
        words = ("--quiet", "--python", str(self._bin / "python"), "--constraints", str(self.constraints))
        self._uv("pip", "install", *words, str(wheel))
        self._uv("pip", "check", "--python", str(self._bin / "python"))

    def _uv(self, *words: str) -> None:
        done = subprocess.run([str(UV), *words], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def run(self, program: str, *words: str) -> str:
        """Run a program of the environment that must succeed; return what it prints."""
        done = self.start(program, *words)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def start(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        left_out = ("DNNSWEEP_", "MLFLOW_", "PYTHON", "VIRTUAL_ENV")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        command = [str(self._bin / program), *words]
        return subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    made = Installed(tmp_path_factory.mktemp("installed"), dist / WHEEL)
    (made.folder / "wine.yaml").write_text(SWEEP, encoding="utf-8")
    return made


def test_an_installed_wheel_says_its_version_and_is_not_the_checkout(installed: Installed) -> None:
    place = installed.run("python", "-c", "import dnnsweep; print(dnnsweep.__file__)").strip()

    assert Path(place).is_relative_to(installed.folder)
    assert VERSION in installed.run("dnnsweep", "--version")
    assert VERSION in installed.run("python", "-m", "dnnsweep", "--version")


def test_an_installed_wheel_prints_the_schema_and_checks_a_file(installed: Installed) -> None:
    assert json.loads(installed.run("dnnsweep", "schema"))["type"] == "object"
    assert "wine" in installed.run("dnnsweep", "validate", "wine.yaml")


def test_an_installed_wheel_brings_examples_with_the_files_that_they_need(installed: Installed) -> None:
    installed.run("dnnsweep", "init", "--example", "csv_example")

    assert "penguins" in installed.run("dnnsweep", "validate", "csv_example.yaml")


def test_an_installed_wheel_runs_a_sweep_and_exports_its_best_trial(installed: Installed) -> None:
    installed.run("dnnsweep", "run", "wine.yaml", "--trainers", "1")

    trials = json.loads(installed.run("dnnsweep", "trials", "wine", "--json"))
    best = json.loads(installed.run("dnnsweep", "best", "wine", "--json"))
    assert [trial["state"] for trial in trials] == ["COMPLETE", "COMPLETE"]
    assert best[0]["value"] == max(trial["value"] for trial in trials)
    installed.run("dnnsweep", "export", "wine", "--as", "python", "-o", "best.py")
    compile((installed.folder / "best.py").read_text(encoding="utf-8"), "best.py", "exec")
    assert json.loads(installed.run("dnnsweep", "doctor", "--check", "--json")) == []


def test_what_needs_an_extra_says_which_one(installed: Installed) -> None:
    done = installed.start("dnnsweep", "serve")

    assert done.returncode == 2
    assert "dnnsweep[service]" in done.stderr
    assert "Traceback" not in done.stderr
