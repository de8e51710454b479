"""Whole searches, cold: each a process of its own, from its start to its answer."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench import search

#: Nobody's log lines, and nothing sent to anybody.
QUIET: Final = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONUNBUFFERED": "1",
}
RIVALS: Final = {
    "plain_loop": "a plain loop of Optuna, `fit` and MLflow",
    "tuner": "KerasTuner",
    "ray_tune": "Ray Tune with OptunaSearch",
}


class Run(NamedTuple):
    """A search: how long it took, the best validation accuracy, and the epochs that all trials took together."""

    seconds: float
    best: float
    n_epochs: int
    profile: dict[str, Any]


def dnnsweep(n_trials: int, cache: Path, seed: int, *options: str) -> Run:
    """Run `sweeps/digits.yaml` in a fresh home, until the command has ended; MLflow then has to hold everything.

    Args:
        n_trials: Of 20 epochs, patience 5.
        cache: Folder of compiled programs.
        seed: The sweep's.
        options: More of the command line.
    """
    with tempfile.TemporaryDirectory() as folder:
        home, profile = Path(folder) / "home", Path(folder) / "profile.json"
        settings = [word for setting in (*search.SETTINGS, f"seed={seed}") for word in ("--set", setting)]
        command = ["-m", "dnnsweep", "run", search.FILE, "--trials", str(n_trials), "--json", *settings, *options]
        command += ["--no-confirm", "--no-test", "--home", str(home), "--profile", str(profile)]
        began = time.perf_counter()
        answer = _output(command, {"DNNSWEEP_CACHE": str(cache)})
        seconds = time.perf_counter() - began
        measured = json.loads(profile.read_text(encoding="utf-8"))
        return Run(seconds, _best(answer), checked(home, n_trials), measured)


def answered(n_trials: int, cache: Path, seed: int, *options: str) -> float:
    """Return the seconds that a run of `sweeps/digits.yaml` takes with what follows its last trial, as it stands there.

    Args:
        n_trials: Number of trials.
        cache: Folder of compiled programs.
        seed: The sweep's.
        options: More of the command line.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "dnnsweep", "run", search.FILE, "--trials", str(n_trials), "--set", f"seed={seed}"]
        began = time.perf_counter()
        _output([*command, *options, "--home", folder], {"DNNSWEEP_CACHE": str(cache)})
        return time.perf_counter() - began


def pretended(n_trials: int, seed: int) -> dict[str, Any]:
    """Run `sweeps/digits.yaml` with one trainer that does not train, without MLflow, and return the run's profile.

    So nothing waits for a core, and what is left is dnnsweep's own work.
    """
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile.json"
        settings = [word for setting in (*search.SETTINGS, f"seed={seed}") for word in ("--set", setting)]
        command = ["-m", "dnnsweep", "run", search.FILE, "--trials", str(n_trials), "--json", *settings]
        command += ["--no-confirm", "--no-test", "--home", folder, "--profile", str(profile), "--trainers", "1"]
        pretence = {"DNNSWEEP_TRAINER": "scripted_trainer:ScriptedTrainer", "PYTHONPATH": "tests"}
        _output(command, {**pretence, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"})
        found: dict[str, Any] = json.loads(profile.read_text(encoding="utf-8"))
        return found


def _output(command: Sequence[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *command], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed: {done.stderr[-2000:]}")
    return done.stdout


def _best(answer: str) -> float:
    """Return the value in what `run --json` prints: the best trial, alone or first in a list."""
    found = json.loads(answer)
    return float((found[0] if isinstance(found, list) else found)["value"])


def checked(home: Path, n_trials: int) -> int:
    """Compare MLflow's store with the ledger: every trial has ended there, with every finite point of every metric.

    Returns:
        The epochs that were trained.

    Raises:
        RuntimeError: Something is missing, or is there twice.
    """
    trials = "SELECT run_uuid FROM tags WHERE key = 'dnnsweep.trial'"
    with closing(sqlite3.connect(home / "mlflow.db")) as store:
        ended = f"SELECT count(*) FROM runs WHERE end_time > 0 AND run_uuid IN ({trials})"  # noqa: S608
        n_ended = store.execute(ended).fetchone()[0]
        points = f"SELECT key, count(*) FROM metrics WHERE run_uuid IN ({trials}) GROUP BY key"  # noqa: S608
        shown = Counter(dict(store.execute(points).fetchall()))
    with closing(sqlite3.connect(home / "dnnsweep.db")) as ledger:
        curves = ledger.execute("SELECT metric, points FROM curves").fetchall()
        n_epochs = int(ledger.execute("SELECT sum(epochs) FROM trials").fetchone()[0])
    measured = Counter[str]()
    for metric, points in curves:
        measured[metric] += sum(not isinstance(point, str) for point in json.loads(points))
    missing = {metric: (shown[metric], n) for metric, n in measured.items() if shown[metric] != n}
    if n_ended != n_trials or missing or measured["accuracy"] != n_epochs:
        raise RuntimeError(
            f"MLflow must hold every trial and epoch, got {n_ended} of {n_trials} trials and {missing or 'all points'}"
        )
    return n_epochs


def rival(module: str, n_trials: int, seed: int) -> Run:
    """Run a search without dnnsweep; the clock stops when its answer is printed.

    Args:
        module: Of `RIVALS`.
        n_trials: Of 20 epochs, patience 5.
        seed: Of its sampler.

    Raises:
        RuntimeError: It ended without an answer; with the end of what it printed.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        command = [sys.executable, "-m", f"bench.{module}", str(n_trials), folder, str(seed)]
        began = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **QUIET}
        ) as process:
            lines = process.stdout or ()
            answer = next((line for line in lines if line.startswith('{"best"')), None)
            seconds = time.perf_counter() - began
            for _ in lines:  # it must not wait for a reader while it cleans up
                pass
        if answer is None:
            errors.seek(0)
            raise RuntimeError(f"{module} printed no answer: {errors.read()[-2000:]}")
        found = json.loads(answer)
        return Run(seconds, found["best"], found["epochs"], {})
