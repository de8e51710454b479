"""What people type about answers, and what they are told: `answer`, `confirm`, `effects`, `retrain`, `best`, `run`."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_mlflow import use_fake_mlflow
from workspace import SWEEP

import dnnsweep
from dnnsweep.cli import main
from dnnsweep.cli.progress_display import PlainLines
from dnnsweep.cli.progress_view import ProgressView
from dnnsweep.client.progress_bar import ProgressBar
from dnnsweep.errors import AnswerError, ExportError, SpecError, SweepNotFoundError
from dnnsweep.executors.inprocess import InProcessExecutor
from dnnsweep.records import Curve, Reason, Suggestion, SweepState, TrialResult
from dnnsweep.records.phases import Phase
from dnnsweep.runner.controller import Progress, TrialEnded

CONFIRM = {"top": 3, "blocks": 4}
#: Trial 1 is the best; it differs from the baseline, which is trial 0, in two hyperparameters.
ENQUEUED = [{"dropout": 0.3, "optimizer": "sgd"}, {"dropout": 0.0, "optimizer": "nadam"}]
CONFIRMED = {**SWEEP, "enqueue": ENQUEUED, "confirm": CONFIRM, "budget": {"trials": 6}}
#: The baseline wins, and no trial has its dropout of 0.
DEFAULT = {**CONFIRMED, "name": "default", "enqueue": [], "space": {"dropout": [0.5, 0.6]}}
Call = Callable[..., tuple[int, str, str]]


def prepare(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for name in ("DNNSWEEP_DATABASE_URL", "MLFLOW_TRACKING_URI", "DNNSWEEP_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DNNSWEEP_HOME", str(home))
    monkeypatch.setenv("DNNSWEEP_TRAINER", "scripted_trainer:ScriptedTrainer")
    monkeypatch.setenv("COLUMNS", "200")
    use_fake_mlflow(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with sweeps: one with an answer, one whose baseline wins and is no trial, one that was never repeated, one
    of two objectives, and one that was interrupted."""
    home = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as monkeypatch:
        prepare(monkeypatch, home)
        run(CONFIRMED)
        run(DEFAULT)
        run({**CONFIRMED, "name": "alone"}, confirm=False)
        pair = [{"metric": "val_accuracy"}, {"metric": "n_parameters"}]
        run({**CONFIRMED, "name": "pair", "confirm": "auto", "objective": pair, "sampler": {"kind": "nsga2"}})
        run({**CONFIRMED, "name": "cut"}, on_progress=press_once)
    return home


def press_once(progress: Progress) -> None:
    if progress.ended is not None and progress.ended.result.number == 2:
        signal.raise_signal(signal.SIGINT)


def run(spec: dict[str, Any], **arguments: Any) -> dnnsweep.SweepHandle:
    return dnnsweep.run(spec, executor="inprocess", **arguments)


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the home, to be written to."""
    prepare(monkeypatch, shutil.copytree(made, tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    assert home.is_dir()

    def command(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["dnnsweep", *words])
        before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
        with pytest.raises(SystemExit) as end:
            main()
        for kind, handler in before.items():
            signal.signal(kind, handler)
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return command


def here(call: Call, *words: str) -> tuple[int, str, str]:
    return call(*words, "--executor", "inprocess")


# -- answer ---------------------------------------------------------------------------------------------------------


def test_an_answer_is_told_in_sentences_and_as_the_json_that_python_has(call: Call) -> None:
    answer = dnnsweep.answer("pretend")

    assert call("answer", "pretend") == (0, "".join(f"{line}\n" for line in answer.sentences), "")
    told = json.loads(call("answer", "pretend", "--json")[1])
    assert told == answer.to_json()
    assert told.keys() >= {"winner", "baseline", "p_best", "p_better_than_baseline", "tied", "test", "effects"}
    assert told["winner"]["number"] == told["retrained"]["trial"] == 1
    assert len(told["winner"]["interval"]) == 2
    assert told["test"]["n_opened"] == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("alone", "its best trials were not repeated; `dnnsweep confirm alone` repeats them"),
        ("cut", "it is interrupted; `dnnsweep resume cut` continues it"),
        ("pair", "which only sweeps of one objective have; `dnnsweep best pair` shows its front"),
        ("nothing", "there is no sweep named nothing"),
    ],
)
def test_a_sweep_without_an_answer_says_why_and_what_to_type(call: Call, name: str, says: str) -> None:
    code, out, err = call("answer", name)

    assert (code, out) == (1, "")
    assert says in err


def test_a_run_ends_with_its_answer_in_at_most_twelve_lines(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "again.json"
    file.write_text(json.dumps({**CONFIRMED, "name": "again"}))

    code, out, err = here(call, "run", str(file))

    assert code == 0
    assert out.splitlines() == dnnsweep.answer("again").sentences
    *lines, conclusion, more = err.splitlines()
    assert conclusion == "sweep again is complete: 6 trials, 0 failed; all in MLflow"
    assert more == "More: `dnnsweep ui again`, `dnnsweep best again`, `dnnsweep export again -o best.py`"
    assert len(out.splitlines()) + 1 <= 12
    assert len([line for line in lines if line.startswith("[")]) == 6
    told = [line for line in lines if not line.startswith("[")]
    assert told[0::2] == ["confirming the best: repeats begin", "retraining the winner: repeats begin"]
    assert told[3:] == ["retraining the winner: 10 of 10 repeats"]
    assert json.loads(here(call, "run", str(file), "--json")[1])[0]["number"] == 1


# -- best -----------------------------------------------------------------------------------------------------------


def test_the_best_are_those_that_were_confirmed_and_their_numbers_say_what_they_are(call: Call) -> None:
    _, out, err = call("best", "pretend")

    head, first, *_ = out.splitlines()
    winner = dnnsweep.answer("pretend").winner
    assert winner is not None
    assert head.split()[:3] == ["number", "value", "confirmed"]
    assert first.split()[0] == "1"
    assert f"{winner['mean']:.4g} (" in first
    assert f"{winner['n']} repeats)" in first
    assert "confirmed: mean of so many repeats" in err
    assert "value: the best of 6 trials, one training each, so partly luck" in err
    assert call("best", "alone")[2] == "value: the best of 6 trials, one training each, so partly luck\n"


def test_programs_read_means_of_repeats_beside_the_values_of_trials(call: Call) -> None:
    entries = json.loads(call("best", "pretend", "--json", "--top", "6")[1])
    rows = list(csv.DictReader(io.StringIO(call("best", "pretend", "--csv", "--top", "6")[1])))

    confirmed = {entry["number"]: entry["confirmed"] for entry in entries}
    answered = {c["number"]: c for c in dnnsweep.answer("pretend").candidates}
    assert {number for number, record in confirmed.items() if record} == set(answered)
    assert {number: record["mean"] for number, record in confirmed.items() if record} == {
        number: candidate["mean"] for number, candidate in answered.items()
    }
    assert confirmed[1].keys() == {"mean", "interval", "n"}
    assert [row["confirmed.n"] for row in rows] == [str(e["confirmed"]["n"]) if e["confirmed"] else "" for e in entries]
    assert "confirmed" not in rows[0]
    frame = dnnsweep.SweepHandle("pretend", None).to_dataframe()
    assert frame.loc[1, "confirmed"] == confirmed[1]["mean"]


@pytest.mark.usefixtures("home")
def test_candidates_that_left_the_race_come_after_those_in_it_and_by_their_value() -> None:
    answer, best = dnnsweep.answer("pretend"), dnnsweep.best("pretend", top=6)
    live = [c["number"] for c in answer.candidates if c["is_live"]]

    assert [trial.number for trial in best[: len(live)]] == live
    rest = [trial.value for trial in best[len(live) :]]
    assert rest == sorted(rest, key=lambda value: -(value or 0))
    assert [t.number for t in dnnsweep.best("pretend", where="optimizer == 'sgd'") if t.number in live] == [
        number for number in live if dnnsweep.trials("pretend")[number].params["optimizer"] == "sgd"
    ]


@pytest.mark.usefixtures("home")
def test_after_more_trials_the_old_confirmation_puts_none_first() -> None:
    run({**CONFIRMED, "budget": {"trials": 12}}, confirm=False)

    best = dnnsweep.best("pretend", top=12)
    assert [t.value for t in best] == sorted((t.value for t in best), key=lambda value: -(value or 0))
    assert sum(t.confirmed is not None for t in best) == len(dnnsweep.answer("pretend").candidates)


# -- confirm, effects, retrain --------------------------------------------------------------------------------------


def test_confirm_repeats_the_best_of_a_complete_sweep_and_scores_the_winner(call: Call) -> None:
    code, out, err = here(call, "confirm", "alone", "--top", "2", "--blocks", "3")

    answer = dnnsweep.answer("alone")
    assert (code, out.splitlines()) == (0, answer.sentences)
    assert "confirming the best: repeats begin" in err
    assert (len(answer.candidates), answer.n_blocks) == (3, 3)
    assert answer.test is not None
    assert dnnsweep.show("alone").spec["confirm"] == {"top": 2, "blocks": 3, "budget": 0.25}


@pytest.mark.usefixtures("home")
def test_confirm_uses_repeats_again_and_adds_what_is_missing() -> None:
    before = dnnsweep.answer("pretend")
    asked: list[int] = []

    def note(progress: Progress) -> None:
        if progress.phase is Phase.CONFIRMING and progress.n_repeats is not None:
            asked.append(progress.n_repeats[1])

    dnnsweep.confirm("pretend", top=5, executor="inprocess", on_progress=note)

    after = dnnsweep.answer("pretend")
    assert len(after.candidates) == len(before.candidates) + 1
    assert max(asked) <= 4
    assert after.test == before.test  # the winner is the same


def test_effects_stand_beside_the_importance_in_the_search_and_open_no_test_rows(call: Call) -> None:
    here(call, "confirm", "alone", "--no-test")
    answer = dnnsweep.answer("alone")
    assert (answer.test, answer.retrained) == (None, None)
    assert dnnsweep.SweepHandle("alone", None).best_params == (answer.winner or {})["params"]

    code, out, err = here(call, "effects", "alone", "--blocks", "3")

    assert code == 0
    head, *lines = out.splitlines()
    assert head.split() == ["hyperparameter", "from", "to", "effect", "importance"]
    assert [line.split()[0] for line in lines] == ["dropout", "optimizer"]
    assert lines[0].split()[1:3] == ["0.3", "0"]
    assert " %" in lines[0]
    assert "it describes the trials of the search, and is no effect" in err
    assert dnnsweep.answer("alone").test is None
    told = json.loads(here(call, "effects", "alone", "--json")[1])
    assert [effect["name"] for effect in told["effects"]] == ["dropout", "optimizer"]
    assert sum(told["importance"].values()) == pytest.approx(1)


def test_values_of_a_hyperparameter_are_compared_each_with_its_own_best_steps(call: Call) -> None:
    before = dnnsweep.answer("pretend")

    code, out, _ = here(call, "effects", "pretend", "--isolate", "dropout", "--blocks", "3")

    after = dnnsweep.answer("pretend")
    assert code == 0
    head, *lines = out.splitlines()
    assert head.split() == ["dropout", "optimizer", "learning_rate", "val_accuracy", "repeats", "best", "in"]
    assert [line.split()[0] for line in lines] == ["0", "0.3"]  # the winner's, which is better, and the baseline's
    assert (after.winner, after.test, after.effects) == (before.winner, before.test, before.effects)
    assert after.winner is not None
    assert after.sentences != before.sentences
    assert "effects" not in dnnsweep.show("pretend").spec
    told = json.loads(here(call, "effects", "pretend", "--isolate", "dropout", "--blocks", "3", "--json")[1])
    assert [(one["value"], one["n"]) for one in told] == [(0.0, 3), (0.3, 3)]
    assert len(told) == len(after.isolated)


def test_a_trial_can_be_retrained_in_place_of_the_winner_and_the_answer_says_so(call: Call) -> None:
    before = dnnsweep.answer("pretend")

    code, out, _ = here(call, "retrain", "pretend", "--trial", "4")

    after = dnnsweep.answer("pretend")
    assert code == 0
    assert "What follows is about trial 4, which was retrained in place of the winner." in out.splitlines()
    assert (after.winner, after.candidates) == (before.winner, before.candidates)
    assert after.retrained is not None
    assert after.test is not None
    assert before.test is not None
    assert (after.retrained["trial"], after.test["n_opened"]) == (
        4,
        before.test["n_opened"] + 2,
    )  # "default" has the same rows
    assert here(call, "retrain", "pretend", "--trial", "4")[1] == out
    assert dnnsweep.answer("pretend") == after
    assert run(CONFIRMED).state is SweepState.COMPLETE
    assert dnnsweep.answer("pretend") == after


@pytest.mark.usefixtures("home")
def test_a_trial_of_a_sweep_that_was_not_confirmed_can_be_retrained() -> None:
    dnnsweep.retrain("alone", 1, executor="inprocess")

    answer = dnnsweep.answer("alone")
    assert answer.kind == "best_of_many"
    assert answer.test is not None
    assert answer.retrained is not None
    assert answer.retrained["n_epochs"] == 3


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda: dnnsweep.confirm("cut"), AnswerError, "is interrupted; `dnnsweep resume cut` first"),
        (lambda: dnnsweep.effects("pair"), AnswerError, "only a sweep of one objective has a winner"),
        (lambda: dnnsweep.confirm("alone", blocks=0), SpecError, "confirm.blocks"),
        (lambda: dnnsweep.effects("alone", budget=-1.0), SpecError, "effects.budget"),
        (lambda: dnnsweep.effects("alone", isolate="optimiser"), AnswerError, "did you mean optimizer"),
        (lambda: dnnsweep.retrain("alone", 99), SweepNotFoundError, "has no trial 99"),
        (lambda: dnnsweep.retrain("nothing", 0), SweepNotFoundError, "no sweep named nothing"),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_cannot_be_asked_is_refused_before_anything_is_trained(
    ask: Callable[[], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        ask()


def test_an_interrupted_sweep_is_resumed_with_its_test_rows_closed(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "dnnsweep.executors.local.LocalExecutor", lambda job, _, trainer, __: InProcessExecutor(job, trainer)
    )
    assert call("resume", "cut", "--no-test")[0] == 0

    answer = dnnsweep.answer("cut")
    assert (answer.kind, answer.test) == ("confirmed", None)


@pytest.mark.usefixtures("home")
def test_a_sweep_without_time_left_says_how_to_give_it_more() -> None:
    run({**CONFIRMED, "name": "late", "confirm": None, "budget": {"trials": 6, "seconds": 1e-6}})
    n_trials = dnnsweep.show("late").n_finished

    with pytest.raises(AnswerError, match=f"has spent its 1e-06 seconds, .* --trials {n_trials} --seconds 2e-06"):
        dnnsweep.confirm("late")


def test_the_code_of_a_confirmed_trial_says_what_its_repeats_have(home: Path) -> None:
    confirmed = dnnsweep.best("pretend", top=1)[0].confirmed
    assert confirmed is not None

    header = dnnsweep.export("pretend", home=home).partition('"""\n')[0]

    mean = f"{confirmed.mean:.6g}"
    assert f"the mean of {confirmed.n} repeats on other seeds and splits is {mean}." in header


@pytest.mark.usefixtures("home")
def test_a_service_is_asked_by_the_sweep_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DNNSWEEP_HOME")
    monkeypatch.setenv("DNNSWEEP_API_URL", "http://127.0.0.1:1")

    with pytest.raises(AnswerError, match="put `confirm` and `effects` into the file"):
        dnnsweep.confirm("alone")
    with pytest.raises(AnswerError, match="workers score what they confirm"):
        dnnsweep.resume("alone", test=False)


# -- models ---------------------------------------------------------------------------------------------------------


def test_the_model_of_a_sweep_is_that_of_its_retrained_winner(call: Call, home: Path, tmp_path: Path) -> None:
    file, retrained = tmp_path / "net.keras", dnnsweep.answer("pretend").retrained
    assert retrained is not None
    kept = home / "models" / "pretend" / "retrained" / retrained["model"]

    code, _, err = call("export", "pretend", "--as", "keras", "--encoded", "-o", str(file))

    assert (code, file.read_bytes()) == (0, kept.read_bytes())
    assert "note:" not in err


@pytest.mark.usefixtures("home")
def test_to_the_weights_of_a_trial_no_test_score_belongs() -> None:
    from dnnsweep.client import untested_note

    note = untested_note("pretend", 1, None)

    assert note is not None
    assert "these are the weights of trial 1 at its best epoch; the test score" in note
    assert untested_note("pretend", None, None) is None
    assert untested_note("alone", 1, None) is None


def test_a_retrained_model_that_is_gone_is_missed(home: Path) -> None:
    shutil.rmtree(home / "models" / "pretend" / "retrained")

    with pytest.raises(ExportError, match=r"the retrained model must be in .*, but is not"):
        dnnsweep.export_model("pretend", home / "net.keras", encoded=True)


def test_a_baseline_that_wins_and_is_no_trial_is_told_but_not_exported_as_code(call: Call, tmp_path: Path) -> None:
    answer = dnnsweep.answer("default")
    assert answer.winner is not None
    assert answer.winner["number"] is None

    code, _, err = call("export", "default")

    assert code == 1
    assert "the winner of sweep default is its baseline, which no trial has trained; --trial" in err
    assert dnnsweep.SweepHandle("default", None).best_params == answer.winner["params"]
    file = tmp_path / "default.json"
    file.write_text(json.dumps(DEFAULT))
    assert "`dnnsweep export default -o best.keras`" in here(call, "run", str(file))[2]


# -- progress -------------------------------------------------------------------------------------------------------

REPEATING = Progress(2**31, 45, 1, {10**8 + 45: 1}, None, 9.0, 1e9, phase=Phase.CONFIRMING, n_repeats=(45, 63))


def failed_repeat() -> Progress:
    result = TrialResult(10**8 + 3, 1, Reason.FAILED, Curve(), None, 1.0, "ValueError: no")
    return replace(REPEATING, ended=TrialEnded(Suggestion(result.number, {}, 1), result, None))


def test_the_live_display_shows_repeats_under_the_full_bar_of_trials() -> None:
    view = ProgressView("digits")
    view.note(Progress(100, 100, 0, {}, None, 5.0, None), 100.0)

    view.note(REPEATING, 105.0)

    lines = ["".join(piece.text for piece in line) for line in view.lines(80, 106.0, 20.0)]
    assert lines[0] == "digits  confirming the best  20 s"
    assert lines[1] == f"{'━' * 40}  100/100  0 failed"
    assert lines[2] == "confirming the best  45 of 63 repeats"
    assert len(lines) == 3


def test_of_repeats_only_errors_get_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainLines()
    for progress in (REPEATING, REPEATING, failed_repeat(), replace(REPEATING, phase=Phase.COMPARING)):
        lines.tell(progress)
    lines.end()

    assert capsys.readouterr().err.splitlines() == [
        "confirming the best: repeats begin",
        "confirming the best: a repeat ended as failed, ValueError: no",
        "confirming the best: 45 of 63 repeats",
        "measuring effects: repeats begin",
        "measuring effects: 45 of 63 repeats",
    ]


def test_a_notebooks_bar_stays_full_while_repeats_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.client.progress_bar._is_notebook", lambda: True)
    with ProgressBar("digits") as bar:
        bar.update(Progress(100, 100, 0, {}, None, 5.0, None))

        bar.update(REPEATING)

        assert (bar._bar.n, bar._bar.total) == (100, 100)
        assert bar._bar.postfix == "confirming the best: 45 of 63 repeats"
