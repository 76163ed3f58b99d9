"""Rows of a CSV have the lines that an editor shows."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from job.datasets import csv_lines
from job.datasets.csv_lines import header_of, line_of, rows_of
from job.errors import InputError


def test_rows_start_at_lines(tmp_path: Path) -> None:
    """Empty lines and line breaks in cells count as lines, and not as rows."""
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbf\r\na,b\r\n"1\r\n\r\n2",3\n\n4,5\r6,7')
    rows = list(rows_of(path, ","))
    assert [line for line, _ in rows] == [2, 3, 7, 8]
    assert rows[1][1] == ["1\r\n\r\n2", "3"]
    assert header_of(path, ",") == ["a", "b"]
    assert [line_of(path, ",", row) for row in range(3)] == [3, 7, 8]
    with pytest.raises(InputError, match="shorter"):
        line_of(path, ",", 3)


def test_a_long_row_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of one line nor of many; the limit of Python's own reader is put back."""
    monkeypatch.setattr(csv_lines, "ROW_BYTES", 100)
    limit = csv.field_size_limit()
    path = tmp_path / "a.csv"
    for text in ("1," * 51, '"' + "1\n" * 51):
        path.write_text("a,b\n1,2\n" + text)
        with pytest.raises(InputError, match="longer than 100 bytes") as caught:
            list(rows_of(path, ","))
        assert caught.value.where == f"{path}, line 3"
        assert csv.field_size_limit() == limit
    path.write_text("é" * 98 + "\n1\n")
    assert header_of(path, ",") == ["é" * 98]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"a,\xe9\n1,2\n", "byte 2"),
        (b'a,"b\n\xe9",y\n1,2,0\n', "line 1"),
        (b"\n\xe9,b\n1,2\n", "line 2"),
        (b"a,\xe9\r1,2\r", "byte 2"),
    ],
)
def test_the_whole_header_is_utf8(content: bytes, place: str, tmp_path: Path) -> None:
    """Below an empty line, and behind a line break in a cell, too."""
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not UTF-8") as caught:
        header_of(path, ",")
    assert caught.value.where == f"{path}, {place}"
