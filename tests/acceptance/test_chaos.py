"""The quick version of `make chaos`: ten processes killed at random instants."""

from __future__ import annotations

import random
from pathlib import Path

import chaos
import postgres
import pytest
from examples import thorough
from workspace import prepared


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> chaos.Outcome:
    return chaos.undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.timeout(400)
def test_nothing_is_lost_and_nothing_counted_twice_whoever_is_killed(
    tmp_path: Path, template: Path, expected: chaos.Outcome
) -> None:
    row = chaos.disturbed(tmp_path, random.Random(4), 10, expected, template=template)

    assert row.faults >= 10
    assert row.is_good, row


@thorough("the same is shown on SQLite, and of PostgreSQL with workers that are killed and with a server that restarts")
@pytest.mark.timeout(200)
def test_the_same_holds_on_postgresql(
    tmp_path: Path, template: Path, expected: chaos.Outcome, postgresql: postgres.Server
) -> None:
    row = chaos.disturbed(tmp_path, random.Random(5), 4, expected, template=template, database=postgresql)

    assert row.is_good, row


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> chaos.Outcome:
    return chaos.undisturbed(tmp_path_factory.mktemp("confirmed"), chaos.CONFIRMED)


@pytest.mark.timeout(400)
def test_repeats_survive_whatever_is_killed(tmp_path: Path, template: Path, confirmed: chaos.Outcome) -> None:
    assert len(confirmed.repeats) > 3 * len(confirmed.trials)

    row = chaos.disturbed(tmp_path, random.Random(6), 6, confirmed, plan=chaos.CONFIRMED, template=template)

    assert row.is_good, row


@pytest.mark.parametrize("n_trainers", [2, 4])
def test_the_number_of_trainers_does_not_change_the_repeats(
    tmp_path: Path, confirmed: chaos.Outcome, n_trainers: int
) -> None:
    workspace = prepared(tmp_path, None, chaos.CONFIRMED.environ)

    done = workspace.run("run", workspace.file(**chaos.CONFIRMED.sweep), "--trainers", str(n_trainers))

    assert done.code == 0, done.err
    assert chaos.outcome_of(workspace, "confirmed") == confirmed
    assert workspace.end() == []
