"""Limits on what making a model may take: a small file can name a layer of a trillion weights, and
a damaged graph keeps Keras looking for a layer without end.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from job.errors import InputError
from job.safety.limits import FLOOR_BYTES

# CPU time, so that a slow machine is given longer. EfficientNetB0 takes 10 s.
FLOOR_SECONDS = 30
BYTES_PER_SECOND = 10_000_000
HINT = "The file is damaged, or made to do harm. Load it where it was trained, and save it again."


@contextmanager
def within_limits(weight_bytes: int, where: str) -> Iterator[None]:
    """Make a model with variables and CPU time in proportion to what its file holds.

    To be used in the main thread.

    Args:
        weight_bytes: What the weights in the file are in memory.
        where: The file, for messages.

    Raises:
        InputError: Where it wants more.
    """
    seconds = FLOOR_SECONDS + weight_bytes / BYTES_PER_SECOND

    def stop(*_: object) -> None:
        raise InputError(
            f"The model was not made after {seconds:.0f} seconds of CPU time.",
            where=where,
            hint=HINT,
        )

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        with tf.variable_creator_scope(_counting(weight_bytes, where)):
            yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _counting(weight_bytes: int, where: str) -> Callable[..., tf.Variable]:
    """What makes variables, until they outgrow the file: before room is made for them.

    Twice as much as the file holds is allowed, and 64 MB more: layers keep things beside weights.
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
                hint=HINT,
            )
        return next_creator(**options)

    return create
