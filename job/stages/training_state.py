"""The state of a training: every variable that its graph reads or writes.

Weights, masks, thresholds, the pruning step; the optimizer's; sums of losses and metrics in the
middle of an epoch; what random layers draw from; the states of recurrent layers: what the graph
captures is all there is, so nothing can be forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.artifact import EpochResult

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Saved:
    """Where a training was, and its variables."""

    step: int
    """Steps done, of all epochs."""
    history: Sequence[EpochResult]
    """The epochs that are over, with what was measured at their end."""
    names: Sequence[str]
    arrays: Sequence[Array]
    best: Sequence[Array] = ()
    """The weights of the best epoch so far; empty where none counts yet."""


class Saves(Protocol):
    """Where the states of a training are kept."""

    def latest(self) -> Saved | None:
        """What an earlier run has saved."""

    def refuse(self, why: str) -> None:
        """What ``latest`` gave does not fit."""

    def warn(self, text: str) -> None:
        """Tell the user something."""

    def running(self) -> AbstractContextManager[None]:
        """Lasts as long as ``is_due`` is asked again and again."""

    def is_due(self) -> bool:
        """Whether the state should be saved now."""

    def save(self, state: Saved) -> None:
        """Save the state; may raise what ends the training."""


class NoSaves:
    """A training that is not saved."""

    def latest(self) -> Saved | None:
        """Nothing."""
        return None

    def refuse(self, why: str) -> None:
        """There is nothing to refuse."""

    def warn(self, text: str) -> None:
        """There is nobody to tell."""

    def running(self) -> AbstractContextManager[None]:
        """Nothing happens meanwhile."""
        return nullcontext()

    def is_due(self) -> bool:
        """Never."""
        return False

    def save(self, state: Saved) -> None:
        """Not kept."""


class Variables:
    """The variables of a traced training, in the order in which the graph came upon them."""

    def __init__(self, graph: tf.Graph) -> None:
        by_handle = {id(it.handle): it for it in graph.variables}  # which are in no order
        captured = (by_handle.get(id(handle)) for handle, _ in graph.captures)
        self._all = [it for it in captured if it is not None]

    def saved(self, step: int, history: Sequence[EpochResult], best: Sequence[Array] = ()) -> Saved:
        """Their values now, and the best epoch's weights."""
        names = [it.name for it in self._all]
        return Saved(step, list(history), names, [it.numpy() for it in self._all], list(best))

    def restore(self, state: Saved) -> None:
        """Give them saved values.

        Raises:
            ValueError: Where these are of other variables; nothing is changed then.
        """
        if list(state.names) != [it.name for it in self._all]:
            raise ValueError("its variables are others.")
        pairs = list(zip(self._all, state.arrays, strict=True))
        for variable, array in pairs:
            dtype = variable.dtype.as_numpy_dtype
            if tuple(variable.shape) != array.shape or array.dtype != dtype:
                raise ValueError(f"{variable.name} is {array.dtype} of shape {array.shape}.")
        for variable, array in pairs:
            variable.assign(array)
