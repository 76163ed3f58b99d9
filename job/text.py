"""Text for a terminal or a log: untrusted text made printable, and first lines of errors."""

from __future__ import annotations

import re

# A user and a password in an address, and what signs a URL.
_SECRETS = (
    (re.compile(r"(?<=://)([^/@\s]+|[^/@\s:]+:(?!\d+/)[^@\s]+)@"), "***@"),
    (re.compile(r"((?i:signature|credential|token|sig|secret|password)=)[^&\s\"']+"), r"\1***"),
)


def printable(text: str) -> str:
    """Text with secrets masked, and with control characters escaped: a name in a model file may
    have some, which a terminal would carry out.
    """
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return "".join(it if it.isprintable() or it == "\n" else repr(it)[1:-1] for it in text)


def first_line(error: object, most: int = 300) -> str:
    """The first line of an error's message, or its class; at most so many characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]
