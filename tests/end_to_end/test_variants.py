"""Every variant, structure and codec; what is published is read back and judged anew."""

from __future__ import annotations

import gzip
import io
import lzma
import zipfile
from pathlib import Path
from typing import Any

import brotli
import lz4.frame
import numpy as np
import pytest
import tf_keras
import zstandard
from ai_edge_litert.interpreter import Interpreter

from tests.support.published import Published, publish_all

VARIANTS: list[dict[str, Any]] = [
    {"type": "float32"},
    {"type": "float16"},
    {"type": "dynamic_range"},
    {"type": "weight_only"},
    {"type": "weight_only", "name": "halves", "weight_bits": 16},
    {"type": "int8"},
    {"type": "int8", "name": "uint8_io", "input_dtype": "uint8", "output_dtype": "uint8"},
    {"type": "int8", "name": "float_io", "input_dtype": "float32", "output_dtype": "float32"},
    {"type": "int8", "name": "mixed_io", "input_dtype": "uint8", "output_dtype": "float32"},
    {"type": "int8", "name": "per_tensor", "per_channel": False},
    {"type": "int16x8"},
    {"type": "int16x8", "name": "int16_float", "input_dtype": "float32", "output_dtype": "float32"},
]
IO = {
    "float32": ("float32", "float32"),
    "float16": ("float32", "float32"),
    "dynamic_range": ("float32", "float32"),
    "weight_only": ("float32", "float32"),
    "halves": ("float32", "float32"),
    "int8": ("int8", "int8"),
    "uint8_io": ("uint8", "uint8"),
    "float_io": ("float32", "float32"),
    "mixed_io": ("uint8", "float32"),
    "per_tensor": ("int8", "int8"),
    "int16x8": ("int16", "int16"),
    "int16_float": ("float32", "float32"),
}
KERNELS = {"float32": "float32", "float16": "float16", "halves": "float16"}  # int8 for all others
INTEGER = sorted(IO.keys() - {"float32", "float16", "dynamic_range", "weight_only", "halves"})
CODECS = {
    "zip": lambda data: zipfile.ZipFile(io.BytesIO(data)).read(zip_name(data)),
    "gzip": gzip.decompress,
    "zopfli": gzip.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompress(data),
    "brotli": brotli.decompress,
    "xz": lzma.decompress,
    "lzma": lzma.decompress,
    "lz4": lz4.frame.decompress,
}


@pytest.fixture(scope="module")
def every(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A job that asks for every variant and every codec."""
    job = {"quantize": VARIANTS, "compress": {"codecs": list(CODECS)}}
    published = publish_all({"every": job}, tiny, tmp_path_factory.mktemp("variants"))["every"]
    assert (published.run.code, published.run.err) == (0, "")
    return published


def zip_name(data: bytes) -> str:
    """The name of the only file in a zip."""
    (name,) = zipfile.ZipFile(io.BytesIO(data)).namelist()
    return name


@pytest.mark.parametrize("variant", IO)
def test_a_variant_takes_and_gives_what_was_asked(every: Published, variant: str) -> None:
    """In the file as LiteRT opens it, and in the result."""
    interpreter = Interpreter(str(every.folder / f"{variant}.tflite"))
    (taken,) = interpreter.get_input_details()
    (given,) = interpreter.get_output_details()
    assert (taken["dtype"].__name__, given["dtype"].__name__) == IO[variant]
    said = every.artifact(variant)
    assert (said["inputs"][0]["dtype"], said["outputs"][0]["dtype"]) == IO[variant]
    for tensor, detail in ((said["inputs"][0], taken), (said["outputs"][0], given)):
        if tensor["dtype"] != "float32":
            quantization = (tensor["scale"], tensor["zero_point"])
            assert quantization == pytest.approx(detail["quantization"])


@pytest.mark.parametrize("variant", IO)
def test_a_variants_large_kernel_is_of_its_kind_and_pruned(every: Published, variant: str) -> None:
    """The dense kernel has 1,152 weights; four fifths of them are zero in each file: it is the
    pruned model that was quantized.
    """
    dtype, kernel = large_kernel(every.folder / f"{variant}.tflite")
    assert dtype == KERNELS.get(variant, "int8")
    assert np.mean(kernel == 0) >= 0.79
    assert every.artifact(variant)["sparsity"] >= 0.79


@pytest.mark.parametrize("variant", INTEGER)
def test_no_float_is_left_inside_an_integer_variant(every: Published, variant: str) -> None:
    """But for the inputs and outputs that were asked for as float."""
    interpreter = Interpreter(str(every.folder / f"{variant}.tflite"))
    floats = [it for it in interpreter.get_tensor_details() if it["dtype"] is np.float32]
    assert len(floats) == IO[variant].count("float32")


def test_scales_are_per_channel_unless_told_otherwise(every: Published) -> None:
    """The convolution has eight channels."""
    counts = {}
    for variant in ("int8", "per_tensor"):
        interpreter = Interpreter(str(every.folder / f"{variant}.tflite"))
        shapes = {tuple(it["shape"]): it for it in interpreter.get_tensor_details()}
        counts[variant] = len(shapes[8, 3, 3, 1]["quantization_parameters"]["scales"])
    assert counts == {"int8": 8, "per_tensor": 1}


@pytest.mark.parametrize("variant", IO)
def test_a_variants_metrics_are_those_of_the_published_file(
    every: Published, tiny: Path, variant: str
) -> None:
    """Computed here with NumPy from what LiteRT answers."""
    logits = answers(every.folder / f"{variant}.tflite", tiny)
    said = every.artifact(variant)["metrics"]
    assert said == pytest.approx(judge(logits, tiny), abs=2e-5)


@pytest.mark.parametrize("name", ["baseline", "prune"])
def test_a_models_metrics_are_those_of_the_published_file(
    every: Published, tiny: Path, name: str
) -> None:
    """Computed here with NumPy from what Keras answers."""
    model = tf_keras.models.load_model(every.folder / f"{name}.h5", compile=False)
    logits = model.predict(pictures(tiny), verbose=0)
    said = every.artifact(name)["metrics"]
    assert said == pytest.approx(judge(logits, tiny), abs=2e-5)


@pytest.mark.parametrize("codec", CODECS)
def test_every_encoding_decodes_to_the_published_file(every: Published, codec: str) -> None:
    """With the decoders that anybody has, of every artifact."""
    folder = every.folder
    for artifact in every.result["artifacts"]:
        assert set(artifact["encoded"]) == set(CODECS)
        encoded = (folder / artifact["encoded"][codec]["path"]).read_bytes()
        assert CODECS[codec](encoded) == (folder / artifact["path"]).read_bytes()
        if codec == "zip":
            assert zip_name(encoded) == artifact["path"]


def pictures(tiny: Path) -> np.ndarray:
    """The test pictures, scaled as the manifest has it."""
    return np.asarray(np.load(tiny / "data.npz")["x_test"] * np.float32(1 / 255), np.float32)


def judge(logits: np.ndarray, tiny: Path) -> dict[str, float]:
    """Mean crossentropy and accuracy on the test labels."""
    labels = np.load(tiny / "data.npz")["y_test"]
    wide = logits.astype(np.float64)
    highest = wide.max(axis=1, keepdims=True)
    normalizer = np.log(np.exp(wide - highest).sum(axis=1)) + highest[:, 0]
    loss = normalizer - wide[np.arange(len(labels)), labels]
    return {"loss": loss.mean(), "accuracy": np.mean(wide.argmax(axis=1) == labels)}


def answers(path: Path, tiny: Path) -> np.ndarray:
    """What a file answers to the test pictures, one by one, as real numbers."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (taken,) = interpreter.get_input_details()
    (given,) = interpreter.get_output_details()
    rows = []
    for picture in pictures(tiny):
        value = picture[None]
        if taken["dtype"] is not np.float32:
            scale, zero = taken["quantization"]
            limits = np.iinfo(taken["dtype"])
            value = np.clip(np.rint(value / scale) + zero, limits.min, limits.max)
        interpreter.set_tensor(taken["index"], value.astype(taken["dtype"]))
        interpreter.invoke()
        row = interpreter.get_tensor(given["index"])[0].astype(np.float32)
        if given["dtype"] is not np.float32:
            scale, zero = given["quantization"]
            row = (row - zero) * np.float32(scale)
        rows.append(row)
    return np.stack(rows)


def large_kernel(path: Path) -> tuple[str, np.ndarray]:
    """The dtype and the values of the dense kernel, (4, 288), as differences from its zero."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    for detail in interpreter.get_tensor_details():
        if tuple(detail["shape"]) == (4, 288) and not detail["name"].endswith("Dequantize"):
            values = interpreter.get_tensor(detail["index"])
            return values.dtype.name, values - detail["quantization"][1]
    raise AssertionError("there is no dense kernel")
