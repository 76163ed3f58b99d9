"""Columns are stacked; what does not fit together is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.datasets.table_columns import CellError, Span
from job.datasets.table_plan import Slot
from job.datasets.table_rows import SlotRows
from tests.support.tables import same, source_of


def rows_of(folder: Path, role: str, *columns: str, is_whole: bool = True) -> SlotRows:
    where = f"dataset.train.{role}"
    slot = Slot(role, 0, where, columns, is_stack=len(columns) > 1, columns=columns)
    return SlotRows(slot, source_of(folder), Span(is_whole, -9, 9))


def test_columns_and_lists_are_stacked(tmp_path: Path) -> None:
    """Part by part, each column with its width."""
    rows = rows_of(tmp_path, "inputs", "a", "b")
    for part in range(3):
        rows.append({"a": np.array([part, 2], "int64"), "b": np.array([[3, 4], [5, 6]], "int8")})
    same(rows.finish(), [[0, 3, 4], [2, 5, 6], [1, 3, 4], [2, 5, 6], [2, 3, 4], [2, 5, 6]], "int8")


def test_lists_of_lists_are_only_alone(tmp_path: Path) -> None:
    """They keep their shape."""
    nested: Any = np.zeros((2, 3, 4))
    rows = rows_of(tmp_path, "inputs", "a", is_whole=False)
    rows.append({"a": nested})
    same(rows.finish(), nested, "float32")
    with pytest.raises(CellError, match="lists of lists"):
        rows_of(tmp_path, "inputs", "a", "b").append({"a": nested, "b": nested})


def test_a_weight_is_a_number(tmp_path: Path) -> None:
    """It is float32; a list is refused."""
    rows = rows_of(tmp_path, "weights", "w")
    rows.append({"w": np.array([1, 2], "int64")})
    same(rows.finish(), [1, 2], "float32")
    with pytest.raises(CellError, match="single number"):
        rows_of(tmp_path, "weights", "w").append({"w": np.ones((2, 2))})


def test_a_number_that_float32_does_not_hold_is_refused(tmp_path: Path) -> None:
    """With its row; infinity in the file is left to the check of all data sets."""
    rows = rows_of(tmp_path, "targets", "y", is_whole=False)
    rows.append({"y": np.asarray([np.inf, 3.4e38])})
    with pytest.raises(CellError, match="1e\\+39 is too large") as caught:
        rows.append({"y": np.asarray([1.0, 1e39])})
    assert caught.value.row == 1


def test_targets_of_all_parts_are_of_one_dtype(tmp_path: Path) -> None:
    """While they are collected they take less, and count as what they become."""
    rows = rows_of(tmp_path, "targets", "y")
    for values in ([1, 2], [-(2**40), 300]):
        rows.append({"y": np.array(values, "int64")})
    assert rows.held_bytes == 32
    same(rows.finish(), [1, 2, -(2**40), 300], "int64")
