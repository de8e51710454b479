"""Names of the processes that hold leases, by which others on the same machine can tell whether they still exist."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_process() -> str:
    """Return the name of this process: `host:machine:pid@start`.

    The machine is the boot and the pid namespace: containers may share a host name, but not their processes. The start
    tells a process from an earlier one with the same number.
    """
    pid = os.getpid()
    status = _status(pid)
    return f"{_machine()}:{pid}" if status is None else f"{_machine()}:{pid}@{status[1]}"


def describe_owner(owner: str) -> str:
    """Return an owner in words.

    Example:
        >>> describe_owner("laptop:1a2b3c4d-4026531836:4711@90210")
        'process 4711 on laptop'
    """
    machine, _, process = owner.rpartition(":")
    return f"process {process.partition('@')[0]} on {machine.partition(':')[0]}"


def is_gone(owner: str) -> bool:
    """Return whether an owner was a process of this machine that does not exist any more."""
    pid = _pid(owner)
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    status, start = _status(pid), owner.rpartition(":")[2].partition("@")[2]
    return status is not None and (status[0] in "ZX" or start not in ("", status[1]))


def is_of_another_boot(owner: str) -> bool:
    """Return whether an owner was a process of another machine, or of this one before it was started again."""
    _, _, machine = owner.rpartition(":")[0].partition(":")
    boots = [text.partition("-")[0] for text in (machine, _machine().partition(":")[2])]
    return all(boots) and boots[0] != boots[1]


def is_here(owner: str) -> bool:
    """Return whether an owner is a process of this machine that exists."""
    return _pid(owner) is not None and not is_gone(owner)


def _pid(owner: str) -> int | None:
    """Return the number of an owner's process; None for a process of another machine."""
    machine, _, process = owner.rpartition(":")
    pid = process.partition("@")[0]
    return int(pid) if machine == _machine() and pid.isdigit() else None


def _status(pid: int) -> tuple[str, str] | None:
    """Return a process's state, `Z` or `X` if it is dead, and when it began; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], fields[19]


def _machine() -> str:
    host = socket.gethostname()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{host}:{boot[:8]}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # not Linux: no containers that share a host name either
        return f"{host}:-"
