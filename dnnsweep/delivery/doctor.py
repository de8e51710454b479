"""Compares the ledger and MLflow run by run, and mends what MLflow shows otherwise: the ledger is the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Protocol

from dnnsweep.delivery.pages import trial_page
from dnnsweep.delivery.shipper import RunStore, deliver_all, sweep_page_of
from dnnsweep.ledger import PARENT, Ledger
from dnnsweep.records import Sweep, SweepState
from dnnsweep.settings import Settings
from dnnsweep.tracking import Tracker
from dnnsweep.tracking.page import Point, RunPage, RunState

ENDED: Final = ("FINISHED", "FAILED", "KILLED")
#: How long MLflow may take to be brought up to date before it is looked at.
DELIVERY_SECONDS: Final = 300.0
#: How many names are told of a kind of mistake in one run.
MAX_NAMES: Final = 3


class Kind(StrEnum):
    """How MLflow may differ from the ledger."""

    MISSING = "missing"
    DUPLICATE = "duplicate"
    STALE = "stale"
    WRONG = "wrong"
    ORPHAN = "orphan"
    BEHIND = "behind"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that MLflow shows otherwise than the ledger has it.

    Args:
        sweep: The sweep's name.
        number: The trial; None for the sweep itself.
        kind: What is wrong.
        run_id: The run that is wrong; None where there is none.
        detail: More about it.
        is_mended: Whether it is right now.
    """

    sweep: str
    number: int | None
    kind: Kind
    run_id: str | None
    detail: str
    is_mended: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {name: getattr(self, name) for name in self.__slots__} | {"kind": self.kind.value}


class ReadableStore(RunStore, Protocol):
    """Where runs are shown and can be looked at; `tracking.Tracker` is the real one."""

    def runs(self, experiment: str, prefix: str) -> list[RunState]:
        """Return the runs of an experiment whose key begins with a text, deleted ones too."""

    def points(self, run_id: str, metrics: Sequence[str]) -> set[Point]:
        """Return all points of some metrics of a run."""

    def artifacts(self, run_id: str) -> set[str]:
        """Return the paths of a run's artifacts."""


@dataclass(slots=True)
class Diagnosis:
    """What was looked at.

    Args:
        n_sweeps: Sweeps compared.
        n_runs: Runs that MLflow should show of them.
        skipped: Names of the sweeps that a controller runs now, or that wait for a worker.
        differences: In the order in which they were found.
    """

    n_sweeps: int
    n_runs: int
    skipped: list[str]
    differences: list[Difference]


def diagnose_store(
    ledger: Ledger, store: ReadableStore, settings: Settings, name: str | None = None, *, is_mending: bool
) -> Diagnosis:
    """Compare sweeps with their runs.

    Args:
        ledger: The truth.
        store: Where runs are shown.
        settings: Where models are.
        name: The only sweep to look at; None for all.
        is_mending: Whether to mend what is found.

    Raises:
        SweepNotFoundError: There is no such sweep.
        TrackingError: MLflow cannot be reached or refuses.
    """
    sweeps = ledger.sweeps() if name is None else [ledger.sweep(name)]
    done = Diagnosis(0, 0, [], [])
    for sweep in sweeps:
        if sweep.state in (SweepState.RUNNING, SweepState.QUEUED):
            done.skipped.append(sweep.name)
            continue
        patient = _SweepComparison(ledger, store, settings, sweep, is_mending=is_mending)
        done.differences += patient.examined()
        done.n_sweeps += 1
        done.n_runs += patient.n_runs
    return done


def diagnose(ledger: Ledger, settings: Settings, name: str | None, *, is_mending: bool) -> Diagnosis:
    """Compare sweeps with their runs in MLflow; see `diagnose_store`. Before mending, what waits to be delivered is."""
    if is_mending and ledger.outbox.next_due() is not None:
        deliver_all(ledger, Tracker(settings), settings, DELIVERY_SECONDS)
    return diagnose_store(ledger, Tracker(settings), settings, name, is_mending=is_mending)


class _SweepComparison:
    """One sweep under examination."""

    def __init__(
        self, ledger: Ledger, store: ReadableStore, settings: Settings, sweep: Sweep, *, is_mending: bool
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._settings = settings
        self._sweep = sweep
        self._is_mending = is_mending
        self.n_runs = 0

    def examined(self) -> list[Difference]:
        sweep, prefix = self._sweep, f"{self._ledger.id}/{self._sweep.id}"
        found: dict[str, list[RunState]] = {}
        for run in self._store.runs(sweep.name, prefix):
            found.setdefault(run.key, []).append(run)
        differences = list(self._behind())
        parent = sweep_page_of(self._ledger, self._settings, sweep)
        differences += self._compared(None, parent, found.pop(parent.key, []))
        for trial in self._ledger.trials_of(sweep):
            if not trial.attempts:
                continue  # it was never started, so that there is nothing to show
            curve = self._ledger.curve(sweep.id, trial.number)
            page = trial_page(self._ledger.id, self._sweep, trial, curve)
            differences += self._compared(trial.number, page, found.pop(page.key, []))
        for runs in found.values():
            differences += [self._orphan(run) for run in runs if not run.is_deleted]
        return differences

    def _behind(self) -> Iterator[Difference]:
        n_behind = self._ledger.outbox.count(self._sweep.id)
        if n_behind:
            yield self._difference(None, Kind.BEHIND, None, f"{n_behind} updates were not delivered yet")

    def _difference(self, number: int | None, kind: Kind, run_id: str | None, detail: str) -> Difference:
        return Difference(self._sweep.name, number, kind, run_id, detail)

    def _orphan(self, run: RunState) -> Difference:
        if self._is_mending:
            self._store.delete(run.run_id)
        found = self._difference(None, Kind.ORPHAN, run.run_id, f"the ledger knows no trial of the key {run.key}")
        return replace(found, is_mended=self._is_mending)

    def _compared(self, number: int | None, page: RunPage, runs: Sequence[RunState]) -> list[Difference]:
        self.n_runs += 1
        active = [run for run in runs if not run.is_deleted]
        if not active:
            why = "its run was deleted" if runs else "there is no run of it"
            found = [self._difference(number, Kind.MISSING, None, why)]
            return self._mended(number, page, found) if self._is_mending else found
        kept = _kept(active, page)
        found = [
            self._difference(number, Kind.DUPLICATE, run.run_id, f"run {kept.run_id} shows the same")
            for run in active
            if run is not kept
        ]
        mistakes, is_beyond_repair = self._mistakes(kept, page)
        found += [self._difference(number, kind, kept.run_id, detail) for kind, detail in mistakes]
        if not found or not self._is_mending:
            return found
        for run in active:
            if run is not kept or is_beyond_repair:
                self._store.delete(run.run_id)
        page = replace(page, run_id=None if is_beyond_repair else kept.run_id)
        return self._mended(number, page, found)

    def _mended(self, number: int | None, page: RunPage, found: Sequence[Difference]) -> list[Difference]:
        """Put the whole page, as any delivery does, and remember which run shows it now."""
        run_id = self._store.put(page)
        self._ledger.outbox.set_run(self._sweep.id, PARENT if number is None else number, run_id)
        if number is None:
            self._sweep = replace(self._sweep, run_id=run_id)  # trials are folded under it
        return [replace(difference, is_mended=True) for difference in found]

    def _mistakes(self, run: RunState, page: RunPage) -> tuple[list[tuple[Kind, str]], bool]:
        """Return what is wrong with a run, and whether it can only be made anew."""
        mistakes = list(_mistaken_status(run, page))
        other = {name for name, value in page.params.items() if run.params.get(name, value) != value}
        absent = set(page.params) - set(run.params)
        tags = {name for name, value in page.all_tags.items() if run.tags.get(name) != value}
        points = self._store.points(run.run_id, sorted({point.metric for point in page.points}))
        missing, superfluous = set(page.points) - points, points - set(page.points)
        artifacts = {*page.texts, *page.files}
        absent_files = artifacts - self._store.artifacts(run.run_id) if artifacts else set()
        lists = {
            "parameters differ": other,
            "parameters are missing": absent,
            "tags differ": tags,
            "points are missing": {_named(point) for point in missing},
            "points are not the ledger's": {_named(point) for point in superfluous},
            "artifacts are missing": absent_files,
        }
        mistakes += [(Kind.WRONG, f"{rule}: {_listed(names)}") for rule, names in lists.items() if names]
        if page.run_id != run.run_id:
            mistakes.append((Kind.WRONG, f"the ledger names the run {page.run_id or 'none'}"))
        return mistakes, bool(other or superfluous)


def _kept(runs: Sequence[RunState], page: RunPage) -> RunState:
    """Return the run to keep: the ledger's, else the one that shows most, else the oldest."""
    known = [run for run in runs if run.run_id == page.run_id]
    return known[0] if known else min(runs, key=lambda run: (-run.n_metrics, run.started_at, run.run_id))


def _mistaken_status(run: RunState, page: RunPage) -> Iterator[tuple[Kind, str]]:
    if run.status != page.status:
        kind = Kind.STALE if run.status not in ENDED else Kind.WRONG
        yield kind, f"its status is {run.status}, not {page.status}"


def _named(point: Point) -> str:
    return f"{point.metric} at step {point.step}"


def _listed(names: set[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - MAX_NAMES
    return ", ".join(ordered[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
