"""A program runs in a child of a warm process as it does in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from warm_python import WarmPython

PROGRAM = """
import os, sys, warnings
import sibling
print(__name__, sys.modules["__main__"].__dict__ is globals(), sys.argv[1:], os.getcwd(), os.environ["GREETING"])
print(sys.stdin.read() == "", sibling.VALUE, "dnnsweep" in sys.modules, file=sys.stderr)
{end}
"""


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [("", 0, ""), ("sys.exit(3)", 3, ""), ("raise ValueError('no')", 1, "ValueError: no\n"), ("os.abort()", -6, "")],
)
def test_a_program_has_the_words_folder_environment_output_and_end_that_it_has_by_itself(
    tmp_path: Path, warm_python: WarmPython, end: str, code: int, told: str
) -> None:
    (tmp_path / "sibling.py").write_text("VALUE = 7\n")
    (tmp_path / "program.py").write_text(PROGRAM.format(end=end))
    command = [sys.executable, "program.py", "a", "b c"]
    environ = {**os.environ, "GREETING": "hello"}

    warm = warm_python.run("program.py", "a", "b c", cwd=tmp_path, environ={"GREETING": "hello"})

    alone = subprocess.run(
        command, cwd=tmp_path, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert (warm.returncode, warm.stdout) == (alone.returncode, alone.stdout)
    assert warm.returncode == code
    assert warm.stderr.splitlines()[:1] == alone.stderr.splitlines()[:1]
    assert warm.stderr.endswith(told)
    assert alone.stderr.endswith(told)


def test_a_warning_is_an_error_where_that_is_asked_for(tmp_path: Path, warm_python: WarmPython) -> None:
    (tmp_path / "program.py").write_text("import warnings\nwarnings.warn('careful', UserWarning)\n")

    warned, refused = (warm_python.run("program.py", cwd=tmp_path, errors=names) for names in ([], ["UserWarning"]))

    assert (warned.returncode, refused.returncode) == (0, 1)
    assert "UserWarning: careful" in refused.stderr
