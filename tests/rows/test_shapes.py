"""The sizes of open dimensions, and contradictions."""

from __future__ import annotations

import numpy as np
import pytest

from job.errors import InputError
from job.result.specs import TensorSpec
from job.rows.data import Dataset, Split
from job.rows.shapes import fix_shapes

IMAGE = TensorSpec("image", (None, None, 3), "float32")
WORDS = TensorSpec("words", (6,), "int32")


def dataset(train: tuple[int, ...] = (8, 9, 3), test: tuple[int, ...] = (8, 9, 3)) -> Dataset:
    def split(shape: tuple[int, ...]) -> Split:
        inputs = (np.zeros((4, *shape)), np.zeros((4, 6)))
        return Split(inputs, (np.zeros(4),), 1.0, ("float32", "int32"))

    return Dataset(split(train), None, split(test))


def refused(given: dict[str, list[int]], data: Dataset) -> InputError:
    with pytest.raises(InputError) as caught:
        fix_shapes(data, [IMAGE, WORDS], given)
    assert caught.value.hint
    return caught.value


def test_open_dimensions_get_the_sizes_of_the_data() -> None:
    """This is reported; inputs without open dimensions are not changed."""
    fixed, decided = fix_shapes(dataset(), [IMAGE, WORDS], {})
    assert fixed == [TensorSpec("image", (8, 9, 3), "float32"), WORDS]
    assert decided == ["image: (None, None, 3) is taken as (8, 9, 3), from the data"]


def test_sizes_in_the_manifest_are_used() -> None:
    """Their source is reported; a size that the model fixes may be given too."""
    fixed, decided = fix_shapes(dataset(), [IMAGE, WORDS], {"image": [8, 9, 3], "words": [6]})
    assert [it.shape for it in fixed] == [(8, 9, 3), (6,)]
    assert decided == [
        "image: (None, None, 3) is taken as (8, 9, 3), from model.input_shapes (image)"
    ]


@pytest.mark.parametrize("sizes", [[8, 9, 1], [8, 9], [8, 9, 3, 1], []])
def test_sizes_that_contradict_the_model_are_refused(sizes: list[int]) -> None:
    """Another number of channels, or of dimensions."""
    error = refused({"image": sizes}, dataset())
    assert f"is {tuple(sizes)}, the model takes (None, None, 3)" in error.what
    assert error.where == "model.input_shapes"


def test_sizes_that_contradict_the_data_are_refused() -> None:
    """In either split."""
    error = refused({"image": [9, 8, 3]}, dataset())
    assert "rows have the shape (8, 9, 3), and image is taken as (9, 8, 3)" in error.what
    assert "from model.input_shapes (image)" in error.what
    assert error.where == "dataset.train.inputs (image)"
    error = refused({"image": [8, 9, 3]}, dataset(test=(5, 5, 3)))
    assert error.where == "dataset.test.inputs (image)"


def test_splits_that_contradict_each_other_are_refused() -> None:
    """The .tflite has one shape, and is measured on the test rows."""
    error = refused({}, dataset(test=(5, 5, 3)))
    assert "(5, 5, 3), and image is taken as (8, 9, 3), from the data" in error.what
    assert error.where == "dataset.test.inputs (image)"


def test_a_missing_input_is_refused() -> None:
    """The message has the model's inputs."""
    error = refused({"img": [8, 9, 3]}, dataset())
    assert error.what == "The model has no input img; its inputs: image, words."
