"""Of all packings of the same integers the one whose encoding is smallest is taken."""

from __future__ import annotations

import itertools

import numpy as np
import zopfli.gzip

from job.manifest.quantize import DynamicRangeConfig
from job.stages.kernels import kernels, layers_in
from job.stages.pack import plan, write
from job.stages.packings import ZOPFLI_BYTES, encoded_size, smallest
from tests.support.flat import floats, small_model


def test_the_smallest_of_all_combinations_is_taken() -> None:
    """And what was tried is reported, in bytes of zopfli."""
    model = small_model(2)
    content = floats(model)
    config = DynamicRangeConfig(type="dynamic_range", weight_bits=4)
    plans = plan(kernels(content, content, layers_in(model)), config, {})
    found = smallest(content, plans, halves=True)
    sizes = {
        bits: len(zopfli.gzip.compress(write(content, plans, bits, halves=True)))
        for bits in itertools.product(*(it.packings for it in plans))
    }
    assert len(sizes) == 6
    assert sizes[found.bits] == min(found.tried.values()) == min(sizes.values())
    assert found.content == write(content, plans, found.bits, halves=True)


def test_large_files_are_encoded_with_xz() -> None:
    """zopfli takes seconds for each megabyte."""
    assert encoded_size(bytes(ZOPFLI_BYTES + 1)) < 1000
    noise = np.random.default_rng(0).bytes(2000)
    assert encoded_size(noise) == len(zopfli.gzip.compress(noise))
