"""limits: a process that exceeds its limits is stopped by the kernel."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT

LIMITED = """
import sys
from job.safety.limits import limited
with limited(1 << 28, 5):
    {what}
print("went on")
"""


@pytest.mark.parametrize(
    ("what", "ends_in"),
    [
        ("bytes(1 << 27)", 0),
        ("bytes(1 << 30)", 1),  # MemoryError
        ("\n    while True: pass", -signal.SIGPROF),
    ],
    ids=["little", "memory", "time"],
)
def test_a_process_is_stopped_at_its_limits(what: str, ends_in: int) -> None:
    command = [sys.executable, "-c", LIMITED.format(what=what)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == ends_in
    assert ("went on" in done.stdout) == (ends_in == 0)
    assert ("MemoryError" in done.stderr) == (ends_in == 1)


NESTED = """
import time
from job.safety.limits import limited
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
burn(1.5)
with limited(1 << 28, 1):
    burn(0.2)  # what was used before does not count
with limited(1 << 28, 1):
    with limited(1 << 28, 60):
        burn(0.3)
    print("inside", flush=True)
    burn(3)  # the limit around it still holds
print("went on")
"""


def test_a_limit_counts_from_its_beginning_and_holds_around_another() -> None:
    """RLIMIT_CPU, by which it was once done, ended a search of an hour that had used its time."""
    done = subprocess.run(
        [sys.executable, "-c", NESTED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGPROF, "inside\n"), done.stderr
