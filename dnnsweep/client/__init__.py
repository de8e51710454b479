"""The Python API: run sweeps, look at them, export what they found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnsweep.client.operations import GRACE_SECONDS, delete, doctor, serve_ui, work
from dnnsweep.errors import DnnsweepError, ExportError, SweepNotFoundError
from dnnsweep.records import Curve, Sweep, SweepState, Trial
from dnnsweep.records.events import Event
from dnnsweep.settings import find_settings
from dnnsweep.stores import SweepStore
from dnnsweep.stores.polling import watch_sweep
from dnnsweep.stores.resolve import Home, open_store, remote_store

if TYPE_CHECKING:
    from dnnsweep.profiling import Profile
    from dnnsweep.runner.outline import Outline
    from dnnsweep.trainers import TrainerPlan


@dataclass(frozen=True, slots=True)
class SweepHandle:
    """A sweep by its name; every method reads the ledger anew.

    Args:
        name: The sweep's.
        home: Where it is stored; None for the service at `DNNSWEEP_API_URL`.
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


def run(
    spec: str | os.PathLike[str] | Mapping[str, Any],
    *,
    data: tuple[Any, Any] | None = None,
    home: Home = None,
    name: str | None = None,
    trials: int | None = None,
    seconds: float | None = None,
    overrides: Sequence[str] = (),
    trainers: int | None = None,
    executor: str = "local",
    on_progress: Callable[[Any], None] | None = None,
    on_plan: Callable[[TrainerPlan], None] | None = None,
    on_wait: Callable[[str], None] | None = None,
    profile: Profile | None = None,
) -> SweepHandle:
    """Run a sweep here, or go on with it; returns when it has ended or was interrupted.

    Args:
        spec: A sweep file's path, or its content as a mapping.
        data: `(x, y)`, handed over in place of the file's data source; x of shape (rows, ...), y of shape (rows,).
        home: Where everything is stored; None reads `DNNSWEEP_HOME`, else `./dnnsweep-home`.
        name: In place of the file's.
        trials: Likewise, `budget.trials`.
        seconds: Likewise, `budget.seconds`.
        overrides: `path=value` strings, as `--set` takes them.
        trainers: Training processes; None takes the file's, else one per core.
        executor: `local` (processes) or `inprocess` (for debugging: trains in this process).
        on_progress: Called with a `controller.Progress` after each change.
        on_plan: Called once, with how trials will be trained and why, unless there is nothing left to train.
        on_wait: Called again and again, with who holds it, while another process runs the sweep; None does not wait.
        profile: Filled with where the time went.

    Returns:
        The sweep; its `state` tells whether it is complete.

    Raises:
        SpecError: The sweep file or its data are wrong; nothing was stored.
        SweepConflictError: The name is taken by another content, or the data have changed.
        SweepHeldError: Another process is running the sweep, and `on_wait` is None.
        SweepFailedError: Ten trials in a row failed.
        TrainerError: No trainer can be started.
        LedgerError: The ledger cannot be read or written.

    Example:
        >>> import dnnsweep
        >>> sweep = dnnsweep.run("sweeps/digits.yaml", trials=10)  # doctest: +SKIP
        >>> sweep.best(top=3)  # doctest: +SKIP
    """
    from dnnsweep.executors import ExecutorKind
    from dnnsweep.profiling import Profile
    from dnnsweep.runner.run import RunOptions, run_sweep
    from dnnsweep.spec import HANDED_OVER, load, load_named

    settings, replaced = find_settings(home), _overrides(overrides, name, trials, seconds)
    in_place_of_source = f"dataset.source='{HANDED_OVER}'"
    checked = load_named(spec, replaced) if data is None else load(spec, [*replaced, in_place_of_source])
    options = RunOptions(
        data=data,
        n_trainers=trainers,
        executor=ExecutorKind.named(executor),
        on_progress=on_progress or (lambda _: None),
        on_plan=on_plan or (lambda _: None),
        on_wait=on_wait,
        profile=profile or Profile(),
    )
    run_sweep(checked, settings, options)
    return SweepHandle(checked.name, settings.home)


def validate(spec: str | os.PathLike[str] | Mapping[str, Any], *, overrides: Sequence[str] = ()) -> Outline:
    """Check a sweep file, then its data; store nothing.

    Args:
        spec: A sweep file's path, or its content as a mapping.
        overrides: `path=value` strings, as `--set` takes them.

    Returns:
        What a run would do.

    Raises:
        SpecError: The sweep file or its data are wrong.
    """
    from dnnsweep.runner.outline import outline
    from dnnsweep.spec import load_named

    return outline(load_named(spec, overrides))


def resume(
    name: str,
    *,
    data: tuple[Any, Any] | None = None,
    home: Home = None,
    trainers: int | None = None,
    on_progress: Callable[[Any], None] | None = None,
) -> SweepHandle:
    """Go on with a sweep as it was started; see `run` for the arguments. A service's is queued again, for its workers.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    service = remote_store(home)
    if service is not None:
        service.resume(name)
        return _handle(name, home)
    spec = show(name, home=home).spec
    return run(spec, data=data, home=home, trainers=trainers, on_progress=on_progress)


def submit(
    spec: str | os.PathLike[str] | Mapping[str, Any],
    *,
    home: Home = None,
    name: str | None = None,
    trials: int | None = None,
    seconds: float | None = None,
    overrides: Sequence[str] = (),
) -> SweepHandle:
    """Put a sweep into the queue, for a worker to run; see `run` for the arguments.

    Submitting the same again changes nothing; a sweep that was stopped or failed, or gets a larger budget, is queued
    again.

    Raises:
        SpecError: The sweep file is wrong, or asks for what the service's operator does not allow.
        SweepConflictError: The name is taken by another content.
        SweepHeldError: It is running, with another budget.
        ServiceError: The service cannot be reached, or does not let this token in.
    """
    from dnnsweep.spec import load_named

    checked = load_named(spec, _overrides(overrides, name, trials, seconds))
    with open_store(home, create=True) as place:
        place.submit(checked)
    return _handle(checked.name, home)


def await_end(name: str, *, home: Home = None, on_change: Callable[[Sweep], None] = lambda _: None) -> SweepHandle:
    """Wait until a sweep has ended, however it ends; nothing is trained here.

    Args:
        name: The sweep.
        home: Where it is stored.
        on_change: Called with the sweep, first as it is and then after each change.

    Raises:
        SweepNotFoundError: There is no such sweep, or it was deleted.
        ServiceError: The service cannot be reached for two minutes.
    """
    with open_store(home) as place:
        for sweep in watch_sweep(place, name):
            on_change(sweep)
    return _handle(name, home)


def sweeps(*, home: Home = None) -> list[Sweep]:
    """Return all sweeps of a home, oldest first; none if there is no such home."""
    try:
        with open_store(home) as place:
            return place.sweeps()
    except SweepNotFoundError:
        return []


def show(name: str, *, home: Home = None) -> Sweep:
    """Return one sweep.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    with open_store(home) as place:
        return place.sweep(name)


def events(name: str, *, home: Home = None) -> list[Event]:
    """Return what happened to a sweep and its trials, oldest first.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    with open_store(home) as place:
        return place.events(name)


def trials(name: str, *, where: str | None = None, home: Home = None) -> list[Trial]:
    """Return the trials of a sweep, in their order.

    Args:
        name: The sweep.
        where: A condition such as `optimizer == 'adam' and dropout < 0.3`; None for all trials.
        home: Where the sweep is stored.

    Raises:
        QueryError: The condition is wrong.
        SweepNotFoundError: There is no such sweep.
    """
    with open_store(home) as place:
        return place.trials(name, where)


def best(name: str, *, top: int | None = None, where: str | None = None, home: Home = None) -> list[Trial]:
    """Return the best complete trials of a sweep, best first; equal values rank by lower `val_loss`, then by number.

    Args:
        name: The sweep.
        top: At most so many; None for 5, or all of the Pareto front of two objectives.
        where: A condition such as `optimizer == 'adam' and dropout < 0.3`; None for all trials.
        home: Where the sweep is stored.

    Raises:
        QueryError: The condition is wrong, or `top` is below 1.
        SweepNotFoundError: There is no such sweep.
    """
    with open_store(home) as place:
        return place.best(name, top, where)


def curve(name: str, number: int, *, home: Home = None) -> Curve:
    """Return what was measured while a trial trained.

    Raises:
        SweepNotFoundError: There is no such sweep or trial.
    """
    with open_store(home) as place:
        return place.curve(name, number)


def export(name: str, *, form: str = "python", number: int | None = None, home: Home = None) -> str:
    """Return a trial's configuration in a form that can be used elsewhere.

    Args:
        name: The sweep.
        form: `python`: ordinary Keras code in one file; `yaml`: a sweep file with everything fixed.
        number: The trial; None for the best, in the first of two objectives.
        home: Where the sweep is stored.

    Raises:
        SweepNotFoundError: There is no such sweep or trial, or none is complete yet.
        ExportError: The form is unknown.
    """
    from dnnsweep import exports

    forms: dict[str, Callable[[Sweep, Trial], str]] = {"python": exports.python, "yaml": exports.sweep_file}
    if form not in forms:
        raise ExportError(f"a configuration can be exported as {' or '.join(forms)}, got {form!r}")
    with open_store(home) as place:
        return forms[form](place.sweep(name), _chosen(place, name, number))


def model_file(
    name: str, *, number: int | None = None, home: Home = None, folder: str | os.PathLike[str] = "."
) -> Path:
    """Return the saved Keras model of the best trial, or of one on the front, with the weights of its best epoch.

    Args:
        name: The sweep.
        number: The trial; None for the best, in the first of two objectives.
        home: Where the sweep is stored.
        folder: Where a copy of the model goes that a service holds.

    Raises:
        SweepNotFoundError: There is no such sweep or trial, or none is complete yet.
        ExportError: The trial's weights were not kept, for another trial beats it.
    """
    with open_store(home) as place:
        return place.model(name, _chosen(place, name, number).number, Path(folder))


def _chosen(place: SweepStore, name: str, number: int | None) -> Trial:
    found = place.best(name, 1) if number is None else [place.trial(name, number)]
    if not found:
        raise SweepNotFoundError(f"no trial of sweep {name} is complete")
    return found[0]


def stop(name: str, *, home: Home = None) -> bool:
    """Ask whoever runs a sweep to stop, or take it from the queue; return whether it was running or waiting.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    with open_store(home) as place:
        return place.stop(name)


def _handle(name: str, home: Home) -> SweepHandle:
    return SweepHandle(name, None if remote_store(home) is not None else find_settings(home).home)


def _overrides(overrides: Sequence[str], name: str | None, trials: int | None, seconds: float | None) -> list[str]:
    """Return overrides with those of the arguments that replace parts of a sweep file."""
    quoted = None if name is None else json.dumps(name)  # a sweep may be called 2024 or null
    named = {"name": quoted, "budget.trials": trials, "budget.seconds": seconds}
    return [*overrides, *(f"{path}={value}" for path, value in named.items() if value is not None)]


__all__ = [
    "GRACE_SECONDS",
    "DnnsweepError",
    "SweepHandle",
    "await_end",
    "best",
    "curve",
    "delete",
    "doctor",
    "events",
    "export",
    "model_file",
    "resume",
    "run",
    "serve_ui",
    "show",
    "stop",
    "submit",
    "sweeps",
    "trials",
    "validate",
    "work",
]
