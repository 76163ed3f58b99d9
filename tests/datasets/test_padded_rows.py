"""Rows of one length come from integers of all numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from job.datasets import padded_rows
from job.datasets.padded_rows import PaddedRows
from job.rows.lazy import LazyRows
from job.rows.store import Store


@pytest.mark.parametrize("memory", [1 << 20, 0])
@pytest.mark.parametrize("rows", [0, 1, 4, 5, 8])
def test_rows_are_zeros_around_their_integers(
    rows: int, memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory or on the disk, in whole parts or not; no row has another one's rest."""
    monkeypatch.setattr(padded_rows, "MAX_PART_ROWS", 4)
    written = PaddedRows(Store(tmp_path, memory, 1 << 20), "rows", 5)
    for row in range(rows):
        written.append([row + 1] * (5 - row % 5), row % 5)
    found = written.finish()
    assert found.shape == (rows, 5)
    assert found.dtype == np.int32
    assert isinstance(found, LazyRows) == (memory == 0 and rows > 0)
    for row, values in enumerate(found[:]):
        assert values.tolist() == [0] * (row % 5) + [row + 1] * (5 - row % 5)
