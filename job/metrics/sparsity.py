"""Sparsity: the zeros among the weights of kernels, in a Keras model and in a ``.tflite``.

Kernels are what inputs are multiplied with, and the tables of embeddings: weights of two or more
dimensions that are not a bias (a GRU's has two), a normalization or the slope of an activation. In
a quantized tensor a zero is a value at the zero point.

In a ``.tflite``, dtype and shape do not tell kernels from paddings, shapes, states that begin as
zeros, or constants that the converter computed. So they are found by their use: the weights of a
convolution, a matrix product or a recurrent operator, and the table that rows are looked up in.
Between the constant and that place there may be operators that keep the values: the float16 files
have a DEQUANTIZE for each kernel, and a loop passes its kernels to the graph of its body.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from job.metrics.litert import zero_point
from job.metrics.quality import Array
from job.tflite import flat
from job.tflite.weights import WEIGHTS

Operator = schema.BuiltinOperator

# The names of weights that are not kernels, however many dimensions they have.
NO_KERNELS = (
    *("bias", "alpha", "gamma", "beta", "moving_mean", "moving_variance", "mean", "variance"),
    *("count", "seed_generator_state"),
)
# Operators whose output has the values of an input -> which input.
SAME_VALUES: dict[int, int] = {
    **dict.fromkeys((Operator.DEQUANTIZE, Operator.QUANTIZE, Operator.DENSIFY), 0),
    **dict.fromkeys((Operator.RESHAPE, Operator.EXPAND_DIMS, Operator.SQUEEZE), 0),
    **dict.fromkeys((Operator.TRANSPOSE, Operator.SLICE, Operator.STRIDED_SLICE), 0),
    **dict.fromkeys((Operator.SPLIT_V, Operator.UNPACK), 0),
    Operator.SPLIT: 1,
}


def zero_fraction(arrays: Iterable[Array]) -> float:
    """The fraction of zeros in all arrays together; 0 where there are no values."""
    zeros = total = 0
    for array in arrays:
        zeros += array.size - int(np.count_nonzero(array))
        total += array.size
    return zeros / total if total else 0.0


def model_sparsity(model: Any) -> float:
    """The fraction of zeros in the kernels of a Keras model, of Keras 2 or 3."""
    return zero_fraction(np.asarray(it) for it in model.weights if is_kernel(it))


def is_kernel(weight: Any) -> bool:
    """Whether a variable is a kernel, by its name and shape. In Keras 2 the name is a path,
    ``branch/dense/bias:0``; in Keras 3 it is the last part.
    """
    name = weight.name.rpartition("/")[2].partition(":")[0]
    return len(weight.shape) >= 2 and name not in NO_KERNELS


def kernels(path: Path) -> list[Array]:
    """The kernels of a ``.tflite``, each once, relative to the zero point."""
    model = flat.read(path.read_bytes())
    found: dict[int, Array] = {}
    for tensor, _ in kernel_tensors(model):
        if tensor.buffer not in found:
            found[tensor.buffer] = _values(model, tensor)
    return list(found.values())


def kernel_tensors(model: Any) -> Iterator[tuple[Any, bytes]]:
    """The constant tensors that are kernels, for each use: the tensor, and the name of what is
    computed with it.
    """
    for graph, index, name in _weights(model):
        for place, constant in _constants(model, graph, index):
            tensor = model.subgraphs[place].tensors[constant]
            if tensor.shape is not None and len(tensor.shape) >= 2:
                yield tensor, name


def _weights(model: Any) -> Iterator[tuple[int, int, bytes]]:
    """The tensors that are used as weights: (subgraph, tensor, name of the operator's output)."""
    for place, graph in enumerate(model.subgraphs):
        for operator in graph.operators or []:
            name = graph.tensors[operator.outputs[0]].name or b""
            for index in WEIGHTS.get(flat.code(model, operator), ()):
                if index < len(operator.inputs) and operator.inputs[index] >= 0:
                    yield place, int(operator.inputs[index]), name


def _constants(model: Any, place: int, tensor: int) -> Iterator[tuple[int, int]]:
    """The constants that a tensor's values come from: itself, or those passed on to it."""
    graph = model.subgraphs[place]
    if _is_constant(model, graph.tensors[tensor]):
        yield place, tensor
        return
    for operator in graph.operators or []:
        if tensor in operator.outputs:
            source = SAME_VALUES.get(flat.code(model, operator))
            if source is not None:
                yield from _constants(model, place, int(operator.inputs[source]))
            return
    if tensor in graph.inputs and place:
        position = list(graph.inputs).index(tensor)
        for caller, outer in _calls(model, place, position):
            yield from _constants(model, caller, outer)


def _calls(model: Any, place: int, position: int) -> Iterator[tuple[int, int]]:
    """What loops pass to an argument of a subgraph that is their body."""
    for caller, graph in enumerate(model.subgraphs):
        for operator in graph.operators or []:
            body = getattr(operator.builtinOptions, "bodySubgraphIndex", None)
            if body == place and caller != place:
                yield caller, int(operator.inputs[position])


def _is_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0 and not tensor.isVariable


def _values(model: Any, tensor: Any) -> Array:
    values = flat.constant(model, tensor)
    assert values is not None  # it was looked for among constants
    point = zero_point(tensor)
    return values - np.asarray(point, dtype=np.int32) if point else values
