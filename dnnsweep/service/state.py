"""The state that all requests share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from dnnsweep.errors import LedgerError, LedgerVersionError
from dnnsweep.ledger import Ledger
from dnnsweep.redaction import redact
from dnnsweep.service.token_list import TokenList
from dnnsweep.settings import Limits, Settings
from dnnsweep.stores.local import LocalStore

log: Final = logging.getLogger(__name__)


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
        self.n_streams = 0
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
            LedgerError: The ledger cannot be opened.
        """
        with self._lock:
            if self._store is None:
                ledger = Ledger.open(self._settings.database_url, create=True)
                self._store = LocalStore(self._settings, ledger)
            return self._store

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

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            if self._store is not None:
                self._store.ledger.close()
                self._store = None
