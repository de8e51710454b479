"""What a worker does between sweeps, and what it lets a sweep use; whole workers are in `acceptance/test_worker.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_mlflow import FakeMlflow, use_fake_mlflow
from serving import settings_of, sweep
from turns import write

from dnnsweep import spec
from dnnsweep.executors import ExecutorKind
from dnnsweep.executors.local import n_cores
from dnnsweep.ledger import Asked
from dnnsweep.records import Curve, Reason, Series, Suggestion, SweepState, TrialResult
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


def trained(home: LocalStore, name: str, state: SweepState) -> None:
    home.submit(sweep(name))
    claim = home.ledger.claim()
    assert claim is not None
    lease = claim[0]
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
