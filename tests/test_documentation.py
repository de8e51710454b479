"""What the repository shows to people works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from dnnsweep import spec
from dnnsweep.cli import app
from dnnsweep.running import outline
from dnnsweep.spec import documents

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_sweep_to_start_from_is_valid_with_its_data_and_says_its_question(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HOME", str(tmp_path))
    _write_mnist(tmp_path / ".keras" / "datasets")

    shown = outline(spec.load(file))

    assert shown.data.n_train > 0
    assert "?" in file.read_text(encoding="utf-8").partition("\nname:")[0]


def _write_mnist(folder: Path) -> None:
    """Stand in for what Keras downloads: the same shapes, few rows."""
    folder.mkdir(parents=True)
    pixels, classes = np.random.default_rng(0).integers(0, 256, (300, 28, 28), np.uint8), np.arange(300) % 10
    train, test = (pixels[:250], classes[:250]), (pixels[250:], classes[250:])
    np.savez(folder / "mnist.npz", x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1])


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_sweep_file_of_the_readme_is_valid() -> None:
    for block in blocks("yaml"):
        spec.check(documents.parse(block, "README.md"))


def test_the_python_code_of_the_readme_describes_a_valid_sweep() -> None:
    for block in blocks("python"):
        found: dict[str, object] = {}
        exec(block.partition("sweep = ")[0], found)  # noqa: S102
        if "build" in found:
            continue
        spec.load({**found["spec"], "dataset": {"source": "sklearn:iris"}})  # type: ignore[dict-item]


def test_the_network_of_the_readme_can_be_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = next(block for block in blocks("python") if "def build" in block)
    (tmp_path / "nets.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    file = next(block for block in blocks("yaml") if "python:nets:build" in block)

    shown = outline(spec.check(documents.parse(file, "README.md")))

    assert shown.plan.kind == "fit"


def commands() -> list[str]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [line.removeprefix("$ ").partition(" #")[0] for line in lines if line.startswith("$ dnnsweep")]


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_readme_exists_with_its_options(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    group = get_command(app)
    command = group.get_command(None, name)  # type: ignore[attr-defined]

    assert command is not None
    command.make_context(name, arguments)


def test_the_readme_shows_every_kind_of_use() -> None:
    used = {shlex.split(line)[1] for line in commands()}

    assert used >= {"validate", "run", "ui", "best", "export"}
