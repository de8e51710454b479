"""Names of the processes that hold leases, by which others on the same machine can tell whether they still exist."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_process() -> str:
    """Return the name of this process: `host:machine:pid`.

    The middle part is the boot and the pid namespace: containers may share a host name, but not their processes.
    """
    return f"{socket.gethostname()}:{_machine()}:{os.getpid()}"


def is_held(owner: str | None, expires_at: int | None, now: int) -> bool:
    """Return whether a lease still holds: it has not expired, and its owner may still exist.

    Args:
        owner: Name of the process that took the lease; None if the lease was given back.
        expires_at: When the lease expires, in milliseconds since 1970 (UTC).
        now: The present time, in milliseconds since 1970 (UTC).
    """
    return owner is not None and expires_at is not None and expires_at > now and not is_gone(owner)


def describe_owner(owner: str) -> str:
    """Return an owner in words.

    Example:
        >>> describe_owner("laptop:1a2b3c4d-4026531836:4711")
        'process 4711 on laptop'
    """
    host, _, pid = owner.rpartition(":")
    return f"process {pid} on {host.partition(':')[0]}"


def is_gone(owner: str) -> bool:
    """Return whether an owner was a process of this machine that does not exist any more."""
    machine, _, pid = owner.rpartition(":")
    if machine != f"{socket.gethostname()}:{_machine()}" or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot[:8]}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # not Linux: no containers that share a host name either
        return "-"
