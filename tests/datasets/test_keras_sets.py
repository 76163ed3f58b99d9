"""A data set of Keras is read once its SHA-256 was compared."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.datasets.keras_sets import PINNED, open_keras
from job.datasets.source import Opened, Source
from job.errors import InputError
from job.manifest.datasets import KERAS_ADDRESSES, KerasConfig
from job.result.specs import TensorSpec
from job.rows.store import Store
from tests.support.keras_files import (
    cifar_members,
    sha256,
    write_fashion_mnist,
    write_imdb,
    write_tar,
)
from tests.support.sources import both

QUICKSTART = Path(__file__).parents[2] / "manifests" / "quickstart" / "mnist.npz"
X, Y = TensorSpec("x", (28, 28), "float32"), TensorSpec("y", (10,), "float32")


def opened(files: dict[str, Path], name: str, scratch: Path, **fields: Any) -> Opened:
    config = KerasConfig.model_validate({"type": "keras", "name": name} | fields)
    source = Source(dict(sorted(files.items())), [X], [Y], Store(scratch, 1 << 28, 1 << 28))
    return open_keras(source, config)


def refused(files: dict[str, Path], name: str, scratch: Path, **fields: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(files, name, scratch, **fields)
    assert caught.value.hint
    return caught.value


def test_the_digests_are_those_of_keras() -> None:
    """In the source of the Keras that is installed; the addresses, too."""
    import keras.src.datasets.mnist

    folder = Path(keras.src.datasets.mnist.__file__).parent
    for name, pinned in PINNED.items():
        tree = ast.walk(ast.parse((folder / f"{name}.py").read_text("utf-8")))
        texts = {
            it.value for it in tree if isinstance(it, ast.Constant) and isinstance(it.value, str)
        }
        assert pinned in texts
        assert any(KERAS_ADDRESSES[name].startswith(it) for it in texts if "https" in it[:5])
    assert PINNED.keys() | {"fashion_mnist"} == KERAS_ADDRESSES.keys()


def test_mnist_is_read_as_the_archive_that_it_is(tmp_path: Path) -> None:
    """A part of MNIST, by its own SHA-256."""
    digest = sha256(QUICKSTART)
    found = opened({"mnist.npz": QUICKSTART}, "mnist", tmp_path, sha256=digest.upper())
    with np.load(QUICKSTART) as archive:
        np.testing.assert_array_equal(found.train.inputs[0][:], archive["x_train"])
        np.testing.assert_array_equal(found.train.targets[0], archive["y_train"])
        assert found.test is not None
        np.testing.assert_array_equal(found.test.inputs[0][:], archive["x_test"])
    assert found.decisions == ("mnist: the file has the SHA-256 that the manifest pins.",)


def test_cifar_and_imdb_give_the_arrays_that_are_named(tmp_path: Path) -> None:
    """Test rows may be trained on, and there may be no labels."""
    path = write_tar(tmp_path / "cifar-10-python.tar.gz", cifar_members())
    named = {"train": {"inputs": "x_test", "targets": "y_test"}, "test": {"inputs": "x_train"}}
    found = opened({path.name: path}, "cifar10", tmp_path, sha256=sha256(path), **named)
    assert found.train.inputs[0].shape == (4, 32, 32, 3)
    assert found.train.targets[0].shape == (4, 1)
    assert found.test is not None
    assert found.test.inputs[0].shape == (20, 32, 32, 3)
    assert found.test.targets == ()
    path = write_imdb(tmp_path / "imdb.npz", 9)
    found = opened({path.name: path}, "imdb", tmp_path, sha256=sha256(path), sequence_length=11)
    assert found.train.inputs[0].shape == (9, 11)
    assert found.train.targets[0].shape == (9,)


def test_fashion_mnist_is_four_files(tmp_path: Path) -> None:
    """That others were not read, and that Keras pins nothing, is reported."""
    files = write_fashion_mnist(tmp_path / "f", 12, 5) | {"readme.md": tmp_path / "readme.md"}
    found = opened(files, "fashion_mnist", tmp_path)
    assert found.train.inputs[0].shape == (12, 28, 28)
    assert found.test is not None
    assert found.test.targets[0].shape == (5,)
    assert "pins no SHA-256" in found.decisions[0]
    assert "readme.md" in found.decisions[1]


def test_no_rows_are_moved_twice_when_some_are_held_out(tmp_path: Path) -> None:
    """That is done in place: an array that is named twice is one object, in each split its own."""
    files = write_fashion_mnist(tmp_path / "f", 12, 5)
    config = KerasConfig.model_validate(
        {
            "type": "keras",
            "name": "fashion_mnist",
            "train": {"inputs": "x_train", "targets": ["y_train", "y_train", "x_train"]},
            "test": {"inputs": "x_train", "targets": ["y_train", "y_train", "x_train"]},
        }
    )
    source = Source(files, [X], [Y, Y, X], Store(tmp_path, 1 << 28, 1 << 28))
    train, test = both(open_keras(source, config))
    for split in (train, test):
        assert split.targets[0] is split.targets[1]
        assert split.targets[2] is split.inputs[0]
    assert not np.shares_memory(train.targets[0], test.targets[0])
    assert not np.shares_memory(train.targets[2], test.targets[2])
    np.testing.assert_array_equal(train.targets[0], test.targets[0])


@pytest.mark.parametrize("name", sorted(PINNED))
@pytest.mark.parametrize("is_pinned", [False, True], ids=["Keras's", "the manifest's"])
def test_a_file_of_another_digest_is_refused_before_it_is_read(
    name: str, tmp_path: Path, *, is_pinned: bool
) -> None:
    """By the manifest's, where it has one; else by Keras's. The content does not matter."""
    path = tmp_path / "file"
    path.write_bytes(b"anything")
    fields: dict[str, Any] = {"sha256": PINNED[name][::-1]} if is_pinned else {}
    if name == "imdb":
        fields["sequence_length"] = 5
    error = refused({path.name: path}, name, tmp_path, **fields)
    assert error.where == str(path)
    for part in (sha256(path), fields.get("sha256", PINNED[name])):
        assert part in error.what
    assert ("manifest" if is_pinned else "Keras") in error.what
    assert "dataset.sha256" in error.hint


def test_one_file_is_wanted(tmp_path: Path) -> None:
    """A folder of several is ambiguous."""
    copy = tmp_path / "copy.npz"
    shutil.copyfile(QUICKSTART, copy)
    error = refused({"a.npz": QUICKSTART, "copy.npz": copy}, "mnist", tmp_path)
    assert error.where == "dataset.uri"
    assert "a.npz, copy.npz" in error.hint


@pytest.mark.parametrize(
    ("train", "what"),
    [
        ({"inputs": "x_train", "targets": "labels"}, "no array 'labels'"),
        ({"inputs": "x_train", "targets": "y_test"}, "x_train has 12, y_test has 5"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    train: dict[str, str], what: str, tmp_path: Path
) -> None:
    """With the place in the manifest."""
    files = write_fashion_mnist(tmp_path / "f", 12, 5)
    error = refused(files, "fashion_mnist", tmp_path, train=train)
    assert what in error.what
    assert error.where == "dataset.train"
