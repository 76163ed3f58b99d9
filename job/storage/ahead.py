"""Work that is done in parallel and taken in its order, with a bound on what waits to be taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(
    pool: Executor, do: Callable[[T], R], things: Iterable[T], most: int
) -> Generator[R, None, None]:
    """Do something with each thing, at most ``most`` of them ahead of the one that is taken.

    Args:
        pool: Where it is done.
        do: What is done.
        things: What it is done with.
        most: How many are under way or wait to be taken.

    Yields:
        What came of each, in the things' order.

    Raises:
        What ``do`` raises. What has not begun by then, or when nothing more is taken, never does.
    """
    waiting: deque[Future[R]] = deque()
    try:
        for thing in things:
            if len(waiting) == most:
                yield waiting.popleft().result()
            waiting.append(pool.submit(do, thing))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for it in waiting:
            it.cancel()
