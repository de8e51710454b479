"""Tables of a report."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dnnsweep.answers.answer import Answer, Plain
from dnnsweep.answers.number_texts import (
    change_text,
    finite,
    setting_text,
    signed_interval_text,
    with_interval,
)
from dnnsweep.answers.scales import is_share
from dnnsweep.records import Objective, Trial
from dnnsweep.reports import axes, estimates
from dnnsweep.reports.axes import Axis
from dnnsweep.space import SearchSpace

#: How many trials and findings are listed at most.
N_BEST: Final = 10
N_FRONT: Final = 20
N_FINDINGS: Final = 20
N_ERRORS: Final = 10
#: Tables with more columns have the whole width of a page.
MAX_NARROW: Final = 6
#: Shown where there is nothing.
NOTHING: Final = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    Args:
        title: What it shows.
        head: Titles of its columns.
        rows: Its rows.
        strong: Places of the rows that stand out.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    strong: Collection[int] = ()

    @property
    def is_wide(self) -> bool:
        """Return whether it needs the whole width of a page."""
        return len(self.head) > MAX_NARROW


def settings(answer: Answer | None, best: Trial | None, baseline: Trial | None) -> Iterator[Table]:
    """Yield what to use, beside the baseline; hyperparameters in which the two differ come first.

    Args:
        answer: What the sweep answers; None while it has no answer.
        best: The winner or the best trial; None if there is neither.
        baseline: The trial that is the baseline; None if none is.
    """
    winner = answer.winner if answer is not None else None
    compared = answer.baseline if answer is not None else None
    ours = winner["params"] if winner is not None else None if best is None else best.params
    theirs = compared["params"] if compared is not None else None if baseline is None else baseline.params
    if ours is None:
        return
    label = winner["label"] if winner is not None else f"trial {best.number}" if best is not None else ""
    if theirs is None:
        yield Table("", ("hyperparameter", label), [(name, _setting(ours[name])) for name in ours])
        return
    names = sorted(ours, key=lambda name: _setting(ours[name]) == _setting(theirs.get(name)))
    rows = [(name, _setting(ours[name]), _setting(theirs.get(name))) for name in names]
    differing = [place for place, row in enumerate(rows) if row[1] != row[2]]
    yield Table("", ("hyperparameter", label, "baseline"), rows, differing)


def _setting(value: Any) -> str:
    return setting_text(list(value) if isinstance(value, tuple) else value)


def best_trials(ranked: Sequence[Trial], objectives: Sequence[Objective], space: SearchSpace) -> Iterator[Table]:
    """Yield the best trials with what was searched, or with two objectives the Pareto front.

    Args:
        ranked: Complete trials, best first.
        objectives: One objective or two.
        space: The search space.
    """
    if not ranked:
        return
    shown = list(ranked[:N_BEST])
    title = ""
    if len(objectives) > 1:
        front = axes.find_best(ranked, objectives)
        shown = [trial for trial in ranked if trial.number in front][:N_FRONT]
        title = "" if len(front) <= N_FRONT else f"{N_FRONT} of {len(front):,} trials"
    searched = axes.hyperparameter_axes(shown, space)
    head = ["trial", *(objective.metric for objective in objectives), "epochs", *(axis.name for axis in searched)]
    rows = [
        [
            trial.number,
            *(
                estimates.metric_label(one.metric)(value)
                for one, value in zip(objectives, trial.values or (), strict=True)
            ),
            trial.epochs,
            *(_on_axis(axis, place) for axis in searched),
        ]
        for place, trial in enumerate(shown)
    ]
    yield Table(title, head, rows)


def _on_axis(axis: Axis, place: int) -> str:
    value = axis.values[place]
    return NOTHING if value is None else axes.value_text(value)


def endings(trials: Sequence[Trial]) -> Iterator[Table]:
    """Yield how trials ended that have no value, with an error for each kind."""
    kinds = Counter((trial.reason.value, trial.error or "") for trial in trials if trial.reason and not trial.values)
    rows = [(reason, f"{n:,}", error or NOTHING) for (reason, error), n in kinds.most_common(N_ERRORS)]
    if rows:
        yield Table("", ("ended because", "trials", "error"), rows)


def effects(answer: Answer) -> Iterator[Table]:
    """Yield the effects with both intervals."""
    sign = -1.0 if answer.direction == "minimize" else 1.0
    rows = []
    for effect in answer.effects:
        own, together = (estimates.signed(effect[name], sign) for name in ("interval", "simultaneous"))
        change = (
            change_text(answer.metric, sign * effect["effect"], together).partition(" (")[0].removesuffix(" points")
        )
        step = " → ".join(estimates.settings_text(effect[end]) for end in ("from", "to"))
        intervals = [signed_interval_text(answer.metric, ends) if finite(ends) else NOTHING for ends in (own, together)]
        rows.append((effect["name"], step, change, *intervals))
    unit = " in points" if is_share(answer.metric) else ""
    head = ("hyperparameter", "from → to", f"effect{unit}", "own interval", "simultaneous")
    yield Table("", head, rows, [place for place, effect in enumerate(answer.effects) if effect["is_seen"]])


def candidates(answer: Answer) -> Iterator[Table]:
    """Yield what was repeated, with its mean and how it compares."""
    rows = []
    for one in answer.candidates:
        lost = one["n_diverged"]
        row = (
            estimates.candidate_label(answer, one),
            with_interval(answer.metric, one["mean"], one["interval"]),
            f"{one['n']}" + (f", {lost} failed" if lost else ""),
            _percent(one["p_best"]),
            _percent(one["p_winner_is_better"]),
            "yes" if one["is_live"] else "no",
        )
        rows.append(row)
    head = ("configuration", answer.metric, "repeats", "P(best)", "P(winner > it)", "in the race")
    strong = [place for place, one in enumerate(answer.candidates) if estimates.is_winner(answer, one)]
    yield Table("", head, rows, strong)


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.0f} %"


def findings(found: Sequence[Plain], winner: int | None) -> Iterator[Table]:
    """Yield findings with their evidence, those of the winner first.

    Args:
        found: Findings as plain data.
        winner: Number of the winner; None if there is none.
    """
    ordered = sorted(found, key=lambda one: one["number"] != winner)
    rows = [_finding(one) for one in ordered[:N_FINDINGS]]
    title = "" if len(found) <= N_FINDINGS else f"{N_FINDINGS} of {len(found):,} findings"
    head = ("finding", "trial", "layer", "from epoch", "value", "threshold", "what may help")
    if rows:
        yield Table(title, head, rows, [place for place, row in enumerate(rows) if row[1] == winner])


def _finding(one: Plain) -> Sequence[Any]:
    measured = [NOTHING if one.get(name) is None else f"{one[name]:.3g}" for name in ("value", "threshold")]
    place = (one["number"], one.get("layer") or NOTHING, one["epoch"])
    return (_words(one["code"]), *place, *measured, _advice(one.get("advice")))


def _advice(advice: Any) -> str:
    if not advice or isinstance(advice, str):
        return advice or NOTHING
    return " or ".join(
        " and ".join(f"{_words(name)} {setting_text(value)}" for name, value in change.items()) for change in advice
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def findings_by_value(found: Sequence[Plain], trials: Sequence[Trial], space: SearchSpace) -> Iterator[Table]:
    """Yield how many trials have each finding, by the values of what was searched.

    Args:
        found: Findings of all trials, as plain data.
        trials: All trials.
        space: The search space.
    """
    ended = [trial for trial in trials if trial.reason is not None]
    codes = [code for code, _ in Counter(one["code"] for one in found).most_common()]
    with_code = {code: {one["number"] for one in found if one["code"] == code} for code in codes}
    rows: list[Sequence[Any]] = [_shares("all trials", ended, with_code)]
    for axis in axes.hyperparameter_axes(ended, space):
        rows += [_shares(f"{axis.name} {name}", those, with_code) for name, those in _values(axis, ended)]
    if codes:
        yield Table("By technique: trials with the finding", ("trials with", *map(_words, codes)), rows)


def _values(axis: Axis, trials: Sequence[Trial]) -> Iterator[tuple[str, list[Trial]]]:
    """Yield each category of an axis with its trials; of numbers the lower and the upper half."""
    pairs = [(value, trial) for value, trial in zip(axis.values, trials, strict=True) if value is not None]
    if axis.categories:
        for category in axis.categories:
            yield category, [trial for value, trial in pairs if value == category]
    elif pairs:
        middle = statistics.median(value for value, _ in pairs)
        yield f"up to {middle:.3g}", [trial for value, trial in pairs if value <= middle]
        yield f"above {middle:.3g}", [trial for value, trial in pairs if value > middle]


def _shares(label: str, trials: Sequence[Trial], with_code: Mapping[str, set[int]]) -> Sequence[str]:
    counts = [sum(trial.number in numbers for trial in trials) for numbers in with_code.values()]
    return (label, *(f"{count} of {len(trials)}" if trials else NOTHING for count in counts))
