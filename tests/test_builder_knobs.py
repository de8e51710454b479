"""Hyperparameters of a builder's own, in the sweep file and in queries."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from dnnsweep import query, spec
from dnnsweep.errors import QueryError, SpecError
from dnnsweep.query import Comparison
from dnnsweep.space import builder_knobs
from dnnsweep.space.builder_knobs import builder_knob

OWN: dict[str, Any] = {
    "name": "own",
    "dataset": {"source": "sklearn:digits"},
    "network": {"builder": "python:nets:build"},
    "space": {
        "filters": [8, 16],
        "rate": {"low": 0, "high": 0.5},
        "depth": {"low": 1, "high": 5, "step": 2},
        "mode": ["fast", "good"],
        "skip": [True, False],
        "widths": [[8, 4], [16]],
    },
}


def mistakes(**sections: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        spec.check({**OWN, **sections})
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (3, "integer"),
        ([1, 2.5], "real"),
        ({"low": 1, "high": 4}, "integer"),
        ({"low": 1, "high": 4.0}, "real"),
        ({"values": ["a", "b"]}, "choice"),
        ([True, False], "boolean"),
        ([[1, 2], [3]], "widths"),
        ({"layers": [1, 2], "units": [8]}, "widths"),
        ({"when": {"depth": 1}, "values": ["a", "b"]}, "choice"),
        ([{"when": {"depth": 1}, "values": [1, 2]}, {"low": 0, "high": 0.5}], "real"),
        ([{"when": {"depth": 1}, "layers": [1], "units": [8]}, {"values": [[8, 4], [16]]}], "widths"),
    ],
)
def test_the_kind_is_read_from_the_values(raw: Any, kind: str) -> None:
    knob = builder_knob("x", raw)

    assert knob is not None
    assert knob.kind == kind


@pytest.mark.parametrize(
    "raw", [[1, "a"], [True, 1], None, [None], [[1], 2], [{"when": {"depth": 1}, "values": [1]}, {"values": ["a"]}]]
)
def test_values_of_different_kinds_have_none(raw: Any) -> None:
    assert builder_knob("x", raw) is None


def test_a_file_with_a_builder_is_read_back_as_it_was_written() -> None:
    checked = spec.check({**OWN, "fixed": {"n_heads": 2}, "enqueue": [{"filters": 16, "mode": "good", "widths": [16]}]})

    again = spec.check(checked.to_json())

    assert again == checked
    assert again.digest == checked.digest
    assert "hidden" not in checked.to_json()["network"]
    steady = {"schedule": "constant", "global_clipnorm": 0.0}
    trained = {"optimizer": "adam", "learning_rate": 0.001, **steady, "batch_size": 32}
    assert checked.default_params == {**trained, "n_heads": 2}


def test_a_file_without_a_builder_is_what_it_was_before_there_were_builders() -> None:
    assert "builder" not in spec.check({"name": "a", "dataset": {"source": "sklearn:iris"}}).to_json()["network"]


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"network": {}}, "space.filters: unknown key"),
        ({"network": {"builder": "nets:build"}}, "network.builder: must name a function, got 'nets:build'"),
        ({"network": {"builder": "python:nets:build", "hidden": [4]}}, "network.hidden: belongs to networks without"),
        ({"trainer": "array"}, "trainer.kind: must be auto or fit for a builder's networks"),
        ({"space": {"filters": [8, "many"]}}, "space.filters: values must all be numbers"),
        ({"space": {"value": [8, 9]}}, "space.value: must be a Python name"),
        ({"space": {"two words": [8, 9]}}, "must be a Python name"),
        ({"space": {"filters": [8, 8]}}, "space.filters: values must differ"),
        ({"space": {"filters": {"low": 9, "high": 8}}}, "space.filters: low must not exceed high"),
        ({"fixed": {"filters": 8}}, "space.filters: filters may be set once"),
        ({"enqueue": [{"filters": 9}]}, "enqueue.0.filters: must be in its domain [8, 16]"),
        ({"enqueue": [{"heads": 9}]}, "enqueue.0.heads: must be a hyperparameter that is searched"),
    ],
)
def test_what_is_wrong_is_said(sections: dict[str, Any], expected: str) -> None:
    assert any(expected in text for text in mistakes(**sections))


def test_the_schema_knows_builders() -> None:
    validator = jsonschema.Draft202012Validator(spec.json_schema())

    assert validator.is_valid(OWN)
    assert not validator.is_valid({**OWN, "network": {}})
    assert not validator.is_valid({**OWN, "network": {}, "space": {}, "fixed": {"filters": 3}})
    assert validator.is_valid({**OWN, "network": {}, "space": {"dropout": [0.1]}, "fixed": {"l2": 0.1}})


def test_a_query_knows_a_builders_own_hyperparameters() -> None:
    own = builder_knobs(spec.check(OWN).to_json())

    assert query.parse("filters == 8", own) == Comparison("filters", "==", 8)
    assert query.parse("skip", own) == Comparison("skip", "==", literal=True)
    assert query.parse("widths == [8, 4]", own) == Comparison("widths", "==", (8, 4))
    with pytest.raises(QueryError, match="mode is never 'slow'"):
        query.parse("mode == 'slow'", own)
    with pytest.raises(QueryError, match="unknown field filter; did you mean filters"):
        query.parse("filter == 8", own)
    with pytest.raises(QueryError, match="unknown field filters"):
        query.parse("filters == 8")


def test_a_query_knows_the_values_of_all_branches_and_the_fixed_one() -> None:
    branches = [{"when": {"depth": 1}, "values": ["fast"]}, {"when": {"depth": 3}, "values": ["good"]}]
    space = {**OWN["space"], "mode": branches}

    own = builder_knobs(spec.check({**OWN, "space": space, "fixed": {"mode": "none"}}).to_json())

    for word in ("fast", "good", "none"):
        assert query.parse(f"mode == '{word}'", own) == Comparison("mode", "==", word)
    with pytest.raises(QueryError, match="mode is never 'best'"):
        query.parse("mode == 'best'", own)
