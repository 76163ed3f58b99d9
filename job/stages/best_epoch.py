"""Which epoch's weights are published: those with the lowest loss on held-out rows.

Only epochs after the end of the pruning schedule count: before, the sparsity is not reached, and
the loss of a model with more weights is lower. The history alone determines the best epoch; its
weights are saved with the training's state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.artifact import EpochResult

Array = NDArray[np.generic]
LOSS = "val_loss"


class BestEpoch:
    """The best epoch so far, and its weights.

    Args:
        variables: The model's variables that are published.
        first_epoch: The first epoch that counts, from 1 on.
        patience: Epochs without a better loss after which the training ends; None for never.
    """

    def __init__(
        self, variables: Sequence[tf.Variable], first_epoch: int, patience: int | None = None
    ) -> None:
        self._variables = list(variables)
        self._first_epoch = first_epoch
        self._patience = patience
        self.arrays: list[Array] = []
        """The best epoch's values; empty where no epoch counts yet."""

    def observe(self, history: Sequence[EpochResult]) -> None:
        """Note that the last epoch of the history has ended."""
        if best(history, self._first_epoch) == len(history):
            self.arrays = [it.numpy() for it in self._variables]

    def is_over(self, history: Sequence[EpochResult]) -> bool:
        """Whether the training should end early."""
        epoch = best(history, self._first_epoch)
        if self._patience is None or epoch is None:
            return False
        return len(history) - epoch >= self._patience

    def check(self, history: Sequence[EpochResult], arrays: Sequence[Array]) -> None:
        """Raise a ValueError where saved weights are not those of a best epoch."""
        wanted = self._variables if best(history, self._first_epoch) else []
        if [tuple(it.shape) for it in wanted] != [it.shape for it in arrays] or any(
            it.dtype.as_numpy_dtype != array.dtype for it, array in zip(wanted, arrays, strict=True)
        ):
            raise ValueError("the best epoch's weights are of other shapes.")

    def publish(self) -> None:
        """Assign the best epoch's weights; where no epoch counts, the last ones remain."""
        if self.arrays:
            for variable, array in zip(self._variables, self.arrays, strict=True):
                variable.assign(array)


def best(history: Sequence[EpochResult], first_epoch: int) -> int | None:
    """The epoch with the lowest loss on held-out rows, the first of equals; None where none counts:
    no rows are held out, or the schedule has not ended.
    """
    counted = [
        (it.metrics[LOSS], it.epoch)
        for it in history
        if it.epoch >= first_epoch and LOSS in it.metrics
    ]
    return min(counted)[1] if counted else None


def choose_epoch(history: Sequence[EpochResult], first_epoch: int, epochs: int) -> tuple[int, str]:
    """The epoch whose weights are published, and why.

    Args:
        history: All epochs trained.
        first_epoch: The first one that counts.
        epochs: How many were planned.
    """
    chosen, last = best(history, first_epoch), len(history)
    if chosen is None:
        return last, "the last one; no rows are held out to choose by"
    if first_epoch == last:
        return last, "the last one; before it the pruning schedule had not ended"
    value = history[chosen - 1].metrics[LOSS]
    ended = f"; early stopping ended the training after {last} epochs" if last < epochs else ""
    return chosen, (
        f"the lowest loss on held-out rows ({value:.6g}) of the epochs {first_epoch} to {last}, at "
        f"whose ends the sparsity is reached{ended}"
    )
