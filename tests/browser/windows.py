"""Pages in windows of their own, and what every page must have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Widths of a desktop and a phone.
WINDOWS: dict[str, dict[str, Any]] = {
    f"{width}-{scheme}": {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    for width in (1280, 390)
    for scheme in ("light", "dark")
}


@contextmanager
def opened(browser: Browser, path: Path, text: str | None = None, **options: Any) -> Iterator[Page]:
    """A page in a window of its own; at the end it must have had no error and asked for nothing."""
    if text is not None:
        path.write_text(text)
    troubles: list[str] = []
    context = browser.new_context(**options)
    page = context.new_page()
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: troubles.append(request.url))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert troubles == [path.as_uri()]


def overflow(page: Page) -> int:
    """How many pixels of the page are beyond the window's right edge."""
    found: int = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return found


def faults(page: Page) -> list[str]:
    """The serious and critical faults that axe-core finds."""
    found = Axe().run(page).response["violations"]
    return [
        f"{it['id']}: {it['nodes'][0]['html'][:200]}"
        for it in found
        if it["impact"] in {"serious", "critical"}
    ]
