"""Reading a sweep's row inside a transaction, and what must hold before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from dnnsweep.errors import SweepConflictError, SweepHeldError, SweepNotFoundError
from dnnsweep.ledger import owners
from dnnsweep.ledger.tables import SweepRow
from dnnsweep.ledger.watch import LEASE_SECONDS, LeaseWatch
from dnnsweep.records import SweepState


def select_by_name(name: str) -> Select[Any]:
    """Return the statement that finds a sweep by its name."""
    return select(SweepRow.__table__).where(SweepRow.name == name)


def lock_sweep(connection: Connection, name: str) -> Row[Any] | None:
    """Read a sweep in a transaction that writes it later; PostgreSQL locks the row, SQLite has locked the file."""
    return connection.execute(select_by_name(name).with_for_update()).first()


def require_sweep(connection: Connection, name: str) -> Row[Any]:
    """Read a sweep that must exist, as `lock_sweep` does.

    Raises:
        SweepNotFoundError: There is no sweep of this name.
    """
    row = lock_sweep(connection, name)
    if row is None:
        raise SweepNotFoundError.named(name)
    return row


def is_abandoned(row: Row[Any], watch: LeaseWatch) -> bool:
    """Return whether a run created a sweep and ended before it had loaded the data: there is nothing to keep."""
    return not row.fingerprint and row.queued_at is None and watch.is_free(row)


def state_on_release(connection: Connection, sweep_id: str, state: SweepState) -> SweepState:
    """Return where a sweep stands once its controller leaves it so, in a transaction that has locked its row."""
    wishes = select(SweepRow.is_stop_requested, SweepRow.queued_at).where(SweepRow.id == sweep_id)
    is_stop_requested, queued_at = connection.execute(wishes).one()
    if state is SweepState.QUEUED and is_stop_requested:
        return SweepState.STOPPED  # its worker ends before it has seen the request to stop
    if state is SweepState.STOPPED and not is_stop_requested and queued_at is not None:
        return SweepState.QUEUED  # it was submitted again while its worker stopped
    return state


def check_content(row: Row[Any], digest: str, identity: Mapping[str, Any]) -> None:
    """Check that a stored sweep and a file have the same content.

    The content decides. Equal digests only save the comparison: a sweep that an older dnnsweep stored, with other keys
    and so with another digest, is given today's defaults before it is compared.

    Args:
        row: The stored sweep's row.
        digest: Digest of the file.
        identity: The part of the file that identifies a sweep.

    Raises:
        SweepConflictError: They differ; the error lists the differences.
    """
    if row.digest == digest:
        return
    from dnnsweep.spec import check, difference

    stored = check(row.spec).identity()
    changes = difference(stored, identity)
    if changes:
        lines = "\n".join(f"  {line}" for line in changes)
        conflict = SweepConflictError(
            f"the name {row.name} is taken by a sweep with another content:\n{lines}\n{_space_remedy(stored, identity)}"
            f"choose another name with --name, or remove the old one with `dnnsweep delete {row.name}`"
        )
        conflict.difference = tuple(changes)
        raise conflict


def _space_remedy(stored: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    """Return what to do where only the search space is new: files without one have searched nothing until 0.2.0."""
    if stored["space"] or identity != {**stored, "space": identity["space"]}:
        return ""
    return (
        "a file without `space` searches the default space; write `space: {}` to continue the stored sweep, which "
        "searches nothing, or "
    )


def check_free(row: Row[Any], watch: LeaseWatch) -> None:
    """Check that nobody runs a sweep.

    Raises:
        SweepHeldError: Somebody runs it, or may run it.
    """
    if watch.is_free(row):
        return
    held = f"sweep {row.name} is being run by {owners.describe_owner(row.owner)}"
    if watch.is_alive(row):
        raise SweepHeldError(f"{held}; wait for it with --wait, or stop it with `dnnsweep stop {row.name}`")
    uncertain = SweepHeldError(
        f"{held}, as far as is known; its lease must be watched for {LEASE_SECONDS:g} seconds without a renewal before "
        "that counts as gone"
    )
    uncertain.is_certain = False
    raise uncertain
