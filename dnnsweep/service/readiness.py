"""Whether the service can read its ledger, looked up once for everybody who asks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

import anyio
import anyio.to_thread

from dnnsweep.errors import LedgerError
from dnnsweep.redaction import redact

log: Final = logging.getLogger(__name__)
#: How long an answer holds; anybody may ask, without a token.
KEPT_SECONDS: Final = 1.0


class Readiness:
    """Whether the ledger can be read.

    Args:
        read: Reads something from the ledger.
    """

    def __init__(self, read: Callable[[], object]) -> None:
        self._read = read
        self._limiter = anyio.CapacityLimiter(1)
        self._task: asyncio.Task[bool] | None = None
        self._until = 0.0

    async def check(self) -> bool:
        """Return whether the ledger can be read, or could be a moment ago."""
        if self._task is None or (self._task.done() and time.monotonic() >= self._until):
            self._task = asyncio.create_task(self._look())
        return await asyncio.shield(self._task)

    async def _look(self) -> bool:
        try:
            await anyio.to_thread.run_sync(self._read, limiter=self._limiter)
        except LedgerError as error:
            log.warning("not ready: %s", redact(str(error)))
            return False
        else:
            return True
        finally:
            self._until = time.monotonic() + KEPT_SECONDS
