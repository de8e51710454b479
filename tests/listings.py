"""Sweeps and trials whose listings are looked at, as the ledger returns them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dnnsweep import spec
from dnnsweep.ledger import summary_json
from dnnsweep.records import DataSummary, Reason, State, Sweep, SweepState, Trial
from dnnsweep.space import Hyperparameters

RUFF = str(Path(sys.executable).with_name("ruff"))  # `python -m ruff` starts Python first


def sweep_of(document: dict[str, Any], data: DataSummary, best: int | None = 4) -> Sweep:
    """A sweep as the ledger returns it: its summary and its file have been JSON."""
    checked = spec.check({"name": "pets", **document})
    plain = json.loads(json.dumps({"data": summary_json(data), "spec": checked.to_json()}))
    return Sweep(
        id="0",
        name=checked.name,
        state=SweepState.COMPLETE,
        description=None,
        source=checked.dataset.source,
        objectives=checked.objectives,
        n_trials=10,
        n_finished=10,
        n_running=0,
        n_failed=0,
        best_number=best,
        best_value=None,
        window=4,
        run_id=None,
        n_undelivered=0,
        error=None,
        created_at=0,
        ended_at=1,
        seconds=1.0,
        **plain,
    )


def trial_of(value: float | None = 0.5, number: int = 4, seed: int = 77, **knobs: Any) -> Trial:
    return Trial(
        sweep="pets",
        number=number,
        values=None if value is None else (value,),
        params=Hyperparameters(**knobs).to_params(),
        state=State.FAILED if value is None else State.COMPLETE,
        reason=Reason.DIVERGED if value is None else Reason.EARLY_STOPPED,
        best_epoch=3,
        epochs=8,
        seconds=1.0,
        run_id=None,
        seed=seed,
        attempts=1,
        error=None,
        metrics={},
        started_at=0,
        ended_at=1,
    )


def ruff(*arguments: str, code: str) -> str:
    """What ruff says of code, by its own rules and not by those of this project."""
    command = [RUFF, *arguments, "--isolated", "--no-cache", "-"]
    done = subprocess.run(command, input=code, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def close_file(made: dict[str, Any]) -> None:
    """Close the npz file that a listing has read its rows from."""
    if isinstance(made.get("data"), np.lib.npyio.NpzFile):
        made["data"].close()
