"""A column of a table -> an array: numbers, lists of numbers, and texts of a vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from job.manifest.data_fields import ColumnConfig
from job.rows.lazy import Array

# Cells of a CSV are parsed as float64, which has all whole numbers up to this; the next one is
# rounded to it.
EXACT = 2**53
WHOLE = tuple(np.dtype(name) for name in ("u1", "i1", "u2", "i2", "i4", "i8"))
# Of texts in messages.
SHOWN_CHARACTERS = 100
SHOWN_TEXTS = 20


class CellError(Exception):
    """A cell that is refused; the caller knows the file."""

    def __init__(self, row: int, what: str, hint: str, column: str | None = None) -> None:
        super().__init__(what)
        self.row, self.what, self.hint, self.column = row, what, hint, column


@dataclass(frozen=True)
class Span:
    """What numbers a column has."""

    is_whole: bool
    low: float = 0
    high: float = 0

    def __or__(self, other: Span) -> Span:
        return Span(
            self.is_whole and other.is_whole, min(self.low, other.low), max(self.high, other.high)
        )

    @classmethod
    def of_values(cls, values: Array) -> Span | None:
        """Of the numbers of an array; None for none."""
        if not values.size:
            return None
        if values.dtype.kind == "b":
            return cls(True, 0, 1)
        low, high = values.min().item(), values.max().item()
        if values.dtype.kind in "iu":
            return cls(True, low, high)
        is_whole = max(-low, high) < EXACT and bool((np.floor(values) == values).all())
        return cls(is_whole, low, high)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest integers that hold whole numbers, else float32."""
        if not self.is_whole:
            return np.dtype(np.float32)
        for dtype in WHOLE:
            if np.iinfo(dtype).min <= self.low and self.high <= np.iinfo(dtype).max:
                return dtype
        return np.dtype(np.int64)


@dataclass(frozen=True)
class Column:
    """How a column is read.

    Args:
        name: Its name in the file.
        config: What the manifest says about it.
        missing: The data set's value for empty cells.
    """

    name: str
    config: ColumnConfig
    missing: float | None

    @property
    def is_text(self) -> bool:
        """Whether its cells are texts of a vocabulary."""
        return self.config.vocabulary is not None

    @property
    def fill(self) -> float | None:
        """What empty cells of numbers count as; None: they are refused."""
        given = self.config.missing
        return self.missing if given is None or isinstance(given, str) else given

    @property
    def text_span(self) -> Span:
        """What numbers the texts become."""
        return Span(True, 0, 1 if self.config.one_hot else len(self.config.vocabulary or ()) - 1)

    def read(self, cells: pa.Array) -> tuple[Array, int]:
        """The column as (n, ...), and how many empty cells were filled.

        Returns:
            Numbers in the file's dtype (where empty integers are filled with fractions: float64),
            (n,), or (n, ...) for lists; texts as int64 (n,), or uint8 (n, vocabulary) with
            ``one_hot``.

        Raises:
            CellError: With the row.
        """
        return self._texts(cells) if self.is_text else self._numbers(cells)

    def _texts(self, cells: pa.Array) -> tuple[Array, int]:
        words = self.config.vocabulary or []
        instead = self.config.missing
        if not pa.types.is_dictionary(cells.type):
            cells = cells.cast(pa.string()).dictionary_encode()
        words_of = pc.index_in(cells.dictionary.cast(pa.string()), pa.array(words, pa.string()))
        # Two more for what is unknown, and what is empty.
        unknown = len(words)
        places = np.append(words_of.fill_null(unknown).to_numpy(zero_copy_only=False), unknown + 1)
        texts = texts_of(cells.dictionary)
        places[:-1][[text is None or (text == "" and "" not in words) for text in texts]] = (
            unknown + 1
        )
        last = len(places) - 1
        codes = cells.indices.fill_null(last).to_numpy(zero_copy_only=False)
        found = places[codes].astype(np.int64)
        is_empty = found == unknown + 1
        empty = int(is_empty.sum())
        if empty and not isinstance(instead, str):
            raise self._is_empty(int(is_empty.argmax()))
        if empty:
            found[is_empty] = words.index(str(instead))
        if (found == unknown).any():
            row = int((found == unknown).argmax())
            raise CellError(
                row,
                f"{shown(texts[codes[row]] or '')} is not in the vocabulary of {self.name!r}.",
                f"The vocabulary: {listed(words)}. Correct the cell, or add the text to "
                f"dataset.columns ({self.name}).",
            )
        if self.config.one_hot:
            return np.asarray(found[:, None] == np.arange(len(words)), np.uint8), empty
        return found, empty

    def _numbers(self, cells: pa.Array) -> tuple[Array, int]:
        if not is_list(cells.type):
            return self._filled(cells, 1)
        shape: list[int] = []
        rows = len(cells)
        while is_list(cells.type):
            if cells.null_count:
                row = int(cells.is_null().index(True).as_py()) // max(1, int(np.prod(shape)))
                raise CellError(
                    row, f"{self.name!r} has no list.", "Give every row a list of one length."
                )
            lengths = pc.list_value_length(cells).to_numpy(zero_copy_only=False)
            if len(lengths) and (lengths != lengths[0]).any():
                row = int((lengths != lengths[0]).argmax())
                raise CellError(
                    row // max(1, int(np.prod(shape))),
                    f"The lists of {self.name!r} have different lengths: {lengths[0]} and "
                    f"{lengths[row]}.",
                    "Pad or cut them to one length.",
                )
            if not lengths.any():
                raise CellError(
                    0, f"The lists of {self.name!r} are empty.", "Give every row numbers."
                )
            shape.append(int(lengths[0]))
            cells = cells.flatten()
        values, empty = self._filled(cells, max(1, int(np.prod(shape))))
        return values.reshape(rows, *shape), empty

    def _filled(self, cells: pa.Array, per_row: int) -> tuple[Array, int]:
        """Numbers, none of them empty."""
        empty = int(cells.null_count)
        if pa.types.is_null(cells.type):
            cells = cells.cast(pa.float64())
        if empty:
            if self.fill is None:
                raise self._is_empty(int(cells.is_null().index(True).as_py()) // per_row)
            cells = cells.cast(pa.float64() if self._needs_float(cells.type) else pa.int64())
            cells = cells.fill_null(pa.scalar(self.fill).cast(cells.type))
        values: Array = cells.to_numpy(zero_copy_only=False)
        if self.fill is not None and values.dtype.kind == "f" and np.isnan(values).any():
            empty += int(np.isnan(values).sum())  # an empty cell of some libraries
            values = np.where(np.isnan(values), values.dtype.type(self.fill), values)
        return (values.astype(np.float32) if values.dtype == np.float16 else values), empty

    def _needs_float(self, type_: pa.DataType) -> bool:
        return pa.types.is_floating(type_) or not float(self.fill or 0).is_integer()

    def _is_empty(self, row: int) -> CellError:
        more = "" if self.is_text else ", or dataset.missing"
        return CellError(
            row,
            f"A cell of {self.name!r} is empty.",
            f"Fill it, or set what empty cells count as: dataset.columns ({self.name}).missing"
            f"{more}.",
        )


def is_list(type_: pa.DataType) -> bool:
    """Whether cells are lists."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(type_) for is_kind in kinds)


def texts_of(cells: pa.Array) -> list[str | None]:
    """The texts of an array; a Parquet file may have some that are not UTF-8, which is replaced."""
    found = cells.cast(pa.string()).cast(pa.binary()).to_pylist()
    return [None if text is None else text.decode("utf-8", "replace") for text in found]


def shown(text: str) -> str:
    """A text of a file in a message."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "...")


def listed(texts: Iterable[str]) -> str:
    """The first texts, as a manifest has them."""
    found = list(texts)
    some = [f'"{text[:SHOWN_CHARACTERS]}"' for text in found[:SHOWN_TEXTS]]
    return "[" + ", ".join([*some, "..."] if len(found) > SHOWN_TEXTS else some) + "]"
