"""Parquet files are read as their arrays were; what can't be trained on is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import datasets

from job import machine
from job.datasets import parquet_table, table_files
from job.errors import InputError
from job.result.specs import TensorSpec
from tests.support.tables import opened, refused, same

MNIST = Path(__file__).parents[2] / "manifests/quickstart/mnist.npz"
AB = {"inputs": ["a", "b"], "targets": "y"}
A = {"inputs": "a", "targets": "y"}
PICTURE = TensorSpec("x", (28, 28), "float32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the tables of a test are."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def write(folder: Path, columns: dict[str, Any], name: str = "a.parquet", **options: Any) -> Path:
    pq.write_table(pa.table(columns), folder / name, **options)
    return folder


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_well_known_tables_are_read_as_their_arrays(name: str, folder: Path) -> None:
    """float64 becomes float32, as whole numbers too: the types decide."""
    data = getattr(datasets, f"load_{name}")()
    columns = {f"x{it}": data.data[:, it] for it in range(data.data.shape[1])}
    found = opened(write(folder, columns | {"y": data.target}), {"inputs": "x*", "targets": "y"})
    same(found.train.inputs[0], data.data.astype("float32"), "float32")
    same(found.train.targets[0], data.target, "int64")
    assert found.warnings == ()


@pytest.mark.parametrize("memory", [1 << 28, 1000])
@pytest.mark.parametrize("layout", ["columns", "list", "nested", "fixed"])
def test_mnist_is_read_as_from_the_archive(layout: str, memory: int, folder: Path) -> None:
    """784 columns, lists of 784 bytes, lists of lists; two files, several row groups."""
    with np.load(MNIST) as archive:
        x, y = archive["x_test"], archive["y_test"]
    flat = x.reshape(-1, 784)
    columns: dict[str, Any] = {
        "columns": {f"p{it}": flat[:, it] for it in range(784)},
        "list": {"p": pa.array(flat.tolist(), pa.list_(pa.uint8()))},
        "nested": {"p": pa.array(x.tolist(), pa.list_(pa.list_(pa.uint8())))},
        "fixed": {"p": pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), 784)},
    }[layout]
    table = pa.table(columns | {"label": y})
    pq.write_table(table[:1200], folder / "a.parquet", row_group_size=500)
    pq.write_table(table[1200:], folder / "b.parquet", compression="zstd")
    train = {"inputs": "p*" if layout == "columns" else "p", "targets": "label"}
    found = opened(folder, train, inputs=[PICTURE], memory_bytes=memory)
    same(found.train.inputs[0], x if layout == "nested" else flat, "uint8")
    same(found.train.targets[0], y, "int64")
    assert isinstance(found.train.inputs[0], np.ndarray) == (memory > 1000)


@pytest.mark.parametrize(
    ("type_", "values", "dtype"),
    [
        (pa.bool_(), [True, False], "uint8"),
        (pa.int8(), [-1, 2], "int8"),
        (pa.uint16(), [1, 65535], "uint16"),
        (pa.int64(), [2**53 + 1, -5], "int64"),
        (pa.uint64(), [2**62, 1], "int64"),
        (pa.float16(), [0.5, 1], "float32"),
        (pa.float64(), [0.5, 1], "float32"),
    ],
)
def test_types_of_numbers(type_: pa.DataType, values: list[Any], dtype: str, folder: Path) -> None:
    """Integers stay exact; targets are int64 or float32."""
    array = pa.array([np.float16(it) for it in values] if type_ == pa.float16() else values, type_)
    write(folder, {"a": array, "y": array})
    found = opened(folder, A)
    same(found.train.inputs[0], [[it] for it in values], dtype)
    same(found.train.targets[0], values, "float32" if dtype == "float32" else "int64")


def test_an_integer_of_64_bits_without_a_sign_is_refused(folder: Path) -> None:
    """TensorFlow's integers end before."""
    write(folder, {"a": pa.array([1, 2**63], pa.uint64()), "y": [1, 2]})
    error = refused(folder, A)
    assert "too large" in error.what
    assert "row 2" in error.where


def test_texts_are_categories(folder: Path) -> None:
    """Plain or as dictionaries, across row groups with dictionaries of their own."""
    texts = ["red", "green", None, "blue"] * 5
    columns = {"a": {"vocabulary": ["blue", "green", "red"], "missing": "blue"}}
    for array in (
        pa.array(texts),
        pa.array(texts).dictionary_encode(),
        pa.array(texts).view("utf8"),
    ):
        write(folder, {"a": array, "y": range(20)}, row_group_size=3)
        found = opened(folder, A, columns=columns)
        same(found.train.inputs[0], [[2], [1], [0], [0]] * 5, "uint8")
        assert found.decisions == ("train: 5 empty cells of a are blue",)
        error = refused(
            folder, A, columns={"a": {"vocabulary": ["red", "green"], "missing": "red"}}
        )
        assert "'blue' is not in the vocabulary" in error.what
        assert "row 4" in error.where
        error = refused(folder, A)
        assert "texts where numbers" in error.what
        assert '{"a": {"vocabulary": ["red", "green", "blue"]}}' in error.hint
    write(folder, {"a": [7, 5, 7], "y": [0, 1, 2]})
    found = opened(folder, A, columns={"a": {"vocabulary": ["5", "7"], "one_hot": True}})
    same(found.train.inputs[0], [[0, 1], [1, 0], [0, 1]], "uint8")


def test_nulls_are_refused_or_filled(folder: Path) -> None:
    """In numbers and in lists; a null in the place of a list is never filled."""
    write(folder, {"a": [1, 2, None], "b": [[1, 2], [3, None], [5, 6]], "y": [0, 1, 2]})
    error = refused(folder, A)
    assert "empty" in error.what
    assert "row 3, column 'a'" in error.where
    error = refused(folder, {"inputs": "b"})
    assert "row 2, column 'b'" in error.where
    found = opened(folder, AB, missing=-1)
    same(found.train.inputs[0], [[1, 1, 2], [2, 3, -1], [-1, 5, 6]], "int64")
    found = opened(folder, AB, missing=0.5)
    same(found.train.inputs[0], [[1, 1, 2], [2, 3, 0.5], [0.5, 5, 6]], "float32")
    write(folder, {"a": [1.5, float("nan"), None], "y": [0, 1, 2]})
    same(opened(folder, A, missing=7).train.inputs[0], [[1.5], [7], [7]], "float32")
    write(folder, {"a": pa.nulls(2), "b": [[1], None], "y": [0, 1]})
    same(opened(folder, A, missing=3).train.inputs[0], [[3], [3]], "float32")
    error = refused(folder, {"inputs": "b"}, missing=0)
    assert "no list" in error.what
    assert "row 2" in error.where


def test_lists_of_different_lengths_are_refused(folder: Path) -> None:
    """In a part, and between files; with the row."""
    write(folder, {"a": [[1, 2], [3, 4], [5]], "y": [0, 1, 2]})
    error = refused(folder, A)
    assert "different lengths: 2 and 1" in error.what
    assert "row 3" in error.where
    write(folder, {"a": [[[1, 2], [3, 4]], [[5, 6], [7]]], "y": [0, 1]})
    assert "row 2" in refused(folder, A).where
    write(folder, {"a": [[1, 2]], "y": [0]})
    write(folder, {"a": [[1, 2, 3]], "y": [0]}, "b.parquet")
    error = refused(folder, A)
    assert "(3,)" in error.what
    assert str(folder / "b.parquet") in error.where


@pytest.mark.parametrize(
    "value",
    [{"x": 1}, b"bytes", dt.datetime(2020, 1, 1, tzinfo=dt.UTC), [["text"]]],
    ids=["struct", "binary", "timestamp", "texts in lists"],
)
def test_types_that_are_no_numbers_are_refused(value: Any, folder: Path) -> None:
    """With the column and its type, also where a vocabulary is given."""
    write(folder, {"a": [value], "y": [0]})
    error = refused(folder, A)
    assert "which is not read as numbers" in error.what
    assert "column 'a'" in error.where
    error = refused(folder, A, columns={"a": {"vocabulary": ["x"]}})
    assert "has a vocabulary" in error.what


def test_a_corrupt_file_is_refused(folder: Path) -> None:
    """Wherever it is cut off or overwritten."""
    write(folder, {"a": np.arange(5000) / 7, "y": np.arange(5000)}, use_dictionary=False)
    path = folder / "a.parquet"
    content = path.read_bytes()
    cut = [content[: int(len(content) * part)] for part in (0, 0.01, 0.5, 0.99)]
    over = [
        content[:start] + b"\xff" * 64 + content[start + 64 :] for start in (4, len(content) - 400)
    ]
    for bad in (*cut, *over, b"a,y\n1,2\n" * 99):
        path.write_bytes(bad)
        error = refused(folder, A)
        assert "no readable Parquet" in error.what
        assert str(path) in error.where


def test_flipped_bytes_are_refused_or_read(folder: Path) -> None:
    """pyarrow would abort the process for some metadata, and names may not be UTF-8."""
    columns = {"b": {"vocabulary": ["x", "y"]}}
    write(folder, {"a": [[1, 2]] * 20, "b": ["x", "y"] * 10, "y": range(20)}, row_group_size=9)
    path, random = folder / "a.parquet", np.random.default_rng(5)
    good, seen = path.read_bytes(), set()
    for _ in range(1200):
        bad = bytearray(good)
        for place in random.integers(4, len(good) - 8, 2):
            bad[place] = random.integers(256)
        path.write_bytes(bad)
        try:
            opened(folder, {"inputs": ["a", "b"], "targets": "y"}, columns=columns)
        except InputError as error:
            seen.add((error.what[:40], error.where.split(",")[0]))
    assert len(seen) > 3
    assert {where for _, where in seen} == {str(path)}


def test_an_encrypted_file_is_refused(folder: Path) -> None:
    """By its first bytes."""
    (folder / "a.parquet").write_bytes(b"PARE" + bytes(100) + b"PARE")
    assert "encrypted" in refused(folder, A).what


def test_a_missing_or_doubled_column_is_refused(folder: Path) -> None:
    """Those that are there are named; nested names are not those of columns."""
    write(folder, {"s": [{"a": 1}], "s.a": [5], "y": [0]})
    error = refused(folder, A)
    assert "no column 'a'" in error.what
    assert "'s', 's.a', 'y'" in error.hint
    same(opened(folder, {"inputs": "s.a", "targets": "y"}).train.inputs[0], [[5]], "int64")
    pq.write_table(pa.table([[1], [2], [0]], names=["a", "a", "y"]), folder / "a.parquet")
    assert "2 columns 'a'" in refused(folder, A).what


def test_bombs_are_read_in_bounded_memory(folder: Path) -> None:
    """Megabytes in a few kilobytes: run lengths of lists, and a long text in each row."""
    row = pa.array([[0] * 50_000], pa.list_(pa.int64()))
    lists = pa.concat_arrays([row] * 2000)
    texts = pa.array(["a" * 1_000_000]).dictionary_encode().take(pa.array([0] * 2000))
    write(folder, {"a": lists, "t": texts, "y": np.zeros(2000)})
    del lists, texts, row
    assert (folder / "a.parquet").stat().st_size < 4_000_000
    table = parquet_table.ParquetTable(folder / "a.parquet")
    sizes = [len(batch) for batch in table.batches({"a": False})]
    assert sum(sizes) == 2000
    assert max(sizes) * 50_000 * 8 <= 1 << 26
    found = opened(folder, A, memory_bytes=0)
    assert found.train.inputs[0].shape == (2000, 50_000)
    batches = table.batches({"t": True})
    assert next(batches).nbytes < 4_000_000
    error = refused(folder, {"inputs": "t"}, columns={"t": {"vocabulary": ["b"]}})
    assert "aaa..." in error.what
    assert len(error.what) < 300


def test_a_row_that_is_too_large_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the file declares, before it is decoded."""
    monkeypatch.setattr(parquet_table, "ROW_BYTES", 1000)
    write(folder, {"a": [[0] * 1000], "y": [0]})
    assert "A row has" in refused(folder, A).what


def test_large_integers_beside_fractions_are_reported(folder: Path) -> None:
    """The type alone is no reason: small ones are exact."""
    write(folder, {"a": [2**24 + 1, 2], "b": [0.5, 1], "y": [0, 1]})
    assert "2^24" in opened(folder, AB).warnings[0]
    write(folder, {"a": [2**24, 2], "b": [0.5, 1], "y": [0, 1]})
    assert opened(folder, AB).warnings == ()


def test_a_file_without_rows_is_refused(folder: Path) -> None:
    """Unless another one of the split has some."""
    empty = {name: pa.array([], pa.int64()) for name in ("a", "y")}
    write(folder, empty)
    assert "no rows" in refused(folder, A).what
    write(folder, {"a": [1], "y": [2]}, "b.parquet")
    same(opened(folder, A).train.targets[0], [2], "int64")


@pytest.mark.parametrize("value", [[], [[]]])
def test_lists_without_numbers_are_refused(value: list[Any], folder: Path) -> None:
    """Alone, and beside other columns."""
    kind = pa.list_(pa.float32()) if value == [] else pa.list_(pa.list_(pa.float32()))
    write(folder, {"a": [1.0] * 3, "b": pa.array([value] * 3, kind), "y": [0] * 3})
    for inputs in (["a", "b"], "b"):
        error = refused(folder, {"inputs": inputs, "targets": "y"})
        assert error.what == "The lists of 'b' are empty."
        assert "row 1, column 'b'" in error.where
        assert error.hint


def test_an_empty_row_group_is_no_row(folder: Path) -> None:
    """Rows before and behind it are read."""
    table = pa.table({"a": pa.array([[1, 2]]), "y": [0]})
    with pq.ParquetWriter(folder / "a.parquet", table.schema) as writer:
        for part in (table[:0], table, table[:0], table):
            writer.write_table(part)
    same(opened(folder, A).train.inputs[0], [[1, 2], [1, 2]], "int64")


def test_a_number_that_is_too_large_names_its_column(folder: Path) -> None:
    """Not all columns of its array."""
    write(folder, {"a": [1, 2], "b": pa.array([1, 2**64 - 1], pa.uint64()), "y": [0, 1]})
    error = refused(folder, AB | {"inputs": ["a", "b"]})
    assert "too large for 64 bits" in error.what
    assert error.where.endswith("row 2, column 'b'")


def test_few_bytes_that_are_many_targets_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The targets and weights of all splits count; inputs are put onto the disk."""
    zeros = pa.array(np.zeros(100_000, np.int64))
    path = write(folder, {"a": zeros, "y": zeros}) / "a.parquet"
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(table_files, "MAX_HELD_BYTES", 1_600_000)
    same(opened(folder, A, test=A).train.targets[0], np.zeros(100_000), "int64")
    monkeypatch.setattr(table_files, "MAX_HELD_BYTES", 1_599_999)
    error = refused(folder, A, test=A)
    assert "targets and weights take more than 1 MiB" in error.what
    assert error.where == "dataset.test.targets"
    monkeypatch.setattr(machine, "memory_bytes", lambda: 1 << 20)
    assert refused(folder, A, test=A).where == "dataset.train.targets"
