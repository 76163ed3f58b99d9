"""Dead units: output channels of a kernel that add nothing to what a file computes.

Between two kernels, where the tensor has no other reader, a unit is left out of both where

- it is always zero: its weights are zeros, and its activation maps its bias to 0; or
- nobody reads it: all weights of the next kernel for it are zeros.

Integer sums stay what they were. Float sums may be added up in another order, and an operator of
integer weights that quantizes floats by their largest magnitude may lose that very magnitude with a
unit that nobody reads. So whoever calls compares the outputs.
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
from job.tflite.runtimes import BIAS, WEIGHTS, is_newer, oldest

Mask = NDArray[np.bool_]
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
# How a name of a tensor ends that an operator of a kernel computes.
PRODUCTS = ("Conv2D", "Conv1D", "MatMul", "Tensordot", "BiasAdd")


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


def without_dead_units(model: Any) -> str:
    """Leave out units that are always zero, and those that nobody reads.

    Args:
        model: A file, which is changed.

    Returns:
        Of which layers how many units are gone; empty where none are.
    """
    return _without(model, takes_unread=True)


def without_zero_units(model: Any) -> str:
    """Leave out units that are always zero; otherwise like ``without_dead_units``."""
    return _without(model, takes_unread=False)


def _without(model: Any, *, takes_unread: bool) -> str:
    removed: dict[int, int] = {}
    before: dict[int, int] = {}
    writers: dict[int, tuple[Any, Any]] = {}
    is_changed = True
    while is_changed:  # what a unit had read may be read by nobody then
        is_changed = False
        for chain in reversed(list(_chains(model))):
            kept = _kept(model, chain, takes_unread=takes_unread)
            if kept.all() or not _still_runs(model, chain, kept):
                continue
            key = id(chain.writer)
            writers[key] = chain.graph, chain.writer
            before.setdefault(key, kept.size)
            removed[key] = removed.get(key, 0) + int((~kept).sum())
            _take_out(model, chain, kept)
            is_changed = True
    counts = [
        f"{count} of {before[key]} of {_layer(model, *writers[key])}"
        for key, count in reversed(removed.items())
    ]
    return ", ".join(counts)


def _chains(model: Any) -> Iterator[Chain]:
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
    units = _weights(model, graph, chain.writer).shape[0]
    if flat.kind(model, chain.writer) == "CONV_2D":
        given = flat.shape(graph.tensors[chain.writer.inputs[0]])
        if given[-1] != _weights(model, graph, chain.writer).shape[-1]:
            return False  # groups
    shapes = [flat.shape(graph.tensors[index]) for index in chain.tensors]
    read = _weights(model, graph, chain.reader).shape[-1]
    is_convolution = flat.kind(model, chain.reader) == "CONV_2D"
    return (
        all(it and it[-1] % units == 0 for it in shapes)
        and shapes[0][-1] == units
        and read % units == 0
        and (not is_convolution or read == shapes[-1][-1])
        and not graph.tensors[chain.tensors[-1]].sparsity
    )


def _kept(model: Any, chain: Chain, *, takes_unread: bool) -> Mask:
    """The units that stay, (units,); one at least."""
    weights = _weights(model, chain.graph, chain.writer)
    units = weights.shape[0]
    is_zero = np.asarray(~weights.reshape(units, -1).any(axis=1))
    activation = chain.writer.builtinOptions.fusedActivationFunction
    bias = _bias(chain.writer)
    if activation not in KEEPS_ZERO:
        is_zero[:] = False
    elif bias is not None:
        values = flat.constant(model, chain.graph.tensors[bias])
        if values is None:
            is_zero[:] = False
        else:
            numbers = np.asarray(values, np.float64)
            is_zero &= numbers <= 0 if activation in CUTS else numbers == 0
    is_dead = is_zero
    if takes_unread:
        read = _weights(model, chain.graph, chain.reader)
        is_dead = is_zero | ~read.reshape(-1, units).any(axis=0)
    kept = np.asarray(~is_dead)
    kept[0] |= is_dead.all()
    return kept


def _still_runs(model: Any, chain: Chain, kept: Mask) -> bool:
    """Whether runtimes that run the reader run it with shorter rows, too."""
    kind = flat.kind(model, chain.reader)
    tensor = chain.graph.tensors[chain.reader.inputs[WEIGHTS]]
    row = int(_weights(model, chain.graph, chain.reader)[0].size)
    bits = flat.PACKED.get(tensor.type, 8)
    scale = tensor.quantization.scale if tensor.quantization else None
    per_channel = scale is not None and len(scale) > 1
    needs = [
        oldest(kind, bits, per_channel=per_channel, row=it)
        for it in (row, row * int(kept.sum()) // kept.size)
    ]
    return needs[0] is None or needs[1] is None or not is_newer(needs[1], needs[0])


def _take_out(model: Any, chain: Chain, kept: Mask) -> None:
    """Leave units out of both kernels, the bias, scales and shapes."""
    graph = chain.graph
    _set(model, graph.tensors[chain.writer.inputs[WEIGHTS]], kept, axis=0)
    bias = _bias(chain.writer)
    if bias is not None:
        own = copy.deepcopy(graph.tensors[bias])  # others may have the same one
        graph.tensors.append(own)
        chain.writer.inputs = np.asarray(chain.writer.inputs, np.int32).copy()
        chain.writer.inputs[BIAS] = len(graph.tensors) - 1
        _set(model, own, kept, axis=0)
    weights = graph.tensors[chain.reader.inputs[WEIGHTS]]
    repeats = flat.shape(weights)[-1] // kept.size
    _set(model, weights, np.tile(kept, repeats), axis=len(flat.shape(weights)) - 1)
    for index in chain.tensors:
        _shorten(graph.tensors[index], "shape", kept)
        _shorten(graph.tensors[index], "shapeSignature", kept)
    for operator in chain.between:
        if flat.kind(model, operator) == "RESHAPE":
            _shorten(operator.builtinOptions, "newShape", kept)


def _set(model: Any, tensor: Any, kept: Mask, axis: int) -> None:
    """Keep some indices along an axis of a constant; along the first, their scales."""
    values = flat.constant(model, tensor)
    assert values is not None  # it was looked at before
    left = np.ascontiguousarray(np.compress(kept, values, axis=axis))
    bits = flat.PACKED.get(tensor.type)
    flat.with_buffer(model, tensor, pack(left.astype(np.int8), bits) if bits else left)
    tensor.shape = np.asarray(left.shape, np.int32)
    tensor.shapeSignature = None
    quantization = tensor.quantization
    for field in ("scale", "zeroPoint", "min", "max"):
        each = getattr(quantization, field, None)
        if axis == 0 and each is not None and len(each) == kept.size:
            setattr(quantization, field, np.asarray(each)[kept])


def _shorten(holder: Any, field: str, kept: Mask) -> None:
    """Give a shape's last axis the channels that are left; an open one stays open."""
    sizes = getattr(holder, field)
    if sizes is None or not len(sizes) or sizes[-1] < 0:
        return
    shorter = np.asarray(sizes, np.int32).copy()
    shorter[-1] = shorter[-1] // kept.size * int(kept.sum())
    setattr(holder, field, shorter)


def _weights(model: Any, graph: Any, operator: Any) -> flat.Array:
    values = flat.constant(model, graph.tensors[operator.inputs[WEIGHTS]])
    assert values is not None  # _has_units
    return values


def _bias(operator: Any) -> int | None:
    is_there = len(operator.inputs) > BIAS and operator.inputs[BIAS] >= 0
    return int(operator.inputs[BIAS]) if is_there else None


def _layer(model: Any, graph: Any, operator: Any) -> str:
    """The Keras layer in the name of what an operator computes; else the operator."""
    name = graph.tensors[operator.outputs[0]].name
    paths = [it.split("/") for it in name.decode().split(";")] if name else []
    paths = [it for it in paths if len(it) > 1]
    named = [it for it in paths if it[-1].rstrip("0123456789_") in PRODUCTS or it[-1] in PRODUCTS]
    first = next(iter(named or paths), None)
    return flat.kind(model, operator) if first is None else first[-2]
