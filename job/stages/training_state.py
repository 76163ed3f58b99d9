"""The state of a training: what variables its graph reads or writes; and the best epoch's weights.

Weights, masks, thresholds, the pruning step; the optimizer's; sums of losses and metrics in the
middle of an epoch; random generators; the states of recurrent layers: what the graph captures is
the whole state, so nothing can be forgotten.

Dropout and similar layers draw from TensorFlow's old random operators by default, whose counters
are inside the operators: a training that continues in another process would draw other numbers.
Keras can draw from a ``tf.random.Generator`` instead (``backend.RandomGenerator``, type
``stateful``), whose state is a variable. Set for a layer permanently, the type would be in every
saved model, which other versions of Keras refuse; so it is set only while a model is trained.

The weights that are published are those of the epoch with the lowest loss on held-out rows. Only
epochs after the end of the pruning schedule count: before, the sparsity is not reached, and the
loss of a model with more weights is lower. The history alone determines the best epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from tf_keras.src import backend

from job.result.training import EpochResult

Array = NDArray[np.generic]
# Operators that draw random numbers and whose state is not a variable.
STATEFUL = frozenset(
    """
    RandomUniform RandomUniformInt RandomStandardNormal TruncatedNormal
    ParameterizedTruncatedNormal RandomShuffle RandomGamma RandomPoisson RandomPoissonV2
    Multinomial PyFunc EagerPyFunc
    """.split()  # noqa: SIM905 - a list of strings takes three times the lines
)
LOSS = "val_loss"


@dataclass(frozen=True)
class Saved:
    """The place and the variables of a training that was saved."""

    step: int
    """Steps done, of all epochs."""
    history: Sequence[EpochResult]
    """The finished epochs, with the metrics at their end."""
    names: Sequence[str]
    arrays: Sequence[Array]
    best: Sequence[Array] = ()
    """The weights of the best epoch so far; empty where none counts yet."""


class Saves:
    """Where the states of a training are saved: nowhere, unless a subclass says so."""

    def latest(self) -> Saved | None:
        """The state that an earlier run saved."""
        return None

    def refuse(self, why: str) -> None:
        """Report that the state from ``latest`` does not fit."""

    def warn(self, text: str) -> None:
        """Warn the user."""

    def running(self) -> AbstractContextManager[None]:
        """A context for the time in which ``is_due`` is called regularly."""
        return nullcontext()

    def is_due(self) -> bool:
        """Whether the state should be saved now."""
        return False

    def save(self, state: Saved) -> None:
        """Save the state; an exception from here ends the training."""


class Variables:
    """The variables of a traced training, in the order in which the graph captured them."""

    def __init__(self, graph: tf.Graph) -> None:
        by_handle = {id(it.handle): it for it in graph.variables}  # in no order
        captured = (by_handle.get(id(handle)) for handle, _ in graph.captures)
        self._all = [it for it in captured if it is not None]

    def saved(self, step: int, history: Sequence[EpochResult], best: Sequence[Array] = ()) -> Saved:
        """Their values now, and the best epoch's weights."""
        names = [it.name for it in self._all]
        return Saved(step, list(history), names, [it.numpy() for it in self._all], list(best))

    def restore(self, state: Saved) -> None:
        """Assign saved values.

        Raises:
            ValueError: Where they are those of other variables; then nothing is changed.
        """
        if list(state.names) != [it.name for it in self._all]:
            raise ValueError("it has other variables.")
        pairs = list(zip(self._all, state.arrays, strict=True))
        for variable, array in pairs:
            dtype = variable.dtype.as_numpy_dtype
            if tuple(variable.shape) != array.shape or array.dtype != dtype:
                raise ValueError(f"{variable.name} is {array.dtype} of shape {array.shape}.")
        for variable, array in pairs:
            variable.assign(array)


@contextmanager
def drawn_from_variables(model: tf_keras.Model, seed: int) -> Iterator[None]:
    """In this context, graphs that are traced draw random numbers from variables.

    Args:
        model: The model; layers in wrappers, cells and nested models are included.
        seed: The training's, from which each layer gets its own.
    """
    before = []
    for index, source in enumerate(_generators(model)):
        before.append((source, source._rng_type, source._built, source._generator))  # noqa: SLF001
        own = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
        made = tf.random.Generator.from_seed(own, alg="philox")
        _set(source, source.RNG_STATEFUL, True, made)
    try:
        yield
    finally:
        for source, kind, built, generator in before:
            _set(source, kind, built, generator)


def unsaved_sources(graph: tf.Graph) -> list[str]:
    """The operators in a graph that draw random numbers from a state that can't be saved."""
    definition = graph.as_graph_def()
    inner = [node for function in definition.library.function for node in function.node_def]
    return sorted({node.op for node in (*definition.node, *inner)} & STATEFUL)


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


def _generators(model: tf_keras.Model) -> list[backend.RandomGenerator]:
    """Each generator once, in the order of the layers; those without state are left alone."""
    found: dict[int, backend.RandomGenerator] = {}
    for layer in model._flatten_layers():  # noqa: SLF001 - submodules fails for recurrent dropout
        source = getattr(layer, "_random_generator", None)
        if isinstance(source, backend.RandomGenerator) and source._rng_type != "stateless":  # noqa: SLF001
            found.setdefault(id(source), source)
    for source in found.values():
        if not hasattr(source, "_generator"):
            source._maybe_init()  # noqa: SLF001 - restored afterwards
    return list(found.values())


def _set(
    source: backend.RandomGenerator, kind: str, built: bool, generator: tf.random.Generator | None
) -> None:
    """Bypass ``__setattr__``, which would track the generator as a part of the model to save."""
    for name, value in (("_rng_type", kind), ("_built", built), ("_generator", generator)):
        object.__setattr__(source, name, value)
