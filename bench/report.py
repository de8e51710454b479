"""docs/performance.md and the pages of single parts: tables between markers."""

from __future__ import annotations

import datetime as dt
import math
import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

FILE: Final = Path("docs/performance.md")
#: Parts that have a page of their own.
PAGES: Final = {
    "answers": Path("docs/answers.md"),
    "diseases": Path("docs/diagnoses.md"),
    "stopping": Path("docs/stopping.md"),
}
PACKAGES: Final = ("tensorflow", "keras", "optuna", "mlflow", "keras-tuner", "ray", "numpy")
PACKAGES_OF_SERVICE: Final = ("sqlalchemy", "fastapi", "uvicorn")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown.

    Example:
        >>> print(table(["a", "b"], [["1", "2"]]))
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    lines = [header, *rows]
    shown = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([shown[0], "|" + "---|" * len(header), *shown[1:]])


def share(came_true: list[bool]) -> str:
    """Return a share with its standard error.

    Example:
        >>> share([True] * 90 + [False] * 10)
        '90.0 % ± 3.0'
    """
    mean = sum(came_true) / len(came_true)
    return f"{100 * mean:.1f} % ± {100 * math.sqrt(mean * (1 - mean) / len(came_true)):.1f}"


def replaced(document: str, name: str, text: str) -> str:
    r"""Return a document with the text between its markers of a name replaced.

    Raises:
        ValueError: It has no such markers.

    Example:
        >>> replaced("<!-- bench:a:begin -->old<!-- bench:a:end -->", "a", "new")
        '<!-- bench:a:begin -->\nnew\n<!-- bench:a:end -->'
    """
    begin, end = f"<!-- bench:{name}:begin -->", f"<!-- bench:{name}:end -->"
    before, has_begun, rest = document.partition(begin)
    _, has_ended, after = rest.partition(end)
    if not has_begun or not has_ended:
        raise ValueError(f"the document must have the markers {begin} and {end}")
    return f"{before}{begin}\n{text}\n{end}{after}"


def machine(n_repetitions: int, packages: Sequence[str] = PACKAGES) -> str:
    """Return when and on what this is measured."""
    versions = ", ".join(f"{name} {found}" for name in packages if (found := _version(name)) is not None)
    return (
        f"{dt.datetime.now(tz=dt.UTC).date()}, {n_repetitions} repetitions, {n_cores()} cores of {_processor()}, "
        f"Python {platform.python_version()}, {versions}:"
    )


def _version(package: str) -> str | None:
    """Return the version of a package; None if it is not installed, because no rival was measured."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def n_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "an unknown processor")


def write(name: str, text: str) -> None:
    """Put a text between its markers."""
    file = PAGES.get(name, FILE)
    file.write_text(replaced(file.read_text(encoding="utf-8"), name, text), encoding="utf-8")
