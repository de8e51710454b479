from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from examples import n_examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnnsweep.space import Hyperparameters
from dnnsweep.spec import EarlyStoppingSpec, PlateauSpec
from dnnsweep.trainers.stopping import DIVERGED_LOSS, Plateau, Stopping, is_diverged

NAN = math.nan


def follow(stopping: Stopping, values: list[float]) -> tuple[int, int | None, int | None]:
    """Return the last epoch trained, the best epoch, and the epoch whose weights were kept."""
    kept = None
    for value in values:
        stopping = stopping.after({str(stopping.monitor): value})
        kept = stopping.epoch if stopping.is_improved else kept
        if stopping.is_over:
            break
    return stopping.epoch, stopping.best_epoch, kept


def follow_keras(
    monitor: str, patience: int, min_delta: float, values: list[float], start: int = 0
) -> tuple[int, int, int]:
    import keras

    mode = "max" if monitor == "val_accuracy" else "min"
    callback = keras.callbacks.EarlyStopping(
        monitor, min_delta, patience, mode=mode, restore_best_weights=True, start_from_epoch=start
    )
    epoch = 0
    restored: list[int] = []
    network = SimpleNamespace(stop_training=False, get_weights=lambda: epoch, set_weights=restored.append)
    callback.set_model(network)
    callback.on_train_begin()
    for epoch, value in enumerate(values, start=1):
        callback.on_epoch_end(epoch - 1, {monitor: value})
        if network.stop_training:
            break
    callback.on_train_end()
    return epoch, callback.best_epoch + 1, restored[0]


steps = st.integers(-4, 4).map(lambda step: step / 4)  # ties and improvements of exactly min_delta
single = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
measured = st.one_of(steps, single)


@given(
    monitor=st.sampled_from(["val_loss", "val_accuracy"]),
    patience=st.integers(0, 4),
    min_delta=st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1e-7]), st.floats(0, 10, allow_subnormal=False)),
    first=st.one_of(measured, st.sampled_from([math.inf, -math.inf])),
    others=st.lists(st.one_of(measured, st.sampled_from([NAN, math.inf, -math.inf])), max_size=14),
    start=st.integers(0, 4),
)
@settings(max_examples=n_examples(300), deadline=None)
@example(monitor="val_loss", patience=0, min_delta=0.0, first=0.5, others=[0.4, 0.4, 0.3], start=0)
@example(monitor="val_loss", patience=1, min_delta=0.25, first=1.0, others=[0.75, 0.5], start=0)
@example(monitor="val_accuracy", patience=1, min_delta=1e-7, first=1.0, others=[1.0 + 2**-23, 1.0], start=0)
def test_it_stops_and_keeps_as_keras_does(
    monitor: str, patience: int, min_delta: float, first: float, others: list[float], start: int
) -> None:
    values = [*[5.0] * start, first, *others]  # the last example compares in single precision

    expected = follow_keras(monitor, patience, min_delta, values, start)

    assert follow(Stopping(monitor, patience, min_delta, start), values) == expected


@given(patience=st.integers(0, 4), n_epochs=st.integers(1, 10))
@settings(deadline=None, max_examples=n_examples(20))
def test_a_curve_of_nan_ends_at_the_epoch_at_which_keras_ends_it_and_has_no_best(patience: int, n_epochs: int) -> None:
    values = [NAN] * n_epochs

    assert follow(Stopping("val_loss", patience), values) == (
        follow_keras("val_loss", patience, 0.0, values)[0],
        None,
        None,
    )


def test_a_nan_in_the_first_epoch_is_not_the_best_for_ever() -> None:
    assert follow(Stopping("val_loss", patience=3), [NAN, 0.5, 0.4, 0.6]) == (4, 3, 3)


@pytest.mark.parametrize(
    ("patience", "values", "last"),
    [
        (0, [0.5, 0.6, 0.1], 2),  # the first epoch that does not improve
        (1, [0.5, 0.6, 0.1], 2),
        (2, [0.5, 0.6, 0.1], 3),  # one is borne, the next improves
        (2, [0.5, 0.6, 0.5, 0.1], 3),  # equal is no improvement
        (0, [0.5], 1),
    ],
)
def test_patience_counts_epochs_without_improvement(patience: int, values: list[float], last: int) -> None:
    assert follow(Stopping("val_loss", patience), values)[0] == last


def test_an_improvement_must_exceed_min_delta_over_the_best_and_not_over_the_epoch_before() -> None:
    slow = [1.0, 0.9, 0.8, 0.7]  # 0.7 is the first that is more than 0.25 below 1.0

    assert follow(Stopping("val_loss", patience=5, min_delta=0.25), slow) == (4, 4, 4)
    assert follow(Stopping("val_loss", patience=5, min_delta=0.25), slow[:3]) == (3, 1, 1)


def test_accuracy_is_better_when_higher_and_errors_when_lower() -> None:
    rising = [0.1, 0.2, 0.3]

    assert follow(Stopping("val_accuracy", patience=1), rising) == (3, 3, 3)
    assert follow(Stopping("accuracy", patience=1), rising) == (3, 3, 3)
    assert follow(Stopping("val_mae", patience=1), rising) == (2, 1, 1)


def test_without_early_stopping_the_last_epoch_is_kept() -> None:
    assert follow(Stopping.of(None), [0.1, 0.9, NAN]) == (3, 3, 3)


def test_it_takes_the_rule_of_the_sweep_file() -> None:
    rule = EarlyStoppingSpec(monitor="val_accuracy", patience=7, min_delta=0.5, start_from_epoch=3)

    assert Stopping.of(rule) == Stopping("val_accuracy", 7, 0.5, 3)


@pytest.mark.parametrize("name", ["loss", "val_loss", "l2_penalty"])
@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_divergence(name: str, value: float) -> None:
    healthy = {"loss": 0.5, "val_loss": 0.5, "l2_penalty": 0.1}

    assert not is_diverged(healthy)
    assert is_diverged({**healthy, name: value})


@pytest.mark.parametrize("name", ["loss", "val_loss"])
def test_a_loss_above_the_limit_is_divergence_and_a_penalty_is_not(name: str) -> None:
    at_limit = {"loss": DIVERGED_LOSS, "val_loss": DIVERGED_LOSS, "l2_penalty": DIVERGED_LOSS * 10}

    assert not is_diverged(at_limit)
    assert is_diverged({**at_limit, name: math.nextafter(DIVERGED_LOSS, math.inf)})


# --- learning rates reduced on a plateau


def rates(plateau: Plateau, values: list[float]) -> list[float]:
    """Return the learning rate after each epoch."""
    found = []
    for value in values:
        plateau = plateau.after({str(plateau.monitor): value})
        found.append(plateau.rate)
    return found


def rates_of_keras(plateau: Plateau, values: list[float]) -> list[float]:
    import keras

    mode = "max" if plateau.monitor == "val_accuracy" else "min"
    numbers = {"factor": plateau.factor, "patience": plateau.patience, "min_delta": plateau.min_delta}
    callback = keras.callbacks.ReduceLROnPlateau(
        plateau.monitor, mode=mode, cooldown=plateau.cooldown, min_lr=plateau.min_rate, **numbers
    )
    network = SimpleNamespace(optimizer=keras.optimizers.SGD(plateau.rate))
    callback.set_model(network)
    callback.on_train_begin()
    found = []
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {plateau.monitor: value})
        found.append(float(network.optimizer.learning_rate.numpy()))
    return found


@given(
    monitor=st.sampled_from(["val_loss", "val_accuracy"]),
    rate=st.sampled_from([0.1, 0.001, 3.0]),
    factor=st.sampled_from([0.1, 0.5, 0.9, 1e-20]),
    patience=st.integers(0, 3),
    min_delta=st.sampled_from([0.0, 0.25, 1e-4, 1e-7]),
    cooldown=st.integers(0, 3),
    min_rate=st.sampled_from([0.0, 1e-4, 0.001, 0.07]),
    first=st.one_of(measured, st.sampled_from([math.inf, -math.inf])),
    others=st.lists(st.one_of(measured, st.sampled_from([NAN, math.inf, -math.inf])), max_size=20),
)
@settings(max_examples=n_examples(300), deadline=None)
@example("val_loss", 0.1, 0.1, 2, 1e-4, 1, 0.0, 1.0, [1.0] * 12)
@example("val_loss", 0.1, 0.1, 1, 0.0, 0, 0.001, 1.0, [1.0] * 5)  # the floor is reached and kept
@example("val_loss", 0.1, 0.5, 1, 0.0, 2, 0.0, 1.0, [2.0, 0.5, 0.5, 0.5, 0.5])  # better while it cools
def test_learning_rates_are_reduced_as_keras_reduces_them(
    monitor: str,
    rate: float,
    factor: float,
    patience: int,
    min_delta: float,
    cooldown: int,
    min_rate: float,
    first: float,
    others: list[float],
) -> None:
    single = Plateau.of(None, Hyperparameters(learning_rate=rate)).rate
    plateau = Plateau(single, monitor, factor, patience, min_delta, cooldown, min_rate)

    assert rates(plateau, [first, *others]) == rates_of_keras(plateau, [first, *others])


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_a_curve_of_nan_reduces_as_in_keras_and_a_first_nan_is_not_the_best_for_ever(patience: int) -> None:
    plateau = Plateau(0.5, "val_loss", 0.5, patience)

    assert rates(plateau, [NAN] * 9) == rates_of_keras(plateau, [NAN] * 9)
    assert rates(plateau, [NAN, 0.5, 0.4, 0.3, 0.2]) == [0.5] * 5
    assert rates_of_keras(plateau, [NAN, 0.5, 0.4, 0.3, 0.2])[-1] < 0.5


def test_a_plateau_takes_the_rule_of_the_sweep_file_for_trials_of_its_schedule() -> None:
    rule = PlateauSpec(
        monitor="val_accuracy", factor=0.5, patience=7, min_delta=0.5, cooldown=3, min_learning_rate=0.25
    )

    asking = Hyperparameters(learning_rate=0.5, schedule="reduce_on_plateau")
    assert Plateau.of(rule, asking) == Plateau(0.5, "val_accuracy", 0.5, 7, 0.5, 3, 0.25)
    assert Plateau.of(rule, Hyperparameters(learning_rate=0.5)) == Plateau(0.5)
    assert Plateau(0.5).after({}) == Plateau(0.5)
