"""The answer of a sweep, as plain data that can be stored and shown again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from dnnsweep.records.sweeps import to_plain

#: Kinds of the winner's number.
CONFIRMED: Final = "confirmed"
BEST_OF_MANY: Final = "best_of_many"

Plain = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sweep answers. Everything in it is plain JSON; intervals are [low, high], or None if there is none.

    Args:
        sweep: Name of the sweep.
        metric: The objective's metric.
        direction: `maximize` or `minimize`.
        kind: What the winner's number is: `confirmed`, the mean of its repeats, or `best_of_many`, the best value of
            all trials, which is too good on average.
        n_trials: Number of complete trials.
        winner: `number`, `params`, `label`, `mean`, `interval`, `n`, `n_diverged`; None if there is no winner.
        baseline: The same of the baseline; None if it was not repeated.
        p_best: How often the winner has the best mean when the blocks are drawn again; None without repeats.
        p_better_than_baseline: Probability that the winner is better in a block; 0.5 if it is the baseline itself.
        p_better_than_baseline_interval: Interval of that probability.
        is_better_than_baseline: Whether the winner is better than the baseline; None if that was not asked.
        tied: Numbers of the trials that the winner is not better than by enough to matter.
        candidates: All that were repeated, winner first, each like `winner`, with `is_live`, `is_baseline`, `p_best`
            and `p_winner_is_better`.
        n_blocks: Blocks that the candidates were compared in.
        test: `metric`, `score`, `this_model`, `this_recipe`, `n_opened`, `model_score`, `n_rows`, `n_models`,
            `n_diverged`, and `beside` with other scores; None while the test rows are closed.
        retrained: `trial`, `params`, `n_epochs`, `n_seeds` and the file `model` of the configuration that the score and
            the delivered model belong to, and whether it `is_chosen` by somebody; None if none was retrained.
        effects: `name`, `from`, `to`, `effect`, `interval`, `simultaneous`, `is_seen` of each player, in order.
        effects_summary: `total`, `n_blocks`, `n_lost`, `n_diverged`, `is_exact`; None without effects.
        isolated: Comparisons of the values of one hyperparameter, each with its own best learning rate.
        importance: Hyperparameter -> its share in the spread of the trials' values, a description of the search.
        findings: What is wrong with trainings, as plain findings.
        skipped: What is not in the answer -> why.
        sentences: What a person is told.
    """

    sweep: str
    metric: str
    direction: str
    kind: str = BEST_OF_MANY
    n_trials: int = 0
    winner: Plain | None = None
    baseline: Plain | None = None
    p_best: float | None = None
    p_better_than_baseline: float | None = None
    p_better_than_baseline_interval: Sequence[float] | None = None
    is_better_than_baseline: bool | None = None
    tied: Sequence[int] = ()
    candidates: Sequence[Plain] = ()
    n_blocks: int = 0
    test: Plain | None = None
    retrained: Plain | None = None
    effects: Sequence[Plain] = ()
    effects_summary: Plain | None = None
    isolated: Sequence[Plain] = ()
    importance: Plain | None = None
    findings: Sequence[Plain] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    sentences: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the answer as plain JSON, without tuples and numbers that are not finite."""
        return {name.name: to_plain(getattr(self, name.name)) for name in fields(self)}

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """Return the answer that `to_json` made JSON of; what an earlier version did not store keeps its default."""
        known = {name.name for name in fields(cls)}
        return cls(**{name: value for name, value in plain.items() if name in known})
