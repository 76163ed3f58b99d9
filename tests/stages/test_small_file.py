"""A variant's file is as small as asked, is what the result says, and computes what Keras does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from job.manifest.quantize import QuantizeConfig
from job.stages.packings import encoded_size
from job.stages.quantize import quantize
from job.stages.small_file import Making, is_rewritten, small_file
from job.tflite import flat
from job.tflite.interpret import predictor
from job.tflite.tidy import without_unused_buffers
from tests.support.flat import kernel_of, on_grid, pictures, small_model, variant

BASELINE = Path(__file__).parents[2] / "manifests/quickstart/mnist_baseline.h5"
PLAIN: list[QuantizeConfig] = [
    variant(it) for it in ("float32", "float16", "dynamic_range", "int8")
]


@pytest.mark.parametrize("config", PLAIN, ids=lambda it: it.type)
def test_who_asks_for_nothing_gets_the_converters_bytes(
    tmp_path: Path, config: QuantizeConfig
) -> None:
    """No byte differs from the converter's file."""
    model, rows = small_model(8), (pictures(20),)
    quantize(model, config, rows, tmp_path / "a.tflite")
    assert not is_rewritten(config)
    path = tmp_path / "b.tflite"
    assert small_file(model, config, rows, path, Making(calibration=rows)) is None
    assert path.read_bytes() == (tmp_path / "a.tflite").read_bytes()


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("options", [{}, {"slim": True}, {"slim": True, "batch_size": 1}])
def test_the_result_says_what_is_in_the_file(
    tmp_path: Path, bits: int, options: dict[str, Any]
) -> None:
    """Bits, zeros and distinct values, counted anew; outputs within the rounding of activations."""
    model, x = small_model(bits), pictures(9)
    path = tmp_path / "small.tflite"
    config = variant("dynamic_range", weight_bits=bits, per_channel=False, **options)
    found = small_file(model, config, (x,), path, Making({"conv": max(bits, 4)}))
    assert found is not None
    for record, kind in zip(found.kernels, ("CONV_2D", "FULLY_CONNECTED"), strict=True):
        file, tensor = kernel_of(path.read_bytes(), kind)
        values = flat.constant(file, tensor)
        assert values is not None
        assert record.operator == kind
        assert record.bits == flat.PACKED.get(tensor.type, 8)
        assert record.is_lossless
        assert record.distinct == np.unique(values).size
        assert (record.zeros, record.elements) == ((values == 0).sum(), values.size)
    assert [it.layer for it in found.kernels] == ["conv", "dense"]
    assert [it.asked_bits for it in found.kernels] == [max(bits, 4), bits]
    assert min(found.tried.values()) == encoded_size(path.read_bytes())
    assert max(found.opened_by.values()) < 0.05
    (answer,) = predictor(path, model.input_names, model.output_names, 1)([x])
    wanted = model(x).numpy()
    assert np.abs(answer - wanted).max() <= 0.03 * np.abs(wanted).max()


def test_the_result_counts_what_is_left_without_dead_units(tmp_path: Path) -> None:
    """Its kernels are those of the file that was written, not of the model."""
    model, path = small_model(4), tmp_path / "small.tflite"
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[..., [0, 3]], bias[[0, 3]] = 0, -0.1
    model.get_layer("conv").set_weights([kernel, bias])
    config = variant("dynamic_range", weight_bits=4, slim=True, batch_size=1)
    found = small_file(model, config, (pictures(9),), path)
    assert found is not None
    assert [it.elements for it in found.kernels] == [4 * 3 * 3 * 2, 5 * 6 * 6 * 4]
    assert any("2 of 6 of conv" in it for it in found.notes)
    assert min(found.tried.values()) == encoded_size(path.read_bytes())


def test_the_same_model_gives_the_same_file(tmp_path: Path) -> None:
    """Packing and slimming are deterministic."""
    config = variant("dynamic_range", weight_bits=4, slim=True, batch_size=1)
    contents = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.tflite"
        small_file(small_model(4), config, (pictures(3),), path, Making(proves=False))
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_fewer_bits_and_a_slim_file_are_smaller(tmp_path: Path) -> None:
    """A slim ternary file takes a fraction of the converter's."""
    path = tmp_path / "x.tflite"
    rows = (pictures(3),)
    quantize(small_model(2), variant("dynamic_range"), (), path)
    before = encoded_size(path.read_bytes())
    config = variant("dynamic_range", weight_bits=2, slim=True, batch_size=1)
    small_file(small_model(2), config, rows, path, Making({"conv": 4}, proves=False))
    assert encoded_size(path.read_bytes()) < 0.55 * before


def entropy_bytes(values: flat.Array) -> float:
    """The entropy of integers by their histogram, in bytes."""
    counts = np.unique(values, return_counts=True)[1]
    return float(-(counts * np.log2(counts / values.size)).sum() / 8)


def tutorials(nonzeros: int, bits: int) -> tf_keras.Model:
    """The tutorial's model: the largest dense weights on a grid of few bits, a 4-bit convolution,
    neither of them trained.
    """
    model = tf_keras.models.load_model(BASELINE, compile=False)
    convolution, dense = (it for it in model.layers if it.weights)
    kernel, bias = convolution.get_weights()
    convolution.set_weights([on_grid(kernel, 4, per_channel=False), bias])
    kernel, bias = dense.get_weights()
    least = np.sort(np.abs(kernel), axis=None)[-nonzeros]
    kept = np.where(np.abs(kernel) >= least, kernel, 0)
    values = np.sign(kept) * 0.5 if bits == 2 else on_grid(kept, bits, per_channel=False)
    dense.set_weights([values, bias])
    return model


@pytest.mark.parametrize("nonzeros", [600, 1000, 2000])
@pytest.mark.parametrize("bits", [4, 2])
def test_low_bit_weights_take_little_more_than_their_entropy(
    tmp_path: Path, bits: int, nonzeros: int
) -> None:
    """At most 1.25 times, beside what the same file takes with zeros for its weights."""
    model = tutorials(nonzeros, bits)
    rows = (np.random.default_rng(0).uniform(0, 1, (4, 28, 28)).astype(np.float32),)
    config = variant("dynamic_range", weight_bits=bits, per_channel=False, slim=True, batch_size=1)
    path = tmp_path / "small.tflite"
    made = Making({"conv2d": 4}, proves=False)
    found = small_file(model, config, rows, path, made)
    assert found is not None
    dense = found.kernels[1]
    assert nonzeros * 0.7 <= dense.elements - dense.zeros <= nonzeros
    file = flat.read(path.read_bytes())
    entropy = 0.0
    for graph, operator in flat.operators(file):
        if flat.kind(file, operator) in ("CONV_2D", "FULLY_CONNECTED"):
            tensor = graph.tensors[operator.inputs[1]]
            values = flat.constant(file, tensor)
            assert values is not None
            entropy += entropy_bytes(values)
            flat.with_buffer(file, tensor, np.zeros_like(file.buffers[tensor.buffer].data))
    without_unused_buffers(file)
    structure = encoded_size(flat.write(file))
    assert encoded_size(path.read_bytes()) <= structure + 1.25 * entropy
