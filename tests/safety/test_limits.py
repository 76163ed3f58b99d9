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
        ("\n    while True: pass", -signal.SIGXCPU),
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
