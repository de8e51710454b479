"""What MLflow shows of a sweep and of a trial: records turned into run pages."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dnnsweep.answers.answer import Answer
from dnnsweep.delivery.descriptions import describe_sweep, describe_trial
from dnnsweep.records import N_PARAMETERS, Curve, Reason, State, Sweep, SweepState, Task, Trial, metrics_for
from dnnsweep.records.ranking import rank
from dnnsweep.tracking.page import MAX_DIGEST_LENGTH, NOTE_TAG, ORDER_TAG, DatasetInput, ExperimentView, Point, RunPage

#: Where the run of a sweep has its best trial as Keras code.
CODE_ARTIFACT: Final = "best.py"
#: The longest name of data that MLflow takes.
MAX_SOURCE_LENGTH: Final = 500
#: What puts the run of a sweep before all of its trials; see `order_of`.
FIRST: Final = "0"
#: Where the run of a sweep has the model of its best trial.
MODEL_ARTIFACT: Final = "best/model.keras"
#: Where the run of a sweep has the model of its retrained winner.
RETRAINED_ARTIFACT: Final = "retrained/model.keras"
#: Where the run of a sweep has its answer, as `dnnsweep answer --json` prints it.
ANSWER_ARTIFACT: Final = "answer.json"
#: Where the run of a sweep that has ended has its report.
REPORT_ARTIFACT: Final = "report.html"
_SWEEP_STATUS: Final = {
    SweepState.QUEUED: "SCHEDULED",
    SweepState.RUNNING: "RUNNING",
    SweepState.COMPLETE: "FINISHED",
    SweepState.FAILED: "FAILED",
    SweepState.STOPPED: "KILLED",
    SweepState.INTERRUPTED: "KILLED",
}
_TRIAL_STATUS: Final = {
    State.QUEUED: "SCHEDULED",
    State.RUNNING: "RUNNING",
    State.COMPLETE: "FINISHED",
    State.PRUNED: "FINISHED",
    State.FAILED: "FAILED",
}


def run_key(ledger_id: str, sweep_id: str, number: int | None = None) -> str:
    """Return the key of a sweep's own run, or of a trial's; the first is the beginning of the second."""
    return f"{ledger_id}/{sweep_id}" if number is None else f"{ledger_id}/{sweep_id}/{number}"


@dataclass(frozen=True, slots=True)
class SweepResults:
    """What a sweep has come to so far.

    Args:
        best: The best trials, best first.
        code: The best trial as Keras code; None if there is none, or none can be written.
        models: Artifact path -> file of a Keras model: of the best trial, and of the retrained winner.
        answer: What the sweep answers; None before it was confirmed.
        report: All of it as an HTML page; None before the sweep has ended.
    """

    best: Sequence[Trial] = ()
    code: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    answer: Answer | None = None
    report: str | None = None

    @property
    def texts(self) -> dict[str, str]:
        """Return the artifacts that are written here, by their path."""
        answer = None if self.answer is None else json.dumps(self.answer.to_json(), indent=2) + "\n"
        texts = {CODE_ARTIFACT: self.code, ANSWER_ARTIFACT: answer, REPORT_ARTIFACT: self.report}
        return {path: text for path, text in texts.items() if text is not None}


def sweep_page(ledger_id: str, sweep: Sweep, points: Sequence[Point], spec: str, results: SweepResults) -> RunPage:
    """Return the parent run of a sweep.

    Args:
        ledger_id: Id of the ledger that holds the sweep.
        sweep: The sweep in its present state.
        points: The sweep's curve, as `BestSoFar` computes it.
        spec: The sweep file, resolved, as YAML.
        results: What the sweep has come to so far.
    """
    tags = {
        "dnnsweep.sweep": sweep.name,
        "dnnsweep.state": sweep.state.value,
        "dnnsweep.objective": " and ".join(map(str, sweep.objectives)),
        "dnnsweep.best_trial": "" if sweep.best_number is None else str(sweep.best_number),
        NOTE_TAG: describe_sweep(sweep, results.best, results.answer.sentences if results.answer else ()),
        ORDER_TAG: FIRST,
    }
    return RunPage(
        key=run_key(ledger_id, sweep.id),
        experiment=sweep.name,
        name=sweep.name,
        status=_SWEEP_STATUS[sweep.state],
        started_at=sweep.created_at,
        ended_at=sweep.ended_at,
        run_id=sweep.run_id,
        view=experiment_view(sweep),
        params=_data_params(sweep),
        tags={name: text for name, text in tags.items() if text},
        points=tuple(points),
        texts={"sweep.yaml": spec, **results.texts},
        files=results.models,
        dataset=_dataset(sweep),
    )


def experiment_view(sweep: Sweep) -> ExperimentView:
    """Return how the trials are listed: what was searched, and curves, of validation rows before those of training."""
    task = sweep.data.get("task")
    metrics = [] if task is None else metrics_for(Task(task))
    measured = [objective.metric for objective in sweep.objectives if objective.metric != N_PARAMETERS]
    validation = [metric for metric in metrics if metric.startswith("val_")]
    return ExperimentView(
        note=sweep.description or f"The sweep {sweep.name}: {' and '.join(map(str, sweep.objectives))}.",
        direction=sweep.direction,
        params=tuple(sweep.spec.get("space", {})),
        metrics=tuple(dict.fromkeys((*measured, *validation, *metrics))),
    )


def _data_params(sweep: Sweep) -> dict[str, str]:
    names = ("task", "n_features", "n_train", "n_validation", "n_test", "fingerprint")
    splits = {name: str(value) for name in ("folds", "resplit") if (value := sweep.spec.get("dataset", {}).get(name))}
    return {"source": sweep.source, **{name: str(sweep.data[name]) for name in names if name in sweep.data}, **splits}


def _dataset(sweep: Sweep) -> DatasetInput | None:
    """Return the data as MLflow knows data: the fingerprint, cut to the length that it takes, tells them apart."""
    if "fingerprint" not in sweep.data:
        return None
    from dnnsweep.spec.dataset import FILES

    kind, _, place = sweep.source.partition(":")
    is_file = kind in FILES
    counts = {name: sweep.data[name] for name in ("n_train", "n_validation", "n_test") if name in sweep.data}
    facts = {name: sweep.data[name] for name in ("n_features", "task", "classes") if sweep.data.get(name)}
    return DatasetInput(
        name=sweep.source[:MAX_SOURCE_LENGTH],
        digest=str(sweep.data["fingerprint"])[:MAX_DIGEST_LENGTH],
        source_type="local" if is_file else "code",
        source=json.dumps({"uri": place} if is_file else {"tags": {"mlflow.source.name": sweep.source}}),
        profile=json.dumps({"num_rows": sum(counts.values()), **counts, **facts}),
    )


class BestSoFar:
    """The best value up to each trial, in the order of trials; extended when more of them have ended.

    Args:
        directions: `maximize` or `minimize`, one for each objective; the best of each is looked for by itself.
    """

    def __init__(self, *directions: str) -> None:
        self._better = [max if direction == "maximize" else min for direction in directions]
        self._best: tuple[float, ...] = ()
        self._time = 0
        self.n_seen = 0
        self.points: list[Point] = []

    def extend(self, trials: Iterable[Trial]) -> None:
        """Add trials up to the first one that has not ended.

        Args:
            trials: The trials in their order, from number `n_seen` on.
        """
        for trial in trials:
            if trial.ended_at is None or trial.reason is None:
                return
            # A point's time must not change when a later trial ends earlier.
            self._time = max(self._time, trial.ended_at)
            if trial.values is not None:
                pairs = zip(self._best or trial.values, trial.values, strict=True)
                self._best = tuple(better(pair) for better, pair in zip(self._better, pairs, strict=True))
            for name, best in _numbered("best_value", self._best):
                self.points.append(Point(name, best, trial.number, self._time))
            self.n_seen = trial.number + 1


def _numbered(name: str, values: Sequence[float]) -> Iterable[tuple[str, float]]:
    """Return what each objective's values are called: the first one as if it were alone."""
    return zip((name, f"{name}_2"), values, strict=False)


def trial_page(ledger_id: str, sweep: Sweep, trial: Trial, curve: Curve, *, is_new: bool = False) -> RunPage:
    """Return the run of a trial; it makes sense alone: sorted by a metric, the UI shows it without its parent.

    Args:
        ledger_id: Id of the ledger that holds the trial.
        sweep: The trial's sweep, whose run exists already.
        trial: The trial in its present state.
        curve: What was measured so far.
        is_new: Whether nobody ever tried to put this page.
    """
    return RunPage(
        key=run_key(ledger_id, sweep.id, trial.number),
        experiment=sweep.name,
        name=run_name(trial, sweep.spec.get("space", {})),
        status="KILLED" if trial.reason is Reason.STOPPED else _TRIAL_STATUS[trial.state],
        started_at=trial.started_at or sweep.created_at,
        ended_at=trial.ended_at,
        run_id=trial.run_id,
        parent_run_id=sweep.run_id,
        is_new=is_new and trial.run_id is None,
        view=experiment_view(sweep),
        params={name: str(value) for name, value in trial.params.items()},
        tags=_trial_tags(sweep, trial, curve),
        points=(*_curve_points(curve, is_over=trial.ended_at is not None), *_single_points(trial)),
    )


def run_name(trial: Trial, space: Mapping[str, Any]) -> str:
    """Return a name that tells a trial from its neighbours: its number and what was searched.

    Args:
        trial: The trial to describe.
        space: The hyperparameters that were searched.
    """
    words = [
        _word(name, trial.params[name]) for name in ("optimizer", *space) if name in space and name in trial.params
    ]
    return " ".join([f"{trial.number:04d}", *dict.fromkeys(filter(None, words))])


def _word(name: str, value: Any) -> str:
    if name in ("optimizer", "initializer", "activation", "schedule"):
        return str(value)
    short = {"learning_rate": "lr", "batch_size": "batch", "batch_norm": "bn"}.get(name, name)
    if isinstance(value, bool):
        return short if value else ""
    if isinstance(value, list | tuple):
        return f"{short}={'-'.join(map(str, value))}"
    return f"{short}={value}" if isinstance(value, str) else f"{short}={value:.3g}"


def _trial_tags(sweep: Sweep, trial: Trial, curve: Curve) -> dict[str, str]:
    codes = dict.fromkeys(finding.code.value for finding in trial.findings)
    tags = {
        "dnnsweep.sweep": sweep.name,
        "dnnsweep.trial": str(trial.number),
        "dnnsweep.state": trial.state.value,
        "dnnsweep.reason": trial.reason.value if trial.reason else "",
        "dnnsweep.findings": ", ".join([*codes, *not_finite(curve)]),
        "dnnsweep.attempts": str(trial.attempts),
        "dnnsweep.seed": str(trial.seed),
        "dnnsweep.error": trial.error or "",
        NOTE_TAG: describe_trial(sweep, trial),
        ORDER_TAG: order_of(sweep, trial),
    }
    return {name: text for name, text in tags.items() if text}


def order_of(sweep: Sweep, trial: Trial) -> str:
    """Return text by which trials sort, upwards, in the order of `best`; "" for a trial without a value.

    MLflow sorts by one column, and runs with equal values by their start. So the whole rank is one column. Each of its
    numbers is a double, whose bits in order of size are those of the number with the sign turned round, or all of them
    if it is negative.
    """
    if trial.values is None:
        return ""
    ranked = rank(trial.values, trial.metrics.get("val_loss"), trial.number, *sweep.directions)
    return "1" + "".join(f"{_ordered_bits(part):016x}" for part in ranked)


def _ordered_bits(number: float) -> int:
    (bits,) = struct.unpack(">Q", struct.pack(">d", number + 0.0))  # there is one zero
    return int(bits ^ (0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else 1 << 63))


def not_finite(curve: Curve) -> list[str]:
    """Return what cannot be shown as a number: each metric of the network that became NaN or infinite, and when.

    Example:
        >>> from dnnsweep.records import Series
        >>> not_finite(Curve((Series("loss", (0.5, float("nan"))),), (10, 20)))
        ['loss not finite from epoch 2']
    """
    texts = []
    for series in (series for series in curve.series if series.layer is None):
        first_bad = next((epoch for epoch, value in enumerate(series.values, 1) if not math.isfinite(value)), None)
        if first_bad is not None:
            texts.append(f"{series.metric} not finite from epoch {first_bad}")
    return texts


def _metric_name(metric: str, layer: str | None) -> str:
    return metric if layer is None else f"{metric}/{layer}"


def _curve_points(curve: Curve, *, is_over: bool) -> Iterable[Point]:
    """Yield the points of all metrics: those of layers at the epochs 1, 2, 4, 8, and so on, and at the last one.

    There are many layers, and MLflow takes most of the time that a point costs. The ledger has all epochs.
    """
    last = curve.n_epochs if is_over else 0
    for series in curve.series:
        name = _metric_name(series.metric, series.layer)
        for epoch, (value, time) in enumerate(zip(series.values, curve.ended_at, strict=True), 1):
            is_shown = series.layer is None or epoch == last or epoch.bit_count() == 1
            if is_shown and math.isfinite(value):
                yield Point(name, value, epoch, time)


def _single_points(trial: Trial) -> Iterable[Point]:
    """Yield what counts, the values at the best epoch, as single points: of a curve MLflow shows the last step."""
    if trial.values is None or trial.best_epoch is None or trial.ended_at is None:
        return
    for name, value in _numbered("objective", trial.values):
        yield Point(name, value, 0, trial.ended_at)
    yield Point("best_epoch", float(trial.best_epoch), 0, trial.ended_at)
    if N_PARAMETERS in trial.metrics:
        yield Point(N_PARAMETERS, trial.metrics[N_PARAMETERS], 0, trial.ended_at)
