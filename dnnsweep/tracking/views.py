"""How MLflow's UI shows a sweep: which columns, and in which order the rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

# The UI keeps a view that somebody shares as a tag of the experiment, and opens it by the end of the tag's name.
VIEW_TAG: Final = "mlflow.sharedViewState."
DIRECTIONS: Final = ("maximize", "minimize")
METRICS: Final = ("objective", "best_epoch")
TAGS: Final = ("dnnsweep.reason", "dnnsweep.findings")


def experiment_tags(params: Sequence[str]) -> dict[str, str]:
    """Return the tags of a sweep's experiment: its kind, and a view of its trials for either direction, best first.

    Args:
        params: The hyperparameters that the view shows.
    """
    kind = {"mlflow.experimentKind": "custom_model_development"}
    return kind | {VIEW_TAG + view_key(direction): json.dumps(_view(direction, params)) for direction in DIRECTIONS}


def view_key(direction: str) -> str:
    """Return the name of the view that sorts by an objective to `maximize` or to `minimize`."""
    return f"dnnsweep-{direction}"


def _view(direction: str, params: Sequence[str]) -> dict[str, object]:
    columns = {"metrics": METRICS, "params": params, "tags": TAGS}
    return {
        "selectedColumns": [f"{kind}.`{name}`" for kind, names in columns.items() for name in names],
        "orderByKey": "metrics.`objective`",
        "orderByAsc": direction == "minimize",
        "searchFilter": "",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
    }
