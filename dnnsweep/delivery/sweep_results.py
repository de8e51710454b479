"""Reads what a sweep has come to so far: the best trials, code and models, and what it answers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dnnsweep import exports
from dnnsweep.answers.answer import Answer
from dnnsweep.delivery.descriptions import TOP
from dnnsweep.delivery.kept_models import retrained_file
from dnnsweep.delivery.pages import MODEL_ARTIFACT, RETRAINED_ARTIFACT, SweepResults
from dnnsweep.ledger import Ledger
from dnnsweep.records import Sweep, SweepState, Trial
from dnnsweep.settings import Settings

log: Final = logging.getLogger(__name__)


class ResultsReader:
    """Reads the results of sweeps, again and again; what takes long is done once for each best trial.

    Args:
        ledger: The ledger that holds the sweeps.
        settings: Where models are.
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._codes: dict[str, tuple[int, str | None]] = {}
        self._unlinked: dict[str, set[int]] = {}

    def read(self, sweep: Sweep) -> SweepResults:
        """Return what a sweep has come to so far."""
        best, stored = self._ledger.best_of(sweep, TOP), self._ledger.answer(sweep)
        self._unlinked[sweep.id] = {trial.number for trial in best if trial.run_id is None}
        answer = Answer.from_json(stored) if stored.get("sentences") else None
        return SweepResults(best, self._code(sweep, best), self._models(sweep, stored), answer, self._report(sweep))

    def is_unlinked(self, sweep: Sweep, trial: Trial) -> bool:
        """Return whether the last results name a trial that had no run yet, so that nothing could link to it."""
        if trial.run_id is None and sweep.id not in self._unlinked:
            self.read(sweep)  # what another process has sent would read the same
        return trial.run_id is None and trial.number in self._unlinked[sweep.id]

    def _models(self, sweep: Sweep, stored: Mapping[str, Any]) -> dict[str, str]:
        name = None if sweep.best_number is None else self._ledger.model_name(sweep.id, sweep.best_number)
        files = {
            MODEL_ARTIFACT: None if name is None else self._settings.best_model(sweep.name, name),
            RETRAINED_ARTIFACT: retrained_file(self._settings, sweep, stored),
        }
        return {path: str(file) for path, file in files.items() if file is not None and file.is_file()}

    def _report(self, sweep: Sweep) -> str | None:
        """Return the report of a sweep that has ended; one that goes on would be drawn again each second."""
        if sweep.state in (SweepState.RUNNING, SweepState.QUEUED):
            return None
        from dnnsweep.reports.stored_report import write_stored_report

        try:
            return write_stored_report(self._ledger, sweep)
        except Exception:  # whatever a sweep of another version lacks, runs and curves must arrive
            log.debug("sweep %s has no report", sweep.name, exc_info=True)
            return None

    def _code(self, sweep: Sweep, best: Sequence[Trial]) -> str | None:
        if not best:
            return None
        number, code = self._codes.get(sweep.id, (None, None))
        if number != best[0].number:
            code = self._write_code(sweep, best[0])
            self._codes[sweep.id] = (best[0].number, code)
        return code

    def _write_code(self, sweep: Sweep, trial: Trial) -> str | None:
        try:
            return exports.python(sweep, trial, self._ledger.curve(sweep.id, trial.number))
        except Exception:  # likewise
            log.debug("trial %d of %s has no code", trial.number, sweep.name, exc_info=True)
            return None
