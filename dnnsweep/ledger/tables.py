"""The ledger's tables. Times are milliseconds since 1970 (UTC); JSON holds only finite numbers."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: The newest migration; a database at this version needs no Alembic.
HEAD: Final = "0009"
#: The most characters in the name of a token.
MAX_REQUESTER: Final = 100
#: `OutboxRow.number` of what belongs to the sweep as a whole.
PARENT: Final = -1
#: `OutboxRow.number` of the first candidate; those of the others are below it.
FIRST_CANDIDATE: Final = -2


class Base(DeclarativeBase):
    """All tables of the ledger."""

    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012  SQLAlchemy's own way


class LedgerRow(Base):
    """The ledger itself, in one row. Its id tells its MLflow runs from those of other ledgers."""

    __tablename__ = "ledger"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created_at: Mapped[int] = mapped_column(BigInteger)


class SweepRow(Base):
    """A sweep: its file, who runs it, how far it is."""

    __tablename__ = "sweeps"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    state: Mapped[str] = mapped_column(String(16))
    description: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    spec: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))
    fingerprint: Mapped[str] = mapped_column(String(64))
    data: Mapped[dict[str, Any]]
    metric: Mapped[str] = mapped_column(String(64))
    direction: Mapped[str] = mapped_column(String(16))
    metric_2: Mapped[str | None] = mapped_column(String(64))
    direction_2: Mapped[str | None] = mapped_column(String(16))
    window: Mapped[int] = mapped_column("window_size")
    trainer: Mapped[str] = mapped_column(String(16), server_default="fit")
    slots: Mapped[int] = mapped_column(server_default="1")
    device: Mapped[str] = mapped_column(String(16), server_default="cpu")
    n_trials: Mapped[int]
    seconds: Mapped[float] = mapped_column(default=0.0)
    system_attrs: Mapped[dict[str, Any]]
    error: Mapped[str | None] = mapped_column(Text)
    owner: Mapped[str | None] = mapped_column(String(200))
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    token: Mapped[int] = mapped_column(default=0)
    last_turn: Mapped[int] = mapped_column(BigInteger, server_default="0")
    is_stop_requested: Mapped[bool] = mapped_column(default=False)
    run_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    ended_at: Mapped[int | None] = mapped_column(BigInteger)
    priority: Mapped[int] = mapped_column(server_default="0")
    queued_at: Mapped[int | None] = mapped_column(BigInteger)
    is_restricted: Mapped[bool] = mapped_column(server_default=false())
    submitted_by: Mapped[str | None] = mapped_column(String(MAX_REQUESTER))
    stopped_by: Mapped[str | None] = mapped_column(String(MAX_REQUESTER))
    answer: Mapped[dict[str, Any] | None]


class TrialRow(Base):
    """A trial, from its suggestion to its end."""

    __tablename__ = "trials"
    __table_args__ = (
        Index("ix_trials_standing", "sweep_id", "state", "reason", "value"),
        Index("ix_trials_ended_at", "ended_at"),
    )

    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(16))
    params: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    attempts: Mapped[int] = mapped_column(default=0)
    token: Mapped[int] = mapped_column(default=0)
    value: Mapped[float | None]
    val_loss: Mapped[float | None]
    penalty: Mapped[float | None]
    value_2: Mapped[float | None]
    penalty_2: Mapped[float | None]
    best_epoch: Mapped[int | None]
    epochs: Mapped[int] = mapped_column(default=0)
    seconds: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(Text)
    metrics: Mapped[dict[str, Any]]
    epoch_times: Mapped[list[Any]]
    system_attrs: Mapped[dict[str, Any]]
    findings: Mapped[list[Any]] = mapped_column(JSON, server_default="[]")
    model_path: Mapped[str | None] = mapped_column(Text)
    run_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    ended_at: Mapped[int | None] = mapped_column(BigInteger)


class CurveRow(Base):
    """A series of a trial: one value per epoch; numbers that are not finite are the texts NaN, Infinity, -Infinity."""

    __tablename__ = "curves"
    __table_args__ = (
        ForeignKeyConstraint(["sweep_id", "number"], ["trials.sweep_id", "trials.number"], ondelete="CASCADE"),
    )

    sweep_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    metric: Mapped[str] = mapped_column(String(100), primary_key=True)
    layer: Mapped[str] = mapped_column(String(100), primary_key=True, default="")
    points: Mapped[list[Any]]


class CandidateRow(Base):
    """A configuration that is repeated."""

    __tablename__ = "candidates"

    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    purpose: Mapped[str] = mapped_column(String(16))
    label: Mapped[str] = mapped_column(Text)
    params: Mapped[dict[str, Any]]
    trial: Mapped[int | None]
    run_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)


class RepeatRow(Base):
    """One training of a candidate in a block."""

    __tablename__ = "repeats"
    __table_args__ = (
        ForeignKeyConstraint(
            ["sweep_id", "candidate"], ["candidates.sweep_id", "candidates.number"], ondelete="CASCADE"
        ),
        UniqueConstraint("sweep_id", "candidate", "block"),
    )

    sweep_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    candidate: Mapped[int]
    block: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(16))
    value: Mapped[float | None]
    metrics: Mapped[dict[str, Any]]
    best_epoch: Mapped[int | None]
    epochs: Mapped[int] = mapped_column(default=0)
    seconds: Mapped[float | None]
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    ended_at: Mapped[int | None] = mapped_column(BigInteger)


class OpeningRow(Base):
    """That a sweep has opened test rows for a configuration. It is kept when the sweep is deleted."""

    __tablename__ = "test_openings"
    __table_args__ = (UniqueConstraint("test_rows", "sweep_id", "configuration"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    test_rows: Mapped[str] = mapped_column(String(64))
    sweep_id: Mapped[str] = mapped_column(String(32))
    configuration: Mapped[str] = mapped_column(String(64))
    opened_at: Mapped[int] = mapped_column(BigInteger)


class EventRow(Base):
    """Something that happened to a trial or, with the number `PARENT`, to its sweep."""

    __tablename__ = "events"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"), index=True)
    number: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int | None]
    detail: Mapped[str | None] = mapped_column(Text)
    time: Mapped[int] = mapped_column(BigInteger)
    requested_by: Mapped[str | None] = mapped_column(String(MAX_REQUESTER))


class DeletedSweepRow(Base):
    """What is kept of a sweep that was deleted: who asked for what. Nothing here is ever changed."""

    __tablename__ = "deleted_sweeps"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    submitted_by: Mapped[str | None] = mapped_column(String(MAX_REQUESTER))
    stopped_by: Mapped[str | None] = mapped_column(String(MAX_REQUESTER))
    deleted_by: Mapped[str | None] = mapped_column(String(MAX_REQUESTER))
    created_at: Mapped[int] = mapped_column(BigInteger)
    deleted_at: Mapped[int] = mapped_column(BigInteger)
    events: Mapped[list[Any]]


class OutboxRow(Base):
    """Something that MLflow has not seen yet: that a sweep or trial changed, or that a run is to be deleted."""

    __tablename__ = "outbox"
    __table_args__ = (UniqueConstraint("sweep_id", "number", "kind"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    sweep_id: Mapped[str] = mapped_column(String(32))
    number: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    run_id: Mapped[str | None] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(default=1)
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger)
    due_at: Mapped[int] = mapped_column(BigInteger, index=True)
    claimed_until: Mapped[int] = mapped_column(BigInteger, default=0)
    claimed_by: Mapped[str | None] = mapped_column(String(200))
