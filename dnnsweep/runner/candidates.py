"""Configurations that are repeated, each of them once, whatever for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dnnsweep.answers.configurations import configuration_key
from dnnsweep.ledger import RepeatLease
from dnnsweep.records import Candidate, Purpose, to_plain
from dnnsweep.runner.repeat_order import PlannedRepeat
from dnnsweep.seeds import derive


def take_candidates(
    lease: RepeatLease, purpose: Purpose, configurations: Sequence[tuple[str, Mapping[str, Any], int | None]]
) -> list[Candidate]:
    """Return the candidates of some configurations; those that are new are stored.

    Repeats in blocks are shared by all purposes, retrained configurations are candidates of their own.

    Args:
        lease: The repeats of the sweep.
        purpose: What the configurations are repeated for.
        configurations: Label, hyperparameters and number of the trial, if there is one, of each configuration.
    """
    known = {_key(candidate.purpose, candidate.params): candidate for candidate in lease.candidates}
    new = []
    for label, params, trial in configurations:
        if _key(purpose, params) not in known:
            candidate = Candidate(len(known), purpose, label, to_plain(params), trial)
            known[_key(purpose, params)] = candidate
            new.append(candidate)
    lease.add(new)
    return [known[_key(purpose, params)] for _, params, _ in configurations]


def find_candidate(lease: RepeatLease, params: Mapping[str, Any]) -> Candidate | None:
    """Return the candidate that was repeated in blocks with these hyperparameters; None if there is none."""
    wanted = _key(Purpose.CONFIRM, params)
    return next((one for one in lease.candidates if _key(one.purpose, one.params) == wanted), None)


def _key(purpose: Purpose, params: Mapping[str, Any]) -> tuple[bool, str]:
    return purpose is Purpose.RETRAIN, configuration_key(params)


def repeat_in_block(seed: int, candidate: int, block: int) -> PlannedRepeat:
    """Return a repeat in a block, with the seed that all repeats of the block share.

    Args:
        seed: Seed of the sweep.
        candidate: Number of the candidate.
        block: The block, from 0.
    """
    return PlannedRepeat(candidate, block, derive(seed, "block", block))
