"""What tests of whole runs share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import paredown
from tests.support.buckets import QUICK
from tests.support.published import write_manifest


@pytest.fixture(scope="module")
def done(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The destination of a quick run."""
    folder = tmp_path_factory.mktemp("done")
    ended = paredown("run", write_manifest(folder, tiny, **QUICK))
    assert (ended.code, ended.err) == (0, "")
    return folder / "out"


@pytest.fixture
def out(done: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(done, tmp_path / "out")
    return tmp_path / "out"
