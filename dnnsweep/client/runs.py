"""Starting sweeps: here, or in the queue for workers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dnnsweep.client.handle import SweepHandle, handle_on
from dnnsweep.client.reads import show
from dnnsweep.errors import AnswerError
from dnnsweep.records import Sweep
from dnnsweep.settings import find_settings
from dnnsweep.stores.polling import retry_while_uncertain, watch_sweep
from dnnsweep.stores.resolve import Home, open_store, remote_store

if TYPE_CHECKING:
    from dnnsweep.profiling import Profile
    from dnnsweep.runner.outline import Outline
    from dnnsweep.runner.run import RunOptions
    from dnnsweep.spec import SweepSpec
    from dnnsweep.trainers import TrainerPlan


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
    confirm: bool = True,
    test: bool = True,
    progress: bool = True,
    on_progress: Callable[[Any], None] | None = None,
    on_phase: Callable[[str], None] | None = None,
    on_plan: Callable[[TrainerPlan], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_wait: Callable[[str], None] | None = None,
    profile: Profile | None = None,
) -> SweepHandle:
    """Run a sweep here, or continue it; return when it has ended or was interrupted.

    Args:
        spec: Path of a sweep file, or its content as a mapping.
        data: Arrays `(x, y)` to use instead of the file's data source; x has shape (rows, ...), y has shape (rows,).
        home: Folder in which everything is stored; None reads `DNNSWEEP_HOME`, else takes `./dnnsweep-home`.
        name: Name to use instead of the file's.
        trials: Number of trials to use instead of `budget.trials`.
        seconds: Seconds to use instead of `budget.seconds`.
        overrides: Strings `path=value` that replace other parts of the file.
        trainers: Number of training processes; None takes the file's, else as many as repay their start.
        executor: `local` trains in processes of their own, `inprocess` in this process, for debugging.
        confirm: Whether the best configurations are repeated after the last trial, as `confirm` in the file says.
            Without that the winner is not scored either.
        test: Whether the test rows may be opened to score the winner.
        progress: Whether to show a progress bar on a terminal or in a notebook, if `on_progress` is None.
        on_progress: Called with a `runner.controller.Progress` after each change.
        on_phase: Called with what the run begins to do before it trains, such as `loading data`.
        on_plan: Called once, with how trials will be trained and why, unless there is nothing left to train.
        on_note: Called with each sentence that a person should know about the search and the data before trials are
            trained.
        on_wait: Called again and again while another process runs the sweep, with a text that says which. None raises
            an error as soon as that process was seen to run.
        profile: Filled with where the time went.

    Returns:
        A handle on the sweep; its `state` tells whether the sweep is complete.

    Raises:
        SpecError: The sweep file or its data are wrong; nothing was stored.
        SweepConflictError: A sweep of this name has other content, or the data have changed.
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
    from dnnsweep.runner.run import RunOptions

    replaced = _overrides(overrides, name, trials, seconds)
    if not confirm:
        replaced = [*replaced, "confirm=null"]
    options = RunOptions(
        data=data,
        n_trainers=trainers,
        executor=ExecutorKind.named(executor),
        on_phase=on_phase or (lambda _: None),
        on_plan=on_plan or (lambda _: None),
        on_wait=on_wait,
        opens_test=test,
        profile=profile or Profile(),
    )
    checked = load_checked(spec, replaced, has_arrays=data is not None)
    return run_checked(checked, home, options, Listener(on_progress, on_note), progress=progress)


def load_checked(
    spec: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] = (), *, has_arrays: bool
) -> SweepSpec:
    """Read and check a sweep file; where arrays are passed, they take the place of its data source."""
    from dnnsweep.spec import HANDED_OVER, load, load_named

    if has_arrays:
        return load(spec, [*overrides, f"dataset.source='{HANDED_OVER}'"])
    return load_named(spec, overrides)


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told how a run goes.

    Args:
        on_progress: Called with a `runner.controller.Progress` after each change; None for a progress bar.
        on_note: Called with each sentence about the search and the data; None for lines above that bar.
    """

    on_progress: Callable[[Any], None] | None = None
    on_note: Callable[[str], None] | None = None


def run_checked(spec: SweepSpec, home: Home, options: RunOptions, listener: Listener, *, progress: bool) -> SweepHandle:
    """Run a sweep whose file was checked; see `run`.

    Args:
        spec: The checked sweep file.
        home: Folder in which everything is stored; None for the usual home.
        options: How to run it; who listens replaces `on_progress` and `on_note`.
        listener: Who is told how the run goes.
        progress: Whether to show a progress bar if nobody listens.
    """
    from dnnsweep.client.progress_bar import ProgressBar
    from dnnsweep.runner.run import run_sweep

    settings = find_settings(home)
    with ProgressBar(spec.name, is_wanted=progress and listener.on_progress is None) as bar:
        on_progress, on_note = listener.on_progress or bar.update, listener.on_note or bar.write
        run_sweep(spec, settings, replace(options, on_progress=on_progress, on_note=on_note))
    return SweepHandle(spec.name, settings.home)


def validate(spec: str | os.PathLike[str] | Mapping[str, Any], *, overrides: Sequence[str] = ()) -> Outline:
    """Check a sweep file, then its data; store nothing.

    Args:
        spec: Path of a sweep file, or its content as a mapping.
        overrides: Strings `path=value` that replace parts of the file.

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
    test: bool = True,
    progress: bool = True,
    on_progress: Callable[[Any], None] | None = None,
    on_phase: Callable[[str], None] | None = None,
) -> SweepHandle:
    """Continue a sweep that was interrupted or stopped; a service's sweep is queued again for its workers.

    Args:
        name: Name of the sweep.
        data: The arrays that the sweep was started with, if it was started with arrays.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.
        trainers: Number of training processes; None takes the file's, else as many as repay their start.
        test: Whether the test rows may be opened to score the winner.
        progress: Whether to show a progress bar on a terminal or in a notebook, if `on_progress` is None.
        on_progress: Called with a `runner.controller.Progress` after each change.
        on_phase: Called with what the run begins to do before it trains; see `run`.

    Raises:
        SweepNotFoundError: There is no such sweep.
        AnswerError: A service is to keep the test rows closed, which its workers cannot be told.
    """
    service = remote_store(home)
    if service is not None:
        if not test:
            raise AnswerError("a service's workers score what they confirm, got --no-test; leave it out, or set --home")
        service.resume(name)
        return handle_on(name, home)
    spec = show(name, home=home).spec
    return run(
        spec,
        data=data,
        home=home,
        trainers=trainers,
        test=test,
        progress=progress,
        on_progress=on_progress,
        on_phase=on_phase,
    )


def submit(
    spec: str | os.PathLike[str] | Mapping[str, Any],
    *,
    home: Home = None,
    name: str | None = None,
    trials: int | None = None,
    seconds: float | None = None,
    overrides: Sequence[str] = (),
) -> SweepHandle:
    """Put a sweep into the queue, for a worker to run.

    Submitting the same file again changes nothing. A sweep that was stopped or has failed is queued again, and so is
    one that gets a larger budget.

    Args:
        spec: Path of a sweep file, or its content as a mapping.
        home: Folder with the queue; None for the service at `DNNSWEEP_API_URL`, or for the usual home.
        name: Name to use instead of the file's.
        trials: Number of trials to use instead of `budget.trials`.
        seconds: Seconds to use instead of `budget.seconds`.
        overrides: Strings `path=value` that replace other parts of the file.

    Raises:
        SpecError: The sweep file is wrong, or asks for what the service's operator does not allow.
        SweepConflictError: A sweep of this name has other content.
        SweepHeldError: The sweep is running with another budget.
        ServiceError: The service cannot be reached, or does not accept the token.
    """
    from dnnsweep.spec import load_named

    checked = load_named(spec, _overrides(overrides, name, trials, seconds))
    with open_store(home, create=True) as store:
        retry_while_uncertain(lambda: store.submit(checked))
    return handle_on(checked.name, home)


def await_end(name: str, *, home: Home = None, on_change: Callable[[Sweep], None] = lambda _: None) -> SweepHandle:
    """Wait until a sweep that workers run has ended, in whatever way; nothing is trained here.

    Args:
        name: Name of the sweep.
        home: Folder in which the sweep is stored; None for the service at `DNNSWEEP_API_URL`, or for the usual home.
        on_change: Called with the sweep, first as it is now and then after each change.

    Raises:
        SweepNotFoundError: There is no such sweep, or it was deleted.
        ServiceError: The service cannot be reached for two minutes.
    """
    with open_store(home) as store:
        for sweep in watch_sweep(store, name):
            on_change(sweep)
    return handle_on(name, home)


def _overrides(overrides: Sequence[str], name: str | None, trials: int | None, seconds: float | None) -> list[str]:
    """Return all that replaces parts of a sweep file, as `path=value` strings."""
    quoted = None if name is None else json.dumps(name)  # a sweep may be called 2024 or null
    named = {"name": quoted, "budget.trials": trials, "budget.seconds": seconds}
    return [*overrides, *(f"{path}={value}" for path, value in named.items() if value is not None)]
