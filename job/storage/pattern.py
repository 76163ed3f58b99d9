"""Patterns of names: ``data/shard-*.npz``. The names may be of local files or of S3 keys.

A name's parts stand between slashes, and so do a pattern's. In a part, ``*`` is any number of
characters, ``?`` is one, ``[abc]``, ``[a-z]`` and ``[!abc]`` are one of some; none is a slash, and
a leading dot is a character as others are. The part ``**`` is any number of parts, none too; at
the end it is at least one. A ``[`` that is not closed in its part is itself.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence

_WILDCARD = re.compile(r"[*?]|\[!?+[^/][^/\]]*\]")
_NEVER = ("", ".", "..")
_ANY_DEPTH = "**"


def is_pattern(text: str) -> bool:
    """Whether there is a wildcard in it."""
    return _WILDCARD.search(text) is not None


def fixed_part(pattern: str) -> str:
    """The folder, or prefix, that all names which match begin with; it ends with a slash.

    It is what has to be listed: ``data/`` of ``data/shard-*.npz``, ``""`` of ``*.npz``. Of a text
    without a wildcard it is what stands before its last part.
    """
    found = _WILDCARD.search(pattern)
    before = pattern[: found.start()] if found else pattern
    return before[: before.rfind("/") + 1]


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
