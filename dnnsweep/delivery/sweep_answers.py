"""Reads what a sweep has found so far: the best trials, the code and the model of the first one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from dnnsweep import exports
from dnnsweep.delivery.descriptions import TOP
from dnnsweep.delivery.pages import Answer
from dnnsweep.ledger import Ledger
from dnnsweep.records import Sweep, Trial
from dnnsweep.settings import Settings

log: Final = logging.getLogger(__name__)


class AnswerReader:
    """Reads the answers of sweeps, again and again; what takes long is done once for each best trial.

    Args:
        ledger: The ledger that holds the sweeps.
        settings: Where models are.
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._codes: dict[str, tuple[int, str | None]] = {}
        self._unlinked: dict[str, set[int]] = {}

    def read(self, sweep: Sweep) -> Answer:
        """Return what a sweep has found so far."""
        best = self._ledger.best_of(sweep, TOP)
        self._unlinked[sweep.id] = {trial.number for trial in best if trial.run_id is None}
        return Answer(best, self._code(sweep, best), self._model_path(sweep))

    def is_unlinked(self, sweep: Sweep, trial: Trial) -> bool:
        """Return whether the last answer names a trial that had no run yet, so that nothing could link to it."""
        if trial.run_id is None and sweep.id not in self._unlinked:
            self.read(sweep)  # what another process has sent would read the same
        return trial.run_id is None and trial.number in self._unlinked[sweep.id]

    def _model_path(self, sweep: Sweep) -> str | None:
        name = None if sweep.best_number is None else self._ledger.model_name(sweep.id, sweep.best_number)
        path = None if name is None else self._settings.best_model(sweep.name, name)
        return str(path) if path is not None and path.is_file() else None

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
        except Exception:  # whatever a sweep of another version lacks, runs and curves must arrive
            log.debug("trial %d of %s has no code", trial.number, sweep.name, exc_info=True)
            return None
