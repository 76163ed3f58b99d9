"""How much a model file may unpack to, and how much reading it may take.

The cases are zip bombs, shapes (of CVE-2026-0897 and its like) that nothing in the file fills, and
files that keep a library busy or hungry.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

# Weights hardly compress. Those of a model pruned to 99 % do by 40 times, a million zeros by 1,000.
MAX_RATIO = 100
# What is smaller does no harm.
FLOOR_BYTES = 1 << 26
# A SavedModel's graph, with the traces of hundreds of layers, has some tens of megabytes.
MAX_GRAPH_BYTES = 1 << 27
# A configuration is a kilobyte for a layer.
MAX_CONFIG_BYTES = 1 << 24
# What looking at a model may take: it is read as data, and little of it is kept. A damaged file can
# keep the HDF5 library going round for ever.
SCAN_BYTES = 1 << 30
SCAN_SECONDS = 5
SCAN_BYTES_PER_SECOND = 50_000_000


def most_bytes(packed: int) -> int:
    """The most that ``packed`` bytes of a model file may declare to hold."""
    return max(FLOOR_BYTES, packed * MAX_RATIO)


def scanning(model_bytes: int) -> AbstractContextManager[None]:
    """The limits for judging a model of this size: ``limited``'s."""
    return limited(SCAN_BYTES, SCAN_SECONDS + model_bytes / SCAN_BYTES_PER_SECOND)


@contextmanager
def limited(more_bytes: float, more_seconds: float) -> Iterator[None]:
    """Limit what this process may still take, while the context lasts.

    Where a library does not turn the limits into an exception, they end the process: memory by
    SIGABRT, time by SIGXCPU.

    Args:
        more_bytes: Memory, beside what it has.
        more_seconds: CPU time, beside what it took.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = used.ru_utime + used.ru_stime + more_seconds
    with ExitStack() as limits:
        limits.enter_context(_limit(resource.RLIMIT_DATA, int(_data_bytes() + more_bytes)))
        limits.enter_context(_limit(resource.RLIMIT_CPU, int(seconds) + 1))
        yield


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
