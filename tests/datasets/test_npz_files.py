"""Several files are one data set; a file that does not fit is refused by name."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.datasets.npz import open_npz
from job.datasets.npz_file import opened
from job.datasets.open_dataset import open_dataset
from job.errors import InputError
from job.manifest.datasets import NpzConfig
from job.result.specs import TensorSpec
from tests.datasets.test_npz import ARRAYS, Canary, X, Y, header, with_member
from tests.support.sources import Both, array, both, source_of

Files = list[Path]
CUTS = (0, 8, 9, 20)


def read(paths: Files, *specs: TensorSpec, **fields: Any) -> Both:
    config = NpzConfig.model_validate({"uri": "data/", **fields})
    return both(open_npz(source_of(paths, specs or [X], [Y]), config))


def refused(paths: Files, **fields: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        read(paths, **fields)
    return caught.value


def part(index: int) -> dict[str, Any]:
    """The rows that the training file of this number has."""
    rows = slice(CUTS[index], CUTS[index + 1])
    return {name: ARRAYS[name][rows] for name in ("x_train", "y_train")}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """The archive of test_npz as four: three with training rows, one with test rows."""
    paths = [tmp_path / f"train-{index}.npz" for index in range(3)] + [tmp_path / "test.npz"]
    for index, path in enumerate(paths[:3]):
        np.savez(path, **part(index))
    np.savez(paths[3], x_test=ARRAYS["x_test"], y_test=ARRAYS["y_test"])
    return paths


def change(path: Path, **arrays: Any) -> None:
    """Replace arrays of an archive; None removes one."""
    with np.load(path) as archive:
        kept = {**archive, **arrays}
    np.savez(path, allow_pickle=True, **{k: it for k, it in kept.items() if it is not None})


def test_several_files_give_the_arrays_of_one(files: Files, tmp_path: Path) -> None:
    """The same numbers, dtypes and order."""
    whole = tmp_path / "whole.npz"
    np.savez(whole, **ARRAYS)
    one, several = (read(it) for it in ([whole], files))
    for wanted, found in ((one.train, several.train), (one.test, several.test)):
        for a, b in zip(
            [*wanted.inputs, *wanted.targets], [*found.inputs, *found.targets], strict=True
        ):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def test_the_order_of_the_files_is_the_order_of_the_rows(files: Files) -> None:
    """The place of the file with test rows makes no difference."""
    for order in ([2, 0, 1, 3], [3, 2, 0, 1], [2, 3, 0, 1]):
        found = read([files[index] for index in order])
        wanted = np.concatenate([part(index)["x_train"] for index in (2, 0, 1)])
        np.testing.assert_array_equal(found.train.inputs[0], wanted)
        np.testing.assert_array_equal(found.test.inputs[0], ARRAYS["x_test"])


@given(
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    dtype=st.sampled_from(["<f4", ">f4", "u1", "?", ">i8", "f2"]),
    trailing=st.sampled_from([(), (2,), (1, 3)]),
    fortran=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_files_are_concatenated(
    sizes: list[int], dtype: str, trailing: tuple[int, ...], fortran: bool, tmp_path_factory: Any
) -> None:
    """As by NumPy: for every dtype and order, with empty files too."""
    folder = tmp_path_factory.mktemp("joined")
    random = np.random.default_rng(len(sizes))
    pieces = [random.integers(0, 2, (size, *trailing)).astype(dtype) for size in [*sizes, 1]]
    paths = [folder / f"{index}.npz" for index in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        laid_out = np.asfortranarray(piece) if fortran else piece
        np.savez(path, x=laid_out, y=np.arange(len(piece)))
    split = {"inputs": "x", "targets": "y"}
    found = read(paths, train=split, test=split).train
    wanted = np.concatenate(pieces)
    wanted = wanted.astype("u1" if dtype == "?" else wanted.dtype.newbyteorder("="))
    np.testing.assert_array_equal(found.inputs[0], wanted)
    assert found.inputs[0].dtype == wanted.dtype
    assert found.inputs[0].dtype.isnative
    np.testing.assert_array_equal(found.targets[0], np.concatenate([*map(np.arange, sizes), [0]]))


def test_byte_orders_may_differ(files: Files) -> None:
    """They belong to the file, not to the numbers."""
    change(files[1], x_train=part(1)["x_train"].astype(">f4"))
    np.testing.assert_array_equal(read(files).train.inputs[0], ARRAYS["x_train"])


@pytest.mark.parametrize("missing", ["x_train", "y_train"])
def test_half_a_split_is_refused(missing: str, files: Files) -> None:
    """The message has the file, what it has and what it lacks."""
    change(files[1], **{missing: None})
    error = refused(files)
    found = "y_train" if missing == "x_train" else "x_train"
    assert error.what == f"The file has the array {found!r} of the train split and no {missing!r}."
    assert error.where == str(files[1])
    assert f"It has: {found}." in error.hint


@pytest.mark.parametrize("which", ["train", "test"])
def test_a_split_that_no_file_has_is_refused(which: str, files: Files) -> None:
    """The message has all names, and the number of files."""
    error = refused(files, **{which: {"inputs": "a", "targets": "b"}})
    assert error.what == "The data set has no array 'a'."
    assert error.where == f"{files[0]} and 3 more"
    assert "x_test, x_train, y_test, y_train" in error.hint


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"x_train": np.zeros((1, 4))}, "'x_train' is of float64, in {first} it is of float32"),
        ({"y_train": np.zeros(1, bool)}, "'y_train' is of bool, in {first} it is of int64"),
        ({"x_train": np.zeros((1, 5), "f4")}, "have the shape (5,), in {first} they have (4,)"),
        ({"x_train": np.zeros((1, 4, 1), "f4")}, "have the shape (4, 1), in {first} they have"),
        ({"x_train": np.zeros((2, 4), "f4")}, "x_train has the shape (2, 4), y_train has (1,)"),
        ({"x_train": np.zeros((), "f4")}, "x_train has the shape (), y_train has (1,)"),
        ({"y_train": np.zeros((), "i8")}, "x_train has the shape (1, 4), y_train has ()"),
    ],
    ids=str,
)
def test_arrays_that_can_not_be_joined_are_refused(
    changed: dict[str, Any], says: str, files: Files
) -> None:
    """Another dtype or another shape of rows than the first file's, or rows that are not one
    for one; the file is named, and nothing is cast or broadcast.
    """
    change(files[1], **changed)
    error = refused(files)
    assert says.format(first=files[0]) in error.what
    assert error.where == str(files[1])


@pytest.mark.parametrize("which", ["train", "test"])
def test_files_without_any_rows_are_refused(which: str, files: Files) -> None:
    """One empty file is accepted if another has rows."""
    if which == "test":
        change(files[3], **{name: ARRAYS[name][:0] for name in ("x_test", "y_test")})
    for index, path in enumerate(files[:3]):
        if which == "train":
            assert len(read(files).train.inputs[0]) == 20 - CUTS[index]
            change(path, **{name: it[:0] for name, it in part(index).items()})
    config = NpzConfig.model_validate({"uri": "data/"})
    with pytest.raises(InputError, match=f"{which} split has no rows") as caught:
        open_dataset(source_of(files, [X], [Y]), config, 7)
    assert caught.value.where == f"{files[0]} and 3 more"


@pytest.mark.parametrize("index", range(4))
def test_every_file_is_checked_for_attacks(index: int, files: Files) -> None:
    """For pickles, text, truncation and a bomb, in any place; the error names the file."""
    path = files[index]
    good = path.read_bytes()
    name = "x_test" if index == 3 else "x_train"
    canary = path.with_suffix(".canary")
    with np.load(path) as archive:
        rows = len(archive[name])
    change(path, **{name: np.asarray([Canary(canary)] * rows, dtype=object)})
    assert "pickled" in refused(files).what
    assert not canary.exists()
    for content in (b"", b"hello", good[:-30], good.replace(b"NUMPY", b"NAMPY")):
        path.write_bytes(content)
        assert refused(files).where == str(path)
    path.unlink()
    assert refused(files).where == str(path)


@pytest.mark.parametrize("shape", [(2**27, 4), (-20, -4)])
def test_a_shape_bomb_in_one_file_is_refused_without_allocating(
    shape: tuple[int, ...], files: Files
) -> None:
    """The joined array is allocated only after every file's header was verified."""
    with_member(files[1], header(shape) + bytes(320))
    change(files[3], x_test=ARRAYS["x_test"])
    tracemalloc.start()
    try:
        error = refused(files)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
    assert error.where == str(files[1])


def test_a_bomb_with_two_false_sizes_is_refused(files: Files) -> None:
    """16 TB in the header, and in the archive's compressed and uncompressed sizes."""
    content = header((4 * 10**12,))
    with zipfile.ZipFile(files[1], "w") as archive:
        archive.writestr("y_train.npy", content + bytes(320))
        archive.writestr("x_train.npy", content + bytes(320))
        for entry in archive.filelist:
            entry.file_size = len(content) + 16 * 10**12
            entry.compress_size = entry.file_size
    error = refused([files[1], files[1], files[3]])
    assert "declares 16,000,000,000,000 bytes" in error.what
    assert error.where == str(files[1])


def test_negative_sizes_that_multiply_to_the_right_one_are_refused(files: Files) -> None:
    """In all files, so that nothing else is wrong."""
    with_member(files[1], header((20, -2, -2)) + bytes(320))
    error = refused([files[1], files[1]])
    assert "(20, -2, -2)" in error.what
    assert error.where == str(files[1])


def test_at_most_one_files_array_is_in_memory_besides_the_data(tmp_path: Path) -> None:
    """Eight files of 4 MB: the joined 32 MB, and one of the eight; one file has no copy."""
    paths = [tmp_path / f"{index}.npz" for index in range(8)]
    for index, path in enumerate(paths):
        x = np.full((1000, 1000), index, "float32")
        np.savez_compressed(path, x=x, y=np.zeros(1000), a=x[:1], b=np.zeros(1))
    names: dict[str, Any] = {
        "train": {"inputs": "x", "targets": "y"},
        "test": {"inputs": "a", "targets": "b"},
    }
    for some, most in ((paths, 38e6), (paths[:1], 6e6)):
        tracemalloc.start()
        try:
            found = read(some, **names)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < most
        assert [int(it) for it in array(found.train.inputs[0])[::1000, 0]] == list(range(len(some)))


def test_a_file_that_changes_during_the_reading_is_refused(files: Files) -> None:
    """After its header was read: else one row would fill all places."""
    with opened(files[0]) as file:
        seen = file.header("x_train")
    change(files[0], x_train=part(0)["x_train"][:1])
    with opened(files[0]) as file, pytest.raises(InputError, match="changed") as caught:
        file.read("x_train", seen)
    assert caught.value.where == str(files[0])
