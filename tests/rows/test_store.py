"""Rows that are written come back as they were: from memory, from the disk, or decoded again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.errors import InputError
from job.rows.lazy import Array, CachedRows, Indices, Rows, StoredRows, whole
from job.rows.store import RESERVE_BYTES, Store

RANDOM = np.random.default_rng(0)
PLENTY = 1 << 40
# 100 rows of 40 bytes.
ROWS: Array = RANDOM.normal(size=(100, 10)).astype("float32")


def written(
    store: Store,
    rows: Array,
    *,
    part: int = 7,
    decode: Callable[[Indices], Array] | None = None,
) -> Rows:
    """Rows that were appended in parts."""
    writer = store.writer("The pixels", rows.shape[1:], rows.dtype, decode)
    for start in range(0, len(rows), part):
        writer.append(rows[start : start + part])
    return writer.finish()


def store_of(folder: Path, memory_bytes: int = 0, cache_bytes: int = PLENTY) -> Store:
    return Store(Path(tempfile.mkdtemp(dir=folder)), memory_bytes, cache_bytes)


def check(found: Rows, rows: Array) -> None:
    """The same values, dtype and shape, also in another order."""
    assert (found.shape, found.dtype, len(found)) == (rows.shape, rows.dtype, len(rows))
    np.testing.assert_array_equal(whole(found), rows)
    order = np.random.default_rng(1).permutation(len(rows))
    np.testing.assert_array_equal(found[order], rows[order])


def test_rows_stay_in_memory_while_there_is_room(tmp_path: Path) -> None:
    """Nothing is written, and what is left is less."""
    store = store_of(tmp_path, ROWS.nbytes + 1)
    found = written(store, ROWS)
    assert isinstance(found, np.ndarray)
    check(found, ROWS)
    assert store.memory_bytes == 1
    assert list(tmp_path.rglob("*.rows")) == []


def test_rows_that_outgrow_memory_go_to_the_disk(tmp_path: Path) -> None:
    """Also those that were in memory, whose room others get."""
    store = store_of(tmp_path, ROWS.nbytes - 1)
    found = written(store, ROWS)
    assert isinstance(found, StoredRows)
    check(found, ROWS)
    assert store.memory_bytes == ROWS.nbytes - 1
    assert store.cache_bytes == PLENTY - ROWS.nbytes
    assert [path.stat().st_size for path in tmp_path.rglob("*.rows")] == [ROWS.nbytes]
    again = written(store, ROWS[:50])
    assert isinstance(again, np.ndarray)


def test_writers_have_files_of_their_own(tmp_path: Path) -> None:
    """Two that are filled in turns."""
    store = store_of(tmp_path)
    one, two = (store.writer(name, (10,), ROWS.dtype) for name in ("one", "two"))
    for start in range(0, 100, 10):
        one.append(ROWS[start : start + 10])
        two.append(ROWS[start : start + 10] * 2)
    check(one.finish(), ROWS)
    check(two.finish(), ROWS * 2)


def test_rows_without_room_are_decoded_again(tmp_path: Path) -> None:
    """The first ones are stored; the writer says so."""
    asked: list[int] = []

    def decode(rows: Indices) -> Array:
        asked.extend(rows.tolist())
        return ROWS[rows]

    store = store_of(tmp_path, 0, 50 * 40)
    writer = store.writer("The pixels", (10,), ROWS.dtype, decode)
    for start in range(0, 100, 20):
        writer.append(ROWS[start : start + 20])
        assert writer.is_full == (start >= 40)
    found = writer.finish()
    assert isinstance(found, CachedRows)
    assert asked == []
    np.testing.assert_array_equal(found[:40], ROWS[:40])
    assert asked == []
    check(found, ROWS)
    assert set(asked) == set(range(40, 100))


def test_a_part_that_fits_does_not_take_the_place_of_one_that_does_not(tmp_path: Path) -> None:
    """Rows are stored in their order, or not at all."""
    store = store_of(tmp_path, 80 * 40, 10 * 40)
    writer = store.writer("The pixels", (10,), ROWS.dtype, lambda rows: ROWS[rows])
    for start, stop in ((0, 60), (60, 65), (65, 90), (90, 100)):
        writer.append(ROWS[start:stop])
    check(writer.finish(), ROWS)


def test_rows_that_can_not_be_decoded_again_need_room(tmp_path: Path) -> None:
    """The message has what does not fit and the field."""
    with pytest.raises(InputError, match="The pixels takes more of the scratch") as caught:
        written(store_of(tmp_path, 0, ROWS.nbytes - 1), ROWS)
    assert caught.value.where == "dataset.cache_bytes"
    assert "TMPDIR" in caught.value.hint
    check(written(store_of(tmp_path, 0, ROWS.nbytes), ROWS), ROWS)


def test_some_of_the_disk_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is filled to its end stops other work."""
    for free, fits in ((RESERVE_BYTES + 279, False), (RESERVE_BYTES + 280, True)):
        usage = SimpleNamespace(total=PLENTY, used=0, free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        assert store_of(tmp_path).has_room(7 * 40) == fits
        if fits:
            check(written(store_of(tmp_path), ROWS), ROWS)
        else:
            with pytest.raises(InputError, match="disk"):
                written(store_of(tmp_path), ROWS)
            check(written(store_of(tmp_path), ROWS, decode=lambda rows: ROWS[rows]), ROWS)


@given(
    cuts=st.lists(st.integers(0, 30), max_size=8),
    memory=st.integers(0, 40),
    cache=st.integers(0, 40),
    dtype=st.sampled_from(["<f4", ">f4", "|u1", "|b1", ">i8"]),
    row=st.sampled_from([(), (1,), (2, 3)]),
)
@settings(max_examples=150, deadline=None)
def test_whatever_fits_where_rows_come_back(
    cuts: list[int],
    memory: int,
    cache: int,
    dtype: str,
    row: tuple[int, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Parts of any sizes, none too; memory and disk for any number of rows."""
    given_rows = np.random.default_rng(len(cuts)).integers(0, 2, (sum(cuts), *row)).astype(dtype)
    wanted = given_rows.astype("u1" if dtype == "|b1" else np.dtype(dtype).newbyteorder("="))
    size = max(1, int(np.prod(row))) * wanted.itemsize
    store = store_of(tmp_path_factory.mktemp("rows"), memory * size, cache * size)
    writer = store.writer("Rows", row, given_rows.dtype, lambda rows: wanted[rows])
    start = 0
    for count in cuts:
        writer.append(given_rows[start : start + count])
        start += count
    found = writer.finish()
    check(found, wanted)
    assert isinstance(found, np.ndarray) == (len(wanted) <= memory)
    assert store.memory_bytes >= 0
    assert store.cache_bytes >= 0


@pytest.mark.parametrize("memory_bytes", [0, PLENTY])
@pytest.mark.parametrize("count", [0, 1])
def test_no_row_and_one_row(count: int, memory_bytes: int, tmp_path: Path) -> None:
    """Of any place."""
    check(written(store_of(tmp_path, memory_bytes), ROWS[:count]), ROWS[:count])


def test_rows_that_are_larger_than_all_memory_go_to_the_disk(tmp_path: Path) -> None:
    """Two of 8 MB."""
    rows = RANDOM.normal(size=(2, 1000, 1000))
    found = written(store_of(tmp_path, 1 << 20), rows, part=1)
    assert isinstance(found, StoredRows)
    check(found, rows)


@pytest.mark.parametrize("memory_bytes", [0, PLENTY])
def test_what_was_appended_may_be_changed_afterwards(memory_bytes: int, tmp_path: Path) -> None:
    """Readers fill one buffer again and again; a mapped file is one, too."""
    np.save(tmp_path / "rows.npy", ROWS)
    for buffer in (ROWS.copy(), np.load(tmp_path / "rows.npy", mmap_mode="r+")):
        writer = store_of(tmp_path, memory_bytes).writer("Rows", (10,), ROWS.dtype)
        writer.append(buffer)
        buffer[:] = 0
        check(writer.finish(), ROWS)


def test_two_stores_never_write_to_one_file(tmp_path: Path) -> None:
    """Rows would be added to the other's."""
    first, second = (written(Store(tmp_path, 0, PLENTY), rows) for rows in (ROWS, ROWS[::-1]))
    check(first, ROWS)
    check(second, ROWS[::-1])


def test_columns_are_put_as_rows(tmp_path: Path) -> None:
    """An array in Fortran order, and one with steps."""
    check(written(store_of(tmp_path), np.asfortranarray(ROWS)), ROWS)
    check(written(store_of(tmp_path), ROWS[::-2, ::3]), ROWS[::-2, ::3])


def test_threads_read_what_was_written(tmp_path: Path) -> None:
    """Some from the disk, some decoded."""
    found = written(store_of(tmp_path, 0, 50 * 40), ROWS, decode=lambda rows: ROWS[rows])
    orders = [np.random.default_rng(seed).permutation(100) for seed in range(50)]
    with ThreadPoolExecutor(8) as pool:
        for order, rows in zip(orders, pool.map(found.__getitem__, orders), strict=True):
            np.testing.assert_array_equal(rows, ROWS[order])
