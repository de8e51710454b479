"""What all requests share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from dnnsweep.ledger import Ledger
from dnnsweep.service.tokens import Token
from dnnsweep.settings import Limits, Settings
from dnnsweep.stores.local import LocalStore


class ServiceState:
    """The sweeps that are served, and to whom.

    Args:
        settings: Where they are.
        limits: What sweeps that come over the network may ask for.
        tokens: Who may come; none lets everybody in.
    """

    def __init__(self, settings: Settings, limits: Limits, tokens: Sequence[Token]) -> None:
        self._settings = settings
        self._place: LocalStore | None = None
        self._lock = threading.Lock()
        self.limits = limits
        self.tokens = tuple(tokens)
        self.n_streams = 0
        #: Whether the service is about to end; then no stream goes on.
        self.is_closing: Callable[[], bool] = lambda: False

    @property
    def is_open(self) -> bool:
        """Return whether the ledger was opened before, so that `place` waits for nothing."""
        return self._place is not None

    @property
    def place(self) -> LocalStore:
        """Return the sweeps; their database may come up later than the service.

        Raises:
            LedgerError: It cannot be opened.
        """
        with self._lock:
            if self._place is None:
                ledger = Ledger.open(self._settings.database_url, create=True)
                self._place = LocalStore(self._settings, ledger)
            return self._place

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            if self._place is not None:
                self._place.ledger.close()
                self._place = None
