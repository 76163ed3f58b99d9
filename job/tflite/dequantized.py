"""Integer weights that are computed with in float: a DEQUANTIZE between a constant and its users.

Any operator takes such weights, and any runtime that has its float kernel. The interpreter makes
the floats when it first runs the file, and keeps them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from job.tflite import flat
from job.tflite.grid import Grid

DEQUANTIZE = schema.BuiltinOperator.DEQUANTIZE
# Versions of the operator: for int8 of one scale, for float16, and for a scale for each channel.
ONE_SCALE, HALVES, PER_CHANNEL = 2, 3, 5
BITS = 8


def of_integers(model: Any, graph: Any, index: int, grid: Grid, axis: int) -> None:
    """Store a constant as int8, and give those that read it the floats that the integers stand for.

    Args:
        model: The model.
        graph: Its graph that the constant is in.
        index: The constant's place among the graph's tensors.
        grid: Its integers, in its shape, and their scales.
        axis: The axis of the channels.
    """
    _behind(model, graph, index, "int8", PER_CHANNEL if grid.scales.size > 1 else ONE_SCALE)
    flat.with_integers(model, graph.tensors[index], grid.values, grid.scales, axis, BITS)


def _behind(model: Any, graph: Any, index: int, stored_as: str, version: int) -> None:
    """Put a DEQUANTIZE between a constant and all that read it."""
    tensor = graph.tensors[index]
    floats = schema.TensorT(
        shape=tensor.shape, type=schema.TensorType.FLOAT32, name=tensor.name, hasRank=tensor.hasRank
    )
    if tensor.name:
        tensor.name += f"/{stored_as}".encode()
    graph.tensors.append(floats)
    place = len(graph.tensors) - 1
    for it in graph.operators:
        it.inputs = _replaced(it.inputs, index, place)
    graph.outputs = _replaced(graph.outputs, index, place)
    operator = schema.OperatorT(
        inputs=np.array([index], np.int32), outputs=np.array([place], np.int32)
    )
    flat.set_code(model, operator, DEQUANTIZE, version)
    graph.operators.insert(0, operator)


def of_halves(model: Any, graph: Any, index: int) -> None:
    """Store a float32 constant as float16, and give those that read it the floats again.

    Args:
        model: The model.
        graph: Its graph that the constant is in.
        index: The constant's place among the graph's tensors.
    """
    values = flat.constant(model, graph.tensors[index])
    assert values is not None  # it is a constant
    _behind(model, graph, index, "float16", HALVES)
    tensor = graph.tensors[index]
    flat.with_buffer(model, tensor, values.astype(np.float16))
    tensor.type = schema.TensorType.FLOAT16


def stored(model: Any, graph: Any, index: int) -> int:
    """The place of the tensor that a weight is stored in: its own, or that before a DEQUANTIZE."""
    for operator in graph.operators or []:
        if index in operator.outputs and flat.code(model, operator) == DEQUANTIZE:
            return int(operator.inputs[0])
    return index


def _replaced(indices: Any, old: int, new: int) -> Any:
    given = np.asarray(indices, np.int32)
    return np.where(given == old, new, given).astype(np.int32)
