"""What is fixed in a model before it is converted, and the names in its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from job.metrics.litert import custom_operators, describe_file, predictor
from job.result.specs import TensorSpec
from job.stages.prepare import prepare
from job.stages.quantize import quantize
from tests.stages.test_quantize import variant
from tests.support.rare import few

layers = tf_keras.layers


def specs(tensors: Any, *sizes: tuple[int, ...]) -> list[TensorSpec]:
    """Inputs or outputs, by their layers' names; with ``sizes`` if given."""
    shapes = sizes or [tuple(it.shape[1:]) for it in tensors]
    return [
        TensorSpec(tensor.node.layer.name, shape, tensor.dtype.name)
        for tensor, shape in zip(tensors, shapes, strict=True)
    ]


@pytest.mark.parametrize("kind", few([layers.LSTM, layers.GRU, layers.SimpleRNN], 2))
def test_recurrent_models_are_converted_with_builtin_operators_for_one_row(
    kind: type, tmp_path: Path
) -> None:
    """With a batch of one; the standard interpreter's outputs are the model's."""
    tf_keras.utils.set_random_seed(4)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((6, 4), name="series"),
            layers.Bidirectional(kind(5)),
            layers.Dense(2, name="two"),
        ]
    )
    path = tmp_path / "rnn.tflite"
    prepared, decided = prepare(model, specs(model.inputs), specs(model.outputs))
    assert decided == ["the .tflite files take one row at a time, for the recurrent layers"]
    quantize(prepared, variant("float32"), (), path)
    assert custom_operators(path) == []
    rows = np.random.default_rng(0).normal(size=(7, 6, 4)).astype("float32")
    (answers,) = predictor(path, ["series"], ["two"], 1)((rows,))
    np.testing.assert_allclose(answers, model(rows).numpy(), atol=1e-5)


def test_an_open_length_gets_its_size(tmp_path: Path) -> None:
    """A recurrent model's file takes sequences of the chosen length."""
    model = tf_keras.Sequential([layers.InputLayer((None, 4)), layers.LSTM(3)])
    path = tmp_path / "rnn.tflite"
    prepared, decided = prepare(model, specs(model.inputs, (9, 4)), specs(model.outputs))
    assert decided[0].endswith("as (9, 4) only")
    quantize(prepared, variant("float32"), (), path)
    (detail,) = Interpreter(model_path=str(path)).get_input_details()
    assert list(detail["shape"]) == [1, 9, 4]


def test_a_model_that_needs_no_change_is_not_changed() -> None:
    """It is the same object, so its file has the same bytes."""
    model = tf_keras.Sequential(
        [layers.InputLayer((8,), name="row"), layers.Dense(3, name="three")]
    )
    prepared, decided = prepare(model, specs(model.inputs), specs(model.outputs))
    assert prepared is model
    assert decided == []


def two_heads(kind: str, size: int | None = None) -> tf_keras.Model:
    """Two outputs of one shape, near 9 and near -3, from one or two inputs."""
    tf_keras.utils.set_random_seed(6)
    zeta, alpha = tf_keras.Input((size, 4), name="zeta"), tf_keras.Input((3,), name="alpha")
    hidden: Any = layers.LSTM(6) if "lstm" in kind else layers.GlobalAveragePooling1D()
    # A Dense between: concatenated at once, the converter gives an int8 LSTM a wrong scale.
    merged = layers.Concatenate()([layers.Dense(6)(hidden(zeta)), alpha])
    small = layers.Dense(2, bias_initializer=tf_keras.initializers.Constant(-3), name="one")(merged)
    large = layers.Dense(2, bias_initializer=tf_keras.initializers.Constant(9), name="two")(merged)
    if "dict" in kind:
        return tf_keras.Model({"b": zeta, "a": alpha}, {"z e": small, "alpha": large})
    return tf_keras.Model([zeta, alpha], [large, small])


@pytest.mark.parametrize("variant_name", ["float32", "dynamic_range", "int8"])
@pytest.mark.parametrize("size", few([None, 5]))
@pytest.mark.parametrize("kind", ["list", "dict", "list lstm", "dict lstm"])
def test_a_files_outputs_are_found_by_the_models_names(
    kind: str, size: int | None, variant_name: str, tmp_path: Path
) -> None:
    """In the model's order, whatever the file's: for dicts by their keys, which may contain a space
    or be an input's name.
    """
    model = two_heads(kind, size)
    outputs = specs(model.outputs)
    if "dict" in kind:
        outputs = [
            replace(it, name=name) for it, name in zip(outputs, ("alpha", "z e"), strict=True)
        ]
    shapes = {"zeta": (5, 4), "alpha": (3,)}
    names = model.input_names
    inputs = specs(model.inputs, *(shapes[name] for name in names))
    random = np.random.default_rng(1)
    x = tuple(random.normal(size=(20, *shapes[name])).astype("float32") for name in names)
    prepared, _ = prepare(model, inputs, outputs)
    path = tmp_path / "m.tflite"
    quantize(prepared, variant(variant_name), x, path)
    assert custom_operators(path) == []
    predict = predictor(path, names, [it.name for it in outputs], 1)
    wanted = tf.nest.flatten(model(tf.nest.pack_sequence_as(model.input, list(x))))
    for found, answer in zip(predict(x), wanted, strict=True):
        spread = np.ptp(answer.numpy())
        assert (
            np.abs(found - answer.numpy()).max()
            < (0.1 if variant_name == "int8" else 0.02) * spread
        )
    described, answered = describe_file(path)
    assert {it.name for it in described} == {"zeta", "alpha"}
    assert {it.name for it in answered} == {it.name for it in outputs}
    assert {tuple(it.shape[1:]) for it in described} == {(5, 4), (3,)}
    assert {it.shape[0] for it in described} == {1 if "lstm" in kind else None}


def test_only_the_file_has_fixed_dimensions() -> None:
    """The model still has open dimensions, and shares its weights with the prepared one."""
    model = two_heads("dict")
    outputs = [TensorSpec(name, (2,), "float32") for name in ("alpha", "z e")]
    prepared, decided = prepare(model, specs(model.inputs, (3,), (7, 4)), outputs)
    assert decided == ["the .tflite files take zeta as (7, 4) only"]
    assert [tuple(it.shape) for it in model.inputs] == [(None, 3), (None, None, 4)]
    assert [tuple(it.shape) for it in prepared.inputs] == [(None, 3), (None, 7, 4)]
    assert {id(it) for it in prepared.weights} == {id(it) for it in model.weights}
    assert model.output_names != prepared.output_names
