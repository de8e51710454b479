"""How a user's own function is imported for a sweep that came over the network: only from where it was found."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dnnsweep import user_functions
from dnnsweep.errors import SpecError
from dnnsweep.runner.outline import outline
from dnnsweep.spec import check


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that modules are imported from, beside another one."""
    made = tmp_path / "modules"
    for place in (made, tmp_path / "elsewhere"):
        write(place / "own_package" / "__init__.py", place.name)
        write(place / "own_package" / "own_nets.py", place.name)
        write(place / "own_nets.py", place.name)
    monkeypatch.syspath_prepend(made)
    known = set(sys.modules)
    yield made
    for name in set(sys.modules) - known:
        del sys.modules[name]


def write(path: Path, answer: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"print({answer!r})\ndef build():\n    return {answer!r}\n")


def call(module: str) -> Any:
    return user_functions.load(f"python:{module}:build", "network.builder", is_confined=True)()


def put_link(folder: Path, name: str) -> None:
    (folder / name).rename(folder / "moved")
    (folder / name).symlink_to(folder.parent / "elsewhere" / name)


@pytest.mark.parametrize("name", ["own_nets", "own_package", "own_package.own_nets"])
def test_a_module_of_the_folder_is_imported_and_known_by_its_name(folder: Path, name: str) -> None:
    assert call(name) == "modules"
    assert call(name) == "modules"
    assert Path(str(sys.modules[name].__file__)).is_relative_to(folder)
    if name == "own_package.own_nets":
        assert sys.modules["own_package"].own_nets is sys.modules[name]


@pytest.mark.parametrize(
    ("name", "linked"),
    [
        ("own_nets", "own_nets.py"),
        ("own_package", "own_package"),
        ("own_package.own_nets", "own_package"),
        ("own_package.own_nets", "own_package/own_nets.py"),
    ],
)
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after it was found"])
def test_a_link_to_another_folder_is_not_followed(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    linked: str,
    is_late: bool,
) -> None:
    """Nothing of what it leads to runs."""
    open_part = os.open

    def swap(*arguments: Any, **options: Any) -> int:
        if not (folder / linked).is_symlink():
            put_link(folder, linked)
        return open_part(*arguments, **options)

    if is_late:
        monkeypatch.setattr(os, "open", swap)
    else:
        put_link(folder, linked)
    with pytest.raises(SpecError, match="its file must be in the folder where it is found, not a link to another one"):
        call(name)
    assert "elsewhere" not in capsys.readouterr().out
    assert name not in sys.modules


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "release").mkdir()
    (folder / "own_nets.py").rename(folder / "release" / "own_nets.py")
    (folder / "own_nets.py").symlink_to("release/own_nets.py")

    assert call("own_nets") == "modules"


def test_compiled_code_beside_a_module_is_not_what_runs(folder: Path) -> None:
    source, other = folder / "own_nets.py", folder.parent / "elsewhere" / "own_nets.py"
    forged = importlib.util.cache_from_source(str(source))
    py_compile.compile(str(other), forged, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert user_functions.load("python:own_nets:build", "network.builder")() == "elsewhere"
    del sys.modules["own_nets"]

    assert call("own_nets") == "modules"


def test_a_module_without_a_file_is_imported_as_usual(folder: Path) -> None:
    assert folder.is_dir()
    assert user_functions.load("python:math:sqrt", "network.builder", is_confined=True)(4.0) == 2.0
    with pytest.raises(SpecError, match="there is no module own_nothing"):
        call("own_nothing")
    assert not [finder for finder in sys.meta_path if isinstance(finder, user_functions._ConfinedFinder)]


def test_a_module_that_fails_is_not_kept(folder: Path) -> None:
    (folder / "own_nets.py").write_text("raise ValueError('not today')")

    with pytest.raises(SpecError, match="ValueError: not today"):
        call("own_nets")
    assert "own_nets" not in sys.modules


# ---- what a notebook names


def test_a_function_that_is_handed_over_itself_is_told_how_to_be_named() -> None:
    def of_a_cell() -> None: ...

    of_a_cell.__module__, of_a_cell.__qualname__ = "__main__", "of_a_cell"

    assert user_functions.naming_remedy(write) == f"write python:{write.__module__}:write"
    for function, name in ((of_a_cell, "of_a_cell"), (lambda: None, "build")):
        assert user_functions.naming_remedy(function).endswith(f"and write python:nets:{name}")


def test_a_function_of_a_notebook_is_to_be_put_into_a_file() -> None:
    document = {"name": "a", "dataset": {"source": "sklearn:iris"}, "network": {"builder": "python:__main__:build"}}

    with pytest.raises(SpecError) as in_a_notebook:
        outline(check(document))
    with pytest.raises(SpecError) as handed_over:
        check({**document, "network": {"builder": call}})

    assert "%%writefile nets.py` at the top of its cell), and write python:nets:build" in str(in_a_notebook.value)
    assert str(handed_over.value).startswith("network.builder: must be text, got <function call")
    assert str(handed_over.value).endswith(f"; write python:{call.__module__}:call")


def test_a_module_that_was_imported_before_it_was_changed_is_named_as_the_reason(folder: Path) -> None:
    def load() -> str:
        with pytest.raises(SpecError) as caught:
            user_functions.load("python:own_nets:later", "network.builder")
        return str(caught.value)

    assert load().endswith("define it in own_nets.py")
    with (folder / "own_nets.py").open("a") as file:
        file.write("def later(): ...")
    assert "if it is there, restart this process" in load()
