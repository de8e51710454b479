"""The report of a sweep as the ledger has it."""

from __future__ import annotations

from dnnsweep.answers.answer import Answer
from dnnsweep.ledger import Ledger
from dnnsweep.records import Sweep
from dnnsweep.reports.report import ReportContents, curves_to_read, write_report


def write_stored_report(ledger: Ledger, sweep: Sweep) -> str:
    """Return the report of a stored sweep as an HTML page; the same as long as the ledger is.

    Args:
        ledger: The ledger that holds the sweep.
        sweep: The sweep in its present state.
    """
    trials, stored = ledger.trials_of(sweep), ledger.answer(sweep)
    answer = Answer.from_json(stored) if stored.get("sentences") else None
    numbers = curves_to_read(sweep, trials, answer)
    return write_report(
        ReportContents(
            sweep,
            trials,
            curves={number: ledger.curve(sweep.id, number) for number in numbers},
            answer=answer,
            candidates=ledger.candidates(sweep),
            repeats=ledger.repeats(sweep),
        )
    )
