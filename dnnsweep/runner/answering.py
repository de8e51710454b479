"""What follows the last trial of a sweep: its best configurations are repeated, and the winner is retrained."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Final

from dnnsweep.answers.answer import CONFIRMED, Answer
from dnnsweep.answers.composition import Measured, compose, plain_scores
from dnnsweep.answers.configurations import baseline_params, choose_candidates
from dnnsweep.answers.confirmation import Confirmation, SplitSizes, compare_with_baseline, confirm
from dnnsweep.answers.contrast import contrast_between
from dnnsweep.answers.effects import MeasuredEffects, measure_effects, plan_effects
from dnnsweep.answers.expected import expected_scores
from dnnsweep.answers.isolation import Base, best_candidates, compare_values, plan_isolation, values_to_compare
from dnnsweep.answers.number_texts import setting_text
from dnnsweep.answers.race_rules import RaceRules, lookahead_for
from dnnsweep.answers.sentences import sentences
from dnnsweep.errors import SweepFailedError
from dnnsweep.records import Candidate, Finding, Purpose, Retraining, Sweep, SweepState, Task, Trial, to_plain
from dnnsweep.records.phases import Phase
from dnnsweep.runner.candidates import find_candidate, repeat_in_block, take_candidates
from dnnsweep.runner.repeat_order import PlannedRepeat, Results
from dnnsweep.runner.repeat_training import RepeatTraining
from dnnsweep.runner.tried_cures import TriedCure, findings_to_tell, plan_cures, told_findings
from dnnsweep.seeds import derive
from dnnsweep.space import prerequisites
from dnnsweep.spec import ConfirmSpec, SweepSpec
from dnnsweep.statistics.race import MIN_BLOCKS
from dnnsweep.study.finished_study import importances_of, make_study
from dnnsweep.study.parameters import Parameters

#: Seeds that a configuration is retrained with. The model of the first one is kept.
N_SEEDS: Final = 10


def is_answered(answer: Mapping[str, Any], spec: SweepSpec, sweep: Sweep, *, opens_test: bool = True) -> bool:
    """Return whether a sweep whose trials have all ended has answered what its file asks.

    Args:
        answer: What the sweep has answered so far, as the ledger has it.
        spec: The checked sweep file.
        sweep: The stored sweep.
        opens_test: Whether the test rows may be opened.
    """
    done = answer.get("done", {})
    return all(done.get(part) == key for part, key in _wanted(spec, sweep, opens_test=opens_test).items())


def is_retrained(answer: Mapping[str, Any], trial: int) -> bool:
    """Return whether the retrained configuration of an answer is that of a trial."""
    return bool((answer.get("retrained") or {}).get("trial") == trial)


def _wanted(spec: SweepSpec, sweep: Sweep, *, opens_test: bool) -> dict[str, Any]:
    """Return the parts that an answer is to have, each with what it depends on."""
    section = spec.confirmation(sweep.trainer)
    if section is None:
        return {}
    confirmed = {"n_trials": sweep.n_finished, **section.model_dump()}
    wanted: dict[str, Any] = {"confirm": confirmed, "cures": confirmed}
    if spec.effects is not None:
        wanted["effects"] = {**confirmed, "effects": spec.effects.model_dump()}
    if opens_test and sweep.data.get("n_test"):
        wanted["test"] = confirmed
    return wanted


@dataclass(frozen=True, slots=True)
class Isolation:
    """A comparison of the values of one hyperparameter that somebody asked for.

    Args:
        name: The hyperparameter.
        n_blocks: Blocks in which the best configuration of each value is repeated.
    """

    name: str
    n_blocks: int


class Answering:
    """Answers a sweep whose trials have all ended.

    Each part trains what the ledger lacks, so that an answer that was interrupted is continued.

    Args:
        spec: The checked sweep file.
        sweep: The stored sweep.
        trials: Its trials.
        training: Trains repeats.
        opens_test: Whether the test rows may be opened.
    """

    def __init__(
        self, spec: SweepSpec, sweep: Sweep, trials: Sequence[Trial], training: RepeatTraining, *, opens_test: bool
    ) -> None:
        self._spec = spec
        self._sweep = sweep
        self._trials = trials
        self._training = training
        self._lease = training.lease
        self._objective = spec.objectives[0]
        self._wanted = _wanted(spec, sweep, opens_test=opens_test)
        self._stored = dict(self._lease.answer())
        self._confirmation: Confirmation | None = None
        self._effects: MeasuredEffects | None = None
        self._baseline: int | None = None
        self._tried: list[TriedCure] = []
        self._skipped: dict[str, str] = {}
        self._has_time = True
        self._is_chosen = False
        self._is_amending = False

    def run(self) -> SweepState:
        """Train what is missing and store what follows from it; return `COMPLETE` unless it was cut short."""
        section = self._spec.confirmation(self._sweep.trainer)
        race = [] if section is None else self._race(section)
        if section is None or not race:
            return SweepState.COMPLETE
        parts: dict[str, Callable[[], SweepState]] = {
            "confirm": partial(self._confirm, section, race),
            "effects": self._measure_effects,
            "cures": self._try_cures,
            "test": self._score,
        }
        for name, part in parts.items():
            state = self._answer(name, part) if name in self._wanted else SweepState.COMPLETE
            if state is not SweepState.COMPLETE or not self._has_time:
                return state
        return SweepState.COMPLETE

    def _answer(self, name: str, part: Callable[[], SweepState]) -> SweepState:
        """Train what a part needs; the trials are there, and the other parts, whatever becomes of its repeats."""
        try:
            return part()
        except SweepFailedError as error:
            self._skipped[name] = str(error)
            self._store()
            return SweepState.COMPLETE

    def _train(self, plan: Callable[[Results], Sequence[PlannedRepeat]], phase: Phase) -> SweepState:
        """Train what a plan wants; note whether the time of the sweep was spent before it had all."""
        state, self._has_time = self._training.train(plan, phase)
        return state

    def isolate(self, asked: Isolation) -> SweepState:
        """Compare values of a hyperparameter, each with its own best steps; return how the sweep is to be left.

        A winner that was not confirmed yet is confirmed first.

        Args:
            asked: The comparison.
        """
        section = self._spec.confirmation(self._sweep.trainer)
        try:
            if section is not None and self._stored.get("kind") != CONFIRMED:
                state = self._confirm(section, self._race(section))
                if state is not SweepState.COMPLETE:
                    return state
            self._is_amending = True
            return self._compare(asked)
        except SweepFailedError as error:
            self._skipped[f"{asked.name} in isolation"] = str(error)
            self._store()
            return SweepState.COMPLETE

    def _compare(self, asked: Isolation) -> SweepState:
        """Compare values near the winner, if there is one and there are several values."""
        name, winner = asked.name, (self._stored.get("winner") or {}).get("params")
        if winner is None:
            return SweepState.COMPLETE
        spec, baseline = self._spec, baseline_params(self._spec.space, self._spec.default_params, self._spec.enqueue)
        values = values_to_compare(spec.space, name, baseline.get(name), winner.get(name))
        if len(values) == 1:
            self._skipped[f"{name} in isolation"] = f"{setting_text(values[0])} is its only value"
            self._store()
            return SweepState.COMPLETE
        plan = plan_isolation(Base(spec.space, spec.default_params, winner), name, values, asked.n_blocks, spec.seed)
        listed = [
            [(plan.label(value), params, None) for params in configurations]
            for value, configurations in enumerate(plan.configurations)
        ]
        groups = [[c.number for c in take_candidates(self._lease, Purpose.ISOLATE, group)] for group in listed]

        def wanted(results: Results) -> list[PlannedRepeat]:
            tries = [self._in_block(candidate, 0) for group in groups for candidate in group]
            best = best_candidates(groups, results.values(), self._objective) or []
            chosen = [candidate for candidate in best if candidate is not None]
            return [*tries, *(self._in_block(candidate, block) for block in plan.blocks for candidate in chosen)]

        state = self._train(wanted, Phase.COMPARING)
        best = best_candidates(groups, self._lease.repeats, self._objective)
        if self._has_time and best is not None:
            chosen = [None if number is None else self._lease.candidates[number] for number in best]
            found = compare_values(plan, chosen, self._lease.repeats, self._objective, self._split_sizes())
            others = [one for one in self._stored.get("isolated", ()) if one["name"] != name]
            self._stored["isolated"] = [*others, *found]
            self._store()
        return state

    def retrain(self, number: int) -> SweepState:
        """Retrain a trial in place of the winner, and open the test rows; return how the sweep is to be left.

        Args:
            number: Number of a trial that is complete.
        """
        (trial,) = (trial for trial in self._trials if trial.number == number)
        repeated = find_candidate(self._lease, trial.params)
        candidate = None if repeated is None else repeated.number
        n_epochs = self._median_best_epoch(candidate) or trial.best_epoch or 1
        self._is_chosen = self._is_amending = True
        return self._answer("test", lambda: self._retrain(f"trial {number}", trial.params, number, n_epochs))

    def _race(self, section: ConfirmSpec) -> list[Candidate]:
        """Return the candidates: the best trials and the baseline, which comes last unless it is one of them."""
        baseline = baseline_params(self._spec.space, self._spec.default_params, self._spec.enqueue)
        chosen = choose_candidates(self._trials, self._objective, section.top, baseline)
        race = take_candidates(self._lease, Purpose.CONFIRM, [(item.label, item.params, item.trial) for item in chosen])
        self._baseline = next((c.number for c, item in zip(race, chosen, strict=True) if item.is_baseline), None)
        return race

    def _confirm(self, section: ConfirmSpec, race: Sequence[Candidate]) -> SweepState:
        n_epochs = {trial.number: trial.epochs for trial in self._trials}
        rules = RaceRules(
            self._objective.direction,
            section.blocks,
            section.budget * sum(n_epochs.values()),
            lookahead_for(self._sweep.window, len(race)),
            {candidate.number: n_epochs.get(-1 if candidate.trial is None else candidate.trial) for candidate in race},
        )

        def plan(results: Results) -> list[PlannedRepeat]:
            return [self._in_block(*place) for place in rules.next_blocks(results.values())]

        state = self._train(plan, Phase.CONFIRMING)
        repeats, sizes = rules.own(self._lease.repeats), self._split_sizes()
        self._confirmation = confirm(race, repeats, self._objective, sizes, self._baseline)
        winner = None if self._confirmation is None else self._confirmation.winner
        if self._has_time and winner is not None and self._baseline not in (None, winner.number):
            wanted = [self._in_block(*place) for place in rules.next_of_two(repeats, winner.number, self._baseline)]
            state = self._train(lambda _: wanted, Phase.CONFIRMING)
        self._store("confirm")
        return state

    def _split_sizes(self) -> SplitSizes:
        split, data = self._spec.dataset.split, self._sweep.data
        is_in_order = split is not None and split.kind == "order"
        return SplitSizes(data["n_train"], data["n_validation"], is_drawn_again=not is_in_order)

    def _measure_effects(self) -> SweepState:
        confirmation, section = self._confirmation, self._spec.effects
        if confirmation is None or confirmation.winner is None or self._baseline is None or section is None:
            return SweepState.COMPLETE
        parents = {name: prerequisites(domain) for name, domain in self._spec.space.items()}
        baseline = self._lease.candidates[self._baseline].params
        contrast = contrast_between(baseline, confirmation.winner.params, parents)
        max_trainings = (
            None
            if section.budget is None
            else section.budget * self._n_trainings([standing.number for standing in confirmation.standings])
        )
        plan = plan_effects(contrast, section.blocks, self._spec.seed, max_trainings)
        coalitions = sorted({coalition for coalition, _ in plan.trainings()})
        described = [(contrast.label(coalition), contrast.params(coalition), None) for coalition in coalitions]
        candidates = take_candidates(self._lease, Purpose.EFFECTS, described)
        numbers = {coalition: candidate.number for coalition, candidate in zip(coalitions, candidates, strict=True)}
        wanted = [self._in_block(numbers[coalition], block) for coalition, block in plan.trainings()]
        state = self._train(lambda _: wanted, Phase.COMPARING)
        self._effects = measure_effects(plan, self._lease.repeats, numbers, self._objective)
        self._store("effects")
        return state

    def _try_cures(self) -> SweepState:
        """Try what is advised against findings of winner, baseline and many trials."""
        if self._confirmation is None:
            return SweepState.COMPLETE
        self._tried = plan_cures(self._lease, self._findings, self._trials)
        wanted = [repeat for cure in self._tried for repeat in cure.repeats(self._spec.seed)]
        state = self._train(lambda _: wanted, Phase.CURING)
        self._store("cures")
        return state

    @property
    def _findings(self) -> list[Finding]:
        winner = None if self._confirmation is None else self._confirmation.winner
        baseline = None if self._baseline is None else self._lease.candidates[self._baseline].trial
        return findings_to_tell(self._trials, [None if winner is None else winner.trial, baseline])

    def _n_trainings(self, race: Collection[int]) -> float:
        """Return how many repeats take as many epochs as the sweep's trials did, by the first repeats of a race."""
        first = [repeat for repeat in self._lease.repeats if repeat.block < MIN_BLOCKS and repeat.candidate in race]
        epochs = [repeat.epochs for repeat in first if repeat.epochs]
        return sum(trial.epochs for trial in self._trials) / statistics.mean(epochs or [1])

    def _score(self) -> SweepState:
        """Retrain the winner on all development rows, and open the test rows."""
        if self._confirmation is None:
            return SweepState.COMPLETE
        winner = self._confirmation.winner
        if winner is None or self._is_winner_retrained():
            self._store("test")
            return SweepState.COMPLETE
        n_epochs = self._median_best_epoch(winner.number)
        if n_epochs is None:
            return SweepState.COMPLETE
        return self._retrain(winner.label, winner.params, winner.trial, n_epochs)

    def _median_best_epoch(self, candidate: int | None) -> int | None:
        """Return the median best epoch of a candidate's repeats; None if none has one."""
        own = [repeat for repeat in self._lease.repeats if repeat.candidate == candidate]
        best_epochs = [repeat.best_epoch for repeat in own if repeat.best_epoch is not None]
        return round(statistics.median(best_epochs)) if best_epochs else None

    def _is_winner_retrained(self) -> bool:
        """Return whether the stored score is that of the winner as it is now."""
        winner, retrained = (
            None if self._confirmation is None else self._confirmation.winner,
            self._stored.get("retrained"),
        )
        return winner is not None and retrained is not None and retrained["params"] == to_plain(winner.params)

    def _retrain(self, label: str, params: Mapping[str, Any], trial: int | None, n_epochs: int) -> SweepState:
        (candidate,) = take_candidates(self._lease, Purpose.RETRAIN, [(label, params, trial)])
        first = sum(repeat.candidate == candidate.number for repeat in self._lease.repeats)
        wanted = [self._retraining(candidate.number, first + index, index, n_epochs) for index in range(N_SEEDS)]
        n_opened = self._lease.open_test(_test_rows(self._spec, self._sweep), _digest(to_plain(params)))
        state = self._train(lambda _: wanted, Phase.RETRAINING)
        if not self._has_time:
            return state
        numbers = [r.number for r in self._lease.repeats if r.candidate == candidate.number and r.block >= first]
        models = [self._lease.models[number] for number in numbers if number in self._lease.models]
        self._stored["retrained"] = {
            "params": to_plain(params),
            "trial": trial,
            "n_epochs": n_epochs,
            "n_seeds": N_SEEDS,
            "model": models[0] if models else None,
            "is_chosen": self._is_chosen,
        }
        answers = [self._lease.tests.get(number) for number in numbers]
        scores = expected_scores(answers, self._objective.metric, Task(self._sweep.data["task"]))
        self._stored["test"] = plain_scores(scores, n_opened)
        self._store("test")
        self._training.remove_models(kept=self._stored["retrained"]["model"])
        return state

    def _retraining(self, candidate: int, block: int, index: int, n_epochs: int) -> PlannedRepeat:
        seed = derive(self._spec.seed, "retrain", index)
        return PlannedRepeat(candidate, block, seed, Retraining(n_epochs, opens_test=True, saves_model=index == 0))

    def _in_block(self, candidate: int, block: int) -> PlannedRepeat:
        return repeat_in_block(self._spec.seed, candidate, block)

    def _store(self, part: str | None = None) -> None:
        """Store the answer as it is now, and that a part of it is complete if there was time for it."""
        answer = self._compose()
        done = dict(self._stored.get("done", {}))
        if part in self._wanted and self._has_time:
            done[part] = self._wanted[part]
        self._stored = {**answer.to_json(), "done": done}
        self._lease.store_answer(self._stored)

    def _compared(self) -> Confirmation | None:
        """Return what the race says, with winner and baseline compared in all blocks that both have by now."""
        if self._confirmation is None:
            return None
        return compare_with_baseline(self._confirmation, self._lease.repeats, self._objective, self._split_sizes())

    @cached_property
    def _importance(self) -> Mapping[str, float]:
        """Return how important each hyperparameter was in the search."""
        parameters = Parameters(self._spec.space, self._spec.default_params)
        study = make_study(self._sweep.name, [self._objective.direction], parameters, self._trials)
        return importances_of(study)

    def _compose(self) -> Answer:
        """Return the answer as it is now; one that is amended keeps what it had said before."""
        if self._is_amending and self._stored.get("sentences"):
            former = Answer.from_json(self._stored)
            answer = replace(former, skipped={**former.skipped, **self._skipped})
            return replace(answer, sentences=sentences(answer))
        retrained, winner = self._stored.get("retrained"), self._stored.get("winner")
        is_scored = self._is_winner_retrained() or (retrained is not None and retrained["is_chosen"])
        leader = None if self._confirmation is None else self._confirmation.winner
        is_same = winner is not None and leader is not None and winner["params"] == to_plain(leader.params)
        complete = [trial for trial in self._trials if trial.value is not None]
        best = next((trial for trial in complete if trial.number == self._sweep.best_number), None)
        return compose(
            Measured(
                self._sweep.name,
                self._objective,
                n_trials=len(complete),
                best=best,
                confirmation=self._compared(),
                test=self._stored.get("test") if is_scored else None,
                retrained=retrained,
                effects=self._effects,
                importance=self._importance,
                isolated=self._stored.get("isolated", ()) if is_same else (),
                findings=told_findings(self._findings, self._tried, self._lease, self._objective),
                skipped=self._skipped,
            )
        )


def _test_rows(spec: SweepSpec, sweep: Sweep) -> str:
    """Return what tells the test rows of a sweep from all others: the data, and how test rows are drawn."""
    dataset = spec.to_json()["dataset"]
    drawn = {name: dataset.get(name) for name in ("test", "seed", "split")}
    return _digest({"fingerprint": sweep.data["fingerprint"], **drawn})


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
