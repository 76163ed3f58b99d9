"""Whether a ``.tflite`` is what its variant promises.

The converter does not report everything: it keeps float inputs and outputs unless it is set
otherwise, and float tensors inside where it has no integer kernel. So the file is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from job.errors import StageError
from job.manifest.quantize import (
    HALF,
    CalibratedConfig,
    IntegerConfig,
    QuantizeConfig,
    WeightOnlyConfig,
)
from job.metrics import litert
from job.result.artifact import TensorResult
from job.tflite.runtimes import hybrid_operators, is_newer, not_on_micro, oldest_runtime
from job.tflite.weights import SMALL

STATEFUL = (
    "its recurrent layers keep their state from call to call: call reset_all_variables() "
    "before each sequence"
)
# What kernels can be; constants of other types are shapes and axes.
NUMBERS = ("float32", "float16", "int8", "uint8", "int16", "int4", "int2")
# What kernels may be where int8 is promised: the same integers in fewer bits.
NARROWER = {"int8": ("int8", "int4", "int2")}


def check(
    config: QuantizeConfig,
    path: Path,
    inputs: Sequence[TensorResult],
    outputs: Sequence[TensorResult],
) -> list[str]:
    """Check a file against the variant that it was made for.

    Args:
        config: The variant.
        path: The ``.tflite``.
        inputs: Its inputs.
        outputs: Its outputs.

    Returns:
        Notes on the file for the user.

    Raises:
        StageError: Where a promise is broken.
    """
    where = f"quantize, {path.name}"
    custom = litert.custom_operators(path)
    if custom:
        raise StageError(
            f"The file needs operators that the plain interpreter lacks: {', '.join(custom)}.",
            where=where,
            hint="Replace the layers that they come from, or leave this variant out.",
        )
    _check_target(config, path, where)
    tensors = list(litert.tensors(path))
    notes = [STATEFUL] if any(it.is_state for it in tensors) else []
    if isinstance(config, CalibratedConfig):
        return [*notes, _check_integer(config, tensors, inputs, outputs, where)]
    quantized = sorted({it.dtype for it in [*inputs, *outputs] if it.scale is not None})
    if quantized:
        raise StageError(f"Inputs or outputs are {', '.join(quantized)}, not float.", where=where)
    if isinstance(config, WeightOnlyConfig) and (found := hybrid_operators(path.read_bytes())):
        raise StageError(
            f"Activations are rounded while computing, by {', '.join(found)}.",
            where=where,
            hint="Ask for dynamic_range, which may do so, and report the model.",
        )
    return [*notes, *_check_kernels(config, tensors, where)]


def _check_target(config: QuantizeConfig, path: Path, where: str) -> None:
    """Refuse a file that the target can't run."""
    target = config.target
    if target is None:
        return
    content = path.read_bytes()
    if target == "tflm":
        lacking = not_on_micro(content)
        if lacking:
            raise StageError(
                f"LiteRT for Microcontrollers does not run the file: it has {', '.join(lacking)}.",
                where=where,
                hint="Ask for int8 or float32, or replace the layers that they come from.",
            )
        return
    runtime, why = oldest_runtime(content)
    if is_newer(runtime, target):
        raise StageError(
            f"The file needs {runtime}, for {why}, and the target is {target}.",
            where=where,
            hint="Choose another target, or leave this variant out.",
        )


def _check_integer(
    config: IntegerConfig,
    tensors: Sequence[litert.FlatTensor],
    inputs: Sequence[TensorResult],
    outputs: Sequence[TensorResult],
    where: str,
) -> str:
    for what, asked, found in (
        ("inputs", config.input_dtype, inputs),
        ("outputs", config.output_dtype, outputs),
    ):
        other = sorted({it.dtype for it in found if not _is_integer(it)} - {asked})
        if other:
            raise StageError(f"The {what} are {', '.join(other)}, not {asked}.", where=where)
    drawn = [it.name for it in tensors if it.dtype.startswith("float") and it.is_random]
    floats = [it.name for it in tensors if it.dtype.startswith("float") and not it.is_random]
    allowed = sum(it.dtype == "float32" for it in [*inputs, *outputs])
    if len(floats) > allowed:
        raise StageError(
            f"{len(floats) - allowed} tensors were left in float: {', '.join(floats[:5])}.",
            where=where,
            hint="A layer has no integer kernel; leave this variant out, or replace the layer.",
        )
    if not any(it.values is None and it.dtype == config.activations for it in tensors):
        raise StageError(f"No activation is {config.activations}.", where=where)
    given, answered = (", ".join(sorted({it.dtype for it in ends})) for ends in (inputs, outputs))
    but = f" but {len(drawn)} of random numbers, which are drawn in float" if drawn else ""
    return f"inputs {given}, outputs {answered}, no float tensor inside{but}"


def _is_integer(tensor: TensorResult) -> bool:
    """Whether it is an index, a key or a flag: what was float in the model has a scale."""
    return tensor.scale is None and not tensor.dtype.startswith("float")


def _check_kernels(
    config: QuantizeConfig, tensors: Sequence[litert.FlatTensor], where: str
) -> list[str]:
    promised = config.kernels
    constants = [it for it in tensors if it.values is not None and it.dtype in NUMBERS]
    kernels = [it for it in constants if it.rank >= 2 and it.elements >= SMALL]
    kept = NARROWER.get(promised, (promised,))
    if isinstance(config, WeightOnlyConfig) and HALF in config.widths.values():
        kept = (*kept, "float16")
    other = [it for it in kernels if it.dtype not in kept]
    found = ", ".join(f"{it.name} ({it.dtype})" for it in other[:5])
    # An operator is left in float as a whole: a Conv3D always, an LSTM for one small kernel.
    some = config.some_kernels_stay_float and any(it.dtype in kept for it in constants)
    if other and not some:
        raise StageError(
            f"Kernels are not {promised}: {found}.",
            where=where,
            hint="Leave this variant out; the converter has no such kernels for these layers.",
        )
    if other:
        return [f"{len(other)} kernels stay float, since their operators do: {found}"]
    small = [it for it in constants if it.dtype == "float32"]
    if config.some_kernels_stay_float and small:
        return [f"{len(small)} tensors stay float32: biases, and what has under {SMALL:,} elements"]
    return []
