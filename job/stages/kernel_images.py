"""A kernel as a small picture: a pixel for each weight, zeros black.

Negative weights are blue and positive ones orange, which people of any colour vision can tell
apart; the larger the magnitude, the brighter. Four bits a pixel are enough to see a structure, and
a kernel of noise takes a third of what eight would. The same kernel gives the same bytes.

A kernel of (..., out) is a matrix: a row for each combination of the other axes. A long matrix is
cut into strips of equal length that lie side by side (or, where it is wide, one below another),
with a transparent line between them; what the last strip lacks is transparent, too.
"""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Steps of brightness of each sign.
LEVELS = 7
# Places in the palette: black, the negative ones, the positive ones, and what is no weight.
BLACK, NEGATIVE, POSITIVE, NOTHING = 0, 0, LEVELS, 2 * LEVELS + 1
BITS = 4
BLUE, ORANGE = (86, 180, 255), (255, 176, 0)
# Of the smallest magnitude, which must still differ from black.
DIMMEST = 0.35
# The magnitudes of so many weights, of a hundred, are told apart; a few outliers would leave the
# others dark.
TOLD_APART = 99
# A matrix that is more than so many times as long as the other way is cut into strips.
LONGEST = 4
# Pixels; shorter ones are not cut.
SHORT = 64


def scale_of(*kernels: NDArray[np.generic]) -> float:
    """The magnitude from which on pixels are brightest; 1 where all weights are zero."""
    values = np.abs(np.concatenate([np.asarray(it, np.float64).reshape(-1) for it in kernels]))
    found = values[(values > 0) & np.isfinite(values)]
    return float(np.percentile(found, TOLD_APART)) if found.size else 1.0


def strips_of(shape: tuple[int, ...]) -> int:
    """Into how many strips a kernel of this shape is cut, so that its picture is about square."""
    columns = shape[-1]
    long, short = sorted((math.prod(shape[:-1]), columns), reverse=True)
    return 1 if long <= max(LONGEST * short, SHORT) else round(math.sqrt(long / short))


def pixels(kernel: NDArray[np.generic], scale: float) -> NDArray[np.uint8]:
    """Places in the palette, (height, width), of a kernel's weights."""
    matrix = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
    level = np.ceil(np.minimum(np.abs(np.nan_to_num(matrix)) / scale, 1) * LEVELS)
    level[(matrix != 0) & (level == 0)] = 1  # what underflows is no zero
    found = np.where(matrix == 0, BLACK, level + np.where(matrix < 0, NEGATIVE, POSITIVE))
    is_wide = matrix.shape[1] > matrix.shape[0]
    laid = _in_strips(found.T if is_wide else found, strips_of(kernel.shape))
    return np.ascontiguousarray(laid.T if is_wide else laid).astype(np.uint8)


def _in_strips(matrix: NDArray[Any], count: int) -> NDArray[Any]:
    """A tall matrix as strips side by side."""
    rows = -(-matrix.shape[0] // count)
    strips: list[NDArray[Any]] = []
    for start in range(0, matrix.shape[0], rows):
        strip = matrix[start : start + rows]
        lacking = rows - strip.shape[0]
        line = [] if not strips else [np.full((rows, 1), NOTHING)]
        strips += [*line, np.pad(strip, ((0, lacking), (0, 0)), constant_values=NOTHING)]
    return np.hstack(strips)


def picture(kernel: NDArray[np.generic], scale: float) -> str:
    """A kernel as a PNG with a palette, in base64.

    Args:
        kernel: Of one dimension or more.
        scale: The magnitude from which on pixels are brightest.
    """
    found = pixels(kernel, scale)
    height, width = found.shape
    image = Image.frombytes("P", (width, height), found.tobytes())
    image.putpalette(palette())
    file = io.BytesIO()
    image.save(file, "PNG", bits=BITS, optimize=True, transparency=NOTHING)
    return base64.b64encode(file.getvalue()).decode("ascii")


def palette() -> list[int]:
    """Red, green and blue of each place."""
    steps = [DIMMEST + (1 - DIMMEST) * it / (LEVELS - 1) for it in range(LEVELS)]
    shades = [round(part * step) for colour in (BLUE, ORANGE) for step in steps for part in colour]
    return [0, 0, 0, *shades, 0, 0, 0]
