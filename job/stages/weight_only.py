"""weight_only: kernels as int8 or float16 constants, which the interpreter computes with in float.

The file is the converter's float32 one, with its large constants stored small and a DEQUANTIZE
behind each (``job/tflite/dequantized.py``). No activation is rounded, so what is lost is what the
weights' grid loses, which a training for that grid (``aware``) has seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tf_keras

from job.manifest.quantize import HALF, WeightOnlyConfig
from job.stages import pack
from job.stages.kernels import FlatKernel, kernels, named_layer
from job.tflite import dequantized, flat, tidy
from job.tflite.bits import LEVELS
from job.tflite.grid import Grid, bfloat16, exact, rounded
from job.tflite.weights import SMALL, WEIGHTS

STORED = "weights that are computed with in float are stored in 8 bits"


Names = tuple[bytes | None, ...]


def weight_only(
    floats: bytes,
    config: WeightOnlyConfig,
    layers: Mapping[str, tf_keras.layers.Layer],
    bits: Mapping[str, int],
    *,
    halves: bool,
) -> tuple[bytes, Sequence[pack.Plan]]:
    """A float32 file with its kernels stored small.

    Args:
        floats: The file.
        config: The variant.
        layers: The Keras model's layers by name, or path.
        bits: By layer, the bits asked for; others have the variant's.
        halves: Whether scales and biases of planned kernels become bfloat16 values.

    Returns:
        The file, and the plans of its integer kernels.

    Raises:
        StageError: Where weights should have 2 bits, and are not ternary.
    """
    model = flat.read(floats)
    found = kernels(floats, floats, layers)
    widths = [bits.get(it.layer, config.weight_bits) for it in found]
    plans = [
        _planned(it, width, config, halves=halves)
        for it, width in zip(found, widths, strict=True)
        if width != HALF
    ]
    wide = [it for it, width in zip(found, widths, strict=True) if width == HALF]
    rest = list(_other_weights(model, {(it.graph, it.tensor) for it in found}))
    if halves:
        for it in plans:
            graph = model.subgraphs[it.kernel.graph]
            for index in it.kernel.operators:
                pack.round_bias(model, graph, graph.operators[index])
    for it in plans:
        graph = model.subgraphs[it.kernel.graph]
        dequantized.of_integers(model, graph, it.kernel.tensor, it.grid, it.kernel.axis)
    for kernel in wide:
        dequantized.of_halves(model, model.subgraphs[kernel.graph], kernel.tensor)
    for place, tensor, names in rest:
        graph = model.subgraphs[place]
        if bits.get(named_layer(names, layers), config.weight_bits) == HALF:
            dequantized.of_halves(model, graph, tensor)
        else:
            grid, axis = _grid_of_other(model, graph.tensors[tensor], config)
            dequantized.of_integers(model, graph, tensor, grid, axis)
    tidy.without_unused_tensors(model)
    tidy.without_unused_buffers(model)
    return flat.write(model), plans


def _planned(
    kernel: FlatKernel, asked: int, config: WeightOnlyConfig, *, halves: bool
) -> pack.Plan:
    grid, reason = exact(kernel.weights, kernel.axis), ""
    if grid is None and asked == 2:
        raise pack.not_ternary(kernel, "not trained")
    if grid is None:
        grid = rounded(
            *(kernel.weights, kernel.axis, LEVELS[asked]),
            per_channel=config.per_channel,
            halves=halves,
        )
        reason = "" if asked == 8 else f"rounded to {asked} bits, since the weights lie on no grid"
    else:
        if halves:
            grid = Grid(grid.values, bfloat16(grid.scales), is_exact=True)
        if grid.most > LEVELS[asked]:
            reason = pack.TOO_LARGE.format(grid.most, asked)
    if asked < 8:
        reason = "; ".join(filter(None, (reason, STORED)))
    return pack.Plan(kernel, asked, grid, (dequantized.BITS,), reason)


def _other_weights(model: Any, planned: set[tuple[int, int]]) -> Iterator[tuple[int, int, Names]]:
    """The large float constants that other operators multiply with, or look rows up in, or that
    loops take: (graph, tensor, its name and that of what is computed with it), each once.
    """
    seen = set(planned)
    for place, graph in enumerate(model.subgraphs):
        for operator in graph.operators or []:
            kind = flat.kind(model, operator)
            given = list(map(int, operator.inputs))
            used = given if kind == "WHILE" else _at(given, WEIGHTS.get(flat.code(model, operator)))
            for index in used:
                values = flat.constant(model, graph.tensors[index]) if index >= 0 else None
                if values is None or (place, index) in seen or values.dtype != np.float32:
                    continue
                if values.ndim >= 2 and values.size >= SMALL:
                    seen.add((place, index))
                    named = graph.tensors[index], graph.tensors[operator.outputs[0]]
                    yield place, index, tuple(it.name for it in named)


def _at(inputs: Sequence[int], positions: Sequence[int] | None) -> list[int]:
    return [inputs[it] for it in positions or () if it < len(inputs)]


def _grid_of_other(model: Any, tensor: Any, config: WeightOnlyConfig) -> tuple[Grid, int]:
    """Integers of a constant whose axis of channels is not known: that on which it lies on a grid;
    else its first, along which rows are looked up and recurrent units are counted.
    """
    values = flat.constant(model, tensor)
    assert values is not None  # it was found as a constant
    weights = values.astype(np.float32)
    for axis in (0, weights.ndim - 1):
        grid = exact(weights, axis)
        if grid is not None:
            return grid, axis
    return rounded(weights, 0, LEVELS[8], per_channel=config.per_channel), 0
