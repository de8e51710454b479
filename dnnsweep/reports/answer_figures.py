"""Plotly figures of what a sweep answers; what they show is decided in `estimates`."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

import plotly.graph_objects as go

from dnnsweep.answers.scales import is_share
from dnnsweep.reports.estimates import Estimate
from dnnsweep.reports.svg import MEDIAN_COLOR, UNCLEAR_COLOR, WINNER_COLOR

ROW_HEIGHT: Final = 46
#: How far repeats lie below their mean, in rows, and how far those of all blocks together reach.
BELOW: Final = 0.12
STRIP: Final = 0.3


def draw_effects(found: Sequence[Estimate], metric: str, direction: str) -> go.Figure:
    """Return effects with both intervals, the first one on top.

    Args:
        found: The effects, as `estimates.effects_of` returns them.
        metric: The objective's metric.
        direction: `maximize` or `minimize`.
    """
    colors = [MEDIAN_COLOR if effect.is_clear else UNCLEAR_COLOR for effect in found]
    factor = 100.0 if is_share(metric) else 1.0
    figure = go.Figure()
    for width, name, ends in (
        (2, "simultaneous 90 % interval", [effect.simultaneous for effect in found]),
        (8, "its own 90 % interval", [effect.interval for effect in found]),
    ):
        figure.add_trace(_lines(ends, factor, width, name))
    figure.add_trace(_means(found, factor, colors, "effect"))
    unit = ", in points of percent" if is_share(metric) else ""
    better = "higher" if direction == "maximize" else "lower"
    figure.add_vline(x=0, line={"dash": "dash", "color": UNCLEAR_COLOR, "width": 1})
    return _rows(figure, found, f"change of {escape(metric)}{unit} ({better} is better)")


def draw_scores(found: Sequence[Estimate], metric: str) -> go.Figure:
    """Return means with their intervals, and the score of each repeat below them.

    Args:
        found: The configurations, as `estimates.candidates_of` returns them.
        metric: The objective's metric.
    """
    colors = [WINNER_COLOR if one.is_clear else MEDIAN_COLOR for one in found]
    n_blocks = 1 + max((block for one in found for block, _ in one.scores), default=0)
    dots = [
        (score, row + BELOW + STRIP * (block + 1) / n_blocks, f"block {block}")
        for row, one in enumerate(found)
        for block, score in one.scores
    ]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[score for score, _, _ in dots],
            y=[place for _, place, _ in dots],
            text=[block for _, _, block in dots],
            mode="markers",
            marker={"size": 5, "color": UNCLEAR_COLOR, "opacity": 0.7},
            name="repeat",
            hovertemplate="%{text}: %{x:.6g}<extra></extra>",
        )
    )
    figure.add_trace(_lines([one.interval for one in found], 1.0, 3, "90 % interval"))
    figure.add_trace(_means(found, 1.0, colors, "mean"))
    figure.update_xaxes(tickformat=",.1%" if is_share(metric) else None)
    return _rows(figure, found, escape(metric))


def draw_shares(found: Sequence[tuple[str, float]]) -> go.Figure:
    """Return a bar for each share, the first one on top."""
    figure = go.Figure(
        go.Bar(
            x=[share for _, share in found],
            y=[escape(name) for name, _ in found],
            orientation="h",
            marker={"color": MEDIAN_COLOR},
            hovertemplate="%{y}: %{x:.0%}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="share in what makes the best trials differ", tickformat=".0%")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure.update_layout(height=180 + ROW_HEIGHT * len(found))


def _lines(ends: Sequence[tuple[float, float] | None], factor: float, width: int, name: str) -> Any:
    x: list[float | None] = []
    y: list[float | None] = []
    for row, interval in enumerate(ends):
        if interval is not None:
            x += [factor * interval[0], factor * interval[1], None]
            y += [row, row, None]
    color = MEDIAN_COLOR if width < 8 else "rgba(0, 114, 178, 0.4)"
    line = {"color": color, "width": width}
    return go.Scatter(x=x, y=y, mode="lines", line=line, name=name, hoverinfo="skip")


def _means(found: Sequence[Estimate], factor: float, colors: Sequence[str], name: str) -> Any:
    return go.Scatter(
        x=[None if one.mean is None else factor * one.mean for one in found],
        y=list(range(len(found))),
        text=[escape(f"{one.label}: {one.text}") for one in found],
        mode="markers",
        marker={"size": 11, "color": list(colors)},
        name=name,
        hovertemplate="%{text}<extra></extra>",
    )


def _rows(figure: go.Figure, found: Sequence[Estimate], title: str) -> go.Figure:
    """Give each estimate a row, with its label at the left."""
    figure.update_xaxes(title_text=title)
    figure.update_yaxes(
        tickvals=list(range(len(found))),
        ticktext=[escape(one.label) for one in found],
        range=[len(found) - 0.4, -0.6],
        showgrid=False,
        automargin=True,
    )
    return figure.update_layout(height=180 + ROW_HEIGHT * max(1, len(found)))
