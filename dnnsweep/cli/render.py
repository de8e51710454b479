"""Results on stdout: tables for people, JSON, YAML and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dnnsweep.cli.terminal import visible, visible_json
from dnnsweep.errors import ExportError
from dnnsweep.records import SWEEP_COLUMNS, TRIAL_COLUMNS, Sweep, SweepState, Trial
from dnnsweep.records.events import Event
from dnnsweep.records.ranking import reaches_target
from dnnsweep.space import KNOBS

if TYPE_CHECKING:  # queries load no MLflow, nor a controller
    from dnnsweep.delivery.doctor import Diagnosis
    from dnnsweep.runner.controller import Progress


def print_json(data: Any) -> None:
    """Print JSON."""
    sys.stdout.write(visible_json(json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)) + "\n")


def _as_yaml(data: Any) -> None:
    from dnnsweep.spec import documents

    sys.stdout.write(documents.write(data))


def _as_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows with a header that does not depend on whether there are any."""
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys([*columns, *(name for row in flat for name in row)]))
    present = [name for name in names if not flat or any(name in row for row in flat)]
    text = io.StringIO()
    writer = csv.DictWriter(text, present, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    sys.stdout.write(visible(text.getvalue()))


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, list) else value
    return flat


def _print(table: Any) -> None:
    is_screen, text = sys.stdout.isatty(), io.StringIO()  # on stdout Rich ends the program when nobody reads on
    width = None if is_screen else 200
    console = Console(
        file=text, force_terminal=is_screen, width=width, soft_wrap=not is_screen, markup=False, emoji=False
    )
    console.print(table)
    sys.stdout.write(text.getvalue())


class _Table(Table):
    """Shows control characters."""

    def add_row(self, *cells: Any, **how: Any) -> None:
        super().add_row(*(visible(cell) if isinstance(cell, str) else cell for cell in cells), **how)


def _table(*columns: str, numeric: Sequence[str] = ()) -> Table:
    table = _Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        is_numeric = column in _NUMERIC or column in numeric
        table.add_column(column, justify="right" if is_numeric else "left", overflow="fold")
    return table


#: Of a table of trials for programs; metrics follow, which depend on the task.
_TRIAL_COLUMNS: Final = tuple(
    column
    for name in TRIAL_COLUMNS
    if name != "metrics"
    for column in ([f"params.{knob}" for knob in KNOBS] if name == "params" else [name])
)
#: Larger ones are shortened.
MAX_WHOLE: Final = 1e12
_NUMERIC = ("number", "value", "epochs", "best epoch", "seconds", "trials", "failed", "best")


def _printed(plain: Any, form: str, columns: Sequence[str]) -> bool:
    """Print plain data for a program, if the form is one for programs."""
    if form == "json":
        print_json(plain)
    elif form == "yaml":
        _as_yaml(plain)
    elif form == "csv":
        _as_csv(plain if isinstance(plain, list) else [plain], columns)
    return form != "text"


def sweeps(found: Sequence[Sweep], form: str) -> None:
    """Print sweeps, a line each.

    Args:
        found: In the order to print.
        form: `text`, `json`, `yaml` or `csv`.
    """
    if _printed([sweep.to_json() for sweep in found], form, SWEEP_COLUMNS):
        return
    table = _table("name", "state", "trials", "failed", "best", "objective", "created")
    for item in found:
        done = f"{item.n_finished}/{item.n_trials}"
        created = datetime.fromtimestamp(item.created_at / 1000).astimezone().strftime("%Y-%m-%d %H:%M")
        objective = " and ".join(map(str, item.objectives))
        table.add_row(item.name, item.state, done, str(item.n_failed), number(item.best_value), objective, created)
    _print(table)


def sweep(item: Sweep, form: str) -> None:
    """Print all about one sweep; see `sweeps` for the forms."""
    if _printed(item.to_json(), form, SWEEP_COLUMNS):
        return
    table = _Table(box=None, show_header=False, pad_edge=False)
    for name, text in _facts(item):
        table.add_row(Text(name, style="bold"), text)
    _print(table)


def _facts(item: Sweep) -> Iterable[tuple[str, str]]:
    yield "sweep", item.name
    yield "state", item.state + (f" ({item.error})" if item.error else "")
    if item.description:
        yield "about", item.description
    yield from _data(item)
    yield "objective", " and ".join(map(str, item.objectives))
    yield "trials", f"{item.n_finished} of {item.n_trials} finished, {item.n_running} running, {losses(item)}"
    if item.best_number is not None:
        yield "best", f"{number(item.best_value)} (trial {item.best_number})"
    if len(item.objectives) > 1:
        yield "front", f"trials {', '.join(map(str, item.front))}" if item.front else "no trial is complete"
    yield "searched", ", ".join(item.spec["space"]) or "nothing"
    yield "seconds", f"{item.seconds:.0f}"
    yield "MLflow", _delivery(item)


def _data(item: Sweep) -> Iterable[tuple[str, str]]:
    data = item.data
    if not data:
        yield "data", f"{item.source}, which no worker has loaded yet"
        return
    yield "data", f"{item.source}: {data['task']}, {data['n_features']} features"
    yield "rows", f"{data['n_train']} training, {data['n_validation']} validation, {data['n_test']} test"


def events(found: Sequence[Event], form: str) -> None:
    """Print what happened to a sweep, a line each; see `sweeps` for the forms."""
    if _printed([event.to_json() for event in found], form, Event.__slots__):
        return
    table = _table("time", "trial", "what", "attempt", "how")
    for event in found:
        time = datetime.fromtimestamp(event.time / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        who = "-" if event.number is None else str(event.number)
        table.add_row(time, who, event.kind, "" if event.attempt is None else str(event.attempt), event.detail or "")
    _print(table)


def examination(found: Diagnosis, form: str) -> None:
    """Print what differs between ledger and MLflow, a line each, and what was done about it."""
    if _printed([difference.to_json() for difference in found.differences], form, ()):
        return
    for item in found.differences:
        where = f"sweep {item.sweep}" if item.number is None else f"sweep {item.sweep}, trial {item.number}"
        run = "" if item.run_id is None else f" (run {item.run_id})"
        mended = "; mended" if item.is_mended else ""
        sys.stdout.write(visible(f"{where}: {item.kind}: {item.detail}{run}{mended}\n"))
    for name in found.skipped:
        sys.stdout.write(f"sweep {name} is running or queued and was left out\n")
    looked_at = f"{found.n_sweeps} sweeps, {found.n_runs} runs"
    n_open = sum(not item.is_mended for item in found.differences)
    if not found.differences:
        sys.stdout.write(f"ledger and MLflow agree: {looked_at}\n")
    elif n_open:
        sys.stdout.write(f"{looked_at}: {len(found.differences)} differences; `dnnsweep doctor` mends them\n")
    else:
        sys.stdout.write(f"{looked_at}: {len(found.differences)} differences, all mended\n")


def _delivery(item: Sweep) -> str:
    run = item.run_id or "no run yet"
    return run if item.n_undelivered == 0 else f"{run}, {item.n_undelivered} updates behind"


def trials(of: Sweep, found: Sequence[Trial], form: str) -> None:
    """Print trials, a line each.

    Args:
        of: Their sweep.
        found: In the order to print.
        form: `text`, `json`, `yaml` or `csv`.
    """
    if _printed([trial.to_json() for trial in found], form, _TRIAL_COLUMNS):
        return
    _print(_trial_table(of, found))
    if not found:
        sys.stderr.write("no trial to show\n")


def _trial_table(of: Sweep, found: Sequence[Trial]) -> Table:
    searched = list(of.spec["space"])
    values = ["value"] if len(of.objectives) == 1 else [one.metric for one in of.objectives]
    table = _table("number", *values, "reason", "best epoch", "epochs", "seconds", *searched, numeric=values)
    for trial in found:
        cells = (number(trial.best_epoch), str(trial.epochs), number(trial.seconds, "{:.1f}"))
        reason = trial.reason or trial.state.lower()
        knobs = (value(trial.params.get(name)) for name in searched)
        scores = map(number, trial.values or [None] * len(values))
        table.add_row(str(trial.number), *scores, reason, *cells, *knobs)
    return table


def number(item: float | None, form: str = "{:.4g}") -> str:
    """Return a number for people, whole ones in full; a dash if there is none.

    Example:
        >>> number(0.123456), number(25450.0)
        ('0.1235', '25450')
    """
    if item is None:
        return "-"
    is_whole = isinstance(item, int) or (form.endswith("g}") and item.is_integer() and abs(item) < MAX_WHOLE)
    return str(int(item)) if is_whole else form.format(item)


def numbers(items: Sequence[float]) -> str:
    """Return the values of a trial in a line of text.

    Example:
        >>> numbers((0.971234, 25450.0))
        '0.97123 with 25450'
    """
    return " with ".join(number(item, "{:.5g}") for item in items)


def value(item: Any) -> str:
    """Return a hyperparameter's value for people.

    Example:
        >>> value(0.000123456), value([64, 32]), value(True)
        ('0.0001235', '[64, 32]', 'true')
    """
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, list | tuple):
        return f"[{', '.join(map(str, item))}]"
    return f"{item:.4g}" if isinstance(item, float) else str(item)


def losses(of: Sweep | Progress) -> str:
    """Return how many trials have no value: failed ones, and pruned ones where there are any."""
    return f"{of.n_failed} failed" + (f", {of.n_pruned} pruned" if of.n_pruned else "")


def standing(of: Sweep) -> str:
    """Return one line about how far a sweep is that workers run."""
    if of.state is SweepState.QUEUED:
        return f"sweep {of.name} waits for a worker"
    parts = [f"[{of.n_finished}/{of.n_trials}] {losses(of)}"]
    if of.best_number is not None:
        parts.append(f"best {number(of.best_value, '{:.5g}')} (trial {of.best_number})")
    return ", ".join(parts)


def conclusion(of: Sweep, resume: str, *, by_worker: bool = False) -> None:
    """Say on stderr how a run ended and what to do next.

    Args:
        of: The sweep.
        resume: The command that goes on with it.
        by_worker: Whether workers run it, which deliver what MLflow has not seen by themselves.
    """
    state = {
        SweepState.COMPLETE: f"sweep {of.name} is complete: {of.n_finished} trials, {losses(of)}",
        SweepState.STOPPED: f"sweep {of.name} was stopped after {of.n_finished} of {of.n_trials} trials",
        SweepState.INTERRUPTED: f"sweep {of.name} was interrupted after {of.n_finished} of {of.n_trials} trials",
    }.get(of.state, f"sweep {of.name}: {of.state}")
    if of.state is SweepState.COMPLETE and of.n_finished < of.n_trials:
        budget = of.spec["budget"]
        spent = "has spent its {seconds:g} seconds"
        if reaches_target(of.best_value, budget.get("target"), of.direction):
            spent = "has reached its target of {target:g}"
        state = f"sweep {of.name} {spent.format(**budget)}: {of.n_finished} of {of.n_trials} trials"
    hint = "" if of.state is SweepState.COMPLETE else f"; `{resume}` goes on with it"
    lines = [f"{state}{hint}"]
    if of.n_undelivered:
        who = "a worker" if by_worker else f"`{resume}`"
        lines.append(f"MLflow has not seen {of.n_undelivered} updates yet; {who} delivers them when it can be reached")
    sys.stderr.write("\n".join(lines) + "\n")


def best(of: Sweep, found: Sequence[Trial], form: str) -> None:
    """Print the best configuration on stdout; of two objectives the front."""
    if form == "json":
        print_json([trial.to_json() for trial in found])
        return
    if not found:
        sys.stdout.write("no trial is complete\n")
        return
    if len(of.objectives) > 1:
        sys.stdout.write(f"front of {len(found)} trials: {' and '.join(map(str, of.objectives))}\n")
        _print(_trial_table(of, found))
        return
    trial = found[0]
    lines = [
        f"best {of.metric}: {number(trial.value, '{:.6g}')} (trial {trial.number}, {_epochs(trial)})",
        *(f"  {name}: {value(setting)}" for name, setting in trial.params.items()),
    ]
    sys.stdout.write(visible("\n".join(lines)) + "\n")


def _epochs(trial: Trial) -> str:
    return f"epoch {trial.best_epoch} of {trial.epochs}"


def outline(item: Any, *, as_json: bool, is_explained: bool) -> None:
    """Print what a sweep file will do."""
    if as_json:
        print_json(item.to_json())
        return
    table = _Table(box=None, show_header=False, pad_edge=False)
    for name, text in item.lines(is_explained=is_explained):
        table.add_row(Text(name, style="bold"), text)
    _print(table)


def written(text: str, output: Path | None) -> None:
    """Write text to a file, or to stdout."""
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror}") from error
    sys.stderr.write(f"written to {output}\n")


def copied(source: Path, output: Path | None) -> None:
    """Copy a file to where it was asked for."""
    if output is None or output.suffix != ".keras":
        raise ExportError("a saved model needs a file that ends in .keras; add -o FILE.keras")
    try:
        shutil.copyfile(source, output)
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror}") from error
    note = "it takes columns that are encoded and scaled as the exported Python code does it"
    sys.stderr.write(f"written to {output}; {note}\n")
