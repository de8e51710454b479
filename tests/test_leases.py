"""Leases whatever the clocks say: each host's time of day is its own, and only silence that was watched counts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_clock import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from leases import SOMEBODY_ELSE, gone, watch_for
from sqlalchemy import delete, select
from test_ledger import NEW, ask, finish
from test_submissions import claimed, new, submit
from workspace import is_alive, wait_until

from dnnsweep.errors import LeaseLostError, SweepHeldError
from dnnsweep.ledger import PARENT, Lease, LeaseWatch, Ledger, clock, owners
from dnnsweep.ledger.database import open_database
from dnnsweep.ledger.outbox import CLAIM_SECONDS
from dnnsweep.ledger.tables import SweepRow
from dnnsweep.ledger.watch import LEASE_SECONDS, MAX_GAP_SECONDS
from dnnsweep.records import State, SweepState

SKEWS = (-200, -60, 60, 200)
Shift = Callable[[float], None]


@pytest.fixture
def shift(monkeypatch: pytest.MonkeyPatch) -> Shift:
    """Return a function that sets this process's time of day to so many seconds ahead of the right one."""
    right = time.time_ns

    def set_ahead(seconds: float) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: right() + int(seconds * 1e9))
        monkeypatch.setattr(time, "time", lambda: right() / 1e9 + seconds)

    return set_ahead


@pytest.fixture
def watching() -> FakeClock:
    return FakeClock()


#: For what depends on whose clock sets a ledger's times, and on how rows are locked.
ON_BOTH = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if getattr(request, "param", "sqlite") == "postgresql":
        made: str = request.getfixturevalue("postgresql").database()
        return made
    return f"sqlite:///{tmp_path / 'dnnsweep.db'}"


@pytest.fixture
def ledger(url: str, watching: FakeClock) -> Iterator[Ledger]:
    opened = Ledger.open(url, create=True, watch=LeaseWatch(watching))
    yield opened
    opened.close()


def is_postgresql(ledger: Ledger) -> bool:
    return ledger._database.engine.dialect.name == "postgresql"


# -- whatever the time of day is ------------------------------------------------------------------------------------


@ON_BOTH
@pytest.mark.parametrize("skew", [-200, 200])
def test_a_lease_that_is_renewed_is_nobody_elses_whatever_the_clock_of_who_looks(
    ledger: Ledger, watching: FakeClock, shift: Shift, skew: int
) -> None:
    submit(ledger)
    lease, _ = claimed(ledger, owner=SOMEBODY_ELSE)
    for ahead in (skew, 0, -skew, skew):
        shift(0)
        lease.renew()
        shift(ahead)
        watch_for(ledger, watching, 4)

        assert ledger.claim() is None
        assert ledger.sweep("digits").state is SweepState.RUNNING
        assert [sweep.name for sweep in ledger.sweeps(SweepState.RUNNING)] == ["digits"]
        for refused in (lambda: ledger.delete("digits"), lambda: ledger.begin(new())):
            with pytest.raises(SweepHeldError, match="process 1 on another-host"):
                refused()
    assert ledger.request_stop("digits") is True
    assert lease.renew()[0] is True


@pytest.mark.parametrize("skew", SKEWS)
def test_a_holder_that_is_silent_is_replaced_after_one_lease_whatever_its_clock(
    ledger: Ledger, watching: FakeClock, shift: Shift, skew: int
) -> None:
    submit(ledger)
    shift(skew)
    silent, _ = claimed(ledger, owner=SOMEBODY_ELSE)
    shift(0)
    watch_for(ledger, watching, LEASE_SECONDS - 1)
    assert ledger.claim() is None
    watching.advance(1)

    assert claimed(ledger)[1] == "digits"
    with pytest.raises(LeaseLostError):
        silent.renew()


def test_a_first_look_takes_nothing_however_long_ago_the_lease_was_renewed(
    ledger: Ledger, watching: FakeClock, shift: Shift
) -> None:
    submit(ledger)
    claimed(ledger, owner=SOMEBODY_ELSE)
    shift(86_400)
    watching.advance(86_400)

    assert ledger.claim() is None
    with pytest.raises(SweepHeldError, match="must be watched for 15 seconds") as held:
        ledger.delete("digits")
    assert held.value.is_certain is False


def test_a_holder_that_was_seen_to_renew_is_known_to_run(ledger: Ledger, watching: FakeClock) -> None:
    lease = ledger.begin(NEW, owner=SOMEBODY_ELSE)
    watch_for(ledger, watching, 2)
    lease.renew()

    with pytest.raises(SweepHeldError, match="wait for it with --wait") as held:
        ledger.delete("digits")
    assert held.value.is_certain is True


def test_time_in_which_nobody_looked_does_not_count_as_silence(ledger: Ledger, watching: FakeClock) -> None:
    """The database was away, or the machine slept: the holder was kept from renewing as well."""
    submit(ledger)
    claimed(ledger, owner=SOMEBODY_ELSE)
    watch_for(ledger, watching, 2)
    watching.advance(3600)

    assert ledger.claim() is None
    watch_for(ledger, watching, LEASE_SECONDS - MAX_GAP_SECONDS - 3)
    assert ledger.claim() is None
    watch_for(ledger, watching, 1)
    assert claimed(ledger)[1] == "digits"


@ON_BOTH
def test_a_lease_that_is_renewed_while_it_is_taken_stays_with_its_holder(ledger: Ledger, watching: FakeClock) -> None:
    submit(ledger)
    lease, _ = claimed(ledger, owner=SOMEBODY_ELSE)
    watch_for(ledger, watching)
    with ledger._database.read() as connection:
        is_free = ledger._watch.free_condition(connection)
        assert [row.name for row in connection.execute(select(SweepRow.name).where(is_free))] == ["digits"]
    lease.renew()

    with ledger._database.read() as connection:
        assert connection.execute(select(SweepRow.name).where(is_free)).all() == []
    assert ledger.claim() is None


def test_a_sweep_whose_lost_lease_was_withdrawn_by_a_new_budget_need_not_be_watched_again(
    ledger: Ledger, watching: FakeClock
) -> None:
    submit(ledger)
    claimed(ledger, owner=SOMEBODY_ELSE)
    watch_for(ledger, watching)

    submit(ledger, budget={"trials": 9})

    assert claimed(ledger)[1] == "digits"


def test_the_age_of_a_lease_is_how_long_it_was_seen_not_to_be_renewed(
    ledger: Ledger, watching: FakeClock, shift: Shift
) -> None:
    ledger.begin(NEW, owner=SOMEBODY_ELSE)
    shift(200)
    assert ledger.stats().lease_seconds == 0
    watch_for(ledger, watching, 7)

    assert ledger.stats().lease_seconds == 7
    watch_for(ledger, watching, 9)
    assert ledger.stats().lease_seconds == 0  # that of a lease that is lost is of no interest


# -- the holder -----------------------------------------------------------------------------------------------------


def test_a_holder_that_was_held_up_asks_before_it_does_anything(ledger: Ledger, watching: FakeClock) -> None:
    old = ledger.begin(NEW, owner=SOMEBODY_ELSE)
    ask(old, 1)
    held_up = old._clock = FakeClock()
    old.renew()
    watch_for(ledger, watching)
    ledger.begin(NEW)
    held_up.advance(LEASE_SECONDS)
    done = []

    with pytest.raises(LeaseLostError, match="another controller took this sweep over"), old.turn():
        done.append("files were moved")

    assert done == []


def test_a_holder_that_was_held_up_goes_on_if_nobody_took_its_place(ledger: Ledger) -> None:
    lease = ledger.begin(NEW)
    held_up = lease._clock = FakeClock()
    lease.renew()
    held_up.advance(3600)

    ask(lease, 1)

    assert ledger.trial("digits", 0).state is State.QUEUED


def test_a_lease_is_renewed_by_another_thread_while_its_holder_is_busy(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnnsweep.ledger.lease.PROLONG_SECONDS", 0.01)
    lease = ledger.begin(NEW)
    with lease.prolonged():
        while lease._n_transactions < 3:
            time.sleep(0.01)
        finish_one(lease)
        lease.end(SweepState.COMPLETE)
        n_transactions = lease._n_transactions
        time.sleep(0.05)

    assert lease._n_transactions == n_transactions  # an ended sweep's lease is not renewed
    assert ledger.trial("digits", 0).value == 0.5


def finish_one(lease: Lease) -> None:
    ask(lease, 1)
    finish(lease, 0, 0.5)


# -- one-shot readers -----------------------------------------------------------------------------------------------


@ON_BOTH
@pytest.mark.parametrize(("ahead", "on_sqlite"), [(-200, "RUNNING"), (200, "RUNNING"), (1000, "INTERRUPTED")])
def test_a_reader_believes_the_servers_clock_or_much_time_by_its_own_and_takes_nothing_for_either(
    ledger: Ledger, shift: Shift, monkeypatch: pytest.MonkeyPatch, ahead: int, on_sqlite: str
) -> None:
    monkeypatch.setattr("dnnsweep.ledger.lease.LEASE_SECONDS", 0.0)
    ledger.begin(NEW, owner=SOMEBODY_ELSE)
    shift(ahead)

    shown = SweepState.INTERRUPTED if is_postgresql(ledger) else SweepState(on_sqlite)
    assert ledger.sweep("digits").state is shown
    assert [sweep.name for sweep in ledger.sweeps(shown)] == ["digits"]
    assert ledger.request_stop("digits") is (shown is SweepState.RUNNING)
    with pytest.raises(SweepHeldError):
        ledger.delete("digits")


def test_a_sweep_whose_machine_was_started_again_is_shown_as_interrupted(ledger: Ledger) -> None:
    host, _, process = owners.this_process().split(":")
    lease = ledger.begin(NEW, owner=f"{host}:0ther600t-4026531836:{process}")
    lease.renew()

    assert ledger.sweep("digits").state is SweepState.INTERRUPTED
    with pytest.raises(SweepHeldError):
        ledger.delete("digits")


@ON_BOTH
@pytest.mark.parametrize("skew", [-200, 200])
def test_times_are_the_servers_or_else_this_hosts(ledger: Ledger, shift: Shift, skew: int) -> None:
    right = time.time() * 1000
    shift(skew)
    lease = ledger.begin(NEW)
    finish_one(lease)
    lease.end(SweepState.COMPLETE)

    expected = right if is_postgresql(ledger) else right + skew * 1000
    sweep, trial = ledger.sweep("digits"), ledger.trial("digits", 0)
    stored = [sweep.created_at, sweep.ended_at, trial.started_at, trial.ended_at]
    stored += [event.time for event in ledger.events("digits")]
    for moment in stored:
        assert moment is not None
        assert abs(moment - expected) < 50_000


def test_a_moment_is_stored_as_when_it_was_whatever_the_clock_was_set_to_since(
    ledger: Ledger, shift: Shift, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = FakeClock()
    monkeypatch.setattr(clock, "boot_seconds", counting)
    moment = clock.Moment()
    counting.advance(30)
    shift(-200)

    with ledger._database.read() as connection:
        assert clock.now_ms(connection) - moment.ms(connection) == pytest.approx(30_000, abs=20)


# -- processes of this machine --------------------------------------------------------------------------------------


def test_a_process_is_not_taken_for_an_earlier_one_with_its_number() -> None:
    assert not owners.is_gone(owners.this_process())
    assert owners.is_gone(gone())
    assert not owners.is_gone(owners.this_process().partition("@")[0])  # as an older dnnsweep stored it
    assert not owners.is_gone(SOMEBODY_ELSE)
    assert (owners.is_here(owners.this_process()), owners.is_here(gone()), owners.is_here(SOMEBODY_ELSE)) == (
        True,
        False,
        False,
    )


def test_a_dead_process_that_nobody_has_waited_for_is_gone() -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert dead.stdout is not None
    dead.stdout.read()  # until it has closed its output
    machine = owners.this_process().rpartition(":")[0]
    try:
        assert wait_until(lambda: not is_alive(dead.pid))
        assert owners.is_gone(f"{machine}:{dead.pid}")
    finally:
        dead.wait()
        dead.stdout.close()


# -- the outbox and the queue ---------------------------------------------------------------------------------------


def neighbour(monkeypatch: pytest.MonkeyPatch, name: str = "neighbour") -> None:
    """Let what is claimed from now on be claimed by another process of this machine, which exists."""
    monkeypatch.setattr(owners, "this_process", lambda: name)
    monkeypatch.setattr(owners, "is_here", lambda owner: owner == "first")


@ON_BOTH
@pytest.mark.parametrize("skew", [-200, 200])
def test_what_another_process_of_this_machine_is_sending_is_not_sent_twice(
    ledger: Ledger, shift: Shift, monkeypatch: pytest.MonkeyPatch, skew: int
) -> None:
    lease = ledger.begin(NEW)
    neighbour(monkeypatch, "first")
    assert [entry.number for entry in ledger.outbox.claim(9, lease.sweep_id)] == [PARENT]
    neighbour(monkeypatch)
    shift(skew)

    assert ledger.outbox.claim(9, lease.sweep_id) == []

    counting = FakeClock()
    monkeypatch.setattr(time, "monotonic", counting)
    shift(CLAIM_SECONDS + 1)
    ledger.outbox._claims.clear()
    assert ledger.outbox.claim(9, lease.sweep_id) == []
    counting.advance(CLAIM_SECONDS)
    if not is_postgresql(ledger):  # whose own clock says that the claim holds
        assert [entry.number for entry in ledger.outbox.claim(9, lease.sweep_id)] == [PARENT]


@ON_BOTH
def test_an_entry_that_waits_by_a_clock_that_was_ahead_does_not_wait_longer_for_it(
    ledger: Ledger, shift: Shift
) -> None:
    lease = ledger.begin(NEW)
    shift(200)
    entry = ledger.outbox.claim(9, lease.sweep_id)[0]
    ledger.outbox.postpone(entry, "down", 30)
    shift(0)

    expected = 30 if is_postgresql(ledger) else 0
    assert ledger.outbox.seconds_to_next(lease.sweep_id) == pytest.approx(expected, abs=20)
    assert len(ledger.outbox.claim(9, lease.sweep_id)) == (0 if is_postgresql(ledger) else 1)


def test_whoever_was_submitted_first_is_first_though_the_clock_went_back(ledger: Ledger, shift: Shift) -> None:
    for name, ahead in (("first", 200), ("second", 0), ("third", -200)):
        shift(ahead)
        submit(ledger, name)

    assert [claimed(ledger)[1] for _ in range(3)] == ["first", "second", "third"]


# -- any interleaving -----------------------------------------------------------------------------------------------


@dataclass
class Worker:
    """A worker on a host of its own: its time of day and its monotonic clock have nothing to do with anybody else's."""

    name: str
    ledger: Ledger
    clock: FakeClock
    lease: Lease | None = None
    ahead: float = 0.0
    is_paused: bool = False
    is_dead: bool = False


@dataclass(frozen=True)
class Step:
    """What happens to one worker, and for how many seconds nothing else does."""

    worker: int
    what: str
    seconds: int


STEPS = st.builds(
    Step,
    worker=st.integers(0, 2),
    what=st.sampled_from(("pause", "continue", "die", "nothing", *(f"jump {skew}" for skew in (-200, -17, 17, 200)))),
    seconds=st.integers(1, 20),
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Any]:
    made = open_database("sqlite://", create=True)
    yield made
    made.close()


@given(steps=st.lists(STEPS, min_size=2, max_size=8), skews=st.tuples(*[st.sampled_from((0, *SKEWS))] * 3))
def test_no_two_workers_write_none_that_lives_loses_and_the_dead_are_replaced(
    shared: Any, steps: list[Step], skews: tuple[int, ...]
) -> None:
    workers = []
    for index, skew in enumerate(skews):
        ticking = FakeClock()
        ticking.now = 1000.0 * (index + 1)
        watch = LeaseWatch(ticking)
        workers.append(Worker(f"host-{index}:1", Ledger(shared, watch), ticking, ahead=skew))
    first = workers[0].ledger
    with shared.write() as connection:
        connection.execute(delete(SweepRow))
    submit(first)
    unheld_seconds = 0
    with pytest.MonkeyPatch.context() as patch:
        right = 1_700_000_000.0
        for step in steps:
            worker = workers[step.worker]
            worker.is_dead |= step.what == "die"
            worker.is_paused = step.what == "pause" if step.what in ("pause", "continue") else worker.is_paused
            worker.ahead += float(step.what.split()[1]) if step.what.startswith("jump") else 0.0
            for _ in range(step.seconds):
                right += 1
                for each in workers:
                    each.clock.advance(1)
                    patch.setattr(time, "time_ns", lambda now=right + each.ahead: int(now * 1e9))
                    if not (each.is_paused or each.is_dead):
                        act(each, workers)
                can_act = [each for each in workers if not (each.is_paused or each.is_dead)]
                is_held = any(each.lease is not None for each in can_act)
                unheld_seconds = 0 if is_held or not can_act else unheld_seconds + 1
                assert unheld_seconds <= 2 * LEASE_SECONDS


def act(worker: Worker, workers: list[Worker]) -> None:
    """Let a worker do in a second what it does: renew and write, or look for a sweep."""
    if worker.lease is None:
        found = worker.ledger.claim(owner=worker.name)
        if found is not None:
            worker.lease = found[0]
            alive = [each for each in workers if each.lease and not (each.is_paused or each.is_dead)]
            assert alive == [worker], "a sweep was taken from a worker that lives"
        return
    newest = max(each.lease.token for each in workers if each.lease)
    try:
        worker.lease.renew()
    except LeaseLostError:
        assert worker.lease.token < newest, "a write was refused though nobody had taken the sweep over"
        worker.lease = None
    else:
        assert worker.lease.token == newest, "a write was accepted though another worker had taken the sweep over"
