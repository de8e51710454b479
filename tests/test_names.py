"""Names beyond ASCII of a builder's hyperparameters, as conditions name them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dnnsweep import spec
from dnnsweep.ledger import Asked, Ledger, NewSweep
from dnnsweep.query import Comparison, parse
from dnnsweep.records import Suggestion
from dnnsweep.space import Knob

#: One that NFKC leaves alone, one in the form that macOS writes, and one that Python reads as another character.
NAMES = ("größe", unicodedata.normalize("NFD", "größe_2"), "\N{MICRO SIGN}", "\N{MATHEMATICAL BOLD SMALL X}")
#: Of each kind of hyperparameter: values of two trials, a condition, and the trials that meet it.
KINDS: dict[str, tuple[list[Any], str, list[int]]] = {
    "real": ([0.25, 0.75], "{} < 0.5", [0]),
    "listed": ([1, 2], "{} in [2, 3]", [1]),
    "text": (["klein", "groß"], "{} == 'groß'", [1]),
    "boolean": ([True, False], "not {}", [1]),
    "widths": ([[8, 4], [8]], "{} == [8, 4]", [0]),
    "missing": ([0.5, None], "{} is None", [1]),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'dnnsweep.db'}" if is_sqlite else request.getfixturevalue("postgresql").database()
    opened = Ledger.open(url, create=True)
    yield opened
    opened.close()


def test_a_condition_finds_a_hyperparameter_whatever_its_name(ledger: Ledger) -> None:
    for place, name in enumerate(NAMES):
        for kind, (values, condition, expected) in KINDS.items():
            sweep = f"{kind}-{place}"
            store(ledger, sweep, name, values)
            for spelling in (name, unicodedata.normalize("NFKC", name)):
                found = ledger.trials(sweep, condition.format(spelling))
                assert [trial.number for trial in found] == expected, (sweep, spelling)


def store(ledger: Ledger, sweep: str, name: str, values: list[Any]) -> None:
    known = [value for value in values if value is not None]
    document = {
        "name": sweep,
        "dataset": {"source": "sklearn:iris"},
        "network": {"builder": "python:nets:build"},
        "space": {name: known},
    }
    lease = ledger.begin(NewSweep.of(spec.check(document)))
    with lease.turn() as turn:
        asked = [Asked(Suggestion(number, {name: value}, 0), {}) for number, value in enumerate(values)]
        turn.advance([], asked, {})


def test_a_condition_names_the_hyperparameter_as_the_sweep_file_does() -> None:
    knob = Knob("\N{MICRO SIGN}", "real")

    assert parse("\N{GREEK SMALL LETTER MU} < 1", {knob.name: knob}) == Comparison("\N{MICRO SIGN}", "<", 1)
