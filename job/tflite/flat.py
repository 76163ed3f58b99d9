"""A ``.tflite`` as objects, read and written (the schema's object API).

Written files have each different buffer once, as the schema's alignment asks: the data of a buffer
begin at a multiple of 16 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from job.tflite.bits import pack, unpack

Array = NDArray[np.generic]
IDENTIFIER = b"TFL3"
ALIGNMENT = 16

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
# Types of packed integers -> their bits.
PACKED = {schema.TensorType.INT4: 4, schema.TensorType.INT2: 2}
INTEGERS = {8: schema.TensorType.INT8, 4: schema.TensorType.INT4, 2: schema.TensorType.INT2}
OPERATORS: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
}


class _Buffer(schema.BufferT):  # type: ignore[misc]  # the schema has no types
    """A buffer whose data are aligned as the schema asks, which its own writer does not do."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - the schema's name
        data = None
        if self.data is not None and len(self.data):
            content = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(content), ALIGNMENT)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


def read(content: bytes) -> Any:
    """The model of a file."""
    return schema.ModelT.InitFromPackedBuf(content, 0)


def write(model: Any) -> bytes:
    """A file of a model; the model is not changed."""
    buffers = model.buffers
    model.buffers = [_Buffer(data=buffer.data) for buffer in buffers]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    model.buffers = buffers
    return bytes(builder.Output())


def code(model: Any, operator: Any) -> int:
    """The builtin code of an operator; codes below 127 may stand in the older field only."""
    found = model.operatorCodes[operator.opcodeIndex]
    return max(int(found.builtinCode), int(found.deprecatedBuiltinCode))


def kind(model: Any, operator: Any) -> str:
    """The name of an operator: ``FULLY_CONNECTED``."""
    return OPERATORS[code(model, operator)]


def operators(model: Any) -> Iterator[tuple[Any, Any]]:
    """Every operator, with its graph."""
    for graph in model.subgraphs:
        for operator in graph.operators or []:
            yield graph, operator


def shape(tensor: Any) -> list[int]:
    """The sizes of a tensor; an open one is 1 here."""
    return [] if tensor.shape is None else [int(size) for size in tensor.shape]


def constant(model: Any, tensor: Any, *, of_state: bool = False) -> Array | None:
    """The values of a constant in its shape, INT4 and INT2 unpacked to int8; None for others.

    Args:
        model: The model.
        tensor: One of its tensors.
        of_state: Whether the first values of a state count as constant.
    """
    data = model.buffers[tensor.buffer].data
    if data is None or not len(data) or (tensor.isVariable and not of_state):
        return None
    raw = np.asarray(data, np.uint8)
    sizes = shape(tensor)
    if tensor.type in PACKED:
        return unpack(raw, PACKED[tensor.type], int(np.prod(sizes))).reshape(sizes)
    dtype = DTYPES.get(tensor.type)
    return None if dtype is None else raw.view(dtype).reshape(sizes)


def with_buffer(model: Any, tensor: Any, data: Array) -> None:
    """Give a tensor a new buffer of its own."""
    model.buffers.append(schema.BufferT(data=np.frombuffer(data.tobytes(), np.uint8)))
    tensor.buffer = len(model.buffers) - 1


def with_integers(
    model: Any,
    tensor: Any,
    values: NDArray[np.integer],
    scales: NDArray[np.float32],
    axis: int,
    bits: int,
) -> None:
    """Make a tensor a constant of packed, symmetrically quantized integers.

    Args:
        model: The model, which gets a new buffer.
        tensor: The tensor, whose type, buffer and quantization are changed.
        values: Its integers, in its shape.
        scales: One, or one for each channel.
        axis: The axis of the channels.
        bits: 2, 4 or 8.
    """
    with_buffer(model, tensor, pack(values, bits))
    tensor.type = INTEGERS[bits]
    tensor.quantization = schema.QuantizationParametersT(
        scale=scales.astype(np.float32),
        zeroPoint=np.zeros(scales.size, np.int64),
        quantizedDimension=axis if scales.size > 1 else 0,
    )


def set_version(model: Any, operator: Any, version: int) -> None:
    """Give an operator a version, and a code of its own where others have another."""
    old = model.operatorCodes[operator.opcodeIndex]
    _set_code(
        model,
        operator,
        schema.OperatorCodeT(
            deprecatedBuiltinCode=old.deprecatedBuiltinCode,
            customCode=old.customCode,
            version=version,
            builtinCode=old.builtinCode,
        ),
    )


def set_code(model: Any, operator: Any, builtin: int, version: int = 1) -> None:
    """Make an operator a builtin one, whose code is below 127."""
    wanted = schema.OperatorCodeT(
        deprecatedBuiltinCode=builtin, version=version, builtinCode=builtin
    )
    _set_code(model, operator, wanted)


def _set_code(model: Any, operator: Any, wanted: Any) -> None:
    for index, there in enumerate(model.operatorCodes):
        if vars(there) == vars(wanted):
            operator.opcodeIndex = index
            return
    model.operatorCodes.append(wanted)
    operator.opcodeIndex = len(model.operatorCodes) - 1
