"""Limits on the unpacked size of a model file, and on the memory and time for reading it.

They stop zip bombs, declared shapes without data (CVE-2026-0897 and similar), and files that make a
library loop or exhaust the memory.
"""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

# Weights hardly compress: a model pruned to 99 % by 40 times, a million zeros by 1,000.
MAX_RATIO = 100
# Always allowed.
FLOOR_BYTES = 1 << 26
# A SavedModel's graph, with the traces of hundreds of layers, has some tens of megabytes.
MAX_GRAPH_BYTES = 1 << 27
# A configuration is a kilobyte for a layer.
MAX_CONFIG_BYTES = 1 << 24
# For validating a model: it is read as data, and little of it stays in memory. A damaged file can
# make the HDF5 library loop for ever.
SCAN_BYTES = 1 << 30
SCAN_SECONDS = 5
SCAN_BYTES_PER_SECOND = 50_000_000
# A timer of nothing would never end.
LEAST_SECONDS = 0.001


def most_bytes(packed: int) -> int:
    """The largest size that ``packed`` bytes of a model file may declare."""
    return max(FLOOR_BYTES, packed * MAX_RATIO)


def scanning(model_bytes: int) -> AbstractContextManager[None]:
    """Apply ``limited`` with the limits for validating a model of this size."""
    return limited(SCAN_BYTES, SCAN_SECONDS + model_bytes / SCAN_BYTES_PER_SECOND)


@contextmanager
def limited(more_bytes: float, more_seconds: float) -> Iterator[None]:
    """Limit the further memory and CPU time of this process within the context.

    Unless a library raises an exception at a limit, the process ends: by SIGABRT for memory, by
    SIGPROF for time. The time is a timer's: RLIMIT_CPU counts from the process's start by the
    kernel's ticks, which after an hour differ by minutes from the time that ``getrusage`` reports.

    Args:
        more_bytes: Memory, in addition to the current use.
        more_seconds: CPU time, in addition to the current use.
    """
    with ExitStack() as limits:
        limits.enter_context(_limit(resource.RLIMIT_DATA, int(_data_bytes() + more_bytes)))
        limits.enter_context(_limit_time(more_seconds))
        yield


@contextmanager
def _limit_time(most: float) -> Iterator[None]:
    """Of all threads together; a limit around this one still holds."""
    around, _ = signal.getitimer(signal.ITIMER_PROF)
    given = min(most, around) if around else most
    signal.setitimer(signal.ITIMER_PROF, given)
    try:
        yield
    finally:
        left, _ = signal.setitimer(signal.ITIMER_PROF, 0)
        if around:
            signal.setitimer(signal.ITIMER_PROF, max(LEAST_SECONDS, around - (given - left)))


@contextmanager
def _limit(what: int, most: int) -> Iterator[None]:
    before, hard = resource.getrlimit(what)
    lower = [it for it in (before, hard) if it != resource.RLIM_INFINITY]
    resource.setrlimit(what, (min(most, *lower, most), hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (before, hard))


def _data_bytes() -> int:
    """The memory of this process that RLIMIT_DATA counts."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (size,) = [line.split()[1] for line in lines if line.startswith("VmData:")]
    return int(size) * 1024
