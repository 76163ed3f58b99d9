"""Limits on the variables, memory and time for making a model.

A small file can declare a layer with a trillion weights or a trillion outputs; a damaged graph can
make Keras search for a layer without end.
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
from job.models.layers import every_layer
from job.safety.limits import FLOOR_BYTES, limited

# CPU time, so that a slow or busy machine does not matter. EfficientNetB0 takes 10 s.
FLOOR_SECONDS = 30
BYTES_PER_SECOND = 10_000_000
# Memory in addition to the weights: TensorFlow's threads, and the layers' outputs for two rows.
FLOOR_MEMORY = 4 << 30
# The outputs of a layer for one row. MobileNetV2 has 1,204,224 for an image of 224x224.
MAX_OUTPUTS = 1 << 28
HINT = "The file is damaged, or made to do harm. Load it where it was trained, and save it again."


@contextmanager
def within_limits(weight_bytes: int, where: str) -> Iterator[None]:
    """Limit variables, memory and CPU time in proportion to the file while a model is made.

    Only for the main thread. If TensorFlow itself runs out of memory or time, the process ends: by
    SIGABRT, or by SIGPROF.
    ``weight_bytes`` is the size in memory of the weights in the file.

    Raises:
        InputError: If a limit is exceeded.
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


def refuse_huge_outputs(model: tf_keras.Model, where: str) -> None:
    """Check the size of the layers' outputs for one row, before any is computed.

    Open dimensions count as one.

    Raises:
        InputError: If an output is too large.
    """
    for layer in every_layer(model):
        for tensor in tf.nest.flatten([call.outputs for call in layer.inbound_nodes]):
            numbers = math.prod(size or 1 for size in tuple(tensor.shape)[1:])
            if numbers > MAX_OUTPUTS:
                raise InputError(
                    f"The layer's output has {numbers:,} numbers for one row.",
                    where=f"{where}, layer {layer.name}",
                    hint=HINT,
                )


def _counting(weight_bytes: int, where: str) -> Callable[..., tf.Variable]:
    """A variable creator that refuses variables that exceed the file, before they are allocated.

    Allowed are twice the size of the file, and 64 MB more: layers also have other variables.
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
