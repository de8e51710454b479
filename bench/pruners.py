"""What pruners save: the epochs that a sweep of 100 trials trains, and how good its best trial is."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from bench import commands
from bench.commands import Run
from bench.numbers import ratios, spread
from bench.report import table
from bench.sweeps import Effort

PRUNERS: Final = {
    "none": "{kind: none}",
    "median": "{kind: median}",
    "asha": "{kind: asha}",
    "hyperband": "{kind: hyperband}",
    "patient, then median": "{kind: patient, patience: 2, wrapped: {kind: median}}",
}
EPOCHS: Final = 50


def pruners(effort: Effort) -> str:
    """Run the same sweep with each pruner and without early stopping, in turns, and return the table."""
    runs: dict[str, list[Run]] = {name: [] for name in PRUNERS}
    shape = ("--set", f"training.epochs={EPOCHS}", "--set", "training.early_stopping=null")
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(effort.repetitions):
            for name, rule in PRUNERS.items():
                options = (*shape, "--set", f"pruner={rule}")
                runs[name].append(commands.dnnsweep(effort.hundred, Path(cache), seed, *options))
    everything = [run.n_epochs for run in runs["none"]]
    rows = [
        [
            f"`{name}`",
            spread([run.n_epochs for run in those], 4),
            spread(ratios(everything, [run.n_epochs for run in those])),
            spread([run.best for run in those], 4),
        ]
        for name, those in runs.items()
    ]
    header = ["pruner", "epochs trained", "times fewer than `none`", "best value at the last epoch"]
    return table(header, rows)
