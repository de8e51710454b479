"""The report of a sweep that is in a ledger."""

from __future__ import annotations

from dnnsweep.answers.answer import Answer
from dnnsweep.ledger import Ledger
from dnnsweep.records import Sweep
from dnnsweep.reports.report import ReportContents, curves_to_read, write_report


def report_of(ledger: Ledger, sweep: Sweep) -> str:
    """Return the report of a sweep as an HTML page that is complete in itself.

    Args:
        ledger: The ledger that holds the sweep.
        sweep: The sweep, as it was read before.
    """
    trials, stored = ledger.trials_of(sweep), ledger.answer(sweep)
    answer = Answer.from_json(stored) if stored.get("sentences") else None
    curves = {number: ledger.curve(sweep.id, number) for number in curves_to_read(sweep, trials, answer)}
    return write_report(ReportContents(sweep, trials, curves, answer, ledger.candidates(sweep), ledger.repeats(sweep)))
