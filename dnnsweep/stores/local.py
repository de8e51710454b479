"""Sweeps in a ledger that this process reads and writes itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from dnnsweep.confined_files import open_below
from dnnsweep.errors import ExportError, SweepNotFoundError
from dnnsweep.ledger import Ledger, LedgerStats, NewSweep
from dnnsweep.records import Candidate, Curve, Repeat, Sweep, SweepState, Trial
from dnnsweep.records.events import DeletedSweep, Event
from dnnsweep.records.paging import Page
from dnnsweep.settings import Settings


class LocalStore:
    """Sweeps in a ledger; `SweepStore` says what the methods do.

    Args:
        settings: Settings of the home, which say where models are.
        ledger: The opened ledger.
    """

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self.ledger = ledger

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings, *, create: bool = False) -> Iterator[LocalStore]:
        """Open a home, for reading if it cannot be written, and close it afterwards.

        Raises:
            SweepNotFoundError: There is no home, and `create` is false.
            LedgerError: It cannot be opened.
        """
        ledger = Ledger.open(settings.database_url, create=create, may_only_read=not create)
        try:
            yield cls(settings, ledger)
        finally:
            ledger.close()

    def sweeps(self, state: SweepState | None = None) -> list[Sweep]:
        return self.ledger.sweeps(state)

    def sweep_page(self, state: SweepState | None = None, limit: int | None = None, offset: int = 0) -> Page[Sweep]:
        """Return some of the sweeps, oldest first."""
        return self.ledger.sweep_page(state, limit, offset)

    def sweep(self, name: str) -> Sweep:
        return self.ledger.sweep(name)

    def trials(self, name: str, where: str | None = None) -> list[Trial]:
        return self.ledger.trials(name, where)

    def trial_page(
        self, name: str, where: str | None = None, order: str = "number", limit: int | None = None, offset: int = 0
    ) -> Page[Trial]:
        return self.ledger.trial_page(name, where, order, limit, offset)

    def trial(self, name: str, number: int) -> Trial:
        return self.ledger.trial(name, number)

    def best(self, name: str, top: int | None = None, where: str | None = None) -> list[Trial]:
        return self.ledger.best(name, top, where)

    def report(self, name: str) -> str:
        from dnnsweep.reports.stored_report import write_stored_report  # loads what other questions do without

        return write_stored_report(self.ledger, self.ledger.sweep(name))

    def answer(self, name: str) -> dict[str, Any]:
        sweep = self.ledger.sweep(name)
        stored = self.ledger.answer(sweep)
        if not stored.get("sentences"):
            raise SweepNotFoundError(_unanswered(sweep))
        return {key: value for key, value in stored.items() if key != "done"}

    def repeats(self, name: str) -> tuple[list[Candidate], list[Repeat]]:
        sweep = self.ledger.sweep(name)
        return self.ledger.candidates(sweep), self.ledger.repeats(sweep)

    def curve(self, name: str, number: int) -> Curve:
        return self.trial_with_curve(name, number)[1]

    def trial_with_curve(self, name: str, number: int) -> tuple[Trial, Curve]:
        """Return one trial, and what was measured while it trained."""
        return self.ledger.trial_with_curve(name, number)

    def events(self, name: str) -> list[Event]:
        return self.ledger.events(name)

    def event_page(self, name: str, limit: int | None = None, offset: int = 0) -> Page[Event]:
        return self.ledger.event_page(name, limit, offset)

    def events_after(self, sweep: Sweep, number: int, limit: int) -> list[tuple[int, Event]]:
        """Return at most `limit` events of a sweep that are numbered above another one, with their numbers."""
        return self.ledger.events_after(sweep, number, limit)

    def stats(self) -> LedgerStats:
        """Return statistics over all sweeps."""
        return self.ledger.stats()

    def model(self, name: str, number: int, folder: Path | None = None) -> Path:  # noqa: ARG002  it is here
        sweep = self.sweep(name)
        file_name = self.ledger.model_name(sweep.id, self.ledger.trial_of(sweep, number).number)
        if file_name is None:
            raise ExportError(f"only the best trials' weights are kept, got trial {number}; export it as python")
        path = self._settings.best_model(name, file_name)
        if not path.exists():
            raise ExportError(f"the model of trial {number} must be in {path}, but is not; export it as python")
        return path

    def retrained_model(self, name: str, folder: Path | None = None) -> Path | None:  # noqa: ARG002  it is here
        retrained = self.ledger.answer(self.ledger.sweep(name)).get("retrained")
        if retrained is None or retrained["model"] is None:
            return None
        path = self._settings.retrained_model(name, retrained["model"])
        if not path.exists():
            raise ExportError(f"the retrained model must be in {path}, but is not; --trial takes that of a trial")
        return path

    def open_model(self, name: str, number: int | None) -> tuple[BinaryIO, str]:
        """Open the file of a model; a link that leads out of the home's models is not followed.

        Args:
            name: Name of the sweep.
            number: Number of the trial; None for the retrained winner, or for the best trial if none was retrained.

        Returns:
            The file, and what to call a copy of it.

        Raises:
            ExportError: There is none.
            SweepNotFoundError: There is no such trial, or none is complete.
        """
        path = self.retrained_model(name) if number is None else None
        called, whose = f"{name}-retrained.keras", "the retrained winner"
        if path is None:
            number = self._best_number(name) if number is None else number
            path, called, whose = self.model(name, number), f"{name}-trial-{number}.keras", f"trial {number}"
        try:
            return open_below(self._settings.models(name).parent, str(path)), called
        except OSError as error:
            raise ExportError(f"the model of {whose} cannot be read; export it as python") from error

    def _best_number(self, name: str) -> int:
        best = self.best(name, 1)
        if not best:
            raise SweepNotFoundError(f"no trial of sweep {name} is complete")
        return best[0].number

    def submit(self, document: Any) -> Sweep:
        return self.put(document, is_restricted=False)[0]

    def put(self, document: Any, *, is_restricted: bool, requested_by: str | None = None) -> tuple[Sweep, bool]:
        """Put a sweep into the queue; return it, and whether it is new.

        Args:
            document: Content of the sweep file, or the checked file.
            is_restricted: Whether the sweep came over the network, so that the operator's limits hold.
            requested_by: Name of the token that submits it; None for a command on a home.

        Raises:
            SpecError: The file is wrong.
            SweepConflictError: The name is taken by another content.
            SweepHeldError: It is running, with another budget.
        """
        from dnnsweep.spec import SweepSpec, check

        spec = document if isinstance(document, SweepSpec) else check(document)
        return self.ledger.submit(NewSweep.of(spec), is_restricted=is_restricted, requested_by=requested_by)

    def resume(self, name: str, *, is_restricted: bool = False, requested_by: str | None = None) -> Sweep:
        return self.put(dict(self.sweep(name).spec), is_restricted=is_restricted, requested_by=requested_by)[0]

    def stop(self, name: str, *, requested_by: str | None = None) -> bool:
        return self.ledger.request_stop(name, requested_by)

    def delete(self, name: str, *, requested_by: str | None = None) -> bool:
        sweep = self.sweep(name)
        self.ledger.delete(name, requested_by)
        shutil.rmtree(self._settings.models(name), ignore_errors=True)
        return self.ledger.outbox.count(sweep.id) == 0

    def deleted(self) -> list[DeletedSweep]:
        return self.deleted_page().items

    def deleted_page(self, limit: int | None = None, offset: int = 0) -> Page[DeletedSweep]:
        """Return some of what is kept of deleted sweeps, in the order of their deletion."""
        return self.ledger.deleted_page(limit, offset)


def _unanswered(sweep: Sweep) -> str:
    """Return why a sweep has no answer, and what to do about it."""
    if sweep.state in (SweepState.QUEUED, SweepState.RUNNING):
        return (
            f"sweep {sweep.name} has no answer yet: it is {sweep.state.lower()}; `dnnsweep show {sweep.name}` shows it"
        )
    if sweep.state is not SweepState.COMPLETE:
        remedy = f"`dnnsweep resume {sweep.name}` continues it"
        return f"sweep {sweep.name} has no answer yet: it is {sweep.state.lower()}; {remedy}"
    if len(sweep.objectives) > 1:
        remedy = f"`dnnsweep best {sweep.name}` shows its front"
        return f"sweep {sweep.name} has no answer, which only sweeps of one objective have; {remedy}"
    remedy = f"`dnnsweep confirm {sweep.name}` repeats them"
    return f"sweep {sweep.name} has no answer: its best trials were not repeated; {remedy}"
