"""Packed kernels are those of NumPy, and the file computes what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras
from numpy.typing import NDArray

from job.errors import StageError
from job.manifest.quantize import DynamicRangeConfig
from job.stages.kernels import kernels, layers_in
from job.stages.pack import Plan, plan, runtime_of, write
from job.tflite import flat
from job.tflite.bits import unpack
from job.tflite.interpret import RESOLVERS, predictor
from tests.support.flat import floats, kernel_of, layers, on_grid, pictures, small_model, variant

Array = NDArray[np.float32]


def config(**options: Any) -> DynamicRangeConfig:
    found = variant("dynamic_range", **options)
    assert isinstance(found, DynamicRangeConfig)
    return found


def planned(model: tf_keras.Model, **options: Any) -> tuple[bytes, list[Plan]]:
    content = floats(model)
    return content, plan(kernels(content, content, layers_in(model)), config(**options), {})


def packed(model: tf_keras.Model, bits: int, **options: Any) -> bytes:
    """A file with all kernels in the fewest bits, of so many at least."""
    content, plans = planned(model, weight_bits=bits, **options)
    widths = [next(it for it in one.packings if it >= bits) for one in plans]
    return write(content, plans, widths, halves=False)


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("per_channel", [False, True])
def test_the_raw_bytes_are_the_integers_of_the_kernel(bits: int, per_channel: bool) -> None:
    """Unpacked by hand and multiplied by their scales, they are Keras's kernel, transposed."""
    model = small_model(bits, per_channel=per_channel)
    file, tensor = kernel_of(packed(model, bits), "FULLY_CONNECTED")
    raw = np.asarray(file.buffers[tensor.buffer].data, np.uint8)
    wanted = model.get_layer("dense").kernel.numpy().T
    assert raw.size == -(-wanted.size * bits // 8)
    assert tensor.type == flat.INTEGERS[bits]
    values = unpack(raw, bits, wanted.size).reshape(wanted.shape)
    scales = np.asarray(tensor.quantization.scale, np.float32)
    assert scales.size == (5 if per_channel else 1)
    np.testing.assert_allclose(values * scales.reshape(-1, 1), wanted, rtol=2.0**-8)
    assert not np.asarray(tensor.quantization.zeroPoint).any()


def hybrid_dense(x: Array, weights: Array, bias: Array) -> Array:
    """What a hybrid kernel computes: each row in 8 bits, from its least to its largest value."""
    low, high = np.minimum(x.min(axis=1), 0), np.maximum(x.max(axis=1), 0)
    scale = ((high - low) / 255)[:, None]
    zero = np.rint(-128 - low[:, None] / scale)
    q = np.clip(np.rint(x / scale) + zero, -128, 127)
    return np.asarray(scale * (q - zero) @ weights + bias)


@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("inputs", [64, 62, 7])
def test_a_packed_dense_layer_computes_what_numpy_does(
    bits: int, per_channel: bool, inputs: int, resolver: str
) -> None:
    """In every runtime's way, also where rows do not end with a byte."""
    tf_keras.utils.set_random_seed(inputs)
    model = tf_keras.Sequential([layers.InputLayer((inputs,)), layers.Dense(5)])
    kernel = on_grid(model.layers[0].get_weights()[0], bits, per_channel=per_channel)
    bias = np.linspace(-1, 1, 5).astype(np.float32)
    model.layers[0].set_weights([kernel, bias])
    x = np.random.default_rng(0).uniform(-1, 2, (6, inputs)).astype(np.float32)
    names = model.input_names, model.output_names
    (found,) = predictor(packed(model, bits), *names, 1, resolver)([x])
    reach = np.abs(x) @ np.abs(kernel)
    assert (np.abs(found - hybrid_dense(x, kernel, bias)) <= 0.02 * reach.max()).all()
    assert np.abs(found - (x @ kernel + bias)).max() <= 0.02 * reach.max()


@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", ["conv", "grouped", "depthwise", "dilated"])
def test_packed_convolutions_compute_what_keras_does(
    kind: str, per_channel: bool, bits: int, resolver: str
) -> None:
    """Within the rounding of activations to 8 bits; a depthwise one stays at 8 bits."""
    tf_keras.utils.set_random_seed(1)
    layer = {
        "conv": lambda: layers.Conv2D(6, 3),
        "grouped": lambda: layers.Conv2D(6, 3, groups=2),
        "depthwise": lambda: layers.DepthwiseConv2D(3),
        "dilated": lambda: layers.Conv2D(6, 3, dilation_rate=2),
    }[kind]()
    model = tf_keras.Sequential([layers.InputLayer((8, 8, 2)), layer])
    kernel, bias = layer.get_weights()
    channels = per_channel and kind != "depthwise"
    layer.set_weights([on_grid(kernel, bits, per_channel=channels), bias])
    content = packed(model, bits)
    x = pictures(4)
    wanted = model(x).numpy()
    (found,) = predictor(content, model.input_names, model.output_names, 1, resolver)([x])
    assert np.abs(found - wanted).max() <= 0.02 * np.abs(wanted).max()


def test_folded_normalizations_lose_nothing() -> None:
    """Each channel was multiplied by a factor of its own, and is the same integers still."""
    tf_keras.utils.set_random_seed(2)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((8, 8, 2)),
            layers.Conv2D(6, 3, use_bias=False, name="conv"),
            layers.BatchNormalization(),
        ]
    )
    conv, normalization = model.layers
    conv.set_weights([on_grid(conv.get_weights()[0], 4, per_channel=False)])
    random = np.random.default_rng(0)
    shape = normalization.gamma.shape
    normalization.set_weights([random.uniform(0.5, 2, shape) for _ in range(4)])
    content, (found,) = planned(model, weight_bits=4)
    assert found.grid.is_exact
    assert found.kernel.layer == "conv"
    assert found.packings == (4, 8)
    step = np.abs(conv.get_weights()[0]).max() / 7
    np.testing.assert_array_equal(
        np.abs(found.grid.values),
        np.abs(np.rint(conv.get_weights()[0] / step)).transpose(3, 0, 1, 2),
    )
    assert write(content, [found], [4], halves=True) != content


def test_untrained_weights_are_rounded_and_ternary_ones_must_be_trained() -> None:
    """To 4 bits, with the reason; 2 bits are refused."""
    tf_keras.utils.set_random_seed(3)
    model = tf_keras.Sequential([layers.InputLayer((40,)), layers.Dense(5, name="dense")])
    _, (found,) = planned(model, weight_bits=4)
    assert not found.grid.is_exact
    assert found.grid.most <= 7
    assert found.reason == "rounded to 4 bits, since the weights lie on no grid"
    with pytest.raises(StageError, match="dense should have 2 bits, and are not ternary"):
        planned(model, weight_bits=2)


def test_what_the_target_lacks_is_stored_in_more_bits() -> None:
    """TensorFlow Lite 2.14 has neither 2 bits nor a 4-bit convolution, nor scales for channels."""
    _, (conv, dense) = planned(small_model(4), weight_bits=4, target="tflite-2.14")
    assert conv.packings == (8,)
    assert conv.reason == "tflite-2.14 has no 4-bit kernel of CONV_2D"
    assert dense.kernel.row % 32 == 216 % 32 > 16  # such rows it reads over their end
    assert dense.packings == (8,)
    _, (_, dense) = planned(small_model(2), weight_bits=2)
    assert dense.packings == (2, 4, 8)
    _, (_, dense) = planned(small_model(8, per_channel=True), target="tflite-2.14")
    assert dense.grid.scales.size == 1
    assert runtime_of(config(target="tflite-2.14")) == "tflite-2.14"
    assert runtime_of(config()) == "litert-2.3"


def test_biases_and_scales_of_small_files_are_bfloat16_values() -> None:
    """Their lower halves are zeros, so that codecs like them."""
    content, plans = planned(small_model(4), weight_bits=4, slim=True)
    file = flat.read(write(content, plans, [4, 4], halves=True))
    arrays = [
        np.asarray(it.quantization.scale) for it in file.subgraphs[0].tensors if it.quantization
    ]
    arrays = [it for it in arrays if it.size and it.dtype == np.float32]
    arrays += [
        values
        for it in file.subgraphs[0].tensors
        if (values := flat.constant(file, it)) is not None and values.dtype == np.float32
    ]
    assert len(arrays) == 4
    assert not any((it.astype(np.float32).view(np.uint32) & 0xFFFF).any() for it in arrays)
