"""House rules that no other linter holds; prints each breach and exits 1 if there is one."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 50
BANNED_NAMES = {"utils", "helpers", "common", "misc"}

#: Module names that stand in several folders -> why they may; every other name stands once.
REPEATED_NAMES = {
    "app": "the word of Typer and of FastAPI for a program",
    "events": "records.events is the record, ledger.events its table",
    "local": "each folder of a seam names its implementation on this machine",
    "optimizers": "trainers.array.optimizers is space.optimizers inside a compiled program",
    "scores": "trainers.array.scores is trainers.scores inside a compiled program",
    "stopping": "trainers.array.stopping is trainers.stopping inside a compiled program",
    "training": "spec.rules.training checks what spec.training reads",
}

#: Library -> the modules that may import it.
DOORS = {
    "tensorflow": ("dnnsweep.trainers",),
    "keras": ("dnnsweep.trainers",),
    "optuna": ("dnnsweep.study",),
    "mlflow": ("dnnsweep.tracking",),
    "sqlalchemy": ("dnnsweep.ledger",),
    "alembic": ("dnnsweep.ledger",),
    "fastapi": ("dnnsweep.service",),
    "starlette": ("dnnsweep.service",),
    "uvicorn": ("dnnsweep.service",),
    "prometheus_client": ("dnnsweep.service",),
    "typer": ("dnnsweep.cli",),
    "rich": ("dnnsweep.cli",),
    "yaml": ("dnnsweep.spec",),
    "pydantic": ("dnnsweep.spec",),
    "jinja2": ("dnnsweep.reports",),
    "markupsafe": ("dnnsweep.reports",),
    "plotly": ("dnnsweep.reports",),
    "scipy": ("dnnsweep.statistics",),
    "threadpoolctl": ("dnnsweep.statistics",),
    "pandas": ("dnnsweep.datasets", "dnnsweep.reports"),
    "sklearn": ("dnnsweep.datasets", "dnnsweep.trainers.scores"),
}
#: Descriptions of arguments that make no sense without the line above.
FRAGMENT = re.compile(
    r"^(Of|Likewise|In place|On it|That|Whose|As [\w`]+ (was|were|returned))\b|^(The )?[\w`]+('s|s')\.$"
)
ARGUMENT = re.compile(r"^    (\*{0,2}\w+): (.*)$", re.MULTILINE)
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
HOSTS = re.compile(r"(pypi|pythonhosted|npmjs)\.(org|com)|index-url *=? *http")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def tracked(*patterns: str) -> list[Path]:
    """Return the tracked and the new files that match."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return [ROOT / name for name in dict.fromkeys(names.splitlines()) if (ROOT / name).is_file()]


def module_of(path: Path) -> str:
    """Return the dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and top-level package of every import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.partition(".")[0]


def breaches_of_module(path: Path) -> Iterator[str]:
    """Yield what is wrong with one module of the package."""
    text = path.read_text(encoding="utf-8")
    tree, where, module = ast.parse(text), path.relative_to(ROOT), module_of(path)
    if (n_lines := len(text.splitlines())) > MAX_MODULE_LINES:
        yield f"{where}: has {n_lines} lines, more than {MAX_MODULE_LINES}; is it still one noun?"
    if path.stem in BANNED_NAMES:
        yield f"{where}: {path.stem} is no noun of this field"
    for line, library in imported(tree):
        doors = DOORS.get(library)
        if doors is not None and not module.startswith(doors):
            yield f"{where}:{line}: {library} is imported by {' and '.join(doors)} only"
    yield from argument_fragments(tree, where)
    if "migrations" not in module:
        yield from long_functions(tree, where)


def argument_fragments(tree: ast.AST, where: Path) -> Iterator[str]:
    """Yield the descriptions of arguments that cannot be read alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            _, _, section = (ast.get_docstring(node) or "").partition("\nArgs:\n")
            for name, text in ARGUMENT.findall(section.split("\n\n")[0]):
                if FRAGMENT.search(text):
                    yield f"{where}:{node.lineno}: {name}: {text!r} cannot be read alone"


def repeated_names(paths: Iterable[Path]) -> Iterator[str]:
    """Yield module names that stand in several folders without a reason."""
    folders: dict[str, list[str]] = {}
    for path in paths:
        if not path.stem.startswith("__") and "migrations" not in path.parts:
            folders.setdefault(path.stem, []).append(str(path.relative_to(ROOT)))
    for name, places in folders.items():
        if len(places) > 1 and name not in REPEATED_NAMES:
            yield f"{' and '.join(places)}: one name, several modules"
    for name in REPEATED_NAMES:
        if len(folders.get(name, [])) < 2:
            yield f"tools/house.py: {name} is not repeated; remove its reason"


def long_functions(tree: ast.AST, where: Path) -> Iterator[str]:
    """Yield the functions that are too long, docstrings not counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            n_lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            if n_lines > MAX_FUNCTION_LINES:
                yield f"{where}:{node.lineno}: {node.name} has {n_lines} lines, more than {MAX_FUNCTION_LINES}"


def breaches_of_text(path: Path) -> Iterator[str]:
    """Yield what no file of the repository may hold."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    where = path.relative_to(ROOT)
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield f"{where}:{number}: unfinished work is an issue, not a comment"
        if HOSTS.search(line):
            yield f"{where}:{number}: names a package registry"
        if str(ROOT.parent) + "/" in line and str(ROOT.parent) != "/":
            yield f"{where}:{number}: carries a path of this machine"


def dead_links(path: Path) -> Iterator[str]:
    """Yield relative links of a document that lead nowhere."""
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if "://" not in target and not (path.parent / target).exists():
            yield f"{path.relative_to(ROOT)}: links to {target}, which does not exist"


def breaches() -> Iterable[str]:
    """Yield everything that is wrong."""
    modules = tracked("dnnsweep/*.py")
    yield from repeated_names(modules)
    for path in modules:
        yield from breaches_of_module(path)
    for path in tracked():
        if path != Path(__file__).resolve():
            yield from breaches_of_text(path)
    for path in tracked("*.md"):
        yield from dead_links(path)


if __name__ == "__main__":
    found = list(breaches())
    print("\n".join(found) if found else "house rules: kept")
    sys.exit(1 if found else 0)
