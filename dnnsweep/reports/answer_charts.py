"""Charts of what a sweep answers, for its report: a row for each estimate, with its label above it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from dnnsweep.answers.scales import is_share
from dnnsweep.reports import svg
from dnnsweep.reports.estimates import Estimate, metric_label
from dnnsweep.reports.svg import WIDTH, Scale, fit_scale, shorten

ROW_HEIGHT: Final = 44.0
BAR_HEIGHT: Final = 36.0
#: Height of the strip that shows the repeats of one candidate, one block below the other.
STRIP_HEIGHT: Final = 20.0
TOP: Final = 6.0
BOTTOM: Final = 42.0


def effects(found: Sequence[Estimate], metric: str, direction: str) -> Markup:
    """Return the effect of each player with both of its intervals.

    Args:
        found: The effects, as `estimates.effects_of` returns them.
        metric: The objective's metric.
        direction: `maximize` or `minimize`.
    """
    numbers = [0.0, *(number for effect in found for number in effect.numbers)]
    x = fit_scale(numbers, 24, WIDTH - 24, label=_change_label(metric))
    bottom = TOP + ROW_HEIGHT * len(found)
    rows = [_effect(effect, x, TOP + ROW_HEIGHT * place) for place, effect in enumerate(found)]
    unit = ", in points of percent" if is_share(metric) else ""
    better = "higher" if direction == "maximize" else "lower"
    content = [
        *svg.bottom_labels(x, TOP, bottom),
        svg.line(x.place(0.0), TOP, x.place(0.0), bottom, class_="axis", stroke_dasharray="4 3"),
        *rows,
        svg.text(f"change of {metric}{unit} ({better} is better)", WIDTH / 2, bottom + 34, text_anchor="middle"),
    ]
    return svg.chart("Effects with their intervals", bottom + BOTTOM, content)


def _change_label(metric: str) -> svg.Label:
    factor = 100.0 if is_share(metric) else 1.0
    return lambda number: f"{round(factor * number, 9) + 0.0:+.6g}" if number else "0"


def _effect(effect: Estimate, x: Scale, top: float) -> Markup:
    color = svg.MEDIAN_COLOR if effect.is_clear else svg.UNCLEAR_COLOR
    y, parts = top + 30, []
    if effect.simultaneous is not None:
        low, high = map(x.place, effect.simultaneous)
        parts += [svg.line(low, y, high, y, stroke=color, stroke_width=1.5)]
        parts += [svg.line(end, y - 5, end, y + 5, stroke=color, stroke_width=1.5) for end in (low, high)]
    if effect.interval is not None:
        low, high = map(x.place, effect.interval)
        parts.append(svg.line(low, y, high, y, stroke=color, stroke_width=6, stroke_opacity=0.55))
    if effect.mean is not None:
        fill = color if effect.is_clear else "#ffffff"
        parts.append(svg.dot(x.place(effect.mean), y, 5, effect.text, fill=fill, stroke=color, stroke_width=2))
    return svg.group([*_labels(effect.label, effect.text, top), *parts])


def _labels(left: str, right: str, top: float) -> list[Markup]:
    """Return two texts at both ends of a line; the left one is cut off where they would meet."""
    room = svg.N_CHARACTERS - len(right) - 4
    cut = shorten(left, room)
    whole = [] if cut == left else [svg.element("title", left)]
    return [
        svg.group([svg.text(cut, 4, top + 15, class_="halo"), *whole]),
        svg.text(right, WIDTH - 4, top + 15, text_anchor="end", class_="halo"),
    ]


def scores(found: Sequence[Estimate], metric: str) -> Markup:
    """Return the mean of each configuration with its interval, and the score of each repeat.

    The repeats of a block stand at the same height in the strips of all configurations.

    Args:
        found: The configurations, as `estimates.candidates_of` or `estimates.isolated_of` returns them.
        metric: The objective's metric.
    """
    numbers = [number for one in found for number in one.numbers]
    x = fit_scale(numbers, 24, WIDTH - 24, label=metric_label(metric))
    n_blocks = 1 + max((block for one in found for block, _ in one.scores), default=0)
    has_strips = any(one.scores for one in found)
    height = ROW_HEIGHT + (STRIP_HEIGHT if has_strips else 0.0)
    bottom = TOP + height * len(found)
    rows = [_score(one, x, TOP + height * place, n_blocks) for place, one in enumerate(found)]
    content = [
        *svg.bottom_labels(x, TOP, bottom),
        *rows,
        svg.text(metric, WIDTH / 2, bottom + 34, text_anchor="middle"),
    ]
    return svg.chart(f"Means of {metric} with their intervals", bottom + BOTTOM, content)


def _score(one: Estimate, x: Scale, top: float, n_blocks: int) -> Markup:
    color = svg.WINNER_COLOR if one.is_clear else svg.MEDIAN_COLOR
    y = top + 29
    strip = [
        svg.dot(
            x.place(score), y + 11 + (STRIP_HEIGHT - 4) * (block / n_blocks), 2.4, f"block {block}: {score:.6g}",
            fill=color, fill_opacity=0.6,
        )
        for block, score in one.scores
    ]  # fmt: skip
    parts: list[Markup] = []
    if one.interval is not None:
        low, high = map(x.place, one.interval)
        parts.append(svg.line(low, y, high, y, stroke=color, stroke_width=2.5))
        parts += [svg.line(end, y - 5, end, y + 5, stroke=color, stroke_width=2.5) for end in (low, high)]
    if one.mean is not None:
        parts.append(svg.dot(x.place(one.mean), y, 5, one.text, fill=color))
    return svg.group([*_labels(one.label, one.text, top), *strip, *parts])


def bars(found: Sequence[tuple[str, float, str]], description: str) -> Markup:
    """Return a bar for each amount, in its share of the largest one.

    Args:
        found: Label, amount, and the amount as a text.
        description: What the chart shows.
    """
    largest = max((amount for _, amount, _ in found), default=0.0) or 1.0
    rows = [
        svg.group(
            [
                *_labels(label, text, TOP + BAR_HEIGHT * place),
                svg.element(
                    "rect", x=4, y=TOP + BAR_HEIGHT * place + 20, height=9,
                    width=max(1.0, (WIDTH - 8) * amount / largest), fill=svg.MEDIAN_COLOR,
                ),
            ]
        )
        for place, (label, amount, text) in enumerate(found)
    ]  # fmt: skip
    return svg.chart(description, TOP + BAR_HEIGHT * len(found) + 4, rows)
