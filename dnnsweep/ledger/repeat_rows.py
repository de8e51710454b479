"""The rows of candidates and their repeats, and the records of opened test rows, in a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from dnnsweep.ledger.clock import now_ms
from dnnsweep.ledger.tables import CandidateRow, OpeningRow, RepeatRow, SweepRow
from dnnsweep.records import Candidate, Purpose, Reason, Repeat, State

_CANDIDATE: Final = tuple(Candidate.__slots__)
_REPEAT: Final = tuple(Repeat.__slots__)


def read_candidates(connection: Connection, sweep_id: str) -> list[Candidate]:
    """Return the candidates of a sweep in their order."""
    columns = (getattr(CandidateRow, name) for name in _CANDIDATE)
    rows = connection.execute(
        select(*columns).where(CandidateRow.sweep_id == sweep_id).order_by(CandidateRow.number)
    ).all()
    return [Candidate(**{**row._mapping, "purpose": Purpose(row.purpose)}) for row in rows]  # noqa: SLF001


def read_repeats(connection: Connection, sweep_id: str, candidate: int | None = None) -> list[Repeat]:
    """Return the repeats of a sweep, or of one of its candidates, in their order."""
    is_asked = [RepeatRow.sweep_id == sweep_id]
    if candidate is not None:
        is_asked.append(RepeatRow.candidate == candidate)
    columns = (getattr(RepeatRow, name) for name in _REPEAT)
    rows = connection.execute(select(*columns).where(*is_asked).order_by(RepeatRow.number)).all()
    return [_repeat(row) for row in rows]


def _repeat(row: Row[Any]) -> Repeat:
    reason = None if row.reason is None else Reason(row.reason)
    return Repeat(**{**row._mapping, "state": State(row.state), "reason": reason})  # noqa: SLF001  SQLAlchemy's own


def read_answer(connection: Connection, sweep_id: str) -> dict[str, Any]:
    """Return what a sweep has answered so far; {} for nothing."""
    answer = connection.execute(select(SweepRow.answer).where(SweepRow.id == sweep_id)).scalar()
    return dict(answer or {})


def insert_candidates(connection: Connection, sweep_id: str, candidates: Collection[Candidate]) -> None:
    """Store candidates that are new."""
    created_at = now_ms(connection)
    rows = [
        {
            "sweep_id": sweep_id,
            **{name: getattr(candidate, name) for name in _CANDIDATE},
            "params": dict(candidate.params),
            "created_at": created_at,
        }
        for candidate in candidates
    ]
    if rows:
        connection.execute(insert(CandidateRow), rows)


def update_repeat(connection: Connection, sweep_id: str, number: int, **values: Any) -> None:
    """Set columns of a repeat."""
    is_repeat = (RepeatRow.sweep_id == sweep_id, RepeatRow.number == number)
    connection.execute(update(RepeatRow).where(*is_repeat).values(values))


def record_opening(connection: Connection, test_rows: str, sweep_id: str, configuration: str) -> None:
    """Record that a sweep opens test rows for a configuration; doing it again for the same one counts once."""
    own = {"test_rows": test_rows, "sweep_id": sweep_id, "configuration": configuration}
    is_recorded = (getattr(OpeningRow, name) == value for name, value in own.items())
    if connection.execute(select(OpeningRow.id).where(*is_recorded)).first() is None:
        connection.execute(insert(OpeningRow).values(**own, opened_at=now_ms(connection)))


def count_openings(connection: Connection, test_rows: str) -> int:
    """Return how often test rows were opened, by whatever sweep of this ledger."""
    counted = select(func.count()).select_from(OpeningRow).where(OpeningRow.test_rows == test_rows)
    return int(connection.execute(counted).scalar_one())
