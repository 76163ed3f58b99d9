"""Columns of plain text."""

from __future__ import annotations

from job.report.aligned import aligned


def test_columns_are_as_wide_as_their_longest_cells() -> None:
    """Words stand on the left, numbers on the right, and nothing follows the last cell."""
    rows = [["a", "bbb", "c"], ["aaa", "b", ""]]
    assert list(aligned(rows)) == ["a    bbb  c", "aaa  b"]
    assert list(aligned(rows, right=True)) == ["  a  bbb  c", "aaa    b"]
