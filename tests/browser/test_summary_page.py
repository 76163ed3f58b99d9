"""``summary.html`` in a browser: it sorts and filters, by mouse and by keys, and fits a phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from job.pages.batch_page import batch_page
from tests.browser.windows import faults, opened, overflow
from tests.support.summaries import HOSTILE_NAMES, batch_summary

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

COUNT = 40
# The column of the smallest file's bytes.
BYTES = 4


def cells(page: Page, number: int) -> list[str]:
    """The cells of a column, from the top, of the rows that are shown."""
    found: list[str] = page.evaluate(
        "number => [...document.querySelectorAll('tbody tr:not([hidden])')]"
        ".map(row => row.cells[number - 1].textContent.trim())",
        number,
    )
    return found


def test_a_click_sorts_and_another_turns_it_around(browser: Browser, tmp_path: Path) -> None:
    """By the number and not by its text; empty cells are last either way."""
    with opened(browser, tmp_path / "summary.html", batch_page(batch_summary(COUNT))) as page:
        header = page.get_by_role("columnheader", name="smallest")
        for direction in ("ascending", "descending"):
            header.get_by_role("button").click()
            assert header.get_attribute("aria-sort") == direction
            shown = cells(page, BYTES)
            filled = [int(it.replace(",", "")) for it in shown if it]
            assert filled == sorted(filled, reverse=direction == "descending")
            assert set(shown[len(filled) :]) == {""}
        page.get_by_role("columnheader", name="job").get_by_role("button").click()
        assert header.get_attribute("aria-sort") is None
        assert cells(page, 1) == sorted(cells(page, 1))


def test_keys_alone_are_enough(browser: Browser, tmp_path: Path) -> None:
    """To reach a header, to sort by it, and to scroll the table."""
    with opened(browser, tmp_path / "summary.html", batch_page(batch_summary(COUNT))) as page:
        page.get_by_label("Status").focus()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "scroll"
        page.keyboard.press("Tab")
        for key in ("Enter", "Space"):
            page.keyboard.press(key)
        header = page.get_by_role("columnheader", name="job")
        assert header.get_attribute("aria-sort") == "descending"
        assert cells(page, 1) == sorted(cells(page, 1), reverse=True)


def test_text_and_status_filter(browser: Browser, tmp_path: Path) -> None:
    """Both at once; how many are shown is announced."""
    with opened(browser, tmp_path / "summary.html", batch_page(batch_summary(COUNT))) as page:
        shown = page.locator("#shown")
        assert shown.inner_text() == f"{COUNT} of {COUNT} jobs"
        page.get_by_label("Status").select_option("failed")
        assert set(cells(page, 2)) == {"failed"}
        assert shown.inner_text() == f"5 of {COUNT} jobs"
        page.get_by_label("Filter").fill("TEAM-5")
        assert cells(page, 1) == ["team-5-model-0005"]
        page.get_by_label("Filter").fill("no such name")
        assert cells(page, 1) == []
        assert shown.get_attribute("aria-live") == "polite"
        page.get_by_label("Filter").fill("")
        page.get_by_label("Status").select_option("")
        assert len(cells(page, 1)) == COUNT


def test_without_scripts_it_is_a_plain_table(browser: Browser, tmp_path: Path) -> None:
    """With all its rows, and no control that does nothing."""
    text = batch_page(batch_summary(COUNT))
    with opened(browser, tmp_path / "a.html", text, java_script_enabled=False) as page:
        assert page.locator("tbody tr").count() == COUNT
        assert page.locator("button").count() == 0
        assert not page.locator("#filter").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("names", [(), HOSTILE_NAMES], ids=["plain", "hostile"])
def test_it_is_accessible_and_never_wider_than_the_window(
    browser: Browser, tmp_path: Path, names: tuple[str, ...], width: int, scheme: Any
) -> None:
    """No serious fault by axe; the table alone scrolls sideways, and no name runs as a script."""
    text = batch_page(batch_summary(COUNT, names))
    size = {"width": width, "height": 800}
    with opened(
        browser, tmp_path / "summary.html", text, viewport=size, color_scheme=scheme
    ) as page:
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        assert overflow(page) <= 0
        assert page.locator("figure svg").first.bounding_box() is not None
        assert faults(page) == []


def test_it_prints_in_full(browser: Browser, tmp_path: Path) -> None:
    """The whole table, light, without the controls."""
    text = batch_page(batch_summary(COUNT))
    with opened(browser, tmp_path / "summary.html", text, color_scheme="dark") as page:
        page.emulate_media(media="print")
        area = page.locator(".scroll")
        assert area.evaluate("area => area.scrollHeight - area.clientHeight") == 0
        assert not page.locator("#filter").is_visible()
        ink = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ink == "rgb(255, 255, 255)"
        assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
