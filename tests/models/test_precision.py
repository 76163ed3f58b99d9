"""precision: models of other precision are processed in float32, and keep theirs in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from pydantic import TypeAdapter

from job.errors import InputError
from job.manifest.quantize import QuantizeConfig
from job.metrics.quality import keras_predictor
from job.models.load import read, save
from job.stages.quantize import quantize
from tests.support.rare import few


def convolutional(kit: Any, policy: str) -> Any:
    """A convolution, a frozen nested model used twice, a wrapper; the last layer in float32."""
    layers = kit.layers
    given = kit.Input((8, 8, 3))
    block = kit.Sequential(
        [
            kit.Input((8, 8, 16), dtype="float32"),
            layers.Conv2D(16, 3, padding="same", dtype=policy, trainable=False),
            layers.BatchNormalization(dtype=policy),
        ],
        name="block",
    )
    x = layers.Conv2D(16, 3, padding="same", dtype=policy)(layers.Rescaling(0.5)(given))
    x = block(block(x))
    x = layers.Reshape((64, 16), dtype=policy)(x)
    x = layers.TimeDistributed(layers.Dense(16, dtype=policy), dtype=policy)(x)
    x = layers.GlobalAveragePooling1D(dtype=policy)(x)
    return kit.Model(given, layers.Dense(64, dtype="float32")(x))


def pictures(rows: int) -> np.ndarray:
    return np.random.default_rng(0).random((rows, 8, 8, 3)).astype("float32")


def policies(model: Any) -> list[str]:
    return [it.dtype_policy.name for it in model._flatten_layers()]


@pytest.mark.parametrize("policy", few(["mixed_bfloat16", "mixed_float16", "float64"]))
@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize("kit", [tf_keras, keras], ids=["keras2", "keras3"])
def test_a_model_of_another_precision_is_pruned_in_float32_and_keeps_its_own(
    kit: Any, suffix: str, policy: str, tmp_path: Path
) -> None:
    """The model is pruned in float32 and saved with its own policy; both have the zeros."""
    tf_keras.utils.set_random_seed(3)
    model = convolutional(kit, policy)
    model.save(tmp_path / f"m.{suffix}")
    found = read(tmp_path / f"m.{suffix}")
    assert set(policies(found.model)) == {"float32"}
    assert policies(found.original) == policies(model)
    assert policy in policies(model)
    x = pictures(9)
    before = keras_predictor(found.original)((x,))
    np.testing.assert_allclose(keras_predictor(found.model)((x,)), before, atol=0.05)
    found.model.set_weights([np.where(np.abs(it) < 0.1, 0, it) for it in found.model.get_weights()])
    saved = save(found.model, found, tmp_path / f"pruned.{suffix}")
    assert policies(saved.original) == policies(model)
    kernels = [np.asarray(it) for it in saved.original.weights if len(it.shape) >= 2]
    assert min(np.mean(it == 0) for it in kernels) > 0.2
    after = keras_predictor(saved.original)((x,))
    np.testing.assert_allclose(keras_predictor(saved.model)((x,)), after, atol=0.05)


@pytest.mark.parametrize("kind", ["float32", "dynamic_range", "int8"])
def test_a_model_of_mixed_precision_is_converted_like_a_float32_model(
    kind: str, tmp_path: Path
) -> None:
    """Float inputs and outputs (or integer ones), no float16 inside, and about the same size."""
    config: QuantizeConfig = TypeAdapter(QuantizeConfig).validate_python({"type": kind})
    files = []
    for policy in ("mixed_float16", "float32"):
        tf_keras.backend.clear_session()
        tf_keras.utils.set_random_seed(3)
        convolutional(tf_keras, policy).save(tmp_path / "m.h5")
        path = tmp_path / f"{policy}.tflite"
        quantize(read(tmp_path / "m.h5").model, config, (pictures(20),), path)
        files.append(path.stat().st_size)
        interpreter = Interpreter(model_path=str(path))
        details = [*interpreter.get_input_details(), *interpreter.get_output_details()]
        expected = np.int8 if kind == "int8" else np.float32
        assert {it["dtype"] for it in details} == {expected}
        assert np.float16 not in {it["dtype"] for it in interpreter.get_tensor_details()}
    assert files[0] == pytest.approx(files[1], rel=0.02)


def test_weights_of_16_bits_are_refused(tmp_path: Path) -> None:
    """By name, with a hint; those of bfloat16 by the validation, since HDF5 has no such numbers."""
    given = keras.Input((4,))
    half = keras.layers.Dense(3, dtype="float16", name="half")
    keras.Model(given, half(given)).save(tmp_path / "3.keras")
    same = tf_keras.layers.Dense(3, dtype="float16", name="half")
    tf_keras.Sequential([tf_keras.layers.InputLayer((4,)), same]).save(tmp_path / "2.h5")
    for file in ("3.keras", "2.h5"):
        with pytest.raises(InputError, match=r"half/kernel.* is float16") as caught:
            read(tmp_path / file)
        assert "mixed_float16" in (caught.value.hint or "")
    brain = keras.layers.Dense(3, dtype="bfloat16")
    keras.Model(given, brain(given)).save(tmp_path / "b.keras")
    with pytest.raises(InputError):
        read(tmp_path / "b.keras")


def test_a_float32_model_is_its_own_original(tmp_path: Path) -> None:
    convolutional(tf_keras, "float32").save(tmp_path / "m.h5")
    found = read(tmp_path / "m.h5")
    assert found.model is found.original
