from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from fake_mlflow import state_of
from kept_network import save_network
from leases import SOMEBODY_ELSE
from test_ledger import NEW, ask, finish, suggestion
from test_ledger import store as stored
from turns import write

from dnnsweep.delivery.shipper import OutboxSender, Shipper, deliver_all, sweep_page_of
from dnnsweep.errors import ArtifactError, TrackingError
from dnnsweep.ledger import Asked, Lease, Ledger, RepeatLease, Told
from dnnsweep.records import Sweep, SweepState, Trial
from dnnsweep.settings import find_settings
from dnnsweep.tracking.model_format import Signature
from dnnsweep.tracking.page import NOTE_TAG, ModelPage, RunPage, RunState

SETTINGS = find_settings("home", {})


class Recording:
    """Where pages go in these tests; fails first, if it is told to."""

    def __init__(self, n_failures: int = 0, refused: str | None = None) -> None:
        self.pages: dict[str, RunPage] = {}
        self.keys: list[str] = []
        self.deleted: list[str] = []
        self.models: list[tuple[str, str | None]] = []
        self.model_pages: list[ModelPage] = []
        self.is_without_place = False
        self._n_failures = n_failures
        self._refused = refused

    def prepare(self) -> None:
        pass

    def put(self, page: RunPage) -> str:
        if self._n_failures > 0:
            self._n_failures -= 1
            raise TrackingError("connection refused")
        if self._refused is not None and page.key.endswith(self._refused):
            raise TrackingError("refused for ever")
        self.pages[page.key] = page
        self.keys.append(page.key.partition("/")[2].partition("/")[2] or "parent")
        return f"run of {self.keys[-1]}"

    def put_model(self, page: ModelPage) -> None:
        if self.is_without_place:
            refusal = ArtifactError("its model did not arrive")
            refusal.run_id = page.run_id
            raise refusal
        self.models.append((page.name, page.registered_name))
        self.model_pages.append(page)

    def delete_models(self, run_id: str) -> None:
        self.deleted.append(f"models of {run_id}")

    def delete(self, run_id: str) -> None:
        self.deleted.append(run_id)

    def check(self) -> None:
        pass

    def run(self, run_id: str) -> RunState | None:
        return next((run for run in self.runs("", "") if run.run_id == run_id), None)

    def runs(self, _: str, prefix: str) -> list[RunState]:
        return [
            replace(state_of(page), run_id=f"run of {key.partition('/')[2].partition('/')[2] or 'parent'}")
            for key, page in self.pages.items()
            if key.startswith(prefix)
        ]

    def optimise(self) -> None:
        pass


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'dnnsweep.db'}", create=True)
    stored(opened, NEW)
    yield opened
    opened.close()


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    lease = ledger.begin(NEW)
    ask(lease, 3)
    for number in (2, 0, 1):
        finish(lease, number, 0.5 + number / 10)
    return lease


def test_the_sweep_comes_first_so_that_its_trials_know_their_parent(ledger: Ledger, lease: Lease) -> None:
    store = Recording()

    assert OutboxSender(ledger, store, SETTINGS, lease.sweep_id).deliver() == 4

    assert store.keys == ["parent", "2", "0", "1"]
    trials = [page for page in store.pages.values() if page.parent_run_id is not None]
    assert {page.parent_run_id for page in trials} == {"run of parent"}
    assert ledger.trial("digits", 2).run_id == "run of 2"


def test_what_was_sent_is_not_sent_again(ledger: Ledger, lease: Lease) -> None:
    store = Recording()
    delivery = OutboxSender(ledger, store, SETTINGS, lease.sweep_id)
    delivery.deliver()
    assert delivery.deliver() == 1  # now the sweep's run can link to its trials

    assert delivery.deliver() == 0
    assert store.keys == ["parent", "2", "0", "1", "parent"]
    note = store.pages[f"{ledger.id}/{lease.sweep_id}"].tags[NOTE_TAG]
    assert all(f"[trial {number}](#/runs/run of {number})" in note for number in (0, 1, 2))


def test_an_outage_keeps_everything_for_later(ledger: Ledger, lease: Lease) -> None:
    store = Recording(n_failures=3)
    delivery = OutboxSender(ledger, store, SETTINGS, lease.sweep_id)

    with pytest.raises(TrackingError):
        delivery.deliver()

    assert ledger.outbox.count() == 4
    ledger.outbox.make_due()
    assert delivery.deliver() == 4


def test_one_failure_at_the_very_end_is_tried_again(ledger: Ledger, lease: Lease) -> None:
    store = Recording(n_failures=1)
    shipper = Shipper(ledger, store, SETTINGS, lease.sweep_id)
    shipper._closing.set()

    shipper.start()
    shipper.close(30)

    assert ledger.outbox.count() == 0


def test_an_entry_that_is_always_refused_does_not_hold_the_others_up(ledger: Ledger, lease: Lease) -> None:
    store = Recording(refused="/2")
    shipper = Shipper(ledger, store, SETTINGS, lease.sweep_id)

    shipper.start()
    shipper.close(30)

    assert sorted(set(store.keys)) == ["0", "1", "parent"]
    assert ledger.outbox.count() == 1


def test_a_shipper_that_is_closed_delivers_what_is_left(ledger: Ledger, lease: Lease) -> None:
    store = Recording()
    shipper = Shipper(ledger, store, SETTINGS, lease.sweep_id)
    shipper.start()
    lease.end(SweepState.COMPLETE)

    shipper.close(30)

    assert ledger.outbox.count() == 0
    assert next(page for page in store.pages.values() if page.parent_run_id is None).status == "FINISHED"


def test_a_sweep_that_has_ended_is_reported(ledger: Ledger, lease: Lease) -> None:
    store = Recording()
    OutboxSender(ledger, store, SETTINGS, lease.sweep_id).deliver()
    parent = f"{ledger.id}/{lease.sweep_id}"
    assert "report.html" not in store.pages[parent].texts

    lease.end(SweepState.COMPLETE)

    assert deliver_all(ledger, store, SETTINGS, 30)
    assert "Trial 2 is the best of 3 complete trials" in store.pages[parent].texts["report.html"]
    assert sweep_page_of(ledger, SETTINGS, ledger.sweep("digits")).texts == store.pages[parent].texts


def test_a_sweep_that_cannot_be_reported_arrives_without(ledger: Ledger, lease: Lease) -> None:
    with lease.turn() as turn:
        turn.update_sweep(spec={**NEW.spec, "of_another_version": 1})
    lease.end(SweepState.COMPLETE)
    store = Recording()

    assert deliver_all(ledger, store, SETTINGS, 30)
    assert store.pages[f"{ledger.id}/{lease.sweep_id}"].texts.keys() == {"sweep.yaml"}


def test_a_shipper_that_never_started_can_be_closed(ledger: Ledger, lease: Lease) -> None:
    Shipper(ledger, Recording(), SETTINGS, lease.sweep_id).close(1)

    assert ledger.outbox.count() == 4


def test_a_shipper_survives_an_outage(ledger: Ledger, lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.delivery.shipper.FIRST_BACKOFF_SECONDS", 0.01)
    store = Recording(n_failures=5)
    shipper = Shipper(ledger, store, SETTINGS, lease.sweep_id)

    shipper.start()
    until = time.monotonic() + 30
    while ledger.outbox.count() and time.monotonic() < until:
        time.sleep(0.02)
    shipper.close(30)

    assert ledger.outbox.count() == 0
    assert shipper.error is None


def test_a_tracker_that_is_gone_does_not_keep_the_end_waiting_for_ever(ledger: Ledger, lease: Lease) -> None:
    shipper = Shipper(ledger, Recording(n_failures=10**6), SETTINGS, lease.sweep_id)
    shipper.start()

    shipper.close(30)

    assert shipper.error == "connection refused"
    assert ledger.outbox.count() == 4


def test_delivering_all_leaves_out_what_others_run(ledger: Ledger, lease: Lease) -> None:
    lease.end(SweepState.COMPLETE)
    ledger.begin(replace(NEW, name="theirs"), owner=SOMEBODY_ELSE)
    store = Recording()

    assert deliver_all(ledger, store, SETTINGS, 30)

    assert sorted(set(store.keys)) == ["0", "1", "2", "parent"]
    assert ledger.outbox.count() == 1


@pytest.fixture
def _has_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each trial of these tests have a model."""

    def made(_ledger_id: str, sweep: Sweep, trial: Trial, _file: Path) -> ModelPage:
        signature = Signature((), None, {}, [])
        place = (sweep.name, str(sweep.run_id), f"trial-{trial.number}", None)
        return ModelPage(f"{trial.number}", *place, signature, "model.py", {}, 0)

    monkeypatch.setattr("dnnsweep.delivery.model_pages.model_page", made)
    monkeypatch.setattr(Ledger, "model_name", lambda *_: "model.keras")


@pytest.mark.usefixtures("_has_models")
@pytest.mark.parametrize(
    ("tracking", "before", "after"),
    [
        ({}, [], [("trial-2", "digits")]),
        ({"tracking": None}, [], [("trial-2", "digits")]),
        ({"tracking": {"models": "best"}}, [], [("trial-2", "digits")]),
        ({"tracking": {"models": "none"}}, [], []),
        (
            {"tracking": {"models": "all"}},
            [("trial-2", None), ("trial-0", None), ("trial-1", None)],
            [("trial-2", "digits")],
        ),
    ],
)
def test_the_best_model_is_registered_when_its_sweep_has_ended(
    ledger: Ledger,
    tracking: dict[str, object],
    before: list[tuple[str, str | None]],
    after: list[tuple[str, str | None]],
) -> None:
    lease = ledger.begin(replace(NEW, spec={**NEW.spec, **tracking}))
    ask(lease, 3)
    for number in (2, 0, 1):
        finish(lease, number, 0.5 + number / 10)
    store = Recording()
    sender = OutboxSender(ledger, store, SETTINGS, lease.sweep_id)
    while sender.deliver():
        pass
    assert store.models == before

    lease.end(SweepState.COMPLETE)
    sender.forget()
    while sender.deliver():
        pass

    assert store.models == [*before, *after]


@pytest.mark.usefixtures("_has_models")
def test_a_model_without_a_place_waits_and_holds_nothing_else_up(ledger: Ledger, lease: Lease) -> None:
    lease.end(SweepState.COMPLETE)
    store = Recording()
    store.is_without_place = True

    assert not deliver_all(ledger, store, SETTINGS, 30)
    assert {"parent", "0", "1", "2"} == set(store.keys)
    assert ledger.outbox.count() == 1
    assert "its model did not arrive" in str(ledger.sweep("digits").delivery_error)

    store.is_without_place = False
    assert deliver_all(ledger, store, SETTINGS, 30)
    assert store.models == [("trial-2", "digits")]


MODEL = "trial-100000042-1.keras"
RETRAINED = {"model": MODEL, "trial": 1, "params": {"dropout": 0.5, "hidden": [8]}}
SCORED = {
    "metric": "accuracy",
    "score": 0.925,
    "model_score": 0.9125,
    "this_model": [0.875, 0.9375],
    "this_recipe": None,
}


def delivered_models(
    ledger: Ledger, lease: Lease, home: Path, answer: Mapping[str, object], models: str = "best"
) -> Recording:
    """Return what MLflow has of a sweep that has ended with this answer."""
    RepeatLease(lease).store_answer(answer)
    with lease.turn() as turn:
        turn.update_sweep(spec={**NEW.spec, "tracking": {"models": models}})
    lease.end(SweepState.COMPLETE)
    store = Recording()
    assert deliver_all(ledger, store, find_settings(home, {}), 30)
    return store


def test_a_retrained_winner_is_the_champion_and_tells_its_score(ledger: Ledger, lease: Lease, tmp_path: Path) -> None:
    file = save_network(find_settings(tmp_path, {}).retrained_model("digits", MODEL))

    store = delivered_models(ledger, lease, tmp_path, {"retrained": RETRAINED, "test": SCORED})

    page = store.model_pages[-1]
    assert (page.name, page.registered_name, page.run_id) == ("retrained-trial-1", "digits", "run of parent")
    assert page.key == f"{ledger.id}/{lease.sweep_id}/retrained/trial-100000042-1"
    assert page.params == {"dropout": "0.5", "hidden": "[8]"}
    assert page.tags == {
        "dnnsweep.sweep": "digits",
        "dnnsweep.retrained": "true",
        "dnnsweep.of_trial": "1",
        "dnnsweep.test_accuracy": "0.9125",
        "dnnsweep.mean_test_accuracy": "0.925",
        "dnnsweep.this_model": "[0.875, 0.9375]",
    }
    assert page.files == {"artifacts/network.keras": str(file)}
    assert "Trial 1 of the sweep digits, retrained on all rows but the test rows" in str(page.contents["model.py"])
    parent = next(page for page in store.pages.values() if page.parent_run_id is None)
    assert parent.files == {"retrained/model.keras": str(file)}


def test_a_baseline_that_won_and_is_no_trial_is_the_champion(ledger: Ledger, lease: Lease, tmp_path: Path) -> None:
    save_network(find_settings(tmp_path, {}).retrained_model("digits", MODEL))

    store = delivered_models(ledger, lease, tmp_path, {"retrained": {**RETRAINED, "trial": None}})

    assert set(store.models) == {("retrained-baseline", "digits")}
    assert store.model_pages[0].tags == {"dnnsweep.sweep": "digits", "dnnsweep.retrained": "true"}


@pytest.mark.usefixtures("_has_models")
@pytest.mark.parametrize(
    ("models", "answer", "expected"),
    [
        ("none", {"retrained": RETRAINED}, []),
        ("best", {"retrained": RETRAINED}, [("retrained-trial-1", "digits")]),
        ("best", {"retrained": {**RETRAINED, "model": None}}, [("trial-2", "digits")]),
        ("best", {"retrained": None, "sentences": []}, [("trial-2", "digits")]),
        ("best", {"retrained": {**RETRAINED, "model": "kept-elsewhere.keras"}}, []),
        (
            "all",
            {"retrained": RETRAINED},
            [("retrained-trial-1", "digits"), ("trial-0", None), ("trial-1", None), ("trial-2", None)],
        ),
    ],
)
def test_the_champion_is_the_best_trial_until_a_winner_was_retrained(
    ledger: Ledger, lease: Lease, tmp_path: Path, models: str, answer: Mapping[str, object], expected: list[object]
) -> None:
    save_network(find_settings(tmp_path, {}).retrained_model("digits", MODEL))

    store = delivered_models(ledger, lease, tmp_path, answer, models)

    assert sorted(set(store.models)) == expected


def test_the_runs_of_a_deleted_sweep_are_deleted(ledger: Ledger, lease: Lease) -> None:
    store = Recording()
    OutboxSender(ledger, store, SETTINGS, lease.sweep_id).deliver()
    lease.end(SweepState.COMPLETE)
    ledger.delete("digits")

    assert deliver_all(ledger, store, SETTINGS, 30)

    models = "models of run of parent"
    assert sorted(store.deleted) == [models, "run of 0", "run of 1", "run of 2", "run of parent"]


def test_a_page_that_was_never_tried_is_new_and_one_that_failed_is_not(ledger: Ledger, lease: Lease) -> None:
    store = Recording(refused="/2")
    delivery = OutboxSender(ledger, store, SETTINGS, lease.sweep_id)
    delivery.deliver()
    assert [store.pages[key].is_new for key in store.pages] == [False, True, True]

    store._refused = None
    ledger.outbox.make_due()
    delivery.deliver()

    assert [page.is_new for key, page in store.pages.items() if key.endswith("/2")] == [False]


def test_a_page_that_a_dead_sender_may_have_put_is_not_new(ledger: Ledger, lease: Lease) -> None:
    ledger.outbox.claim(20, lease.sweep_id, seconds=-1)
    store = Recording()

    OutboxSender(ledger, store, SETTINGS, lease.sweep_id).deliver()

    assert [page.is_new for page in store.pages.values()] == [False] * 4


def test_a_sweep_waits_while_its_trials_come_fast_and_is_whole_at_the_end(
    ledger: Ledger, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnnsweep.delivery.shipper.SWEEP_SECONDS", 3600.0)
    store = Recording()
    delivery = OutboxSender(ledger, store, SETTINGS, lease.sweep_id)
    delivery.deliver()
    write(lease).advance([Told(0, None, {})], [Asked(suggestion(3), {}), Asked(suggestion(4), {})], {})
    finish(lease, 3, 0.9)
    finish(lease, 4, 0.6)

    assert [delivery.deliver(1) for _ in range(4)] == [1, 1, 1, 0]

    assert store.keys[4:] == ["3", "4", "parent"]
    parent = next(page for page in store.pages.values() if page.parent_run_id is None)
    assert [point.value for point in parent.points] == [0.5, 0.6, 0.7, 0.9, 0.9]


def test_a_sweep_that_was_put_by_another_process_is_whole_in_the_next(ledger: Ledger, lease: Lease) -> None:
    first, store = Recording(), Recording()
    OutboxSender(ledger, first, SETTINGS, lease.sweep_id).deliver()
    lease.end(SweepState.COMPLETE)
    store.pages = dict(first.pages)  # the same MLflow, seen from another process

    assert deliver_all(ledger, store, SETTINGS, 30)

    assert store.keys == ["parent"]
    parent = next(page for page in store.pages.values() if page.parent_run_id is None)
    assert [point.value for point in parent.points] == [0.5, 0.6, 0.7]
