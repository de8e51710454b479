"""Trial arrays and `fit`, both in single precision, held to `fit` in double precision; `make test-exactness`.

20 configurations from 5 seeds each are trained three ways. The error of a trial is the largest relative difference of
its `val_loss` to double precision, over all epochs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pytest
from double_precision import fitted_in_turn
from rounding import SIDES, parting_of

from dnnsweep.records import Suggestion
from dnnsweep.space import Hyperparameters
from dnnsweep.trainers import Job
from dnnsweep.trainers.array.slots import TrialArray
from dnnsweep.trainers.groups import group_of
from dnnsweep.trainers.inputs import TrainerInputs, load_inputs

pytestmark = pytest.mark.timeout(7200)  # the first test trains everything

EPOCHS: Final = 8
SEEDS: Final = range(1, 6)
#: The most that the median ratio of errors, array over `fit`, may be.
MAX_MEDIAN_RATIO: Final = 1.5
#: A trial whose error is above this has left the run in double precision; rounding alone gives a tenth of it.
LEFT: Final = 1e-4


@dataclass(frozen=True)
class Configuration:
    """What is trained from each seed."""

    source: str
    knobs: dict[str, Any]

    def __str__(self) -> str:
        hidden = "-".join(map(str, self.knobs["hidden"]))
        parts = [self.source, self.knobs["activation"], self.knobs["optimizer"], f"{self.knobs['learning_rate']:g}"]
        parts += [hidden, f"batch {self.knobs['batch_size']}"]
        parts += ["batch norm"] if self.knobs.get("batch_norm") else []
        parts += [f"L2 {self.knobs['l2']:g}"] if self.knobs.get("l2") else []
        return ", ".join([*parts, *([self.knobs["schedule"]] if "schedule" in self.knobs else [])])


def configuration(
    source: str, activation: str, optimizer: str, rate: float, hidden: tuple[int, ...], batch_size: int, **more: Any
) -> Configuration:
    knobs = {"activation": activation, "optimizer": optimizer, "learning_rate": rate, "hidden": hidden}
    return Configuration(source, {**knobs, "batch_size": batch_size, **more})


CONFIGURATIONS: Final = (
    configuration("prices", "leaky_relu", "adam", 0.01, (64, 32), 64, batch_norm=True),
    configuration("prices", "leaky_relu", "adam", 0.01, (64, 32), 37, batch_norm=True, l2=1e-4),
    configuration("prices", "leaky_relu", "adam", 0.001, (128, 64), 37, batch_norm=True),
    configuration("prices", "relu", "nadam", 0.003, (32,), 64, batch_norm=True),
    configuration("prices", "relu", "adam", 0.003, (64, 32), 64),
    configuration("prices", "tanh", "adam", 0.003, (64, 32), 37, batch_norm=True),
    configuration("prices", "silu", "adamw", 0.003, (32, 16), 64, l2=1e-3),
    configuration("prices", "tanh", "rmsprop", 0.001, (32,), 64),
    configuration("diabetes", "selu", "adam", 0.01, (32, 16), 32, batch_norm=True),
    configuration("diabetes", "gelu", "adam", 0.003, (32, 16), 16, l2=1e-2),
    configuration("diabetes", "sigmoid", "momentum", 0.01, (16,), 32),
    configuration("digits", "relu", "adam", 0.003, (64, 32), 64, batch_norm=True),
    configuration("digits", "leaky_relu", "adam", 0.01, (64,), 37, batch_norm=True, l2=1e-4),
    configuration("digits", "relu", "sgd", 0.03, (64, 32), 64),
    configuration("digits", "elu", "nesterov", 0.01, (32,), 64, batch_norm=True),
    configuration("digits", "tanh", "adam", 0.003, (64, 32), 64, schedule="cosine"),
    configuration("breast_cancer", "relu", "adagrad", 0.03, (16, 8), 32, batch_norm=True),
    configuration("breast_cancer", "leaky_relu", "nadam", 0.003, (32,), 37, l2=1e-3),
    configuration("wine", "elu", "adam", 0.01, (16, 8), 16, batch_norm=True),
    configuration("wine", "silu", "adamw", 0.003, (32,), 16, batch_norm=True),
)


def prices() -> tuple[Any, Any]:
    """A table like one of prices: numbers that hang together, rare categories, and a target with a long tail."""
    random = np.random.default_rng(7)
    size = random.lognormal(-0.4, 0.55, 1500)
    sides = size[:, None] ** (1 / 3) * 6.4 + random.normal(0, 0.05, (1500, 3))
    kinds = [random.choice(n, 1500, p=np.arange(1, n + 1) ** 2 / (np.arange(1, n + 1) ** 2).sum()) for n in (5, 7, 8)]
    one_hot = np.concatenate([np.eye(n)[kind] for n, kind in zip((5, 7, 8), kinds, strict=True)], axis=1)
    worth = 4.0 + 0.1 * kinds[0] + 0.08 * kinds[1] + 0.12 * kinds[2]
    y = 60 * size**1.7 * np.exp(worth + random.normal(0, 0.1, 1500))
    return np.concatenate([size[:, None], sides, random.normal(61, 1.4, (1500, 2)), one_hot], axis=1), y


def job_of(source: str) -> Job:
    is_table = source == "prices"
    document = {
        "name": "n",
        "dataset": {"source": "arrays:" if is_table else f"sklearn:{source}"},
        "training": {"epochs": EPOCHS, "early_stopping": None},
        "objective": {"metric": "val_loss"},
    }
    return Job(document, data=prices() if is_table else None)


@dataclass(frozen=True)
class Held:
    """The errors of one trial."""

    configuration: Configuration
    material: TrainerInputs
    item: Suggestion
    in_array: float
    by_fit: float

    @property
    def ratio(self) -> float:
        return self.in_array / self.by_fit


def in_array(material: TrainerInputs, items: Sequence[Suggestion]) -> dict[int, Sequence[float]]:
    array = TrialArray(group_of(items[0].params), material, len(items))
    for item in items:
        array.enqueue(item)
    curves: dict[int, Sequence[float]] = {}
    while not array.is_idle:
        for ended in array.step(lambda _: None):
            reports = ended.attempt.reports
            curves[ended.attempt.suggestion.number] = [report.metrics["val_loss"] for report in reports]
    return curves


def errors_of(configuration: Configuration) -> Iterator[Held]:
    material = load_inputs(job_of(configuration.source))
    params = Hyperparameters(**configuration.knobs).to_params()
    items = [Suggestion(number, params, seed) for number, seed in enumerate(SEEDS)]
    curves = in_array(material, items)
    exact, by_fit = (
        [[epoch["val_loss"] for epoch in course] for course in fitted_in_turn(material, items, kind)]
        for kind in ("float64", "float32")
    )
    for item in items:
        own, others = exact[item.number], by_fit[item.number]
        yield Held(configuration, material, item, error(curves[item.number], own), error(others, own))


def error(curve: Sequence[float], exact: Sequence[float]) -> float:
    return float(np.max(np.abs(np.array(curve) / np.array(exact) - 1)))


@pytest.fixture(scope="module")
def held() -> list[Held]:
    """All trials; prints the table of docs/exactness.md while they train."""
    say("", "| configuration | array | `fit` | ratio | left: array | left: `fit` |", "|---|---|---|---|---|---|")
    trials: list[Held] = []
    for one in CONFIGURATIONS:
        own = list(errors_of(one))
        say(row(one, own))
        trials += own
    say(f"median ratio {np.median([trial.ratio for trial in trials]):.2f}; the largest:")
    by_ratio = sorted(trials, key=lambda trial: trial.ratio)
    say(*(f"{trial.ratio:.2g} {trial.configuration}, seed {trial.item.seed}" for trial in by_ratio[:-4:-1]))
    return trials


def row(one: Configuration, own: Sequence[Held]) -> str:
    """The line of a configuration: medians, and how many trials left the run in double precision."""
    errors = [[getattr(trial, name) for trial in own] for name in ("in_array", "by_fit")]
    array, fit = (f"{np.median(part):.0e}" for part in errors)
    n_left = [sum(error > LEFT for error in part) or "" for part in errors]
    ratio = np.median([trial.ratio for trial in own])
    return f"| {one} | {array} | {fit} | {ratio:.2f} | {n_left[0]} | {n_left[1]} |"


def say(*lines: str) -> None:
    sys.stdout.write("\n".join([*lines, ""]))
    sys.stdout.flush()


def test_arrays_are_as_exact_as_fit(held: list[Held]) -> None:
    assert len(held) == 100
    assert np.median([trial.ratio for trial in held]) <= MAX_MEDIAN_RATIO


def test_trials_with_smooth_activations_stay_with_double_precision(held: list[Held]) -> None:
    smooth = [trial for trial in held if trial.configuration.knobs["activation"] not in SIDES]
    assert len(smooth) >= 40
    assert all(trial.in_array < LEFT for trial in smooth)


def test_the_least_exact_trials_leave_by_what_rounding_decides(held: list[Held]) -> None:
    """They stay if they are told the sides of kinks, and which gradients are 0."""
    left = [trial for trial in held if trial.in_array > LEFT]
    for trial in sorted(left, key=lambda trial: trial.ratio)[-3:]:
        parting = parting_of(trial.material, trial.item)
        say(f"{trial.configuration}, seed {trial.item.seed}: {parting}")
        assert parting.error_if_told < parting.own_error / 3
        assert parting.error_if_told < LEFT / 3
