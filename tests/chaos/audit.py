"""What is left of sweeps: ledger and MLflow, compared with each other and with the undisturbed sweep."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import zip_longest
from typing import Any, NamedTuple

from workspace import Workspace, identity

import dnnsweep
from dnnsweep.ledger import Ledger
from dnnsweep.records import Curve, Purpose, Reason, Trial
from dnnsweep.settings import find_settings

Identity = list[tuple[Any, ...]]


class Outcome(NamedTuple):
    """What must not depend on how a sweep was run.

    Args:
        trials: Its trials.
        repeats: The repeats of its configurations, but those of the retrained winner: what they answered for the test
            rows is not kept, so that all of them are trained again after a kill.
    """

    trials: Identity
    repeats: Identity


def outcome_of(workspace: Workspace, name: str) -> Outcome:
    """Return what a sweep has come to."""
    with environment(workspace.environ), closing(Ledger.open(find_settings(workspace.home).database_url)) as ledger:
        trials, sweep = workspace.trials(name), ledger.sweep(name)
        candidates = ledger.candidates(sweep)
        repeats = [
            (candidates[repeat.candidate].label, repeat.block, repeat.seed, repeat.value, repeat.reason, repeat.epochs)
            for repeat in ledger.repeats(sweep)
            if candidates[repeat.candidate].purpose is not Purpose.RETRAIN
        ]
    return Outcome(identity(trials), repeats)


@dataclass
class Row:
    """What is left of sweeps; every column from `lost` on has to be 0.

    Args:
        place: What was disturbed, and where ledger and runs were kept.
        faults: Processes killed, or what else was done to them.
        asked: Trials asked for.
        finished: Trials that ended.
        runs: Runs of trials in MLflow.
        lost: Trials that are missing, and candidates that MLflow lacks.
        twice: Numbers, or runs of the same trial or candidate, that are there twice.
        running: Trials that are still running, in the ledger or in MLflow, and candidates in MLflow.
        different: Trials and repeats that differ from the undisturbed sweep's.
        points_missing: Points of metrics that MLflow lacks.
        points_more: Points that it has and the ledger has not.
        unlike: Differences that `dnnsweep doctor` finds.
    """

    place: str
    faults: int = 0
    asked: int = 0
    finished: int = 0
    runs: int = 0
    lost: int = 0
    twice: int = 0
    running: int = 0
    different: int = 0
    points_missing: int = 0
    points_more: int = 0
    unlike: int = 0

    @property
    def is_good(self) -> bool:
        bad = ("lost", "twice", "running", "different", "points_missing", "points_more", "unlike")
        return self.asked == self.finished == self.runs and not any(getattr(self, name) for name in bad)

    def add(self, other: Row) -> None:
        for each in fields(self)[1:]:
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


def audited(
    place: str,
    workspace: Workspace,
    uri: str,
    expected: Outcome,
    n_faults: int,
    name: str,
    may_fail: str | None = None,
) -> Row:
    """Compare ledger, MLflow and the undisturbed sweep.

    Args:
        place: Title of the row.
        workspace: Where the sweep was run.
        uri: Address of MLflow's store.
        expected: The undisturbed sweep.
        n_faults: How often the sweep was disturbed.
        name: Name of the sweep.
        may_fail: A part of the error of trials that may have failed, other than the undisturbed ones.
    """
    with environment(workspace.environ):
        trials, doctor = workspace.trials(name), dnnsweep.doctor(name, repair=False, home=workspace.home)
        with closing(Ledger.open(find_settings(workspace.home).database_url)) as ledger:
            sweep_id = ledger.sweep(name).id
            curves = {trial.number: ledger.curve(sweep_id, trial.number) for trial in trials}
            candidates = {repeat.candidate for repeat in ledger.repeats(ledger.sweep(name)) if repeat.ended_at}
    found, numbers = outcome_of(workspace, name), Counter(trial.number for trial in trials)
    row = Row(place, n_faults, len(expected.trials), sum(trial.reason is not None for trial in trials))
    row.lost = len(set(range(len(expected.trials))) - set(numbers))
    row.twice = sum(count - 1 for count in numbers.values())
    row.running = sum(trial.reason is None for trial in trials)
    compared = zip(trials, found.trials, expected.trials, strict=False)
    row.different = sum(one != other and not _may_be(trial, may_fail) for trial, one, other in compared)
    row.different += sum(one != other for one, other in zip_longest(found.repeats, expected.repeats))
    row.unlike = len(doctor.differences)
    repeated = list(_shown(uri, name, "dnnsweep.candidate"))
    row.lost += len(candidates - {number for number, *_ in repeated})
    row.twice += len(repeated) - len({number for number, *_ in repeated})
    row.running += sum(status in ("RUNNING", "SCHEDULED") for _, status, _ in repeated)
    shown: dict[int, set[tuple[str, int, float]]] = {}
    for number, status, points in _shown(uri, name, "dnnsweep.trial"):
        row.runs += 1
        row.twice += number in shown
        row.running += status in ("RUNNING", "SCHEDULED")
        shown[number] = points
    for number, curve in curves.items():
        known = set(_points(curve))
        seen = {
            point for point in shown.get(number, set()) if point[0] not in ("objective", "best_epoch", "n_parameters")
        }
        row.points_missing += len(known - seen)
        row.points_more += len(seen - known)
    return row


def _points(curve: Curve) -> Iterator[tuple[str, int, float]]:
    """Yield name, epoch and value of what MLflow should show: of layers the epochs 1, 2, 4, ... and the last one."""
    for series in curve.series:
        name = series.metric if series.layer is None else f"{series.metric}/{series.layer}"
        for epoch, value in enumerate(series.values, start=1):
            if series.layer is None or epoch == len(series.values) or epoch & (epoch - 1) == 0:
                yield name, epoch, value


def _may_be(trial: Trial, may_fail: str | None) -> bool:
    """Return whether a trial failed as it was made to fail."""
    return may_fail is not None and trial.reason is Reason.FAILED and may_fail in (trial.error or "")


def _shown(uri: str, name: str, tag: str) -> Iterator[tuple[int, str, set[tuple[str, int, float]]]]:
    """Yield number, status and points of each run in MLflow that has a tag, which tells the number."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(name)
    for run in client.search_runs([experiment.experiment_id], f"tags.`{tag}` != ''", max_results=1000):
        history = [client.get_metric_history(run.info.run_id, name) for name in run.data.metrics]
        points = {(point.key, point.step, point.value) for metric in history for point in metric}
        yield int(run.data.tags[tag]), run.info.status, points


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Let this process have a command's environment."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    names = [each.name.replace("_", " ") for each in fields(Row)]
    lines = [names, ["---"] * len(names), *([str(value) for value in asdict(row).values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
