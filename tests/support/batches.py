"""Batches in a known order, for tests that compare with what they compute themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf


def no_metrics(_: Callable[[], None]) -> dict[str, float]:
    """Of an epoch whose end nobody looks at."""
    return {}


@dataclass(frozen=True)
class InOrder:
    """Rows as they come: the same in each epoch, or ``rows_of_epoch`` others in each."""

    x: Any
    """An array, or a tuple of several."""
    y: Any
    """The same."""
    size: int
    """Rows in a batch."""
    rows_of_epoch: int | None = None

    def order(self, epoch: int) -> tf.Tensor:
        if self.rows_of_epoch is None:
            return tf.range(len(self.y[0] if isinstance(self.y, tuple) else self.y))
        return tf.range(self.rows_of_epoch) + epoch * self.rows_of_epoch

    def take(self, order: tf.Tensor, step: tf.Tensor) -> tuple[object, tuple[tf.Tensor, ...]]:
        rows = order[step * self.size : (step + 1) * self.size]
        inputs = tf.nest.map_structure(lambda array: tf.gather(array, rows), self.x)
        targets = self.y if isinstance(self.y, tuple) else (self.y,)
        return inputs, tuple(tf.gather(array, rows) for array in targets)

    def weights(self, _: tf.Tensor, __: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return ()
