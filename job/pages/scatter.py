"""Bytes against quality: the scatter charts of a batch, as SVG in the page.

Each figure has a chart of its own: an accuracy and a mean squared error do not share an axis.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, ScalarFormatter

from job.manifest.keras_names import lower_is_better
from job.pages.svg import ACCENT, BAD, FONT, MUTED, draw
from job.result.summary import Row
from job.text import printable

# Charts that are drawn, those of most jobs first.
MOST_CHARTS = 6
# Up to so many points have a line from the model that each was made of.
MOST_LINES = 40
# Up to so many are drawn large.
MOST_LARGE = 150
LONGEST_TITLE = 80
# What is larger than this, or not finite, is no figure of a file: it has no point.
MOST = 1e30
# In units of the view box.
HEIGHT = 240
# The groups of points, which the page's style colours, and their markers.
READY, MISSED = "ready", "missed"
MARKERS = {READY: ("o", ACCENT), MISSED: ("D", BAD)}
_POINT = re.compile(r'<use ([^>]*?)style="[^"]*var\(--(?:accent|bad)\)[^"]*"([^>]*?)/>')


@dataclass(frozen=True)
class Point:
    """A job in a chart."""

    name: str
    bytes: int
    """Of its smallest file."""
    value: float
    passes: bool
    before: tuple[int, float] | None
    """Bytes and value of the model that it was made of."""


@dataclass(frozen=True)
class Scatter:
    """A chart."""

    figure: str
    """What is drawn upwards: a metric, or ``agreement``, or ``SNR dB``."""
    svg: Markup
    has_before: bool
    """Whether it has lines from the models that the files were made of."""
    has_missed: bool


def scatters(rows: Sequence[Row]) -> tuple[list[Scatter], list[str]]:
    """The charts of a batch, those with the most jobs first; and the figures that have none,
    because there are too many.
    """
    groups: dict[str, list[Point]] = defaultdict(list)
    for row in rows:
        for figure, point in _point(row):
            groups[figure].append(point)
    ranked = sorted(groups, key=lambda figure: (-len(groups[figure]), figure))
    drawn = [
        _scatter(figure, groups[figure], f"chart{number}")
        for number, figure in enumerate(ranked[:MOST_CHARTS], 1)
    ]
    return drawn, [printable(figure) for figure in ranked[MOST_CHARTS:]]


def _point(row: Row) -> Iterator[tuple[str, Point]]:
    """The job's point, with the figure that it has: quality, else agreement, else SNR."""
    before = None
    if row.metric is not None and row.quality is not None:
        figure, value = row.metric, row.quality
        size, quality = row.bytes or 0, row.baseline_quality
        if 0 < size < MOST and quality is not None and abs(quality) < MOST:
            before = (size, quality)
    elif row.agreement is not None:
        figure, value = "agreement", row.agreement
    elif row.snr_db is not None:
        figure, value = "SNR dB", row.snr_db
    else:
        return
    size = row.smallest_bytes or 0
    if 0 < size < MOST and abs(value) < MOST:
        is_passing = row.passes is not False and row.status == "succeeded"
        yield figure, Point(row.name, size, value, is_passing, before)


def _scatter(figure: str, points: list[Point], prefix: str) -> Scatter:
    name = printable(figure)
    befores = [it.before for it in points if it.before] if len(points) <= MOST_LINES else []
    groups = {
        READY: [it for it in points if it.passes],
        MISSED: [it for it in points if not it.passes],
    }

    def paint(drawing: Figure) -> None:
        axes = drawing.add_axes((0.15, 0.17, 0.81, 0.73))
        _axes(axes, name, [it.bytes for it in points] + [size for size, _ in befores])
        if befores:
            _befores(axes, points)
        for kind, group in groups.items():
            marker, colour = MARKERS[kind]
            axes.plot(
                [it.bytes for it in group],
                [it.value for it in group],
                linestyle="none",
                marker=marker,
                markersize=6 if len(points) <= MOST_LARGE else 3.5,
                color=colour,
                markeredgewidth=0,
                gid=f"class-{kind}",
            )

    svg = draw(prefix, *_alternative(name, points), HEIGHT, paint)
    named = _named(svg, [it.name for group in groups.values() for it in group])
    return Scatter(name, named, has_before=bool(befores), has_missed=bool(groups[MISSED]))


def _named(svg: Markup, names: Sequence[str]) -> Markup:
    """The chart with the names of its points as tool tips, in the order in which they are drawn."""
    left = iter(names)

    def point(found: re.Match[str]) -> str:
        return (
            f"<use {found[1]}{found[2].rstrip()}><title>{escape(_short(next(left)))}</title></use>"
        )

    return Markup(_POINT.sub(point, svg))  # noqa: S704 - drawn here, and escaped text


def _axes(axes: Axes, figure: str, sizes: list[int]) -> None:
    axes.set_xscale("log")
    low, high = min(sizes) * 0.85, max(sizes) * 1.18
    ticks = _ticks(low, high)
    axes.set_xlim(min(ticks[0], low), max(ticks[-1], high))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _size(value)))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    axes.margins(y=0.1)
    axes.set_xlabel("bytes", parse_math=False)
    label = figure if len(figure) <= 40 else f"{figure[:39]}…"
    # Above the axis, where the length of its numbers does not matter.
    axes.set_title(label, loc="left", fontsize=FONT, parse_math=False)


def _befores(axes: Axes, points: list[Point]) -> None:
    """A line from each model to the file that was made of it."""
    across: list[float] = []
    upwards: list[float] = []
    for point in points:
        if point.before:
            across += [point.before[0], point.bytes, math.nan]
            upwards += [point.before[1], point.value, math.nan]
    axes.plot(across, upwards, color=MUTED, linewidth=0.7, alpha=0.6)
    # Small dots, as one path: the page's names belong to the markers alone.
    axes.scatter(across[::3], upwards[::3], s=14, facecolors="none", edgecolors=MUTED, linewidths=1)


def _ticks(low: float, high: float) -> list[float]:
    """Two to seven sizes: powers of ten, or one and three, or one, two and five times those."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1,), (1, 3), (1, 2, 5)):
        every = [float(step) * 10**power for power in range(first, last + 1) for step in steps]
        inner = [it for it in every if low <= it <= high]
        if len(inner) >= 3:
            return inner
    return [max(it for it in every if it <= low), *inner, min(it for it in every if it >= high)]


def _size(value: float) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:g} {name}"
    return f"{value:g}"


def _alternative(figure: str, points: list[Point]) -> tuple[str, str]:
    """A title and a description, for those who do not see the chart."""
    title = f"Bytes of the smallest files against {figure}"
    smallest = min(points, key=lambda point: point.bytes)
    pick = min if figure != "SNR dB" and lower_is_better(figure) else max
    best = pick(points, key=lambda point: point.value)
    return title, (
        f"Each point is a job: the bytes of its smallest file from left to right, on a logarithmic "
        f"scale, and {figure} upwards. The smallest file is that of {_short(smallest.name)}; "
        f"{_short(best.name)} has the best {figure}. The table of all jobs has the figures."
    )


def _short(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= LONGEST_TITLE else f"{shown[: LONGEST_TITLE - 1]}…"
