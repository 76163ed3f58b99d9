"""Size and digest of a file as it is on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from job.artifact import file_digest


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_003])
def test_bytes_and_digest_are_those_of_the_whole_file(size: int, tmp_path: Path) -> None:
    """Of nothing, of one byte, and of more than a buffer."""
    content = np.random.default_rng(size).bytes(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    assert file_digest(path) == (size, hashlib.sha256(content).hexdigest())
