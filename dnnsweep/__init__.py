"""Hyperparameter sweeps for dense networks: Optuna samples, Keras trains, MLflow shows every trial."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnnsweep.client import (
        SweepHandle,
        answer,
        await_end,
        best,
        confirm,
        curve,
        delete,
        deleted_sweeps,
        doctor,
        effects,
        events,
        export,
        export_model,
        export_study,
        importances,
        model_file,
        optuna_study,
        predict,
        report,
        resume,
        retrain,
        run,
        serve_ui,
        show,
        stop,
        submit,
        sweeps,
        trials,
        validate,
        work,
    )
    from dnnsweep.errors import DnnsweepError

__all__ = [
    "DnnsweepError",
    "SweepHandle",
    "answer",
    "await_end",
    "best",
    "confirm",
    "curve",
    "delete",
    "deleted_sweeps",
    "doctor",
    "effects",
    "events",
    "export",
    "export_model",
    "export_study",
    "importances",
    "model_file",
    "optuna_study",
    "predict",
    "report",
    "resume",
    "retrain",
    "run",
    "serve_ui",
    "show",
    "stop",
    "submit",
    "sweeps",
    "trials",
    "validate",
    "work",
]


def __getattr__(name: str) -> Any:
    """Load the client when it is first used: `dnnsweep --help` shall not wait for it."""
    if name not in __all__:
        raise AttributeError(f"module 'dnnsweep' has no attribute {name!r}")
    return getattr(importlib.import_module("dnnsweep.client"), name)
