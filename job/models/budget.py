"""A limit on what layers may take: a small file can name a layer of a trillion weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from job.errors import InputError
from job.models.limits import FLOOR_BYTES


@contextmanager
def variables_within(weight_bytes: int, where: str) -> Iterator[None]:
    """Refuse variables before room is made for them, once they outgrow what the file holds.

    Args:
        weight_bytes: What the weights in the file are in memory. Twice as much may be made, and
            64 MB more, for what layers make beside their weights.
        where: The file, for messages.

    Raises:
        InputError: Where the layers want more.
    """
    most = 2 * weight_bytes + FLOOR_BYTES
    made = 0

    def create(next_creator: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
        nonlocal made
        shape, dtype = options.get("shape"), options.get("dtype")
        if shape is not None and dtype is not None:
            sizes = [int(size or 0) for size in tf.TensorShape(shape)]
            made += math.prod(sizes) * tf.as_dtype(dtype).size
        if made > most:
            raise InputError(
                f"The model's layers want {made:,} bytes or more of weights, and the file holds "
                f"{weight_bytes:,}.",
                where=where,
                hint="It is damaged, or made to exhaust the memory.",
            )
        return next_creator(**options)

    with tf.variable_creator_scope(create):
        yield
