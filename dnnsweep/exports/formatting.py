"""Formatting: Python source as ruff and Black would format it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from dnnsweep.records import CLASS_SCORES

WIDTH: Final = 88
#: Columns of an indentation.
INDENT: Final = 4
#: Columns that code has for itself: less inside a loop.
_room: ContextVar[int] = ContextVar("room", default=WIDTH)
_SCORE_FUNCTIONS: Final = sorted({"r2_score", *(score.function for score in CLASS_SCORES.values())})
#: Name -> the statement that imports it, in the order of a file.
IMPORTS: Final = {
    "itertools": "import itertools",
    "math": "import math",
    "sys": "import sys",
    "partial": "from functools import partial",
    "Path": "from pathlib import Path",
    "keras": "import keras",
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "layers": "from keras import layers",
    "make_column_transformer": "from sklearn.compose import make_column_transformer",
    "load_breast_cancer": "from sklearn.datasets import load_breast_cancer",
    "load_diabetes": "from sklearn.datasets import load_diabetes",
    "load_digits": "from sklearn.datasets import load_digits",
    "load_iris": "from sklearn.datasets import load_iris",
    "load_wine": "from sklearn.datasets import load_wine",
    **{function: f"from sklearn.metrics import {function}" for function in _SCORE_FUNCTIONS},
    "SimpleImputer": "from sklearn.impute import SimpleImputer",
    "GroupKFold": "from sklearn.model_selection import GroupKFold",
    "GroupShuffleSplit": "from sklearn.model_selection import GroupShuffleSplit",
    "KFold": "from sklearn.model_selection import KFold",
    "StratifiedKFold": "from sklearn.model_selection import StratifiedKFold",
    "train_test_split": "from sklearn.model_selection import train_test_split",
    "make_pipeline": "from sklearn.pipeline import make_pipeline",
    "MinMaxScaler": "from sklearn.preprocessing import MinMaxScaler",
    "OneHotEncoder": "from sklearn.preprocessing import OneHotEncoder",
    "StandardScaler": "from sklearn.preprocessing import StandardScaler",
    "compute_sample_weight": "from sklearn.utils.class_weight import compute_sample_weight",
}
#: Names from the standard library, which are imported first.
_STANDARD: Final = ("itertools", "math", "sys", "partial", "Path")


def room() -> int:
    """Return the columns that a line may have."""
    return _room.get()


@contextmanager
def narrowed(n_spaces: int) -> Iterator[None]:
    """Format code that will be indented."""
    token = _room.set(_room.get() - n_spaces)
    try:
        yield
    finally:
        _room.reset(token)


def import_block(body: str) -> str:
    r"""Return the import statements that code needs, those of the standard library first.

    Example:
        >>> import_block("x = np.load(Path('x.npy').expanduser())")
        'from pathlib import Path\n\nimport numpy as np'
    """
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    groups = [
        _merge_imports(
            [statement for name, statement in IMPORTS.items() if name in used and (name in _STANDARD) == is_first]
        )
        for is_first in (True, False)
    ]
    return "\n\n".join(group for group in groups if group)


def _merge_imports(statements: Sequence[str]) -> str:
    """Import what comes from the same module in one statement."""
    names: dict[str, list[str]] = {}
    for statement in statements:
        module, _, name = statement.partition(" import ")
        names.setdefault(module, []).append(name)
    return "\n".join(f"{module} import {', '.join(parts)}" if parts[0] else module for module, parts in names.items())


def literal(value: Any) -> str:
    r"""Return a value as code: lists as tuples, and text in double quotes unless single ones need fewer escapes.

    Example:
        >>> literal("it's"), literal('5" disk'), literal([64, 0.5])
        ('"it\'s"', '\'5" disk\'', '(64, 0.5)')
    """
    if isinstance(value, list | tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if not isinstance(value, str):
        return repr(value)
    quote = "'" if value.count('"') > value.count("'") else '"'
    return quote + "".join(_escape(letter, quote) for letter in value) + quote


def _escape(letter: str, quote: str) -> str:
    if letter in (quote, "\\"):
        return f"\\{letter}"
    return letter if letter.isprintable() else repr(letter)[1:-1]


def call(head: str, *arguments: str, is_tall: bool = False) -> str:
    r"""Return a call in one line if it fits, else with all arguments on a second line, else with one line for each.

    Args:
        head: Code before the parenthesis.
        arguments: Code of each argument, without line breaks.
        is_tall: Whether each argument gets its own line even if the call is short.

    Example:
        >>> call("x = f", "a", "b=1")
        'x = f(a, b=1)'
        >>> call("f", "a", "b=1", is_tall=True)
        'f(\n    a,\n    b=1,\n)'
    """
    line = ", ".join(arguments)
    if not is_tall and len(head) + len(line) + 2 <= room():
        return f"{head}({line})"
    if not is_tall and len(line) + 4 <= room():
        return f"{head}(\n    {line}\n)"
    return f"{head}(\n{indented(arguments)}\n)"


def list_assignment(name: str, items: Sequence[str]) -> str:
    """Return the assignment of a list to a name, in one line if it fits, else with one line for each item."""
    line = f"{name} = [{', '.join(items)}]"
    return line if len(line) <= room() else f"{name} = [\n{indented(items)}\n]"


def dict_assignment(name: str, items: Sequence[str]) -> str:
    """Return the assignment of a dictionary to a name, in one line if it fits, else with one line for each item."""
    line = f"{name} = {{{', '.join(items)}}}"
    return line if len(line) <= room() else f"{name} = {{\n{indented(items)}\n}}"


def define(functions: Iterable[str]) -> str:
    """Return definitions of functions and classes with two blank lines around each, those of no text left out."""
    code = "\n\n\n".join(function.strip("\n") for function in functions if function)
    return f"\n{code}\n"


def indented_code(code: str) -> str:
    """Return code one level deeper."""
    return "\n".join(f"{' ' * INDENT}{line}" if line else "" for line in code.split("\n"))


def indented(items: Sequence[str], n_spaces: int = 4) -> str:
    """Return one line for each item, followed by a comma."""
    return "\n".join(f"{' ' * n_spaces}{item}," for item in items)
