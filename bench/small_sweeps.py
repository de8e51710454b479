"""Small sweeps of real networks on rows from a generator, so that the truth behind each answer is known."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.report import share, table
from dnnsweep import datasets
from dnnsweep.answers.configurations import configuration_key
from dnnsweep.answers.confirmation import Confirmation, SplitSizes, Standing, confirm
from dnnsweep.answers.contrast import contrast_between
from dnnsweep.answers.effects import MeasuredEffects, measure_effects, plan_effects
from dnnsweep.answers.expected import ExpectedScore, expected_scores
from dnnsweep.answers.race_rules import RaceRules
from dnnsweep.records import Candidate, Objective, Purpose, Reason, Repeat, State, Suggestion, Task, TestAnswers
from dnnsweep.seeds import derive
from dnnsweep.spec import HANDED_OVER, SweepSpec, check
from dnnsweep.trainers.groups import Group
from dnnsweep.trainers.inputs import GroupRows, TrainerInputs

if TYPE_CHECKING:  # loads TensorFlow
    from dnnsweep.trainers.array.slots import EndedTrial
    from dnnsweep.trainers.array.types import NetworkWeights

Params = Mapping[str, Any]
Floats = NDArray[np.floating]

N_FEATURES: Final = 6
N_ROWS: Final = 320
N_POPULATION: Final = 50_000
N_TRIALS: Final = 12
TOP: Final = 4
N_SEEDS: Final = 10
#: Other seeds whose mean score on the population is the truth about a recipe.
N_OTHER_SEEDS: Final = 20
N_BLOCKS: Final = 10
N_SLOTS: Final = 32
OBJECTIVE: Final = Objective("val_accuracy", "maximize")
#: A hyperparameter that does nothing but start training from another seed.
NOTHING: Final = "nothing"
SWEEP: Final = {
    "name": "small",
    "dataset": {"source": HANDED_OVER, "validation": 0.2, "test": 0.25},
    "network": {"hidden": [16], "activation": "relu"},
    "space": {"optimizer": ["adam", "sgd"], "dropout": [0.0, 0.2, 0.5], "batch_norm": [False, True]},
    "objective": {"metric": "val_accuracy"},
    "training": {"epochs": 20, "early_stopping": {"monitor": "val_loss", "patience": 5}},
}


class Population:
    """Rows of two classes that a network can tell apart in part."""

    def __init__(self) -> None:
        rng = np.random.default_rng(20261127)
        self._first, self._second = rng.standard_normal((N_FEATURES, 8)), rng.standard_normal(8)
        self.x, self.y = self.draw(N_POPULATION, rng)

    def draw(self, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Return features (rows, features) and classes (rows,)."""
        x = rng.standard_normal((n_rows, N_FEATURES))
        logits = 1.5 * np.tanh(x @ self._first) @ self._second
        return x, (rng.random(n_rows) < 1 / (1 + np.exp(-logits))).astype(np.int64)


class Training(NamedTuple):
    """A training that is asked for.

    Args:
        sweep: Number of the sweep.
        params: Every hyperparameter, `NOTHING` among them.
        seed: Seed of weights and row order.
        block: Block of a repeat; None for a trial.
        n_epochs: Epochs on all development rows; None for a trial or a repeat.
    """

    sweep: int
    params: Params
    seed: int
    block: int | None = None
    n_epochs: int | None = None


class Outcome(NamedTuple):
    """How a training ended.

    Args:
        value: The objective at the best epoch; None if it diverged.
        best_epoch: That epoch.
        n_epochs: Epochs trained.
        network: Function from encoded rows (rows, features) to probabilities (rows, 1) of the second class.
    """

    value: float | None
    best_epoch: int | None
    n_epochs: int
    network: Callable[[Floats], Floats]


class Fleet:
    """Trains what many sweeps ask for side by side, each on its own rows.

    Args:
        population: Where rows come from.
        n_sweeps: Number of sweeps.
    """

    def __init__(self, population: Population, n_sweeps: int) -> None:
        self.spec: SweepSpec = check(SWEEP)
        self._population = population
        self.sweeps = [self._inputs(index) for index in range(n_sweeps)]
        self._arrays: dict[int | None, Any] = {}
        self._asked: dict[int, Training] = {}

    def _inputs(self, index: int) -> TrainerInputs:
        rows = self._population.draw(N_ROWS, np.random.default_rng((1, index)))
        splits = datasets.load_splits(self.spec.dataset, "binary", rows, is_repeated=True)
        return TrainerInputs(self.spec, splits.first, splits)

    # -- what an array asks of its inputs

    @property
    def sweep(self) -> SweepSpec:
        """Return the sweep file, which all sweeps share."""
        return self.spec

    @property
    def data(self) -> datasets.Dataset:
        """Return rows that have the shapes of all others."""
        return self.sweeps[0].data

    def data_for(self, suggestion: Suggestion) -> datasets.Dataset:
        """Return the rows of the sweep that asked for a training."""
        inputs, asked = self.sweeps[self._asked[suggestion.number].sweep], self._asked[suggestion.number]
        if asked.n_epochs is not None:
            return inputs.splits.whole
        if asked.block is None:
            return inputs.data
        return inputs.splits.of_block(datasets.Draw(derive(asked.sweep, "block split", asked.block)))

    def rows_of(self, group: Group) -> GroupRows:
        """Return shapes that all sweeps share; each slot has rows of its own."""
        first = self.sweeps[0]
        data = first.data if group.n_epochs is None else first.splits.whole
        return GroupRows(data, (data.summary.n_train, data.summary.n_validation), are_own=True)

    def train(self, trainings: Sequence[Training]) -> list[Outcome]:
        """Train all that is asked for; return the outcomes in the same order."""
        outcomes: dict[int, Outcome] = {}
        first = len(self._asked)
        self._asked |= dict(enumerate(trainings, first))
        by_length: dict[int | None, deque[int]] = {}
        for number, training in enumerate(trainings, first):
            by_length.setdefault(training.n_epochs, deque()).append(number)
        for n_epochs, numbers in by_length.items():
            array = self._array(n_epochs)
            for number in numbers:
                array.enqueue(self._suggestion(number))
            while not array.is_idle:
                for ended in array.step(lambda _: None):
                    outcomes[ended.attempt.suggestion.number] = array.outcome(ended)
        return [outcomes[number] for number in range(first, first + len(trainings))]

    def _suggestion(self, number: int) -> Suggestion:
        asked = self._asked[number]
        params = {name: value for name, value in asked.params.items() if name != NOTHING}
        return Suggestion(number, params, derive(asked.seed, "nothing", asked.params[NOTHING]))

    def _array(self, n_epochs: int | None) -> Any:
        if n_epochs not in self._arrays:
            group = Group((16,), "relu", 32, n_epochs=n_epochs)
            self._arrays[n_epochs] = _array_of_networks()(group, self, N_SLOTS)
        return self._arrays[n_epochs]


def _array_of_networks() -> type:
    """Return an array that hands out the networks that it has trained."""
    from dnnsweep.trainers.array.slots import TrialArray

    class NetworkArray(TrialArray):
        """Keeps the weights of a trial that ended until they are asked for."""

        def _end_trial(self, slot: int, trial: Any, reason: Reason) -> EndedTrial:
            ended = super()._end_trial(slot, trial, reason)
            weights, batch_norm = self.program.best_weights(slot), trial.hp.batch_norm
            self.networks = {**getattr(self, "networks", {}), trial.attempt.suggestion.number: (weights, batch_norm)}
            return ended

        def outcome(self, ended: EndedTrial) -> Outcome:
            """Return how a training ended, with its network."""
            weights, batch_norm = self.networks.pop(ended.attempt.suggestion.number)
            reports, best = ended.attempt.reports, ended.best_epoch
            value = None if best is None else reports[best - 1].metrics[OBJECTIVE.metric]
            return Outcome(value, best, len(reports), lambda x: _probabilities(weights, x, batch_norm=batch_norm))

    return NetworkArray


def _probabilities(weights: NetworkWeights, x: Floats, *, batch_norm: bool) -> Floats:
    """Return the probability (rows, 1) of the second class, by the formulas of the layers."""
    hidden = x @ weights.kernels[0] + (0 if batch_norm else weights.biases[0])
    if batch_norm:
        hidden = (hidden - weights.means[0]) / np.sqrt(weights.variances[0] + 1e-3)
        hidden = hidden * weights.gammas[0] + weights.betas[0]
    logits = np.maximum(hidden, 0) @ weights.kernels[1] + weights.biases[1]
    return np.asarray(1 / (1 + np.exp(-logits)))


@dataclass
class SmallSweep:
    """One sweep and its answer, as the runner would find it.

    Args:
        index: Number of the sweep.
        trials: Configurations of its trials.
    """

    index: int
    trials: list[Params]

    def __post_init__(self) -> None:
        self.values: list[float | None] = []
        self.n_epochs: list[int] = []
        self.candidates: list[Candidate] = []
        self.repeats: list[Repeat] = []
        self.baseline = 0
        self.confirmation: Confirmation | None = None
        self.effects: MeasuredEffects | None = None

    @cached_property
    def seed(self) -> int:
        """Return the seed of the sweep."""
        return derive("small", self.index)

    def candidate(self, params: Params, label: str) -> int:
        """Return the number of the candidate that has these hyperparameters."""
        key = configuration_key(params)
        for known in self.candidates:
            if configuration_key(known.params) == key:
                return known.number
        self.candidates.append(Candidate(len(self.candidates), Purpose.CONFIRM, label, params))
        return len(self.candidates) - 1

    def training(self, candidate: int, block: int) -> Training:
        """Return a repeat as a training."""
        return Training(self.index, self.candidates[candidate].params, derive(self.seed, "block", block), block)

    def take(self, candidate: int, block: int, outcome: Outcome) -> None:
        """Record how a repeat ended."""
        state = State.COMPLETE if outcome.value is not None else State.FAILED
        reason = Reason.COMPLETED if outcome.value is not None else Reason.DIVERGED
        self.repeats.append(
            Repeat(
                len(self.repeats),
                candidate,
                block,
                0,
                state,
                reason,
                outcome.value,
                {},
                outcome.best_epoch,
                outcome.n_epochs,
            )
        )

    @property
    def winner(self) -> Standing:
        """Return the winner; some candidate of so tame a population always has a value."""
        winner = None if self.confirmation is None else self.confirmation.winner
        if winner is None:
            raise ValueError(f"sweep {self.index} must have a winner")
        return winner

    @property
    def best(self) -> int:
        """Return the number of the best trial."""
        return max(range(len(self.values)), key=lambda number: (self.values[number] or 0.0, -number))


class Found(NamedTuple):
    """What a sweep said, and the truth.

    Args:
        best_of_many: Value of the best trial.
        score: The score that the answer expects.
        model_truth: Accuracy of the delivered model on the population.
        recipe_truth: Mean accuracy of networks with other seeds on the population.
        expected: The score with its intervals.
        effects: What each hyperparameter was said to add.
    """

    best_of_many: float
    score: float
    model_truth: float
    recipe_truth: float
    expected: ExpectedScore
    effects: MeasuredEffects | None


def run_sweeps(n_sweeps: int) -> list[Found]:
    """Run small sweeps to their answers."""
    population = Population()
    fleet = Fleet(population, n_sweeps)
    sweeps = [SmallSweep(index, _trials(index)) for index in range(n_sweeps)]
    _search(fleet, sweeps)
    _confirm(fleet, sweeps)
    _measure_effects(fleet, sweeps)
    return _score(fleet, sweeps, population)


def _trials(index: int) -> list[Params]:
    """Return the baseline and random configurations."""
    rng = np.random.default_rng((2, index))
    defaults = check(SWEEP).default_params
    trials: list[Params] = [{**defaults, NOTHING: 0}]
    for _ in range(N_TRIALS - 1):
        drawn = {
            "optimizer": str(rng.choice(["adam", "sgd"])),
            "dropout": float(rng.choice([0.0, 0.2, 0.5])),
            "batch_norm": bool(rng.integers(2)),
            "learning_rate": float(10 ** rng.uniform(-3, -1)),
            NOTHING: int(rng.integers(1, 4)),
        }
        trials.append({**defaults, **drawn})
    return trials


def _search(fleet: Fleet, sweeps: Sequence[SmallSweep]) -> None:
    asked = [
        Training(sweep.index, params, derive(sweep.seed, "trial", number))
        for sweep in sweeps
        for number, params in enumerate(sweep.trials)
    ]
    outcomes = iter(fleet.train(asked))
    for sweep in sweeps:
        for _ in sweep.trials:
            outcome = next(outcomes)
            sweep.values.append(outcome.value)
            sweep.n_epochs.append(outcome.n_epochs)


def _confirm(fleet: Fleet, sweeps: Sequence[SmallSweep]) -> None:
    rules: dict[int, RaceRules] = {}
    for sweep in sweeps:
        order = sorted(range(len(sweep.trials)), key=lambda number: (-(sweep.values[number] or 0.0), number))
        for number in order[:TOP]:
            sweep.candidate(sweep.trials[number], f"trial {number}")
        sweep.baseline = sweep.candidate(sweep.trials[0], "baseline")
        epochs: dict[int, float | None] = {candidate.number: None for candidate in sweep.candidates}
        rules[sweep.index] = RaceRules("maximize", 30, 0.25 * sum(sweep.n_epochs), 2, epochs)
    _repeat(fleet, sweeps, lambda sweep: rules[sweep.index].next_blocks(sweep.repeats))
    for sweep in sweeps:
        data = fleet.data.summary
        sizes = SplitSizes(data.n_train, data.n_validation)
        race = sweep.candidates
        sweep.confirmation = confirm(race, sweep.repeats, OBJECTIVE, sizes, sweep.baseline)


def _repeat(
    fleet: Fleet, sweeps: Sequence[SmallSweep], wanted: Callable[[SmallSweep], Iterable[tuple[int, int]]]
) -> None:
    """Train what all sweeps want, again and again until they want nothing more."""
    while True:
        places = []
        for sweep in sweeps:
            known = {(repeat.candidate, repeat.block) for repeat in sweep.repeats}
            places += [(sweep, *place) for place in wanted(sweep) if place not in known]
        if not places:
            return
        outcomes = fleet.train([sweep.training(candidate, block) for sweep, candidate, block in places])
        for (sweep, candidate, block), outcome in zip(places, outcomes, strict=True):
            sweep.take(candidate, block, outcome)


def _measure_effects(fleet: Fleet, sweeps: Sequence[SmallSweep]) -> None:
    plans, numbers = {}, {}
    for sweep in sweeps:
        winner = sweep.winner
        contrast = contrast_between(sweep.candidates[sweep.baseline].params, winner.params, {})
        plan = plans[sweep.index] = plan_effects(contrast, N_BLOCKS, sweep.seed)
        coalitions = {coalition for coalition, _ in plan.trainings()}
        numbers[sweep.index] = {
            coalition: sweep.candidate(contrast.params(coalition), contrast.label(coalition))
            for coalition in coalitions
        }
    _repeat(
        fleet,
        sweeps,
        lambda sweep: [(numbers[sweep.index][coalition], block) for coalition, block in plans[sweep.index].trainings()],
    )
    for sweep in sweeps:
        sweep.effects = measure_effects(plans[sweep.index], sweep.repeats, numbers[sweep.index], OBJECTIVE)


def _score(fleet: Fleet, sweeps: Sequence[SmallSweep], population: Population) -> list[Found]:
    asked = []
    for sweep in sweeps:
        winner = sweep.winner
        best_epochs = [r.best_epoch for r in sweep.repeats if r.candidate == winner.number and r.best_epoch is not None]
        n_epochs = round(float(np.median(best_epochs)))
        asked += [
            Training(sweep.index, winner.params, derive(sweep.seed, "retrain", index), n_epochs=n_epochs)
            for index in range(N_SEEDS + N_OTHER_SEEDS)
        ]
    outcomes = fleet.train(asked)
    per_sweep = N_SEEDS + N_OTHER_SEEDS
    return [
        _found(fleet, sweep, outcomes[index * per_sweep : (index + 1) * per_sweep], population)
        for index, sweep in enumerate(sweeps)
    ]


def _found(fleet: Fleet, sweep: SmallSweep, outcomes: Sequence[Outcome], population: Population) -> Found:
    splits = fleet.sweeps[sweep.index].splits
    whole = splits.whole
    test = splits.open_test(whole)
    if test is None:
        raise ValueError("there must be test rows")
    x = whole.preprocessing.encoding.numbers.encode(population.x)
    truths = [float(((outcome.network(x)[:, 0] > 0.5) == population.y).mean()) for outcome in outcomes]
    answers = [TestAnswers(test.targets, outcome.network(test.x).astype(np.float64)) for outcome in outcomes[:N_SEEDS]]
    expected = expected_scores(answers, OBJECTIVE.metric, Task.BINARY)[0]
    return Found(
        best_of_many=sweep.values[sweep.best] or 0.0,
        score=expected.score or 0.0,
        model_truth=truths[0],
        recipe_truth=float(np.mean(truths[N_SEEDS:])),
        expected=expected,
        effects=sweep.effects,
    )


def small_sweeps(n_sweeps: int) -> str:
    """Return the table of what small sweeps said and what was true."""
    found = run_sweeps(n_sweeps)
    model = [one.expected.this_model.covers(one.model_truth) for one in found if one.expected.this_model]
    recipe = [one.expected.this_recipe.covers(one.recipe_truth) for one in found if one.expected.this_recipe]
    about_nothing = [
        any(NOTHING in effect.player.names and effect.effect.is_seen for effect in one.effects.effects)
        for one in found
        if one.effects is not None
    ]
    before = float(np.mean([one.best_of_many - one.recipe_truth for one in found]))
    after = float(np.mean([one.score - one.recipe_truth for one in found]))
    error = float(np.std([one.score - one.recipe_truth for one in found])) / np.sqrt(len(found))
    head = [f"{n_sweeps} sweeps of {N_TRIALS} trials on {N_ROWS} rows, truth from {N_POPULATION:,} others", "measured"]
    return table(
        head,
        [
            ["the interval of *this model* holds its accuracy on the population", share(model)],
            ["the interval of *this recipe* holds the mean accuracy of other seeds", share(recipe)],
            ["a hyperparameter that does nothing is given an effect, in sweeps where it differs", share(about_nothing)],
            ["the best trial's value less the truth, mean", f"{100 * before:+.2f} points"],
            ["the expected score less the truth, mean", f"{100 * after:+.2f} points ± {100 * error:.2f}"],
        ],
    )
