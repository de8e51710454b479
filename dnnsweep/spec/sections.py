"""The sections of a sweep file as frozen models; each checks what is wrong in itself."""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    Tag,
    ValidationInfo,
    WithJsonSchema,
)

from dnnsweep import user_functions
from dnnsweep.errors import Mistake
from dnnsweep.query import FIELDS
from dnnsweep.records import CLASS_SCORES, N_PARAMETERS, Objective, direction_of
from dnnsweep.space import (
    KNOBS,
    PLATEAU,
    TRAINING_KNOBS,
    Choice,
    Conditional,
    Domain,
    Hyperparameters,
    Layers,
    SearchSpace,
    leaves,
    parse_space,
    parse_value,
    parse_values,
    sometimes_absent,
    yaml_text,
)
from dnnsweep.spec import documents, schema
from dnnsweep.spec.base import Few, Section, Several, Whole, raising, right
from dnnsweep.spec.dataset import DatasetSpec
from dnnsweep.spec.pruner import PrunerSpec
from dnnsweep.spec.training import METRICS, PlateauSpec, TrainingSpec
from dnnsweep.spec.window import population, window

#: Changing these does not make another sweep.
NOT_IDENTITY: Final = ("budget", "resources", "priority", "description")
#: What may be an objective.
OBJECTIVES: Final = (*METRICS, N_PARAMETERS)
#: How the two forms of `objective` are told apart in pydantic's paths.
ONE: Final = "one objective"
TWO: Final = "two objectives"
DEFAULTS: Final = Hyperparameters()
#: Names that a builder's own hyperparameters cannot have: those of a trial's other fields.
TAKEN: Final = tuple(name for name in FIELDS if name not in KNOBS)


def _raising_named(parse: Callable[[Any, Sequence[str] | None], tuple[Any, list[Mistake]]]) -> Callable[..., Any]:
    """As `raising`, for sections whose names depend on whether the network has a builder."""

    def validate(raw: Any, info: ValidationInfo) -> Any:
        return right(*parse(raw, _taken(info.data)))

    return validate


def _nothing() -> Mapping[str, Any]:
    return types.MappingProxyType({})


def _check_widths(raw: Any) -> tuple[Any, list[Mistake]]:
    return parse_value("network.hidden", KNOBS["hidden"], raw)


def _check_activation(raw: Any) -> tuple[Any, list[Mistake]]:
    return parse_value("network.activation", KNOBS["activation"], raw)


def _taken(known: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names that a builder's own hyperparameters cannot have; None where there is no builder."""
    network = known.get("network")  # missing where the section is wrong
    return TAKEN if isinstance(network, NetworkSpec) and network.builder is not None else None


def _check_space(raw: Any, taken: Sequence[str] | None) -> tuple[Any, list[Mistake]]:
    good, mistakes = parse_space("space", raw, taken)
    return types.MappingProxyType(good), mistakes


def _check_fixed(raw: Any, taken: Sequence[str] | None) -> tuple[Any, list[Mistake]]:
    good, mistakes = parse_values("fixed", raw, taken)
    return types.MappingProxyType(good), mistakes


def _check_enqueue(raw: Any, taken: Sequence[str] | None) -> tuple[Any, list[Mistake]]:
    if not isinstance(raw, list):
        return (), [
            Mistake("enqueue", "must be a list of configurations", yaml_text(raw), "write `- name: value` lines")
        ]
    parsed = [parse_values(f"enqueue.{index}", entry, taken) for index, entry in enumerate(raw)]
    mistakes = [mistake for _, wrong in parsed for mistake in wrong]
    return tuple(types.MappingProxyType(good) for good, _ in parsed), mistakes


def _plain_space(space: SearchSpace) -> dict[str, Any]:
    return {name: domain.to_json() for name, domain in space.items()}


def _plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _plain_enqueue(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [_plain_values(entry) for entry in entries]


class NetworkSpec(Section):
    """The network's shape, where it is not searched."""

    hidden: Annotated[
        tuple[int, ...],
        PlainValidator(raising(_check_widths)),
        PlainSerializer(list),
        WithJsonSchema(schema.value("hidden")),
    ] = DEFAULTS.hidden
    activation: Annotated[
        str, PlainValidator(raising(_check_activation)), WithJsonSchema(schema.value("activation"))
    ] = DEFAULTS.activation
    builder: str | None = Field(
        default=None,
        json_schema_extra={"pattern": user_functions.PATTERN},
        description="python:module:function, which returns any Keras model instead; called with the hyperparameters",
    )


class ObjectiveSpec(Section):
    """What the sampler improves."""

    metric: Annotated[str, Field(json_schema_extra={"enum": list(OBJECTIVES)})] = "val_loss"
    direction: Literal["maximize", "minimize"] | None = Field(
        default=None, description="the metric's better end, unless given"
    )

    @property
    def resolved_direction(self) -> str:
        """Return the direction, taken from the metric where the file does not say it."""
        return self.direction or direction_of(self.metric)


def _unlisted(raw: Any) -> Any:
    """A list of one objective is that one."""
    if not isinstance(raw, list | tuple):
        return raw
    if len(raw) not in (1, 2):
        rule, remedy = "must be one objective or a list of two", "name what matters most, for example two metrics"
        return right(None, [Mistake("objective", rule, f"{len(raw)}", remedy)])
    return raw[0] if len(raw) == 1 else raw


def _form_of(raw: Any) -> str:
    return TWO if isinstance(raw, list | tuple) else ONE


Objectives = Annotated[
    Annotated[ObjectiveSpec, Tag(ONE)]
    | Annotated[
        tuple[ObjectiveSpec, ...], Field(strict=False, json_schema_extra={"minItems": 1, "maxItems": 2}), Tag(TWO)
    ],
    Discriminator(_form_of),
    BeforeValidator(_unlisted),
]


class BudgetSpec(Section):
    """How much a sweep may spend."""

    trials: Whole = Field(default=100, ge=1, le=1_000_000, description="trials that end in the budget")
    seconds: float | None = Field(default=None, gt=0, description="wall time over all runs of the sweep")
    target: float | None = Field(default=None, description="the sweep ends when a trial's value is as good as this")


class SamplerSpec(Section):
    """Who chooses the next point."""

    kind: Literal["tpe", "random", "grid", "qmc", "cmaes", "nsga2", "gp"] = "tpe"
    window: Few | None = Field(
        default=None, description="suggestions ahead of the results told; from the budget if null"
    )
    population: Several | None = Field(
        default=None, description="nsga2: trials of a generation; a fifth of the budget, from 8 to 50, if null"
    )


class TrainerSpec(Section):
    """What trains; `trainer: fit` is short for `trainer: {kind: fit}`."""

    kind: Literal["auto", "array", "fit"] = Field(
        default="auto",
        description="array: many trials in one compiled program; fit: Keras's own; auto: what suits best",
    )
    slots: Few | None = Field(
        default=None, description="trials side by side in a program; from the window and the network if null"
    )


def _unfolded(raw: Any) -> Any:
    return {"kind": raw} if isinstance(raw, str) else raw


class ResourcesSpec(Section):
    """What a sweep may use; does not change its results."""

    trainers: Few | None = Field(default=None, description="training processes; null: one per core")
    silence_seconds: float = Field(
        default=3600.0, gt=0, description="a trial that reports no epoch for so long ends as `timeout`"
    )
    hung_seconds: float = Field(
        default=60.0, gt=0, description="a training process that gives no sign of life for so long is replaced"
    )


class SweepSpec(Section):
    """A sweep file, checked; the one description of what a sweep does."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=100, description="unique in a ledger")
    description: str | None = Field(default=None, max_length=8000)
    task: Literal["auto", "binary", "multiclass", "regression"] = Field(
        default="auto", description="read from the target unless given"
    )
    dataset: DatasetSpec
    network: NetworkSpec = NetworkSpec()
    space: Annotated[
        Mapping[str, Any],
        PlainValidator(_raising_named(_check_space)),
        PlainSerializer(_plain_space),
        WithJsonSchema(schema.space()),
    ] = Field(default_factory=_nothing, description="what is searched: hyperparameter -> domain")
    fixed: Annotated[
        Mapping[str, Any],
        PlainValidator(_raising_named(_check_fixed)),
        PlainSerializer(_plain_values),
        WithJsonSchema(schema.values()),
    ] = Field(default_factory=_nothing, description="hyperparameters that are not searched")
    objective: Objectives = Field(
        default=ObjectiveSpec(), description="what is improved; a list of two for a trade-off"
    )
    training: TrainingSpec = TrainingSpec()
    budget: BudgetSpec = BudgetSpec()
    sampler: SamplerSpec = SamplerSpec()
    pruner: PrunerSpec = PrunerSpec()
    trainer: Annotated[
        TrainerSpec,
        BeforeValidator(_unfolded),
        WithJsonSchema({"anyOf": [{"enum": ["auto", "array", "fit"]}, TrainerSpec.model_json_schema()]}),
    ] = TrainerSpec()
    enqueue: Annotated[
        tuple[Mapping[str, Any], ...],
        PlainValidator(_raising_named(_check_enqueue)),
        PlainSerializer(_plain_enqueue),
        WithJsonSchema({"type": "array", "items": schema.values()}),
    ] = Field(default=(), description="configurations to try first")
    seed: Whole = Field(default=0, ge=0, lt=2**32, description="of sampling, weights, row order and dropout")
    resources: ResourcesSpec = ResourcesSpec()
    priority: Whole = Field(
        default=0, ge=-1000, le=1000, description="of sweeps that wait for a worker, the highest is next"
    )

    def __reduce__(self) -> tuple[Any, ...]:
        return SweepSpec.model_validate, (self.to_json(),)

    def __deepcopy__(self, memo: Any = None) -> Self:
        return self  # frozen all through

    @property
    def defaults(self) -> Hyperparameters:
        """Return the knobs that are not searched, at their values; searched ones at their defaults."""
        known = {"hidden": self.network.hidden, "activation": self.network.activation, **self.fixed}
        if self.training.reduce_on_plateau is not None and "schedule" not in self.space:
            known.setdefault("schedule", PLATEAU)
        return Hyperparameters.of(known)

    @property
    def default_params(self) -> dict[str, Any]:
        """Return the hyperparameters of a trial but for those that are searched; where those have defaults, these.

        A builder is given what training needs and what the sweep file names: it need not know the other knobs.
        """
        knobs = self.defaults.to_params()
        if self.network.builder is None:
            return knobs
        conditional = [name for name in self.space if name in knobs and isinstance(self.space[name], Conditional)]
        return {name: knobs[name] for name in (*TRAINING_KNOBS, *conditional)} | dict(self.fixed)

    def domains(self, name: str) -> tuple[Domain, ...]:
        """Return what a knob, but for `hidden`, may take its value from; a fixed or default value is a list of one."""
        defaults = self.default_params
        is_left = name not in self.space or name in sometimes_absent(self.space, defaults)
        found = (domain for _, domain in leaves(self.space[name])) if name in self.space else ()
        searched = [domain for domain in found if not isinstance(domain, Layers)]
        return (*searched, *([Choice((defaults[name],))] if is_left else []))

    @property
    def digest(self) -> str:
        """Return the SHA-256 of everything that identifies the sweep."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def window(self) -> int:
        """Return how many suggestions may be ahead of the results told to the sampler."""
        return self.sampler.window or window(self.budget.trials)

    @property
    def plateau(self) -> PlateauSpec | None:
        """Return how learning rates are reduced, where a trial may ask for it."""
        may_ask = any(domain.contains(PLATEAU) for domain in self.domains("schedule"))
        return (self.training.reduce_on_plateau or PlateauSpec()) if may_ask else None

    @property
    def population(self) -> int:
        """Return how many trials make a generation of NSGA-II."""
        return self.sampler.population or population(self.budget.trials)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Return the objective, or both."""
        given = self.objective if isinstance(self.objective, tuple) else (self.objective,)
        return tuple(Objective(one.metric, one.resolved_direction) for one in given)

    @property
    def scores(self) -> tuple[str, ...]:
        """Return the metrics that are measured because the file names them."""
        watching = (self.training.early_stopping, self.training.reduce_on_plateau)
        monitors = (rule.monitor for rule in watching if rule is not None)
        objectives = (one.metric for one in self.objectives)
        named = {*objectives, *self.training.metrics, *monitors}
        return tuple(name for name in CLASS_SCORES if name in named)

    def identity(self) -> dict[str, Any]:
        """Return what identifies the sweep, as plain JSON."""
        return {key: value for key, value in self.to_json().items() if key not in NOT_IDENTITY}

    def to_json(self) -> dict[str, Any]:
        """Return the whole file, defaults filled in, as plain JSON that `check` takes back."""
        plain = self.model_dump(mode="json")
        training = plain["training"]
        for section, keys in (
            (plain["dataset"], ("split", "class_weight", "sample_weight")),
            (training, ("metrics", "reduce_on_plateau")),
            (training["early_stopping"] or {}, ("start_from_epoch",)),
            (plain["network"], ("builder",)),
            (plain["sampler"], ("population",)),
            (plain, ("priority",)),
        ):
            for key in keys:  # they came later: files from before are the same sweeps
                if not section.get(key):
                    section.pop(key, None)
        plain["pruner"] = self.pruner.settings()
        elsewhere = [*self.space, *self.fixed]  # a knob may be set once
        if self.network.builder is not None:
            elsewhere += ["hidden", "activation"]
        for knob in elsewhere:
            plain["network"].pop(knob, None)
        return plain

    def to_yaml(self) -> str:
        """Return the whole file, defaults filled in, as YAML that `load` reads back."""
        return documents.write(self.to_json())
