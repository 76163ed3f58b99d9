"""Integers of 2, 4 and 8 bits in bytes, as TFLite packs INT2, INT4 and INT8 tensors.

The first value is in the lowest bits of the first byte. Rows are not padded: the tensor is one run
of values, and only its last byte may have unused bits, which are 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The largest magnitude of symmetric values: of 2 bits, ternary ones.
LEVELS = {8: 127, 4: 7, 2: 1}


def pack(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Pack integers.

    Args:
        values: Of any shape, within the two's complement range of ``bits``.
        bits: 2, 4 or 8.

    Returns:
        The bytes, (ceil(values * bits / 8),).

    Raises:
        ValueError: Where a value does not fit.
    """
    flat = np.asarray(values, np.int64).reshape(-1)
    if flat.size and not -(1 << bits - 1) <= flat.min() <= flat.max() < 1 << bits - 1:
        raise ValueError(f"values from {flat.min()} to {flat.max()} do not fit into {bits} bits")
    each = 8 // bits
    fields = np.zeros(-(-flat.size // each) * each, np.uint8)
    fields[: flat.size] = flat & (1 << bits) - 1
    shifted = fields.reshape(-1, each) << np.arange(each, dtype=np.uint8) * np.uint8(bits)
    return np.asarray(np.bitwise_or.reduce(shifted, axis=1), np.uint8)


def unpack(data: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.int8]:
    """The first ``count`` integers of packed bytes, (count,)."""
    each = 8 // bits
    shifts = np.arange(each, dtype=np.uint8) * np.uint8(bits)
    fields = (np.asarray(data, np.uint8)[:, None] >> shifts & np.uint8((1 << bits) - 1)).reshape(-1)
    sign = np.uint8(1 << bits - 1)
    return ((fields ^ sign).astype(np.int16) - sign).astype(np.int8)[:count]
