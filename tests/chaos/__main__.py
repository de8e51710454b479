"""`make chaos`: run the long version; exit with 0 if nothing was lost, and nothing counted twice."""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import postgres

from chaos import clocks, disk
from chaos.audit import Outcome, Row, table
from chaos.disturbances import (
    ClockJumps,
    Disturbance,
    Kills,
    Purges,
    ReadOnlyDisk,
    Requests,
    Starvation,
    TrainerKills,
)
from chaos.plans import CHATTY, CONFIRMED, LONG, PRETENDED, REAL, SHARED, SLOW, STARVED, Plan
from chaos.rounds import disturbed, undisturbed
from chaos.stage import Stage


@dataclass(frozen=True)
class Scenario:
    """A row of the table, for each database.

    Args:
        title: What is done, in words.
        kind: Makes what does it.
        plan: What is run.
        n_faults: How often it is done, with each database.
        has_server: Whether MLflow is a server of its own.
    """

    title: str
    kind: Callable[[Stage], Disturbance]
    plan: Plan
    n_faults: int
    has_server: bool = False


SCENARIOS = (
    Scenario("any process killed", Kills, PRETENDED, 70),
    Scenario("any process killed", Kills, PRETENDED, 70, has_server=True),
    Scenario("trainers killed that really train", TrainerKills, REAL, 32),
    Scenario("any process killed while repeats are trained", Kills, CONFIRMED, 40),
    Scenario("two workers, any process killed", Kills, SHARED, 30),
    Scenario("two workers, clocks set, any process killed", ClockJumps, SHARED, 40),
    Scenario("trainers out of memory", Starvation, STARVED, 12),
    Scenario("disk read-only", ReadOnlyDisk, LONG, 6),
    Scenario("runs purged", Purges, SLOW, 30),
    Scenario("requests lost and doubled", Requests, CHATTY, 60, has_server=True),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--share", type=float, default=1.0, help="disturb so much less or more often")
    parser.add_argument("--only", default="", help="run the rows whose title has this in it")
    given = parser.parse_args()
    _say(f"seed {given.seed}")
    chosen = [scenario for scenario in SCENARIOS if given.only in scenario.title]
    rows = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        databases: list[postgres.Server | None] = [None]
        if postgres.programs() is None:
            _say("PostgreSQL was left out: there is no initdb")
        else:
            databases.append(stack.enter_context(postgres.running()))
        for row in _rows(Path(name), _possible(chosen), databases, given.seed, given.share):
            _say(table([row]))
            rows.append(row)
    _say(table(rows))
    return 0 if all(row.is_good for row in rows) else 1


def _possible(scenarios: list[Scenario]) -> list[Scenario]:
    """Leave out what this machine cannot do, and say so."""
    reason = disk.reason_against()
    if any(each.kind is ReadOnlyDisk for each in scenarios) and reason is not None:
        _say(f"no disk was made read-only: {reason}")
        scenarios = [each for each in scenarios if each.kind is not ReadOnlyDisk]
    if any(each.kind is ClockJumps for each in scenarios):
        found = clocks.library() or "a module for Python: no libfaketime lets Python sleep"
        _say(f"clocks are set by {found}")
    return scenarios


def _rows(
    folder: Path, scenarios: list[Scenario], databases: list[postgres.Server | None], seed: int, share: float
) -> Iterator[Row]:
    """Yield what is left in each scenario, with each database."""
    known: dict[str, Outcome] = {}
    for number, scenario in enumerate(scenarios):
        sweep = str(scenario.plan.sweep["name"])
        if sweep not in known:
            known[sweep] = undisturbed(folder / f"undisturbed-{sweep}", scenario.plan)
        for database in databases:
            place = folder / f"{number}-{'sqlite' if database is None else 'postgresql'}"
            place.mkdir()
            yield disturbed(
                place,
                random.Random(f"{seed} {scenario.title} {place.name}"),
                math.ceil(scenario.n_faults * share),
                known[sweep],
                kind=scenario.kind,
                plan=scenario.plan,
                title=scenario.title,
                database=database,
                has_server=scenario.has_server,
            )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
