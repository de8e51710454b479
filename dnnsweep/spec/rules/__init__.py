"""Rules across the sections of a sweep file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from dnnsweep import user_functions
from dnnsweep.errors import Mistake
from dnnsweep.records import N_PARAMETERS, Task, metrics_for, scores_for
from dnnsweep.space import (
    KNOBS,
    TRIAL_FIELDS,
    Layers,
    Searched,
    closest_name,
    did_you_mean,
    is_conditional,
    leaves,
    parse_space,
    parse_values,
    yaml_text,
)
from dnnsweep.spec.mistakes import Location
from dnnsweep.spec.rules import conditions, data, objectives, sampling, training
from dnnsweep.spec.sections import SweepSpec
from dnnsweep.spec.training import METRICS

_OBJECTIVE: Final = "objective"
_MONITOR: Final = "training.early_stopping.monitor"
_PLATEAU_MONITOR: Final = f"{training.PLATEAU}.monitor"
_MORE: Final = "training.metrics"


def broken_rules(document: Mapping[str, Any], invalid: Sequence[Location]) -> list[Mistake]:
    """Find the rules across sections that a sweep file breaks.

    Args:
        document: Sweep file as plain data.
        invalid: Locations that are wrong in themselves; rules that read one of them are skipped.
    """
    spec = _validate_rest(document, invalid)
    mistakes = list(_check_document(document))
    locations = [location for location in invalid if location and location[0] in SweepSpec.model_fields]
    if spec is not None:
        for reads, rule in _RULES:
            if not any(_overlap(location, path) for location in locations for path in reads):
                mistakes += rule(spec)
    return mistakes


def _validate_rest(document: Mapping[str, Any], invalid: Sequence[Location]) -> SweepSpec | None:
    """Read a sweep file without its invalid parts; return None if too little is left."""
    try:
        return SweepSpec.model_validate({"name": "unnamed", "dataset": {}, **_without(document, invalid)})
    except ValidationError:
        return None


def _without(data: Mapping[str, Any], locations: Sequence[Location]) -> dict[str, Any]:
    inside: dict[Any, list[Location]] = {}
    for key, *rest in locations:
        inside.setdefault(key, []).append(tuple(rest))
    kept = {key: value for key, value in data.items() if key not in inside}
    for key, deeper in inside.items():
        inner = data.get(key)
        if isinstance(inner, Mapping) and all(deeper):
            kept[key] = _without(inner, deeper)
        elif (
            isinstance(inner, list)
            and all(isinstance(entry, Mapping) for entry in inner)
            and all(location[1:] for location in deeper)
        ):
            kept[key] = [
                _without(entry, [location[1:] for location in deeper if location[0] == index])
                for index, entry in enumerate(inner)
            ]
    return kept


def _overlap(location: Location, path: str) -> bool:
    """Return whether a location and a path are the same, or one contains the other."""
    return all(part == other for part, other in zip(location, path.split("."), strict=False))


def _check_document(document: Mapping[str, Any]) -> Iterator[Mistake]:
    yield from _check_set_once(document)
    yield from _check_enqueued(document)
    yield from _check_builder(document)
    yield from _check_grid_space(document)


def _check_grid_space(document: Mapping[str, Any]) -> Iterator[Mistake]:
    """Check that a grid has a space, as there is no default one for it."""
    if _mapping(document.get("sampler")).get("kind") == "grid" and "space" not in document:
        remedy = "add, for example, dropout: [0.0, 0.2, 0.4]"
        yield Mistake("space", "must list what a grid tries", "nothing", remedy)


def _check_set_once(document: Mapping[str, Any]) -> Iterator[Mistake]:
    """Check that a knob is set in one of `space`, `fixed` and `network`; a conditional one may be fixed as well."""
    sections = {name: _mapping(document.get(name)) for name in ("space", "fixed", "network")}
    builder_names = [name for name in sections["space"] if isinstance(name, str) and name not in KNOBS]
    for knob in (*KNOBS, *builder_names):
        holders = [section for section, names in sections.items() if knob in names]
        if holders == ["space", "fixed"] and is_conditional(sections["space"][knob]):
            continue
        if len(holders) > 1:
            remedy = f"remove all but one of {', '.join(f'{section}.{knob}' for section in holders)}"
            yield Mistake(f"{holders[0]}.{knob}", f"{knob} may be set once", f"it in {' and '.join(holders)}", remedy)


def _mapping(raw: Any) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}


def _check_enqueued(document: Mapping[str, Any]) -> Iterator[Mistake]:
    """Check that configurations to try first lie in the search space."""
    raw, entries = document.get("space", {}), document.get("enqueue")
    if not isinstance(raw, Mapping) or not isinstance(entries, list):
        return
    has_builder = bool(_mapping(document.get("network")).get("builder"))
    domains = parse_space("space", raw, tuple(TRIAL_FIELDS) if has_builder else None)[0]
    searched = {name if name in KNOBS or has_builder else closest_name(name, tuple(KNOBS)) for name in raw}
    for index, entry in enumerate(entries):
        for name, value in _knobs(entry, has_builder=has_builder).items():
            path = f"enqueue.{index}.{name}"
            if name not in searched:
                rule = "must be a hyperparameter that is searched"
                yield Mistake(path, rule, yaml_text(name), "remove it here or add it to space")
            elif name in domains and not domains[name].contains(value):
                rule = f"must be in its domain {yaml_text(domains[name].to_json())}"
                yield Mistake(path, rule, yaml_text(value), _outside_remedy(domains[name], value))


def _outside_remedy(domain: Searched, value: Any) -> str:
    has_layers = any(isinstance(leaf, Layers) for _, leaf in leaves(domain))
    if has_layers and isinstance(value, tuple) and len(set(value)) > 1:
        return "give every layer the same units"
    return "widen the domain or change the value"


def _knobs(entry: Any, *, has_builder: bool) -> dict[str, Any]:
    values = {name: raw for name, raw in _mapping(entry).items() if has_builder or name in KNOBS}
    return parse_values("", values, tuple(TRIAL_FIELDS))[0]


def _check_builder(document: Mapping[str, Any]) -> Iterator[Mistake]:
    """Check that nothing else describes the network of a builder."""
    network = _mapping(document.get("network"))
    for key in ("hidden", "activation") if network.get("builder") else ():
        if key in network:
            rule = "belongs to networks without a builder"
            yield Mistake(f"network.{key}", rule, yaml_text(network[key]), "move it to fixed if the builder takes it")


def _check_metric(spec: SweepSpec) -> list[Mistake]:
    return _not_computed(spec, _task_of(spec), (_OBJECTIVE,))


def _check_monitor(spec: SweepSpec) -> list[Mistake]:
    return _not_computed(spec, _task_of(spec), (_MONITOR,))


def _check_plateau_monitor(spec: SweepSpec) -> list[Mistake]:
    return _not_computed(spec, _task_of(spec), (_PLATEAU_MONITOR,))


def _check_more_metrics(spec: SweepSpec) -> list[Mistake]:
    return _not_computed(spec, _task_of(spec), (_MORE,))


def _task_of(spec: SweepSpec) -> Task | None:
    return None if spec.task == "auto" else Task(spec.task)


def unmeasured(spec: SweepSpec, task: Task) -> list[Mistake]:
    """Find the metrics in a sweep file that are not computed for a task."""
    return _not_computed(spec, task, (_OBJECTIVE, _MONITOR, _PLATEAU_MONITOR, _MORE))


def valueless(spec: SweepSpec, undefined: Mapping[str, str]) -> list[Mistake]:
    """Find the metrics that trials are judged by although they have no value on the validation rows.

    Args:
        spec: The checked sweep file.
        undefined: Metrics that have no value -> what the validation rows hold.
    """
    named = _named_metrics(spec)
    remedy = "name val_loss, or change how dataset.split, dataset.validation or dataset.seed choose these rows"
    return [
        Mistake(path, f"{metric} has no value on these data", undefined[metric], remedy)
        for section in (_OBJECTIVE, _MONITOR, _PLATEAU_MONITOR)
        for path, metric in named[section].items()
        if metric in undefined
    ]


def _named_metrics(spec: SweepSpec) -> dict[str, dict[str, str]]:
    """Return the metrics that each section names, by their paths."""
    monitors = {_MONITOR: spec.training.early_stopping, _PLATEAU_MONITOR: spec.training.reduce_on_plateau}
    return {
        _OBJECTIVE: {f"{path}.metric": objective.metric for path, objective in objectives.by_path(spec)},
        **{path: {} if rule is None else {path: rule.monitor} for path, rule in monitors.items()},
        _MORE: {f"{_MORE}.{index}": name for index, name in enumerate(spec.training.metrics)},
    }


def _not_computed(spec: SweepSpec, task: Task | None, sections: Sequence[str]) -> list[Mistake]:
    named = _named_metrics(spec)
    measured = METRICS if task is None else (*metrics_for(task), *scores_for(task))
    mistakes = []
    for section in sections:
        allowed = (*measured, N_PARAMETERS) if section == _OBJECTIVE else measured
        rule = f"must be one of {', '.join(allowed)}{'' if task is None else f' (the task is {task})'}"
        wrong = {path: got for path, got in named[section].items() if got not in allowed}
        mistakes += [Mistake(path, rule, yaml_text(got), _metric_remedy(got, allowed)) for path, got in wrong.items()]
    return mistakes


def _metric_remedy(got: object, allowed: Sequence[str]) -> str:
    """Return the remedy for a metric; one of another task hints that the task was read wrongly from the target."""
    if got == N_PARAMETERS:
        return "it is the same in all epochs, so only an objective can name it"
    return "name one of these, or set `task:`" if got in METRICS else did_you_mean(got, allowed)


def _check_slots(spec: SweepSpec) -> Iterator[Mistake]:
    if spec.trainer.kind == "fit" and spec.trainer.slots is not None:
        rule = "belongs to arrays only"
        yield Mistake("trainer.slots", rule, yaml_text(spec.trainer.slots), "remove it or write kind: array")


def _check_function(spec: SweepSpec) -> Iterator[Mistake]:
    builder = spec.network.builder
    if builder is not None and not re.fullmatch(user_functions.PATTERN, builder):
        yield Mistake("network.builder", "must name a function", yaml_text(builder), "write python:MODULE:FUNCTION")


def _check_trainer(spec: SweepSpec) -> Iterator[Mistake]:
    if spec.network.builder is not None and spec.trainer.kind == "array":
        rule = "must be auto or fit for a builder's networks"
        yield Mistake("trainer.kind", rule, yaml_text("array"), "remove it, as auto takes the fastest way")


#: The paths that a rule reads, and the rule.
_RULES: Final[Sequence[tuple[Sequence[str], Callable[[SweepSpec], Any]]]] = (
    (("dataset.source",), data.check_source),
    (("dataset.source", "dataset.target", "dataset.drop"), data.check_columns),
    (("dataset",), data.check_reading),
    (("dataset",), data.check_roles),
    (("dataset.validation", "dataset.test", "dataset.folds"), data.check_fractions),
    (("dataset",), data.check_redrawn),
    (("dataset.class_weight", "task"), data.check_class_weight),
    (("objective.metric",), _check_metric),
    ((_MONITOR,), _check_monitor),
    ((_PLATEAU_MONITOR,), _check_plateau_monitor),
    ((_MORE,), _check_more_metrics),
    (("training.early_stopping.start_from_epoch", "training.epochs"), training.check_warm_up),
    ((training.PLATEAU, "space.schedule", "fixed.schedule"), training.check_plateau),
    ((training.FLOOR, "space.learning_rate", "fixed.learning_rate"), training.check_floor),
    (("objective",), objectives.check_direction),
    (("objective", "budget", "pruner", "sampler.kind"), objectives.check_pair),
    (("enqueue", "budget.trials"), sampling.check_enqueue_fits),
    (("sampler", "space", "fixed", "network", "enqueue"), sampling.check_grid),
    (("sampler", "space"), sampling.check_sampler),
    (("pruner",), training.check_pruner),
    (("pruner", "training.epochs"), training.check_rungs),
    (("sampler.kind", "space", "fixed", "network"), conditions.check_conditions),
    (("space", "fixed", "network", "enqueue"), conditions.check_entries),
    (("sampler",), sampling.check_population),
    (("trainer",), _check_slots),
    (("network.builder",), _check_function),
    (("trainer", "network"), _check_trainer),
)
