"""What the sections of a sweep file ask of each other."""

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
from dnnsweep.spec.sections import TAKEN, SweepSpec
from dnnsweep.spec.training import METRICS

_OBJECTIVE: Final = "objective"
_MONITOR: Final = "training.early_stopping.monitor"
_PLATEAU_MONITOR: Final = f"{training.PLATEAU}.monitor"
_MORE: Final = "training.metrics"


def broken(document: Mapping[str, Any], wrong: Sequence[Location]) -> list[Mistake]:
    """Find what sections ask of each other in vain.

    Args:
        document: The sweep file as plain data.
        wrong: Places that are wrong in themselves; a rule that reads one of them is left out, all others hold.
    """
    spec = _rest(document, wrong)
    found = list(_broken_by(document))
    places = [place for place in wrong if place and place[0] in SweepSpec.model_fields]  # no rule reads others
    if spec is not None:
        for reads, rule in _RULES:
            if not any(_overlap(place, read) for place in places for read in reads):
                found += rule(spec)
    return found


def _rest(document: Mapping[str, Any], wrong: Sequence[Location]) -> SweepSpec | None:
    """Read what is left of a sweep file without its wrong places."""
    try:
        return SweepSpec.model_validate({"name": "unnamed", "dataset": {}, **_without(document, wrong)})
    except ValidationError:
        return None


def _without(data: Mapping[str, Any], places: Sequence[Location]) -> dict[str, Any]:
    inside: dict[Any, list[Location]] = {}
    for key, *rest in places:
        inside.setdefault(key, []).append(tuple(rest))
    right = {key: value for key, value in data.items() if key not in inside}
    for key, deeper in inside.items():
        inner = data.get(key)
        if isinstance(inner, Mapping) and all(deeper):
            right[key] = _without(inner, deeper)
        elif (
            isinstance(inner, list) and all(isinstance(item, Mapping) for item in inner) and all(map(_rest_of, deeper))
        ):
            right[key] = [
                _without(item, [place[1:] for place in deeper if place[0] == index]) for index, item in enumerate(inner)
            ]
    return right


def _rest_of(place: Location) -> Location:
    return place[1:]


def _overlap(place: Location, path: str) -> bool:
    """Return whether one is the other or contains it."""
    return all(here == there for here, there in zip(place, path.split("."), strict=False))


def _broken_by(document: Mapping[str, Any]) -> Iterator[Mistake]:
    yield from _check_set_once(document)
    yield from _check_enqueued(document)
    yield from _check_builder(document)


def _check_set_once(document: Mapping[str, Any]) -> Iterator[Mistake]:
    """A knob may be set in one of `space`, `fixed` and `network` only; a conditional one has a value beside them."""
    places = {place: _mapping(document.get(place)) for place in ("space", "fixed", "network")}
    own = [name for name in places["space"] if isinstance(name, str) and name not in KNOBS]
    for knob in (*KNOBS, *own):
        found = [place for place, names in places.items() if knob in names]
        if found == ["space", "fixed"] and is_conditional(places["space"][knob]):
            continue
        if len(found) > 1:
            remedy = f"remove all but one of {', '.join(f'{place}.{knob}' for place in found)}"
            yield Mistake(f"{found[0]}.{knob}", f"{knob} may be set once", f"it in {' and '.join(found)}", remedy)


def _mapping(raw: Any) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}


def _check_enqueued(document: Mapping[str, Any]) -> Iterator[Mistake]:
    """What is tried first must lie in the search space."""
    raw, entries = document.get("space", {}), document.get("enqueue")
    if not isinstance(raw, Mapping) or not isinstance(entries, list):
        return
    has_builder = bool(_mapping(document.get("network")).get("builder"))
    domains = parse_space("space", raw, TAKEN if has_builder else None)[0]
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
    known = {name: raw for name, raw in _mapping(entry).items() if has_builder or name in KNOBS}
    return parse_values("", known, TAKEN)[0]


def _check_builder(document: Mapping[str, Any]) -> Iterator[Mistake]:
    """What a builder returns is the whole network."""
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
    """Find the metrics that a sweep file names and that are not computed for a task."""
    return _not_computed(spec, task, (_OBJECTIVE, _MONITOR, _PLATEAU_MONITOR, _MORE))


def _not_computed(spec: SweepSpec, task: Task | None, sections: Sequence[str]) -> list[Mistake]:
    monitors = {_MONITOR: spec.training.early_stopping, _PLATEAU_MONITOR: spec.training.reduce_on_plateau}
    named = {
        _OBJECTIVE: {f"{path}.metric": one.metric for path, one in objectives.named(spec)},
        **{path: {} if rule is None else {path: rule.monitor} for path, rule in monitors.items()},
        _MORE: {f"{_MORE}.{index}": name for index, name in enumerate(spec.training.metrics)},
    }
    measured = METRICS if task is None else (*metrics_for(task), *scores_for(task))
    mistakes = []
    for section in sections:
        known = (*measured, N_PARAMETERS) if section == _OBJECTIVE else measured
        rule = f"must be one of {', '.join(known)}{'' if task is None else f' (the task is {task})'}"
        wrong = {path: got for path, got in named[section].items() if got not in known}
        mistakes += [Mistake(path, rule, yaml_text(got), _metric_remedy(got, known)) for path, got in wrong.items()]
    return mistakes


def _metric_remedy(got: object, known: Sequence[str]) -> str:
    """A metric of another task says that the task was read wrongly from the target, or that it was mistaken."""
    if got == N_PARAMETERS:
        return "it is the same in all epochs, so only an objective can name it"
    return "name one of these, or say the task by `task:`" if got in METRICS else did_you_mean(got, known)


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
        rule = "must be auto or fit for networks of a builder"
        yield Mistake("trainer.kind", rule, yaml_text("array"), "remove it: auto takes the fastest way")


#: The places that a rule reads, and the rule.
_RULES: Final[Sequence[tuple[Sequence[str], Callable[[SweepSpec], Any]]]] = (
    (("dataset.source",), data.check_source),
    (("dataset.source", "dataset.target", "dataset.drop"), data.check_columns),
    (("dataset",), data.check_roles),
    (("dataset.validation", "dataset.test"), data.check_fractions),
    (("dataset.class_weight", "task"), data.check_class_weight),
    (("objective.metric",), _check_metric),
    ((_MONITOR,), _check_monitor),
    ((_PLATEAU_MONITOR,), _check_plateau_monitor),
    ((_MORE,), _check_more_metrics),
    (("training.early_stopping.start_from_epoch", "training.epochs"), training.check_warm_up),
    ((training.PLATEAU, "space.schedule", "fixed.schedule"), training.check_plateau),
    ((training.FLOOR, "space.learning_rate", "fixed.learning_rate"), training.check_floor),
    (("objective",), objectives.check_direction),
    (("objective", "budget.target", "pruner", "sampler.kind"), objectives.check_pair),
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
