"""Recorded repeats as scores that can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from dnnsweep.records import Reason, Repeat, State
from dnnsweep.statistics.paired_scores import Scores, oriented

#: A candidate's number and a block.
Place = tuple[int, int]


def has_ended(repeat: Repeat) -> bool:
    """Return whether a repeat has its result. One that was stopped has none, and is run again."""
    return repeat.state in (State.COMPLETE, State.FAILED) and repeat.reason is not Reason.STOPPED


def by_place(repeats: Iterable[Repeat]) -> dict[Place, Repeat]:
    """Return the repeats that have ended, by candidate and block."""
    return {(repeat.candidate, repeat.block): repeat for repeat in repeats if has_ended(repeat)}


def score_of(repeat: Repeat, direction: str) -> float:
    """Return a repeat's value so that larger is better; -inf if it has none."""
    return float(oriented([[repeat.value]], direction)[0, 0])


def score_table(ended: Mapping[Place, Repeat], candidates: Sequence[int], n_blocks: int, direction: str) -> Scores:
    """Return the scores of candidates in their first blocks.

    Args:
        ended: Repeats by candidate and block.
        candidates: Numbers of the candidates, one for each row.
        n_blocks: Number of columns.
        direction: `maximize` or `minimize`.

    Returns:
        [candidates, blocks]: larger is better, -inf where a repeat has no value, NaN where none has ended.
    """
    scores = np.full((len(candidates), n_blocks), np.nan)
    for row, candidate in enumerate(candidates):
        for block in range(n_blocks):
            repeat = ended.get((candidate, block))
            if repeat is not None:
                scores[row, block] = score_of(repeat, direction)
    return scores
