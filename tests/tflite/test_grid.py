"""The integers that weights were made of are found again; other weights are rounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from job.tflite.grid import bfloat16, exact, rounded, step

SCALES = st.floats(2.0**-20, 2.0**10, width=32, allow_subnormal=False)
LEVELS = st.sampled_from([1, 7, 127])


def integers(levels: int, shape: tuple[int, ...], seed: int) -> NDArray[np.int8]:
    """Random ones that use the step 1 and the last level in every channel."""
    values = np.random.default_rng(seed).integers(-levels, levels + 1, shape).astype(np.int8)
    values[:, 0], values[:, 1] = 1, levels
    return values


@given(scale=SCALES, levels=LEVELS, seed=st.integers(0, 99))
def test_one_scale_is_found(scale: float, levels: int, seed: int) -> None:
    """The weights are whole multiples of it, but for the rounding of float32."""
    values = integers(levels, (5, 12), seed)
    found = exact(values.astype(np.float32) * np.float32(scale), axis=0)
    assert found is not None
    assert found.is_exact
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_allclose(found.scales, [scale], rtol=1e-6)


@given(scale=SCALES, levels=LEVELS, seed=st.integers(0, 99))
def test_channels_that_were_multiplied_have_scales_of_their_own(
    scale: float, levels: int, seed: int
) -> None:
    """As after a BatchNormalization was folded into the kernel, which may change the sign."""
    values = integers(levels, (5, 12), seed)
    random = np.random.default_rng(seed)
    factors = (random.uniform(0.1, 5, 5) * random.choice([-1, 1], 5)).astype(np.float32)
    folded = values.astype(np.float32) * np.float32(scale) * factors[:, None]
    found = exact(folded, axis=0)
    assert found is not None
    real = found.values * found.scales.reshape(-1, 1) if found.scales.size > 1 else None
    if real is None:  # all channels lie on one grid by chance
        real = found.values * found.scales
    np.testing.assert_allclose(real, folded, rtol=1e-5)
    assert found.most <= 127


@given(seed=st.integers(0, 99))
def test_trained_weights_lie_on_no_grid(seed: int) -> None:
    """Random numbers are not taken for multiples of something."""
    weights = np.random.default_rng(seed).normal(size=(4, 200)).astype(np.float32)
    assert exact(weights, axis=0) is None


def test_a_larger_number_of_levels_is_no_grid() -> None:
    """Integers up to 200 do not fit into 8 bits."""
    assert step(np.arange(1, 201) * 0.5, 127) is None
    assert step(np.arange(1, 128) * 0.5, 127) == pytest.approx(0.5)


def test_the_step_is_the_largest_one() -> None:
    """Even numbers have a step of 2, zeros one of 0."""
    assert step(np.array([-4.0, 0, 6, 2]), 127) == pytest.approx(2)
    assert step(np.array([4.0, 6.0]), 7) == pytest.approx(2)
    assert step(np.zeros(4), 7) == 0


def test_a_channel_of_zeros_has_a_scale_that_runtimes_take() -> None:
    """XNNPACK refuses a scale of 0; the one before is repeated."""
    weights = np.array([[0, 0, 0], [0.5, 1, 0], [0, 0, 0], [0.317, -0.317, 0]], np.float32)
    found = exact(weights, axis=0)
    assert found is not None
    np.testing.assert_allclose(found.scales, [0.5, 0.5, 0.5, 0.317])
    assert exact(np.zeros((2, 3), np.float32), axis=0) is not None
    other = rounded(np.zeros((2, 3), np.float32), 0, 127, per_channel=True)
    assert (other.scales > 0).all()


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("halves", [True, False])
@pytest.mark.parametrize("levels", [7, 127])
def test_other_weights_are_rounded_by_half_a_step(
    levels: int, per_channel: bool, halves: bool
) -> None:
    """None is clipped, also where scales are bfloat16 values."""
    weights = np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype(np.float32)
    found = rounded(weights, 3, levels, per_channel=per_channel, halves=halves)
    assert found.scales.size == (6 if per_channel else 1)
    assert found.most <= levels
    assert (np.abs(found.values * found.scales - weights) <= found.scales * 0.5001).all()
    low_halves = found.scales.view(np.uint32) & 0xFFFF
    assert (low_halves == 0).all() == halves


@given(
    st.lists(
        st.floats(-(2.0**90), 2.0**90, width=32).filter(lambda value: abs(value) > 2.0**-90),
        min_size=1,
    )
)
def test_bfloat16_values_are_near(values: list[float]) -> None:
    """At most 2**-8 of the value off, rounded up 2**-7, and the lower half is zeros."""
    array = np.array(values, np.float32)
    near, above = bfloat16(array), bfloat16(array, up=True)
    assert (np.abs(near - array) <= np.abs(array) * 2.0**-8).all()
    assert (np.abs(above) >= np.abs(array)).all()
    assert (np.abs(above) <= np.abs(array) * (1 + 2.0**-7)).all()
    assert not (near.view(np.uint32) & 0xFFFF).any()
