"""The sweeps that are disturbed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

PRETEND = {"DNNSWEEP_TRAINER": "scripted_trainer:ScriptedTrainer"}


@dataclass(frozen=True)
class Plan:
    """What is run while it is disturbed.

    Args:
        sweep: Sections that replace those of the tests' sweep.
        environ: Environment of its commands.
        pause: Bounds of the seconds between two disturbances.
        n_faults: How many disturbances there are in one round at most.
        n_sweeps: How many such sweeps two workers share; 0 for one sweep that `run` trains.
        may_fail: A part of the error of trials that may fail here, though they do not when undisturbed.
    """

    sweep: Mapping[str, Any]
    environ: Mapping[str, str]
    pause: tuple[float, float] = (0.05, 1.5)
    n_faults: int = 12
    n_sweeps: int = 0
    may_fail: str | None = None

    @property
    def names(self) -> list[str]:
        """Return the names of its sweeps."""
        name = str(self.sweep["name"])
        return [f"{name}-{index}" for index in range(self.n_sweeps)] or [name]


def pretended(name: str = "pretend", n_trials: int = 40, sleep: float = 0.03) -> Plan:
    """Return a sweep whose trials sleep so many seconds an epoch."""
    words = {"name": name, "description": f"sleep={sleep}", "budget": {"trials": n_trials}, "training": {"epochs": 3}}
    return Plan(words, PRETEND)


PRETENDED = pretended()
#: More repeats than trials, so that most disturbances find repeats under way.
CONFIRMED = pretended("confirmed", 8)
CONFIRMED = replace(
    CONFIRMED, sweep={**CONFIRMED.sweep, "confirm": {"top": 4, "budget": 4, "blocks": 10}, "effects": {"blocks": 3}}
)
SLOW = pretended("slow", 40, 0.1)
#: Its requests are disturbed until its end.
CHATTY = replace(pretended("chatty", 60, 0.1), n_faults=100)
#: Long enough to be disturbed in its middle by what ends a run.
LONG = replace(pretended("long", 60, 0.3), pause=(1.0, 12.0), n_faults=3)
SHARED = replace(pretended("shared", 30), pause=(0.2, 1.5), n_faults=20, n_sweeps=5)
_DIGITS = {
    "dataset": {"source": "sklearn:digits"},
    "space": {"dropout": {"low": 0.0, "high": 0.6}, "optimizer": ["sgd", "adam"]},
    "trainer": {"kind": "array", "slots": 4},
}
#: Trained by Keras and TensorFlow. Epochs are cheap and many, so that a kill finds training under way.
REAL = Plan(
    {**_DIGITS, "name": "real", "training": {"epochs": 200, "early_stopping": None}, "budget": {"trials": 24}},
    {"DNNSWEEP_TRAINER": "disturbed_trainer:WatchedTrainer"},
    (0.1, 2.0),
    15,
)
#: Trained by Keras and TensorFlow, of which some find no memory. Nothing is sampled after results, since some trials
#: fail; networks of several shapes have programs to compile, which takes memory.
STARVED = Plan(
    {
        **_DIGITS,
        "name": "starved",
        "space": {"dropout": {"low": 0.0, "high": 0.6}, "hidden": [[16], [32], [64], [32, 16]]},
        "sampler": {"kind": "random"},
        "training": {"epochs": 30, "early_stopping": None},
        "budget": {"trials": 24},
    },
    {"DNNSWEEP_TRAINER": "disturbed_trainer:StarvedTrainer"},
    (0.5, 1.0),
    may_fail="emory",
)
