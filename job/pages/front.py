"""The chart of a search: bytes against the figure that is judged, the gate, and the choice."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import MaxNLocator

from job.pages.charts import Chart
from job.pages.facts import shown
from job.pages.svg import ACCENT, BAD, INK, MUTED, WIDTH, draw
from job.result.result import Result
from job.result.search import SearchResult
from job.text import printable

_HEIGHT, _LEFT, _BOTTOM, _TOP = 240, 48, 36, 24


def front_chart(result: Result) -> Chart | None:
    """The Pareto front of a search's trials; None where there was no search."""
    search = result.search
    drawn = (
        [it for it in search.trials if not it.failure and it.value is not None] if search else []
    )
    if search is None or not drawn:
        return None
    figure_name = _figure_name(search)
    chosen = next((it for it in drawn if it.number == search.chosen), None)
    limit = search.gate.get("value")

    def paint(figure: Any) -> None:
        axes = figure.add_axes(
            (
                _LEFT / WIDTH,
                _BOTTOM / _HEIGHT,
                1 - (_LEFT + 14) / WIDTH,
                1 - (_BOTTOM + _TOP) / _HEIGHT,
            )
        )
        axes.text(0, 1.04, figure_name, color=INK, transform=axes.transAxes)
        front = sorted((it.bytes, it.value) for it in drawn if it.is_on_front)
        others = [(it.bytes, it.value) for it in drawn if not it.is_on_front]
        if others:
            axes.plot(*zip(*others, strict=True), "o", color=MUTED, markersize=4, alpha=0.6)
        if front:
            axes.plot(*zip(*front, strict=True), "-o", color=ACCENT, markersize=5)
        if limit is not None:
            axes.axhline(limit, color=BAD, linewidth=1, linestyle=(0, (5, 3)))
            beside = axes.get_yaxis_transform()
            axes.annotate(
                "gate", (1, limit), (0, 3), beside, "offset points", ha="right", color=BAD
            )
        if chosen is not None:
            place = (chosen.bytes, chosen.value)
            axes.plot(*place, "o", color=INK, markersize=11, fillstyle="none", markeredgewidth=1.6)
            axes.annotate("chosen", place, (9, 6), "data", "offset points", color=INK)
        axes.set_xlabel("bytes")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(0.1, 0.16)

    text = f"Each point is a trial: its bytes and its figure, {figure_name}."
    if chosen is not None:
        text += f" Chosen: {shown(chosen.bytes, ',')} bytes, {shown(chosen.value, 'metric')}."
    note = (
        "Each point is a trial. Blue: no other trial is both smaller and better. Red: the gate. "
        "The ring is the trial that was chosen."
    )
    if len(drawn) < len(search.trials):
        note += " Trials that made no file, or had no noise at all, are not drawn."
    title = "The search: bytes against quality"
    return Chart(title, draw("front", title, text, _HEIGHT, paint), note)


def _figure_name(search: SearchResult) -> str:
    words = (str(search.gate.get("metric") or ""), search.figure.name)
    return printable(" ".join(it for it in words if it))
