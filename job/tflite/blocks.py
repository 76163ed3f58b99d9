"""Blockwise scales: each run of 32 to 256 weights of a row of FULLY_CONNECTED has its own.

The scales are a float16 tensor, (rows, blocks of a row), that no operator reads: the weights'
quantization names it. They are numbers that bfloat16 holds as well, so no runtime rounds them when
it converts them; and normal ones of float16, since XNNPACK refuses a scale of 0, which a small one
may become. Times an integer of 4 bits they are exact in float32.

LiteRT's kernels were tried (2.1.6 and 2.3.0). XNNPACK computes all of it. The built-in kernels give
wrong numbers for fewer than four rows, and leave out the activation that an operator applies to its
result: so an operator of its own applies it. The reference kernels answer with zeros. None of them
says so.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from job.tflite import flat
from job.tflite.bits import LEVELS
from job.tflite.grid import TOLERANCE, Grid, bfloat16, without_zeros

BITS = 4
MOST = LEVELS[BITS]
# The least and the largest scale: float16's normal numbers of eight significant bits.
LEAST, LARGEST = 2.0**-14, 65280.0

LEAST_ROWS = 4
# Activations that an operator applies -> the operator that does the same.
ACTIVATIONS = {
    schema.ActivationFunctionType.RELU: schema.BuiltinOperator.RELU,
    schema.ActivationFunctionType.RELU6: schema.BuiltinOperator.RELU6,
    schema.ActivationFunctionType.RELU_N1_TO_1: schema.BuiltinOperator.RELU_N1_TO_1,
    schema.ActivationFunctionType.TANH: schema.BuiltinOperator.TANH,
}


def why_not(rows: int, columns: int, block: int) -> str:
    """Why weights of so many rows and columns can't have blockwise scales; empty where they can."""
    if columns % block:
        return f"its rows have {columns} weights, which is no multiple of {block}"
    if rows < LEAST_ROWS:
        return f"it has {rows} rows, and LiteRT's built-in kernels compute {LEAST_ROWS} or more"
    return ""


def exact(weights: NDArray[np.float32], block: int) -> Grid | None:
    """The grid that weights lie on, with a scale for each block; None where they do not.

    Args:
        weights: (rows, columns); columns are a multiple of ``block``.
        block: How many weights of a row share a scale.
    """
    parts = np.abs(weights.astype(np.float64)).reshape(-1, block)
    least = np.min(parts, axis=1, where=parts > 0, initial=np.inf)
    is_zero = np.isinf(least)
    least[is_zero] = 1.0
    steps = np.zeros(least.size)
    is_rounded = np.zeros(least.size, bool)
    # The largest step that needs no rounding; where there is none, the largest one.
    for count in range(1, MOST + 1):
        multiples = parts * (count / least)[:, None]
        whole = np.rint(multiples)
        fits = (np.abs(multiples - whole) <= whole * TOLERANCE).all(axis=1)
        fits &= ~is_zero & (whole.max(axis=1) <= MOST)
        step = (parts * whole).sum(axis=1) / np.maximum((whole * whole).sum(axis=1), 1.0)
        halves = bfloat16(step.astype(np.float32)).astype(np.float64)
        fits &= (halves >= LEAST) & (halves <= LARGEST)
        loses = np.abs(halves - step) > step * TOLERANCE
        better = fits & ((steps == 0) | (is_rounded & ~loses))
        steps[better], is_rounded[better] = step[better], loses[better]
    if (steps[~is_zero] == 0).any():
        return None
    filled = without_zeros(steps)
    values = np.rint(weights.astype(np.float64).reshape(-1, block) / filled[:, None])
    return _grid(weights, values, filled, block, is_exact=True)


def rounded(weights: NDArray[np.float32], block: int) -> Grid:
    """Weights rounded to integers, with a scale for each block that clips none of them.

    Args:
        weights: (rows, columns) of at most ``MOST * LARGEST``; columns are a multiple of ``block``.
        block: How many weights of a row share a scale.
    """
    parts = weights.astype(np.float64).reshape(-1, block)
    steps = without_zeros(np.abs(parts).max(axis=1) / MOST)
    halves = bfloat16(steps.astype(np.float32), up=True).astype(np.float64)
    scales = np.clip(halves, LEAST, LARGEST)
    values = np.clip(np.rint(parts / scales[:, None]), -MOST, MOST)
    return _grid(weights, values, scales, block, is_exact=False)


def _grid(
    weights: NDArray[np.float32],
    values: NDArray[np.float64],
    steps: NDArray[np.float64],
    block: int,
    *,
    is_exact: bool,
) -> Grid:
    scales = bfloat16(steps.astype(np.float32)).reshape(len(weights), -1)
    return Grid(values.reshape(weights.shape).astype(np.int8), scales, is_exact, block)


def with_blocks(model: Any, graph: Any, tensor: Any, grid: Grid) -> None:
    """Make a tensor a constant of packed integers with blockwise scales.

    Args:
        model: The model, which gets two new buffers.
        graph: The tensor's, which gets a tensor of the scales.
        tensor: The weights of FULLY_CONNECTED, whose type, buffer and quantization are changed.
        grid: Its integers and their scales.
    """
    assert grid.block is not None
    flat.with_integers(model, tensor, grid.values, np.ones(1, np.float32), 0, BITS)
    scales = schema.TensorT(
        name=(tensor.name or b"weights") + b"_scales",
        shape=np.array(grid.scales.shape, np.int32),
        type=schema.TensorType.FLOAT16,
    )
    flat.with_buffer(model, scales, grid.scales.astype(np.float16))
    graph.tensors.append(scales)
    details = schema.BlockwiseQuantizationT(
        scales=len(graph.tensors) - 1, zeroPoints=-1, blockSize=grid.block
    )
    tensor.quantization = schema.QuantizationParametersT(
        detailsType=schema.QuantizationDetails.BlockwiseQuantization, details=details
    )


def with_activations_apart(model: Any, graph: Any) -> None:
    """Let operators of their own apply the activations of those with blockwise scales."""
    operators = []
    for operator in graph.operators or []:
        operators.append(operator)
        options = operator.builtinOptions
        activation = getattr(options, "fusedActivationFunction", 0)
        if not activation or not _is_blockwise(model, graph, operator):
            continue
        options.fusedActivationFunction = schema.ActivationFunctionType.NONE
        result = int(operator.outputs[0])
        linear = copy.deepcopy(graph.tensors[result])
        linear.name = (linear.name or b"") + b"_linear"
        graph.tensors.append(linear)
        operator.outputs = np.array([len(graph.tensors) - 1], np.int32)
        applied = schema.OperatorT(
            inputs=operator.outputs.copy(), outputs=np.array([result], np.int32)
        )
        flat.set_code(model, applied, ACTIVATIONS[activation])
        operators.append(applied)
    graph.operators = operators


def _is_blockwise(model: Any, graph: Any, operator: Any) -> bool:
    if flat.kind(model, operator) != "FULLY_CONNECTED":
        return False
    return details_of(graph.tensors[operator.inputs[1]]) is not None


def details_of(tensor: Any) -> Any | None:
    """What a tensor's quantization says of blocks; None where its scales are not blockwise."""
    quantization = tensor.quantization
    kind = schema.QuantizationDetails.BlockwiseQuantization
    is_there = quantization is not None and quantization.detailsType == kind
    return quantization.details if is_there else None


def scales_of(model: Any, graph: Any, tensor: Any) -> NDArray[np.float32] | None:
    """The blockwise scales of a tensor, (rows, blocks of a row); None where it has none."""
    details = details_of(tensor)
    if details is None:
        return None
    values = flat.constant(model, graph.tensors[details.scales])
    return None if values is None else values.astype(np.float32)


def scale_count(model: Any, graph: Any, tensor: Any) -> int:
    """How many scales a tensor has, of any kind; 0 where it is not quantized."""
    blockwise = scales_of(model, graph, tensor)
    if blockwise is not None:
        return blockwise.size
    scales = tensor.quantization.scale if tensor.quantization else None
    return 0 if scales is None else len(scales)
