"""Charts of a sweep's trials for its report; what they show is decided in `axes`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from dnnsweep.records import N_PARAMETERS, Curve, Objective, Trial, direction_of
from dnnsweep.reports import axes, svg
from dnnsweep.reports.axes import Axis
from dnnsweep.reports.estimates import metric_label
from dnnsweep.reports.svg import LEFT, RIGHT, TOP, WIDTH, Scale, fit_scale, shorten

#: Lines that cross hide each other, and so do dots of one value; a report has many such charts.
MAX_LINES: Final = 300
MAX_DOTS: Final = 500
#: A curve is drawn through at most so many epochs.
MAX_EPOCHS: Final = 300
#: Curves of other trials beside those that are named.
N_OTHERS: Final = 20
#: Values of one hyperparameter that have a row each, those with the most trials.
MAX_ROWS: Final = 24
#: Height of a plotted area with two axes.
HEIGHT: Final = 230.0
AXIS_HEIGHT: Final = 48.0
#: Where the line of a trial crosses the axis of a hyperparameter that it does not use.
UNUSED: Final = 20.0
#: Characters of all labels of an axis together.
N_CATEGORY_CHARACTERS: Final = 56
ROW_HEIGHT: Final = 40.0


@dataclass(frozen=True, slots=True)
class Role:
    """A trial that is drawn so that it can be told from the others.

    Args:
        name: What it is, such as `winner`.
        trial: The trial.
        color: Its colour.
        dashes: Lengths of dashes and gaps of its line; empty for a solid one.
    """

    name: str
    trial: Trial
    color: str
    dashes: str = ""

    @property
    def label(self) -> str:
        """Return what a legend calls it."""
        return f"{self.name}: trial {self.trial.number}"


def history(trials: Sequence[Trial], objectives: Sequence[Objective], winner: Role | None) -> list[Markup]:
    """Return the value of each trial by its number, and the best one so far: a chart for each objective.

    Args:
        trials: All trials in their order.
        objectives: One objective or two.
        winner: The trial to mark; None for none.
    """
    complete = axes.complete(trials)
    shown = axes.thin_out(complete)
    if winner is not None and winner.trial not in shown:
        shown.append(winner.trial)
    x = fit_scale([trial.number for trial in trials], LEFT, RIGHT).with_whole_marks()
    drawn = zip(objectives, axes.objective_axes(shown, objectives), strict=True) if complete else ()
    charts = []
    for place, (objective, axis) in enumerate(drawn):
        records = axes.thin_out(axes.find_records(complete, objective, place))
        y = _upright([*axis.values, *(value for _, value in records)], axis)
        content = [
            svg.axes_frame(x, y, "trial", axis.name),
            svg.group(_points(shown, axis, x, y), fill=svg.TRIAL_COLOR, fill_opacity=0.7),
            svg.path(_steps(records, trials[-1].number, x, y), stroke=svg.MEDIAN_COLOR, stroke_width=2),
            *([] if winner is None else [_ring(winner, axis.values[shown.index(winner.trial)], x, y)]),
        ]
        label = f"{axis.name} of each trial, and the best one so far"
        charts.append(svg.chart(label, TOP + HEIGHT + svg.BELOW, content))
    return charts


def _points(shown: Sequence[Trial], axis: Axis, x: Scale, y: Scale) -> list[Markup]:
    label = metric_label(axis.name)
    return [
        svg.dot(x.place(trial.number), y.place(value), 2.6, f"trial {trial.number}: {label(value)}")
        for trial, value in zip(shown, axis.values, strict=True)
    ]


def _steps(records: Sequence[tuple[int, float]], last: int, x: Scale, y: Scale) -> list[tuple[float, float] | None]:
    corners: list[tuple[float, float] | None] = []
    for (number, value), (until, _) in zip(records, [*records[1:], (last, 0.0)], strict=True):
        corners += [(x.place(number), y.place(value)), (x.place(until), y.place(value))]
    return corners


def _ring(role: Role, value: float, x: Scale, y: Scale) -> Markup:
    look = {"fill": "none", "stroke": role.color, "stroke_width": 2}
    return svg.dot(x.place(role.trial.number), y.place(value), 6, role.label, **look)


def _upright(numbers: Iterable[float], axis: Axis) -> Scale:
    return fit_scale(numbers, TOP + HEIGHT, TOP, is_log=axis.is_log, label=metric_label(axis.name))


def front(trials: Sequence[Trial], objectives: Sequence[Objective]) -> Markup | None:
    """Return both objectives of each trial, with those that no other trial beats; None with one objective."""
    complete = axes.complete(trials)
    if len(objectives) < 2 or not complete:
        return None
    best = axes.find_best(complete, objectives)
    others = axes.thin_out([trial for trial in complete if trial.number not in best], MAX_DOTS)
    shown = [*others, *(trial for trial in complete if trial.number in best)]
    across, up = axes.objective_axes(shown, objectives)
    x = fit_scale(across.values, LEFT, RIGHT, is_log=across.is_log, label=metric_label(across.name))
    y = _upright(up.values, up)
    points = [
        (trial, x.place(left), y.place(right))
        for trial, left, right in zip(shown, across.values, up.values, strict=True)
    ]
    content = [
        svg.axes_frame(x, y, across.name, up.name),
        svg.dots([(left, right) for trial, left, right in points if trial.number not in best], 5, svg.OTHER_COLOR),
        *(
            svg.dot(left, right, 4, f"trial {trial.number}", fill=svg.WINNER_COLOR)
            for trial, left, right in points
            if trial.number in best
        ),
    ]
    return svg.chart("Both objectives, the Pareto front marked", TOP + HEIGHT + svg.BELOW, content)


# ---- learning curves


def learning_curves(
    curves: Mapping[int, Curve], objectives: Sequence[Objective], roles: Sequence[Role]
) -> list[Markup]:
    """Return each objective at each epoch, a chart for each; objectives that no epoch has are left out.

    Args:
        curves: Trial's number -> its curve.
        objectives: One objective or two.
        roles: The trials that are told apart, the most important one last.
    """
    drawn = [_curves(curves, objective.metric, roles) for objective in objectives if objective.metric != N_PARAMETERS]
    return [chart for chart in drawn if chart is not None]


def _curves(curves: Mapping[int, Curve], metric: str, roles: Sequence[Role]) -> Markup | None:
    named = {role.trial.number for role in roles}
    others = [curve for number, curve in curves.items() if number not in named]
    values = [value for curve in curves.values() for value in curve.values(metric) if math.isfinite(value)]
    training = metric.removeprefix("val_")
    known = [curves[role.trial.number] for role in roles if role.trial.number in curves]
    trained = [value for curve in known for value in curve.values(training) if math.isfinite(value)]
    if not values:
        return None
    is_log = direction_of(metric) == "minimize" and axes.spans_decades([*values, *trained])
    y = _upright([*values, *trained], Axis(metric, (), is_log=is_log))
    x = fit_scale([1, *(curve.n_epochs for curve in curves.values())], LEFT, RIGHT).with_whole_marks()
    content = [
        svg.axes_frame(x, y, "epoch", metric),
        svg.group([_curve(x, y, curve.values(metric)) for curve in others], stroke=svg.OTHER_COLOR),
    ]
    for role in roles:
        if role.trial.number in curves:
            content += _role_lines(x, y, curves[role.trial.number], metric, role)
    return svg.chart(f"{metric} at each epoch", TOP + HEIGHT + svg.BELOW, content)


def _role_lines(x: Scale, y: Scale, curve: Curve, metric: str, role: Role) -> Iterator[Markup]:
    training = metric.removeprefix("val_")
    if training != metric:
        yield svg.group([_curve(x, y, curve.values(training))], stroke=role.color, stroke_dasharray="2 3")
    values = curve.values(metric)
    yield svg.group([_curve(x, y, values)], stroke=role.color, stroke_width=2.2, stroke_dasharray=role.dashes or "none")
    best = role.trial.best_epoch
    if best is not None and best <= len(values) and math.isfinite(values[best - 1]):
        yield svg.dot(x.place(best), y.place(values[best - 1]), 4.5, f"best epoch {best}", fill=role.color)


def _curve(x: Scale, y: Scale, values: Sequence[float]) -> Markup:
    epochs = axes.thin_out(list(enumerate(values, 1)), MAX_EPOCHS)
    drawable = [value if math.isfinite(value) and not (y.is_log and value <= 0) else None for _, value in epochs]
    points = [
        None if value is None else (x.place(epoch), y.place(value))
        for (epoch, _), value in zip(epochs, drawable, strict=True)
    ]
    if len(values) == 1 and points[0] is not None:
        points.append((points[0][0] + 3, points[0][1]))
    return svg.path(points)


# ---- hyperparameters


def parallel_coordinates(found: Sequence[Axis], best: Sequence[bool]) -> Markup:
    """Return a line for each trial through axes that lie below each other, the objectives last.

    Args:
        found: One axis for each hyperparameter that is searched, then one for each objective.
        best: Whether to highlight the trial, for each in the order of the axes' values; such trials come last.
    """
    scales = [_level_scale(axis) for axis in found]
    levels = [30 + AXIS_HEIGHT * place for place in range(len(found))]
    places = [_places(scale, axis) for scale, axis in zip(scales, found, strict=True)]
    lines = [svg.path(list(zip(through, levels, strict=True))) for through in zip(*places, strict=True)]
    pale = [one for one, is_best in zip(lines, best, strict=True) if not is_best]
    bright = [one for one, is_best in zip(lines, best, strict=True) if is_best]
    frames = [_level_axis(axis, scale, y) for axis, scale, y in zip(found, scales, levels, strict=True)]
    content = [
        svg.group(pale, stroke=svg.OTHER_COLOR, stroke_opacity=0.6),
        svg.group(bright, stroke=svg.WINNER_COLOR, stroke_opacity=0.75, stroke_width=1.3),
        *frames,
    ]
    return svg.chart("Parallel coordinates", 30 + AXIS_HEIGHT * (len(found) - 1) + 26, content)


def _level_scale(axis: Axis) -> Scale:
    start = 66.0 if None in axis.values else 24.0
    if axis.categories:
        n_last = max(1, len(axis.categories) - 1)
        room = int(N_CATEGORY_CHARACTERS / max(1, len(axis.categories)))
        marks = tuple((float(place), shorten(name, room)) for place, name in enumerate(axis.categories))
        return Scale(-0.35, n_last + 0.35, start, WIDTH - 24, marks if room > 1 else ())
    known = [number for number in axis.numbers if number is not None]
    return fit_scale(known, start, WIDTH - 24, is_log=axis.is_log, label=metric_label(axis.name))


def _places(scale: Scale, axis: Axis) -> list[float]:
    return [UNUSED if number is None else scale.place(number) for number in axis.numbers]


def _level_axis(axis: Axis, scale: Scale, y: float) -> Markup:
    unused = [svg.text("not used", 2, y + 15, class_="tick halo")] * (None in axis.values)
    labels = [
        svg.text(label, scale.place(number), y + 15, text_anchor="middle", class_="tick halo")
        for number, label in scale.marks
    ]
    return svg.group(
        [
            svg.line(8, y, WIDTH - 8, y, class_="axis"),
            *unused,
            *labels,
            svg.text(shorten(axis.name, N_CATEGORY_CHARACTERS), 2, y - 6, class_="halo strong"),
        ]
    )


def slices(axis: Axis, objective: Axis) -> Markup:
    """Return an objective by a hyperparameter: dots by its number, or a row for each of its categories.

    Args:
        axis: The hyperparameter.
        objective: The objective, with the values of the same trials.
    """
    pairs = [(one, value) for one, value in zip(axis.values, objective.values, strict=True) if one is not None]
    if axis.categories:
        return _rows(axis, objective, pairs)
    x = fit_scale([number for number, _ in pairs], LEFT, RIGHT, is_log=axis.is_log)
    y = _upright(objective.values, objective)
    content = [
        svg.axes_frame(x, y, axis.name, objective.name),
        svg.dots([(x.place(a), y.place(b)) for a, b in pairs], 5, svg.TRIAL_COLOR, stroke_opacity=0.55),
    ]
    return svg.chart(f"{objective.name} by {axis.name}", TOP + HEIGHT + svg.BELOW, content)


def _rows(axis: Axis, objective: Axis, pairs: Sequence[tuple[str, float]]) -> Markup:
    values: dict[str, list[float]] = {category: [] for category in axis.categories}
    for category, value in pairs:
        values.setdefault(category, []).append(value)
    most = sorted(values, key=lambda category: -len(values[category]))[:MAX_ROWS]
    shown = [category for category in values if category in most]
    x = fit_scale(objective.values, 24, WIDTH - 24, is_log=objective.is_log, label=metric_label(objective.name))
    bottom = TOP + ROW_HEIGHT * len(shown)
    rows = [_row(category, values[category], x, TOP + ROW_HEIGHT * place) for place, category in enumerate(shown)]
    left_out = f" ({len(values) - len(shown)} values with fewer trials are left out)" if len(values) > MAX_ROWS else ""
    content = [
        *svg.bottom_labels(x, TOP, bottom),
        svg.text(shorten(axis.name + left_out, svg.N_CHARACTERS), 2, 13),
        *rows,
        svg.text(objective.name, WIDTH / 2, bottom + 34, text_anchor="middle"),
    ]
    return svg.chart(f"{objective.name} by {axis.name}", bottom + svg.BELOW, content)


def _row(category: str, values: Sequence[float], x: Scale, top: float) -> Markup:
    golden = (math.sqrt(5) - 1) / 2
    points = [(x.place(value), top + 21 + 12 * ((place * golden) % 1)) for place, value in enumerate(values)]
    parts = [svg.dots(points, 5, svg.TRIAL_COLOR, stroke_opacity=0.55)]
    if values:
        middle = x.place(statistics.median(values))
        parts.append(svg.line(middle, top + 17, middle, top + 37, stroke=svg.BASELINE_COLOR, stroke_width=2.5))
    n_trials = f"{len(values)} trial{'' if len(values) == 1 else 's'}"
    return svg.group([svg.text(f"{shorten(category, 60)} ({n_trials})", 6, top + 12, class_="halo"), *parts])
