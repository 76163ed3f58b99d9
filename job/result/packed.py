"""What is said of a ``.tflite`` whose weights were packed, or which was made slim."""

from __future__ import annotations

from typing import Literal

from job.result.record import Record


class KernelResult(Record):
    """A kernel in the file."""

    layer: str
    """The Keras layer; where it is not known, the file's name of what the operator computes."""
    operator: str
    """Of TFLite: ``FULLY_CONNECTED``."""
    asked_bits: Literal[16, 8, 4, 2]
    bits: int
    """Of a weight in the file; 32 and 16 are floats."""
    scales: int
    """One, one for each output channel, or one for each block; 0 for floats."""
    block_size: int | None = None
    """How many weights of a row share a scale; null where scales are not blockwise."""
    is_lossless: bool
    """Whether the weights were multiples of their scale already: by training, or by clustering."""
    reason: str = ""
    """Why it has other bits or scales than were asked for, or was rounded."""
    elements: int
    zeros: int
    distinct: int
    """How many different integers there are; of floats, different values."""


class PackedResult(Record):
    """How a file was packed and made slim."""

    kernels: list[KernelResult] = []
    tried: dict[str, int] = {}
    """By packing, the bytes of the encoded file; the smallest was taken."""
    encoder: Literal["zopfli", "xz"] = "zopfli"
    """What they were encoded with."""
    notes: list[str] = []
    """What was done with it, as sentences."""
    opened_by: dict[str, float] = {}
    """By how its operators are run (``xnnpack``, ``builtin``, ``reference``), each in a process of
    its own: the largest difference from the first one's outputs. The reference kernels do not
    compute blockwise scales, and are not there then."""
