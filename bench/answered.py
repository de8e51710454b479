"""What the answer of a sweep costs, as a share of the time that the sweep itself takes."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Final

from bench import commands
from bench.report import table
from bench.sweeps import Effort

#: What is run -> options of the command line, and the largest share that it may add.
PARTS: Final[dict[str, tuple[tuple[str, ...], float]]] = {
    "trials alone": (("--no-confirm", "--no-test"), 0),
    "with confirmation and test score": (("--set", "effects=null"), 1),
    "with effects as well": ((), 5),
}


def answered(effort: Effort) -> str:
    """Return the seconds of `sweeps/digits.yaml` with and without its answer, and what the answer adds."""
    seconds: dict[str, list[float]] = {name: [] for name in PARTS}
    with tempfile.TemporaryDirectory() as cache:
        for repetition in range(effort.repetitions + 1):
            for name, (options, _) in PARTS.items():
                taken = commands.answered(effort.hundred, Path(cache), repetition, *options)
                if repetition:  # the first one compiles
                    seconds[name].append(taken)
    alone = statistics.median(seconds["trials alone"])
    rows = []
    for name, (_, most) in PARTS.items():
        middle = statistics.median(seconds[name])
        spread = f"{middle:.1f} [{min(seconds[name]):.1f}, {max(seconds[name]):.1f}]"
        added = middle / alone - 1
        goal = f"at most {most}: {'met' if added <= most else 'missed'}" if most else ""
        rows.append([name, spread, f"{added:.2f}" if most else "", goal])
    head = [
        f"`sweeps/digits.yaml`, {effort.hundred} trials",
        "seconds",
        "added, as a share of the trials alone",
        "goal",
    ]
    return table(head, rows)
