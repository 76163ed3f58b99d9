"""Which weights of a ``.tflite`` are kernels that can be packed, and of which Keras layer.

The operator's weights are the layer's kernel, transposed, and each channel multiplied with what was
folded into it. So a kernel is found by its values; where two layers have the same, by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from job.tflite import flat
from job.tflite.dequantized import stored
from job.tflite.runtimes import CHANNELS, WEIGHTS, packed_kind
from job.tflite.weights import WEIGHTS as OPERATOR_WEIGHTS

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FlatKernel:
    """A constant kernel of one or more operators of the same graph and kind."""

    graph: int
    operators: tuple[int, ...]
    """Their places in the graph."""
    tensor: int
    kind: str
    """Of the operators."""
    weights: Floats
    """As floats, in the tensor's shape."""
    layer: str
    """The Keras layer's name; empty where it is not known."""
    ordinal: int
    """The place of its first operator among those of the graph that can be packed."""

    @property
    def axis(self) -> int:
        """That of the output channels."""
        return CHANNELS[self.kind]

    @property
    def row(self) -> int:
        """How many weights an output channel has."""
        return int(self.weights.size // max(1, self.weights.shape[self.axis]))


def kernels(
    content: bytes, floats: bytes, layers: Mapping[str, tf_keras.layers.Layer]
) -> list[FlatKernel]:
    """The kernels of a file that can be packed, in the order of its operators.

    Args:
        content: The file, in which they may be floats or integers.
        floats: The float32 file of the same model, where the weights are taken from.
        layers: The Keras model's layers by name, or path.
    """
    file = flat.read(content)
    weights = _weights(flat.read(floats))
    by_layer = _kernels_of(layers)
    found: list[FlatKernel] = []
    for place, graph in enumerate(file.subgraphs):
        users: dict[int, list[int]] = {}
        for index, operator in enumerate(graph.operators or []):
            if flat.kind(file, operator) in CHANNELS and len(operator.inputs) > WEIGHTS:
                users.setdefault(int(operator.inputs[WEIGHTS]), []).append(index)
        for tensor, indices in users.items():
            first = graph.operators[indices[0]]
            name = graph.tensors[int(first.outputs[0])].name
            values = weights.get(name)
            kinds = {packed_kind(file, graph, graph.operators[index]) for index in indices}
            others = [
                it
                for i, it in enumerate(graph.operators)
                if i not in indices and tensor in it.inputs
            ]
            is_input = graph.tensors[int(first.inputs[0])].type != schema.TensorType.FLOAT32
            if values is None or len(kinds) > 1 or others or is_input:
                continue
            if flat.constant(file, graph.tensors[tensor]) is None:
                continue
            (kind,) = kinds
            names = b" ".join((graph.tensors[tensor].name or b"", name or b"")).decode()
            layer = layer_of(values, CHANNELS[kind], by_layer, names)
            packable = _packable(file, graph)
            ordinal = next(i for i, it in enumerate(packable) if it is first)
            found.append(FlatKernel(place, tuple(indices), tensor, kind, values, layer, ordinal))
    return found


def _packable(file: Any, graph: Any) -> list[Any]:
    """The operators of a graph whose kernels can be packed."""
    return [
        it
        for it in graph.operators or []
        if flat.kind(file, it) in CHANNELS and len(it.inputs) > WEIGHTS
    ]


def in_file(file: Any, kernel: FlatKernel) -> tuple[Any, flat.Array]:
    """The tensor of a kernel in a file that was made of its own, and the values that it has there:
    integers, or floats.
    """
    graph = file.subgraphs[kernel.graph]
    operator = _packable(file, graph)[kernel.ordinal]
    tensor = graph.tensors[stored(file, graph, int(operator.inputs[WEIGHTS]))]
    values = flat.constant(file, tensor)
    assert values is not None  # it was a constant
    return tensor, values


@dataclass(frozen=True)
class OtherKernel:
    """A constant kernel of an operator that has no kernels for packed weights."""

    kind: str
    layer: str
    bits: int
    scales: int
    values: flat.Array


def others(content: bytes, layers: Mapping[str, tf_keras.layers.Layer]) -> list[OtherKernel]:
    """The constant kernels of a named file that are no packed ones, each once: those of operators
    that have no kernels for them, and those in float16.
    """
    file = flat.read(content)
    found: dict[int, OtherKernel] = {}
    for graph, operator in flat.operators(file):
        kind = flat.kind(file, operator)
        for position in OPERATOR_WEIGHTS.get(flat.code(file, operator), ()):
            if position >= len(operator.inputs) or operator.inputs[position] < 0:
                continue
            tensor = graph.tensors[stored(file, graph, int(operator.inputs[position]))]
            values = flat.constant(file, tensor)
            if values is None or values.ndim < 2 or values.dtype.kind not in "fi":
                continue
            if kind in CHANNELS and tensor.type != schema.TensorType.FLOAT16:
                continue
            layer = named_layer((tensor.name, graph.tensors[operator.outputs[0]].name), layers)
            quantization = tensor.quantization
            scales = quantization.scale if quantization else None
            found[tensor.buffer] = OtherKernel(
                *(kind, layer, values.dtype.itemsize * 8, 0 if scales is None else len(scales)),
                values,
            )
    return list(found.values())


def named_layer(names: Sequence[bytes | None], layers: Iterable[str]) -> str:
    """The first layer that is named in tensors' names; empty where none is."""
    parts = _parts(b" ".join(it or b"" for it in names).decode())
    return next((name for name in layers if name.rpartition("/")[2] in parts), "")


def _parts(names: str) -> set[str]:
    return set(re.split(r"[/;: ]", names))


def _weights(file: Any) -> dict[bytes, Floats]:
    """The constant float weights of packable operators, by the name of what each computes."""
    found = {}
    for graph, operator in flat.operators(file):
        if flat.kind(file, operator) not in CHANNELS or len(operator.inputs) <= WEIGHTS:
            continue
        values = flat.constant(file, graph.tensors[operator.inputs[WEIGHTS]])
        if values is not None and values.dtype == np.float32 and values.size:
            found[graph.tensors[operator.outputs[0]].name] = values.astype(np.float32)
    return found


def layers_in(model: tf_keras.Model) -> dict[str, tf_keras.layers.Layer]:
    """The layers of a model at any depth that are no models themselves, by name."""
    every = model._flatten_layers(include_self=False)  # noqa: SLF001 - at any depth
    return {it.name: it for it in every if not isinstance(it, tf_keras.Model)}


def _kernels_of(layers: Mapping[str, tf_keras.layers.Layer]) -> dict[str, list[Floats]]:
    """By layer, its weights of two dimensions or more as (channels, weights of each)."""
    found: dict[str, list[Floats]] = {}
    for name, layer in layers.items():
        for variable in layer._trainable_weights + layer._non_trainable_weights:  # noqa: SLF001 - its own
            values = variable.numpy()
            if values.ndim < 2 or values.dtype != np.float32:
                continue
            if "depthwise" in variable.name:
                matrix = values.reshape(-1, values.shape[-2] * values.shape[-1]).T
            else:
                matrix = values.reshape(-1, values.shape[-1]).T
            found.setdefault(name, []).append(matrix)
    return found


def layer_of(weights: Floats, axis: int, layers: Mapping[str, list[Floats]], names: str) -> str:
    """The layer whose kernel these weights are, each channel times a factor; else that in a name.

    Args:
        weights: Of a file.
        axis: That of their output channels.
        layers: By layer, its weights as (channels, weights of each).
        names: The file's names of the weights and of what is computed with them.
    """
    matrix = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
    same = [name for name, given in layers.items() if any(_is_scaled(matrix, it) for it in given)]
    if len(same) == 1:
        return same[0]
    parts = _parts(names)
    named = [name for name in same or layers if name.rpartition("/")[2] in parts]
    return named[0] if len(named) == 1 else (same[0] if same else "")


def _is_scaled(one: Floats, other: Floats) -> bool:
    if one.shape != other.shape:
        return False
    highest = np.abs(other).argmax(axis=1, keepdims=True)
    ours, theirs = (
        np.take_along_axis(it, highest, axis=1).astype(np.float64) for it in (one, other)
    )
    reach = np.abs(ours * theirs)
    return bool((np.abs(one * theirs - other * ours) <= 1e-4 * reach + 1e-30).all())
