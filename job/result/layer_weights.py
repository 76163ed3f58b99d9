"""How the weights of a layer are distributed, before and after: what a page shows of a layer."""

from __future__ import annotations

from job.result.record import Record


class HistogramResult(Record):
    """How the weights of all kernels of a layer are distributed; zeros are counted apart.

    They are those that a mask can cover; of a layer that has none of these, all kernels.
    """

    counts: list[int]
    """Of the weights that are not zero, by bin, from ``low`` to ``high``."""
    zeros: int


class KernelImageResult(Record):
    """A small kernel as two pictures: a pixel for each weight, zeros black."""

    name: str
    """Of the weight in its layer: ``kernel``."""
    shape: list[int]
    """As Keras has it."""
    width: int
    """Pixels; the last axis goes from left to right."""
    height: int
    """Pixels; all other axes, flattened, from top to bottom."""
    strips: int = 1
    """Into how many strips of equal length the matrix is cut, with a transparent line of one pixel
    between: a tall one side by side, a wide one one below another."""
    scale: float
    """The magnitude from which on pixels are brightest; the same in both pictures."""
    before: str
    """A PNG with a palette, in base64: the baseline's. Negative weights are blue, positive ones
    orange."""
    after: str
    """The same of the last Keras model that was made: pruned, or clustered."""


class WeightsResult(Record):
    """A changed layer's weights, of the baseline and of the last Keras model that was made."""

    low: float
    """Where the first bin begins."""
    high: float
    """Where the last bin ends; bins are equally wide."""
    before: HistogramResult
    after: HistogramResult
    images: list[KernelImageResult] = []
    """Of small kernels, where the manifest does not leave them out."""
    not_pictured: dict[str, str] = {}
    """By kernel, why there is no picture of it."""
