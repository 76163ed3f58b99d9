"""The content and the outputs of a file are those that the Keras model and NumPy give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from pydantic import TypeAdapter

from job.errors import StageError
from job.manifest.quantize import QuantizeConfig
from job.stages.quantize import VARIANTS, quantize

layers = tf_keras.layers
Array = NDArray[np.generic]
# The layout of a Keras kernel in a .tflite: output channels first.
CHANNELS_FIRST = {"conv": (3, 0, 1, 2), "dense": (1, 0)}


def variant(kind: str, **options: Any) -> QuantizeConfig:
    adapter: TypeAdapter[QuantizeConfig] = TypeAdapter(QuantizeConfig)
    return adapter.validate_python({"type": kind, **options})


def test_every_variant_of_the_manifest_is_made() -> None:
    """Each class of the manifest is that of one entry."""
    union = get_args(get_args(QuantizeConfig)[0])
    assert [it.config for it in VARIANTS.values()] == list(union)
    for name in VARIANTS:
        assert variant(name).type == name


def pictures(rows: int, seed: int) -> NDArray[np.float32]:
    """From -1 to 3: a range whose zero point is not 0."""
    drawn = np.random.default_rng(seed).uniform(-1, 3, (rows, 8, 8, 4)).astype("float32")
    drawn[0, 0, 0, :2] = -1, 3
    return drawn


@pytest.fixture(scope="module")
def model() -> tf_keras.Model:
    """Two kernels, the larger one half zeros, with channels of very different ranges."""
    tf_keras.utils.set_random_seed(0)
    built = tf_keras.Sequential(
        [
            layers.InputLayer((8, 8, 4), name="picture"),
            layers.Conv2D(16, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(10, name="dense"),
        ],
        name="small",
    )
    kernel, bias = built.get_layer("dense").get_weights()
    kernel[np.abs(kernel) < np.median(np.abs(kernel))] = 0
    built.get_layer("dense").set_weights([kernel * np.linspace(0.2, 4, 10), bias])
    return built


@dataclass(frozen=True)
class Kernel:
    """A constant of a file: its values, and the real numbers that they stand for."""

    values: Array
    scales: NDArray[np.float32]
    real: NDArray[np.float64]


def kernels(path: Path) -> dict[str, Kernel]:
    """The two kernels of the model's file, found by their shapes."""
    interpreter = Interpreter(
        model_path=str(path), experimental_preserve_all_tensors=True, num_threads=1
    )
    interpreter.allocate_tensors()
    found: dict[str, Kernel] = {}
    for detail in interpreter.get_tensor_details():
        names = {(16, 3, 3, 4): "conv", (10, 576): "dense"}
        name = names.get(tuple(int(size) for size in detail["shape"]))
        if name is None or not detail["name"].startswith("small/"):
            continue
        values = interpreter.get_tensor(detail["index"])
        scales = detail["quantization_parameters"]["scales"]
        assert not detail["quantization_parameters"]["zero_points"].any()
        factor = scales.astype("float64") if len(scales) else np.ones(1)
        real = values * factor.reshape(-1, *[1] * (values.ndim - 1))
        found.setdefault(name, Kernel(values, scales, real))  # a float16 one is there twice
    return found


def original(model: tf_keras.Model, name: str) -> NDArray[np.float64]:
    kernel = model.get_layer(name).kernel.numpy().astype("float64")
    return np.asarray(kernel.transpose(CHANNELS_FIRST[name]))


def run(path: Path, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row by row in the interpreter, quantizing and dequantizing by the file's own figures."""
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for row in x:
        fed = row[None]
        if given["dtype"] is not np.float32:
            scale, zero = given["quantization"]
            limits = np.iinfo(given["dtype"])
            fed = np.clip(np.round(fed / scale) + zero, limits.min, limits.max)
        interpreter.set_tensor(given["index"], fed.astype(given["dtype"]))
        interpreter.invoke()
        out = interpreter.get_tensor(answer["index"]).astype("float64")
        if answer["dtype"] is not np.float32:
            out = (out - answer["quantization"][1]) * answer["quantization"][0]
        rows.append(out)
    return np.concatenate(rows)


def convert(model: tf_keras.Model, path: Path, kind: str, **options: Any) -> Path:
    quantize(model, variant(kind, **options), (pictures(40, seed=1),), path)
    return path


@pytest.mark.parametrize(
    ("kind", "per_channel"), [("int8", True), ("int8", False), ("int16x8", True)]
)
def test_integer_weights_are_at_most_half_a_step_off(
    model: tf_keras.Model, tmp_path: Path, kind: str, per_channel: bool
) -> None:
    """The step is the channel's largest weight / 127; without channels, the kernel's."""
    options = {} if per_channel else {"per_channel": False}
    found = kernels(convert(model, tmp_path / "q.tflite", kind, **options))
    assert set(found) == {"conv", "dense"}
    for name, kernel in found.items():
        wanted = original(model, name)
        axes = tuple(range(1, wanted.ndim)) if per_channel else None
        largest = np.abs(wanted).max(axis=axes)
        steps = kernel.scales if per_channel else np.unique(kernel.scales)
        np.testing.assert_allclose(steps, np.atleast_1d(largest) / 127, rtol=1e-5)
        assert kernel.values.dtype == np.int8
        step = kernel.scales.reshape(-1, *[1] * (wanted.ndim - 1))
        assert (np.abs(kernel.real - wanted) <= step * 0.5001).all()
        assert np.abs(kernel.real - wanted).max() > 0
        assert (kernel.values[wanted == 0] == 0).all()


def test_float_variants_hold_the_weights(model: tf_keras.Model, tmp_path: Path) -> None:
    """float32 holds them exactly, float16 rounded to the nearest half."""
    for name, kernel in kernels(convert(model, tmp_path / "32.tflite", "float32")).items():
        np.testing.assert_array_equal(kernel.values, original(model, name).astype("float32"))
    halves = kernels(convert(model, tmp_path / "16.tflite", "float16"))
    assert set(halves) == {"conv", "dense"}
    for name, kernel in halves.items():
        wanted = original(model, name).astype("float32").astype("float16")
        np.testing.assert_array_equal(kernel.values.astype("float16"), wanted)


def test_dynamic_range_quantizes_large_kernels_only(model: tf_keras.Model, tmp_path: Path) -> None:
    """5,760 weights become int8, half a step off at most; 576 stay float, as they are."""
    found = kernels(convert(model, tmp_path / "d.tflite", "dynamic_range"))
    np.testing.assert_array_equal(found["conv"].values, original(model, "conv").astype("float32"))
    dense, wanted = found["dense"], original(model, "dense")
    assert dense.values.dtype == np.int8
    assert (np.abs(dense.real - wanted) <= dense.scales.reshape(-1, 1) * 0.5001).all()
    assert (dense.values[wanted == 0] == 0).all()


DTYPES = [
    *[("int8", given, answer) for given in ("int8", "uint8", "float32") for answer in ("int8",)],
    ("int8", "uint8", "uint8"),
    ("int8", "int8", "float32"),
    ("int8", "float32", "float32"),
    ("int16x8", "int16", "int16"),
    ("int16x8", "float32", "float32"),
    ("int16x8", "int16", "float32"),
]


@pytest.mark.parametrize(("kind", "given", "answer"), DTYPES)
def test_inputs_and_outputs_have_the_dtypes_asked_for(
    model: tf_keras.Model, tmp_path: Path, kind: str, given: str, answer: str
) -> None:
    """The input's scale is that of the calibration rows, and the outputs are right."""
    options = {"input_dtype": given, "output_dtype": answer}
    path = convert(model, tmp_path / "q.tflite", kind, **options)
    interpreter = Interpreter(model_path=str(path))
    (fed,), (answered,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert np.dtype(fed["dtype"]).name == given
    assert np.dtype(answered["dtype"]).name == answer
    scale, zero_point = fed["quantization"]
    if given in ("int8", "uint8"):
        assert scale == pytest.approx(4 / 255, rel=1e-3)
        assert zero_point == pytest.approx(-64 + (128 if given == "uint8" else 0), abs=1)
    elif given == "int16":
        assert (scale, zero_point) == (pytest.approx(3 / 32767, rel=1e-3), 0)
    x = pictures(40, seed=1)  # others may lie outside of the calibrated ranges
    wanted = model(x).numpy()
    spread = wanted.max() - wanted.min()
    assert np.abs(run(path, x) - wanted).max() < 0.02 * spread


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("float32", 1e-5), ("float16", 2e-3), ("dynamic_range", 2e-2)]
)
def test_outputs_of_float_variants_are_close_to_the_models(
    model: tf_keras.Model, tmp_path: Path, kind: str, tolerance: float
) -> None:
    """The drift is within the variant's rounding, as a share of the outputs' spread."""
    x = pictures(20, seed=2)
    wanted = model(x).numpy()
    path = convert(model, tmp_path / "q.tflite", kind)
    spread = wanted.max() - wanted.min()
    assert np.abs(run(path, x) - wanted).max() < tolerance * spread


def test_each_input_is_calibrated_on_its_own_rows(tmp_path: Path) -> None:
    """With two inputs, not in alphabetical order, neither gets the other's range."""
    zeta, alpha = tf_keras.Input((6,), name="zeta"), tf_keras.Input((6,), name="alpha")
    # Not concatenated: that would give both one scale.
    model = tf_keras.Model(
        [zeta, alpha], layers.Add()([layers.Dense(3)(zeta), layers.Dense(3)(alpha)])
    )
    random = np.random.default_rng(0)
    rows = (
        random.uniform(0, 100, (30, 6)).astype("float32"),
        random.uniform(-1, 1, (30, 6)).astype("float32"),
    )
    path = tmp_path / "two.tflite"
    quantize(model, variant("int8"), rows, path)
    scales = {
        detail["name"]: detail["quantization"][0]
        for detail in Interpreter(model_path=str(path)).get_input_details()
    }
    spans = dict(zip(("zeta", "alpha"), (np.ptp(it) for it in rows), strict=True))
    spans["zeta"] = rows[0].max()  # a range always includes 0
    for name, span in spans.items():
        (scale,) = [scale for key, scale in scales.items() if name in key]
        assert scale == pytest.approx(span / 255, rel=1e-3)


def test_the_same_model_gives_the_same_file(model: tf_keras.Model, tmp_path: Path) -> None:
    """Conversion is deterministic."""
    first = convert(model, tmp_path / "1.tflite", "int8").read_bytes()
    assert convert(model, tmp_path / "2.tflite", "int8").read_bytes() == first


def test_a_model_that_the_converter_refuses_is_an_error(tmp_path: Path) -> None:
    """Counting needs an operator that TFLite lacks: the error names it, and no file is left."""
    counts = layers.CategoryEncoding(4, output_mode="count")
    model = tf_keras.Sequential([layers.InputLayer((5,)), counts])
    path = tmp_path / "small.tflite"
    with pytest.raises(StageError, match=r"dynamic_range.*DenseBincount") as caught:
        quantize(model, variant("dynamic_range"), (), path)
    assert caught.value.where == "quantize, small"
    assert len(str(caught.value)) < 700
    assert not path.exists()
