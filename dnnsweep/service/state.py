"""The state that all requests share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from dnnsweep.errors import LedgerAwayError, LedgerError, LedgerVersionError
from dnnsweep.ledger import Ledger
from dnnsweep.redaction import redact
from dnnsweep.service.quotas import Quotas
from dnnsweep.service.readiness import Readiness
from dnnsweep.service.streams import Pollers
from dnnsweep.service.token_list import TokenList
from dnnsweep.settings import Limits, Settings
from dnnsweep.stores.local import LocalStore

log: Final = logging.getLogger(__name__)
#: How often to look at the leases of running sweeps.
LOOK_SECONDS: Final = 2.0
#: How long a statement on PostgreSQL may take.
STATEMENT_SECONDS: Final = 10.0
#: How long a request waits for another one that is opening the ledger.
OPENING_SECONDS: Final = 10.0


class ServiceState:
    """The sweeps that are served, and who may see them.

    Args:
        settings: Locations of the ledger and of models.
        limits: The most that submitted sweeps may ask for.
        tokens: Accepted tokens.
        are_docs_public: Whether anybody may read the description of the API.
    """

    def __init__(self, settings: Settings, limits: Limits, tokens: TokenList, *, are_docs_public: bool) -> None:
        self._settings = settings
        self._store: LocalStore | None = None
        self._lock = threading.Lock()
        self.limits = limits
        self.tokens = tokens
        self.are_docs_public = are_docs_public
        self.quotas = Quotas(limits.max_rate)
        self.pollers = Pollers()
        self.readiness = Readiness(lambda: self.store.sweep_page(limit=1))
        #: Returns whether the service is about to end, which ends all streams.
        self.is_closing: Callable[[], bool] = lambda: False

    @property
    def is_open(self) -> bool:
        """Return whether the ledger is open already, so that `store` returns at once."""
        return self._store is not None

    @property
    def store(self) -> LocalStore:
        """Return the store of sweeps, opening it first if need be: its database may start later than the service.

        Raises:
            LedgerError: The ledger cannot be opened, or another request has tried to for long.
        """
        if self._store is not None:
            return self._store
        if not self._lock.acquire(timeout=OPENING_SECONDS):
            raise LedgerAwayError("the ledger is still being opened; try again")
        try:
            if self._store is None:
                url = self._settings.database_url
                ledger = Ledger.open(url, create=True)
                ledger.limit_statements(STATEMENT_SECONDS)
                self._store = LocalStore(self._settings, ledger)
            return self._store
        finally:
            self._lock.release()

    def check_ledger(self) -> None:
        """Open the ledger unless its database is away, which the first request finds out again.

        Raises:
            LedgerVersionError: It was written by a newer version of dnnsweep, or by another program.
        """
        try:
            _ = self.store
        except LedgerVersionError:
            raise
        except LedgerError as error:
            log.warning("%s", redact(str(error)))

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look at all leases again and again, by another thread, so that requests know which of them are lost."""
        is_over = threading.Event()

        def look() -> None:
            while not is_over.wait(LOOK_SECONDS):
                with suppress(LedgerError):  # what is not seen does not count as a silence
                    if self.is_open:
                        self.store.ledger.look()

        thread = threading.Thread(target=look, name="dnnsweep-looking", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join(LOOK_SECONDS)  # a database that does not answer shall not keep the service from ending

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            if self._store is not None:
                self._store.ledger.close()
                self._store = None
