"""Compares the ledger with MLflow run by run and repairs what MLflow shows differently: the ledger is the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

from dnnsweep.delivery.candidate_pages import candidate_page, is_shown
from dnnsweep.delivery.kept_models import describe_damage, fetch_model, kept_models
from dnnsweep.delivery.model_pages import model_pages
from dnnsweep.delivery.pages import trial_page
from dnnsweep.delivery.shipper import RunStore, catch_up, sweep_page_of
from dnnsweep.errors import ArtifactError, TrackingError
from dnnsweep.ledger import PARENT, Ledger
from dnnsweep.ledger.outbox import candidate_number, outbox_number
from dnnsweep.records import Sweep, SweepState
from dnnsweep.settings import Settings
from dnnsweep.tracking import Tracker, find_loss, is_writable, readable_copy
from dnnsweep.tracking.page import ENDED, ModelPage, Point, RunPage, RunState

#: How long the delivery of what waits in the outbox may take before ledger and MLflow are compared.
CATCH_UP_SECONDS: Final = 300.0
#: How many names a description of a difference lists.
MAX_NAMES: Final = 3


class Kind(StrEnum):
    """How MLflow, or the files of models, may differ from the ledger."""

    MISSING = "missing"
    DUPLICATE = "duplicate"
    STALE = "stale"
    WRONG = "wrong"
    ORPHAN = "orphan"
    BEHIND = "behind"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that MLflow shows differently from the ledger.

    Args:
        sweep: Name of the sweep.
        number: Number of the trial; None for the sweep's own run, and for a candidate's.
        kind: What is wrong.
        run_id: The run that is wrong; None where there is none.
        detail: What exactly differs, for people.
        is_repaired: Whether MLflow agrees with the ledger by now.
        candidate: Number of the candidate; None for the run of a sweep or of a trial.
    """

    sweep: str
    number: int | None
    kind: Kind
    run_id: str | None
    detail: str
    is_repaired: bool = False
    candidate: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON; scripts know `is_repaired` as `is_mended`."""
        return {
            "sweep": self.sweep,
            "number": self.number,
            "candidate": self.candidate,
            "kind": self.kind.value,
            "run_id": self.run_id,
            "detail": self.detail,
            "is_mended": self.is_repaired,
        }


class ReadableStore(RunStore, Protocol):
    """A run store that can be read as well; `tracking.Tracker` is the real one."""

    def model_mistakes(self, page: ModelPage) -> list[str]:
        """Return what the store lacks of a model, in words."""

    def points(self, run_id: str, metrics: Sequence[str]) -> set[Point]:
        """Return all points of some metrics of a run."""

    def artifacts(self, run_id: str) -> dict[str, int | None]:
        """Return the paths of a run's artifacts, and how many bytes each has, where MLflow knows."""

    def download(self, run_id: str, path: str, folder: Path) -> Path:
        """Copy an artifact into a folder and return the copy."""


@dataclass(slots=True)
class Diagnosis:
    """What a comparison of the ledger with MLflow has shown.

    Args:
        n_sweeps: Sweeps that were compared.
        n_runs: Runs that MLflow should show of them.
        skipped: Names of the sweeps that a controller runs now, or that wait for a worker.
        differences: What differs, in the order in which it was found.
        is_repairing: Whether what differed was to be repaired.
    """

    n_sweeps: int = 0
    n_runs: int = 0
    skipped: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    is_repairing: bool = True


def diagnose(ledger: Ledger, settings: Settings, name: str | None, *, repair: bool) -> Diagnosis:
    """Compare sweeps with their runs in MLflow; see `diagnose_store`.

    With `repair`, an embedded store that is gone or corrupt is made anew, and what waits in the outbox is delivered
    first, which may take up to `CATCH_UP_SECONDS`. Without it nothing is written at all.
    """
    if repair:
        catch_up(ledger, settings, CATCH_UP_SECONDS)
        return diagnose_store(ledger, Tracker(settings), settings, name, repair=True)
    with unchanged_store(settings) as store:
        return diagnose_store(ledger, store, settings, name, repair=False)


@contextmanager
def unchanged_store(settings: Settings) -> Iterator[ReadableStore]:
    """Open MLflow to be read only: an embedded store that is not there, or cannot be written, is stood in by a copy.

    Raises:
        TrackingError: The embedded store is corrupt.
    """
    file = settings.tracking_file
    if settings.is_tracking_embedded and not (file.exists() and is_writable(file)):
        with readable_copy(settings) as copied:
            yield Tracker(copied)
        return
    loss = find_loss(settings)
    if loss is not None:
        raise TrackingError(f"{loss}; `dnnsweep doctor` without --check moves it aside and fills a new one")
    yield Tracker(settings)


def diagnose_store(
    ledger: Ledger, store: ReadableStore, settings: Settings, name: str | None = None, *, repair: bool
) -> Diagnosis:
    """Compare sweeps with their runs.

    Args:
        ledger: Taken for the truth.
        store: Where the runs are shown.
        settings: Where models are.
        name: The only sweep to compare; None for all.
        repair: Whether to make the runs agree with the ledger.

    Raises:
        SweepNotFoundError: There is no such sweep.
        TrackingError: MLflow cannot be reached or refuses.
    """
    sweeps = ledger.sweeps() if name is None else [ledger.sweep(name)]
    diagnosis = Diagnosis(is_repairing=repair)
    for sweep in sweeps:
        if sweep.state in (SweepState.RUNNING, SweepState.QUEUED):
            diagnosis.skipped.append(sweep.name)
            continue
        comparison = _SweepComparison(ledger, store, settings, sweep, repair=repair)
        diagnosis.differences += comparison.run()
        diagnosis.n_sweeps += 1
        diagnosis.n_runs += comparison.n_runs
    return diagnosis


class _SweepComparison:
    """The comparison of one sweep with its runs, and their repair."""

    def __init__(self, ledger: Ledger, store: ReadableStore, settings: Settings, sweep: Sweep, *, repair: bool) -> None:
        self._ledger = ledger
        self._store = store
        self._settings = settings
        self._sweep = sweep
        self._is_repairing = repair
        self.n_runs = 0

    def run(self) -> list[Difference]:
        """Compare the sweep's own run, then those of trials and candidates, then what belongs to none of them."""
        runs_by_key = self._runs_by_key()
        differences = [*self._undelivered(), *self._compare_models()]
        parent = self._own_page()
        differences += self._compare(PARENT, parent, runs_by_key.pop(parent.key, []))
        for number, page in self._pages_below():
            differences += self._compare(number, page, runs_by_key.pop(page.key, []))
        self._link_trials(parent)
        differences += self._compare_logged_models()
        orphans = [run for runs in runs_by_key.values() for run in runs if not run.is_deleted]
        return differences + [self._remove_orphan(run) for run in orphans]

    def _pages_below(self) -> Iterator[tuple[int, RunPage]]:
        """Yield what is folded under the sweep's own run, with its number in the outbox."""
        for trial in self._ledger.trials_of(self._sweep):
            if trial.attempts:  # else it was never started, so that there is nothing to show
                curve = self._ledger.curve(self._sweep.id, trial.number)
                yield trial.number, trial_page(self._ledger.id, self._sweep, trial, curve)
        all_repeats = self._ledger.repeats(self._sweep)
        for candidate in self._ledger.candidates(self._sweep):
            repeats = [repeat for repeat in all_repeats if repeat.candidate == candidate.number]
            if is_shown(repeats):
                page = candidate_page(self._ledger.id, self._sweep, candidate, repeats)
                yield outbox_number(candidate.number), page

    def _link_trials(self, parent: RunPage) -> None:
        """Put the sweep's own page again if runs of its best trials, to which it links, were made anew."""
        page = self._own_page() if self._is_repairing else parent
        if page.tags != parent.tags:
            self._store.put(page)

    def _own_page(self) -> RunPage:
        """Return the page of the sweep's own run, without a damaged model: MLflow's copy may be the last one."""
        page = sweep_page_of(self._ledger, self._settings, self._sweep)
        whole = {path: file for path, file in page.files.items() if describe_damage(Path(file)) is None}
        return replace(page, files=whole)

    def _compare_models(self) -> Iterator[Difference]:
        """Look for the models that are kept; yield those that are not whole, after MLflow's copy was fetched."""
        for model in kept_models(self._ledger, self._settings, self._sweep):
            damage = describe_damage(model.file)
            if damage is None:
                continue
            is_fetched = self._is_repairing and fetch_model(self._store, self._sweep.run_id, model)
            detail = f"its model {model.file} {damage}"
            lost = f"{detail}; {self._model_remedy(model.number)}"
            found = self._difference(_place(model.number), Kind.MODEL, None, detail if is_fetched else lost)
            yield replace(found, is_repaired=is_fetched)

    def _model_remedy(self, number: int | None) -> str:
        if number is None:
            return "`predict` and `export` take the model of a trial with --trial"
        return f"`dnnsweep export {self._sweep.name} --trial {number}` writes the code that trains it again"

    def _compare_logged_models(self) -> Iterator[Difference]:
        """Look for the models that MLflow should have; yield what it lacks of them."""
        for number, page in model_pages(self._ledger, self._settings, self._sweep):
            mistakes = self._store.model_mistakes(page)
            refusal = self._put_model(page) if mistakes and self._is_repairing else ""
            left = self._store.model_mistakes(page) if mistakes and self._is_repairing else mistakes
            for mistake in mistakes:
                found = self._difference(_place(number), Kind.MODEL, None, mistake + refusal)
                yield replace(found, is_repaired=mistake not in left)

    def _put_model(self, page: ModelPage) -> str:
        """Put a model; return why that was refused."""
        try:
            self._store.put_model(page)
        except ArtifactError as error:
            return f"; {error}"
        return ""

    def _runs_by_key(self) -> dict[str, list[RunState]]:
        runs_by_key: dict[str, list[RunState]] = {}
        for run in self._store.runs(self._sweep.name, f"{self._ledger.id}/{self._sweep.id}"):
            runs_by_key.setdefault(run.key, []).append(run)
        return runs_by_key

    def _undelivered(self) -> list[Difference]:
        n_behind = self._ledger.outbox.count(self._sweep.id)
        detail = f"{n_behind} updates were not delivered yet"
        return [self._difference(PARENT, Kind.BEHIND, None, detail)] if n_behind else []

    def _difference(self, number: int, kind: Kind, run_id: str | None, detail: str) -> Difference:
        """Return a difference of the sweep itself, a trial or a candidate, given the number in the outbox."""
        trial = number if number > PARENT else None
        candidate = candidate_number(number) if number < PARENT else None
        return Difference(self._sweep.name, trial, kind, run_id, detail, candidate=candidate)

    def _remove_orphan(self, run: RunState) -> Difference:
        """Return a run of nothing that the ledger knows as a difference, and delete it if runs are to be repaired."""
        if self._is_repairing:
            self._store.delete(run.run_id)
        orphan = self._difference(PARENT, Kind.ORPHAN, run.run_id, f"the ledger knows nothing of the key {run.key}")
        return replace(orphan, is_repaired=self._is_repairing)

    def _compare(self, number: int, page: RunPage, runs: Sequence[RunState]) -> list[Difference]:
        """Compare a page with the runs that have its key, and repair them if runs are to be repaired."""
        self.n_runs += 1
        active = [run for run in runs if not run.is_deleted]
        if not active:
            why = "its run was deleted" if runs else "there is no run of it"
            missing = [self._difference(number, Kind.MISSING, None, why)]
            return self._put(number, page, missing) if self._is_repairing else missing
        kept = _run_to_keep(active, page)
        differences = [
            self._difference(number, Kind.DUPLICATE, run.run_id, f"run {kept.run_id} shows the same")
            for run in active
            if run is not kept
        ]
        mistakes, is_beyond_repair = self._mistakes(kept, page)
        differences += [self._difference(number, kind, kept.run_id, detail) for kind, detail in mistakes]
        if not differences or not self._is_repairing:
            return differences
        for run in active:
            if run is not kept or is_beyond_repair:
                self._store.delete(run.run_id)
        page = replace(page, run_id=None if is_beyond_repair else kept.run_id)
        return self._put(number, page, differences)

    def _put(self, number: int, page: RunPage, differences: Sequence[Difference]) -> list[Difference]:
        """Put the whole page, as any delivery does, and store which run shows it now; return what was repaired by that.

        Args:
            number: Its number in the outbox.
            page: What the run should show.
            differences: What is to be repaired by that. It counts as repaired if MLflow then shows the page.
        """
        refusal = ""
        try:
            run_id = self._store.put(page)
        except ArtifactError as error:  # the run is there but for its files
            run_id, refusal = error.run_id, f"; {error}"
        self._ledger.outbox.set_run(self._sweep.id, number, run_id)
        if number == PARENT:
            self._sweep = replace(self._sweep, run_id=run_id)  # the others are folded under it
        is_repaired = self._shows(run_id, page)
        return [
            replace(difference, is_repaired=is_repaired, detail=difference.detail + refusal)
            for difference in differences
        ]

    def _shows(self, run_id: str, page: RunPage) -> bool:
        run = self._store.run(run_id)
        return run is not None and self._mistakes(run, replace(page, run_id=run_id)) == ([], False)

    def _mistakes(self, run: RunState, page: RunPage) -> tuple[list[tuple[Kind, str]], bool]:
        """Return what is wrong with a run, and whether only a new run can show the page.

        MLflow can neither change a parameter nor take a point back.
        """
        wrong_params = {name for name, value in page.all_params.items() if run.params.get(name, value) != value}
        wrong_tags = {name for name, value in page.all_tags.items() if run.tags.get(name) != value}
        points = self._store.points(run.run_id, sorted({point.metric for point in page.points}))
        missing_points, foreign_points = set(page.points) - points, points - set(page.points)
        missing_artifacts, other_artifacts = self._wrong_artifacts(run, page)
        names_by_rule = {
            "parameters differ": wrong_params,
            "parameters are missing": set(page.all_params) - set(run.params),
            "tags differ": wrong_tags,
            "points are missing": {_point_name(point) for point in missing_points},
            "points are not the ledger's": {_point_name(point) for point in foreign_points},
            "artifacts are missing": missing_artifacts,
            "artifacts have another size": other_artifacts,
            "data are not named": _missing_data(run, page),
        }
        mistakes = list(_wrong_status(run, page))
        mistakes += [(Kind.WRONG, f"{rule}: {_name_some(names)}") for rule, names in names_by_rule.items() if names]
        if page.run_id != run.run_id:
            mistakes.append((Kind.WRONG, f"the ledger names the run {page.run_id or 'none'}"))
        return mistakes, bool(wrong_params or foreign_points)

    def _wrong_artifacts(self, run: RunState, page: RunPage) -> tuple[set[str], set[str]]:
        """Return the files that a run lacks, and those that differ from the page's in their size, where it is known."""
        sizes = {path: len(text.encode()) for path, text in page.texts.items()}
        sizes |= {path: Path(file).stat().st_size for path, file in page.files.items()}
        stored = self._store.artifacts(run.run_id) if sizes else {}
        other = {path for path in sizes.keys() & stored.keys() if stored[path] not in (None, sizes[path])}
        return set(sizes) - set(stored), other


def _place(trial: int | None) -> int:
    """Return the number in the outbox of a trial; of its sweep, for None."""
    return PARENT if trial is None else trial


def _run_to_keep(runs: Sequence[RunState], page: RunPage) -> RunState:
    """Return the run that the ledger names, else the one that shows most, else the oldest."""
    named = [run for run in runs if run.run_id == page.run_id]
    return named[0] if named else min(runs, key=lambda run: (-run.n_metrics, run.started_at, run.run_id))


def _wrong_status(run: RunState, page: RunPage) -> Iterator[tuple[Kind, str]]:
    if run.status != page.status:
        kind = Kind.STALE if run.status not in ENDED else Kind.WRONG
        yield kind, f"its status is {run.status}, not {page.status}"


def _missing_data(run: RunState, page: RunPage) -> set[str]:
    is_named = page.dataset is None or (page.dataset.name, page.dataset.digest) in run.datasets
    return set() if is_named or page.dataset is None else {page.dataset.name}


def _point_name(point: Point) -> str:
    return f"{point.metric} at step {point.step}"


def _name_some(names: set[str]) -> str:
    """Return the first names, and how many more there are."""
    ordered = sorted(names)
    n_more = len(ordered) - MAX_NAMES
    return ", ".join(ordered[:MAX_NAMES]) + (f" and {n_more} more" if n_more > 0 else "")
