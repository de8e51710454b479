"""Valid sweep files of every kind, drawn by Hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from dnnsweep.records import Task, metrics_of, scores_of
from dnnsweep.space import ACTIVATIONS, INITIALIZERS, KNOBS, OPTIMIZERS, SCHEDULES

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
    "initializer": st.sampled_from(INITIALIZERS),
    "dropout": NUMBERS["dropout"],
    "l2": NUMBERS["l2"],
    "batch_norm": st.booleans(),
    "optimizer": st.sampled_from(OPTIMIZERS),
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
    if name in NUMBERS and draw(st.booleans()):
        low, value, high = sorted(draw(st.tuples(*[NUMBERS[name]] * 3)))
        steps = {"steps": draw(st.integers(2, 4))} if is_grid else {}
        return {"low": low, "high": high, "log": low > 0 and draw(st.booleans()), **steps}, value
    values = draw(st.lists(VALUES[name], min_size=1, max_size=4, unique_by=lambda value: str(value).lstrip("-")))
    return draw(st.sampled_from([values, {"values": values}])), draw(st.sampled_from(values))


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
    return {"epochs": draw(st.integers(4, 50)), "early_stopping": stopping, "metrics": more}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a sweep file on one of scikit-learn's data sets, in any order of sections."""
    source = draw(st.sampled_from(sorted(SOURCES)))
    task = SOURCES[source]
    metrics = [*metrics_of(task), *scores_of(task)]
    places = {name: draw(st.sampled_from(["space", "fixed", "absent"])) for name in KNOBS}
    searched = [name for name, place in places.items() if place == "space"]
    is_grid = draw(st.booleans())
    found = {name: draw(_domain_and_value(name, is_grid=is_grid)) for name in searched}
    has_range = any(isinstance(d, dict) and d.get("low", 0) < d.get("high", 0) for d, _ in found.values())
    kinds = ["tpe", "random", "qmc", *(["cmaes"] if has_range else [])]
    weight = draw(st.sampled_from([None, "balanced"])) if task is not Task.REGRESSION else None
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
        "fixed": {name: draw(VALUES[name]) for name, place in places.items() if place == "fixed"},
        "objective": {"metric": draw(st.sampled_from(metrics))},
        "training": draw(_training(metrics)),
        "budget": {"trials": draw(st.integers(1, 1000)), "target": draw(st.none() | st.floats(-1, 1))},
        "sampler": {"kind": "grid" if is_grid else draw(st.sampled_from(kinds))},
        "priority": draw(st.integers(-1000, 1000)),
        "enqueue": [] if is_grid else [{name: value for name, (_, value) in found.items()}],
        "seed": draw(st.integers(0, 2**32 - 1)),
    }
    return {key: document[key] for key in draw(st.permutations(list(document)))}
