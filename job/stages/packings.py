"""The packing of a file's kernels whose encoding is smallest.

Ternary values can be stored in 2, 4 or 8 bits. Packed bytes are fewer, and look less alike: which
is smaller once it is encoded differs from kernel to kernel, so it is tried.
"""

from __future__ import annotations

import itertools
import lzma
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import zopfli.gzip

from job.stages.pack import Plan, write
from job.tflite.bits import pack

# What zopfli takes is encoded with it, to compare packings; what is larger with xz.
ZOPFLI_BYTES = 1 << 20
# So many combinations of packings are all written and compared by zlib, which is fast. Those that
# it makes at most so much larger than its smallest are encoded: all of them while they are so few
# bytes together, as zlib and zopfli don't agree to the byte, and at least so many.
MOST_COMBINATIONS = 27
WORTH_A_TRY = 1.1
ENCODED_BYTES = 1 << 18
LEAST_ENCODED = 4


@dataclass(frozen=True)
class Packed:
    """A file, and what was done."""

    content: bytes
    bits: tuple[int, ...]
    """Of each plan's kernel."""
    tried: Mapping[str, int]
    """By packing, the bytes of the encoded file."""


def encoded_size(content: bytes) -> int:
    """The bytes of a file once it is encoded: in zopfli, or in xz where it is large."""
    if len(content) <= ZOPFLI_BYTES:
        return len(zopfli.gzip.compress(content))
    return len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))


def smallest(
    content: bytes,
    plans: Sequence[Plan],
    *,
    halves: bool,
    finish: Callable[[bytes], bytes] = lambda content: content,
) -> Packed:
    """The packing whose encoding is smallest.

    Of few combinations all are compared. Of many, each kernel's smallest on its own is, beside
    those that give all kernels the same bits.

    Args:
        content: The file.
        plans: Of its kernels.
        halves: Whether biases become bfloat16 values.
        finish: What is done to a packed file before it is encoded.
    """
    files = {
        bits: finish(write(content, plans, bits, halves=halves)) for bits in _combinations(plans)
    }
    rough = {bits: len(zlib.compress(file, 9)) for bits, file in files.items()}
    count = max(LEAST_ENCODED, ENCODED_BYTES // max(map(len, files.values())))
    likely = sorted(rough, key=lambda bits: rough[bits])[:count]
    sizes = {
        bits: encoded_size(files[bits])
        for bits in likely
        if rough[bits] <= min(rough.values()) * WORTH_A_TRY
    }
    best = min(sizes, key=lambda bits: (sizes[bits], len(files[bits])))
    tried = {",".join(map(str, bits)): size for bits, size in sizes.items()}
    return Packed(files[best], best, tried)


def _combinations(plans: Sequence[Plan]) -> list[tuple[int, ...]]:
    choices = [it.packings for it in plans]
    if int(np.prod([len(it) for it in choices], dtype=np.float64)) <= MOST_COMBINATIONS:
        return list(itertools.product(*choices))
    alone = tuple(_smallest_alone(it) for it in plans)
    same = [
        tuple(min((w for w in it if w >= least), default=it[-1]) for it in choices)
        for least in (2, 4, 8)
    ]
    return list(dict.fromkeys([alone, *same]))


def _smallest_alone(planned: Plan) -> int:
    """The bits in which a kernel's bytes are smallest once zlib has encoded them."""
    sizes = {
        width: len(zlib.compress(pack(planned.grid.values, width).tobytes(), 9))
        for width in planned.packings
    }
    return min(sizes, key=lambda width: sizes[width])
