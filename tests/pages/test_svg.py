"""Charts as parts of a page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from job.pages.svg import ACCENT, INK, draw
from tests.conftest import ROOT

TEXT = '<script>alert("$x_1$")</script> id="a" #fe0001'


def paint(figure: Any) -> None:
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.plot([1, 2, 3], [1, 4, 2], "-o", color=ACCENT)
    axes.text(1, 2, TEXT, color=INK, gid="value")


def test_a_chart_follows_the_page() -> None:
    """It has the page's colours and fonts, and scales; its ids are its own."""
    chart = draw("one", "Title", "What it shows", 200, paint)
    assert chart.startswith('<svg class="chart" viewBox="0 0 360 200" role="img" aria-labelledby=')
    assert 'width="' not in chart[: chart.index(">")]
    assert "var(--accent)" in chart
    assert ACCENT not in chart
    assert "font-family" not in chart
    assert '<desc id="one-d">What it shows</desc>' in chart
    assert "xmlns" not in chart
    assert "<style" not in chart
    ids = re.findall(r'<[^>]* id="([^"]*)"', chart)
    assert all(it.startswith("one-") for it in ids)


def test_text_in_a_chart_stays_as_it_is() -> None:
    """Escaped, without mathematics, and not taken for attributes or colours."""
    chart = draw("one", "Title", "Text", 200, paint)
    assert '&lt;script&gt;alert("$x_1$")&lt;/script&gt; id="a" #fe0001' in chart


def test_titles_are_escaped() -> None:
    """They may have names in them."""
    chart = draw("one", "<b>", "</desc><script>", 200, paint)
    assert "<b>" not in chart
    assert "<script>" not in chart


def test_settings_of_a_user_change_nothing(tmp_path: Path) -> None:
    """Neither a matplotlibrc nor a home that can't be written; and nothing is said about it."""
    code = (
        "from tests.pages.test_svg import paint\n"
        "from job.pages.svg import draw\n"
        "print(draw('one', 'Title', 'Text', 200, paint))"
    )
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 30\n")
    nowhere = tmp_path / "file"
    nowhere.touch()
    charts = set()
    for place in (tmp_path, nowhere):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"MPLCONFIGDIR": str(place)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        charts.add(done.stdout)
    assert charts == {draw("one", "Title", "Text", 200, paint) + "\n"}
