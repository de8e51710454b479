"""Records for people and programs: tables and sentences, or JSON, YAML and CSV."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from dnnsweep.cli.formats import (
    format_number,
    format_setting,
    print_for_program,
    print_json,
)
from dnnsweep.cli.screen_tables import Column, print_facts, print_table
from dnnsweep.cli.standard_streams import say
from dnnsweep.cli.terminal import escape_controls
from dnnsweep.records import SWEEP_COLUMNS, TRIAL_COLUMNS, Confirmed, Purpose, Sweep, SweepState, Trial, spread_of
from dnnsweep.records.events import DeletedSweep, Event
from dnnsweep.records.paging import Page
from dnnsweep.space import KNOBS, branch_texts, yaml_text

if TYPE_CHECKING:  # queries load no MLflow, nor a controller
    from dnnsweep.delivery.doctor import Diagnosis
    from dnnsweep.runner.controller import Progress
    from dnnsweep.runner.outline import Outline

#: The columns of trials for programs; metrics follow, which depend on the task.
_PARTS: Final[Mapping[str, Sequence[str]]] = {
    "params": [f"params.{knob}" for knob in KNOBS],
    "confirmed": [f"confirmed.{name}" for name in Confirmed.__slots__],
}
_TRIAL_COLUMNS: Final = tuple(
    column for name in TRIAL_COLUMNS if name != "metrics" for column in _PARTS.get(name, (name,))
)
#: What a running sweep does while no trials are trained.
_REPEATING: Final[Mapping[Purpose, str]] = {
    Purpose.NOISE: "measuring noise",
    Purpose.CONFIRM: "confirming",
    Purpose.EFFECTS: "measuring effects",
    Purpose.ISOLATE: "comparing values",
    Purpose.RETRAIN: "retraining",
}


def print_sweeps(sweeps: Sequence[Sweep], form: str, *, is_wide: bool = False) -> None:
    """Print sweeps, a line each.

    Args:
        sweeps: The sweeps, in the order to print.
        form: `text`, `json`, `yaml` or `csv`.
        is_wide: Whether to print columns that the screen has no room for.
    """
    if print_for_program([sweep.to_json() for sweep in sweeps], form, SWEEP_COLUMNS):
        return
    columns = (
        Column("name", [sweep.name for sweep in sweeps]),
        Column("state", [_state_text(sweep) for sweep in sweeps]),
        Column("trials", [f"{sweep.n_finished}/{sweep.n_trials}" for sweep in sweeps], is_numeric=True),
        Column("failed", [str(sweep.n_failed) for sweep in sweeps], is_numeric=True),
        Column("best", [format_number(sweep.best_value) for sweep in sweeps], is_numeric=True),
        Column("objective", [" and ".join(map(str, sweep.objectives)) for sweep in sweeps]),
        Column("created", [_minute(sweep.created_at) for sweep in sweeps]),
    )
    print_table(columns, is_wide=is_wide)


def print_deleted(deleted: Sequence[DeletedSweep], form: str, *, is_wide: bool = False) -> None:
    """Print what is kept of deleted sweeps, a line each.

    Args:
        deleted: The records, in the order to print.
        form: `text`, `json`, `yaml` or `csv`.
        is_wide: Whether to print columns that the screen has no room for.
    """
    if print_for_program([record.to_json() for record in deleted], form, DeletedSweep.__slots__):
        return
    columns = (
        Column("name", [record.name for record in deleted]),
        Column("id", [record.id for record in deleted]),
        Column("created", [_minute(record.created_at) for record in deleted]),
        Column("submitted by", [record.submitted_by or "-" for record in deleted]),
        Column("stopped by", [record.stopped_by or "-" for record in deleted]),
        Column("deleted", [_minute(record.deleted_at) for record in deleted]),
        Column("deleted by", [record.deleted_by or "-" for record in deleted]),
    )
    print_table(columns, is_wide=is_wide)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000).astimezone()


def _minute(milliseconds: int) -> str:
    return _time(milliseconds).strftime("%Y-%m-%d %H:%M")


def print_sweep(sweep: Sweep, form: str, sentences: Sequence[str] = (), ill: Sequence[Trial] = ()) -> None:
    """Print everything about one sweep.

    Args:
        sweep: The sweep.
        form: `text`, `json`, `yaml` or `csv`.
        sentences: What the sweep answers; the first sentence is printed for people.
        ill: The trials in which something was found; only text tells of them.
    """
    if not print_for_program(sweep.to_json(), form, SWEEP_COLUMNS):
        answered = [("answer", sentence) for sentence in sentences[:1]]
        print_facts([*_sweep_facts(sweep), *answered, *_findings(ill)])


def _findings(ill: Sequence[Trial]) -> Iterator[tuple[str, str]]:
    counts = Counter(code for trial in ill for code in finding_codes(trial))
    if counts:
        yield "findings", ", ".join(f"{code} in {count}" for code, count in counts.most_common())


def finding_codes(trial: Trial) -> list[str]:
    """Return the codes of what was found in a trial, each once."""
    return list(dict.fromkeys(finding.code.value for finding in trial.findings))


def _state_text(sweep: Sweep) -> str:
    """Return the state of a sweep, and what it does while no trials are trained."""
    if sweep.repeated_for is not None:
        return f"{sweep.state} ({_REPEATING[sweep.repeated_for]})"
    if sweep.state is not SweepState.RUNNING or sweep.n_running or sweep.n_finished >= sweep.n_trials:
        return sweep.state
    return f"{sweep.state} ({'starting' if sweep.data else 'loading data'})"


def _sweep_facts(sweep: Sweep) -> Iterable[tuple[str, str]]:
    yield "sweep", sweep.name
    yield "state", _state_text(sweep) + (f" ({sweep.error})" if sweep.error else "")
    if sweep.description:
        yield "about", sweep.description
    yield from _data_facts(sweep)
    yield "objective", " and ".join(map(str, sweep.objectives))
    counts = f"{sweep.n_finished} of {sweep.n_trials} finished, {sweep.n_running} running"
    yield "trials", f"{counts}, {format_losses(sweep)}"
    if sweep.conclusion is not None:
        yield "ended early", sweep.conclusion
    if sweep.best_number is not None:
        n_folds = sweep.spec.get("dataset", {}).get("folds")
        how = f"mean of {n_folds} folds" if n_folds else "one training"
        yield "best", f"{format_number(sweep.best_value)} (trial {sweep.best_number}, {how})"
    if len(sweep.objectives) > 1:
        yield "front", f"trials {', '.join(map(str, sweep.front))}" if sweep.front else "no trial is complete"
    for what, name in (("submitted", sweep.submitted_by), ("stopped", sweep.stopped_by)):
        if name is not None:
            yield what, f"by {name}"
    yield "searched", ", ".join(sweep.spec["space"]) or "nothing"
    yield "seconds", f"{sweep.seconds:.0f}"
    yield "MLflow", _run_text(sweep)


def _data_facts(sweep: Sweep) -> Iterable[tuple[str, str]]:
    data = sweep.data
    if not data:
        yield "data", f"{sweep.source}, not loaded yet"
        return
    yield "data", f"{sweep.source}: {data['task']}, {data['n_features']} features"
    yield "rows", _row_counts(data["n_train"], data["n_validation"], data["n_test"], sweep.spec.get("dataset", {}))


def _row_counts(n_train: int, n_validation: int, n_test: int, dataset: Mapping[str, Any]) -> str:
    folds = f" in the first of {dataset['folds']} folds" if dataset.get("folds") else ""
    return f"{n_train} training, {n_validation} validation{folds}, {n_test} test"


def _run_text(sweep: Sweep) -> str:
    run = sweep.run_id or "no run yet"
    if sweep.n_undelivered == 0:
        return run
    why = f": {sweep.delivery_error}" if sweep.delivery_error else ""
    return f"{run}, {sweep.n_undelivered} updates behind{why}"


def print_events(events: Sequence[Event], form: str, *, is_wide: bool = False) -> None:
    """Print what happened to a sweep, a line each.

    Args:
        events: The events, in the order to print.
        form: `text`, `json`, `yaml` or `csv`.
        is_wide: Whether to print columns that the screen has no room for.
    """
    if print_for_program([event.to_json() for event in events], form, Event.__slots__):
        return
    times = (_time(event.time).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] for event in events)
    columns = (
        Column("time", [*times]),
        Column("trial", ["-" if event.number is None else str(event.number) for event in events], is_numeric=True),
        Column("what", [event.kind for event in events]),
        Column("attempt", ["" if event.attempt is None else str(event.attempt) for event in events], is_numeric=True),
        Column("how", [_how(event) for event in events], is_prose=True),
    )
    print_table(columns, is_wide=is_wide)


def _how(event: Event) -> str:
    by = None if event.requested_by is None else f"by {event.requested_by}"
    return ", ".join(text for text in (event.detail, by) if text)


def print_diagnosis(diagnosis: Diagnosis, form: str) -> None:
    """Print what differs between ledger and MLflow, a line each, and what was done about it.

    Args:
        diagnosis: What `doctor` found.
        form: `text` or `json`.
    """
    differences = diagnosis.differences
    if print_for_program([difference.to_json() for difference in differences], form, ()):
        return
    for difference in differences:
        trial = "" if difference.number is None else f", trial {difference.number}"
        candidate = "" if difference.candidate is None else f", candidate {difference.candidate}"
        run = "" if difference.run_id is None else f" (run {difference.run_id})"
        repaired = "; repaired" if difference.is_repaired else ""
        line = f"sweep {difference.sweep}{trial}{candidate}: {difference.kind}: {difference.detail}{run}{repaired}\n"
        sys.stdout.write(escape_controls(line))
    for name in diagnosis.skipped:
        sys.stdout.write(f"sweep {name} is running or queued and was skipped\n")
    compared = f"{diagnosis.n_sweeps} sweeps, {diagnosis.n_runs} runs"
    if not differences:
        sys.stdout.write(f"ledger and MLflow agree: {compared}\n")
        return
    n_left = sum(not difference.is_repaired for difference in differences)
    if n_left == 0:
        outcome = ", all repaired"
    elif diagnosis.is_repairing:
        outcome = f", {n_left} of them not repaired"
    else:
        outcome = "; `dnnsweep doctor` repairs them"
    sys.stdout.write(f"{compared}: {len(differences)} differences{outcome}\n")


def print_trials(sweep: Sweep, trials: Sequence[Trial], form: str, *, is_wide: bool = False) -> None:
    """Print trials, a line each.

    Args:
        sweep: The sweep that the trials belong to.
        trials: The trials, in the order to print.
        form: `text`, `json`, `yaml` or `csv`.
        is_wide: Whether to print columns that the screen has no room for.
    """
    if print_for_program([_plain_trial(trial, form) for trial in trials], form, _TRIAL_COLUMNS):
        return
    print_table([*_trial_columns(sweep, trials)], is_wide=is_wide)
    if not trials:
        say("there are no trials to show")


def _plain_trial(trial: Trial, form: str) -> dict[str, Any]:
    plain = trial.to_json()
    if form == "csv" and trial.confirmed is None:  # its parts have columns of their own
        del plain["confirmed"]
    return plain


def say_kind(sweep: Sweep, trials: Sequence[Trial]) -> None:
    """Say to stderr what the numbers of the best trials are: means of repeats, or the best of many.

    Args:
        sweep: The sweep that the trials belong to.
        trials: Its best trials, as they were printed.
    """
    if any(trial.confirmed is not None for trial in trials):
        say("confirmed: mean of so many repeats, with a 90 % interval for new data; those still in the race come first")
    if trials and len(sweep.objectives) == 1:
        n_folds = sweep.spec.get("dataset", {}).get("folds")
        how = f"the mean of {n_folds} folds" if n_folds else "one training each"
        say(f"value: the best of {sweep.n_finished} trials, {how}, so partly luck")


def say_part(page: Page[Any], offset: int, what: str, order: str) -> None:
    """Say to stderr which part of a long list was printed, and how to see the rest.

    Args:
        page: The part.
        offset: How many items were left out before it.
        what: What the items are, in the plural.
        order: How they are ordered.
    """
    end = offset + len(page.items)
    if len(page.items) == page.total or not page.items:
        return
    following = f"--offset {end} shows the next ones, " if end < page.total else ""
    say(f"{what} {offset + 1} to {end} of {page.total}, {order}; {following}--limit {page.total} all")


def _trial_columns(sweep: Sweep, trials: Sequence[Trial]) -> Iterator[Column]:
    is_single = len(sweep.objectives) == 1
    yield Column("number", [str(trial.number) for trial in trials], is_numeric=True)
    for index, name in enumerate(["value"] if is_single else [objective.metric for objective in sweep.objectives]):
        values = (None if trial.values is None else trial.values[index] for trial in trials)
        yield Column(name, [*map(format_number, values)], is_numeric=True)
        spread = spread_of(sweep.objectives[index].metric)
        if any(spread in trial.metrics for trial in trials):
            spreads = (trial.metrics.get(spread) for trial in trials)
            yield Column("std", [*map(format_number, spreads)], is_numeric=True)
    if any(trial.confirmed is not None for trial in trials):
        yield Column("confirmed", [_confirmed_text(trial.confirmed) for trial in trials])
    yield Column("reason", [trial.reason or trial.state.lower() for trial in trials])
    yield Column("best epoch", [format_number(trial.best_epoch) for trial in trials], is_numeric=True)
    yield Column("epochs", [str(trial.epochs) for trial in trials], is_numeric=True)
    yield Column("seconds", [format_number(trial.seconds, "{:.1f}") for trial in trials], is_numeric=True)
    for name in sweep.spec["space"]:
        yield Column(name, [format_setting(trial.params.get(name)) for trial in trials])
    if any(trial.findings for trial in trials):
        yield Column("findings", [", ".join(finding_codes(trial)) for trial in trials])


def _confirmed_text(confirmed: Confirmed | None) -> str:
    """Return what repeats say about a trial.

    Example:
        >>> _confirmed_text(Confirmed(0.97384, (0.96713, 0.98049), 12)), _confirmed_text(None)
        ('0.9738 (0.9671 to 0.9805, 12 repeats)', '-')
    """
    if confirmed is None:
        return "-"
    ends = [] if confirmed.interval is None else [" to ".join(map(format_number, confirmed.interval))]
    return f"{format_number(confirmed.mean)} ({', '.join([*ends, f'{confirmed.n} repeats'])})"


def format_losses(counts: Sweep | Progress) -> str:
    """Return how many trials have no value: failed ones, and diverged and pruned ones where there are any."""
    parts = [f"{counts.n_failed - counts.n_diverged} failed"]
    parts += [f"{counts.n_diverged} diverged"] if counts.n_diverged else []
    parts += [f"{counts.n_pruned} pruned"] if counts.n_pruned else []
    return ", ".join(parts)


def progress_line(sweep: Sweep) -> str:
    """Return the progress of a sweep that workers run, in one line."""
    if sweep.state is SweepState.QUEUED:
        return f"sweep {sweep.name} is waiting for a worker"
    parts = [f"[{sweep.n_finished}/{sweep.n_trials}] {format_losses(sweep)}"]
    if sweep.repeated_for is not None:
        parts.append(_REPEATING[sweep.repeated_for])
    if sweep.best_number is not None:
        parts.append(f"best {format_number(sweep.best_value, '{:.5g}')} (trial {sweep.best_number})")
    return ", ".join(parts)


def print_best(sweep: Sweep, trials: Sequence[Trial], form: str) -> None:
    """Print the best configuration, or the Pareto front of two objectives.

    Args:
        sweep: The sweep.
        trials: The trials that no other beats, best first.
        form: `text` or `json`.
    """
    if form == "json":
        print_json([trial.to_json() for trial in trials])
        return
    if not trials:
        sys.stdout.write("no trial is complete\n")
        return
    if len(sweep.objectives) > 1:
        sys.stdout.write(f"Pareto front of {len(trials)} trials: {' and '.join(map(str, sweep.objectives))}\n")
        print_table([*_trial_columns(sweep, trials)], remedy=f"`dnnsweep best {sweep.name} --wide`")
        return
    trial = trials[0]
    epochs = f"epoch {trial.best_epoch} of {trial.epochs}"
    spread = trial.metrics.get(spread_of(sweep.metric))
    epochs += "" if spread is None else f"; mean of the folds, with standard deviation {spread:.2g}"
    lines = [
        f"best {sweep.metric}: {format_number(trial.value, '{:.6g}')} (trial {trial.number}, {epochs})",
        *(f"  {name}: {format_setting(setting)}" for name, setting in trial.params.items()),
    ]
    sys.stdout.write(escape_controls("\n".join(lines)) + "\n")


def print_outline(outline: Outline, *, as_json: bool, is_explained: bool) -> None:
    """Print what a run of a sweep file would do.

    Args:
        outline: What `validate` returned.
        as_json: Whether to print JSON.
        is_explained: Whether to say why trials are trained as they are.
    """
    if as_json:
        print_json(outline.to_json())
        return
    reasons = [("because", reason) for reason in outline.plan.reasons if is_explained]
    print_facts([*_outlined_data(outline), *_outlined_search(outline), *_outlined_training(outline), *reasons])


def _outlined_data(outline: Outline) -> Iterator[tuple[str, str]]:
    data = outline.data
    yield "sweep", outline.spec["name"]
    yield "data", f"{outline.spec['dataset']['source']}: {data.n_features} features"
    yield "task", f"{data.task}, {len(data.classes)} classes" if data.classes else str(data.task)
    yield "rows", _row_counts(data.n_train, data.n_validation, data.n_test, outline.spec["dataset"])
    for note in data.notes:
        yield "note", note


def _outlined_search(outline: Outline) -> Iterator[tuple[str, str]]:
    yield "objective", " and ".join(map(str, outline.objectives))
    yield from (("note", note) for note in outline.search_notes)
    for name, domain in outline.spec["space"].items():
        for text in branch_texts(domain):
            yield "search", f"{name}: {text}"
        if name in outline.otherwise:
            yield "search", f"{name}: {yaml_text(outline.otherwise[name])} otherwise"
    for name, setting in outline.defaults.items():
        yield "fixed", f"{name}: {yaml_text(setting)}"


def _outlined_training(outline: Outline) -> Iterator[tuple[str, str]]:
    budget, pruner, plan = outline.spec["budget"], outline.spec["pruner"], outline.plan
    seconds = "" if budget["seconds"] is None else f", at most {budget['seconds']:g} seconds"
    target = "" if budget["target"] is None else f", until {outline.objectives[0].metric} is {budget['target']:g}"
    n_epochs = outline.spec["training"]["epochs"]
    yield "budget", f"{budget['trials']} trials of at most {n_epochs} epochs{seconds}{target}"
    if budget.get("until"):
        yield "budget", "until another trial is not expected to improve on the best by more than its noise"
    if budget.get("without_improvement"):
        yield "budget", f"until {budget['without_improvement']} trials in a row are not better than the best before"
    sampler = outline.spec["sampler"]["kind"]
    yield "sampler", f"{sampler}, at most {outline.window} suggestions ahead of the results"
    if pruner["kind"] != "none":
        settings = ", ".join(f"{name}: {yaml_text(value)}" for name, value in pruner.items() if name != "kind")
        yield "pruner", f"{pruner['kind']}, {settings}"
    slots = f", {plan.slots} trials side by side" if plan.kind == "array" else ""
    yield "trainer", f"{plan.kind} on a {plan.device}{slots}"
