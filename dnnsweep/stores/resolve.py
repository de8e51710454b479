"""Which store a command uses: a home, or the service that the environment names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dnnsweep.settings import find_service, find_settings
from dnnsweep.stores import SweepStore
from dnnsweep.stores.local import LocalStore

if TYPE_CHECKING:  # commands that ask a home need not load what talks to services
    from dnnsweep.stores.remote import RemoteStore

Home = str | os.PathLike[str] | None


def remote_store(home: Home) -> RemoteStore | None:
    """Return the service that stands in for a home, if `DNNSWEEP_API_URL` is set and no home is named."""
    address = find_service() if home is None else None
    if address is None:
        return None
    from dnnsweep.stores.remote import RemoteStore

    return RemoteStore(address)


@contextmanager
def open_store(home: Home, *, create: bool = False) -> Iterator[SweepStore]:
    """Open the store that a command uses, and close it afterwards.

    Args:
        home: Folder of a home; None for the service, or for the default home.
        create: Whether to create a home that does not exist.

    Raises:
        SweepNotFoundError: There is no such home, and `create` is false.
        LedgerError: It cannot be opened.
    """
    service = remote_store(home)
    if service is not None:
        yield service
        return
    with LocalStore.opened(find_settings(home), create=create) as store:
        yield store
