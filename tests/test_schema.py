from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from dnnsweep.space import KNOBS, parse_space, parse_values
from dnnsweep.spec import json_schema, schema

SPACE = jsonschema.Draft202012Validator(schema.space())
VALUES = jsonschema.Draft202012Validator(schema.values())

RIGHT_VALUES: list[dict[str, Any]] = [
    {},
    {"dropout": 0, "l2": 0, "batch_norm": True},
    {"optimizer": "adam", "initializer": "he_normal", "activation": "silu"},
    {"hidden": [64, 32], "batch_size": 32.0, "learning_rate": 0.1},
    {"hidden": []},
]
WRONG_VALUES: list[dict[str, Any]] = [
    {"dropout": 1},
    {"dropout": "0.1"},
    {"dropout": None},
    {"l2": -1},
    {"batch_norm": 1},
    {"optimizer": "Adam"},
    {"learning_rate": 0},
    {"batch_size": 0},
    {"batch_size": 1.5},
    {"hidden": 64},
    {"hidden": [0]},
    {"hidden": [1] * 101},
]
RIGHT_SPACES: list[dict[str, Any]] = [
    {},
    {"dropout": [0.1]},
    {"dropout": {"values": [0.1, 0.2]}},
    {"dropout": {"low": 0, "high": 0.5}},
    {"dropout": {"low": 0, "high": 0.5, "step": 0.1, "log": False}},
    {"batch_size": {"low": 16, "high": 64, "step": None}},
    {"batch_norm": [True, False]},
    {"hidden": [[64, 32], [64]]},
    {"hidden": {"layers": {"low": 1, "high": 4}, "units": [16, 32]}},
    {"optimizer": ["sgd", "adam"], "dropout": {"when": {"optimizer": "adam"}, "low": 0, "high": 0.5}},
    {"optimizer": ["sgd", "adam"], "dropout": {"when": {"optimizer": ["adam"]}, "values": [0, 0.5]}},
    {"batch_norm": [True, False], "l2": [{"when": {"batch_norm": True}, "values": [0]}, {"low": 0, "high": 1}]},
    {"batch_norm": [True, False], "hidden": {"when": {"batch_norm": True}, "layers": [1, 2], "units": [8, 16]}},
]
WRONG_SPACES: list[dict[str, Any]] = [
    {"dropout": 0.1},
    {"dropout": []},
    {"dropout": [0.1, 0.1]},
    {"dropout": {"low": 0}},
    {"dropout": {"low": 0, "high": 0.5, "steps": 1}},
    {"dropout": {"low": 0, "high": 0.5, "step": 0}},
    {"dropout": {"low": 0, "high": 0.5, "log": 1}},
    {"dropout": {"low": 0, "high": 0.5, "values": [0.1]}},
    {"batch_size": {"low": 1, "high": 9, "step": 0.5}},
    {"optimizer": {"low": "adam", "high": "sgd"}},
    {"batch_norm": {"low": 0, "high": 1}},
    {"hidden": [64, 32]},
    {"hidden": {"layers": {"low": 0, "high": 4}, "units": [16, 32]}},
    {"hidden": {"layers": [1, 2]}},
    {"hidden": {"layers": 2, "units": [16]}},
    {"dropout": {"layers": [1, 2], "units": [16]}},
    {"dropout": {"when": {}, "low": 0, "high": 0.5}},
    {"dropout": {"when": {"dropout": 0}, "low": 0, "high": 0.5}},
    {"dropout": {"when": ["batch_norm"], "low": 0, "high": 0.5}, "batch_norm": [True, False]},
    {"dropout": {"when": {"batch_norm": 1}, "low": 0, "high": 0.5}, "batch_norm": [True, False]},
    {"dropout": {"when": {"batch_norm": []}, "low": 0, "high": 0.5}, "batch_norm": [True, False]},
    {"dropout": {"when": {"hidden": [8]}, "low": 0, "high": 0.5}, "hidden": [[8], [16]]},
    {"dropout": [{"low": 0, "high": 0.5}]},
    {"batch_norm": [True, False], "l2": [0.1, {"when": {"batch_norm": True}, "values": [0]}]},
]


@pytest.mark.parametrize("raw", RIGHT_VALUES)
def test_schema_accepts_values_that_validate(raw: dict[str, Any]) -> None:
    assert parse_values("fixed", raw)[1] == []
    assert VALUES.is_valid(raw)


@pytest.mark.parametrize("raw", WRONG_VALUES)
def test_schema_refuses_values_that_do_not(raw: dict[str, Any]) -> None:
    assert parse_values("fixed", raw)[1] != []
    assert not VALUES.is_valid(raw)


@pytest.mark.parametrize("raw", RIGHT_SPACES)
def test_schema_accepts_spaces_that_validate(raw: dict[str, Any]) -> None:
    assert parse_space("space", raw)[1] == []
    assert SPACE.is_valid(raw)


@pytest.mark.parametrize("raw", WRONG_SPACES)
def test_schema_refuses_spaces_of_a_wrong_shape(raw: dict[str, Any]) -> None:
    assert parse_space("space", raw)[1] != []
    assert not SPACE.is_valid(raw)


@pytest.mark.parametrize("name", KNOBS)
def test_one_value_has_the_same_schema_as_in_a_mapping(name: str) -> None:
    assert schema.value(name) == schema.values()["properties"][name]


def test_schemas_are_schemas() -> None:
    for each in (schema.space(), schema.values(), json_schema()):
        jsonschema.Draft202012Validator.check_schema(each)
