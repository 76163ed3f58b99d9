"""A file to encode."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.encodings import weights


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "prune.h5"
    path.write_bytes(weights())
    return path
