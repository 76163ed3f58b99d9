"""Run a command as a whole process and measure it: wall time, CPU time, memory.

The kernel's own figures are taken where it has them: ``wait4`` gives the CPU time (user and
system) of the process and of all processes that it waited for, and the largest resident set that
one of them had. What all of them held at one time is sampled, so that a command that is two
processes is charged for both; pages that they share count in each.

The kernel lets a new process begin with the peak of the one that started it, so the scripts that
measure import nothing large. Linux only.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_EVERY_S = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Run:
    """A process that has ended."""

    output: str
    """Its standard output."""
    wall_s: float
    cpu_s: float
    """User and system time of all its processes."""
    largest_mb: float
    """Peak of the largest of its processes, as the kernel has it."""
    together_mb: float
    """Peak of all its processes together, sampled; 0 where it ended before the first sample."""


def run(command: Sequence[str | Path], folder: Path | None = None) -> Run:
    """Run a command to its end.

    Args:
        command: The program and its arguments.
        folder: The folder it runs in; the current one if left out.

    Raises:
        SystemExit: Where it fails; what it said on standard error is shown.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        child = subprocess.Popen(command, stdout=output, stderr=errors, cwd=folder)
        with _sampled(child.pid) as together:
            _, status, used = os.wait4(child.pid, 0)
            wall_s = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if child.returncode != 0:
            print(errors.read(), file=sys.stderr)
            sys.exit(f"exit code {child.returncode}: {' '.join(map(str, command))}")
        return Run(
            output=output.read(),
            wall_s=wall_s,
            cpu_s=used.ru_utime + used.ru_stime,
            largest_mb=used.ru_maxrss * 1024 / 1e6,
            together_mb=max(together, default=0) / 1e6,
        )


def program(name: str) -> Path:
    """A program of the virtual environment that this script runs in."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        sys.exit(f"{path} is missing: run this with the Python that paredown is installed for.")
    return path


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """ours / theirs, pair by pair: the smallest, the median, the largest."""
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return min(pairs), statistics.median(pairs), max(pairs)


@contextlib.contextmanager
def _sampled(pid: int) -> Iterator[list[int]]:
    """Sample the resident bytes of a process and its descendants, in the background."""
    samples: list[int] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_EVERY_S):
            samples.append(sum(_resident(member) for member in _family(pid)))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield samples
    finally:
        ended.set()
        sampler.join()


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):  # it ended meanwhile
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _family(int(child))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:  # it ended meanwhile
        return 0
