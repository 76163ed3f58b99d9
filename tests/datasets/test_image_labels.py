"""Labels are the same numbers in all splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.datasets.image_files import ImageFile
from job.datasets.image_labels import Labels, encode_labels
from job.datasets.image_listing import Listing
from job.errors import InputError
from job.manifest.datasets import ImageFolderConfig


def listing(which: str, labels: list[str] | None, *, is_by_folder: bool = False) -> Listing:
    files = [
        ImageFile(f"{i}.png", str(Path(which, f"{i}.png"))) for i in range(len(labels or "12"))
    ]
    return Listing(which, files, labels, is_by_folder, ())


def encoded(*listings: Listing, names: list[str] | None = None) -> Labels:
    fields: dict[str, Any] = {"type": "image_folder", "uri": "data/", "class_names": names}
    return encode_labels(listings, ImageFolderConfig.model_validate(fields))


def refused(*listings: Listing, names: list[str] | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        encoded(*listings, names=names)
    assert caught.value.hint
    return caught.value


def test_class_names_are_sorted_and_shared_by_all_splits() -> None:
    """The training images say which there are."""
    found = encoded(
        listing("train", ["cat", "ant", "bee"]),
        listing("test", ["bee", "bee"]),
        listing("validation", None),
    )
    assert found.class_names == ("ant", "bee", "cat")
    train, test, validation = found.values
    assert train is not None
    assert test is not None
    assert train.dtype == np.int64
    assert train.tolist() == [2, 0, 1]
    assert test.tolist() == [1, 1]
    assert validation is None


def test_named_classes_have_the_models_order() -> None:
    """Not the sorted one."""
    found = encoded(listing("train", ["a", "b", "a"]), names=["b", "a"])
    assert found.class_names == ("b", "a")
    assert found.values[0] is not None
    assert found.values[0].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        (["0", "12", "+3"], np.int64),
        (["-1", "5"], np.int64),
        (["0.5", "1", "-2e3", ".5", "5."], np.float32),
    ],
)
def test_labels_of_a_csv_are_numbers_where_all_are(labels: list[str], dtype: type) -> None:
    """Integers are class indices."""
    (values,) = encoded(listing("train", labels)).values
    assert values is not None
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, [float(text) for text in labels])


@pytest.mark.parametrize("odd", ["nan", "inf", "1_0", "0x1", "٣", "1,5", "one", "5x"])
@pytest.mark.parametrize("other", ["1", "0.5"])
@pytest.mark.parametrize("which", ["train", "test"])
def test_numbers_and_names_are_not_mixed(odd: str, other: str, which: str) -> None:
    """One typo would renumber all classes, sorted as text; the error has its line."""
    good = listing("train", [other, "2"])
    wrong = replace(listing(which, ["3", odd, other]), csv=Path("l.csv"), lines=(4, 2, 3))
    error = refused(*([wrong, good] if which == "train" else [good, wrong]))
    assert error.what == f"The label {odd!r} is no number, and others are."
    assert error.where == "l.csv, line 2"
    assert odd in encoded(wrong, names=["3", other, odd]).class_names


@pytest.mark.parametrize("odd", ["nan", "inf", "1_0"])
def test_what_only_looks_like_a_number_is_a_name(odd: str) -> None:
    """In the list of classes it can be seen."""
    assert odd in encoded(listing("train", ["one", odd])).class_names


@pytest.mark.parametrize("names", [["train", "val", "test"], ["Test"], ["dev", "TRAINING"]])
def test_folders_called_as_splits_are_no_classes(names: list[str]) -> None:
    """The folder of a split was forgotten. One that is called otherwise makes them classes; so do
    class_names and a CSV.
    """
    error = refused(listing("train", names, is_by_folder=True))
    assert error.where == "dataset.train.folder"
    assert ", ".join(sorted(names)) in error.what
    assert "dataset.train.folder and dataset.test.folder" in error.hint
    assert encoded(listing("train", [*names, "cat"], is_by_folder=True)).class_names
    assert encoded(listing("train", names, is_by_folder=True), names=names).class_names
    assert encoded(listing("train", names)).class_names


def test_the_labels_of_all_splits_are_of_one_kind() -> None:
    """Numbers with a fraction in the test split make those of the others float32."""
    train, test = encoded(listing("train", ["1", "2"]), listing("test", ["1.5"])).values
    assert train is not None
    assert test is not None
    assert train.dtype == test.dtype == np.float32


def test_folders_called_as_numbers_are_names() -> None:
    """As in Keras, "10" is before "2"."""
    found = encoded(listing("train", ["10", "2"], is_by_folder=True), listing("test", ["2"]))
    assert found.class_names == ("10", "2")
    assert found.values[1] is not None
    assert found.values[1].tolist() == [1]


def test_numbers_are_names_where_class_names_has_them() -> None:
    """Else they are indices, which must be below its length."""
    named = encoded(listing("train", ["7", "8"]), names=["8", "7"])
    assert named.values[0] is not None
    assert named.values[0].tolist() == [1, 0]
    indices = encoded(listing("train", ["1", "0"]), names=["a", "b"])
    assert indices.values[0] is not None
    assert indices.values[0].tolist() == [1, 0]
    assert indices.class_names == ("a", "b")
    for wrong in ("2", "-1"):
        error = refused(listing("train", ["0", wrong]), names=["a", "b"])
        assert f"label {wrong} " in error.what
        assert error.where == "train/1.png"


@pytest.mark.parametrize("names", [None, ["a", "b"]])
def test_a_class_that_is_not_known_is_refused(names: list[str] | None) -> None:
    """In any split; the message names the split, the class and a file."""
    error = refused(listing("train", ["a", "b"]), listing("test", ["b", "c"]), names=names)
    assert "test split has images of an unknown class: c" in error.what
    assert error.where == "test/1.png"
    assert "a, b" in error.hint


def test_an_unknown_class_of_the_training_images_is_refused() -> None:
    """Where classes are named."""
    assert "unknown class: c" in refused(listing("train", ["a", "c"]), names=["a", "b"]).what
    assert "unknown class" in refused(listing("train", ["0.5"]), names=["a", "b"]).what


def test_an_empty_class_or_a_class_named_twice_is_refused() -> None:
    """Both are mistakes of the manifest."""
    error = refused(listing("train", ["a", "b"]), names=["a", "b", "c"])
    assert "no images of c" in error.what
    assert error.where == "dataset.class_names"
    assert "twice" in refused(listing("train", ["a"]), names=["a", "a"]).what


def test_a_number_beyond_float32_is_refused() -> None:
    """It would be infinite."""
    error = refused(listing("train", ["0.5", "1e39"]))
    assert "1e39" in error.what
    assert error.where == "train/1.png"


def test_without_labels_there_are_no_classes() -> None:
    """Class names are not needed, and do no harm."""
    assert encoded(listing("train", None), names=["a"]) == Labels([None], ())
