"""What the result says of the kernels of a packed file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from job.manifest.quantize import PackedConfig, WeightOnlyConfig
from job.result.packed import KernelResult
from job.stages.kernels import OtherKernel, in_file
from job.stages.pack import Plan
from job.stages.weight_only import STORED
from job.tflite import flat
from job.tflite.blocks import details_of, scale_count
from job.tflite.weights import SMALL

FLOAT32 = 32
BLOCKS = (
    "a scale for each {} weights of a row, which XNNPACK and LiteRT's built-in kernels compute; "
    "the reference kernels answer with zeros, without an error, and LiteRT for Microcontrollers "
    "does not run the file"
)


def record(file: Any, planned: Plan) -> KernelResult:
    """What the result says of a kernel, as it is in a file."""
    tensor, values = in_file(file, planned.kernel)
    graph = file.subgraphs[planned.kernel.graph]
    bits = flat.PACKED.get(tensor.type, values.dtype.itemsize * 8)
    reason = planned.reason
    if not reason and bits != planned.asked:
        reason = f"the same integers encode smaller in {bits} bits"
    if planned.unblocked:
        reason = "; ".join(filter(None, (reason, f"no blocks: {planned.unblocked}")))
    blocks = details_of(tensor)
    return KernelResult(
        layer=planned.kernel.layer or planned.kernel.kind.lower(),
        operator=planned.kernel.kind,
        asked_bits=planned.asked,
        bits=bits,
        scales=scale_count(file, graph, tensor),
        block_size=None if blocks is None else int(blocks.blockSize),
        is_lossless=planned.grid.is_exact,
        reason=reason,
        elements=values.size,
        zeros=int((values == 0).sum()),
        distinct=int(np.unique(values).size),
    )


def block_notes(kernels: Sequence[KernelResult], plans: Sequence[Plan], block: int) -> list[str]:
    """What the result says of blockwise scales, as sentences.

    Args:
        kernels: Of the file, as they are described.
        plans: How they were packed.
        block: The size of a block that was asked for.
    """
    named = {
        it.kernel.layer or it.kernel.kind.lower(): it.unblocked for it in plans if it.unblocked
    }
    said = [f"{name} has no scales for blocks of {block}: {why}" for name, why in named.items()]
    there = [it.layer for it in kernels if it.block_size]
    if not there:
        return [*said, f"no kernel has scales for blocks of {block}, though they were asked for"]
    return [f"{', '.join(there)}: {BLOCKS.format(block)}", *said]


def other_record(
    kernel: OtherKernel, config: PackedConfig, bits: Mapping[str, int]
) -> KernelResult:
    """What the result says of a kernel whose operator takes no packed weights."""
    asked = bits.get(kernel.layer, config.weight_bits)
    reason = ""
    if kernel.bits != asked:
        reason = f"{kernel.kind} has no kernels of {asked}-bit weights here; it is as converted"
        if isinstance(config, WeightOnlyConfig):
            is_small = kernel.bits == FLOAT32
            reason = f"{kernel.kind} has fewer than {SMALL:,} weights here" if is_small else STORED
    return KernelResult(
        layer=kernel.layer or kernel.kind.lower(),
        operator=kernel.kind,
        asked_bits=asked,
        bits=kernel.bits,
        scales=kernel.scales,
        is_lossless=kernel.values.dtype == np.float32,
        reason=reason,
        elements=kernel.values.size,
        zeros=int((kernel.values == 0).sum()),
        distinct=int(np.unique(kernel.values).size),
    )
