"""The Python API, with the pretend trainer in this process and a shelf in MLflow's place."""

from __future__ import annotations

import inspect
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_mlflow import FakeMlflow, use_fake_mlflow
from leases import gone
from workspace import SWEEP, identity

import dnnsweep
from dnnsweep.errors import (
    ExportError,
    LeaseLostError,
    QueryError,
    SpecError,
    SweepConflictError,
    SweepFailedError,
    SweepHeldError,
    SweepNotFoundError,
)
from dnnsweep.ledger import Ledger, NewSweep
from dnnsweep.records import State, SweepState
from dnnsweep.runner.controller import Progress
from dnnsweep.spec import check
from dnnsweep.stores import polling

Run = Callable[..., dnnsweep.SweepHandle]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DNNSWEEP_DATABASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DNNSWEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DNNSWEEP_TRAINER", "scripted_trainer:ScriptedTrainer")
    use_fake_mlflow(monkeypatch)
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Run:
    def call(spec: Any = None, **arguments: Any) -> dnnsweep.SweepHandle:
        assert not home.name.startswith(".")
        return dnnsweep.run({**SWEEP, **(spec or {})}, executor="inprocess", **arguments)

    return call


def interrupted_after(n_trials: int) -> Callable[[Progress], None]:
    """Return a callback that presses Ctrl-C when so many trials have ended."""

    def look(progress: Progress) -> None:
        if progress.ended is not None and progress.n_finished == n_trials:
            signal.raise_signal(signal.SIGINT)

    return look


# -- what a run returns ---------------------------------------------------------------------------------------------


def test_a_run_returns_a_handle_on_what_it_found(run: Run, home: Path) -> None:
    sweep = run(trials=6)

    assert (sweep.name, sweep.state, sweep.home) == ("pretend", SweepState.COMPLETE, home)
    assert [trial.number for trial in sweep.trials()] == list(range(6))
    values = sorted((trial.value or 0.0 for trial in sweep.trials()), reverse=True)
    assert [trial.value for trial in sweep.best(top=3)] == values[:3]
    assert [trial.value for trial in sweep.best()] == values[:5]
    assert sweep.trials("optimizer == 'adam'") == [t for t in sweep.trials() if t.params["optimizer"] == "adam"]
    assert sweep.best(top=9, where="number < 2") == [t for t in sweep.best(top=9) if t.number < 2]
    assert sweep.show() == dnnsweep.show("pretend") == dnnsweep.sweeps()[0]
    assert dnnsweep.best("pretend", top=3) == sweep.best(top=3)
    assert dnnsweep.trials("pretend", home=home) == sweep.trials()


def test_a_curve_has_a_value_for_each_epoch_and_the_best_epochs_is_the_trials(run: Run) -> None:
    trial = run(trials=1).best()[0]

    curve = dnnsweep.curve("pretend", 0)

    assert curve.n_epochs == trial.epochs == 3
    assert curve.values("val_accuracy")[(trial.best_epoch or 0) - 1] == trial.value
    assert len(curve.ended_at) == 3


def test_every_public_name_exists_and_is_documented() -> None:
    for name in dnnsweep.__all__:
        assert inspect.getdoc(getattr(dnnsweep, name)), name
    with pytest.raises(AttributeError, match="nonsense"):
        dnnsweep.__getattr__("nonsense")


def test_arguments_replace_parts_of_the_file(run: Run, home: Path) -> None:
    sweep = run(name="2024", trials=2, seconds=60, overrides=["training.epochs=1"], home=home / "sub")

    shown = sweep.show()
    assert (shown.name, shown.n_trials, shown.spec["budget"]["seconds"]) == ("2024", 2, 60)
    assert {trial.epochs for trial in sweep.trials()} == {1}
    assert not (home / "dnnsweep.db").exists()


@pytest.mark.parametrize("name", ["null", "true", "1e5", "0x10", "-", "2024-01-01", "a" * 100])
def test_a_name_is_a_name_whatever_it_looks_like(run: Run, name: str) -> None:
    assert run(name=name, trials=1).show().name == name


@pytest.mark.parametrize("name", ["", "a b", "../up", "a" * 101, "ä", "x\n"])
def test_a_name_that_is_no_name_is_refused(run: Run, home: Path, name: str) -> None:
    with pytest.raises(SpecError, match="name"):
        run(name=name)
    assert not home.exists()


def test_a_sweep_of_one_trial_runs(run: Run) -> None:
    assert len(run(trials=1).trials()) == 1


def test_an_empty_space_trains_the_same_configuration_with_other_seeds(run: Run) -> None:
    trials = run({"space": {}, "fixed": {"dropout": 0.25}}, trials=3).trials()

    assert {trial.params["dropout"] for trial in trials} == {0.25}
    assert len({trial.seed for trial in trials}) == len({trial.value for trial in trials}) == 3


def test_a_budget_smaller_than_the_queue_is_refused_and_one_as_large_trains_just_that(run: Run, home: Path) -> None:
    queue = [{"dropout": dropout, "optimizer": "adam"} for dropout in (0.5, 0.4, 0.3)]

    with pytest.raises(SpecError, match=r"enqueue: .* got 3 with budget\.trials=2; raise budget\.trials"):
        run({"enqueue": queue}, trials=2)

    assert not home.exists()
    trials = run({"enqueue": queue}, trials=3).trials()
    assert [trial.params["dropout"] for trial in trials] == [0.5, 0.4, 0.3]


def test_what_is_queued_comes_first_and_the_rest_is_sampled(run: Run) -> None:
    trials = run({"enqueue": [{"dropout": 0.5, "optimizer": "adam"}, {"dropout": 0.125}]}, trials=4).trials()

    assert [trial.params["dropout"] for trial in trials[:2]] == [0.5, 0.125]
    assert trials[0].params["optimizer"] == "adam"
    assert len({trial.params["dropout"] for trial in trials}) == 4


# -- going on -------------------------------------------------------------------------------------------------------


def test_a_raised_budget_goes_on_as_if_it_had_been_asked_for_at_once(run: Run) -> None:
    sampler = {"sampler": {"window": 3}}
    at_once = identity(run(sampler, trials=12).trials())

    for n_trials in (1, 5, 12):
        steps = run({**sampler, "name": "steps"}, trials=n_trials)
        assert len(steps.trials()) == n_trials

    assert identity(steps.trials()) == at_once


def test_running_a_finished_sweep_again_changes_nothing(run: Run) -> None:
    first = run(trials=3).trials()

    again = run(trials=3)

    assert (again.state, again.trials()) == (SweepState.COMPLETE, first)
    assert run(trials=2).trials() == first


def test_ctrl_c_interrupts_and_the_same_call_goes_on(run: Run) -> None:
    whole = identity(run(name="whole").trials())
    before = signal.getsignal(signal.SIGINT)

    sweep = run(on_progress=interrupted_after(5))

    assert signal.getsignal(signal.SIGINT) is before
    assert (sweep.state, sweep.show().n_finished, sweep.show().n_running) == (SweepState.INTERRUPTED, 5, 0)
    assert run().state is SweepState.COMPLETE
    assert identity(sweep.trials()) == whole


def test_ctrl_c_at_the_last_trial_finds_a_complete_sweep(run: Run) -> None:
    assert run(trials=4, on_progress=interrupted_after(4)).state is SweepState.COMPLETE


def test_an_interrupted_sweep_with_a_lowered_budget_is_complete(run: Run) -> None:
    assert run(on_progress=interrupted_after(6)).state is SweepState.INTERRUPTED

    sweep = run(trials=4)

    assert (sweep.state, sweep.show().n_trials, sweep.show().n_finished) == (SweepState.COMPLETE, 4, 6)


def test_a_process_that_died_before_it_could_say_complete_is_mended_by_the_next_run(run: Run, home: Path) -> None:
    trials = run(trials=4).trials()
    with closing(sqlite3.connect(home / "dnnsweep.db")) as connection:
        connection.execute("UPDATE sweeps SET state = 'RUNNING', ended_at = NULL, owner = ?", (gone(),))
        connection.commit()

    sweep = run(trials=4)

    assert (sweep.state, sweep.trials()) == (SweepState.COMPLETE, trials)
    assert sweep.show().ended_at is not None


def test_a_spent_time_budget_is_not_spent_again(run: Run) -> None:
    spec = {"description": "sleep=0.05", "budget": {"trials": 100}}
    sweep = run(spec, seconds=0.5)
    trials, n_finished = sweep.trials(), sweep.show().n_finished

    assert sweep.state is SweepState.COMPLETE
    assert 0 < n_finished < 100
    assert run(spec, seconds=0.5).trials() == trials
    assert run(spec, seconds=2).show().n_finished > n_finished


def test_an_error_of_the_callers_own_leaves_a_sweep_that_can_be_resumed_at_once(run: Run) -> None:
    whole = identity(run(name="whole").trials())

    def fail(progress: Progress) -> None:
        if progress.n_finished == 3:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(on_progress=fail)

    shown = dnnsweep.show("pretend")
    assert (shown.state, shown.n_finished, shown.n_running) == (SweepState.FAILED, 3, 0)
    assert "mine" in str(shown.error)
    assert identity(run().trials()) == whole


def test_resume_takes_the_file_from_the_ledger(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(overrides=["training.epochs=2"], on_progress=interrupted_after(3))
    seen: list[Progress] = []
    monkeypatch.setattr("dnnsweep.executors.local.LocalExecutor", inprocess)

    sweep = dnnsweep.resume("pretend", on_progress=seen.append)

    assert (sweep.state, {trial.epochs for trial in sweep.trials()}) == (SweepState.COMPLETE, {2})
    assert sum(progress.ended is not None for progress in seen) == 13


def inprocess(job: Any, _n_trainers: int | None, trainer: str, _n_most: int) -> Any:
    from dnnsweep.executors.inprocess import InProcessExecutor

    return InProcessExecutor(job, trainer)


def test_a_sweep_runs_outside_the_main_thread_too(run: Run) -> None:
    found: list[dnnsweep.SweepHandle] = []
    thread = threading.Thread(target=lambda: found.append(run(trials=2)))

    thread.start()
    thread.join(60)

    assert [sweep.state for sweep in found] == [SweepState.COMPLETE]


# -- refusals -------------------------------------------------------------------------------------------------------


def test_another_content_under_the_same_name_is_refused_with_the_difference(run: Run) -> None:
    trials = run(trials=2).trials()

    with pytest.raises(SweepConflictError, match=r"training\.epochs: was 3, is 5") as caught:
        run({"training": {"epochs": 5}, "seed": 7}, trials=2)

    assert "seed: was 0, is 7" in str(caught.value)
    assert "--name" in str(caught.value)
    assert dnnsweep.trials("pretend") == trials


def test_budget_description_and_resources_are_not_part_of_a_sweeps_identity(run: Run) -> None:
    run(trials=1)

    sweep = run({"description": "new words", "resources": {"trainers": 3}}, trials=2)

    assert (sweep.show().description, sweep.show().n_finished) == ("new words", 2)


def test_a_sweep_that_another_process_runs_is_refused_and_untouched(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnnsweep.ledger.lease.PROLONG_SECONDS", 0.1)
    run(trials=2)
    with closing(Ledger.open(f"sqlite:///{home / 'dnnsweep.db'}")) as ledger:
        lease = ledger.begin(NewSweep.of(check(ledger.sweep("pretend").spec)), owner="elsewhere:1")
        with lease.prolonged():
            for refused in (lambda: run(trials=5), lambda: dnnsweep.delete("pretend")):
                with pytest.raises(SweepHeldError, match="is being run by process 1 on elsewhere"):
                    refused()

            assert (dnnsweep.show("pretend").n_trials, dnnsweep.stop("pretend")) == (2, True)


def test_a_sweep_whose_holder_was_seen_to_be_silent_for_a_whole_lease_goes_on_and_can_be_deleted(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in ("checks", "watch"):
        monkeypatch.setattr(f"dnnsweep.ledger.{module}.LEASE_SECONDS", 0.2)
    monkeypatch.setattr(polling, "QUIET_SECONDS", 0.0)
    run(trials=2)
    with closing(Ledger.open(f"sqlite:///{home / 'dnnsweep.db'}")) as ledger:
        spec = NewSweep.of(check(ledger.sweep("pretend").spec))
        lease = ledger.begin(spec, owner="elsewhere:1")

        assert run(trials=5).state is SweepState.COMPLETE
        with pytest.raises(LeaseLostError, match="another controller took this sweep over"):
            lease.renew()
        assert "process 1 on elsewhere, as far as is known; its lease must be watched for 0.2 seconds" in caplog.text

        ledger.begin(spec, owner="elsewhere:1")
        dnnsweep.delete("pretend")
        assert ledger.sweeps() == []


def test_a_sweep_that_keeps_failing_is_given_up_and_can_be_resumed(run: Run) -> None:
    with pytest.raises(SweepFailedError, match="RuntimeError: trial 9 was told to fail"):
        run({"description": "fail_from=0"}, trials=30)

    shown = dnnsweep.show("pretend")
    assert (shown.state, shown.best_number) == (SweepState.FAILED, None)
    assert "trial 9" in str(shown.error)
    sweep = run(trials=30)
    assert (sweep.state, sweep.show().n_finished, sweep.show().error) == (SweepState.COMPLETE, 30, None)


@pytest.mark.parametrize(
    "wrong", [{"training": {"epochs": 0}}, {"nonsense": 1}, {"objective": {"metric": "val_mse"}}], ids=str
)
def test_a_wrong_file_stores_nothing(run: Run, home: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        run(wrong)
    assert dnnsweep.sweeps(home=home) == []


def test_wrong_data_store_nothing(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNNSWEEP_TRAINER", "scripted_trainer:RefusingTrainer")

    with pytest.raises(SpecError, match=r"dataset\.source: no such thing"):
        run()
    assert dnnsweep.sweeps(home=home) == []


def test_an_unknown_executor_is_refused_and_stores_nothing(home: Path) -> None:
    with pytest.raises(SpecError, match="executor: must be local or inprocess, got 'abacus'"):
        dnnsweep.run(SWEEP, executor="abacus")
    assert not home.exists()


def test_what_is_not_there_is_said_and_not_created(home: Path) -> None:
    assert dnnsweep.sweeps() == []
    for call in (dnnsweep.show, dnnsweep.trials, dnnsweep.best, dnnsweep.stop, dnnsweep.resume, dnnsweep.delete):
        with pytest.raises(SweepNotFoundError):
            call("nothing")
    assert not home.exists()


def test_what_is_not_in_a_ledger_is_said(run: Run) -> None:
    run({"description": "diverge=0"}, trials=1)

    with pytest.raises(SweepNotFoundError, match="nothing"):
        dnnsweep.show("nothing")
    with pytest.raises(SweepNotFoundError, match="no trial 5"):
        dnnsweep.curve("pretend", 5)
    with pytest.raises(SweepNotFoundError, match="no trial of sweep pretend is complete"):
        dnnsweep.model_file("pretend")
    assert dnnsweep.best("pretend") == []
    assert dnnsweep.stop("pretend") is False


def test_a_wrong_condition_is_a_query_error(run: Run) -> None:
    run(trials=1)

    for query in (dnnsweep.best, dnnsweep.trials):
        with pytest.raises(QueryError, match="nonsense"):
            query("pretend", where="nonsense == 1")


def test_a_trial_whose_weights_were_not_kept_has_no_model(run: Run) -> None:
    run(trials=2)

    with pytest.raises(ExportError, match="only the best trials' weights are kept, got trial 1"):
        dnnsweep.model_file("pretend", number=1)


# -- arrays ---------------------------------------------------------------------------------------------------------


def arrays(n_rows: int = 90, shift: float = 0.0) -> tuple[Any, Any]:
    rows = np.random.default_rng(0).normal(size=(n_rows, 4)) + shift
    return rows, np.arange(n_rows) % 3


@pytest.fixture
def loading(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pretend trainer loads its data in earnest."""
    assert not home.exists()
    monkeypatch.setenv("DNNSWEEP_TRAINER", "scripted_trainer:LoadingTrainer")


@pytest.mark.usefixtures("loading")
def test_arrays_take_the_place_of_the_files_source(run: Run) -> None:
    shown = run(data=arrays(), trials=2).show()

    assert (shown.source, shown.data["n_features"], len(shown.data["classes"])) == ("arrays:", 4, 3)
    assert shown.data["n_train"] + shown.data["n_validation"] + shown.data["n_test"] == 90


@pytest.mark.usefixtures("loading")
def test_other_arrays_are_refused_and_the_same_ones_go_on(run: Run) -> None:
    run(data=arrays(), on_progress=interrupted_after(2))

    with pytest.raises(SweepConflictError, match=r"data .* have changed"):
        run(data=arrays(shift=1.0))
    assert run(data=arrays()).state is SweepState.COMPLETE


@pytest.mark.usefixtures("loading")
def test_a_sweep_over_arrays_is_resumed_with_the_arrays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = run(data=arrays(), on_progress=interrupted_after(2))
    monkeypatch.setattr("dnnsweep.executors.local.LocalExecutor", inprocess)

    with pytest.raises(SpecError, match=r"dnnsweep.run\(spec, data=\(x, y\)\)"):
        dnnsweep.resume("pretend")

    assert sweep.state is SweepState.INTERRUPTED
    assert dnnsweep.resume("pretend", data=arrays()).state is SweepState.COMPLETE


@pytest.mark.usefixtures("loading")
def test_arrays_that_cannot_be_used_are_refused_and_store_nothing(run: Run, home: Path) -> None:
    x, y = arrays()

    with pytest.raises(SpecError):
        run(data=(x, y[:-1]))
    assert dnnsweep.sweeps(home=home) == []


# -- MLflow ---------------------------------------------------------------------------------------------------------


def test_every_trial_and_the_sweep_are_delivered(run: Run) -> None:
    sweep = run(trials=5)

    shown = sweep.show()
    assert shown.n_undelivered == 0
    assert FakeMlflow.pages.keys() == {shown.run_id, *(trial.run_id for trial in sweep.trials())}
    assert FakeMlflow.pages[str(shown.run_id)].status == "FINISHED"
    assert all(
        FakeMlflow.pages[str(trial.run_id)].params["dropout"] == str(trial.params["dropout"])
        for trial in sweep.trials()
    )


def test_a_sweep_does_without_its_store_and_delivers_when_it_is_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeMlflow, "is_away", True)
    sweep = run(trials=3)
    assert (sweep.state, sweep.show().n_undelivered, FakeMlflow.pages) == (SweepState.COMPLETE, 4, {})

    monkeypatch.setattr(FakeMlflow, "is_away", False)
    trials = run(trials=3).trials()

    assert sweep.show().n_undelivered == 0
    assert len(FakeMlflow.pages) == 4
    assert all(trial.state is State.COMPLETE for trial in trials)


def test_deleting_removes_runs_and_models_or_says_that_runs_are_left(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(trials=3)
    run(name="kept", trials=2)
    (home / "models" / "pretend").mkdir(parents=True)

    monkeypatch.setattr(FakeMlflow, "is_away", True)
    assert dnnsweep.delete("pretend") is False
    assert [sweep.name for sweep in dnnsweep.sweeps()] == ["kept"]
    assert not (home / "models" / "pretend").exists()
    assert len(FakeMlflow.pages) == 7

    monkeypatch.setattr(FakeMlflow, "is_away", False)
    assert dnnsweep.delete("kept") is True
    assert FakeMlflow.pages == {}


def test_a_stopped_sweep_ends_after_its_present_trial_and_goes_on_when_it_is_resumed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnnsweep.runner.controller.watchdog.RENEW_SECONDS", 0.0)
    whole = identity(run(name="whole").trials())

    def stop(progress: Progress) -> None:
        if progress.ended is not None and progress.n_finished == 2:
            assert dnnsweep.stop("pretend") is True

    sweep = run(on_progress=stop)

    assert (sweep.state, sweep.show().n_finished) == (SweepState.STOPPED, 2)
    assert FakeMlflow.pages[str(sweep.show().run_id)].status == "KILLED"
    assert run().state is SweepState.COMPLETE
    assert identity(sweep.trials()) == whole


def test_validating_says_what_would_be_done_and_stores_nothing(home: Path) -> None:
    outline = dnnsweep.validate(SWEEP, overrides=["budget.trials=40"])

    assert (outline.data.n_features, outline.direction, outline.window) == (4, "maximize", 5)
    assert outline.to_json()["spec"]["budget"]["trials"] == 40
    assert not home.exists()
