"""The Python API: run sweeps, look at them, export what they found."""

from __future__ import annotations

from dnnsweep.client.handle import SweepHandle
from dnnsweep.client.operations import delete, doctor, serve_ui, stop, work
from dnnsweep.client.reads import (
    answer,
    best,
    curve,
    deleted_sweeps,
    event_page,
    events,
    export,
    export_study,
    importances,
    model_file,
    optuna_study,
    report,
    show,
    show_best,
    show_trials,
    sweeps,
    trials,
)
from dnnsweep.client.repeating import confirm, effects, retrain
from dnnsweep.client.runs import await_end, resume, run, submit, validate
from dnnsweep.client.trained_models import (
    export_model,
    load_trained_model,
    predict,
    predict_blocks,
    untested_note,
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
    "event_page",
    "events",
    "export",
    "export_model",
    "export_study",
    "importances",
    "load_trained_model",
    "model_file",
    "optuna_study",
    "predict",
    "predict_blocks",
    "report",
    "resume",
    "retrain",
    "run",
    "serve_ui",
    "show",
    "show_best",
    "show_trials",
    "stop",
    "submit",
    "sweeps",
    "trials",
    "untested_note",
    "validate",
    "work",
]
