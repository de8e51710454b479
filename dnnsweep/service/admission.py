"""Whose turn it is: what routes depend on that use the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import Depends, Request

from dnnsweep.service.credentials import require_reader, require_writer
from dnnsweep.service.quotas import Quotas
from dnnsweep.service.tokens import Token


async def admit(request: Request, token: Annotated[Token | None, Depends(require_reader)]) -> AsyncIterator[None]:
    """Wait until it is the turn of a request with an accepted token."""
    quotas: Quotas = request.app.state.service.quotas
    async with quotas.request(token, request.scope):
        yield


#: Waits until it is the turn of a request, and ends when its answer is known, but not sent yet.
ADMISSION: Final[Any] = Depends(admit, scope="function")
#: Dependencies of routes that read, and of routes that change something.
READING: Final[list[Any]] = [ADMISSION]
WRITING: Final[list[Any]] = [Depends(require_writer), ADMISSION]
