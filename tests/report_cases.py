"""Sweeps of every kind that a report has to draw, made up; used without a browser and in one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from dnnsweep import spec
from dnnsweep.answers.answer import CONFIRMED, Answer
from dnnsweep.answers.sentences import sentences
from dnnsweep.records import Candidate, Curve, Finding, Purpose, Reason, Repeat, Series, State, Sweep, SweepState, Trial
from dnnsweep.reports.report import ReportContents, curves_to_read

SPACE: Final[Mapping[str, Any]] = {
    "optimizer": ["sgd", "adam", "nadam"],
    "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
    "batch_norm": [False, True],
}
ENQUEUED: Final = [{"optimizer": "sgd", "learning_rate": 0.01, "dropout": 0.0, "batch_norm": False}]
N_TRIALS: Final = 40
WINNER: Final = 21
#: Every name and word of this sweep is markup.
MARKUP: Final = "<script>alert('1')</script><b>&amp;"


def sweep_of(n_trials: int = N_TRIALS, **document: Any) -> Sweep:
    given = {
        "name": "made-up",
        "dataset": {"source": "sklearn:digits"},
        "space": SPACE,
        "objective": {"metric": "val_accuracy"},
        "training": {"epochs": 30},
        "budget": {"trials": n_trials},
        "enqueue": ENQUEUED,
        **document,
    }
    checked = spec.check({name: value for name, value in given.items() if value is not None})
    return Sweep(
        id="0",
        name=checked.name,
        state=SweepState.COMPLETE,
        description=checked.description,
        source=checked.dataset.source,
        objectives=checked.objectives,
        n_trials=n_trials,
        n_finished=n_trials,
        n_running=0,
        n_failed=0,
        best_number=None,
        best_value=None,
        window=4,
        run_id=None,
        n_undelivered=0,
        error=None,
        created_at=0,
        ended_at=1,
        seconds=95.0,
        data={"task": "multiclass"},
        spec=json.loads(json.dumps(checked.to_json())),
    )


def params_of(sweep: Sweep, number: int) -> dict[str, Any]:
    """Return hyperparameters that spread over the usual space; the first trial has the baseline's."""
    checked = spec.check(sweep.spec)
    drawn = {
        "optimizer": ("sgd", "adam", "nadam")[number % 3],
        "learning_rate": 10 ** (-4 + 3 * (number * 0.618 % 1)),
        "dropout": 0.5 * (number * 0.382 % 1),
        "batch_norm": number % 2 == 0,
    }
    return {**checked.default_params, **(drawn if number else ENQUEUED[0])}


def trial_of(sweep: Sweep, number: int, *values: float, **fields: Any) -> Trial:
    reason = Reason.COMPLETED if values else Reason.DIVERGED
    trained = Trial(
        sweep=sweep.name,
        number=number,
        params=params_of(sweep, number),
        state=reason.state,
        reason=reason,
        best_epoch=20 if values else None,
        epochs=30,
        seconds=1.0,
        run_id=None,
        seed=number,
        attempts=1,
        error=None,
        metrics={"val_loss": 1.0 - values[0]} if values else {},
        started_at=1000 * number,
        ended_at=1000 * number + 1500,
        values=values or None,
    )
    return replace(trained, **fields)


def value_of(number: int) -> float:
    return 0.97 if number == WINNER else 0.8 + 0.15 * math.sin(number) ** 2


def trials_of(sweep: Sweep, n_trials: int = N_TRIALS) -> list[Trial]:
    return [trial_of(sweep, number, *([] if number % 13 == 12 else [value_of(number)])) for number in range(n_trials)]


def curve_of(trial: Trial, metric: str = "val_accuracy") -> Curve:
    reached = trial.value or 0.5
    rising = tuple(reached * (1 - math.exp(-epoch / 5)) for epoch in range(1, trial.epochs + 1))
    series = (Series(metric.removeprefix("val_"), tuple(1.02 * value for value in rising)), Series(metric, rising))
    return Curve(series, tuple(range(trial.epochs)))


def repeated(sweep: Sweep) -> tuple[list[Candidate], list[Repeat]]:
    """Return the winner, two rivals and the baseline with nine repeats each, and the retrained winner."""
    numbers = [WINNER, 11, 2, 0]
    candidates = [
        Candidate(place, Purpose.CONFIRM, f"trial {number}" if number else "baseline (trial 0)", params, number)
        for place, number in enumerate(numbers)
        if (params := params_of(sweep, number))
    ]
    candidates.append(Candidate(4, Purpose.RETRAIN, f"trial {WINNER}", params_of(sweep, WINNER), WINNER))
    repeats = [
        Repeat(
            10 * place + block, place, block, block, State.COMPLETE, Reason.COMPLETED, score(place, block),
            epochs=20, started_at=60_000 + 1000 * block, ended_at=61_000 + 1000 * block,
        )
        for place in range(5) for block in range(9)
    ]  # fmt: skip
    return candidates, repeats


def score(place: int, block: int) -> float:
    return 0.96 - 0.02 * place + 0.01 * math.sin(3 * block + place)


def answer_of(sweep: Sweep) -> Answer:
    """Return an answer with everything that there can be in one."""

    def standing(place: int, number: int) -> dict[str, Any]:
        mean = 0.96 - 0.02 * place
        label = f"trial {number}" if number else "baseline (trial 0)"
        ends = [mean - 0.012, mean + 0.012]
        params = json.loads(json.dumps(params_of(sweep, number)))
        return {"number": number, "label": label, "params": params, "mean": mean, "interval": ends, "n": 9} | {
            "n_diverged": 1 if place == 2 else 0, "is_live": place < 2, "is_baseline": not number,
            "p_best": 0.8 if place == 0 else 0.1, "p_winner_is_better": None if place == 0 else 0.7 + 0.1 * place,
        }  # fmt: skip

    candidates = [standing(place, number) for place, number in enumerate((WINNER, 11, 2, 0))]
    scores = {"n_rows": 360, "n_models": 10, "n_diverged": 0}
    answer = Answer(
        sweep=sweep.name,
        metric=sweep.metric,
        direction=sweep.direction,
        kind=CONFIRMED,
        n_trials=37,
        winner=candidates[0],
        baseline=candidates[3],
        p_best=0.8,
        p_better_than_baseline=1.0,
        p_better_than_baseline_interval=[0.717, 1.0],
        is_better_than_baseline=True,
        tied=[11],
        candidates=candidates,
        n_blocks=9,
        test={"metric": "accuracy", "score": 0.955, "this_recipe": [0.941, 0.967], "model_score": 0.958}
        | {"this_model": [0.933, 0.974], "n_opened": 1, "beside": [], **scores},
        effects=EFFECTS,
        effects_summary={"total": 0.06, "n_blocks": 10, "n_lost": 0, "n_diverged": 0, "is_exact": True},
        isolated=[
            {"name": "optimizer", "value": "nadam", "mean": 0.95, "interval": [0.94, 0.96]},
            {"name": "optimizer", "value": "sgd", "mean": 0.93, "interval": [0.91, 0.95]}
            | {"p_first_is_better": 0.9, "p_first_is_better_interval": [0.6, 0.99]},
        ],
        importance={"learning_rate": 0.62, "optimizer": 0.25, "dropout": 0.1, "batch_norm": 0.03},
        findings=FINDINGS,
    )
    return replace(answer, sentences=sentences(answer))


EFFECTS: Final[Sequence[Mapping[str, Any]]] = [
    {
        "name": "optimizer",
        "from": {"optimizer": "sgd", "learning_rate": 0.01},
        "to": {"optimizer": "nadam", "learning_rate": 0.0026},
        "effect": 0.041,
        "interval": [0.035, 0.047],
        "simultaneous": [0.031, 0.051],
        "is_seen": True,
    },
    {"name": "batch_norm", "from": False, "to": True, "effect": 0.017, "is_seen": True}
    | {"interval": [0.01, 0.024], "simultaneous": [0.007, 0.027]},
    {"name": "dropout", "from": 0.0, "to": 0.21, "effect": 0.002, "is_seen": False}
    | {"interval": [-0.003, 0.007], "simultaneous": [-0.006, 0.01]},
]
FINDINGS: Final[Sequence[Mapping[str, Any]]] = [
    {"code": "overfitting", "number": number, "layer": None, "epoch": 9, "value": 1.4, "threshold": 0.5}
    | {"sentence": f"Trial {number} overfits from epoch 9 on.", "advice": [{"dropout": 0.3}, {"l2": 0.001}]}
    for number in (4, WINNER, 8)
]


def contents_of(sweep: Sweep, trials: Sequence[Trial], answer: Answer | None = None, **fields: Any) -> ReportContents:
    by_number = {trial.number: trial for trial in trials}
    metric = next(one.metric for one in sweep.objectives if one.metric != "n_parameters")
    curves = {number: curve_of(by_number[number], metric) for number in curves_to_read(sweep, trials, answer)}
    return ReportContents(sweep, trials, curves, answer, **fields)


def whole() -> ReportContents:
    sweep = sweep_of()
    candidates, repeats = repeated(sweep)
    found = {plain["number"]: (Finding.from_json(plain),) for plain in FINDINGS}
    trials = [replace(trial, findings=found.get(trial.number, ())) for trial in trials_of(sweep)]
    return contents_of(sweep, trials, answer_of(sweep), candidates=candidates, repeats=repeats)


def without_answer() -> ReportContents:
    sweep = sweep_of()
    return contents_of(sweep, trials_of(sweep))


def one_trial() -> ReportContents:
    sweep = sweep_of(1)
    return contents_of(sweep, trials_of(sweep, 1))


def no_trial() -> ReportContents:
    return contents_of(replace(sweep_of(), state=SweepState.QUEUED, n_finished=0), [])


def only_failed_trials() -> ReportContents:
    sweep = sweep_of(3)
    return contents_of(sweep, [trial_of(sweep, number, error="loss is <nan>") for number in range(3)])


def interrupted() -> ReportContents:
    sweep = replace(sweep_of(), state=SweepState.INTERRUPTED, n_finished=12, ended_at=None)
    running = trial_of(sweep, 12, state=State.RUNNING, reason=None, ended_at=None)
    queued = trial_of(sweep, 13, state=State.QUEUED, reason=None, started_at=None, ended_at=None, epochs=0)
    return contents_of(sweep, [*trials_of(sweep, 12), running, queued])


def two_objectives() -> ReportContents:
    objectives = [
        {"metric": "val_accuracy", "direction": "maximize"},
        {"metric": "n_parameters", "direction": "minimize"},
    ]
    sweep = sweep_of(objective=objectives, sampler={"kind": "nsga2"})
    return contents_of(
        sweep, [trial_of(sweep, n, value_of(n), 100.0 + 3000 * (n * 0.618 % 1)) for n in range(N_TRIALS)]
    )


def decades() -> ReportContents:
    """A loss between 0.001 and 1000."""
    sweep = sweep_of(objective={"metric": "val_loss"})
    return contents_of(sweep, [trial_of(sweep, n, 10 ** (3 - 6 * (n * 0.618 % 1))) for n in range(N_TRIALS)])


def conditions() -> ReportContents:
    space = {
        **SPACE,
        "l2": {"when": {"optimizer": "sgd"}, "low": 1e-6, "high": 1e-2, "log": True},
        "hidden": {"layers": [1, 3], "units": {"low": 8, "high": 256, "log": True}},
    }
    sweep = sweep_of(space=space, enqueue=None)
    trials = trials_of(sweep)
    drawn = [
        {"l2": 1e-4 * (1 + trial.number), "hidden": (8 + trial.number,) * (1 + trial.number % 3)} for trial in trials
    ]
    return contents_of(sweep, [replace(t, params={**t.params, **more}) for t, more in zip(trials, drawn, strict=True)])


def twenty_thousand_trials() -> ReportContents:
    sweep = sweep_of(20_000)
    params = [params_of(sweep, number) for number in range(100)]
    template = trial_of(sweep, 0, 0.5)
    trials = [
        replace(template, number=number, params=params[number % 100], values=(value_of(number),))
        for number in range(20_000)
    ]
    return contents_of(sweep, trials, answer_of(sweep))


def equal_values() -> ReportContents:
    """All trials reach the same."""
    sweep = sweep_of()
    return contents_of(sweep, [trial_of(sweep, number, 1.0) for number in range(N_TRIALS)])


def no_winner() -> ReportContents:
    """All repeats diverged."""
    sweep = sweep_of()
    lost = {"mean": None, "interval": None, "n": 3, "n_diverged": 3, "p_best": 0.0, "p_winner_is_better": None}
    candidates = [{**one, **lost} for one in answer_of(sweep).candidates]
    answer = Answer(sweep.name, sweep.metric, sweep.direction, CONFIRMED, 37, candidates=candidates, n_blocks=3)
    return contents_of(sweep, trials_of(sweep), replace(answer, sentences=sentences(answer)))


def names_of_markup() -> ReportContents:
    sweep = replace(sweep_of(space={"optimizer": ["sgd", "adam"]}, enqueue=None), description=MARKUP, source=MARKUP)
    trials = [replace(trial_of(sweep, 0, 0.9), params={MARKUP: MARKUP}), trial_of(sweep, 1, error=MARKUP)]
    finding = {**FINDINGS[0], "code": MARKUP, "layer": MARKUP, "advice": [{MARKUP: MARKUP}]}
    effect = {**EFFECTS[1], "name": MARKUP, "from": MARKUP, "to": MARKUP}
    answer = Answer(
        sweep.name,
        sweep.metric,
        sweep.direction,
        effects=[effect],
        findings=[finding],
        importance={MARKUP: 1.0},
        isolated=[{"name": MARKUP, "value": MARKUP, "mean": 0.5, "interval": [0.4, 0.6]}],
        sentences=[MARKUP, f"`{MARKUP}`"],
    )
    return contents_of(sweep, trials, answer)


CASES: Final[Mapping[str, Callable[[], ReportContents]]] = {
    case.__name__: case
    for case in (
        whole, without_answer, one_trial, no_trial, only_failed_trials, interrupted, two_objectives, decades,
        conditions, twenty_thousand_trials, equal_values, no_winner, names_of_markup,
    )
}  # fmt: skip
