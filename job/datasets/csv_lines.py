"""The rows of a CSV file with the lines they start at, in bounded memory."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from job.errors import InputError

# A row with its line breaks is at most so long.
ROW_BYTES = 1 << 23


def rows_of(path: Path, delimiter: str, errors: str = "replace") -> Iterator[tuple[int, list[str]]]:
    """Each row that is not an empty line: the line it starts at, from 1, and its cells.

    Args:
        path: The file.
        delimiter: What is between cells.
        errors: What becomes of bytes that are not UTF-8, as in ``open``.

    Raises:
        InputError: Where a row is longer than ``ROW_BYTES``.
    """
    limit = csv.field_size_limit(ROW_BYTES)
    try:
        with path.open(encoding="utf-8-sig", errors=errors, newline="") as file:
            lines = _Lines(file, path)
            reader = csv.reader(lines, delimiter=delimiter)
            for cells in reader:
                if cells:
                    yield lines.first, cells
                lines.start_row()
    finally:
        csv.field_size_limit(limit)


def line_of(path: Path, delimiter: str, row: int) -> int:
    """The line at which a row starts; ``row`` counts from 0 and without the header.

    Raises:
        InputError: Where a row before it is longer than ``ROW_BYTES``.
    """
    for index, (line, _) in enumerate(rows_of(path, delimiter)):
        if index == row + 1:
            return line
    raise InputError(
        "The file has become shorter while it was read.",
        where=str(path),
        hint="Run again once nothing writes to it.",
    )


def header_of(path: Path, delimiter: str) -> list[str]:
    """The names of the columns: the first line that is not empty.

    Raises:
        InputError: Where there is none, or it is not UTF-8 or too long.
    """
    with path.open("rb") as file:
        start = file.read(ROW_BYTES)
    end = start.find(b"\n") + 1 or len(start)
    try:
        # Not all of the last character may be here.
        codecs.getincrementaldecoder("utf-8")().decode(start[:end])
    except UnicodeDecodeError as error:
        raise not_utf8(f"{path}, byte {error.start:,}") from None
    for line, cells in rows_of(path, delimiter, "surrogateescape"):
        # The header may begin below an empty line, and have line breaks in its cells.
        if _has_escapes(cells):
            raise not_utf8(f"{path}, line {line}")
        return cells
    raise InputError(
        "The file is empty.",
        where=str(path),
        hint="A CSV starts with a line that names the columns.",
    )


def _has_escapes(cells: list[str]) -> bool:
    """Whether bytes were not UTF-8."""
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return True
    return False


def not_utf8(where: str) -> InputError:
    """The error for bytes that are no text."""
    return InputError(
        "The file is not UTF-8.",
        where=where,
        hint="Save it as UTF-8: iconv -f WINDOWS-1252 -t UTF-8 old.csv > new.csv.",
    )


class _Lines:
    """The lines of a file, none of them read further than a row may be long."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self._file, self._path = file, path
        self._size = self._read = 0
        self.first = 1

    def start_row(self) -> None:
        """The next line is the first one of a row."""
        self.first, self._size = self._read + 1, 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(ROW_BYTES + 1 - self._size)
        if not line:
            raise StopIteration
        self._read += 1
        self._size += len(line)
        if self._size > ROW_BYTES:
            raise InputError(
                f"A row is longer than {ROW_BYTES:,} bytes.",
                where=f"{self._path}, line {self.first}",
                hint="Check for a quote that is not closed. Give rows of so many numbers as .npy "
                "or Parquet.",
            )
        return line
