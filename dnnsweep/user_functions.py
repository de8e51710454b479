"""A user's own functions, which a sweep file names as `python:module:function`."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

from dnnsweep.confined_files import open_below
from dnnsweep.errors import Mistake, SpecError

PATTERN: Final = r"^python:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
MAX_REASON: Final = 300
#: The module of a script or a notebook, which other processes do not have.
_MAIN: Final = "__main__"


def load(name: str, path: str, *, is_confined: bool = False) -> Callable[..., Any]:
    """Import a function; modules are looked for in the current folder, then where Python looks for them.

    Args:
        name: The function as `python:module:function`.
        path: YAML path to report mistakes under.
        is_confined: Whether the module's file must be in the folder that it is found in: what runs is what was opened
            there, and no link that leads elsewhere is followed.

    Raises:
        SpecError: There is no such module or function, or importing the module fails.
    """
    _, module, function = name.split(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    was_imported = module in sys.modules
    try:
        loaded = getattr(_import_confined(module) if is_confined else importlib.import_module(module), function, None)
    except Exception as error:
        raise SpecError([_mistake(name, path, module, error)]) from error
    if not callable(loaded):
        remedy = "name a function" if loaded is not None else _definition_remedy(module, function, was_imported)
        raise SpecError([Mistake(path, f"must name a function of {module}", function, remedy)])
    return loaded  # type: ignore[no-any-return]


def check_shared(name: str, path: str) -> None:
    """Check that a function is not one of the running script or notebook, which training processes do not have.

    Args:
        name: The function as `python:module:function`.
        path: YAML path to report the mistake under.

    Raises:
        SpecError: It is.
    """
    _, module, function = name.split(":")
    if module == _MAIN:
        rule = "must name a module that training processes can import"
        raise SpecError([Mistake(path, rule, name, _file_remedy(function))])


def naming_remedy(function: Any) -> str:
    """Return how a sweep file names a function that was handed over itself."""
    module, name = getattr(function, "__module__", None) or _MAIN, getattr(function, "__qualname__", "")
    source = f"python:{module}:{name}"
    if module != _MAIN and re.fullmatch(PATTERN, source):
        return f"write {source}"
    return _file_remedy(name)


def _definition_remedy(module: str, function: str, was_imported: bool) -> str:  # noqa: FBT001  one fact of three
    if module == _MAIN:
        return _file_remedy(function)
    remedy = f"define it in {module.replace('.', '/')}.py"
    return f"{remedy}; if it is there, restart this process, which imported the file before" if was_imported else remedy


def _file_remedy(function: str) -> str:
    name = function if function.isidentifier() else "build"
    cell = "in a notebook, by `%%writefile nets.py` at the top of its cell"
    return f"put it into a file, such as nets.py ({cell}), and write python:nets:{name}"


def _import_confined(name: str) -> ModuleType:
    """Import a module whose files, and those of the packages that it is in, are where they were found."""
    finder = _ConfinedFinder(name)
    sys.meta_path.insert(0, finder)
    try:
        return importlib.import_module(name)
    finally:
        sys.meta_path.remove(finder)


class _ConfinedFinder(MetaPathFinder):
    """Finds a module and the packages that it is in as Python does, and lets them be loaded by `_ConfinedLoader`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how a module is loaded; None for one that others find."""
        if not f"{self._name}.".startswith(f"{fullname}."):
            return None
        finders = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in finders)
        found = next((spec for spec in specs if spec is not None), None)
        if found is not None and isinstance(found.loader, SourceFileLoader):  # not one compiled into a library
            found.loader = _ConfinedLoader(found)
        return found


class _ConfinedLoader(SourceFileLoader):
    """Loads a module from its source alone, without following links to it; compiled code beside it is not read."""

    def __init__(self, found: ModuleSpec) -> None:
        super().__init__(found.name, str(found.origin))
        n_folders = found.name.count(".") + (found.submodule_search_locations is not None)
        self._folder = Path(self.path).parents[n_folders]

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002  there is one module to load
        """Return the code of the module.

        Raises:
            ImportError: Its file is elsewhere.
        """
        try:
            with open_below(self._folder, self.path) as file:
                return self.source_to_code(file.read(), self.path)
        except OSError as error:
            raise ImportError("its file must be in the folder where it is found, not a link to another one") from error


def _mistake(name: str, path: str, module: str, error: Exception) -> Mistake:
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        remedy = f"there is no module {error.name} in {Path.cwd()} nor among the installed packages"
        return Mistake(path, "must name a module that can be imported", name, remedy)
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
    return Mistake(path, "must name a module that can be imported", f"{name}: {reason}", "correct the module")
