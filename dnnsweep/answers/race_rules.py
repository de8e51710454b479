"""Which repeats a race asks for next."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dnnsweep.answers.recorded_scores import Place, by_place, score_table
from dnnsweep.records import Repeat
from dnnsweep.statistics.race import MIN_BLOCKS, departures


@dataclass(frozen=True, slots=True)
class RaceRules:
    """What a race asks for, as a function of the repeats that have ended.

    All candidates are repeated in three blocks. Then those that are still in the race are repeated, block by block,
    until only one is left, `n_blocks` were run, or the next block would take more epochs than the race may spend.

    Block b is asked for once blocks 0 to b - `lookahead` have ended, and is decided by these alone. So the next blocks
    are in line before the last ones have ended, and still no answer depends on which trainer was faster.

    Args:
        direction: `maximize` or `minimize`.
        n_blocks: The most blocks. Three are always run.
        max_epochs: How many epochs the blocks after the third may take together.
        lookahead: How many blocks run ahead of those that decide, at least 1.
        epochs: Candidate -> epochs that its trial was trained, an estimate until it was repeated; None where it has no
            trial. Candidates are asked for in this order.
    """

    direction: str
    n_blocks: int
    max_epochs: float
    lookahead: int
    epochs: Mapping[int, float | None]

    def next_blocks(self, repeats: Iterable[Repeat]) -> list[Place]:
        """Return all repeats that are to be run as far as is known now: candidate and block, in order.

        Those that were returned before are among them.

        Args:
            repeats: Repeats of the candidates, running ones too, in any order.
        """
        ended, candidates = by_place(repeats), list(self.epochs)
        n_blocks = max(self.n_blocks, MIN_BLOCKS)
        left_after = departures(score_table(ended, candidates, n_blocks, self.direction)).left_after
        places = [(candidate, block) for block in range(MIN_BLOCKS) for candidate in candidates]
        for block in range(MIN_BLOCKS, n_blocks):
            n_known = max(block - self.lookahead + 1, 0)
            if any(place not in ended for place in places if place[1] < n_known):
                break
            live = [one for row, one in enumerate(candidates) if left_after.get(row, math.inf) > n_known]
            more = [(candidate, block) for candidate in live]
            if len(live) < 2 or self._spent([*places, *more], ended, n_known) > self.max_epochs:
                break
            places += more
        return places

    def own(self, repeats: Iterable[Repeat]) -> list[Repeat]:
        """Return the repeats that the race has asked for.

        Candidates may have been repeated in more blocks, for effects. These must not decide who wins after all.

        Args:
            repeats: Repeats of the candidates, in any order.
        """
        known = list(repeats)
        places = frozenset(self.next_blocks(known))
        return [repeat for repeat in known if (repeat.candidate, repeat.block) in places]

    def next_of_two(self, repeats: Iterable[Repeat], winner: int, baseline: int) -> list[Place]:
        """Return the repeats of winner and baseline that the rest of the budget pays for, once the race is over.

        The blocks of a whole race are dear, and three of them cannot tell two configurations apart for certain. The
        winner is known, so that more blocks of these two cannot change it.

        Args:
            repeats: Repeats that the race has asked for.
            winner: Number of the candidate that leads.
            baseline: Number of the candidate that is the baseline.
        """
        ended = by_place(repeats)
        n_run = max((block + 1 for _, block in ended), default=0)
        left = self.max_epochs - sum(repeat.epochs for place, repeat in ended.items() if place[1] >= MIN_BLOCKS)
        cost = sum(self._usual_epochs(candidate, ended, n_run) for candidate in (winner, baseline))
        n_blocks = min(max(self.n_blocks, MIN_BLOCKS), n_run + int(left // max(cost, 1)))
        return [(candidate, block) for block in range(n_run, n_blocks) for candidate in (winner, baseline)]

    def _spent(self, places: Sequence[Place], ended: Mapping[Place, Repeat], n_known: int) -> float:
        """Return the epochs of the blocks after the third: measured in the known blocks, else estimated."""
        means = {candidate: self._usual_epochs(candidate, ended, n_known) for candidate in self.epochs}
        counted = [place for place in places if place[1] >= MIN_BLOCKS]
        return sum(ended[place].epochs if place[1] < n_known else means[place[0]] for place in counted)

    def _usual_epochs(self, candidate: int, ended: Mapping[Place, Repeat], n_known: int) -> float:
        measured = [ended[candidate, block].epochs for block in range(n_known) if (candidate, block) in ended]
        if measured:
            return sum(measured) / len(measured)
        given = self.epochs[candidate]
        known = [epochs for epochs in self.epochs.values() if epochs is not None] if given is None else [given]
        return sum(known) / max(len(known), 1)


def lookahead_for(window: int, n_candidates: int) -> int:
    """Return how many blocks a race runs ahead, so that about as many repeats wait in line as trials did.

    Example:
        >>> lookahead_for(window=20, n_candidates=9), lookahead_for(window=1, n_candidates=9)
        (2, 1)
    """
    return max(1, window // n_candidates)
