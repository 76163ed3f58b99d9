"""Work in parallel that is taken in its order."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from job.storage.ahead import ahead


def test_results_come_in_order_whatever_is_done_first() -> None:
    """The first is done last."""
    second = threading.Event()

    def do(number: int) -> int:
        if number == 0:
            assert second.wait(10)
        else:
            second.set()
        return number * number

    with ThreadPoolExecutor(3) as pool:
        assert list(ahead(pool, do, range(20), 3)) == [number * number for number in range(20)]


def test_no_more_is_done_than_may_wait() -> None:
    """Whatever the pool could do."""
    begun: list[int] = []
    with ThreadPoolExecutor(8) as pool:
        results = ahead(pool, begun.append, range(20), 4)
        next(results)
        results.close()
    assert set(begun) <= {0, 1, 2, 3}


def test_after_an_error_nothing_new_begins() -> None:
    """What waits is not done."""
    begun: list[int] = []

    def do(number: int) -> None:
        begun.append(number)
        raise OSError(number)

    with ThreadPoolExecutor(1) as pool, pytest.raises(OSError, match="0"):
        list(ahead(pool, do, range(20), 4))
    assert len(begun) < 4
