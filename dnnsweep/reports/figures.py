"""Figures of a sweep's trials, made by Plotly; what they show is decided in `axes`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final, TypeAlias

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dnnsweep.answers.answer import Answer
from dnnsweep.errors import ExportError
from dnnsweep.records import N_PARAMETERS, Candidate, Curve, Objective, Repeat, Trial, direction_of
from dnnsweep.reports import axes
from dnnsweep.reports.answer_figures import draw_effects, draw_scores, draw_shares
from dnnsweep.reports.axes import Axis
from dnnsweep.reports.estimates import candidates_of, effects_of, in_order
from dnnsweep.space import SearchSpace, did_you_mean

Figure: TypeAlias = go.Figure

#: How many curves are drawn beside those of the best and of the median trial.
N_OTHERS: Final = 20
#: Lines that cross hide each other, so there are fewer of them than of points.
MAX_LINES: Final = 500
#: How many panels stand side by side.
N_COLUMNS: Final = 4
BEST_COLOR: Final = "#d9480f"
TRIAL_COLOR: Final = "#4c78a8"
PALE_COLOR: Final = "#c9ced6"


@dataclass(frozen=True, slots=True)
class Found:
    """What a sweep has found so far, as figures need it.

    Args:
        name: Name of the sweep.
        objectives: What the sweep improves: one objective or two.
        space: The search space.
        trials: Trials in their order.
        curves: Trial's number -> its curve; only `learning_curves` needs some.
        answer: What the sweep answers; only `effects` and `repeats` need it.
        candidates: All configurations that it repeated; only `repeats` needs them.
        repeats: All repeats of these; only `repeats` needs them.
        importances: Hyperparameter -> its share in what makes the best trials differ; only `importance` needs them.
    """

    name: str
    objectives: Sequence[Objective]
    space: SearchSpace
    trials: Sequence[Trial]
    curves: Mapping[int, Curve] = field(default_factory=dict)
    answer: Answer | None = None
    candidates: Sequence[Candidate] = ()
    repeats: Sequence[Repeat] = ()
    importances: Mapping[str, float] = field(default_factory=dict)


def history(found: Found) -> Figure:
    """Return the value of each trial by its number, and the best one so far; a panel for each objective."""
    trials, objectives = axes.complete(found.trials), found.objectives
    shown = axes.thin_out(trials)
    figure = make_subplots(rows=len(objectives), cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for place, axis in enumerate(axes.objective_axes(shown, objectives)):
        records = axes.find_records(trials, objectives[place], place)
        figure.add_trace(_points(shown, [trial.number for trial in shown], axis), row=place + 1, col=1)
        figure.add_trace(_best_so_far(records, found.trials, is_first=place == 0), row=place + 1, col=1)
        figure.update_yaxes(title_text=escape(axis.name), row=place + 1, col=1, **_scale_of(axis))
    figure.update_xaxes(title_text="trial", row=len(objectives), col=1)
    return _finish(
        figure, found, "History", [axes.counts_text(found.trials), axes.part_text(shown, trials)], len(objectives)
    )


def _points(trials: Sequence[Trial], x: Iterable[Any], axis: Axis, *, colors: Mapping[str, Any] | None = None) -> Any:
    return go.Scatter(
        x=list(x),
        y=list(axis.values),
        customdata=[trial.number for trial in trials],
        mode="markers",
        marker={"size": 6, "opacity": 0.75, "color": TRIAL_COLOR, **(colors or {})},
        name="trial",
        showlegend=False,
        hovertemplate="trial %{customdata}<br>%{y:.6g}<extra></extra>",
    )


def _best_so_far(records: Sequence[tuple[int, float]], trials: Sequence[Trial], *, is_first: bool) -> Any:
    ends = [(trials[-1].number, records[-1][1])] if records else []
    x, y = zip(*axes.thin_out([*records, *ends]), strict=True) if records else ((), ())
    line = {"shape": "hv", "color": BEST_COLOR, "width": 2}
    return go.Scatter(
        x=list(x), y=list(y), mode="lines", line=line, name="best so far", showlegend=is_first,
        hovertemplate="best so far %{y:.6g}<extra></extra>",
    )  # fmt: skip


def slices(found: Found) -> Figure:
    """Return each objective by each hyperparameter that is searched, a panel for each pair; later trials are darker."""
    trials = axes.complete(found.trials)
    shown = axes.thin_out(trials)
    searched = axes.hyperparameter_axes(shown, found.space)
    n_columns = min(N_COLUMNS, max(1, len(searched)))
    n_rows = max(1, math.ceil(len(searched) / n_columns))  # of each objective
    n_all = n_rows * len(found.objectives)
    figure = make_subplots(n_all, n_columns, shared_yaxes=True, vertical_spacing=0.3 / n_all, horizontal_spacing=0.02)
    for place, values in enumerate(axes.objective_axes(shown, found.objectives)):
        for index, axis in enumerate(searched):
            row, column = place * n_rows + index // n_columns + 1, index % n_columns + 1
            x = _spread(axis, shown) if axis.categories else axis.numbers
            figure.add_trace(_points(shown, x, values, colors=_by_number(shown)), row=row, col=column)
            figure.update_xaxes(title_text=escape(axis.name), row=row, col=column, **_x_axis(axis))
            title = escape(values.name) if column == 1 else None
            figure.update_yaxes(title_text=title, row=row, col=column, **_scale_of(values))
    bar = {"title": "trial", "lenmode": "pixels", "len": 220, "yanchor": "top", "y": 1}
    figure.update_layout(coloraxis={"colorscale": [[0, "#b9d3ea"], [1, "#08306b"]], "colorbar": bar})
    texts = ["later trials are darker" if shown else "", axes.part_text(shown, trials)]
    return _finish(figure, found, "Slices", texts, n_all)


def _by_number(trials: Sequence[Trial]) -> dict[str, Any]:
    return {"color": [trial.number for trial in trials], "coloraxis": "coloraxis"}


def _spread(axis: Axis, trials: Sequence[Trial]) -> list[float | None]:
    """Return places of categories, with those of one category a little apart, always in the same way."""
    golden = (math.sqrt(5) - 1) / 2
    offsets = [((trial.number * golden) % 1 - 0.5) * 0.5 for trial in trials]
    pairs = zip(axis.numbers, offsets, strict=True)
    return [None if number is None else number + offset for number, offset in pairs]


def _x_axis(axis: Axis) -> dict[str, Any]:
    if not axis.categories:
        return _scale_of(axis)
    n_categories = len(axis.categories)
    return {
        "tickvals": list(range(n_categories)),
        "ticktext": [escape(category) for category in axis.categories],
        "range": [-0.6, n_categories - 0.4],
        "showgrid": False,
    }


def parallel_coordinates(found: Found) -> Figure:
    """Return a line for each trial through all hyperparameters that are searched, to its objectives.

    The best fifth is highlighted, with two objectives the Pareto front.
    """
    trials = axes.complete(found.trials)
    best = axes.find_best(trials, found.objectives)
    shown = axes.with_best(trials, best, found.objectives, MAX_LINES)
    lines = [*axes.hyperparameter_axes(shown, found.space), *axes.objective_axes(shown, found.objectives)]
    highlighted = [int(trial.number in best) for trial in shown]
    colors = {"color": highlighted, "colorscale": [[0, PALE_COLOR], [1, BEST_COLOR]], "cmin": 0, "cmax": 1}
    figure = go.Figure()
    if shown:
        dimensions = [_dimension(axis) for axis in lines]
        figure.add_trace(go.Parcoords(dimensions=dimensions, line=colors, labelangle=-12, labelside="top"))
    which = "the Pareto front" if len(found.objectives) > 1 else f"the best {axes.BEST_SHARE:.0%}"
    text = f"{which} highlighted ({sum(highlighted):,} trials)" if shown else ""
    figure = _finish(figure, found, "Parallel coordinates", [text, axes.part_text(shown, trials)], 1)
    return figure.update_layout(margin={"t": 140, "l": 90, "r": 60, "b": 40}, height=480)


def _dimension(axis: Axis) -> dict[str, Any]:
    """Return an axis as Plotly's parallel coordinates take it: numbers without gaps, and labels for some of them."""
    numbers = [
        math.log10(number) if axis.is_log and number is not None else number  # Plotly knows no logarithm here
        for number in axis.numbers
    ]
    low, high, marks = _scale(axis, [number for number in numbers if number is not None])
    if None in numbers:
        unused = low - 0.12 * ((high - low) or 1.0)
        numbers = [unused if number is None else number for number in numbers]
        low, marks = unused, {unused: "not used", **marks}
    ticks = {"tickvals": list(marks), "ticktext": list(marks.values())} if marks else {}
    return {"label": escape(axis.name), "values": numbers, "range": [low, high], **ticks}


def _scale(axis: Axis, numbers: Sequence[float]) -> tuple[float, float, dict[float, str]]:
    """Return the ends of an axis and the labels on it; none where Plotly's own labels are right."""
    if axis.categories:
        labels = {float(place): escape(category) for place, category in enumerate(axis.categories)}
        return 0.0, max(1.0, len(labels) - 1.0), labels
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    high = high if high > low else low + 1.0
    marks = _decades(low, high) if axis.is_log else _fifths(low, high) if None in axis.values else {}
    return low, high, marks


def _decades(low: float, high: float) -> dict[float, str]:
    """Return labels for the powers of ten between two, and for the ends if no power is so near that they collide."""
    whole = [float(power) for power in range(math.ceil(low), math.floor(high) + 1)]
    ends = [end for end in (low, high) if all(abs(end - power) > 0.1 * (high - low) for power in whole)]
    return {power: f"{10**power:.3g}" for power in sorted({*ends, *whole})}


def _fifths(low: float, high: float) -> dict[float, str]:
    return {low + (high - low) * place / 5: f"{low + (high - low) * place / 5:.3g}" for place in range(6)}


def numbers_of_curves(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[int]:
    """Return the trials whose curves `learning_curves` draws, best first: some over the whole ranking.

    Args:
        trials: Trials of a sweep, in any order.
        objectives: What the sweep improves: one objective or two.
    """
    ranked = axes.order_by_rank(axes.complete(trials), objectives)
    chosen = {trial.number for trial in axes.thin_out(ranked, N_OTHERS + 2)}
    chosen |= {trial.number for trial in ranked[len(ranked) // 2 : len(ranked) // 2 + 1]}
    return [trial.number for trial in ranked if trial.number in chosen]


def learning_curves(found: Found) -> Figure:
    """Return each objective at each epoch: of the best trial, the median trial, and some others over the ranking.

    With two objectives, best and median are those of the first one. One that no epoch has, such as the number of
    parameters, is left out. The training metric stands beside that of the validation rows, dashed.
    """
    ranked = axes.order_by_rank(axes.complete(found.trials), found.objectives)
    metrics = [objective.metric for objective in found.objectives if objective.metric != N_PARAMETERS]
    figure = make_subplots(rows=max(1, len(metrics)), cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for row, metric in enumerate(metrics, 1):
        for trace in _curve_traces(ranked, found.curves, metric, is_first=row == 1):
            figure.add_trace(trace, row=row, col=1)
        values = _measured(found.curves.values(), metric)
        is_log = direction_of(metric) == "minimize" and axes.spans_decades(values)
        figure.update_yaxes(title_text=escape(metric), row=row, col=1, **_scale_of(Axis(metric, values, is_log=is_log)))
    figure.update_xaxes(title_text="epoch", row=max(1, len(metrics)), col=1)
    return _finish(figure, found, "Learning curves", [_curves_text(ranked, found.curves)], len(metrics))


def _curve_traces(ranked: Sequence[Trial], curves: Mapping[int, Curve], metric: str, *, is_first: bool) -> list[Any]:
    """Return the lines of one panel, the important ones last, so that they are drawn above the others."""
    drawn = [trial for trial in ranked if trial.number in curves]
    if not drawn:
        return []
    winner, median = ranked[0], ranked[len(ranked) // 2]
    others = [trial for trial in drawn if trial.number not in (winner.number, median.number)]
    lines = [
        _line(
            curves[trial.number],
            metric,
            trial,
            color=PALE_COLOR,
            width=1,
            name="others",
            showlegend=is_first and not place,
        )
        for place, trial in enumerate(others)
    ]
    for trial, role, color in ((median, "median", TRIAL_COLOR), (winner, "best", BEST_COLOR)):
        if trial.number not in curves or (trial is median and median is winner):
            continue
        curve, name = curves[trial.number], f"{role}: trial {trial.number}"
        look: dict[str, Any] = {"color": color, "width": 2, "showlegend": is_first}
        training = metric.removeprefix("val_")
        if training != metric and curve.values(training):
            lines.append(
                _line(curve, training, trial, **look | {"name": f"{name}, training rows", "dash": "dash", "width": 1})
            )
        lines.append(_line(curve, metric, trial, **look, name=name, marks=True))
    return lines


def _line(  # noqa: PLR0913  how a line looks
    curve: Curve,
    metric: str,
    trial: Trial,
    *,
    color: str,
    width: int,
    name: str,
    showlegend: bool,
    dash: str = "solid",
    marks: bool = False,
) -> Any:
    """Return the line of a metric; its best epoch is marked on request, and a single epoch is always a mark."""
    values = [value if math.isfinite(value) else None for value in curve.values(metric)]
    is_marked = [len(values) == 1 or (marks and epoch == trial.best_epoch) for epoch in range(1, len(values) + 1)]
    return go.Scatter(
        x=list(range(1, len(values) + 1)),
        y=values,
        mode="lines+markers",
        line={"color": color, "width": width, "dash": dash},
        marker={"size": [9 if mark else 0 for mark in is_marked], "color": color, "line": {"width": 0}},
        name=name,
        legendgroup=name,
        showlegend=showlegend,
        hovertemplate=f"trial {trial.number}<br>epoch %{{x}}<br>%{{y:.6g}}<extra></extra>",
    )


def _measured(curves: Iterable[Curve], metric: str) -> tuple[float, ...]:
    return tuple(value for curve in curves for value in curve.values(metric) if math.isfinite(value))


def _curves_text(ranked: Sequence[Trial], curves: Mapping[int, Curve]) -> str:
    return f"{len(curves):,} of {len(ranked):,} trials shown, best epochs marked" if curves else ""


def _scale_of(axis: Axis) -> dict[str, Any]:
    """Return how Plotly scales an axis of numbers; over decades it labels their powers only."""
    if not axis.is_log:
        return {"type": "linear"}
    known = [value for value in axis.values if value is not None]
    return {"type": "log", "exponentformat": "e", "dtick": 1 if axes.spans_decades(known) else None}


def _finish(figure: Figure, found: Found, title: str, texts: Sequence[str], n_rows: int) -> Figure:
    """Give a figure its title, size and colours; say it where there is nothing to see."""
    subtitle = ", ".join(filter(None, texts))
    _title(figure, found, title, subtitle).update_layout(height=150 + 300 * max(1, n_rows))
    return figure if axes.complete(found.trials) else _annotate(figure, "No trial is complete.")


def _annotate(figure: Figure, text: str) -> Figure:
    """Say it where there is nothing to see."""
    return figure.add_annotation(text=text, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)


def effects(found: Found) -> Figure:
    """Return what each hyperparameter adds between baseline and winner, with its own and the simultaneous interval."""
    if found.answer is None or not found.answer.effects:
        return _without(found, "Effects", "No effects were measured.")
    figure = draw_effects(effects_of(found.answer), found.answer.metric, found.answer.direction)
    return _title(figure, found, "Effects", "from the baseline to the winner")


def repeats(found: Found) -> Figure:
    """Return the mean of each configuration that was confirmed with its interval, and the scores of its repeats."""
    if found.answer is None or not found.answer.candidates:
        return _without(found, "Repeats", "No trial was repeated.")
    shown = candidates_of(found.answer, found.candidates, found.repeats)
    text = "means with 90 % intervals; below each its repeats, block 0 on top" if found.repeats else ""
    return _title(draw_scores(shown, found.answer.metric), found, "Repeats", text)


def importance(found: Found) -> Figure:
    """Return the share of each hyperparameter in what makes the best trials differ from all others."""
    if not found.importances:
        return _without(found, "Importance", "The importance of hyperparameters is not known.")
    return _title(
        draw_shares(in_order(found.importances)),
        found,
        "Importance",
        "a description of the search, which claims no effect",
    )


def _without(found: Found, title: str, text: str) -> Figure:
    return _title(_annotate(go.Figure(), text), found, title, "").update_layout(height=450)


def _title(figure: Figure, found: Found, title: str, subtitle: str) -> Figure:
    return figure.update_layout(
        template="plotly_white",
        title={"text": f"{title} of sweep {escape(found.name)}", "subtitle": {"text": subtitle}},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "right", "x": 1.0},
        margin={"t": 100},
    )


#: Name of a figure -> what makes it.
KINDS: Final[Mapping[str, Callable[[Found], Figure]]] = {
    "history": history,
    "slices": slices,
    "parallel_coordinates": parallel_coordinates,
    "learning_curves": learning_curves,
    "effects": effects,
    "repeats": repeats,
    "importance": importance,
}
#: Figures of what a sweep answers, rather than of its trials.
OF_ANSWERS: Final = frozenset({"effects", "repeats", "importance"})


def check_kind(kind: str, where: str | None = None) -> None:
    """Check that there is a kind of figure, and that it can show the trials that meet a condition.

    Raises:
        ExportError: There is none of this name, or it takes no condition.
    """
    if kind not in KINDS:
        remedy = did_you_mean(kind, tuple(KINDS))
        raise ExportError(f"a figure must be one of {', '.join(KINDS)}, got {kind!r}{remedy and f'; {remedy}'}")
    if where is not None and kind in OF_ANSWERS:
        raise ExportError(f"a figure of the answer takes no condition, got {where!r} for {kind}; leave out where")
