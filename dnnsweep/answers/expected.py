"""The score to expect: what retrained networks answered for the test rows, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dnnsweep.answers.row_metrics import Outputs, labels_of, metric_of
from dnnsweep.answers.scales import bare, clipped
from dnnsweep.records import N_PARAMETERS, Task, TestAnswers
from dnnsweep.statistics.expected_score import model_interval, recipe_accuracy, recipe_interval, wilson
from dnnsweep.statistics.intervals import Interval

#: Metrics that are positive and without a largest value.
_LOSSES: Final = ("loss", "mse", "mae")


@dataclass(frozen=True, slots=True)
class ExpectedScore:
    """A score on the test rows.

    Args:
        metric: Name of the metric, without `val_`.
        score: Mean over the networks that did not diverge; None if all did.
        model_score: Score of the first seed's network, which is the one delivered; None if it diverged.
        this_model: Where the score of that network plausibly is on rows of the same source.
        this_recipe: Where the mean score of networks with other seeds plausibly is, on rows of the same source.
        n_rows: Number of test rows.
        n_models: Number of networks that did not diverge.
        n_diverged: Number of networks that did.
    """

    metric: str
    score: float | None
    model_score: float | None
    this_model: Interval | None
    this_recipe: Interval | None
    n_rows: int
    n_models: int
    n_diverged: int


def expected_scores(answers: Sequence[TestAnswers | None], metric: str, task: Task) -> list[ExpectedScore]:
    """Return the objective's score on the test rows, and after it what people read beside a loss.

    Numbers are scored in the target's own units, so that a sweep by `val_loss` reports `mse` instead. What is not
    measured on rows, such as the number of weights, is replaced by the loss.

    Args:
        answers: What the network of each seed answers, the delivered one first; None where its training failed.
        metric: The objective's metric.
        task: The task of the data.
    """
    given = [answer for answer in answers if answer is not None and np.isfinite(answer.outputs).all()]
    if not given:
        return [_without_score(name, answers) for name in _names(metric, task)]
    targets, outputs = given[0].targets, np.array([answer.outputs for answer in given], dtype=float)
    is_first_usable = given[0] is answers[0]
    return [
        _expected(name, targets, outputs, len(answers), is_delivered=is_first_usable) for name in _names(metric, task)
    ]


def _names(metric: str, task: Task) -> tuple[str, ...]:
    name = bare(metric)
    if name not in ("loss", N_PARAMETERS):
        return (name,)
    return ("mse", "mae") if task is Task.REGRESSION else ("loss", "accuracy")


def _without_score(name: str, answers: Sequence[TestAnswers | None]) -> ExpectedScore:
    n_rows = next((len(answer.targets) for answer in answers if answer is not None), 0)
    return ExpectedScore(name, None, None, None, None, n_rows, n_models=0, n_diverged=len(answers))


def _expected(
    name: str, targets: NDArray[Any], outputs: Outputs, n_answers: int, *, is_delivered: bool
) -> ExpectedScore:
    n_models, n_rows = outputs.shape[:2]
    scores = metric_of(name, targets, outputs)(np.arange(n_rows))
    is_defined, is_seed = bool(np.isfinite(scores).all()) and n_rows > 1, n_models > 1
    return ExpectedScore(
        metric=name,
        score=float(scores.mean()) if np.isfinite(scores).all() else None,
        model_score=float(scores[0]) if is_delivered and np.isfinite(scores[0]) else None,
        this_model=_of_model(name, targets, outputs[:1]) if is_delivered and is_defined else None,
        this_recipe=_of_recipe(name, targets, outputs) if is_defined and is_seed else None,
        n_rows=n_rows,
        n_models=n_models,
        n_diverged=n_answers - n_models,
    )


def _of_model(name: str, targets: NDArray[Any], outputs: Outputs) -> Interval:
    n_rows = len(targets)
    if name == "accuracy":
        return wilson(float((labels_of(outputs) == targets).sum()), n_rows)
    metric = metric_of(name, targets, outputs)
    return clipped(model_interval(metric, n_rows, seed=0, is_loss=name in _LOSSES), name)


def _of_recipe(name: str, targets: NDArray[Any], outputs: Outputs) -> Interval:
    if name == "accuracy":
        return recipe_accuracy(labels_of(outputs) == targets)
    metric = metric_of(name, targets, outputs)
    return clipped(recipe_interval(metric, len(targets), seed=0, is_loss=name in _LOSSES), name)
