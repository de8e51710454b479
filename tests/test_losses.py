"""What MLflow loses, doubles or refuses behind the shipper's back: noticed, said, and sent again from the ledger."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_mlflow import state_of
from test_ledger import NEW, ask, finish

from dnnsweep.delivery.shipper import OutboxSender, Shipper, deliver_all
from dnnsweep.errors import ArtifactError, TrackingError
from dnnsweep.ledger import PARENT, Lease, Ledger
from dnnsweep.records import SweepState
from dnnsweep.settings import find_settings
from dnnsweep.tracking.page import ModelPage, RunPage, RunState

SETTINGS = find_settings("home", {})


class MemoryMlflow:
    """Runs by their ids, which are never used again; tests take runs away, or add some."""

    def __init__(self) -> None:
        self.shown: dict[str, RunPage] = {}
        self.changed: dict[str, RunState] = {}
        self.loss: str | None = None
        self.why_unready: str | None = None
        self.refuses_files = False
        self.n_puts = 0
        self._ids = map("run {}".format, itertools.count())

    def prepare(self) -> str | None:
        if self.why_unready is not None:
            raise TrackingError(self.why_unready)
        loss, self.loss = self.loss, None
        return loss

    def check(self) -> None:
        pass

    def put_model(self, page: ModelPage) -> None:
        pass

    def delete_models(self, run_id: str) -> None:
        pass

    def put(self, page: RunPage) -> str:
        self.prepare()
        self.n_puts += 1
        known = page.run_id if page.run_id in self.shown else None
        run_id = known or next((id_ for id_, shown in self.shown.items() if shown.key == page.key), None)
        run_id = run_id or next(self._ids)
        self.shown[run_id] = page
        if self.refuses_files and page.texts:
            refusal = ArtifactError("no place for files")
            refusal.run_id = run_id
            raise refusal
        return run_id

    def delete(self, run_id: str) -> None:
        self.shown.pop(run_id, None)

    def run(self, run_id: str) -> RunState | None:
        return next((run for run in self.runs("", "") if run.run_id == run_id), None)

    def runs(self, _: str, prefix: str) -> list[RunState]:
        states = {id_: replace(state_of(page), run_id=id_) for id_, page in self.shown.items()} | self.changed
        return [state for state in states.values() if state.key.startswith(prefix)]

    def optimise(self) -> None:
        pass

    def keys(self) -> list[str]:
        """Return the end of each run's key: the number of the trial, or of the sweep its id."""
        return sorted(page.key.rpartition("/")[2] for page in self.shown.values())


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.delivery.shipper.FIRST_BACKOFF_SECONDS", 0.01)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'dnnsweep.db'}", create=True)
    yield opened
    opened.close()


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    """A running sweep of three trials that have ended."""
    lease = ledger.begin(NEW)
    ask(lease, 3)
    for number in range(3):
        finish(lease, number, 0.5)
    return lease


@pytest.fixture
def mlflow(ledger: Ledger, lease: Lease) -> MemoryMlflow:
    """An MLflow that has seen all of the sweep, which goes on."""
    store = MemoryMlflow()
    assert OutboxSender(ledger, store, SETTINGS, lease.sweep_id).deliver() == 4
    return store


def end(ledger: Ledger, lease: Lease, store: MemoryMlflow) -> None:
    lease.end(SweepState.COMPLETE)
    assert deliver_all(ledger, store, SETTINGS, 30)


def assert_whole(ledger: Ledger, store: MemoryMlflow) -> None:
    sweep = ledger.sweep("digits")
    assert store.keys() == sorted(["0", "1", "2", sweep.id])
    assert {trial.run_id for trial in ledger.trials("digits")} | {sweep.run_id} == set(store.shown)
    parents = {page.parent_run_id for page in store.shown.values()}
    assert parents == {None, sweep.run_id}


def test_a_sweep_whose_own_run_has_vanished_is_sent_again_with_its_trials(
    ledger: Ledger, lease: Lease, mlflow: MemoryMlflow, caplog: pytest.LogCaptureFixture
) -> None:
    mlflow.shown.clear()

    end(ledger, lease, mlflow)

    assert_whole(ledger, mlflow)
    assert "MLflow had lost the run of sweep digits" in caplog.text


def test_a_trial_whose_run_has_vanished_makes_its_sweep_be_looked_at(
    ledger: Ledger, lease: Lease, mlflow: MemoryMlflow
) -> None:
    mlflow.shown.clear()
    ledger.outbox.add(lease.sweep_id, 1)
    sender = OutboxSender(ledger, mlflow, SETTINGS, lease.sweep_id)

    while ledger.outbox.count():
        sender.deliver()

    assert_whole(ledger, mlflow)


def test_runs_that_vanished_after_they_were_sent_are_missed_at_the_end(
    ledger: Ledger, lease: Lease, mlflow: MemoryMlflow, caplog: pytest.LogCaptureFixture
) -> None:
    mlflow.delete(str(ledger.trial("digits", 1).run_id))

    end(ledger, lease, mlflow)

    assert_whole(ledger, mlflow)
    assert "MLflow had lost 1 of 4 runs of sweep digits" in caplog.text


def test_runs_that_a_doubled_request_has_made_are_deleted_at_the_end(
    ledger: Ledger, lease: Lease, mlflow: MemoryMlflow, caplog: pytest.LogCaptureFixture
) -> None:
    for run_id, page in list(mlflow.shown.items()):
        mlflow.shown[f"second of {run_id}"] = replace(page, status="RUNNING")

    end(ledger, lease, mlflow)

    assert_whole(ledger, mlflow)
    assert "MLflow had 4 runs of sweep digits twice" in caplog.text


def test_a_run_that_goes_on_although_its_trial_has_ended_is_sent_again(
    ledger: Ledger, lease: Lease, mlflow: MemoryMlflow
) -> None:
    run_id = str(ledger.trial("digits", 1).run_id)
    mlflow.shown[run_id] = replace(mlflow.shown[run_id], status="RUNNING")  # from an older copy of the store

    end(ledger, lease, mlflow)

    assert mlflow.shown[run_id].status == "FINISHED"


def test_a_run_that_somebody_deleted_is_not_lost(ledger: Ledger, lease: Lease, mlflow: MemoryMlflow) -> None:
    run_id = str(ledger.trial("digits", 1).run_id)
    state = mlflow.run(run_id)
    assert state is not None
    mlflow.changed[run_id] = replace(state, is_deleted=True)
    n_before = mlflow.n_puts

    end(ledger, lease, mlflow)

    assert mlflow.n_puts == n_before + 1  # the sweep's own, which has ended


def test_runs_of_an_experiment_that_has_another_name_now_are_not_lost(
    ledger: Ledger, lease: Lease, mlflow: MemoryMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = MemoryMlflow.runs
    monkeypatch.setattr(MemoryMlflow, "runs", lambda self, name, prefix: [] if name else found(self, name, prefix))
    n_before = mlflow.n_puts

    end(ledger, lease, mlflow)

    assert mlflow.n_puts == n_before + 1


def test_an_mlflow_that_keeps_nothing_does_not_keep_the_end_waiting_for_ever(
    ledger: Ledger, lease: Lease, mlflow: MemoryMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryMlflow, "runs", lambda *_: [])
    monkeypatch.setattr(MemoryMlflow, "run", lambda *_: None)

    end(ledger, lease, mlflow)


def test_a_store_that_is_another_one_is_filled_with_every_sweep(
    ledger: Ledger, lease: Lease, mlflow: MemoryMlflow, caplog: pytest.LogCaptureFixture
) -> None:
    end(ledger, lease, mlflow)
    other = ledger.begin(replace(NEW, name="other", digest="e" * 64))
    mlflow.shown.clear()
    mlflow.loss = "MLflow's store was gone and was made anew"
    shipper = Shipper(ledger, mlflow, SETTINGS, other.sweep_id)
    shipper.start()
    shipper.close(30)

    assert mlflow.keys() == sorted(["0", "1", "2", ledger.sweep("digits").id, other.sweep_id])
    rest = "`dnnsweep doctor` delivers those that are left when this command has ended"
    assert caplog.messages == [f"MLflow's store was gone and was made anew; 4 runs are delivered again, {rest}"]


def test_a_store_made_for_a_ledger_that_was_never_shown_says_nothing(
    ledger: Ledger, lease: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryMlflow()
    store.loss = "MLflow's store was gone and was made anew"

    end(ledger, lease, store)

    assert caplog.messages == []


def test_the_own_sweep_comes_first(ledger: Ledger, lease: Lease, mlflow: MemoryMlflow) -> None:
    end(ledger, lease, mlflow)
    other = ledger.begin(replace(NEW, name="other", digest="e" * 64))
    ask(other, 1)
    finish(other, 0, 0.5)
    ledger.outbox.refill()

    claimed = ledger.outbox.claim(3, other.sweep_id)

    assert [(entry.sweep_id == other.sweep_id, entry.number) for entry in claimed] == [
        (True, PARENT),
        (True, 0),
        (False, PARENT),
    ]


def test_files_that_are_refused_hold_up_no_run_and_the_reason_is_kept(ledger: Ledger, lease: Lease) -> None:
    store = MemoryMlflow()
    store.refuses_files = True
    lease.end(SweepState.COMPLETE)

    assert not deliver_all(ledger, store, SETTINGS, 30)

    assert_whole(ledger, store)
    sweep = ledger.sweep("digits")
    assert store.shown[str(sweep.run_id)].status == "FINISHED"
    assert (sweep.n_undelivered, sweep.delivery_error) == (1, "no place for files")

    store.refuses_files = False
    assert deliver_all(ledger, store, SETTINGS, 30)
    assert ledger.sweep("digits").delivery_error is None


def test_a_shipper_that_is_closed_before_mlflow_was_ready_delivers_something(
    ledger: Ledger, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, is_ready = MemoryMlflow(), threading.Event()
    put = store.put
    monkeypatch.setattr(store, "put", lambda page: put(page) if is_ready.wait(30) else "")
    shipper = Shipper(ledger, store, SETTINGS, lease.sweep_id)
    shipper.start()
    opening = threading.Timer(0.2, is_ready.set)
    opening.start()

    shipper.close(0.0, 30.0)

    assert ledger.outbox.count() < 4
    opening.join()
    shipper.close(30.0)


def test_why_mlflow_cannot_even_be_opened_is_kept(ledger: Ledger, lease: Lease) -> None:
    store = MemoryMlflow()
    store.why_unready = "the address has no scheme"
    lease.end(SweepState.COMPLETE)

    assert not deliver_all(ledger, store, SETTINGS, 30)

    assert ledger.sweep("digits").delivery_error == "the address has no scheme"
