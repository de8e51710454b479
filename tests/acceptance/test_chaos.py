"""The quick version of `make chaos`: ten processes killed at random instants."""

from __future__ import annotations

import random
from pathlib import Path

import chaos
import postgres
import pytest


@pytest.mark.timeout(400)
def test_nothing_is_lost_and_nothing_counted_twice_whoever_is_killed(tmp_path: Path, template: Path) -> None:
    expected = chaos.undisturbed(tmp_path / "undisturbed")

    row = chaos.disturbed(tmp_path, random.Random(4), 10, expected, template=template)

    assert row.kills >= 10
    assert row.is_good, row


@pytest.mark.timeout(200)
@pytest.mark.skipif(postgres.programs() is None, reason="there is no PostgreSQL here")
def test_the_same_holds_on_postgresql(tmp_path: Path, template: Path) -> None:
    expected = chaos.undisturbed(tmp_path / "undisturbed")
    with postgres.running() as database:
        row = chaos.disturbed(tmp_path, random.Random(5), 4, expected, template=template, database=database)

    assert row.is_good, row
