"""What figures of an answer show: estimates with their intervals, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dnnsweep.answers.answer import Answer, Plain
from dnnsweep.answers.configurations import configuration_key
from dnnsweep.answers.number_texts import change_text, setting_text, value_text, with_interval
from dnnsweep.records import N_PARAMETERS, Candidate, Purpose, Repeat

Ends = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that was measured, with its intervals.

    Args:
        label: What was measured.
        text: The number and its interval, as sentences have them.
        mean: The number; None if there is none.
        interval: Its own interval; None if there is none.
        simultaneous: The interval that holds together with those of the others; None where there is no such thing.
        scores: Pairs of block and score that the number is the mean of.
        is_clear: Whether it is more than chance, or the one to look at.
    """

    label: str
    text: str
    mean: float | None
    interval: Ends | None = None
    simultaneous: Ends | None = None
    scores: tuple[tuple[int, float], ...] = ()
    is_clear: bool = False

    @property
    def numbers(self) -> list[float]:
        """Return all numbers that a figure of it has to show."""
        mean = [] if self.mean is None else [self.mean]
        return [*mean, *(self.interval or ()), *(self.simultaneous or ()), *(score for _, score in self.scores)]


def metric_label(metric: str) -> Callable[[float], str]:
    """Return what writes the values of a metric: shares in percent, numbers of weights in full."""

    def label(value: float) -> str:
        return f"{value:,.0f}" if metric == N_PARAMETERS else value_text(metric, value)

    return label


def effects_of(answer: Answer) -> list[Estimate]:
    """Return by how much each player changes the metric: a loss that improves becomes smaller, as in sentences."""
    return [_effect(answer, effect) for effect in answer.effects]


def _effect(answer: Answer, effect: Plain) -> Estimate:
    sign = -1.0 if answer.direction == "minimize" else 1.0
    interval, simultaneous = signed(effect["interval"], sign), signed(effect["simultaneous"], sign)
    label = f"{effect['name']}: {settings_text(effect['from'])} → {settings_text(effect['to'])}"
    change = change_text(answer.metric, sign * effect["effect"], simultaneous)
    return Estimate(label, change, sign * effect["effect"], interval, simultaneous, is_clear=effect["is_seen"])


def signed(interval: Sequence[float] | None, sign: float) -> Ends | None:
    """Return an interval times plus or minus one, its lower end first; None if there is none."""
    if interval is None:
        return None
    low, high = sorted(sign * end for end in interval)
    return low, high


def candidates_of(answer: Answer, candidates: Sequence[Candidate], repeats: Iterable[Repeat]) -> list[Estimate]:
    """Return the mean of each candidate that was confirmed, with all scores of its repeats.

    Args:
        answer: The answer.
        candidates: All configurations that the sweep repeated.
        repeats: All repeats of the sweep.
    """
    in_blocks = {candidate.number: candidate for candidate in candidates if candidate.purpose is not Purpose.RETRAIN}
    scores: dict[int, list[tuple[int, float]]] = {}
    for repeat in repeats:
        if repeat.candidate in in_blocks and repeat.value is not None:
            scores.setdefault(repeat.candidate, []).append((repeat.block, repeat.value))
    return [
        Estimate(
            candidate_label(answer, one),
            f"{with_interval(answer.metric, one['mean'], one['interval'])}, n = {one['n']}",
            one["mean"],
            signed(one["interval"], 1.0),
            scores=tuple(scores.get(_number_of(one, in_blocks.values()), ())),
            is_clear=is_winner(answer, one),
        )
        for one in answer.candidates
    ]


def _number_of(confirmed: Plain, candidates: Iterable[Candidate]) -> int:
    key = configuration_key(confirmed["params"])
    return next((one.number for one in candidates if configuration_key(one.params) == key), -1)


def is_winner(answer: Answer, candidate: Plain) -> bool:
    """Return whether a candidate is the winner."""
    return answer.winner is not None and candidate["label"] == answer.winner["label"]


def candidate_label(answer: Answer, candidate: Plain) -> str:
    """Return what a candidate is called, with its roles."""
    is_tied = candidate["number"] is not None and candidate["number"] in answer.tied
    roles = {
        "winner": is_winner(answer, candidate),
        "baseline": candidate["is_baseline"] and not str(candidate["label"]).startswith("baseline"),
        "tied": is_tied,
    }
    told = ", ".join(role for role, is_so in roles.items() if is_so)
    return f"{candidate['label']}{told and f' ({told})'}"


def isolated_of(answer: Answer) -> list[Estimate]:
    """Return the mean of each value that was compared in isolation."""
    return [
        Estimate(
            f"{one['name']} {settings_text(one['value'])}",
            with_interval(answer.metric, one["mean"], one["interval"]),
            one["mean"],
            signed(one["interval"], 1.0),
        )
        for one in answer.isolated
    ]


def in_order(importances: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return hyperparameters with their shares, the largest first."""
    return sorted(importances.items(), key=lambda pair: -pair[1])


def settings_text(values: Any) -> str:
    """Return the values of a player, which may be several hyperparameters.

    Example:
        >>> settings_text({"optimizer": "adam", "learning_rate": 0.001}), settings_text(0.5)
        ('adam, 0.001', '0.5')
    """
    if isinstance(values, Mapping):
        return ", ".join(setting_text(value) for value in values.values())
    return setting_text(values)
