"""Blockwise scales: grids are NumPy's, and runtimes compute what the file says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tf_keras
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from job.metrics.litert import rounded as found_in_file
from job.stages.small_file import Making, small_file
from job.tflite import blocks, flat
from job.tflite.arena import arena_bytes
from job.tflite.bits import unpack
from job.tflite.grid import bfloat16
from job.tflite.interpret import predictor
from tests.support.flat import floats, kernel_of, layers, variant

Floats = NDArray[np.float32]


def drawn(rows: int, columns: int, zeros: float = 0.0, seed: int = 0) -> Floats:
    random = np.random.default_rng(seed)
    found = random.normal(size=(rows, columns)) * (random.random((rows, columns)) >= zeros)
    return found.astype(np.float32)


def on_blocks(weights: Floats, block: int) -> Floats:
    """Weights rounded to 7 levels either side of zero, times a bfloat16 scale for each block."""
    parts = weights.reshape(len(weights), -1, block)
    scales = bfloat16(np.abs(parts).max(axis=2, keepdims=True) / 7)
    whole = np.clip(np.rint(parts / np.where(scales > 0, scales, 1)), -7, 7)
    return np.asarray(whole * scales, np.float32).reshape(weights.shape)


def model_of(kernel: Floats, bias: Floats, activation: str | None) -> tf_keras.Model:
    """A dense layer, (inputs, outputs)."""
    inputs, outputs = kernel.shape
    dense = layers.Dense(outputs, activation=activation, name="dense")
    model = tf_keras.Sequential([layers.InputLayer((inputs,)), dense])
    dense.set_weights([kernel, bias])
    return model


def weights_in(content: bytes, block: int) -> tuple[Floats, Floats]:
    """The weights of a file's only FULLY_CONNECTED, unpacked by hand, and their scales."""
    file, tensor = kernel_of(content, "FULLY_CONNECTED")
    (graph,) = file.subgraphs
    assert tensor.type == schema.TensorType.INT4
    assert tensor.quantization.details.blockSize == block
    scales = graph.tensors[tensor.quantization.details.scales]
    assert scales.type == schema.TensorType.FLOAT16
    each = np.asarray(file.buffers[scales.buffer].data, np.uint8).view(np.float16)
    sizes = flat.shape(tensor)
    raw = np.asarray(file.buffers[tensor.buffer].data, np.uint8)
    values = unpack(raw, 4, int(np.prod(sizes))).reshape(-1, block)
    real = values * each.astype(np.float32)[:, None]
    return real.reshape(sizes), each.astype(np.float32).reshape(flat.shape(scales))


@pytest.mark.parametrize("block", [32, 64, 128, 256])
@pytest.mark.parametrize("zeros", [0.0, 0.9, 0.995])
def test_weights_on_blocks_are_found_again(block: int, zeros: float) -> None:
    """To the last bit, however few weights of a block are not zero."""
    weights = on_blocks(drawn(6, 512, zeros), block)
    grid = blocks.exact(weights, block)
    assert grid is not None
    assert grid.is_exact
    assert grid.scales.shape == (6, 512 // block)
    assert np.abs(grid.values).max() <= 7
    np.testing.assert_array_equal(
        (grid.values.reshape(6, -1, block) * grid.scales[..., None]).reshape(6, 512), weights
    )


def test_channels_that_were_multiplied_are_the_same_integers() -> None:
    """As by a BatchNormalization that was folded into them; their scales are rounded alone."""
    weights = on_blocks(drawn(4, 64), 32)
    factors = np.random.default_rng(1).uniform(0.5, 2, (4, 1)).astype(np.float32)
    plain, folded = blocks.exact(weights, 32), blocks.exact(weights * factors, 32)
    assert plain is not None
    assert folded is not None
    np.testing.assert_array_equal(plain.values, folded.values)
    np.testing.assert_allclose(folded.scales, plain.scales * factors, rtol=2.0**-8)


def test_other_weights_are_on_no_blocks_and_are_rounded_without_clipping() -> None:
    """By half a step at most; a block of zeros has the scale of the one before."""
    weights = drawn(4, 128)
    weights[1, 32:64] = 0
    assert blocks.exact(weights, 32) is None
    grid = blocks.rounded(weights, 32)
    assert not grid.is_exact
    real = grid.values.reshape(4, 4, 32) * grid.scales[..., None]
    assert (np.abs(real - weights.reshape(4, 4, 32)) <= grid.scales[..., None] / 2 + 1e-9).all()
    assert grid.scales[1, 1] == grid.scales[1, 0]
    np.testing.assert_array_equal(grid.scales, grid.scales.astype(np.float16))
    np.testing.assert_array_equal(grid.scales, bfloat16(grid.scales))


def test_scales_are_normal_numbers_of_float16() -> None:
    """Also those of weights that are all zeros, or so small that float16 would lose the scale."""
    for weights in (np.zeros((4, 64), np.float32), 1e-7 * drawn(4, 64), 1e-42 * drawn(4, 64)):
        exact = blocks.exact(weights.astype(np.float32), 32)
        for grid in (exact, blocks.rounded(weights.astype(np.float32), 32)):
            if grid is not None:
                assert grid.scales.min() >= blocks.LEAST == np.finfo(np.float16).tiny
                assert np.isfinite(grid.scales.astype(np.float16)).all()


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("options", [{}, {"slim": True}, {"slim": True, "batch_size": 1}])
@pytest.mark.parametrize(("block", "outputs", "zeros"), [(32, 5, 0.9), (64, 8, 0.0)])
def test_a_file_has_keras_weights_and_computes_them(
    tmp_path: Path,
    block: int,
    outputs: int,
    zeros: float,
    options: dict[str, object],
    activation: str | None,
) -> None:
    """XNNPACK and the built-in kernels, within the rounding of activations to 8 bits."""
    weights = drawn(outputs, 192, zeros)
    weights[1, 64:128] = 0
    kernel = on_blocks(weights, block)
    bias = bfloat16(np.linspace(-1, 1, outputs).astype(np.float32))
    model = model_of(kernel.T, bias, activation)
    x = np.random.default_rng(2).uniform(-1, 2, (5, 192)).astype(np.float32)
    path = tmp_path / "blocks.tflite"
    config = variant("dynamic_range", weight_bits=4, blockwise=block, **options)
    result = small_file(model, config, (x,), path)
    assert result is not None
    (record,) = result.kernels
    assert record.is_lossless
    assert (record.bits, record.block_size, record.reason) == (4, block, "")
    assert record.scales == outputs * 192 // block
    assert record.zeros == (kernel == 0).sum()
    assert list(result.opened_by) == ["xnnpack", "builtin"]
    assert any("reference kernels answer with zeros" in it for it in result.notes)
    content = path.read_bytes()
    real, scales = weights_in(content, block)
    np.testing.assert_array_equal(real, kernel)
    assert scales.min() >= blocks.LEAST
    assert found_in_file(path, kernel) == (0.0, real.min())
    assert arena_bytes(content) < 4 * (192 + 2 * outputs) + 48
    wanted = x @ kernel.T + bias
    wanted = np.maximum(wanted, 0) if activation else wanted
    for resolver in ("xnnpack", "builtin"):
        (answer,) = predictor(path, model.input_names, model.output_names, 1, resolver)([x])
        assert np.abs(answer - wanted).max() <= 0.02 * np.abs(wanted).max()


def test_an_untrained_sparse_model_loads(tmp_path: Path) -> None:
    """Nine weights of ten are zeros, and so are whole blocks; the weights are rounded."""
    kernel = drawn(8, 256, 0.9)
    kernel[:, :64] = 0
    model = model_of(kernel.T, np.zeros(8, np.float32), None)
    x = drawn(3, 256, seed=4)
    path = tmp_path / "blocks.tflite"
    found = small_file(
        model, variant("dynamic_range", weight_bits=4, blockwise=32, aware=False), (x,), path
    )
    assert found is not None
    (record,) = found.kernels
    assert not record.is_lossless
    assert record.reason.startswith("rounded to 4 bits in blocks of 32")
    real, _ = weights_in(path.read_bytes(), 32)
    assert np.abs(real - kernel).max() <= np.abs(kernel).max() / 14 * 1.01
    (answer,) = predictor(path, model.input_names, model.output_names, 1)([x])
    wanted = x @ real.T
    assert np.abs(answer - wanted).max() <= 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("inputs", "outputs", "why"),
    [
        (48, 8, "its rows have 48 weights, which is no multiple of 32"),
        (64, 3, "it has 3 rows, and LiteRT's built-in kernels compute 4 or more"),
    ],
)
def test_what_has_no_blocks_says_why(tmp_path: Path, inputs: int, outputs: int, why: str) -> None:
    """It has a scale for each channel; the file says that it has no blocks at all."""
    model = model_of(drawn(inputs, outputs), np.zeros(outputs, np.float32), None)
    config = variant("dynamic_range", weight_bits=4, blockwise=32, aware=False)
    made = Making(proves=False)
    path = tmp_path / "x.tflite"
    found = small_file(model, config, (drawn(2, inputs),), path, made)
    assert found is not None
    assert found.kernels[0].reason.endswith(f"no blocks: {why}")
    assert (found.kernels[0].scales, found.kernels[0].block_size) == (outputs, None)
    assert f"dense has no scales for blocks of 32: {why}" in found.notes
    assert found.notes[-1] == "no kernel has scales for blocks of 32, though they were asked for"


def test_a_convolution_says_that_it_has_no_blocks(tmp_path: Path) -> None:
    """And the Dense layer beside it has them."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((6, 6, 2)),
            layers.Conv2D(4, 3, name="conv"),
            layers.Flatten(),
            layers.Dense(6, name="dense"),
        ]
    )
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype(np.float32)
    config = variant("dynamic_range", weight_bits=4, blockwise=32, aware=False)
    found = small_file(model, config, (x,), tmp_path / "x.tflite", Making(proves=False))
    assert found is not None
    conv, dense = found.kernels
    assert conv.reason.endswith("no blocks: CONV_2D has no kernel that takes them")
    assert (conv.block_size, dense.block_size, dense.scales) == (None, 32, 12)


def test_weights_are_named_in_files_of_floats() -> None:
    """A float file has no blocks."""
    model = model_of(drawn(32, 4), np.zeros(4, np.float32), None)
    file, tensor = kernel_of(floats(model), "FULLY_CONNECTED")
    assert blocks.details_of(tensor) is None
    assert blocks.scale_count(file, file.subgraphs[0], tensor) == 0
