"""The bits of each layer's weights in a file, as the interpreter sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from job.result.packed import KernelResult, PackedResult
from job.tflite import flat
from job.worker.layer_bits import model_bits, tflite_bits
from job.worker.small import make_file, making_of
from tests.support.flat import pictures, small_model, variant


def bits_in(path: Path) -> dict[tuple[int, ...], str]:
    """By shape, the dtypes of a file's tensors."""
    interpreter = Interpreter(str(path))
    return {tuple(it["shape"]): it["dtype"].__name__ for it in interpreter.get_tensor_details()}


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("float32", {}, 32),
        ("float16", {}, 16),
        ("int8", {}, 8),
        ("weight_only", {}, 8),
        ("weight_only", {"weight_bits": 16}, 16),
        ("dynamic_range", {"weight_bits": 4}, None),
        ("dynamic_range", {"slim": True}, None),
    ],
)
def test_bits_of_a_file(
    tmp_path: Path, kind: str, options: dict[str, Any], expected: int | None
) -> None:
    """Of every layer that has a kernel; a packed file has the widths whose encoding is smallest."""
    model = small_model(4)
    config = variant(kind, name="small", **options)
    rows = (pictures(20),)
    making = making_of(model, config, rows, proves=False)
    path = tmp_path / "small.tflite"
    found = make_file(model, config, rows, path, making).record.layer_bits
    layers = model_bits(model)
    assert set(layers.values()) == {32}
    if expected is not None:
        assert found == dict.fromkeys(layers, expected)
        return
    kernels = {"Conv2D": 4, "Dense": 2}  # by their dimensions: no other constant has so many
    there = {
        len(flat.shape(tensor)): flat.PACKED.get(tensor.type, 8)
        for graph in flat.read(path.read_bytes()).subgraphs
        for tensor in graph.tensors
        if tensor.type in flat.INTEGERS.values()
    }
    by_kind = {type(layer).__name__: layer.name for layer in model.layers}
    assert found == {by_kind[kind]: there[rank] for kind, rank in kernels.items()}


def test_layers_of_the_same_name_in_nested_models_are_told_apart(tmp_path: Path) -> None:
    """By their paths; a small kernel is left in float by the converter, and a large one is not."""
    inner_input = tf_keras.Input((8,))
    inner = tf_keras.Model(
        inner_input, tf_keras.layers.Dense(300, name="dense")(inner_input), name="branch"
    )
    whole = tf_keras.Input((8,))
    outputs = tf_keras.layers.Dense(2, name="dense")(inner(whole)[:, :4])
    model = tf_keras.Model(whole, outputs)
    assert model_bits(model) == {"branch/dense": 32, "dense": 32}
    config = variant("dynamic_range", name="nested")
    path = tmp_path / "nested.tflite"
    making = making_of(model, config, (), proves=False)
    found = make_file(model, config, (), path, making).record.layer_bits
    assert found == {"branch/dense": 8, "dense": 32}
    there = bits_in(path)
    assert (there[300, 8], there[2, 4]) == ("int8", "float32")


def test_what_belongs_to_no_layer_for_certain_is_left_out(tmp_path: Path) -> None:
    """A slim file without names; a packed kernel of an unknown layer."""
    model = small_model(4)
    rows = (pictures(20),)
    config = variant("float32", name="slim", slim=True)
    making = making_of(model, config, rows, proves=False)
    path = tmp_path / "slim.tflite"
    assert make_file(model, config, rows, path, making).record.layer_bits == {}
    unknown = KernelResult(
        layer="conv_2d", operator="CONV_2D", asked_bits=4, bits=4, scales=1, is_lossless=True,
        elements=9, zeros=0, distinct=3,
    )  # fmt: skip
    layers = {"conv_2d": model.layers[1]}
    assert tflite_bits(path.read_bytes(), "m", layers, PackedResult(kernels=[unknown])) == {}
