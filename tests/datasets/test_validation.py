"""A data set that does not fit is refused, with the place of what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from job.datasets import validation
from job.datasets.data import Dataset, Split
from job.datasets.validation import check_inputs, check_targets
from job.errors import InputError
from job.result.result import TensorSpec

Array = NDArray[Any]
PICTURE = TensorSpec("picture", (4, 3), "float32")
SPARSE, ONE_OF, SQUARES = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "mean_squared_error",
)
CLASSES = TensorSpec("out", (5,), "float32")


def dataset(
    x: Array | None = None,
    y: Array | None = None,
    scale: float = 1.0,
    held_out: int = 0,
    test: tuple[Array, Array] | None = None,
) -> Dataset:
    """Twenty good rows for training, the last ``held_out`` of them held out, and five for tests."""
    random = np.random.default_rng(0)
    good_x = random.normal(size=(20, 4, 3)).astype("float32")
    good_y = random.integers(0, 5, 20)
    x, y = (good_x if x is None else x), (good_y if y is None else y)
    whole = Split((x,), (y,), scale, ("float32",))
    tested = Split((x[:5],), (y[:5],), scale, ("float32",)) if test is None else None
    if test is not None:
        tested = Split((test[0],), (test[1],), scale, ("float32",))
    assert tested is not None
    return Dataset(
        train=whole.rows(0, 20 - held_out),
        validation=whole.rows(20 - held_out, 20) if held_out else None,
        test=tested,
    )


def warnings_of(data: Dataset, spec: TensorSpec = PICTURE, *, scales: bool = False) -> list[str]:
    return check_inputs(data, [spec], scales=scales)


def refused_inputs(data: Dataset, spec: TensorSpec = PICTURE) -> InputError:
    with pytest.raises(InputError) as caught:
        warnings_of(data, spec)
    return caught.value


def refused_targets(data: Dataset, loss: str = SPARSE, output: TensorSpec = CLASSES) -> InputError:
    with pytest.raises(InputError) as caught:
        check_targets(data, [output], [loss])
    return caught.value


def test_a_good_data_set_passes_without_a_warning() -> None:
    """With and without held-out rows, for labels and for numbers."""
    for held_out in (0, 4):
        assert warnings_of(dataset(held_out=held_out)) == []
        check_targets(dataset(held_out=held_out), [CLASSES], [SPARSE])
    check_targets(dataset(y=np.zeros((20, 5))), [CLASSES], [SQUARES])
    check_targets(dataset(y=np.zeros(20)), [TensorSpec("out", (1,), "float32")], [SQUARES])
    check_targets(dataset(y=np.zeros((20, 7, 5))), [TensorSpec("o", (None, 5), "f4")], [SQUARES])
    check_targets(dataset(y=np.eye(5)[np.arange(20) % 5]), [CLASSES], [ONE_OF])
    check_targets(dataset(y=np.full((20, 5), 0.2, "float32")), [CLASSES], [ONE_OF])
    words = TensorSpec("words", (6, 5), "float32")
    for shape in ((20, 6), (20, 6, 1)):
        check_targets(dataset(y=np.zeros(shape, int)), [words], [SPARSE])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 13, 19])
@pytest.mark.parametrize("part_bytes", [1 << 26, 100])
def test_the_place_of_a_value_that_is_not_finite_is_given(
    value: float, row: int, part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row, its position and its value; also where the array is examined in parts."""
    monkeypatch.setattr(validation, "PART_BYTES", part_bytes)
    x = np.zeros((20, 4, 3), "float32")
    x[row, 2, 1] = value
    good = (np.zeros((5, 4, 3), "float32"), np.zeros(5, int))
    error = refused_inputs(dataset(x, test=good))
    assert error.what == f"The array holds {value} at [{row}, 2, 1]."
    assert error.where == "dataset.train.inputs (picture)"
    error = refused_inputs(dataset(test=(x, np.zeros(20, int))))
    assert error.what == f"The array holds {value} at [{row}, 2, 1]."
    assert error.where == "dataset.test.inputs (picture)"


def test_held_out_inputs_are_checked_too() -> None:
    """The place is the row in the user's file."""
    x = np.zeros((20, 4, 3), "float32")
    x[18, 0, 0] = np.nan
    error = refused_inputs(dataset(x, held_out=4))
    assert error.what == "The array holds nan at [18, 0, 0]."
    assert error.where == "dataset.train.inputs (picture)"


def test_the_place_of_a_target_that_is_not_finite_is_given() -> None:
    """In every split, as the row in the user's file."""
    y = np.zeros((20, 5))
    y[7, 4] = np.inf
    error = refused_targets(dataset(y=y), SQUARES)
    assert (error.what, error.where) == (
        "The array holds inf at [7, 4].",
        "dataset.train.targets",
    )
    y = np.zeros((20, 5))
    y[18, 4] = np.nan
    error = refused_targets(dataset(y=y, held_out=4), SQUARES)
    assert (error.what, error.where) == (
        "The array holds nan at [18, 4].",
        "dataset.train.targets",
    )


@pytest.mark.parametrize("dtype", ["U3", "S3", "complex64", "datetime64[s]", [("a", "f4")]])
def test_arrays_without_numbers_are_refused(dtype: Any) -> None:
    """Text, complex numbers, times and records: the error names the dtype."""
    x = np.zeros((20, 4, 3), dtype)
    assert str(x.dtype) in refused_inputs(dataset(x)).what
    y = np.zeros(20, dtype)
    assert str(y.dtype) in refused_targets(dataset(y=y)).what


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16", "float64"])
def test_numbers_of_every_kind_pass(dtype: str) -> None:
    """They are cast to the model's dtype."""
    assert warnings_of(dataset(np.zeros((20, 4, 3), dtype))) == []


@pytest.mark.parametrize("shape", [(20, 3, 4), (20, 4), (20, 4, 3, 1), (20,), (20, 12)])
def test_inputs_of_another_shape_are_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    """That of the rows, and that of the model."""
    error = refused_inputs(dataset(np.zeros(shape)))
    assert f"the shape {shape[1:]}, the model takes (4, 3)" in error.what


def test_a_free_dimension_takes_any_size() -> None:
    """The error calls it so where another one is wrong."""
    free = TensorSpec("words", (None, 3), "float32")
    assert warnings_of(dataset(np.zeros((20, 9, 3))), free) == []
    assert "(any, 3)" in refused_inputs(dataset(np.zeros((20, 9, 2))), free).what


@pytest.mark.parametrize(("low", "high"), [(0, 5), (1, 5), (-1, 3), (0, 255)])
@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_labels_out_of_range_are_refused_with_the_range(low: int, high: int, dtype: str) -> None:
    """That of the labels, and that of the classes; also in test and held-out rows."""
    bad = np.ones(20, dtype)
    bad[-2:] = low, high
    places = {
        "dataset.train.targets": (dataset(y=bad, held_out=0), dataset(y=bad, held_out=4)),
        "dataset.test.targets": (dataset(test=(np.zeros((20, 4, 3)), bad)),),
    }
    for where, cases in places.items():
        for case in cases:
            error = refused_targets(case)
            assert error.where == where
            assert f"go from {low} to {high}, the model has 5 classes: 0 to 4" in error.what


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
        ("dataset.train.targets", dataset(y=y, held_out=4)),
        ("dataset.test.targets", dataset(y=good, test=(np.zeros((20, 4, 3)), y))),
    ):
        error = refused_targets(data, ONE_OF)
        assert "one class each" in error.what
        assert error.where == where


def test_bytes_that_are_not_scaled_give_a_warning() -> None:
    """Only where the model takes floats, nothing scales them, and they are not flags."""
    pixels = np.arange(20 * 12).reshape(20, 4, 3).astype("uint8")
    (warning,) = warnings_of(dataset(pixels))
    assert "scale is 1" in warning
    assert "0.00392156862745098" in warning
    assert warnings_of(dataset(pixels, scale=1 / 255)) == []
    assert warnings_of(dataset(pixels % 2)) == []
    assert warnings_of(dataset(pixels.astype("int16"))) == []
    assert warnings_of(dataset(pixels), scales=True) == []
    indices = TensorSpec("ids", (4, 3), "int32")
    assert warnings_of(dataset(pixels), indices) == []


PLACES = TensorSpec("places", (None, None, 5), "float32")


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
        (both(angles, np.where(labels == 3, np.nan, 0)), "dataset.train.targets (angle)"),
    ):
        with pytest.raises(InputError) as caught:
            check_targets(data, [CLASSES, angle], [SPARSE, SQUARES])
        assert caught.value.where == where


def test_truth_values_are_bool_or_zero_and_one() -> None:
    """Any other number would count as true."""
    flags = TensorSpec("seen", (4,), "bool")
    for good in (np.eye(20, 4, dtype=bool), np.eye(20, 4), np.eye(20, 4, dtype="int8")):
        assert check_inputs(dataset(good), [flags], scales=False) == []
    for bad in (np.eye(20, 4) * 2, np.eye(20, 4) / 2, -np.eye(20, 4, dtype="int8")):
        with pytest.raises(InputError, match="takes truth values"):
            check_inputs(dataset(bad), [flags], scales=False)
