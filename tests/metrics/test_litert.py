"""A file's data and outputs are those that NumPy and the Keras model give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from job.manifest.quantize import DynamicRangeConfig, Float32Config, Int8Config
from job.metrics import litert
from job.metrics.quality import Inputs, Output
from job.metrics.sparsity import kernels, zero_fraction
from job.stages.quantize import quantize

layers = tf_keras.layers
FLOAT32 = Float32Config(type="float32")


def detail(dtype: type[np.generic], scale: float, zero_point: int) -> dict[str, Any]:
    return {"dtype": dtype, "quantization": (scale, zero_point)}


SCALES = st.floats(2.0**-13, 8, width=32)
KINDS = st.sampled_from([(np.int8, -128, 127), (np.uint8, 0, 255), (np.int16, -32768, 32767)])


@given(
    kind=KINDS,
    scale=SCALES,
    point=st.floats(0, 1),
    reals=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20),
)
@settings(deadline=None)
def test_quantized_values_are_the_nearest_possible(
    kind: tuple[type[np.generic], int, int], scale: float, point: float, reals: list[float]
) -> None:
    """No other value of the dtype is nearer; values out of range are clipped."""
    dtype, low, high = kind
    zero_point = round(low + point * (high - low))
    x = np.asarray(reals, "float32")
    found = litert.quantize(x, detail(dtype, scale, zero_point))
    assert found.dtype == dtype
    grid = scale * (np.arange(low, high + 1) - np.float64(zero_point))
    nearest = np.abs(x.astype("float64")[:, None] - grid).min(axis=1)
    back = scale * (found.astype("float64") - zero_point)
    np.testing.assert_array_less(np.abs(back - x), nearest + 2e-6 * np.abs(x) + 1e-6 * scale)


@given(kind=KINDS, scale=SCALES, point=st.floats(0, 1))
@settings(deadline=None)
def test_dequantized_values_quantize_to_themselves(
    kind: tuple[type[np.generic], int, int], scale: float, point: float
) -> None:
    """Every value of the dtype is restored, and is scale times its distance from the zero point."""
    dtype, low, high = kind
    zero_point = round(low + point * (high - low))
    values = np.arange(low, high + 1).astype(dtype)
    tensor = detail(dtype, scale, zero_point)
    reals = litert.dequantize(values, tensor)
    assert reals.dtype == np.float32
    wanted = (values.astype("int64") - zero_point) * np.float64(scale)
    np.testing.assert_allclose(reals, wanted, rtol=1e-6)
    np.testing.assert_array_equal(litert.quantize(reals, tensor), values)


def test_tensors_that_are_not_quantized_are_only_cast() -> None:
    """Indices stay indices and floats floats, whatever the scale field says."""
    indices = np.asarray([1, 5, 300])
    found = litert.quantize(indices, detail(np.int32, 0.0, 0))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, indices)
    floats = np.asarray([0.5, -3.25])
    np.testing.assert_array_equal(litert.quantize(floats, detail(np.float32, 0.0, 0)), floats)
    np.testing.assert_array_equal(litert.dequantize(found, detail(np.int32, 0.0, 0)), indices)


@pytest.fixture(scope="module")
def embedding() -> tf_keras.Model:
    """A table of which 60 % are zeros and the rest positive: quantized, zero is far from 0."""
    tf_keras.utils.set_random_seed(0)
    ids = tf_keras.Input((6,), dtype="int32", name="ids")
    table = layers.Embedding(50, 40, name="table")
    model = tf_keras.Model(ids, layers.Dense(4)(layers.Flatten()(table(ids))))
    random = np.random.default_rng(0)
    values = random.uniform(0.1, 3, (50, 40)) * (random.random((50, 40)) > 0.6)
    table.set_weights([values])
    return model


def predictor(path: Path, names: Sequence[str], threads: int) -> Callable[[Inputs], Output]:
    """The output of a file that has one."""
    (output,) = Interpreter(model_path=str(path)).get_signature_runner().get_output_details()
    predict = litert.predictor(path, names, [output], threads)
    return lambda inputs: predict(inputs)[0]


def ids(rows: int) -> NDArray[np.int32]:
    return np.random.default_rng(2).integers(0, 50, (rows, 6)).astype("int32")


def test_a_zero_is_a_value_at_the_zero_point(embedding: tf_keras.Model, tmp_path: Path) -> None:
    """The table's zero point is -128; its zeros are counted as in the Keras model."""
    path = tmp_path / "int8.tflite"
    quantize(embedding, Int8Config(type="int8"), (ids(100),), path)
    (table,) = [it for it in litert.tensors(path) if it.values is not None and it.zero_point]
    assert (table.dtype, table.zero_point) == ("int8", -128)
    (kernel,) = [it for it in kernels(path) if it.shape == (50, 40)]
    original = embedding.get_layer("table").get_weights()[0]
    np.testing.assert_array_equal(kernel == 0, original == 0)
    assert zero_fraction([kernel]) == np.mean(original == 0) > 0.5
    assert kernel.min() == 0
    assert kernel.max() == 255


def test_kernels_are_the_models_kernels(embedding: tf_keras.Model, tmp_path: Path) -> None:
    """In a float file: the same values, transposed, without biases."""
    path = tmp_path / "float32.tflite"
    quantize(embedding, FLOAT32, (), path)
    found = {it.shape: it for it in kernels(path)}
    table, dense, _ = (weight.numpy() for weight in embedding.weights)
    assert set(found) == {(50, 40), (4, 240)}
    np.testing.assert_array_equal(found[50, 40], table)
    np.testing.assert_array_equal(found[4, 240], dense.T)
    assert litert.custom_operators(path) == []


def test_integer_inputs_are_not_scaled(embedding: tf_keras.Model, tmp_path: Path) -> None:
    """Not in a quantized file either."""
    path = tmp_path / "m.tflite"
    for config, tolerance in ((FLOAT32, 1e-5), (Int8Config(type="int8"), 0.05)):
        quantize(embedding, config, (ids(100),), path)
        found = predictor(path, ["ids"], 1)((ids(30),))
        wanted = embedding(ids(30)).numpy()
        assert np.abs(found - wanted).max() < tolerance * np.ptp(wanted)


@pytest.mark.parametrize("order", list(permutations(["zeta", "alpha", "mid"])))
def test_inputs_are_fed_by_name(order: tuple[str, ...], tmp_path: Path) -> None:
    """Two inputs of one shape and one of another, in any order."""
    tf_keras.utils.set_random_seed(1)
    shapes = {"zeta": (3,), "alpha": (5, 2), "mid": (3,)}
    inputs = {name: tf_keras.Input(shapes[name], name=name) for name in order}
    parts = [
        layers.Dense(4)(inputs["zeta"]),
        layers.Dense(4)(layers.Flatten()(inputs["alpha"])),
        layers.Dense(4)(inputs["mid"]),
    ]
    model = tf_keras.Model([inputs[name] for name in order], layers.Add()(parts))
    assert model.input_names == list(order)
    random = np.random.default_rng(0)
    x = tuple(random.normal(size=(9, *shapes[name])).astype("float32") for name in order)
    path = tmp_path / "m.tflite"
    quantize(model, FLOAT32, (), path)
    found = predictor(path, order, 1)(x)
    np.testing.assert_allclose(found, model(list(x)).numpy(), atol=1e-5)
    details = litert.ordered_inputs(Interpreter(model_path=str(path)), order)
    for name, given_detail in zip(order, details, strict=True):
        assert tuple(given_detail["shape"][1:]) == shapes[name]


def picture_model(batch: int | None = None) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(2)
    return tf_keras.Sequential(
        [
            layers.InputLayer((6, 6, 2), batch_size=batch, name="picture"),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(12),
        ]
    )


def pictures(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(size=(rows, 6, 6, 2)).astype("float32")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "config",
    [FLOAT32, DynamicRangeConfig(type="dynamic_range"), Int8Config(type="int8")],
    ids=lambda it: it.type,
)
def test_a_batch_gives_the_outputs_of_its_rows(
    config: Float32Config | DynamicRangeConfig | Int8Config, threads: int, tmp_path: Path
) -> None:
    """Whatever the batches' sizes and order, each row has the same output."""
    path = tmp_path / "m.tflite"
    quantize(picture_model(), config, (pictures(50),), path)
    x = pictures(23)
    alone = predictor(path, ["picture"], 1)
    wanted = np.concatenate([alone((x[row : row + 1],)) for row in range(23)])
    predict = predictor(path, ["picture"], threads)
    for sizes in ([23], [10, 10, 3], [1, 21, 1], [3, 20]):
        borders = np.cumsum([0, *sizes])
        found = [predict((x[a:b],)) for a, b in pairwise(borders)]
        np.testing.assert_allclose(np.concatenate(found), wanted, atol=1e-6)
    assert wanted.shape == (23, 12)
    assert wanted.dtype == np.float32


def test_a_file_with_a_batch_of_one_gets_row_by_row(tmp_path: Path) -> None:
    """A fixed batch gives the outputs of the model with a free one."""
    path = tmp_path / "m.tflite"
    quantize(picture_model(batch=1), FLOAT32, (), path)
    (shape,) = [it.shape for it in litert.describe_file(path)[0]]
    assert shape == [1, 6, 6, 2]
    found = predictor(path, ["picture"], 1)((pictures(7),))
    np.testing.assert_allclose(found, picture_model()(pictures(7)).numpy(), atol=1e-5)


def test_integer_inputs_and_outputs_are_quantized_as_in_the_file(tmp_path: Path) -> None:
    """int8 inputs give the outputs of the file that quantizes inside."""
    x, answers = pictures(40), []
    for dtype in ("int8", "uint8", "float32"):
        path = tmp_path / f"{dtype}.tflite"
        config = Int8Config.model_validate(
            {"type": "int8", "input_dtype": dtype, "output_dtype": dtype}
        )
        quantize(picture_model(), config, (x,), path)
        answers.append(predictor(path, ["picture"], 1)((x,)))
    assert np.unique(answers[0]).size > 50
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-6)
    np.testing.assert_allclose(answers[2], answers[0], atol=1e-6)


def test_inputs_and_outputs_are_described(tmp_path: Path) -> None:
    """A free batch is null; quantized tensors have a scale and a zero point."""
    path = tmp_path / "m.tflite"
    quantize(picture_model(), Int8Config(type="int8", output_dtype="float32"), (pictures(9),), path)
    (given_tensor,), (answer,) = litert.describe_file(path)
    assert given_tensor.dtype == "int8"
    assert given_tensor.shape == [None, 6, 6, 2]
    span = max(0.0, float(pictures(9).max())) - min(0.0, float(pictures(9).min()))
    assert given_tensor.scale == pytest.approx(span / 255, rel=1e-3)
    assert given_tensor.zero_point is not None
    assert (answer.dtype, answer.shape) == ("float32", [None, 12])
    assert (answer.scale, answer.zero_point) == (None, None)


def test_tensors_of_every_subgraph_are_read(tmp_path: Path) -> None:
    """A loop's body is a separate subgraph; its constants count."""

    @tf.function(input_signature=[tf.TensorSpec([1, 8], tf.float32)])  # type: ignore[untyped-decorator]
    def loop(x: tf.Tensor) -> tf.Tensor:
        kernel = tf.constant(np.random.default_rng(0).normal(size=(8, 8)), tf.float32)
        for _ in tf.range(3):
            x = tf.matmul(x, kernel)
        return x

    converter = tf.lite.TFLiteConverter.from_concrete_functions([loop.get_concrete_function()])
    path = tmp_path / "loop.tflite"
    path.write_bytes(converter.convert())
    assert (8, 8) in [it.shape for it in kernels(path)]


@pytest.mark.parametrize("optimize", [False, True])
def test_a_kernel_is_found_in_another_layout_but_another_weight_is_not(
    optimize: bool, tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    kernel = np.abs(random.normal(size=(64, 32))).astype("float32")
    layer = tf_keras.layers.Dense(32, use_bias=False)
    model = tf_keras.Sequential([tf_keras.layers.InputLayer((64,)), layer])
    model.set_weights([kernel])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if optimize else []
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    found = litert.rounded(path, kernel)
    assert found is not None
    step = kernel.max() / 127 if optimize else 0
    assert found[0] <= 0.5 * step + 1e-6
    assert (found[0] > 0) == optimize
    assert found[1] >= 0
    assert litert.rounded(path, -kernel) is None
