"""How often a store or a web server is asked before it is given up."""

from __future__ import annotations

import os
from collections.abc import Callable

NAME = "AWS_MAX_ATTEMPTS"
# With pauses that double up to 20 s they outlast a store that is away for half a minute.
DEFAULT = 14
MOST = 1_000


def attempts(warn: Callable[[str], None]) -> int:
    """The attempts, the first one counted: the environment's, or the default.

    Args:
        warn: Is told where the environment's number is none.
    """
    asked = os.environ.get(NAME, "").strip()
    if not asked:
        return DEFAULT
    if asked.isascii() and asked.isdecimal() and len(asked) <= len(str(MOST)):
        number = int(asked)
        if 1 <= number <= MOST:
            return number
    warn(f"{NAME} is no whole number from 1 to {MOST:,}; it is taken to be {DEFAULT}.")
    return DEFAULT
