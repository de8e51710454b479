"""Recorded trials, repeats and answers for test rows, with planted winners and effects."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dnnsweep.answers.confirmation import SplitSizes
from dnnsweep.answers.effects import EffectsPlan, MeasuredEffects, measure_effects
from dnnsweep.answers.race_rules import RaceRules
from dnnsweep.records import Candidate, Objective, Purpose, Reason, Repeat, Task, Trial
from dnnsweep.records import TestAnswers as Answers  # pytest takes classes named Test for tests

ACCURACY = Objective("val_accuracy", "maximize")
LOSS = Objective("val_loss", "minimize")
SIZES = SplitSizes(n_training=80, n_validation=20)

Value = Callable[[int, int], float | None]


def repeat(candidate: int, block: int, value: float | None, epochs: int = 10, **fields: Any) -> Repeat:
    reason = Reason.DIVERGED if value is None else Reason.COMPLETED
    ended = Repeat(100 * candidate + block, candidate, block, 7, reason.state, reason, value, epochs=epochs)
    return replace(ended, **fields)


def rules(n_candidates: int = 3, **fields: Any) -> RaceRules:
    usual = RaceRules("maximize", 30, math.inf, 1, dict.fromkeys(range(n_candidates), 10.0))
    return replace(usual, **fields)


def trained(race: RaceRules, value: Value, *, epochs: Callable[[int, int], int] = lambda *_: 10) -> list[Repeat]:
    """Train what is asked for until nothing more is."""
    repeats: list[Repeat] = []
    while len(places := race.next_blocks(repeats)) > len(repeats):
        repeats = [repeat(one, block, value(one, block), epochs(one, block)) for one, block in places]
    return repeats


def noisy(means: list[float], seed: int = 3) -> Value:
    noise = np.random.default_rng(seed).normal(size=(len(means), 40))
    return lambda candidate, block: float(means[candidate] + 0.1 * noise[candidate, block])


def candidate(number: int, trial: int | None = None, params: Mapping[str, Any] | None = None) -> Candidate:
    label = "baseline" if trial is None else f"trial {trial}"
    return Candidate(number, Purpose.CONFIRM, label, params or {"l2": float(number)}, trial)


def trial(number: int, value: float | None, **params: Any) -> Trial:
    reason = Reason.DIVERGED if value is None else Reason.COMPLETED
    return Trial(
        sweep="s",
        number=number,
        params={"l2": 0.0, **params},
        state=reason.state,
        reason=reason,
        best_epoch=3,
        epochs=5,
        seconds=1.0,
        run_id=None,
        seed=number,
        attempts=1,
        error=None,
        metrics={"val_loss": 1.0 - (value or 0)},
        started_at=0,
        ended_at=1,
        values=None if value is None else (value,),
    )


BASELINE = {"optimizer": "sgd", "learning_rate": 0.1, "dropout": 0.0, "batch_norm": False, "hidden": (8,), "l2": 0.0}
WINNER = {"optimizer": "adam", "learning_rate": 0.01, "dropout": 0.5, "batch_norm": True, "hidden": (8,), "l2": 0.0}


def train_coalitions(plan: EffectsPlan, value: Callable[[Mapping[str, Any], int], float | None]) -> list[Repeat]:
    repeats: list[Repeat] = []
    for coalition, block in plan.trainings():
        found = value(plan.contrast.params(coalition), block)
        reason = Reason.DIVERGED if found is None else Reason.COMPLETED
        repeats.append(Repeat(len(repeats), coalition, block, 1, reason.state, reason, found))
    return repeats


def measured(plan: EffectsPlan, repeats: list[Repeat], objective: Objective = ACCURACY) -> MeasuredEffects:
    candidates = {coalition: coalition for coalition, _ in plan.trainings()}
    found = measure_effects(plan, repeats, candidates, objective)
    assert found is not None
    return found


PLANTED = {"optimizer": 0.05, "dropout": 0.0, "batch_norm": 0.02}


def planted(rng: np.random.Generator, sign: float = 1.0) -> Callable[[Mapping[str, Any], int], float]:
    def value(params: Mapping[str, Any], block: int) -> float:
        gains = sum(gain for name, gain in PLANTED.items() if params[name] == WINNER[name])
        return sign * (0.5 + 0.01 * block + gains + 0.004 * float(rng.normal()))

    return value


N_ROWS = 60
N_OUTPUTS = {Task.BINARY: 1, Task.MULTICLASS: 4}


def row_answers(task: Task, n_models: int = 3, seed: int = 2, *, digits: int = 1) -> list[Answers]:
    """Return answers with ties."""
    rng = np.random.default_rng(seed)
    if task is Task.REGRESSION:
        y = rng.normal(50, 10, N_ROWS)
        return [Answers(y, (y + rng.normal(0, 5, N_ROWS))[:, None]) for _ in range(n_models)]
    n_classes = max(2, N_OUTPUTS[task])
    targets = rng.integers(0, n_classes, N_ROWS)
    logits = rng.normal(size=(n_models, N_ROWS, n_classes)) + 1.5 * np.eye(n_classes)[targets]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    if task is Task.BINARY:
        return [Answers(targets, one[:, 1:].round(digits)) for one in probabilities]
    return [Answers(targets, one.round(3)) for one in probabilities]
