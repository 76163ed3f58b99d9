"""Parquet files -> a data set; see ``table_files.py`` for what becomes of their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from job.datasets.source import Opened, Source
from job.datasets.table_columns import Span, is_list
from job.datasets.table_files import open_tables, vocabulary_hint
from job.errors import InputError
from job.manifest.datasets import ParquetConfig
from job.rows.lazy import PART_BYTES
from job.text import first_line

# Of one row, decoded.
ROW_BYTES = 1 << 28
BATCH_ROWS = 1 << 16
BUFFER_BYTES = 1 << 20
ITEM_BYTES = 8
ENCRYPTED = b"PARE"
# What pyarrow raises for corrupt files; the last one for names.
UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)


def open_parquet(source: Source, config: ParquetConfig) -> Opened:
    """Read the columns that the manifest names, some rows at a time.

    Columns are numbers, booleans, texts with a vocabulary, or (nested) lists of numbers.

    Args:
        source: The files; columns are matched by their names.
        config: Which columns are what.

    Returns:
        The rows; for shapes and dtypes see ``open_tables``.

    Raises:
        InputError: Where a file is corrupt or encrypted, a column is missing or of a type that has
            no numbers, a cell is null or not in its vocabulary, or lists have different lengths.
    """
    return open_tables(source, config, ParquetTable)


class ParquetTable:
    """One file."""

    missing_hint = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as start:
                if start.read(len(ENCRYPTED)) == ENCRYPTED:
                    raise self._is_encrypted()
            schema = pq.read_schema(path)
            texts = [field.name for field in schema if is_string(field.type)]
            # Texts stay in dictionaries: a long one that is in each row is in memory once.
            self._file = pq.ParquetFile(
                path, read_dictionary=texts, pre_buffer=False, buffer_size=BUFFER_BYTES
            )
        except UNREADABLE as error:
            raise self._is_corrupt(error) from None
        self._schema = self._file.schema_arrow
        self.names: list[str] = list(self._schema.names)

    def place(self, row: int) -> str:
        """Where a row is, from 0."""
        return f"row {row + 1}"

    def declared(self, column: str) -> Span | None:
        """What numbers the column's type has.

        Raises:
            InputError: Where it has none.
        """
        type_ = self._schema.field(column).type
        where = f"{self.path}, column {column!r}"
        if is_string(type_):
            raise InputError(
                f"The column {column!r} has texts where numbers are expected.",
                where=where,
                hint=vocabulary_hint(self, column) or "Store the numbers as numbers.",
            )
        while is_list(type_):
            type_ = type_.value_type
        if pa.types.is_floating(type_) or pa.types.is_null(type_):
            return Span(is_whole=False)
        if pa.types.is_boolean(type_):
            return Span(True, 0, 1)
        if pa.types.is_integer(type_):
            bounds = np.iinfo(type_.to_pandas_dtype())
            return Span(True, float(bounds.min), float(bounds.max))
        raise InputError(
            f"The column {column!r} is of {type_}, which is not read as numbers.",
            where=where,
            hint="Store it as a number, a text, or a list of numbers.",
        )

    def batches(self, columns: Mapping[str, bool]) -> Iterator[pa.RecordBatch]:
        """The rows, part by part; texts are dictionaries.

        Raises:
            InputError: Where the file is corrupt, or a row is too large.
        """
        for name, is_text in columns.items():
            self._check_text(name, is_text=is_text)
        try:
            # pyarrow's access to the metadata of columns aborts the process where they are corrupt.
            # This decodes the columns in little memory, and raises.
            self._file.scan_contents(list(columns), batch_size=BATCH_ROWS)
            for group in range(self._file.num_row_groups):
                rows = self._batch_rows(group, columns)
                yield from self._file.iter_batches(
                    rows, row_groups=[group], columns=list(columns), use_threads=False
                )
        except UNREADABLE as error:
            raise self._is_corrupt(error) from None

    def _check_text(self, name: str, *, is_text: bool) -> None:
        type_ = self._schema.field(name).type
        is_whole = pa.types.is_integer(type_) or pa.types.is_boolean(type_)
        if is_text and not (is_string(type_) or is_whole or pa.types.is_null(type_)):
            raise InputError(
                f"The column {name!r} is of {type_}, and has a vocabulary.",
                where=f"{self.path}, column {name!r}",
                hint="A vocabulary is for texts; leave it out, or store the column as texts.",
            )

    def _batch_rows(self, group: int, columns: Mapping[str, bool]) -> int:
        """So many rows that what is decoded is bounded, by what the file declares."""
        found = self._file.metadata.row_group(group)
        size = 0
        for index in range(found.num_columns):
            chunk = found.column(index)
            if any(f"{chunk.path_in_schema}.".startswith(f"{name}.") for name in columns):
                # Few bytes may be many numbers (run lengths), and few texts many bytes.
                size += max(chunk.num_values * ITEM_BYTES, chunk.total_uncompressed_size)
        row_bytes: int = -(-size // max(1, found.num_rows))
        if row_bytes > ROW_BYTES:
            raise InputError(
                f"A row has {row_bytes:,} bytes; at most {ROW_BYTES:,} are read.",
                where=f"{self.path}, row group {group}",
                hint="Give rows of so many numbers as .npy files.",
            )
        return max(1, min(BATCH_ROWS, PART_BYTES // max(1, row_bytes)))

    def _is_corrupt(self, error: Exception) -> InputError:
        text = str(error).lower()
        if "encrypt" in text or "decrypt" in text:
            return self._is_encrypted()
        return InputError(
            f"The file is no readable Parquet file: {first_line(error)}.",
            where=str(self.path),
            hint="Check that it was copied completely, or write it again.",
        )

    def _is_encrypted(self) -> InputError:
        return InputError(
            "The file is encrypted.", where=str(self.path), hint="Write it without encryption."
        )


def is_string(type_: pa.DataType) -> bool:
    """Whether cells are texts."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_kind(type_) for is_kind in kinds)
