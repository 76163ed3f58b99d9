"""Each variant's file passes as that variant, and as no other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from pydantic import TypeAdapter

from job.errors import StageError
from job.manifest.quantize import QuantizeConfig
from job.metrics import litert
from job.metrics.promises import check
from job.stages.quantize import quantize
from job.stages.small_file import small_file
from tests.support.flat import pictures, small_model

layers = tf_keras.layers
KINDS = ("float32", "float16", "dynamic_range", "int8", "int16x8")
Files = Mapping[str, Path]


def variant(kind: str, dtype: str | None = None) -> QuantizeConfig:
    options: dict[str, Any] = {"type": kind}
    if dtype is not None:
        options |= {"input_dtype": dtype, "output_dtype": dtype}
    adapter: TypeAdapter[QuantizeConfig] = TypeAdapter(QuantizeConfig)
    return adapter.validate_python(options)


def judge(config: QuantizeConfig, path: Path) -> list[str]:
    return check(config, path, *litert.describe_file(path))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """One model of two kernels (1,200 and 120 weights) as every variant; integers also as
    ``int8/float32`` and so on, with those inputs and outputs.
    """
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [layers.InputLayer((30,)), layers.Dense(40, activation="relu"), layers.Dense(3)]
    )
    rows = np.random.default_rng(0).normal(size=(30, 30)).astype("float32")
    folder = tmp_path_factory.mktemp("promises")
    asked = {kind: variant(kind) for kind in KINDS}
    asked |= {f"{kind}/float32": variant(kind, "float32") for kind in ("int8", "int16x8")}
    asked |= {"int8/uint8": variant("int8", "uint8")}
    paths = {name: folder / f"{name.replace('/', '-')}.tflite" for name in asked}
    for name, config in asked.items():
        quantize(model, config, (rows,), paths[name])
    return paths


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_passes_as_its_own_variant(files: Files, kind: str) -> None:
    """A file that was made for a variant passes as that variant."""
    judge(variant(kind), files[kind])


@pytest.mark.parametrize(("made", "asked"), list(permutations(KINDS, 2)))
def test_a_file_of_another_variant_is_an_error(files: Files, made: str, asked: str) -> None:
    """The error names the file."""
    with pytest.raises(StageError) as caught:
        judge(variant(asked), files[made])
    assert f"{made}.tflite" in caught.value.where


@pytest.mark.parametrize(
    ("made", "asked"), [it for it in permutations(KINDS, 2) if it[1] in ("int8", "int16x8")]
)
def test_float_inputs_do_not_hide_another_variant(files: Files, made: str, asked: str) -> None:
    """With float inputs and outputs, the tensors inside still decide."""
    path = files.get(f"{made}/float32", files[made])
    with pytest.raises(StageError):
        judge(variant(asked, "float32"), path)


def test_weights_that_are_computed_with_in_float_round_no_activation(
    files: Files, tmp_path: Path
) -> None:
    """The file of another variant has float kernels, or operators that round."""
    config = variant("weight_only")
    with pytest.raises(StageError, match="rounded while computing, by FULLY_CONNECTED"):
        judge(config, files["dynamic_range"])
    for kind in ("float32", "float16"):
        with pytest.raises(StageError, match="Kernels are not int8"):
            judge(config, files[kind])
    path = tmp_path / "small.tflite"
    model, rows = small_model(8), (pictures(9),)
    for bits in (8, 16):
        own = config.model_copy(update={"weight_bits": bits})
        small_file(model, own, rows, path)
        judge(own, path)


def test_integers_of_the_model_stay_integers(tmp_path: Path) -> None:
    """A key that is passed through and a class are not checked; the scores are."""
    row, key = tf_keras.Input((6,), name="row"), tf_keras.Input((1,), dtype="int64", name="key")
    scores = layers.Dense(5, name="scores")(row)
    model = tf_keras.Model([row, key], [scores, layers.Reshape((1,), name="same")(key)])
    rows = np.random.default_rng(0).normal(size=(9, 6)).astype("float32"), np.ones((9, 1), "int64")
    path = tmp_path / "m.tflite"
    quantize(model, variant("int8"), rows, path)
    (said,) = judge(variant("int8"), path)
    assert said == "inputs int64, int8, outputs int64, int8, no float tensor inside"
    with pytest.raises(StageError, match="inputs are int8, not uint8"):
        judge(variant("int8", "uint8"), path)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_the_dtypes_of_inputs_and_outputs_are_checked(files: Files, dtype: str) -> None:
    """int8 with the given dtypes passes and says so; with others it is an error."""
    (said,) = judge(variant("int8", dtype), files[f"int8/{dtype}"])
    assert said == f"inputs {dtype}, outputs {dtype}, no float tensor inside"
    with pytest.raises(StageError, match=f"inputs are {dtype}, not int8"):
        judge(variant("int8"), files[f"int8/{dtype}"])
    with pytest.raises(StageError, match=f"inputs are int8, not {dtype}"):
        judge(variant("int8", dtype), files["int8"])


def test_a_float_tensor_inside_is_named(files: Files) -> None:
    """Weights in int8 do not make an integer model: the error names the float tensors inside."""
    with pytest.raises(StageError, match=r"\d+ tensors were left in float: .+MatMul"):
        judge(variant("int8", "float32"), files["dynamic_range"])


def test_small_kernels_that_stay_float_are_reported(files: Files) -> None:
    """dynamic_range leaves constants of fewer than 1,024 elements in float, and says how many."""
    (said,) = judge(variant("dynamic_range"), files["dynamic_range"])
    small = [
        it
        for it in litert.tensors(files["dynamic_range"])
        if it.values is not None and it.dtype == "float32"
    ]
    assert said == f"{len(small)} tensors stay float32: biases, and what has under 1,024 elements"
    assert any(it.values is not None and it.values.size == 120 for it in small)


def test_a_long_bias_is_not_a_kernel(tmp_path: Path) -> None:
    """A layer of at least 1,024 units has one, which dynamic_range leaves in float."""
    model = tf_keras.Sequential(
        [layers.InputLayer((4,)), layers.Dense(1500, bias_initializer="ones")]
    )
    quantize(model, variant("dynamic_range"), (np.ones((1, 4), "float32"),), tmp_path / "m.tflite")
    (said,) = judge(variant("dynamic_range"), tmp_path / "m.tflite")
    assert said.startswith("1 tensors stay float32")


def test_operators_without_an_integer_kernel_do_not_stop_dynamic_range(tmp_path: Path) -> None:
    """A Conv3D stays in float and is named, if another kernel is int8; alone it is an error."""
    path = tmp_path / "volumes.tflite"
    volumes = [layers.InputLayer((4, 4, 4, 8)), layers.Conv3D(16, 3)]
    model = tf_keras.Sequential([*volumes, layers.Flatten(), layers.Dense(20)])
    quantize(model, variant("dynamic_range"), (), path)
    (said,) = judge(variant("dynamic_range"), path)
    assert said.startswith("1 kernels stay float")
    assert "Conv3D" in said
    quantize(tf_keras.Sequential(volumes), variant("dynamic_range"), (), path)
    with pytest.raises(StageError, match="not int8") as caught:
        judge(variant("dynamic_range"), path)
    assert "Leave this variant out" in (caught.value.hint or "")


def test_operators_that_the_standard_interpreter_lacks_are_an_error(tmp_path: Path) -> None:
    """The error names them, for an LSTM that was converted with TensorFlow's operators."""
    model = tf_keras.Sequential([layers.InputLayer((5, 4)), layers.LSTM(3)])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    converter._experimental_lower_tensor_list_ops = False
    path = tmp_path / "flex.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(StageError, match="FlexTensorList"):
        check(variant("float32"), path, [], [])


def test_an_integer_lstm_has_no_float_tensor(tmp_path: Path) -> None:
    """The empty ones, which hold the operator's scales, do not count."""
    model = tf_keras.Sequential([layers.InputLayer((5, 4), batch_size=1), layers.LSTM(6)])
    rows = np.random.default_rng(0).normal(size=(30, 5, 4)).astype("float32")
    path = tmp_path / "lstm.tflite"
    quantize(model, variant("int8"), (rows,), path)
    assert not any(it.dtype == "float32" for it in litert.tensors(path))
    said = judge(variant("int8"), path)
    assert said[-1] == "inputs int8, outputs int8, no float tensor inside"
    with pytest.raises(StageError):
        judge(variant("float32"), path)
