"""pack: the kernels of a dynamic-range ``.tflite`` as integers of 8, 4 or 2 bits.

Weights that were trained for a grid are written without a loss, as the integers that they are;
others are rounded (``job/tflite/grid.py``). The same integers can be stored in more bits than they
need: ``packings.py`` chooses. Scales and biases become bfloat16 values, whose lower half is zeros:
at most 2**-8 of the value off, and 2**-7 for scales that weights are rounded with anyway. Where it
is asked for, the 4-bit weights of FULLY_CONNECTED have a scale for each block
(``job/tflite/blocks.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from job.errors import StageError
from job.manifest.quantize import DynamicRangeConfig, PackedConfig
from job.stages.kernels import FlatKernel
from job.tflite import blocks, flat, tidy
from job.tflite.bits import LEVELS
from job.tflite.grid import Grid, bfloat16, exact, rounded
from job.tflite.runtimes import BIAS, BLOCKWISE, KERNELS, RUNTIMES, RuntimeName, is_newer, oldest

# What runs a file whose target was left out.
NEWEST = RUNTIMES[-1]
TOO_LARGE = "the weights have values up to {}, which do not fit into {} bits"


@dataclass(frozen=True)
class Plan:
    """A kernel as integers, and how it can be stored."""

    kernel: FlatKernel
    asked: int
    """Bits."""
    grid: Grid
    packings: tuple[int, ...]
    """Bits, the fewest first; 8 is always among them, but where scales are blockwise."""
    reason: str
    unblocked: str = ""
    """Why it has no blockwise scales, where they were asked for."""


def plan(
    kernels: Sequence[FlatKernel], config: DynamicRangeConfig, bits: Mapping[str, int]
) -> list[Plan]:
    """Decide how each kernel can be stored.

    Args:
        kernels: Of the file.
        config: The variant.
        bits: By layer, the bits asked for; others have the variant's.

    Raises:
        StageError: Where weights should have 2 bits, and are not ternary.
    """
    halves = rounds_scales(config, bits)
    target = runtime_of(config)
    return [
        _planned(it, bits.get(it.layer, config.weight_bits), config, target, halves=halves)
        for it in kernels
    ]


def runtime_of(config: Any) -> RuntimeName:
    """The oldest runtime that has to run a variant's file."""
    return config.target if config.target in RUNTIMES else NEWEST


def rounds_scales(config: PackedConfig, bits: Mapping[str, int]) -> bool:
    """Whether scales and biases become bfloat16 values: where bytes count most."""
    return config.slim or min([config.weight_bits, *bits.values()]) < 8


def _planned(
    kernel: FlatKernel,
    asked: int,
    config: DynamicRangeConfig,
    target: RuntimeName,
    *,
    halves: bool,
) -> Plan:
    unblocked = ""
    if config.blockwise is not None and asked == blocks.BITS:
        unblocked = _why_no_blocks(kernel, config.blockwise, target)
        if not unblocked:
            return _in_blocks(kernel, config.blockwise)
    grid, reason = _grid(kernel, asked, config, target, halves=halves)
    if halves and grid.is_exact:
        grid = Grid(grid.values, bfloat16(grid.scales), is_exact=True)
    packings = tuple(
        b for b in (2, 4, 8) if grid.most <= LEVELS[b] and _runs(kernel, b, grid, target)
    )
    if min(packings) > asked and not reason:
        fits = grid.most <= LEVELS[asked]
        reason = (
            f"{target} has no {asked}-bit kernel of {kernel.kind}"
            if fits
            else TOO_LARGE.format(grid.most, asked)
        )
    return Plan(kernel, asked, grid, packings, reason, unblocked)


def _why_no_blocks(kernel: FlatKernel, block: int, target: RuntimeName) -> str:
    """Why a kernel can't have blockwise scales; empty where it can."""
    found = BLOCKWISE.get((kernel.kind, blocks.BITS))
    if found is None:
        return f"{kernel.kind} has no kernel that takes them"
    if is_newer(found.runtime, target):
        return f"{target} has no kernel that takes them"
    misfit = blocks.why_not(kernel.weights.shape[kernel.axis], kernel.row, block)
    if misfit:
        return misfit
    largest = float(np.abs(kernel.weights).max(initial=0))
    if not largest <= blocks.MOST * blocks.LARGEST:
        return f"its largest weight, {largest:g}, is more than float16 scales can hold"
    return ""


def _in_blocks(kernel: FlatKernel, block: int) -> Plan:
    grid, reason = blocks.exact(kernel.weights, block), ""
    if grid is None:
        grid = blocks.rounded(kernel.weights, block)
        reason = f"rounded to 4 bits in blocks of {block}, since the weights lie on no such grid"
    return Plan(kernel, blocks.BITS, grid, (blocks.BITS,), reason)


def _grid(
    kernel: FlatKernel,
    asked: int,
    config: DynamicRangeConfig,
    target: RuntimeName,
    *,
    halves: bool,
) -> tuple[Grid, str]:
    """The integers of a kernel, with scales as its operator takes them; and what was changed."""
    takes = {
        per_channel
        for per_channel in (False, True)
        if _stores(kernel, 8, target, per_channel=per_channel)
    }
    found = exact(kernel.weights, kernel.axis)
    channels = kernel.weights.shape[kernel.axis]
    if found is not None and found.scales.size == 1 and False not in takes:
        found = Grid(found.values, np.repeat(found.scales, channels), is_exact=True)
    is_per_channel = found is not None and found.scales.size > 1
    if found is not None and (not is_per_channel or True in takes):
        return found, ""
    if asked == 2:
        why = f"{target} takes one scale for a {kernel.kind}" if is_per_channel else "not trained"
        raise not_ternary(kernel, why)
    per_channel = (config.per_channel and True in takes) or False not in takes
    fewest = asked if _stores(kernel, asked, target, per_channel=per_channel) else 8
    grid = rounded(
        *(kernel.weights, kernel.axis, LEVELS[fewest]), per_channel=per_channel, halves=halves
    )
    reason = "" if asked == 8 else f"rounded to {fewest} bits, since the weights lie on no grid"
    if is_per_channel:
        reason = f"rounded to one scale, since {target} takes no scale for each channel"
    return grid, reason


def not_ternary(kernel: FlatKernel, why: str) -> StageError:
    """The error of weights that should have 2 bits, and can't be written so."""
    return StageError(
        f"The weights of {kernel.layer or kernel.kind} should have 2 bits, and are not "
        f"ternary with the scales that the file can have ({why}).",
        where="quantize",
        hint="Train for it (aware), with per_channel false for a target of one scale.",
    )


def _stores(kernel: FlatKernel, bits: int, target: RuntimeName, *, per_channel: bool) -> bool:
    needed = oldest(kernel.kind, bits, per_channel=per_channel, row=kernel.row)
    return needed is not None and not is_newer(needed, target)


def _runs(kernel: FlatKernel, bits: int, grid: Grid, target: RuntimeName) -> bool:
    per_channel = grid.scales.size > 1 or (kernel.kind, 8, False) not in KERNELS
    return _stores(kernel, bits, target, per_channel=per_channel)


def write(content: bytes, plans: Sequence[Plan], bits: Sequence[int], *, halves: bool) -> bytes:
    """A file with its kernels packed.

    Args:
        content: The file.
        plans: Of its kernels.
        bits: Of each.
        halves: Whether the biases of packed kernels become bfloat16 values.
    """
    model = flat.read(content)
    for it, width in zip(plans, bits, strict=True):
        graph = model.subgraphs[it.kernel.graph]
        tensor = graph.tensors[it.kernel.tensor]
        grid, axis = it.grid, it.kernel.axis
        if grid.block is not None:
            blocks.with_blocks(model, graph, tensor, grid)
            version = BLOCKWISE[it.kernel.kind, width].version
        else:
            flat.with_integers(model, tensor, grid.values, grid.scales, axis, width)
            per_channel = grid.scales.size > 1 or (it.kernel.kind, width, False) not in KERNELS
            version = KERNELS[it.kernel.kind, width, per_channel].version
        for index in it.kernel.operators:
            operator = graph.operators[index]
            flat.set_version(model, operator, version)
            if it.kernel.kind == "FULLY_CONNECTED":
                operator.builtinOptions.asymmetricQuantizeInputs = True
            if halves:
                round_bias(model, graph, operator)
    for graph in model.subgraphs:
        blocks.with_activations_apart(model, graph)
    tidy.without_unused_tensors(model)
    tidy.without_unused_buffers(model)
    return flat.write(model)


def round_bias(model: Any, graph: Any, operator: Any) -> None:
    """Make an operator's bias bfloat16 values, where it is a constant."""
    if len(operator.inputs) <= BIAS or operator.inputs[BIAS] < 0:
        return
    tensor = graph.tensors[operator.inputs[BIAS]]
    values = flat.constant(model, tensor)
    if values is not None and values.dtype == np.float32:
        flat.with_buffer(model, tensor, bfloat16(values.astype(np.float32)))
