"""A data set as the manifest has it: preprocessed, checked for its rows, split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.datasets.open_dataset import Prepared, open_dataset
from job.errors import InputError
from job.manifest.datasets import NpyConfig, NpzConfig
from job.result.specs import TensorSpec
from job.rows.lazy import LazyRows
from tests.support.sources import array, source_of

X, Y = TensorSpec("x", (4,), "float32"), TensorSpec("y", (3,), "float32")
OTHER = TensorSpec("other", (4,), "float32")
# Each row has its number in every array.
NUMBERS = np.arange(60)
ARRAYS: dict[str, Any] = {
    "x": (NUMBERS[:, None] + np.zeros(4)).astype("uint8"),
    "y": NUMBERS % 3,
    "w": NUMBERS / 2,
    "v": (NUMBERS[:9, None] + np.zeros(4)).astype("uint8"),
    "z": NUMBERS[:9] % 3,
}
ALL: dict[str, Any] = {"train": {"inputs": "x", "targets": "y"}}
PLENTY = 1 << 40


@pytest.fixture(params=["npz", "npy"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """An archive, or a file for each array."""
    return saved(tmp_path, request.param, ARRAYS)


def saved(folder: Path, kind: str, arrays: dict[str, Any]) -> list[Path]:
    if kind == "npz":
        np.savez(folder / "data.npz", **arrays)
        return [folder / "data.npz"]
    for name, it in arrays.items():
        np.save(folder / f"{name}.npy", it)
    return [folder / f"{name}.npy" for name in sorted(arrays)]


def opened(
    files: list[Path],
    *,
    inputs: tuple[TensorSpec, ...] = (X,),
    outputs: tuple[TensorSpec, ...] = (Y,),
    memory_bytes: int = PLENTY,
    cache_bytes: int = PLENTY,
    seed: int = 7,
    **fields: Any,
) -> Prepared:
    document = {"type": files[0].suffix[1:], "uri": "data"} | fields
    config = NpzConfig if document["type"] == "npz" else NpyConfig
    asked = config.model_validate(document)
    source = source_of(files, inputs, outputs, memory_bytes=memory_bytes, cache_bytes=cache_bytes)
    return open_dataset(source, asked, seed)


def refused(files: list[Path], **fields: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(files, **fields)
    return caught.value


def numbers(rows: Any) -> list[int]:
    """Of the rows, by their first value."""
    return [int(row[0]) for row in array(rows)]


@pytest.mark.parametrize("memory_bytes", [PLENTY, 0])
def test_rows_are_held_out_to_test_on_where_none_are_named(
    memory_bytes: int, files: list[Path]
) -> None:
    """A fifth of each class, in memory or not; no row is lost, and all arrays stay together."""
    weighted: dict[str, Any] = {"train": {**ALL["train"], "weights": "w"}}
    found = opened(files, memory_bytes=memory_bytes, **weighted).dataset
    assert found.validation is None
    assert found.train.is_streamed == (memory_bytes == 0)
    seen = [numbers(split.inputs[0]) for split in (found.train, found.test)]
    assert sorted(seen[0] + seen[1]) == list(range(60))
    assert len(seen[1]) == 12
    assert np.bincount(found.test.targets[0]).tolist() == [4, 4, 4]
    for split, them in zip((found.train, found.test), seen, strict=True):
        np.testing.assert_array_equal(split.targets[0], np.asarray(them) % 3)
    (weights,) = found.train.weights
    assert weights is not None
    np.testing.assert_array_equal(weights, np.asarray(seen[0]) / 2)


def test_the_same_rows_are_held_out_whether_they_are_in_memory_or_not(files: list[Path]) -> None:
    """The training's seed decides, or split.seed where it is given."""

    def held(trained: int, memory_bytes: int = PLENTY, **split: Any) -> list[int]:
        asked = {"split": {"test": 0.25, **split}} | ALL
        found = opened(files, memory_bytes=memory_bytes, seed=trained, **asked)
        return numbers(found.dataset.test.inputs[0])

    assert held(7) == held(7, memory_bytes=0) == held(8, seed=7)
    assert held(8) != held(7)
    assert len(held(7)) == 15


def test_an_array_that_is_input_and_target_stays_with_the_others(files: list[Path]) -> None:
    """As of an autoencoder that classifies, too: rows are moved once."""
    copy = TensorSpec("copy", (4,), "float32")
    names: dict[str, Any] = {
        "train": {"inputs": ["x", "x"], "targets": ["x", "y"], "weights": {"y": "y"}}
    }
    for memory_bytes in (PLENTY, 0):
        found = opened(
            files, inputs=(X, OTHER), outputs=(copy, Y), memory_bytes=memory_bytes, **names
        ).dataset
        for split in (found.train, found.test):
            there = numbers(split.inputs[0])
            assert numbers(split.inputs[1]) == numbers(split.targets[0]) == there
            np.testing.assert_array_equal(split.targets[1], np.asarray(there) % 3)
        assert sorted(numbers(found.train.inputs[0]) + numbers(found.test.inputs[0])) == list(
            range(60)
        )


def test_named_splits_are_used_as_they_are(files: list[Path]) -> None:
    """Nothing is held out."""
    split = {"inputs": "v", "targets": "z"}
    found = opened(files, test=split, validation=split, **ALL).dataset
    assert numbers(found.train.inputs[0]) == list(range(60))
    assert found.validation is not None
    assert numbers(found.test.inputs[0]) == numbers(found.validation.inputs[0]) == list(range(9))


@pytest.mark.parametrize("memory_bytes", [PLENTY, 0])
def test_inputs_are_preprocessed(memory_bytes: int, files: list[Path]) -> None:
    """Their shape when they are opened, their values when they are read; and it is reported."""
    image = TensorSpec("x", (2, 2), "float32")
    asked = [{"shape": [2, 2], "scale": 0.5, "mean": 1.0}]
    found = opened(files, inputs=(image,), memory_bytes=memory_bytes, preprocess=asked, **ALL)
    rows = found.dataset.train.inputs[0]
    assert isinstance(rows, LazyRows) == (memory_bytes == 0)
    assert rows.shape == (48, 2, 2)
    (x,), (y,) = found.dataset.train.read(0, 5)
    assert x.shape == (5, 2, 2)
    assert x.dtype == np.float32
    wanted = np.asarray([int(row[0, 0]) for row in array(rows)[:5]])
    np.testing.assert_array_equal(x[:, 1, 1], wanted * 0.5 - 1)
    np.testing.assert_array_equal(y, wanted % 3)
    assert "preprocessed: x: (value * 0.5) - 1" in found.decisions
    assert "rows of x have the shape (2, 2) after preprocess" in found.decisions
    streamed = [it for it in found.decisions if "read batch by batch" in it]
    assert len(streamed) == (memory_bytes == 0)


def test_each_input_has_its_own_preprocessing(files: list[Path]) -> None:
    """By its name, in any order; errors name the entry."""
    inputs = (X, OTHER)
    names: dict[str, Any] = {"train": {"inputs": ["x", "x"], "targets": "y"}}
    asked: list[dict[str, Any]] = [{"input": "other", "offset": 1.0}, {"input": "x", "scale": 2.0}]
    found = opened(files, inputs=inputs, preprocess=asked, **names).dataset
    first, second = found.train.model_inputs(slice(0, 3))
    there = numbers(found.train.inputs[0])[:3]
    np.testing.assert_array_equal(first[:, 0], np.asarray(there) * 2)
    np.testing.assert_array_equal(second[:, 0], np.asarray(there) + 1)
    asked[0]["shape"] = [5]
    assert refused(files, inputs=inputs, preprocess=asked, **names).where == (
        "dataset.preprocess.0.shape"
    )


@pytest.mark.parametrize("row", [0, 31, 59])
@pytest.mark.parametrize("name", ["x", "y", "w"])
def test_errors_name_rows_as_the_files_have_them(name: str, row: int, tmp_path: Path) -> None:
    """Also where some of them are held out to test on, which changes their order."""
    bad = ARRAYS[name].astype("float32")
    bad[row] = np.nan
    files = saved(tmp_path, "npy", ARRAYS | {name: bad})
    places = {"x": "inputs (x)", "y": "targets", "w": "weights"}
    for split in ({}, {"test": {"inputs": "v", "targets": "z"}}):
        train = {"inputs": "x", "targets": "y", "weights": "w"}
        error = refused(files, train=train, **split)
        at = {"x": f"nan at [{row}, 0]", "y": f"nan at [{row}]", "w": f"row {row} is nan"}
        assert at[name] in error.what
        assert error.where == f"dataset.train.{places[name]}"


def test_rows_that_are_held_out_to_test_on_are_those_of_train(files: list[Path]) -> None:
    """So errors name a section that the manifest has."""
    assert [place for place, _ in opened(files, **ALL).dataset.splits] == ["train", "train"]
    named = opened(files, test={"inputs": "v", "targets": "z"}, **ALL).dataset
    assert [place for place, _ in named.splits] == ["train", "test"]


def test_rows_that_are_preprocessed_again_stay_with_the_targets(files: list[Path]) -> None:
    """Where there is no room for them, and the same array is a target, too."""
    image = TensorSpec("x", (2, 2), "float32")
    found = opened(
        files,
        inputs=(image,),
        outputs=(OTHER,),
        memory_bytes=ARRAYS["x"].nbytes,
        cache_bytes=0,
        preprocess=[{"shape": [2, 2]}],
        train={"inputs": "x", "targets": "x"},
    ).dataset
    assert found.train.is_streamed
    for split in (found.train, found.test):
        rows = array(split.inputs[0]).reshape(-1, 4)
        np.testing.assert_array_equal(rows, split.targets[0])


@pytest.mark.parametrize("kind", ["npz", "npy"])
@pytest.mark.parametrize("which", ["train", "test", "validation"])
def test_a_split_without_rows_is_refused(which: str, kind: str, tmp_path: Path) -> None:
    """By its name."""
    files = saved(tmp_path, kind, ARRAYS | {"v": ARRAYS["v"][:0], "z": ARRAYS["z"][:0]})
    names = {"train": {"inputs": "x", "targets": "y"}, "test": {"inputs": "x", "targets": "y"}}
    error = refused(files, **names | {which: {"inputs": "v", "targets": "z"}})
    assert error.what == f"The {which} split has no rows."
    assert error.where.startswith(str(files[0]))


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_rows_without_values_are_refused(kind: str, tmp_path: Path) -> None:
    """An array of no bytes may declare any number of them."""
    files = saved(tmp_path, kind, {"x": np.zeros((1 << 40, 0), "float32")})
    error = refused(files, train={"inputs": "x"})
    assert "no values" in error.what
    assert str(files[0]) in error.where


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_a_share_that_leaves_no_rows_is_refused_at_its_place(
    share: float, files: list[Path]
) -> None:
    """Of both fields that ask for it."""
    few: dict[str, Any] = {"train": {"inputs": "v", "targets": "z"}}
    if share < 0.5:
        assert refused(files, test_split=share, **few).where == "dataset.test_split"
        assert refused(files, split={"test": share}, **few).where == "dataset.split.test"
    else:
        found = opened(files, test_split=share, **few).dataset
        # Each class keeps a row to train on.
        assert sorted(found.train.targets[0].tolist()) == [0, 1, 2]
