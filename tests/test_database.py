"""The ledger while its database is away, locked or full; and what it tells afterwards of what happened."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from leases import gone
from turns import write

from dnnsweep.errors import LeaseLostError, LedgerAwayError
from dnnsweep.ledger import PARENT, Asked, Lease, Ledger, NewSweep, Told, database
from dnnsweep.records import (
    Curve,
    DataSummary,
    Objective,
    Reason,
    Series,
    Suggestion,
    SweepState,
    Task,
    TrialResult,
)
from dnnsweep.records.events import EventKind

DATA = DataSummary("f" * 64, Task.MULTICLASS, 64, ("a",), ("0", "1", "2"), 60, 20, 20)
SPEC = {"name": "digits", "dataset": {"source": "sklearn:digits"}, "seed": 0, "budget": {"trials": 5}}
NEW = NewSweep("digits", SPEC, {"seed": 0}, "d" * 64, DATA, 4, (Objective("val_accuracy", "maximize"),))
RESULT = TrialResult(0, 1, Reason.COMPLETED, Curve((Series("val_accuracy", (0.5,)),), (10,)), 1, 0.1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "dnnsweep.db"


@pytest.fixture
def ledger(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    with closing(Ledger.open(f"sqlite:///{file}", create=True, patience=30)) as opened:
        yield opened


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    return ledger.begin(NEW)


def asked(number: int) -> Asked:
    return Asked(Suggestion(number, {"dropout": 0.5}, number), {})


def happened(ledger: Ledger) -> list[tuple[int | None, str, int | None, str | None]]:
    return [(event.number, event.kind.value, event.attempt, event.detail) for event in ledger.events("digits")]


@contextmanager
def locked(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


# -- away -----------------------------------------------------------------------------------------------------------


def test_a_write_waits_until_a_locked_database_is_free(ledger: Ledger, lease: Lease, file: Path) -> None:
    with locked(file) as other:
        timer = threading.Timer(0.5, lambda: other.execute("COMMIT"))
        timer.start()
        write(lease).advance([], [asked(0)], {})
        timer.join()

    assert [trial.number for trial in ledger.trials("digits")] == [0]


def test_a_lease_is_waited_for_while_somebody_holds_the_database_up(ledger: Ledger, file: Path) -> None:
    with locked(file) as other:
        timer = threading.Timer(0.5, lambda: other.execute("COMMIT"))
        timer.start()
        ledger.begin(NEW)
        timer.join()

    assert ledger.sweep("digits").n_trials == 5


def test_after_its_patience_a_write_gives_up_and_the_sweep_goes_on_later(
    ledger: Ledger, lease: Lease, file: Path
) -> None:
    ledger._database.patience = 0.3

    with locked(file), pytest.raises(LedgerAwayError, match="database is locked"):
        write(lease).advance([], [asked(0)], {})

    assert ledger.trials("digits") == []
    write(lease).advance([], [asked(0)], {})
    assert len(ledger.trials("digits")) == 1


def test_a_sweep_that_is_given_up_does_not_wait_again(lease: Lease, file: Path) -> None:
    with locked(file), pytest.raises(LedgerAwayError):
        lease.end(SweepState.FAILED, "away", is_patient=False)


def test_a_full_disk_is_said_and_breaks_nothing(ledger: Ledger, lease: Lease, file: Path) -> None:
    ledger._database.patience = 0.2
    with ledger._database.read() as connection:
        n_pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {n_pages}")
    big = Suggestion(0, {"text": "x" * 1_000_000}, 0)

    with pytest.raises(LedgerAwayError, match="disk is full"):
        write(lease).advance([], [Asked(big, {})], {})

    with closing(sqlite3.connect(file)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with ledger._database.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    write(lease).advance([], [Asked(big, {})], {})
    assert len(ledger.trials("digits")) == 1


@pytest.fixture
def transactions(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The transactions that write from now on; the first one is stored, but its answer is lost."""
    real, seen = ledger._database.write, list[str]()

    @contextmanager
    def write_and_lose_the_first_answer() -> Iterator[Any]:
        seen.append("transaction")
        with real() as connection:
            yield connection
        if len(seen) == 1:
            raise LedgerAwayError("the connection was lost")

    monkeypatch.setattr(ledger._database, "write", write_and_lose_the_first_answer)
    return seen


def test_a_transaction_whose_answer_was_lost_is_stored_once(
    ledger: Ledger, lease: Lease, transactions: list[str]
) -> None:
    with lease.turn() as turn:
        turn.advance([], [asked(0), asked(1)], {"seen": 2})
        turn.start(0, 1)

    assert len(transactions) == 2
    assert [trial.number for trial in ledger.trials("digits")] == [0, 1]
    assert [entry for entry in happened(ledger) if entry[0] == 0] == [
        (0, "created", None, None),
        (0, "started", 1, None),
    ]


def test_an_end_whose_answer_was_lost_is_told_as_it_was_stored(
    ledger: Ledger, lease: Lease, transactions: list[str]
) -> None:
    with ledger._database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sweeps SET is_stop_requested = 1")

    assert lease.end(SweepState.QUEUED) is SweepState.STOPPED  # a worker's that was asked to stop it meanwhile

    assert len(transactions) == 2
    assert [kind for _, kind, _, _ in happened(ledger)].count("ended") == 1


def test_whoever_lost_the_lease_does_not_try_again(ledger: Ledger, lease: Lease) -> None:
    with ledger._database.write() as connection:
        connection.exec_driver_sql("UPDATE sweeps SET token = token + 1")

    with pytest.raises(LeaseLostError):
        write(lease).start(0, 1)


def test_a_new_lease_writes_whatever_the_one_before_has_written(ledger: Ledger, lease: Lease) -> None:
    for number in range(3):
        write(lease).advance([], [asked(number)], {})
    lease.end(SweepState.INTERRUPTED)

    again = ledger.begin(NEW)
    write(again).start(0, 1)

    assert ledger.trial("digits", 0).attempts == 1


# -- events ---------------------------------------------------------------------------------------------------------


def test_events_tell_what_happened_in_order(ledger: Ledger, lease: Lease) -> None:
    write(lease).advance([], [asked(0)], {})
    write(lease).start(0, 1)
    write(lease).requeue(0, 1, "the trainer died by SIGKILL")
    write(lease).start(0, 2)
    ledger.request_stop("digits")
    write(lease).finish(replace(RESULT, attempt=2), (0.5,), {})
    write(lease).advance([Told(0, None, {})], [], {})
    lease.end(SweepState.STOPPED)

    owner = happened(ledger)[1][3]
    assert owner is not None
    assert owner.startswith("by process ")
    assert happened(ledger) == [
        (None, "created", None, None),
        (None, "leased", None, owner),
        (0, "created", None, None),
        (0, "started", 1, None),
        (0, "attempt lost", 1, "the trainer died by SIGKILL"),
        (0, "started", 2, None),
        (None, "stop requested", None, None),
        (0, "ended", 2, "completed"),
        (None, "ended", None, "stopped"),
    ]


def test_trials_of_a_controller_that_died_are_said_to_be_lost(ledger: Ledger) -> None:
    lease = ledger.begin(NEW, owner=gone())
    write(lease).advance([], [asked(0), asked(1)], {})
    write(lease).start(0, 1)

    ledger.begin(NEW)

    assert happened(ledger)[-1] == (0, "attempt lost", None, "its controller died")


def test_what_mlflow_has_seen_to_its_end_is_said_to_be_delivered(ledger: Ledger, lease: Lease) -> None:
    write(lease).advance([], [asked(0), asked(1)], {})
    write(lease).start(0, 1)
    write(lease).start(1, 1)
    write(lease).progress(1, RESULT.curve)
    write(lease).finish(RESULT, (0.5,), {})
    for entry in ledger.outbox.claim(9, lease.sweep_id):
        ledger.outbox.remove_sent(entry, f"run{entry.number}")

    delivered = [event.number for event in ledger.events("digits") if event.kind is EventKind.DELIVERED]
    assert delivered == [0]  # trial 1 and the sweep itself go on

    lease.end(SweepState.COMPLETE)
    for entry in ledger.outbox.claim(9, lease.sweep_id):
        ledger.outbox.remove_sent(entry, f"run{entry.number}")
    last = ledger.events("digits")[-1]
    assert (last.number, last.kind) == (None, EventKind.DELIVERED)
    assert PARENT not in [event.number for event in ledger.events("digits")]


def test_events_go_with_their_sweep(ledger: Ledger, lease: Lease) -> None:
    lease.end(SweepState.COMPLETE)
    ledger.delete("digits")

    with ledger._database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == 0
