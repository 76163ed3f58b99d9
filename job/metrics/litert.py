"""A ``.tflite`` as data, and run with the LiteRT interpreter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from job.metrics.quality import Array, Inputs
from job.result.artifact import TensorResult
from job.tflite import flat
from job.tflite.blocks import scales_of
from job.tflite.interpret import (
    dequantize,
    filled,
    fixed_batch,
    has_signature,
    ordered_inputs,
    ordered_outputs,
    predictor,
    quantize,
)

__all__ = [
    "FlatTensor",
    "custom_operators",
    "dequantize",
    "describe_file",
    "open_file",
    "ordered_inputs",
    "predictor",
    "quantize",
    "rounded",
    "tensors",
    "zero_point",
]

# The rounding error of float16, relative to the largest weight.
FLOAT16 = 2.0**-10
# The operators that draw random numbers.
RANDOM = (
    schema.BuiltinOperator.RANDOM_UNIFORM,
    schema.BuiltinOperator.RANDOM_STANDARD_NORMAL,
    schema.BuiltinOperator.MULTINOMIAL,
)


@dataclass(frozen=True)
class FlatTensor:
    """A tensor of the file; ``values`` of constants only."""

    name: str
    dtype: str
    rank: int
    values: Array | None
    zero_point: int
    is_state: bool
    """Whether its value persists from call to call."""
    is_random: bool = False
    """Whether it is drawn at random; there are such operators only for floats."""

    @property
    def elements(self) -> int:
        """How many values the constant has."""
        return 0 if self.values is None else self.values.size


def tensors(path: Path) -> Iterator[FlatTensor]:
    """Every tensor that an operator reads or writes, without running anything.

    (An integer LSTM has more tensors: floats that only hold the scales inside it.)
    """
    model = flat.read(path.read_bytes())
    for graph in model.subgraphs:
        ends = [graph, *(graph.operators or [])]
        used = {int(index) for it in ends for index in (*it.inputs, *it.outputs)}
        drawn = {
            int(index)
            for it in graph.operators or []
            if flat.code(model, it) in RANDOM
            for index in it.outputs
        }
        for index, tensor in enumerate(graph.tensors):
            if index not in used:
                continue
            yield FlatTensor(
                name=(tensor.name or f"tensor {index}".encode()).decode(),
                dtype=_dtype(tensor),
                rank=len(flat.shape(tensor)),
                values=flat.constant(model, tensor, of_state=True),
                is_state=bool(tensor.isVariable),
                zero_point=zero_point(tensor),
                is_random=index in drawn,
            )


def _dtype(tensor: Any) -> str:
    if tensor.type in flat.PACKED:
        return f"int{flat.PACKED[tensor.type]}"
    dtype = flat.DTYPES.get(tensor.type)
    return np.dtype(dtype).name if dtype else f"type {tensor.type}"


def zero_point(tensor: Any) -> int:
    """The zero point of a tensor, or of its first channel; 0 where it is not quantized."""
    points = tensor.quantization.zeroPoint if tensor.quantization else None
    return 0 if points is None or not len(points) else int(points[0])


def custom_operators(path: Path) -> list[str]:
    """The operators that the standard interpreter lacks: ``Flex...`` and custom ones."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    return sorted(code.customCode.decode() for code in model.operatorCodes if code.customCode)


def open_file(
    path: Path, names: Sequence[str], sample: Inputs, threads: int
) -> tuple[Interpreter, list[Array]]:
    """An interpreter of the file, with tensors allocated for the shapes of ``sample``; and the
    sample, repeated where the file has a fixed batch.
    """
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    details = ordered_inputs(interpreter, names)
    rows = [filled(it, fixed_batch(detail)) for it, detail in zip(sample, details, strict=True)]
    for detail, array in zip(details, rows, strict=True):
        if tuple(detail["shape"]) != array.shape:
            interpreter.resize_tensor_input(detail["index"], array.shape)
    interpreter.allocate_tensors()
    return interpreter, rows


def describe_file(
    path: Path, inputs: Sequence[str] = (), outputs: Sequence[str] = ()
) -> tuple[list[TensorResult], list[TensorResult]]:
    """The inputs and outputs of a file, in its order and under its signature's names; a dimension
    that may vary is null.

    Args:
        path: The file.
        inputs: What the inputs of a file without a signature are called: the Keras model's names,
            in its order.
        outputs: The same of its outputs.
    """
    interpreter = Interpreter(model_path=str(path))
    if not has_signature(interpreter):
        return (
            _named(ordered_inputs(interpreter, inputs), inputs),
            _named(ordered_outputs(interpreter, outputs), outputs),
        )
    runner = interpreter.get_signature_runner()
    return (
        _described(interpreter.get_input_details(), runner.get_input_details()),
        _described(interpreter.get_output_details(), runner.get_output_details()),
    )


def _named(details: Sequence[dict[str, Any]], names: Sequence[str]) -> list[TensorResult]:
    names = names or [str(position) for position in range(len(details))]
    return [_tensor(name, detail) for name, detail in zip(names, details, strict=True)]


def _described(
    details: Sequence[dict[str, Any]], signature: dict[str, dict[str, Any]]
) -> list[TensorResult]:
    order = [detail["index"] for detail in details]
    named = sorted(signature.items(), key=lambda item: order.index(item[1]["index"]))
    return [_tensor(name, detail) for name, detail in named]


def _tensor(name: str, detail: dict[str, Any]) -> TensorResult:
    scale, point = detail["quantization"]
    return TensorResult(
        name=name,
        dtype=np.dtype(detail["dtype"]).name,
        shape=[None if size < 0 else int(size) for size in detail["shape_signature"]],
        scale=float(scale) if scale else None,
        zero_point=int(point) if scale else None,
    )


def rounded(path: Path, weight: Array) -> tuple[float, float] | None:
    """How far a file rounds a weight, which is found among its constants.

    The converter changes the order of a weight's axes, so sorted values are compared: they differ
    by no more than the values themselves, half a step of the quantization.

    Args:
        path: The file.
        weight: The weight, in any layout.

    Returns:
        The largest difference between the sorted values, and the least value in the file; None
        where the weight is not found: it was split into gates, or folded into another one.
    """
    model = flat.read(path.read_bytes())
    wanted = np.sort(weight.astype(np.float64), axis=None)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if int(np.prod(flat.shape(tensor))) != weight.size:
                continue
            found = _real(model, graph, tensor)
            if found is None:
                continue
            values, step = found
            far = float(np.abs(np.sort(values, axis=None) - wanted).max())
            if far <= 0.51 * step + FLOAT16 * float(np.abs(wanted).max()):
                return far, float(values.min())
    return None


def _real(model: Any, graph: Any, tensor: Any) -> tuple[NDArray[np.float64], float] | None:
    """A constant's real values and the largest step between two of them; None for other tensors."""
    values = flat.constant(model, tensor)
    if values is None or values.dtype.kind not in "fi":
        return None
    blockwise = scales_of(model, graph, tensor)
    if blockwise is not None:
        each = np.repeat(blockwise.astype(np.float64), values.size // blockwise.size)
        return values.astype(np.float64) * each.reshape(values.shape), float(blockwise.max())
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or not len(quantization.scale):
        return values.astype(np.float64), 0.0
    scales = np.asarray(quantization.scale, np.float64)
    points = np.asarray(quantization.zeroPoint, np.float64)
    shape = [1] * values.ndim
    if scales.size > 1:
        shape[quantization.quantizedDimension] = scales.size
    real = (values.astype(np.float64) - points.reshape(shape)) * scales.reshape(shape)
    return real, float(scales.max())
