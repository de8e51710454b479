"""The sweep file: read, checked as a whole, frozen."""

from __future__ import annotations

import copy
import hashlib
import json
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from dnnsweep import documents, schema
from dnnsweep.errors import Mistake, SpecError
from dnnsweep.records import Task, direction_of, metrics_of
from dnnsweep.space import (
    KNOBS,
    Hyperparameters,
    SearchSpace,
    parse_space,
    parse_value,
    parse_values,
    show,
    suggest,
    unknown,
)

#: Changing these does not make another sweep.
NOT_IDENTITY: Final = ("budget", "resources", "description")
METRICS: Final = tuple(dict.fromkeys(metric for task in Task for metric in metrics_of(task)))
SKLEARN: Final = ("digits", "breast_cancer", "wine", "iris", "diabetes")
HANDED_OVER: Final = "arrays:"
DEFAULTS: Final = Hyperparameters()


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _raising(parse: Callable[[Any], tuple[Any, list[Mistake]]]) -> Callable[[Any], Any]:
    def validate(raw: Any) -> Any:
        good, mistakes = parse(raw)
        if mistakes:
            raise PydanticCustomError("mistakes", "mistakes", {"mistakes": mistakes})
        return good

    return validate


def _nothing() -> Mapping[str, Any]:
    return types.MappingProxyType({})


def _check_widths(raw: Any) -> tuple[Any, list[Mistake]]:
    return parse_value("network.hidden", KNOBS["hidden"], raw)


def _check_activation(raw: Any) -> tuple[Any, list[Mistake]]:
    return parse_value("network.activation", KNOBS["activation"], raw)


def _check_space(raw: Any) -> tuple[Any, list[Mistake]]:
    good, mistakes = parse_space("space", {} if raw is None else raw)
    return types.MappingProxyType(good), mistakes


def _check_fixed(raw: Any) -> tuple[Any, list[Mistake]]:
    good, mistakes = parse_values("fixed", {} if raw is None else raw)
    return types.MappingProxyType(good), mistakes


def _check_enqueue(raw: Any) -> tuple[Any, list[Mistake]]:
    if not isinstance(raw, list):
        return (), [Mistake("enqueue", "must be a list of configurations", show(raw))]
    parsed = [parse_values(f"enqueue.{index}", entry) for index, entry in enumerate(raw)]
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
    seed: int = Field(default=0, ge=0, lt=2**32, description="of the split")


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


class ObjectiveSpec(_Section):
    """What the sampler improves."""

    metric: str = Field(default="val_loss", description=f"one of {', '.join(METRICS)}")
    direction: Literal["maximize", "minimize"] | None = Field(
        default=None, description="the metric's better end, unless given"
    )

    @property
    def resolved_direction(self) -> str:
        """Return the direction, taken from the metric where the file does not say it."""
        return self.direction or direction_of(self.metric)


class EarlyStoppingSpec(_Section):
    """When a trial's own curve counts as flat; the semantics of Keras's EarlyStopping with restored best weights."""

    monitor: str = Field(default="val_loss", description=f"one of {', '.join(METRICS)}")
    patience: int = Field(default=5, ge=0, description="epochs without improvement before stopping")
    min_delta: float = Field(default=0.0, ge=0, description="smallest change that counts as an improvement")


class TrainingSpec(_Section):
    """How long a trial trains."""

    epochs: int = Field(default=50, ge=1, le=1_000_000)
    early_stopping: EarlyStoppingSpec | None = Field(
        default=EarlyStoppingSpec(), description="null trains all epochs and keeps the last one's weights"
    )


class BudgetSpec(_Section):
    """How much a sweep may spend."""

    trials: int = Field(default=100, ge=1, le=1_000_000, description="trials that end in the budget")
    seconds: float | None = Field(default=None, gt=0, description="wall time over all runs of the sweep")


class SamplerSpec(_Section):
    """Who chooses the next point."""

    kind: Literal["tpe", "random"] = "tpe"
    window: int | None = Field(
        default=None, ge=1, le=1024, description="suggestions ahead of the results told; from the budget if null"
    )


class PrunerSpec(_Section):
    """Who ends trials that are worse than others."""

    kind: Literal["none"] = "none"


class ResourcesSpec(_Section):
    """What a sweep may use; does not change its results."""

    trainers: int | None = Field(default=None, ge=1, le=1024, description="training processes; null: one per core")


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
        PlainValidator(_raising(_check_space)),
        PlainSerializer(_plain_space),
        WithJsonSchema(schema.space()),
    ] = Field(default_factory=_nothing, description="what is searched: hyperparameter -> domain")
    fixed: Annotated[
        Mapping[str, Any],
        PlainValidator(_raising(_check_fixed)),
        PlainSerializer(_plain_values),
        WithJsonSchema(schema.values()),
    ] = Field(default_factory=_nothing, description="hyperparameters that are not searched")
    objective: ObjectiveSpec = ObjectiveSpec()
    training: TrainingSpec = TrainingSpec()
    budget: BudgetSpec = BudgetSpec()
    sampler: SamplerSpec = SamplerSpec()
    pruner: PrunerSpec = PrunerSpec()
    enqueue: Annotated[
        tuple[Mapping[str, Any], ...],
        PlainValidator(_raising(_check_enqueue)),
        PlainSerializer(_plain_enqueue),
        WithJsonSchema({"type": "array", "items": schema.values()}),
    ] = Field(default=(), description="configurations to try first")
    seed: int = Field(default=0, ge=0, lt=2**32, description="of sampling, weights, row order and dropout")
    resources: ResourcesSpec = ResourcesSpec()

    @property
    def defaults(self) -> Hyperparameters:
        """Return the knobs that are not searched, at their values; searched ones at their defaults."""
        return Hyperparameters.of({"hidden": self.network.hidden, "activation": self.network.activation, **self.fixed})

    @property
    def digest(self) -> str:
        """Return the SHA-256 of everything that identifies the sweep."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def identity(self) -> dict[str, Any]:
        """Return what identifies the sweep, as plain JSON."""
        return {key: value for key, value in self.to_json().items() if key not in NOT_IDENTITY}

    def to_json(self) -> dict[str, Any]:
        """Return the whole file, defaults filled in, as plain JSON."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Return the whole file, defaults filled in, as YAML that `load` reads back."""
        return documents.write(self.to_json())


def json_schema() -> dict[str, Any]:
    """Return the sweep file's JSON Schema."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SweepSpec.model_json_schema()}


def load(path: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read and check a sweep file.

    Args:
        path: A YAML file.
        overrides: `path=value` strings that replace parts of it, checked in the same way.

    Raises:
        SpecError: Anything is wrong; carries every mistake.
    """
    return check(documents.override(documents.read(Path(path)), overrides))


def check(document: Any) -> SweepSpec:
    """Check a sweep file that was read already.

    Args:
        document: Plain mappings, lists and scalars.

    Raises:
        SpecError: Anything is wrong; carries every mistake.
    """
    if not isinstance(document, Mapping):
        raise SpecError([Mistake("sweep file", "must be a mapping of sections", show(document), "begin with `name:`")])
    plain = _listed(document)
    try:
        spec, mistakes = SweepSpec.model_validate(plain), []
    except ValidationError as error:
        spec, mistakes = None, _translate(error)
    found = [
        *_cross_check(plain, [mistake.path for mistake in mistakes]),
        *_check_enqueued(plain),
        *_check_set_once(plain),
    ]
    if mistakes or found or spec is None:
        raise SpecError(dict.fromkeys([*mistakes, *found]))
    return spec


def check_task(spec: SweepSpec, task: Task) -> None:
    """Check the metrics that a sweep file names against the task of its data.

    Raises:
        SpecError: A metric is not computed for this task.
    """
    mistakes = _metric_mistakes(spec, metrics_of(task), f" (the task is {task})")
    if mistakes:
        raise SpecError(mistakes)


def difference(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """List what differs between two plain sweep files, a line for each path.

    Example:
        >>> difference({"seed": 0, "name": "a"}, {"seed": 1, "name": "a"})
        ['seed: was 0, is 1']
    """
    lines: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        where = f"{path}.{key}" if path else str(key)
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += difference(before, after, where)
        elif before != after:
            lines.append(f"{where}: was {show(before)}, is {show(after)}")
    return lines


def _listed(value: Any) -> Any:
    """Turn tuples into lists, so that a mapping written in Python is checked like one read from YAML."""
    if isinstance(value, Mapping):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


def _cross_check(document: Mapping[str, Any], wrong: Sequence[str]) -> list[Mistake]:
    """Check what sections ask of each other, on what is left when all that is wrong in itself is dropped."""
    right = {key: copy.deepcopy(value) for key, value in document.items() if key != "enqueue"}
    for path in wrong:
        keys = path.split(".")
        _drop(right, keys[:2] if keys[0] == "space" else keys)
    try:
        spec = SweepSpec.model_validate({"name": "unnamed", "dataset": {}, **right})
    except ValidationError:
        return []
    mistakes = [mistake for rule in _CROSS_RULES for mistake in rule(spec)]
    return [mistake for mistake in mistakes if not any(path.startswith(mistake.path) for path in wrong)]


def _drop(data: dict[Any, Any], keys: Sequence[str]) -> None:
    for key in [key for key in data if str(key) == keys[0]]:
        if isinstance(data[key], dict) and len(keys) > 1:
            _drop(data[key], keys[1:])
        else:
            del data[key]


def _check_set_once(document: Mapping[str, Any]) -> list[Mistake]:
    """A knob may be set in one of `space`, `fixed` and `network` only."""
    places = {name: document[name] for name in ("space", "fixed", "network") if isinstance(document.get(name), Mapping)}
    mistakes = []
    for knob in KNOBS:
        found = [place for place, values in places.items() if knob in values]
        if len(found) > 1:
            rule = f"{knob} may be set once"
            got = f"{' and '.join(found)}"
            mistakes.append(Mistake(f"{found[0]}.{knob}", rule, got, f"remove {found[-1]}.{knob} or {found[0]}.{knob}"))
    return mistakes


def _check_enqueued(document: Mapping[str, Any]) -> list[Mistake]:
    """What is tried first must lie in the search space."""
    raw, entries = document.get("space") or {}, document.get("enqueue")
    if not isinstance(raw, Mapping) or not isinstance(entries, list):
        return []
    domains = parse_space("space", raw)[0]
    mistakes = []
    for index, entry in enumerate(entries):
        for name, value in parse_values(f"enqueue.{index}", entry)[0].items():
            path = f"enqueue.{index}.{name}"
            if name not in raw:
                remedy = "remove it here or add it to space"
                mistakes.append(Mistake(path, "must be a hyperparameter that is searched", show(name), remedy))
            elif name in domains and not domains[name].contains(value):
                rule = f"must be in its domain {show(domains[name].to_json())}"
                mistakes.append(Mistake(path, rule, show(value), "widen the domain or change the value"))
    return mistakes


def _check_dataset(spec: SweepSpec) -> list[Mistake]:
    dataset = spec.dataset
    kind, colon, name = dataset.source.partition(":")
    known = ("sklearn", "csv", "npz", "arrays")
    if kind not in known or not colon:
        remedy = suggest(kind, known) or "write sklearn:NAME, csv:PATH or npz:PATH"
        return [Mistake("dataset.source", "must name a known kind of source", show(dataset.source), remedy)]
    return [*_check_source(dataset, kind, name), *_check_columns(dataset, kind), *_check_fractions(dataset)]


def _check_source(dataset: DatasetSpec, kind: str, name: str) -> list[Mistake]:
    if kind == "sklearn" and name not in SKLEARN:
        rule = f"must be one of {', '.join(f'sklearn:{known}' for known in SKLEARN)}"
        return [Mistake("dataset.source", rule, show(dataset.source), suggest(name, SKLEARN))]
    if kind in ("csv", "npz") and not name:
        return [Mistake("dataset.source", "must name a file", show(dataset.source), f"write {kind}:PATH")]
    return []


def _check_columns(dataset: DatasetSpec, kind: str) -> list[Mistake]:
    if kind == "csv" and dataset.target is None:
        return [Mistake("dataset.target", "is missing", "", "name the column of the csv file to predict")]
    if kind == "csv" and dataset.target in dataset.drop:
        return [Mistake("dataset.drop", "must not contain the target", show(dataset.target))]
    given = {"target": dataset.target, "drop": list(dataset.drop)} if kind != "csv" else {}
    rule = "belongs to csv sources only"
    return [Mistake(f"dataset.{key}", rule, show(value), "remove it") for key, value in given.items() if value]


def _check_fractions(dataset: DatasetSpec) -> list[Mistake]:
    if dataset.validation + dataset.test < 1:
        return []
    got = f"validation={dataset.validation:g} and test={dataset.test:g}"
    return [Mistake("dataset.validation", "must leave rows to train on beside the test rows", got, "lower one of them")]


def _check_metrics(spec: SweepSpec) -> list[Mistake]:
    if spec.task == "auto":
        return _metric_mistakes(spec, METRICS, "")
    return _metric_mistakes(spec, metrics_of(Task(spec.task)), f" (the task is {spec.task})")


def _metric_mistakes(spec: SweepSpec, known: Sequence[str], because: str) -> list[Mistake]:
    named = {"objective.metric": spec.objective.metric}
    if spec.training.early_stopping is not None:
        named["training.early_stopping.monitor"] = spec.training.early_stopping.monitor
    rule = f"must be one of {', '.join(known)}{because}"
    return [Mistake(path, rule, show(got), suggest(got, known)) for path, got in named.items() if got not in known]


def _check_direction(spec: SweepSpec) -> list[Mistake]:
    metric, direction = spec.objective.metric, spec.objective.direction
    better = direction_of(metric)
    if metric not in METRICS or direction in (None, better):
        return []
    rule = f"{metric} gets better towards {better}"
    return [Mistake("objective.direction", rule, show(direction), f"write {better} or leave it out")]


def _check_enqueue_fits(spec: SweepSpec) -> list[Mistake]:
    if len(spec.enqueue) <= spec.budget.trials:
        return []
    got = f"{len(spec.enqueue)} configurations and budget.trials={spec.budget.trials}"
    return [Mistake("enqueue", "must not hold more configurations than trials", got, "raise budget.trials")]


_CROSS_RULES: Final[tuple[Callable[[SweepSpec], list[Mistake]], ...]] = (
    _check_dataset,
    _check_metrics,
    _check_direction,
    _check_enqueue_fits,
)

_RULES: Final = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_pattern_mismatch": "must consist of letters, digits, - and _",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
}


def _translate(error: ValidationError) -> list[Mistake]:
    mistakes: list[Mistake] = []
    for detail in error.errors():
        context = detail.get("ctx", {})
        if detail["type"] == "mistakes":
            mistakes += context["mistakes"]
        elif detail["type"] == "extra_forbidden":
            *parents, key = detail["loc"]
            mistakes.append(unknown(".".join(map(str, parents)), key, _known_keys(parents)))
        else:
            mistakes.append(_mistake(detail["loc"], detail["type"], detail["msg"], detail["input"], context))
    return mistakes


def _mistake(loc: tuple[int | str, ...], kind: str, message: str, raw: Any, context: Mapping[str, Any]) -> Mistake:
    path = ".".join(map(str, loc))
    rule = _RULES.get(kind, message[0].lower() + message[1:]).format(**context)
    if kind == "missing":
        return Mistake(path, rule, "", "add it")
    remedy = "write the number without quotes" if isinstance(raw, str) and "number" in rule else ""
    if kind == "literal_error" and isinstance(raw, str):
        remedy = suggest(raw, str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", "))
    return Mistake(path, rule, show(raw), remedy)


def _known_keys(parents: Sequence[int | str]) -> tuple[str, ...]:
    model: type[BaseModel] = SweepSpec
    for parent in parents:
        annotation: Any = model.model_fields[str(parent)].annotation
        model = next(part for part in getattr(annotation, "__args__", (annotation,)) if part is not types.NoneType)
    return tuple(model.model_fields)
