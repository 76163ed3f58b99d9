"""A model rebuilt: for any batch size if nothing in it depends on it, and in float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from pydantic import TypeAdapter

from job.errors import InputError
from job.manifest.quantize import QuantizeConfig
from job.metrics.quality import keras_predictor
from job.models.load import read, save
from job.stages.quantize import quantize
from tests.support.rare import few

BATCH = 4


def sequential(kit: Any) -> Any:
    layers = kit.layers
    return kit.Sequential(
        [kit.Input((6,), batch_size=BATCH), layers.Dense(5), layers.BatchNormalization()]
    )


def nested(kit: Any) -> Any:
    """Two inputs, one of which goes through a nested model with the same batch size."""
    layers = kit.layers
    inner = kit.Sequential([kit.Input((6,), batch_size=BATCH), layers.Dense(5)], name="inner")
    first, second = kit.Input((6,), batch_size=BATCH), kit.Input((4,), batch_size=BATCH)
    merged = layers.Concatenate()([inner(first), second])
    return kit.Model([first, second], [layers.Dense(3)(merged), layers.Dense(2)(second)])


def recurrent(kit: Any) -> Any:
    layers = kit.layers
    return kit.Sequential(
        [
            kit.Input((3, 6), batch_size=BATCH),
            layers.TimeDistributed(layers.Dense(4)),
            layers.Bidirectional(layers.SimpleRNN(3)),
        ]
    )


def stateful(kit: Any) -> Any:
    layers = kit.layers
    given = kit.Input((3, 6), batch_size=BATCH)
    return kit.Sequential([given, layers.SimpleRNN(4, stateful=True, name="memory")])


def reshaped(kit: Any) -> Any:
    """The batch size is a number in a reshape."""
    reshape = tf.reshape if kit is tf_keras else keras.ops.reshape
    given = kit.Input((6,), batch_size=BATCH)
    pairs = reshape(given, (2 * BATCH, 3))
    return kit.Model(given, reshape(kit.layers.Dense(2)(pairs), (BATCH, 4)))


def centred(kit: Any) -> Any:
    """Each row is compared with the others of its batch; every shape is right."""
    mean = tf.reduce_mean if kit is tf_keras else keras.ops.mean
    given = kit.Input((6,), batch_size=BATCH)
    return kit.Model(given, kit.layers.Dense(2)(given - mean(given, axis=0, keepdims=True)))


KITS = [tf_keras, keras]


FREE = [
    (tf_keras, sequential, "model"),
    (tf_keras, nested, "model.keras"),
    (tf_keras, recurrent, "model.h5"),
    (keras, nested, "model.keras"),
    (keras, recurrent, "model.keras"),
]


@pytest.mark.parametrize(("kit", "make", "name"), FREE)
def test_outputs_for_any_batch_size_are_those_of_the_model(
    kit: Any, make: Callable[[Any], Any], name: str, tmp_path: Path
) -> None:
    """Also for the file that is written."""
    kit.utils.set_random_seed(5)
    model = make(kit)
    path = tmp_path / name
    model.save(path, **({} if path.suffix else {"save_format": "tf"}))
    found = read(path)
    assert "fixed batch size, 4, was taken out" in found.notes[0]
    written = tmp_path / ("again" + (path.suffix or ".tar"))
    again = save(found.model, found, written)
    assert again.notes == ()
    assert all(tensor.shape[0] is None for tensor in again.model.inputs)
    random = np.random.default_rng(3)
    rows = [random.normal(size=(7, *it.shape[1:])).astype("float32") for it in model.inputs]

    def answers(of: Any, some: slice) -> list[Any]:
        given = [it[some] for it in rows]
        return [np.asarray(it) for it in tf.nest.flatten(of(given if len(rows) > 1 else given[0]))]

    first, last = answers(model, slice(0, 4)), answers(model, slice(3, 7))
    wanted = [np.concatenate([a, b[1:]]) for a, b in zip(first, last, strict=True)]
    for given, want in zip(answers(again.original, slice(0, 7)), wanted, strict=True):
        np.testing.assert_allclose(given, want, atol=1e-6)


@pytest.mark.parametrize("kit", KITS)
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (stateful, "memory is stateful"),
        (reshaped, "depends on it: with a batch of 5 it fails .*reshape"),
        (centred, "depends on it: the outputs for batches of another size differ"),
    ],
)
def test_a_model_that_depends_on_its_batch_size_is_refused_with_the_reason(
    kit: Any, make: Callable[[Any], Any], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.keras"
    make(kit).save(path)
    with pytest.raises(InputError, match=f"(?is){reason}"):
        read(path)


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
