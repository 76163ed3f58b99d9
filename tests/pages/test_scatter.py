"""The scatter charts of a batch: what is drawn, in which chart, and that it is small and safe."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from job.pages.scatter import MOST_CHARTS, MOST_LINES, scatters
from job.result.summary import Row
from tests.support.summaries import HOSTILE_NAMES, job_row


def drawn(rows: list[Row]) -> list[ET.Element]:
    return [ET.fromstring(it.svg) for it in scatters(rows)[0]]  # noqa: S314 - made here


def points(chart: ET.Element, kind: str) -> list[str]:
    """The names of the points of a group."""
    found = chart.findall(f".//g[@class='{kind}']//use/title")
    return [it.text or "" for it in found]


def test_each_figure_has_a_chart_and_each_job_a_point() -> None:
    """Those of most jobs first; jobs without a metric have their agreement or SNR drawn."""
    rows = [job_row(f"job{number}", number) for number in (1, 2, 3, 4, 7, 5, 6)]
    none = {"metric": None, "quality": None}
    rows.append(job_row("s", 1).model_copy(update={**none, "agreement": None, "snr_db": 30.0}))
    rows.append(job_row("t", 1).model_copy(update=none))
    found, left_out = scatters(rows)
    assert [it.figure for it in found] == ["accuracy", "SNR dB", "agreement", "mean_squared_error"]
    assert left_out == []
    charts = drawn(rows)
    assert points(charts[0], "ready") == ["job1", "job2", "job4"]
    assert points(charts[0], "missed") == ["job7"]
    assert [points(it, "ready") for it in charts[1:]] == [["s"], ["t"], ["job3"]]
    assert [it.has_missed for it in found] == [True, False, False, False]
    assert [it.has_before for it in found] == [True, False, False, True]


def test_a_chart_says_in_words_what_it_shows() -> None:
    """Its title and description are its label; lower is better where it is an error."""
    rows = [job_row(f"job{number}", number * 3) for number in range(5)]
    (chart,) = drawn(rows)
    assert chart.get("role") == "img"
    texts = {it.get("id"): it.text or "" for it in chart if it.get("id")}
    title, described = (texts[it] for it in (chart.get("aria-labelledby") or "").split())
    best = min((it for it in rows if it.quality is not None), key=lambda row: row.quality or 0)
    assert "mean_squared_error" in title
    assert f"{best.name} has the best mean_squared_error" in described


def test_identifiers_of_charts_are_their_own() -> None:
    """Several charts are in one page."""
    charts = drawn([job_row(f"job{number}", number) for number in range(5)])
    assert len(charts) == 2
    ids = [it.get("id") for chart in charts for it in chart.iter() if it.get("id")]
    assert len(ids) == len(set(ids))
    for chart in charts:
        own = {f"#{it.get('id')}" for it in chart.iter()}
        used = [it.get("href") for it in chart.iter("use")]
        assert set(used) <= own


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_any_name_is_text(name: str) -> None:
    """Of a job, and of a metric on the axis; no mathematics, no colour."""
    (chart,) = drawn([job_row(name, 1).model_copy(update={"metric": name})])
    assert {it.tag for it in chart.iter()} <= {
        *("svg", "title", "desc", "g", "path", "use", "text", "defs", "clipPath", "rect")
    }
    assert len(points(chart, "ready")) == 1
    assert all(it.isprintable() for it in chart.itertext() for it in it.split("\n"))
    if name.startswith("{{"):
        assert [it.text for it in chart.iter("text") if it.text == name] == [name]


def test_many_points_are_drawn_small_and_without_lines() -> None:
    """A thousand take less than 150 bytes each; colours are the page's."""
    rows = [job_row(f"job{number}", 8 * 3 * number + 1) for number in range(1000)]
    (chart,) = scatters(rows)[0]
    assert len(chart.svg) < 150_000
    assert not chart.has_before
    assert "#0" not in chart.svg
    assert "var(--ink)" in chart.svg
    assert MOST_LINES < 1000


def test_figures_of_too_many_kinds_are_named() -> None:
    """Never left out in silence."""
    rows = [
        job_row(f"job{it}", 1).model_copy(update={"metric": f"out{it}/accuracy"})
        for it in range(MOST_CHARTS + 2)
    ]
    found, left_out = scatters(rows)
    assert len(found) == MOST_CHARTS
    assert left_out == ["out6/accuracy", "out7/accuracy"]


def test_one_point_and_equal_points_have_a_chart() -> None:
    """Of a file of one byte, too."""
    row = job_row("a", 1).model_copy(update={"bytes": 1, "smallest_bytes": 1, "quality": 0.0})
    for rows in ([row], [row, row]):
        (chart,) = drawn(rows)
        assert len(points(chart, "ready")) == len(rows)
