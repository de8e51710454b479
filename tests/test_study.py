from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from examples import n_examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats.qmc import Sobol

from dnnsweep import seeds
from dnnsweep.records import Reason
from dnnsweep.space import Branch, Choice, Conditional, Domain, Layers, Range, SearchSpace, active_domain, grid_size
from dnnsweep.spec.sampler_kinds import SAMPLERS
from dnnsweep.spec.window import window
from dnnsweep.study import Study, samplers
from dnnsweep.study.finished_study import importances_of
from dnnsweep.study.parameters import decode, distribution

SPACE: dict[str, Domain] = {
    "optimizer": Choice(("sgd", "adam", "nadam")),
    "hidden": Choice(((64, 32), (8,), ())),
    "batch_norm": Choice((True, False)),
    "learning_rate": Range(1e-4, 1e-1, log=True),
    "dropout": Range(0.0, 0.6, step=0.1),
    "batch_size": Range(16, 96, is_integer=True, step=16),
}
ENQUEUE: list[dict[str, Any]] = [{"optimizer": "adam", "hidden": (8,)}, {"batch_norm": False}]
GRID: dict[str, Domain] = {
    **SPACE,
    "learning_rate": Range(1e-4, 1e-1, log=True, steps=4),
    "batch_size": Range(16, 32, is_integer=True, step=16),
}
#: A chain (optimizer, schedule, dropout), two branches, layers under a condition; defaults where none holds.
CONDITIONAL: SearchSpace = {
    "dropout": Conditional(
        (
            Branch(Range(0.0, 0.5), {"batch_norm": (False,), "schedule": ("cosine",)}),
            Branch(Range(0.1, 0.2), {"batch_norm": (False,)}),
        )
    ),
    "batch_norm": Choice((True, False)),
    "optimizer": Choice(("sgd", "momentum", "adam")),
    "learning_rate": Conditional(
        (
            Branch(Range(1e-2, 1.0, log=True), {"optimizer": ("sgd", "momentum")}),
            Branch(Range(1e-4, 1e-2, log=True), {}),
        )
    ),
    "schedule": Conditional((Branch(Choice(("cosine", "exponential")), {"optimizer": ("sgd", "adam")}),)),
    "l2": Range(1e-6, 1e-1, log=True),
    "batch_size": Range(16, 96, is_integer=True, step=16),
    "hidden": Conditional(
        (
            Branch(
                Layers(Range(1, 3, is_integer=True), Range(4, 64, log=True, is_integer=True)), {"batch_size": (16, 32)}
            ),
            Branch(Layers(Choice((1, 2)), Choice((8, 16))), {}),
        )
    ),
}
CONDITIONAL_ENQUEUE: list[dict[str, Any]] = [
    {"batch_norm": False, "optimizer": "momentum", "dropout": 0.15},  # momentum has no schedule
    {"batch_size": 64, "hidden": (8, 8)},
]
DEFAULTS = {"dropout": 0.05, "schedule": "constant"}
CONDITIONAL_GRID: SearchSpace = {
    **CONDITIONAL,
    "dropout": Conditional(
        (
            Branch(Range(0.0, 0.5, steps=3), {"batch_norm": (False,), "schedule": ("cosine",)}),
            Branch(Choice((0.1, 0.2)), {"batch_norm": (False,)}),
        )
    ),
    "learning_rate": Conditional(
        (Branch(Choice((0.1, 1.0)), {"optimizer": ("sgd", "momentum")}), Branch(Choice((0.001,)), {}))
    ),
    "l2": Choice((0.01,)),
    "batch_size": Range(16, 64, is_integer=True, steps=3),
    "hidden": Conditional(
        (
            Branch(Layers(Choice((1, 2)), Range(8, 16, is_integer=True, steps=2)), {"batch_size": (16,)}),
            Branch(Choice(((8,), (4, 4))), {}),
        )
    ),
}
WINDOW = 4
Params = dict[str, Any]
Values = tuple[float, ...]


def outcome(number: int, params: Params) -> tuple[Reason, Values | None]:
    """A made-up objective: every seventh trial diverges, every eleventh fails."""
    if number % 7 == 3:
        return Reason.DIVERGED, None
    if number % 11 == 5:
        return Reason.FAILED, None
    return Reason.COMPLETED, (params["learning_rate"] + params["dropout"] + (params["optimizer"] == "adam"),)


def fresh(kind: str, *, conditions: bool = False) -> Study:
    if conditions:
        enqueue = [] if kind == "grid" else CONDITIONAL_ENQUEUE
        space = CONDITIONAL_GRID if kind == "grid" else CONDITIONAL
        return Study(space, "maximize", kind, 0, enqueue, DEFAULTS)
    if kind == "grid":
        return Study(GRID, "maximize", kind, 0)
    return Study(SPACE, "maximize", kind, 0, ENQUEUE)


def drive(
    kind: str, n_trials: int, interruptions: Sequence[int] = (), *, conditions: bool = False
) -> list[tuple[Params, Values | None]]:
    """Ask and tell in the fixed order; rebuild the study after as many results as `interruptions` says."""
    study = fresh(kind, conditions=conditions)
    asked: list[tuple[Params, Params]] = []
    penalties: dict[int, Values | None] = {}
    n_told, left = 0, list(interruptions)
    while n_told < n_trials:
        while len(asked) < min(n_trials, n_told + WINDOW):
            asked.append((study.ask(len(asked)), study.attrs(len(asked))))
        penalties[n_told] = study.tell(n_told, *outcome(n_told, asked[n_told][0]))
        n_told += 1
        if left and n_told == left[0]:
            left.pop(0)
            study, n_told = rebuilt(fresh(kind, conditions=conditions), study, asked, penalties)
    return [(params, penalties[number]) for number, (params, _) in enumerate(asked)]


def rebuilt(
    study: Study, old: Study, asked: list[tuple[Params, Params]], penalties: dict[int, Values | None]
) -> tuple[Study, int]:
    n_told = max(0, len(asked) - WINDOW)
    study.restore_attrs(old.study_attrs())
    for number, (params, attrs) in enumerate(asked):
        known = None
        if number < n_told:
            reason, values = outcome(number, params)
            known = (reason, penalties[number] if values is None else values)
        stored = json.loads(json.dumps(params))  # as the ledger gives it back
        study.restore(number, stored, attrs, known)
    return study, n_told


def test_every_sampler_that_a_sweep_file_can_name_can_be_made() -> None:
    assert set(samplers._MAKERS) == set(SAMPLERS)


@pytest.mark.parametrize("kind", ["tpe", "random", "qmc", "cmaes", "grid"])
def test_a_study_that_was_rebuilt_goes_on_as_if_it_had_never_stopped(kind: str) -> None:
    assert drive(kind, 40, interruptions=(1, 5, 6, 17, 30)) == drive(kind, 40)


# ---- two objectives


class Two:
    """The same studies with the size of the network as a second objective; every value is one of a few."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, population: int = 5) -> None:
        first = outcome
        self._population = population
        monkeypatch.setitem(globals(), "fresh", self.fresh)
        monkeypatch.setitem(globals(), "outcome", lambda number, params: self.outcome(*first(number, params), params))

    def fresh(self, kind: str, *, conditions: bool = False) -> Study:
        grid, pair = kind == "grid", ("maximize", "minimize")
        if conditions:
            study = Study(CONDITIONAL_GRID if grid else CONDITIONAL, pair, kind, 0, (), DEFAULTS)
        else:
            study = Study(GRID if grid else SPACE, pair, kind, 0, () if grid else ENQUEUE)
        study.set_population(self._population)
        return study

    def outcome(self, reason: Reason, values: Values | None, params: Params) -> tuple[Reason, Values | None]:
        if values is None:
            return reason, None
        return reason, (round(values[0], 1), float(sum(params["hidden"]) + params["batch_size"]))


@pytest.mark.parametrize("kind", ["nsga2", "tpe", "random", "qmc", "grid"])
def test_a_study_of_two_objectives_that_was_rebuilt_goes_on_as_if_it_had_never_stopped(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Two(monkeypatch)
    whole = drive(kind, 40)

    for interruptions in [(1, 5, 6, 17, 30), range(1, 40), *([(each,) for each in range(1, 40)] * (kind == "nsga2"))]:
        assert drive(kind, 40, interruptions) == whole, interruptions


@pytest.mark.parametrize("kind", ["nsga2", "tpe", "grid"])
def test_a_study_of_two_objectives_under_conditions_that_was_rebuilt_goes_on_as_if_it_had_never_stopped(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Two(monkeypatch)
    whole = drive(kind, 40, conditions=True)

    assert drive(kind, 40, range(1, 40), conditions=True) == whole
    assert drive(kind, 40, (1, 5, 6, 17, 30), conditions=True) == whole


def test_a_grid_tells_lists_apart_that_are_equal_but_for_their_types() -> None:
    space: SearchSpace = {"global_clipnorm": Choice((0.0, 1.0)), "batch_norm": Choice((False, True))}
    study = Study(space, "maximize", "grid", 0)

    points = [study.ask(number) for number in range(4)]

    assert {(type(point["global_clipnorm"]), type(point["batch_norm"])) for point in points} == {(float, bool)}
    assert len({(point["global_clipnorm"], point["batch_norm"]) for point in points}) == 4


def test_gaussian_processes_repeat_themselves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the extra gp is not installed")
    for conditions in (False, True):
        whole = drive("gp", 14, conditions=conditions)
        assert drive("gp", 14, (1, 5, 12), conditions=conditions) == whole
    Two(monkeypatch)
    assert drive("gp", 13, (3, 11)) == drive("gp", 13)


def test_nsga2_with_one_objective_that_was_rebuilt_goes_on_as_if_it_had_never_stopped() -> None:
    whole = drive("nsga2", 120)  # Optuna's fifty trials of a generation

    for interruptions in [(60,), (53, 54, 55), range(40, 120)]:
        assert drive("nsga2", 120, interruptions) == whole


def test_nsga2_suggests_what_optunas_does_with_the_same_seeds() -> None:
    space = {name: SPACE[name] for name in ("optimizer", "learning_rate", "hidden")}
    distributions = {name: distribution(domain) for name, domain in space.items()}
    ours, plain = (
        Study(space, ("maximize", "minimize"), "nsga2", 7),
        optuna.create_study(directions=["maximize", "minimize"]),
    )
    ours.set_population(6)
    children = 0
    for number in range(60):
        plain.sampler = optuna.samplers.NSGAIISampler(population_size=6, seed=seeds.derive(7, "ask", number))
        trial = plain.ask(distributions)
        params = ours.ask(number)
        assert params == {name: decode(space[name], trial.params[name]) for name in space}
        children += ours.attrs(number)["NSGAIISampler:generation"] > 0
        if number >= WINDOW:
            told = number - WINDOW
            values = (math.sin(told), float(told % 5))
            ours.tell(told, Reason.COMPLETED, values)
            plain.tell(told, values)
    assert children > 40


def test_a_study_keeps_the_population_that_it_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger budget asks for larger generations, but what was begun must go on as it was."""
    Two(monkeypatch)
    whole = drive("nsga2", 40)
    small, n_fresh = fresh, 0

    def grown(kind: str, *, conditions: bool = False) -> Study:
        nonlocal n_fresh
        study, n_fresh = small(kind, conditions=conditions), n_fresh + 1
        if n_fresh > 1:
            study.set_population(20)
        return study

    monkeypatch.setitem(globals(), "fresh", grown)

    assert drive("nsga2", 40, (17, 18)) == whole
    assert n_fresh == 3


def test_a_trial_that_diverged_counts_as_the_worst_of_each_objective() -> None:
    study = Study({"dropout": SPACE["dropout"]}, ("maximize", "minimize"), "random")
    for number in range(4):
        study.ask(number)

    told = [
        study.tell(0, Reason.DIVERGED, None),
        study.tell(1, Reason.COMPLETED, (0.9, 500.0)),
        study.tell(2, Reason.COMPLETED, (0.7, 100.0)),
        study.tell(3, Reason.DIVERGED, None),
    ]

    assert told == [(0.0, 1e9), None, None, (0.7, 500.0)]


def test_suggestions_lie_in_the_space_and_are_typed_as_in_the_sweep_file() -> None:
    for params, _ in drive("random", 30):
        for name, domain in SPACE.items():
            assert domain.contains(params[name]), (name, params[name])
        assert type(params["batch_norm"]) is bool
        assert type(params["batch_size"]) is int
        assert type(params["hidden"]) is tuple


def test_enqueued_configurations_come_first_and_what_they_lack_is_sampled() -> None:
    first, second = (params for params, _ in drive("tpe", 2))

    assert (first["optimizer"], first["hidden"]) == ("adam", (8,))
    assert second["batch_norm"] is False
    assert set(second) == set(SPACE)


def test_another_seed_gives_other_suggestions() -> None:
    one, two = (Study(SPACE, "maximize", "random", seed).ask(0) for seed in (0, 1))

    assert one != two


def test_a_diverged_trial_counts_as_the_worst_value_told_so_far() -> None:
    study = Study({"dropout": SPACE["dropout"]}, "minimize", "random")
    for number in range(4):
        study.ask(number)

    told = [
        study.tell(0, Reason.DIVERGED, None),
        study.tell(1, Reason.COMPLETED, (2.0,)),
        study.tell(2, Reason.COMPLETED, (1.0,)),
        study.tell(3, Reason.DIVERGED, None),
    ]

    assert told == [(1e9,), None, None, (2.0,)]


def test_a_penalty_told_before_an_interruption_is_not_taken_for_a_value_after_it() -> None:
    space = {"dropout": SPACE["dropout"]}
    study = Study(space, "minimize", "random")
    study.restore(0, {"dropout": 0.1}, {}, (Reason.DIVERGED, (1e9,)))  # diverged first, told the penalty
    study.restore(1, {"dropout": 0.2}, {}, (Reason.COMPLETED, (2.0,)))
    study.ask(2)

    assert study.tell(2, Reason.DIVERGED, None) == (2.0,)


def test_the_sampler_learns_to_avoid_what_diverges() -> None:
    """An adversarial space: one optimizer always diverges; TPE must suggest it less often than chance in the end."""
    space: dict[str, Domain] = {"optimizer": Choice(("sgd", "adam")), "learning_rate": Range(1e-4, 1e-1, log=True)}
    study, chosen = Study(space, "maximize"), []
    for number in range(60):
        params = study.ask(number)
        chosen.append(params["optimizer"])
        diverges = params["optimizer"] == "sgd"
        study.tell(
            number,
            Reason.DIVERGED if diverges else Reason.COMPLETED,
            None if diverges else (0.5 + params["learning_rate"],),
        )

    assert chosen[20:].count("sgd") <= 10  # chance would be 20 of 40


def test_suggestions_equal_those_of_plain_optuna() -> None:
    """The reference: a plain in-memory study, asked and told one after the other."""
    plain = optuna.create_study(direction="maximize")
    lr = optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)
    study = Study({"learning_rate": SPACE["learning_rate"]}, "maximize")

    for number in range(20):
        plain.sampler = optuna.samplers.TPESampler(seed=seeds.derive(0, "ask", number))
        trial = plain.ask({"learning_rate": lr})
        params = study.ask(number)
        assert params == trial.params
        plain.tell(trial, trial.params["learning_rate"])
        study.tell(number, Reason.COMPLETED, (params["learning_rate"],))


def test_trials_must_come_in_order() -> None:
    study = fresh("tpe")

    with pytest.raises(ValueError, match="in order"):
        study.ask(3)
    with pytest.raises(ValueError, match="in order"):
        fresh("tpe").restore(2, {**study.ask(1)}, {}, None)


@pytest.mark.parametrize(
    ("n_trials", "expected"), [(1, 4), (30, 4), (32, 4), (33, 5), (100, 13), (512, 64), (10**6, 64)]
)
def test_the_window_is_an_eighth_of_the_budget_within_bounds(n_trials: int, expected: int) -> None:
    assert window(n_trials) == expected


@given(low=st.integers(-1000, 1000), n_steps=st.integers(1, 1000), step=st.integers(1, 1000))
@settings(max_examples=n_examples(200))
def test_a_stepped_range_becomes_a_distribution_without_complaint(low: int, n_steps: int, step: int) -> None:
    domain = Range(low / 1000, (low + n_steps * step) / 1000, step=step / 1000)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made: Any = distribution(domain)

    assert (made.low, made.high) == (domain.low, domain.high)


def test_states_are_restored_as_they_were_told() -> None:
    study = Study({"dropout": SPACE["dropout"]}, "maximize")
    told: list[tuple[Reason, Values | None] | None] = [
        (Reason.EARLY_STOPPED, (0.5,)),
        (Reason.FAILED, None),
        (Reason.DIVERGED, (0.1,)),
        (Reason.PRUNED, (0.2,)),
        None,
    ]

    for number, known in enumerate(told):
        study.restore(number, {"dropout": 0.1, "optimizer": "adam"}, {}, known)

    states = [trial.state.name for trial in study._trials()]
    assert states == ["COMPLETE", "FAIL", "COMPLETE", "PRUNED", "RUNNING"]


def test_suggestions_are_those_of_optunas_tpe_with_the_same_seeds() -> None:
    """Ours only saves Optuna the search for the space that all trials share."""
    ours = Study(SPACE, "maximize", "tpe", seed=3)
    distributions = {name: distribution(domain) for name, domain in SPACE.items()}
    plain = optuna.create_study(direction="maximize")
    for number in range(40):
        plain.sampler = optuna.samplers.TPESampler(seed=seeds.derive(3, "ask", number))
        trial = plain.ask(distributions)
        assert ours.ask(number) == {name: decode(SPACE[name], trial.params[name]) for name in SPACE}
        if number >= 4:
            reason = Reason.FAILED if number % 7 == 0 else Reason.COMPLETED
            value = None if reason is Reason.FAILED else math.sin(number)
            ours.tell(number - 4, reason, None if value is None else (value,))
            plain.tell(number - 4, value, state=optuna.trial.TrialState.FAIL if value is None else None)


# ---- grids and sequences


def points(study: Study, n_trials: int) -> list[Params]:
    found = []
    for number in range(n_trials):
        found.append(study.ask(number))
        study.tell(number, Reason.COMPLETED, (0.5,))
    return found


def test_a_grid_tries_every_point_once_and_then_has_none() -> None:
    space: dict[str, Domain] = {name: GRID[name] for name in ("learning_rate", "hidden", "batch_norm")}
    study = Study(space, "maximize", "grid", 3)

    found = points(study, 24)

    expected = itertools.product([1e-4, 1e-3, 1e-2, 1e-1], SPACE["hidden"].grid(), [True, False])
    seen = {(round(p["learning_rate"], 6), p["hidden"], p["batch_norm"]) for p in found}
    assert seen == set(expected)
    assert {p["learning_rate"] for p in found} >= {1e-4, 1e-1}  # the ends are not rounded
    assert not study.may_ask(24)
    with pytest.raises(ValueError, match="exhausted"):
        study.ask(24)
    assert points(Study(space, "maximize", "grid", 4), 24) != found


@pytest.mark.parametrize("rebuilds", [False, True])
def test_points_of_stopped_trials_are_tried_again(rebuilds: bool) -> None:
    space: dict[str, Domain] = {"dropout": SPACE["dropout"]}  # seven points
    study = Study(space, "maximize", "grid")
    asked = [(study.ask(number), study.attrs(number)) for number in range(7)]
    reasons = [Reason.COMPLETED, Reason.STOPPED, Reason.FAILED, Reason.STOPPED, *[Reason.PRUNED] * 3]
    if rebuilds:
        study = Study(space, "maximize", "grid")
        for number, (params, attrs) in enumerate(asked):
            study.restore(number, params, attrs, (reasons[number], None) if number < 3 else None)
    for number in range(3 if rebuilds else 0, 7):
        study.tell(number, reasons[number], (0.5,) if reasons[number] is Reason.COMPLETED else None)

    again = [study.ask(7)["dropout"], study.ask(8)["dropout"]]

    assert again == [asked[1][0]["dropout"], asked[3][0]["dropout"]]
    assert not study.may_ask(9)
    study.tell(7, Reason.STOPPED, None)
    assert study.ask(9)["dropout"] == again[0]


def test_a_sequence_is_scipys_scrambled_sobol_from_its_first_point_on() -> None:
    space: dict[str, Domain] = {"dropout": Range(0.0, 0.5), "learning_rate": Range(1e-4, 1e-1, log=True)}
    study = Study(space, "maximize", "qmc", 5)

    found = points(study, 16)

    expected = Sobol(2, scramble=True, seed=seeds.derive(5, "sequence", 0)).random(16)
    for params, (x, y) in zip(found, expected, strict=True):
        assert params["dropout"] == pytest.approx(0.5 * x)
        assert params["learning_rate"] == pytest.approx(1e-4 * 1000**y)


def test_an_evolution_strategy_equals_optunas_with_the_same_seeds() -> None:
    space: dict[str, Domain] = {"dropout": Range(0.0, 0.5), "learning_rate": Range(1e-4, 1e-1, log=True)}
    study, plain = Study(space, "minimize", "cmaes", 1), optuna.create_study()
    values: list[float] = []
    for number in range(60):
        plain.sampler = optuna.samplers.CmaEsSampler(seed=seeds.derive(1, "ask", number))
        trial = plain.ask({name: distribution(domain) for name, domain in space.items()})
        params = study.ask(number)
        if number:  # the first one is drawn independently, by another generator
            assert params == trial.params
        value = (params["dropout"] - 0.3) ** 2 + (math.log10(params["learning_rate"]) + 2) ** 2
        values.append(value)
        study.tell(number, Reason.COMPLETED, (value,))
        plain.tell(trial, value)
    assert sum(values[-10:]) < sum(values[:10]) / 5


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (Range(0.0, 0.3, step=0.1), (0.0, 0.1, 0.2, 0.3)),
        (Range(0.0, 1.0, steps=3), (0.0, 0.5, 1.0)),
        (Range(1, 4, is_integer=True), (1, 2, 3, 4)),
        (Range(1, 100, is_integer=True, log=True, steps=3), (1, 10, 100)),
        (Range(1, 3, is_integer=True, steps=9), (1, 2, 3)),
        (Range(0.2, 0.2), (0.2,)),
        (Choice(("a", "b")), ("a", "b")),
    ],
)
def test_the_values_of_a_grid(domain: Domain, expected: tuple[Any, ...]) -> None:
    assert domain.grid() == pytest.approx(expected) if isinstance(expected[0], float) else domain.grid() == expected
    assert grid_size({"a": domain}) == len(expected)
    assert all(domain.contains(value) for value in domain.grid())


def test_a_range_without_steps_has_no_grid() -> None:
    assert grid_size({"a": Choice((1, 2)), "b": Range(0.0, 1.0)}) is None
    with pytest.raises(ValueError, match="steps"):
        Range(0.0, 1.0).grid()


# ---- conditions


KINDS = ["tpe", "random", "qmc", "cmaes", "grid"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_study_with_conditions_that_was_rebuilt_goes_on_as_if_it_had_never_stopped(kind: str) -> None:
    uninterrupted = drive(kind, 40, conditions=True)

    assert drive(kind, 40, interruptions=(1, 5, 6, 17, 30), conditions=True) == uninterrupted
    assert drive(kind, 40, interruptions=range(1, 40), conditions=True) == uninterrupted


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_lies_in_the_branch_that_holds_and_is_the_default_where_none_does(kind: str) -> None:
    space = CONDITIONAL_GRID if kind == "grid" else CONDITIONAL
    seen = set()
    for params, _ in drive(kind, 60, conditions=True):
        assert list(params) == list(space)
        for name, domain in space.items():
            leaf = active_domain(domain, params)
            seen.add((name, leaf is None))
            assert params[name] == DEFAULTS[name] if leaf is None else leaf.contains(params[name]), (name, params)
    assert {("dropout", True), ("dropout", False), ("schedule", True), ("schedule", False)} <= seen


def test_enqueued_configurations_with_conditions_come_first() -> None:
    first, second = (params for params, _ in drive("tpe", 2, conditions=True))

    assert CONDITIONAL_ENQUEUE[0].items() <= first.items()
    assert first["schedule"] == "constant"
    assert CONDITIONAL_ENQUEUE[1].items() <= second.items()


def test_an_enqueued_branch_needs_no_more_than_what_decides_it() -> None:
    """The first branch cannot hold whatever the schedule will be, so the second one does."""
    space: SearchSpace = {
        "schedule": Choice(("constant", "cosine")),
        "batch_norm": Choice((True, False)),
        "l2": Conditional(
            (
                Branch(Range(0.0, 1.0), {"schedule": ("cosine",), "batch_norm": (False,)}),
                Branch(Range(2.0, 3.0), {"batch_norm": (True,)}),
            )
        ),
    }
    study = Study(space, "maximize", "random", 0, [{"batch_norm": True, "l2": 2.5}], {"l2": 0.0})

    assert study.ask(0)["l2"] == 2.5


def test_suggestions_under_conditions_are_those_of_optunas_tpe_in_groups() -> None:
    """The reference: plain Optuna with a define-by-run objective, asked and told one after the other."""
    ours = Study(CONDITIONAL, "maximize", "tpe", 3, (), DEFAULTS)
    plain = optuna.create_study(direction="maximize")
    for number in range(60):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            seed = seeds.derive(3, "ask", number)
            plain.sampler = optuna.samplers.TPESampler(multivariate=True, group=True, seed=seed)
        trial = plain.ask()
        expected = by_hand(trial)
        assert ours.ask(number) == expected
        value = math.sin(number) + (expected["optimizer"] == "adam")
        if number % 7 == 0:
            ours.tell(number, Reason.FAILED, None)
            plain.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            ours.tell(number, Reason.COMPLETED, (value,))
            plain.tell(trial, value)


def by_hand(trial: optuna.Trial) -> Params:
    """`CONDITIONAL` as one would write it with Optuna."""
    p: Params = {"batch_norm": trial.suggest_categorical("batch_norm", [True, False])}
    p["optimizer"] = trial.suggest_categorical("optimizer", ["sgd", "momentum", "adam"])
    if p["optimizer"] == "adam":
        p["learning_rate"] = trial.suggest_float("learning_rate[1]", 1e-4, 1e-2, log=True)
    else:
        p["learning_rate"] = trial.suggest_float("learning_rate[0]", 1e-2, 1.0, log=True)
    p["schedule"] = "constant"
    if p["optimizer"] != "momentum":
        p["schedule"] = trial.suggest_categorical("schedule[0]", ["cosine", "exponential"])
    p["dropout"] = 0.05
    if not p["batch_norm"] and p["schedule"] == "cosine":
        p["dropout"] = trial.suggest_float("dropout[0]", 0.0, 0.5)
    elif not p["batch_norm"]:
        p["dropout"] = trial.suggest_float("dropout[1]", 0.1, 0.2)
    p["l2"] = trial.suggest_float("l2", 1e-6, 1e-1, log=True)
    p["batch_size"] = trial.suggest_int("batch_size", 16, 96, step=16)
    if p["batch_size"] <= 32:
        n_layers = trial.suggest_int("hidden[0].layers", 1, 3)
        p["hidden"] = (trial.suggest_int("hidden[0].units", 4, 64, log=True),) * n_layers
    else:
        n_layers = trial.suggest_categorical("hidden[1].layers", [1, 2])
        p["hidden"] = (trial.suggest_categorical("hidden[1].units", [8, 16]),) * n_layers
    return p


def test_the_sampler_learns_a_branch_from_the_trials_that_have_it() -> None:
    """Each optimizer has its own best learning rate; what is good for one is bad for the other."""
    space: SearchSpace = {
        "optimizer": Choice(("sgd", "adam")),
        "learning_rate": Conditional(
            (Branch(Range(0.0, 1.0), {"optimizer": ("sgd",)}), Branch(Range(0.0, 1.0), {"optimizer": ("adam",)}))
        ),
    }
    best, study, missed = {"sgd": 0.9, "adam": 0.1}, Study(space, "minimize"), list[float]()
    for number in range(80):
        params = study.ask(number)
        missed.append(abs(params["learning_rate"] - best[params["optimizer"]]))
        study.tell(number, Reason.COMPLETED, (missed[-1],))

    assert sum(missed[50:]) / 30 < 0.15  # a uniform guess misses by 0.41 on average


def test_a_sequence_under_conditions_has_a_dimension_for_each_branch() -> None:
    space: SearchSpace = {
        "batch_size": Range(0, 1, is_integer=True),
        "dropout": Conditional((Branch(Range(0.0, 0.5), {"batch_size": (0,)}), Branch(Range(0.6, 0.8), {}))),
    }

    found = points(Study(space, "maximize", "qmc", 5), 16)

    # sorted by name: batch_size, dropout[0], dropout[1]
    expected = Sobol(3, scramble=True, seed=seeds.derive(5, "sequence", 0)).random(16)
    for params, (x, y, z) in zip(found, expected, strict=True):
        assert params["batch_size"] == (x >= 0.5)
        assert params["dropout"] == pytest.approx(0.6 + 0.2 * z if params["batch_size"] else 0.5 * y)
    assert {params["batch_size"] for params in found} == {0, 1}


def test_an_evolution_strategy_moves_what_every_trial_has_as_if_there_were_nothing_else() -> None:
    ranges: dict[str, Domain] = {"l2": Range(0.0, 0.5), "momentum": Range(1e-4, 1e-1, log=True)}
    dropout = Conditional((Branch(Range(0.0, 0.5), {"batch_norm": (True,)}),))
    more: SearchSpace = {"batch_norm": Choice((True, False)), "dropout": dropout, **ranges}
    ours = Study(more, "minimize", "cmaes", 1, (), {"dropout": 0.0})
    plain, seen = Study(ranges, "minimize", "cmaes", 1), set()
    for number in range(60):
        params, alone = ours.ask(number), plain.ask(number)
        seen.add(params["batch_norm"])
        if number:  # the first one is drawn independently, by one generator for all
            assert {name: params[name] for name in ranges} == alone
        value = (alone["l2"] - 0.3) ** 2 + (math.log10(alone["momentum"]) + 2) ** 2 if number else 1.0
        ours.tell(number, Reason.COMPLETED, (value,))
        plain.tell(number, Reason.COMPLETED, (value,))
    assert seen == {True, False}


def brute_force(space: SearchSpace, defaults: Params) -> set[Any]:
    """Every point of `CONDITIONAL_GRID`, from the product of all values that any knob may have."""
    values: dict[str, list[Any]] = {
        "dropout": [0.0, 0.25, 0.5, 0.1, 0.2, 0.05],
        "batch_norm": [True, False],
        "optimizer": ["sgd", "momentum", "adam"],
        "learning_rate": [0.1, 1.0, 0.001],
        "schedule": ["cosine", "exponential", "constant"],
        "l2": [0.01],
        "batch_size": [16, 40, 64],
        "hidden": [(8,), (16,), (8, 8), (16, 16), (4, 4)],
    }
    listed: dict[str, list[tuple[Any, ...]]] = {
        "dropout": [(0.0, 0.25, 0.5), (0.1, 0.2)],
        "learning_rate": [(0.1, 1.0), (0.001,)],
        "schedule": [("cosine", "exponential")],
        "hidden": [((8,), (16,), (8, 8), (16, 16)), ((8,), (4, 4))],
    }
    found = set()
    for point in itertools.product(*values.values()):
        params = dict(zip(values, point, strict=True))
        for name, branches in listed.items():
            domain = space[name]
            assert isinstance(domain, Conditional)
            index = domain.chosen(params)
            if params[name] not in ((defaults[name],) if index is None else branches[index]):
                break
        else:
            found.add(point)
    return found


def test_a_grid_with_conditions_tries_every_valid_combination_once() -> None:
    expected = brute_force(CONDITIONAL_GRID, DEFAULTS)
    study = Study(CONDITIONAL_GRID, "maximize", "grid", 3, (), DEFAULTS)

    found = points(study, len(expected))

    assert len(expected) == grid_size(CONDITIONAL_GRID, DEFAULTS)
    assert {tuple(params.values()) for params in found} == expected
    assert not study.may_ask(len(expected))


def test_without_conditions_points_and_names_are_those_from_before_there_were_any() -> None:
    """A study in a ledger from before is rebuilt from these names; Optuna's own study is the reference."""
    study = Study(SPACE, "maximize", "random", 3)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seeds.derive(3, "ask", 0))).ask(
        {name: distribution(domain) for name, domain in SPACE.items()}
    )

    params = study.ask(0)

    assert study._trials()[0].params == trial.params
    assert params == {name: decode(domain, trial.params[name]) for name, domain in SPACE.items()}


def test_layers_are_two_parameters_of_optunas() -> None:
    study = Study({"hidden": Layers(Range(1, 3, is_integer=True), Choice((8, 16)))}, "maximize", "random")
    params = study.ask(0)["hidden"]

    assert study._trials()[0].params == {"hidden.layers": len(params), "hidden.units": params[0]}
    assert len(set(params)) == 1


def test_what_the_best_trials_share_is_important_and_a_hyperparameter_is_one_name() -> None:
    study = optuna.create_study(direction="maximize")
    domains: dict[str, Any] = {
        "optimizer": optuna.distributions.CategoricalDistribution(["sgd", "adam"]),
        "hidden.layers": optuna.distributions.IntDistribution(1, 3),
        "hidden.units": optuna.distributions.IntDistribution(8, 10),
    }
    for number in range(40):
        params = {"optimizer": ["sgd", "adam"][number % 10 == 0], "hidden.layers": number % 3 + 1, "hidden.units": 9}
        value = 1.0 + number if params["optimizer"] == "adam" else 0.0
        study.add_trial(optuna.trial.create_trial(value=value, params=params, distributions=domains))

    shares = importances_of(study)

    assert list(shares) == ["optimizer", "hidden"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["optimizer"] > 0.8


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
def test_nothing_is_important_where_no_trials_are_better_than_others(values: list[float]) -> None:
    study = optuna.create_study()
    for value in values:
        domain = optuna.distributions.FloatDistribution(0, 1)
        study.add_trial(optuna.trial.create_trial(value=value, params={"l2": value / 9}, distributions={"l2": domain}))

    assert importances_of(study) == {}
