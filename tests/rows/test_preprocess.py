"""Rows are reshaped, resized and one-hot encoded when they are opened, or as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from job.errors import InputError
from job.manifest.preprocess import PreprocessConfig
from job.result.specs import TensorSpec
from job.rows import preprocess
from job.rows.lazy import Array, CachedRows, LazyRows, MappedRows, Rows, StoredRows
from job.rows.preprocess import matched, structured
from job.rows.store import Store

RANDOM = np.random.default_rng(0)
COLUMNS = RANDOM.normal(size=(10, 12)).astype(np.float32)
IMAGES = RANDOM.integers(0, 256, (10, 6, 4, 3)).astype(np.uint8)
WHERE = "dataset.preprocess.0"
X, TOKENS = TensorSpec("x", (4,), "float32"), TensorSpec("tokens", (5,), "int32")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, memory_bytes=1 << 20, cache_bytes=1 << 20)


def config(**fields: Any) -> PreprocessConfig:
    return PreprocessConfig.model_validate(fields)


def lazy(rows: Array, folder: Path) -> StoredRows:
    """The same rows in a file."""
    path = folder / "lazy"
    path.write_bytes(rows.tobytes())
    return StoredRows(path, rows.shape, rows.dtype)


def refused(rows: Rows, store: Store, **fields: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        structured(rows, config(**fields), store, WHERE)
    return caught.value


def both(rows: Array, store: Store, **fields: Any) -> Array:
    """What is made of the rows in memory; checked to be that of rows in a file, too."""
    found = structured(rows, config(**fields), store, WHERE)
    assert isinstance(found, np.ndarray)
    mapped = structured(lazy(rows, store.folder), config(**fields), store, WHERE)
    assert isinstance(mapped, MappedRows)
    assert (mapped.shape, mapped.dtype) == (found.shape, found.dtype)
    np.testing.assert_array_equal(mapped[:], found)
    chosen = np.asarray([7, 0, 3])
    np.testing.assert_array_equal(mapped[chosen], found[chosen])
    return found


def test_without_a_step_rows_are_returned_as_they_are(store: Store) -> None:
    """The arithmetic is none of these steps."""
    assert structured(COLUMNS, config(scale=2, mean=1), store, WHERE) is COLUMNS
    rows = lazy(COLUMNS, store.folder)
    assert structured(rows, config(), store, WHERE) is rows


def test_rows_get_another_shape(store: Store) -> None:
    """The values and their order stay; the result shares no memory with what it is made of."""
    found = both(COLUMNS, store, shape=[3, 4])
    np.testing.assert_array_equal(found, COLUMNS.reshape(10, 3, 4))
    assert not np.shares_memory(found, COLUMNS)


def test_a_shape_of_another_number_of_values_is_refused(store: Store) -> None:
    """The message has both numbers; huge ones are not allocated."""
    error = refused(COLUMNS, store, shape=[5, 2])
    assert "12 values" in error.what
    assert "has 10" in error.what
    assert error.where == f"{WHERE}.shape"
    assert refused(COLUMNS, store, shape=[2**31 - 1] * 9).where == f"{WHERE}.shape"


@pytest.mark.parametrize(
    "interpolation", ["bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5"]
)
def test_images_are_resized_as_tensorflow_does(interpolation: str, store: Store) -> None:
    """Float32, but for ``nearest``, which keeps the dtype; with and without channels."""
    fields = {"resize": (5, 7), "interpolation": interpolation}
    expected = tf.image.resize(IMAGES, (5, 7), interpolation).numpy()
    found = both(IMAGES, store, **fields)
    assert found.dtype == (np.uint8 if interpolation == "nearest" else np.float32)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(both(IMAGES[..., 0], store, **fields), expected[..., 0])


@pytest.mark.parametrize(
    "dtype", ["int8", "uint16", "uint32", "uint64", "int64", "float16", "float64"]
)
def test_nearest_moves_values_of_any_dtype(dtype: str, store: Store) -> None:
    """Also the largest ones."""
    kind = np.dtype(dtype)
    most = np.iinfo(kind).max if kind.kind in "iu" else np.finfo(kind).max
    rows = np.asarray([[[1, most], [3, 4]]], kind)
    found = structured(rows, config(resize=[4, 4], interpolation="nearest"), store, WHERE)
    assert found.dtype == kind
    np.testing.assert_array_equal(found[:], rows.repeat(2, axis=1).repeat(2, axis=2))


def test_a_size_that_rows_have_already_makes_them_float32(store: Store) -> None:
    """Or else the dtype would depend on the data."""
    found = both(IMAGES, store, resize=[6, 4])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, IMAGES)


def test_columns_become_images_that_are_resized(store: Store) -> None:
    """The shape comes first."""
    found = both(COLUMNS, store, shape=[2, 2, 3], resize=[4, 4])
    np.testing.assert_array_equal(
        found, tf.image.resize(COLUMNS.reshape(10, 2, 2, 3), (4, 4)).numpy()
    )


@pytest.mark.parametrize("shape", [(10, 12), (10, 1, 2, 3, 4), (10, 0, 4), (10,)])
def test_what_is_no_image_is_not_resized(shape: tuple[int, ...], store: Store) -> None:
    """The message has the rows' shape."""
    error = refused(np.zeros(shape, np.float32), store, resize=[4, 4])
    assert error.where == f"{WHERE}.resize"
    assert str(shape[1:]) in error.what


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "uint64"])
def test_whole_numbers_become_zeros_and_a_one(dtype: str, store: Store) -> None:
    """Of any numeric dtype; a last axis is added."""
    values = RANDOM.integers(0, 5, (10, 2)).astype(dtype)
    found = both(values, store, one_hot=5)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.eye(5, dtype=np.float32)[values.astype(int)])
    assert both(values[:, 0], store, one_hot=5).shape == (10, 5)
    assert both(values, store, shape=[2, 1], one_hot=5).shape == (10, 2, 1, 5)


@pytest.mark.parametrize("value", [5, -1, 0.5, np.nan, np.inf])
def test_a_value_that_is_no_class_is_refused_with_its_row(value: float, store: Store) -> None:
    """When rows are opened, also of lazy ones."""
    values = np.zeros((9, 2), np.float32)
    values[7, 1] = value
    for rows in (values, lazy(values, store.folder)):
        error = refused(rows, store, one_hot=5)
        assert f"Row 7 has the value {value:g}" in error.what.replace(".0;", ";")
        assert "from 0 to 4" in error.what
        assert error.where == f"{WHERE}.one_hot"


def test_the_row_is_counted_through_all_parts(store: Store, monkeypatch: Any) -> None:
    """A part is smaller than the data."""
    monkeypatch.setattr("job.rows.lazy.PART_BYTES", 16)
    values = np.zeros((50,), np.int32)
    values[37] = 9
    assert "Row 37 has the value 9;" in refused(values, store, one_hot=5).what


def test_a_file_that_changes_after_it_was_opened_is_refused(store: Store) -> None:
    """It is read again for each batch."""
    values = np.zeros((9,), np.int32)
    rows = lazy(values, store.folder)
    found = structured(rows, config(one_hot=3), store, WHERE)
    values[4] = 3
    rows.path.write_bytes(values.tobytes())
    assert found[0:4].shape == (4, 3)
    with pytest.raises(InputError, match="A row has the value 3") as caught:
        found[4:5]
    assert caught.value.where == f"{WHERE}.one_hot"


def test_a_huge_row_is_refused_before_it_is_made(store: Store) -> None:
    """4 TB of zeros, and 3 GB of pixels."""
    assert "4,398,046,511,104 bytes" in refused(np.zeros((1, 1 << 20)), store, one_hot=1 << 20).what
    error = refused(IMAGES, store, resize=[1 << 14, 1 << 14])
    assert "3,221,225,472 bytes" in error.what
    assert error.where == WHERE


def test_text_is_refused(store: Store) -> None:
    """The message has the dtype."""
    assert "<U1" in refused(np.asarray(["a", "b"]), store, one_hot=3).what


def test_what_takes_too_much_memory_is_put_on_the_disk(tmp_path: Path, monkeypatch: Any) -> None:
    """Part by part, and beyond cache_bytes it is made again whenever it is read."""
    monkeypatch.setattr(preprocess, "PART_BYTES", 400)
    values = np.arange(100) % 10
    expected = np.eye(10, dtype=np.float32)[values]
    for cache_bytes, kind in ((1 << 20, StoredRows), (2000, CachedRows)):
        store = Store(tmp_path, memory_bytes=1000, cache_bytes=cache_bytes)
        found = structured(values, config(one_hot=10), store, WHERE)
        assert isinstance(found, LazyRows)
        assert type(found) is kind
        np.testing.assert_array_equal(found[:], expected)
        np.testing.assert_array_equal(found[np.asarray([99, 3])], expected[[99, 3]])


@pytest.mark.parametrize("fields", [{"shape": [2, 2, 3]}, {"resize": [4, 4]}, {"one_hot": 3}])
def test_no_rows_stay_no_rows(fields: dict[str, Any], store: Store) -> None:
    """They are refused by others."""
    rows = np.zeros((0, 2, 2, 3), np.float32)
    assert len(structured(rows, config(**fields), store, WHERE)) == 0


def test_entries_are_matched_with_the_models_inputs() -> None:
    """By name, or without one where there is a single input."""
    scaled, one_hot = config(input="x", scale=2), config(input="tokens", one_hot=3)
    assert matched([], [X, TOKENS]) == [None, None]
    assert matched([one_hot, scaled], [X, TOKENS]) == [scaled, one_hot]
    assert matched([one_hot], [X, TOKENS]) == [None, one_hot]
    assert matched([config(scale=2)], [X]) == [config(scale=2)]


def test_an_entry_for_no_input_is_refused_with_those_that_there_are() -> None:
    """An unknown name, and no name for one of several."""
    for entry in (config(input="y", scale=2), config(scale=2)):
        with pytest.raises(InputError) as caught:
            matched([config(input="x", scale=2), entry], [X, TOKENS])
        assert caught.value.where == "dataset.preprocess.1.input"
        assert "x, tokens" in caught.value.what + caught.value.hint


def test_arithmetic_that_does_not_fit_its_input_is_refused() -> None:
    """Before any row is read."""
    with pytest.raises(InputError) as caught:
        matched([config(input="x", mean=[1, 2])], [X, TOKENS])
    assert caught.value.where == "dataset.preprocess.0.mean"
    with pytest.raises(InputError, match="int32"):
        matched([config(input="tokens", scale=2)], [X, TOKENS])
