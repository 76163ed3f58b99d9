"""A ``.tflite`` run with LiteRT, its inputs and outputs in the Keras model's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

Array = NDArray[np.generic]
Output = NDArray[np.float32]
Details = list[dict[str, Any]]
# How operators are run -> what the interpreter calls it.
RESOLVERS = {
    "xnnpack": OpResolverType.AUTO,
    "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}


def has_signature(interpreter: Interpreter) -> bool:
    """Whether a file has a signature, by whose names its inputs and outputs are found."""
    return bool(interpreter.get_signature_list())


def ordered_inputs(interpreter: Interpreter, names: Sequence[str]) -> Details:
    """The details of the inputs in the order of the Keras model's inputs.

    A ``.tflite`` may have another order and other names; its signature has the model's names. One
    without a signature has the model's order.
    """
    if not has_signature(interpreter):
        return list(interpreter.get_input_details())
    details = interpreter.get_signature_runner().get_input_details()
    return [details[name] for name in names]


def ordered_outputs(interpreter: Interpreter, names: Sequence[str]) -> Details:
    """The same of the outputs."""
    if not has_signature(interpreter):
        return list(interpreter.get_output_details())
    details = interpreter.get_signature_runner().get_output_details()
    return [details[name] for name in names]


def predictor(
    file: Path | bytes,
    input_names: Sequence[str],
    output_names: Sequence[str],
    threads: int,
    resolver: str = "xnnpack",
) -> Callable[[Sequence[Array]], tuple[Output, ...]]:
    """The file as a function: float inputs are quantized and outputs dequantized as needed.

    Batches are computed at once; a file with a fixed batch gets so many rows at a time, the last
    ones filled up with copies of the last row.

    Args:
        file: The file, or its content.
        input_names: The Keras model's inputs, in the order of those given.
        output_names: Its outputs, in the order of those wanted.
        threads: How many threads compute.
        resolver: Which kernels compute, of ``RESOLVERS``.
    """
    interpreter = _opened(file, threads, resolver)
    inputs = ordered_inputs(interpreter, input_names)
    outputs = ordered_outputs(interpreter, output_names)
    is_open = all(detail["shape_signature"][0] == -1 for detail in inputs)
    at_once = max(fixed_batch(detail) for detail in inputs)
    allocated: list[tuple[int, ...]] = []

    def run(arrays: Sequence[Array]) -> tuple[Output, ...]:
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

    def predict(arrays: Sequence[Array]) -> tuple[Output, ...]:
        if is_open:
            return run(arrays)
        rows = len(arrays[0])
        starts = range(0, rows, at_once)
        parts = [
            run([filled(it[start : start + at_once], at_once) for it in arrays]) for start in starts
        ]
        return tuple(np.concatenate(part)[:rows] for part in zip(*parts, strict=True))

    return predict


def one_call(content: bytes, names: Sequence[str], rows: Sequence[Array]) -> list[Array]:
    """The first rows as a call takes them: in the file's order of inputs, of their dtypes.

    Args:
        content: The file.
        names: The Keras model's inputs, in the order of ``rows``.
        rows: An array for each, (rows, ...); fewer than a fixed batch has are filled up.
    """
    interpreter = _opened(content, 1, "builtin")
    given = zip(ordered_inputs(interpreter, names), rows, strict=True)
    arrays = {it["index"]: (it, array) for it, array in given}
    found = []
    for detail in interpreter.get_input_details():
        named, array = arrays[detail["index"]]
        count = fixed_batch(detail)
        found.append(quantize(filled(array[:count], count), named))
    return found


def _opened(file: Path | bytes, threads: int, resolver: str) -> Interpreter:
    options = {"num_threads": threads, "experimental_op_resolver_type": RESOLVERS[resolver]}
    if isinstance(file, bytes):
        return Interpreter(model_content=file, **options)
    return Interpreter(model_path=str(file), **options)


def fixed_batch(detail: dict[str, Any]) -> int:
    """How many rows an input takes at once, always; 1 where it takes any number."""
    is_open = len(detail["shape_signature"]) and detail["shape_signature"][0] == -1
    return 1 if is_open else max(1, int(detail["shape"][0]))


def filled(rows: Array, count: int) -> Array:
    """At least so many rows: the last one is repeated."""
    missing = max(0, count - len(rows))
    return np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing else rows


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
