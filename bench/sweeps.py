"""Whole sweeps, from pressing enter to the answer: dnnsweep against the loop that one would write."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.numbers import extrapolated

EPOCHS = 20
#: The plain loop is run with so many trials, and extrapolated.
FEW, MANY = 3, 9


def dnnsweep(n_trials: int, cache: Path) -> tuple[float, dict[str, Any]]:
    """Run a sweep in a fresh home; return its seconds and its profile, after a look at whether MLflow has it all.

    Args:
        n_trials: Of `sweeps/digits.yaml`, 20 epochs, patience 5.
        cache: Folder of compiled programs.
    """
    with tempfile.TemporaryDirectory() as folder:
        home, profile = Path(folder) / "home", Path(folder) / "profile.json"
        command = [sys.executable, "-m", "dnnsweep", "run", "sweeps/digits.yaml", "--trials", str(n_trials), "--json"]
        command += ["--set", f"training.epochs={EPOCHS}", "--home", str(home), "--profile", str(profile)]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "DNNSWEEP_CACHE": str(cache)})
        seconds = time.perf_counter() - began
        _check(home, n_trials)
        return seconds, json.loads(profile.read_text(encoding="utf-8"))


def _check(home: Path, n_trials: int) -> None:
    """Compare MLflow's store with the ledger: every trial ended there, with a point for each epoch of each metric.

    Raises:
        RuntimeError: Something is missing.
    """
    with (
        closing(sqlite3.connect(home / "mlflow.db")) as store,
        closing(sqlite3.connect(home / "dnnsweep.db")) as ledger,
    ):
        ended = (
            "SELECT count(*) FROM runs JOIN tags USING (run_uuid) WHERE tags.key = 'dnnsweep.trial' AND end_time > 0"
        )
        points = "SELECT count(*) FROM metrics WHERE key = 'val_loss'"
        epochs = "SELECT sum(epochs) FROM trials"
        lost = "SELECT count(*) FROM metrics WHERE key = 'loss' AND is_nan"
        got = [store.execute(query).fetchone()[0] for query in (ended, points, lost)]
        wanted = [n_trials, ledger.execute(epochs).fetchone()[0], 0]
    if got[0] != wanted[0] or got[1] > wanted[1] or got[1] < 0.9 * wanted[1] or got[2]:
        raise RuntimeError(f"MLflow must hold every trial and epoch, got {got} instead of {wanted}")


def plain_loop(n_trials: int) -> float:
    """Return the seconds of a plain loop of so many trials, extrapolated from two short ones."""
    return extrapolated((FEW, _plain_loop(FEW)), (MANY, _plain_loop(MANY)), n_trials)


def _plain_loop(n_trials: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.plain_loop", str(n_trials), folder]
        quiet: Mapping[str, str] = {"TF_CPP_MIN_LOG_LEVEL": "3", "MLFLOW_DISABLE_TELEMETRY": "true"}
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **quiet})
        return time.perf_counter() - began
