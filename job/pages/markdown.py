"""Markdown of what a result says: every name and sentence goes through ``plain``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from job.text import printable

# What means something within a line, in CommonMark, in GitHub's tables and in its formulas.
_MARKS = re.compile(r"([\\`*_{}\[\]#|~$!])")
# What means something at the start of a line: lists, headings, rules.
_STARTS = re.compile(r"^(\d*)([-+=.):])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_RIGHT_TO_LEFT = ("R", "AL")
_ISOLATE, _END = "\u2068", "\u2069"


def plain(text: str) -> str:
    """Text as text: no markup of it has an effect, secrets are masked, and it is one line.

    Characters that a reader can't see, with those that turn the direction of what follows, are
    shown as escapes; right-to-left text is isolated from what stands around it.
    """
    found = one_line(text)
    is_turned = any(unicodedata.bidirectional(it) in _RIGHT_TO_LEFT for it in found)
    found = _MARKS.sub(r"\\\1", found)
    found = "".join(_ENTITIES.get(it, it) for it in found)
    found = _STARTS.sub(r"\1\\\2", found)
    return f"{_ISOLATE}{found}{_END}" if is_turned else found


def one_line(text: str) -> str:
    """Text on one line, with secrets masked, and with escapes for what a reader can't see."""
    return printable(" ".join(text.split()))


def code(name: str) -> str:
    """A name of a file, a digest: what has no backtick in it; else as text."""
    return f"`{name}`" if re.fullmatch(r"[A-Za-z0-9._/:+-]+", name) else plain(name)


def fence(language: str, text: str) -> str:
    """A block of code, in a fence that is longer than any in the text."""
    runs = [len(it) for it in re.findall(r"`+", text)]
    ticks = "`" * max(3, 1 + max(runs, default=0))
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table.

    Args:
        heads: The columns' names.
        rows: Cells that are Markdown already.
        numbers: The columns that are aligned to the right.
    """
    rules = ["---:" if index in numbers else "---" for index in range(len(heads))]
    lines = [heads, rules, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences of a result."""
    return "\n".join(f"- {plain(it)}" for it in sentences)
