"""Units that are always zero, or that nobody reads, are taken out, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tf_keras

from job.manifest.quantize import DynamicRangeConfig
from job.stages.kernels import kernels
from job.stages.pack import plan, write
from job.stages.prepare import with_batch
from job.stages.quantize import convert
from job.stages.slim import slim
from job.tflite import flat
from job.tflite.interpret import RESOLVERS, predictor
from job.tflite.runtimes import BIAS, WEIGHTS, oldest_runtime
from job.tflite.tidy import with_shapes_in_options
from job.tflite.units import without_dead_units, without_zero_units
from tests.support.flat import floats, layers, on_grid, pictures, variant

Build = Callable[[], tf_keras.Model]


def deaden(layer: Any, units: list[int], bias: float) -> None:
    """Weights of zeros for some units, and a bias."""
    kernel, biases = layer.get_weights()
    biases = np.linspace(0.1, 0.4, biases.size)
    kernel[..., units] = 0
    biases[units] = bias
    layer.set_weights([kernel, biases])


def dense(**options: Any) -> tf_keras.Model:
    """Three dense layers; of the first's units 1 and 4 are always zero, with ReLU."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((8, 8, 2)),
            layers.Flatten(),
            layers.Dense(7, name="first", **({"activation": "relu"} | options)),
            layers.Dense(6, activation="relu", name="second"),
            layers.Dense(3, name="last"),
        ]
    )
    deaden(model.get_layer("first"), [1, 4], -0.3)
    deaden(model.get_layer("second"), [], 0)
    return model


def convolutions() -> tf_keras.Model:
    """Two convolutions with pooling, flattened; dead units of both."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((8, 8, 2)),
            layers.Conv2D(6, 3, activation="relu", padding="same", name="first"),
            layers.MaxPooling2D(),
            layers.Conv2D(4, 2, padding="same", name="second"),
            layers.AveragePooling2D(2),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(3, name="last"),
        ]
    )
    deaden(model.get_layer("first"), [0, 5], -0.1)
    deaden(model.get_layer("second"), [2], 0)
    return model


def averaged() -> tf_keras.Model:
    """A convolution along one axis, averaged."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((8, 8, 2)),
            layers.Reshape((16, 8)),
            layers.Conv1D(6, 3, activation="relu", name="first"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3, name="last"),
        ]
    )
    deaden(model.get_layer("first"), [0, 5], -0.1)
    return model


def sizes(content: bytes) -> list[int]:
    """The units of each kernel."""
    file = flat.read(content)
    return [
        flat.shape(graph.tensors[it.inputs[WEIGHTS]])[0]
        for graph, it in flat.operators(file)
        if flat.kind(file, it) in ("FULLY_CONNECTED", "CONV_2D")
    ]


def without_units(content: bytes, take: Callable[[Any], str] = without_dead_units) -> bytes:
    """The file with its shapes in options and without dead units."""
    file = flat.read(content)
    with_shapes_in_options(file)
    take(file)
    return flat.write(file)


def packed(model: tf_keras.Model, bits: int) -> bytes:
    """All kernels as integers with scales of their channels."""
    content = floats(model)
    config = DynamicRangeConfig.model_validate({"type": "dynamic_range", "weight_bits": bits})
    plans = plan(kernels(content, content, {}), config, {})
    return write(content, plans, [bits] * len(plans), halves=False)


def constants(content: bytes, place: int) -> list[flat.Array | None]:
    """The kernel, its scales and the bias of an operator."""
    file = flat.read(content)
    (graph,) = file.subgraphs
    operator = graph.operators[place]
    kernel, bias = (graph.tensors[operator.inputs[it]] for it in (WEIGHTS, BIAS))
    scales = kernel.quantization.scale if kernel.quantization else None
    return [flat.constant(file, kernel), scales, flat.constant(file, bias)]


CASES: dict[str, tuple[Build, list[int], str]] = {
    "dense": (dense, [5, 6, 3], "2 of 7 of first"),
    "convolutions": (convolutions, [4, 3, 3], "2 of 6 of first, 1 of 4 of second"),
    "averaged": (averaged, [4, 3], "2 of 6 of first"),
}


@pytest.mark.parametrize("kind", ["int8", "int16x8", 8, 4])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batch", [None, 1])
def test_units_that_are_always_zero_are_gone(case: str, kind: str | int, batch: int | None) -> None:
    """From both kernels and the shapes in between; outputs are the same bits by all kernels."""
    build, wanted, says = CASES[case]
    model = build()
    model = with_batch(model, batch) if batch else model
    rows = (pictures(9),)
    names = model.input_names, model.output_names
    content = (
        packed(model, kind) if isinstance(kind, int) else convert(model, variant(kind), rows, "x")
    )
    small, said = slim(content, *names, rows)
    assert sizes(small) == wanted
    assert f"no units that are always zero or that nobody reads: {says}" in said[0]
    for resolver in RESOLVERS:
        (before,) = predictor(content, *names, 1, resolver)(rows)
        (after,) = predictor(small, *names, 1, resolver)(rows)
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("case", CASES)
def test_floats_may_be_added_up_in_another_order(case: str) -> None:
    """Then the outputs are not the same bits, and slim leaves the units where they are."""
    build, wanted, _ = CASES[case]
    model, rows = build(), (pictures(9),)
    names = model.input_names, model.output_names
    content = floats(model)
    small = without_units(content)
    assert sizes(small) == wanted
    (found,) = predictor(small, *names, 1)(rows)
    np.testing.assert_allclose(found, model(rows[0]), atol=1e-5)
    slimmer, said = slim(content, *names, rows)
    (before,) = predictor(content, *names, 1)(rows)
    (after,) = predictor(slimmer, *names, 1)(rows)
    np.testing.assert_array_equal(before, after)
    is_left = any("left as it was" in it and "always zero" in it for it in said)
    assert is_left == (sizes(slimmer) != wanted)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_what_is_left_are_the_other_integers(bits: int) -> None:
    """Kernels, scales and biases without the dead units, by NumPy, whatever they are packed in."""
    model = dense()
    for name in ("first", "second", "last"):
        layer = model.get_layer(name)
        kernel = np.random.default_rng(0).normal(size=layer.kernel.shape).astype(np.float32)
        layer.set_weights([on_grid(kernel, bits, per_channel=True), layer.bias.numpy()])
    deaden(model.get_layer("first"), [1, 4], -0.3)
    before = packed(model, bits)
    after = without_units(before, without_zero_units)
    file = flat.read(before)
    first = [flat.kind(file, it) for _, it in flat.operators(file)].index("FULLY_CONNECTED")
    for old, new in zip(constants(before, first), constants(after, first), strict=True):
        np.testing.assert_array_equal(np.delete(np.asarray(old), [1, 4], axis=0), np.asarray(new))
    (old, scales, bias), (new, *same) = constants(before, first + 1), constants(after, first + 1)
    np.testing.assert_array_equal(np.delete(np.asarray(old), [1, 4], axis=1), np.asarray(new))
    np.testing.assert_array_equal(np.asarray(scales), np.asarray(same[0]))
    np.testing.assert_array_equal(np.asarray(bias), np.asarray(same[1]))


def test_units_that_nobody_reads_are_gone_and_so_is_what_they_had_read() -> None:
    """A unit of the second layer that is not read takes one of the first with it."""
    model = dense()
    kernel, bias = model.get_layer("last").get_weights()
    kernel[[0, 3, 5]] = 0
    model.get_layer("last").set_weights([kernel, bias])
    kernel, bias = model.get_layer("second").get_weights()
    kernel[6, [1, 2, 4]] = 0  # only those that are not read themselves read the last unit
    model.get_layer("second").set_weights([kernel, bias])
    content = floats(model)
    assert sizes(without_units(content)) == [4, 3, 3]
    assert sizes(without_units(content, without_zero_units)) == [5, 6, 3]
    rows = (pictures(5),)
    (found,) = predictor(without_units(content), model.input_names, model.output_names, 1)(rows)
    np.testing.assert_allclose(found, model(rows[0]), atol=1e-5)


def test_an_unread_unit_that_sets_the_range_of_its_row_stays() -> None:
    """Without it the activations of its row would be rounded in finer steps."""
    model = dense()
    kernel, bias = model.get_layer("last").get_weights()
    kernel[2] = 0
    model.get_layer("last").set_weights([kernel, bias])
    kernel, bias = model.get_layer("second").get_weights()
    bias[2] = 50
    model.get_layer("second").set_weights([kernel, bias])
    names = model.input_names, model.output_names
    content, rows = packed(model, 8), (pictures(20),)
    assert sizes(without_units(content)) == [5, 5, 3]
    small, said = slim(content, *names, rows)
    assert sizes(small)[1] == 6
    assert any(it.startswith("left as it was") and "1 of 6 of second" in it for it in said)
    for resolver in ("xnnpack", "builtin"):
        (before,) = predictor(content, *names, 1, resolver)(rows)
        (after,) = predictor(small, *names, 1, resolver)(rows)
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("bias", [0.0, 0.2, -0.2])
@pytest.mark.parametrize("activation", [None, "relu", "sigmoid"])
def test_a_unit_counts_as_zero_by_its_activation(activation: str | None, bias: float) -> None:
    """A constant that is not 0 stays, and is computed with."""
    model = dense(activation=activation)
    deaden(model.get_layer("first"), [1, 4], bias)
    is_dead = bias == 0 or (activation == "relu" and bias < 0)
    wanted = 5 if is_dead and activation != "sigmoid" else 7
    assert sizes(without_units(floats(model)))[0] == wanted


def test_one_unit_stays_where_all_are_zero() -> None:
    """A kernel of no units is none."""
    model = dense()
    deaden(model.get_layer("first"), list(range(7)), -1)
    names = model.input_names, model.output_names
    content, rows = packed(model, 4), (pictures(5),)
    small, _ = slim(content, *names, rows)
    assert sizes(small) == [1, 6, 3]
    for resolver in RESOLVERS:
        (before,) = predictor(content, *names, 1, resolver)(rows)
        (after,) = predictor(small, *names, 1, resolver)(rows)
        np.testing.assert_array_equal(before, after)


def branched(kind: str) -> tf_keras.Model:
    """A layer with dead units whose outputs are read twice, or are an output of the model."""
    tf_keras.utils.set_random_seed(0)
    given = tf_keras.Input((8, 8, 2))
    first = layers.Dense(7, activation="relu", name="first")
    last = layers.Dense(3, name="last")
    inner = first(layers.Flatten()(given))
    outputs = {
        "two readers": lambda: [last(inner), layers.Dense(4)(inner)],
        "an output": lambda: [last(inner), inner],
        "a sum": lambda: [last(layers.Add()([inner, layers.Dense(7)(inner)]))],
        "a shared layer": lambda: [last(inner), last(first(layers.Flatten()(given * 2.0)))],
        "softmax": lambda: [last(layers.Softmax()(inner))],
    }[kind]()
    model = tf_keras.Model(given, outputs)
    deaden(first, [1, 4], -0.3)
    return model


@pytest.mark.parametrize("kind", ["two readers", "an output", "a sum", "a shared layer", "softmax"])
def test_tensors_with_other_readers_keep_their_units(kind: str) -> None:
    """Whatever somebody else reads, or depends on how many there are, stays as it is."""
    content = floats(branched(kind))
    assert sizes(without_units(content)) == sizes(content)


def test_rows_that_an_old_runtime_misreads_are_not_made() -> None:
    """TensorFlow Lite 2.14 runs 4-bit rows of 64, and reads over the end of those of 62."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [layers.InputLayer((8,)), layers.Dense(64, "relu", name="first"), layers.Dense(3)]
    )
    content = floats(model)
    config = DynamicRangeConfig(
        type="dynamic_range", weight_bits=4, per_channel=False, target="tflite-2.14"
    )
    for units, left in ((2, 64), (16, 48)):
        deaden(model.get_layer("first"), list(range(units)), -1)
        content = floats(model)
        plans = plan(kernels(content, content, {}), config, {})
        file = write(content, plans, [4, 4], halves=False)
        assert oldest_runtime(file)[0] == oldest_runtime(without_units(file))[0] == "tflite-2.14"
        assert sizes(without_units(file))[0] == left
