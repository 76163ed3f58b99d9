"""The state of a training: every variable that its graph reads or writes.

Weights, masks, thresholds, the pruning step; the optimizer's; sums of losses and metrics in the
middle of an epoch; random generators; the states of recurrent layers: what the graph captures is
the whole state, so nothing can be forgotten.

Dropout and similar layers draw from TensorFlow's old random operators by default, whose counters
are inside the operators: a training that continues in another process would draw other numbers.
Keras can draw from a ``tf.random.Generator`` instead (``backend.RandomGenerator``, type
``stateful``), whose state is a variable. Set for a layer permanently, the type would be in every
saved model, which other versions of Keras refuse; so it is set only while a model is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from tf_keras.src import backend

from job.artifact import EpochResult

Array = NDArray[np.generic]
# Operators that draw random numbers and whose state is not a variable.
STATEFUL = frozenset(
    """
    RandomUniform RandomUniformInt RandomStandardNormal TruncatedNormal
    ParameterizedTruncatedNormal RandomShuffle RandomGamma RandomPoisson RandomPoissonV2
    Multinomial PyFunc PyFuncStateless EagerPyFunc
    """.split()  # noqa: SIM905 - a list of strings takes three times the lines
)


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


class Saves(Protocol):
    """Where the states of a training are saved; by default, none is there and none is due."""

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


class NoSaves(Saves):
    """A training that is not saved."""

    def refuse(self, why: str) -> None:
        """There is nothing to refuse."""

    def warn(self, text: str) -> None:
        """There is nothing to warn of."""

    def save(self, state: Saved) -> None:
        """Discard it."""


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
