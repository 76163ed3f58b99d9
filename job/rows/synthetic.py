"""Rows that are drawn, where there are no data: they fit the model's inputs, and mean nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from job.errors import InputError
from job.result.specs import TensorSpec
from job.rows.data import Split
from job.rows.lazy import Array
from job.rows.validation import refuse_unknown

ROWS = 256
# Numbers of all inputs together, in one split.
MAX_NUMBERS = 1 << 26


def draw_rows(
    inputs: Sequence[TensorSpec],
    ranges: Mapping[str, tuple[float, float]],
    categories: Sequence[int],
    seed: int,
) -> tuple[Split, Split]:
    """Draw inputs, of the same kind for both splits and other ones in each.

    Args:
        inputs: The model's inputs, without open dimensions.
        ranges: Lowest and highest value of an input, by its name; left out, numbers go from 0 to
            1, and truth values are 0 and 1.
        categories: For each input that goes to an embedding, how many rows that has: integers from
            0 on are drawn; 0 for the other inputs, whose integers are 0 and 1.
        seed: Of the draws.

    Returns:
        The training and the test split: at most 256 rows each, without targets.

    Raises:
        InputError: Where a range is for no input of the model, or not one that it takes.
    """
    refuse_unknown(ranges, inputs, "input", "model.input_ranges")
    for spec, count in zip(inputs, categories, strict=True):
        if spec.name in ranges:
            _check(spec, ranges[spec.name], count)
    numbers = sum(math.prod(size or 1 for size in spec.shape) for spec in inputs)
    rows = max(2, min(ROWS, MAX_NUMBERS // max(1, numbers)))
    random = np.random.default_rng(seed)
    train, test = (
        Split(
            inputs=tuple(
                _drawn(random, rows, spec, ranges.get(spec.name), count)
                for spec, count in zip(inputs, categories, strict=True)
            ),
            targets=(),
            scale=1.0,
            dtypes=tuple(spec.dtype for spec in inputs),
        )
        for _ in ("train", "test")
    )
    return train, test


def _drawn(
    random: np.random.Generator,
    rows: int,
    spec: TensorSpec,
    given: tuple[float, float] | None,
    categories: int,
) -> Array:
    shape = [rows, *(size or 1 for size in spec.shape)]
    if spec.dtype == "bool":
        return random.integers(0, 2, shape, dtype=np.uint8)
    if given is None and categories:
        return random.integers(0, categories, shape).astype(np.int32)
    low, high = given or (0.0, 1.0)
    if spec.dtype.startswith(("float", "bfloat")):
        return random.uniform(low, high, shape).astype(np.float32)
    return random.integers(math.ceil(low), math.floor(high), shape, np.int64, endpoint=True).astype(
        spec.dtype
    )


def _check(spec: TensorSpec, given: tuple[float, float], categories: int) -> None:
    """Refuse a range that an input's dtype can't hold, or for which its embedding has no rows."""
    low, high = given
    if spec.dtype == "bool":
        why = "the input takes truth values, which have no range"
    elif categories and not (low >= 0 and math.floor(high) < categories):
        why = f"its embedding has rows for 0 to {categories - 1}"
    elif spec.dtype.startswith(("float", "bfloat")):
        most = float(np.finfo("float16" if spec.dtype == "float16" else "float32").max) / 2
        why = f"{spec.dtype} is drawn up to {most:.3g}" if max(-low, high) > most else ""
    else:
        limits = np.iinfo(spec.dtype)
        least, most = max(limits.min, -(2**62)), min(limits.max, 2**62)
        holds = least <= math.ceil(low) <= math.floor(high) <= most
        why = "" if holds else f"{spec.dtype} needs a whole number in it, from {least} to {most}"
    if why:
        raise InputError(
            f"The range [{low:g}, {high:g}] does not suit the input {spec.name}: {why}.",
            where=f"model.input_ranges.{spec.name}",
            hint="Give a range that it takes, or leave it out.",
        )
