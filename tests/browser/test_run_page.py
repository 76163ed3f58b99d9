"""``report.html`` in a browser: the quickstart's, and those of runs that went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pypdf
import pytest

from job.pages.failed_page import failed_page
from job.pages.job_page import job_page
from tests.browser.windows import WINDOWS, faults, opened, overflow
from tests.conftest import ROOT, paredown
from tests.pages.results import failure, gate_missed, hostile

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHARTS = [
    "Bytes by stage and encoding",
    "Accuracy by stage",
    "Agreement by stage",
    "Where it was lost: drift between stages",
    "Sparsity schedule",
    "Fine-tuning",
]
OTHERS = {
    "failed": lambda: failed_page(failure()),
    "gate_missed": lambda: job_page(gate_missed()),
    "hostile": lambda: job_page(hostile()),
}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page that the quickstart leaves."""
    out = tmp_path_factory.mktemp("quickstart")
    ended = paredown("run", ROOT / "manifests/quickstart/quickstart.json", "--output", out)
    assert (ended.code, ended.err) == (0, "")
    return out / "report.html"


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_the_quickstarts_page(browser: Browser, quickstart: Path, window: dict[str, Any]) -> None:
    """Every chart is there and drawn, nothing is wider than the window, and axe finds no fault."""
    with opened(browser, quickstart, **window) as page:
        assert page.title()
        assert overflow(page) <= 0
        for name in CHARTS:
            chart = page.locator("figure", has_text=name).locator("svg").first
            box = chart.bounding_box()
            assert box is not None, name
            assert min(box["width"], box["height"]) > 50, name
            assert box["x"] >= 0, name
            assert box["x"] + box["width"] <= window["viewport"]["width"], name
        pictures = page.locator("img").evaluate_all("them => them.map(it => it.naturalWidth)")
        assert len(pictures) == 4
        assert all(pictures)
        assert faults(page) == []


def test_the_quickstarts_page_is_small_and_needs_no_javascript(
    browser: Browser, quickstart: Path
) -> None:
    """At most 400 KB; the same text is shown without scripts."""
    assert quickstart.stat().st_size <= 400_000
    texts = []
    for is_on in (True, False):
        with opened(browser, quickstart, java_script_enabled=is_on) as page:
            texts.append(page.locator("body").inner_text())
    assert texts[0] == texts[1]
    assert "13.9" in texts[0]


def test_the_quickstarts_page_is_printed_whole(
    browser: Browser, quickstart: Path, tmp_path: Path
) -> None:
    """What can be folded is open on paper, and the last section is there."""
    with opened(browser, quickstart) as page:
        page.pdf(path=tmp_path / "report.pdf", format="A4")
    read = pypdf.PdfReader(tmp_path / "report.pdf")
    text = "\n".join(it.extract_text() for it in read.pages)
    assert 4 <= len(read.pages) <= 40
    for name in [
        *CHARTS,
        "How to reproduce it",
        "schema_version",
        "How to use each file",
        "Kotlin",
    ]:
        assert name in text, name


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("name", OTHERS)
def test_the_page_of_a_run_that_went_wrong(
    browser: Browser, tmp_path: Path, name: str, window: dict[str, Any]
) -> None:
    """No page is wider than the window, runs what a name says, or has a fault that axe finds."""
    with opened(browser, tmp_path / "report.html", OTHERS[name](), **window) as page:
        assert overflow(page) <= 0
        assert faults(page) == []
