from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats.qmc import Sobol  # type: ignore[import-untyped]

from dnnsweep import seeds
from dnnsweep.ranking import Value
from dnnsweep.records import Reason
from dnnsweep.space import Choice, Domain, Range, grid_size
from dnnsweep.spec.window import window
from dnnsweep.study import Study, _decoded, distribution

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
WINDOW = 4
Params = dict[str, Any]


def outcome(number: int, params: Params) -> tuple[Reason, float | None]:
    """A made-up objective: every seventh trial diverges, every eleventh fails."""
    if number % 7 == 3:
        return Reason.DIVERGED, None
    if number % 11 == 5:
        return Reason.FAILED, None
    return Reason.COMPLETED, params["learning_rate"] + params["dropout"] + (params["optimizer"] == "adam")


def fresh(kind: str) -> Study:
    if kind == "grid":
        return Study(GRID, "maximize", kind, 0)
    return Study(SPACE, "maximize", kind, 0, ENQUEUE)


def drive(kind: str, n_trials: int, interruptions: Sequence[int] = ()) -> list[tuple[Params, Value | None]]:
    """Ask and tell in the fixed order; rebuild the study after as many results as `interruptions` says."""
    study = fresh(kind)
    asked: list[tuple[Params, Params]] = []
    penalties: dict[int, Value | None] = {}
    n_told, left = 0, list(interruptions)
    while n_told < n_trials:
        while len(asked) < min(n_trials, n_told + WINDOW):
            asked.append((study.ask(len(asked)), study.attrs(len(asked))))
        penalties[n_told] = study.tell(n_told, *outcome(n_told, asked[n_told][0]))
        n_told += 1
        if left and n_told == left[0]:
            left.pop(0)
            study, n_told = rebuilt(kind, study, asked, penalties)
    return [(params, penalties[number]) for number, (params, _) in enumerate(asked)]


def rebuilt(
    kind: str, old: Study, asked: list[tuple[Params, Params]], penalties: dict[int, Value | None]
) -> tuple[Study, int]:
    study, n_told = fresh(kind), max(0, len(asked) - WINDOW)
    study.restore_attrs(old.study_attrs())
    for number, (params, attrs) in enumerate(asked):
        known = None
        if number < n_told:
            reason, value = outcome(number, params)
            known = (reason, penalties[number] if value is None else value)
        study.restore(number, params, attrs, known)
    return study, n_told


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

    def fresh(self, kind: str) -> Study:
        grid = kind == "grid"
        study = Study(GRID if grid else SPACE, ("maximize", "minimize"), kind, 0, () if grid else ENQUEUE)
        study.populate(self._population)
        return study

    def outcome(self, reason: Reason, value: Value | None, params: Params) -> tuple[Reason, Value | None]:
        if not isinstance(value, float):
            return reason, None
        return reason, (round(value, 1), float(sum(params["hidden"]) + params["batch_size"]))


@pytest.mark.parametrize("kind", ["nsga2", "tpe", "random", "qmc", "grid"])
def test_a_study_of_two_objectives_that_was_rebuilt_goes_on_as_if_it_had_never_stopped(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Two(monkeypatch)
    whole = drive(kind, 40)

    for interruptions in [(1, 5, 6, 17, 30), range(1, 40), *([(each,) for each in range(1, 40)] * (kind == "nsga2"))]:
        assert drive(kind, 40, interruptions) == whole, interruptions


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
    ours.populate(6)
    children = 0
    for number in range(60):
        plain.sampler = optuna.samplers.NSGAIISampler(population_size=6, seed=seeds.derive(7, "ask", number))
        trial = plain.ask(distributions)
        params = ours.ask(number)
        assert params == {name: _decoded(space[name], trial.params[name]) for name in space}
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

    def grown(kind: str) -> Study:
        nonlocal n_fresh
        study, n_fresh = small(kind), n_fresh + 1
        if n_fresh > 1:
            study.populate(20)
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
        study.tell(1, Reason.COMPLETED, 2.0),
        study.tell(2, Reason.COMPLETED, 1.0),
        study.tell(3, Reason.DIVERGED, None),
    ]

    assert told == [1e9, None, None, 2.0]


def test_a_penalty_told_before_an_interruption_is_not_taken_for_a_value_after_it() -> None:
    space = {"dropout": SPACE["dropout"]}
    study = Study(space, "minimize", "random")
    study.restore(0, {"dropout": 0.1}, {}, (Reason.DIVERGED, 1e9))  # diverged first, told the penalty
    study.restore(1, {"dropout": 0.2}, {}, (Reason.COMPLETED, 2.0))
    study.ask(2)

    assert study.tell(2, Reason.DIVERGED, None) == 2.0


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
            None if diverges else 0.5 + params["learning_rate"],
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
        study.tell(number, Reason.COMPLETED, params["learning_rate"])


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
@settings(max_examples=200)
def test_a_stepped_range_becomes_a_distribution_without_complaint(low: int, n_steps: int, step: int) -> None:
    domain = Range(low / 1000, (low + n_steps * step) / 1000, step=step / 1000)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made: Any = distribution(domain)

    assert (made.low, made.high) == (domain.low, domain.high)


def test_states_are_restored_as_they_were_told() -> None:
    study = Study({"dropout": SPACE["dropout"]}, "maximize")
    told: list[tuple[Reason, float | None] | None] = [
        (Reason.EARLY_STOPPED, 0.5),
        (Reason.FAILED, None),
        (Reason.DIVERGED, 0.1),
        (Reason.PRUNED, 0.2),
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
        assert ours.ask(number) == {name: _decoded(SPACE[name], trial.params[name]) for name in SPACE}
        if number >= 4:
            reason = Reason.FAILED if number % 7 == 0 else Reason.COMPLETED
            value = None if reason is Reason.FAILED else math.sin(number)
            ours.tell(number - 4, reason, value)
            plain.tell(number - 4, value, state=optuna.trial.TrialState.FAIL if value is None else None)


# ---- grids and sequences


def points(study: Study, n_trials: int) -> list[Params]:
    found = []
    for number in range(n_trials):
        found.append(study.ask(number))
        study.tell(number, Reason.COMPLETED, 0.5)
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
        study.tell(number, reasons[number], 0.5 if reasons[number] is Reason.COMPLETED else None)

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
        study.tell(number, Reason.COMPLETED, value)
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
