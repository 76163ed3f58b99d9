"""The size and digest of an artifact are those of the file on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from job.metrics.artifact import measure_size


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_003])
def test_bytes_and_digest_are_those_of_the_whole_file(size: int, tmp_path: Path) -> None:
    """For an empty file, one byte, and more than a buffer."""
    content = np.random.default_rng(size).bytes(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    assert measure_size(path) == (size, hashlib.sha256(content).hexdigest())
