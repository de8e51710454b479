"""Statements on PostgreSQL that take too long, or that a server which hangs never answers."""

from __future__ import annotations

from collections.abc import Iterator

import postgres
import pytest
from sqlalchemy import text

from dnnsweep.errors import LedgerAwayError
from dnnsweep.ledger import Ledger


@pytest.fixture
def ledger(postgresql: postgres.Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setattr("dnnsweep.ledger.deadlines.ANSWER_SECONDS", 0.2)
    made = Ledger.open(f"{postgresql.database()}?connect_timeout=2", create=True)
    made.limit_statements(0.3)
    yield made
    made.close()


def test_a_statement_that_takes_too_long_is_cancelled_and_the_next_one_is_not(ledger: Ledger) -> None:
    for _ in range(2):  # the limit outlives the transaction
        with pytest.raises(LedgerAwayError, match="statement timeout"), ledger._database.read() as connection:
            connection.execute(text("SELECT pg_sleep(60)"))
        assert ledger.sweeps() == []


def test_a_server_that_hangs_is_given_up_and_found_again(ledger: Ledger, postgresql: postgres.Server) -> None:
    ledger.sweeps()
    with postgresql.frozen(), pytest.raises(LedgerAwayError, match="timeout expired"):
        ledger.sweeps()
    assert ledger.sweeps() == []


def test_an_answer_that_never_comes_is_not_waited_for(ledger: Ledger, postgresql: postgres.Server) -> None:
    def ask() -> None:
        with ledger._database.read() as connection, postgresql.frozen():
            connection.execute(text("SELECT 1"))

    with pytest.raises(LedgerAwayError, match=r"has not answered for 0\.5 seconds"):
        ask()
    assert ledger.sweeps() == []
