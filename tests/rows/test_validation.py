"""A data set that does not fit is refused, with the place of what is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from job.errors import InputError
from job.result.specs import TensorSpec
from job.rows import lazy
from job.rows.data import Dataset, Split
from job.rows.validation import check_rows, check_targets, refuse_unknown, unscaled_bytes

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
    validated: int = 0,
    test: tuple[Array, Array] | None = None,
) -> Dataset:
    """Twenty good rows, the last ``validated`` of them for validation, and five for tests."""
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
        train=whole.rows(0, 20 - validated),
        validation=whole.rows(20 - validated, 20) if validated else None,
        test=tested,
    )


def warnings_of(data: Dataset, spec: TensorSpec = PICTURE, *, scales: bool = False) -> list[str]:
    for which, split in data.splits:
        check_rows(which, split, [spec], [CLASSES])
    return unscaled_bytes(data.train, [spec], scales=scales)


def refused_inputs(data: Dataset, spec: TensorSpec = PICTURE) -> InputError:
    with pytest.raises(InputError) as caught:
        warnings_of(data, spec)
    return caught.value


def refused_numbers(
    data: Dataset, spec: TensorSpec = PICTURE, outputs: tuple[TensorSpec, ...] = (CLASSES,)
) -> InputError:
    def check() -> None:
        for which, split in data.splits:
            check_rows(which, split, [spec], outputs)

    with pytest.raises(InputError) as caught:
        check()
    assert caught.value.hint
    return caught.value


def refused_targets(data: Dataset, loss: str = SPARSE, output: TensorSpec = CLASSES) -> InputError:
    with pytest.raises(InputError) as caught:
        check_targets(data, [output], [loss])
    return caught.value


def test_a_good_data_set_passes_without_a_warning() -> None:
    """With and without rows for validation, for labels and for numbers."""
    for validated in (0, 4):
        assert warnings_of(dataset(validated=validated)) == []
        check_targets(dataset(validated=validated), [CLASSES], [SPARSE])
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
    monkeypatch.setattr(lazy, "PART_BYTES", part_bytes)
    x = np.zeros((20, 4, 3), "float32")
    x[row, 2, 1] = value
    good = (np.zeros((5, 4, 3), "float32"), np.zeros(5, int))
    error = refused_inputs(dataset(x, test=good))
    assert error.what == f"The array holds {value} at [{row}, 2, 1]."
    assert error.where == "dataset.train.inputs (picture)"
    error = refused_inputs(dataset(test=(x, np.zeros(20, int))))
    assert error.what == f"The array holds {value} at [{row}, 2, 1]."
    assert error.where == "dataset.test.inputs (picture)"


def test_inputs_for_validation_are_checked_too() -> None:
    """The place is that of the split, and the row in it."""
    x = np.zeros((20, 4, 3), "float32")
    x[18, 0, 0] = np.nan
    error = refused_inputs(dataset(x, validated=4))
    assert error.what == "The array holds nan at [2, 0, 0]."
    assert error.where == "dataset.validation.inputs (picture)"


def test_the_place_of_a_target_that_is_not_finite_is_given() -> None:
    """In every split, as the row in it."""
    y = np.zeros((20, 5))
    y[7, 4] = np.inf
    error = refused_numbers(dataset(y=y))
    assert (error.what, error.where) == (
        "The array holds inf at [7, 4].",
        "dataset.train.targets",
    )
    y = np.zeros((20, 5))
    y[18, 4] = np.nan
    error = refused_numbers(dataset(y=y, validated=4))
    assert (error.what, error.where) == (
        "The array holds nan at [2, 4].",
        "dataset.validation.targets",
    )


@pytest.mark.parametrize("dtype", ["U3", "S3", "complex64", "datetime64[s]", [("a", "f4")]])
def test_arrays_without_numbers_are_refused(dtype: Any) -> None:
    """Text, complex numbers, times and records: the error names the dtype."""
    x = np.zeros((20, 4, 3), dtype)
    assert str(x.dtype) in refused_inputs(dataset(x)).what
    y = np.zeros(20, dtype)
    assert str(y.dtype) in refused_numbers(dataset(y=y)).what


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


@pytest.mark.parametrize(
    ("values", "dtype", "says"),
    [
        ([0.0, 300.0], "uint8", "goes from 0.0 to 300.0; the model takes uint8, from 0 to 255"),
        ([-1, 7], "uint8", "goes from -1 to 7"),
        ([0.0, 0.5], "uint8", "they would all be 0"),
        ([0.0, 255.0], "uint8", ""),
        ([0.0, 254.5], "uint8", ""),  # a resized image
        ([0.0, 1.0], "int32", ""),
        ([-129], "int8", "goes from -129 to -129"),
    ],
)
def test_numbers_that_an_input_of_integers_would_change_are_refused(
    values: list[float], dtype: str, says: str
) -> None:
    """Those beyond its range would wrap, and fractions up to 1 be 0."""
    data = dataset(x=np.stack([np.resize(np.array(values), (4, 3))] * 20))
    spec = TensorSpec("picture", (4, 3), dtype)
    if says:
        assert says in refused_numbers(data, spec).what
    else:
        for which, split in data.splits:
            check_rows(which, split, [spec], [CLASSES])


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


@pytest.mark.parametrize(
    ("weights", "what"),
    [
        (np.where(np.arange(20) == 7, -1.0, 1.0), "row 7 is -1.0"),
        (np.where(np.arange(20) == 0, np.nan, 1.0), "row 0 is nan"),
        (np.where(np.arange(20) == 19, np.inf, 1.0), "row 19 is inf"),
        (np.zeros(20), "All weights are 0"),
        (np.ones((20, 3)), "float64 of shape (20, 3)"),
        (np.ones(19), "float64 of shape (19,)"),
        (np.full(20, "1"), "<U1 of shape (20,)"),
    ],
)
def test_weights_of_rows_that_can_not_be_are_refused(weights: Array, what: str) -> None:
    """Negative, NaN, infinite, all zero, of another shape."""
    data = dataset()
    error = refused_numbers(replace(data, train=replace(data.train, weights=(weights,))))
    assert what in error.what
    assert error.where == "dataset.train.weights"


def test_truth_values_are_bool_or_zero_and_one() -> None:
    """Any other number would count as true."""
    flags = TensorSpec("seen", (4,), "bool")
    for good in (np.eye(20, 4, dtype=bool), np.eye(20, 4), np.eye(20, 4, dtype="int8")):
        assert warnings_of(dataset(good), flags) == []
    for bad in (np.eye(20, 4) * 2, np.eye(20, 4) / 2, -np.eye(20, 4, dtype="int8")):
        assert "takes truth values" in refused_inputs(dataset(bad), flags).what


@pytest.mark.parametrize("kind", ["input", "output"])
def test_names_that_the_model_has_not_are_refused_with_its_own(kind: str) -> None:
    """All of them at once; those that it has pass."""
    refuse_unknown(["out"], [CLASSES, PICTURE], kind, "there")
    with pytest.raises(InputError) as caught:
        refuse_unknown({"z": 1, "out": 2, "a": 3}, [CLASSES, PICTURE], kind, "there")
    error = caught.value
    assert error.what == f"The model has no {kind} a, z; its {kind}s: out, picture."
    assert (error.where, error.hint) == ("there", "Name one of these.")


def test_rows_of_another_shape_are_told_what_the_manifest_can_do() -> None:
    """A one_hot that was forgotten is a few columns less."""
    error = refused_inputs(dataset(x=np.zeros((20, 4, 2), "float32")))
    for place in ("dataset.preprocess", "one_hot", "train.inputs", "image_size", "sequence_length"):
        assert place in error.hint
