"""Brings what the outbox holds to MLflow: once (`OutboxSender`), or in a thread beside the training (`Shipper`)."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

from dnnsweep.delivery.candidate_pages import candidate_page, is_shown
from dnnsweep.delivery.model_pages import champion_page, trial_model_page
from dnnsweep.delivery.pages import BestSoFar, sweep_page, trial_page
from dnnsweep.delivery.sweep_results import ResultsReader
from dnnsweep.delivery.verification import verify
from dnnsweep.errors import ArtifactError, LedgerError, TrackingError
from dnnsweep.ledger import PARENT, Entry, Ledger
from dnnsweep.ledger.outbox import DELETE, candidate_number
from dnnsweep.records import Sweep, SweepState
from dnnsweep.settings import Settings
from dnnsweep.tracking import Tracker, find_loss
from dnnsweep.tracking.page import ENDED, ModelPage, RunPage, RunState

log: Final = logging.getLogger(__name__)
#: How many outbox entries are claimed at once.
BATCH: Final = 20
#: How often the outbox is looked at while it is empty.
IDLE_SECONDS: Final = 0.5
#: How long to wait at least, when nothing is left but what another process is about to send.
SOON_SECONDS: Final = 0.05
#: How long an entry waits after its first failure; twice as long after each further one, up to the maximum.
FIRST_BACKOFF_SECONDS: Final = 1.0
MAX_BACKOFF_SECONDS: Final = 30.0
#: How long a sweep's run waits until it is brought up to date again, while there are trials to send.
SWEEP_SECONDS: Final = 1.0
#: How many failures in a row mean that MLflow is away.
LAST_TRIES: Final = 3
#: How often, at most, a process compares an ended sweep with MLflow.
MAX_VERIFICATIONS: Final = 3


class RunStore(Protocol):
    """What takes the pages of runs; `tracking.Tracker` is the real one."""

    def prepare(self) -> str | None:
        """Get ready, which may take seconds the first time; return why the store lacks what was put, if it does."""

    def check(self) -> None:
        """Raise an error if the store cannot keep what was put."""

    def put(self, page: RunPage) -> str:
        """Bring a run up to its page and return its id; putting twice changes nothing."""

    def put_model(self, page: ModelPage) -> None:
        """Log a model and register it as its page says; putting twice changes nothing."""

    def delete(self, run_id: str) -> None:
        """Remove a run; one that is gone is fine."""

    def delete_models(self, run_id: str) -> None:
        """Remove the models of a run; those that are gone are fine."""

    def run(self, run_id: str) -> RunState | None:
        """Return a run, even if it was deleted; None if there is none."""

    def runs(self, experiment: str, prefix: str) -> list[RunState]:
        """Return the runs of an experiment whose key begins with a text, deleted ones too."""

    def optimise(self) -> None:
        """Speed up what reads the store."""


class OutboxSender:
    """Sends the outbox entries that are due, once.

    An entry says that a sweep, a trial or a candidate has changed, not how: it is read from the ledger at that moment,
    and its page is put as a whole.

    Args:
        ledger: Read for pages; its outbox is emptied.
        store: Takes the pages.
        settings: Where models are.
        sweep_id: The sweep that this process runs; None if it runs none.
    """

    def __init__(self, ledger: Ledger, store: RunStore, settings: Settings, sweep_id: str | None = None) -> None:
        self._ledger = ledger
        self._store = store
        self._settings = settings
        self.sweep_id = sweep_id
        self._sweeps: dict[str, Sweep | None] = {}
        self._curves: dict[str, BestSoFar] = {}
        self._results = ResultsReader(ledger, settings)
        self._sweep_put_at: dict[str, float] = {}
        self._unverified: set[str] = set()
        self._n_verified: dict[str, int] = {}

    def deliver(self, limit: int = BATCH) -> int:
        """Send what is due; return how many entries were sent.

        An entry that fails waits longer each time, and the next one is tried: one that MLflow refuses must not hold
        the others up. After `LAST_TRIES` failures in a row MLflow counts as away, and the rest is given back.

        Raises:
            TrackingError: Nothing was sent, because MLflow cannot be reached or refuses.
        """
        n_sent, n_in_a_row, errors = 0, 0, list[Exception]()
        self._sweeps.clear()
        for entry in self._claim(limit):
            if n_in_a_row >= LAST_TRIES:
                self._ledger.outbox.release(entry)
                continue
            try:
                self._ledger.outbox.remove_sent(entry, self._send(entry))
            except Exception as error:  # noqa: BLE001  whatever MLflow raises
                self._postpone(entry, error)
                errors.append(error)
                n_in_a_row = 0 if isinstance(error, ArtifactError) else n_in_a_row + 1
            else:
                n_sent, n_in_a_row = n_sent + 1, 0
        if errors and n_sent == 0:
            raise TrackingError(str(errors[0])) from errors[0]
        self._verify_ended()
        return n_sent

    def note_refusal(self, error: TrackingError) -> None:
        """Store with the first entry that is due why nothing can be sent at all."""
        for entry in self._claim(1):
            self._postpone(entry, error)

    def _postpone(self, entry: Entry, error: Exception) -> None:
        if isinstance(error, ArtifactError):  # the run is there, and others can be folded under it
            self._store_run(entry.sweep_id, entry.number, error.run_id)
        wait = min(FIRST_BACKOFF_SECONDS * 2**entry.attempts, MAX_BACKOFF_SECONDS)
        self._ledger.outbox.postpone(entry, str(error), wait)

    def _verify_ended(self) -> None:
        """Compare what MLflow has of sweeps that have ended with what was put, once all of it was sent.

        Raises:
            TrackingError: MLflow cannot be reached, or its store was corrupt.
        """
        for sweep_id in [id_ for id_ in self._unverified if self._ledger.outbox.count(id_) == 0]:
            self._unverified.discard(sweep_id)
            sweep = self._ledger.sweep_of(sweep_id)
            if sweep is None or sweep.state in (SweepState.RUNNING, SweepState.QUEUED):
                continue  # who runs it now compares it when it ends
            n_before = self._n_verified.setdefault(sweep_id, 0)
            if n_before < MAX_VERIFICATIONS:
                self._n_verified[sweep_id] = n_before + 1
                verify(self._ledger, self._store, sweep)

    def _send(self, entry: Entry) -> str | None:
        if entry.kind == DELETE:
            if entry.number == PARENT:
                self._store.delete_models(str(entry.run_id))
            self._store.delete(str(entry.run_id))
            return None
        if entry.number == PARENT or entry.sweep_id not in self._sweeps:
            self._sweeps[entry.sweep_id] = self._ledger.sweep_of(entry.sweep_id)
        sweep = self._sweeps[entry.sweep_id]
        if sweep is None:  # it was deleted after the entry was written
            return None
        if entry.number == PARENT:
            return self._put_sweep(sweep)
        return self._put_trial(sweep, entry) if entry.number > PARENT else self._put_candidate(sweep, entry)

    def _claim(self, limit: int) -> list[Entry]:
        """Take what is due; a sweep whose run was just brought up to date waits while there are trials to send."""
        since = time.monotonic() - SWEEP_SECONDS
        recent = [sweep_id for sweep_id, put_at in self._sweep_put_at.items() if put_at > since]
        entries = self._ledger.outbox.claim(limit, self.sweep_id, without=recent)
        return entries or (self._ledger.outbox.claim(limit, self.sweep_id) if recent else [])

    def _put_sweep(self, sweep: Sweep) -> str:
        curve = self._curves.setdefault(sweep.id, BestSoFar(*sweep.directions))
        page = sweep_page_of(self._ledger, self._settings, sweep, curve, self._results)
        run_id = self._store.put(page)
        self._sweep_put_at[sweep.id] = time.monotonic()
        self._sweeps[sweep.id] = replace(sweep, run_id=run_id)
        if page.status in ENDED:
            self._unverified.add(sweep.id)
        if sweep.run_id not in (None, run_id):
            self._refill(sweep)
        self._put_model(champion_page(self._ledger, self._settings, replace(sweep, run_id=run_id)))
        return run_id

    def _put_model(self, page: ModelPage | None) -> None:
        if page is not None:
            self._store.put_model(page)

    def _refill(self, sweep: Sweep) -> None:
        """Send all other runs of a sweep again whose own had vanished from MLflow: they are gone too, or unfolded."""
        n_runs = self._ledger.outbox.refill(sweep.id)
        if n_runs:  # else they wait already, because the whole store is new
            log.warning(
                "MLflow had lost the run of sweep %s; it was made anew, and its %d other runs are delivered again; "
                "`dnnsweep doctor` fills in what MLflow may have lost of other sweeps",
                sweep.name,
                n_runs,
            )

    def forget(self) -> None:
        """Forget when sweeps were put, so that none of them waits."""
        self._sweep_put_at.clear()

    def _put_trial(self, sweep: Sweep, entry: Entry) -> str:
        sweep = self._with_run(sweep)
        trial = self._ledger.trial_of(sweep, entry.number)
        curve = self._ledger.curve(sweep.id, entry.number)
        run_id = self._store.put(trial_page(self._ledger.id, sweep, trial, curve, is_new=entry.claimed_by is None))
        # Was it the only run that has vanished? Does the sweep's own page wait for it, to link to it?
        if trial.run_id not in (None, run_id) or self._results.is_unlinked(sweep, trial):
            self._ledger.outbox.add(sweep.id, PARENT)
        self._put_model(trial_model_page(self._ledger, self._settings, sweep, trial))
        return run_id

    def _put_candidate(self, sweep: Sweep, entry: Entry) -> str | None:
        number = candidate_number(entry.number)
        repeats = self._ledger.repeats(sweep, number)
        if not is_shown(repeats):
            return None
        sweep, candidate = self._with_run(sweep), self._ledger.candidates(sweep)[number]
        is_new = entry.claimed_by is None
        run_id = self._store.put(candidate_page(self._ledger.id, sweep, candidate, repeats, is_new=is_new))
        if candidate.run_id not in (None, run_id):  # was it the only run that has vanished?
            self._ledger.outbox.add(sweep.id, PARENT)
        return run_id

    def _with_run(self, sweep: Sweep) -> Sweep:
        """Return a sweep whose run exists; its own entry may wait after a failure."""
        return sweep if sweep.run_id is not None else replace(sweep, run_id=self._create_run(sweep))

    def _create_run(self, sweep: Sweep) -> str:
        """Put the run of a sweep for the sake of those below it, and store it; its files may come later."""
        try:
            run_id = self._put_sweep(sweep)
        except ArtifactError as error:
            run_id = error.run_id
        self._store_run(sweep.id, PARENT, run_id)
        return run_id

    def _store_run(self, sweep_id: str, number: int, run_id: str) -> None:
        self._ledger.outbox.set_run(sweep_id, number, run_id)
        if number == PARENT and (sweep := self._sweeps.get(sweep_id)) is not None:
            self._sweeps[sweep_id] = replace(sweep, run_id=run_id)


def sweep_page_of(
    ledger: Ledger,
    settings: Settings,
    sweep: Sweep,
    curve: BestSoFar | None = None,
    results: ResultsReader | None = None,
) -> RunPage:
    """Return the page of a sweep's own run as the ledger has it now.

    Args:
        ledger: The ledger that holds the sweep.
        settings: Where models are.
        sweep: The sweep in its present state.
        curve: The sweep's curve as far as it was read before; extended here. None reads all of it.
        results: Reads what the sweep has come to; one that is kept writes the code of the same trial once.
    """
    from dnnsweep.spec import documents

    curve = curve or BestSoFar(*sweep.directions)
    curve.extend(ledger.trials_of(sweep, curve.n_seen))
    found = (results or ResultsReader(ledger, settings)).read(sweep)
    return sweep_page(ledger.id, sweep, curve.points, documents.write(sweep.spec), found)


class Shipper:
    """Runs an `OutboxSender` in a thread, again and again, until it is closed.

    Args:
        ledger: Read for pages; its outbox is emptied.
        store: Takes the pages.
        settings: Where models are.
        sweep_id: The sweep that this process runs; None if it runs none.

    Attributes:
        error: Why the last delivery failed; None if it did not.
    """

    def __init__(self, ledger: Ledger, store: RunStore, settings: Settings, sweep_id: str | None = None) -> None:
        self._outbox = ledger.outbox
        self._store = store
        self._sender = OutboxSender(ledger, store, settings, sweep_id)
        self._loss: str | None = None
        self._has_sent = False
        self._closing = threading.Event()
        self._has_tried = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dnnsweep-shipper", daemon=True)
        self.error: str | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Return whether it delivers."""
        return self._thread.is_alive()

    def serve(self, sweep_id: str | None) -> None:
        """From now on deliver what this process runs: another sweep, or none."""
        self._sender.sweep_id = sweep_id

    def close(self, seconds: float, first_seconds: float = 0.0) -> None:
        """Deliver what is left and end; gives up early when MLflow was away `LAST_TRIES` times in a row.

        Args:
            seconds: How long the delivery may take.
            first_seconds: How long the first delivery may take, MLflow's import included, if there was none yet.
        """
        self._closing.set()
        if self._thread.ident is None:  # it was never started
            return
        until = time.monotonic() + seconds
        self._has_tried.wait(max(seconds, first_seconds))
        self._thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        n_failures = 0
        while True:
            is_closing = self._closing.is_set()
            n_sent = self._deliver(is_last=is_closing)
            self._has_tried.set()
            if self.error is not None:
                n_failures += 1
            elif n_sent:
                n_failures, self._has_sent = 0, True
            seconds = self._seconds_to_next()
            if is_closing and (n_failures >= LAST_TRIES or (seconds is None and self.error is None)):
                break
            if n_failures and not is_closing:
                self._closing.wait(min(FIRST_BACKOFF_SECONDS * 2 ** (n_failures - 1), MAX_BACKOFF_SECONDS))
            elif n_sent == 0 and not is_closing:
                self._closing.wait(IDLE_SECONDS)
            elif n_sent == 0:
                time.sleep(min(max(seconds or 0.0, SOON_SECONDS), FIRST_BACKOFF_SECONDS))
        if self._has_sent:
            self._store.optimise()

    def _seconds_to_next(self) -> float | None:
        """Return how long the next entry still waits; None if there is none."""
        try:
            return self._outbox.seconds_to_next(self._sender.sweep_id)
        except LedgerError as error:  # while the database is away, nobody can tell
            self.error = str(error)
            return FIRST_BACKOFF_SECONDS

    def _deliver(self, *, is_last: bool) -> int:
        """Send what is due; return how many entries were sent.

        Args:
            is_last: Whether this is the end, so that what failed before is not put off any longer.
        """
        try:
            self._prepare()
            if is_last:
                self._outbox.make_due()
                self._sender.forget()  # nothing is added any more: no sweep need wait behind a trial that is refused
            n_sent = self._sender.deliver()
        except Exception as error:  # whatever MLflow raises, training goes on, and the outbox keeps the entries
            self.error = str(error)
            log.debug("delivery to MLflow failed", exc_info=True)
            return 0
        self.error = None
        return n_sent

    def _prepare(self) -> None:
        """Get the store ready, and make everything due again if it is another one than before.

        Raises:
            TrackingError: The store cannot be made ready.
        """
        try:
            self._loss = self._store.prepare() or self._loss
        except TrackingError as error:
            self._sender.note_refusal(error)
            raise
        if self._loss is None:
            return
        self._sender.forget()  # the store that took them is gone
        n_runs = self._outbox.refill()
        if n_runs:
            rest = "`dnnsweep doctor` delivers those that are left when this command has ended"
            log.warning("%s; %d runs are delivered again, %s", self._loss, n_runs, rest)
        self._loss = None


def deliver_all(ledger: Ledger, store: RunStore, settings: Settings, seconds: float) -> bool:
    """Deliver what is left, except of sweeps that other processes run; return whether everything was delivered.

    Args:
        ledger: Read for pages; its outbox is emptied.
        store: Takes the pages.
        settings: Where models are.
        seconds: How long the delivery may take.
    """
    ledger.outbox.make_due()
    shipper = Shipper(ledger, store, settings)
    shipper.start()
    shipper.close(seconds)
    return ledger.outbox.seconds_to_next() is None


def catch_up(ledger: Ledger, settings: Settings, seconds: float) -> None:
    """Deliver what is left, if anything is, after an embedded store that is gone or corrupt was made anew.

    Args:
        ledger: Read for pages; its outbox is emptied.
        settings: Where the tracking store and models are.
        seconds: How long the delivery may take.
    """
    is_lost = find_loss(settings) is not None
    if not is_lost and ledger.outbox.seconds_to_next() is None:
        return
    tracker = Tracker(settings)
    if is_lost:
        with suppress(TrackingError):  # it says what was moved aside, as the next delivery does
            tracker.check()
    deliver_all(ledger, tracker, settings, seconds)
