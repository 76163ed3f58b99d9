"""Run a command as a whole process and measure it: wall time, CPU time, memory.

The kernel's own figures are taken where it has them: ``wait4`` gives the CPU time (user and
system) of the process and of all processes that it waited for, and the largest resident set that
one of them had. So that a command that is two processes is charged for both, the peaks of all
its processes are added up too, though they need not be at one time: the most it can have held.

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
    """The peaks of all its processes, added up."""


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
        with _watched(child.pid) as peaks:
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
            together_mb=max(used.ru_maxrss, sum(peaks.values())) * 1024 / 1e6,
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
def _watched(pid: int) -> Iterator[dict[int, int]]:
    """Note, in the background, the peaks (in KiB) of a process and its descendants."""
    peaks: dict[int, int] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_EVERY_S):
            for member in family(pid):
                peaks[member] = _peak(member) or peaks.get(member, 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        ended.set()
        watcher.join()


def family(pid: int) -> Iterator[int]:
    """A process, and all that it or they have started."""
    yield pid
    with contextlib.suppress(OSError):  # it ended meanwhile
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from family(int(child))


def _peak(pid: int) -> int:
    """The largest resident set so far, in KiB; 0 where the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
