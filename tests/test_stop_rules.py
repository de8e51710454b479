"""Sweeps that end before their budget is spent, with trials that end in any order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples import n_examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_controller import _OPENED, ACCURACY, DATA, SPACE, Scripted, Summary, stored, summary, take_lease

from dnnsweep.ledger import Ledger, NewSweep
from dnnsweep.records import Objective, Reason, SweepState
from dnnsweep.records.sweeps import has_spent_budget
from dnnsweep.runner.controller import Controller, ControllerSettings, FixedOrder
from dnnsweep.runner.controller.stop_rules import StopRules, UntilConverged, WithoutImprovement
from dnnsweep.space import Coordinates, Hyperparameters
from dnnsweep.study import Study

N_TRIALS = 40
DEFAULTS = Hyperparameters().to_params()
RULES = ("without", "until", "both")


def rules(kind: str, n_trials: int = 6) -> StopRules:
    without = WithoutImprovement(ACCURACY, n_trials)
    until = UntilConverged(ACCURACY, Coordinates(SPACE, DEFAULTS), 0, noise=lambda _: 0.1)
    return {
        "none": StopRules(),
        "without": StopRules(without),
        "until": StopRules(until=until),
        "both": StopRules(without, until),
    }[kind]


def control(ledger: Ledger, executor: Scripted, folder: Path, kind: str, n_trials: int = 6) -> Controller:
    sweep = ledger.sweep("sweep")
    order = FixedOrder(Study(SPACE, "maximize", "tpe"), DEFAULTS, 0, sweep.window, rules=rules(kind, n_trials))
    return Controller(
        ControllerSettings((ACCURACY,), sweep.n_trials, None, folder), take_lease(ledger), order, executor
    )


def run_whole(folder: Path, kind: str, n_trials: int = 6) -> tuple[Ledger, list[Summary]]:
    ledger = stored(f"sqlite:///{folder / kind}.db", N_TRIALS)
    assert control(ledger, Scripted(1), folder, kind, n_trials).run() is SweepState.COMPLETE
    return ledger, summary(ledger)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Summary]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return {kind: run_whole(folder, kind)[1] for kind in ("none", *RULES)}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'dnnsweep.db'}"


@pytest.fixture(autouse=True)
def _close_ledgers() -> Iterator[None]:
    yield
    while _OPENED:
        _OPENED.pop().close()


def test_a_sweep_that_ends_early_has_the_first_trials_of_one_that_does_not(
    undisturbed: dict[str, list[Summary]],
) -> None:
    whole = undisturbed["none"]
    n_trials = [len(undisturbed[kind]) for kind in RULES]

    assert len(whole) == N_TRIALS
    assert all(undisturbed[kind] == whole[:n] for kind, n in zip(RULES, n_trials, strict=True))
    assert max(n_trials) < N_TRIALS
    assert n_trials[2] <= min(n_trials[:2])


def test_a_sweep_ends_after_exactly_so_many_trials_without_improvement(undisturbed: dict[str, list[Summary]]) -> None:
    values = [value for _, _, _, value, *_ in undisturbed["without"]]

    assert len(values) - 1 - values.index(max(values)) == 6


@pytest.mark.parametrize("kind", ["without", "until"])
@given(
    n_slots=st.sampled_from([1, 2, 4, 8]),
    chance=st.integers(0, 10**6),
    lost=st.dictionaries(st.integers(0, 19), st.integers(1, 2), max_size=4),
    stops=st.lists(st.integers(0, 30), max_size=3),
)
@settings(max_examples=n_examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_where_a_sweep_ends_does_not_depend_on_slots_order_lost_trainers_or_interruptions(
    tmp_path_factory: pytest.TempPathFactory,
    undisturbed: dict[str, list[Summary]],
    kind: str,
    n_slots: int,
    chance: int,
    lost: dict[int, int],
    stops: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("disturbed")
    ledger = stored(f"sqlite:///{folder / 'dnnsweep.db'}", N_TRIALS)
    for n_events in stops:
        executor = Scripted(n_slots, chance, lost=lost, n_events=n_events)
        controller = control(ledger, executor, folder, kind)
        executor.interrupt_at_the_end(controller)
        if n_events == 0:
            controller.interrupt()
        if controller.run() is SweepState.COMPLETE:
            break

    control(ledger, Scripted(n_slots, chance + 1), folder, kind).run()

    assert summary(ledger) == undisturbed[kind]
    ledger.close()


@pytest.mark.parametrize("kind", ["without", "until"])
def test_a_sweep_that_has_ended_early_goes_on_under_other_rules_as_if_they_had_been_those_of_its_file(
    url: str, tmp_path: Path, undisturbed: dict[str, list[Summary]], kind: str
) -> None:
    ledger = stored(url, N_TRIALS)
    control(ledger, Scripted(3), tmp_path, kind).run()

    control(ledger, Scripted(4), tmp_path, "none").run()

    assert summary(ledger) == undisturbed["none"]
    assert ledger.sweep("sweep").conclusion is None


def test_a_raised_number_of_trials_without_improvement_goes_on(tmp_path: Path) -> None:
    _, whole = run_whole(tmp_path, "without", 15)
    ledger = stored(f"sqlite:///{tmp_path / 'raised.db'}", N_TRIALS)
    for n_trials in (3, 15):
        control(ledger, Scripted(4), tmp_path, "without", n_trials).run()

    assert summary(ledger) == whole


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("without", "6 trials in a row did not improve val_accuracy"),
        ("until", "another trial is not expected to improve val_accuracy by more than its noise of "),
    ],
)
def test_the_ledger_says_why_a_sweep_has_ended_early(tmp_path: Path, kind: str, words: str) -> None:
    ledger, trials = run_whole(tmp_path, kind)
    sweep = ledger.sweep("sweep")

    assert sweep.state is SweepState.COMPLETE
    assert str(sweep.conclusion).startswith(words)
    assert (sweep.n_finished, sweep.n_trials) == (len(trials), N_TRIALS)
    assert has_spent_budget(sweep, sweep.spec["budget"])
    assert not has_spent_budget(sweep, {**sweep.spec["budget"], "without_improvement": 70})


def test_a_sweep_that_goes_on_has_no_conclusion_until_it_ends_again(tmp_path: Path) -> None:
    ledger, _ = run_whole(tmp_path, "without")
    new = NewSweep("sweep", ledger.sweep("sweep").spec, {}, "d" * 64, DATA, 4, (ACCURACY,))

    lease = ledger.begin(new)

    assert ledger.sweep("sweep").conclusion is None
    lease.end(SweepState.STOPPED)
    assert ledger.sweep("sweep").conclusion is None


def test_a_finished_sweep_trains_nothing_more_under_the_same_rules(tmp_path: Path) -> None:
    ledger, trials = run_whole(tmp_path, "both")
    again = Scripted()

    assert control(ledger, again, tmp_path, "both").run() is SweepState.COMPLETE

    assert again.submitted == []
    assert summary(ledger) == trials


def outcomes(costs: list[float | None]) -> list[tuple[Reason, tuple[float, ...] | None]]:
    return [(Reason.DIVERGED, None) if cost is None else (Reason.COMPLETED, (cost,)) for cost in costs]


@pytest.mark.parametrize(
    ("values", "n_trials", "n_needed"),
    [
        ([5.0, 5.0, 5.0, 5.0], 3, 4),  # equal is not better
        ([5.0, 4.0, 3.0, 6.0, 6.0, 6.0], 3, 6),
        ([None, None, None, 1.0], 3, 3),  # none has a value
        ([9.0, None, 8.0, None, None, None], 3, 6),
    ],
)
def test_trials_without_improvement_are_counted_from_the_best_one(
    values: list[float | None], n_trials: int, n_needed: int
) -> None:
    rule = StopRules(WithoutImprovement(Objective("val_loss", "minimize"), n_trials))
    ended: dict[int, tuple[Reason, tuple[float, ...] | None]] = {}
    for number, outcome in enumerate(outcomes(values)):
        if not rule.may_ask():
            break
        rule.begin({})
        ended[number] = outcome
        rule.follow(ended.get)

    assert (len(ended), rule.conclusion is not None) == (n_needed, True)


def test_a_trial_that_was_stopped_from_outside_is_not_counted() -> None:
    rule = StopRules(WithoutImprovement(ACCURACY, 2))
    for _ in range(4):
        rule.begin({})
    reasons = [Reason.COMPLETED, Reason.STOPPED, Reason.FAILED, Reason.STOPPED]

    rule.follow(dict(enumerate((reason, (1.0,) if reason is Reason.COMPLETED else None) for reason in reasons)).get)

    assert rule.may_ask()


def test_no_more_is_suggested_than_is_needed_while_results_are_out() -> None:
    rule, chance = StopRules(WithoutImprovement(ACCURACY, 3)), random.Random(0)
    ended: dict[int, tuple[Reason, tuple[float, ...] | None]] = {}
    n_asked = 0
    while rule.may_ask():
        rule.begin({})
        n_asked += 1

    assert n_asked == 3
    ended[chance.choice([1, 2])] = (Reason.COMPLETED, (1.0,))  # nobody knows yet what came before it
    rule.follow(ended.get)
    assert (rule.may_ask(), rule.conclusion) == (False, None)
