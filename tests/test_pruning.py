from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from examples import n_examples
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, PatientPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, TrialState

from dnnsweep.records import Reason, State
from dnnsweep.space import Choice, Domain, Range
from dnnsweep.spec import PrunerSpec
from dnnsweep.study import Study
from dnnsweep.study.pruning import NoPruning, Pruner, study_name

#: val_accuracy of forty trials of sweeps/digits.yaml, an entry per epoch.
RECORDED: list[list[float]] = json.loads((Path(__file__).parent / "data" / "curves.json").read_text())
EPOCHS = 50
SEED = 3
Curves = Sequence[Sequence[float]]
#: Trial -> how many epochs it trained, and how it ended.
Ends = dict[int, tuple[int, Reason]]

with warnings.catch_warnings():
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    PLAIN: dict[str, tuple[dict[str, Any], BasePruner]] = {
        "median": ({"kind": "median"}, MedianPruner()),
        "late median": (
            {"kind": "median", "n_startup_trials": 3, "n_warmup_steps": 4, "interval_steps": 3, "n_min_trials": 2},
            MedianPruner(n_startup_trials=3, n_warmup_steps=4, interval_steps=3, n_min_trials=2),
        ),
        "asha": ({"kind": "asha"}, SuccessiveHalvingPruner(min_resource=1)),
        "slow asha": (
            {"kind": "asha", "min_resource": 2, "reduction_factor": 2, "min_early_stopping_rate": 1},
            SuccessiveHalvingPruner(min_resource=2, reduction_factor=2, min_early_stopping_rate=1),
        ),
        "asha with a start": (
            {"kind": "asha", "bootstrap_count": 4},
            SuccessiveHalvingPruner(min_resource=1, bootstrap_count=4),
        ),
        "hyperband": ({"kind": "hyperband"}, HyperbandPruner(max_resource=EPOCHS)),
        "short hyperband": (
            {"kind": "hyperband", "min_resource": 2, "max_resource": 30, "reduction_factor": 4},
            HyperbandPruner(min_resource=2, max_resource=30, reduction_factor=4),
        ),
        "patient": ({"kind": "patient", "patience": 2, "min_delta": 0.001}, PatientPruner(None, 2, 0.001)),
        "patient median": (
            {"kind": "patient", "patience": 1, "wrapped": {"kind": "median"}},
            PatientPruner(MedianPruner(), 1),
        ),
        "patient hyperband": (
            {"kind": "patient", "patience": 1, "wrapped": {"kind": "hyperband"}},
            PatientPruner(HyperbandPruner(max_resource=EPOCHS), 1),
        ),
    }

curves_strategy = st.lists(
    st.lists(st.one_of(st.integers(0, 6).map(lambda v: v / 4), st.just(math.nan)), min_size=1, max_size=10),
    min_size=1,
    max_size=14,
)


def ended_by_itself(number: int) -> Reason:
    """Every ninth trial fails after its last epoch, the others are complete."""
    return Reason.FAILED if number % 9 == 4 else Reason.COMPLETED


def pruning(kind: str, direction: str = "maximize", window: int = 1) -> Pruner:
    rule = PrunerSpec.model_validate(PLAIN[kind][0]).settings()
    return Pruner(rule, direction, EPOCHS, window, SEED)


def optuna_loop(kind: str, curves: Curves, direction: Any) -> Ends:
    """What plain Optuna does with trials whose objective is reported epoch by epoch, one trial after the other."""
    study = optuna.create_study(direction=direction, study_name=study_name(SEED), pruner=PLAIN[kind][1])
    ends: Ends = {}
    for number, curve in enumerate(curves):
        trial = study.ask()
        reason = ended_by_itself(number)
        for epoch, value in enumerate(curve, 1):
            trial.report(value, epoch)
            if trial.should_prune():
                reason = Reason.PRUNED
                break
        ends[number] = (epoch, reason)
        if reason is Reason.COMPLETED:
            study.tell(trial, 0.0)
        else:
            study.tell(trial, state=TrialState.PRUNED if reason is Reason.PRUNED else TrialState.FAIL)
    return ends


class Sweep:
    """Trials that train in some order, W of them at most, and are judged by the pruner."""

    def __init__(self, kind: str, curves: Curves, direction: str, window: int) -> None:
        self._rule = (kind, direction, window)
        self.pruning = pruning(*self._rule)
        self._curves = curves
        self._window = window
        self._n_told = 0
        self._n_trained = dict.fromkeys(range(len(curves)), 0)
        self._attrs: dict[int, Any] = {}
        self.ends: Ends = {}

    def open(self) -> list[int]:
        """Return the trials that have something left to train."""
        asked = range(self._n_told, min(len(self._curves), self._n_told + self._window))
        return [number for number in asked if number not in self.ends and not self._is_trained(number)]

    def _is_trained(self, number: int) -> bool:
        return self._n_trained[number] == len(self._curves[number])

    def train(self, number: int) -> None:
        """Train a trial for an epoch."""
        epoch = self._n_trained[number] = self._n_trained[number] + 1
        self.pruning.report(number, epoch, self._curves[number][epoch - 1])
        if self._is_trained(number):
            self.pruning.end(number, ended_by_itself(number))
        self._settle()

    def _settle(self) -> None:
        for number, epoch in self.pruning.settle():
            self.ends.setdefault(number, (epoch, Reason.PRUNED))
        for number in range(self._n_told, min(len(self._curves), self._n_told + self._window)):
            if self._is_trained(number) and number not in self.ends and self.pruning.is_fully_judged(number):
                self.ends[number] = (len(self._curves[number]), ended_by_itself(number))
        while self._n_told in self.ends:
            self._attrs[self._n_told] = json.loads(json.dumps(self.pruning.attrs(self._n_told)))
            self._n_told += 1

    def interrupt(self) -> None:
        """Begin anew from what a ledger keeps: ends, curves, and what was told with its attributes."""
        n_asked = min(len(self._curves), self._n_told + self._window)
        self._n_told = max(0, n_asked - self._window)
        self.pruning = pruning(*self._rule)
        for number in range(n_asked):
            if number not in self.ends:
                self._n_trained[number] = 0
                continue
            n_epochs, reason = self.ends[number]
            values = self._curves[number][:n_epochs]
            if number < self._n_told:
                self.pruning.restore(values, self._attrs[number], reason)
                continue
            for epoch, value in enumerate(values, 1):
                self.pruning.report(number, epoch, value)
            self.pruning.end(number, reason)
        self._settle()

    def lose(self, number: int) -> None:
        """Let a trial lose its trainer: it is trained again."""
        self._n_trained[number] = 0
        self.pruning.forget(number)


def in_order(kind: str, curves: Curves, direction: str = "maximize", window: int = 1) -> Ends:
    sweep = Sweep(kind, curves, direction, window)
    while opened := sweep.open():
        sweep.train(opened[0])
    return sweep.ends


def by_definition(kind: str, curves: Curves, direction: Any, window: int) -> Ends:
    """Verdict by verdict, each in a study of Optuna's made of nothing but what the verdict may know."""
    ends: Ends = {}
    rungs: dict[int, dict[str, tuple[int, float]]] = {}
    for number, curve in enumerate(curves):
        rungs[number] = {}
        ends[number] = (len(curve), ended_by_itself(number))
        for epoch in range(1, len(curve) + 1):
            study = optuna.create_study(direction=direction, study_name=study_name(SEED), pruner=PLAIN[kind][1])
            for earlier in range(number):
                until = epoch if earlier > number - window else 10**6
                study.add_trial(known(earlier, curves, ends, rungs, until))
            mine = known(number, curves, {number: (epoch, Reason.COMPLETED)}, rungs, epoch)
            study.add_trial(mine)
            frozen = study.get_trials(deepcopy=False)[number]
            is_pruned = study.pruner.prune(study, frozen)
            after = study._storage.get_trial(frozen._trial_id).system_attrs
            rungs[number] |= {key: (epoch, value) for key, value in after.items() if key not in rungs[number]}
            if is_pruned:
                ends[number] = (epoch, Reason.PRUNED)
                break
    return ends


def known(
    number: int, curves: Curves, ends: Ends, rungs: dict[int, dict[str, tuple[int, float]]], until: int
) -> FrozenTrial:
    n_epochs, reason = ends[number]
    states = {State.COMPLETE: TrialState.COMPLETE, State.PRUNED: TrialState.PRUNED, State.FAILED: TrialState.FAIL}
    state = states[reason.state] if n_epochs < until else TrialState.RUNNING
    values = dict(enumerate(curves[number][: min(n_epochs, until)], 1))
    attrs = {key: value for key, (epoch, value) in rungs[number].items() if epoch <= until}
    value = 0.0 if state is TrialState.COMPLETE else None
    return optuna.create_trial(state=state, value=value, intermediate_values=values, system_attrs=attrs)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("kind", PLAIN)
def test_verdicts_on_recorded_curves_are_those_of_optuna_in_a_loop(kind: str, direction: str) -> None:
    curves = RECORDED if direction == "maximize" else [[1 - value for value in curve] for curve in RECORDED]
    plain = optuna_loop(kind, curves, direction)

    assert in_order(kind, curves, direction) == plain
    assert Reason.PRUNED in {reason for _, reason in plain.values()}


@pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning")
@pytest.mark.parametrize("kind", PLAIN)
@given(curves=curves_strategy, direction=st.sampled_from(["maximize", "minimize"]))
@settings(max_examples=n_examples(30), deadline=None)
def test_verdicts_on_any_curves_are_those_of_optuna_in_a_loop(
    kind: str, curves: list[list[float]], direction: str
) -> None:
    assert in_order(kind, curves, direction) == optuna_loop(kind, curves, direction)


@pytest.mark.parametrize("window", [2, 5])
@pytest.mark.parametrize("kind", PLAIN)
def test_with_trials_in_flight_each_verdict_is_optunas_on_what_it_may_know(kind: str, window: int) -> None:
    curves = [curve[:12] for curve in RECORDED[:16]]

    assert in_order(kind, curves, window=window) == by_definition(kind, curves, "maximize", window)


@pytest.mark.parametrize("kind", PLAIN)
@given(window=st.integers(1, 9), chance=st.integers(0, 10**6), n_troubles=st.integers(0, 6))
@settings(max_examples=n_examples(12), deadline=None)
def test_verdicts_do_not_depend_on_who_trains_faster_on_lost_trainers_or_interruptions(
    kind: str, window: int, chance: int, n_troubles: int
) -> None:
    curves = [curve[:20] for curve in RECORDED[:24]]
    sweep, dice = Sweep(kind, curves, "maximize", window), random.Random(chance)

    while opened := sweep.open():
        sweep.train(dice.choice(opened))
        if n_troubles and dice.random() < 0.05:
            n_troubles -= 1
            if (opened := sweep.open()) and n_troubles % 2:
                sweep.lose(dice.choice(opened))
            else:
                sweep.interrupt()

    assert sweep.ends == in_order(kind, curves, window=window)


def test_trials_that_were_told_before_a_trial_was_asked_count_in_full_and_others_up_to_its_epoch() -> None:
    """With W = 2, trial 2 was asked when trial 0 had been told: it is up against all of 0, and 1 up to its epoch."""
    slow = {"kind": "asha", "min_resource": 1, "reduction_factor": 2}
    late = Pruner(slow, "maximize", EPOCHS, 2, SEED)
    for number, values in enumerate([[0.5, 0.9], [0.6, 0.1], [0.7, 0.5]]):
        for epoch, value in enumerate(values, 1):
            late.report(number, epoch, value)
        late.end(number, Reason.COMPLETED)

    # Epoch 1: 0.7 beats 0.5 and 0.6. Epoch 2: of 0.9, 0.1 and 0.5 one of two goes on, the 0.9.
    assert late.settle() == [(1, 2), (2, 2)]


def test_a_trial_is_not_judged_before_all_is_known_that_enters_its_verdict() -> None:
    patient = pruning("asha", window=3)
    patient.report(0, 1, 0.9)
    patient.report(2, 1, 0.5)

    assert patient.settle() == []
    assert (patient.n_judged(0), patient.n_judged(2)) == (1, 0)

    patient.report(1, 1, 0.1)

    assert patient.settle() == [(1, 1), (2, 1)]


def test_without_pruning_every_trial_trains_on_and_waits_for_nobody() -> None:
    nothing = NoPruning()
    for number in range(3):
        nothing.report(number, 1, 0.1 * number)

    assert nothing.settle() == []
    assert nothing.n_final(2, n_reported=7) == 7
    assert nothing.is_fully_judged(2)
    assert (nothing.values(0), nothing.attrs(0)) == ({}, {})


def test_without_pruning_the_calls_are_those_of_a_pruner() -> None:
    both = [vars(kind) for kind in (Pruner, NoPruning)]
    shared = [{name for name in names if not name.startswith("_")} - {"n_judged"} for names in both]

    assert shared[0] == shared[1]


@pytest.mark.parametrize("kind", ["median", "asha", "hyperband", "patient"])
def test_the_settings_of_a_sweep_file_begin_with_optunas_defaults(kind: str) -> None:
    rule = PrunerSpec(kind=kind).settings()  # type: ignore[arg-type]

    mine = {name: value for name, value in rule.items() if name not in ("kind", "wrapped", "patience")}

    assert mine == {name: optunas(kind, name) for name in mine}


def optunas(kind: str, name: str) -> Any:
    """Return a default of Optuna's; what it finds out by itself is null."""
    import inspect

    classes = {
        "median": MedianPruner,
        "asha": SuccessiveHalvingPruner,
        "hyperband": HyperbandPruner,
        "patient": PatientPruner,
    }
    default = inspect.signature(classes[kind]).parameters[name].default
    return None if default == "auto" else default


SPACE: dict[str, Domain] = {"dropout": Range(0.0, 0.6), "optimizer": Choice(("sgd", "adam"))}
REPORTS = {1: 0.2, 2: 0.5, 3: 0.4}


def told(study: Study, number: int, score: float) -> None:
    """Every third trial is pruned after its third epoch."""
    if number % 3 == 1:
        study.tell(number, Reason.PRUNED, None, {epoch: score * value for epoch, value in REPORTS.items()})
    else:
        study.tell(number, Reason.COMPLETED, (score,))


def suggested(n_trials: int, interrupted_at: int | None) -> list[dict[str, Any]]:
    study, asked = Study(SPACE, "maximize", "tpe", SEED), list[dict[str, Any]]()
    for number in range(n_trials):
        if number == interrupted_at:
            study = Study(SPACE, "maximize", "tpe", SEED)
            for earlier, params in enumerate(asked):
                score, is_pruned = params["dropout"], earlier % 3 == 1
                outcome = (Reason.PRUNED, None) if is_pruned else (Reason.COMPLETED, (score,))
                reports = {epoch: score * value for epoch, value in REPORTS.items()} if is_pruned else {}
                study.restore(earlier, params, {}, outcome, reports)
        asked.append(study.ask(number))
        told(study, number, asked[-1]["dropout"])
    return asked


def test_a_study_with_pruned_trials_goes_on_as_if_it_had_never_stopped() -> None:
    assert suggested(30, 17) == suggested(30, None)


def test_the_sampler_is_told_of_a_pruned_trial_what_optuna_would_be() -> None:
    study, plain = Study(SPACE, "maximize", "random", SEED), optuna.create_study(direction="maximize")
    study.ask(0)
    trial = plain.ask()
    for epoch, value in REPORTS.items():
        trial.report(value, epoch)

    study.tell(0, Reason.PRUNED, None, REPORTS)
    plain.tell(trial, state=TrialState.PRUNED)

    (mine,), (theirs,) = study._trials(), plain.get_trials()
    for field in ("state", "value", "intermediate_values"):
        assert getattr(mine, field) == getattr(theirs, field)
