"""Which trainer trains a sweep, with how many slots and how many processes."""

from __future__ import annotations

from typing import Any

import pytest

from dnnsweep import spec
from dnnsweep.errors import SpecError
from dnnsweep.executors.local import n_useful_trainers
from dnnsweep.records import DataSummary, Task
from dnnsweep.trainers import TrainerPlan
from dnnsweep.trainers.array.optimizers import UPDATE_RULES
from dnnsweep.trainers.choice import choose

DIGITS = DataSummary("f" * 64, Task.MULTICLASS, 64, ("a",), tuple("0123456789"), 1077, 360, 360)


def sweep(trials: int = 100, **sections: Any) -> spec.SweepSpec:
    return spec.check({"name": "n", "dataset": {"source": "sklearn:digits"}, "budget": {"trials": trials}, **sections})


@pytest.mark.parametrize(
    ("trials", "hidden", "device", "slots"),
    [
        (10, [64, 32], "cpu", 1),  # a quarter of the window of 4
        (100, [64, 32], "cpu", 3),
        (1000, [64, 32], "cpu", 16),
        (1000, [300, 100], "cpu", 4),
        (1000, [1000, 100], "cpu", 2),
        (1000, [1000, 1000], "cpu", 1),
        (1000, [1000, 1000], "gpu", 8),
    ],
)
def test_slots_come_from_the_window_and_the_size_of_the_network(
    trials: int, hidden: list[int], device: str, slots: int
) -> None:
    plan = choose(sweep(trials, network={"hidden": hidden}), DIGITS, device)
    assert (plan.kind, plan.device) == ("array", device)
    weights = sum((a + 1) * b for a, b in zip([64, *hidden], [*hidden, 10], strict=True))
    assert plan.slots == slots
    assert f"{weights:,} weights on a {device}" in plan.reasons[1]


def test_the_file_may_fix_trainer_and_slots() -> None:
    plan = choose(sweep(trainer={"kind": "array", "slots": 8}), DIGITS)
    assert (plan.kind, plan.slots) == ("array", 8)
    assert plan.reasons[:2] == ("trainer: array, as the sweep file says", "slots: 8, as the sweep file says")
    assert choose(sweep(trainer="fit"), DIGITS).kind == "fit"
    with pytest.raises(SpecError, match=r"trainer\.slots: belongs to arrays only, got 8; remove it"):
        sweep(trainer={"kind": "fit", "slots": 8})


def test_trials_of_many_shapes_are_trained_by_fit_and_it_says_why() -> None:
    shapes = {"batch_size": [16, 32, 64], "activation": ["relu", "tanh"], "hidden": [[8], [16]]}
    plan = choose(sweep(20, space=shapes), DIGITS)
    assert plan.kind == "fit"
    assert plan.reasons == ("trainer: fit, because 20 trials of up to 12 shapes would not repay compiling them",)
    assert choose(sweep(24, space=shapes), DIGITS).kind == "array"
    assert choose(sweep(space={"batch_size": {"low": 1, "high": 200}}), DIGITS).kind == "fit"
    assert choose(sweep(20, space=shapes, trainer="array"), DIGITS).kind == "array"


@pytest.mark.parametrize(
    "sections",
    [
        {"fixed": {"optimizer": "nadam"}},
        {"space": {"optimizer": ["sgd", "nadam"]}},  # some of its trials would fit into arrays
        {
            "space": {
                "optimizer": {"when": {"batch_norm": True}, "values": ["sgd", "nadam"]},
                "batch_norm": [True, False],
            }
        },
        {"fixed": {"optimizer": "nadam"}, "trainer": "array"},
    ],
)
def test_an_optimizer_without_an_update_rule_sends_the_sweep_to_fit(
    sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose(sweep(**sections), DIGITS).kind == "array"
    monkeypatch.delitem(UPDATE_RULES, "nadam")

    plan = choose(sweep(**sections), DIGITS)

    assert plan.kind == "fit"
    assert plan.reasons == ("trainer: fit, because the optimizer nadam is not in trial arrays",)
    assert choose(sweep(space={"optimizer": ["sgd", "adam"]}), DIGITS).kind == "array"


def test_the_default_of_a_conditional_optimizer_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"optimizer": {"when": {"batch_norm": True}, "values": ["sgd"]}, "batch_norm": [True, False]}
    monkeypatch.delitem(UPDATE_RULES, "adam")  # the default

    assert choose(sweep(space=space), DIGITS).kind == "fit"
    assert choose(sweep(space={"optimizer": ["sgd"]}), DIGITS).kind == "array"


LAYERS = {"layers": {"low": 1, "high": 3}, "units": [8, 16]}


@pytest.mark.parametrize(
    ("shapes", "n_programs"),
    [
        ({"hidden": LAYERS}, 6),
        ({"hidden": LAYERS, "activation": ["relu", "tanh"], "batch_size": {"low": 16, "high": 48, "step": 16}}, 36),
        ({"hidden": {"layers": [1, 2], "units": {"low": 8, "high": 16}}}, 18),
        # relu with 6 shapes, tanh and elu with the default each
        ({"activation": ["relu", "tanh", "elu"], "hidden": {"when": {"activation": "relu"}, **LAYERS}}, 8),
        # 2 sizes of batch under adam, 3 others under the two other optimizers
        (
            {
                "optimizer": ["adam", "sgd", "nadam"],
                "batch_size": [{"when": {"optimizer": "adam"}, "values": [16, 32]}, {"low": 64, "high": 66}],
            },
            5,
        ),
        # whole numbers from 1 to 10: one with dropout, nine without, which changes no shape
        ({"batch_size": {"low": 1, "high": 10}, "dropout": {"when": {"batch_size": 1}, "low": 0, "high": 0.5}}, 10),
        ({"optimizer": ["adam", "sgd"], "dropout": {"when": {"optimizer": "adam"}, "low": 0, "high": 0.5}}, 1),
    ],
)
def test_the_shapes_of_layers_and_of_conditions_are_counted(shapes: dict[str, Any], n_programs: int) -> None:
    reasons = choose(sweep(200, space=shapes), DIGITS).reasons

    assert any(line.startswith(f"programs: {'' if n_programs == 1 else 'up to '}{n_programs}, ") for line in reasons)
    if n_programs > 1:
        assert choose(sweep(2 * n_programs, space=shapes), DIGITS).kind == "array"
        assert choose(sweep(2 * n_programs - 1, space=shapes), DIGITS).kind == "fit"


@pytest.mark.parametrize(
    ("hidden", "largest"),
    [
        ({"layers": [1, 2], "units": {"low": 8, "high": 32}}, [32, 32]),
        ({"when": {"activation": "relu"}, "layers": [1], "units": [8]}, [64, 32]),  # the default, under tanh
        ({"when": {"activation": "relu"}, "layers": [3, 1], "units": [8, 128]}, [128, 128, 128]),
    ],
)
def test_slots_suit_the_largest_network_that_may_be_built(hidden: dict[str, Any], largest: list[int]) -> None:
    plan = choose(sweep(1000, space={"activation": ["relu", "tanh"], "hidden": hidden}), DIGITS)

    weights = sum((a + 1) * b for a, b in zip([64, *largest], [*largest, 10], strict=True))
    assert f"{weights:,} weights on a cpu" in plan.reasons[1]


def test_a_trainer_is_started_for_each_quarter_of_a_minute_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnnsweep.executors.local.n_cores", lambda: 8)
    assert [
        n_useful_trainers(TrainerPlan("array", seconds=seconds)) for seconds in (0.1, 15, 16, 100, float("inf"))
    ] == [
        1,
        1,
        2,
        7,
        8,
    ]
