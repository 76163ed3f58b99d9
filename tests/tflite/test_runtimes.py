"""Which runtime a file needs, and what LiteRT for Microcontrollers lacks."""

from __future__ import annotations

import numpy as np
import pytest

from job.stages.prepare import with_batch
from job.stages.quantize import convert
from job.tflite import flat
from job.tflite.runtimes import KERNELS, is_newer, not_on_micro, oldest, oldest_runtime
from tests.support.flat import floats, kernel_of, pictures, small_model, variant


def test_the_default_file_needs_scales_for_channels() -> None:
    """TensorFlow Lite 2.14 has no FULLY_CONNECTED of version 12."""
    content = convert(small_model(8), variant("dynamic_range"), (), "x")
    assert oldest_runtime(content) == ("litert-2.1", "FULLY_CONNECTED version 12")
    assert oldest_runtime(floats(small_model(8))) == ("tflite-2.14", "")


@pytest.mark.parametrize(("bits", "needed"), [(8, "tflite-2.14"), (4, "litert-2.1")])
def test_a_convolution_of_few_bits_needs_a_newer_one(bits: int, needed: str) -> None:
    """2.14 opens it, and answers with NaN."""
    content = floats(small_model(4))
    model, tensor = kernel_of(content, "CONV_2D")
    values = flat.constant(model, tensor)
    assert values is not None
    scale = np.array([0.1], np.float32)
    flat.with_integers(model, tensor, (values * 0).astype("int8"), scale, 0, bits)
    assert oldest_runtime(flat.write(model))[0] == needed


def test_rows_that_2_14_reads_over_their_end_need_a_newer_one() -> None:
    """Even ones of more than 16 values over a multiple of 32, of 4 bits."""
    fine = [1, 2, 16, 17, 32, 33, 48, 63, 64, 128, 2028]
    misread = [18, 30, 50, 62, 126]
    for rows, needed in ((fine, "tflite-2.14"), (misread, "litert-2.1")):
        for row in rows:
            assert oldest("FULLY_CONNECTED", 4, per_channel=False, row=row) == needed
            assert oldest("FULLY_CONNECTED", 8, per_channel=False, row=row) == "tflite-2.14"


def test_what_no_runtime_has_is_known() -> None:
    """A depthwise convolution of one scale, a convolution of 2 bits."""
    assert oldest("DEPTHWISE_CONV_2D", 8, per_channel=False, row=9) is None
    assert oldest("CONV_2D", 2, per_channel=True, row=9) is None
    assert is_newer("litert-2.3", "tflite-2.14")
    assert not is_newer("litert-2.1", "litert-2.1")
    assert all(bits in (2, 4, 8) for _, bits, _ in KERNELS)


@pytest.mark.parametrize(
    ("kind", "lacking"),
    [
        ("float32", []),
        ("int8", []),
        ("float16", ["float16 weights"]),
        ("dynamic_range", ["integer weights beside float activations"]),
    ],
)
def test_micro_runs_integers_or_floats_only(kind: str, lacking: list[str]) -> None:
    """No mixture of both, and a batch of a fixed size."""
    model = with_batch(small_model(8), 1)
    content = convert(model, variant(kind), (pictures(5),), "x")
    assert not_on_micro(content) == lacking
    assert "a batch of any size" in not_on_micro(floats(small_model(8)))
