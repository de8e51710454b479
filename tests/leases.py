"""Holders of leases as tests need them: one that is gone, one on another host, and the time in which it is watched."""

from __future__ import annotations

from typing import Final

from fake_clock import FakeClock

from dnnsweep.ledger import Ledger
from dnnsweep.ledger.owners import this_process
from dnnsweep.ledger.watch import LEASE_SECONDS

#: A process of another host, of which nobody here can tell whether it exists.
SOMEBODY_ELSE: Final = "another-host:1"


def gone() -> str:
    """Return the name of a process of this machine that does not exist any more: it had the number of this one."""
    return f"{this_process().partition('@')[0]}@0"


def watch_for(ledger: Ledger, clock: FakeClock, seconds: float = LEASE_SECONDS, every: float = 1.0) -> None:
    """Let a ledger look at the leases again and again for some seconds of its watch's clock."""
    until = clock.now + seconds
    ledger.look()
    while clock.now < until:
        clock.advance(every)
        ledger.look()
