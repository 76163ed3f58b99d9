"""Reviews come in Keras's order, with Keras's integers; nothing else is unpickled."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.datasets import keras_imdb
from job.datasets.keras_imdb import read_imdb
from job.errors import InputError
from job.manifest.datasets import KerasConfig
from job.rows.lazy import Rows
from job.rows.store import Store
from tests.support.keras_files import write_imdb


def read(path: Path, **fields: Any) -> dict[str, Rows]:
    given = {"type": "keras", "name": "imdb", "sequence_length": 20}
    config = KerasConfig.model_validate(given | fields)
    with path.open("rb") as file:
        return read_imdb(file, path, config, Store(path.parent, 1 << 20, 0))


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.where.startswith(str(path))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("num_words", [None, 50, 1000])
@pytest.mark.parametrize("length", [5, 20, 60])
def test_rows_are_those_of_keras(
    length: int, num_words: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras is given the same file, and pads what it has read."""
    import keras.src.datasets.imdb as of_keras
    from keras.utils import pad_sequences

    path = write_imdb(tmp_path / "imdb.npz", 64)
    monkeypatch.setattr(of_keras, "get_file", lambda **_: str(path))
    train, test = of_keras.load_data(num_words=num_words)
    found = read(path, sequence_length=length, num_words=num_words)
    for split, (reviews, labels) in (("train", train), ("test", test)):
        rows = found[f"x_{split}"][:]
        assert rows.dtype == np.int32
        np.testing.assert_array_equal(rows, pad_sequences(reviews, length))
        np.testing.assert_array_equal(found[f"y_{split}"], labels)
        assert found[f"y_{split}"].dtype == labels.dtype
        # Without num_words, Keras counts the largest integer as unknown.
        assert length < 60 or (rows == 2).any() or num_words == 1000 or split == "test"


def with_reviews(path: Path, *given: Any) -> Path:
    """A file whose training reviews are these objects."""
    reviews = np.empty(len(given), object)
    reviews[:] = list(given)
    plain: dict[str, Any] = {f"y_{split}": np.zeros(len(given), int) for split in ("train", "test")}
    np.savez(path, x_train=reviews, x_test=reviews, **plain)
    return path


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_a_review_that_runs_code_is_refused(tmp_path: Path) -> None:
    """The canary is triggered by np.load, but not here."""
    canary = tmp_path / "canary"
    path = with_reviews(tmp_path / "imdb.npz", [1], Evil(canary))
    error = refused(path)
    assert "mkdir" in error.what
    assert error.where == f"{path}, x_train"
    assert not canary.exists()
    with np.load(path, allow_pickle=True) as archive:
        assert len(archive["x_train"]) == 2
    assert canary.exists()


@pytest.mark.parametrize("review", ["text", [1.5], [-1], [2**31], [2**70], [[1]], None, [True]])
def test_a_review_that_is_no_list_of_integers_is_refused(review: Any, tmp_path: Path) -> None:
    """They must fit into 32 bits."""
    assert "lists of integers" in refused(with_reviews(tmp_path / "imdb.npz", [1], review)).what


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(fraction: float, tmp_path: Path) -> None:
    """Wherever it is cut off."""
    path = write_imdb(tmp_path / "imdb.npz", 8)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    assert "no readable imdb.npz" in refused(path).what


def test_missing_plain_and_unequal_arrays_are_refused(tmp_path: Path) -> None:
    """Each with what is wrong."""
    path = write_imdb(tmp_path / "imdb.npz", 3)
    with np.load(path, allow_pickle=True) as archive:
        good = dict(archive)
    for name, array, what in (
        ("y_test", good["y_test"][:2], "not one label in y_test for each of 3"),
        ("x_train", np.zeros((3, 4), int), "refused"),
        ("y_train", good["x_train"], "pickled"),
    ):
        np.savez(path, **good | {name: array})
        assert what in refused(path).what
    np.savez(path, **{name: array for name, array in good.items() if name != "x_test"})
    assert "x_test" in refused(path).what


def test_a_large_pickle_is_refused_by_its_declared_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no more is read than is declared."""
    path = write_imdb(tmp_path / "imdb.npz", 100)
    monkeypatch.setattr(keras_imdb, "MAX_PICKLE_BYTES", 1000)
    assert "more than 1,000 bytes" in refused(path).what
    monkeypatch.undo()
    with zipfile.ZipFile(path) as archive:
        content = archive.read("x_train.npy")
    assert content.rfind(pickle.STOP) == len(content) - 1
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", content)
        archive.filelist[-1].file_size = 500
    assert refused(path).where == f"{path}, x_train"
