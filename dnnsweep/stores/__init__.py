"""Where sweeps are kept: in a home with its ledger, or by a service on another machine. Both answer alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from dnnsweep.records import Candidate, Curve, Repeat, Sweep, SweepState, Trial
from dnnsweep.records.events import DeletedSweep, Event
from dnnsweep.records.paging import Page


class SweepStore(Protocol):
    """What can be asked of sweeps, and done to them.

    These are more methods than an interface should have, but each is a route of the service. One suite of tests holds
    both implementations to them (`tests/contracts/test_sweep_store.py`).
    """

    def sweeps(self, state: SweepState | None = None) -> list[Sweep]:
        """Return sweeps, oldest first: all, or those in a state."""

    def sweep(self, name: str) -> Sweep:
        """Return one sweep."""

    def trials(self, name: str, where: str | None = None) -> list[Trial]:
        """Return the trials of a sweep that meet a condition, in their order."""

    def trial_page(
        self, name: str, where: str | None = None, order: str = "number", limit: int | None = None, offset: int = 0
    ) -> Page[Trial]:
        """Return a part of the trials of a sweep that meet a condition.

        Args:
            name: Name of the sweep.
            where: A condition such as `dropout < 0.3`; None for all trials.
            order: A field such as `number` or `value`; with `-` before it, the largest comes first.
            limit: Return at most this many trials; None for all.
            offset: Leave out this many trials at the beginning.
        """

    def trial(self, name: str, number: int) -> Trial:
        """Return one trial."""

    def best(self, name: str, top: int | None = None, where: str | None = None) -> list[Trial]:
        """Return the best complete trials that meet a condition, best first; confirmed ones come before others.

        Args:
            name: Name of the sweep.
            top: Return at most this many trials; None for 5, or for the whole front of two objectives.
            where: A condition such as `dropout < 0.3`; None for all trials.
        """

    def report(self, name: str) -> str:
        """Return the report of a sweep as an HTML page.

        Raises:
            SweepNotFoundError: There is no such sweep.
        """

    def answer(self, name: str) -> dict[str, Any]:
        """Return what a sweep answers, as plain JSON.

        Raises:
            SweepNotFoundError: There is no such sweep, or it has no answer.
        """

    def repeats(self, name: str) -> tuple[list[Candidate], list[Repeat]]:
        """Return the configurations that a sweep repeated, and their repeats; nothing if a service holds them."""

    def curve(self, name: str, number: int) -> Curve:
        """Return what was measured while a trial trained."""

    def events(self, name: str) -> list[Event]:
        """Return what happened to a sweep and its trials, oldest first."""

    def event_page(self, name: str, limit: int | None = None, offset: int = 0) -> Page[Event]:
        """Return a part of what happened to a sweep and its trials, newest first."""

    def model(self, name: str, number: int, folder: Path | None = None) -> Path:
        """Return the file of a trial's model; a model on another machine is copied into `folder`."""

    def retrained_model(self, name: str, folder: Path | None = None) -> Path | None:
        """Return the file of the retrained winner's model, as `model` does; None if no winner was retrained."""

    def submit(self, document: Any) -> Sweep:
        """Put a sweep, given as the content of its file, into the queue for workers."""

    def resume(self, name: str) -> Sweep:
        """Put a sweep into the queue again, with the file that it was submitted with."""

    def stop(self, name: str) -> bool:
        """Stop a sweep, or take it from the queue; return whether it was running or waiting."""

    def delete(self, name: str) -> bool:
        """Remove a sweep; return whether MLflow has nothing left of it."""

    def deleted(self) -> list[DeletedSweep]:
        """Return what is kept of deleted sweeps, in the order of their deletion."""
