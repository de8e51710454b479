"""What the sections of a sweep file ask of each other."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from dnnsweep import functions
from dnnsweep.errors import Mistake
from dnnsweep.records import N_PARAMETERS, Objective, Task, direction_of, metrics_of, scores_of
from dnnsweep.space import (
    KNOBS,
    Layers,
    Leaf,
    Range,
    Searched,
    closest,
    grid_size,
    is_conditional,
    leaves,
    parse_space,
    parse_values,
    parts_of,
    show,
    suggest,
)
from dnnsweep.spec.conditions import broken_conditions, broken_entries
from dnnsweep.spec.mistakes import Location
from dnnsweep.spec.rows import HANDED_OVER
from dnnsweep.spec.sections import METRICS, OBJECTIVES, TAKEN, SweepSpec
from dnnsweep.spec.training import (
    PLATEAU_FLOOR,
    PLATEAU_SECTION,
    broken_floor,
    broken_plateau,
    broken_pruner,
    broken_rungs,
    broken_warm_up,
)

SKLEARN: Final = ("digits", "breast_cancer", "wine", "iris", "diabetes")
KERAS: Final = ("mnist", "fashion_mnist", "cifar10", "california_housing")
KINDS: Final = ("sklearn", "keras", "csv", "parquet", "npz", "python", "arrays")
#: Kinds whose columns have names.
TABLES: Final = ("csv", "parquet")

#: The most points of a grid; their order is drawn at once.
MAX_GRID_POINTS: Final = 1_000_000

_OBJECTIVE: Final = "objective"
_MONITOR: Final = "training.early_stopping.monitor"
_PLATEAU_MONITOR: Final = f"{PLATEAU_SECTION}.monitor"
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
    searched = {name if name in KNOBS or has_builder else closest(name, tuple(KNOBS)) for name in raw}
    for index, entry in enumerate(entries):
        for name, value in _knobs(entry, has_builder=has_builder).items():
            path = f"enqueue.{index}.{name}"
            if name not in searched:
                rule = "must be a hyperparameter that is searched"
                yield Mistake(path, rule, show(name), "remove it here or add it to space")
            elif name in domains and not domains[name].contains(value):
                rule = f"must be in its domain {show(domains[name].to_json())}"
                yield Mistake(path, rule, show(value), _outside_remedy(domains[name], value))


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
            yield Mistake(f"network.{key}", rule, show(network[key]), "move it to fixed if the builder takes it")


def _check_source(spec: SweepSpec) -> Iterator[Mistake]:
    source = spec.dataset.source
    kind, colon, name = source.partition(":")
    path, got = "dataset.source", show(source)
    shelves = {"sklearn": SKLEARN, "keras": KERAS}
    if kind not in KINDS or not colon:
        remedy = suggest(kind, KINDS) or "write sklearn:NAME, keras:NAME, csv:PATH, parquet:PATH or npz:PATH"
        yield Mistake(path, "must name a known kind of source", got, remedy)
    elif kind in shelves and name not in shelves[kind]:
        rule = f"must be one of {', '.join(f'{kind}:{known}' for known in shelves[kind])}"
        yield Mistake(path, rule, got, suggest(name, shelves[kind]))
    elif kind in ("csv", "parquet", "npz") and not name.strip():
        yield Mistake(path, "must name a file", got, f"write {kind}:PATH")
    elif kind == "python" and not re.fullmatch(functions.PATTERN, source):
        yield Mistake(path, "must name a function", got, "write python:MODULE:FUNCTION")
    elif kind == "arrays" and name:
        yield Mistake(path, f"must be {HANDED_OVER} alone for arrays handed over in Python", got, "name a file instead")


def _check_columns(spec: SweepSpec) -> Iterator[Mistake]:
    dataset = spec.dataset
    kind = dataset.source.partition(":")[0]
    if kind in TABLES and not dataset.target:
        yield Mistake("dataset.target", "is missing", "", f"name the column of the {kind} file to predict")
    elif dataset.target is not None and dataset.target in dataset.drop:
        yield Mistake("dataset.drop", "must not contain the target", show(dataset.target), "remove it here")
    elif kind in KINDS and kind not in (*TABLES, "python"):  # a function may return a table
        given: dict[str, Any] = {"target": dataset.target, "drop": list(dataset.drop)}
        for key, value in given.items():
            if value:
                yield Mistake(f"dataset.{key}", "belongs to csv and parquet sources only", show(value), "remove it")


def _check_roles(spec: SweepSpec) -> Iterator[Mistake]:
    """Columns that rows are split or weighted by."""
    dataset = spec.dataset
    kind = dataset.source.partition(":")[0]
    roles = {"dataset.sample_weight": dataset.sample_weight}
    if dataset.split is not None:
        roles[f"dataset.split.{dataset.split.kind}"] = dataset.split.column
    taken: dict[str | None, str] = dict.fromkeys(dataset.drop, "is left out by dataset.drop")
    taken[dataset.target] = "is the target"
    for path, name in roles.items():
        if name is None:
            continue
        if kind in ("sklearn", "keras", "npz"):
            yield Mistake(path, "belongs to tables with named columns", show(name), "remove it")
        elif name in taken:
            yield Mistake(path, "must be a column of its own", f"{show(name)}, which {taken[name]}", "name another one")


def _check_fractions(spec: SweepSpec) -> Iterator[Mistake]:
    validation, test = spec.dataset.validation, spec.dataset.test
    if validation + test >= 1:
        got = f"validation={show(validation)} and test={show(test)}"
        yield Mistake(
            "dataset.validation", "must leave rows to train on beside the test rows", got, "lower one of them"
        )


def _check_class_weight(spec: SweepSpec) -> Iterator[Mistake]:
    weight = spec.dataset.class_weight
    if weight is not None and spec.task == "regression":
        yield Mistake("dataset.class_weight", "belongs to classes", show(weight), "remove it")


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
        _OBJECTIVE: {f"{path}.metric": one.metric for path, one in _objectives(spec)},
        **{path: {} if rule is None else {path: rule.monitor} for path, rule in monitors.items()},
        _MORE: {f"{_MORE}.{index}": name for index, name in enumerate(spec.training.metrics)},
    }
    measured = METRICS if task is None else (*metrics_of(task), *scores_of(task))
    mistakes = []
    for section in sections:
        known = (*measured, N_PARAMETERS) if section == _OBJECTIVE else measured
        rule = f"must be one of {', '.join(known)}{'' if task is None else f' (the task is {task})'}"
        wrong = {path: got for path, got in named[section].items() if got not in known}
        mistakes += [Mistake(path, rule, show(got), _metric_remedy(got, known)) for path, got in wrong.items()]
    return mistakes


def _objectives(spec: SweepSpec) -> list[tuple[str, Objective]]:
    """Return each objective with its path."""
    if len(spec.objectives) == 1:
        return [(_OBJECTIVE, spec.objectives[0])]
    return [(f"{_OBJECTIVE}.{index}", one) for index, one in enumerate(spec.objectives)]


def _metric_remedy(got: object, known: Sequence[str]) -> str:
    """A metric of another task says that the task was read wrongly from the target, or that it was mistaken."""
    if got == N_PARAMETERS:
        return "it is the same in all epochs, so only an objective can name it"
    return "name one of these, or say the task by `task:`" if got in METRICS else suggest(got, known)


def _check_direction(spec: SweepSpec) -> Iterator[Mistake]:
    for path, one in _objectives(spec):
        better = direction_of(one.metric)
        if one.metric in OBJECTIVES and one.direction != better:
            rule, remedy = f"must be {better}, the better end of {one.metric}", f"write {better} or leave it out"
            yield Mistake(f"{path}.direction", rule, show(one.direction), remedy)


def _check_two_objectives(spec: SweepSpec) -> Iterator[Mistake]:
    """What a trade-off between two objectives leaves no room for."""
    if len(spec.objectives) == 1:
        return
    first, second = (one.metric for one in spec.objectives)
    if first == second:
        yield Mistake("objective.1.metric", "must be another metric than the first one", show(second), "change one")
    if spec.budget.target is not None:
        rule, remedy = "belongs to sweeps of one objective", "remove it, or name one objective"
        yield Mistake("budget.target", rule, show(spec.budget.target), remedy)
    pruner: str = spec.pruner.kind
    if pruner != "none":
        rule = "must be none for two objectives: no value alone says that a trial is worse than others"
        yield Mistake("pruner.kind", rule, show(pruner), "remove it, or name one objective")
    if spec.sampler.kind == "cmaes":
        rule = "must be tpe, random, grid, qmc, nsga2 or gp for two objectives"
        yield Mistake("sampler.kind", rule, show(spec.sampler.kind), "take nsga2 or tpe")


def _check_enqueue_fits(spec: SweepSpec) -> Iterator[Mistake]:
    if len(spec.enqueue) > spec.budget.trials:
        got = f"{len(spec.enqueue)} with budget.trials={spec.budget.trials}"
        yield Mistake("enqueue", "must not hold more configurations than trials", got, "raise budget.trials")


def _check_grid(spec: SweepSpec) -> Iterator[Mistake]:
    """A grid is finite, and no other sampler asks for one."""
    is_grid = spec.sampler.kind == "grid"
    for path, domain in _ranges(spec):
        if is_grid and domain.n_values is None:
            yield Mistake(path, "must be finite for a grid", show(domain.to_json()), "add steps: 5, or list values")
        elif not is_grid and domain.steps is not None:
            remedy = "write sampler: {kind: grid}, or use step"
            yield Mistake(f"{path}.steps", "belongs to grids", show(domain.steps), remedy)
    if not is_grid:
        return
    size = grid_size(spec.space, spec.default_params)
    if size is not None and size > MAX_GRID_POINTS:
        rule, got = f"must make at most {MAX_GRID_POINTS} points for a grid", f"{size}"
        yield Mistake("space", rule, got, "take fewer steps, or another sampler")
    if spec.enqueue:
        got = f"{len(spec.enqueue)} configurations"
        yield Mistake("enqueue", "belongs to other samplers than a grid, which tries all", got, "remove it")


def _ranges(spec: SweepSpec) -> Iterator[tuple[str, Range]]:
    for name, domain in spec.space.items():
        for place, leaf in leaves(domain):
            for part, one in parts_of(leaf).items():
                if isinstance(one, Range):
                    yield f"space.{name}{place}{part}", one


def _check_sampler(spec: SweepSpec) -> Iterator[Mistake]:
    kind = spec.sampler.kind
    always = [part for one in spec.space.values() if isinstance(one, Leaf) for part in parts_of(one).values()]
    if kind == "cmaes" and not any(isinstance(one, Range) and one.low < one.high for one in always):
        rule = "must be tpe, random, grid or qmc where no hyperparameter is a range of numbers in every trial"
        yield Mistake("sampler.kind", rule, show(kind), "search a range, or take tpe")
    if kind == "gp" and importlib.util.find_spec("torch") is None:
        remedy = "pip install 'dnnsweep[gp]'"
        yield Mistake("sampler.kind", "needs PyTorch for Gaussian processes", show(kind), remedy)


def _check_population(spec: SweepSpec) -> Iterator[Mistake]:
    population, kind = spec.sampler.population, spec.sampler.kind
    if population is not None and kind != "nsga2":
        remedy = "remove it, or write kind: nsga2"
        yield Mistake("sampler.population", f"belongs to nsga2, not to {kind}", show(population), remedy)


def _check_slots(spec: SweepSpec) -> Iterator[Mistake]:
    if spec.trainer.kind == "fit" and spec.trainer.slots is not None:
        rule = "belongs to arrays only"
        yield Mistake("trainer.slots", rule, show(spec.trainer.slots), "remove it or write kind: array")


def _check_function(spec: SweepSpec) -> Iterator[Mistake]:
    builder = spec.network.builder
    if builder is not None and not re.fullmatch(functions.PATTERN, builder):
        yield Mistake("network.builder", "must name a function", show(builder), "write python:MODULE:FUNCTION")


def _check_trainer(spec: SweepSpec) -> Iterator[Mistake]:
    if spec.network.builder is not None and spec.trainer.kind == "array":
        rule = "must be auto or fit for networks of a builder"
        yield Mistake("trainer.kind", rule, show("array"), "remove it: auto takes the fastest way")


#: The places that a rule reads, and the rule.
_RULES: Final[Sequence[tuple[Sequence[str], Callable[[SweepSpec], Any]]]] = (
    (("dataset.source",), _check_source),
    (("dataset.source", "dataset.target", "dataset.drop"), _check_columns),
    (("dataset",), _check_roles),
    (("dataset.validation", "dataset.test"), _check_fractions),
    (("dataset.class_weight", "task"), _check_class_weight),
    (("objective.metric",), _check_metric),
    ((_MONITOR,), _check_monitor),
    ((_PLATEAU_MONITOR,), _check_plateau_monitor),
    ((_MORE,), _check_more_metrics),
    (("training.early_stopping.start_from_epoch", "training.epochs"), broken_warm_up),
    ((PLATEAU_SECTION, "space.schedule", "fixed.schedule"), broken_plateau),
    ((PLATEAU_FLOOR, "space.learning_rate", "fixed.learning_rate"), broken_floor),
    (("objective",), _check_direction),
    (("objective", "budget.target", "pruner", "sampler.kind"), _check_two_objectives),
    (("enqueue", "budget.trials"), _check_enqueue_fits),
    (("sampler", "space", "fixed", "network", "enqueue"), _check_grid),
    (("sampler", "space"), _check_sampler),
    (("pruner",), broken_pruner),
    (("pruner", "training.epochs"), broken_rungs),
    (("sampler.kind", "space", "fixed", "network"), broken_conditions),
    (("space", "fixed", "network", "enqueue"), broken_entries),
    (("sampler",), _check_population),
    (("trainer",), _check_slots),
    (("network.builder",), _check_function),
    (("trainer", "network"), _check_trainer),
)
