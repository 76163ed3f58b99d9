"""A ``.tflite`` as data, and as it runs: with the LiteRT interpreter, on several threads."""

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
from job.metrics.quality import Inputs, Output, Outputs, Predict

Array = NDArray[np.generic]

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
# The operators that draw random numbers.
RANDOM = (
    schema.BuiltinOperator.RANDOM_UNIFORM,
    schema.BuiltinOperator.RANDOM_STANDARD_NORMAL,
    schema.BuiltinOperator.MULTINOMIAL,
)


@dataclass(frozen=True)
class FlatTensor:
    """A tensor of the file: ``values`` where it is a constant."""

    name: str
    dtype: str
    rank: int
    values: Array | None
    zero_point: int
    is_state: bool
    """Whether its value stays from one call to the next."""
    is_random: bool = False
    """Whether an operator draws it; there are such operators for floats alone."""

    @property
    def elements(self) -> int:
        """How many values the constant has."""
        return 0 if self.values is None else self.values.size


def tensors(path: Path) -> Iterator[FlatTensor]:
    """Every tensor that an operator reads or writes, without running anything.

    (An integer LSTM has more: floats that only carry the scales inside it.)
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
            points = tensor.quantization.zeroPoint if tensor.quantization else None
            yield FlatTensor(
                name=tensor.name.decode(),
                dtype=np.dtype(dtype).name if dtype else f"type {tensor.type}",
                rank=len(shape),
                values=values,
                is_state=bool(tensor.isVariable),
                zero_point=0 if points is None or not len(points) else int(points[0]),
                is_random=index in drawn,
            )


def custom_operators(path: Path) -> list[str]:
    """The operators that the plain interpreter does not have: ``Flex...`` and custom ones."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    return sorted(code.customCode.decode() for code in model.operatorCodes if code.customCode)


def open_file(path: Path, names: Sequence[str], sample: Inputs, threads: int) -> Interpreter:
    """An interpreter of the file, its tensors allocated for inputs of the shapes of ``sample``."""
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    for detail, array in zip(ordered_inputs(interpreter, names), sample, strict=True):
        if tuple(detail["shape"]) != array.shape:
            interpreter.resize_tensor_input(detail["index"], array.shape)
    interpreter.allocate_tensors()
    return interpreter


def ordered_inputs(interpreter: Interpreter, names: Sequence[str]) -> list[dict[str, Any]]:
    """The details of the inputs in the order of the Keras model's inputs.

    A ``.tflite`` may order and name its inputs in its own way; its signature keeps the names.
    """
    signature = interpreter.get_signature_runner().get_input_details()
    return _ordered(interpreter.get_input_details(), signature, names)


def ordered_outputs(interpreter: Interpreter, names: Sequence[str]) -> list[dict[str, Any]]:
    """The details of the outputs in the order of the Keras model's outputs."""
    signature = interpreter.get_signature_runner().get_output_details()
    return _ordered(interpreter.get_output_details(), signature, names)


def _ordered(
    details: Sequence[dict[str, Any]], signature: dict[str, dict[str, Any]], names: Sequence[str]
) -> list[dict[str, Any]]:
    by_index = {detail["index"]: detail for detail in details}
    return [by_index[signature[name]["index"]] for name in names]


def predictor(
    path: Path, input_names: Sequence[str], output_names: Sequence[str], threads: int
) -> Predict:
    """The file as it runs: float inputs are quantized and outputs dequantized as it asks.

    Batches are computed at once; a file with a fixed batch of one is given row by row.

    Args:
        path: The file.
        input_names: The Keras model's inputs, in the order of what is predicted from.
        output_names: Its outputs, in the order of what is answered.
        threads: How many threads compute.
    """
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    inputs = ordered_inputs(interpreter, input_names)
    outputs = ordered_outputs(interpreter, output_names)
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
        interpreter.reset_all_variables()  # an LSTM would go on from the row before
        interpreter.invoke()
        return tuple(dequantize(interpreter.get_tensor(it["index"]), it) for it in outputs)

    def predict(arrays: Inputs) -> Outputs:
        if batched:
            return run(arrays)
        rows = [run([it[row : row + 1] for it in arrays]) for row in range(len(arrays[0]))]
        return tuple(np.concatenate(parts) for parts in zip(*rows, strict=True))

    return predict


def quantize(array: Array, detail: dict[str, Any]) -> Array:
    """Real values as the tensor ``detail`` takes them: q = round(r / scale) + zero_point."""
    scale, zero_point = detail["quantization"]
    dtype = np.dtype(detail["dtype"])
    if not scale or dtype.kind == "f":
        return array.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    scaled = np.rint(np.asarray(array, np.float32) / np.float32(scale)) + zero_point
    return np.asarray(np.clip(scaled, limits.min, limits.max).astype(dtype))


def dequantize(array: Array, detail: dict[str, Any]) -> Output:
    """A tensor's values as real ones: r = scale * (q - zero_point)."""
    scale, zero_point = detail["quantization"]
    if not scale or array.dtype.kind == "f":
        return array.astype(np.float32)
    return np.asarray((array.astype(np.float32) - zero_point) * np.float32(scale))


def describe(
    details: Sequence[dict[str, Any]], signature: dict[str, dict[str, Any]]
) -> list[TensorResult]:
    """Inputs or outputs for the result, as the file orders them and its signature names them; a
    dimension that may vary is null.
    """
    place = {detail["index"]: place for place, detail in enumerate(details)}
    names = sorted(signature, key=lambda name: place[signature[name]["index"]])
    described = []
    for name, detail in zip(names, _ordered(details, signature, names), strict=True):
        scale, zero_point = detail["quantization"]
        described.append(
            TensorResult(
                name=name,
                dtype=np.dtype(detail["dtype"]).name,
                shape=[None if size < 0 else int(size) for size in detail["shape_signature"]],
                scale=float(scale) if scale else None,
                zero_point=int(zero_point) if scale else None,
            )
        )
    return described


def describe_file(path: Path) -> tuple[list[TensorResult], list[TensorResult]]:
    """The file's inputs and outputs."""
    interpreter = Interpreter(model_path=str(path))
    runner = interpreter.get_signature_runner()
    return (
        describe(interpreter.get_input_details(), runner.get_input_details()),
        describe(interpreter.get_output_details(), runner.get_output_details()),
    )
