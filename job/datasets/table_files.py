"""Tables -> a data set: what CSV and Parquet share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from job import machine
from job.datasets.source import Opened, Source, SplitRows, matching, shared
from job.datasets.table_columns import (
    SHOWN_CHARACTERS,
    SHOWN_TEXTS,
    CellError,
    Column,
    Span,
    listed,
    texts_of,
)
from job.datasets.table_plan import Slot, aligned, decisions_of, resolved, slots_of
from job.datasets.table_rows import SlotRows
from job.errors import InputError
from job.manifest.data_fields import ColumnConfig, TableSplitConfig
from job.manifest.datasets import TableConfig
from job.rows.lazy import Array
from job.text import first_line

# Of the targets and weights of all splits.
MAX_HELD_BYTES = 1 << 30


class Table(Protocol):
    """One file."""

    path: Path
    names: list[str]
    """The columns in the file's order."""

    @property
    def missing_hint(self) -> str:
        """What else may be wrong where a column is missing; a sentence after a space, or empty."""

    def declared(self, column: str) -> Span | None:
        """The numbers that a column may have by its type; None where the cells decide."""

    def batches(self, columns: Mapping[str, bool]) -> Iterator[pa.RecordBatch]:
        """Some columns, part by part: name -> whether its cells are read as texts."""

    def place(self, row: int) -> str:
        """Where in the file a row is, from 0."""


def open_tables(source: Source, config: TableConfig, open_file: Callable[[Path], Table]) -> Opened:
    """Read the columns that the manifest names.

    A column is (rows,); of inputs it is (rows, 1), if the model's input has an axis. A list of
    columns, or a pattern, is stacked: (rows, n). A column of lists is (rows, n), or (rows, n, m).
    An array has the smallest integers that hold the numbers (of targets int64) where all of its
    columns are whole in all splits, else float32; weights are float32. The files are read twice
    where cells, and not types, decide that.

    Args:
        source: The files.
        config: Which columns are what.
        open_file: Opens one file.

    Raises:
        InputError: Where a file can't be read, or a column or cell is not as the manifest says.
    """
    reader = _Reader(source, config)
    files = {which: reader.plan(which, split, open_file) for which, split in config.splits.items()}
    reader.warnings += shared(files)
    reader.check_columns()
    spans = reader.spans()
    splits = {split.which: reader.read(split, spans) for split in reader.splits}
    return Opened.of(splits, reader.decisions, reader.warnings)


def vocabulary_hint(table: Table, column: str) -> str:
    """What to do about a column that has texts; empty where most of its texts are numbers."""
    found: dict[str, None] = {}
    for batch in table.batches({column: True}):
        cells = batch[column]
        texts = texts_of(cells.dictionary if pa.types.is_dictionary(cells.type) else cells.unique())
        found |= dict.fromkeys(text for text in texts if text)
        if len(found) > SHOWN_TEXTS:
            break
    if sum(_is_number(text) for text in found) * 2 > len(found):
        return ""
    if any(len(text) > SHOWN_CHARACTERS for text in found):
        return "Leave the column out, or use texts with dataset.type text."
    return (
        f'If it is categorical, set dataset.columns: {{"{column}": {{"vocabulary": '
        f"{listed(found)}}}}}, in the order that the model was trained with."
    )


@dataclass(frozen=True)
class _Split:
    """The tables of a split."""

    which: str
    tables: list[Table]
    """In the sorted order of the files' names."""
    slots: list[Slot]
    """In the first table."""

    @property
    def columns(self) -> list[str]:
        """Every column, once."""
        return list(dict.fromkeys(name for slot in self.slots for name in slot.columns))


@dataclass
class _Reader:
    """All splits of a data set."""

    source: Source
    config: TableConfig
    held_bytes: int = 0
    """Of the targets and weights of the splits that were read."""
    splits: list[_Split] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def plan(
        self, which: str, config: TableSplitConfig, open_file: Callable[[Path], Table]
    ) -> list[str]:
        """Find the files and columns of a split; the names of the files."""
        files = matching(self.source, config.files, f"dataset.{which}.files")
        tables = [open_file(path) for path in files.values()]
        asked = slots_of(which, config, self.source)
        first = self.splits[0].slots if self.splits else []
        slots: list[Slot] = []
        for table in tables:
            place = str(table.path)
            there = resolved(asked, table.names, place, table.missing_hint)
            there = aligned(there, slots or first, place)
            slots = slots or there
        self.decisions += decisions_of(slots, tables[0].names)
        self.splits.append(_Split(which, tables, slots))
        return [*files]

    def check_columns(self) -> None:
        """Refuse a column of ``dataset.columns`` that no split uses."""
        used = {name for split in self.splits for name in split.columns}
        unused = [name for name in self.config.columns if name not in used]
        if unused:
            raise InputError(
                f"dataset.columns has {unused[0]!r}, and no split names such a column.",
                where="dataset.columns",
                hint="Check the name, or leave it out.",
            )

    def column(self, name: str) -> Column:
        """How a column is read."""
        return Column(name, self.config.columns.get(name, ColumnConfig()), self.config.missing)

    def spans(self) -> dict[tuple[str, int], Span]:
        """The numbers of each array, in all splits together."""
        found: dict[tuple[str, int], Span] = {}
        for split in self.splits:
            columns = {name: self.column(name) for name in split.columns}
            for table in split.tables:
                spans = self._declared(table, columns)
                unknown = {name: it for name, it in columns.items() if name not in spans}
                spans |= self._seen(table, unknown)
                for slot in split.slots:
                    for span in (spans[it] for it in slot.columns if it in spans):
                        found[slot.key] = found[slot.key] | span if slot.key in found else span
        return found

    def _declared(self, table: Table, columns: Mapping[str, Column]) -> dict[str, Span]:
        found = {}
        for name, column in columns.items():
            span = column.text_span if column.is_text else table.declared(name)
            if span is None:
                continue
            is_filled = column.fill is not None and not column.is_text
            fill = Span.of_values(np.asarray([column.fill])) if is_filled else None
            found[name] = span | fill if fill else span
        return found

    def _seen(self, table: Table, columns: Mapping[str, Column]) -> dict[str, Span]:
        found: dict[str, Span] = {}
        for _, cells, _ in self._parts(table, columns):
            for name, values in cells.items():
                span = Span.of_values(values)
                if span is not None:
                    found[name] = found[name] | span if name in found else span
        return found

    def _parts(
        self, table: Table, columns: Mapping[str, Column]
    ) -> Iterator[tuple[int, dict[str, Array], Counter[str]]]:
        """The first row's index, each column's numbers, and how many empty cells it had."""
        start = 0
        if not columns:
            return
        for batch in table.batches({name: column.is_text for name, column in columns.items()}):
            if not len(batch):
                continue
            cells, filled = {}, Counter[str]()
            for name, column in columns.items():
                try:
                    cells[name], filled[name] = column.read(batch[name])
                except CellError as error:
                    raise _refused(table, start + error.row, name, error) from None
                except pa.ArrowException as error:
                    raise InputError(
                        f"The cells of {name!r} can't be read: {first_line(error)}.",
                        where=str(table.path),
                        hint="Store numbers of at most 64 bits, and texts in UTF-8.",
                    ) from None
            yield start, cells, filled
            start += len(batch)

    def read(self, split: _Split, spans: Mapping[tuple[str, int], Span]) -> SplitRows:
        """Put the rows into arrays, or onto the scratch disk."""
        arrays = [SlotRows(slot, self.source, spans.get(slot.key)) for slot in split.slots]
        columns = {name: self.column(name) for name in split.columns}
        filled, rows = Counter[str](), 0
        for table in split.tables:
            for start, cells, empty in self._parts(table, columns):
                filled += empty
                for array in arrays:
                    try:
                        array.append(cells)
                    except CellError as error:
                        name = error.column or ", ".join(array.slot.given)
                        raise _refused(table, start + error.row, name, error) from None
                rows += len(next(iter(cells.values())))
                self._check_memory(split, arrays)
        if not rows:
            raise InputError(
                f"The {split.which} split has no rows.",
                where=str(split.tables[0].path),
                hint="Check the file, and dataset." + split.which + ".files.",
            )
        for name, count in filled.items():
            column = columns[name]
            instead = column.config.missing if column.is_text else f"{column.fill:g}"
            self.decisions.append(f"{split.which}: {count:,} empty cells of {name} are {instead}")
        for array in arrays:
            self.warnings += array.warnings
            self.held_bytes += array.held_bytes
        return self._gathered(arrays)

    def _check_memory(self, split: _Split, arrays: Sequence[SlotRows]) -> None:
        """Refuse more targets and weights than fit into memory: few bytes may be many rows."""
        held = self.held_bytes + sum(array.held_bytes for array in arrays)
        most = min(MAX_HELD_BYTES, machine.memory_bytes() // 4)
        if held > most:
            raise InputError(
                f"The targets and weights take more than {most >> 20:,} MiB, and are read into "
                "memory.",
                where=f"dataset.{split.which}.targets",
                hint="Give fewer rows, or the job more memory (a quarter of it, and at most 1 GiB, "
                "is for them).",
            )

    def _gathered(self, arrays: Sequence[SlotRows]) -> SplitRows:
        done = {array.slot.key: array.finish() for array in arrays}
        weights: list[Array | None] = [
            done["weights", index][:] if ("weights", index) in done else None
            for index in range(len(self.source.outputs))
        ]
        return SplitRows(
            tuple(rows for (role, _), rows in done.items() if role == "inputs"),
            tuple(rows[:] for (role, _), rows in done.items() if role == "targets"),
            tuple(weights) if any(it is not None for it in weights) else (),
        )


def _refused(table: Table, row: int, name: str, error: CellError) -> InputError:
    where = f"{table.path}, {table.place(row)}, column {name!r}"
    return InputError(error.what, where=where, hint=error.hint)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
