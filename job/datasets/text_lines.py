"""Text files, line by line or as the rows of a CSV; a line's length is bounded."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from job.errors import InputError

MAX_LINE_BYTES = 1 << 20


def place(path: Path, line: int) -> str:
    """What errors name; lines are counted from 1."""
    return f"{path}, line {line:,}"


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, without their ends (LF or CR LF).

    Args:
        path: A file in UTF-8; a byte order mark at its beginning is left out.

    Returns:
        Each line's number, from 1, and its text.

    Raises:
        InputError: Where a line is not UTF-8, or has more than 1 MiB.
    """
    for number, text in _whole_lines(path):
        yield number, text.removesuffix("\n").removesuffix("\r")


def rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV, the header too; a quoted cell may hold line breaks. Empty lines are no
    rows.

    Args:
        path: A file in UTF-8; a byte order mark at its beginning is left out.
        delimiter: What is between cells.

    Returns:
        The number of each row's first line, from 1, and its cells.

    Raises:
        InputError: Where a line is not UTF-8, a row has more than 1 MiB, or quotes are wrong.
    """
    taken = 0

    def of_row() -> Iterator[str]:
        nonlocal taken
        for number, text in _whole_lines(path):
            taken += len(text)
            if taken > MAX_LINE_BYTES:
                raise _too_long("row", path, number)
            yield text

    csv.field_size_limit(MAX_LINE_BYTES)  # the module's own limit is 128 KiB
    reader = csv.reader(of_row(), delimiter=delimiter, strict=True)
    while True:
        taken, number = 0, reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            if "new-line character" in str(error):
                raise InputError(
                    "The line has a carriage return (CR) that does not end it with a line feed.",
                    where=place(path, number),
                    hint="Convert the line ends to LF (tr '\\r' '\\n' < old.csv > new.csv), or "
                    "quote the cell.",
                ) from None
            raise InputError(
                f"The row can't be read: {error}.",
                where=place(path, number),
                hint='A cell with quotes is quoted itself, and its quotes are doubled: "a ""b""".',
            ) from None
        if row is None:
            return
        if row:
            yield number, row


def _whole_lines(path: Path) -> Iterator[tuple[int, str]]:
    """With their ends."""
    encoding = "utf-8-sig"
    with path.open("rb") as file:
        number = 0
        while content := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(content) > MAX_LINE_BYTES:
                raise _too_long("line", path, number)
            try:
                yield number, content.decode(encoding)
            except UnicodeDecodeError as error:
                raise InputError(
                    f"The line is not UTF-8: {error.reason} at byte {error.start + 1:,}.",
                    where=place(path, number),
                    hint="Convert the file: iconv -f LATIN1 -t UTF-8.",
                ) from None
            encoding = "utf-8"


def _too_long(what: str, path: Path, number: int) -> InputError:
    return InputError(
        f"The {what} has more than {MAX_LINE_BYTES:,} bytes.",
        where=place(path, number),
        hint="Split or shorten its text; a quote that is not closed makes a CSV's row long, "
        "and so do line ends of CR alone.",
    )
