"""Candidates in MLflow: what their runs show, when they are put, and that they count as no trials."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from test_delivery import SETTINGS, Recording
from test_ledger import NEW, ask, curve, finish
from test_ledger import store as stored
from test_pages import PARAMS, SWEEP

from dnnsweep.delivery.candidate_pages import candidate_page
from dnnsweep.delivery.pages import trial_page
from dnnsweep.delivery.shipper import OutboxSender, deliver_all
from dnnsweep.ledger import Asked, Lease, Ledger, RepeatLease
from dnnsweep.ledger.repeat_lease import BLOCK, CANDIDATE, FIRST_NUMBER
from dnnsweep.records import (
    Candidate,
    Curve,
    Purpose,
    Reason,
    Repeat,
    State,
    Suggestion,
    Sweep,
    SweepState,
    Trial,
    TrialResult,
)
from dnnsweep.tracking.page import NOTE_TAG, ORDER_TAG, Point, RunPage

CANDIDATE_12 = Candidate(1, Purpose.CONFIRM, "trial 12", PARAMS, trial=12)


def repeat(block: int, value: float | None, ended_at: int | None = 0, **changes: Any) -> Repeat:
    """Return a repeat that has ended `ended_at` later than the first, or never."""
    own = Repeat(10 + block, 1, block, seed=7, started_at=100)
    if ended_at is None:
        return replace(own, state=State.RUNNING, **changes)
    reason = Reason.COMPLETED if value is not None else Reason.DIVERGED
    metrics = {} if value is None else {"val_loss": 1 - value, "val_accuracy": value, "loss": 0.5, "n_parameters": 9}
    ended = replace(
        own, state=reason.state, reason=reason, value=value, metrics=metrics, best_epoch=3, ended_at=200 + ended_at
    )
    return replace(ended, **changes)


def drawn(page: RunPage, metric: str) -> list[tuple[float, int, int]]:
    return [(point.value, point.step, point.time) for point in page.points if point.metric == metric]


def page_of(*repeats: Repeat, sweep: Sweep = SWEEP, candidate: Candidate = CANDIDATE_12) -> RunPage:
    return candidate_page("ledger", sweep, candidate, repeats)


def test_scores_are_drawn_by_block_and_their_mean_by_the_number_of_repeats() -> None:
    page = page_of(repeat(0, 0.75, 5), repeat(1, None, 6), repeat(2, 0.25, 3), repeat(3, 0.5, 9))

    assert drawn(page, "repeats/objective") == [(0.75, 0, 205), (0.25, 2, 203), (0.5, 3, 209)]
    assert drawn(page, "repeats/val_loss") == [(0.25, 0, 205), (0.75, 2, 203), (0.5, 3, 209)]
    assert drawn(page, "mean_objective") == [(0.75, 1, 205), (0.5, 2, 205), (0.5, 3, 209)]
    assert {point.metric for point in page.points} == {
        "mean_objective",
        *(f"repeats/{name}" for name in ("objective", "val_loss", "val_accuracy", "loss")),
    }


def test_a_point_that_was_put_stays_whatever_ends_later() -> None:
    ended = [repeat(0, 0.9, 1), repeat(1, 0.5, 2), repeat(2, None, 3), repeat(3, 0.7, 4)]
    for order in permutations(range(4)):
        before: set[Point] = set()
        for n_ended in range(1, 5):
            now = [
                one if index in order[:n_ended] else repeat(one.block, None, None) for index, one in enumerate(ended)
            ]
            points = set(page_of(*now).points)
            assert before <= points
            before = points


def test_a_candidate_is_told_apart_from_trials_and_stands_behind_them() -> None:
    page = page_of(repeat(0, 0.75))

    assert page.name == "confirm trial 12"
    assert (page.key, page.parent_run_id) == ("ledger/s1/candidate-1", "parent")
    assert page.params == {name: str(value) for name, value in PARAMS.items()}
    tags = {name: page.tags[name] for name in page.tags if name not in (NOTE_TAG, ORDER_TAG)}
    assert tags == {
        "dnnsweep.sweep": "digits",
        "dnnsweep.purpose": "confirm",
        "dnnsweep.candidate": "1",
        "dnnsweep.of_trial": "12",
    }
    of_trials = trial_page("ledger", SWEEP, TRIAL_WITH_VALUE, Curve())
    assert page.tags[ORDER_TAG] > of_trials.tags[ORDER_TAG]
    assert not {point.metric for point in page.points} & {point.metric for point in of_trials.points}
    assert page.view == of_trials.view


TRIAL_WITH_VALUE = Trial(
    sweep="digits",
    number=7,
    values=(-1e300,),
    params=PARAMS,
    state=State.COMPLETE,
    reason=Reason.COMPLETED,
    best_epoch=2,
    epochs=3,
    seconds=1.0,
    run_id=None,
    seed=5,
    attempts=1,
    error=None,
    metrics={},
    started_at=200,
    ended_at=300,
)
OPEN = repeat(1, None, None)
STOPPED = replace(OPEN, state=State.FAILED, reason=Reason.STOPPED)


@pytest.mark.parametrize(
    ("state", "others", "status", "ended_at"),
    [
        (SweepState.RUNNING, [OPEN], "RUNNING", None),
        (SweepState.QUEUED, [OPEN], "RUNNING", None),
        (SweepState.STOPPED, [OPEN], "KILLED", 205),
        (SweepState.INTERRUPTED, [OPEN], "KILLED", 205),
        (SweepState.COMPLETE, [OPEN], "KILLED", 205),
        (SweepState.RUNNING, [], "FINISHED", 205),
        (SweepState.RUNNING, [STOPPED], "FINISHED", 205),
        (SweepState.RUNNING, [repeat(1, None, 9)], "FINISHED", 209),
    ],
)
def test_a_candidate_runs_until_all_repeats_that_were_asked_for_have_ended(
    state: SweepState, others: list[Repeat], status: str, ended_at: int | None
) -> None:
    page = page_of(repeat(0, 0.75, 5), *others, sweep=replace(SWEEP, state=state))

    assert (page.status, page.ended_at, page.started_at) == (status, ended_at, 100)


def test_a_candidate_none_of_whose_repeats_has_a_value_has_failed() -> None:
    page = page_of(repeat(0, None, 1), repeat(1, None, 2, reason=Reason.TIMEOUT))

    assert (page.status, page.points) == ("FAILED", ())
    assert "2 of 2 repeats have ended, 2 of them without a value (diverged, timeout)." in page.tags[NOTE_TAG]


def test_a_candidate_says_what_a_repeat_is() -> None:
    note = page_of(repeat(0, 0.75, 5), OPEN).tags[NOTE_TAG]

    assert note.startswith("Of the sweep [digits](#/runs/parent): trial 12. 1 of 2 repeats have ended.\n\nA repeat ")
    assert "Repeats are not trials" in note


def test_a_retrained_configuration_shows_nothing_of_rows_that_it_was_trained_on_as_validation() -> None:
    retrained = Candidate(2, Purpose.RETRAIN, "trial 12", PARAMS)
    page = page_of(repeat(0, 0.99), repeat(1, 0.98), candidate=retrained)

    assert page.name == "retrain trial 12"
    assert {point.metric for point in page.points} == {"repeats/loss"}
    assert "dnnsweep.of_trial" not in page.tags
    assert "No rows were left for validation" in page.tags[NOTE_TAG]


# -- delivery -------------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'dnnsweep.db'}", create=True)
    stored(opened, NEW)
    yield opened
    opened.close()


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    """The lease on a sweep of one trial, which was confirmed together with a baseline that is no trial."""
    lease = ledger.begin(NEW)
    ask(lease, 1)
    finish(lease, 0, 0.5)
    repeats = RepeatLease(lease)
    baseline = {"optimizer": "sgd", "dropout": 0.5, "hidden": [8]}
    repeats.add(
        [
            Candidate(0, Purpose.CONFIRM, "trial 0", ledger.trial("digits", 0).params, 0),
            Candidate(1, Purpose.CONFIRM, "baseline", baseline),
        ]
    )
    ask_repeats(repeats, *((candidate, block) for block in range(3) for candidate in range(2)))
    return lease


def ask_repeats(lease: RepeatLease, *places: tuple[int, int]) -> None:
    first = FIRST_NUMBER + len(lease.repeats)
    asked = [
        Asked(Suggestion(number, {}, block, block=block), {CANDIDATE: candidate, BLOCK: block})
        for number, (candidate, block) in enumerate(places, first)
    ]
    with lease.turn() as turn:
        turn.advance([], asked, {})


def end_repeats(lease: RepeatLease, *numbers: int) -> None:
    for number in numbers:
        with lease.turn() as turn:
            turn.start(FIRST_NUMBER + number, 1)
            result = TrialResult(FIRST_NUMBER + number, 1, Reason.COMPLETED, curve(0.5), 1, 1.0)
            turn.finish(result, (0.5 + number / 10,), {"val_loss": 0.5})


def sent(ledger: Ledger, store: Recording, sweep_id: str | None) -> list[str]:
    """Send what is due, or will be, and return which runs were put."""
    n_before, sender = len(store.keys), OutboxSender(ledger, store, SETTINGS, sweep_id)
    ledger.outbox.make_due()
    while sender.deliver():
        sender.forget()
    return store.keys[n_before:]


def statuses(store: Recording) -> dict[str, str]:
    return {key.rpartition("/")[2]: page.status for key, page in store.pages.items() if "candidate" in key}


def test_many_repeats_of_a_candidate_are_one_update_that_waits_for_more(ledger: Ledger, lease: Lease) -> None:
    store = Recording()
    sent(ledger, store, lease.sweep_id)
    end_repeats(RepeatLease(lease), 0, 1, 2, 3)

    assert ledger.outbox.count(lease.sweep_id) == 2
    assert OutboxSender(ledger, store, SETTINGS, lease.sweep_id).deliver() == 0
    assert sent(ledger, store, lease.sweep_id) == ["candidate-0", "candidate-1"]
    page = store.pages[f"{ledger.id}/{lease.sweep_id}/candidate-0"]
    assert (page.parent_run_id, page.is_new) == ("run of parent", True)
    assert drawn(page, "mean_objective")[-1][:2] == (0.6, 2)
    assert [candidate.run_id for candidate in ledger.candidates(ledger.sweep("digits"))] == [
        "run of candidate-0",
        "run of candidate-1",
    ]


def test_a_candidate_without_an_ended_repeat_has_no_run(ledger: Ledger, lease: Lease) -> None:
    store = Recording()
    end_repeats(RepeatLease(lease), 0)
    lease.end(SweepState.STOPPED)

    assert deliver_all(ledger, store, SETTINGS, 30)
    assert statuses(store) == {"candidate-0": "KILLED"}


def test_a_sweep_that_ends_leaves_no_candidate_running(ledger: Ledger, lease: Lease) -> None:
    store, repeats = Recording(), RepeatLease(lease)
    end_repeats(repeats, 0, 1, 2, 4)
    sent(ledger, store, lease.sweep_id)
    assert statuses(store) == {"candidate-0": "FINISHED", "candidate-1": "RUNNING"}

    lease.end(SweepState.STOPPED)

    assert "candidate-1" in sent(ledger, store, None)
    assert statuses(store) == {"candidate-0": "FINISHED", "candidate-1": "KILLED"}


def test_retrainings_that_are_given_up_end_their_candidate_and_no_other(ledger: Ledger, lease: Lease) -> None:
    store, repeats = Recording(), RepeatLease(lease)
    repeats.add([Candidate(2, Purpose.RETRAIN, "trial 0", ledger.trial("digits", 0).params, 0)])
    ask_repeats(repeats, (2, 0), (2, 1))
    end_repeats(repeats, 0, 6)
    sent(ledger, store, lease.sweep_id)

    repeats.close_unfinished_retrainings()

    assert sent(ledger, store, lease.sweep_id) == ["candidate-2"]
    assert statuses(store) == {"candidate-0": "RUNNING", "candidate-2": "FINISHED"}


def test_an_outage_keeps_candidates_for_later(ledger: Ledger, lease: Lease) -> None:
    end_repeats(RepeatLease(lease), *range(6))
    lease.end(SweepState.COMPLETE)

    assert not deliver_all(ledger, Recording(n_failures=10**6), SETTINGS, 30)
    store = Recording()
    assert deliver_all(ledger, store, SETTINGS, 30)
    assert statuses(store) == {"candidate-0": "FINISHED", "candidate-1": "FINISHED"}


@pytest.mark.parametrize("lost", ["/candidate-1", ""])
def test_what_mlflow_has_lost_of_a_sweep_is_sent_again_with_its_candidates(
    ledger: Ledger, lease: Lease, lost: str
) -> None:
    store, key = Recording(), f"{ledger.id}/{lease.sweep_id}"
    end_repeats(RepeatLease(lease), *range(6))
    sent(ledger, store, lease.sweep_id)
    pages = dict(store.pages)
    lease.end(SweepState.COMPLETE)
    for gone in [each for each in pages if each.startswith(key + lost)]:
        del store.pages[gone]

    assert deliver_all(ledger, store, SETTINGS, 30)  # the end of the sweep is sent, and all of it is looked for

    assert store.pages.keys() == pages.keys()


def test_the_runs_of_candidates_are_deleted_with_their_sweep(ledger: Ledger, lease: Lease) -> None:
    store = Recording()
    end_repeats(RepeatLease(lease), 0, 1)
    sent(ledger, store, lease.sweep_id)
    lease.end(SweepState.COMPLETE)
    ledger.delete("digits")

    assert deliver_all(ledger, store, SETTINGS, 30)
    assert {"run of candidate-0", "run of candidate-1"} < set(store.deleted)


def test_a_store_that_is_new_is_sent_the_candidates_too(ledger: Ledger, lease: Lease) -> None:
    end_repeats(RepeatLease(lease), *range(6))
    lease.end(SweepState.COMPLETE)
    assert deliver_all(ledger, Recording(), SETTINGS, 30)
    store = Recording()

    assert ledger.outbox.refill() == 4
    assert deliver_all(ledger, store, SETTINGS, 30)

    assert set(store.keys) == {"parent", "0", "candidate-0", "candidate-1"}
