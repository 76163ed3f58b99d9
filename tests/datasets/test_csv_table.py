"""CSV files are read as their arrays were, and errors have the line in the file."""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import datasets

from job.datasets import csv_lines, csv_table
from job.result.specs import TensorSpec
from tests.support.tables import X, opened, refused, same

MNIST = Path(__file__).parents[2] / "manifests/quickstart/mnist.npz"
AB = {"inputs": ["a", "b"], "targets": "y"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the tables of a test are."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def write(folder: Path, text: str | bytes, name: str = "a.csv") -> Path:
    content = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(content)
    return folder


def write_arrays(path: Path, x: Any, y: Any) -> None:
    """As ``pandas.DataFrame.to_csv`` does; numbers as Python writes them."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"pixel{it}" for it in range(x.shape[1])), "label"])
        writer.writerows([*row, label] for row, label in zip(x.tolist(), y.tolist(), strict=True))


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_well_known_tables_are_read_as_their_arrays(name: str, folder: Path) -> None:
    """Fractions as float32; the 8x8 digits of 0.0 to 16.0 are whole, and bytes."""
    data = getattr(datasets, f"load_{name}")()
    write_arrays(folder / "a.csv", data.data, data.target)
    found = opened(folder, {"inputs": "pixel*", "targets": "label"})
    if name == "digits":
        same(found.train.inputs[0], data.data, "uint8")
    else:
        same(found.train.inputs[0], data.data.astype("float32"), "float32")
    same(found.train.targets[0], data.target, "int64")
    last = data.data.shape[1] - 1
    assert found.decisions == (
        f"dataset.train.inputs: pixel* is {last + 1} columns, pixel0 to pixel{last}",
    )
    assert found.warnings == ()


def test_mnist_is_read_as_from_the_archive(folder: Path) -> None:
    """784 columns and a label, train and test; in memory, and by way of the scratch disk."""
    with np.load(MNIST) as archive:
        arrays = {name: archive[name][:1500] for name in archive.files}
    for which in ("train", "test"):
        write_arrays(
            folder / f"{which}.csv", arrays[f"x_{which}"].reshape(-1, 784), arrays[f"y_{which}"]
        )
    columns = {"inputs": "pixel*", "targets": "label"}
    for memory in (1 << 28, 1000):
        found = opened(
            folder,
            {"files": "train.csv", **columns},
            test={"files": "test.csv", **columns},
            memory_bytes=memory,
        )
        assert found.test is not None
        for which, split in (("train", found.train), ("test", found.test)):
            same(split.inputs[0], arrays[f"x_{which}"].reshape(-1, 784), "uint8")
            same(split.targets[0], arrays[f"y_{which}"], "int64")
        assert isinstance(found.train.inputs[0], np.ndarray) == (memory > 1000)


def test_a_byte_order_mark_quotes_line_breaks_and_windows_line_ends(folder: Path) -> None:
    """Cells with delimiters and line breaks, doubled quotes, empty lines, spaces at numbers."""
    write(
        folder,
        b"\xef\xbb\xbf"
        b'a,"note, ""long""",b,y\r\n1,"one\r\ntwo, three",2,0\r\n\r\n" 3 ",=1+1,4.5,1\r\n',
    )
    found = opened(folder, AB)
    same(found.train.inputs[0], np.array([[1, 2], [3, 4.5]], "float32"), "float32")
    same(found.train.targets[0], [0, 1], "int64")


def test_delimiter_and_decimal_mark(folder: Path) -> None:
    """As spreadsheets in Europe write it; a point is then no decimal mark."""
    write(folder, "a;b;y\n1,5;2;0\n-3,25;4;1\n")
    found = opened(folder, AB, delimiter=";", decimal=",")
    same(found.train.inputs[0], np.array([[1.5, 2], [-3.25, 4]], "float32"), "float32")
    write(folder, "a;b;y\n1,5;2;0\n3.25;4;1\n")
    error = refused(folder, AB, delimiter=";", decimal=",")
    assert "'3.25'" in error.what
    assert "line 3, column 'a'" in error.where


def test_files_are_joined_in_their_order_and_columns_by_name(folder: Path) -> None:
    """The second file has its columns in another order."""
    write(folder, "y,b,a\n2,6,5\n", "b.csv")
    write(folder, "a,b,y\n1,2,0\n3,4,1\n", "a.csv")
    found = opened(folder, AB)
    same(found.train.inputs[0], [[1, 2], [3, 4], [5, 6]], "uint8")
    same(found.train.targets[0], [0, 1, 2], "int64")
    write(folder, "y,a\n2,6\n", "b.csv")
    error = refused(folder, AB)
    assert "no column 'b'" in error.what
    assert error.where == str(folder / "b.csv")
    assert "'y', 'a'" in error.hint


@pytest.mark.parametrize(
    ("cell", "what"),
    [("x", "'x' where a number"), ("", "'b' is empty"), ("NA", "'b' is empty"), ("1,2", "5 cells")],
)
@pytest.mark.parametrize("rows", [0, 5000])
def test_the_line_is_that_of_the_file(
    cell: str, what: str, rows: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After line breaks in cells, empty lines, blocks, and in a second file."""
    monkeypatch.setattr(csv_table, "ROW_BYTES", 1 << 12)
    write(folder, "a,b,y\n1,2,0\n", "a.csv")
    text = 'a,b,y,note\n1,2,0,"one\ntwo"\n\n' + "1,2,0,\n" * rows + f"1,{cell},0,\n1,2,0,\n"
    write(folder, text, "b.csv")
    error = refused(folder, AB)
    assert what in error.what
    assert error.where.startswith(f"{folder / 'b.csv'}, line {rows + 5}")
    assert error.hint


def test_empty_cells_are_filled_where_the_manifest_says_so(folder: Path) -> None:
    """The column's value goes before the data set's; how many is in the result."""
    write(folder, 'a,b,y\n1,,0\nnan,"",1\nnull,7,0\n')
    found = opened(folder, AB, missing=-1, columns={"b": {"missing": 0.5}})
    same(found.train.inputs[0], np.array([[1, 0.5], [-1, 0.5], [-1, 7]], "float32"), "float32")
    assert found.decisions == (
        "train: 2 empty cells of a are -1",
        "train: 2 empty cells of b are 0.5",
    )


def test_categories_become_indices_or_columns(folder: Path) -> None:
    """In the vocabulary's order; an empty cell is the text that the manifest names."""
    write(folder, "a,b,y\nred,2,no\n,3,yes\ngreen,4,no\n")
    columns: dict[str, Any] = {
        "a": {"vocabulary": ["green", "red"], "missing": "red"},
        "y": {"vocabulary": ["no", "yes"]},
    }
    found = opened(folder, AB, columns=columns)
    same(found.train.inputs[0], [[1, 2], [1, 3], [0, 4]], "uint8")
    same(found.train.targets[0], [0, 1, 0], "int64")
    assert found.decisions == ("train: 1 empty cells of a are red",)
    columns["a"]["one_hot"] = columns["y"]["one_hot"] = True
    found = opened(folder, AB, columns=columns)
    same(found.train.inputs[0], [[0, 1, 2], [0, 1, 3], [1, 0, 4]], "uint8")
    same(found.train.targets[0], [[1, 0], [0, 1], [1, 0]], "int64")


def test_an_unknown_category_is_refused_with_its_line(folder: Path) -> None:
    """And with the vocabulary."""
    write(folder, "a,b,y\nred,2,0\nblue,3,0\n")
    error = refused(folder, AB, columns={"a": {"vocabulary": ["red", "green"]}})
    assert "'blue' is not in the vocabulary of 'a'" in error.what
    assert "line 3, column 'a'" in error.where
    assert '["red", "green"]' in error.hint
    write(folder, "a,b,y\nred,2,0\n,3,0\n")
    assert "empty" in refused(folder, AB, columns={"a": {"vocabulary": ["red"]}}).what


def test_a_column_of_texts_has_its_vocabulary_in_the_hint(folder: Path) -> None:
    """The first twenty distinct texts, in their order, to be pasted."""
    rows = "".join(f"t{it % 30},1,0\n" for it in range(90))
    write(folder, "a,b,y\n" + rows)
    error = refused(folder, AB)
    assert "'t0' where a number is expected" in error.what
    assert '{"a": {"vocabulary": ["t0", "t1", ' in error.hint
    assert '"t19", ...]' in error.hint
    write(folder, "a,b,y\n1,1,0\n2,1,0\nx,1,0\n")
    assert refused(folder, AB).hint == "Correct the cell."


def test_text_that_is_not_utf8_is_refused(folder: Path) -> None:
    """In a cell, in the header, and as UTF-16; in a column that is not used, it is not read."""
    write(folder, b"a,b,y\n1,2,0\n\xe9,2,0\n")
    for columns in ({}, {"a": {"vocabulary": ["1"]}}):
        error = refused(folder, AB, columns=columns)
        assert "UTF-8" in error.what
        assert "line 3, column 'a'" in error.where
    write(folder, b"a,b,y\n1,2,0\n\xe9,2\n")
    error = refused(folder, AB)
    assert "2 cells" in error.what
    assert "line 3" in error.where
    write(folder, b"a,b,\xe9\n1,2,0\n")
    assert "UTF-8" in refused(folder, AB).what
    write(folder, "a,b,y\n1,2,0\n".encode("utf-16"))
    assert "UTF-8" in refused(folder, AB).what
    write(folder, b"a,b,y,note\n1,2,0,\xe9\n")
    same(opened(folder, AB).train.inputs[0], [[1, 2]], "uint8")


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("", "empty", "names the columns"),
        ("\n\n", "empty", "names the columns"),
        ("a,b,y", "no rows", "Check"),
        ("a,b,y\n\n", "no rows", "Check"),
        ("5.1,3.5,0\n4.9,3,0\n", "no column 'a'", "only numbers"),
        ("a;b;y\n1;2;0\n", "no column 'a'", "delimiter"),
        ("a,a,b,y\n1,1,2,0\n", "2 columns 'a'", "name of its own"),
        ('a,b,y\n1,"2,0\n3,4,0\n', "2 cells, and the header 3", "not closed"),
        ("a,b,y\n1\0,2,0\n", "where a number", ""),
        ("a,b,y\n1,0x10,0\n", "'0x10'", ""),
        ('a,b,y\n"1\n",2,0\n', "where a number", ""),
        ("a,b,y\n1e300,2.5,0\n", "too large for float32", ""),
        ('a,b,y\n1,"2,5",0\n', "'2,5'", "set dataset.decimal, which is '.', to ','"),
    ],
)
def test_a_malformed_file_is_refused(text: str, what: str, hint: str, folder: Path) -> None:
    """One message for each; the file is named."""
    error = refused(write(folder, text), AB)
    assert what in error.what
    assert hint in error.hint
    assert str(folder / "a.csv") in error.where


def test_a_gigantic_row_is_refused_in_bounded_memory(folder: Path) -> None:
    """Of one cell, and of a quote that is never closed; the line is that of its start."""
    for middle in ("1" * (1 << 25), '"' + "1,2,0\n" * (1 << 22)):
        write(folder, "a,b,y\n1,2,0\n3,4," + middle)
        before = pa.default_memory_pool().bytes_allocated()
        tracemalloc.start()
        try:
            error = refused(folder, AB)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert "longer than" in error.what
        assert error.where == f"{folder / 'a.csv'}, line 3"
        assert peak < 8 * csv_lines.ROW_BYTES
        assert pa.default_memory_pool().bytes_allocated() <= before + csv_lines.ROW_BYTES


def test_a_long_file_does_not_take_more_memory(folder: Path) -> None:
    """Of 40 MB, a few blocks are in memory at once."""
    line = ",".join(["0.125"] * 200)
    write(folder, ",".join(f"p{it}" for it in range(200)) + ",y\n" + f"{line},1\n" * 33_000)
    pool = pa.default_memory_pool()
    tracemalloc.start()
    try:
        found = opened(folder, {"inputs": "p*", "targets": "y"}, memory_bytes=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.train.inputs[0].shape == (33_000, 200)
    assert found.train.inputs[0][32_999:33_000].min() == 0.125
    assert peak < 24_000_000
    assert pool.bytes_allocated() < 1_000_000


def test_large_whole_numbers_are_kept_or_reported(folder: Path) -> None:
    """Alone they are integers; beside fractions, float32 rounds them, and a warning says so."""
    write(folder, "a,b,y\n16777217,0.5,3000000000\n1,0.5,1\n")
    found = opened(folder, {"inputs": "a", "targets": "y"})
    same(found.train.inputs[0], [[16777217], [1]], "int32")
    same(found.train.targets[0], [3000000000, 1], "int64")
    assert found.warnings == ()
    found = opened(folder, AB)
    assert len(found.warnings) == 1
    assert "whole numbers of a are over 2^24 (16777217)" in found.warnings[0]
    write(folder, "a,b,y\n9007199254740993,1,0\n")
    assert "over 2^24" in opened(folder, AB).warnings[0]


def test_models_of_several_inputs_and_weights(folder: Path) -> None:
    """A column for an input of rank 1 is (rows, 1), of rank 0 (rows,)."""
    inputs = (TensorSpec("one", (), "int32"), TensorSpec("two", (1,), "float32"), X)
    write(folder, "a,b,y,w\n1,2,0,1\n3,4,1,2\n")
    train = {"inputs": {"x": ["b", "a"], "two": "b", "one": "a"}, "targets": "y", "weights": "w"}
    found = opened(folder, train, inputs=inputs)
    same(found.train.inputs[0], [1, 3], "uint8")
    same(found.train.inputs[1], [[2], [4]], "uint8")
    same(found.train.inputs[2], [[2, 1], [4, 3]], "uint8")
    weights = found.train.weights[0]
    assert weights is not None
    same(weights, [1, 2], "float32")
    error = refused(folder, AB, inputs=inputs)
    assert "one, two, x" in error.what


def test_names_that_two_readers_split_differently_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyarrow does not find a column that the header has: an error like a wrong key."""
    write(folder, "a,b,y\n1,2,0\n")
    monkeypatch.setattr(csv_table, "header_of", lambda *_: ["a", "b", "y", "z"])
    error = refused(folder, {"inputs": ["a", "z"], "targets": "y"})
    assert "3 cells, and the header 4" in error.what


def test_a_decimal_comma_that_is_a_point_is_named(folder: Path) -> None:
    """The other way round."""
    write(folder, "a;b;y\n1;2.5;0\n")
    assert "to '.'" in refused(folder, AB, delimiter=";", decimal=",").hint
