from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dnnsweep import datasets, spec
from dnnsweep.records import Task
from dnnsweep.space import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, Hyperparameters
from dnnsweep.trainers import keras_models
from dnnsweep.trainers.saved_model import read_preprocessing

Array = NDArray[np.float64]


def network_of(
    n_features: int = 3, task: Task = Task.REGRESSION, n_outputs: int = 1, seed: int = 0, **knobs: Any
) -> Any:
    return keras_models.build(Hyperparameters(**knobs), n_features, task, n_outputs, seed)


def kernels(network: Any) -> list[Array]:
    return [layer.kernel.numpy() for layer in network.layers if hasattr(layer, "kernel")]


def normal(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=shape).astype("float32")


# --- initializer and seed


def variance(initializer: str, fan_in: int, fan_out: int) -> float:
    family = initializer.partition("_")[0]
    return {
        "glorot": 2 / (fan_in + fan_out),
        "he": 2 / fan_in,
        "lecun": 1 / fan_in,
        "orthogonal": 1 / max(fan_in, fan_out),  # min(fan_in, fan_out) orthonormal vectors, each of length 1
    }[family]


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_every_kernel_starts_with_the_variance_of_its_initializer(initializer: str) -> None:
    hidden, output = kernels(network_of(300, Task.MULTICLASS, 100, hidden=(400,), initializer=initializer))

    # Glorot draws with 2 / 700 and 2 / 500, He with 2 / 300 and 2 / 400, LeCun with 1 / 300 and 1 / 400; orthogonal
    # kernels have 1 / 400 in both
    assert hidden.var() == pytest.approx(variance(initializer, 300, 400), rel=0.02)
    assert output.var() == pytest.approx(variance(initializer, 400, 100), rel=0.04)
    assert abs(hidden.mean()) < 4 * math.sqrt(hidden.var() / hidden.size)


@pytest.mark.parametrize("initializer", [name for name in INITIALIZERS if name != "orthogonal"])
def test_weights_are_uniform_or_normal_and_truncated_at_two_deviations(initializer: str) -> None:
    (weights, _) = kernels(network_of(300, hidden=(400,), initializer=initializer))
    deviation = math.sqrt(variance(initializer, 300, 400))
    scaled, is_uniform = weights / deviation, initializer.endswith("uniform")

    bound = math.sqrt(3) if is_uniform else 2 / 0.87962566103423978  # truncation shrinks the deviation by 0.8796
    kurtosis = 1.8 if is_uniform else 2.3656  # of a normal truncated at 2 deviations
    assert 0.99 * bound < np.abs(scaled).max() <= bound * (1 + 1e-6)
    assert np.mean(scaled**4) / np.mean(scaled**2) ** 2 == pytest.approx(kurtosis, rel=0.02)


@pytest.mark.parametrize(("n_inputs", "n_units"), [(9, 4), (4, 9), (5, 5), (3, 1)])
def test_an_orthogonal_kernel_has_orthonormal_columns_or_rows(n_inputs: int, n_units: int) -> None:
    (kernel, _) = kernels(network_of(n_inputs, hidden=(n_units,), initializer="orthogonal"))
    tall = kernel if n_inputs >= n_units else kernel.T

    np.testing.assert_allclose(tall.T @ tall, np.eye(min(n_inputs, n_units)), atol=1e-6)


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_all_trainers_start_from_the_same_kernels(initializer: str) -> None:
    hp = Hyperparameters(hidden=(5, 8), initializer=initializer, dropout=0.5)

    first = keras_models.initial_kernels(hp, (3, 5, 8, 1), seed=3)

    built = kernels(keras_models.build(hp, 3, Task.REGRESSION, 1, seed=3))
    assert all(np.array_equal(a, b) for a, b in zip(first, built, strict=True))


def test_biases_start_at_zero() -> None:
    network = network_of(hidden=(4,))

    assert not any(layer.bias.numpy().any() for layer in network.layers if hasattr(layer, "bias"))


def test_weights_depend_on_the_seed_and_the_layer_only() -> None:
    import keras

    def start(seed: int) -> list[Array]:
        return kernels(network_of(6, hidden=(6, 6), seed=seed, initializer="he_normal"))

    first = start(7)
    keras.utils.set_random_seed(3)
    again, other = start(7), start(8)

    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(first[0], first[1])
    keras.utils.set_random_seed(7)  # what plain code starts with
    for weights in first:
        assert np.array_equal(weights, keras.initializers.HeNormal()(weights.shape).numpy())


# --- layers


@pytest.mark.parametrize(
    ("knobs", "names"),
    [
        ({"hidden": ()}, ["output"]),
        ({"hidden": (5,)}, ["hidden_1", "activation_1", "output"]),
        (
            {"hidden": (5, 4), "batch_norm": True, "dropout": 0.5},
            [
                *("hidden_1", "batch_norm_1", "activation_1", "dropout_1"),
                *("hidden_2", "batch_norm_2", "activation_2", "dropout_2"),
                "output",
            ],
        ),
        ({"hidden": (5,), "dropout": 0.5}, ["hidden_1", "activation_1", "dropout_1", "output"]),
        ({"hidden": (5,), "batch_norm": True}, ["hidden_1", "batch_norm_1", "activation_1", "output"]),
    ],
)
def test_layers_stand_in_the_order_of_the_textbook(knobs: dict[str, Any], names: list[str]) -> None:
    assert [layer.name for layer in network_of(**knobs).layers] == names


def test_widths_are_those_of_hidden() -> None:
    shapes = [weights.shape for weights in kernels(network_of(3, Task.MULTICLASS, 4, hidden=(7, 5)))]

    assert shapes == [(3, 7), (7, 5), (5, 4)]


@pytest.mark.parametrize("hidden", [(), (1,), (7, 5), (4, 4, 4)])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("n_outputs", [1, 10])
def test_weights_are_counted_as_keras_counts_them(hidden: tuple[int, ...], n_outputs: int, *, batch_norm: bool) -> None:
    hp = Hyperparameters(hidden=hidden, batch_norm=batch_norm, dropout=0.5, l2=0.1)

    network = keras_models.build(hp, 3, Task.MULTICLASS, n_outputs, seed=0)

    assert keras_models.n_parameters(hp, (3, *hidden, n_outputs)) == network.count_params()


def test_a_linear_layer_has_a_bias_unless_batch_norm_follows() -> None:
    with_norm, without = network_of(hidden=(4,), batch_norm=True), network_of(hidden=(4,))

    assert [with_norm.get_layer(name).use_bias for name in ("hidden_1", "output")] == [False, True]
    assert [without.get_layer(name).use_bias for name in ("hidden_1", "output")] == [True, True]


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
FORMULAS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.2 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)),
    "selu": lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(z)),
    "gelu": lambda z: z * (1 + np.vectorize(math.erf)(z / math.sqrt(2))) / 2,
    "silu": lambda z: z / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_network_computes_the_formula_of_its_activation(activation: str) -> None:
    network, x = network_of(3, hidden=(8,), activation=activation), normal(5, 3)
    (hidden, output) = kernels(network)

    expected = FORMULAS[activation]((x @ hidden).astype("float64")) @ output

    np.testing.assert_allclose(network(x).numpy(), expected, atol=2e-6)


@pytest.mark.parametrize(
    ("task", "n_outputs", "head"),
    [
        (Task.REGRESSION, 1, lambda z: z),
        (Task.BINARY, 1, lambda z: 1 / (1 + np.exp(-z))),
        (Task.MULTICLASS, 4, lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)),
    ],
)
def test_the_output_is_linear_sigmoid_or_softmax_by_the_task(task: Task, n_outputs: int, head: Any) -> None:
    network, x = network_of(3, task, n_outputs, hidden=()), normal(5, 3)

    np.testing.assert_allclose(network(x).numpy(), head(x @ kernels(network)[0]), atol=1e-6)


# --- dropout


def test_dropout_zeroes_its_share_and_scales_the_rest_while_training_only() -> None:
    import keras

    layer, ones = network_of(hidden=(2000,), dropout=0.3).get_layer("dropout_1"), np.ones((50, 2000), "float32")
    dropped = layer(ones, training=True).numpy()

    # 100,000 units: the share's standard deviation is sqrt(0.3 * 0.7 / 1e5) = 0.0014
    assert (dropped == 0).mean() == pytest.approx(0.3, abs=0.007)
    np.testing.assert_allclose(dropped[dropped != 0], 1 / 0.7, rtol=1e-6)
    assert np.array_equal(layer(ones, training=False), ones)
    assert isinstance(layer, keras.layers.Dropout)


def test_inference_ignores_dropout_and_training_does_not() -> None:
    x = normal(20, 3)
    network, without = network_of(hidden=(16, 16), dropout=0.5), network_of(hidden=(16, 16))
    without.set_weights([weights for weights in network.get_weights() if weights.dtype == np.float32])

    assert np.array_equal(network(x, training=False), network(x, training=False))
    assert np.array_equal(network(x, training=False), without(x, training=False))
    assert not np.allclose(network(x, training=True), network(x, training=False))


def test_dropout_depends_on_seed_layer_and_step() -> None:
    def masks(seed: int, name: str) -> tuple[list[Any], list[Any]]:
        layer = network_of(hidden=(64, 64), dropout=0.5, seed=seed).get_layer(name)
        ones = np.ones((4, 64), "float32")
        return layer(ones, training=True).numpy().tolist(), layer(ones, training=True).numpy().tolist()

    first, second = masks(0, "dropout_1")

    assert masks(0, "dropout_1") == (first, second)
    assert first != second
    assert masks(1, "dropout_1")[0] != first
    assert masks(0, "dropout_2")[0] != first


# --- L2


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_l2_term_is_l2_times_the_squares_of_all_kernels(batch_norm: bool) -> None:
    hp = Hyperparameters(hidden=(5, 4), l2=0.03, batch_norm=batch_norm)
    network = keras_models.build(hp, 3, Task.MULTICLASS, 3, seed=0)
    for variable in network.trainable_variables:
        if not variable.path.endswith("kernel"):
            variable.assign(np.full(variable.shape, 9.0))  # biases, and gamma and beta, cost nothing

    expected = 0.03 * sum(float((weights.astype("float64") ** 2).sum()) for weights in kernels(network))

    assert len(network.losses) == 3
    assert float(sum(network.losses)) == pytest.approx(expected, rel=1e-6)
    assert keras_models.l2_penalty(network, hp) == pytest.approx(expected, rel=1e-12)


def test_without_l2_nothing_is_added_to_the_loss() -> None:
    network = network_of(hidden=(5,))

    assert network.losses == []
    assert keras_models.l2_penalty(network, Hyperparameters(hidden=(5,))) == 0.0


# --- batch normalisation


def relu(z: Array) -> Array:
    return np.maximum(z, 0)


def test_batch_norm_normalises_the_linear_layer_before_its_activation() -> None:
    network, x = network_of(3, hidden=(6,), batch_norm=True), normal(8, 3)
    (hidden, output) = kernels(network)
    z = x @ hidden

    normalised = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-3)
    np.testing.assert_allclose(network(x, training=True), relu(normalised) @ output, atol=1e-5)


def test_batch_norm_follows_the_batches_slowly_and_infers_with_what_it_followed() -> None:
    network, x = network_of(3, hidden=(6,), batch_norm=True), normal(8, 3) + 5
    norm, (hidden, output) = network.get_layer("batch_norm_1"), kernels(network)
    z = x @ hidden
    norm.moving_mean.assign(np.full(6, 2.0))
    norm.moving_variance.assign(np.full(6, 3.0))

    network(x, training=False)
    assert np.array_equal(norm.moving_mean, np.full(6, 2.0))
    network(x, training=True)

    mean, var = 0.99 * 2 + 0.01 * z.mean(axis=0), 0.99 * 3 + 0.01 * z.var(axis=0)
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, var, rtol=1e-5)
    expected = relu((z - mean) / np.sqrt(var + 1e-3)) @ output
    np.testing.assert_allclose(network(x, training=False), expected, rtol=1e-4, atol=1e-4)


# --- optimizer and learning rate


def updates(optimizer: str, rate: float) -> Any:
    """Return a function (weights, gradient) -> weights after the next step, by the formulas of the papers."""
    m = v = np.array(0.1 if optimizer == "adagrad" else 0.0)
    t, product, epsilon = 0, 1.0, 1e-7

    def step(w: Array, g: Array) -> Any:
        nonlocal m, v, t, product
        t += 1
        if optimizer == "sgd":
            return w - rate * g
        if optimizer in ("momentum", "nesterov"):
            m = 0.9 * m - rate * g
            return w + (0.9 * m - rate * g if optimizer == "nesterov" else m)
        if optimizer in ("adagrad", "rmsprop"):
            v = v + g**2 if optimizer == "adagrad" else 0.9 * v + 0.1 * g**2
            return w - rate * g / np.sqrt(v + epsilon)
        if optimizer == "lion":
            direction, m = np.sign(0.9 * m + 0.1 * g), 0.99 * m + 0.01 * g
            return w - rate * direction
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        if optimizer == "nadam":
            now, later = 0.9 * (1 - 0.5 * 0.96**t), 0.9 * (1 - 0.5 * 0.96 ** (t + 1))
            product *= now
            ahead = later * m / (1 - product * later) + (1 - now) * g / (1 - product)
            return w - rate * ahead / (np.sqrt(v / (1 - 0.999**t)) + epsilon)
        decayed = w * (1 - 0.004 * rate) if optimizer == "adamw" else w
        return decayed - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + epsilon)

    return step


@pytest.mark.parametrize("rate", [0.05, 0.002])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_three_steps_follow_the_formula_of_the_optimizer_with_the_l2_term_in_the_gradient(
    optimizer: str, rate: float
) -> None:
    hp = Hyperparameters(hidden=(), l2=0.2, optimizer=optimizer, learning_rate=rate)
    network = keras_models.build(hp, 3, Task.REGRESSION, 1, seed=0)
    keras_models.compile_(network, keras_models.optimizer_of(hp), Task.REGRESSION, n_steps=1)
    x, y = normal(16, 3), normal(16)
    w, b = (part.astype("float64") for part in network.get_weights())
    step_w, step_b = updates(optimizer, rate), updates(optimizer, rate)

    for _ in range(3):
        error = x @ w + b - y[:, None]  # mean squared error: d/dw = 2/n x'e, and 2 l2 w from the L2 term
        w, b = step_w(w, 2 / 16 * x.T @ error + 2 * 0.2 * w), step_b(b, 2 / 16 * error.sum(axis=0))
        network.train_on_batch(x, y)

    np.testing.assert_allclose(network.get_weights()[0], w, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(network.get_weights()[1], b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_learning_rate_is_the_one_asked_for(optimizer: str) -> None:
    hp = Hyperparameters(optimizer=optimizer, learning_rate=0.0375)

    assert float(keras_models.optimizer_of(hp).learning_rate) == pytest.approx(0.0375)


# --- batches


def test_batches_hold_each_row_once_an_epoch_in_the_order_given() -> None:
    x, y = np.arange(20, dtype="float32").reshape(10, 2), np.arange(10, dtype="int32")
    orders = [np.random.default_rng(epoch).permutation(10).astype("int32") for epoch in range(2)]

    batches = [
        (rows.numpy(), labels.numpy()) for rows, labels in keras_models.batches_of(keras_models.hold(x, y), orders, 4)
    ]

    assert [len(labels) for _, labels in batches] == [4, 4, 2, 4, 4, 2]  # the shorter last one is kept
    assert np.array_equal(np.concatenate([labels for _, labels in batches]), np.concatenate(orders))
    assert np.array_equal(np.concatenate([rows for rows, _ in batches]), x[np.concatenate(orders)])


def test_the_order_of_an_epoch_is_asked_for_when_it_begins() -> None:
    asked = []

    def orders() -> Iterator[NDArray[np.int32]]:
        for epoch in range(1_000_000):
            asked.append(epoch)
            yield np.arange(4, dtype="int32")

    batches = iter(keras_models.batches_of(keras_models.hold(normal(4, 2), normal(4)), orders(), 2))
    for _ in range(5):
        next(batches)

    assert len(asked) <= 4  # the third epoch has begun


@pytest.mark.parametrize("batch_size", [4, 5, 100])
def test_an_epoch_takes_a_step_for_each_batch(batch_size: int) -> None:
    hp = Hyperparameters(hidden=(), batch_size=batch_size)
    network, (x, y) = (
        keras_models.build(hp, 3, Task.REGRESSION, 1, seed=0),
        keras_models.hold(normal(10, 3), normal(10)),
    )
    n_steps = keras_models.n_steps(10, batch_size)
    keras_models.compile_(network, keras_models.optimizer_of(hp), Task.REGRESSION, n_steps)
    batches = keras_models.batches_of((x, y), [np.arange(10, dtype="int32")] * 2, batch_size)

    keras_models.fit(network, batches, keras_models.evaluation_of(x, y), 2, lambda _: False)

    assert n_steps == {4: 3, 5: 2, 100: 1}[batch_size]
    assert int(network.optimizer.iterations) == 2 * n_steps


def test_training_stops_after_the_epoch_that_says_so() -> None:
    hp = Hyperparameters(hidden=())
    network, (x, y) = (
        keras_models.build(hp, 3, Task.REGRESSION, 1, seed=0),
        keras_models.hold(normal(10, 3), normal(10)),
    )
    keras_models.compile_(network, keras_models.optimizer_of(hp), Task.REGRESSION, n_steps=1)
    seen: list[dict[str, float]] = []

    def after_epoch(measured: Any) -> bool:
        seen.append(dict(measured))
        return len(seen) == 3

    batches = keras_models.batches_of((x, y), [np.arange(10, dtype="int32")] * 9, 10)
    keras_models.fit(network, batches, keras_models.evaluation_of(x, y), 9, after_epoch)

    assert len(seen) == 3
    assert set(seen[0]) == {"loss", "mae", "val_loss", "val_mae"}


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_the_loss_of_a_wrong_and_certain_network_is_not_clipped(task: Task) -> None:
    hp = Hyperparameters(hidden=(), learning_rate=1e-9, optimizer="sgd")
    n_outputs = 1 if task is Task.BINARY else 3
    network, (x, y) = (
        keras_models.build(hp, 1, task, n_outputs, seed=0),
        keras_models.hold(np.ones((4, 1)), np.zeros(4, int)),
    )
    network.get_layer("output").kernel.assign([[500.0]] if task is Task.BINARY else [[0.0, 500.0, 0.0]])
    keras_models.compile_(network, keras_models.optimizer_of(hp), task, n_steps=1)
    measured: list[Any] = []

    def after_epoch(logs: Any) -> bool:
        measured.append(logs)
        return True

    batches = keras_models.batches_of((x, y), [np.arange(4, dtype="int32")], 4)
    keras_models.fit(network, batches, keras_models.evaluation_of(x, y), 1, after_epoch)

    # the logits say class 1 with 500 against class 0, which is right: -log p = log(1 + exp(500)) = 500
    assert measured[0]["loss"] == pytest.approx(500)
    assert measured[0]["val_loss"] == pytest.approx(500, rel=1e-4)


@pytest.mark.parametrize("n_rows", [1, keras_models.EVALUATION_ROWS, 2 * keras_models.EVALUATION_ROWS + 3])
def test_evaluation_goes_over_all_rows_each_time(n_rows: int) -> None:
    x, y = np.arange(n_rows, dtype="float32").reshape(-1, 1), np.arange(n_rows, dtype="int32")
    evaluation = keras_models.evaluation_of(*keras_models.hold(x, y))

    for _ in range(2):
        rows, labels = zip(*((rows.numpy(), labels.numpy()) for rows, labels in evaluation), strict=True)
        assert np.array_equal(np.concatenate(rows), x)
        assert np.array_equal(np.concatenate(labels), y)


# --- saving


def test_a_saved_network_predicts_the_same_and_can_be_evaluated(tmp_path: Path) -> None:
    import keras

    hp, x, y = Hyperparameters(hidden=(4,), l2=0.1, batch_norm=True, dropout=0.2), normal(9, 3), np.arange(9) % 2
    network = keras_models.build(hp, 3, Task.BINARY, 1, seed=0)

    preprocessing = datasets.load(spec.DatasetSpec(), "binary", (x, y)).preprocessing
    keras_models.save(network, hp, preprocessing, tmp_path / "new" / "model.keras")
    loaded = keras.models.load_model(tmp_path / "new" / "model.keras")

    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.keras"]
    saved = read_preprocessing(tmp_path / "new" / "model.keras")
    assert saved is not None
    assert saved.to_text() == preprocessing.to_text()
    scores = loaded.evaluate(x, y, verbose=0, return_dict=True)
    probability = network(x).numpy().ravel()
    data_loss = -np.log(np.where(y == 1, probability, 1 - probability)).mean()

    assert np.array_equal(loaded(x), network(x))
    assert scores["loss"] == pytest.approx(data_loss + keras_models.l2_penalty(network, hp), rel=1e-5)
    assert scores["accuracy"] == pytest.approx(((probability > 0.5) == y).mean())


def test_saving_that_fails_leaves_the_file_before_it_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hp, path = Hyperparameters(hidden=()), tmp_path / "model.keras"
    network = keras_models.build(hp, 3, Task.REGRESSION, 1, seed=0)
    path.write_text("the one before")

    def fill_the_disk(part: Path) -> None:
        part.write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(network, "save", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        keras_models.save(
            network, hp, datasets.load(spec.DatasetSpec(), data=(normal(9, 3), normal(9))).preprocessing, path
        )

    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["the one before"]


# --- loading TensorFlow

LOADING = """
import json, os, sys
{before}
import dnnsweep.trainers.compiled  # which loads dnnsweep.trainers.keras_models
names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "TF_FORCE_GPU_ALLOW_GROWTH")
print(json.dumps([os.environ.get(name) for name in names]))
"""


def load(before: str, **environ: str) -> list[str | None]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "OMP_", "KERAS_"))}
    plain |= {"PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3", **environ}
    code = [sys.executable, "-c", LOADING.format(before=before)]
    answer: list[str | None] = json.loads(subprocess.run(code, env=plain, capture_output=True, check=True).stdout)
    return answer


def test_tensorflow_is_loaded_on_one_thread_unless_the_environment_says_otherwise() -> None:
    assert load("", TF_NUM_INTRAOP_THREADS="2") == ["2", "1", "1", "true"]


def test_a_tensorflow_that_a_notebook_has_loaded_is_left_as_it_is() -> None:
    assert load("import tensorflow") == [None, None, None, None]
