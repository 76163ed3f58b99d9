"""A model's inputs and outputs, as the stages see them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model: its name, its shape without the batch, its dtype."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def fits(shape: tuple[int | None, ...], sizes: tuple[int, ...]) -> bool:
    """Whether an array of these sizes has this shape; a None dimension takes any size."""
    return len(shape) == len(sizes) and all(
        want is None or want == have for want, have in zip(shape, sizes, strict=True)
    )
