"""Python programs run by children of a process that has TensorFlow loaded, which takes a fresh process four seconds.

The process only imports: TensorFlow starts its threads and its runtime with the first operation, so that a child forked
before that is as good as new. A child has a `__main__`, a working directory, an environment and an output of its own.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

#: What listings and their judges import.
LIBRARIES = (
    "numpy",
    "pandas",
    "sklearn.compose",
    "sklearn.datasets",
    "sklearn.impute",
    "sklearn.metrics",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "tensorflow",
    "keras",
)
#: Where the process listens that has trainers and deliveries loaded; see `warm_processes.py`.
SOCKET = "DNNSWEEP_TEST_PROCESSES"


class WarmPython:
    """A process that has the libraries loaded and forks a child for each program; to be closed."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dnnsweep-warm-")
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self,
        program: str | Path,
        *arguments: str,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        errors: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, as `python PROGRAM ARGUMENTS` does.

        Args:
            program: File of the program.
            arguments: Words for its command line.
            cwd: Folder to run it in; None for this process's own.
            environ: Variables that are added to this process's environment.
            errors: Names of the warnings that are errors, as in `-W error::NAME`.

        Returns:
            Exit code and output.
        """
        out, err = (Path(self._folder.name) / name for name in ("out", "err"))
        words = [str((cwd or Path.cwd()) / program), *arguments]
        order = {"argv": words, "cwd": str(cwd or Path.cwd()), "environ": {**os.environ, **(environ or {})}}
        answer = self._ask({**order, "out": str(out), "err": str(err), "errors": list(errors)})
        return subprocess.CompletedProcess(words, answer, out.read_text("utf-8"), err.read_text("utf-8"))

    def _ask(self, order: Mapping[str, Any]) -> int:
        print(json.dumps(order), file=cast("TextIO", self._process.stdin), flush=True)
        answer = cast("TextIO", self._process.stdout).readline()
        assert answer, "the process that forks has died"
        return int(answer)

    def close(self) -> None:
        self._process.communicate()
        self._folder.cleanup()


def serve() -> dict[str, Any] | None:
    """Fork a child for each order that comes in; return the order in the child, and None when no more come."""
    for library in LIBRARIES:
        __import__(library)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return cast("dict[str, Any]", json.loads(line))
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()
    return None


def become(order: Mapping[str, Any]) -> None:
    """Run a program in this process, which is as good as new."""
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  the program's own, until it ends
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environ"])
    sys.argv = order["argv"]
    folders = order["environ"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [str(Path(sys.argv[0]).resolve().parent), *filter(None, folders)]
    if SOCKET in os.environ and "import dnnsweep" in Path(sys.argv[0]).read_text("utf-8"):
        share_processes()
    for name in order["errors"]:
        warnings.filterwarnings("error", category=getattr(builtins, name))
    runpy.run_path(sys.argv[0], run_name="__main__")


def share_processes() -> None:
    """Let the program's trainers and deliveries be children of the process that has their modules loaded."""
    sys.path.append(str(Path(__file__).parent))
    importlib.import_module("warm_processes").take_place()
    sys.path.pop()


if __name__ == "__main__":
    chosen = serve()
    if chosen is not None:
        become(chosen)
