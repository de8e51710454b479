"""What MLflow shows of a candidate: how its repeats came out, block by block."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Final

from dnnsweep.delivery.descriptions import describe_candidate
from dnnsweep.delivery.pages import experiment_view, run_key
from dnnsweep.records import N_PARAMETERS, Candidate, Purpose, Repeat, Sweep, SweepState
from dnnsweep.tracking.page import NOTE_TAG, ORDER_TAG, Point, RunPage

#: What the names of metrics by block begin with: those of trials are drawn by epoch.
PREFIX: Final = "repeats/"
#: The mean of the objective over the repeats so far, by their number: MLflow could not take a point back.
MEAN: Final = "mean_objective"


def candidate_key(ledger_id: str, sweep_id: str, number: int) -> str:
    """Return the key of a candidate's run, which begins with that of its sweep."""
    return f"{run_key(ledger_id, sweep_id)}/candidate-{number}"


def is_shown(repeats: Sequence[Repeat]) -> bool:
    """Return whether MLflow has a run for the candidate of these repeats: one of them has ended."""
    return any(repeat.ended_at is not None for repeat in repeats)


def candidate_page(
    ledger_id: str, sweep: Sweep, candidate: Candidate, repeats: Sequence[Repeat], *, is_new: bool = False
) -> RunPage:
    """Return the run of a candidate.

    It lacks the tag `dnnsweep.state` and the metric `objective`, by which trials are listed and sorted.

    Args:
        ledger_id: Id of the ledger that holds the sweep.
        sweep: The candidate's sweep, whose run exists already.
        candidate: The candidate.
        repeats: Its repeats in their order, of which one has ended.
        is_new: Whether nobody ever tried to put this page.
    """
    status = _status(sweep, repeats)
    ended_at = max((repeat.ended_at for repeat in repeats if repeat.ended_at is not None), default=None)
    return RunPage(
        key=candidate_key(ledger_id, sweep.id, candidate.number),
        experiment=sweep.name,
        name=f"{candidate.purpose.value} {candidate.label}",
        status=status,
        started_at=min((r.started_at for r in repeats if r.started_at is not None), default=sweep.created_at),
        ended_at=None if status == "RUNNING" else ended_at,
        run_id=candidate.run_id,
        parent_run_id=sweep.run_id,
        is_new=is_new and candidate.run_id is None,
        view=experiment_view(sweep),
        params={name: str(value) for name, value in candidate.params.items()},
        tags=_tags(sweep, candidate, repeats),
        points=tuple(_training_points(repeats) if candidate.purpose is Purpose.RETRAIN else _points(repeats)),
    )


def _status(sweep: Sweep, repeats: Sequence[Repeat]) -> str:
    if any(repeat.reason is None for repeat in repeats):
        return "RUNNING" if sweep.state in (SweepState.RUNNING, SweepState.QUEUED) else "KILLED"
    return "FINISHED" if any(repeat.value is not None for repeat in repeats) else "FAILED"


def _tags(sweep: Sweep, candidate: Candidate, repeats: Sequence[Repeat]) -> dict[str, str]:
    tags = {
        "dnnsweep.sweep": sweep.name,
        "dnnsweep.purpose": candidate.purpose.value,
        "dnnsweep.candidate": str(candidate.number),
        "dnnsweep.of_trial": "" if candidate.trial is None else str(candidate.trial),
        NOTE_TAG: describe_candidate(sweep, candidate, repeats),
        ORDER_TAG: f"2{candidate.number:016x}",  # behind all trials that have a value
    }
    return {name: text for name, text in tags.items() if text}


def _points(repeats: Sequence[Repeat]) -> Iterator[Point]:
    for repeat in repeats:
        if repeat.value is not None and repeat.ended_at is not None:
            yield Point(f"{PREFIX}objective", repeat.value, repeat.block, repeat.ended_at)
    yield from _metric_points(repeats)
    yield from _mean_points(repeats)


def _training_points(repeats: Sequence[Repeat]) -> Iterator[Point]:
    """Yield what retrained networks measured on training rows, to which their validation rows belong as well."""
    return (point for point in _metric_points(repeats) if not point.metric.startswith(f"{PREFIX}val_"))


def _metric_points(repeats: Sequence[Repeat]) -> Iterator[Point]:
    """Yield what was measured in each block, but not what is the same in all."""
    for repeat in repeats:
        if repeat.ended_at is not None:
            measured = {name: value for name, value in (repeat.metrics or {}).items() if name != N_PARAMETERS}
            for name, value in measured.items():
                yield Point(PREFIX + name, value, repeat.block, repeat.ended_at)


def _mean_points(repeats: Sequence[Repeat]) -> Iterator[Point]:
    """Yield the mean over the first repeats, up to the first one that has not ended.

    A point that was put stays as it is whatever ends later, as repeats are only added behind the others.
    """
    values, time = list[float](), 0
    for repeat in repeats:
        if repeat.reason is None:
            return
        if repeat.value is not None and repeat.ended_at is not None:
            values.append(repeat.value)
            time = max(time, repeat.ended_at)
            yield Point(MEAN, statistics.fmean(values), len(values), time)
