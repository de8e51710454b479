"""The part of a listing that builds, compiles, fits and scores the network.

Functions return lines of code and are named after the part of the listing that these make.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dnnsweep.exports import comparison_code, score_code
from dnnsweep.exports.callback_code import early_stopping, reduce_on_plateau
from dnnsweep.exports.data_facts import DataFacts
from dnnsweep.exports.formatting import call, define, indented, list_assignment, literal
from dnnsweep.exports.own_functions import OwnFunction
from dnnsweep.exports.score_code import SCORE_NAMES
from dnnsweep.records import N_PARAMETERS, BuilderCall, Curve, InputForm, State, Sweep, Task, Trial
from dnnsweep.space import INITIALIZERS, LAST_SHARE, OPTIMIZERS, PLATEAU, Hyperparameters
from dnnsweep.spec import PlateauSpec

#: Most hidden layers that are listed; more are added in a loop.
MAX_LISTED: Final = 3
LOSSES: Final = {
    Task.BINARY: "binary_crossentropy",
    Task.MULTICLASS: "sparse_categorical_crossentropy",
    Task.REGRESSION: "mse",
}
#: Class and arguments of the metric for the cross-entropy. Keras's own metric for two classes refuses targets of shape
#: (rows,), but its loss takes them.
CROSS_ENTROPIES: Final = {
    Task.BINARY: ("MeanMetricWrapper", ('keras.losses.BinaryCrossentropy(reduction="none")',)),
    Task.MULTICLASS: ("SparseCategoricalCrossentropy", ()),
}
OUTPUT_ACTIVATIONS: Final = {Task.BINARY: "sigmoid", Task.MULTICLASS: "softmax"}


@dataclass(frozen=True, slots=True)
class UserBuilder:
    """The user's own function that builds the network.

    Args:
        source: `python:module:function`.
        call: Arguments of the function, and how the network takes its rows.
        params: The trial's hyperparameters.
    """

    source: str
    call: BuilderCall
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ListingPlan:
    """What the listing of a trial depends on.

    Args:
        hp: Hyperparameters of the trial.
        facts: Facts about the data.
        seed: Seed of weights, row order and dropout.
        objectives: Metrics of the sweep's objectives.
        training: Section `training` of the sweep file.
        model_file: Name of the file that the listing saves its model to.
        builder: User's own function that builds the network; None where dnnsweep builds it.
        stated_curve: Values of `comparison_code.METRIC` in the sweep, one for each epoch; empty if a run of the listing
            is not compared with them.
        stated_values: Values of the objectives in the sweep, of a trial that was not cut short.
    """

    hp: Hyperparameters
    facts: DataFacts
    seed: int
    objectives: tuple[str, ...]
    training: dict[str, Any]
    model_file: str
    builder: UserBuilder | None = None
    stated_curve: tuple[float, ...] = ()
    stated_values: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, sweep: Sweep, trial: Trial, curve: Curve, model_file: str) -> ListingPlan:
        """Gather the plan from a sweep, a trial and its curve as the ledger returns them, and the name of a file."""
        facts, hp, builder = DataFacts.of(sweep, trial), Hyperparameters.of(trial.params), None
        if facts.builder_call is not None:
            builder = UserBuilder(sweep.spec["network"]["builder"], facts.builder_call, trial.params)
        objectives = tuple(objective.metric for objective in sweep.objectives)
        stated_curve = comparison_code.stated_curve(trial, curve)
        values = dict(zip(objectives, trial.values or (), strict=False)) if trial.state is State.COMPLETE else {}
        training = sweep.spec["training"]
        return cls(hp, facts, trial.seed, objectives, training, model_file, builder, stated_curve, values)

    @property
    def monitor(self) -> str | None:
        """Return the metric that early stopping monitors; None without early stopping."""
        stopping = self.training["early_stopping"]
        return None if stopping is None else str(stopping["monitor"])

    @property
    def plateau(self) -> PlateauSpec | None:
        """Return how the learning rate is reduced on plateaus; None if it is not."""
        if self.hp.schedule != PLATEAU:
            return None
        return PlateauSpec.model_validate(self.training.get("reduce_on_plateau") or {})

    @property
    def monitors(self) -> list[str]:
        """Return the metrics that callbacks monitor."""
        monitors = [self.monitor, None if self.plateau is None else self.plateau.monitor]
        return [metric for metric in monitors if metric is not None]

    def keras_name(self, metric: str) -> str:
        """Return the name under which Keras measures a metric; Keras's `loss` is not only the loss of the data."""
        prefix, name = ("val_", metric[4:]) if metric.startswith("val_") else ("", metric)
        is_weighted = self.facts.is_weighted and not prefix
        if name != "loss" or not (self.has_penalty or is_weighted):
            return metric
        return prefix + ("mse" if self.facts.task is Task.REGRESSION else "cross_entropy")

    @property
    def has_penalty(self) -> bool:
        """Return whether Keras's `loss` may include an L2 penalty; with a builder it always may."""
        return self.builder is not None or self.hp.l2 > 0

    def inputs(self, rows: str) -> str:
        """Return the code of rows as the network takes them."""
        is_flat = self.builder is None or self.builder.call.inputs is InputForm.FLAT
        return rows if is_flat else f"inputs({rows})"

    @property
    def tracked(self) -> list[str]:
        """Return the metrics of callbacks, objectives and comparison, except the size of the network."""
        compared = (comparison_code.METRIC,) if self.stated_curve else ()
        return [metric for metric in (*self.monitors, *self.objectives, *compared) if metric != N_PARAMETERS]

    @property
    def metrics(self) -> list[str]:
        """Return the names of what Keras measures besides the loss."""
        names = [self.keras_name(metric).removeprefix("val_") for metric in self.tracked]
        names = [name for name in names if name not in ("loss", *SCORE_NAMES.values())]
        if self.facts.task is not Task.REGRESSION:
            names.insert(0, "accuracy")
        return list(dict.fromkeys(names)) or ["mae"]


def blocks(plan: ListingPlan) -> list[str]:
    """Return the code of the network, block by block."""
    seed = [
        "# The trial's seed: for initial weights, dropout and the order of rows.",
        f"SEED = {plan.seed}",
        "keras.utils.set_random_seed(SEED)",
        "# What the trial was computed with, whatever ~/.keras/keras.json says.",
        'keras.config.set_floatx("float32")',
        "keras.config.set_epsilon(1e-7)",
    ]
    if plan.builder is not None:
        network = ["\n".join([*seed, _builder_call(plan, plan.builder)]), *_inputs_function(plan.builder)]
        return [*network, _compile(plan), define(_functions(plan)), _fit(plan), *_scores(plan)]
    network = ["\n".join(seed), *_kernels(plan), _network(plan), _compile(plan)]
    return [*network, define(_functions(plan)), _fit(plan), *_scores(plan)]


def training(plan: ListingPlan) -> list[str]:
    """Return the code that builds, compiles and fits the network of a fold, block by block."""
    seed = "keras.utils.set_random_seed(SEED)"
    if plan.builder is not None:
        return ["\n".join([seed, _builder_call(plan, plan.builder)]), _compile(plan), _fit(plan)]
    return [seed, *_kernels(plan), _network(plan), _compile(plan), _fit(plan)]


def functions(plan: ListingPlan) -> list[str]:
    """Return the definitions of what `training` needs."""
    return [*([] if plan.builder is None else _inputs_function(plan.builder)), *_functions(plan)]


def _functions(plan: ListingPlan) -> list[str]:
    """Return the definitions of what `model.fit` and the scores need."""
    return [
        _batches(plan),
        *score_code.score_function(plan.tracked, plan.facts.task, plan.inputs("x")),
        *score_code.score_callback(plan.monitors, "x_val"),
        *([comparison_code.compare_function()] if plan.stated_curve else []),
    ]


def _builder_call(plan: ListingPlan, builder: UserBuilder) -> str:
    """Call the user's function as the trainer does."""
    params, takes = builder.params, builder.call.takes
    function = OwnFunction.of(builder.source).name
    if takes is None:
        items = ", ".join(f"{literal(name)}: {literal(value)}" for name, value in params.items())
        return f"model = {function}({{{items}}})"
    values = {"n_features": plan.facts.n_features, "n_outputs": plan.facts.n_outputs, **params}
    named = [f"{name}={literal(value)}" for name, value in values.items() if name in takes]
    return call(f"model = {function}", *named)


def _inputs_function(builder: UserBuilder) -> list[str]:
    form = builder.call.inputs
    if form is InputForm.FLAT:
        return []
    if form is InputForm.RESHAPED:
        code = "return keras.ops.reshape(x, (-1, *model.inputs[0].shape[1:]))"
        return [f'\ndef inputs(x):\n    """Return rows in the shape that the model takes."""\n    {code}\n']
    parts = (
        "{tensor.name: part for tensor, part in zip(model.inputs, parts, strict=True)}"
        if form is InputForm.NAMED
        else "tuple(parts)"
    )
    return [
        f'''
def inputs(x):
    """Divide the columns among the model's inputs, each in its shape."""
    shapes = [tensor.shape[1:] for tensor in model.inputs]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    parts = [
        keras.ops.reshape(x[:, end - math.prod(shape) : end], (-1, *shape))
        for end, shape in zip(ends, shapes, strict=True)
    ]
    return {parts}
'''
    ]


def _kernels(plan: ListingPlan) -> list[str]:
    """Define what all linear layers have in common."""
    hp = plan.hp
    if not hp.hidden:
        return []
    why = [f"# {INITIALIZERS[hp.initializer].why}"]
    why += ["# The L2 penalty keeps weights small."] if hp.l2 > 0 else []
    return ["\n".join([*why, call("Dense = partial", "layers.Dense", *_kernel(hp))])]


def _kernel(hp: Hyperparameters) -> list[str]:
    penalty = [f"kernel_regularizer=keras.regularizers.L2({hp.l2})"] if hp.l2 > 0 else []
    return [f'kernel_initializer="{hp.initializer}"', *penalty]


def _network(plan: ListingPlan) -> str:
    hp, comments = plan.hp, _layer_comments(plan.hp)
    start = f"keras.Input(({plan.facts.n_features},))"
    if len(hp.hidden) > MAX_LISTED:
        return "\n".join([*comments, *_network_in_loop(plan, start)])
    layers = [layer for units in hp.hidden for layer in _hidden_layers(hp, str(units))]
    listed = indented([start, *layers, _output_layer(plan)], 8)
    return "\n".join([*comments, f"model = keras.Sequential(\n    [\n{listed}\n    ]\n)"])


def _layer_comments(hp: Hyperparameters) -> list[str]:
    if not hp.hidden:
        return ["# No hidden layer: a linear model."]
    comments = []
    if hp.batch_norm:
        comments.append("# Batch normalization adds a bias of its own, so the layers before it need none.")
    if hp.dropout > 0:
        comments.append("# Dropout turns off this share of the units at random in each training step.")
    return comments


def _network_in_loop(plan: ListingPlan, start: str) -> list[str]:
    widths, items = plan.hp.hidden, [str(units) for units in plan.hp.hidden]
    is_even = len(set(widths)) == 1
    return [
        f"hidden = [{widths[0]}] * {len(widths)}" if is_even else list_assignment("hidden", items),
        f"model = keras.Sequential([{start}])",
        "for units in hidden:",
        *(f"    model.add({layer})" for layer in _hidden_layers(plan.hp, "units")),
        f"model.add({_output_layer(plan)})",
    ]


def _hidden_layers(hp: Hyperparameters, units: str) -> list[str]:
    dropout = [f"layers.Dropout({hp.dropout})"] if hp.dropout > 0 else []
    if not hp.batch_norm:
        return [f'Dense({units}, activation="{hp.activation}")', *dropout]
    normalized = ["layers.BatchNormalization()", f'layers.Activation("{hp.activation}")']
    return [f"Dense({units}, use_bias=False)", *normalized, *dropout]


def _output_layer(plan: ListingPlan) -> str:
    """Create the last layer; a linear model has no other, so this one also gets what hidden layers share."""
    task = plan.facts.task
    activation = [f'activation="{OUTPUT_ACTIVATIONS[task]}"'] if task in OUTPUT_ACTIVATIONS else []
    arguments = [str(plan.facts.n_outputs), *activation]
    if plan.hp.hidden:
        return f"Dense({', '.join(arguments)})"
    lines = indented([*arguments, *_kernel(plan.hp)], 12)
    return f"layers.Dense(\n{lines}\n        )"


def _compile(plan: ListingPlan) -> str:
    optimizer = OPTIMIZERS[plan.hp.optimizer]
    options = [f"{name}={value!r}" for name, value in optimizer.options.items()]
    clipping = [f"global_clipnorm={plan.hp.global_clipnorm}"] if plan.hp.global_clipnorm else []
    rate, schedule = str(plan.hp.learning_rate), _schedule(plan)
    arguments = [f"learning_rate={'schedule' if schedule else rate}", *options, *clipping]
    created = call(f"optimizer = keras.optimizers.{optimizer.keras_class}", *arguments)
    lines = [*schedule, f"# {optimizer.why}", created, *_data_loss(plan)]
    names = ", ".join(name if name == "cross_entropy" else f'"{name}"' for name in plan.metrics)
    compiled = ("optimizer=optimizer", f'loss="{LOSSES[plan.facts.task]}"', f"metrics=[{names}]")
    return "\n".join([*lines, call("model.compile", *compiled)])


def _schedule(plan: ListingPlan) -> list[str]:
    """Define the learning rate if it changes from step to step."""
    hp = plan.hp
    if hp.schedule in ("constant", PLATEAU):
        return []
    n_epochs, n_steps = plan.training["epochs"], math.ceil(plan.facts.n_train / hp.batch_size)
    in_all = f"{n_epochs} * math.ceil(len(x_train) / {hp.batch_size})" if plan.facts.is_redrawn else n_epochs * n_steps
    kind, options, why = {
        "cosine": ("CosineDecay", [], "The learning rate falls to 0 along a cosine over all epochs."),
        "exponential": (
            "ExponentialDecay",
            [f"decay_rate={LAST_SHARE}"],
            "The learning rate falls to a hundredth over all epochs.",
        ),
    }[hp.schedule]
    arguments = [str(hp.learning_rate), f"decay_steps={in_all}", *options]
    return [f"# {why}", call(f"schedule = keras.optimizers.schedules.{kind}", *arguments)]


def _data_loss(plan: ListingPlan) -> list[str]:
    """Measure the loss of the data alone, if something needs it and Keras's `loss` is more than that."""
    name = plan.keras_name("loss")
    if name == "loss" or name not in plan.metrics:
        return []
    extra = "includes the L2 penalty" if plan.has_penalty else "weights the rows"
    why = f"# `loss` {extra}; `{name}` measures how well the model predicts."
    if name == "mse":
        return [why]
    metric, arguments = CROSS_ENTROPIES[plan.facts.task]
    return [why, call(f"cross_entropy = keras.metrics.{metric}", *arguments, 'name="cross_entropy"')]


def _batches(plan: ListingPlan) -> str:
    """Define a generator of rows in the order of `trainers.shuffling`, so that the listing repeats the trial."""
    size = plan.hp.batch_size
    return f'''def batches():
    """Yield batches of training rows, shuffled in each epoch as in the sweep."""
    for epoch in itertools.count(1):
        shuffle = np.random.Generator(np.random.Philox(key=[SEED, epoch]))
        order = shuffle.permutation(len(x_train))
        for start in range(0, len(order), {size}):
            rows = order[start : start + {size}]
            yield {plan.inputs("x_train[rows]")}, y_train[rows]{", w_train[rows]" if plan.facts.is_weighted else ""}
'''


def _fit(plan: ListingPlan) -> str:
    stopping = plan.training["early_stopping"]
    arguments = [
        "batches()",
        f"steps_per_epoch=math.ceil(len(x_train) / {plan.hp.batch_size})",
        f"epochs={plan.training['epochs']}",
        "shuffle=False",
        f"validation_data=({plan.inputs('x_val')}, y_val)",
    ]
    callbacks = ["Scores()"] if set(plan.monitors) & set(SCORE_NAMES) else []
    callbacks += [] if stopping is None else ["early_stopping"]
    callbacks += [] if plan.plateau is None else ["reduce_on_plateau"]
    if callbacks:
        arguments.append(f"callbacks=[{', '.join(callbacks)}]")
    lines = []
    if stopping is not None:
        lines += early_stopping(stopping, *_monitor_arguments(plan, stopping["monitor"], stopping["min_delta"]))
    if (rule := plan.plateau) is not None:
        lines += reduce_on_plateau(rule, *_monitor_arguments(plan, rule.monitor, rule.min_delta))
    if not plan.stated_curve:
        return "\n".join([*lines, call("model.fit", *arguments, "verbose=2", is_tall=True)])
    lines.append(call("history = model.fit", *arguments, "verbose=2", is_tall=True))
    comparison = f'compare(history.history["{plan.keras_name(comparison_code.METRIC)}"])'
    return "\n\n".join(["\n".join(lines), f"{comparison_code.measured(plan.stated_curve)}\n{comparison}"])


def _monitor_arguments(plan: ListingPlan, metric: str, min_delta: float) -> tuple[list[str], str]:
    """Return the arguments of a callback that name the monitored metric, and `min_delta` in the metric's units.

    The sweep's `min_delta` is in units of the target, but Keras monitors the standardised target.
    """
    monitor = plan.keras_name(metric)
    # Keras infers the direction of its own metrics, but not of a wrapped one.
    is_wrapped = plan.facts.task is Task.BINARY and monitor.endswith("cross_entropy")
    mode = "max" if monitor in SCORE_NAMES else "min" if is_wrapped else None
    arguments = [f'monitor="{monitor}"', *([f'mode="{mode}"'] if mode else [])]
    return arguments, f"{min_delta}{unit_factor(metric, '/') if min_delta else ''}"


def unit_factor(metric: str, sign: str) -> str:
    """Return code that converts a metric of the standardised target to the units of the target itself."""
    powers = {"mae": "std", "mse": "std**2"}
    name = metric.removeprefix("val_")
    return f" {sign} {powers[name]}" if name in powers else ""


def _scores(plan: ListingPlan) -> list[str]:
    size = ['print(f"n_parameters: {model.count_params()}")'] if N_PARAMETERS in plan.objectives else []
    metrics = [metric for metric in plan.objectives if metric != N_PARAMETERS]
    if not metrics:
        return size
    parts = [("val", "")]
    if not all(metric.startswith("val_") for metric in metrics):
        parts.insert(0, ("train", ""))
    if plan.facts.n_test:
        parts.append(("test", "# No choice depended on the test rows: expect this score on new data."))
    return [*size, *("\n".join([*([why] if why else []), *_part_scores(plan, metrics, part)]) for part, why in parts)]


def _part_scores(plan: ListingPlan, metrics: Sequence[str], part: str) -> list[str]:
    lines = []
    by_keras = [metric.removeprefix("val_") for metric in metrics if metric not in SCORE_NAMES]
    if by_keras:
        lines.append(f"score = model.evaluate({plan.inputs(f'x_{part}')}, y_{part}, verbose=0, return_dict=True)")
    for metric in by_keras:
        value, form = (
            f"score['{plan.keras_name(metric)}']{unit_factor(metric, '*')}",
            ".4f" if metric == "accuracy" else ".6g",
        )
        lines.append(f'print(f"{part}_{metric}: {{{value}:{form}}}")')
    by_scikit_learn = [SCORE_NAMES[metric] for metric in metrics if metric in SCORE_NAMES]
    if by_scikit_learn:
        lines.append(f"score = scores(x_{part}, y_{part})")
    return [*lines, *(f"print(f\"{part}_{name}: {{score['{name}']:.4f}}\")" for name in by_scikit_learn)]
