"""Which configurations an answer is about: the best ones of a sweep, and its baseline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dnnsweep.records import Objective, Trial
from dnnsweep.records.ranking import rank
from dnnsweep.records.sweeps import to_plain
from dnnsweep.space import SearchSpace, first_point

BASELINE: Final = "baseline"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A configuration that is to be repeated.

    Args:
        label: What it is called: `trial 12`, `baseline`, or `baseline (trial 12)`.
        params: Every hyperparameter, as a trial has them.
        trial: Number of the best trial that has these hyperparameters; None if there is none.
        is_baseline: Whether it is the baseline.
    """

    label: str
    params: Mapping[str, Any]
    trial: int | None
    is_baseline: bool


def configuration_key(params: Mapping[str, Any]) -> str:
    """Return a text that two configurations share if all their hyperparameters are equal.

    Example:
        >>> configuration_key({"hidden": (8, 4), "l2": 0.1}) == configuration_key({"l2": 0.1, "hidden": [8, 4]})
        True
    """
    return json.dumps(to_plain(params), sort_keys=True)


def baseline_params(
    space: SearchSpace, defaults: Mapping[str, Any], enqueue: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the configuration to beat: the first one that the sweep file lists in `enqueue`, else the default.

    Args:
        space: The search space.
        defaults: Hyperparameters that a trial has apart from suggestions. They fill up what `enqueue` leaves open. A
            builder's own hyperparameters have no default; the first value of their domain is taken.
        enqueue: Configurations that the sweep file tries first.
    """
    given = {**defaults, **(enqueue[0] if enqueue else {})}
    return {**given, **first_point(space, defaults, given)}


def choose_candidates(
    trials: Iterable[Trial], objective: Objective, top: int, baseline: Mapping[str, Any]
) -> list[Chosen]:
    """Return the best configurations of a sweep, best first, and its baseline.

    Trials of equal hyperparameters are one candidate, and so are the baseline and a trial that has its values.

    Args:
        trials: All trials of the sweep.
        objective: What the sweep improves.
        top: How many configurations are chosen beside the baseline.
        baseline: Every hyperparameter of the baseline.

    Returns:
        Nothing, if no trial is complete.
    """
    by_key: dict[str, Trial] = {}
    for trial in _ranked(trials, objective):
        by_key.setdefault(configuration_key(trial.params), trial)
    baseline_key = configuration_key(baseline)
    chosen = [_of_trial(trial, is_baseline=key == baseline_key) for key, trial in list(by_key.items())[:top]]
    if chosen and not any(one.is_baseline for one in chosen):
        same = by_key.get(baseline_key)
        chosen.append(_of_trial(same, is_baseline=True) if same else Chosen(BASELINE, baseline, None, is_baseline=True))
    return chosen


def _ranked(trials: Iterable[Trial], objective: Objective) -> list[Trial]:
    complete = [(trial.value, trial) for trial in trials if trial.value is not None]
    complete.sort(
        key=lambda pair: rank((pair[0],), pair[1].metrics.get("val_loss"), pair[1].number, objective.direction)
    )
    return [trial for _, trial in complete]


def _of_trial(trial: Trial, *, is_baseline: bool) -> Chosen:
    label = f"{BASELINE} (trial {trial.number})" if is_baseline else f"trial {trial.number}"
    return Chosen(label, trial.params, trial.number, is_baseline)
