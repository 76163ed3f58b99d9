"""The kernels in a ``.tflite``: the constants that operators use as their weights.

By dtype and shape alone they can't be told from paddings, shapes, states that begin as zeros, or
constants that the converter has computed. So they are found by where they are used: the weights of
a convolution, a matrix product, a recurrent operator, and the table that rows are looked up in.
Between the constant and that place there may be operators that keep the values: the float16 files
have a DEQUANTIZE for each kernel, and a loop hands its kernels to the graph of its body.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from job.metrics.litert import DTYPES

Array = NDArray[np.generic]
Operator = schema.BuiltinOperator

# Operator -> which of its inputs are weights.
WEIGHTS: dict[int, tuple[int, ...]] = {
    Operator.CONV_2D: (1,),
    Operator.DEPTHWISE_CONV_2D: (1,),
    Operator.TRANSPOSE_CONV: (1,),
    Operator.CONV_3D: (1,),
    Operator.CONV_3D_TRANSPOSE: (1,),
    Operator.FULLY_CONNECTED: (1,),
    Operator.BATCH_MATMUL: (0, 1),
    Operator.GATHER: (0,),
    Operator.EMBEDDING_LOOKUP: (1,),
    Operator.RNN: (1, 2),
    Operator.UNIDIRECTIONAL_SEQUENCE_RNN: (1, 2),
    # For each of the four gates, from the input and from the state; the projection.
    Operator.LSTM: (*range(1, 9), 16),
    Operator.UNIDIRECTIONAL_SEQUENCE_LSTM: (*range(1, 9), 16),
}
# Operators whose output has the values of their first input; of SPLIT it is the second.
SAME_VALUES: dict[int, int] = {
    Operator.DEQUANTIZE: 0,
    Operator.QUANTIZE: 0,
    Operator.RESHAPE: 0,
    Operator.EXPAND_DIMS: 0,
    Operator.SQUEEZE: 0,
    Operator.TRANSPOSE: 0,
    Operator.DENSIFY: 0,
    Operator.SPLIT: 1,
    Operator.SPLIT_V: 0,
    Operator.UNPACK: 0,
    Operator.SLICE: 0,
    Operator.STRIDED_SLICE: 0,
}


def kernels(path: Path) -> list[Array]:
    """The kernels of a file, each once, as values where zero is zero."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    found: dict[int, Array] = {}
    for graph, index in _weights(model):
        for place, constant in _constants(model, graph, index):
            tensor = model.subgraphs[place].tensors[constant]
            if tensor.shape is not None and len(tensor.shape) >= 2:
                found.setdefault(tensor.buffer, _values(model, tensor))
    return list(found.values())


def _weights(model: Any) -> Iterator[tuple[int, int]]:
    """Where weights are: a subgraph, and a tensor of it."""
    for place, graph in enumerate(model.subgraphs):
        for operator in graph.operators or []:
            for index in WEIGHTS.get(_code(model, operator), ()):
                if index < len(operator.inputs) and operator.inputs[index] >= 0:
                    yield place, int(operator.inputs[index])


def _constants(model: Any, place: int, tensor: int) -> Iterator[tuple[int, int]]:
    """The constants that a tensor has its values from: itself, or what was handed on to it."""
    graph = model.subgraphs[place]
    if _is_constant(model, graph.tensors[tensor]):
        yield place, tensor
        return
    for operator in graph.operators or []:
        if tensor in operator.outputs:
            source = SAME_VALUES.get(_code(model, operator))
            if source is not None:
                yield from _constants(model, place, int(operator.inputs[source]))
            return
    if tensor in graph.inputs and place:
        position = list(graph.inputs).index(tensor)
        for caller, outer in _calls(model, place, position):
            yield from _constants(model, caller, outer)


def _calls(model: Any, place: int, position: int) -> Iterator[tuple[int, int]]:
    """What loops hand to an argument of a subgraph that is their body."""
    for caller, graph in enumerate(model.subgraphs):
        for operator in graph.operators or []:
            body = getattr(operator.builtinOptions, "bodySubgraphIndex", None)
            if body == place and caller != place:
                yield caller, int(operator.inputs[position])


def _code(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def _is_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0 and not tensor.isVariable


def _values(model: Any, tensor: Any) -> Array:
    data = np.asarray(model.buffers[tensor.buffer].data)
    values = data.view(DTYPES[tensor.type]).reshape([int(size) for size in tensor.shape])
    points = tensor.quantization.zeroPoint if tensor.quantization else None
    if points is None or not len(points) or not int(points[0]):
        return values
    return values - np.asarray(points[0], dtype=np.int32)
