"""What runtimes run: operators with packed integer weights, versions of operators, LiteRT Micro.

All of it was tried, on x86-64: tflite-runtime 2.14.0, ai-edge-litert 2.1.6 and 2.3.0, each with
XNNPACK and without delegates, against NumPy; and tflite-micro of October 2026. What documentation
or version tables say more is not believed: 2.14 opens a CONV_2D of INT4 weights and answers with
NaN, and so does 2.3 for INT2; a DEPTHWISE_CONV_2D of one scale gives wrong numbers everywhere; the
reference kernels answer with zeros where scales are blockwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from job.tflite import flat

RuntimeName = Literal["tflite-2.14", "litert-2.1", "litert-2.3"]
# From the oldest to the newest.
RUNTIMES: tuple[RuntimeName, ...] = ("tflite-2.14", "litert-2.1", "litert-2.3")


@dataclass(frozen=True)
class Kernel:
    """An operator with integer weights."""

    version: int
    """Of the operator, in the file."""
    runtime: RuntimeName
    """The oldest that runs it right."""


# A CONV_2D of several groups, each of some of the input's channels.
GROUPED = "CONV_2D in groups"
# (operator, bits, whether each channel has its own scale) -> kernel.
KERNELS: dict[tuple[str, int, bool], Kernel] = {
    ("FULLY_CONNECTED", 8, False): Kernel(9, "tflite-2.14"),
    ("FULLY_CONNECTED", 8, True): Kernel(12, "litert-2.1"),
    ("FULLY_CONNECTED", 4, False): Kernel(10, "tflite-2.14"),
    ("FULLY_CONNECTED", 4, True): Kernel(12, "litert-2.1"),
    ("FULLY_CONNECTED", 2, False): Kernel(14, "litert-2.1"),
    ("FULLY_CONNECTED", 2, True): Kernel(14, "litert-2.1"),
    ("CONV_2D", 8, False): Kernel(2, "tflite-2.14"),
    ("CONV_2D", 8, True): Kernel(5, "tflite-2.14"),
    ("CONV_2D", 4, False): Kernel(7, "litert-2.1"),
    ("CONV_2D", 4, True): Kernel(7, "litert-2.1"),
    (GROUPED, 8, True): Kernel(6, "tflite-2.14"),
    (GROUPED, 4, True): Kernel(7, "litert-2.1"),
    ("DEPTHWISE_CONV_2D", 8, True): Kernel(6, "tflite-2.14"),
}
# The same with a scale for each block of weights in a row (``blocks.py``): (operator, bits).
BLOCKWISE: dict[tuple[str, int], Kernel] = {("FULLY_CONNECTED", 4): Kernel(13, "litert-2.1")}
# Operator -> the axis of its weights' output channels.
CHANNELS = {"FULLY_CONNECTED": 0, "CONV_2D": 0, GROUPED: 0, "DEPTHWISE_CONV_2D": 3}
# Of the operators above: which input the weights are, and which the bias.
WEIGHTS, BIAS = 1, 2


def is_newer(one: RuntimeName, other: RuntimeName) -> bool:
    """Whether a runtime is newer than another."""
    return RUNTIMES.index(one) > RUNTIMES.index(other)


def oldest(operator: str, bits: int, *, per_channel: bool, row: int) -> RuntimeName | None:
    """The oldest runtime that runs an operator with such weights right; None where none does.

    Args:
        operator: Its name: ``FULLY_CONNECTED``.
        bits: Of a weight.
        per_channel: Whether each channel has its own scale.
        row: How many weights an output channel has.
    """
    kernel = KERNELS.get((operator, bits, per_channel))
    if kernel is None:
        return None
    # 2.14 reads over the end of such rows: wrong numbers, or the process ends.
    is_misread = bits == 4 and row % 2 == 0 and row % 32 > 16
    return "litert-2.1" if kernel.runtime == "tflite-2.14" and is_misread else kernel.runtime


# The highest version of an operator, where the newest runtime has a higher one (0: none at all).
LIMITS: dict[RuntimeName, str] = {
    "tflite-2.14": """
        ADD=5 BROADCAST_TO=3 CAST=5 CONCATENATION=4 CONV_2D=7 COS=1 DEQUANTIZE=5 DILATE=0
        DYNAMIC_UPDATE_SLICE=1 EMBEDDING_LOOKUP=3 EQUAL=4 FILL=4 FULLY_CONNECTED=10 GATHER=6
        GATHER_ND=4 GELU=2 LOG=1 MUL=7 NOT_EQUAL=3 PACK=4 PAD=4 PADV2=4 QUANTIZE=3 REDUCE_WINDOW=0
        REVERSE_V2=3 RSQRT=2 SIN=1 SLICE=6 SOFTMAX=3 SPLIT=4 SPLIT_V=2 SQRT=1 TRANSPOSE=6
        TRANSPOSE_CONV=4 UNPACK=4
    """,
    "litert-2.1": """
        BROADCAST_TO=3 CAST=8 CONCATENATION=6 DEQUANTIZE=8 FILL=4 GATHER=7 GATHER_ND=5 PACK=4 PAD=5
        PADV2=5 REVERSE_V2=3 SPLIT=4 SPLIT_V=2 UNPACK=5
    """,
}
# Only the newest runtime was seen to run these.
NEWEST_ONLY = "STABLEHLO_"
# What LiteRT for Microcontrollers has, in any version.
MICRO = frozenset(
    """
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND
    BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM
    DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL
    EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER
    GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG
    LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM
    MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX
    REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT
    SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE
    SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV
    UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
    """.split()  # noqa: SIM905 - a list of strings takes three times the lines
)


def packed_kind(model: Any, graph: Any, operator: Any) -> str:
    """The name of an operator as ``KERNELS`` has it."""
    kind = flat.kind(model, operator)
    if kind != "CONV_2D":
        return kind
    given, weights = (flat.shape(graph.tensors[operator.inputs[index]]) for index in (0, WEIGHTS))
    return kind if given[-1] == weights[-1] else GROUPED


def oldest_runtime(content: bytes) -> tuple[RuntimeName, str]:
    """The oldest runtime that is known to run a file.

    Args:
        content: A ``.tflite`` of builtin operators.

    Returns:
        The runtime, and the operator that needs it; empty where all do.
    """
    found: tuple[RuntimeName, str] = (RUNTIMES[0], "")
    for needed, why in _needs(flat.read(content)):
        if is_newer(needed, found[0]):
            found = needed, why
    return found


def _needs(model: Any) -> Iterator[tuple[RuntimeName, str]]:
    for graph, operator in flat.operators(model):
        kind = flat.kind(model, operator)
        version = int(model.operatorCodes[operator.opcodeIndex].version)
        yield _needed(kind, version), f"{kind} version {version}"
        for bits, per_channel, row in _float_fed(model, graph, operator):
            packed = packed_kind(model, graph, operator)
            runtime = oldest(packed, bits, per_channel=per_channel, row=row)
            if runtime is not None:
                yield runtime, f"{kind} with {bits}-bit weights"


def _needed(kind: str, version: int) -> RuntimeName:
    if kind.startswith(NEWEST_ONLY):
        return RUNTIMES[-1]
    for name, text in LIMITS.items():
        limits = dict(entry.split("=") for entry in text.split())
        if version <= int(limits.get(kind, version)):
            return name
    return RUNTIMES[-1]


def _float_fed(model: Any, graph: Any, operator: Any) -> Iterator[tuple[int, bool, int]]:
    """Bits, per-channel scales and row length of integer weights beside float activations."""
    kind = flat.kind(model, operator)
    if kind not in CHANNELS or len(operator.inputs) <= WEIGHTS:
        return
    given, weights = (graph.tensors[operator.inputs[index]] for index in (0, WEIGHTS))
    bits = {code: width for width, code in flat.INTEGERS.items()}.get(weights.type)
    if bits is None or given.type != schema.TensorType.FLOAT32:
        return
    sizes = flat.shape(weights)
    row = int(np.prod(sizes)) // sizes[CHANNELS[kind]]
    scales = weights.quantization.scale if weights.quantization else None
    yield bits, scales is not None and len(scales) > 1, row


def hybrid_operators(content: bytes) -> list[str]:
    """The operators of a file that read integer weights beside float activations, which they
    quantize while computing; each kind once.
    """
    model = flat.read(content)
    found = {
        flat.kind(model, operator): None
        for graph, operator in flat.operators(model)
        for _ in _float_fed(model, graph, operator)
    }
    return list(found)


def not_on_micro(content: bytes) -> list[str]:
    """What of a file LiteRT for Microcontrollers does not run, as phrases; none where it runs."""
    model = flat.read(content)
    found: dict[str, None] = {}
    for graph, operator in flat.operators(model):
        kind = flat.kind(model, operator)
        if kind not in MICRO:
            found[f"the operator {kind}"] = None
        for _ in _float_fed(model, graph, operator):
            found["integer weights beside float activations"] = None
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.type == schema.TensorType.FLOAT16:
                found["float16 weights"] = None
            if tensor.shapeSignature is not None and min(tensor.shapeSignature, default=0) < 0:
                found["a batch of any size"] = None
    return list(found)
