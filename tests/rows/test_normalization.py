"""The arithmetic of inputs: what Keras's applications do, alike in NumPy and in graphs."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from job.errors import InputError
from job.manifest.preprocess import PreprocessConfig, PresetName
from job.result.specs import TensorSpec
from job.rows.normalization import PRESETS, Normalization, described, of

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (4, 6, 5, 3)).astype(np.float32)
IMAGES = TensorSpec("image", (6, 5, 3), "float32")
# Where a preset is not the name of a module.
MODULES = {
    **dict.fromkeys(("resnet50", "resnet101", "resnet152"), "resnet"),
    **dict.fromkeys(("resnet50_v2", "resnet101_v2", "resnet152_v2"), "resnet_v2"),
}


def asked(spec: TensorSpec = IMAGES, /, **fields: Any) -> Normalization:
    found = of(PreprocessConfig.model_validate(fields), spec)
    assert found is not None
    return found


def refused(spec: TensorSpec = IMAGES, /, **fields: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        of(PreprocessConfig.model_validate(fields), spec, "dataset.preprocess.1")
    return caught.value


def in_graph(normalization: Normalization, values: Any) -> Any:
    function = tf.function(normalization.apply, autograph=False)
    return function(tf.constant(values)).numpy()


def test_each_preset_is_here() -> None:
    """None that the manifest allows is left out."""
    assert set(PRESETS) == set(get_args(PresetName))


@pytest.mark.parametrize("preset", get_args(PresetName))
def test_a_preset_computes_what_preprocess_input_of_keras_does(preset: PresetName) -> None:
    """To the bit in NumPy; in a graph, where a division may become a multiplication, nearly."""
    module = getattr(tf_keras.applications, MODULES.get(preset, preset))
    expected = module.preprocess_input(PIXELS.copy())
    found = of(PreprocessConfig(preset=preset), IMAGES)
    if found is None:
        np.testing.assert_array_equal(expected, PIXELS)
        return
    np.testing.assert_array_equal(found.apply(PIXELS), expected)
    np.testing.assert_allclose(in_graph(found, PIXELS), expected, rtol=1e-6, atol=3e-7)


def test_a_scale_alone_has_the_bits_of_a_product() -> None:
    """In NumPy and in a graph."""
    found = asked(scale=1 / 255)
    expected = PIXELS * np.float32(1 / 255)
    np.testing.assert_array_equal(found.apply(PIXELS), expected)
    np.testing.assert_array_equal(in_graph(found, PIXELS), expected)


def test_the_steps_are_computed_in_their_order() -> None:
    """(value * scale + offset - mean) / std, with a constant for each channel or one for all."""
    found = asked(scale=0.5, offset=[1, 2, 3], mean=4, std=[2, 4, 8])
    expected = (PIXELS * 0.5 + np.asarray([1, 2, 3], np.float32) - 4) / np.asarray(
        [2, 4, 8], np.float32
    )
    np.testing.assert_array_equal(found.apply(PIXELS), expected)
    np.testing.assert_allclose(in_graph(found, PIXELS), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_values_are_computed_in_one_dtype_and_rounded_to_the_models(dtype: str) -> None:
    """Float16 rounds more, float64 once only."""
    found = asked(mean=[0.1, 0.2, 0.3], std=0.7, dtype=dtype)
    assert found.dtype == dtype
    wide = PIXELS.astype(dtype)
    kind = np.dtype(dtype).type
    expected = ((wide - np.asarray([0.1, 0.2, 0.3], dtype)) / kind(0.7)).astype(np.float32)
    result = found.apply(wide)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)
    in_float32 = asked(mean=[0.1, 0.2, 0.3], std=0.7).apply(PIXELS)
    assert (result != in_float32).any()
    graph = in_graph(found, wide)
    assert graph.dtype == np.float32
    np.testing.assert_allclose(graph, expected, rtol=2e-3 if dtype == "float16" else 1e-6)


def test_values_are_rounded_to_a_dtype_without_any_arithmetic() -> None:
    """Float16 of a float32 input; the input's own dtype is nothing to do."""
    found = asked(dtype="float16")
    values = np.asarray([[0.1, 1 / 3]], np.float32)
    rounded = found.apply(values.astype(found.dtype))
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded, values.astype(np.float16).astype(np.float32))
    assert of(PreprocessConfig(dtype="float32"), IMAGES) is None


@pytest.mark.parametrize(
    "fields", [{}, {"scale": 1}, {"preset": "efficientnet"}, {"resize": (6, 5)}]
)
def test_nothing_to_compute_is_no_normalization(fields: dict[str, Any]) -> None:
    """Steps that change shapes are not arithmetic."""
    assert of(PreprocessConfig.model_validate(fields), IMAGES) is None
    assert of(PreprocessConfig.model_validate(fields), TensorSpec("x", (3,), "int32")) is None


@pytest.mark.parametrize("field", ["offset", "mean", "std"])
def test_constants_of_other_channels_are_refused(field: str) -> None:
    """The message has both sizes."""
    fields: dict[str, Any] = {field: [1, 2]}
    error = refused(**fields)
    assert error.where == f"dataset.preprocess.1.{field}"
    assert "the size 3" in error.what
    assert "2 numbers" in error.what
    assert refused(TensorSpec("x", (), "float32"), **fields).where == error.where


def test_a_preset_of_three_channels_is_for_three_channels() -> None:
    """Without channels of its own, ``mobilenet`` fits grayscale images, too."""
    gray = TensorSpec("x", (6, 5, 1), "float32")
    assert refused(gray, preset="vgg16").where == "dataset.preprocess.1.preset"
    assert asked(gray, preset="mobilenet").apply(np.asarray([[255], [0]], np.float32)).tolist() == [
        [1],
        [-1],
    ]


def test_open_channels_are_checked_when_rows_are_read() -> None:
    """A single channel would be broadcast to three."""
    found = asked(TensorSpec("x", (None, None, None), "float32"), mean=[1, 2, 3])
    assert found.apply(PIXELS).shape == PIXELS.shape
    for rows in (PIXELS[..., :1], tf.constant(PIXELS[..., :2]), PIXELS[:3, 0, 0, 0]):
        with pytest.raises(InputError, match="constants of 3") as caught:
            found.apply(rows)
        assert caught.value.where == "dataset.preprocess"


@pytest.mark.parametrize("fields", [{"scale": 2}, {"dtype": "float32"}, {"preset": "vgg16"}])
def test_indices_are_not_normalized(fields: dict[str, Any]) -> None:
    """The message names the input and its dtype."""
    error = refused(TensorSpec("tokens", (3,), "int32"), **fields)
    assert "tokens is of int32" in error.what
    assert error.where == "dataset.preprocess.1"


@pytest.mark.parametrize(
    ("field", "value"), [("scale", 1e-30), ("scale", 1e30), ("std", 1e-30), ("mean", 1e30)]
)
def test_constants_without_a_value_in_the_dtype_are_refused(field: str, value: float) -> None:
    """Float16 makes zeros or infinities of them."""
    fields: dict[str, Any] = {field: value}
    error = refused(**fields, dtype="float16")
    assert error.where == f"dataset.preprocess.1.{field}"
    assert "float16" in error.what
    assert asked(**fields).apply(PIXELS).dtype == np.float32


def test_unknown_ranks_and_batches_are_computed() -> None:
    """A graph may know no sizes."""
    found = asked(preset="vgg16")
    signature = [tf.TensorSpec(None, tf.float32)]
    function = tf.function(found.apply, input_signature=signature, autograph=False)
    np.testing.assert_array_equal(function(PIXELS).numpy(), found.apply(PIXELS))


def test_the_arithmetic_is_described_in_one_line() -> None:
    """As it is computed."""
    found = asked(TensorSpec("input_1", (3,), "float32"), scale=1 / 127.5, mean=1)
    assert described(found) == "input_1: (value * 0.00784314) - 1"
    assert described(asked(preset="vgg16")) == (
        "image: reversed(value) - [103.939, 116.779, 123.68]"
    )
    assert described(asked(preset="densenet")) == (
        "image: ((value / 255) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]"
    )
    assert described(asked(offset=-1, dtype="float64")) == "image: value + -1, in float64"
    assert described(asked(dtype="float16")) == "image: value, in float16"
