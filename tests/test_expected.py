"""Scores on test rows, held to scikit-learn, and their intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from numpy.typing import NDArray
from recorded import N_OUTPUTS, N_ROWS, row_answers

from dnnsweep.answers.expected import expected_scores
from dnnsweep.answers.row_metrics import metric_of
from dnnsweep.records import Task
from dnnsweep.records import TestAnswers as Answers  # pytest takes classes named Test for tests
from dnnsweep.statistics.expected_score import recipe_accuracy, wilson
from dnnsweep.trainers.scores import scores


def stacked(given: list[Answers]) -> NDArray[np.float64]:
    return np.array([one.outputs for one in given])


@pytest.mark.parametrize("task", N_OUTPUTS)
@pytest.mark.parametrize("name", ["auc", "f1", "precision", "recall"])
def test_scores_of_any_rows_are_those_of_scikit_learn(task: Task, name: str) -> None:
    given = row_answers(task)
    metric, rng = metric_of(name, given[0].targets, stacked(given)), np.random.default_rng(1)

    for rows in (np.arange(N_ROWS), rng.integers(0, N_ROWS, N_ROWS), rng.integers(0, N_ROWS, 5)):
        expected = [scores([f"val_{name}"], one.targets[rows], one.outputs[rows])[f"val_{name}"] for one in given]
        np.testing.assert_allclose(metric(rows), expected, atol=1e-9)


@pytest.mark.parametrize("task", N_OUTPUTS)
def test_loss_and_accuracy_are_those_of_scikit_learn(task: Task) -> None:
    given, rows = row_answers(task, digits=4), np.random.default_rng(1).integers(0, N_ROWS, N_ROWS)
    targets, outputs = given[0].targets, stacked(given)
    labels = list(range(max(2, N_OUTPUTS[task])))

    for index, one in enumerate(given):
        both = one.outputs if N_OUTPUTS[task] > 1 else np.hstack([1 - one.outputs, one.outputs])
        both = both / both.sum(axis=1, keepdims=True)
        loss = sklearn.metrics.log_loss(targets[rows], both[rows], labels=labels)
        accuracy = sklearn.metrics.accuracy_score(targets[rows], both[rows].argmax(axis=1))
        assert metric_of("loss", targets, outputs)(rows)[index] == pytest.approx(loss, rel=2e-3)
        assert metric_of("accuracy", targets, outputs)(rows)[index] == pytest.approx(accuracy)


@pytest.mark.parametrize(
    ("name", "function"),
    [("mse", "mean_squared_error"), ("mae", "mean_absolute_error"), ("r2", "r2_score")],
)
def test_scores_of_numbers_are_those_of_scikit_learn(name: str, function: str) -> None:
    given, rows = row_answers(Task.REGRESSION), np.random.default_rng(1).integers(0, N_ROWS, N_ROWS)

    found = metric_of(name, given[0].targets, stacked(given))(rows)

    expected = [getattr(sklearn.metrics, function)(one.targets[rows], one.outputs[rows, 0]) for one in given]
    np.testing.assert_allclose(found, expected)


def test_a_certain_mistake_has_a_large_loss_and_not_an_infinite_one() -> None:
    metric = metric_of("loss", np.array([0, 1]), np.array([[[1.0], [1.0]]]))

    assert metric(np.array([0]))[0] == pytest.approx(-math.log(1e-7))


@pytest.mark.parametrize("rows", [[0, 0], [1, 1]])
def test_rows_of_one_class_have_no_area(rows: list[int]) -> None:
    assert np.isnan(metric_of("auc", np.array([0, 1]), np.array([[[0.2], [0.8]]]))(np.array(rows))).all()


def test_equal_targets_have_no_share_of_variance() -> None:
    assert np.isnan(metric_of("r2", np.array([1.0, 1.0]), np.array([[[1.0], [2.0]]]))(np.arange(2))).all()


# ---- what is told


def test_the_accuracy_to_expect_is_the_mean_over_seeds_with_two_intervals() -> None:
    given = row_answers(Task.MULTICLASS, n_models=10)
    right = np.array([one.outputs.argmax(axis=1) == one.targets for one in given])

    (found,) = expected_scores(given, "val_accuracy", Task.MULTICLASS)

    assert (found.metric, found.n_rows, found.n_models, found.n_diverged) == ("accuracy", N_ROWS, 10, 0)
    assert found.score == pytest.approx(right.mean())
    assert found.model_score == pytest.approx(right[0].mean())
    assert found.this_model == wilson(int(right[0].sum()), N_ROWS)
    assert found.this_recipe == recipe_accuracy(right)


@pytest.mark.parametrize(
    ("metric", "task", "names"),
    [
        ("val_loss", Task.BINARY, ["loss", "accuracy"]),
        ("loss", Task.MULTICLASS, ["loss", "accuracy"]),
        ("val_loss", Task.REGRESSION, ["mse", "mae"]),
        ("n_parameters", Task.REGRESSION, ["mse", "mae"]),
        ("n_parameters", Task.BINARY, ["loss", "accuracy"]),
        ("val_auc", Task.BINARY, ["auc"]),
        ("val_f1", Task.MULTICLASS, ["f1"]),
        ("accuracy", Task.BINARY, ["accuracy"]),
        ("val_r2", Task.REGRESSION, ["r2"]),
        ("val_mse", Task.REGRESSION, ["mse"]),
        ("val_mae", Task.REGRESSION, ["mae"]),
    ],
)
def test_each_objective_has_its_score_within_its_intervals(metric: str, task: Task, names: list[str]) -> None:
    found = expected_scores(row_answers(task, n_models=4), metric, task)

    assert [one.metric for one in found] == names
    for one in found:
        assert one.score is not None
        assert one.model_score is not None
        assert one.this_model is not None
        assert one.this_recipe is not None
        assert one.this_model.low < one.model_score < one.this_model.high
        assert one.this_recipe.low < one.score < one.this_recipe.high


def broken(one: Answers) -> Answers:
    outputs = one.outputs.copy()
    outputs[3] = np.nan
    return Answers(one.targets, outputs)


@pytest.mark.parametrize("lost", ["diverged", "failed"])
def test_networks_that_diverged_are_counted_and_the_delivered_one_has_no_score_then(lost: str) -> None:
    first, *others = row_answers(Task.BINARY, n_models=4)
    given: list[Answers | None] = [broken(first) if lost == "diverged" else None, *others]

    (found,) = expected_scores(given, "val_accuracy", Task.BINARY)
    (without,) = expected_scores(others, "val_accuracy", Task.BINARY)

    assert (found.n_models, found.n_diverged) == (3, 1)
    assert (found.model_score, found.this_model) == (None, None)
    assert (found.score, found.this_recipe) == (without.score, without.this_recipe)


def test_there_is_no_score_if_all_networks_diverged() -> None:
    given: list[Any] = [broken(one) for one in row_answers(Task.BINARY, n_models=2)]

    loss, accuracy = expected_scores([*given, None], "val_loss", Task.BINARY)

    assert (loss.score, loss.this_model, loss.this_recipe, loss.n_rows, loss.n_diverged) == (
        None,
        None,
        None,
        N_ROWS,
        3,
    )
    assert accuracy.score is None


def test_one_seed_has_no_interval_of_the_recipe() -> None:
    (found,) = expected_scores(row_answers(Task.BINARY, n_models=1), "val_auc", Task.BINARY)

    assert found.this_model is not None
    assert found.this_recipe is None


def test_test_rows_of_one_class_have_no_area_and_no_interval() -> None:
    given = [Answers(np.ones(5, dtype=int), np.linspace(0.1, 0.9, 5)[:, None])] * 2

    (found,) = expected_scores(given, "val_auc", Task.BINARY)

    assert (found.score, found.model_score, found.this_model, found.this_recipe) == (None, None, None, None)
