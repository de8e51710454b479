"""The queue of submitted sweeps, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import postgres
import pytest
from fake_clock import FakeClock
from leases import SOMEBODY_ELSE, gone, watch_for
from sqlalchemy import select
from turns import write
from workspace import wait_until

from dnnsweep import spec
from dnnsweep.errors import LeaseLostError, QueryError, SweepConflictError, SweepHeldError, SweepNotFoundError
from dnnsweep.ledger import Asked, Lease, LeaseWatch, Ledger, NewSweep, database, queries, sweep_cache
from dnnsweep.ledger.submissions import MAX_DEATHS
from dnnsweep.ledger.tables import SweepRow
from dnnsweep.records import (
    Curve,
    DataSummary,
    Objective,
    Reason,
    Series,
    State,
    Suggestion,
    Sweep,
    SweepState,
    Task,
    TrialResult,
)

DATA = DataSummary("f" * 64, Task.MULTICLASS, 64, ("a",), ("0", "1", "2"), 60, 20, 20)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path / 'dnnsweep.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").database()
    opened = Ledger.open(url, create=True, watch=LeaseWatch(clock))
    yield opened
    opened.close()


def new(name: str = "digits", **changes: Any) -> NewSweep:
    document = {"name": name, "dataset": {"source": "sklearn:digits"}, "budget": {"trials": 5}, **changes}
    checked = spec.check(document)
    return NewSweep(
        name=name,
        spec=checked.to_json(),
        identity=checked.identity(),
        digest=checked.digest,
        data=None,
        window=checked.window,
        objectives=(Objective("val_accuracy", "maximize"),),
        trainer="auto",
    )


def submit(ledger: Ledger, name: str = "digits", **changes: Any) -> bool:
    return ledger.submit(new(name, **changes), is_restricted=False)[1]


def claimed(ledger: Ledger, **arguments: Any) -> tuple[Lease, str]:
    found = ledger.claim(**arguments)
    assert found is not None
    return found


def last_turn(ledger: Ledger) -> int:
    with ledger._database.read() as connection:
        return int(connection.execute(select(SweepRow.last_turn)).scalar_one())


def train(lease: Lease, *values: float, first: int = 0) -> None:
    """Let trials end with these values."""
    for number, value in enumerate(values, first):
        write(lease).advance([], [Asked(Suggestion(number, {"dropout": number / 10}, number), {})], {})
        write(lease).start(number, 1)
        curve = Curve((Series("val_loss", (0.5,)),), (1000,))
        write(lease).finish(TrialResult(number, 1, Reason.COMPLETED, curve, 1, 1.0), (value,), {"val_loss": 0.5})


# -- into the queue -------------------------------------------------------------------------------------------------


def test_a_submitted_sweep_waits_and_nothing_is_known_of_its_data(ledger: Ledger) -> None:
    assert submit(ledger) is True

    sweep = ledger.sweep("digits")
    assert (sweep.state, sweep.data, sweep.trainer, sweep.n_trials) == (SweepState.QUEUED, {}, "auto", 5)
    assert [event.kind.value for event in ledger.events("digits")] == ["created", "queued"]


def test_submitting_the_same_again_changes_nothing(ledger: Ledger) -> None:
    submit(ledger)
    before = ledger.sweep("digits")

    assert submit(ledger) is False

    assert ledger.sweep("digits") == before
    assert len(ledger.events("digits")) == 2


def test_another_content_under_the_same_name_is_refused_with_the_difference(ledger: Ledger) -> None:
    submit(ledger)

    with pytest.raises(SweepConflictError, match="seed: was 0, is 1"):
        submit(ledger, seed=1)


def test_a_running_sweep_may_be_submitted_again_but_not_with_another_budget(ledger: Ledger) -> None:
    submit(ledger)
    claimed(ledger, owner=SOMEBODY_ELSE)

    assert submit(ledger) is False
    with pytest.raises(SweepHeldError, match="process 1 on another-host"):
        submit(ledger, budget={"trials": 9})


@pytest.mark.parametrize("state", [SweepState.STOPPED, SweepState.FAILED, SweepState.INTERRUPTED])
def test_a_sweep_that_has_trials_left_goes_on_when_it_is_submitted_again(ledger: Ledger, state: SweepState) -> None:
    submit(ledger)
    lease, _ = claimed(ledger)
    ledger.request_stop("digits")
    lease.end(state, "because")

    submit(ledger)

    assert (ledger.sweep("digits").state, ledger.sweep("digits").error) == (SweepState.QUEUED, None)


def test_a_complete_sweep_stays_complete_until_more_trials_are_asked_for(ledger: Ledger) -> None:
    submit(ledger, budget={"trials": 1})
    lease, _ = claimed(ledger)
    train(lease, 0.5)
    lease.end(SweepState.COMPLETE)

    submit(ledger, budget={"trials": 1})
    assert ledger.sweep("digits").state is SweepState.COMPLETE

    submit(ledger, budget={"trials": 2})
    assert ledger.sweep("digits").state is SweepState.QUEUED


def test_priority_is_no_part_of_what_identifies_a_sweep(ledger: Ledger) -> None:
    submit(ledger)

    assert submit(ledger, priority=5) is False


def test_a_name_that_others_submit_and_delete_all_the_time_can_be_submitted(ledger: Ledger) -> None:
    seen: list[tuple[str, SweepState]] = []
    failures: list[Exception] = []

    def work(index: int) -> None:
        for _ in range(15):
            try:
                if index % 2:
                    ledger.delete("digits")
                else:
                    sweep, _ = ledger.submit(new(), is_restricted=False)
                    seen.append((sweep.name, sweep.state))
            except SweepNotFoundError as error:
                if index % 2 == 0:
                    failures.append(error)
            except Exception as error:  # noqa: BLE001  a thread's failure is the test's
                failures.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert seen == [("digits", SweepState.QUEUED)] * 60


@pytest.mark.parametrize("is_restricted", [True, False])
def test_whoever_replaces_the_budget_of_a_queued_sweep_decides_whether_limits_hold(
    ledger: Ledger, is_restricted: bool
) -> None:
    ledger.submit(new(), is_restricted=not is_restricted)

    ledger.submit(new(budget={"trials": 9}), is_restricted=is_restricted)

    assert ledger.is_restricted("digits") is is_restricted


# -- out of it ------------------------------------------------------------------------------------------------------


def test_the_oldest_of_the_highest_priority_is_next(ledger: Ledger) -> None:
    for name, priority in (("a", 0), ("b", 5), ("c", 5), ("d", -1)):
        submit(ledger, name, priority=priority)

    assert [claimed(ledger)[1] for _ in range(4)] == ["b", "c", "a", "d"]
    assert ledger.claim() is None


def test_each_of_many_sweeps_goes_to_one_of_many_workers(ledger: Ledger) -> None:
    for index in range(12):
        submit(ledger, f"sweep-{index}")
    found: list[str] = []

    def work() -> None:
        while (claim := ledger.claim()) is not None:
            found.append(claim[1])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == sorted(f"sweep-{index}" for index in range(12))


def test_a_sweep_on_which_workers_die_again_and_again_fails_and_lets_others_pass(ledger: Ledger) -> None:
    submit(ledger, "deadly", priority=9)
    submit(ledger, "harmless")
    for _ in range(MAX_DEATHS):
        assert claimed(ledger, owner=gone())[1] == "deadly"

    assert claimed(ledger)[1] == "harmless"

    sweep = ledger.sweep("deadly")
    assert sweep.state is SweepState.FAILED
    assert "5 workers died on it" in str(sweep.error)
    submit(ledger, "deadly", priority=9)
    assert claimed(ledger)[1] == "deadly"


def test_a_worker_that_dies_after_a_trial_has_ended_does_not_count_against_its_sweep(ledger: Ledger) -> None:
    submit(ledger, budget={"trials": 20})
    for number in range(2 * MAX_DEATHS):
        lease, _ = claimed(ledger, owner=gone())
        train(lease, 0.5, first=number)

    assert claimed(ledger)[1] == "digits"


def test_what_a_dead_worker_left_is_claimed_again_and_its_trials_are_queued(ledger: Ledger) -> None:
    submit(ledger)
    dead, _ = claimed(ledger, owner=gone())
    write(dead).advance([], [Asked(Suggestion(0, {"dropout": 0.0}, 7), {})], {})
    write(dead).start(0, 1)
    assert ledger.sweep("digits").state is SweepState.QUEUED

    alive, name = claimed(ledger)

    assert (name, ledger.trial("digits", 0).state) == ("digits", State.QUEUED)
    with pytest.raises(LeaseLostError):
        dead.renew()
    assert alive.renew()[0] is False


def test_a_sweep_that_somebody_runs_by_hand_is_not_the_workers(ledger: Ledger) -> None:
    submit(ledger)
    ledger.begin(new(), owner=gone())

    assert ledger.sweep("digits").state is SweepState.INTERRUPTED
    assert ledger.claim() is None


def test_a_sweep_that_is_handed_back_keeps_its_place(ledger: Ledger) -> None:
    submit(ledger, "first")
    submit(ledger, "second")
    lease, _ = claimed(ledger)

    lease.end(SweepState.QUEUED)

    assert ledger.sweep("first").ended_at is None
    assert claimed(ledger)[1] == "first"


def test_the_data_are_noted_by_the_first_worker_and_compared_by_later_ones(ledger: Ledger) -> None:
    submit(ledger)
    lease, _ = claimed(ledger)
    opened = replace(new(), data=DATA, trainer="array", slots=4)

    ledger.store_data(lease, opened)

    sweep = ledger.sweep("digits")
    assert (sweep.data["n_train"], sweep.trainer, sweep.slots) == (60, "array", 4)
    ledger.store_data(lease, opened)
    again = ledger.sweep("digits")
    assert again == replace(sweep, seconds=again.seconds)
    with pytest.raises(SweepConflictError, match="data at sklearn:digits have changed"):
        ledger.store_data(lease, replace(opened, data=replace(DATA, fingerprint="0" * 64)))


def test_running_a_queued_sweep_by_hand_notes_its_data(ledger: Ledger) -> None:
    submit(ledger)

    ledger.begin(replace(new(), data=DATA, trainer="fit"))

    assert (ledger.sweep("digits").data["n_test"], ledger.sweep("digits").trainer) == (20, "fit")


def test_a_lease_is_renewed_while_the_data_are_loaded_which_does_not_count_as_the_sweeps_time(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnnsweep.ledger.lease.PROLONG_SECONDS", 0.01)
    submit(ledger)
    lease, _ = claimed(ledger)

    with lease.prolonged():
        assert wait_until(lambda: last_turn(ledger) >= 3)
    lease.start_counting()
    lease.renew()

    assert lease.spent_seconds() == pytest.approx(0.0, abs=0.01)


def test_a_server_that_is_cut_off_is_noticed_and_the_address_has_the_last_word(postgresql: postgres.Server) -> None:
    def told(url: str) -> dict[str, str]:
        with closing(Ledger.open(url, create=True)) as opened, opened._database.read() as connection:
            driver: Any = connection.connection.driver_connection
            return dict(driver.info.get_parameters())

    url = postgresql.database()
    known = {name: str(value) for name, value in database.LIBPQ.items()}
    assert known.items() <= told(url).items()
    assert told(f"{url}?keepalives_idle=77").items() >= {**known, "keepalives_idle": "77"}.items()


# -- stopping -------------------------------------------------------------------------------------------------------


def test_a_sweep_that_waits_is_stopped_at_once_and_is_not_claimed(ledger: Ledger) -> None:
    submit(ledger)

    assert ledger.request_stop("digits") is True

    assert ledger.sweep("digits").state is SweepState.STOPPED
    assert ledger.claim() is None


def test_a_stop_that_a_worker_did_not_live_to_obey_is_obeyed_by_the_next(ledger: Ledger, clock: FakeClock) -> None:
    submit(ledger, "stopped")
    submit(ledger, "next")
    claimed(ledger, owner=SOMEBODY_ELSE)
    assert ledger.request_stop("stopped") is True
    watch_for(ledger, clock)

    assert claimed(ledger)[1] == "next"
    assert ledger.sweep("stopped").state is SweepState.STOPPED


def test_a_stop_that_a_worker_has_not_seen_when_it_hands_its_sweep_back_is_obeyed(ledger: Ledger) -> None:
    submit(ledger)
    lease, _ = claimed(ledger)
    ledger.request_stop("digits")

    assert lease.end(SweepState.QUEUED) is SweepState.STOPPED

    sweep = ledger.sweep("digits")
    assert (sweep.state, sweep.ended_at is None) == (SweepState.STOPPED, False)
    assert ledger.events("digits")[-1].detail == "stopped"
    assert ledger.claim() is None


def test_a_sweep_that_is_submitted_again_before_it_has_stopped_goes_on(ledger: Ledger) -> None:
    submit(ledger)
    lease, _ = claimed(ledger)
    ledger.request_stop("digits")
    assert lease.renew()[0] is True

    submit(ledger)

    assert lease.renew()[0] is False
    assert [event.kind.value for event in ledger.events("digits")][-2:] == ["stop requested", "queued"]
    assert lease.end(SweepState.STOPPED) is SweepState.QUEUED  # its worker had seen the stop already
    assert claimed(ledger)[1] == "digits"


def test_a_sweep_whose_worker_died_goes_on_when_it_is_submitted_after_its_stop(
    ledger: Ledger, clock: FakeClock
) -> None:
    submit(ledger)
    claimed(ledger, owner=SOMEBODY_ELSE)
    ledger.request_stop("digits")
    watch_for(ledger, clock)

    submit(ledger)

    assert claimed(ledger)[1] == "digits"


# -- pages ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def look(ledger: Ledger) -> Callable[..., Any]:
    def sweeps(**arguments: Any) -> tuple[list[str], int]:
        page = ledger.sweep_page(**arguments)
        return [sweep.name for sweep in page.items], page.total

    return sweeps


def test_sweeps_are_paged_and_chosen_by_where_they_stand(ledger: Ledger, look: Callable[..., Any]) -> None:
    for name in ("a", "b", "c", "d"):
        submit(ledger, name)
    claimed(ledger, owner=SOMEBODY_ELSE)
    claimed(ledger, owner=gone())
    ledger.request_stop("d")
    ledger.begin(new("c"), owner=gone())

    assert look() == (["a", "b", "c", "d"], 4)
    assert look(limit=2, offset=1) == (["b", "c"], 4)
    assert look(state=SweepState.RUNNING) == (["a"], 1)
    assert look(state=SweepState.QUEUED) == (["b"], 1)
    assert look(state=SweepState.INTERRUPTED) == (["c"], 1)
    assert look(state=SweepState.STOPPED) == (["d"], 1)
    assert look(state=SweepState.COMPLETE) == ([], 0)


def counted_anew(ledger: Ledger) -> list[Sweep]:
    with ledger._database.read() as connection:
        return queries.read_sweeps(connection, ledger._watch)


def test_what_was_read_before_is_read_anew_once_it_has_changed(ledger: Ledger) -> None:
    submit(ledger)
    lease, _ = claimed(ledger)
    for step in (
        lambda: None,
        lambda: train(lease, 0.5),
        lambda: train(lease, 0.9, 0.1, first=1),
        lambda: ledger.request_stop("digits"),
        lambda: lease.end(SweepState.STOPPED),
        lambda: ledger.submit(new(budget={"trials": 7}), is_restricted=False),
        lambda: ledger.mark_complete("digits", new(budget={"trials": 3}).spec),
        lambda: ledger.outbox.set_run(lease.sweep_id, -1, "run"),
    ):
        step()
        assert [ledger.sweep("digits")] == ledger.sweeps() == counted_anew(ledger)


def test_more_sweeps_than_are_kept_are_shown_all_the_same(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_cache, "MAX_KEPT", 3)
    for name in "abcde":
        submit(ledger, name)
        assert ledger.sweeps() == counted_anew(ledger)

    submit(ledger, "b", budget={"trials": 9})

    assert ledger.sweeps() == counted_anew(ledger)
    assert len(ledger._cache._kept) == 3


def test_trials_are_ordered_and_cut_by_the_database(ledger: Ledger) -> None:
    submit(ledger)
    lease, _ = claimed(ledger)
    train(lease, 0.3, 0.9, 0.5)
    write(lease).advance([], [Asked(Suggestion(3, {"dropout": 0.3}, 3), {})], {})

    def numbers(order: str, **arguments: Any) -> list[int]:
        page = ledger.trial_page("digits", order=order, **arguments)
        return [trial.number for trial in page.items]

    assert numbers("number") == [0, 1, 2, 3]
    assert numbers("-number", limit=2) == [3, 2]
    assert numbers("value") == [0, 2, 1, 3]  # the one without a value last, both ways
    assert numbers("-value") == [1, 2, 0, 3]
    assert numbers("-value", limit=2, offset=1) == [2, 0]
    page = ledger.trial_page("digits", "value > 0.4", limit=1)
    assert ([trial.number for trial in page.items], page.total) == ([1], 2)
    for limit, offset in ((10, 0), (10, 3), (4, 0), (2, 2), (2, 3), (None, 0), (None, 1), (3, 9), (None, 9)):
        assert ledger.trial_page("digits", limit=limit, offset=offset).total == 4
    with pytest.raises(QueryError, match="did you mean value"):
        ledger.trial_page("digits", order="valeu")
