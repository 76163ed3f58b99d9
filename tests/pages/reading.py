"""A page as a test reads it: its numbers with their places, its own text, its elements."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

from job.pages.facts import Facts, shown
from job.text import printable

# What is in these is a name, a sentence or a file of the result, or drawn from its numbers.
NOT_OWN = {"bdi", "code", "pre", "data", "time", "svg", "style", "title", "abbr"}
VOID = {"meta", "img", "br", "path", "use", "link", "input", "hr", "rect"}


class Page(HTMLParser):
    """A page that was parsed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict[str, str]]] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.data: list[tuple[str, str, str]] = []
        """Of each number: its value, its place, and how it is shown."""
        self.quoted: list[tuple[str, str]] = []
        """Of each text with a place: the place and the text."""
        self.own: list[str] = []
        """Text of the page itself."""
        self.values: list[str] = []
        """Values that stand in charts."""
        self.descriptions: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        assert len(found) == len(attrs), attrs
        self.tags.append((tag, found))
        if tag in VOID:
            return
        self.open.append((tag, found))
        if tag == "data":
            self.data.append((found["value"], found["data-path"], ""))
        elif "data-path" in found:
            self.quoted.append((found["data-path"], ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1][0] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data: str) -> None:
        names = {tag for tag, _ in self.open}
        classes = {it for _, found in self.open for it in found.get("class", "").split()}
        self.text.append(data)
        if names and self.open[-1][0] == "data":
            value, place, text = self.data[-1]
            self.data[-1] = (value, place, text + data)
        elif names and "data-path" in self.open[-1][1]:
            place, text = self.quoted[-1]
            self.quoted[-1] = (place, text + data)
        if not names & NOT_OWN and "said" not in classes:
            self.own.append(data)
        if "value" in classes and data.strip():
            self.values.append(data)
        if "desc" in names:
            self.descriptions.append(data)

    def attributes(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [found[name] for _, found in self.tags if name in found]


HOW = ["", ",", "metric", "ms", "%", ".1%", ".2%", ".1f", ".2f", ".3g", ".4f"]


def unlike(page: Page, document: dict[str, Any]) -> list[tuple[str, ...]]:
    """The numbers and texts of a page that are not what the document has at their places."""
    facts = Facts(document)
    wrong: list[tuple[str, ...]] = []
    for value, place, text in page.data:
        found = facts.at(place)
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        if not is_number or json.loads(value) != found:
            wrong.append((place, value, str(found)))
        elif text not in {shown(found, how) for how in HOW if isinstance(found, int) or how != ","}:
            wrong.append((place, value, text))
    wrong += [it for it in page.quoted if it[1] != printable(str(facts.at(it[0])))]
    return wrong
