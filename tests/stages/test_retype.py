"""Integers before a cast are quantized, indices are not; no value changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from job.stages.quantize import quantize
from job.stages.retype import cast_first, retype
from job.stages.serving import names_for, trace
from tests.stages.test_quantize import variant

layers = tf_keras.layers


def after(model: tf_keras.Model, *, casts_stay: bool = True) -> list[str]:
    """The inputs' new dtypes."""
    found = retype(trace(model, names_for(model)), casts_stay=casts_stay)
    return [it.name for it in found.dtypes]


def of(dtype: str, *parts: Callable[[Any], Any]) -> tf_keras.Model:
    """An image, operations on it, and a convolution."""
    x = given = tf_keras.Input((8, 8, 3), dtype=dtype, name="picture")
    for part in parts:
        x = part(x)
    return tf_keras.Model(given, layers.Conv2D(2, 3)(x))


def to_float(x: Any) -> Any:
    return tf.cast(x, "float32")


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_integers_that_are_cast_to_float_become_float(dtype: str) -> None:
    """Also where operators move them before."""
    assert after(of(dtype, layers.Rescaling(0.1))) == ["float32"]
    moved = [layers.Permute((2, 1, 3)), layers.ZeroPadding2D(), layers.Cropping2D(1)]
    assert after(of(dtype, *moved, layers.Reshape((4, 16, 3)), to_float)) == ["float32"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "bool"])
def test_narrow_dtypes_are_cast_before_they_are_moved(dtype: str, tmp_path: Path) -> None:
    """LiteRT transposes and pads only some; the input dtype and the outputs do not change."""
    moved = [layers.Permute((2, 1, 3)), layers.ZeroPadding2D(), layers.Reshape((10, 10, 3))]
    model = of(dtype, *moved, to_float)
    quantize(model, variant("float32"), (), path := tmp_path / "m.tflite")
    runner = Interpreter(str(path)).get_signature_runner()
    rows = np.random.default_rng(0).integers(0, 300, (1, 8, 8, 3)).astype(dtype)
    (found,) = runner(picture=rows).values()
    np.testing.assert_allclose(found, model(rows).numpy(), rtol=1e-4, atol=1e-3)
    plain = of("int32", *moved, to_float)
    function = trace(plain, names_for(plain))
    assert cast_first(function) is function


def test_a_change_that_would_change_values_is_not_made() -> None:
    """Integer arithmetic, narrower integers, an output that is the input; floats stay float."""
    assert after(of("uint8", lambda x: x * 2, to_float)) == ["uint8"]
    assert after(of("int32", lambda x: tf.cast(x, "uint8"), to_float)) == ["int32"]
    assert after(of("uint8", lambda x: tf.cast(x, "int32"), to_float)) == ["float32"]
    assert after(of("float32", layers.Rescaling(0.1))) == ["float32"]
    key = tf_keras.Input((1,), dtype="int64", name="key")
    assert after(tf_keras.Model(key, [to_float(key), layers.Reshape((1,))(key)])) == ["int64"]


def test_indices_become_int32_where_they_are_cast() -> None:
    """For an Embedding whose input is float; bytes, for a converter that can't cast them."""
    assert after(words("float32")) == ["int32"]
    assert after(words("int64")) == ["int64"]
    assert after(words("uint8")) == ["uint8"]
    assert after(words("uint8"), casts_stay=False) == ["int32"]


def words(dtype: str) -> tf_keras.Model:
    given = tf_keras.Input((6,), dtype=dtype, name="ids")
    return tf_keras.Model(given, layers.Flatten()(layers.Embedding(200, 8)(given)))


@pytest.mark.parametrize(("given", "offset"), [("uint8", 0), ("int8", 128)])
def test_bytes_have_a_scale_of_one(given: str, offset: int, tmp_path: Path) -> None:
    """Though the calibration rows are from 90 to 110."""
    tf_keras.utils.set_random_seed(1)
    model = of("uint8", layers.Rescaling(1 / 255), layers.Conv2D(4, 3))
    random = np.random.default_rng(0)
    rows = random.integers(90, 110, (20, 8, 8, 3)).astype("uint8")
    path = tmp_path / "m.tflite"
    quantize(model, variant("int8", input_dtype=given, output_dtype="float32"), (rows,), path)
    interpreter = Interpreter(str(path))
    (taken,), (answered,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (np.dtype(taken["dtype"]).name, taken["quantization"]) == (given, (1.0, -offset))
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], (rows[:1].astype("int32") - offset).astype(given))
    interpreter.invoke()
    wanted = model(rows[:1]).numpy()
    found = interpreter.get_tensor(answered["index"])
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


@pytest.mark.parametrize(("dtype", "kind"), [("float32", "int8"), ("uint8", "int16x8")])
def test_indices_are_looked_up_exactly(dtype: str, kind: str, tmp_path: Path) -> None:
    """Each row of the table is found, not its neighbor."""
    model = words(dtype)
    table = np.repeat(np.arange(200, dtype="float32")[:, None], 8, axis=1)
    model.layers[1].set_weights([table])
    rows = np.random.default_rng(0).integers(0, 200, (30, 6)).astype(dtype)
    path = tmp_path / "m.tflite"
    quantize(model, variant(kind), (rows,), path)
    interpreter = Interpreter(str(path))
    (taken,), (answered,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert taken["dtype"] is np.int32
    interpreter.allocate_tensors()
    scale, zero = answered["quantization"]
    for row in rows:
        interpreter.set_tensor(taken["index"], row[None].astype("int32"))
        interpreter.invoke()
        found = (interpreter.get_tensor(answered["index"]).astype("float64") - zero) * scale
        np.testing.assert_allclose(found.reshape(6, 8)[:, 0], row, atol=1)
