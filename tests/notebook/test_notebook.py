"""docs/notebook.md and docs/notebook.ipynb, run as a notebook runs them; `make test-notebook`.

No Jupyter is needed. Cell by cell, in one process, beside an event loop, is what a kernel adds to Python, and what it
shows of a cell's last line.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import dnnsweep
from dnnsweep.records import SweepState

ROOT = Path(__file__).resolve().parents[2]
#: A notebook's main module has no file, its cells are called by a running event loop, and what the last line of a cell
#: returns is shown as HTML if it can be. An error in a cell does not end a kernel; here it does.
KERNEL = """
import ast, asyncio, json, sys

cells, shown = json.load(sys.stdin), []
names = sys.modules["__main__"].__dict__
assert "__file__" not in names

def run(cell, number):
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, f"<cell {number}>", "exec"), names)
    value = last and eval(compile(ast.Expression(last.value), f"<cell {number}>", "eval"), names)
    html = None if value is None else getattr(value, "_repr_html_", lambda: None)()
    shown.append([type(value).__name__, html is not None])

async def main():
    for number, cell in enumerate(cells):
        run(cell, number)

asyncio.run(main())
print(json.dumps(shown))
"""
#: The page's last sentence: trained in the process itself.
INPROCESS = """
again = dnnsweep.run(spec, data=(x, y), home="other", executor="inprocess")
print("the same" if [t.value for t in again.trials()] == [t.value for t in sweep.trials()] else "others")
"""
#: What the cells of the notebook show: the type of each value, and whether it is shown as HTML.
SHOWN = [
    ["DataFrame", True],
    ["NoneType", False],
    ["SweepHandle", True],
    ["dict", False],
    ["DataFrame", True],
    *[["Figure", True]] * 4,
    ["dict", False],
    ["SweepHandle", True],
    ["int", False],
    ["NoneType", False],
]


@pytest.fixture
def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("DNNSWEEP_", "MLFLOW_"))}


def run_cells(cells: Sequence[str], folder: Path, environ: dict[str, str]) -> tuple[list[str], list[list[Any]]]:
    """Return the lines that cells print, and what is shown of their last lines."""
    command = [sys.executable, "-c", KERNEL]
    done = subprocess.run(
        command, input=json.dumps(cells), cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *printed, shown = done.stdout.splitlines()
    return printed, json.loads(shown)


@pytest.mark.timeout(900)
def test_the_code_of_the_page_runs_in_cells_and_trains_the_same_inside_the_process(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    page = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    cells = [ast.unparse(statement) for statement in ast.parse(code + INPROCESS).body]

    (*printed, same), _ = run_cells(cells, tmp_path, environ)

    command = [sys.executable, "-m", "dnnsweep", "best", "corners", "--top", "3", "--json"]
    best = json.loads(subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, check=True).stdout)
    trials, listing = printed[:3], "\n".join(printed[3:])
    assert trials == [f"{trial['number']} {trial['value']} {trial['params']['learning_rate']}" for trial in best]
    compile(listing, "listing", "exec")
    assert listing.startswith(f'"""Best trial {best[0]["number"]} of the sweep corners')
    assert same == "the same"


@pytest.mark.timeout(900)
def test_the_notebook_runs_from_a_table_to_a_model(tmp_path: Path, environ: dict[str, str]) -> None:
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]

    printed, shown = run_cells(cells, tmp_path, environ)

    assert shown == SHOWN
    sweep = dnnsweep.show("tumours", home=tmp_path / "dnnsweep-home")
    assert (sweep.state, sweep.n_finished, sweep.n_failed) == (SweepState.COMPLETE, 30, 0)
    assert printed[0].startswith(f'"""Best trial {sweep.best_number} of the sweep tumours')


def test_the_notebook_is_stored_without_what_it_shows_and_leads_to_pages_that_exist() -> None:
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
    texts = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]

    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    for cell in notebook["cells"]:
        assert (cell.get("outputs"), cell.get("execution_count")) in (([], None), (None, None))
    links = re.findall(r"\]\(([^)]+)\)", "\n".join(texts))
    assert len(links) >= 3
    assert all((ROOT / "docs" / link).is_file() for link in links)
