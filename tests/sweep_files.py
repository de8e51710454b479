"""Valid sweep files of every kind, drawn by Hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from dnnsweep.records import Task, metrics_for, scores_for
from dnnsweep.space import ACTIVATIONS, INITIALIZERS, KNOBS, OPTIMIZERS, PLATEAU, SCHEDULES

#: The fewest epochs of a drawn file.
MIN_EPOCHS = 4
SOURCES = {
    "iris": Task.MULTICLASS,
    "wine": Task.MULTICLASS,
    "breast_cancer": Task.BINARY,
    "diabetes": Task.REGRESSION,
}
NUMBERS = {
    "dropout": st.floats(0, 0.99),
    "l2": st.floats(0, 1e6),
    "learning_rate": st.floats(1e-9, 10),
    "global_clipnorm": st.just(0.0) | st.floats(1e-3, 100),
    "batch_size": st.integers(1, 1000),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "initializer": st.sampled_from(tuple(INITIALIZERS)),
    "dropout": NUMBERS["dropout"],
    "l2": NUMBERS["l2"],
    "batch_norm": st.booleans(),
    "optimizer": st.sampled_from(tuple(OPTIMIZERS)),
    "learning_rate": NUMBERS["learning_rate"],
    "schedule": st.sampled_from(SCHEDULES),
    "global_clipnorm": NUMBERS["global_clipnorm"],
    "batch_size": NUMBERS["batch_size"],
    "hidden": st.lists(st.integers(1, 100), max_size=3),
    "activation": st.sampled_from(ACTIVATIONS),
}
NAMES = st.from_regex(r"\A[A-Za-z0-9_-]{1,20}\Z") | st.sampled_from(["1e5", "null", "007", "-", "no"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@st.composite
def _domain_and_value(draw: st.DrawFn, name: str, *, is_grid: bool) -> tuple[Any, Any]:
    """A domain, and a value in it."""
    if name == "hidden" and draw(st.booleans()):
        return draw(_layers_and_value())
    if name in NUMBERS and draw(st.booleans()):
        low, value, high = sorted(draw(st.tuples(*[NUMBERS[name]] * 3)))
        steps = {"steps": draw(st.integers(2, 4))} if is_grid else {}
        return {"low": low, "high": high, "log": low > 0 and draw(st.booleans()), **steps}, value
    values = draw(st.lists(VALUES[name], min_size=1, max_size=4, unique_by=lambda value: str(value).lstrip("-")))
    return draw(st.sampled_from([values, {"values": values}])), draw(st.sampled_from(values))


#: What conditions are drawn about, and what they are drawn for: no circles.
LOOKED_AT = ("optimizer", "batch_norm", "activation")
DEPENDENT = ("dropout", "l2", "learning_rate", "batch_size", "hidden")


@st.composite
def _layers_and_value(draw: st.DrawFn) -> tuple[Any, Any]:
    """The number and the width of hidden layers, and a value for them."""
    layers = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3, unique=True))
    low, units, high = sorted(draw(st.tuples(*[st.integers(1, 100)] * 3)))
    form = draw(st.sampled_from([layers, {"values": layers}]))
    return {"layers": form, "units": {"low": low, "high": high}}, [units] * draw(st.sampled_from(layers))


def _values_of(domain: Any) -> list[Any]:
    return list(domain["values"] if isinstance(domain, dict) else domain)


@st.composite
def _with_conditions(draw: st.DrawFn, found: dict[str, tuple[Any, Any]], *, is_grid: bool) -> dict[str, Any]:
    """Put conditions on some of the domains drawn; values go where their hyperparameter has no domain any more."""
    for name in [name for name in DEPENDENT if name in found and draw(st.booleans())]:
        about = [other for other in LOOKED_AT if other in found and len(_values_of(found[other][0])) > 1]
        if not about:
            break
        other = draw(st.sampled_from(about))
        values = _values_of(found[other][0])
        named = draw(st.lists(st.sampled_from(values), min_size=1, max_size=len(values) - 1, unique=True))
        domain, value = found[name]
        branch = {"values": domain} if isinstance(domain, list) else domain
        first = {"when": {other: draw(st.sampled_from([named, named[0]]))}, **branch}
        holds = found[other][1] in (named if isinstance(first["when"][other], list) else named[:1])
        if draw(st.booleans()):
            rest, left = draw(_domain_and_value(name, is_grid=is_grid))
            rest = {"values": rest} if isinstance(rest, list) else rest
            found[name] = [first, rest], value if holds else left
        elif holds:
            found[name] = first, value
        else:
            found[name] = first, None
    return found


@st.composite
def _training(draw: st.DrawFn, metrics: list[str]) -> dict[str, Any]:
    rule = {
        "monitor": st.sampled_from(metrics),
        "patience": st.integers(0, 9),
        "min_delta": st.floats(0, 1),
        "start_from_epoch": st.integers(0, 3),
    }
    stopping = draw(st.none() | st.fixed_dictionaries({}, optional=rule))
    more = draw(st.lists(st.sampled_from(metrics), max_size=3))
    return {"epochs": draw(st.integers(MIN_EPOCHS, 50)), "early_stopping": stopping, "metrics": more}


@st.composite
def _pruner(draw: st.DrawFn) -> dict[str, Any]:
    few = st.integers(1, 4)
    settings: dict[str, dict[str, Any]] = {
        "none": {},
        "median": dict.fromkeys(("n_startup_trials", "n_warmup_steps", "interval_steps", "n_min_trials"), few),
        "asha": {"min_resource": few, "reduction_factor": st.integers(2, 4), "min_early_stopping_rate": few},
        "hyperband": {"min_resource": few, "max_resource": st.just(4), "bootstrap_count": few},
        "patient": {"patience": few, "min_delta": st.floats(0, 1), "wrapped": st.just({"kind": "asha"})},
    }
    kind = draw(st.sampled_from(sorted(settings)))
    return {"kind": kind, **draw(st.fixed_dictionaries({}, optional=settings[kind]).filter(_has_a_rung))}


def _has_a_rung(pruner: dict[str, int]) -> bool:
    """Return whether the first rung lies within the fewest epochs that are drawn, as the sweep file's rule asks."""
    left_out = pruner.get("min_early_stopping_rate", 0)
    factor: int = pruner.get("reduction_factor", 4) ** left_out
    return pruner.get("min_resource", 1) * factor <= MIN_EPOCHS


@st.composite
def _plateau(draw: st.DrawFn, metrics: list[str], schedules: list[str]) -> dict[str, Any]:
    """The section, where a trial may ask for it."""
    rule = {
        "monitor": st.sampled_from(metrics),
        "factor": st.floats(0.01, 0.99),
        "patience": st.integers(0, 9),
        "min_delta": st.floats(0, 1),
        "cooldown": st.integers(0, 3),
        "min_learning_rate": st.floats(0, 1e-10),
    }
    may_ask = not schedules or PLATEAU in schedules
    section = draw(st.fixed_dictionaries({}, optional=rule)) if may_ask and draw(st.booleans()) else None
    return {"reduce_on_plateau": section}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a sweep file on one of scikit-learn's data sets, in any order of sections."""
    source = draw(st.sampled_from(sorted(SOURCES)))
    task = SOURCES[source]
    metrics = [*metrics_for(task), *scores_for(task)]
    places = {name: draw(st.sampled_from(["space", "fixed", "absent"])) for name in KNOBS}
    searched = [name for name, place in places.items() if place == "space"]
    is_grid = draw(st.booleans())
    found = {name: draw(_domain_and_value(name, is_grid=is_grid)) for name in searched}
    found = draw(_with_conditions(found, is_grid=is_grid))
    always = [d for d, _ in found.values() if isinstance(d, dict) and "when" not in d]
    has_range = any(d.get("low", 0) < d.get("high", 0) for d in always)
    objectives = draw(st.lists(st.sampled_from([*metrics, "n_parameters"]), min_size=1, max_size=2, unique=True))
    is_pair = len(objectives) == 2
    kinds = ["tpe", "random", "qmc", "nsga2", *(["cmaes"] if has_range and not is_pair else [])]
    beside = {name: draw(VALUES[name]) for name, (d, _) in found.items() if "when" in d and draw(st.booleans())}
    weight = draw(st.sampled_from([None, "balanced"])) if task is not Task.REGRESSION else None
    fixed = {name: draw(VALUES[name]) for name, place in places.items() if place == "fixed"}
    fixed |= beside
    domain = found["schedule"][0] if "schedule" in found else [fixed["schedule"]] if "schedule" in fixed else []
    schedules = domain["values"] if isinstance(domain, dict) else domain
    document = {
        "name": draw(NAMES),
        "description": draw(st.none() | TEXTS),
        "task": draw(st.sampled_from(["auto", task.value])),
        "dataset": {
            "source": f"sklearn:{source}",
            "validation": draw(st.floats(0.2, 0.4)),
            "test": draw(st.just(0.0) | st.floats(0.1, 0.4)),
            "scale": draw(st.sampled_from(["standard", "minmax", "none"])),
            "class_weight": weight,
        },
        "space": {name: domain for name, (domain, _) in found.items()},
        "fixed": fixed,
        "objective": [{"metric": metric} for metric in objectives] if is_pair else {"metric": objectives[0]},
        "training": draw(_training(metrics)) | draw(_plateau(metrics, schedules)),
        "budget": {
            "trials": draw(st.integers(1, 1000)),
            "target": None if is_pair else draw(st.none() | st.floats(-1, 1)),
        },
        "sampler": {"kind": "grid" if is_grid else draw(st.sampled_from(kinds))},
        "pruner": {"kind": "none"} if "n_parameters" in objectives or is_pair else draw(_pruner()),
        "priority": draw(st.integers(-1000, 1000)),
        "enqueue": [] if is_grid else [{name: value for name, (_, value) in found.items() if value is not None}],
        "seed": draw(st.integers(0, 2**32 - 1)),
    }
    return {key: document[key] for key in draw(st.permutations(list(document)))}
