"""Writes docs/cli.md from what the commands say of themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from typer.main import get_command

from dnnsweep.cli import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
HEAD = """# Commands

Written by `make docs` from `dnnsweep --help`. Data go to stdout, progress and messages to stderr. Exit codes: 0 done, 1
the sweep or the command failed, 2 wrong usage or a wrong sweep file, 130 interrupted and resumable.
"""


def page() -> str:
    """Return the page: a section for each command, with its arguments and options."""
    group: Any = get_command(app)
    sections = [HEAD]
    for name in group.list_commands(None):
        command = group.commands[name]
        if not command.hidden:
            sections.append("\n".join(_section(name, command)))
    return "\n".join(sections)


def _section(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    words = [each.name.upper() if each.required else f"[{each.name.upper()}]" for each in arguments]
    yield f"## dnnsweep {' '.join([name, *words])}"
    yield ""
    yield " ".join((command.help or "").split())
    yield ""
    if options:
        yield "| option | |"
        yield "|---|---|"
        for each in options:
            yield f"| `{', '.join(_written(each))}` | {' '.join((each.help or '').split())}{_default(each)} |"
        yield ""


def _written(option: Any) -> list[str]:
    kind = "" if option.is_flag else f" {_kind(option)}"
    return [f"{text}{kind}" for text in option.opts]


def _kind(option: Any) -> str:
    if option.metavar:
        return str(option.metavar)
    annotation = option.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"{{{','.join(member.value for member in annotation)}}}"
    names = {int: "INTEGER", float: "NUMBER", Path: "PATH"}
    return names.get(annotation, "TEXT")


def _default(option: Any) -> str:
    has_one = option.default not in (None, (), [], "") and not option.is_flag and not callable(option.default)
    return f" (default: {getattr(option.default, 'value', option.default)})" if has_one else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
