"""The one way for text that strangers may have written to a terminal or a log: made plain."""

from __future__ import annotations

import re

# A user and a password in an address, and what signs a URL.
_SECRETS = (
    (re.compile(r"(?<=://)([^/@\s]+|[^/@\s:]+:(?!\d+/)[^@\s]+)@"), "***@"),
    (re.compile(r"((?i:signature|credential|token|sig|secret|password)=)[^&\s\"']+"), r"\1***"),
)


def printable(text: str) -> str:
    """Text without secrets in it, and without control characters, which a name in a model file may
    hold: a terminal would obey them.
    """
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return "".join(it if it.isprintable() or it == "\n" else repr(it)[1:-1] for it in text)


def first_line(error: BaseException, most: int = 300) -> str:
    """The first line of an error's message, or its class; at most so many characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]
