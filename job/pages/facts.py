"""The numbers and texts of a page, each with the place in the document that it comes from.

A number is written ``<data value="7127" data-path="/artifacts/1/bytes">7,127</data>``: a test reads
the page, resolves each pointer (RFC 6901, https://www.rfc-editor.org/rfc/rfc6901) and compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from job.text import printable

# What stands for a number that is not there.
NOTHING = "\N{EN DASH}"
# Beyond these a metric has an exponent: 0.0000 and 12345678.0000 say little.
SMALLEST, LARGEST = 1e-4, 1e7
# From here on milliseconds have no fraction.
MANY_MS = 100


def pointer(*parts: str | int) -> str:
    """The JSON pointer of a place: ``pointer("artifacts", 1, "bytes")``."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def shown(value: float | None, how: str = "") -> str:
    """A number as a page shows it.

    Args:
        value: None is shown as a dash.
        how: As ``format`` has it (``,`` or ``.1f``); ``%`` and ``.1%`` are a share in percent with
            a space; ``metric`` has four digits after the point; ``ms`` three digits.
    """
    if value is None:
        return NOTHING
    if how == "metric":
        is_plain = value == 0 or SMALLEST <= abs(value) < LARGEST
        return format(value, ".4f" if is_plain else ".4g")
    if how == "ms":
        return format(value, ",.0f" if abs(value) >= MANY_MS else "#.3g").rstrip(".")
    if how == "%":
        return f"{100 * value:.4g}\N{NO-BREAK SPACE}%"
    if how.endswith("%"):
        return format(value, how).replace("%", "\N{NO-BREAK SPACE}%")
    return format(value, how)


class Facts:
    """A document, ``result.json`` or ``failure.json``, whose numbers and texts a page shows."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document

    def at(self, place: str) -> Any:
        """The value at a JSON pointer.

        Raises:
            LookupError: There is none.
        """
        found: Any = self.document
        for part in place.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found[int(key)] if isinstance(found, list) else found[key]
        return found

    def has(self, place: str) -> bool:
        """Whether there is a value, and it is not null."""
        try:
            return self.at(place) is not None
        except LookupError:
            return False

    def number(self, place: str, how: str = "") -> Markup:
        """A number with its place; see ``shown`` for ``how``."""
        value = self.at(place)
        if value is None:
            return Markup(NOTHING)  # noqa: S704
        return Markup('<data value="{}" data-path="{}">{}</data>').format(
            json.dumps(value), place, shown(value, how)
        )

    def text(self, place: str) -> str:
        """A text without control characters and secrets; it is escaped where it is shown."""
        return printable(str(self.at(place)))

    def name(self, place: str) -> Markup:
        """A name, which may be of any direction."""
        return Markup('<bdi data-path="{}">{}</bdi>').format(place, self.text(place))

    def said(self, place: str) -> Markup:
        """A sentence that the document has, as it is."""
        return Markup('<span class="said" dir="auto" data-path="{}">{}</span>').format(
            place, self.text(place)
        )
