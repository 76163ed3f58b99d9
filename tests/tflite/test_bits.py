"""Packed integers lie in their bytes as TFLite's kernels read them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.tflite.bits import pack, unpack


@given(data=st.data(), bits=st.sampled_from([2, 4, 8]))
def test_what_was_packed_is_unpacked(data: st.DataObject, bits: int) -> None:
    """For any number of values, in as few bytes as they need."""
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    values = np.array(data.draw(st.lists(st.integers(least, most), max_size=40)), np.int8)
    packed = pack(values, bits)
    assert packed.size == -(-values.size * bits // 8)
    np.testing.assert_array_equal(unpack(packed, bits, values.size), values)


def test_the_first_value_is_in_the_lowest_bits() -> None:
    """Two's complement, little end first; what is left of the last byte is 0."""
    assert pack(np.array([1, -1, 7]), 4).tolist() == [0xF1, 0x07]
    assert pack(np.array([1, -1, 0, 1, -1]), 2).tolist() == [0b01_00_11_01, 0b11]
    assert pack(np.array([[-128], [127]]), 8).tolist() == [0x80, 0x7F]


@pytest.mark.parametrize(("value", "bits"), [(8, 4), (-9, 4), (2, 2), (-3, 2), (128, 8)])
def test_a_value_that_does_not_fit_is_an_error(value: int, bits: int) -> None:
    """Nothing is cut off in silence."""
    with pytest.raises(ValueError, match=f"do not fit into {bits} bits"):
        pack(np.array([value]), bits)
