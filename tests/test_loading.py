"""What becomes of a sweep while its data are loaded: it is seen, it can be stopped, and a failure leaves no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scripted_trainer
from fake_mlflow import use_fake_mlflow
from leases import SOMEBODY_ELSE, gone
from loading_executor import LoadingExecutor
from serving import settings_of
from workspace import SWEEP

import dnnsweep
from dnnsweep import spec
from dnnsweep.cli import render
from dnnsweep.errors import DataError, SweepConflictError, SweepHeldError
from dnnsweep.ledger import NewSweep
from dnnsweep.records import Sweep, SweepState
from dnnsweep.runner import loading
from dnnsweep.stores.local import LocalStore

Run = Callable[..., dnnsweep.SweepHandle]
OTHER = {"space": {"dropout": {"low": 0.0, "high": 0.1}}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStore]:
    for name in ("DNNSWEEP_DATABASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DNNSWEEP_HOME", str(tmp_path))
    monkeypatch.setenv("DNNSWEEP_TRAINER", "scripted_trainer:ScriptedTrainer")
    monkeypatch.setattr(loading, "LOOK_SECONDS", 0.0)
    use_fake_mlflow(monkeypatch)
    with LocalStore.opened(settings_of(tmp_path), create=True) as made:
        yield made


def run(changes: dict[str, Any] | None = None, **arguments: Any) -> dnnsweep.SweepHandle:
    return dnnsweep.run({**SWEEP, "budget": {"trials": 4}, **(changes or {})}, executor="inprocess", **arguments)


def run_until_loading(monkeypatch: pytest.MonkeyPatch, *moments: Callable[[], object], **arguments: Any) -> Sweep:
    """Run a sweep whose data are loaded in some moments, and cannot be used then; return it as the run leaves it."""
    executor = LoadingExecutor(*moments)
    with monkeypatch.context() as patched:
        patched.setattr("dnnsweep.runner.run.create_executor", lambda *_, **__: executor)
        try:
            return run(**arguments).show()
        finally:
            assert executor.is_closed


def kinds(home: LocalStore) -> list[str]:
    return [f"{event.kind}: {event.detail}" for event in home.events("pretend")]


def never() -> None:
    pytest.fail("it loads on")


def test_a_first_run_is_seen_while_it_loads_and_a_stop_reaches_it(
    home: LocalStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Sweep] = []

    left = run_until_loading(
        monkeypatch, lambda: seen.append(home.sweep("pretend")), lambda: dnnsweep.stop("pretend"), never
    )

    assert [(sweep.state, sweep.data, sweep.trainer) for sweep in seen] == [(SweepState.RUNNING, {}, "auto")]
    render.print_sweeps(seen, "text")
    render.print_sweep(seen[0], "text")
    assert capsys.readouterr().out.count("RUNNING (loading data)") == 2
    assert left.state is SweepState.STOPPED
    assert home.ledger.outbox.count(left.id) == 0
    resumed = dnnsweep.resume("pretend", progress=False)
    assert (resumed.state, resumed.show().data["fingerprint"]) == (SweepState.COMPLETE, "f" * 64)


def test_a_stop_reaches_a_sweep_that_loads_its_data_again_and_its_trials_stay(
    home: LocalStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = run().trials()
    seen: list[Sweep] = []

    left = run_until_loading(
        monkeypatch, lambda: seen.append(home.sweep("pretend")), lambda: dnnsweep.stop("pretend"), never, trials=6
    )

    render.print_sweep(seen[0], "text")
    assert "RUNNING (starting)" in capsys.readouterr().out
    assert (left.state, left.n_trials) == (SweepState.STOPPED, 6)
    assert home.trials("pretend") == trials


def test_data_that_cannot_be_used_leave_no_sweep_behind(home: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError):
        run_until_loading(monkeypatch)

    assert home.sweeps() == []
    assert run(OTHER).state is SweepState.COMPLETE


def test_data_that_cannot_be_used_any_more_leave_a_sweep_as_it_was(
    home: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    before = home.sweep("pretend")

    with pytest.raises(DataError):
        run_until_loading(monkeypatch, trials=6)

    assert home.sweep("pretend") == before
    assert kinds(home)[-1] == "ended: not continued: dataset.source: no such thing"


def test_data_that_have_changed_leave_a_sweep_as_it_was(home: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    before = home.sweep("pretend")
    changed = replace(scripted_trainer.SUMMARY, fingerprint="e" * 64)
    monkeypatch.setattr(scripted_trainer, "OPENING", replace(scripted_trainer.OPENING, data=changed))

    with pytest.raises(SweepConflictError, match="the data at sklearn:iris have changed"):
        run(trials=6)

    assert home.sweep("pretend") == before


def test_a_queued_sweep_keeps_its_place_if_a_run_by_hand_cannot_load_its_data(
    home: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = {**SWEEP, "budget": {"trials": 4}}
    home.submit(file)
    home.submit({**file, "name": "second"})

    with pytest.raises(DataError):
        run_until_loading(monkeypatch)

    assert home.sweep("pretend").state is SweepState.QUEUED
    claimed = home.ledger.claim()
    assert claimed is not None
    assert claimed[1] == "pretend"


def test_the_name_of_a_run_that_died_while_it_loaded_is_free_for_other_content(home: LocalStore) -> None:
    abandoned = new()
    home.ledger.begin(abandoned, gone())
    assert home.sweep("pretend").state is SweepState.INTERRUPTED

    assert run(OTHER).show().spec["space"] == spec.check({**SWEEP, **OTHER}).to_json()["space"]
    with pytest.raises(SweepConflictError, match="the name pretend is taken"):
        run()


def test_a_submission_takes_the_name_of_such_a_run_as_well(home: LocalStore) -> None:
    home.ledger.begin(new(), gone())

    assert home.submit({**SWEEP, **OTHER}).state is SweepState.QUEUED


def test_a_name_is_not_free_while_its_data_may_be_loading_or_somebody_has_queued_it(home: LocalStore) -> None:
    home.ledger.begin(new(), SOMEBODY_ELSE)
    home.submit({**SWEEP, "name": "queued"})
    home.stop("queued")

    with pytest.raises((SweepHeldError, SweepConflictError)):
        home.ledger.begin(new(**OTHER))
    with pytest.raises(SweepConflictError):
        home.ledger.begin(new(name="queued", **OTHER))


def new(**changes: Any) -> NewSweep:
    return NewSweep.of(spec.check({**SWEEP, **changes}))
