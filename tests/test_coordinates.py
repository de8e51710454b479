from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import pytest

from dnnsweep.space import Branch, Choice, Conditional, Coordinates, Layers, Range, SearchSpace

SPACE: SearchSpace = {
    "dropout": Range(0.0, 0.6),
    "learning_rate": Range(1e-4, 1e-1, log=True),
    "batch_size": Choice((64, 16, 32)),
    "batch_norm": Choice((True, False)),
    "hidden": Layers(Range(1, 3, is_integer=True), Choice((8, 16))),
    "activation": Choice(("relu", "tanh", "elu")),
    "l2": Conditional(
        (Branch(Range(0.0, 1.0), {"activation": ("relu",)}), Branch(Choice((0.5,)), {"dropout": (0.3,)}))
    ),
}
POINT: Mapping[str, Any] = {
    "dropout": 0.15,
    "learning_rate": 1e-3,
    "batch_size": 32,
    "batch_norm": False,
    "hidden": [16, 16],  # as the ledger has it
    "activation": "relu",
    "l2": 0.25,
}
FAR = math.sqrt(0.5)


@pytest.fixture
def coordinates() -> Coordinates:
    return Coordinates(SPACE, {"l2": 0.0})


def test_a_point_has_a_coordinate_for_each_number_and_one_for_each_word(coordinates: Coordinates) -> None:
    words = [0.0, FAR, FAR, 0.0, 0.0]  # batch_norm, activation
    numbers = [0.25, 1 / 3, 0.5]  # of 16, 32 and 64 the second
    layers = [0.5, 1.0]
    condition = [FAR, 0.0, 0.25, 0.5]  # the first branch; the second has a list of one number, which is absent

    expected = [*numbers, *words[:2], *layers, *words[2:], *condition]

    assert coordinates.encode(POINT) == pytest.approx(expected)


def test_coordinates_of_one_hyperparameter_share_a_group(coordinates: Coordinates) -> None:
    assert coordinates.groups == [0, 1, 2, 3, 3, 4, 5, 6, 6, 6, 7, 7, 8, 9]


def test_a_hyperparameter_without_a_branch_lies_in_the_middle_of_each(coordinates: Coordinates) -> None:
    point = {**POINT, "activation": "elu", "l2": 0.0}

    assert coordinates.encode(point)[-4:] == [0.0, 0.0, 0.5, 0.5]


def test_random_points_and_neighbours_are_points_of_the_space(coordinates: Coordinates) -> None:
    chance = random.Random(5)
    points = [coordinates._walk(near, chance) for near in ({}, POINT) for _ in range(200)]

    for point in points:
        assert all(SPACE[name].contains(point[name]) for name in SPACE if name != "l2")
        assert (point["l2"] == 0.0) is (point["activation"] != "relu" and point["dropout"] != 0.3) or point["l2"] > 0
    assert {len(coordinates.encode(point)) for point in points} == {len(coordinates.groups)}


def test_neighbours_are_nearer_than_random_points(coordinates: Coordinates) -> None:
    chance, here = random.Random(5), coordinates.encode(POINT)

    near = sum(math.dist(here, coordinates.neighbour(POINT, chance)) for _ in range(100))
    far = sum(math.dist(here, coordinates.draw(chance)) for _ in range(100))

    assert near < far / 2


def test_a_space_that_searches_nothing_has_no_coordinates() -> None:
    nothing = Coordinates({}, {})

    assert (nothing.encode({}), nothing.draw(random.Random(0)), nothing.groups) == ([], [], [])
