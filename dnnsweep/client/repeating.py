"""Asking more of a sweep that is complete: confirm its winner, measure effects, retrain a trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dnnsweep.client.handle import SweepHandle
from dnnsweep.client.reads import show
from dnnsweep.client.runs import Listener, load_checked, run_checked
from dnnsweep.errors import AnswerError
from dnnsweep.records import Sweep, SweepState
from dnnsweep.stores.resolve import Home, open_store, remote_store

if TYPE_CHECKING:
    from dnnsweep.runner.run import RunOptions
    from dnnsweep.spec import SweepSpec


def confirm(  # noqa: PLR0913  what `run` takes as well
    name: str,
    *,
    top: int | None = None,
    blocks: int | None = None,
    budget: float | None = None,
    test: bool = True,
    data: tuple[Any, Any] | None = None,
    home: Home = None,
    trainers: int | None = None,
    executor: str = "local",
    progress: bool = True,
    on_progress: Callable[[Any], None] | None = None,
    on_phase: Callable[[str], None] | None = None,
) -> SweepHandle:
    """Repeat the best trials of a complete sweep, then retrain the winner and score it on the test rows.

    Repeats that were trained before are used again.

    Args:
        name: Name of the sweep.
        top: How many of the best trials are repeated, beside the baseline; None for what the sweep file says, else 8.
        blocks: The most repeats of each; None for what the sweep file says, else 30.
        budget: Share of the trials' epochs that repeats after the third may take; None for what the sweep file says,
            else 0.25.
        test: Whether the test rows may be opened to score the winner.
        data: The arrays that the sweep was started with, if it was started with arrays.
        home: Folder in which the sweep is stored; None for the usual home.
        trainers: Number of training processes; None takes the file's, else as many as repay their start.
        executor: `local` trains in processes of their own, `inprocess` in this process, for debugging.
        progress: Whether to show a progress bar on a terminal or in a notebook, if `on_progress` is None.
        on_progress: Called with a `runner.controller.Progress` after each change.
        on_phase: Called with what the run begins to do before it trains; see `run`.

    Raises:
        AnswerError: The sweep is not complete, has two objectives, or belongs to a service.
        SpecError: A number is out of its range.
        SweepNotFoundError: There is no such sweep.
    """
    sweep, spec = _complete(name, data, home)
    section = _confirm_section(sweep, spec, {"top": top, "blocks": blocks, "budget": budget})
    asking = load_checked({**sweep.spec, "confirm": section}, has_arrays=data is not None)
    options = replace(_options(data, trainers, executor, on_phase), opens_test=test)
    return run_checked(asking, home, options, Listener(on_progress), progress=progress)


def effects(  # noqa: PLR0913  likewise
    name: str,
    *,
    blocks: int | None = None,
    budget: float | None = None,
    isolate: str | None = None,
    data: tuple[Any, Any] | None = None,
    home: Home = None,
    trainers: int | None = None,
    executor: str = "local",
    progress: bool = True,
    on_progress: Callable[[Any], None] | None = None,
    on_phase: Callable[[str], None] | None = None,
) -> SweepHandle:
    """Measure which hyperparameters make the difference between the baseline and the winner of a complete sweep.

    A winner that was not confirmed yet is confirmed first. The test rows stay closed.

    Args:
        name: Name of the sweep.
        blocks: Repeats of each combination; None for what the sweep file says, else 10.
        budget: Trainings as a share of the trials' epochs; None for what the sweep file says, else for all combinations
            of up to six hyperparameters.
        isolate: A searched hyperparameter, whose values are compared instead: each with its own best learning rate and
            optimizer out of 32, in as many blocks.
        data: The arrays that the sweep was started with, if it was started with arrays.
        home: Folder in which the sweep is stored; None for the usual home.
        trainers: Number of training processes; None takes the file's, else as many as repay their start.
        executor: `local` trains in processes of their own, `inprocess` in this process, for debugging.
        progress: Whether to show a progress bar on a terminal or in a notebook, if `on_progress` is None.
        on_progress: Called with a `runner.controller.Progress` after each change.
        on_phase: Called with what the run begins to do before it trains; see `run`.

    Raises:
        AnswerError: The sweep is not complete, has two objectives, or belongs to a service; or it does not search the
            hyperparameter to isolate.
        SpecError: A number is out of its range.
        SweepNotFoundError: There is no such sweep.
    """
    sweep, spec = _complete(name, data, home)
    if isolate is not None:
        _check_searched(isolate, sweep)
    own = {} if spec.effects is None else spec.effects.model_dump()
    sections = {
        "confirm": _confirm_section(sweep, spec, {}),
        "effects": own | _given({"blocks": blocks, "budget": budget}),
    }
    asking = load_checked({**sweep.spec, **sections}, has_arrays=data is not None)
    options = replace(_options(data, trainers, executor, on_phase), opens_test=False)
    if isolate is not None and asking.effects is not None:
        from dnnsweep.runner.answering import Isolation

        options = replace(options, isolation=Isolation(isolate, asking.effects.blocks))
        asking = load_checked({**sweep.spec, "confirm": sections["confirm"]}, has_arrays=data is not None)
    return run_checked(asking, home, options, Listener(on_progress), progress=progress)


def retrain(  # noqa: PLR0913  likewise
    name: str,
    trial: int,
    *,
    data: tuple[Any, Any] | None = None,
    home: Home = None,
    trainers: int | None = None,
    executor: str = "local",
    progress: bool = True,
    on_progress: Callable[[Any], None] | None = None,
    on_phase: Callable[[str], None] | None = None,
) -> SweepHandle:
    """Retrain a trial's hyperparameters on all development rows, and score them on the test rows.

    The model of the first seed is the one that `predict` and `export` take from then on.

    Args:
        name: Name of the sweep.
        trial: Number of the trial.
        data: The arrays that the sweep was started with, if it was started with arrays.
        home: Folder in which the sweep is stored; None for the usual home.
        trainers: Number of training processes; None takes the file's, else as many as repay their start.
        executor: `local` trains in processes of their own, `inprocess` in this process, for debugging.
        progress: Whether to show a progress bar on a terminal or in a notebook, if `on_progress` is None.
        on_progress: Called with a `runner.controller.Progress` after each change.
        on_phase: Called with what the run begins to do before it trains; see `run`.

    Raises:
        AnswerError: The sweep is not complete, has two objectives or no test rows, or belongs to a service; or the
            trial is not complete.
        SweepNotFoundError: There is no such sweep or trial.
    """
    sweep, spec = _complete(name, data, home)
    with open_store(home) as store:
        chosen = store.trial(name, trial)
    if chosen.value is None:
        reason = chosen.reason or chosen.state.lower()
        raise AnswerError(f"a trial to retrain must be complete, got trial {trial}, which is {reason}; choose another")
    if not sweep.data.get("n_test"):
        raise AnswerError(
            f"sweep {name} has no test rows to score a retrained trial on; set dataset.test in a new sweep"
        )
    options = replace(_options(data, trainers, executor, on_phase), retrained=trial)
    return run_checked(spec, home, options, Listener(on_progress), progress=progress)


def _complete(name: str, data: tuple[Any, Any] | None, home: Home) -> tuple[Sweep, SweepSpec]:
    """Return a sweep that can be asked more, with its checked file.

    Raises:
        AnswerError: It cannot.
    """
    if remote_store(home) is not None:
        raise AnswerError(
            "a service trains only what sweep files ask for; put `confirm` and `effects` into the file before you "
            "submit it, or run this command on the machine with the home, with --home"
        )
    sweep = show(name, home=home)
    if sweep.state is not SweepState.COMPLETE:
        raise AnswerError(
            f"only a complete sweep can be asked more, got {name}, which is {sweep.state.lower()}; "
            f"`dnnsweep resume {name}` first"
        )
    if len(sweep.objectives) > 1:
        raise AnswerError(
            f"only a sweep of one objective has a winner, got {name}; `dnnsweep best {name}` shows its front"
        )
    spec = load_checked(sweep.spec, has_arrays=data is not None)
    if spec.budget.seconds is not None and sweep.seconds >= spec.budget.seconds:
        more = f"--trials {sweep.n_finished} --seconds {2 * spec.budget.seconds:g}"
        raise AnswerError(
            f"sweep {name} has spent its {spec.budget.seconds:g} seconds, which cover its repeats as well; "
            f"give it more by `dnnsweep run FILE {more}`"
        )
    return sweep, spec


def _check_searched(name: str, sweep: Sweep) -> None:
    """Check that a sweep searches a hyperparameter.

    Raises:
        AnswerError: It does not.
    """
    from dnnsweep.space import did_you_mean

    searched = tuple(sweep.spec["space"])
    if name not in searched:
        remedy = did_you_mean(name, searched) or f"choose one of {', '.join(searched)}"
        raise AnswerError(f"a hyperparameter to isolate must be searched by sweep {sweep.name}, got {name}; {remedy}")


def _confirm_section(sweep: Sweep, spec: SweepSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section `confirm` of a sweep, with what is given in place of what its file says."""
    section = spec.confirmation(sweep.trainer)
    return ({} if section is None else section.model_dump()) | _given(given)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _options(
    data: tuple[Any, Any] | None,
    trainers: int | None,
    executor: str,
    on_phase: Callable[[str], None] | None,
) -> RunOptions:
    from dnnsweep.executors import ExecutorKind
    from dnnsweep.runner.run import RunOptions

    return RunOptions(
        data=data,
        n_trainers=trainers,
        executor=ExecutorKind.named(executor),
        on_phase=on_phase or (lambda _: None),
    )
