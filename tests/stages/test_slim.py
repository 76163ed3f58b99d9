"""A slim file computes the same, bit for bit, and has nothing that no interpreter needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from job.stages.prepare import with_batch
from job.stages.quantize import convert
from job.stages.slim import PROMISE, STEPS, Step, slim, without
from job.tflite import flat
from job.tflite.interpret import RESOLVERS, predictor
from tests.support.flat import layers, pictures, small_model, variant


def two_ends() -> tf_keras.Model:
    """Inputs and outputs whose order is not that of their names."""
    tf_keras.utils.set_random_seed(0)
    zeta, alpha = tf_keras.Input((6,), name="zeta"), tf_keras.Input((5,), name="alpha")
    both = layers.Concatenate()([layers.Dense(8)(zeta), layers.Dense(8)(alpha)])
    return tf_keras.Model(
        [zeta, alpha], [layers.Dense(3, name="y2")(both), layers.Dense(2, name="y1")(both)]
    )


@pytest.mark.parametrize("kind", ["float32", "float16", "dynamic_range", "int8", "int16x8"])
@pytest.mark.parametrize("batch", [None, 1, 3])
def test_the_outputs_are_the_same_bits(kind: str, batch: int | None) -> None:
    """In every variant, with every kind of kernels, with a batch of any size or a fixed one."""
    model = small_model(8)
    model = with_batch(model, batch) if batch else model
    rows = (pictures(7),)
    content = convert(model, variant(kind), (pictures(20),), "x")
    small, said = slim(content, model.input_names, model.output_names, rows)
    assert len(small) < len(content) - 500
    assert said[0].startswith(PROMISE)
    names = model.input_names, model.output_names
    for resolver in RESOLVERS:
        (before,) = predictor(content, *names, 1, resolver)(rows)
        (after,) = predictor(small, *names, 1, resolver)(rows)
        np.testing.assert_array_equal(before, after)


def test_nothing_is_left_that_no_interpreter_needs() -> None:
    """No names, signature, metadata, second shapes or Flatten; each buffer once."""
    model = with_batch(small_model(8), 1)
    content = convert(model, variant("float32"), (), "x")
    small, _ = slim(content, model.input_names, model.output_names, (pictures(2),))
    file = flat.read(small)
    assert not file.signatureDefs
    assert not file.metadata
    assert file.description is None
    (graph,) = file.subgraphs
    assert all(it.name is None and it.shapeSignature is None for it in graph.tensors)
    assert [flat.kind(file, it) for it in graph.operators] == ["CONV_2D", "FULLY_CONNECTED"]
    used = {it.buffer for it in graph.tensors}
    assert used == set(range(len(file.buffers)))
    assert file.buffers[0].data is None
    for buffer in file.buffers[1:]:  # as the schema asks
        assert small.find(np.asarray(buffer.data).tobytes()) % 16 == 0


def test_inputs_and_outputs_are_in_the_models_order() -> None:
    """By position they are what they were by name."""
    model = two_ends()
    random = np.random.default_rng(0)
    rows = tuple(random.uniform(0, 1, (4, size)).astype(np.float32) for size in (6, 5))
    content = convert(model, variant("float32"), (), "x")
    small, _ = slim(content, model.input_names, model.output_names, rows)
    graph = flat.read(small).subgraphs[0]
    assert [flat.shape(graph.tensors[it])[1] for it in graph.inputs] == [6, 5]
    assert [flat.shape(graph.tensors[it])[1] for it in graph.outputs] == [3, 2]
    found = predictor(small, (), (), 1)(rows)
    for one, wanted in zip(found, model(list(rows)), strict=True):
        np.testing.assert_allclose(one, wanted, atol=1e-5)


def spoil(model: Any) -> bool:
    """Zeros in place of the dense layer's bias."""
    for buffer in model.buffers:
        if buffer.data is not None and len(buffer.data) == 5 * 4:
            buffer.data = np.zeros(5 * 4, np.uint8)
    return True


def test_a_step_that_changes_outputs_is_left_out() -> None:
    """The others are taken, and it is said."""
    model = with_batch(small_model(8), 1)
    content = convert(model, variant("float32"), (), "x")
    names = model.input_names, model.output_names
    spoiling = Step(spoil, "a bias of zeros")
    small, said = slim(content, *names, (pictures(3),), (spoiling, *STEPS))
    assert "left as it was, since the outputs would change: a bias of zeros" in said
    assert small == without(content, *names, STEPS)
