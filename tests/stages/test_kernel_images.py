"""Pictures of kernels, read back."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from job.stages.kernel_images import (
    BLUE,
    DIMMEST,
    LEVELS,
    ORANGE,
    picture,
    pixels,
    scale_of,
    strips_of,
)

SHAPES = [(3, 3, 1, 12), (2028, 10), (10, 2028), (7,), (1, 1), (101, 3), (3, 101), (5, 1, 4000)]


def _kernel(*shape: int) -> NDArray[np.float32]:
    """Noise, of which the smaller half is zero."""
    values = np.random.default_rng(3).normal(0, 0.1, shape).astype(np.float32)
    return np.where(np.abs(values) < 0.07, np.float32(0), values)


def _read(png: str) -> NDArray[np.uint8]:
    """Red, green, blue and opacity of each pixel."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA"))


def _matrix(read: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The pixels of the weights as the matrix that was cut into strips."""
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    if is_wide := columns > rows:
        read, rows, columns = read.swapaxes(0, 1), columns, rows
    parts = [read[:, start : start + columns] for start in range(0, read.shape[1], columns + 1)]
    assert len(parts) == strips_of(shape)
    for start in range(columns, read.shape[1], columns + 1):
        assert (read[:, start, 3] == 0).all()
    whole = np.concatenate(parts)
    assert (whole[rows:, :, 3] == 0).all()
    return whole[:rows].swapaxes(0, 1) if is_wide else whole[:rows]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_has_the_signs_and_the_zeros_of_the_kernel(shape: tuple[int, ...]) -> None:
    """Zeros are exactly black, negative weights blue, positive ones orange."""
    kernel = _kernel(*shape)
    matrix = kernel.reshape(-1, shape[-1])
    read = _matrix(_read(picture(kernel, scale_of(kernel))), shape).astype(int)
    assert (read[..., 3] == 255).all()
    assert np.array_equal(read[..., :3].sum(axis=-1) == 0, matrix == 0)
    assert np.array_equal(read[..., 2] > read[..., 0], matrix < 0)
    assert np.array_equal(read[..., 0] > read[..., 2], matrix > 0)


def test_larger_magnitudes_are_brighter() -> None:
    """From the dimmest to the brightest shade, which all magnitudes from the scale on have."""
    kernel = np.array([[-9.0, -1.0, -1e-30, 0.0, 1e-30, 0.5, 1.0, 9.0]], np.float32)
    read = _read(picture(kernel, 1.0))[0, :, :3]
    assert read[0].tolist() == read[1].tolist() == list(BLUE)
    assert read[2].tolist() == [round(DIMMEST * part) for part in BLUE]
    assert read[4].tolist() == [round(DIMMEST * part) for part in ORANGE]
    assert read[4].sum() < read[5].sum() < read[6].sum()
    assert read[6].tolist() == read[7].tolist() == list(ORANGE)


def test_the_same_kernel_gives_the_same_bytes_and_a_small_file() -> None:
    """Four bits a pixel."""
    kernel = _kernel(2028, 10)
    scale = scale_of(kernel)
    assert picture(kernel, scale) == picture(kernel.copy(), scale)
    assert len(picture(kernel, scale)) < kernel.size / 2 * 4 / 3 + 1000
    assert pixels(kernel, scale).max() <= 2 * LEVELS + 1


def test_a_long_kernel_gives_a_picture_that_can_be_looked_at() -> None:
    """About square, however long the matrix is."""
    for shape in SHAPES[1:3]:
        height, width = pixels(_kernel(*shape), 1.0).shape
        assert 0.5 < height / width < 2


def test_a_kernel_of_zeros_is_black() -> None:
    """There is no magnitude to scale with."""
    kernel = np.zeros((4, 4), np.float32)
    assert not _read(picture(kernel, scale_of(kernel)))[..., :3].any()
