"""Whether MLflow still has what it was sent of a sweep: asked once, when the sweep has ended and all of it was sent.

A store may be emptied behind the back of whoever fills it, and a proxy may send a request twice. `doctor` compares
everything; this looks only for runs that are gone, that are too many, or that seem to go on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from dnnsweep.delivery.candidate_pages import candidate_key, is_shown
from dnnsweep.delivery.pages import run_key
from dnnsweep.ledger import PARENT, Ledger
from dnnsweep.ledger.outbox import outbox_number
from dnnsweep.records import Sweep
from dnnsweep.tracking.page import ENDED, RunState

log: Final = logging.getLogger(__name__)


class ListedRuns(Protocol):
    """What is asked of a run store here."""

    def check(self) -> None:
        """Raise an error if the store cannot keep what was put."""

    def delete(self, run_id: str) -> None:
        """Remove a run."""

    def run(self, run_id: str) -> RunState | None:
        """Return a run; None if there is none."""

    def runs(self, experiment: str, prefix: str) -> list[RunState]:
        """Return the runs of an experiment whose key begins with a text, deleted ones too."""


def verify(ledger: Ledger, store: ListedRuns, sweep: Sweep) -> None:
    """Make due what MLflow has lost of a sweep, and delete the runs that it has twice.

    Args:
        ledger: The ledger that holds the sweep; its outbox takes what is to be sent again.
        store: Where the runs are shown.
        sweep: A sweep of which everything was sent.

    Raises:
        TrackingError: The store cannot be reached, or was corrupt.
    """
    store.check()
    states: dict[str, list[RunState]] = {}
    for run in store.runs(sweep.name, run_key(ledger.id, sweep.id)):
        states.setdefault(run.key, []).append(run)
    if not states and sweep.run_id is not None and store.run(sweep.run_id) is not None:
        return  # somebody has given the experiment another name
    shown = list(_shown_runs(ledger, sweep))
    lost = [run.number for run in shown if run.is_lost(states.get(run.key, []))]
    if lost:
        ledger.outbox.add(sweep.id, *lost)
        log.warning("MLflow had lost %d of %d runs of sweep %s; they are sent again", len(lost), len(shown), sweep.name)
    surplus = [state for run in shown for state in run.surplus(states.get(run.key, []))]
    for state in surplus:
        store.delete(state.run_id)
    if surplus:
        log.warning("MLflow had %d runs of sweep %s twice; the second ones were deleted", len(surplus), sweep.name)


@dataclass(frozen=True, slots=True)
class _ShownRun:
    """A run that MLflow should have.

    Args:
        number: Its number in the outbox.
        key: The tag by which the run is found.
        run_id: Id of the run in the ledger.
        is_ended: Whether the run should have ended.
    """

    number: int
    key: str
    run_id: str | None
    is_ended: bool

    def is_lost(self, states: Sequence[RunState]) -> bool:
        """Return whether none of the runs with this key is what it should be; one that somebody deleted is not lost."""
        own = [state for state in states if state.run_id == self.run_id]
        if not own:
            return True
        return not own[0].is_deleted and self.is_ended and own[0].status not in ENDED

    def surplus(self, states: Sequence[RunState]) -> list[RunState]:
        """Return the runs with this key that are shown beside the one that the ledger names."""
        active = [state for state in states if not state.is_deleted]
        is_there = any(state.run_id == self.run_id for state in active)
        return [state for state in active if state.run_id != self.run_id] if is_there else []


def _shown_runs(ledger: Ledger, sweep: Sweep) -> Iterator[_ShownRun]:
    yield _ShownRun(PARENT, run_key(ledger.id, sweep.id), sweep.run_id, is_ended=True)
    for trial in ledger.trials_of(sweep):
        if trial.attempts:
            key = run_key(ledger.id, sweep.id, trial.number)
            yield _ShownRun(trial.number, key, trial.run_id, is_ended=trial.ended_at is not None)
    repeats = ledger.repeats(sweep)
    for candidate in ledger.candidates(sweep):
        if is_shown([repeat for repeat in repeats if repeat.candidate == candidate.number]):
            key = candidate_key(ledger.id, sweep.id, candidate.number)
            yield _ShownRun(outbox_number(candidate.number), key, candidate.run_id, is_ended=True)
