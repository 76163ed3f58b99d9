"""Records of real digits give the arrays that they were written from, to the bit."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from job.datasets.source import Opened, Source
from job.datasets.tfrecord import open_tfrecord
from job.errors import InputError
from job.manifest.datasets import TFRecordConfig
from job.result.specs import TensorSpec
from job.rows.lazy import Array, LazyRows
from job.rows.store import Store
from tests.support.tfrecords import example, write, write_shards

MNIST = Path(__file__).parents[2] / "manifests" / "quickstart" / "mnist.npz"
X, Y = TensorSpec("x", (28, 28), "float32"), TensorSpec("y", (10,), "float32")
LABEL = {"dtype": "int64"}
SPLITS = {
    "train": {"files": "train*", "inputs": "pixels", "targets": "label"},
    "test": {"files": "test*", "inputs": "pixels", "targets": "label"},
}


def png(row: Array) -> bytes:
    content = io.BytesIO()
    Image.fromarray(row).save(content, "PNG")
    return content.getvalue()


# How a digit is written, how that is described, and how its row becomes the digit again.
WRITTEN: dict[str, tuple[Callable[[Array], Any], dict[str, Any], str]] = {
    "raw": (
        lambda row: row.tobytes(),
        {"dtype": "bytes", "raw": "uint8", "shape": [28, 28]},
        "uint8",
    ),
    "floats": (lambda row: row.astype("float32"), {"shape": [28, 28]}, "float32"),
    "integers": (lambda row: row, {"dtype": "int64", "shape": [28, 28]}, "int64"),
    "png": (png, {"dtype": "bytes", "image": {"color_mode": "grayscale"}}, "uint8"),
}


@pytest.fixture(scope="module")
def digits() -> dict[str, Array]:
    """The first digits of the quickstart's data set."""
    with np.load(MNIST) as arrays:
        return {
            name: arrays[name][: 700 if name.endswith("train") else 150] for name in arrays.files
        }


def source(folder: Path, threads: int = 2, memory: int = 1 << 28, cache: int = 1 << 30) -> Source:
    scratch = folder.parent / f"{folder.name}-scratch"
    scratch.mkdir(exist_ok=True)
    files = {path.name: path for path in sorted(folder.iterdir())}
    return Source(files, [X], [Y], Store(scratch, memory, cache), threads)


def config(**fields: Any) -> TFRecordConfig:
    return TFRecordConfig.model_validate({"type": "tfrecord", "uri": "data", **fields})


def refused(folder: Path, **fields: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        open_tfrecord(source(folder), config(**fields))
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for the data set's files."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def write_digits(
    folder: Path, digits: dict[str, Array], written: Callable[[Array], Any], compression: str = ""
) -> None:
    """Three shards to train on, and one to test on; each record has a feature nobody reads."""
    for which, shards in (("train", 3), ("test", 1)):
        records = [
            example(pixels=written(x), label=y, other=b"unread", weight=float(y))
            for x, y in zip(digits[f"x_{which}"], digits[f"y_{which}"], strict=True)
        ]
        write_shards(folder, which, records, shards, compression)


def check(opened: Opened, digits: dict[str, Array], dtype: str) -> None:
    """All rows, in order and in another one."""
    assert opened.test is not None
    for which, rows in (("train", opened.train), ("test", opened.test)):
        expected = digits[f"x_{which}"].astype(dtype)
        found = rows.inputs[0]
        if found.ndim == 4:
            expected = expected[..., np.newaxis]
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found[:], expected, strict=True)
        for seed in range(3):
            chosen = np.random.default_rng(seed).permutation(len(expected))[:100]
            np.testing.assert_array_equal(found[chosen], expected[chosen], strict=True)
        np.testing.assert_array_equal(
            rows.targets[0], digits[f"y_{which}"].astype("int64"), strict=True
        )
        assert rows.weights == ()


@pytest.mark.parametrize("compression", ["none", "gzip", "zlib"])
@pytest.mark.parametrize("kind", WRITTEN)
def test_digits_are_read_to_the_bit(
    kind: str, compression: str, folder: Path, digits: dict[str, Array]
) -> None:
    """From memory, from the scratch disk, and from both the disk and the records."""
    written, described, dtype = WRITTEN[kind]
    write_digits(folder, digits, written, "" if compression == "none" else compression.upper())
    asked = config(
        compression=compression, features={"pixels": described, "label": LABEL}, **SPLITS
    )
    small = open_tfrecord(source(folder), asked)
    assert isinstance(small.train.inputs[0], np.ndarray)
    check(small, digits, dtype)
    stored = open_tfrecord(source(folder, memory=0), asked)
    assert isinstance(stored.train.inputs[0], LazyRows)
    check(stored, digits, dtype)
    if compression == "none":
        row = 784 * np.dtype(dtype).itemsize
        for cache, threads in ((0, 1), (240 * row, 3)):
            tiny = source(folder, threads=threads, memory=row, cache=cache)
            check(open_tfrecord(tiny, asked), digits, dtype)
            assert sum(it.stat().st_size for it in tiny.store.folder.iterdir()) >= cache // 2


def test_compressed_records_that_do_not_fit_are_an_error(
    folder: Path, digits: dict[str, Array]
) -> None:
    """They have no random access."""
    written, described, _ = WRITTEN["raw"]
    write_digits(folder, digits, written, "GZIP")
    asked = config(compression="gzip", features={"pixels": described, "label": LABEL}, **SPLITS)
    with pytest.raises(InputError, match="compressed records can't be decoded again") as caught:
        open_tfrecord(source(folder, memory=0, cache=10_000), asked)
    assert caught.value.where == "dataset.cache_bytes"


def test_rows_are_in_the_sorted_order_of_the_files_names(folder: Path) -> None:
    """Whatever order the files were written in."""
    for name, values in (("b", [3, 4]), ("a", [0, 1, 2]), ("c", [5])):
        write(folder / f"{name}.tfrecord", [example(x=float(it), y=it) for it in values])
    opened = open_tfrecord(
        source(folder, memory=0, cache=8),
        config(features={"x": {}, "y": LABEL}, train={"inputs": "x", "targets": "y"}),
    )
    assert opened.test is None
    assert opened.train.targets[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert opened.train.inputs[0][np.array([5, 0, 3, 3, 1])].tolist() == [5, 0, 3, 3, 1]


def test_features_go_to_the_models_inputs_and_outputs_by_name(folder: Path) -> None:
    """Each is parsed once where it is named twice; weights are by output."""
    write(folder / "a", [example(a=float(it), b=float(-it), w=1.0 + it, y=it) for it in range(4)])
    specs = [TensorSpec("first", (), "float32"), TensorSpec("second", (), "float32")]
    given = source(folder)
    opened = open_tfrecord(
        Source(given.files, specs, specs, given.store),
        config(
            features={"a": {}, "b": {}, "w": {}, "y": LABEL},
            train={
                "inputs": {"second": "a", "first": "b"},
                "targets": ["y", "a"],
                "weights": {"second": "w"},
            },
        ),
    )
    assert [it[:].tolist() for it in opened.train.inputs] == [[0, -1, -2, -3], [0, 1, 2, 3]]
    assert [it.tolist() for it in opened.train.targets] == [[0, 1, 2, 3], [0, 1, 2, 3]]
    first, second = opened.train.weights
    assert first is None
    assert second is not None
    assert second.tolist() == [1, 2, 3, 4]


def test_a_default_is_a_decision(folder: Path) -> None:
    """With how many records have it."""
    write(folder / "a", [example(x=1.0, y=1), example(y=2), example(y=3)])
    opened = open_tfrecord(
        source(folder),
        config(features={"x": {"default": 0.5}, "y": LABEL}, train={"inputs": "x", "targets": "y"}),
    )
    assert opened.train.inputs[0][:].tolist() == [1, 0.5, 0.5]
    assert opened.decisions == (
        "2 of the 3 records of the train split have no 'x'; it counts as 0.5.",
    )


def test_files_of_two_splits_are_a_warning(folder: Path) -> None:
    """As where no split names its files."""
    write(folder / "a", [example(x=1.0)])
    opened = open_tfrecord(
        source(folder), config(features={"x": {}}, train={"inputs": "x"}, test={"inputs": "x"})
    )
    assert len(opened.warnings) == 1
    assert "train and the test split have 1 files in common, a" in opened.warnings[0]


@pytest.mark.parametrize("kind", ["inputs", "targets", "weights"])
@pytest.mark.parametrize("which", ["train", "test", "validation"])
def test_a_feature_that_is_not_described_is_named(kind: str, which: str) -> None:
    """With those that are, before any file is read."""
    good = {"inputs": "x", "targets": "y"}
    with pytest.raises(ValidationError, match="described are x, y") as caught:
        config(features={"x": {}, "y": LABEL}, **{"train": good, which: good | {kind: "xx"}})
    assert f"{which}.{kind} names 'xx'" in str(caught.value)


def test_files_that_do_not_match_are_an_error(folder: Path) -> None:
    """With the place in the manifest."""
    write(folder / "a", [example(x=1.0)])
    error = refused(
        folder, features={"x": {}}, train={"inputs": "x"}, test={"inputs": "x", "files": "test*"}
    )
    assert error.where == "dataset.test.files"
    assert "a" in error.hint


def test_the_record_of_an_error_is_that_of_its_file(folder: Path) -> None:
    """In the second file, with the byte where its frame begins."""
    good = example(x=1.0)
    write(folder / "a", [good] * 5)
    path = write(folder / "b", [good, good, example(z=1.0), good])
    error = refused(folder, features={"x": {}}, train={"inputs": "x"})
    assert error.where == f"{path}, record 2 (from 0), byte {2 * (len(good) + 16)}"
    assert "z" in error.hint


def test_a_row_that_no_record_can_hold_is_refused(folder: Path) -> None:
    """A default would fill it."""
    write(folder / "a", [example(y=1)])
    error = refused(
        folder, features={"x": {"shape": [1 << 20, 1 << 20], "default": 0}}, train={"inputs": "x"}
    )
    assert error.where == "dataset.features.x.shape"
    assert "4,398,046,511,104 bytes" in error.what


def test_images_of_mixed_sizes_need_an_image_size(folder: Path) -> None:
    """With it, they are resized."""
    sizes = [(8, 6), (8, 6), (6, 8)]
    rows = [np.full(size, 10 * it, "uint8") for it, size in enumerate(sizes)]
    path = write(folder / "a", [example(x=png(row)) for row in rows])
    image: dict[str, Any] = {"color_mode": "grayscale"}
    asked: dict[str, Any] = {"train": {"inputs": "x"}}
    error = refused(folder, features={"x": {"dtype": "bytes", "image": image}}, **asked)
    assert "6 x 8 pixels" in error.what
    assert "has 8 x 6" in error.what
    assert f"{path}, record 2" in error.where
    assert "image_size" in error.hint
    image["image_size"] = [4, 4]
    opened = open_tfrecord(
        source(folder), config(features={"x": {"dtype": "bytes", "image": image}}, **asked)
    )
    expected = np.repeat([0, 10, 20], 16).reshape(3, 4, 4, 1).astype("float32")
    np.testing.assert_array_equal(opened.train.inputs[0][:], expected, strict=True)


def test_an_image_that_can_not_be_decoded_is_found(folder: Path) -> None:
    """With its record and its feature."""
    good = png(np.zeros((8, 8), "uint8"))
    path = write(folder / "a", [example(x=good), example(x=good[:-30])])
    features = {"x": {"dtype": "bytes", "image": {}}}
    error = refused(folder, features=features, train={"inputs": "x"})
    assert f"{path}, record 1 (from 0)" in error.where
    assert "feature 'x'" in error.where
    write(path, [example(x=good), example(x=b"text")])
    assert "record 1 (from 0)" in refused(folder, features=features, train={"inputs": "x"}).where


def test_a_small_file_is_no_bomb(tmp_path: Path) -> None:
    """Zeros of one byte each, compressed to a thousandth: they are never parsed."""
    folder = tmp_path / "data"
    folder.mkdir()
    record = example(pixels=np.zeros(17 << 20, np.int64), label=1)
    path = write(folder / "a.tfrecord", [record], "GZIP")
    assert path.stat().st_size < 100_000
    split = {"inputs": "pixels", "targets": "label"}
    features = {"pixels": {"dtype": "int64", "shape": [3]}, "label": LABEL}
    with pytest.raises(InputError) as caught:
        open_tfrecord(source(folder), config(compression="gzip", features=features, train=split))
    assert "Record 0 (from 0) declares 17,8" in caught.value.what
    assert "describes 44 bytes at most" in caught.value.what


def test_a_large_raw_row_is_read(tmp_path: Path) -> None:
    """Its description says that records are large."""
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder / "a.tfrecord", [example(pixels=bytes(18 << 20), label=1)])
    features = {"pixels": {"dtype": "bytes", "raw": "uint8", "shape": [18, 1 << 20]}}
    split = {"inputs": "pixels", "targets": "label"}
    found = open_tfrecord(source(folder), config(features=features | {"label": LABEL}, train=split))
    assert found.train.inputs[0].shape == (1, 18, 1 << 20)
