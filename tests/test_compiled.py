from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import keras
import numpy as np
import pytest
import tensorflow as tf
from examples import thorough, uncompiled
from numpy.testing import assert_allclose
from warm_python import WarmPython

import dnnsweep
from dnnsweep.errors import SpecError, TrainerError
from dnnsweep.executors.inprocess import InProcessExecutor
from dnnsweep.records import EpochReport, Reason, Suggestion, TrialResult
from dnnsweep.space import Hyperparameters
from dnnsweep.trainers import Job, keras_models, keras_settings, structures
from dnnsweep.trainers.auto import AutoTrainer
from dnnsweep.trainers.compiled import CompiledTrainer, strategy
from dnnsweep.trainers.compiled.builder import inputs_of
from dnnsweep.trainers.compiled.epoch_program import Dropout, EpochProgram
from dnnsweep.trainers.compiled.program_engine import ProgramEngine
from dnnsweep.trainers.inputs import TrainerInputs, load_inputs
from dnnsweep.trainers.keras_engine import KerasEngine
from dnnsweep.trainers.shuffling import row_order

EPOCHS = 3


def document(function: str, **sections: Any) -> dict[str, Any]:
    return {
        "name": "own",
        "dataset": {"source": "sklearn:digits"},
        "network": {"builder": f"python:builders:{function}"},
        "training": {"epochs": EPOCHS, "early_stopping": None},
        "budget": {"trials": 4},
        **sections,
    }


def trainer_of(function: str, **sections: Any) -> CompiledTrainer:
    return trainer_and_inputs(function, **sections)[0]


def trainer_and_inputs(
    function: str, *, is_double: bool = False, **sections: Any
) -> tuple[CompiledTrainer, TrainerInputs]:
    job = Job(document(function, **sections))
    inputs = in_double(load_inputs(job)) if is_double else load_inputs(job)
    return CompiledTrainer(job, inputs, "cpu"), inputs


@pytest.fixture(scope="module")
def dense() -> CompiledTrainer:
    """A trainer whose programs are compiled once for all tests that train what they are for."""
    return trainer_of("dense")


def with_programs_of(other: CompiledTrainer, **sections: Any) -> CompiledTrainer:
    """Return a trainer of another sweep file that takes the programs of one that trains the same rows."""
    trainer = trainer_of("dense", **sections)
    trainer._programs = other._programs
    return trainer


def engine_of(trainer: CompiledTrainer, **params: Any) -> type:
    return type(trainer.engine_for(Suggestion(0, params, 5), trainer._inputs.data))


def trained(trainer: CompiledTrainer, /, **params: Any) -> TrialResult:
    result = trainer.train(Suggestion(0, params, params.pop("seed", 5)), lambda _: None)
    assert result.error is None
    return result


def curves(result: TrialResult) -> dict[str, tuple[float, ...]]:
    return {series.metric: series.values for series in result.curve.series if series.layer is None}


@contextmanager
def double() -> Iterator[None]:
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def in_double(inputs: TrainerInputs) -> TrainerInputs:
    data = inputs.data
    return replace(
        inputs,
        data=replace(data, x_train=data.x_train.astype("float64"), x_validation=data.x_validation.astype("float64")),
    )


def by_keras(
    function: str, inputs: TrainerInputs, seed: int, callback: keras.callbacks.Callback | None = None, **params: Any
) -> dict[str, list[float]]:
    """What a person would write: the function, `compile`, `fit` with the rows in the trial's order."""
    of_training = ("optimizer", "learning_rate", "schedule")
    data, own = inputs.data, {key: params[key] for key in params if key not in of_training}
    keras.utils.set_random_seed(seed)
    model = getattr(builders, function)(**own)
    model.compile(
        keras_models.optimizer_of(Hyperparameters.of({key: params[key] for key in of_training if key in params})),
        "sparse_categorical_crossentropy",
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.SparseCategoricalCrossentropy(name="pure"),
        ],
        jit_compile=False,
        run_eagerly=function == "eager",
    )
    if function != "eager":
        model.optimizer.build(model.trainable_variables)  # or the first step is traced twice
    found: dict[str, list[float]] = {}
    for epoch in range(1, EPOCHS + 1):
        order = row_order(seed, epoch, len(data.x_train))
        history = model.fit(
            inputs_of(model, data.x_train[order]),
            data.y_train[order],
            sample_weight=None if data.w_train is None else data.w_train[order],
            batch_size=32,
            shuffle=False,
            verbose=0,
            validation_data=(inputs_of(model, data.x_validation), data.y_validation),
        ).history
        for name in ("accuracy", "val_accuracy", "pure", "val_pure"):
            found.setdefault(name.replace("pure", "loss"), []).extend(history[name])
        if callback is not None:
            callback.set_model(model)
            callback.on_epoch_end(epoch - 1, logs := {"val_loss": history["val_pure"][0]})
            found.setdefault("learning_rate", []).append(logs["learning_rate"])
    return found


def assert_like_keras(found: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float) -> None:
    for name, values in expected.items():
        assert_allclose(found[name], values, rtol=tolerance, atol=tolerance, err_msg=name)


# ---- the judge is Keras


@pytest.mark.parametrize("optimizer", ["adam", "nadam"])
def test_a_program_gives_what_fit_gives_in_double_precision(optimizer: str) -> None:
    params: dict[str, Any] = {
        "optimizer": optimizer,
        "learning_rate": 0.01,
        "batch_norm": optimizer == "adam",
        "dropout": 0.0,
    }
    with double():
        trainer, inputs = trainer_and_inputs("dense", is_double=True)
        found = curves(trained(trainer, **params))
        assert engine_of(trainer, **params) is ProgramEngine

        assert_like_keras(found, by_keras("dense", inputs, 5, **params), 1e-8)


PLATEAU = {"min_delta": 10.0, "patience": 1, "factor": 0.3}


@pytest.mark.parametrize("optimizer", ["nesterov", "adamw"])
def test_a_program_reduces_learning_rates_as_keras_does_in_double_precision(optimizer: str) -> None:
    params: dict[str, Any] = {"optimizer": optimizer, "learning_rate": 0.01, "batch_norm": False, "dropout": 0.0}
    with double():
        training = {"epochs": EPOCHS, "early_stopping": None, "reduce_on_plateau": PLATEAU}
        trainer, inputs = trainer_and_inputs("dense", is_double=True, training=training)
        found = curves(trained(trainer, schedule="reduce_on_plateau", **params))
        assert engine_of(trainer, schedule="reduce_on_plateau", **params) is ProgramEngine
        callback = keras.callbacks.ReduceLROnPlateau(mode="min", **PLATEAU)
        callback.on_train_begin()

        expected = by_keras("dense", inputs, 5, callback, **params)

    assert found.pop("learning_rate") == pytest.approx((0.01, 0.01, 0.003))
    assert expected.pop("learning_rate") == pytest.approx([0.01, 0.01, 0.003])
    assert_like_keras(found, expected, 1e-7)  # the trial holds its learning rate in single precision


def test_learning_rates_of_networks_that_fit_trains_are_reduced_too() -> None:
    sections = {"training": {"epochs": EPOCHS, "early_stopping": None, "reduce_on_plateau": PLATEAU}}
    by_program, by_fit = (trainer_of("dense", **sections, trainer=kind) for kind in ("auto", "fit"))
    params: dict[str, Any] = {"schedule": "reduce_on_plateau", "optimizer": "momentum", "learning_rate": 0.01}

    found, reference = curves(trained(by_program, **params)), curves(trained(by_fit, **params))

    assert found["learning_rate"] == reference["learning_rate"]
    assert len(set(found["learning_rate"])) == 2
    assert_like_keras(found, reference, 1e-4)
    assert trained(by_program, **{**params, "schedule": "constant"}).curve.values("learning_rate") == ()


@pytest.mark.parametrize(
    "function", ["dense", pytest.param("eager", marks=thorough("`fit` gets the same weights, and a graph as well"))]
)
def test_weights_of_classes_count_as_in_keras(function: str) -> None:
    dataset = {"source": "sklearn:digits", "class_weight": {str(label): 0.5 + label for label in range(10)}}
    trainer, inputs = trainer_and_inputs(function, dataset=dataset)
    found = curves(trained(trainer))
    assert engine_of(trainer) is (ProgramEngine if function == "dense" else KerasEngine)

    assert_like_keras(found, by_keras(function, inputs, 5), 1e-4)


@pytest.mark.parametrize("function", ["dense", "nested"])
def test_dropout_in_a_program_drops_what_keras_drops(function: str) -> None:
    trainer, inputs = trainer_and_inputs(function)
    found = curves(trained(trainer, dropout=0.4, optimizer="momentum"))
    assert engine_of(trainer, dropout=0.4, optimizer="momentum") is ProgramEngine

    expected = by_keras(function, inputs, 5, dropout=0.4, optimizer="momentum")

    assert_like_keras(found, expected, 1e-4)


@pytest.mark.parametrize("rate", [1e-9, 0.5, 1 - 1e-9, 1.0])
def test_dropout_in_a_program_takes_every_rate_that_keras_takes(rate: float) -> None:
    rows = tf.ones((6, 50))
    stand_in = Dropout(keras.layers.Dropout(1.0, seed=1))

    stand_in.load(layer := keras.layers.Dropout(rate, seed=3))

    for _ in range(2):
        assert_allclose(stand_in(rows, training=True), layer(rows, training=True))


@pytest.mark.parametrize(
    ("function", "params"),
    [
        ("convolutional", {"filters": 3}),
        ("two_inputs", {"units": 9}),
        ("own_activation", {}),
        ("eager", {}),
    ],
)
def test_every_strategy_gives_what_fit_gives(function: str, params: dict[str, Any]) -> None:
    trainer, inputs = trainer_and_inputs(function, fixed=params)

    found = curves(trained(trainer, **params))

    assert_like_keras(found, by_keras(function, inputs, 5, **params), 2e-3 if function == "eager" else 1e-4)


def test_a_program_that_was_used_before_gives_the_same_bits(dense: CompiledTrainer) -> None:
    trained(dense, seed=1, dropout=0.1, l2=0.1, learning_rate=0.05)
    n_programs = len(dense._programs.keys)
    params: dict[str, Any] = {"dropout": 0.5, "l2": 1e-4, "learning_rate": 0.002}

    assert curves(trained(dense, **params)) == curves(trained(trainer_of("dense"), **params))
    assert len(dense._programs.keys) == n_programs


def test_what_xla_cannot_compile_is_trained_by_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise tf.errors.UnimplementedError(None, None, "no kernel")

    trainer = trainer_of("dense")
    assert engine_of(trainer) is ProgramEngine
    monkeypatch.setattr(EpochProgram, "epoch", refuse)

    first, second = curves(trained(trainer)), curves(trained(trainer))

    assert first == second == curves(trained(trainer_of("dense", trainer="fit")))
    assert (engine_of(trainer), engine_of(trainer, optimizer="sgd")) == (KerasEngine, ProgramEngine)
    assert trainer._programs.keys == ()


def test_an_error_of_xla_in_a_later_epoch_fails_the_trial(
    dense: CompiledTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_epoch, orders = EpochProgram.epoch, list[Any]()

    def refuse_second(program: EpochProgram, order: Any) -> dict[str, float]:
        orders.append(order)
        if len(orders) == 2:
            raise tf.errors.UnimplementedError(None, None, "no kernel")
        return whole_epoch(program, order)

    monkeypatch.setattr(EpochProgram, "epoch", refuse_second)

    result = dense.train(Suggestion(0, {}, 5), lambda _: None)

    assert (result.reason, result.curve.n_epochs) == (Reason.FAILED, 1)
    assert "UnimplementedError" in str(result.error)


def test_the_penalty_is_that_of_the_regularizers(dense: CompiledTrainer) -> None:
    trainer = trainer_of("dense", trainer="fit")
    by_fit, by_program = curves(trained(trainer)), curves(trained(dense))

    assert_allclose(by_program["l2_penalty"], by_fit["l2_penalty"], rtol=1e-4)
    assert by_program["l2_penalty"][0] > 1e-3


def test_early_stopping_keeps_the_best_epochs_weights(tmp_path: Path) -> None:
    sections = {"training": {"epochs": 30, "early_stopping": {"monitor": "val_loss", "patience": 2}}}
    job = Job(document("dense", **sections), models=str(tmp_path))
    inputs = load_inputs(job)
    trainer = CompiledTrainer(job, inputs, "cpu")

    result = trained(trainer, learning_rate=0.1, dropout=0.0, batch_norm=False)

    values = result.curve.values("val_loss")
    assert result.reason is Reason.EARLY_STOPPED
    assert result.best_epoch == 1 + int(np.argmin(values)) == len(values) - 2
    assert result.model_path is not None
    data, model = inputs.data, keras.models.load_model(result.model_path)
    assert result.n_parameters == result.metrics["n_parameters"] == model.count_params()
    assert not any(type(layer).__name__ == "_Dropout" for layer in model.layers)
    score = model.evaluate(data.x_validation, data.y_validation, verbose=0, return_dict=True)
    assert score["accuracy"] == pytest.approx(result.curve.values("val_accuracy")[result.best_epoch - 1], abs=1e-6)


def training_of(**keys: Any) -> dict[str, Any]:
    return {"training": {"epochs": 8, **keys}}


def test_a_trial_over_its_time_ends_after_its_epoch(dense: CompiledTrainer) -> None:
    trainer = with_programs_of(dense, **training_of(timeout_seconds=1e-9))

    result = trainer.train(Suggestion(0, {}, 5), lambda _: None)

    assert (result.reason, result.best_epoch, result.curve.n_epochs) == (Reason.TIMEOUT, None, 1)
    assert "training.timeout_seconds = 1e-09" in str(result.error)


def test_epochs_before_the_first_that_is_looked_at_are_never_the_best(dense: CompiledTrainer) -> None:
    rule = {"monitor": "loss", "patience": 2, "min_delta": 10.0, "start_from_epoch": 3}

    result = trained(with_programs_of(dense, **training_of(early_stopping=rule)))

    assert (result.reason, result.best_epoch, result.curve.n_epochs) == (Reason.EARLY_STOPPED, 4, 6)


def test_a_first_value_of_nan_is_not_the_best_for_ever(dense: CompiledTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([float("nan"), 0.5, 0.6, 0.4, 0.4])
    monkeypatch.setattr("dnnsweep.trainers.scores.scores", lambda *_: {"val_auc": next(values)})
    rule = {"monitor": "val_auc", "patience": 2}

    result = trained(with_programs_of(dense, **training_of(early_stopping=rule)))

    assert (result.reason, result.best_epoch, result.curve.n_epochs) == (Reason.EARLY_STOPPED, 3, 5)


def test_a_network_that_diverges_says_so() -> None:
    assert trained(trainer_of("dense"), optimizer="sgd", learning_rate=1e6, batch_norm=False).reason is Reason.DIVERGED


def test_reports_come_epoch_by_epoch(dense: CompiledTrainer) -> None:
    reports: list[EpochReport] = []

    dense.train(Suggestion(3, {}, 5), reports.append)

    assert [(report.number, report.epoch) for report in reports] == [(3, 1), (3, 2), (3, 3)]


def test_building_leaves_the_callers_random_numbers_alone(dense: CompiledTrainer) -> None:
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    expected = random.Random(7).random(), np.random.RandomState(7).rand()

    trained(dense)

    assert (random.random(), np.random.rand()) == expected  # noqa: NPY002


def test_settings_of_keras_that_would_change_fit_alone_are_undone_or_refused() -> None:
    try:
        keras.config.set_floatx("float64")
        with pytest.raises(TrainerError, match=r"got float64 and 1e-07; call keras.config.set_floatx\('float32'\)"):
            InProcessExecutor(Job(document("dense")))
        keras.config.set_epsilon(1e-3)
        keras.config.set_max_epochs(1)
        keras.config.set_max_steps_per_epoch(1)
        keras_settings.use_defaults(keras)
        assert (keras.config.floatx(), keras.config.epsilon()) == ("float32", 1e-7)
        assert (keras.config.max_epochs(), keras.config.max_steps_per_epoch()) == (None, None)
    finally:
        keras_settings.use_defaults(keras)
    InProcessExecutor(Job(document("dense")))


# ---- which strategy


@pytest.mark.parametrize(
    ("function", "kind", "reason"),
    [
        ("dense", strategy.PROGRAM, "all layers are dense"),
        ("nested", strategy.PROGRAM, "all layers are dense"),
        ("convolutional", keras_models.GRAPH, "because of Conv2D"),
        ("own_activation", keras_models.GRAPH, "an activation function that is not of Keras in the layer"),
        ("eager", keras_models.EAGER, "cannot be traced"),
    ],
)
def test_the_strategy_depends_on_what_the_network_contains(function: str, kind: str, reason: str) -> None:
    params = {"filters": 2} if function == "convolutional" else {}
    trainer = trainer_of(function, fixed=params)

    plan = trainer.open().plan
    network = getattr(builders, function)(**params)

    assert strategy.strategy_for(network, "cpu", np.zeros((2, 64), "float32")).kind == kind
    assert engine_of(trainer, **params) is (ProgramEngine if kind == strategy.PROGRAM else KerasEngine)
    assert reason in plan.reasons[1]
    assert plan.kind == ("compiled" if kind == strategy.PROGRAM else "fit")


@pytest.mark.parametrize(
    ("sections", "kind", "said"),
    [
        ({"fixed": {"schedule": "cosine"}}, "fit", ["in one call, because programs do not have schedule cosine"]),
        ({"fixed": {"global_clipnorm": 1.0}}, "fit", ["in one call, because programs do not have global_clipnorm"]),
        (
            {"space": {"schedule": ["constant", "cosine", "reduce_on_plateau"], "global_clipnorm": [0.0, 1.0]}},
            "compiled",
            ["one program", "for trials with what programs do not have: schedule cosine, global_clipnorm"],
        ),
        ({"space": {"schedule": ["constant", "reduce_on_plateau"]}}, "compiled", ["one program"]),
        (
            {"space": {"global_clipnorm": {"low": 0.5, "high": 2.0}}},
            "fit",
            ["in one call, because programs do not have global_clipnorm"],
        ),
    ],
)
def test_what_a_program_does_not_have_is_said_and_trained_by_fit(
    sections: dict[str, Any], kind: str, said: list[str]
) -> None:
    plan = trainer_of("dense", **sections).open().plan

    assert plan.kind == kind
    assert len(plan.reasons) == 1 + len(said)
    assert all(words in reason for words, reason in zip(said, plan.reasons[1:], strict=True))


def test_trials_on_a_schedule_are_trained_by_fit_beside_those_of_a_program(dense: CompiledTrainer) -> None:
    trainer = with_programs_of(dense, space={"schedule": ["constant", "cosine"]})

    trained(trainer, schedule="constant")
    assert len(set(curves(trained(trainer, schedule="cosine"))["learning_rate"])) == EPOCHS

    assert engine_of(trainer, schedule="constant") is ProgramEngine
    assert engine_of(trainer, schedule="cosine") is engine_of(trainer, global_clipnorm=1.0) is KerasEngine


def test_a_sweep_file_may_ask_for_fit() -> None:
    opening = trainer_of("dense", trainer="fit").open()

    assert opening.plan.kind == "fit"
    assert "as the sweep file asks for fit" in opening.plan.reasons[1]


def test_convolutions_are_compiled_on_a_gpu() -> None:
    chosen = strategy.strategy_for(builders.convolutional(2), "gpu", np.zeros((2, 64), "float32"))

    assert chosen.kind == keras_models.XLA
    assert "GPU" in chosen.reason


def test_networks_have_the_same_structure_if_only_numbers_differ() -> None:
    keras.backend.clear_session()  # the next layers have names without numbers, the others have not
    one = structures.structure_of(builders.dense(dropout=0.1, l2=0.1))

    assert one == structures.structure_of(builders.dense(dropout=0.5, l2=1e-4))
    assert one != structures.structure_of(builders.dense(dropout=0.0))
    assert one != structures.structure_of(builders.dense(units=17))
    assert one != structures.structure_of(builders.dense(batch_norm=False))


# ---- what may be wrong


@pytest.mark.parametrize(
    ("function", "sections", "expected"),
    [
        ("gone", {}, "network.builder: must name a function of builders, got gone"),
        ("NOT_A_FUNCTION", {}, "name a function"),
        ("logits", {}, "must return a model that ends in probabilities, got other numbers; end it with Dense(10, "),
        ("few_outputs", {}, "must return a model with one output of 10 units, got shape (3,)"),
        ("two_outputs", {}, "got several outputs"),
        ("other_columns", {}, "the network takes 7 numbers of a row [(7,)], but the data have 64"),
        ("nothing", {}, "must return a Keras model, got NoneType"),
        ("broken", {}, "RuntimeError: out of ideas"),
        ("needy", {"fixed": {"units": 3}}, "needs depth; add it to space or fixed, or give it a default"),
        (
            "dense",
            {"space": {"unit": [3, 4]}},
            "space.unit: python:builders:dense does not take it; did you mean",
        ),
        ("dense", {"fixed": {"activation": "relu"}}, "fixed.activation: python:builders:dense does not take it"),
    ],
)
def test_what_is_wrong_with_a_builder_is_said_before_any_trial(
    function: str, sections: dict[str, Any], expected: str
) -> None:
    with pytest.raises(SpecError) as caught:
        AutoTrainer(Job(document(function, **sections))).open()

    assert expected in str(caught.value)


def test_a_builder_that_compiles_its_model_is_told_what_is_ignored() -> None:
    compiled, plain = (trainer_of(name, fixed={"units": 4}).open().data.notes for name in ("compiled", "of_dictionary"))

    (note,) = set(compiled) - set(plain)
    assert note.startswith("python:builders:compiled: the loss, the optimizer and the metrics that it compiles")
    assert note.endswith("are ignored; those of the sweep file are used.")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python:no_such_module:f", "there is no module no_such_module in"),
        ("python:effort.deeper:f", "must name a module that can be imported"),
    ],
)
def test_a_module_that_is_not_there_is_named(name: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        AutoTrainer(Job({**document("dense"), "network": {"builder": name}})).open()

    assert expected in str(caught.value)


# ---- from the sweep file to the answer

#: Hyperparameters with which an epoch of digits has three steps.
LARGE_BATCHES: dict[str, Any] = {"batch_size": 500}
BUILDERS = {"PYTHONPATH": str(Path(__file__).parent), "TF_CPP_MIN_LOG_LEVEL": "3"}


@uncompiled
def test_a_sweep_of_a_builders_own_hyperparameters_is_run_queried_and_exported(
    tmp_path: Path, warm_python: WarmPython
) -> None:
    searched = {"units": [8, 16], "dropout": {"low": 0.0, "high": 0.4}, "optimizer": ["adam", "momentum"]}
    enqueue = [{"units": 16, "dropout": 0.2, "optimizer": "adam"}]

    sections = {"space": searched, "fixed": LARGE_BATCHES, "enqueue": enqueue}
    dnnsweep.run(document("dense", **sections), home=tmp_path, executor="inprocess")

    found = dnnsweep.best("own", where="units == 16 and dropout < 0.3", home=tmp_path)
    assert found
    trained = {"optimizer", "learning_rate", "schedule", "global_clipnorm", "batch_size"}
    assert set(found[0].params) == {*trained, "units", "dropout"}
    assert all(trial.params["units"] == 16 for trial in found)
    assert dnnsweep.client.show("own", home=tmp_path).trainer == "compiled"
    best = dnnsweep.best("own", top=1, home=tmp_path)[0]
    (tmp_path / "own.py").write_text(dnnsweep.export("own", home=tmp_path))
    printed = warm_python.run("own.py", cwd=tmp_path, environ=BUILDERS)
    assert printed.returncode == 0, printed.stderr
    last = next(line for line in printed.stdout.splitlines() if line.startswith("val_loss"))
    assert float(last.split()[1]) == pytest.approx(best.value, rel=1e-3)
    again = dnnsweep.export("own", form="yaml", home=tmp_path)
    assert "builder: python:builders:dense" in again
    assert f"units: {best.params['units']}" in again


@uncompiled
@pytest.mark.parametrize(
    "function",
    ["of_dictionary", pytest.param("two_inputs", marks=thorough("named inputs are several as well")), "named_inputs"],
)
def test_an_exported_listing_calls_the_builder_as_the_trainer_does(
    function: str, tmp_path: Path, warm_python: WarmPython
) -> None:
    fixed = {"units": 8, **LARGE_BATCHES}
    sections = {"fixed": fixed, "budget": {"trials": 1}, "objective": {"metric": "val_accuracy"}}
    dnnsweep.run(document(function, **sections), home=tmp_path, executor="inprocess")
    (tmp_path / "own.py").write_text(dnnsweep.export("own", home=tmp_path))

    run = warm_python.run("own.py", cwd=tmp_path, environ=BUILDERS)

    assert run.returncode == 0, run.stderr
    stated = dnnsweep.best("own", home=tmp_path)[0].value
    assert f"val_accuracy: {stated:.4f}" in run.stdout


@uncompiled
def test_a_sweep_that_is_resumed_keeps_its_strategy(tmp_path: Path) -> None:
    few = document("dense", space={"units": [8, 16]}, fixed=LARGE_BATCHES, budget={"trials": 2})
    dnnsweep.run(few, home=tmp_path, executor="inprocess")
    dnnsweep.run({**few, "budget": {"trials": 4}}, home=tmp_path, executor="inprocess")

    assert len(dnnsweep.trials("own", home=tmp_path)) == 4
    assert dnnsweep.client.show("own", home=tmp_path).trainer == "compiled"
