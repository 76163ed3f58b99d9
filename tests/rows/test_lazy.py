"""Lazy rows look like an array, and give what the array would."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.errors import InputError
from job.rows import lazy
from job.rows.lazy import (
    Array,
    CachedRows,
    Indices,
    LazyRows,
    MappedRows,
    Rows,
    SelectedRows,
    StoredRows,
    between,
    in_memory,
    part_rows,
    parts,
    select,
    whole,
)

RANDOM = np.random.default_rng(0)
VALUES: Array = RANDOM.integers(0, 255, (50, 3, 2)).astype("uint8")
ORDERS: dict[str, Any] = {
    "all": np.arange(50),
    "backwards": np.arange(50)[::-1],
    "shuffled": RANDOM.permutation(50),
    "repeated": np.asarray([7, 7, 8, 9, 7, 49, 0]),
    "one": np.asarray([49]),
    "none": np.asarray([], np.int64),
}


def halves(rows: Array) -> Array:
    """Of another shape and dtype."""
    return rows[..., 0].astype("float32") / np.float32(2)


def stored(array: Array, folder: Path, offset: int = 0) -> StoredRows:
    """The array in a file."""
    path = folder / "stored"
    path.write_bytes(bytes(offset) + array.tobytes())
    return StoredRows(path, array.shape, array.dtype, offset)


def kinds(folder: Path) -> dict[str, tuple[LazyRows, Array]]:
    """Each kind of lazy rows, and the array that it is equal to."""
    rows = stored(VALUES, folder)
    chosen = np.arange(49, -1, -1)
    first = stored(VALUES[:20], folder / "..")
    return {
        "stored": (rows, VALUES),
        "selected": (SelectedRows(rows, chosen), VALUES[chosen]),
        "mapped": (MappedRows(rows, halves), halves(VALUES)),
        "mapped array": (MappedRows(VALUES, np.square), np.square(VALUES)),
        "cached": (CachedRows(first, 50, lambda them: VALUES[them]), VALUES),
        "twice": (SelectedRows(SelectedRows(rows, chosen), chosen), VALUES),
    }


@pytest.mark.parametrize(
    "kind", ["stored", "selected", "mapped", "mapped array", "cached", "twice"]
)
@pytest.mark.parametrize("order", ORDERS)
def test_rows_are_those_of_the_array(kind: str, order: str, tmp_path: Path) -> None:
    """In any order, with their shape and dtype."""
    (tmp_path / "in").mkdir()
    rows, array = kinds(tmp_path / "in")[kind]
    assert (len(rows), rows.ndim, rows.shape) == (50, array.ndim, array.shape)
    found = rows[ORDERS[order]]
    assert found.dtype == array.dtype == rows.dtype
    np.testing.assert_array_equal(found, array[ORDERS[order]])


@pytest.mark.parametrize(
    "part",
    [slice(None), slice(3, 9), slice(48, 60), slice(60, 70), slice(-5, None), slice(9, 0, -2)],
    ids=str,
)
def test_slices_are_those_of_the_array(part: slice, tmp_path: Path) -> None:
    """Beyond the end, from the end, and backwards."""
    np.testing.assert_array_equal(stored(VALUES, tmp_path)[part], VALUES[part])


@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">i8", "<u2", "|b1", "|i1", "<f2", "|u1"])
@pytest.mark.parametrize("shape", [(20,), (20, 1), (20, 3, 5), (1, 4), (0, 4)], ids=str)
@pytest.mark.parametrize("offset", [0, 7])
def test_files_are_read_in_this_machines_byte_order(
    dtype: str, shape: tuple[int, ...], offset: int, tmp_path: Path
) -> None:
    """Booleans are uint8; the file's first bytes are skipped, whatever their number."""
    array = RANDOM.integers(0, 2, shape).astype(dtype)
    rows = stored(array, tmp_path, offset)
    wanted = np.uint8 if dtype == "|b1" else np.dtype(dtype).newbyteorder("=")
    found = rows[:]
    assert found.dtype == rows.dtype == in_memory(np.dtype(dtype)) == wanted
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


def test_a_file_that_became_shorter_is_refused(tmp_path: Path) -> None:
    """Its first rows can still be read."""
    rows = stored(VALUES, tmp_path)
    rows.path.write_bytes(VALUES[:20].tobytes())
    np.testing.assert_array_equal(rows[:20], VALUES[:20])
    with pytest.raises(InputError, match="shorter") as caught:
        rows[15:25]
    assert caught.value.where == str(rows.path)


def test_threads_read_at_once(tmp_path: Path) -> None:
    """They do not share a place in the file."""
    array = RANDOM.normal(size=(2000, 50))
    rows = stored(array, tmp_path)
    orders = [np.random.default_rng(seed).permutation(2000) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for order, found in zip(orders, pool.map(rows.take, orders), strict=True):
            np.testing.assert_array_equal(found, array[order])


def test_only_rows_that_are_not_stored_are_decoded(tmp_path: Path) -> None:
    """Each in its place of the batch."""
    decoded: list[int] = []

    def decode(rows: Indices) -> Array:
        decoded.extend(rows.tolist())
        return VALUES[rows]

    rows = CachedRows(stored(VALUES[:20], tmp_path), 50, decode)
    np.testing.assert_array_equal(rows[5:15], VALUES[5:15])
    assert decoded == []
    order = np.asarray([40, 3, 20, 19])
    np.testing.assert_array_equal(rows[order], VALUES[order])
    assert decoded == [40, 20]


def test_parts_of_smaller_rows_are_no_larger_for_it(tmp_path: Path) -> None:
    """What is made of large rows is read from them."""
    large = stored(np.zeros((40, lazy.PART_BYTES // 8), np.uint8), tmp_path)
    small = MappedRows(large, lambda rows: rows[:, :1])
    assert part_rows(large) == part_rows(small) == 8
    assert part_rows(select(small, np.arange(20))) == 8
    assert [len(part) for _, part in parts(small)] == [8] * 5


@pytest.mark.parametrize("row_bytes", [1, 6, 1000])
def test_parts_are_all_rows_in_their_order(
    row_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of as many rows as fit, and one at least."""
    monkeypatch.setattr(lazy, "PART_BYTES", 40)
    array = np.arange(13 * row_bytes).reshape(13, row_bytes).astype("uint8")
    rows: Rows
    for rows in (array, stored(array, tmp_path)):
        found = list(parts(rows))
        assert part_rows(rows) == max(1, 40 // row_bytes)
        assert [start for start, _ in found] == list(range(0, 13, part_rows(rows)))
        np.testing.assert_array_equal(np.concatenate([part for _, part in found]), array)


def test_selections_of_lazy_rows_read_nothing_and_those_of_arrays_share_memory(
    tmp_path: Path,
) -> None:
    """The file is removed from its rows' place before they are asked for."""
    order = np.asarray([9, 2, 30])
    lazy = stored(VALUES, tmp_path)
    chosen, middle = select(lazy, order), between(lazy, 10, 70)
    lazy.path.write_bytes(VALUES[::-1].tobytes())
    np.testing.assert_array_equal(whole(chosen), VALUES[::-1][order])
    np.testing.assert_array_equal(whole(middle), VALUES[::-1][10:])
    np.testing.assert_array_equal(select(VALUES, order), VALUES[order])
    part = between(VALUES, 10, 20)
    assert isinstance(part, np.ndarray)
    assert np.shares_memory(part, VALUES)
    np.testing.assert_array_equal(part, VALUES[10:20])
    assert whole(VALUES) is VALUES
