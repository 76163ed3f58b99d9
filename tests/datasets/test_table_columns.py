"""The dtype of whole numbers, and texts in messages."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from job.datasets.table_columns import CellError, Column, Span, listed, shown
from job.manifest.data_fields import ColumnConfig


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0.0, 255.0], "uint8"),
        ([-1.0, 127.0], "int8"),
        ([256.0], "uint16"),
        ([-1.0, 255.0], "int16"),
        ([2.0**31], "int64"),
        ([2.0**53 - 1], "int64"),
        ([2.0**53], "float32"),
        ([0.5, 1.0], "float32"),
        ([np.inf, 1.0], "float32"),
        ([np.nan, 1.0], "float32"),
    ],
)
def test_the_smallest_integers_that_hold_the_numbers(values: list[float], dtype: str) -> None:
    """Floats of a CSV are whole where float64 is exact."""
    span = Span.of_values(np.asarray(values))
    assert span is not None
    assert span.dtype == np.dtype(dtype)


def test_spans_are_joined() -> None:
    """Of integers and integers the range of both; with fractions, not whole."""
    one, two = Span.of_values(np.array([3, 200], "uint8")), Span.of_values(np.array([-5], "int8"))
    assert one is not None
    assert two is not None
    assert (one | two) == Span(True, -5, 200)
    assert not (one | Span(is_whole=False)).is_whole
    assert Span.of_values(np.empty(0)) is None


def test_a_vocabulary_may_have_the_empty_text() -> None:
    """Then an empty cell is that text; a null is empty all the same."""
    column = Column("a", ColumnConfig(vocabulary=["x", ""], missing="x"), None)
    values, empty = column.read(pa.array(["", None, "x", ""]))
    assert (values.tolist(), empty) == ([1, 0, 0, 1], 1)
    column = Column("a", ColumnConfig(vocabulary=["x", ""]), 0.0)
    with pytest.raises(CellError) as caught:
        column.read(pa.array(["", None]))
    assert caught.value.row == 1


def test_sliced_lists_are_read() -> None:
    """Arrow's arrays may begin within their values."""
    lists = pa.array([[1, 2], [3, 4], [5, 6]])[1:]
    values, _ = Column("a", ColumnConfig(), None).read(lists)
    assert values.tolist() == [[3, 4], [5, 6]]


def test_long_texts_are_cut_in_messages() -> None:
    """A text after a hundred characters, a list after twenty."""
    assert shown("a" * 101) == repr("a" * 100 + "...")
    assert listed(["b"]) == '["b"]'
    assert listed(str(it) for it in range(30)).endswith('"19", ...]')
