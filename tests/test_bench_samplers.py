from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench import samplers
from bench.samplers import RANDOM, Cell, Row, Runs, Steps, best_at, drive, improvements, ranks, rows, table_of
from bench.tables import Table, regrets, space
from dnnsweep.records import Reason
from dnnsweep.space import Choice, Range
from dnnsweep.study import Study

KNOBS: Mapping[str, list[Any]] = {"width": [8, 16, 32, 64], "rate": [0.1, 0.01, 0.001], "schedule": ["cosine", "const"]}


def table() -> Table:
    """Wide networks with the middle rate are best; the schedule does not matter."""
    values = {f"{w}{r}{s}": (3.0 - w) ** 2 + abs(r - 1) for w in range(4) for r in range(3) for s in range(2)}
    return Table("made up", space(KNOBS), KNOBS, regrets(values))


def test_ordered_values_are_searched_by_index_and_words_as_they_are() -> None:
    assert space(KNOBS) == {
        "width": Range(0, 3, is_integer=True),
        "rate": Range(0, 2, is_integer=True),
        "schedule": Choice(("cosine", "const")),
    }


def test_a_suggestion_is_looked_up_in_the_table() -> None:
    # values: (3 - w)^2 + |r - 1|; eight of each of 0, 1, 4, 9 and, of these, four of |r - 1| = 0 and eight of 1:
    # sorted 0 0 1 1 1 1 1 1 2 2 2 2 4 4 5 5 5 5 9 9 10 10 10 10, median (2 + 4) / 2 = 3
    made = table()

    assert made.regret({"width": 3, "rate": 1, "schedule": "const"}) == 0
    assert made.regret({"width": 2, "rate": 0, "schedule": "cosine"}) == pytest.approx(2 / 3)


@pytest.mark.parametrize("kind", ["tpe", "random"])
@pytest.mark.parametrize("window", [1, 8, 40])
def test_default_cells_sample_as_a_sweep_does(kind: str, window: int) -> None:
    made, study, asked, told = table(), Study(table().space, "minimize", kind, 5), list[float](), 0
    while told < 40:
        while len(asked) < min(told + window, 40):
            asked.append(made.regret(study.ask(len(asked))))
        study.tell(told, Reason.COMPLETED, (asked[told],))
        told += 1

    assert drive(made, Cell(kind, window), 40, 5) == asked


def test_cells_differ_once_results_are_known() -> None:
    made = table()
    sampled = {cell: drive(made, cell, 30, 0) for cell in (Cell(), Cell(window=8), Cell(n_startup=20), RANDOM)}

    assert len({tuple(values) for values in sampled.values()}) == 4
    assert all(values[:10] == sampled[RANDOM][:10] for values in sampled.values())


def test_the_liar_matters_only_with_trials_in_flight() -> None:
    made = table()

    assert drive(made, Cell(), 30, 0) == drive(made, Cell(liar=False), 30, 0)
    assert drive(made, Cell(window=8), 30, 0) != drive(made, Cell(window=8, liar=False), 30, 0)


def test_the_best_so_far_follows_from_the_improvements() -> None:
    values = [0.5, 0.7, 0.2, 0.2, 0.9, 0.1]

    steps = improvements(values)

    assert [best_at(steps, n) for n in range(1, 7)] == [0.5, 0.5, 0.2, 0.2, 0.2, 0.1]


def test_equal_values_share_their_ranks() -> None:
    assert ranks([3.0, 1.0, 3.0, 3.0, 0.0]) == [4.0, 2.0, 4.0, 4.0, 1.0]


def test_a_stopped_comparison_goes_on_from_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, made = tmp_path / "runs.jsonl", table()
    Runs(path).measure(made, Cell(), 20, 3)
    monkeypatch.setattr(samplers, "drive", lambda *_: pytest.fail("was measured before"))

    again = Runs(path)
    again.measure(made, Cell(), 20, 3)

    steps = again.get("made up", Cell(), 20, 3)
    assert steps is not None
    assert (steps[0][0], again.get("made up", Cell(), 20, 4)) == (1, None)


def test_random_search_is_shown_with_twice_the_trials_too() -> None:
    # one table, two seeds: after 10 trials random has 0.4 and 0.2 (mean 0.3, error 0.1), after 20 it has 0.1 and 0.1;
    # TPE has a mean of 0.3 from the first trial on and of 0.1 from the tenth on
    found: dict[Cell, list[list[Steps]]] = {
        RANDOM: [[[(1, 0.4), (15, 0.1)], [(1, 0.2), (20, 0.1)]]],
        Cell(): [[[(1, 0.4), (10, 0.0)], [(1, 0.2)]]],
    }

    lines = table_of(rows(found), [5, 10]).splitlines()

    assert lines[2:] == [
        "| random | 300.0 ± 100.0 | 300.0 ± 100.0 | 3.0 | 1 |",
        "| random, twice the trials | 300.0 ± 100.0 | 100.0 ± 0.0 | 1.5 | 10 |",
        "| TPE, W = 1, 10 start-up | 300.0 ± 100.0 | 100.0 ± 100.0 | 1.5 | 10 |",
    ]
    assert [row.factor for row in rows(found)] == [1, 2, 1]
    assert isinstance(rows(found)[0], Row)
