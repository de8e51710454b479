"""What a worker does between sweeps, and what it lets a sweep use; whole workers are in `acceptance/test_worker.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_mlflow import FakeMlflow, use_fake_mlflow
from loading_executor import LoadingExecutor
from serving import settings_of, sweep
from turns import write

from dnnsweep import spec
from dnnsweep.errors import LedgerAwayError
from dnnsweep.executors import ExecutorKind
from dnnsweep.executors.local import n_cores
from dnnsweep.ledger import Asked
from dnnsweep.profiling import Profile
from dnnsweep.records import Curve, Reason, Series, Suggestion, Sweep, SweepState, TrialResult
from dnnsweep.runner import claim, loading
from dnnsweep.runner.shipping import (
    COMPLETE_WAIT_SECONDS,
    FIRST_WAIT_SECONDS,
    INTERRUPTED_WAIT_SECONDS,
    UNOWNED,
    RunShipping,
    WorkerShipping,
)
from dnnsweep.runner.worker import Worker, WorkerOptions
from dnnsweep.settings import Limits
from dnnsweep.stores.local import LocalStore


@pytest.fixture
def home(tmp_path: Path) -> Iterator[LocalStore]:
    with LocalStore.opened(settings_of(tmp_path), create=True) as made:
        yield made


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    use_fake_mlflow(monkeypatch)
    return Worker(settings_of(tmp_path), Limits(), WorkerOptions(ExecutorKind.LOCAL, None, 30.0), lambda _: None)


def deliver(worker: Worker, home: LocalStore) -> None:
    """Let an idle worker begin to deliver, and wait until it has."""
    worker._delivered_at -= 60
    worker._deliver(home.ledger)
    worker._shipping.close(60)


def trained(home: LocalStore, name: str, state: SweepState) -> None:
    home.submit(sweep(name))
    claimed = home.ledger.claim()
    assert claimed is not None
    lease = claimed[0]
    write(lease).advance([], [Asked(Suggestion(0, {"dropout": 0.1}, 0), {})], {})
    write(lease).start(0, 1)
    curve = Curve((Series("val_loss", (0.5,)),), (1000,))
    write(lease).finish(TrialResult(0, 1, Reason.COMPLETED, curve, 1, 1.0), (0.5,), {"val_loss": 0.5})
    if state is not SweepState.RUNNING:
        lease.end(state)


def test_an_idle_worker_brings_to_mlflow_what_nobody_else_does(worker: Worker, home: LocalStore) -> None:
    trained(home, "ended", SweepState.COMPLETE)
    home.submit(sweep("next"))  # of which there is nothing to show
    deliver(worker, home)

    assert home.ledger.outbox.count() == 0
    assert {page.name for page in FakeMlflow.pages.values() if page.experiment == "ended"} >= {"ended"}
    assert {page.experiment for page in FakeMlflow.pages.values()} == {"ended"}


def test_it_leaves_alone_what_another_process_delivers(worker: Worker, home: LocalStore) -> None:
    trained(home, "running", SweepState.RUNNING)
    deliver(worker, home)

    assert FakeMlflow.pages == {}


def test_runs_of_a_sweep_that_was_deleted_over_the_network_go_too(worker: Worker, home: LocalStore) -> None:
    trained(home, "ended", SweepState.COMPLETE)
    deliver(worker, home)
    assert len(FakeMlflow.pages) == 2

    assert home.delete("ended") is False
    deliver(worker, home)

    assert FakeMlflow.pages == {}


@pytest.fixture
def shippers(monkeypatch: pytest.MonkeyPatch) -> list[SlowShipper]:
    """The shippers that are started, which deliver nothing before they are told to."""
    made: list[SlowShipper] = []
    monkeypatch.setattr("dnnsweep.runner.shipping.ShipperProcess", lambda *words: SlowShipper(made, *words))
    return made


class SlowShipper:
    """Stands in for a process that has not imported MLflow yet."""

    def __init__(self, made: list[SlowShipper], _: object, sweep_id: str, __: object) -> None:
        made.append(self)
        self.served = [sweep_id]
        self.is_alive = True
        self.closed: list[float] = []

    def start(self) -> None:
        pass

    def serve(self, sweep_id: str) -> None:
        self.served.append(sweep_id)

    def close(self, seconds: float, first_seconds: float = 0.0) -> None:
        self.closed.append(max(seconds, first_seconds))


@pytest.mark.parametrize("grace", [0.0, 2.0, 30.0])
def test_however_short_its_grace_a_worker_lets_a_delivery_go_on_until_nothing_is_left(
    tmp_path: Path, home: LocalStore, shippers: list[SlowShipper], grace: float
) -> None:
    worker = Worker(settings_of(tmp_path), Limits(), WorkerOptions(ExecutorKind.LOCAL, None, grace), lambda _: None)
    trained(home, "ended", SweepState.COMPLETE)
    for _ in range(3):
        worker._delivered_at -= 60
        worker._deliver(home.ledger)
    assert [shipper.closed for shipper in shippers] == [[]]

    for entry in home.ledger.outbox.claim(9):
        home.ledger.outbox.remove_sent(entry, "run")
    worker._delivered_at -= 60
    worker._deliver(home.ledger)
    assert len(shippers[0].closed) == 1


def test_one_delivery_goes_on_from_sweep_to_sweep(
    tmp_path: Path, home: LocalStore, shippers: list[SlowShipper]
) -> None:
    shipping = WorkerShipping(ExecutorKind.LOCAL, settings_of(tmp_path))
    for sweep_id in ("first", "second"):
        shipping.begin(home.ledger, sweep_id, Profile())
        shipping.end(SweepState.COMPLETE)

    assert [shipper.served for shipper in shippers] == [["first", UNOWNED, "second", UNOWNED]]
    assert shippers[0].closed == []  # nobody waits for MLflow

    shippers[0].is_alive = False  # its process was killed too often
    shipping.begin(home.ledger, "third", Profile())
    assert shippers[1].served == ["third"]


@pytest.mark.parametrize("grace", [0.0, 1.0, 60.0])
def test_a_worker_that_ends_waits_for_mlflow_no_longer_than_its_grace(
    tmp_path: Path, home: LocalStore, shippers: list[SlowShipper], grace: float
) -> None:
    worker = Worker(settings_of(tmp_path), Limits(), WorkerOptions(ExecutorKind.LOCAL, None, grace), lambda _: None)
    trained(home, "ended", SweepState.COMPLETE)
    worker._deliver(home.ledger)
    worker._shutdown.request()

    worker.run()

    assert max(shippers[0].closed) <= min(grace, INTERRUPTED_WAIT_SECONDS)


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        (SweepState.COMPLETE, COMPLETE_WAIT_SECONDS),
        (SweepState.STOPPED, COMPLETE_WAIT_SECONDS),
        (SweepState.INTERRUPTED, FIRST_WAIT_SECONDS),
    ],
)
def test_a_run_waits_for_mlflow_at_least_until_something_was_delivered(
    tmp_path: Path, home: LocalStore, shippers: list[SlowShipper], state: SweepState, seconds: float
) -> None:
    shipping = RunShipping(ExecutorKind.LOCAL, settings_of(tmp_path))
    shipping.begin(home.ledger, "mine", Profile())
    shipping.end(state)

    assert shippers[0].closed == [seconds]


@pytest.mark.parametrize(
    ("wanted", "own", "is_restricted", "n_trainers"),
    [
        (None, None, True, None),
        (1024, None, True, n_cores()),
        (1024, None, False, 1024),
        (1024, 3, True, 3),
        (None, 3, False, 3),
        (1, None, True, 1),
    ],
)
def test_a_sweep_that_came_over_the_network_starts_no_more_trainers_than_there_are_cores(
    tmp_path: Path, wanted: int | None, own: int | None, *, is_restricted: bool, n_trainers: int | None
) -> None:
    made = Worker(settings_of(tmp_path), Limits(), WorkerOptions(ExecutorKind.LOCAL, own, 30.0), lambda _: None)
    checked = spec.check(sweep(resources={} if wanted is None else {"trainers": wanted}))

    assert made._allowed_trainers(checked, is_restricted=is_restricted) == n_trainers


def test_a_worker_that_is_asked_to_end_before_it_began_ends(worker: Worker, home: LocalStore) -> None:
    home.submit(sweep())
    worker._shutdown.request()

    worker.run()

    assert home.sweep("pretend").state is SweepState.QUEUED


def loaded(worker: Worker, home: LocalStore, monkeypatch: pytest.MonkeyPatch, *moments: Callable[[], object]) -> Sweep:
    """Return a sweep as a worker leaves it that has loaded its data."""
    executor = LoadingExecutor(*moments)
    monkeypatch.setattr(claim, "create_executor", lambda *_, **__: executor)
    home.submit(sweep("slow"))
    worker._claim_or_deliver(home.ledger)
    assert executor.is_closed
    return home.sweep("slow")


def test_a_stop_is_obeyed_while_data_load(worker: Worker, home: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LOOK_SECONDS", 0.0)
    left = loaded(worker, home, monkeypatch, lambda: home.stop("slow"), lambda: pytest.fail("it loads on"))

    assert (left.state, left.error) == (SweepState.STOPPED, None)
    assert home.submit(sweep("slow")).state is SweepState.QUEUED


def test_a_stop_that_was_withdrawn_meanwhile_queues_the_sweep_again(
    worker: Worker, home: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "LOOK_SECONDS", 0.0)
    close = LoadingExecutor.close
    monkeypatch.setattr(LoadingExecutor, "close", lambda self: (home.submit(sweep("slow")), close(self)))

    assert loaded(worker, home, monkeypatch, lambda: home.stop("slow")).state is SweepState.QUEUED


def test_a_ledger_that_is_away_does_not_end_the_loading_of_data(home: LocalStore) -> None:
    home.submit(sweep("slow"))
    claimed = home.ledger.claim()
    assert claimed is not None
    held, _ = claimed
    moments = iter((0.0, 0.5, 1.0, 1.0, 2.5, 2.5))

    class AwayLease:
        n_asked = 0

        def is_stop_requested(self) -> bool:
            self.n_asked += 1
            if self.n_asked == 1:
                raise LedgerAwayError("for a moment")
            return held.is_stop_requested()

    lease: Any = AwayLease()
    check = loading.StopCheck(lease, lambda: next(moments))
    check.look()  # half a second later
    check.look()  # a second later
    home.stop("slow")
    with pytest.raises(loading.StopRequestedError):
        check.look()
    assert lease.n_asked == 2
