"""What is written is what was read, aligned, with constants in any packing."""

from __future__ import annotations

import numpy as np
import pytest

from job.tflite import flat
from job.tflite.interpret import predictor
from tests.support.flat import floats, kernel_of, pictures, small_model


def test_a_rewritten_file_computes_the_same() -> None:
    """All of the model goes through, and buffers are aligned as the schema asks."""
    model = small_model(8)
    content = floats(model)
    written = flat.write(flat.read(content))
    names = model.input_names, model.output_names
    before, after = (predictor(it, *names, 1)([pictures(3)])[0] for it in (content, written))
    np.testing.assert_array_equal(before, after)
    assert flat.write(flat.read(written)) == written
    for buffer in flat.read(written).buffers:
        data = b"" if buffer.data is None else np.asarray(buffer.data).tobytes()
        if len(data) > 100:
            assert written.find(data) % 16 == 0


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_integers_are_read_back_as_they_were_written(bits: int) -> None:
    """In the tensor's shape, with their scales."""
    model, tensor = kernel_of(floats(small_model(8)), "FULLY_CONNECTED")
    sizes = flat.shape(tensor)
    values = np.random.default_rng(0).integers(-1, 2, sizes).astype(np.int8)
    scales = np.linspace(0.1, 1, sizes[0]).astype(np.float32)
    flat.with_integers(model, tensor, values, scales, 0, bits)
    _, found = kernel_of(flat.write(model), "FULLY_CONNECTED")
    assert found.type == flat.INTEGERS[bits]
    read, there = kernel_of(flat.write(model), "FULLY_CONNECTED")
    np.testing.assert_array_equal(flat.constant(read, there), values)
    np.testing.assert_array_equal(there.quantization.scale, scales)


def test_operators_of_one_code_may_have_different_versions() -> None:
    """The code of the others stays; the same version has the same code."""
    model = flat.read(floats(small_model(8)))
    (operator,) = [it for _, it in flat.operators(model) if flat.kind(model, it) == "CONV_2D"]
    before = len(model.operatorCodes)
    flat.set_version(model, operator, 5)
    assert model.operatorCodes[operator.opcodeIndex].version == 5
    flat.set_version(model, operator, 5)
    assert len(model.operatorCodes) == before + 1
    assert flat.kind(model, operator) == "CONV_2D"
