"""SVG elements, scales and axes: what the charts of a report are drawn with, without a script or a library."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from markupsafe import Markup, escape

#: Writes the label of a number.
Label: TypeAlias = Callable[[float], str]
#: Every chart is as wide as this, in units that are about a pixel where two charts stand side by side.
WIDTH: Final = 480.0
#: Where the plotted area of a chart with two axes begins and ends.
LEFT: Final = 56.0
RIGHT: Final = WIDTH - 14.0
TOP: Final = 26.0
#: Room below the plotted area for labels and a title.
BELOW: Final = 42.0
#: About as many characters fit side by side.
N_CHARACTERS: Final = 68
#: Colours that people with any colour vision can tell apart (Okabe and Ito), and greys.
WINNER_COLOR: Final = "#d55e00"
MEDIAN_COLOR: Final = "#0072b2"
BASELINE_COLOR: Final = "#111111"
OTHER_COLOR: Final = "#b5bac2"
UNCLEAR_COLOR: Final = "#6b7280"
TRIAL_COLOR: Final = "#56789c"


def element(tag: str, *children: str, **attributes: Any) -> Markup:
    """Return an SVG element; children and attributes are escaped unless they are elements themselves.

    Args:
        tag: Name of the element.
        children: Texts and elements inside.
        attributes: Attributes by their names, `stroke_width` for `stroke-width` and `class_` for `class`.

    Example:
        >>> element("text", "a < b", x=1.25, class_="tick")
        Markup('<text x="1.2" class="tick">a &lt; b</text>')
    """
    shown = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_text(value))}"' for name, value in attributes.items()
    )
    return Markup(f"<{tag}{shown}>{''.join(map(escape, children))}</{tag}>")  # noqa: S704  all of it is escaped


def group(children: Iterable[str], **attributes: Any) -> Markup:
    """Return elements that share attributes."""
    return element("g", *children, **attributes)


def chart(description: str, height: float, children: Iterable[str]) -> Markup:
    """Return a chart of the usual width.

    Args:
        description: What it shows, for those who cannot see it.
        height: Its height, in the units of `WIDTH`.
        children: The elements of the chart.
    """
    return element("svg", *children, viewBox=f"0 0 {WIDTH:.0f} {height:.0f}", role="img", aria_label=description)


def text(content: str, x: float, y: float, **attributes: Any) -> Markup:
    """Return a text whose line stands at `y`."""
    return element("text", content, x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: Any) -> Markup:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def path(points: Sequence[tuple[float, float] | None], **attributes: Any) -> Markup:
    """Return a line through points; it is interrupted where one is missing."""
    steps, pen = [], "M"
    for point in points:
        if point is not None:
            steps.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
        pen = "M" if point is None else "L"
    return element("path", d="".join(steps), fill="none", **attributes)


def dots(points: Iterable[tuple[float, float]], size: float, color: str, **attributes: Any) -> Markup:
    """Return many dots of one size and colour, in few bytes."""
    steps = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
    return element("path", d=steps, stroke=color, stroke_width=size, stroke_linecap="round", **attributes)


def dot(x: float, y: float, radius: float, title: str, **attributes: Any) -> Markup:
    """Return a dot that says what it is when it is pointed at."""
    return element("circle", element("title", title), cx=x, cy=y, r=radius, **attributes)


def shorten(content: str, n_characters: int) -> str:
    """Return a text that is not longer than that.

    Example:
        >>> shorten("learning_rate", 9), shorten("l2", 9)
        ('learning…', 'l2')
    """
    return content if len(content) <= n_characters else content[: max(n_characters - 1, 0)].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class Scale:
    """Where numbers stand along an axis.

    Args:
        low: The number at its beginning, or its decimal logarithm.
        high: The number at its end, or its decimal logarithm.
        start: Where it begins.
        end: Where it ends.
        marks: Numbers that are labelled, with their labels.
        is_log: Whether it shows the logarithm.
    """

    low: float
    high: float
    start: float
    end: float
    marks: tuple[tuple[float, str], ...] = ()
    is_log: bool = False

    def place(self, number: float) -> float:
        """Return where a number stands."""
        shown = math.log10(number) if self.is_log else number
        return self.start + (shown - self.low) / (self.high - self.low) * (self.end - self.start)

    def with_whole_marks(self) -> Scale:
        """Return the same scale with labels for whole numbers only."""
        return replace(self, marks=tuple(mark for mark in self.marks if mark[0].is_integer()))


def number_text(number: float) -> str:
    """Return a number as a label.

    Example:
        >>> number_text(12000.0), number_text(0.05), number_text(1e-5)
        ('12,000', '0.05', '1e-05')
    """
    return f"{number + 0.0:,.6g}"


def fit_scale(
    numbers: Iterable[float],
    start: float,
    end: float,
    *,
    is_log: bool = False,
    label: Label = number_text,
) -> Scale:
    """Return a scale that shows all numbers, with a little room at both ends.

    Args:
        numbers: The numbers; those that are not finite are not looked at.
        start: Where it begins.
        end: Where it ends.
        is_log: Whether to show the logarithm, which needs positive numbers.
        label: Writes the label of a number.
    """
    known = [number for number in numbers if math.isfinite(number)] or [0.0, 1.0]
    is_log = is_log and min(known) > 0
    low, high = (math.log10(end) if is_log else end for end in (min(known), max(known)))
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        room = 0.5 if is_log else 0.05 * abs(low) or 0.5
    else:
        room = 0.04 * (high - low)
    low, high = low - room, high + room
    marked = log_marks(low, high) if is_log else even_marks(low, high)
    return Scale(low, high, start, end, tuple((number, label(number)) for number in marked), is_log)


def even_marks(low: float, high: float, n_marks: int = 5) -> list[float]:
    """Return round numbers between two, about as many as asked for.

    Example:
        >>> even_marks(0.12, 0.97), even_marks(-3, 41)
        ([0.2, 0.4, 0.6, 0.8], [0.0, 10.0, 20.0, 30.0, 40.0])
    """
    rough = (high - low) / n_marks
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    decimals = max(0, 1 - math.floor(math.log10(step)))
    return [round(place * step, decimals) for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def log_marks(low: float, high: float) -> list[float]:
    """Return numbers to label on a logarithmic axis: powers of ten, or more where there are fewer than two.

    Args:
        low: Decimal logarithm of the smallest number.
        high: Decimal logarithm of the largest number.

    Example:
        >>> log_marks(-4.1, -0.9), log_marks(0.1, 1.1)
        ([0.0001, 0.001, 0.01, 0.1], [2.0, 5.0, 10.0])
    """
    every = math.ceil((high - low) / 7)
    powers = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1) if power % every == 0]
    if len(powers) > 1:
        return powers
    tens = range(math.floor(low), math.ceil(high) + 1)
    finer = [factor * 10.0**power for power in tens for factor in (1, 2, 5)]
    inside = [number for number in finer if low <= math.log10(number) <= high]
    return inside if len(inside) > 1 else even_marks(10**low, 10**high)


def axes_frame(x: Scale, y: Scale, x_title: str, y_title: str) -> Markup:
    """Return grid, labels and titles of a chart with two axes; the title of the upright one stands above it."""
    top, bottom = min(y.start, y.end), max(y.start, y.end)
    labels = [text(label, LEFT - 6, y.place(number) + 4, text_anchor="end", class_="tick") for number, label in y.marks]
    lines = [line(LEFT, y.place(number), RIGHT, y.place(number), class_="grid") for number, _ in y.marks]
    return group(
        [
            *lines,
            *labels,
            *bottom_labels(x, top, bottom),
            text(shorten(x_title, N_CHARACTERS - 10), (LEFT + RIGHT) / 2, bottom + 36, text_anchor="middle"),
            text(shorten(y_title, N_CHARACTERS), 2, 13),
        ]
    )


def bottom_labels(x: Scale, top: float, bottom: float) -> list[Markup]:
    """Return the grid and the labels of the level axis."""
    lines = [line(x.place(number), top, x.place(number), bottom, class_="grid") for number, _ in x.marks]
    labels = [
        text(label, x.place(number), bottom + 16, text_anchor="middle", class_="tick") for number, label in x.marks
    ]
    return [*lines, *labels]


def _text(value: Any) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
