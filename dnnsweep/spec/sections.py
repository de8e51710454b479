"""The sections of a sweep file as frozen models; each checks what is wrong in itself."""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from dnnsweep import functions
from dnnsweep.errors import Mistake
from dnnsweep.query import FIELDS
from dnnsweep.records import Task, direction_of, metrics_of
from dnnsweep.space import (
    KNOBS,
    TRAINING_KNOBS,
    Hyperparameters,
    SearchSpace,
    parse_space,
    parse_value,
    parse_values,
    show,
)
from dnnsweep.spec import documents, schema
from dnnsweep.spec.window import window

#: Changing these does not make another sweep.
NOT_IDENTITY: Final = ("budget", "resources", "description")
METRICS: Final = tuple(dict.fromkeys(metric for task in Task for metric in metrics_of(task)))
HANDED_OVER: Final = "arrays:"
DEFAULTS: Final = Hyperparameters()
#: Names that a builder's own hyperparameters cannot have: those of a trial's other fields.
TAKEN: Final = tuple(name for name in FIELDS if name not in KNOBS)


def _whole(raw: Any) -> Any:
    """Let 1e3 and 32.0 be whole numbers, as they are for hyperparameters."""
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


Whole = Annotated[int, BeforeValidator(_whole)]
Few = Annotated[int, Field(ge=1, le=1024), BeforeValidator(_whole)]
Metric = Annotated[str, Field(json_schema_extra={"enum": list(METRICS)})]  # which of them, the task decides


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _raising(parse: Callable[[Any], tuple[Any, list[Mistake]]]) -> Callable[[Any], Any]:
    return lambda raw: _right(*parse(raw))


def _raising_named(parse: Callable[[Any, Sequence[str] | None], tuple[Any, list[Mistake]]]) -> Callable[..., Any]:
    """As `_raising`, for sections whose names depend on whether the network has a builder."""

    def validate(raw: Any, info: ValidationInfo) -> Any:
        return _right(*parse(raw, _taken(info.data)))

    return validate


def _right(good: Any, mistakes: list[Mistake]) -> Any:
    if mistakes:
        raise PydanticCustomError("mistakes", "mistakes", {"mistakes": mistakes})
    return good


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
        return (), [Mistake("enqueue", "must be a list of configurations", show(raw), "write `- name: value` lines")]
    parsed = [parse_values(f"enqueue.{index}", entry, taken) for index, entry in enumerate(raw)]
    mistakes = [mistake for _, wrong in parsed for mistake in wrong]
    return tuple(types.MappingProxyType(good) for good, _ in parsed), mistakes


def _plain_space(space: SearchSpace) -> dict[str, Any]:
    return {name: domain.to_json() for name, domain in space.items()}


def _plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _plain_enqueue(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [_plain_values(entry) for entry in entries]


class DatasetSpec(_Section):
    """Where the rows come from and how they are split and scaled."""

    source: str = Field(
        default=HANDED_OVER,
        description="sklearn:NAME, csv:PATH or npz:PATH; arrays: stands for arrays handed over in Python",
    )
    target: str | None = Field(default=None, description="csv: the column to predict")
    drop: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="csv: columns to leave out, identifiers for example"
    )
    validation: float = Field(default=0.2, gt=0, lt=1, description="share of the rows that early stopping looks at")
    test: float = Field(default=0.2, ge=0, lt=1, description="share of the rows held out from every choice")
    scale: Literal["standard", "minmax", "none"] = Field(
        default="standard", description="fitted on the training rows only"
    )
    seed: Whole = Field(default=0, ge=0, lt=2**32, description="of the split")


class NetworkSpec(_Section):
    """The network's shape, where it is not searched."""

    hidden: Annotated[
        tuple[int, ...],
        PlainValidator(_raising(_check_widths)),
        PlainSerializer(list),
        WithJsonSchema(schema.value("hidden")),
    ] = DEFAULTS.hidden
    activation: Annotated[
        str, PlainValidator(_raising(_check_activation)), WithJsonSchema(schema.value("activation"))
    ] = DEFAULTS.activation
    builder: str | None = Field(
        default=None,
        json_schema_extra={"pattern": functions.PATTERN},
        description="python:module:function, which returns any Keras model instead; called with the hyperparameters",
    )


class ObjectiveSpec(_Section):
    """What the sampler improves."""

    metric: Metric = "val_loss"
    direction: Literal["maximize", "minimize"] | None = Field(
        default=None, description="the metric's better end, unless given"
    )

    @property
    def resolved_direction(self) -> str:
        """Return the direction, taken from the metric where the file does not say it."""
        return self.direction or direction_of(self.metric)


class EarlyStoppingSpec(_Section):
    """When a trial's own curve counts as flat; the semantics of Keras's EarlyStopping with restored best weights."""

    monitor: Metric = "val_loss"
    patience: Whole = Field(default=5, ge=0, description="epochs without improvement before stopping")
    min_delta: float = Field(default=0.0, ge=0, description="smallest change that counts as an improvement")


class TrainingSpec(_Section):
    """How long a trial trains."""

    epochs: Whole = Field(default=50, ge=1, le=1_000_000)
    timeout_seconds: float | None = Field(
        default=None, gt=0, description="a trial that trains longer ends as `timeout` after its epoch; null: no limit"
    )
    early_stopping: EarlyStoppingSpec | None = Field(
        default=EarlyStoppingSpec(), description="null trains all epochs and keeps the last one's weights"
    )


class BudgetSpec(_Section):
    """How much a sweep may spend."""

    trials: Whole = Field(default=100, ge=1, le=1_000_000, description="trials that end in the budget")
    seconds: float | None = Field(default=None, gt=0, description="wall time over all runs of the sweep")


class SamplerSpec(_Section):
    """Who chooses the next point."""

    kind: Literal["tpe", "random"] = "tpe"
    window: Few | None = Field(
        default=None, description="suggestions ahead of the results told; from the budget if null"
    )


class PrunerSpec(_Section):
    """Who ends trials that are worse than others."""

    kind: Literal["none"] = "none"


class TrainerSpec(_Section):
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


class ResourcesSpec(_Section):
    """What a sweep may use; does not change its results."""

    trainers: Few | None = Field(default=None, description="training processes; null: one per core")
    silence_seconds: float = Field(
        default=3600.0, gt=0, description="a trial that reports no epoch for so long ends as `timeout`"
    )
    hung_seconds: float = Field(
        default=60.0, gt=0, description="a training process that gives no sign of life for so long is replaced"
    )


class SweepSpec(_Section):
    """A sweep file, checked; the one description of what a sweep does."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=100, description="unique in a ledger")
    description: str | None = None
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
    objective: ObjectiveSpec = ObjectiveSpec()
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

    def __reduce__(self) -> tuple[Any, ...]:
        return SweepSpec.model_validate, (self.to_json(),)

    def __deepcopy__(self, memo: Any = None) -> Self:
        return self  # frozen all through

    @property
    def defaults(self) -> Hyperparameters:
        """Return the knobs that are not searched, at their values; searched ones at their defaults."""
        return Hyperparameters.of({"hidden": self.network.hidden, "activation": self.network.activation, **self.fixed})

    @property
    def default_params(self) -> dict[str, Any]:
        """Return the hyperparameters of a trial but for those that are searched; where those have defaults, these.

        A builder is given what training needs and what the sweep file names: it need not know the other knobs.
        """
        knobs = self.defaults.to_params()
        if self.network.builder is None:
            return knobs
        return {name: knobs[name] for name in TRAINING_KNOBS} | dict(self.fixed)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of everything that identifies the sweep."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def window(self) -> int:
        """Return how many suggestions may be ahead of the results told to the sampler."""
        return self.sampler.window or window(self.budget.trials)

    def identity(self) -> dict[str, Any]:
        """Return what identifies the sweep, as plain JSON."""
        return {key: value for key, value in self.to_json().items() if key not in NOT_IDENTITY}

    def to_json(self) -> dict[str, Any]:
        """Return the whole file, defaults filled in, as plain JSON that `check` takes back."""
        plain = self.model_dump(mode="json")
        elsewhere = [*self.space, *self.fixed]  # a knob may be set once
        if self.network.builder is None:
            del plain["network"]["builder"]  # files from before there were builders are the same sweeps
        else:
            elsewhere += ["hidden", "activation"]
        for knob in elsewhere:
            plain["network"].pop(knob, None)
        return plain

    def to_yaml(self) -> str:
        """Return the whole file, defaults filled in, as YAML that `load` reads back."""
        return documents.write(self.to_json())
