"""A user's own functions, which a sweep file names as `python:module:function`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from dnnsweep.errors import Mistake, SpecError

PATTERN: Final = r"^python:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
MAX_REASON: Final = 300


def load(name: str, path: str) -> Callable[..., Any]:
    """Import a function; modules are looked for in the current folder, then where Python looks for them.

    Args:
        name: The function as `python:module:function`.
        path: YAML path to report mistakes under.

    Raises:
        SpecError: There is no such module or function, or importing the module fails.
    """
    _, module, function = name.split(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        loaded = getattr(importlib.import_module(module), function, None)
    except Exception as error:
        raise SpecError([_mistake(name, path, module, error)]) from error
    if not callable(loaded):
        remedy = f"define it in {module}.py" if loaded is None else "name a function"
        raise SpecError([Mistake(path, f"must name a function of {module}", function, remedy)])
    return loaded  # type: ignore[no-any-return]


def _mistake(name: str, path: str, module: str, error: Exception) -> Mistake:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        remedy = f"there is no module {error.name} in {Path.cwd()} nor among the installed packages"
        return Mistake(path, "must name a module that can be imported", name, remedy)
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
    return Mistake(path, "must name a module that can be imported", f"{name}: {reason}", "correct the module")
