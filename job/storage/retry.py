"""Every limit and pause of this room: how often a store or a web server is asked, and for how long.

botocore sends a request again that fails or gets no answer (mode ``standard``: pauses that double
up to 20 s). What it does not do is here: answers that break off, content that is damaged, results
that other runs write at the same time, and web servers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

VARIABLE = "AWS_MAX_ATTEMPTS"
# With botocore's pauses they outlast a store that is away for half a minute.
DEFAULT_ATTEMPTS = 14
MAX_ATTEMPTS = 1_000

# Seconds. A request is sent within the first one, too, so it is no shorter.
CONNECT_TIMEOUT_S = 30
READ_TIMEOUT_S = 60
WEB_CONNECT_TIMEOUT_S = 10
WEB_REDIRECTS = 5

# Requests at a time, as of the AWS CLI.
THREADS = 10
# Downloads and uploads whose content is not what it should be.
TRANSFERS = 3
# How often a result is written again that does not stand beside its own files.
PUBLISH_ROUNDS = 4


@dataclass(frozen=True)
class Limit:
    """How often something is tried, and the pauses between; each is twice the one before."""

    attempts: int
    pause_s: float = 0.0
    longest_pause_s: float = 10.0

    def pause(self, attempt: int) -> float:
        """The pause after an attempt, counted from 0, in seconds."""
        return min(self.pause_s * 2.0 ** min(attempt, 32), self.longest_pause_s)


# A small object whose answer breaks off, and a range of a large one.
SMALL_READ = Limit(3)
RANGE_READ = Limit(5, 0.4)
WEB_PAUSE_S = 0.5


def persist(
    ask: Callable[[], T],
    errors: tuple[type[Exception], ...],
    limit: Limit,
    count: Callable[[], None],
) -> T:
    """Ask, and where that fails with one of these errors, ask again.

    Args:
        ask: What is tried.
        errors: The errors that may go away.
        limit: How often it is tried.
        count: Called before each new attempt.

    Raises:
        The last of these errors, and any other one at once.
    """
    for attempt in range(limit.attempts - 1):
        try:
            return ask()
        except errors:
            count()
            time.sleep(limit.pause(attempt))
    return ask()


def attempts(warn: Callable[[str], None]) -> int:
    """The attempts of a request, the first one counted: the environment's, or the default.

    Args:
        warn: Called where the environment's number is invalid.
    """
    asked = os.environ.get(VARIABLE, "").strip()
    if not asked:
        return DEFAULT_ATTEMPTS
    if asked.isascii() and asked.isdecimal() and len(asked) <= len(str(MAX_ATTEMPTS)):
        number = int(asked)
        if 1 <= number <= MAX_ATTEMPTS:
            return number
    warn(
        f"{VARIABLE} is no whole number from 1 to {MAX_ATTEMPTS:,}; it is taken to be "
        f"{DEFAULT_ATTEMPTS}."
    )
    return DEFAULT_ATTEMPTS
