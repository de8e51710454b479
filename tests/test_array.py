"""The array trainer, held to plain Keras: `fit` of the same configuration is the judge."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from double_precision import double, fitted
from examples import PROFILE, n_examples, thorough, uncompiled
from hypothesis import example, given, settings
from hypothesis import strategies as st
from warm_python import WarmPython

from dnnsweep import spec
from dnnsweep.records import (
    AttemptStarted,
    EpochReport,
    Reason,
    Suggestion,
    Task,
    TrialResult,
    direction_of,
    metrics_for,
    scores_for,
)
from dnnsweep.space import ACTIVATIONS, INITIALIZERS, PLATEAU, Hyperparameters
from dnnsweep.trainers import Job, TrainerPlan, TrialDroppedError, dropout, keras_models
from dnnsweep.trainers.array import MAX_ARRAYS, ArrayTrainer, optimizers
from dnnsweep.trainers.array.config import ArrayConfig, EarlyStoppingRule, PlateauRule
from dnnsweep.trainers.array.metric_layout import MetricLayout
from dnnsweep.trainers.array.optimizers import UPDATE_RULES
from dnnsweep.trainers.array.slots import TrialArray
from dnnsweep.trainers.array.stopping import END_CODES, decide
from dnnsweep.trainers.array.types import PlateauState, SlotProgress
from dnnsweep.trainers.array.update import Updated, take_step
from dnnsweep.trainers.fit import FitTrainer
from dnnsweep.trainers.groups import group_of
from dnnsweep.trainers.inputs import TrainerInputs, load_inputs
from dnnsweep.trainers.stopping import Plateau, Stopping, is_diverged

EPOCHS = 5
SMALL: dict[str, Any] = {"hidden": (8, 4), "learning_rate": 0.01}


def job(
    source: str = "iris", models: Path | None = None, dataset: Mapping[str, Any] | None = None, **training: Any
) -> Job:
    plan = {"epochs": EPOCHS, "early_stopping": None, **training}
    metric = {"metric": "val_loss"}
    document = {"name": "n", "dataset": {"source": f"sklearn:{source}", **(dataset or {})}, "training": plan}
    document["objective"] = metric
    return Job(document, None if models is None else str(models))


def suggestion(number: int, seed: int | None = None, **knobs: Any) -> Suggestion:
    params = {**Hyperparameters().to_params(), **SMALL, **knobs}
    return Suggestion(number, params, number + 7 if seed is None else seed)


def results(trainer: ArrayTrainer, *suggestions: Suggestion) -> dict[int, TrialResult]:
    """Train suggestions, all handed over at once."""
    got: dict[int, TrialResult] = {}

    def emit(message: AttemptStarted | EpochReport | TrialResult) -> None:
        if isinstance(message, TrialResult):
            assert message.number not in got
            got[message.number] = message

    for item in suggestions:
        trainer.take(item)
    while not trainer.is_idle:
        trainer.step(emit)
    return got


def array_of(own: Job, slots: int) -> ArrayTrainer:
    return ArrayTrainer(own, load_inputs(own), TrainerPlan("array", slots))


def difference(one: TrialResult, other: TrialResult, metric: str) -> float:
    """Return the largest relative difference of two curves."""
    a, b = (np.array(result.curve.values(metric)) for result in (one, other))
    assert a.shape == b.shape
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(a), 1e-3)))


def layer_difference(one: TrialResult, other: TrialResult) -> float:
    """Return the largest difference of what was measured of layers, relative to the largest of each layer's values."""
    a, b = (
        {(s.metric, s.layer): np.array(s.values) for s in result.curve.series if s.layer is not None}
        for result in (one, other)
    )
    assert set(a) == set(b) != set()
    return max(float(np.max(np.abs(a[key] - b[key])) / max(1e-6, np.max(np.abs(a[key])))) for key in a)


# ---- the judge, in float32 and with dropout


@pytest.fixture(scope="module")
def usual() -> ArrayTrainer:
    """A trainer of three slots, for all tests that need no other."""
    return array_of(job(), 3)


@pytest.fixture(scope="module")
def twins(usual: ArrayTrainer) -> dict[int, tuple[TrialResult, TrialResult]]:
    """Each optimizer once by `fit` and once in an array of three slots, refilled again and again."""
    fit = FitTrainer(job())
    asked = [
        suggestion(
            i,
            optimizer=name,
            batch_norm=i % 2 == 1,
            dropout=0.4 if i % 3 else 0.0,
            l2=1e-3,
            initializer="orthogonal" if name == "lion" else tuple(INITIALIZERS)[i % 6],
        )
        for i, name in enumerate(UPDATE_RULES)
    ]
    in_array = results(usual, *asked)
    return {item.number: (fit.train(item, lambda _: None), in_array[item.number]) for item in asked}


@pytest.mark.parametrize("number", range(len(UPDATE_RULES)), ids=UPDATE_RULES)
def test_a_trial_in_an_array_equals_its_fit_epoch_by_epoch(
    twins: dict[int, tuple[TrialResult, TrialResult]], number: int
) -> None:
    fit, array = twins[number]
    assert (fit.reason, fit.best_epoch) == (array.reason, array.best_epoch) == (Reason.COMPLETED, EPOCHS)
    for metric in (*metrics_for(Task.MULTICLASS), "l2_penalty"):
        assert difference(fit, array, metric) < 1e-4
    assert layer_difference(fit, array) < 1e-3


@uncompiled
def test_a_trial_that_is_not_wanted_any_more_leaves_its_slot_at_once_and_its_neighbours_alone() -> None:
    plain = job(epochs=10)
    own = replace(plain, spec={**plain.spec, "pruner": {"kind": "asha"}})
    asked = [suggestion(i) for i in range(4)]
    array, said, ended = array_of(own, 2), list[tuple[int, str]](), dict[int, TrialResult]()
    undisturbed = results(array, *asked)

    def emit(message: AttemptStarted | EpochReport | TrialResult) -> None:
        said.append((message.number, type(message).__name__))
        if isinstance(message, TrialResult):
            ended[message.number] = message
        if isinstance(message, EpochReport) and message.number == 0 and message.epoch == 2:
            raise TrialDroppedError

    for item in asked:
        array.take(item)
    while not array.is_idle:
        array.step(emit)

    assert said.count((0, "EpochReport")) == 2
    assert said.index((2, "AttemptStarted")) < said.index((1, "TrialResult"))  # in the slot that was left
    assert sorted(ended) == [1, 2, 3]
    assert all(ended[number].curve.series == undisturbed[number].curve.series for number in ended)


def test_a_trial_that_diverges_ends_as_its_fit_does(usual: ArrayTrainer) -> None:
    item = suggestion(0, optimizer="sgd", learning_rate=1e12)  # and no L2 term, which stays 0
    fit, array = FitTrainer(job()).train(item, lambda _: None), results(usual, item)[0]
    assert fit.reason is array.reason is Reason.DIVERGED
    assert fit.curve.n_epochs == array.curve.n_epochs
    assert array.curve.values("l2_penalty") == fit.curve.values("l2_penalty") == (0.0,) * fit.curve.n_epochs


@pytest.fixture(scope="module")
def seeds_of_both() -> tuple[list[float], list[float]]:
    """Final validation accuracies over 30 seeds, with dropout, by the array and by `fit`."""
    own = job()
    asked = [suggestion(i, seed=i, dropout=0.5, hidden=(16,)) for i in range(30)]
    fit, in_array = FitTrainer(own), results(array_of(own, 4), *asked)
    last = [fit.train(item, lambda _: None).curve.values("val_accuracy")[-1] for item in asked]
    return [in_array[item.number].curve.values("val_accuracy")[-1] for item in asked], last


@thorough("trials with dropout equal their fit epoch by epoch, and masks those of Keras")
def test_over_thirty_seeds_scores_with_dropout_are_those_of_fit(seeds_of_both: tuple[list[float], list[float]]) -> None:
    array, fit = map(np.array, seeds_of_both)
    assert abs(array.mean() - fit.mean()) < 0.005
    assert abs(array.mean() - fit.mean()) <= fit.std(ddof=1) / math.sqrt(len(fit))
    assert len(set(fit.tolist())) > 5  # seeds do matter


# ---- the judge, in float64


def assert_equal_in_double(
    source: str,
    *items: Suggestion,
    beside: Sequence[Suggestion] = (),
    plateau: Mapping[str, Any] | None = None,
    **dataset: Any,
) -> dict[int, list[dict[str, float]]]:
    """Compare trials of one array with their `fit`, whatever trains beside them; return what `fit` measured."""
    asked = job(source, dataset=dataset)
    if plateau is not None:
        asked = job(source, dataset=dataset, reduce_on_plateau=plateau)
        asked = Job({**asked.spec, "space": {"schedule": ["constant", "cosine", PLATEAU]}})
    inputs = load_inputs(asked)
    reports = reports_in_double(inputs, [*items, *beside], len(items) + len(beside))
    return {item.number: assert_fitted(inputs, item, reports[item.number]) for item in items}


def with_clipping(inputs: TrainerInputs) -> TrainerInputs:
    """Let trials ask for gradients to be clipped."""
    return replace(inputs, sweep=spec.check({**inputs.sweep.to_json(), "space": {"global_clipnorm": [0.0, 0.3]}}))


Reports = Sequence[EpochReport]


def reports_in_double(inputs: TrainerInputs, items: Sequence[Suggestion], slots: int) -> dict[int, Reports]:
    """Train in one array in float64; return each trial's reports."""
    array = TrialArray(group_of(items[0].params), inputs, slots, "float64")
    for item in items:
        array.enqueue(item)
    reports: dict[int, Reports] = {}
    while not array.is_idle:
        reports |= {ended.attempt.suggestion.number: ended.attempt.reports for ended in array.step(lambda _: None)}
    return reports


def assert_fitted(inputs: TrainerInputs, item: Suggestion, reports: Reports) -> list[dict[str, float]]:
    """Compare a trial with its `fit`; return what that measured."""
    # Keras computes a schedule's learning rates in single precision, one at a time in `fit`, all at once here.
    tolerance = 1e-7 if item.params["schedule"] in ("cosine", "exponential") else 1e-8
    reference = fitted(inputs, item)
    for report, expected in zip(reports, reference, strict=True):
        for name, value in expected.items():
            own = report.metrics[name]
            if name.endswith("mae"):
                own /= inputs.data_for(item).target_std
            assert own == pytest.approx(value, rel=tolerance, abs=tolerance), (item.params, report.epoch, name)
    return reference


@pytest.mark.parametrize(
    "first", [0, pytest.param(1, marks=thorough("the others of each pair have batch normalisation and pass"))]
)
def test_in_double_precision_every_optimizer_equals_fit(first: int) -> None:
    """Every other one with batch normalisation; 90 rows make a ragged last batch."""
    knobs: dict[str, Any] = {"l2": 1e-2, "hidden": (6,), "batch_size": 32}
    items = [suggestion(i, optimizer=name, batch_norm=i % 2 == first, **knobs) for i, name in enumerate(UPDATE_RULES)]
    assert_equal_in_double("iris", *items)


#: Activation, data, hidden layers, batch size: each value of each at least once. Each task is compiled, and so is a
#: network without hidden layers.
SHAPES = [
    ("relu", "breast_cancer", (6, 5), 64),
    ("leaky_relu", "diabetes", (6,), 100),
    ("elu", "iris", (), 30),  # no hidden layer; the batch divides the rows
    ("selu", "wine", (4, 4), 1000),  # larger than the data
    ("gelu", "breast_cancer", (5,), 341),  # a last batch of nothing but the whole data
    ("silu", "diabetes", (4, 3), 50),
    ("tanh", "wine", (7,), 16),
    ("sigmoid", "iris", (5, 5, 5), 7),
]
N_COMPILED = 3


def test_every_activation_is_among_the_shapes() -> None:
    assert {shape[0] for shape in SHAPES} == set(ACTIVATIONS)


@pytest.mark.parametrize(
    ("activation", "source", "hidden", "batch_size"),
    [pytest.param(*shape, marks=[] if index < N_COMPILED else uncompiled) for index, shape in enumerate(SHAPES)],
)
def test_in_double_precision_every_shape_equals_fit(
    activation: str, source: str, hidden: tuple[int, ...], batch_size: int
) -> None:
    knobs: dict[str, Any] = {"activation": activation, "hidden": hidden, "batch_size": batch_size, "l2": 1e-3}
    both = [suggestion(0, **knobs), suggestion(1, batch_norm=True, optimizer="nadam", **knobs)]
    if PROFILE == "full":
        assert_equal_in_double(source, *both)
    else:  # every other shape with batch normalisation
        compared, other = both if SHAPES.index((activation, source, hidden, batch_size)) % 2 == 0 else both[::-1]
        assert_equal_in_double(source, compared, beside=[other])


#: Schedules, and where gradients are clipped.
COURSES = [("constant", 0.0), ("cosine", 0.0), ("cosine", 0.3), ("exponential", 0.0), ("exponential", 0.3)]


def scheduled(optimizer: str, schedule: str, clipnorm: float) -> Suggestion:
    knobs: dict[str, Any] = {"hidden": (8,), "batch_size": 16, "l2": 1e-3, "optimizer": optimizer, "schedule": schedule}
    number = 10 * list(UPDATE_RULES).index(optimizer) + COURSES.index((schedule, clipnorm))
    return suggestion(number, **knobs, global_clipnorm=clipnorm, batch_norm=clipnorm > 0)


@pytest.fixture(scope="module")
def on_schedules() -> tuple[TrainerInputs, dict[int, Reports]]:
    """Each optimizer on each schedule, clipped or not, in one array whose six slots are refilled."""
    inputs = with_clipping(load_inputs(job("wine")))
    items = [scheduled(optimizer, *course) for optimizer in UPDATE_RULES for course in COURSES]
    return inputs, reports_in_double(inputs, items, slots=6)


def pairs() -> list[Any]:
    """Every optimizer with every schedule; one pair in three is always tried, and with them each of both."""
    others = thorough("each optimizer is compared on one schedule, and each schedule with two optimizers at least")
    places = product(enumerate(UPDATE_RULES), enumerate(["constant", "cosine", "exponential"]))
    return [
        pytest.param(optimizer, schedule, marks=[] if (row + column) % 3 == 0 else others)
        for (row, optimizer), (column, schedule) in places
    ]


@pytest.mark.parametrize(("optimizer", "schedule"), pairs())
def test_in_double_precision_schedules_and_clipping_equal_those_of_fit(
    on_schedules: tuple[TrainerInputs, dict[int, Reports]], optimizer: str, schedule: str
) -> None:
    inputs, reports = on_schedules
    courses = [course for course in COURSES if course[0] == schedule]
    if PROFILE != "full":  # clipped for every other optimizer
        courses = courses[list(UPDATE_RULES).index(optimizer) % len(courses) :][:1]
    for course in courses:
        item = scheduled(optimizer, *course)
        assert_fitted(inputs, item, reports[item.number])


#: Each reduces learning rates at least twice in five epochs.
PLATEAUS: list[dict[str, Any]] = [
    {"factor": 0.3, "patience": 1, "min_delta": 10.0},  # after each epoch but the first
    {"factor": 0.5, "patience": 1, "min_delta": 10.0, "cooldown": 2, "monitor": "val_accuracy"},
    {"factor": 0.1, "patience": 0, "min_delta": 10.0, "min_learning_rate": 5e-4, "monitor": "loss"},
]


def with_optimizers() -> Iterator[Any]:
    """Each plateau with three optimizers, and with those of the others in the full profile; the first is compiled."""
    names, others = list(UPDATE_RULES), thorough("each optimizer meets one plateau, and each plateau three optimizers")
    for index, (plateau, name) in enumerate(zip(PLATEAUS, ("always", "cooling", "to the floor"), strict=True)):
        yield pytest.param(plateau, names[index::3], id=name, marks=uncompiled if index else [])
        yield pytest.param(plateau, [own for own in names if own not in names[index::3]], id=f"{name} 2", marks=others)


@pytest.mark.parametrize(("plateau", "optimizers"), list(with_optimizers()))
def test_in_double_precision_a_plateau_reduces_learning_rates_as_in_keras_and_those_of_no_neighbour(
    plateau: dict[str, Any], optimizers: list[str]
) -> None:
    knobs: dict[str, Any] = {"hidden": (8,), "batch_size": 16, "l2": 1e-3}
    reduced = [
        suggestion(i, optimizer=name, schedule=PLATEAU, learning_rate=0.05, batch_norm=i % 2 == 0, **knobs)
        for i, name in enumerate(optimizers)
    ]
    neighbours = [
        suggestion(20, optimizer="momentum", **knobs),
        suggestion(21, optimizer="nesterov", schedule="cosine", **knobs),
    ]

    found = assert_equal_in_double("wine", *reduced, *neighbours, plateau=plateau)

    assert len({epoch["learning_rate"] for epoch in found[0]}) >= 3


def test_clipping_and_schedules_change_what_is_learned() -> None:
    material = load_inputs(job("wine", epochs=2))
    plain, *others = (
        fitted(material, suggestion(0, seed=1, optimizer="sgd", learning_rate=0.1, **changed))
        for changed in ({}, {"global_clipnorm": 0.1}, {"schedule": "cosine"}, {"schedule": "exponential"})
    )
    assert all(other != plain for other in others)


@pytest.mark.parametrize(
    ("source", "weight"),
    [
        ("wine", "balanced"),
        pytest.param("breast_cancer", {"benign": 0.5, "malignant": 3}, marks=uncompiled),
    ],
)
def test_in_double_precision_weights_of_classes_equal_those_of_fit(source: str, weight: Any) -> None:
    knobs: dict[str, Any] = {"hidden": (8,), "batch_size": 16, "l2": 1e-3}  # the last step of an epoch is shorter
    plain = load_inputs(job(source))
    item = suggestion(0, optimizer="adam", **knobs)

    found = assert_equal_in_double(
        source, item, suggestion(1, batch_norm=True, optimizer="nadam", **knobs), class_weight=weight
    )

    assert fitted(plain, item) != found[0]


@uncompiled
def test_moving_statistics_begin_as_exactly_as_they_can() -> None:
    own, item = job("breast_cancer", epochs=1), suggestion(0, batch_norm=True, batch_size=1000)  # one step
    moving = []
    for dtype in ("float32", "float64"):
        array = TrialArray(group_of(item.params), load_inputs(own), 1, dtype)
        array.enqueue(item)
        while not array.is_idle:
            array.step(lambda _: None)
        moving.append(np.concatenate([part.numpy().ravel() for part in array.program._state.moving]))

    assert np.linalg.norm(moving[0] - moving[1]) < 2e-7 * np.linalg.norm(moving[1])


# ---- shares of rows


@pytest.mark.parametrize(
    "source", [pytest.param("iris", marks=thorough("digits have classes as well")), "breast_cancer", "digits"]
)
def test_a_share_of_rows_is_a_whole_number_over_a_whole_number_in_arrays_and_in_fit(source: str) -> None:
    own = job(source, metrics=list(scores_for(Task.BINARY)))
    item = suggestion(0)
    data = load_inputs(own).data.summary

    array, fit = results(array_of(own, 2), item)[0], FitTrainer(own).train(item, lambda _: None)

    for metric, n_rows in (("accuracy", data.n_train), ("val_accuracy", data.n_validation)):
        for result in (array, fit):
            values = result.curve.values(metric)
            assert values == tuple(round(value * n_rows) / n_rows for value in values)
    for metric in ("val_accuracy", "val_f1", "val_precision", "val_recall"):
        assert array.curve.values(metric) == fit.curve.values(metric)


# ---- independence


POINT: dict[str, Any] = {"hidden": (16, 8), "dropout": 0.3, "l2": 1e-3, "batch_norm": True, "optimizer": "adam"}


def wild(number: int) -> Suggestion:
    """A neighbour whose losses become NaN or huge."""
    return suggestion(number, hidden=(16, 8), optimizer=("sgd", "momentum")[number % 2], learning_rate=1e6)


def with_neighbours() -> dict[str, Any]:
    """Return the curve of a trial alone, that of the same one late in a crowd, and that of another seed there."""
    array = array_of(job(), 4)
    alone = results(array, suggestion(0, seed=5, **POINT))[0]
    crowd = [wild(1), suggestion(2, **POINT), wild(3), wild(4), wild(5)]
    late = results(array, *crowd, suggestion(9, seed=5, **POINT), suggestion(10, seed=6, **POINT))
    curves = {"alone": alone, "crowded": late[9], "other": late[10]}
    told = {name: [[each.metric, *each.values] for each in result.curve.series] for name, result in curves.items()}
    return {"neighbour": late[1].reason, **told}


def test_a_result_depends_on_slot_neighbours_and_start_in_no_bit(tmp_path: Path, warm_python: WarmPython) -> None:
    """In a process in which XLA optimizes programs as it does for users."""
    (tmp_path / "bits.py").write_text("import json, test_array; print(json.dumps(test_array.with_neighbours()))")
    environ = {"XLA_FLAGS": "", "PYTHONPATH": str(Path(__file__).parent)}

    done = warm_python.run(tmp_path / "bits.py", environ=environ)

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["neighbour"] == Reason.DIVERGED
    assert told["crowded"] == told["alone"]
    assert told["other"] != told["alone"]


@pytest.mark.parametrize("slots", [pytest.param(1, marks=thorough("16 slots are further from three")), 16])
def test_another_number_of_slots_gives_the_same_within_rounding(slots: int, usual: ArrayTrainer) -> None:
    item = suggestion(99, seed=5, dropout=0.3, l2=1e-3, batch_norm=True, optimizer="adam")
    few, other = results(usual, item)[99], results(array_of(job(), slots), item)[99]
    assert all(difference(few, other, metric) < 1e-4 for metric in metrics_for(Task.MULTICLASS))


def test_refilling_does_not_trace_again(usual: ArrayTrainer, twins: dict[int, tuple[TrialResult, TrialResult]]) -> None:
    assert len(twins) == len(UPDATE_RULES)
    [array] = usual._arrays.values()
    assert array.program._call.experimental_get_tracing_count() == 1
    assert array.program._fill.experimental_get_tracing_count() == 1


# ---- dropout


def keeps(seed: int, step: int, rate: float, rows: int, units: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    key = dropout.layer_keys(np.array([[seed]]), np.array([step]), 1)[:, 0]
    limit = dropout.threshold(np.array([rate], np.float32))
    packed = dropout.draw_masks(tf.constant(key), tf.constant(limit), [rows * units])[0]
    return np.asarray(dropout.unpack_mask(packed, rows, units)[0], bool)


@given(st.integers(0, 2**31 - 1), st.integers(0, 100_000), st.floats(0, 0.99), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=n_examples(30), deadline=None)
def test_masks_are_those_of_keras(seed: int, step: int, rate: float, rows: int, units: int) -> None:
    drawn = tf.random.stateless_uniform((rows, units), seed=[seed, step])
    assert np.array_equal(keeps(seed, step, rate, rows, units), drawn.numpy() >= np.float32(rate))


def test_masks_have_the_rate_and_are_independent() -> None:
    masks = np.array([[keeps(seed, step, 0.3, 100, 64).ravel() for step in range(4)] for seed in range(4)])
    masks = masks.reshape(16, -1).astype(float)
    n = masks.shape[1]
    assert np.abs(masks.mean(axis=1) - 0.7).max() < 4 * math.sqrt(0.21 / n)
    correlations = np.corrcoef(masks)[np.triu_indices(16, 1)]  # over slots, layers (both are seeds) and steps
    assert np.abs(correlations).max() < 4.5 / math.sqrt(n)
    within = [np.corrcoef(mask[:-lag], mask[lag:])[0, 1] for mask in masks for lag in (1, 2, 3, 4, 64)]
    assert np.abs(within).max() < 4.5 / math.sqrt(n)


# ---- the rule


@pytest.mark.parametrize("name", UPDATE_RULES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_the_rule_takes_the_steps_of_keras(name: str, dtype: str, tolerance: float) -> None:
    generator = np.random.default_rng(1)
    start, gradients = generator.normal(size=(3, 2)).astype(dtype), generator.normal(size=(50, 3, 2)).astype(dtype)
    with double() if dtype == "float64" else contextmanager(lambda: iter([None]))():
        variable = keras.Variable(start, dtype=dtype)
        optimizer = keras_models.optimizer_of(Hyperparameters(optimizer=name, learning_rate=0.01))
        for gradient in gradients:
            optimizer.apply([tf.constant(gradient)], [variable])
    first_v = np.full_like(start, UPDATE_RULES[name].first_v)
    state = Updated(*([tf.constant(part[None])] for part in (start, np.zeros_like(start), first_v)))
    table = np.concatenate([optimizers.coefficients(name, 0.01, first, 10, dtype) for first in range(0, 50, 10)])
    for gradient, row in zip(gradients, table, strict=True):
        state = take_step(*state, [tf.constant(gradient[None])], tf.constant(row[None]))
    assert np.abs(state.weights[0][0].numpy() - variable.numpy()).max() < tolerance


def after_steps(gradients: tf.Tensor, row: tf.Tensor) -> Updated:
    """Take a step with each gradient, at the same coefficients, in one program."""
    zeros = [tf.zeros_like(gradients[0])]

    def body(step: tf.Tensor, state: Updated) -> tuple[tf.Tensor, Updated]:
        return step + 1, Updated(*map(list, take_step(*state, [gradients[step]], row)))

    start = (tf.constant(0), Updated(zeros, zeros, zeros))
    loop = tf.function(lambda: tf.while_loop(lambda step, _: step < len(gradients), body, start), jit_compile=True)
    return Updated(*loop()[1])


@pytest.mark.parametrize("name", ["adam", "nadam", "lion", "rmsprop"])
def test_what_an_optimizer_averages_over_thousands_of_steps_does_not_drift(name: str) -> None:
    gradients = np.abs(np.random.default_rng(1).normal(1, 0.2, (3000, 1, 500)))
    averages = []
    for dtype in (np.float32, np.float64):
        row = optimizers.coefficients(name, 0.0, 5000, 1, dtype)
        state = after_steps(tf.constant(gradients.astype(np.float32).astype(dtype)), tf.constant(row))
        averages.append(np.array([state.m[0].numpy().mean(), state.v[0].numpy().mean()], np.float64))

    single, exact = averages
    kept = exact > 0  # RMSprop has one buffer, and so has Lion
    assert np.abs(single[kept] / exact[kept] - 1).max() < 1e-6


# ---- where metrics are in the vector


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("has_learning_rate", [False, True])
@pytest.mark.parametrize("variance", [0.5, 0.0])
def test_what_a_rule_monitors_is_what_is_reported(task: Task, variance: float, *, has_learning_rate: bool) -> None:
    layout = MetricLayout(task, scores_for(task), has_learning_rate, target_std=3.0, validation_variance=variance)
    vector = np.linspace(0.5, 1.5, len(layout.names))

    reported = layout.in_own_units(vector)

    monitored = (*metrics_for(task), *scores_for(task))
    assert list(reported) == [*monitored, "l2_penalty"]
    for metric in monitored:
        monitor = layout.monitor(metric, min_delta=0.25)
        assert vector[monitor.index] * monitor.scale + monitor.offset == pytest.approx(reported[metric])
        assert monitor.is_maximized == (direction_of(metric) == "maximize")
        assert monitor.min_delta == 0.25


# ---- early stopping, plateaus and divergence in the graph


LAYOUT = MetricLayout(Task.MULTICLASS)


def config_with(
    n_epochs: int, early_stopping: EarlyStoppingRule | None = None, plateau: PlateauRule | None = None
) -> ArrayConfig:
    return ArrayConfig(
        n_slots=1,
        n_features=1,
        hidden=(),
        activation="relu",
        n_outputs=2,
        batch_size=1,
        n_rows=1,
        n_validation=1,
        n_epochs=n_epochs,
        epochs_per_call=1,
        layout=LAYOUT,
        early_stopping=early_stopping,
        plateau=plateau,
    )


values = st.one_of(
    st.floats(0, 2),
    st.integers(0, 200).map(lambda n_right: n_right / 200),  # a share, whose ties with `min_delta` are common
    st.sampled_from([0.5, 0.25, math.nan, math.inf, 2e9]),
)


@given(
    st.lists(st.tuples(values, values), min_size=1, max_size=12),
    st.sampled_from([None, "val_loss", "val_accuracy"]),
    st.sampled_from([0.0, 0.125, 0.005]),
    st.integers(0, 3),
    st.integers(0, 3),
)
@settings(max_examples=n_examples(80), deadline=None)
@example([(0.5, math.nan), (0.5, 0.25), (0.5, 0.5), (0.5, 0.25)], "val_accuracy", 0.0, 2, 0)  # NaN first
@example([(0.5, 1.0), (0.5, math.nan), (0.5, 0.5), (0.5, 0.25)], "val_accuracy", 0.0, 2, 1)
def test_the_graph_stops_as_the_reference_does(
    curve: list[tuple[float, float]], monitor: str | None, min_delta: float, patience: int, start: int
) -> None:
    rule = None if monitor is None else EarlyStoppingRule(LAYOUT.monitor(monitor, min_delta), patience, start)
    config = config_with(len(curve), early_stopping=rule)
    stopping = Stopping(monitor, patience, min_delta, start)
    progress = SlotProgress(
        tf.constant([math.nan], tf.float64),
        tf.constant([0]),
        tf.constant([0]),
        tf.constant([0]),
        tf.constant([True]),
    )
    for epoch, (loss, accuracy) in enumerate(curve, 1):
        named = {"loss": 0.5, "accuracy": 0.5, "val_loss": loss, "val_accuracy": accuracy, "l2_penalty": 0.0}
        progress, codes, is_best = decide(config, vector_of(named), progress)
        stopping = stopping.after(named)
        expected = 1 if epoch == len(curve) else END_CODES[Reason.EARLY_STOPPED] if stopping.is_over else 0
        assert int(codes[0]) == (END_CODES[Reason.DIVERGED] if is_diverged(named) else expected)
        assert bool(is_best[0]) == stopping.is_improved
        assert int(progress.best_epoch[0]) == (stopping.best_epoch or 0)
        if int(codes[0]):
            return


def vector_of(metrics: Mapping[str, float]) -> tf.Tensor:
    return tf.constant([[metrics[name] for name in LAYOUT.names]], tf.float64)


@given(
    st.lists(values, min_size=1, max_size=14),
    st.sampled_from(["val_loss", "val_accuracy"]),
    st.sampled_from([0.1, 0.5, 0.9]),
    st.sampled_from([0.0, 0.125, 0.005]),
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from([0.0, 0.004]),
)
@settings(max_examples=n_examples(60), deadline=None)
def test_the_graph_reduces_learning_rates_as_the_reference_does(
    curve: list[float],
    monitor: str,
    factor: float,
    min_delta: float,
    patience: int,
    cooldown: int,
    floor: float,
) -> None:
    rule = PlateauRule(LAYOUT.monitor(monitor, min_delta), factor, patience, cooldown, floor)
    config = config_with(99, plateau=rule)
    plateau = Plateau(float(np.float32(0.1)), monitor, factor, patience, min_delta, cooldown, floor)
    zero, nan = tf.constant([0]), tf.constant([math.nan], tf.float64)
    state = PlateauState(tf.constant([0.1]), nan, zero, zero)
    progress = SlotProgress(nan, zero, zero, zero, tf.constant([True]), state)
    for value in curve:
        named = {"loss": 0.5, "accuracy": 0.5, "val_loss": 0.5, "val_accuracy": 0.5, "l2_penalty": 0.0, monitor: value}
        progress, _, _ = decide(config, vector_of(named), progress)
        plateau = plateau.after(named)
        assert isinstance(progress.plateau, PlateauState)
        assert float(progress.plateau.rate[0]) == plateau.rate


#: Data, what the plateau looks at, and what it takes for better.
WATCHED = [
    ("iris", "val_auc", 0.01),
    pytest.param("wine", "accuracy", 0.5, marks=thorough("a score is watched in the same way")),
    ("diabetes", "val_mse", 500.0),
    pytest.param("diabetes", "val_r2", 0.2, marks=thorough("another score is watched, and early stopping watches it")),
]


@pytest.mark.parametrize(("source", "monitor", "min_delta"), WATCHED)
def test_learning_rates_follow_any_monitor_beside_early_stopping_as_in_fit(
    source: str, monitor: str, min_delta: float
) -> None:
    plateau = {"monitor": monitor, "min_delta": min_delta, "factor": 0.5, "patience": 1}
    own = job(source, epochs=12, early_stopping={"monitor": "val_loss", "patience": 9}, reduce_on_plateau=plateau)
    items = [suggestion(i, schedule=name) for i, name in enumerate((PLATEAU, "exponential", "constant"))]
    found, fit = results(array_of(own, 3), *items), FitTrainer(own)
    for item in items[:2] if source == "iris" else items[:1]:
        reference = fit.train(item, lambda _: None)
        assert found[item.number].reason is reference.reason
        rates = found[item.number].curve.values("learning_rate")
        assert rates == pytest.approx(reference.curve.values("learning_rate"), rel=1e-6)
        assert len(set(rates)) >= {0: 2, 1: 12, 2: 0}[item.number]
        assert difference(reference, found[item.number], "val_loss") < 1e-4
    assert found[2].curve.values("learning_rate") == ()


@uncompiled
def test_a_slot_begins_its_next_trial_at_its_own_learning_rate() -> None:
    own = job(reduce_on_plateau={"min_delta": 10.0, "patience": 1, "factor": 0.5})
    items = [suggestion(i, seed=5, learning_rate=rate) for i, rate in enumerate((0.04, 0.02, 0.04))]
    items = [replace(item, params={**item.params, "schedule": PLATEAU}) for item in items]

    found = results(array_of(own, 1), *items)

    assert found[0].curve.values("learning_rate") == pytest.approx([0.04, 0.04, 0.02, 0.01, 0.005])
    assert found[1].curve.values("learning_rate") == pytest.approx([0.02, 0.02, 0.01, 0.005, 0.0025])
    assert found[2].curve.series == found[0].curve.series


def test_a_program_knows_plateaus_only_where_a_trial_may_ask_for_them() -> None:
    group = group_of(suggestion(0).params)
    plain, asking = (TrialArray(group, load_inputs(own), 2) for own in (job(), job(reduce_on_plateau={})))

    assert (plain.config.plateau, plain._buffers.progress.plateau, plain._buffers.inputs().is_scaled) == (None, (), ())
    assert asking.config.layout.names == (*plain.config.layout.names, "learning_rate")


@uncompiled
@pytest.mark.parametrize(
    "monitor", [pytest.param("val_mae", marks=thorough("`val_mse` is in squared units, which are harder")), "val_mse"]
)
def test_early_stopping_on_a_regression_counts_in_the_targets_units(monitor: str) -> None:
    min_delta = {"val_mae": 2.0, "val_mse": 300.0}[monitor]
    own = job("diabetes", epochs=12, early_stopping={"monitor": monitor, "patience": 1, "min_delta": min_delta})
    item = suggestion(0, learning_rate=0.003)
    reference = FitTrainer(own).train(item, lambda _: None)
    result = results(array_of(own, 2), item)[0]
    assert reference.reason is Reason.EARLY_STOPPED
    assert (result.reason, result.best_epoch) == (reference.reason, reference.best_epoch)
    assert result.curve.n_epochs == reference.curve.n_epochs


# ---- out of the array

JUDGE = """
import json, sys
import keras
import numpy as np
model = keras.saving.load_model(sys.argv[1])
data = np.load(sys.argv[2])
loss, accuracy = model.evaluate(data["x"], data["y"], verbose=0)
print(json.dumps([loss, accuracy, "dnnsweep" in sys.modules, [type(layer).__name__ for layer in model.layers]]))
"""


def test_the_best_trials_model_is_an_ordinary_keras_model_that_scores_as_stated(
    tmp_path: Path, warm_python: WarmPython
) -> None:
    own = job("digits", tmp_path, epochs=8, early_stopping={"patience": 2})
    trainer = array_of(own, 2)
    found = results(trainer, *(suggestion(i, dropout=0.2, l2=1e-3, batch_norm=i % 2 == 0) for i in range(4)))
    best = min(found.values(), key=lambda result: min(result.curve.values("val_loss")))
    assert best.model_path is not None
    data = load_inputs(own).data
    np.savez(tmp_path / "rows.npz", x=data.x_validation, y=data.y_validation)
    (tmp_path / "judge.py").write_text(JUDGE)
    done = warm_python.run(tmp_path / "judge.py", best.model_path, str(tmp_path / "rows.npz"))
    assert done.returncode == 0, done.stderr
    loss, accuracy, has_dnnsweep, layers = json.loads(done.stdout)
    assert best.best_epoch is not None
    stated = best.curve.at(best.best_epoch)
    assert loss == pytest.approx(stated["val_loss"] + stated["l2_penalty"], rel=1e-5)
    assert accuracy == pytest.approx(stated["val_accuracy"], abs=1e-6)
    assert not has_dnnsweep
    assert set(layers) <= {"Dense", "BatchNormalization", "Activation", "Dropout"}


@uncompiled
def test_a_trials_size_is_that_of_its_model_and_a_front_is_joined_by_what_it_does_not_beat(tmp_path: Path) -> None:
    own = job(models=tmp_path)
    objective = [{"metric": "val_accuracy"}, {"metric": "n_parameters"}]
    own = replace(own, spec={**own.spec, "objective": objective})
    size = keras_models.build(Hyperparameters.of(suggestion(0).params), 4, Task.MULTICLASS, 3, 0).count_params()
    smaller, better, worse = ((-0.1, size - 1.0, 9.0, 7), (-1.1, size + 1.0, 9.0, 8), (-1.1, size - 1.0, 9.0, 9))

    found = results(array_of(own, 1), replace(suggestion(0), front=(smaller, better)))[0]
    beaten = results(array_of(own, 1), replace(suggestion(0), front=(smaller, worse)))[0]

    assert found.n_parameters == beaten.n_parameters == size
    assert found.metrics["n_parameters"] == size
    assert found.model_path is not None
    assert keras.saving.load_model(found.model_path).count_params() == size
    assert beaten.model_path is None


@uncompiled
def test_only_a_trial_that_may_be_the_best_saves_its_model(tmp_path: Path) -> None:
    trainer = array_of(job(models=tmp_path), 1)
    beaten = Suggestion(1, suggestion(1).params, 8, front=((-1.0, 0.0, 0),))
    saved = {number: result.model_path for number, result in results(trainer, beaten).items()}
    assert saved == {1: None}
    first = results(array_of(job(models=tmp_path), 1), suggestion(0))[0]
    assert first.model_path == str(tmp_path / "trial-0-1.keras")
    assert Path(first.model_path).exists()


# ---- groups


@uncompiled
def test_trials_of_different_shapes_train_in_arrays_of_their_own() -> None:
    trainer = array_of(job(epochs=2), 2)
    asked = [suggestion(i, hidden=(2 + i % 2,)) for i in range(4)]
    assert {result.reason for result in results(trainer, *asked).values()} == {Reason.COMPLETED}
    slots, busy = trainer.slot_epochs
    assert (slots, busy) == (8, 8)


@uncompiled
def test_a_program_that_was_idle_for_long_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.trainers.array.MAX_ARRAYS", 1)
    trainer = array_of(job(epochs=1), 1)
    for width in (2, 3):
        assert results(trainer, suggestion(width, hidden=(width,)))[width].reason is Reason.COMPLETED
    assert len(trainer._arrays) == 1 < MAX_ARRAYS
    assert trainer.slot_epochs == (2, 2)


@uncompiled
def test_an_error_in_the_program_fails_its_trials_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = array_of(job(epochs=1), 1)
    broken, good = suggestion(0, hidden=(3,)), suggestion(1, hidden=(2,))
    run = TrialArray.step

    def step(array: TrialArray, emit: Any) -> Any:
        if array.config.hidden == (3,):
            raise MemoryError("no room for the program")
        return run(array, emit)

    monkeypatch.setattr(TrialArray, "step", step)
    found = results(trainer, broken, good)
    assert (found[0].reason, found[0].error) == (Reason.FAILED, "MemoryError: no room for the program")
    assert found[1].reason is Reason.COMPLETED


@uncompiled
def test_nothing_is_believed_that_was_measured_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, told = array_of(job(epochs=1), 1), list[Any]()
    trainer.take(suggestion(0, hidden=(2,)))

    def take(*_: Any) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("dnnsweep.trainers.memory_check.mmap.mmap", take)
    with pytest.raises(MemoryError, match="must have 64 MiB of memory left"):
        trainer.step(told.append)

    assert [type(message) for message in told] == [AttemptStarted]


@uncompiled
def test_epochs_of_a_long_trial_are_reported_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.trainers.array.slots.REPORT_SECONDS", 0.0)
    trainer, messages = array_of(job(epochs=12), 1), list[AttemptStarted | EpochReport | TrialResult]()
    trainer.take(suggestion(0))
    while not trainer.is_idle:
        trainer.step(messages.append)
    *reports, last = messages
    assert isinstance(last, TrialResult)
    epochs = [report.epoch for report in reports if isinstance(report, EpochReport)]
    assert epochs == list(range(1, len(epochs) + 1))
    assert len(epochs) >= 8


@uncompiled
def test_a_trial_over_its_time_ends_alone_and_its_slot_is_refilled() -> None:
    own = job(epochs=200)
    limited = Job({**own.spec, "training": {**own.spec["training"], "timeout_seconds": 1e-9}})
    trainer = array_of(limited, 2)

    found = results(trainer, *(suggestion(i, seed=i) for i in range(3)))

    assert [found[i].reason for i in range(3)] == [Reason.TIMEOUT] * 3
    assert all(found[i].best_epoch is None and 0 < found[i].curve.n_epochs < 200 for i in range(3))
    assert "training.timeout_seconds = 1e-09" in str(found[0].error)


@uncompiled
def test_epochs_before_the_first_that_is_looked_at_are_never_the_best() -> None:
    optimizers = {"monitor": "loss", "patience": 2, "min_delta": 10.0, "start_from_epoch": 3}

    result = results(array_of(job(epochs=9, early_stopping=optimizers), 2), suggestion(0))[0]

    assert (result.reason, result.best_epoch, result.curve.n_epochs) == (Reason.EARLY_STOPPED, 4, 6)
