from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnnsweep import seeds
from dnnsweep.records import Reason, State
from dnnsweep.space import Choice, Domain, Range
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
    return Study(SPACE, "maximize", kind, 0, ENQUEUE)


def drive(kind: str, n_trials: int, interruptions: Sequence[int] = ()) -> list[tuple[Params, float | None]]:
    """Ask and tell in the fixed order; rebuild the study after as many results as `interruptions` says."""
    study = fresh(kind)
    asked: list[tuple[Params, Params]] = []
    penalties: dict[int, float | None] = {}
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
    kind: str, old: Study, asked: list[tuple[Params, Params]], penalties: dict[int, float | None]
) -> tuple[Study, int]:
    study, n_told = fresh(kind), max(0, len(asked) - WINDOW)
    study.restore_attrs(old.study_attrs())
    for number, (params, attrs) in enumerate(asked):
        known = None
        if number < n_told:
            reason, value = outcome(number, params)
            known = (reason.state, penalties[number] if value is None else value)
        study.restore(number, params, attrs, known)
    return study, n_told


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_study_that_was_rebuilt_goes_on_as_if_it_had_never_stopped(kind: str) -> None:
    assert drive(kind, 40, interruptions=(1, 5, 6, 17, 30)) == drive(kind, 40)


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
    study.restore(0, {"dropout": 0.1}, {}, (State.FAILED, 1e9))  # diverged first, told the penalty
    study.restore(1, {"dropout": 0.2}, {}, (State.COMPLETE, 2.0))
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
    told: list[tuple[State, float | None] | None] = [
        (State.COMPLETE, 0.5),
        (State.FAILED, None),
        (State.FAILED, 0.1),
        (State.PRUNED, 0.2),
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
