"""Chains: two operators with kernels, the second of which alone reads what the first computes.

Between them each channel is computed by itself. So a unit, an output channel of the first kernel,
can be followed to the weights of the second one that it is multiplied with.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from job.tflite import flat
from job.tflite.bits import pack
from job.tflite.runtimes import BIAS, WEIGHTS

Activation = schema.ActivationFunctionType
# Operators whose kernels have units here.
KINDS = ("FULLY_CONNECTED", "CONV_2D")
# Operators in between that compute each channel by itself, and zeros from zeros.
RESHAPING = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "MEAN")
CHANNELWISE = (
    *("MAX_POOL_2D", "AVERAGE_POOL_2D", "RELU", "RELU6", "LEAKY_RELU", "TANH"),
    *RESHAPING,
)
# Activations that map numbers that are not above 0 to 0; and those that map 0 to 0.
CUTS = (Activation.RELU, Activation.RELU6)
KEEPS_ZERO = (Activation.NONE, *CUTS, Activation.RELU_N1_TO_1, Activation.TANH)


@dataclass(frozen=True)
class Chain:
    """Two operators with kernels, and what is computed between them."""

    graph: Any
    writer: Any
    reader: Any
    between: tuple[Any, ...]
    """Operators."""
    tensors: tuple[int, ...]
    """From the writer's output to the reader's input."""


def chains_of(model: Any) -> Iterator[Chain]:
    """The chains of a model, in the order of their writers."""
    for graph, operator in flat.operators(model):
        if not _has_units(model, graph, operator):
            continue
        between: list[Any] = []
        tensors = [int(operator.outputs[0])]
        reader = _only_reader(graph, tensors[-1])
        while reader is not None and _is_channelwise(model, graph, reader):
            between.append(reader)
            tensors.append(int(reader.outputs[0]))
            reader = _only_reader(graph, tensors[-1])
        if reader is None or not _has_units(model, graph, reader):
            continue
        chain = Chain(graph, operator, reader, tuple(between), tuple(tensors))
        if _fits(model, chain):
            yield chain


def _only_reader(graph: Any, tensor: int) -> Any | None:
    """The operator that takes a tensor as its first input; None where anything else reads it."""
    if tensor in graph.outputs or tensor in graph.inputs or graph.tensors[tensor].isVariable:
        return None
    readers = [it for it in graph.operators for index in it.inputs if int(index) == tensor]
    return readers[0] if len(readers) == 1 and int(readers[0].inputs[0]) == tensor else None


def _has_units(model: Any, graph: Any, operator: Any) -> bool:
    """Whether an operator has a kernel of its own that can be read and written."""
    if flat.kind(model, operator) not in KINDS or len(operator.inputs) <= WEIGHTS:
        return False
    index = int(operator.inputs[WEIGHTS])
    tensor = graph.tensors[index]
    quantization = tensor.quantization
    points = None if quantization is None else quantization.zeroPoint
    is_plain = quantization is None or (
        quantization.details is None and not quantization.quantizedDimension
    )
    is_shuffled = getattr(operator.builtinOptions, "weightsFormat", 0) != 0
    users = sum(int(it) == index for other in graph.operators for it in other.inputs)
    return (
        is_plain
        and not is_shuffled
        and tensor.sparsity is None
        and (points is None or not np.any(points))
        and users == 1
        and index not in graph.outputs
        and flat.constant(model, tensor) is not None
    )


def _is_channelwise(model: Any, graph: Any, operator: Any) -> bool:
    """Whether an operator's last axis holds the channels of that of its input, or repeats them."""
    kind = flat.kind(model, operator)
    if kind not in CHANNELWISE:
        return False
    if getattr(operator.builtinOptions, "fusedActivationFunction", 0) not in KEEPS_ZERO:
        return False
    given = flat.shape(graph.tensors[operator.inputs[0]])
    if kind == "RESHAPE":  # a shape that is a tensor may have other users
        sizes = getattr(operator.builtinOptions, "newShape", None)
        return len(operator.inputs) == 1 and sizes is not None and len(sizes) > 0
    if kind in RESHAPING:
        if kind == "MEAN":
            axes = flat.constant(model, graph.tensors[operator.inputs[1]])
            return axes is not None and not any(
                int(axis) % len(given) == len(given) - 1 for axis in axes.reshape(-1)
            )
        return flat.shape(graph.tensors[operator.outputs[0]])[-1:] == given[-1:]
    return True


def _fits(model: Any, chain: Chain) -> bool:
    """Whether the channels can be followed from the writer's kernel to the reader's."""
    graph = chain.graph
    units = weights_of(model, graph, chain.writer).shape[0]
    if flat.kind(model, chain.writer) == "CONV_2D":
        given = flat.shape(graph.tensors[chain.writer.inputs[0]])
        if given[-1] != weights_of(model, graph, chain.writer).shape[-1]:
            return False  # groups
    shapes = [flat.shape(graph.tensors[index]) for index in chain.tensors]
    read = weights_of(model, graph, chain.reader).shape[-1]
    is_convolution = flat.kind(model, chain.reader) == "CONV_2D"
    return (
        all(it and it[-1] % units == 0 for it in shapes)
        and shapes[0][-1] == units
        and read % units == 0
        and (not is_convolution or read == shapes[-1][-1])
        and not graph.tensors[chain.tensors[-1]].sparsity
    )


def weights_of(model: Any, graph: Any, operator: Any) -> flat.Array:
    """The integers or floats of an operator's kernel, output channels first."""
    values = flat.constant(model, graph.tensors[operator.inputs[WEIGHTS]])
    assert values is not None  # _has_units
    return values


def bias_of(operator: Any) -> int | None:
    """The tensor of an operator's bias; None where it has none."""
    is_there = len(operator.inputs) > BIAS and operator.inputs[BIAS] >= 0
    return int(operator.inputs[BIAS]) if is_there else None


def with_units(model: Any, chain: Chain, units: NDArray[np.intp]) -> None:
    """Give both kernels, the bias, scales and shapes some of their units, in some order.

    Args:
        model: The file, which is changed.
        chain: One of its chains.
        units: Which units, by their places, each once.
    """
    graph = chain.graph
    before = weights_of(model, graph, chain.writer).shape[0]
    _take(model, graph.tensors[chain.writer.inputs[WEIGHTS]], units, axis=0)
    bias = bias_of(chain.writer)
    if bias is not None:
        own = copy.deepcopy(graph.tensors[bias])  # others may have the same one
        graph.tensors.append(own)
        chain.writer.inputs = np.asarray(chain.writer.inputs, np.int32).copy()
        chain.writer.inputs[BIAS] = len(graph.tensors) - 1
        _take(model, own, units, axis=0)
    weights = graph.tensors[chain.reader.inputs[WEIGHTS]]
    last = len(flat.shape(weights)) - 1
    starts = np.arange(0, flat.shape(weights)[-1], before)
    _take(model, weights, (starts[:, None] + units).reshape(-1), axis=last)
    for index in chain.tensors:
        _resize(graph.tensors[index], "shape", before, len(units))
        _resize(graph.tensors[index], "shapeSignature", before, len(units))
    for operator in chain.between:
        if flat.kind(model, operator) == "RESHAPE":
            _resize(operator.builtinOptions, "newShape", before, len(units))


def _take(model: Any, tensor: Any, places: NDArray[np.intp], axis: int) -> None:
    """Take some places along an axis of a constant; along the first, of their scales, too."""
    values = flat.constant(model, tensor)
    assert values is not None  # it was looked at before
    taken = np.ascontiguousarray(np.take(values, places, axis=axis))
    bits = flat.PACKED.get(tensor.type)
    flat.with_buffer(model, tensor, pack(taken.astype(np.int8), bits) if bits else taken)
    tensor.shape = np.asarray(taken.shape, np.int32)
    tensor.shapeSignature = None
    quantization = tensor.quantization
    for field in ("scale", "zeroPoint", "min", "max"):
        each = getattr(quantization, field, None)
        if axis == 0 and each is not None and len(each) == values.shape[0]:
            setattr(quantization, field, np.asarray(each)[places])


def _resize(holder: Any, field: str, before: int, after: int) -> None:
    """Give a shape's last axis other channels; an open one stays open."""
    sizes = getattr(holder, field)
    if sizes is None or not len(sizes) or sizes[-1] < 0:
        return
    other = np.asarray(sizes, np.int32).copy()
    other[-1] = other[-1] // before * after
    setattr(holder, field, other)
