"""The sections of a sweep file as frozen models; each checks itself."""

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
from dnnsweep.records import CLASS_SCORES, N_PARAMETERS, Objective, direction_of
from dnnsweep.records.sweeps import MAX_NAME_LENGTH, NAME_PATTERN
from dnnsweep.space import (
    KNOBS,
    PLATEAU,
    TRAINING_KNOBS,
    TRIAL_FIELDS,
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
from dnnsweep.spec.base import Few, Positive, Section, Several, Whole, is_unused, raise_mistakes, validator_of
from dnnsweep.spec.dataset import DatasetSpec
from dnnsweep.spec.pruner import PrunerSpec
from dnnsweep.spec.repetition import ConfirmSpec, EffectsSpec
from dnnsweep.spec.sampler_kinds import SamplerName
from dnnsweep.spec.training import METRICS, PlateauSpec, TrainingSpec
from dnnsweep.spec.window import population, window

#: Sections that may change without making another sweep.
NOT_IDENTITY: Final = ("budget", "resources", "priority", "description", "tracking", "confirm", "effects")
#: Metrics that may be an objective.
OBJECTIVES: Final = (*METRICS, N_PARAMETERS)
#: Names of the forms of `objective`, and of those of `confirm`, in pydantic's paths.
ONE: Final = "one objective"
TWO: Final = "two objectives"
SECTION: Final = "section of confirm"
AUTO: Final = "auto of confirm"
NONE: Final = "null of confirm"
FORMS: Final = (ONE, TWO, SECTION, AUTO, NONE)
DEFAULTS: Final = Hyperparameters()


def _named_validator_of(parse: Callable[[Any, Sequence[str] | None], tuple[Any, list[Mistake]]]) -> Callable[..., Any]:
    """Do as `validator_of`, for sections whose names depend on whether the network has a builder."""

    def validate(raw: Any, info: ValidationInfo) -> Any:
        return raise_mistakes(*parse(raw, _taken_names(info.data)))

    return validate


def _is_auto(value: Any) -> bool:
    return bool(value == "auto")


def _empty_mapping() -> Mapping[str, Any]:
    return types.MappingProxyType({})


def _check_widths(raw: Any) -> tuple[Any, list[Mistake]]:
    return parse_value("network.hidden", KNOBS["hidden"], raw)


def _check_activation(raw: Any) -> tuple[Any, list[Mistake]]:
    return parse_value("network.activation", KNOBS["activation"], raw)


def _taken_names(sections: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names that a builder's own hyperparameters must not have; None if there is no builder."""
    network = sections.get("network")  # missing if the section is wrong
    return tuple(TRIAL_FIELDS) if isinstance(network, NetworkSpec) and network.builder is not None else None


def _check_space(raw: Any, taken: Sequence[str] | None) -> tuple[Any, list[Mistake]]:
    domains, mistakes = parse_space("space", raw, taken)
    return types.MappingProxyType(domains), mistakes


def _check_fixed(raw: Any, taken: Sequence[str] | None) -> tuple[Any, list[Mistake]]:
    values, mistakes = parse_values("fixed", raw, taken)
    return types.MappingProxyType(values), mistakes


def _check_enqueue(raw: Any, taken: Sequence[str] | None) -> tuple[Any, list[Mistake]]:
    if not isinstance(raw, list):
        return (), [
            Mistake("enqueue", "must be a list of configurations", yaml_text(raw), "write `- name: value` lines")
        ]
    parsed = [parse_values(f"enqueue.{index}", entry, taken) for index, entry in enumerate(raw)]
    mistakes = [mistake for _, wrong in parsed for mistake in wrong]
    return tuple(types.MappingProxyType(values) for values, _ in parsed), mistakes


def _plain_space(space: SearchSpace) -> dict[str, Any]:
    return {name: domain.to_json() for name, domain in space.items()}


def _plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _plain_enqueue(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [_plain_values(entry) for entry in entries]


class NetworkSpec(Section):
    """The network's shape, unless it is searched."""

    hidden: Annotated[
        tuple[int, ...],
        PlainValidator(validator_of(_check_widths)),
        PlainSerializer(list),
        WithJsonSchema(schema.value("hidden")),
    ] = DEFAULTS.hidden
    activation: Annotated[
        str, PlainValidator(validator_of(_check_activation)), WithJsonSchema(schema.value("activation"))
    ] = DEFAULTS.activation
    builder: str | None = Field(
        default=None,
        exclude_if=is_unused,
        json_schema_extra={"pattern": user_functions.PATTERN},
        description="python:module:function that builds any Keras model from the hyperparameters instead",
    )


class ObjectiveSpec(Section):
    """The metric that the sampler improves."""

    metric: Annotated[str, Field(json_schema_extra={"enum": list(OBJECTIVES)})] = "val_loss"
    direction: Literal["maximize", "minimize"] | None = Field(
        default=None, description="maximize or minimize; null: the metric's better end"
    )

    @property
    def resolved_direction(self) -> str:
        """Return the direction, the metric's better end unless the file says it."""
        return self.direction or direction_of(self.metric)


def _unwrap_single(raw: Any) -> Any:
    """Replace a list of one objective by that objective."""
    if not isinstance(raw, list | tuple):
        return raw
    if len(raw) not in (1, 2):
        rule, remedy = "must be one objective or a list of two", "name what matters most, for example two metrics"
        return raise_mistakes(None, [Mistake("objective", rule, f"{len(raw)}", remedy)])
    return raw[0] if len(raw) == 1 else raw


def _form_of(raw: Any) -> str:
    return TWO if isinstance(raw, list | tuple) else ONE


Objectives = Annotated[
    Annotated[ObjectiveSpec, Tag(ONE)]
    | Annotated[
        tuple[ObjectiveSpec, ...], Field(strict=False, json_schema_extra={"minItems": 1, "maxItems": 2}), Tag(TWO)
    ],
    Discriminator(_form_of),
    BeforeValidator(_unwrap_single),
]


def _confirmation_form_of(raw: Any) -> str:
    return AUTO if raw == "auto" else NONE if raw is None else SECTION


Confirmation = Annotated[
    Annotated[ConfirmSpec, Tag(SECTION)] | Annotated[Literal["auto"], Tag(AUTO)] | Annotated[None, Tag(NONE)],
    Discriminator(_confirmation_form_of),
]


class BudgetSpec(Section):
    """How much a sweep may spend."""

    trials: Whole = Field(default=100, ge=1, le=1_000_000, description="number of trials")
    seconds: float | None = Field(default=None, gt=0, description="wall time over all runs of the sweep, in seconds")
    target: float | None = Field(default=None, description="value at which the sweep ends")
    until: Literal["converged"] | None = Field(
        default=None,
        exclude_if=is_unused,
        description="converged: end when another trial is not expected to improve on the best by more than its noise",
    )
    without_improvement: Positive | None = Field(
        default=None,
        exclude_if=is_unused,
        description="end when so many trials in a row were not better than the best before them",
    )


class SamplerSpec(Section):
    """How the next point is chosen."""

    kind: SamplerName = "tpe"
    window: Few | None = Field(default=None, description="suggestions ahead of the results told; null: from the budget")
    population: Several | None = Field(
        default=None,
        exclude_if=is_unused,
        description="nsga2: trials in a generation; null: a fifth of the budget, from 8 to 50",
    )


class TrainerSpec(Section):
    """How trials are trained."""

    kind: Literal["auto", "array", "fit"] = Field(
        default="auto",
        description="array: many trials in one compiled program; fit: Keras's own fit; auto: whichever suits best",
    )
    slots: Few | None = Field(
        default=None, description="trials side by side in a program; null: from the window and the network"
    )


class ResourcesSpec(Section):
    """What a sweep may use, which does not change its results."""

    trainers: Few | None = Field(default=None, description="training processes; null: one per core")
    silence_seconds: float = Field(
        default=3600.0, gt=0, description="seconds without an epoch's report after which a trial ends as `timeout`"
    )
    hung_seconds: float = Field(
        default=60.0, gt=0, description="seconds without a sign of life after which a training process is replaced"
    )


class TrackingSpec(Section):
    """What MLflow gets, which does not change the results."""

    models: Literal["best", "all", "none"] = Field(
        default="best",
        description="trials whose models become models of MLflow's: the best one when the sweep ends, all, or none",
    )


class SweepSpec(Section):
    """A checked sweep file, which describes all that a sweep does."""

    name: str = Field(pattern=NAME_PATTERN, max_length=MAX_NAME_LENGTH, description="unique in a ledger")
    description: str | None = Field(default=None, max_length=8000)
    task: Literal["auto", "binary", "multiclass", "regression"] = Field(
        default="auto", description="kind of task; auto reads it from the target"
    )
    dataset: DatasetSpec
    network: NetworkSpec = NetworkSpec()
    space: Annotated[
        Mapping[str, Any],
        PlainValidator(_named_validator_of(_check_space)),
        PlainSerializer(_plain_space),
        WithJsonSchema(schema.space()),
    ] = Field(
        default_factory=_empty_mapping,
        description="hyperparameters that are searched, each with its domain; without it, the default space",
    )
    fixed: Annotated[
        Mapping[str, Any],
        PlainValidator(_named_validator_of(_check_fixed)),
        PlainSerializer(_plain_values),
        WithJsonSchema(schema.values()),
    ] = Field(default_factory=_empty_mapping, description="values of hyperparameters that are not searched")
    objective: Objectives = Field(
        default=ObjectiveSpec(), description="metric to improve, or a list of two for a trade-off"
    )
    training: TrainingSpec = TrainingSpec()
    budget: BudgetSpec = BudgetSpec()
    sampler: SamplerSpec = SamplerSpec()
    pruner: PrunerSpec = PrunerSpec()
    trainer: TrainerSpec = TrainerSpec()
    enqueue: Annotated[
        tuple[Mapping[str, Any], ...],
        PlainValidator(_named_validator_of(_check_enqueue)),
        PlainSerializer(_plain_enqueue),
        WithJsonSchema({"type": "array", "items": schema.values()}),
    ] = Field(default=(), description="configurations to try first")
    seed: Whole = Field(default=0, ge=0, lt=2**32, description="seed of sampling, weights, row order and dropout")
    resources: ResourcesSpec = ResourcesSpec()
    priority: Whole = Field(
        default=0,
        exclude_if=is_unused,
        ge=-1000,
        le=1000,
        description="among sweeps that wait for a worker, the highest priority comes first",
    )
    tracking: TrackingSpec | None = Field(
        default=None, exclude_if=is_unused, description="what MLflow gets; null: the defaults"
    )
    confirm: Confirmation = Field(
        default="auto",
        exclude_if=_is_auto,
        description="repeats of the best configurations after the budget; auto: where trials are trained in arrays",
    )
    effects: EffectsSpec | None = Field(
        default=None,
        exclude_if=is_unused,
        description="trainings that measure the effect of each hyperparameter after the budget; null: none",
    )

    def __reduce__(self) -> tuple[Any, ...]:
        return SweepSpec.model_validate, (self.to_json(),)

    def __deepcopy__(self, memo: Any = None) -> Self:
        return self  # frozen throughout

    @property
    def defaults(self) -> Hyperparameters:
        """Return all knobs: those that are not searched at their values, the others at their defaults."""
        values = {"hidden": self.network.hidden, "activation": self.network.activation, **self.fixed}
        if self.training.reduce_on_plateau is not None and "schedule" not in self.space:
            values.setdefault("schedule", PLATEAU)
        return Hyperparameters.of(values)

    @property
    def default_params(self) -> dict[str, Any]:
        """Return the hyperparameters that a trial has apart from suggestions: fixed values and defaults.

        A builder receives what training needs and what the sweep file names, and need not know the other knobs.
        """
        knobs = self.defaults.to_params()
        if self.network.builder is None:
            return knobs
        conditional = [name for name in self.space if name in knobs and isinstance(self.space[name], Conditional)]
        return {name: knobs[name] for name in (*TRAINING_KNOBS, *conditional)} | dict(self.fixed)

    def domains(self, name: str) -> tuple[Domain, ...]:
        """Return the domains of a knob other than `hidden`; a fixed or default value is a domain of one value."""
        defaults = self.default_params
        has_default = name not in self.space or name in sometimes_absent(self.space, defaults)
        domains = (domain for _, domain in leaves(self.space[name])) if name in self.space else ()
        searched = [domain for domain in domains if not isinstance(domain, Layers)]
        return (*searched, *([Choice((defaults[name],))] if has_default else []))

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
        """Return how learning rates are reduced; None if no trial can ask for it."""
        may_ask = any(domain.contains(PLATEAU) for domain in self.domains("schedule"))
        return (self.training.reduce_on_plateau or PlateauSpec()) if may_ask else None

    @property
    def population(self) -> int:
        """Return the number of trials in a generation of NSGA-II."""
        return self.sampler.population or population(self.budget.trials)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Return the objectives, one or two."""
        given = self.objective if isinstance(self.objective, tuple) else (self.objective,)
        return tuple(Objective(objective.metric, objective.resolved_direction) for objective in given)

    @property
    def scores(self) -> tuple[str, ...]:
        """Return the scores that are measured because the file names them."""
        watching = (self.training.early_stopping, self.training.reduce_on_plateau)
        monitors = (rule.monitor for rule in watching if rule is not None)
        objectives = (objective.metric for objective in self.objectives)
        named = {*objectives, *self.training.metrics, *monitors}
        return tuple(name for name in CLASS_SCORES if name in named)

    @property
    def keeps_all_models(self) -> bool:
        """Return whether each trial's model is kept, and not only those of trials that no other beats."""
        return self.tracking is not None and self.tracking.models == "all"

    def confirmation(self, trainer: str) -> ConfirmSpec | None:
        """Return how the best configurations are confirmed; None if they are not.

        Args:
            trainer: How the trials are trained: `array`, `fit` or `compiled`.
        """
        if len(self.objectives) > 1:
            return None
        if self.confirm == "auto":
            return ConfirmSpec() if trainer == "array" else None
        return self.confirm if isinstance(self.confirm, ConfirmSpec) else None

    def identity(self) -> dict[str, Any]:
        """Return what identifies the sweep, as plain JSON."""
        return {key: value for key, value in self.to_json().items() if key not in NOT_IDENTITY}

    def to_json(self) -> dict[str, Any]:
        """Return the whole file, defaults filled in, as plain JSON that `check` takes back."""
        plain = self.model_dump(mode="json")
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
