"""CSV files -> a data set; see ``table_files.py`` for what becomes of their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from job.datasets.csv_lines import ROW_BYTES, header_of, line_of, not_utf8, rows_of
from job.datasets.source import Opened, Source
from job.datasets.table_columns import Span, shown
from job.datasets.table_files import open_tables, vocabulary_hint
from job.errors import InputError
from job.manifest.datasets import CsvConfig
from job.text import first_line

# What counts as an empty cell of a column of numbers. In columns of texts only "" does.
EMPTY = ["", "NA", "N/A", "#N/A", "NULL", "Null", "null", "NaN", "NAN", "nan", "-NaN", "-nan"]


def open_csv(source: Source, config: CsvConfig) -> Opened:
    """Read the columns that the manifest names, block by block.

    Files are UTF-8, with or without a byte order mark; cells may be quoted, and then have line
    breaks. Empty lines are no rows. Columns that are not named are not decoded. All numbers are
    parsed as float64; they count as whole where each of them is, in all splits.

    Args:
        source: The files; columns are matched by their names.
        config: Which columns are what.

    Returns:
        The rows; for shapes and dtypes see ``open_tables``.

    Raises:
        InputError: With the line: where a row has too few or too many cells, a cell is empty, no
            number, or not in its vocabulary, or a file has no such column.
    """
    return open_tables(source, config, lambda path: CsvTable(path, config))


class CsvTable:
    """One file."""

    def __init__(self, path: Path, config: CsvConfig) -> None:
        self.path, self._config = path, config
        self.names = header_of(path, config.delimiter)

    @property
    def missing_hint(self) -> str:
        """What else may be wrong where a column is missing."""
        try:
            [float(name.replace(self._config.decimal, ".")) for name in self.names]
        except ValueError:
            if len(self.names) == 1:
                return f" Check dataset.delimiter, which is {self._config.delimiter!r}."
            return ""
        return " The first line has only numbers: it should name the columns."

    def place(self, row: int) -> str:
        """Where a row is, from 0."""
        return f"line {line_of(self.path, self._config.delimiter, row)}"

    def declared(self, column: str) -> Span | None:  # noqa: ARG002 - Parquet has types
        """Cells are texts: they have to be read."""
        return None

    def batches(self, columns: Mapping[str, bool]) -> Iterator[pa.RecordBatch]:
        """The rows, part by part: texts where a column's value is true, else float64.

        Raises:
            InputError: Where the file is malformed, or a cell is no number or not UTF-8.
        """
        types = {
            name: pa.string() if is_text else pa.float64() for name, is_text in columns.items()
        }
        try:
            yield from self._read(types)
        except pa.ArrowException as error:
            raise self._explained(error, columns) from None

    def _read(self, types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        if not self._has_rows():
            return
        # Not by its path: pyarrow would decompress it by the name's suffix.
        with pa.OSFile(str(self.path)) as file:
            yield from csv.open_csv(
                file,
                csv.ReadOptions(use_threads=False, block_size=ROW_BYTES),
                csv.ParseOptions(
                    delimiter=self._config.delimiter,
                    newlines_in_values=True,
                ),
                csv.ConvertOptions(
                    column_types=dict(types),
                    include_columns=list(types),
                    null_values=EMPTY,
                    strings_can_be_null=False,
                    decimal_point=self._config.decimal,
                ),
            )

    def _has_rows(self) -> bool:
        """Whether there is more than the header, which pyarrow refuses without a line break."""
        rows = rows_of(self.path, self._config.delimiter)
        return next(rows, None) is not None and next(rows, None) is not None

    def _check_cells(self) -> None:
        """Refuse the first row with too few or too many cells, or that is too long.

        pyarrow's own handler of such rows is not used: it fails where one is not UTF-8.
        """
        wanted = len(self.names)
        for line, cells in rows_of(self.path, self._config.delimiter):
            if len(cells) != wanted:
                raise InputError(
                    f"The row has {len(cells):,} cells, and the header {wanted:,}.",
                    where=f"{self.path}, line {line}",
                    hint="Check the row for a missing or an additional delimiter "
                    f"({self._config.delimiter!r}), and for a quote that is not closed.",
                )

    def _explained(self, error: pa.ArrowException, columns: Mapping[str, bool]) -> InputError:
        """What pyarrow has refused, found by reading again without converting."""
        start = 0
        try:
            for batch in self._read(dict.fromkeys(columns, pa.binary())):
                found = {
                    name: self._first_bad(batch[name], is_text=is_text)
                    for name, is_text in columns.items()
                }
                bad = [(row, name) for name, row in found.items() if row is not None]
                if bad:
                    row, name = min(bad)
                    return self._is_bad(name, start + row, batch[name][row].as_py())
                start += len(batch)
        except pa.ArrowException:
            self._check_cells()
        return InputError(
            f"The file is no readable CSV: {first_line(error)}.",
            where=str(self.path),
            hint="Write it with a CSV library, such as pandas.DataFrame.to_csv(path, index=False).",
        )

    def _first_bad(self, cells: pa.Array, *, is_text: bool) -> int | None:
        try:
            self._convert(cells, is_text=is_text)
        except pa.ArrowInvalid:
            if len(cells) == 1:
                return 0
            half = len(cells) // 2
            found = self._first_bad(cells[:half], is_text=is_text)
            if found is not None:
                return found
            found = self._first_bad(cells[half:], is_text=is_text)
            return None if found is None else half + found
        return None

    def _convert(self, cells: pa.Array, *, is_text: bool) -> None:
        texts = cells.cast(pa.string())
        if is_text:
            return
        texts = texts.filter(pc.invert(pc.is_in(texts, pa.array(EMPTY))))
        if self._config.decimal == ",":
            texts = pc.replace_substring(pc.replace_substring(texts, ".", "x"), ",", ".")
        pc.utf8_trim(texts, " \t").cast(pa.float64())

    def _is_bad(self, name: str, row: int, value: bytes) -> InputError:
        where = f"{self.path}, {self.place(row)}, column {name!r}"
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            return not_utf8(where)
        return InputError(
            f"The cell has {shown(text)} where a number is expected.",
            where=where,
            hint=vocabulary_hint(self, name) or self._hint_of_number(text),
        )

    def _hint_of_number(self, text: str) -> str:
        decimal = self._config.decimal
        other = "," if decimal == "." else "."
        try:
            float(text.replace(other, ".") if decimal == "." else text)
        except ValueError:
            return "Correct the cell."
        if other not in text:
            return "Correct the cell."
        return f"Correct the cell, or set dataset.decimal, which is {decimal!r}, to {other!r}."
