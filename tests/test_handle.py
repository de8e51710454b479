"""What a handle on a sweep offers to scripts and notebooks, with the pretend trainer in this process."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pandas as pd
import pytest
from fake_mlflow import use_fake_mlflow
from workspace import SWEEP

import dnnsweep
from dnnsweep.client.progress_bar import ProgressBar
from dnnsweep.errors import ExportError, SweepNotFoundError
from dnnsweep.records import State

Run = Callable[..., dnnsweep.SweepHandle]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("DNNSWEEP_DATABASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DNNSWEEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DNNSWEEP_TRAINER", "scripted_trainer:ScriptedTrainer")
    use_fake_mlflow(monkeypatch)

    def call(spec: Any = None, **arguments: Any) -> dnnsweep.SweepHandle:
        return dnnsweep.run({**SWEEP, **(spec or {})}, executor="inprocess", **arguments)

    return call


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_handle_says_in_one_line_how_its_sweep_stands(run: Run) -> None:
    sweep = run(trials=3)

    [best] = sweep.best(top=1)
    summary = f"complete, 3 of 3 trials, best val_accuracy {best.value:.6g} (trial {best.number})"
    assert repr(sweep) == f"<sweep pretend: {summary}>"
    assert repr(dnnsweep.SweepHandle("other", sweep.home)).startswith("<sweep other: there is no sweep named other")


def test_a_notebook_shows_a_sweep_and_its_best_trials_without_markup_of_others(run: Run) -> None:
    sweep = run(trials=8)
    nobody = dnnsweep.SweepHandle("other", sweep.home)

    html = sweep._repr_html_()

    assert html is not None
    assert html.count("<tr><td>") == 5
    for trial in sweep.best(top=5):
        assert f"<td>{trial.number}</td><td>{trial.value:.6g}</td><td>{trial.params['dropout']:.6g}</td>" in html
    assert "<script" not in html
    assert nobody._repr_html_() is None


def test_a_summary_escapes_what_a_sweep_file_says(run: Run) -> None:
    from dnnsweep.reports.sweep_summary import summarize_as_html

    sweep = run(trials=1)
    hostile = SimpleNamespace(
        name="<b>", state=sweep.state, source="<script>alert(1)</script>", objectives=("<i>",), n_finished=0,
        n_trials=1, conclusion="<s>", spec={"space": {"<u>": None}},
    )  # fmt: skip

    html = summarize_as_html(hostile, ())  # type: ignore[arg-type]

    assert not any(tag in html for tag in ("<b>", "<script>", "<i>", "<u>", "<s>"))
    assert "&lt;script&gt;" in html


def test_a_dataframe_has_a_row_for_each_trial_and_a_column_for_each_hyperparameter(run: Run) -> None:
    sweep = run({"description": "diverge=2"}, trials=5)

    frame, trials = sweep.to_dataframe(), sweep.trials()

    assert list(frame.index) == [0, 1, 2, 3, 4]
    assert list(frame["dropout"]) == [trial.params["dropout"] for trial in trials]
    assert list(frame["optimizer"]) == [trial.params["optimizer"] for trial in trials]
    assert list(frame["reason"]) == ["completed", "completed", "diverged", "completed", "completed"]
    assert pd.isna(frame.loc[2, "value"])
    assert list(frame["value"].drop(2)) == [trial.value for trial in trials if trial.number != 2]
    assert frame.loc[0, "metrics.val_accuracy"] == trials[0].value
    assert frame.loc[0, "ended_at"] == pd.Timestamp(trials[0].ended_at or 0, unit="ms", tz="UTC")
    assert list(sweep.to_dataframe("number >= 3").index) == [3, 4]
    assert sweep.to_dataframe("number > 99").empty


def test_the_best_hyperparameters_are_those_of_the_best_trial(run: Run) -> None:
    sweep = run(trials=4)

    assert sweep.best_params == sweep.best(top=1)[0].params
    failed = run({"description": "diverge=0"}, name="failed", trials=1)
    with pytest.raises(SweepNotFoundError, match="no trial of sweep failed is complete"):
        _ = failed.best_params


def test_an_optuna_study_holds_the_same_trials(run: Run) -> None:
    sweep = run({"description": "diverge=2"}, trials=6)

    study, trials = sweep.study(with_curves=True), sweep.trials()

    assert study.study_name == "pretend"
    assert study.best_trial.number == sweep.best(top=1)[0].number
    for mine, theirs in zip(trials, study.trials, strict=True):
        assert theirs.number == mine.number
        assert theirs.params == {name: mine.params[name] for name in ("dropout", "optimizer")}
        assert (theirs.state.name == "COMPLETE") is (mine.state is State.COMPLETE)
        assert theirs.values == (None if mine.values is None else list(mine.values))
        curve = dnnsweep.curve("pretend", mine.number).values("val_accuracy")
        assert list(theirs.intermediate_values.values()) == [value for value in curve if value == value]  # noqa: PLR0124
        assert theirs.user_attrs["reason"] == mine.reason
    assert set(optuna.importance.get_param_importances(study)) == {"dropout", "optimizer"}
    assert not any(trial.intermediate_values for trial in sweep.study().trials)


def test_an_optuna_study_names_branches_and_layers_apart(run: Run) -> None:
    space = {
        "optimizer": ["sgd", "adam"],
        "learning_rate": [
            {"when": {"optimizer": "sgd"}, "low": 0.01, "high": 1.0, "log": True},
            {"low": 1e-4, "high": 1e-2, "log": True},
        ],
        "dropout": {"low": 0.0, "high": 0.5},
        "hidden": {"layers": [1, 2], "units": {"low": 4, "high": 8}},
    }
    sweep = run({"space": space}, trials=6)

    for mine, theirs in zip(sweep.trials(), sweep.study().trials, strict=True):
        branch = "learning_rate[0]" if mine.params["optimizer"] == "sgd" else "learning_rate[1]"
        assert theirs.params[branch] == mine.params["learning_rate"]
        assert theirs.params["hidden.layers"] == len(mine.params["hidden"])
        assert theirs.params["hidden.units"] == mine.params["hidden"][0]


def test_a_figure_is_made_of_the_trials_that_meet_a_condition(run: Run) -> None:
    sweep = run(trials=6)

    for kind in ("history", "slices", "parallel_coordinates", "learning_curves"):
        whole, part = sweep.plot(kind), sweep.plot(kind, "number < 3")
        assert whole.layout.title.text == f"{kind.replace('_', ' ').capitalize()} of sweep pretend"
        assert n_drawn(whole) > n_drawn(part) > 0


def test_figures_of_the_answer_take_no_condition(run: Run) -> None:
    asked = {"confirm": {"top": 2, "budget": 1}, "effects": {"blocks": 3}}
    sweep = run({**asked, "enqueue": [{"dropout": 0.6, "optimizer": "sgd"}]}, trials=8)

    dots, _, means = sweep.plot("repeats").data
    assert len(dots.x) >= 3 * len(means.x) >= 6
    assert [trace.name for trace in sweep.plot("effects").data][-1] == "effect"
    assert sum(sweep.plot("importance").data[0].x) == pytest.approx(1.0)
    with pytest.raises(ExportError, match="takes no condition, got 'number < 3' for repeats; leave out where"):
        sweep.plot("repeats", "number < 3")


def n_drawn(figure: Any) -> int:
    """Return how many trials a figure shows: as points, as lines across axes, or as curves."""
    first = figure.data[0]
    if first.type == "parcoords":
        return len(first.dimensions[0]["values"])
    return len(figure.data) if "epoch" in str(figure.layout.xaxis.title.text) else len(first.x)


def test_a_figure_that_cannot_be_made_says_why(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = run(trials=1)

    with pytest.raises(ExportError, match=r"must be one of history, .*, got 'slice'; did you mean slices\?"):
        sweep.plot("slice")
    monkeypatch.delitem(sys.modules, "dnnsweep.reports.figures")
    monkeypatch.delattr("dnnsweep.reports.figures")
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ExportError, match=r"figures need plotly.*; pip install 'dnnsweep\[plots\]'"):
        sweep.plot()


def test_a_study_is_exported_to_a_database_once(run: Run, tmp_path: Path) -> None:
    sweep, url = run(trials=3), f"sqlite:///{tmp_path / 'study.db'}"

    dnnsweep.export_study("pretend", url)

    copied = optuna.load_study(study_name="pretend", storage=url)
    assert [trial.value for trial in copied.trials] == [trial.value for trial in sweep.trials()]
    assert [len(trial.intermediate_values) for trial in copied.trials] == [3, 3, 3]
    with pytest.raises(ExportError, match="has a study pretend already"):
        dnnsweep.export_study("pretend", url)
    with pytest.raises(ExportError, match="must go to a database such as") as caught:
        dnnsweep.export_study("pretend", f"sqlite://user:SECRET@/{tmp_path}/none/study.db")
    assert "SECRET" not in str(caught.value)


def test_text_is_exported_to_a_file_and_a_model_needs_one(run: Run, tmp_path: Path) -> None:
    sweep = run(trials=1)

    text = sweep.export("yaml", tmp_path / "best.yaml")

    assert (tmp_path / "best.yaml").read_text() == text == sweep.export("yaml")
    for path in (None, tmp_path / "best.h5"):
        with pytest.raises(ExportError, match="a saved model needs a file that ends in"):
            sweep.export("keras", path)
    with pytest.raises(ExportError, match="cannot be written"):
        sweep.export("yaml", tmp_path / "none" / "best.yaml")


def test_a_bar_is_shown_on_a_terminal_and_nowhere_else(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, file = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    sweep = run(trials=3)
    monkeypatch.setattr(sys, "stderr", file)
    run(name="file", trials=3)
    monkeypatch.setattr(sys, "stderr", silent := Terminal())
    run(name="silent", trials=3, progress=False)
    run({"space": {}}, name="nothing", trials=1, on_progress=lambda _: None)

    [best] = sweep.best(top=1)
    last = terminal.getvalue().rstrip().rpartition("\r")[2]
    assert "pretend: 100%" in last
    assert "3/3" in last
    assert f"best {best.value:.5g} (trial {best.number})" in last
    assert file.getvalue() == ""
    assert silent.getvalue() == ""


@pytest.mark.parametrize("stderr", [None, io.StringIO()])
def test_a_script_whose_stderr_is_closed_runs_without_a_bar(
    run: Run, monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO | None
) -> None:
    if stderr is not None:
        stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)

    assert run(trials=1).state == "COMPLETE"


def test_notes_are_written_above_the_bar(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    notes: list[str] = []

    run({"space": {}}, trials=1)
    run({"space": {}}, name="other", trials=1, on_note=notes.append)

    [note] = notes
    assert note.startswith("The sweep searches nothing.")
    assert terminal.getvalue().count(f"note: {note}") == 1


def test_a_notebook_is_known_by_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", shown := io.StringIO())
    monkeypatch.setitem(
        sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(config={"IPKernelApp": {}}))
    )

    with ProgressBar("pretend"):
        pass

    assert "pretend: loading data" in shown.getvalue()
