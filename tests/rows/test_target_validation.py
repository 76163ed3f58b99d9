"""Targets that do not fit the model's outputs and losses are refused, with their place."""

from __future__ import annotations

import numpy as np
import pytest

from job.errors import InputError
from job.result.specs import TensorSpec
from job.rows.data import Dataset, Split
from job.rows.validation import check_targets
from tests.rows.test_validation import (
    CLASSES,
    ONE_OF,
    PLACES,
    SPARSE,
    SQUARES,
    Array,
    dataset,
    refused_numbers,
    refused_targets,
)


@pytest.mark.parametrize(("low", "high"), [(0, 5), (1, 5), (-1, 3), (0, 255)])
@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_labels_out_of_range_are_refused_with_the_range(low: int, high: int, dtype: str) -> None:
    """That of the labels, and that of the classes; also in test rows and those for validation."""
    bad = np.ones(20, dtype)
    bad[-2:] = low, high
    places = {
        "dataset.train.targets": (dataset(y=bad),),
        "dataset.validation.targets": (dataset(y=bad, validated=4),),
        "dataset.test.targets": (dataset(test=(np.zeros((20, 4, 3)), bad)),),
    }
    for where, cases in places.items():
        for case in cases:
            error = refused_targets(case)
            assert error.where == where
            assert f"go from {low} to {high}, the model has 5 classes: 0 to 4" in error.what


@pytest.mark.parametrize("loss", ["categorical_crossentropy", SPARSE])
def test_a_loss_of_classes_needs_an_output_of_several(loss: str) -> None:
    """An output of one number for each row has no axis for them."""
    found = refused_targets(
        dataset(y=np.resize([0.0, 1.0], 20)), loss, TensorSpec("out", (), "float32")
    )
    assert "1 classes" in found.what or "one class each" in found.what


def test_labels_that_are_fractions_are_refused() -> None:
    """0.5 is not a class."""
    assert "fractions" in refused_targets(dataset(y=np.linspace(0, 4, 20))).what


@pytest.mark.parametrize("shape", [(20, 4), (20, 6), (20,), (20, 5, 1), (20, 1)])
def test_targets_of_another_shape_are_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    """That of the targets' rows, and that of the outputs."""
    error = refused_targets(dataset(y=np.zeros(shape)), SQUARES)
    assert f"the shape {shape[1:]}, the model answers with (5)" in error.what


@pytest.mark.parametrize("shape", [(20, 5), (20, 2), (20, 1, 1)])
def test_labels_of_another_shape_are_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    """One-hot rows are not class indices."""
    error = refused_targets(dataset(y=np.zeros(shape, int)))
    assert f"the shape {shape[1:]}; {SPARSE} takes one class index" in error.what


@pytest.mark.parametrize("change", [[1, 1, 0, 0, 0], [0] * 5, [2, -1, 0, 0, 0], [0.5] * 5])
def test_rows_that_are_not_one_class_each_are_refused(change: list[float]) -> None:
    """Two classes, none, negative ones: one such row is enough, also in the test split."""
    good = np.eye(5)[np.arange(20) % 5]
    y = good.copy()
    y[-1] = change
    for where, data in (
        ("dataset.train.targets", dataset(y=y)),
        ("dataset.validation.targets", dataset(y=y, validated=4)),
        ("dataset.test.targets", dataset(y=good, test=(np.zeros((20, 4, 3)), y))),
    ):
        error = refused_targets(data, ONE_OF)
        assert "one class each" in error.what
        assert error.where == where


def test_targets_for_any_number_of_positions_pass() -> None:
    """A class, or a row, for each pixel of images of any size."""
    check_targets(dataset(y=np.ones((20, 8, 9), int)), [PLACES], [SPARSE])
    check_targets(dataset(y=np.ones((20, 8, 9, 1), int)), [PLACES], [SPARSE])
    check_targets(dataset(y=np.zeros((20, 8, 9, 5))), [PLACES], [SQUARES])
    depths = TensorSpec("depths", (None, None, 1), "float32")
    for shape in ((20, 8, 9), (20, 8, 9, 1)):
        check_targets(dataset(y=np.zeros(shape)), [depths], [SQUARES])
    assert "(any, any, 5)" in refused_targets(dataset(y=np.ones((20, 8), int)), SPARSE, PLACES).what


def test_the_output_with_bad_targets_is_named() -> None:
    """Each is checked against its own output and loss, in every split."""
    angle = TensorSpec("angle", (1,), "float32")
    labels, angles = np.arange(20) % 5, np.zeros(20)
    x = np.zeros((20, 4, 3), "float32")

    def both(first: Array, second: Array) -> Dataset:
        whole = Split((x,), (first, second), 1.0, ("float32",))
        return Dataset(whole, None, whole.rows(0, 9))

    check_targets(both(labels, angles), [CLASSES, angle], [SPARSE, SQUARES])
    for data, where in (
        (both(labels + 1, angles), "dataset.train.targets (out)"),
        (both(labels, np.zeros((20, 2))), "dataset.train.targets (angle)"),
    ):
        with pytest.raises(InputError) as caught:
            check_targets(data, [CLASSES, angle], [SPARSE, SQUARES])
        assert caught.value.where == where
    odd = both(angles, np.where(labels == 3, np.nan, 0))
    assert refused_numbers(odd, outputs=(CLASSES, angle)).where == "dataset.train.targets (angle)"
