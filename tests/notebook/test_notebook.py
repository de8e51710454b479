"""docs/notebook.md as a notebook runs it: cell by cell, in one process, beside an event loop; `make test-notebook`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Each statement is a cell. A notebook's main module has no file, its cells are called by a running event loop, and
#: an error in one of them does not end the process; here it does.
KERNEL = """
import ast, asyncio, sys

source = sys.stdin.read()
cells = [ast.Module([statement], []) for statement in ast.parse(source).body]
assert not hasattr(sys.modules["__main__"], "__file__")

async def main():
    for number, cell in enumerate(cells):
        exec(compile(cell, f"<cell {number}>", "exec"), sys.modules["__main__"].__dict__)

asyncio.run(main())
"""
#: The page's last sentence: trained in the process itself.
INPROCESS = """
again = dnnsweep.run(spec, data=(x, y), home="other", executor="inprocess")
print("the same" if [t.value for t in again.trials()] == [t.value for t in sweep.trials()] else "others")
"""


@pytest.mark.timeout(900)
def test_the_code_of_the_page_runs_in_cells_and_trains_the_same_inside_the_process(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DNNSWEEP_", "MLFLOW_"))}

    done = subprocess.run(
        [sys.executable, "-c", KERNEL],
        input=code + INPROCESS,
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    *printed, same = done.stdout.splitlines()
    command = [sys.executable, "-m", "dnnsweep", "best", "corners", "--top", "3", "--json"]
    best = json.loads(subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, check=True).stdout)
    trials, listing = printed[:3], "\n".join(printed[3:])
    assert trials == [f"{trial['number']} {trial['value']} {trial['params']['learning_rate']}" for trial in best]
    compile(listing, "listing", "exec")
    assert listing.startswith(f'"""Best trial {best[0]["number"]} of the sweep corners')
    assert same == "the same"
