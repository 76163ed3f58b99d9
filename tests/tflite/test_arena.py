"""The arena holds all tensors that live at one time, and is what tflite-micro plans."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from job.stages.prepare import with_batch
from job.stages.quantize import convert
from job.stages.slim import without
from job.tflite.arena import Lifetime, arena_bytes, planned
from tests.support.flat import pictures, small_model, variant

TENSORS = st.lists(
    st.builds(
        lambda size, first, length: Lifetime(size * 16, first, first + length),
        st.integers(1, 50),
        st.integers(0, 6),
        st.integers(0, 4),
    ),
    max_size=12,
)


@given(TENSORS)
def test_it_is_between_what_lives_at_once_and_everything(tensors: list[Lifetime]) -> None:
    """Never smaller than the largest sum of one step."""
    found = planned(tensors)
    steps = range(12)
    at_once = [sum(it.size for it in tensors if it.first <= step <= it.last) for step in steps]
    assert max(at_once) <= found <= sum(it.size for it in tensors)


def test_tensors_of_different_times_share_bytes() -> None:
    """A chain needs two neighbours at a time."""
    chain = [Lifetime(64, step, step + 1) for step in range(5)]
    assert planned(chain) == 128
    assert planned([]) == 0


def test_the_sum_is_that_of_the_tensors() -> None:
    """Of a picture of 8 x 8 x 2, a convolution's 6 x 6 x 6 and its flat copy."""
    model = with_batch(small_model(8), 1)
    floats = convert(model, variant("float32"), (), "x")
    assert arena_bytes(floats) == 6 * 6 * 6 * 4 * 2  # the picture has room in the copy's place
    flat = without(floats, model.input_names, model.output_names)
    assert arena_bytes(flat) == 8 * 8 * 2 * 4 + 6 * 6 * 6 * 4  # nothing is copied
    integers = convert(model, variant("int8"), (pictures(5),), "x")
    assert arena_bytes(integers) == 224 * 2  # 216 is no multiple of 16
