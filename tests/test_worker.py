"""What a worker does between sweeps, and what it lets a sweep use; whole workers are in `acceptance/test_worker.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_mlflow import FakeMlflow, use_fake_mlflow
from serving import settings_of, sweep
from turns import write

from dnnsweep import spec
from dnnsweep.errors import DataError, LedgerAwayError
from dnnsweep.executors import ExecutorKind
from dnnsweep.executors.local import n_cores
from dnnsweep.ledger import Asked
from dnnsweep.records import Curve, Reason, Series, Suggestion, Sweep, SweepState, TrialResult
from dnnsweep.runner import claim
from dnnsweep.runner.worker import Worker, WorkerOptions
from dnnsweep.settings import Limits
from dnnsweep.stores.local import LocalStore
from dnnsweep.trainers import TrainerReady


@pytest.fixture
def home(tmp_path: Path) -> Iterator[LocalStore]:
    with LocalStore.opened(settings_of(tmp_path), create=True) as made:
        yield made


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    use_fake_mlflow(monkeypatch)
    return Worker(settings_of(tmp_path), Limits(), WorkerOptions(ExecutorKind.LOCAL, None, 30.0), lambda _: None)


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
    worker._deliver(home.ledger)

    assert home.ledger.outbox.count() == 0
    assert {page.name for page in FakeMlflow.pages.values() if page.experiment == "ended"} >= {"ended"}
    assert {page.experiment for page in FakeMlflow.pages.values()} == {"ended"}


def test_it_leaves_alone_what_another_process_delivers(worker: Worker, home: LocalStore) -> None:
    trained(home, "running", SweepState.RUNNING)
    worker._deliver(home.ledger)

    assert FakeMlflow.pages == {}


def test_runs_of_a_sweep_that_was_deleted_over_the_network_go_too(worker: Worker, home: LocalStore) -> None:
    trained(home, "ended", SweepState.COMPLETE)
    worker._deliver(home.ledger)
    assert len(FakeMlflow.pages) == 2

    assert home.delete("ended") is False
    worker._delivered_at -= 60
    worker._deliver(home.ledger)

    assert FakeMlflow.pages == {}


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


class LoadingExecutor:
    """Its trainer loads data until somebody gives up; what happens in each moment is given."""

    def __init__(self, *moments: Callable[[], object]) -> None:
        self._moments = moments
        self.is_closed = False

    def open(self, on_wait: Callable[[], None]) -> TrainerReady:
        for happen in self._moments:
            happen()
            on_wait()
        raise DataError([])

    def close(self) -> None:
        self.is_closed = True


def loaded(worker: Worker, home: LocalStore, monkeypatch: pytest.MonkeyPatch, *moments: Callable[[], object]) -> Sweep:
    """Return a sweep as a worker leaves it that has loaded its data."""
    executor = LoadingExecutor(*moments)
    monkeypatch.setattr(claim, "create_executor", lambda *_, **__: executor)
    home.submit(sweep("slow"))
    worker._claim_or_deliver(home.ledger)
    assert executor.is_closed
    return home.sweep("slow")


def test_a_stop_is_obeyed_while_data_load(worker: Worker, home: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "LOOK_SECONDS", 0.0)
    left = loaded(worker, home, monkeypatch, lambda: home.stop("slow"), lambda: pytest.fail("it loads on"))

    assert (left.state, left.error) == (SweepState.STOPPED, None)
    assert home.submit(sweep("slow")).state is SweepState.QUEUED


def test_a_stop_that_was_withdrawn_meanwhile_queues_the_sweep_again(
    worker: Worker, home: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "LOOK_SECONDS", 0.0)
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
    check = claim.StopCheck(lease, lambda: next(moments))
    check.look()  # half a second later
    check.look()  # a second later
    home.stop("slow")
    with pytest.raises(claim.StopRequestedError):
        check.look()
    assert lease.n_asked == 2
