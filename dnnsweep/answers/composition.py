"""What was measured, put together into the answer of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dnnsweep.answers.answer import BEST_OF_MANY, CONFIRMED, Answer, Plain
from dnnsweep.answers.confirmation import Confirmation, Standing
from dnnsweep.answers.effects import MeasuredEffects, PlayerEffect
from dnnsweep.answers.expected import ExpectedScore
from dnnsweep.answers.number_texts import finite
from dnnsweep.answers.sentences import sentences
from dnnsweep.records import Objective, Trial
from dnnsweep.records.sweeps import to_plain
from dnnsweep.statistics.intervals import Interval


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that an answer may rest on.

    Args:
        sweep: Name of the sweep.
        objective: What it improves.
        n_trials: Number of complete trials.
        best: The best trial; None if none is complete.
        confirmation: What repeats of the best trials say; None if none were run.
        test: Scores on the test rows, as `plain_scores` returns them; None while they are closed.
        retrained: The configuration that the scores belong to, as `Answer.retrained`; None if none was retrained.
        effects: What each hyperparameter adds between baseline and winner; None if that was not measured.
        isolated: Comparisons of values, as `isolation.compare_values` returns them.
        importance: Hyperparameter -> its share in the spread of the trials' values; None if unknown.
        findings: Findings as plain data, those of tried cures with `cures`.
        skipped: What is not in the answer -> why, the end of a sentence after "because".
    """

    sweep: str
    objective: Objective
    n_trials: int = 0
    best: Trial | None = None
    confirmation: Confirmation | None = None
    test: Plain | None = None
    retrained: Plain | None = None
    effects: MeasuredEffects | None = None
    isolated: Sequence[Plain] = ()
    importance: Mapping[str, float] | None = None
    findings: Sequence[Plain] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


def compose(measured: Measured) -> Answer:
    """Return the answer with its sentences."""
    answer = Answer(
        sweep=measured.sweep,
        metric=measured.objective.metric,
        direction=measured.objective.direction,
        n_trials=measured.n_trials,
        test=measured.test,
        retrained=measured.retrained,
        effects=[_effect(effect) for effect in measured.effects.effects] if measured.effects else [],
        effects_summary=_summary(measured.effects),
        isolated=list(measured.isolated),
        importance=measured.importance,
        findings=list(measured.findings),
        skipped=measured.skipped,
    )
    answer = replace(answer, **_winner(measured))
    answer = Answer.from_json(answer.to_json())  # plain data throughout, as when it is read again
    return replace(answer, sentences=sentences(answer))


def _winner(measured: Measured) -> dict[str, Any]:
    confirmation, best = measured.confirmation, measured.best
    if confirmation is not None:
        return _confirmed(confirmation)
    winner = None if best is None else _of_trial(best)
    return {"kind": BEST_OF_MANY, "winner": winner}


def _of_trial(trial: Trial) -> dict[str, Any]:
    own = {"number": trial.number, "params": trial.params, "label": f"trial {trial.number}"}
    return {**own, "mean": trial.value, "interval": None, "n": 1, "n_diverged": 0}


def _confirmed(confirmation: Confirmation) -> dict[str, Any]:
    winner, baseline = confirmation.winner, confirmation.of_baseline
    against = None if baseline is None else baseline.p_winner_is_better
    is_own = winner is not None and winner == baseline
    return {
        "kind": CONFIRMED,
        "winner": None if winner is None else _standing(winner),
        "baseline": None if baseline is None else _standing(baseline),
        "p_best": None if winner is None else winner.p_best,
        "p_better_than_baseline": 0.5 if is_own else None if against is None else against.probability,
        "p_better_than_baseline_interval": None if against is None else _ends(against.interval),
        "is_better_than_baseline": None if baseline is None else confirmation.is_better_than_baseline,
        "tied": confirmation.tied,
        "candidates": [_candidate(one, confirmation.baseline) for one in confirmation.standings],
        "n_blocks": confirmation.n_blocks,
    }


def _standing(standing: Standing) -> dict[str, Any]:
    return {
        "number": standing.trial,
        "params": standing.params,
        "label": standing.label,
        "mean": standing.mean,
        "interval": _ends(standing.interval),
        "n": standing.n,
        "n_diverged": standing.n_diverged,
    }


def _candidate(standing: Standing, baseline: int | None) -> dict[str, Any]:
    against = standing.p_winner_is_better
    return {
        **_standing(standing),
        "is_live": standing.is_live,
        "is_baseline": standing.number == baseline,
        "p_best": standing.p_best,
        "p_winner_is_better": None if against is None else against.probability,
    }


def plain_scores(scores: Sequence[ExpectedScore], n_opened: int) -> dict[str, Any] | None:
    """Return scores on the test rows as an answer has them.

    Args:
        scores: The objective's score first; none if there are no test rows.
        n_opened: How often these test rows were opened.
    """
    if not scores:
        return None
    return {**_score(scores[0]), "n_opened": n_opened, "beside": [_score(score) for score in scores[1:]]}


def _score(score: ExpectedScore) -> dict[str, Any]:
    return {
        "metric": score.metric,
        "score": score.score,
        "model_score": score.model_score,
        "this_model": _ends(score.this_model),
        "this_recipe": _ends(score.this_recipe),
        "n_rows": score.n_rows,
        "n_models": score.n_models,
        "n_diverged": score.n_diverged,
    }


def _effect(found: PlayerEffect) -> dict[str, Any]:
    player, effect = found.player, found.effect
    before, after = dict(player.before), dict(player.after)
    if len(player.names) == 1:
        before, after = before.get(player.name), after.get(player.name)  # type: ignore[assignment]
    return {
        "name": player.name,
        "from": to_plain(before),
        "to": to_plain(after),
        "effect": effect.mean,
        "interval": _ends(effect.interval),
        "simultaneous": _ends(effect.simultaneous),
        "is_seen": effect.is_seen,
    }


def _summary(effects: MeasuredEffects | None) -> dict[str, Any] | None:
    if effects is None:
        return None
    names = ("total", "n_blocks", "n_lost", "n_diverged", "is_exact")
    return {name: getattr(effects, name) for name in names}


def _ends(interval: Interval | None) -> list[float] | None:
    """Return the ends of an interval; None if one of them is infinite."""
    ends = finite(interval)
    return None if ends is None else list(ends)
