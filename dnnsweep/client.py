"""The Python API: run sweeps, look at them, export what they found."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dnnsweep import query
from dnnsweep.errors import DnnsweepError, ExportError, QueryError, SweepNotFoundError
from dnnsweep.history import Event
from dnnsweep.ledger import Ledger
from dnnsweep.records import Curve, Sweep, SweepState, Trial
from dnnsweep.settings import resolve
from dnnsweep.space import own_knobs

if TYPE_CHECKING:
    from dnnsweep.examination import Examination
    from dnnsweep.profiling import Profile
    from dnnsweep.running import Outline
    from dnnsweep.trainers import TrainerPlan

Home = str | os.PathLike[str] | None
#: How long deletions may keep the caller waiting for MLflow.
DELETE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class SweepHandle:
    """A sweep by its name; every method reads the ledger anew.

    Args:
        name: The sweep's.
        home: Where it is stored.
    """

    name: str
    home: Path

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
    from dnnsweep import running

    quoted = None if name is None else json.dumps(name)  # a sweep may be called 2024 or null
    named = {"name": quoted, "budget.trials": trials, "budget.seconds": seconds}
    wanted = [*overrides, *(f"{path}={value}" for path, value in named.items() if value is not None)]
    settings = resolve(home)
    checked = running.read_spec(spec, wanted, has_data=data is not None)
    running.run(
        checked,
        settings,
        data=data,
        trainers=trainers,
        executor=executor,
        on_progress=on_progress or (lambda _: None),
        on_plan=on_plan or (lambda _: None),
        on_wait=on_wait,
        profile=profile,
    )
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
    from dnnsweep import running

    return running.outline(running.read_spec(spec, overrides, has_data=False))


def resume(
    name: str,
    *,
    data: tuple[Any, Any] | None = None,
    home: Home = None,
    trainers: int | None = None,
    on_progress: Callable[[Any], None] | None = None,
) -> SweepHandle:
    """Go on with a sweep as it was started; see `run` for the arguments.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    spec = show(name, home=home).spec
    return run(spec, data=data, home=home, trainers=trainers, on_progress=on_progress)


def sweeps(*, home: Home = None) -> list[Sweep]:
    """Return all sweeps of a home, oldest first; none if there is no such home."""
    try:
        with _ledger(home) as ledger:
            return ledger.sweeps()
    except SweepNotFoundError:
        return []


def show(name: str, *, home: Home = None) -> Sweep:
    """Return one sweep.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    with _ledger(home) as ledger:
        return ledger.sweep(name)


def events(name: str, *, home: Home = None) -> list[Event]:
    """Return what happened to a sweep and its trials, oldest first.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    with _ledger(home) as ledger:
        return ledger.events(name)


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
    with _ledger(home) as ledger:
        return ledger.trials(name, _condition(ledger, name, where))


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
    if top is not None and top < 1:
        raise QueryError(f"top must be at least 1, got {top}")
    with _ledger(home) as ledger:
        return ledger.best(name, top, _condition(ledger, name, where))


def _condition(ledger: Ledger, name: str, where: str | None) -> query.Condition | None:
    return None if where is None else query.parse(where, own_knobs(ledger.sweep(name).spec))


def curve(name: str, number: int, *, home: Home = None) -> Curve:
    """Return what was measured while a trial trained.

    Raises:
        SweepNotFoundError: There is no such sweep or trial.
    """
    with _ledger(home) as ledger:
        ledger.trial(name, number)
        return ledger.curve(ledger.sweep(name).id, number)


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
    with _ledger(home) as ledger:
        return forms[form](ledger.sweep(name), _chosen(ledger, name, number))


def model_file(name: str, *, number: int | None = None, home: Home = None) -> Path:
    """Return the saved Keras model of the best trial, or of one on the front, with the weights of its best epoch.

    Args:
        name: The sweep.
        number: The trial; None for the best, in the first of two objectives.
        home: Where the sweep is stored.

    Raises:
        SweepNotFoundError: There is no such sweep or trial, or none is complete yet.
        ExportError: The trial's weights were not kept, for another trial beats it.
    """
    with _ledger(home) as ledger:
        trial = _chosen(ledger, name, number)
        kept = ledger.model_name(ledger.sweep(name).id, trial.number)
    if kept is None:
        raise ExportError(f"only trials that none beats keep weights, got trial {trial.number}; export it as python")
    path = resolve(home).best_model(name, kept)
    if not path.exists():
        raise ExportError(f"the model of trial {trial.number} must be in {path}, but is not; export it as python")
    return path


def _chosen(ledger: Ledger, name: str, number: int | None) -> Trial:
    found = ledger.best(name) if number is None else [ledger.trial(name, number)]
    if not found:
        raise SweepNotFoundError(f"no trial of sweep {name} is complete yet")
    return found[0]


def stop(name: str, *, home: Home = None) -> bool:
    """Ask the process that runs a sweep to stop; return whether one is running it.

    Raises:
        SweepNotFoundError: There is no such sweep.
    """
    with _ledger(home) as ledger:
        return ledger.request_stop(name)


def delete(name: str, *, home: Home = None) -> bool:
    """Remove a sweep, its trials, its model and its MLflow runs.

    Returns:
        Whether MLflow has removed the runs already; else they are removed when it can be reached again.

    Raises:
        SweepNotFoundError: There is no such sweep.
        SweepHeldError: It is running.
    """
    from dnnsweep.delivery import deliver_all
    from dnnsweep.tracking import Tracker

    settings = resolve(home)
    with _ledger(home) as ledger:
        ledger.delete(name)
        shutil.rmtree(settings.models(name), ignore_errors=True)
        return ledger.outbox.next_due() is None or deliver_all(ledger, Tracker(settings), settings, DELETE_SECONDS)


def doctor(name: str | None = None, *, is_mending: bool = True, home: Home = None) -> Examination:
    """Compare the ledger with MLflow, run by run, and mend what MLflow shows otherwise.

    Args:
        name: The only sweep to look at; None for all but those that are running.
        is_mending: Whether to deliver what is behind and to mend; else nothing is changed.
        home: Where the sweeps are stored.

    Raises:
        TrackingError: MLflow cannot be reached or refuses.
    """
    from dnnsweep.examination import examined

    with _ledger(home) as ledger:
        return examined(ledger, resolve(home), name, is_mending=is_mending)


def serve_ui(
    name: str | None = None, *, port: int = 5000, home: Home = None, on_address: Callable[[str], None] = print
) -> None:
    """Serve the MLflow UI on 127.0.0.1 until it is interrupted.

    Args:
        name: Print the address of this sweep; None for all.
        port: Where to listen.
        home: Whose runs to show.
        on_address: Called with the address; once the UI answers there.

    Raises:
        SweepNotFoundError: There is no such sweep.
        TrackingError: The UI cannot be started.
    """
    from dnnsweep import tracking
    from dnnsweep.delivery import deliver_all

    settings = resolve(home)
    with _ledger(home) as ledger:
        direction = None if name is None else ledger.sweep(name).direction
        deliver_all(ledger, tracking.Tracker(settings), settings, DELETE_SECONDS)
    tracking.serve_ui(settings, port, on_ready=on_address, experiment=name, direction=direction)


@contextmanager
def _ledger(home: Home) -> Iterator[Ledger]:
    ledger = Ledger.open(resolve(home).database_url)
    try:
        yield ledger
    finally:
        ledger.close()


__all__ = [
    "DnnsweepError",
    "SweepHandle",
    "best",
    "curve",
    "delete",
    "export",
    "model_file",
    "resume",
    "run",
    "serve_ui",
    "show",
    "stop",
    "sweeps",
    "trials",
    "validate",
]
