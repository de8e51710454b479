"""Brings what the outbox holds to MLflow, beside the training and never in its way."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Final, Protocol

from dnnsweep.errors import DnnsweepError, TrackingError
from dnnsweep.ledger import PARENT, Entry, Ledger
from dnnsweep.ledger.outbox import DELETE
from dnnsweep.pages import sweep_page, trial_page
from dnnsweep.records import RunPage, Sweep

log: Final = logging.getLogger(__name__)
BATCH: Final = 20
IDLE_SECONDS: Final = 0.5
FIRST_BACKOFF_SECONDS: Final = 1.0
MAX_BACKOFF_SECONDS: Final = 30.0


class RunStore(Protocol):
    """Where runs are shown; `tracking.Tracker` is the real one."""

    def prepare(self) -> None:
        """Get ready, which may take seconds the first time."""

    def put(self, page: RunPage) -> str:
        """Bring a run up to its page and return its id; putting twice changes nothing."""

    def delete(self, run_id: str) -> None:
        """Remove a run; one that is gone is fine."""


class Delivery:
    """Sends outbox entries: each one's subject is read from the ledger at that moment and put as a whole.

    Args:
        ledger: Read for pages; its outbox is emptied.
        store: Where to.
    """

    def __init__(self, ledger: Ledger, store: RunStore) -> None:
        self._ledger = ledger
        self._store = store

    def deliver(self, limit: int = BATCH) -> int:
        """Send what is due; return how many entries were sent.

        Raises:
            TrackingError: MLflow cannot be reached; what was not sent is due again later.
        """
        entries = self._ledger.outbox.claim(limit)
        for index, entry in enumerate(entries):
            try:
                run_id = self._send(entry)
            except DnnsweepError as error:
                self._hand_back(entries[index:], str(error))
                raise
            self._ledger.outbox.sent(entry, run_id)
        return len(entries)

    def _hand_back(self, entries: list[Entry], error: str) -> None:
        for entry in entries:
            self._ledger.outbox.postpone(entry, error, 0.0)

    def _send(self, entry: Entry) -> str | None:
        if entry.kind == DELETE:
            self._store.delete(str(entry.run_id))
            return None
        sweep = self._ledger.sweep_of(entry.sweep_id)
        if sweep is None:  # deleted meanwhile
            return None
        return self._put_sweep(sweep) if entry.number == PARENT else self._put_trial(sweep, entry.number)

    def _put_sweep(self, sweep: Sweep) -> str:
        from dnnsweep.spec import documents  # noqa: PLC0415  YAML and pydantic are not needed to query

        path = None if sweep.best_number is None else self._ledger.model_path(sweep.id, sweep.best_number)
        trials = self._ledger.trials(sweep.name)
        return self._store.put(sweep_page(self._ledger.id, sweep, trials, documents.write(sweep.spec), path))

    def _put_trial(self, sweep: Sweep, number: int) -> str:
        if sweep.run_id is None:
            raise TrackingError(f"the run of sweep {sweep.name} does not exist yet")
        trial = self._ledger.trial(sweep.name, number)
        return self._store.put(trial_page(self._ledger.id, sweep, trial, self._ledger.curve(sweep.id, number)))


class Shipper:
    """Delivers in a thread of its own until it is closed.

    Args:
        ledger: Whose outbox is emptied.
        store: Where to.
    """

    def __init__(self, ledger: Ledger, store: RunStore) -> None:
        self._ledger = ledger
        self._store = store
        self._delivery = Delivery(ledger, store)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dnnsweep-shipper", daemon=True)
        self.error: str | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def close(self, seconds: float) -> bool:
        """Deliver what is left and end.

        Args:
            seconds: How long it may take.

        Returns:
            Whether everything was delivered.
        """
        self._closing.set()
        self._thread.join(seconds)
        return not self._thread.is_alive() and self._ledger.outbox.count() == 0

    def _run(self) -> None:
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            is_last = self._closing.is_set()
            try:
                self._store.prepare()
                n_sent = self._delivery.deliver()
            except Exception as error:  # whatever MLflow raises: training goes on, the outbox keeps it
                self.error = str(error)
                log.debug("delivery to MLflow failed", exc_info=True)
                if is_last:
                    return
                self._closing.wait(backoff)
                backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)
                continue
            self.error, backoff = None, FIRST_BACKOFF_SECONDS
            if n_sent == 0 and is_last:
                return
            if n_sent == 0:
                self._closing.wait(IDLE_SECONDS)


def deliver_all(ledger: Ledger, store: RunStore, seconds: float) -> bool:
    """Deliver what is left now; return whether everything was delivered.

    Args:
        ledger: Whose outbox is emptied.
        store: Where to.
        seconds: How long it may take.
    """
    until = time.monotonic() + seconds
    delivery = Delivery(ledger, store)
    with contextlib.suppress(TrackingError):
        store.prepare()
        ledger.outbox.hurry()
        while time.monotonic() < until and delivery.deliver() > 0:
            pass
    return ledger.outbox.count() == 0
