"""What follows the last trial: repeats, effects and the retrained winner, with the pretend trainer in this process."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fake_mlflow import use_fake_mlflow
from workspace import SWEEP

import dnnsweep
from dnnsweep.errors import SweepFailedError
from dnnsweep.ledger import Ledger
from dnnsweep.records import Candidate, Purpose, Reason, Repeat, SweepState
from dnnsweep.records.phases import Phase
from dnnsweep.runner.answering import N_SEEDS
from dnnsweep.runner.controller import Progress
from dnnsweep.settings import find_settings

CONFIRM = {"top": 3, "budget": 1}
#: The best trial differs from it in the optimizer only.
ENQUEUED = [{"dropout": 0.3, "optimizer": "sgd"}, {"dropout": 0.0, "optimizer": "nadam"}]
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
        assert home is not None
        return dnnsweep.run({**SWEEP, "confirm": CONFIRM, **(spec or {})}, executor="inprocess", **arguments)

    return call


def repeats_of(name: str = "pretend") -> list[tuple[Candidate, Repeat]]:
    with closing(Ledger.open(find_settings().database_url)) as ledger:
        sweep = ledger.sweep(name)
        candidates = ledger.candidates(sweep)
        return [(candidates[repeat.candidate], repeat) for repeat in ledger.repeats(sweep)]


def answer_of(name: str = "pretend") -> dict[str, Any]:
    with closing(Ledger.open(find_settings().database_url)) as ledger:
        return ledger.answer(ledger.sweep(name))


def n_openings() -> int:
    """Return how often any test rows were opened."""
    with closing(sqlite3.connect(find_settings().database_url.removeprefix("sqlite:///"))) as database:
        return int(database.execute("SELECT count(*) FROM test_openings").fetchone()[0])


def identity_of_repeats(name: str = "pretend") -> list[tuple[Any, ...]]:
    """Return what must not depend on how repeats were run."""
    return [
        (c.purpose, c.label, dict(c.params), r.block, r.seed, r.value, r.epochs, r.reason) for c, r in repeats_of(name)
    ]


def interrupted_after(n_repeats: int) -> Callable[[Progress], None]:
    """Return a callback that presses Ctrl-C when so many repeats have ended."""
    ended: list[Progress] = []

    def look(progress: Progress) -> None:
        if progress.n_repeats is not None and progress.ended is not None:
            ended.append(progress)
            if len(ended) == n_repeats:
                signal.raise_signal(signal.SIGINT)

    return look


def test_the_best_and_the_baseline_are_repeated_in_blocks(run: Run) -> None:
    run({"enqueue": ENQUEUED})

    in_blocks = [(c, r) for c, r in repeats_of() if c.purpose is Purpose.CONFIRM]
    labels = {c.label for c, _ in in_blocks}
    assert labels > {"trial 1", "baseline (trial 0)"}
    assert len(labels) == 4
    for block in range(3):
        seeds = {r.seed for _, r in in_blocks if r.block == block}
        assert len([r for _, r in in_blocks if r.block == block]) == 4
        assert len(seeds) == 1
    assert len({r.seed for _, r in in_blocks}) == len({r.block for _, r in in_blocks})
    assert all(r.value is not None for _, r in in_blocks)


def test_trials_stay_what_they_are_without_repeats(run: Run) -> None:
    confirmed = run()
    alone = run({"name": "alone", "confirm": None})

    assert [t.value for t in confirmed.trials()] == [t.value for t in alone.trials()]
    assert repeats_of("alone") == []
    assert answer_of("alone") == {}


def test_sweeps_that_are_not_trained_in_arrays_are_confirmed_only_if_their_file_asks(run: Run) -> None:
    run({"confirm": "auto"})

    assert repeats_of() == []


def test_no_confirm_repeats_nothing_and_confirms_later(run: Run) -> None:
    run(confirm=False)
    assert repeats_of() == []

    run()
    assert len(repeats_of()) > 0


@pytest.mark.parametrize("n_repeats", [1, 11, 14, 40])
def test_an_interrupted_answer_is_continued_to_the_same_answer(run: Run, n_repeats: int) -> None:
    spec = {"enqueue": ENQUEUED, "effects": {"blocks": 3}}
    run({**spec, "name": "whole"})
    sweep = run(spec, on_progress=interrupted_after(n_repeats))
    assert sweep.state is SweepState.INTERRUPTED

    sweep = run(spec)

    assert sweep.state is SweepState.COMPLETE
    in_blocks = [row for row in identity_of_repeats() if row[0] is not Purpose.RETRAIN]
    assert in_blocks == [row for row in identity_of_repeats("whole") if row[0] is not Purpose.RETRAIN]
    assert answer_of()["test"] == {**answer_of("whole")["test"], "n_opened": 2}


def test_retrainings_that_an_interrupted_run_has_left_are_trained_as_new_ones(run: Run) -> None:
    spec = {"description": "sleep=0.05"}
    left: list[int] = []

    def interrupt(progress: Progress) -> None:
        if progress.phase is Phase.RETRAINING and (progress.n_repeats or (0, 0))[0] >= 2 and not left:
            left.append(progress.n_finished)
            signal.raise_signal(signal.SIGINT)

    assert run(spec, on_progress=interrupt).state is SweepState.INTERRUPTED
    assert run(spec).state is SweepState.COMPLETE

    retrained = [r for c, r in repeats_of() if c.purpose is Purpose.RETRAIN]
    given_up = [r for r in retrained if r.reason is Reason.STOPPED]
    assert len(given_up) > 0
    assert len([r for r in retrained if r.reason is Reason.COMPLETED]) == len(retrained) - len(given_up) < 2 * N_SEEDS
    assert len(retrained) == 2 * N_SEEDS


def test_the_score_is_told_although_effects_could_not_be_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise SweepFailedError("10 trials in a row failed")

    monkeypatch.setattr("dnnsweep.runner.answering.Answering._measure_effects", fail)
    run({"effects": {"blocks": 3}})

    answer = answer_of()
    assert answer["skipped"] == {"effects": "10 trials in a row failed"}
    assert answer["test"]["n_opened"] == 1
    assert answer["done"].keys() == {"confirm", "cures", "test"}


def test_an_answered_sweep_is_not_trained_again(run: Run) -> None:
    run()
    before = repeats_of()
    began: list[Progress] = []

    run(on_progress=began.append)

    assert began == []
    assert repeats_of() == before


def test_more_trials_are_confirmed_with_the_repeats_that_exist(run: Run) -> None:
    run(trials=8)
    before = identity_of_repeats()

    run(trials=16)

    assert identity_of_repeats()[: len(before)] == before
    assert answer_of()["done"]["confirm"]["n_trials"] == 16


def test_effects_use_the_repeats_of_winner_and_baseline_again(run: Run) -> None:
    run({"enqueue": ENQUEUED, "effects": {"blocks": 3}})

    rows = [(str(c.params), r.block) for c, r in repeats_of() if c.purpose is not Purpose.RETRAIN]
    assert len(rows) == len(set(rows))
    assert {r.block for c, r in repeats_of() if c.purpose is Purpose.EFFECTS} == {0, 1, 2}


def test_the_winner_is_retrained_and_test_rows_are_opened_once(run: Run, home: Path) -> None:
    run()
    retrained = [r for c, r in repeats_of() if c.purpose is Purpose.RETRAIN]
    assert len(retrained) == N_SEEDS == len({r.seed for r in retrained})
    assert answer_of()["test"]["n_opened"] == 1
    kept = home / "models" / "pretend" / "retrained" / answer_of()["retrained"]["model"]
    assert list(kept.parent.iterdir()) == [kept]

    run({"name": "same-rows"})
    assert answer_of("same-rows")["test"]["n_opened"] == 2


def test_the_model_of_a_former_winner_goes(run: Run, home: Path) -> None:
    sweep = run()
    former = answer_of()["retrained"]["model"]

    dnnsweep.retrain("pretend", sweep.best(top=1)[0].number, executor="inprocess")

    kept = answer_of()["retrained"]["model"]
    assert kept != former
    assert [path.name for path in (home / "models" / "pretend" / "retrained").iterdir()] == [kept]


def test_test_rows_stay_closed_where_nobody_asks_or_the_sweep_was_stopped(run: Run) -> None:
    run(test=False)
    assert [c for c, _ in repeats_of() if c.purpose is Purpose.RETRAIN] == []
    assert answer_of()["test"] is None

    run()
    assert answer_of()["test"]["n_opened"] == 1


def test_a_stop_while_repeats_are_trained_stops_the_sweep(run: Run) -> None:
    stopped: list[bool] = []

    def stop(progress: Progress) -> None:
        if progress.n_repeats is not None and not stopped:
            stopped.append(True)
            dnnsweep.stop("pretend")

    spec = {"description": "sleep=0.5"}
    sweep = run({**spec, "budget": {"trials": 4}}, on_progress=stop)

    assert sweep.state is SweepState.STOPPED
    assert answer_of()["test"] is None
    assert [c for c, _ in repeats_of() if c.purpose is Purpose.RETRAIN] == []


def test_the_time_of_a_sweep_covers_its_repeats(run: Run) -> None:
    sweep = run({"description": "sleep=0.1", "budget": {"trials": 4, "seconds": 2.5}})

    assert sweep.state is SweepState.COMPLETE
    assert "confirm" not in answer_of().get("done", {})
    assert answer_of()["test"] is None
    assert [c for c, _ in repeats_of() if c.purpose is Purpose.RETRAIN] == []
    assert n_openings() == 0


def test_a_sweep_whose_repeats_all_fail_is_complete_all_the_same(run: Run) -> None:
    sweep = run({"description": "fail_from=1000"})

    assert sweep.state is SweepState.COMPLETE
    assert "in a row failed" in answer_of()["skipped"]["confirm"]


def test_a_sweep_that_reached_its_target_is_confirmed(run: Run) -> None:
    sweep = run({"budget": {"trials": 16, "target": 0.5}})

    assert sweep.state is SweepState.COMPLETE
    assert sweep.show().n_finished < 16
    assert answer_of()["done"].keys() >= {"confirm"}


def test_two_objectives_are_not_confirmed(run: Run) -> None:
    run({"objective": [{"metric": "val_accuracy"}, {"metric": "n_parameters"}]})

    assert repeats_of() == []


def test_a_deleted_sweep_takes_its_repeats_along_but_not_the_count_of_openings(run: Run) -> None:
    run()
    dnnsweep.delete("pretend")
    run()

    assert answer_of()["test"]["n_opened"] == 2
