"""The sweep files that dnnsweep brings along, and the files that they need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from dnnsweep import spec
from dnnsweep.errors import Mistake, SpecError
from dnnsweep.space import did_you_mean, yaml_text

#: Folder of the examples, beside the package in a checkout and inside it in a wheel.
FOLDER: Final = "sweeps"


@dataclass(frozen=True, slots=True)
class Example:
    """A sweep file that comes with dnnsweep.

    Args:
        name: Name of its file, without the ending.
        text: Text of the file.
        description: What it finds out.
        companions: Content of the files that it needs, by the path at which it looks for them.
    """

    name: str
    text: str
    description: str
    companions: Mapping[str, bytes] = field(default_factory=dict)


def find_example(name: str) -> Example:
    """Return an example.

    Raises:
        SpecError: There is none of this name; the error lists those there are.
    """
    known = examples()
    if name in known:
        return known[name]
    listed = "\n".join(f"  {example.name}: {example.description}" for example in known.values())
    remedy = f"{did_you_mean(name, tuple(known)) or 'name one of these'}\n{listed}"
    raise SpecError([Mistake("--example", "must be the name of an example", yaml_text(name), remedy)])


def examples() -> Mapping[str, Example]:
    """Return all examples by name, in alphabetical order."""
    folder = _folder()
    names = sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))
    return {name: _read(folder, name) for name in names}


def _folder() -> Traversable:
    """Return the folder of the examples: in a checkout, a wheel's copy of it is missing."""
    packaged = files("dnnsweep") / FOLDER
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / FOLDER


def _read(folder: Traversable, name: str) -> Example:
    text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
    checked = spec.read(text, name)
    module = re.match(rf"python:{FOLDER}\.(\w+):", checked.network.builder or "")
    table = re.match(rf"\w+:{FOLDER}/(.+)", checked.dataset.source)
    needed = [*([f"{module[1]}.py"] if module else []), *([table[1]] if table else [])]
    companions = {f"{FOLDER}/{path}": folder.joinpath(*path.split("/")).read_bytes() for path in needed}
    return Example(name, text, checked.description or "", companions)
