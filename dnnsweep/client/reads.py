"""Looking at sweeps: their state, their trials, and what can be exported of them."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnsweep.errors import ExportError, SweepNotFoundError
from dnnsweep.records import Curve, Sweep, Trial
from dnnsweep.records.events import DeletedSweep, Event
from dnnsweep.records.paging import Page
from dnnsweep.stores import SweepStore
from dnnsweep.stores.resolve import Home, open_store

if TYPE_CHECKING:
    from dnnsweep.answers.answer import Answer
    from dnnsweep.reports.figures import Figure, Found
    from dnnsweep.study.finished_study import OptunaStudy


def sweeps(*, home: Home = None) -> list[Sweep]:
    """Return all sweeps of a home, oldest first; none if there is no such home."""
    try:
        with open_store(home) as store:
            return store.sweeps()
    except SweepNotFoundError:
        return []


def deleted_sweeps(*, home: Home = None) -> list[DeletedSweep]:
    """Return what is kept of sweeps that were deleted: who submitted, stopped and deleted them, and when."""
    try:
        with open_store(home) as store:
            return store.deleted()
    except SweepNotFoundError:
        return []


def show(name: str, *, home: Home = None) -> Sweep:
    """Return one sweep.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    with open_store(home) as store:
        return store.sweep(name)


def events(name: str, *, home: Home = None) -> list[Event]:
    """Return what happened to a sweep and its trials, oldest first.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    with open_store(home) as store:
        return store.events(name)


def trials(name: str, *, where: str | None = None, home: Home = None) -> list[Trial]:
    """Return the trials of a sweep, in their order.

    Args:
        name: Name of the sweep.
        where: A condition such as `optimizer == 'adam' and dropout < 0.3`; None for all trials.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.

    Raises:
        QueryError: The condition is wrong.
        SweepNotFoundError: There is no such sweep.
    """
    with open_store(home) as store:
        return store.trials(name, where)


def best(name: str, *, top: int | None = None, where: str | None = None, home: Home = None) -> list[Trial]:
    """Return the best complete trials of a sweep, best first; equal values rank by lower `val_loss`, then by number.

    Trials that were confirmed and are still in the race come first, by the means of their repeats: `Trial.confirmed`.

    Args:
        name: Name of the sweep.
        top: How many trials to return at most; None for 5, or for all of the Pareto front of two objectives.
        where: A condition such as `optimizer == 'adam' and dropout < 0.3`; None for all trials.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.

    Raises:
        QueryError: The condition is wrong, or `top` is below 1.
        SweepNotFoundError: There is no such sweep.
    """
    with open_store(home) as store:
        return store.best(name, top, where)


def best_params(name: str, *, home: Home = None) -> dict[str, Any]:
    """Return the hyperparameters of a sweep's winner, or else of its best trial, fixed ones too.

    Raises:
        SweepNotFoundError: There is no such sweep, or none of its trials is complete.
    """
    with open_store(home) as store:
        winner = (find_answer(store, name) or {}).get("winner")
        return dict(choose_trial(store, name, None).params if winner is None else winner["params"])


def show_trials(  # noqa: PLR0913  what describes a part of a list
    name: str,
    *,
    where: str | None = None,
    order: str = "number",
    limit: int | None = None,
    offset: int = 0,
    home: Home = None,
) -> tuple[Sweep, Page[Trial]]:
    """Return a sweep with some of its trials, as `show` and `trials` do, but open the home once.

    Args:
        name: Name of the sweep.
        where: A condition such as `optimizer == 'adam' and dropout < 0.3`; None for all trials.
        order: `number`, `newest` first, or `best` first in the first objective.
        limit: Return at most this many trials; None for all.
        offset: Leave out this many trials at the beginning.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.
    """
    with open_store(home) as store:
        sweep = store.sweep(name)
        best = "-value" if sweep.direction == "maximize" else "value"
        fields = {"number": "number", "newest": "-number", "best": best}
        return sweep, store.trial_page(name, where, fields[order], limit, offset)


def event_page(name: str, *, limit: int | None = None, offset: int = 0, home: Home = None) -> Page[Event]:
    """Return some of what happened to a sweep and its trials, newest first; see `events`."""
    with open_store(home) as store:
        return store.event_page(name, limit, offset)


def show_best(
    name: str, *, top: int | None = None, where: str | None = None, home: Home = None
) -> tuple[Sweep, list[Trial]]:
    """Return a sweep with its best trials, as `show` and `best` do, but open the home once."""
    with open_store(home) as store:
        return store.sweep(name), store.best(name, top, where)


def answer(name: str, *, home: Home = None) -> Answer:
    """Return what a sweep answers: its winner, what that is worth, and which techniques made the difference.

    Args:
        name: Name of the sweep.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.

    Raises:
        SweepNotFoundError: There is no such sweep, or it has no answer yet; the message says what to do.
    """
    from dnnsweep.answers.answer import Answer

    with open_store(home) as store:
        return Answer.from_json(store.answer(name))


def report(name: str, path: str | os.PathLike[str] | None = None, *, home: Home = None) -> str:
    """Return the report of a sweep as an HTML page that is complete in itself, and write it to a file if one is named.

    Args:
        name: Name of the sweep.
        path: File to write; None only returns the page.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.

    Raises:
        SweepNotFoundError: There is no such sweep.
        OSError: The file cannot be written.
    """
    with open_store(home) as store:
        page = store.report(name)
    if path is not None:
        Path(path).write_text(page, encoding="utf-8")
    return page


def importances(name: str, *, home: Home = None) -> dict[str, float]:
    """Return how much of the spread of the best trials each hyperparameter explains, by Optuna's PED-ANOVA.

    This describes the trials of the search, and is no effect: trials differ in many hyperparameters at once, and the
    sampler has chosen them. The shares sum to 1.

    Args:
        name: Name of the sweep.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    from dnnsweep.study.finished_study import importances_of

    return importances_of(optuna_study(name, home=home))


def curve(name: str, number: int, *, home: Home = None) -> Curve:
    """Return what was measured while a trial trained.

    Raises:
        SweepNotFoundError: There is no such sweep or trial.
    """
    with open_store(home) as store:
        return store.curve(name, number)


def export(name: str, *, form: str = "python", number: int | None = None, home: Home = None) -> str:
    """Return a trial's configuration in a form that can be used elsewhere.

    Args:
        name: Name of the sweep.
        form: `python` for ordinary Keras code in one file, `yaml` for a sweep file with everything fixed.
        number: Number of the trial; None for the winner, or the best one, in the first objective if there are two.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.

    Raises:
        SweepNotFoundError: There is no such sweep or trial, or none is complete yet.
        ExportError: The form is unknown, or the winner is the baseline, and no trial has its hyperparameters.
    """
    from dnnsweep import exports

    if form not in ("python", "yaml"):
        raise ExportError(f"a configuration can be exported as python or yaml, got {form!r}")
    with open_store(home) as store:
        sweep, trial = store.sweep(name), choose_trial(store, name, number)
        if form == "yaml":
            return exports.sweep_file(sweep, trial)
        return exports.python(sweep, trial, store.curve(name, trial.number))


def optuna_study(name: str, *, with_curves: bool = False, home: Home = None) -> OptunaStudy:
    """Return the trials of a sweep as an Optuna study in memory, for Optuna's own analyses and plots.

    Parameters are named as hyperparameters. Branch i of a conditional one is `name[i]`, layers are `name.layers` and
    `name.units`.

    Args:
        name: Name of the sweep.
        with_curves: Whether trials get the first objective at each epoch as intermediate values; read one by one.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    from dnnsweep.spec import check
    from dnnsweep.study.finished_study import make_study
    from dnnsweep.study.parameters import Parameters

    with open_store(home) as store:
        sweep, trials = store.sweep(name), store.trials(name)
        numbers = [trial.number for trial in trials if trial.epochs] if with_curves else []
        reports = {number: store.curve(name, number).values(sweep.metric) for number in numbers}
    spec = check(sweep.spec)
    return make_study(name, sweep.directions, Parameters(spec.space, spec.default_params), trials, reports)


def figure(name: str, kind: str = "history", *, where: str | None = None, home: Home = None) -> Figure:
    """Return a figure of a sweep or of its answer, made by Plotly; `SweepHandle.plot` says which kinds there are.

    Args:
        name: Name of the sweep.
        kind: What to draw.
        where: A condition such as `optimizer == 'adam' and dropout < 0.3`; None for all trials.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.

    Raises:
        ExportError: There is no figure of this kind, it takes no condition, or Plotly is not installed.
        QueryError: The condition is wrong.
        SweepNotFoundError: There is no such sweep.
    """
    try:
        from dnnsweep.reports import figures
    except ModuleNotFoundError as error:
        raise ExportError(f"figures need {error.name}; pip install 'dnnsweep[plots]'") from error
    from dnnsweep.spec import check

    figures.check_kind(kind, where)
    with open_store(home) as store:
        sweep = store.sweep(name)
        if kind in figures.OF_ANSWERS:
            shares = importances(name, home=home) if kind == "importance" else {}
            return figures.KINDS[kind](replace(_answered(store, sweep), importances=shares))
        trials = store.trials(name, where)
        numbers = figures.numbers_of_curves(trials, sweep.objectives) if kind == "learning_curves" else []
        curves = {number: store.curve(name, number) for number in numbers}
    found = figures.Found(name, sweep.objectives, check(sweep.spec).space, trials, curves)
    return figures.KINDS[kind](found)


def _answered(store: SweepStore, sweep: Sweep) -> Found:
    """Return what figures of an answer need: no trials."""
    from dnnsweep.answers.answer import Answer
    from dnnsweep.reports.figures import Found

    plain = find_answer(store, sweep.name)
    candidates, repeats = store.repeats(sweep.name)
    return Found(
        sweep.name,
        sweep.objectives,
        {},
        [],
        answer=None if plain is None else Answer.from_json(plain),
        candidates=candidates,
        repeats=repeats,
    )


def export_study(name: str, url: str, *, home: Home = None) -> None:
    """Copy the trials of a sweep to a database as an Optuna study of the sweep's name, curves included.

    Args:
        name: Name of the sweep.
        url: Address of the database, for example `sqlite:///study.db`.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.

    Raises:
        SweepNotFoundError: There is no such sweep.
        ExportError: The database cannot be written, or has a study of this name.
    """
    from dnnsweep.study.finished_study import save_study

    save_study(optuna_study(name, with_curves=True, home=home), url)


def model_file(
    name: str, *, number: int | None = None, home: Home = None, folder: str | os.PathLike[str] = "."
) -> Path:
    """Return the file of a trial's Keras model, with the weights of its best epoch.

    Args:
        name: Name of the sweep.
        number: Number of the trial; None for the best one, in the first objective if there are two.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.
        folder: Folder into which a model is copied if a service holds it.

    Raises:
        SweepNotFoundError: There is no such sweep or trial, or none is complete yet.
        ExportError: The trial's weights were not kept, because another trial beats it.
    """
    with open_store(home) as store:
        return store.model(name, choose_trial(store, name, number).number, Path(folder))


def find_answer(store: SweepStore, name: str) -> dict[str, Any] | None:
    """Return what a sweep answers, as plain JSON; None if it has no answer yet."""
    with suppress(SweepNotFoundError):
        return store.answer(name)
    return None


def choose_trial(store: SweepStore, name: str, number: int | None) -> Trial:
    """Return a trial; the winner, or else the best one, if no number is given.

    Raises:
        SweepNotFoundError: There is no such sweep or trial, or none is complete.
        ExportError: The winner is no trial.
    """
    if number is not None:
        return store.trial(name, number)
    best = store.best(name, 1)
    if not best:
        raise SweepNotFoundError(f"no trial of sweep {name} is complete")
    winner = (find_answer(store, name) or {}).get("winner")
    if winner is not None and winner["number"] is None:
        raise ExportError(
            f"the winner of sweep {name} is its baseline, which no trial has trained; "
            f"--trial {best[0].number} takes the best trial"
        )
    return best[0]
