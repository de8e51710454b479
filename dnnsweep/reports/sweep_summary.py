"""A sweep in a few lines, as text and as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from dnnsweep.records import Sweep, Trial


def summarize(sweep: Sweep, best: Sequence[Trial]) -> str:
    """Return one line: state, number of trials, best value.

    Args:
        sweep: The sweep.
        best: Its best trials, best first.
    """
    counts = f"{sweep.n_finished} of {sweep.n_trials} trials"
    ending = f", best {sweep.metric} {_text(best[0].value)} (trial {best[0].number})" if best else ""
    return f"<sweep {sweep.name}: {sweep.state.lower()}, {counts}{ending}>"


def summarize_as_html(sweep: Sweep, best: Sequence[Trial]) -> str:
    """Return the sweep and its best trials as HTML, with nothing that could run as a script.

    Args:
        sweep: The sweep.
        best: Its best trials, best first.
    """
    facts = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in _facts(sweep))
    table = f"<table>{facts}</table>"
    return f"<div><strong>Sweep {escape(sweep.name)}</strong>{table}{_best_table(sweep, best)}</div>"


def _facts(sweep: Sweep) -> Iterator[tuple[str, str]]:
    yield "state", sweep.state.lower()
    yield "data", sweep.source
    yield "objective", " and ".join(map(str, sweep.objectives))
    yield "trials", f"{sweep.n_finished} of {sweep.n_trials} finished"
    if sweep.conclusion is not None:
        yield "ended early", sweep.conclusion
    yield "searched", ", ".join(sweep.spec["space"]) or "nothing"


def _best_table(sweep: Sweep, best: Sequence[Trial]) -> str:
    if not best:
        return "<p>No trial is complete.</p>"
    searched = list(sweep.spec["space"])
    head = ["trial", *(objective.metric for objective in sweep.objectives), *searched]
    rows = [[trial.number, *(trial.values or ()), *(trial.params.get(name) for name in searched)] for trial in best]
    lines = ["".join(f"<td>{escape(_text(cell))}</td>" for cell in row) for row in rows]
    header = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><tr>{header}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
