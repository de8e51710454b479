"""What the repository shows to people works."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import socket
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keyboard import Keyboard, start
from postgres import free_port
from typer.main import get_command
from warm_processes import SOCKET
from warm_python import WarmPython
from workspace import Command

from dnnsweep import spec
from dnnsweep.cli import app
from dnnsweep.runner.outline import outline
from dnnsweep.space import KNOBS
from dnnsweep.spec import documents

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_sweep_to_start_from_is_valid_with_its_data_and_says_its_question(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HOME", str(tmp_path))
    _write_data(tmp_path / ".keras" / "datasets")
    np.savez(tmp_path / "letter.npz", **_parts(16, n_classes=26))

    shown = outline(spec.load(file, [f"dataset.source=npz:{tmp_path / 'letter.npz'}"] if file.stem == "letter" else []))

    assert shown.data.n_train > 0
    assert "?" in file.read_text(encoding="utf-8").partition("\nname:")[0]


def _write_data(folder: Path) -> None:
    """Stand in for what Keras downloads: the same shapes, few rows."""
    (folder / "fashion-mnist").mkdir(parents=True)
    images = _parts(28, 28, n_classes=10)
    np.savez(folder / "mnist.npz", **images)
    for part, name in (("train", "train"), ("test", "t10k")):
        pixels, labels = images[f"x_{part}"], images[f"y_{part}"].astype(np.uint8)
        for kind, content in (
            ("images-idx3", bytes(16) + pixels.tobytes()),
            ("labels-idx1", bytes(8) + labels.tobytes()),
        ):
            (folder / "fashion-mnist" / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
    houses = np.random.default_rng(0).normal(size=(300, 8))
    np.savez(folder / "california_housing.npz", x=houses, y=1e5 + houses[:, 0])


def _parts(*shape: int, n_classes: int) -> dict[str, Any]:
    rows = np.random.default_rng(0).integers(0, 256, (600, *shape), np.uint8)
    classes = np.arange(600) % n_classes
    return {"x_train": rows[:500], "y_train": classes[:500], "x_test": rows[500:], "y_test": classes[500:]}


#: Pages whose commands are not typed but only parsed: they name sweeps that nobody has run.
MANUAL = ["README", "docs/running", "docs/mlflow", "docs/results", "docs/sweep-file", "docs/networks", "docs/compose"]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["README", "docs/sweep-file", "docs/networks"])
def test_the_sweep_files_of_the_manual_are_valid(page: str) -> None:
    sweep_files = blocks(page, "yaml")
    assert sweep_files

    for text in sweep_files:
        spec.check(documents.parse(text, page))


def test_the_table_of_the_readme_can_be_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("customer_id", "plan", "monthly", "churned")
    rows = [(f"C{row}", "basic" if row % 3 else "pro", str(row), "yes" if row % 2 else "no") for row in range(60)]
    (tmp_path / "customers.csv").write_text("\n".join(map(",".join, [names, *rows])), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    shown = outline(spec.check(documents.parse(blocks("README", "yaml")[0], "README")))

    assert shown.data.task == "binary"
    assert shown.data.n_train == 36


def test_the_network_of_the_manual_can_be_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks("docs/networks", "python")
    (tmp_path / "nets.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    (file,) = blocks("docs/networks", "yaml")

    shown = outline(spec.check(documents.parse(file, "docs/networks")))

    assert shown.plan.kind == "fit"


def test_the_manual_names_every_value_of_a_hyperparameter() -> None:
    page = (ROOT / "docs" / "sweep-file.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}

    for name, knob in KNOBS.items():
        assert {choice for choice in knob.choices if f"`{choice}`" not in rows[name]} == set()


def commands(*pages: str) -> list[str]:
    lines = [line for page in pages for block in blocks(page, "console") for line in block.splitlines()]
    return [line.removeprefix("$ ").partition(" #")[0] for line in lines if line.startswith("$ dnnsweep")]


@pytest.mark.parametrize("line", dict.fromkeys(commands(*MANUAL)))
def test_a_command_of_the_manual_exists_with_its_options(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    group = get_command(app)
    command = group.get_command(None, name)  # type: ignore[attr-defined]

    assert command is not None
    command.make_context(name, arguments)


def test_the_readme_shows_every_kind_of_use() -> None:
    used = {shlex.split(line)[1] for line in commands("README")}

    assert used >= {"validate", "run", "ui", "best", "predict", "export"}


# ---- how it is built


def documents_of_the_build() -> list[Path]:
    return [ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs" / "decisions").glob("*.md")]


@pytest.mark.parametrize("page", documents_of_the_build(), ids=lambda page: page.stem)
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    named = set(re.findall(r"`([\w./]+\.py)`", page.read_text(encoding="utf-8")))

    places = (ROOT, ROOT / "dnnsweep")
    assert {name for name in named if not any((place / name).is_file() for place in places)} == set()


def test_the_tree_shows_every_module_and_folder_at_the_top_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = page.partition("\ndnnsweep/\n")[2].partition("```")[0]
    shown = {line.split()[0] for line in tree.splitlines()}
    package = ROOT / "dnnsweep"
    folders = {f"{file.parent.relative_to(package)}/" for file in package.rglob("__init__.py")} - {"./"}

    assert {name for name in shown if name.endswith("/")} == folders - {"ledger/migrations/versions/"}
    assert {name for name in shown if not name.endswith("/")} == {file.name for file in package.glob("*.py")}


def test_the_layers_are_those_of_the_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]

    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

    assert "\n".join(["```", *layers, "```"]) in page


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")

    assert {file.name for file in folder.glob("0*.md") if f"]({file.name})" not in index} == set()


# ---- the pages, one for each task


@pytest.fixture
def keyboard(warm_python: WarmPython, capsys: pytest.CaptureFixture[str]) -> Keyboard:
    return Keyboard(warm_python, capsys)


PAGES = ["init", "data", "space", "samplers", "pruning", "objectives", "resume", "notebook"]


@pytest.mark.timeout(500)
@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_a_page_does_what_it_says(
    name: str, keyboard: Keyboard, tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Write the files that the page shows, then type its commands, one after the other."""
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for language in ("python", "yaml"):
        for block in re.findall(rf"^```{language}\n(# (\S+)\n.*?)^```", page, re.MULTILINE | re.DOTALL):
            (tmp_path / block[1]).write_text(block[0], encoding="utf-8")
    consoles = re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line for block in consoles for line in block.splitlines()]
    assert lines
    (tmp_path / "dnnsweep-home").mkdir()
    shutil.copy(template, tmp_path / "dnnsweep-home" / "mlflow.db")
    monkeypatch.chdir(tmp_path)

    for line in lines:
        assert line.startswith("$ ")
        keyboard.type(line.removeprefix("$ "))


SERVERS = ("serve", "worker")


@pytest.mark.timeout(500)
def test_every_command_of_the_service_page_does_what_it_says(
    keyboard: Keyboard, tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Type its commands, servers in the background; then the sweep is run here too, and gives the same trials."""
    page = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    file = re.findall(r"^```yaml\n(# flowers.yaml\n.*?)^```", page, re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "flowers.yaml").write_text(file, encoding="utf-8")
    for home in ("team", "here"):
        (tmp_path / home).mkdir()
        shutil.copy(template, tmp_path / home / "mlflow.db")
    port = str(free_port())
    consoles = re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ").replace("8123", port) for block in consoles for line in block.splitlines()]
    for name in [name for name in os.environ if name.startswith(("DNNSWEEP_", "MLFLOW_")) and name != SOCKET]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    servers: list[Command] = []
    try:
        for line in lines:
            words = shlex.split(line)
            if words[0] == "export":
                for word in words[1:]:
                    monkeypatch.setenv(*word.partition("=")[::2])
            elif words[:2] in [["dnnsweep", name] for name in SERVERS]:
                servers.append(start(words[1:-1]))
            elif words[0] != "pip":
                await_service(port)
                keyboard.type(line)
        assert (tmp_path / "flowers.keras").stat().st_size > 1000
        run = keyboard.type("dnnsweep run flowers.yaml --trials 8 --home here", is_alone=True)
        assert "leads: val_accuracy" in run
        told = [json.loads(keyboard.type(f"dnnsweep trials flowers --json{home}")) for home in ("", " --home here")]
    finally:
        for server in servers:
            server.process.send_signal(signal.SIGTERM)
        codes = [server.code for server in servers]

    assert codes == [0, 0]
    alike = ("number", "value", "params", "seed", "state", "reason", "epochs", "metrics")
    of_the_service, of_the_run = ([{key: trial[key] for key in alike} for trial in trials] for trials in told)
    assert of_the_service == of_the_run
    assert len(of_the_service) == 8


def await_service(port: str) -> None:
    """Wait until the service can be reached."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), timeout=1):
            return
        time.sleep(0.1)


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}

    assert {name for name in pages if f"docs/{name}" not in readme} == set()


def test_the_page_of_commands_is_up_to_date() -> None:
    found = importlib.util.spec_from_file_location("commands_page", ROOT / "tools" / "commands.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)

    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == module.page(), "run `make docs`"
