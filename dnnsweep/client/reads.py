"""Looking at sweeps: their state, their trials, and what can be exported of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dnnsweep.errors import ExportError, SweepNotFoundError
from dnnsweep.records import Curve, Sweep, SweepState, Trial
from dnnsweep.records.events import Event
from dnnsweep.settings import find_settings
from dnnsweep.stores import SweepStore
from dnnsweep.stores.resolve import Home, open_store, remote_store


@dataclass(frozen=True, slots=True)
class SweepHandle:
    """A sweep by its name; every method reads the ledger anew.

    Args:
        name: Name of the sweep.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`.
    """

    name: str
    home: Path | None

    @property
    def state(self) -> SweepState:
        """Return where the sweep stands."""
        return self.show().state

    def show(self) -> Sweep:
        """Return the sweep."""
        return show(self.name, home=self.home)

    def trials(self, where: str | None = None) -> list[Trial]:
        """Return the trials that meet a condition, in their order."""
        return trials(self.name, where=where, home=self.home)

    def best(self, top: int | None = None, where: str | None = None) -> list[Trial]:
        """Return the best trials that meet a condition, best first; see `client.best`."""
        return best(self.name, top=top, where=where, home=self.home)

    def export(self, form: str = "python", number: int | None = None) -> str:
        """Return a trial's configuration as `python` code or as a `yaml` sweep file."""
        return export(self.name, form=form, number=number, home=self.home)


def handle_on(name: str, home: Home) -> SweepHandle:
    """Return a handle on a sweep of a home, or of the service that is asked instead of a home."""
    return SweepHandle(name, None if remote_store(home) is not None else find_settings(home).home)


def sweeps(*, home: Home = None) -> list[Sweep]:
    """Return all sweeps of a home, oldest first; none if there is no such home."""
    try:
        with open_store(home) as store:
            return store.sweeps()
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


def show_trials(name: str, *, where: str | None = None, home: Home = None) -> tuple[Sweep, list[Trial]]:
    """Return a sweep with its trials, as `show` and `trials` do, but open the home once."""
    with open_store(home) as store:
        return store.sweep(name), store.trials(name, where)


def show_best(
    name: str, *, top: int | None = None, where: str | None = None, home: Home = None
) -> tuple[Sweep, list[Trial]]:
    """Return a sweep with its best trials, as `show` and `best` do, but open the home once."""
    with open_store(home) as store:
        return store.sweep(name), store.best(name, top, where)


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
        number: Number of the trial; None for the best one, in the first objective if there are two.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.

    Raises:
        SweepNotFoundError: There is no such sweep or trial, or none is complete yet.
        ExportError: The form is unknown.
    """
    from dnnsweep import exports

    forms: dict[str, Callable[[Sweep, Trial], str]] = {"python": exports.python, "yaml": exports.sweep_file}
    if form not in forms:
        raise ExportError(f"a configuration can be exported as {' or '.join(forms)}, got {form!r}")
    with open_store(home) as store:
        return forms[form](store.sweep(name), _chosen_trial(store, name, number))


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
        return store.model(name, _chosen_trial(store, name, number).number, Path(folder))


def _chosen_trial(store: SweepStore, name: str, number: int | None) -> Trial:
    """Return a trial; the best one if no number is given."""
    chosen = store.best(name, 1) if number is None else [store.trial(name, number)]
    if not chosen:
        raise SweepNotFoundError(f"no trial of sweep {name} is complete")
    return chosen[0]
