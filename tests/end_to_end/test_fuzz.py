"""A hundred damaged model files: each ends in a refusal in words, or in a model that answers."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT
from tests.support.rare import rare


@rare
def test_damaged_files_end_in_a_refusal_or_a_model() -> None:
    """The benchmark's first hundred; it fails for a traceback, a hang, and a canary that sings."""
    command = [sys.executable, str(ROOT / "benchmarks" / "fuzz.py"), "--mutations", "104"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout
    assert "104 mutations" in done.stdout
    assert "refused" in done.stdout
    assert "loaded" in done.stdout
