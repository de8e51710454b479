"""How MLflow's UI shows a sweep: which columns and charts, and in which order the rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from dnnsweep.tracking.page import NOTE_TAG, ORDER_TAG, ExperimentView

# The UI keeps a view that somebody shares as a tag of the experiment, and opens it by the end of the tag's name.
VIEW_TAG: Final = "mlflow.sharedViewState."
#: Servers before MLflow 3.4 take no longer values of an experiment's tags.
MAX_VIEW_LENGTH: Final = 5000
OBJECTIVE: Final = "objective"
BEST_EPOCH: Final = "best_epoch"
#: Metrics of one value for a run, whose bar charts say nothing: the chart of parallel coordinates shows them.
SINGLE_METRICS: Final = (OBJECTIVE, "objective_2", BEST_EPOCH, "n_parameters", "best_value", "best_value_2")
TAGS: Final = ("dnnsweep.state", "dnnsweep.reason", "dnnsweep.findings")
#: The one of MLflow's own columns that stays in sight; others are empty, or push the hyperparameters out of it.
ATTRIBUTES: Final = ("Run Name",)
#: Candidates, whose repeats would spoil lists and charts of trials, lack the tag. Clearing the filter shows them too.
_FILTER: Final = "tags.`dnnsweep.state` != ''"
_SEARCH, _CURVES = "search", "curves"
#: The widths of columns in pixels that differ from the usual one.
_WIDTHS: Final = {"attributes.`Run Name`": 200, "attributes.`Created`": 130, "metrics.`objective`": 110}


def experiment_tags(view: ExperimentView) -> dict[str, str]:
    """Return the tags of a sweep's experiment: its kind, and the view that lists its trials, best first."""
    return {
        "mlflow.experimentKind": "custom_model_development",
        VIEW_TAG + view_key(view.direction): _encode(view),
        **({NOTE_TAG: view.note} if view.note else {}),
    }


def view_key(direction: str) -> str:
    """Return the name of the view of a sweep with an objective to `maximize` or to `minimize`."""
    return f"dnnsweep-{direction}"


def _encode(view: ExperimentView) -> str:
    """Return the state of the UI as JSON; without charts, and then without columns, if it would be too long."""
    candidates = ({**_list(view), **_charts(view)}, _list(view), _list(ExperimentView(direction=view.direction)))
    texts = (json.dumps(candidate, separators=(",", ":")) for candidate in candidates)
    *_, shortest = found = list(texts)
    return next((text for text in found if len(text) <= MAX_VIEW_LENGTH), shortest)


def _list(view: ExperimentView) -> dict[str, Any]:
    """Return which columns a list of the runs has and how it is sorted: the sweep's own run first, then the best."""
    columns = [
        *_keys("attributes", ATTRIBUTES),
        *_keys("metrics", [OBJECTIVE]),
        *_keys("params", view.params),
        *_keys("tags", TAGS[:2]),
        *_keys("metrics", [BEST_EPOCH]),
        *_keys("tags", TAGS[2:]),
    ]
    return {
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": _WIDTHS,
        "orderByKey": f"tags.`{ORDER_TAG}`",
        "orderByAsc": True,
        "searchFilter": _FILTER,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
    }


def _keys(kind: str, names: Iterable[str]) -> Iterator[str]:
    return (f"{kind}.`{name}`" for name in names)


def _charts(view: ExperimentView) -> dict[str, Any]:
    """Return the charts: the searched hyperparameters against the objective, then curves as they matter."""
    charts = [*_parallel(view), *(_line(metric) for metric in view.metrics), *(_hidden(m) for m in SINGLE_METRICS)]
    sections = ((_SEARCH, "Hyperparameters and objective", 1), (_CURVES, "Model metrics", 3))
    return {
        "compareRunCharts": charts,
        # Charts of metrics that are not named here come last, because the sections count as put in order by hand.
        "compareRunSections": [
            {"uuid": uuid, "name": name, "columns": n_columns, "display": True, "isReordered": True, "deleted": False}
            for uuid, name, n_columns in sections
        ],
        "isAccordionReordered": True,
    }


def _chart(kind: str, name: str, section: str, **settings: Any) -> dict[str, Any]:
    common = {"type": kind, "uuid": name, "metricSectionId": section, "deleted": False, "isGenerated": False}
    return {**common, "runsCountToCompare": 10, **settings}


def _parallel(view: ExperimentView) -> Iterator[dict[str, Any]]:
    if view.params:
        settings = {"selectedParams": view.params, "selectedMetrics": [OBJECTIVE], "showAllRuns": True}
        yield _chart("PARALLEL", "parallel", _SEARCH, **settings)


def _line(metric: str) -> dict[str, Any]:
    settings = {
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "displayName": metric,
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }
    return _chart("LINE", metric, _CURVES, **settings)


def _hidden(metric: str) -> dict[str, Any]:
    return _chart("BAR", metric, _CURVES, metricKey=metric, displayName=metric, deleted=True)
