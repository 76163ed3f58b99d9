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

from job.artifact import TensorResult
from job.metrics.quality import Array, Inputs, Output, Outputs, Predict

DTYPES: dict[int, type[np.generic]] = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.BOOL: np.bool_,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.INT8: np.int8,
}
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
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    for graph in model.subgraphs:
        ends = [graph, *(graph.operators or [])]
        used = {int(index) for it in ends for index in (*it.inputs, *it.outputs)}
        drawn = {
            int(index)
            for it in graph.operators or []
            if model.operatorCodes[it.opcodeIndex].builtinCode in RANDOM
            for index in it.outputs
        }
        for index, tensor in enumerate(graph.tensors):
            if index not in used:
                continue
            dtype = DTYPES.get(tensor.type)
            data = model.buffers[tensor.buffer].data
            shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
            values = None
            if data is not None and dtype is not None and len(data):
                values = np.asarray(data).view(dtype).reshape(shape)
            yield FlatTensor(
                name=tensor.name.decode(),
                dtype=np.dtype(dtype).name if dtype else f"type {tensor.type}",
                rank=len(shape),
                values=values,
                is_state=bool(tensor.isVariable),
                zero_point=zero_point(tensor),
                is_random=index in drawn,
            )


def zero_point(tensor: Any) -> int:
    """The zero point of a tensor, or of its first channel; 0 where it is not quantized."""
    points = tensor.quantization.zeroPoint if tensor.quantization else None
    return 0 if points is None or not len(points) else int(points[0])


def custom_operators(path: Path) -> list[str]:
    """The operators that the standard interpreter lacks: ``Flex...`` and custom ones."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    return sorted(code.customCode.decode() for code in model.operatorCodes if code.customCode)


def open_file(path: Path, names: Sequence[str], sample: Inputs, threads: int) -> Interpreter:
    """An interpreter of the file, with tensors allocated for the input shapes of ``sample``."""
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    for detail, array in zip(ordered_inputs(interpreter, names), sample, strict=True):
        if tuple(detail["shape"]) != array.shape:
            interpreter.resize_tensor_input(detail["index"], array.shape)
    interpreter.allocate_tensors()
    return interpreter


def ordered_inputs(interpreter: Interpreter, names: Sequence[str]) -> list[dict[str, Any]]:
    """The details of the inputs in the order of the Keras model's inputs.

    A ``.tflite`` may have another order and other names; its signature has the model's names.
    """
    details = interpreter.get_signature_runner().get_input_details()
    return [details[name] for name in names]


def predictor(
    path: Path, input_names: Sequence[str], output_names: Sequence[str], threads: int
) -> Predict:
    """The file as a ``Predict``: float inputs are quantized and outputs dequantized as needed.

    Batches are computed at once; a file with a fixed batch of one gets row by row.

    Args:
        path: The file.
        input_names: The Keras model's inputs, in the order of those given.
        output_names: Its outputs, in the order of those wanted.
        threads: How many threads compute.
    """
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    inputs = ordered_inputs(interpreter, input_names)
    named = interpreter.get_signature_runner().get_output_details()
    outputs = [named[name] for name in output_names]
    batched = all(detail["shape_signature"][0] == -1 for detail in inputs)
    allocated: list[tuple[int, ...]] = []

    def run(arrays: Sequence[Array]) -> Outputs:
        nonlocal allocated
        shapes = [array.shape for array in arrays]
        if shapes != allocated:
            for detail, shape in zip(inputs, shapes, strict=True):
                interpreter.resize_tensor_input(detail["index"], shape)
            interpreter.allocate_tensors()
            allocated = shapes
        for detail, array in zip(inputs, arrays, strict=True):
            interpreter.set_tensor(detail["index"], quantize(array, detail))
        interpreter.reset_all_variables()  # or an LSTM would continue from the row before
        interpreter.invoke()
        return tuple(dequantize(interpreter.get_tensor(it["index"]), it) for it in outputs)

    def predict(arrays: Inputs) -> Outputs:
        if batched:
            return run(arrays)
        rows = [run([it[row : row + 1] for it in arrays]) for row in range(len(arrays[0]))]
        return tuple(np.concatenate(parts) for parts in zip(*rows, strict=True))

    return predict


def quantize(array: Array, detail: dict[str, Any]) -> Array:
    """Real values as those of a tensor: q = round(r / scale) + zero_point."""
    scale, zero_point = detail["quantization"]
    dtype = np.dtype(detail["dtype"])
    if not scale or dtype.kind == "f":
        return array.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    scaled = np.rint(np.asarray(array, np.float32) / np.float32(scale)) + zero_point
    return np.asarray(np.clip(scaled, limits.min, limits.max).astype(dtype))


def dequantize(array: Array, detail: dict[str, Any]) -> Output:
    """A tensor's values as real values: r = scale * (q - zero_point)."""
    scale, zero_point = detail["quantization"]
    if not scale or array.dtype.kind == "f":
        return array.astype(np.float32)
    return np.asarray((array.astype(np.float32) - zero_point) * np.float32(scale))


def describe_file(path: Path) -> tuple[list[TensorResult], list[TensorResult]]:
    """The inputs and outputs of a file, in its order and under its signature's names; a dimension
    that may vary is null.
    """
    interpreter = Interpreter(model_path=str(path))
    runner = interpreter.get_signature_runner()
    return (
        _described(interpreter.get_input_details(), runner.get_input_details()),
        _described(interpreter.get_output_details(), runner.get_output_details()),
    )


def _described(
    details: Sequence[dict[str, Any]], signature: dict[str, dict[str, Any]]
) -> list[TensorResult]:
    order = [detail["index"] for detail in details]
    return [
        TensorResult(
            name=name,
            dtype=np.dtype(detail["dtype"]).name,
            shape=[None if size < 0 else int(size) for size in detail["shape_signature"]],
            scale=float(detail["quantization"][0]) if detail["quantization"][0] else None,
            zero_point=int(detail["quantization"][1]) if detail["quantization"][0] else None,
        )
        for name, detail in sorted(
            signature.items(), key=lambda item: order.index(item[1]["index"])
        )
    ]


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
    interpreter = Interpreter(model_path=str(path))
    wanted = np.sort(weight.astype(np.float64), axis=None)
    for detail in interpreter.get_tensor_details():
        if int(np.prod(detail["shape"])) != weight.size:
            continue
        found = _real(interpreter, detail)
        if found is None:
            continue
        values, step = found
        far = float(np.abs(np.sort(values, axis=None) - wanted).max())
        if far <= 0.51 * step + FLOAT16 * float(np.abs(wanted).max()):
            return far, float(values.min())
    return None


def _real(
    interpreter: Interpreter, detail: dict[str, Any]
) -> tuple[NDArray[np.float64], float] | None:
    """A constant's real values and the largest step between two of them; None for other tensors."""
    try:
        values = np.asarray(interpreter.get_tensor(detail["index"]))
    except ValueError:  # not a constant: it has no values before a run
        return None
    if values.dtype.kind not in "fi":
        return None
    parameters = detail["quantization_parameters"]
    scales = np.asarray(parameters["scales"], np.float64)
    if not scales.size:
        return values.astype(np.float64), 0.0
    points = np.asarray(parameters["zero_points"], np.float64)
    shape = [1] * values.ndim
    if scales.size > 1:
        shape[parameters["quantized_dimension"]] = scales.size
    real = (values - points.reshape(shape)) * scales.reshape(shape)
    return real, float(scales.max())
