"""Limits on what making a model may take.

A small file can name a layer of a trillion weights, or of a trillion answers; a damaged graph keeps
Keras looking for a layer without end.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
import tf_keras

from job.errors import InputError
from job.safety.limits import FLOOR_BYTES, limited

# CPU time, so that a slow machine is given longer. EfficientNetB0 takes 10 s.
FLOOR_SECONDS = 30
BYTES_PER_SECOND = 10_000_000
# Memory beside the weights: TensorFlow's threads, and what layers answer to two rows.
FLOOR_MEMORY = 4 << 30
# What a layer may answer to one row: numbers. MobileNetV2 has 1,204,224 for an image of 224x224.
MAX_ANSWERS = 1 << 28
HINT = "The file is damaged, or made to do harm. Load it where it was trained, and save it again."


@contextmanager
def within_limits(weight_bytes: int, where: str) -> Iterator[None]:
    """Make a model with variables, memory and CPU time in proportion to what its file holds.

    To be used in the main thread. Where TensorFlow itself runs out of memory or time, it ends the
    process: by SIGABRT, or by SIGXCPU.

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

    memory = FLOOR_MEMORY + 8 * weight_bytes + (os.cpu_count() or 1) * FLOOR_BYTES
    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        with (
            limited(memory, 2 * seconds),
            tf.variable_creator_scope(_counting(weight_bytes, where)),
        ):
            yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def refuse_huge_answers(model: tf_keras.Model, where: str) -> None:
    """Look at what layers answer to one row, before they are asked; open dimensions count as one.

    Raises:
        InputError: Where an answer is too large.
    """
    for layer in model._flatten_layers():  # noqa: SLF001 - public API has no walk
        for tensor in tf.nest.flatten([call.outputs for call in layer.inbound_nodes]):
            answers = math.prod(size or 1 for size in tuple(tensor.shape)[1:])
            if answers > MAX_ANSWERS:
                raise InputError(
                    f"The layer answers with {answers:,} numbers to one row.",
                    where=f"{where}, layer {layer.name}",
                    hint=HINT,
                )


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
