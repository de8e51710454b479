"""The command line as a script sees it: exit codes, stdout, stderr."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml
from fake_mlflow import FakeMlflow, use_fake_mlflow
from workspace import SWEEP

import dnnsweep
from dnnsweep.cli import main, render, run_ending
from dnnsweep.cli.formats import format_number, format_setting
from dnnsweep.cli.progress_display import PlainLines, trial_line
from dnnsweep.cli.standard_streams import Output
from dnnsweep.errors import OutputError
from dnnsweep.ledger import Ledger, NewSweep
from dnnsweep.records import Curve, Reason, Suggestion, TrialResult
from dnnsweep.runner.controller import Incumbent, Progress, TrialEnded
from dnnsweep.spec import check

PAIR = [{"metric": "val_accuracy"}, {"metric": "n_parameters"}]
READING = ("init", "validate", "schema", "list", "show", "trials", "best", "export")
COMMANDS = (*READING, "run", "ui", "stop", "resume", "delete", "doctor")


@dataclass(frozen=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Said]


class Screen(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_control_characters_of_others_are_shown_and_not_sent_to_the_terminal(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = "a\x1b]0;b\x07\x7f\x9b2J\rz\nmore"
    dnnsweep.submit({**SWEEP, "name": "odd", "description": odd}, home=home)
    with closing(Ledger.open(f"sqlite:///{home}/dnnsweep.db", create=False)) as ledger:
        shown = ledger.sweep("odd")
    for form in ("text", "csv", "yaml", "json"):
        render.print_sweep(shown, form)
        out = capsys.readouterr().out
        assert not set(out) & set("\x1b\x07\x7f\x9b\r"), form
        assert "2J" in out, form
        if form == "json":
            assert json.loads(out)["description"] == odd
        else:
            assert "\\x1b]0;b" in out or "\\e]0;b" in out, form


def prepare(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for name in ("DNNSWEEP_DATABASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DNNSWEEP_HOME", str(home))
    monkeypatch.setenv("DNNSWEEP_TRAINER", "scripted_trainer:ScriptedTrainer")
    monkeypatch.setenv("COLUMNS", "200")
    use_fake_mlflow(monkeypatch)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    prepare(monkeypatch, tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """Calls what the `dnnsweep` script calls."""
    assert not home.exists()
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: str) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["dnnsweep", *words])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return Said(int(end.value.code or 0), out, err)

    yield run
    for kind, handler in before.items():
        signal.signal(kind, handler)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    def write(**changes: Any) -> str:
        path = tmp_path / f"sweep-{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(json.dumps({**SWEEP, **changes}))
        return str(path)

    return write


Write = Callable[..., str]


# -- help and usage -------------------------------------------------------------------------------------------------


def test_help_names_every_command(call: Call) -> None:
    said = call("--help")

    assert said.code == 0
    assert said.err == ""
    assert [name for name in COMMANDS if f" {name} " not in said.out] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(call: Call, command: str) -> None:
    said = call(command, "--help")

    assert (said.code, said.err) == (0, "")
    assert "Usage: " in said.out
    assert call(command, "-h") == said


def test_version_is_the_packages(call: Call) -> None:
    from importlib.metadata import version

    assert call("--version") == Said(0, f"dnnsweep {version('dnnsweep')}\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["--nonsense"],
        ["run"],
        ["run", "a.yaml", "--trials", "0"],
        ["run", "a.yaml", "--trials", "few"],
        ["run", "a.yaml", "--trainers", "0"],
        ["run", "a.yaml", "b.yaml"],
        ["best"],
        ["best", "x", "--top", "0"],
        ["best", "x", "--json", "--csv"],
        ["trials", "x", "--yaml", "--json"],
        ["export", "x", "--trial", "-1"],
        ["ui", "--port", "0"],
    ],
    ids=" ".join,
)
def test_bad_usage_ends_with_2_and_says_why_on_stderr(call: Call, home: Path, words: list[str]) -> None:
    said = call(*words)

    assert (said.code, said.out) == (2, "")
    assert said.err
    assert not home.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["best", "x", "--top", "0"], "--top: must be at least 1, got '0'"),
        (["best", "x", "--top", "few"], "--top: must be a whole number, got 'few'"),
        (["run", "x", "--seconds", "long"], "--seconds: must be a number, got 'long'"),
        (["ui", "--port", "70000"], "--port: must be at most 65535, got '70000'"),
        (["export", "x", "--as", "h5"], "--as: must be one of python, yaml, keras, optuna, got 'h5'"),
        (
            ["export", "x", "--as", "kera"],
            "--as: must be one of python, yaml, keras, optuna, got 'kera'; did you mean keras?",
        ),
        (["export", "x", "--as", "keras"], "a saved model must go to a file; add -o FILE.keras"),
        (["best", "x", "--json", "--csv"], "choose one of --json, --csv"),
        (["run"], "missing argument 'FILE'; `dnnsweep run -h` explains the command"),
        (["runn", "x"], "there is no command runn; did you mean run?"),
        (["forecast", "x"], "there is no command forecast; `dnnsweep -h` lists the commands"),
        (["list", "--hom", "x"], "--hom: unknown option of `dnnsweep list`; did you mean --home?"),
        (["validate", "x", "--trials", "3"], "--trials: unknown option of `dnnsweep validate`; run, submit take it"),
        (
            ["validate", "x", "--home", "h"],
            "--home: unknown option of `dnnsweep validate`; `dnnsweep validate` uses no home, so remove it",
        ),
    ],
    ids=lambda item: " ".join(item) if isinstance(item, list) else "",
)
def test_wrong_usage_is_told_like_every_other_error(call: Call, words: list[str], says: str) -> None:
    assert call(*words) == Said(2, "", f"error: {says}\n")


def test_a_home_may_be_named_before_the_command(call: Call, file: Write, tmp_path: Path) -> None:
    there, here = str(tmp_path / "there"), str(tmp_path / "here")

    assert call("--home", there, "run", file(), "--trials", "1", "--executor", "inprocess").code == 0

    assert [sweep.name for sweep in dnnsweep.sweeps(home=there)] == ["pretend"]
    assert len(call("--home", there, "list", "--json").json) == 1
    assert call("--home", there, "list", "--json", "--home", here).json == []
    assert call("--home", there, "schema").code == 0


def test_the_shell_completes_commands_and_the_names_of_sweeps(
    call: Call, file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(call, file(name="first"), "--trials", "1")
    run(call, file(name="second"), "--trials", "1")
    monkeypatch.setenv("_DNNSWEEP_COMPLETE", "complete_bash")

    def complete(*words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", " ".join(["dnnsweep", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        return call().out.split()

    assert "best" in complete("b")
    assert complete("best", "f") == ["first"]
    assert complete("best", "--home", "/proc/nowhere", "f") == []


def test_the_schema_accepts_the_sweeps_of_these_tests_and_refuses_others(call: Call) -> None:
    said = call("schema")

    assert (said.code, said.err) == (0, "")
    jsonschema.validate(SWEEP, said.json)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**SWEEP, "nonsense": 1}, said.json)


# -- init ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(home: Path) -> Path:
    """A table in the current folder; `home` makes that a folder of the test's own."""
    file = home.parent / "visits.csv"
    rows = (f"{row * 37 % 41},{row % 4},{'ill' if row % 3 else 'well'}" for row in range(60))
    file.write_text("\n".join(["pulse,unit,state", *rows]), encoding="utf-8")
    return file


@pytest.mark.usefixtures("table")
def test_init_writes_a_sweep_file_says_what_it_decided_and_what_to_type_next(call: Call) -> None:
    said = call("init", "visits.csv", "--target", "state")

    assert (said.code, said.out) == (0, "")
    assert "task: binary, ill 66.7%, well 33.3%" in said.err
    assert said.err.endswith("written to visits.yaml\nnext: dnnsweep run visits.yaml\n")
    assert call("validate", "visits.yaml").code == 0


@pytest.mark.usefixtures("table")
def test_init_replaces_no_file_unless_it_is_told_to(call: Call) -> None:
    Path("visits.yaml").write_text("mine", encoding="utf-8")

    refused = call("init", "visits.csv")

    assert (refused.code, Path("visits.yaml").read_text(encoding="utf-8")) == (1, "mine")
    assert refused.err == "error: visits.yaml exists, and is not replaced; add --force, or name another file with -o\n"
    assert call("init", "visits.csv", "--force").code == 0
    assert "name: visits" in Path("visits.yaml").read_text(encoding="utf-8")


@pytest.mark.usefixtures("table")
def test_init_writes_to_stdout_or_into_a_new_folder(call: Call) -> None:
    shown = call("init", "visits.csv", "-o", "-")
    written = call("init", "visits.csv", "-o", "new/a.yaml")

    assert not Path("visits.yaml").exists()
    assert Path("new/a.yaml").read_text(encoding="utf-8") == shown.out
    assert "next: dnnsweep run new/a.yaml" in written.err
    assert "target: state (a guess: " in written.err


@pytest.mark.usefixtures("table")
def test_init_asks_for_the_target_on_a_terminal(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Screen("puls\npulse\n"))

    said = call("init", "visits.csv")

    assert said.code == 0
    assert "columns: pulse, unit, state" in said.err
    assert "got 'puls'; did you mean pulse?" in said.err
    assert "target: pulse" in Path("visits.yaml").read_text(encoding="utf-8")


@pytest.mark.usefixtures("home")
def test_init_copies_an_example_with_the_files_that_it_needs(call: Call) -> None:
    assert call("init", "--example", "digits").code == 0
    assert call("init", "--example", "csv_example").code == 0
    assert call("init", "--example", "csv_example").code == 1

    assert call("validate", "digits.yaml").code == 0
    assert call("validate", "csv_example.yaml").code == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "name a table, such as `dnnsweep init visits.csv`, or `--example digits`; found visits.csv here"),
        (["visits.csv", "--example", "digits"], 2, "name a source or --example, not both"),
        (["--example", "digits", "--target", "x"], 2, "an example has its target; remove --target"),
        (["--example", "digit"], 2, "did you mean digits?\n  breast_cancer: "),
        (["visit.csv"], 2, "must be a file that exists, got 'visit.csv'; did you mean visits.csv?"),
        (["visits.csv", "--target", "stat"], 2, "got 'stat'; did you mean state?"),
        (["visits.csv", "-o", "visits.csv/a.yaml"], 1, "visits.csv/a.yaml cannot be written"),
    ],
)
@pytest.mark.usefixtures("table")
def test_init_says_what_is_wrong_and_what_to_do(call: Call, words: list[str], code: int, message: str) -> None:
    said = call("init", *words)

    assert (said.code, said.out) == (code, "")
    assert message in said.err


# -- validate and wrong files ---------------------------------------------------------------------------------------


def test_validate_says_what_a_run_would_do_and_stores_nothing(call: Call, home: Path, file: Write) -> None:
    said = call("validate", file(), "--set", "budget.trials=7")

    assert (said.code, said.err) == (0, "")
    for text in ("pretend", "sklearn:iris", "multiclass, 3 classes", "maximize val_accuracy", "7 trials", "dropout"):
        assert text in said.out
    plain = call("validate", file(), "--set", "budget.trials=7", "--json").json
    assert (plain["spec"]["budget"]["trials"], plain["data"]["task"], plain["window"]) == (7, "multiclass", 4)
    assert not home.exists()


WRONG: list[tuple[Mapping[str, Any], str]] = [
    ({"name": "a b"}, "name: "),
    ({"nonsense": 1}, "nonsense: "),
    ({"training": {"epoch": 3}}, "training.epoch: "),
    ({"training": {"epochs": 0}}, "training.epochs: "),
    ({"space": {"dropout": {"low": 0.9, "high": 0.1}}}, "space.dropout: low must not exceed high, got low=0.9"),
    ({"space": {"optimizer": ["sgd", "adma"]}}, "space.optimizer"),
    ({"space": {"dropuot": [0.1]}}, "space.dropuot: "),
    ({"objective": {"metric": "accuracy_val"}}, "objective.metric: "),
    ({"training": {"early_stopping": {"monitor": "val_mse"}}}, "training.early_stopping.monitor: "),
    ({"fixed": {"dropout": 0.1}}, "space.dropout: dropout may be set once"),
    ({"enqueue": [{"optimizer": "none"}]}, "enqueue.0.optimizer"),
    ({"dataset": {"source": "ftp:x"}}, "dataset.source: "),
    ({"dataset": {"source": "sklearn:digit"}}, "dataset.source: "),
    ({"sampler": {"kind": "magic"}}, "sampler.kind: "),
    ({"budget": {"trials": 1.5}}, "budget.trials: "),
]


@pytest.mark.parametrize("command", ["validate", "run"])
@pytest.mark.parametrize(("changes", "says"), WRONG, ids=str)
def test_a_wrong_file_ends_with_2_names_the_path_and_stores_nothing(
    call: Call, home: Path, file: Write, command: str, changes: Mapping[str, Any], says: str
) -> None:
    said = call(command, file(**changes))

    assert (said.code, said.out) == (2, "")
    assert f"error: {says}" in said.err
    assert "Traceback" not in said.err
    assert dnnsweep.sweeps(home=home) == []


def test_every_mistake_of_a_file_is_told_at_once(call: Call, file: Write) -> None:
    said = call(
        "run", file(nonsense=1, training={"epochs": 0}, space={"dropout": 3}, seed=-1), "--set", "budget.trials=0"
    )

    lines = said.err.splitlines()
    assert said.code == 2
    assert all(line.startswith("error: ") for line in lines)
    paths = {line.split(": ")[1] for line in lines}
    assert paths >= {"nonsense", "training.epochs", "space.dropout", "seed", "budget.trials"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "nowhere"),
        (b"name: [1,\n", "error: "),
        (b"name: x\nname: y\n", "name"),
        (b"- 1\n", "must be a mapping"),
        (b"", "must be a mapping"),
        (b"\xff\xfe\x00", "error: "),
        (b"a: &a [*a]\n", "error: "),
        (b"!!python/object/apply:os.system ['true']\n", "error: "),
    ],
    ids=str,
)
def test_a_file_that_cannot_be_read_ends_with_2(
    call: Call, home: Path, tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "nowhere.yaml"
    if content is not None:
        path.write_bytes(content)

    said = call("run", str(path))

    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert "Traceback" not in said.err
    assert not home.exists()


def test_a_file_of_a_similar_name_is_proposed(call: Call, tmp_path: Path) -> None:
    (tmp_path / "churn.yaml").touch()

    for word in ("churn", "churn.yml", "chrun.yaml"):
        assert call("run", word).err.endswith("; did you mean churn.yaml?\n"), word
    assert call("run", "other.yaml").err.endswith("; check the path\n")


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        ("run", "`dnnsweep resume pretend` continues it"),
        ("submit", "`dnnsweep resume pretend` continues it"),
        ("validate", "`dnnsweep show pretend` shows it"),
    ],
)
def test_the_name_of_a_sweep_in_place_of_its_file_leads_to_the_command_that_takes_it(
    call: Call, file: Write, command: str, remedy: str
) -> None:
    run(call, file(), "--trials", "1")

    said = call(command, "pretend")

    assert said == Said(2, "", f"error: pretend: must be a sweep file, got the name of a sweep; {remedy}\n")


def test_a_folder_is_no_sweep_file(call: Call, tmp_path: Path) -> None:
    said = call("run", str(tmp_path))

    assert (said.code, said.out) == (2, "")
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "override", ["training.epochs", "=5", "training..epochs=5", "name.first=x", "training.epochs=0"]
)
def test_a_wrong_override_ends_with_2(call: Call, home: Path, file: Write, override: str) -> None:
    said = call("run", file(), "--set", override)

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert not home.exists()


@pytest.mark.parametrize(
    ("table", "target", "says"),
    [
        (None, "kind", "dataset.source: "),
        ("", "kind", "dataset.source: "),
        ("width,kind\n", "kind", "dataset"),
        ("width,kind\n1,x\n2,y\n", "colour", "dataset.target: "),
        ("width,kind\n1,x\n2,x\n3,x\n", "kind", "dataset.target: "),
    ],
    ids=str,
)
def test_wrong_data_end_with_2_and_store_nothing(
    call: Call,
    home: Path,
    file: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    table: str | None,
    target: str,
    says: str,
) -> None:
    monkeypatch.setenv("DNNSWEEP_TRAINER", "scripted_trainer:LoadingTrainer")
    if table is not None:
        (tmp_path / "table.csv").write_text(table)

    said = call("run", file(dataset={"source": "csv:table.csv", "target": target}), "--executor", "inprocess")

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {says}")
    assert "Traceback" not in said.err
    assert dnnsweep.sweeps(home=home) == []


# -- run ------------------------------------------------------------------------------------------------------------


def run(call: Call, file: str, *words: str) -> Said:
    return call("run", file, "--executor", "inprocess", *words)


def test_run_takes_a_name_a_budget_and_overrides(call: Call, home: Path, file: Write) -> None:
    words = ("--name", "2024", "--trials", "3", "--seconds", "60", "--set", "training.epochs=2", "--set", "seed=9")

    said = run(call, file(), *words, "--home", str(home / "sub"))

    assert said.code == 0, said.err
    shown = dnnsweep.show("2024", home=home / "sub")
    assert (shown.n_finished, shown.spec["budget"]["seconds"], shown.spec["seed"]) == (3, 60, 9)
    assert {trial.epochs for trial in dnnsweep.trials("2024", home=home / "sub")} == {2}
    assert not (home / "dnnsweep.db").exists()


def test_run_prints_progress_on_stderr_and_the_best_on_stdout(call: Call, file: Write, home: Path) -> None:
    said = run(call, file(), "--trials", "3")

    *lines, conclusion = said.err.splitlines()[:-5]
    best = dnnsweep.best("pretend", home=home)[0]
    assert [text.partition(",")[0] for text in lines] == [f"[{n + 1}/3] trial {n}: completed" for n in range(3)]
    assert conclusion == "sweep pretend is complete: 3 trials, 0 failed; all in MLflow"
    assert said.out.splitlines()[0] == f"best val_accuracy: {best.value:.6g} (trial {best.number}, epoch 3 of 3)"
    assert f"  optimizer: {best.params['optimizer']}" in said.out.splitlines()
    again = run(call, file(), "--trials", "3")
    assert (again.code, again.out, again.err.splitlines()) == (0, said.out, said.err.splitlines()[3:])


def test_a_run_ends_with_what_to_type_next(call: Call, file: Write, home: Path) -> None:
    assert run(call, file(), "--trials", "1").err.splitlines()[-5:] == [
        "next:",
        "  dnnsweep ui pretend                 # all trials, in MLflow",
        "  dnnsweep best pretend               # the best trials",
        "  dnnsweep confirm pretend            # whether the best was lucky: trains it again",
        "  dnnsweep export pretend -o best.py  # the best as Keras code",
    ]
    rows = [f"{row % 7},{'ab'[row % 2]}" for row in range(60)]
    Path("rows.csv").write_text("\n".join(["size,kind", *rows]))
    table = file(name="table", dataset={"source": "csv:rows.csv", "target": "kind"})
    assert run(call, table, "--trials", "1").err.splitlines()[-1] == (
        "  dnnsweep predict table new.csv    # what the best says about new rows"
    )
    there = run(call, file(), "--trials", "1", "--home", str(home / "my sub")).err.splitlines()
    assert there[-3] == f"  dnnsweep best pretend --home '{home}/my sub'               # the best trials"
    assert "next:" not in run(call, file(name="none", description="diverge=0"), "--trials", "1").err


def test_a_name_that_is_taken_ends_with_1_and_the_difference(call: Call, file: Write) -> None:
    assert run(call, file(), "--trials", "1").code == 0

    said = run(call, file(seed=1, network={"hidden": [8]}), "--trials", "1")

    assert (said.code, said.out) == (1, "")
    assert "the name pretend is taken by a sweep with another content" in said.err
    assert "seed: was 0, is 1" in said.err
    assert "network.hidden: was [64, 32], is [8]" in said.err
    assert "dnnsweep delete pretend" in said.err
    assert run(call, file(seed=1, name="other"), "--trials", "1").code == 0


def test_an_interruption_ends_with_130_and_says_how_to_go_on(
    call: Call, file: Write, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = PlainLines.tell

    def press(lines: PlainLines, progress: Progress) -> None:
        tell(lines, progress)
        if progress.ended is not None and progress.n_finished == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(PlainLines, "tell", press)

    said = run(call, file(), "--json")

    assert said.code == 130
    assert "interrupted after 2 of 16 trials; run `dnnsweep resume pretend` to continue" in said.err
    assert len(said.json) == 1
    elsewhere = run(call, file(), "--home", str(home / "my sub"))
    assert f"`dnnsweep resume pretend --home '{home}/my sub'`" in elsewhere.err


def test_ctrl_c_before_anything_is_stored_says_so(
    call: Call, file: Write, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNNSWEEP_TRAINER", "scripted_trainer:InterruptedTrainer")

    said = run(call, file())

    assert said == Said(130, "", "interrupted; run the same command again to continue\n")
    assert dnnsweep.sweeps(home=home) == []


def test_a_sweep_without_any_complete_trial_ends_with_1(call: Call, file: Write) -> None:
    said = run(call, file(description="diverge=0"), "--trials", "1")

    assert (said.code, said.out) == (1, "no trial is complete\n")
    assert "1 trials, 0 failed, 1 diverged" in said.err
    assert run(call, file(description="diverge=0"), "--trials", "1", "--json").json == []


def test_a_run_whose_sweep_somebody_has_taken_over_since_was_interrupted(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = dnnsweep.submit(SWEEP, home=home)

    with pytest.raises(typer.Exit) as end:
        run_ending.conclude(handle, None, as_json=False)

    assert end.value.exit_code == 130
    assert "sweep pretend was left and is queued again: 0 of 16 trials" in capsys.readouterr().err


def test_ten_failures_end_with_1_and_the_error(call: Call, file: Write) -> None:
    said = run(call, file(description="fail_from=0"))

    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines()[-1].startswith("error: 10 trials in a row failed, the last one with: RuntimeError")


def test_what_a_worker_delivers_asks_for_no_other_command(
    call: Call, file: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    run(call, file(), "--name", "digits")
    shown = dnnsweep.show("digits")
    for by_worker, who in ((True, "a worker"), (False, "`dnnsweep resume digits` or `dnnsweep doctor`")):
        run_ending.say_conclusion(replace(shown, n_undelivered=2), "dnnsweep resume digits", by_worker=by_worker)
        assert capsys.readouterr().err.splitlines()[-1] == (
            f"2 updates are still waiting for MLflow; {who} will deliver them"
        )


def test_what_mlflow_has_not_seen_is_said(call: Call, file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeMlflow, "is_away", True)

    said = run(call, file(), "--trials", "2")

    assert said.code == 0
    assert said.err.splitlines()[-6] == (
        "3 updates are still waiting for MLflow: MLflow is away; `dnnsweep resume pretend` or `dnnsweep doctor` will "
        "deliver them once that is mended"
    )
    assert "3 updates behind: MLflow is away" in call("show", "pretend").out
    assert call("show", "pretend", "--json").json["delivery_error"] == "MLflow is away"


@pytest.mark.parametrize("url", ["nonsense", "mysql+nothing://x"])
@pytest.mark.parametrize("words", [["list"], ["best", "x"]], ids=" ".join)
def test_a_ledger_whose_address_is_wrong_ends_with_1_and_names_the_variable(
    call: Call, home: Path, monkeypatch: pytest.MonkeyPatch, url: str, words: list[str]
) -> None:
    monkeypatch.setenv("DNNSWEEP_DATABASE_URL", url)

    said = call(*words)

    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: the ledger's address must be a database URL: ")
    assert said.err.endswith("; check DNNSWEEP_DATABASE_URL\n")
    assert not home.exists()


@pytest.mark.parametrize("url", ["sqlite:////proc/nowhere/x.db", "sqlite:////dev/null"])
def test_a_ledger_that_does_not_exist_holds_no_sweep_and_is_not_made_by_reading(
    call: Call, home: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DNNSWEEP_DATABASE_URL", url)

    listed, best = call("list"), call("best", "x")

    assert (listed.code, listed.out.split()[0], listed.out.count("\n"), listed.err) == (0, "name", 1, "")
    assert (best.code, best.out) == (1, "")
    assert best.err.startswith("error: there is no sweep yet in ")
    assert not home.exists()


@pytest.mark.parametrize("place", ["/proc/nowhere", "file", "file/below"])
def test_a_home_that_cannot_be_made_ends_with_1_and_the_remedy(
    call: Call, file: Write, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()

    said = run(call, file(), "--home", str(tmp_path / place))

    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"error: the home must be a folder that can be made, got {tmp_path / place}: ")
    assert said.err.endswith("choose another home with --home\n")


# -- queries --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with sweeps: in one a trial diverged and one failed, one's description is like markup, one has two
    objectives."""
    home = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as monkeypatch:
        prepare(monkeypatch, home)
        spec = {**SWEEP, "description": "diverge=2", "budget": {"trials": 8}}
        dnnsweep.run(spec, home=home, executor="inprocess")
        odd = {**SWEEP, "name": "odd", "description": "is [red] better than [/blue]? :smile:", "budget": {"trials": 1}}
        dnnsweep.run(odd, home=home, executor="inprocess")
        two = {**spec, "name": "pair", "objective": PAIR, "sampler": {"kind": "nsga2"}, "budget": {"trials": 20}}
        dnnsweep.run(two, home=home, executor="inprocess")
    return home


@pytest.fixture
def ask(finished: Path, home: Path, call: Call) -> Call:
    assert not home.exists()
    return lambda *words: call(*words, "--home", str(finished))


def test_list_shows_a_line_for_each_sweep(ask: Call) -> None:
    said = ask("list")

    head, *lines = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert head.split()[:4] == ["name", "state", "trials", "failed"]
    assert [text.split()[:4] for text in lines] == [
        ["pretend", "COMPLETE", "8/8", "1"],
        ["odd", "COMPLETE", "1/1", "0"],
        ["pair", "COMPLETE", "20/20", "1"],
    ]
    assert [entry["name"] for entry in ask("list", "--json").json] == ["pretend", "odd", "pair"]


def test_an_empty_home_has_no_sweeps_and_is_not_created(call: Call, home: Path) -> None:
    assert call("list").code == 0
    assert call("list", "--json") == Said(0, "[]\n", "")
    assert not home.exists()


@pytest.mark.parametrize("command", ["show", "trials", "best", "export", "stop", "resume", "delete", "ui"])
def test_a_sweep_that_is_not_there_ends_with_1(ask: Call, call: Call, home: Path, command: str) -> None:
    for said in (ask(command, "nothing"), call(command, "nothing")):
        assert (said.code, said.out) == (1, "")
        assert said.err.startswith("error: there is no sweep")
        assert len(said.err.splitlines()) == 1
    assert not home.exists()


def test_show_says_where_a_sweep_stands(ask: Call, finished: Path) -> None:
    said, shown = ask("show", "pretend"), dnnsweep.show("pretend", home=finished)

    assert (said.code, said.err) == (0, "")
    facts = dict(text.split(maxsplit=1) for text in said.out.splitlines())
    assert facts["state"].strip() == "COMPLETE"
    assert facts["trials"].strip() == "8 of 8 finished, 0 running, 0 failed, 1 diverged"
    assert facts["searched"].strip() == "dropout, optimizer"
    assert facts["MLflow"].strip() == shown.run_id
    assert ask("show", "pretend", "--json").json == json.loads(json.dumps(shown.to_json()))


def test_text_is_printed_as_it_is_whatever_brackets_it_holds(ask: Call) -> None:
    assert "is [red] better than [/blue]? :smile:" in ask("show", "odd").out


def test_trials_are_in_their_order_and_best_in_theirs(ask: Call, finished: Path) -> None:
    trials, best = ask("trials", "pretend", "--json").json, ask("best", "pretend", "--json", "--top", "99").json

    assert [trial["number"] for trial in trials] == list(range(8))
    assert [trial["state"] for trial in trials].count("FAILED") == 1
    assert [trial["number"] for trial in best] == [t.number for t in dnnsweep.best("pretend", top=99, home=finished)]
    assert sorted((trial["value"] for trial in best), reverse=True) == [trial["value"] for trial in best]
    assert len(best) == 7
    assert len(ask("best", "pretend", "--json").json) == 5
    assert all(trial in trials for trial in best)


def is_better(one: Any, other: Any) -> bool:
    """Return whether a trial has no less accuracy and no more weights than another, and is not its equal."""
    (a, b), (c, d) = one["values"], other["values"]
    return a >= c and b <= d and (a, b) != (c, d)


def test_the_best_of_two_objectives_are_their_front(ask: Call) -> None:
    every = [trial for trial in ask("trials", "pair", "--json").json if trial["values"]]
    front = ask("best", "pair", "--json").json

    assert sorted(trial["number"] for trial in front) == [
        one["number"] for one in every if not any(is_better(other, one) for other in every)
    ]
    assert 2 <= len(front) < len(every)
    assert [trial["value"] for trial in front] == sorted((trial["value"] for trial in front), reverse=True)
    assert all(trial["values"] == [trial["value"], trial["metrics"]["n_parameters"]] for trial in front)
    assert ask("best", "pair", "--json", "--top", "1").json == front[:1]
    small = ask("best", "pair", "--json", "--where", "dropout > 0.3").json
    few = [trial for trial in every if trial["params"]["dropout"] > 0.3]
    assert sorted(trial["number"] for trial in small) == [
        one["number"] for one in few if not any(is_better(other, one) for other in few)
    ]
    rows = list(csv.DictReader(io.StringIO(ask("best", "pair", "--csv").out)))
    assert [json.loads(row["values"]) for row in rows] == [trial["values"] for trial in front]
    assert yaml.safe_load(ask("best", "pair", "--yaml").out) == front


def test_people_read_both_objectives(ask: Call) -> None:
    front = ask("best", "pair", "--json").json
    head, *lines = ask("best", "pair").out.splitlines()

    assert head.split()[:4] == ["number", "val_accuracy", "n_parameters", "reason"]
    shown = [[f"{trial['value']:.4g}", f"{trial['values'][1]:.0f}"] for trial in front]
    assert [text.split()[1:3] for text in lines] == shown
    facts = dict(text.split(maxsplit=1) for text in ask("show", "pair").out.splitlines())
    assert facts["objective"].strip() == "maximize val_accuracy and minimize n_parameters"
    assert facts["front"].strip() == f"trials {', '.join(str(trial['number']) for trial in front)}"
    assert "maximize val_accuracy and minimize n_parameters" in ask("list").out
    assert ask("show", "pair", "--json").json["front"] == [trial["number"] for trial in front]


def test_a_run_of_two_objectives_ends_with_their_front(call: Call, file: Write) -> None:
    said = run(call, file(name="pair", objective=PAIR, sampler={"kind": "nsga2"}, description="diverge=2"))

    head, *table = said.out.splitlines()
    front = call("best", "pair", "--json").json
    assert head == f"Pareto front of {len(front)} trials: maximize val_accuracy and minimize n_parameters"
    assert "\n".join(table) == call("best", "pair").out.rstrip("\n")
    last = [text for text in said.err.splitlines() if text.startswith("[")][-1]
    values = " with ".join(f"{value:.5g}" for value in front[0]["values"])
    assert f"best {values} (trial {front[0]['number']}), front of {len(front)}" in last
    assert (
        json.loads(run(call, file(name="other", objective=PAIR), "--json").out) == call("best", "other", "--json").json
    )


def test_an_entry_has_every_field_of_the_contract(ask: Call) -> None:
    entry = ask("best", "pretend", "--json").json[0]

    fields = ("sweep", "number", "value", "params", "state", "reason", "best_epoch", "epochs", "seconds", "run_id")
    assert [name for name in fields if entry[name] is None] == []
    knobs = "initializer dropout l2 batch_norm optimizer learning_rate batch_size hidden activation"
    assert set(entry["params"]) >= set(knobs.split())


def test_tables_show_what_was_searched(ask: Call) -> None:
    head, *lines = ask("best", "pretend", "--top", "2").out.splitlines()

    columns = ["number", "value", "reason", "best", "epoch", "epochs", "seconds", "dropout", "optimizer", "findings"]
    assert head.split() == columns
    assert len(lines) == 2
    assert "diverged" in ask("trials", "pretend").out


def numbers(out: str) -> list[int]:
    return [int(text.split()[0]) for text in out.splitlines()[1:]]


def test_a_limit_shows_the_newest_trials_or_the_best(ask: Call) -> None:
    newest, rest = ask("trials", "pretend", "--limit", "3"), ask("trials", "pretend", "--limit", "9", "--offset", "6")
    best = ask("trials", "pretend", "--limit", "3", "--order", "best")
    first = ask("trials", "pretend", "--order", "number", "--limit", "2")

    assert numbers(newest.out) == [7, 6, 5]
    assert newest.err == "trials 1 to 3 of 8, newest first; --offset 3 shows the next ones, --limit 8 all\n"
    assert (numbers(rest.out), rest.err) == ([1, 0], "trials 7 to 8 of 8, newest first; --limit 8 all\n")
    assert numbers(best.out) == [trial["number"] for trial in ask("best", "pretend", "--top", "3", "--json").json]
    assert numbers(first.out) == [0, 1]
    assert [trial["number"] for trial in ask("trials", "pretend", "--limit", "2", "--json").json] == [7, 6]
    assert numbers(ask("trials", "pretend", "--top", "2").out) == [0, 1]
    assert ask("trials", "pretend", "--top", "2", "--limit", "2").code == 2


def test_a_limit_shows_the_newest_events(ask: Call) -> None:
    everything = ask("show", "pretend", "--events", "--json").json

    said = ask("show", "pretend", "--events", "--limit", "3", "--json")

    assert said.json == everything[:-4:-1]
    total = f"of {len(everything)}, newest first; --offset 3 shows the next ones, --limit {len(everything)} all"
    assert said.err == f"events 1 to 3 {total}\n"
    assert ask("show", "pretend", "--limit", "3").err == (
        "error: --limit and --offset are about events; add --events\n"
    )


def test_a_terminal_gets_a_page_and_everything_else_the_whole_list(ask: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.cli.query_commands.PAGE_ROWS", 4)
    assert numbers(ask("trials", "pretend").out) == list(range(8))
    assert len(ask("show", "pretend", "--events").out.splitlines()) > 20

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", screen := Screen())
        said = ask("trials", "pretend")
        assert numbers(screen.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")) == [7, 6, 5, 4]
        assert said.err == "trials 1 to 4 of 8, newest first; --offset 4 shows the next ones, --limit 8 all\n"
        patch.setattr("dnnsweep.cli.query_commands.PAGE_ROWS", 8)
        patch.setattr(sys, "stdout", screen := Screen())
        assert ask("trials", "pretend").err == ""
        assert numbers(screen.getvalue()) == list(range(8))


@pytest.mark.parametrize("command", ["best", "trials"])
def test_forms_agree(ask: Call, command: str) -> None:
    entries = ask(command, "pretend", "--json").json
    rows = list(csv.DictReader(io.StringIO(ask(command, "pretend", "--csv").out)))

    assert yaml.safe_load(ask(command, "pretend", "--yaml").out) == entries
    assert [row["number"] for row in rows] == [str(entry["number"]) for entry in entries]
    assert [row["params.optimizer"] for row in rows] == [entry["params"]["optimizer"] for entry in entries]
    assert [json.loads(row["params.hidden"]) for row in rows] == [entry["params"]["hidden"] for entry in entries]
    assert [row["value"] for row in rows] == ["" if e["value"] is None else repr(e["value"]) for e in entries]


@pytest.mark.parametrize("command", ["best", "trials"])
def test_a_query_that_finds_nothing_prints_an_empty_list_in_every_form(ask: Call, command: str) -> None:
    words = (command, "pretend", "--where", "value > 99")

    assert ask(*words, "--json") == Said(0, "[]\n", "")
    assert yaml.safe_load(ask(*words, "--yaml").out) == []
    head = ask(*words, "--csv").out.splitlines()
    assert len(head) == 1
    assert head[0].startswith("sweep,number,value,")


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ("optimizer == 'sgd'", lambda t: t["params"]["optimizer"] == "sgd"),
        ("0.1 < dropout < 0.3 and not batch_norm", lambda t: 0.1 < t["params"]["dropout"] < 0.3),
        ("value > 0.75 or number in (0, 1)", lambda t: (t["value"] or 0) > 0.75 or t["number"] in (0, 1)),
        ("reason == 'diverged'", lambda t: t["reason"] == "diverged"),
        ("state != 'COMPLETE'", lambda t: t["state"] != "COMPLETE"),
    ],
)
def test_a_condition_selects(ask: Call, where: str, holds: Callable[[Any], bool]) -> None:
    everything = ask("trials", "pretend", "--json").json

    found = ask("trials", "pretend", "--where", where, "--json").json

    assert found == [trial for trial in everything if holds(trial)]
    assert 0 < len(found) < len(everything)


@pytest.mark.parametrize(
    "where",
    [
        "",
        "dropout <",
        "nonsense == 1",
        "__import__('os').system('true')",
        "dropout",
        "optimizer < 3",
        "1 == 1",
        "(" * 999,
    ],
)
@pytest.mark.parametrize("command", ["best", "trials"])
def test_a_wrong_condition_ends_with_2(ask: Call, command: str, where: str) -> None:
    said = ask(command, "pretend", "--where", where)

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: --where")
    assert "Traceback" not in said.err


# -- output that cannot be written ---------------------------------------------------------------------------------


class FullDisk(io.StringIO):
    """A stream that takes nothing."""

    encoding = "ascii"

    def write(self, text: str) -> int:  # noqa: ARG002  it takes none
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullLater(io.StringIO):
    """A stream that holds what it takes, and cannot write it in the end."""

    encoding = "ascii"

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("full", [FullDisk, FullLater])
@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["list"], ["list", "--json"], ["best", "pretend", "--csv"], ["schema"]]
)
def test_output_that_cannot_be_written_is_an_error_of_one_line(
    finished: Path, call: Call, monkeypatch: pytest.MonkeyPatch, words: list[str], full: type[io.StringIO]
) -> None:
    monkeypatch.setattr(sys, "stdout", full())

    said = call("--home", str(finished), *words)

    assert (said.code, said.err) == (1, "error: the output cannot be written: No space left on device\n")


def test_a_stream_that_is_full_is_not_given_up_before_there_is_something_to_write() -> None:
    stream = Output(FullDisk())

    assert stream.write("") == 0
    with pytest.raises(OutputError):
        stream.write("text")


def test_a_run_whose_progress_nobody_reads_goes_on(call: Call, file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", FullDisk())

    said = run(call, file(), "--trials", "2")

    assert said.code == 0
    assert said.out.startswith("best val_accuracy: ")


def test_an_encoding_without_a_character_gets_its_code(
    call: Call, file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(call, file(description="größe 日本"), "--trials", "1")

    def ask_in_ascii(*words: str) -> str:
        buffer = io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
            assert call("show", "pretend", *words).code == 0
            return buffer.getvalue().decode("ascii")

    assert r"gr\xf6\xdfe \u65e5\u672c" in ask_in_ascii()
    assert json.loads(ask_in_ascii("--json"))["description"] == "größe 日本"
    assert yaml.safe_load(ask_in_ascii("--yaml"))["description"] == "größe 日本"
    assert "pretend" in ask_in_ascii("--csv")


@pytest.mark.parametrize("closed", [[1], [2], [0, 1, 2]], ids=str)
def test_a_closed_stream_neither_breaks_a_command_nor_is_mistaken_for_another_file(
    finished: Path, tmp_path: Path, closed: list[int]
) -> None:
    """A process of its own: the numbers of open files are its own, too."""
    code = f"import os; [os.close(number) for number in {closed}]; import dnnsweep.cli; dnnsweep.cli.main()"
    words = [sys.executable, "-c", code, "--home", str(finished), "export", "pretend", "-o", str(tmp_path / "best.py")]

    written = subprocess.run(words, capture_output=True, text=True, check=False)
    printed = subprocess.run(words[:-2], capture_output=True, text=True, check=False)

    assert (written.returncode, written.stdout, "Traceback" in written.stderr) == (0, "", False)
    assert "import keras" in (tmp_path / "best.py").read_text()
    assert printed.returncode == (1 if 1 in closed else 0)
    assert "Traceback" not in printed.stderr


# -- stop, delete, export -------------------------------------------------------------------------------------------


def test_stopping_what_does_not_run_says_so(ask: Call) -> None:
    assert ask("stop", "odd") == Said(0, "", "sweep odd is not running\n")


def test_stopping_what_runs_leaves_a_wish(call: Call, file: Write, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.ledger.lease.PROLONG_SECONDS", 0.1)
    run(call, file(), "--trials", "1")
    with closing(Ledger.open(f"sqlite:///{home / 'dnnsweep.db'}")) as ledger:
        lease = ledger.begin(NewSweep.of(check(ledger.sweep("pretend").spec)), owner="elsewhere:1")

        assert call("stop", "pretend") == Said(0, "", "sweep pretend is being stopped\n")
        assert lease.renew()[0] is True
        with lease.prolonged():
            assert call("delete", "pretend", "--yes").code == 1


def test_delete_asks_a_person_and_does_what_they_say(call: Call, file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    class Person(io.StringIO):
        def isatty(self) -> bool:
            return True

    run(call, file(), "--trials", "1")

    monkeypatch.setattr(sys, "stdin", Person("n\n"))
    refused = call("delete", "pretend")
    assert refused.code == 1
    assert "Delete sweep pretend and all its trials?" in refused.err
    assert len(call("list", "--json").json) == 1

    monkeypatch.setattr(sys, "stdin", Person("y\n"))
    assert call("delete", "pretend").code == 0
    assert call("list", "--json").json == []


@pytest.mark.parametrize("stdin", [io.StringIO("y\n"), None], ids=["piped", "closed"])
def test_delete_refuses_where_it_can_ask_nobody(
    call: Call, file: Write, monkeypatch: pytest.MonkeyPatch, stdin: io.StringIO | None
) -> None:
    run(call, file(), "--trials", "1")
    monkeypatch.setattr(sys, "stdin", stdin)

    refused = call("delete", "pretend")

    assert refused.code == 2
    assert "--yes" in refused.err
    assert len(call("list", "--json").json) == 1
    assert call("delete", "pretend", "--yes").code == 0


def test_delete_says_when_runs_are_left_in_mlflow(call: Call, file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    run(call, file(), "--trials", "1")
    monkeypatch.setattr(FakeMlflow, "is_away", True)

    said = call("delete", "pretend", "--yes")

    assert (said.code, said.out) == (0, "")
    assert said.err.startswith("sweep pretend was deleted; its MLflow runs will be removed")


def test_an_export_that_is_not_possible_ends_with_1(ask: Call, tmp_path: Path) -> None:
    for words in (
        ["--as", "keras", "-o", str(tmp_path / "m")],
        ["--trial", "99"],
    ):
        said = ask("export", "pretend", *words)
        assert (said.code, said.out) == (1, ""), words
        assert said.err.startswith("error: ")


def test_a_form_of_export_that_does_not_exist_is_wrong_usage(ask: Call) -> None:
    for words in (["--as", "cobol"], ["--as", "keras"]):
        assert ask("export", "pretend", *words).code == 2, words


def test_an_export_is_written_as_its_file_ends(ask: Call, tmp_path: Path) -> None:
    ask("export", "pretend", "-o", str(tmp_path / "best.yaml"))
    ask("export", "pretend", "-o", str(tmp_path / "best.py"))

    assert (tmp_path / "best.yaml").read_text().startswith("name: pretend-best")
    assert "import keras" in (tmp_path / "best.py").read_text()


# -- how things are said --------------------------------------------------------------------------------------------


def progress(ended: TrialEnded | None, best: Incumbent | None) -> Progress:
    return Progress(10, 3, 1, {}, best, 60.0, 140.0, ended)


def ended(reason: Reason, values: tuple[float, ...] | None, error: str | None = None) -> TrialEnded:
    suggestion = Suggestion(4, {"dropout": 0.1}, 7)
    return TrialEnded(suggestion, TrialResult(4, 1, reason, Curve((), (1, 2)), 2, 1.26, error), values)


@pytest.mark.parametrize(
    ("end", "best", "text"),
    [
        (
            ended(Reason.EARLY_STOPPED, (0.123456,)),
            Incumbent(1, (0.75,), 0.5, {}),
            "[3/10] trial 4: early_stopped, 0.12346, 2 epochs in 1.3 s, best 0.75 (trial 1)",
        ),
        (
            ended(Reason.COMPLETED, (0.123456, 25450.0)),
            Incumbent(1, (0.75, 123456.0), 0.5, {}),
            (
                "[3/10] trial 4: completed, 0.12346 with 25450, 2 epochs in 1.3 s, "
                "best 0.75 with 123456 (trial 1), front of 1"
            ),
        ),
        (ended(Reason.DIVERGED, None), None, "[3/10] trial 4: diverged, 2 epochs in 1.3 s"),
        (ended(Reason.FAILED, None, "E: x"), None, "[3/10] trial 4: failed, 2 epochs in 1.3 s, E: x"),
    ],
)
def test_a_line_tells_how_a_trial_ended(end: TrialEnded, best: Incumbent | None, text: str) -> None:
    assert trial_line(progress(end, best), end) == text


def test_plain_progress_is_silent_between_the_ends_of_trials(capsys: pytest.CaptureFixture[str]) -> None:
    PlainLines().tell(progress(None, None))

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (True, "true"),
        (False, "false"),
        ([64, 32], "[64, 32]"),
        ([], "[]"),
        (0.00012345, "0.0001234"),
        (32, "32"),
        ("adam", "adam"),
    ],
)
def test_a_hyperparameter_is_written_for_people(item: Any, text: str) -> None:
    assert format_setting(item) == text


@pytest.mark.parametrize(("item", "text"), [(None, "-"), (3, "3"), (0.123456, "0.1235"), (1e-9, "1e-09")])
def test_a_number_is_written_for_people(item: float | None, text: str) -> None:
    assert format_number(item) == text
