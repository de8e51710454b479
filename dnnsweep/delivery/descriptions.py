"""The descriptions that the pages of a sweep and of its trials show in MLflow, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from dnnsweep.records import Candidate, Purpose, Reason, Repeat, Sweep, SweepState, Trial
from dnnsweep.tracking.page import CHAMPION

#: How many trials the description of a sweep links to.
TOP: Final = 5
#: The longest text of a value in a table.
MAX_CELL_LENGTH: Final = 60
#: Characters that Markdown or HTML would read as something else than text.
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>|~#&])")
_GAP: Final = "\N{NO-BREAK SPACE}" * 3
_NO_VALUE: Final = {
    Reason.PRUNED: "The pruner ended this trial",
    Reason.DIVERGED: "The loss of this trial diverged",
    Reason.STOPPED: "This trial was stopped",
}

_REPEATED: Final = (
    "A repeat trains the configuration again. All repeats of a block share the seed and the split of the rows, so that "
    "configurations are compared block by block. Metrics that begin with `repeats/` are drawn by block, each at its "
    "best epoch; `mean_objective` is the mean of the objective over the first repeats, by their number. Repeats are "
    "not trials, and count in no budget."
)
_RETRAINED: Final = (
    "The configuration was trained on all rows but the test rows, with one seed after another. The model of the first "
    "seed is the one that is delivered. No rows were left for validation, so that the metrics here are those of the "
    "training rows; the run of the sweep tells the score on the test rows."
)


def describe_sweep(sweep: Sweep, best: Sequence[Trial], answered: Sequence[str] = ()) -> str:
    """Return what a sweep answers, what it asks, and how to get at it.

    Args:
        sweep: The sweep in its present state.
        best: Its best trials, best first.
        answered: The sentences of its answer, the most important first; none before it was confirmed.
    """
    parts = [
        *_sentences(answered),
        *_best(sweep, best[:TOP], is_answered=bool(answered)),
        sweep.description or "",
        _data(sweep),
        _commands(sweep, best),
    ]
    return "\n\n".join(filter(None, parts))


def describe_trial(sweep: Sweep, trial: Trial) -> str:
    """Return what the objective of a trial is: its value at the best epoch, which is seldom the last one.

    Args:
        sweep: The trial's sweep.
        trial: The trial; nothing is said before it has ended.
    """
    if trial.reason is None:
        return ""
    names = " and ".join(_code(objective.metric) for objective in sweep.objectives)
    of_sweep = f"Trial {trial.number} of the sweep {_link(sweep.name, sweep.run_id)}."
    if trial.values is None or trial.best_epoch is None:
        ending = _NO_VALUE.get(trial.reason, f"This trial ended as {trial.reason.value}")
        return f"{of_sweep} {ending}, so it has no `objective`."
    return (
        f"{of_sweep} `objective` is {names} at epoch {trial.best_epoch} of {trial.epochs}, the best one: "
        f"{_values(trial)}. Curves, and the metrics beside them, show the last epoch."
    )


def describe_candidate(sweep: Sweep, candidate: Candidate, repeats: Sequence[Repeat]) -> str:
    """Return what the repeats of a candidate are, and how many have come out how.

    Args:
        sweep: The candidate's sweep.
        candidate: The candidate.
        repeats: Its repeats, those included that have not ended.
    """
    of_sweep = f"Of the sweep {_link(sweep.name, sweep.run_id)}: {_escape(candidate.label)}."
    told = _RETRAINED if candidate.purpose is Purpose.RETRAIN else _REPEATED
    return f"{of_sweep} {_count(repeats)}\n\n{told}"


def _count(repeats: Sequence[Repeat]) -> str:
    ended = [repeat for repeat in repeats if repeat.reason is not None]
    without_value = [repeat.reason for repeat in ended if repeat.value is None and repeat.reason is not None]
    counted = f"{len(ended)} of {len(repeats)} repeats have ended"
    if not without_value:
        return f"{counted}."
    return f"{counted}, {len(without_value)} of them without a value ({', '.join(sorted(set(without_value)))})."


def _sentences(answered: Sequence[str]) -> Iterator[str]:
    if answered:
        yield f"**{_prose(answered[0])}**"
        yield "\n".join(f"- {_prose(sentence)}" for sentence in answered[1:])


def _best(sweep: Sweep, best: Sequence[Trial], *, is_answered: bool) -> Iterator[str]:
    is_over = sweep.state is SweepState.COMPLETE
    counts = f"{sweep.n_finished} of {sweep.n_trials} trials"
    if not best:
        yield f"**No answer yet**: {counts} have ended, and none has a value."
        return
    metrics = " and ".join(_code(objective.metric) for objective in sweep.objectives)
    trial, so_far = best[0], "" if is_over else " so far"
    if len(sweep.objectives) > 1:
        yield f"**{len(sweep.front)} trials{so_far} that no other beats** in {metrics}, after {counts}."
    else:
        where = f"at epoch {trial.best_epoch} of {_link(f'trial {trial.number}', trial.run_id)}"
        which = "Best single training" if is_answered else f"Best{so_far}"
        yield f"**{which}: {metrics} {_values(trial)}** {where}, after {counts}."
    if sweep.conclusion is not None:
        yield f"**Ended early**: {sweep.conclusion}."
    yield _table(sweep, best)


def _table(sweep: Sweep, best: Sequence[Trial]) -> str:
    """Return the best trials with what was searched, one column for each: the answer and what comes close to it."""
    head = ["", *(_link(f"trial {trial.number}", trial.run_id) for trial in best)]
    rows = [
        [_code(each.metric), *(_number((t.values or ())[i]) for t in best)] for i, each in enumerate(sweep.objectives)
    ]
    rows += [[_code(name), *(_cell(trial.params.get(name)) for trial in best)] for name in sweep.spec.get("space", {})]
    return "\n".join([_row(head), "| --- " * len(head) + "|", *map(_row, rows)])


def _row(cells: Iterable[str]) -> str:
    """Return a row of a table; blanks that stay keep its columns apart, which MLflow's style does not do."""
    return "| " + " | ".join(f"{cell}{_GAP}" for cell in cells) + " |"


def _data(sweep: Sweep) -> str:
    names = {"n_train": "training", "n_validation": "validation", "n_test": "test"}
    counts = [f"{sweep.data[name]} {words} rows" for name, words in names.items() if name in sweep.data]
    fingerprint = sweep.data.get("fingerprint")
    told = [", ".join(counts), f"fingerprint {_code(str(fingerprint)[:12])}" if fingerprint else ""]
    return f"**Data**: {'; '.join(filter(None, [_code(sweep.source), *told]))}."


def _commands(sweep: Sweep, best: Sequence[Trial]) -> str:
    if not best:
        return ""
    commands = {
        f"dnnsweep predict {sweep.name} new.csv -o answers.csv": "what the best model says about new rows",
        f"dnnsweep export {sweep.name} -o best.py": "Keras code that trains it again",
        f"dnnsweep export {sweep.name} --as keras -o best.keras": "the model as a file",
    }
    width = max(map(len, commands))
    aligned = [f"{command:{width}}  # {why}" for command, why in commands.items()]
    text = "**Code and model** are artifacts of this run, and come by\n\n```\n" + "\n".join(aligned) + "\n```"
    is_over = sweep.state not in (SweepState.RUNNING, SweepState.QUEUED)
    if is_over and wanted_models(sweep) != "none":
        text += f'\n\nMLflow loads the model by `mlflow.pyfunc.load_model("models:/{sweep.name}@{CHAMPION}")`.'
    return text


def wanted_models(sweep: Sweep) -> str:
    """Return which models MLflow gets: `best`, `all` or `none`."""
    return str((sweep.spec.get("tracking") or {}).get("models", "best"))


def _values(trial: Trial) -> str:
    return " and ".join(map(_number, trial.values or ()))


def _number(value: float) -> str:
    return f"{value:.6g}"


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = "-".join(map(str, value))
    text = _number(value) if isinstance(value, float) else str(value)
    return _escape(text if len(text) <= MAX_CELL_LENGTH else f"{text[: MAX_CELL_LENGTH - 1]}…")


def _link(text: str, run_id: str | None) -> str:
    """Return a link to the page of a run in the same UI; the text alone while there is no run."""
    return _escape(text) if run_id is None else f"[{_escape(text)}](#/runs/{run_id})"


def _prose(sentence: str) -> str:
    """Return a sentence as it is read, with what stands between backticks as code."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return _escape(sentence)
    return "".join(_code(part) if index % 2 else _escape(part) for index, part in enumerate(parts))


def _code(text: str) -> str:
    return f"`{' '.join(text.replace('`', '').replace('|', '').split())}`"


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)
