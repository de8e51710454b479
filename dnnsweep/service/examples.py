"""Examples in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

SPEC: Final[dict[str, Any]] = {
    "name": "digits",
    "dataset": {"source": "sklearn:digits"},
    "space": {
        "dropout": {"low": 0.0, "high": 0.6},
        "optimizer": ["sgd", "adam", "nadam"],
        "learning_rate": {"low": 1.0e-4, "high": 1.0e-1, "log": True},
    },
    "objective": {"metric": "val_accuracy"},
    "training": {"epochs": 20},
    "budget": {"trials": 30},
}
_YAML: Final = """name: digits
dataset: {source: sklearn:digits}
space:
  dropout: {low: 0.0, high: 0.6}
  optimizer: [sgd, adam, nadam]
objective: {metric: val_accuracy}
training: {epochs: 20}
budget: {trials: 30}
"""
SWEEP: Final[dict[str, Any]] = {
    "id": "3f0c5c1e7f0a4b0fa1f1d7a6f2f0c9aa",
    "name": "digits",
    "state": "QUEUED",
    "description": None,
    "source": "sklearn:digits",
    "metric": "val_accuracy",
    "direction": "maximize",
    "n_trials": 30,
    "n_finished": 0,
    "n_running": 0,
    "n_failed": 0,
    "best_number": None,
    "best_value": None,
    "window": 4,
    "data": {},
    "spec": SPEC,
    "run_id": None,
    "n_undelivered": 0,
    "error": None,
    "created_at": 1764000000000,
    "ended_at": None,
    "seconds": 0.0,
    "trainer": "auto",
    "slots": 1,
    "device": "cpu",
    "objectives": [{"metric": "val_accuracy", "direction": "maximize"}],
    "n_pruned": 0,
    "n_diverged": 0,
    "front": [],
    "delivery_error": None,
    "submitted_by": "anna",
    "stopped_by": None,
    "repeated_for": None,
    "conclusion": None,
}
DELETED_SWEEP: Final[dict[str, Any]] = {
    "id": "3f0c5c1e7f0a4b0fa1f1d7a6f2f0c9aa",
    "name": "digits",
    "submitted_by": "anna",
    "stopped_by": None,
    "deleted_by": "bert",
    "created_at": 1764000000000,
    "deleted_at": 1764086400000,
    "events": [
        {
            "sweep": "digits",
            "number": None,
            "kind": "created",
            "attempt": None,
            "detail": None,
            "time": 1764000000000,
            "requested_by": "anna",
        }
    ],
}
TRIAL: Final[dict[str, Any]] = {
    "sweep": "digits",
    "number": 6,
    "value": 0.9805,
    "params": {"dropout": 0.0987, "optimizer": "adam", "learning_rate": 0.00157, "batch_size": 32},
    "state": "COMPLETE",
    "reason": "early_stopped",
    "best_epoch": 15,
    "epochs": 20,
    "seconds": 0.3,
    "run_id": "0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f",
    "seed": 1287465892,
    "attempts": 1,
    "error": None,
    "metrics": {"val_accuracy": 0.9805, "val_loss": 0.081},
    "started_at": 1764000003000,
    "ended_at": 1764000003300,
    "confirmed": {"mean": 0.9738, "interval": [0.9671, 0.9805], "n": 12},
}
TRIAL_WITH_CURVE: Final = {
    **TRIAL,
    "curve": {
        "ended_at": [1764000003100, 1764000003120],
        "series": [{"metric": "val_loss", "layer": None, "values": [0.52, 0.31]}],
    },
}
ANSWER: Final[dict[str, Any]] = {
    "sweep": "digits",
    "metric": "val_accuracy",
    "direction": "maximize",
    "kind": "confirmed",
    "n_trials": 30,
    "winner": {
        "number": 6,
        "params": TRIAL["params"],
        "label": "trial 6",
        "mean": 0.9738,
        "interval": [0.9671, 0.9805],
        "n": 12,
        "n_diverged": 0,
    },
    "p_best": 0.93,
    "tied": [11],
    "sentences": ["Trial 6 leads: val_accuracy 97.4 % (96.7 to 98.1 %), the mean of 12 repeats."],
}
STREAM: Final = """event: event
id: 41
data: {"sweep":"digits","number":6,"kind":"ended","attempt":1,"detail":null,"time":1764000003300,"requested_by":null}

event: progress
data: {"state":"RUNNING","n_trials":30,"n_finished":7,"n_running":4,"n_failed":0,"best_number":6,"best_value":0.9805}

"""
SWEEP_FILE: Final[dict[str, Any]] = {
    "required": True,
    "description": "A sweep file.",
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/SweepFile"}, "example": SPEC},
        "application/yaml": {"schema": {"$ref": "#/components/schemas/SweepFile"}, "example": _YAML},
    },
}


def example_of(example: Any, description: str = "Done.") -> dict[str, Any]:
    """Return the description of a JSON answer, with an example."""
    return {"description": description, "content": {"application/json": {"example": example}}}
