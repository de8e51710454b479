"""Brings what the outbox holds to MLflow: once (`OutboxSender`), or in a thread beside the training (`Shipper`)."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import Final, Protocol

from dnnsweep.delivery.pages import BestSoFar, sweep_page, trial_page
from dnnsweep.errors import LedgerError, TrackingError
from dnnsweep.ledger import PARENT, Entry, Ledger
from dnnsweep.ledger.outbox import DELETE
from dnnsweep.records import Sweep
from dnnsweep.settings import Settings
from dnnsweep.tracking.page import RunPage

log: Final = logging.getLogger(__name__)
#: How many outbox entries are claimed at once.
BATCH: Final = 20
#: How often the outbox is looked at while it is empty.
IDLE_SECONDS: Final = 0.5
#: How long an entry waits after its first failure; twice as long after each further one, up to the maximum.
FIRST_BACKOFF_SECONDS: Final = 1.0
MAX_BACKOFF_SECONDS: Final = 30.0
#: How long a sweep's run waits until it is brought up to date again, while there are trials to send.
SWEEP_SECONDS: Final = 1.0
#: How many failures in a row mean that MLflow is away.
LAST_TRIES: Final = 3


class RunStore(Protocol):
    """What takes the pages of runs; `tracking.Tracker` is the real one."""

    def prepare(self) -> None:
        """Get ready, which may take seconds the first time."""

    def put(self, page: RunPage) -> str:
        """Bring a run up to its page and return its id; putting twice changes nothing."""

    def delete(self, run_id: str) -> None:
        """Remove a run; one that is gone is fine."""


class OutboxSender:
    """Sends the outbox entries that are due, once.

    An entry says that a sweep or a trial has changed, not how: it is read from the ledger at that moment, and its page
    is put as a whole.

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
        self._sweep_id = sweep_id
        self._sweeps: dict[str, Sweep | None] = {}
        self._curves: dict[str, BestSoFar] = {}
        self._sweep_put_at: dict[str, float] = {}

    def deliver(self, limit: int = BATCH) -> int:
        """Send what is due; return how many entries were sent.

        An entry that fails waits longer each time, and the next one is tried: one that MLflow refuses must not hold
        the others up. After `LAST_TRIES` failures in a row MLflow counts as away, and the rest is given back.

        Raises:
            TrackingError: Nothing was sent, because MLflow cannot be reached or refuses.
        """
        n_sent, failures = 0, list[Exception]()
        self._sweeps.clear()
        for entry in self._claim(limit):
            if len(failures) >= LAST_TRIES:
                self._ledger.outbox.release(entry)
                continue
            try:
                self._ledger.outbox.remove_sent(entry, self._send(entry))
            except Exception as error:  # noqa: BLE001  whatever MLflow raises
                wait = min(FIRST_BACKOFF_SECONDS * 2**entry.attempts, MAX_BACKOFF_SECONDS)
                self._ledger.outbox.postpone(entry, str(error), wait)
                failures.append(error)
            else:
                n_sent, failures = n_sent + 1, []
        if failures and n_sent == 0:
            raise TrackingError(str(failures[0])) from failures[0]
        return n_sent

    def _send(self, entry: Entry) -> str | None:
        if entry.kind == DELETE:
            self._store.delete(str(entry.run_id))
            return None
        if entry.number == PARENT or entry.sweep_id not in self._sweeps:
            self._sweeps[entry.sweep_id] = self._ledger.sweep_of(entry.sweep_id)
        sweep = self._sweeps[entry.sweep_id]
        if sweep is None:  # it was deleted after the entry was written
            return None
        return self._put_sweep(sweep) if entry.number == PARENT else self._put_trial(sweep, entry)

    def _claim(self, limit: int) -> list[Entry]:
        """Take what is due; a sweep whose run was just brought up to date waits while there are trials to send."""
        since = time.monotonic() - SWEEP_SECONDS
        recent = [sweep_id for sweep_id, put_at in self._sweep_put_at.items() if put_at > since]
        entries = self._ledger.outbox.claim(limit, self._sweep_id, without=recent)
        return entries or (self._ledger.outbox.claim(limit, self._sweep_id) if recent else [])

    def _put_sweep(self, sweep: Sweep) -> str:
        curve = self._curves.setdefault(sweep.id, BestSoFar(*sweep.directions))
        page = sweep_page_of(self._ledger, self._settings, sweep, curve)
        run_id = self._store.put(page)
        self._sweep_put_at[sweep.id] = time.monotonic()
        self._sweeps[sweep.id] = replace(sweep, run_id=run_id)
        return run_id

    def _put_trial(self, sweep: Sweep, entry: Entry) -> str:
        if sweep.run_id is None:  # its own entry waits after a failure
            run_id = self._put_sweep(sweep)
            self._ledger.outbox.set_run(sweep.id, PARENT, run_id)
            sweep = replace(sweep, run_id=run_id)
        trial = self._ledger.trial_of(sweep, entry.number)
        curve = self._ledger.curve(sweep.id, entry.number)
        return self._store.put(trial_page(self._ledger.id, sweep, trial, curve, is_new=entry.claimed_by is None))


def sweep_page_of(ledger: Ledger, settings: Settings, sweep: Sweep, curve: BestSoFar | None = None) -> RunPage:
    """Return the page of a sweep's own run as the ledger has it now.

    Args:
        ledger: The ledger that holds the sweep.
        settings: Where models are.
        sweep: The sweep in its present state.
        curve: The sweep's curve as far as it was read before; extended here. None reads all of it.
    """
    from dnnsweep.spec import documents

    name = None if sweep.best_number is None else ledger.model_name(sweep.id, sweep.best_number)
    path = None if name is None else settings.best_model(sweep.name, name)
    curve = curve or BestSoFar(*sweep.directions)
    curve.extend(ledger.trials_of(sweep, curve.n_seen))
    is_there = path is not None and path.is_file()
    return sweep_page(ledger.id, sweep, curve.points, documents.write(sweep.spec), str(path) if is_there else None)


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
        self._sweep_id = sweep_id
        self._sender = OutboxSender(ledger, store, settings, sweep_id)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dnnsweep-shipper", daemon=True)
        self.error: str | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Deliver what is left and end; gives up early when MLflow was away `LAST_TRIES` times in a row.

        Args:
            seconds: How long the delivery may take.
        """
        self._closing.set()
        if self._thread.ident is not None:  # it was started
            self._thread.join(seconds)

    def _run(self) -> None:
        n_failures = 0
        while True:
            is_closing = self._closing.is_set()
            n_sent = self._deliver()
            if self.error is not None:
                n_failures += 1
            elif n_sent:
                n_failures = 0
            seconds = self._seconds_to_next()
            if is_closing and (n_failures >= LAST_TRIES or seconds is None):
                return
            if n_failures and not is_closing:
                self._closing.wait(min(FIRST_BACKOFF_SECONDS * 2 ** (n_failures - 1), MAX_BACKOFF_SECONDS))
            elif n_sent == 0 and not is_closing:
                self._closing.wait(IDLE_SECONDS)
            elif n_sent == 0:
                time.sleep(min(seconds or 0.0, FIRST_BACKOFF_SECONDS))

    def _seconds_to_next(self) -> float | None:
        """Return how long the next entry still waits; None if there is none."""
        try:
            due = self._outbox.next_due(self._sweep_id)
        except LedgerError as error:  # while the database is away, nobody can tell
            self.error = str(error)
            return FIRST_BACKOFF_SECONDS
        return None if due is None else max(0.0, due / 1000 - time.time())

    def _deliver(self) -> int:
        try:
            self._store.prepare()
            n_sent = self._sender.deliver()
        except Exception as error:  # whatever MLflow raises, training goes on, and the outbox keeps the entries
            self.error = str(error)
            log.debug("delivery to MLflow failed", exc_info=True)
            return 0
        self.error = None
        return n_sent


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
    return ledger.outbox.next_due() is None
