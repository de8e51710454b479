"""The part of a listing that builds, compiles, fits and scores the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dnnsweep.exports import score_code
from dnnsweep.exports.callback_code import early_stopping, reduce_on_plateau
from dnnsweep.exports.data_facts import Facts
from dnnsweep.exports.formatting import call, indented, listing, text
from dnnsweep.exports.score_code import NAMES
from dnnsweep.records import N_PARAMETERS, Sweep, Task, Trial
from dnnsweep.space import INITIALIZERS, LAST_SHARE, OPTIMIZERS, PLATEAU, Hyperparameters
from dnnsweep.spec import PlateauSpec

#: More hidden layers than these are added in a loop.
MAX_LISTED: Final = 3
LOSSES: Final = {
    Task.BINARY: "binary_crossentropy",
    Task.MULTICLASS: "sparse_categorical_crossentropy",
    Task.REGRESSION: "mse",
}
#: How the cross-entropy is measured; Keras's metric of two classes refuses targets of shape (rows,), its loss does not.
CROSS_ENTROPIES: Final = {
    Task.BINARY: ("MeanMetricWrapper", ('keras.losses.BinaryCrossentropy(reduction="none")',)),
    Task.MULTICLASS: ("SparseCategoricalCrossentropy", ()),
}
HEADS: Final = {Task.BINARY: "sigmoid", Task.MULTICLASS: "softmax"}


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration and what it is measured by.

    Args:
        hp: The configuration.
        facts: Of the data.
        seed: Of weights, row order and dropout.
        objectives: The sweep's metric, or both.
        training: The section of the sweep file.
        builder: `python:module:function`, where the network is a user's own.
        params: What it is called with.
    """

    hp: Hyperparameters
    facts: Facts
    seed: int
    objectives: tuple[str, ...]
    training: dict[str, Any]
    builder: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, sweep: Sweep, trial: Trial) -> Plan:
        """Gather it from a sweep and a trial as the ledger has them."""
        facts, hp = Facts.of(sweep), Hyperparameters.of(trial.params)
        builder = sweep.spec["network"].get("builder")
        objectives = tuple(one.metric for one in sweep.objectives)
        return cls(hp, facts, trial.seed, objectives, sweep.spec["training"], builder, trial.params)

    @property
    def monitor(self) -> str | None:
        """Return the metric of early stopping, if there is any."""
        stopping = self.training["early_stopping"]
        return None if stopping is None else str(stopping["monitor"])

    @property
    def plateau(self) -> PlateauSpec | None:
        """Return how the learning rate is reduced, if it is."""
        if self.hp.schedule != PLATEAU:
            return None
        return PlateauSpec.model_validate(self.training.get("reduce_on_plateau") or {})

    @property
    def monitors(self) -> list[str]:
        """Return the metrics that callbacks watch."""
        watched = [self.monitor, None if self.plateau is None else self.plateau.monitor]
        return [metric for metric in watched if metric is not None]

    def measured(self, metric: str) -> str:
        """Return the name under which Keras measures a metric; its own `loss` contains the L2 term."""
        prefix, name = ("val_", metric[4:]) if metric.startswith("val_") else ("", metric)
        is_weighted = self.facts.is_weighted and not prefix
        if name != "loss" or not (self.has_penalty or is_weighted):
            return metric
        return prefix + ("mse" if self.facts.task is Task.REGRESSION else "cross_entropy")

    @property
    def has_penalty(self) -> bool:
        """Return whether Keras's `loss` may contain more than the data's loss; of a builder that is not known."""
        return self.builder is not None or self.hp.l2 > 0

    def inputs(self, rows: str) -> str:
        """Return rows as the network takes them."""
        return rows if self.builder is None or self.facts.has("flat_input") else f"inputs({rows})"

    @property
    def watched(self) -> list[str]:
        """Return the metrics of callbacks and of the objectives."""
        return [metric for metric in (*self.monitors, *self.objectives) if metric != N_PARAMETERS]

    @property
    def metrics(self) -> list[str]:
        """Return what is measured beside the loss."""
        wanted = [self.measured(metric).removeprefix("val_") for metric in self.watched]
        wanted = [name for name in wanted if name not in ("loss", *NAMES.values())]
        if self.facts.task is not Task.REGRESSION:
            wanted.insert(0, "accuracy")
        return list(dict.fromkeys(wanted)) or ["mae"]


def blocks(plan: Plan) -> list[str]:
    """Return the code of the network, block by block."""
    seed = [
        "# The trial's own random numbers: starting weights, dropout and the order of rows.",
        f"SEED = {plan.seed}",
        "keras.utils.set_random_seed(SEED)",
    ]
    if plan.builder is not None:
        built = ["\n".join([*seed, _built(plan)]), *_inputs(plan), _compile(plan)]
        return [*built, *_functions(plan), _fit(plan), *_scores(plan)]
    network = ["\n".join(seed), *_kernels(plan), _network(plan), _compile(plan)]
    return [*network, *_functions(plan), _fit(plan), *_scores(plan)]


def _functions(plan: Plan) -> list[str]:
    parts = [
        *score_code.functions(plan.watched, plan.facts.task, plan.inputs("x")),
        *score_code.callback(plan.monitors, "x_val"),
    ]
    code = "\n\n\n".join(part.strip("\n") for part in (_batches(plan), *parts))
    return [f"\n{code}\n"]


def module_and_function(builder: str) -> tuple[str, str]:
    """Return the module and the function that a builder names."""
    _, module, function = builder.split(":")
    return module, function


def _built(plan: Plan) -> str:
    """The call of the user's function, as the trainer calls it."""
    params, facts = plan.params, plan.facts
    function = module_and_function(str(plan.builder))[1]
    if facts.has("dictionary"):
        given = ", ".join(f"{text(name)}: {_literal(value)}" for name, value in params.items())
        return f"model = {function}({{{given}}})"
    offered = {"n_features": facts.n_features, "n_outputs": facts.n_outputs, **params}
    named = [f"{name}={_literal(value)}" for name, value in offered.items() if facts.has(f"takes_{name}")]
    return call(f"model = {function}", *named)


def _literal(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    return text(value) if isinstance(value, str) else repr(value)


def _inputs(plan: Plan) -> list[str]:
    if plan.inputs("x") == "x":
        return []
    if plan.facts.has("one_input"):
        code = "return x.reshape(-1, *model.inputs[0].shape[1:])"
        return [f'\ndef inputs(x):\n    """Return rows in the shape that the model takes."""\n    {code}\n']
    parts = (
        "{one.name: part for one, part in zip(model.inputs, parts, strict=True)}"
        if plan.facts.has("named_inputs")
        else "tuple(parts)"
    )
    return [
        f'''
def inputs(x):
    """Return for each of the model's inputs its columns, in its shape."""
    shapes = [one.shape[1:] for one in model.inputs]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    parts = [
        x[:, end - math.prod(shape) : end].reshape(-1, *shape)
        for end, shape in zip(ends, shapes, strict=True)
    ]
    return {parts}
'''
    ]


def _kernels(plan: Plan) -> list[str]:
    """Say once what all linear layers have in common."""
    hp = plan.hp
    if not hp.hidden:
        return []
    why = [f"# {INITIALIZERS[hp.initializer].why}"]
    why += ["# The L2 penalty keeps weights small."] if hp.l2 > 0 else []
    return ["\n".join([*why, call("Dense = partial", "layers.Dense", *_kernel(hp))])]


def _kernel(hp: Hyperparameters) -> list[str]:
    penalty = [f"kernel_regularizer=keras.regularizers.L2({hp.l2})"] if hp.l2 > 0 else []
    return [f'kernel_initializer="{hp.initializer}"', *penalty]


def _network(plan: Plan) -> str:
    hp, why = plan.hp, _why(plan.hp)
    start = f"keras.Input(({plan.facts.n_features},))"
    if len(hp.hidden) > MAX_LISTED:
        return "\n".join([*why, *_loop(plan, start)])
    layers = [layer for units in hp.hidden for layer in _hidden(hp, str(units))]
    listed = indented([start, *layers, _output(plan)], 8)
    return "\n".join([*why, f"model = keras.Sequential(\n    [\n{listed}\n    ]\n)"])


def _why(hp: Hyperparameters) -> list[str]:
    if not hp.hidden:
        return ["# No hidden layer: a linear model."]
    why = []
    if hp.batch_norm:
        why.append("# Batch normalization shifts by itself, so that linear layers before it need no bias.")
    if hp.dropout > 0:
        why.append("# Dropout silences this share of the units, others in each step of the training.")
    return why


def _loop(plan: Plan, start: str) -> list[str]:
    widths, items = plan.hp.hidden, [str(units) for units in plan.hp.hidden]
    is_even = len(set(widths)) == 1
    return [
        f"hidden = [{widths[0]}] * {len(widths)}" if is_even else listing("hidden", items),
        f"model = keras.Sequential([{start}])",
        "for units in hidden:",
        *(f"    model.add({layer})" for layer in _hidden(plan.hp, "units")),
        f"model.add({_output(plan)})",
    ]


def _hidden(hp: Hyperparameters, units: str) -> list[str]:
    dropout = [f"layers.Dropout({hp.dropout})"] if hp.dropout > 0 else []
    if not hp.batch_norm:
        return [f'Dense({units}, activation="{hp.activation}")', *dropout]
    normalized = ["layers.BatchNormalization()", f'layers.Activation("{hp.activation}")']
    return [f"Dense({units}, use_bias=False)", *normalized, *dropout]


def _output(plan: Plan) -> str:
    """A linear model has no other layer; what is said once for all layers is said here."""
    task = plan.facts.task
    activation = [f'activation="{HEADS[task]}"'] if task in HEADS else []
    arguments = [str(plan.facts.n_outputs), *activation]
    if plan.hp.hidden:
        return f"Dense({', '.join(arguments)})"
    lines = indented([*arguments, *_kernel(plan.hp)], 12)
    return f"layers.Dense(\n{lines}\n        )"


def _compile(plan: Plan) -> str:
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


def _schedule(plan: Plan) -> list[str]:
    """The learning rate, where it changes from step to step."""
    hp = plan.hp
    if hp.schedule in ("constant", PLATEAU):
        return []
    n_steps = plan.training["epochs"] * math.ceil(plan.facts.n_train / hp.batch_size)
    kind, more, why = {
        "cosine": ("CosineDecay", [], "The learning rate goes down to 0 along a cosine, over all epochs."),
        "exponential": (
            "ExponentialDecay",
            [f"decay_rate={LAST_SHARE}"],
            "The learning rate goes down to a hundredth, over all epochs.",
        ),
    }[hp.schedule]
    arguments = [str(hp.learning_rate), f"decay_steps={n_steps}", *more]
    return [f"# {why}", call(f"schedule = keras.optimizers.schedules.{kind}", *arguments)]


def _data_loss(plan: Plan) -> list[str]:
    """Keras's `loss` contains the L2 term, which early stopping and the score leave out."""
    name = plan.measured("loss")
    if name == "loss" or name not in plan.metrics:
        return []
    why = f"# `loss` contains the L2 penalty; `{name}` tells how well the model predicts."
    if name == "mse":
        return [why]
    metric, arguments = CROSS_ENTROPIES[plan.facts.task]
    return [why, call(f"cross_entropy = keras.metrics.{metric}", *arguments, 'name="cross_entropy"')]


def _batches(plan: Plan) -> str:
    """The rows in the order of `trainers.shuffling`, so that the listing repeats the trial."""
    size = plan.hp.batch_size
    return f'''def batches():
    """Yield the training rows in the order of the sweep, another one in each epoch."""
    for epoch in itertools.count(1):
        shuffle = np.random.Generator(np.random.Philox(key=[SEED, epoch]))
        order = shuffle.permutation(len(x_train))
        for start in range(0, len(order), {size}):
            rows = order[start : start + {size}]
            yield {plan.inputs("x_train[rows]")}, y_train[rows]{", w_train[rows]" if plan.facts.is_weighted else ""}
'''


def _fit(plan: Plan) -> str:
    stopping = plan.training["early_stopping"]
    arguments = [
        "batches()",
        f"steps_per_epoch=math.ceil(len(x_train) / {plan.hp.batch_size})",
        f"epochs={plan.training['epochs']}",
        "shuffle=False",
        f"validation_data=({plan.inputs('x_val')}, y_val)",
    ]
    callbacks = ["Scores()"] if set(plan.monitors) & set(NAMES) else []
    callbacks += [] if stopping is None else ["early_stopping"]
    callbacks += [] if plan.plateau is None else ["reduce_on_plateau"]
    if callbacks:
        arguments.append(f"callbacks=[{', '.join(callbacks)}]")
    lines = []
    if stopping is not None:
        lines += early_stopping(stopping, *_watched(plan, stopping["monitor"], stopping["min_delta"]))
    if (rule := plan.plateau) is not None:
        lines += reduce_on_plateau(rule, *_watched(plan, rule.monitor, rule.min_delta))
    return "\n".join([*lines, call("model.fit", *arguments, "verbose=2", is_tall=True)])


def _watched(plan: Plan, metric: str, min_delta: float) -> tuple[list[str], str]:
    """Return the arguments of a callback that say what it watches, and `min_delta` in units of that.

    The sweep's is in units of the target, but Keras monitors the standardised one.
    """
    monitor = plan.measured(metric)
    # Keras knows by itself which way its own metrics improve, but not a wrapped one.
    is_wrapped = plan.facts.task is Task.BINARY and monitor.endswith("cross_entropy")
    mode = "max" if monitor in NAMES else "min" if is_wrapped else None
    watched = [f'monitor="{monitor}"', *([f'mode="{mode}"'] if mode else [])]
    return watched, f"{min_delta}{_unit(metric, '/') if min_delta else ''}"


def _unit(metric: str, sign: str) -> str:
    """Return what a metric of the standardised target is multiplied by to be in units of the target itself."""
    powers = {"mae": "std", "mse": "std**2"}
    name = metric.removeprefix("val_")
    return f" {sign} {powers[name]}" if name in powers else ""


def _scores(plan: Plan) -> list[str]:
    size = ['print(f"n_parameters: {model.count_params()}")'] if N_PARAMETERS in plan.objectives else []
    measured = [metric for metric in plan.objectives if metric != N_PARAMETERS]
    if not measured:
        return size
    rows = [("val", "")]
    if not all(metric.startswith("val_") for metric in measured):
        rows.insert(0, ("train", ""))
    if plan.facts.n_test:
        rows.append(("test", "# No choice depended on the test rows: expect their score of new data."))
    return [*size, *("\n".join([*([why] if why else []), *_score(plan, measured, part)]) for part, why in rows)]


def _score(plan: Plan, metrics: Sequence[str], part: str) -> list[str]:
    lines = []
    by_keras = [metric.removeprefix("val_") for metric in metrics if metric not in NAMES]
    if by_keras:
        lines.append(f"score = model.evaluate({plan.inputs(f'x_{part}')}, y_{part}, verbose=0, return_dict=True)")
    for metric in by_keras:
        value, form = f"score['{plan.measured(metric)}']{_unit(metric, '*')}", ".4f" if metric == "accuracy" else ".6g"
        lines.append(f'print(f"{part}_{metric}: {{{value}:{form}}}")')
    others = [NAMES[metric] for metric in metrics if metric in NAMES]
    if others:
        lines.append(f"score = scores(x_{part}, y_{part})")
    return [*lines, *(f"print(f\"{part}_{name}: {{score['{name}']:.4f}}\")" for name in others)]
