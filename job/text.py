"""Text: made printable, first lines of errors, lists of names, names that match a pattern."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

# A user and a password in an address, and what signs a URL.
_SECRETS = (
    # Bounded, so that a long text takes no more time for each of its characters.
    (re.compile(r"(?<=://)([^/@\s]{1,500}|[^/@\s:]{1,200}:(?!\d+/)[^@\s]{1,500})@"), "***@"),
    (
        re.compile(
            r"((?i:signature|credential|token|sig|secret|password|api_?key|access_?key(?:_?id)?"
            r"|secret_access_key|\bauth)(?:=|%3D))[^&\s\"']+"
        ),
        r"\1***",
    ),
    (re.compile(r"((?i:authorization: *(?:bearer|basic)) +)\S+"), r"\1***"),
)

_NEVER = ("", ".", "..")
_ANY_DEPTH = "**"


def printable(text: str) -> str:
    """Text with secrets masked, and with control characters escaped: a name in a model file may
    have some, which a terminal would carry out.
    """
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return "".join(it if it.isprintable() or it == "\n" else repr(it)[1:-1] for it in text)


def one_line(text: str) -> str:
    """Printable text without line breaks: a file's name may have some, and would begin a line of a
    log or a table.
    """
    return printable(text).replace("\n", "\\n")


def legible_json(text: str) -> str:
    """The same JSON, with what can't be printed written as its escapes: in a terminal or an editor
    it would move the cursor, or change the order of the characters that are shown.

    Args:
        text: JSON; there are such characters only in its strings.
    """
    return "\n".join(
        line if line.isprintable() else "".join(map(_json_character, line))
        for line in text.split("\n")
    )


def _json_character(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def first_line(error: object, most: int = 300) -> str:
    """The first line of an error's message, or its class; at most so many characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


def first_names(names: Iterable[str], most: int = 20) -> str:
    """The first names and how many more there are, ``a, b, and 3 more``; ``none`` for none."""
    found = list(names)
    more = [f"and {len(found) - most:,} more"] if len(found) > most else []
    return ", ".join([*found[:most], *more]) or "none"


def matches(names: Iterable[str], pattern: str) -> list[str]:
    """The names that match, each once, sorted by their characters' code points.

    A name with an empty part, ``.`` or ``..`` never does: it may be another one's place. No pattern
    takes exponential time: in a part, and between parts, no way to match is tried twice.

    Args:
        names: ``/``-separated, relative to where the pattern is.
        pattern: What they should look like; it may be without wildcards.
    """
    parts = pattern.split("/")
    if parts[-1] == _ANY_DEPTH:
        parts.append("*")
    wanted = [None if it == _ANY_DEPTH else re.compile(fnmatch.translate(it)) for it in parts]
    return sorted({name for name in names if _matches(name.split("/"), wanted)})


def _matches(parts: Sequence[str], wanted: Sequence[re.Pattern[str] | None]) -> bool:
    """Whether the parts match; None is any number of them.

    All the ways to match are followed at once, as places in the pattern that were reached: to try
    them one by one takes exponential time for ``**/a/**/a/**/a``.
    """
    if any(part in _NEVER for part in parts):
        return False
    reached = _with_depth_skipped({0}, wanted)
    for part in parts:
        after = set()
        for place in reached:
            if place == len(wanted):
                continue
            expression = wanted[place]
            if expression is None:
                after.add(place)
            elif expression.match(part):
                after.add(place + 1)
        reached = _with_depth_skipped(after, wanted)
    return len(wanted) in reached


def _with_depth_skipped(places: set[int], wanted: Sequence[re.Pattern[str] | None]) -> set[int]:
    """The places, and those behind them that are reached where ``**`` stands for no part."""
    reached = set()
    for start in places:
        place = start
        reached.add(place)
        while place < len(wanted) and wanted[place] is None and place + 1 not in reached:
            place += 1
            reached.add(place)
    return reached


class PathsAsText(Mapping[str, Path]):
    """Paths by name, which are made when they are asked for: of a million files, as text they take
    a third of the memory.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.texts = paths
        """By name."""

    def __getitem__(self, name: str) -> Path:
        return Path(self.texts[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __len__(self) -> int:
        return len(self.texts)
