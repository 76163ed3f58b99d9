"""Constants that are stored small and read as floats."""

from __future__ import annotations

import numpy as np
import pytest

from job.tflite import dequantized, flat
from job.tflite.grid import rounded
from job.tflite.interpret import RESOLVERS, predictor
from job.tflite.runtimes import oldest_runtime
from tests.support.flat import floats, kernel_of, pictures, small_model

NAMES = ["picture"], ["dense"]


def changed(*, per_channel: bool | None) -> tuple[bytes, dict[str, np.ndarray]]:
    """A file of floats with its kernels stored small, in float16 where no scales are asked for; and
    the floats that they stand for.
    """
    model = flat.read(floats(small_model(8)))
    (graph,) = model.subgraphs
    wanted = {}
    for kind in ("CONV_2D", "FULLY_CONNECTED"):
        (operator,) = [it for it in graph.operators if flat.kind(model, it) == kind]
        index = int(operator.inputs[1])
        values = flat.constant(model, graph.tensors[index])
        assert values is not None
        if per_channel is None:
            dequantized.of_halves(model, graph, index)
            wanted[kind] = values.astype(np.float16).astype(np.float32)
        else:
            grid = rounded(values.astype(np.float32), 0, 127, per_channel=per_channel)
            dequantized.of_integers(model, graph, index, grid, 0)
            scales = grid.scales.reshape([-1] + [1] * (values.ndim - 1))
            wanted[kind] = grid.values * scales
    return flat.write(model), wanted


@pytest.mark.parametrize("per_channel", [None, False, True])
def test_operators_read_the_floats_that_are_stored(per_channel: bool | None) -> None:
    """With every kind of kernels the outputs are those of a model with these weights."""
    content, wanted = changed(per_channel=per_channel)
    model = small_model(8)
    kernels = {
        "conv": wanted["CONV_2D"].transpose(1, 2, 3, 0),
        "dense": wanted["FULLY_CONNECTED"].T,
    }
    for name, kernel in kernels.items():
        model.get_layer(name).set_weights([kernel, model.get_layer(name).get_weights()[1]])
    rows = pictures(7)
    expected = model.predict(rows, verbose=0)
    for resolver in RESOLVERS:
        (found,) = predictor(content, *NAMES, 1, resolver)((rows,))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_where_a_weight_is_stored_is_found_behind_the_dequantize() -> None:
    """That of another one is where it is read."""
    content, _ = changed(per_channel=True)
    file, read = kernel_of(content, "FULLY_CONNECTED")
    (graph,) = file.subgraphs
    index = graph.tensors.index(read)
    assert flat.constant(file, read) is None
    tensor = graph.tensors[dequantized.stored(file, graph, index)]
    values = flat.constant(file, tensor)
    assert values is not None
    assert values.dtype == np.int8
    assert dequantized.stored(file, graph, int(graph.inputs[0])) == int(graph.inputs[0])


@pytest.mark.parametrize("per_channel", [None, False, True])
def test_the_oldest_runtime_runs_it(per_channel: bool | None) -> None:
    """DEQUANTIZE is an old operator."""
    assert oldest_runtime(changed(per_channel=per_channel)[0])[0] == "tflite-2.14"
