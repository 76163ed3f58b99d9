"""Random layers whose state can be saved: what they draw comes from variables.

Dropout and its like draw from TensorFlow's old random operators by default, whose counters are
inside the operators: a training that goes on in another process would draw other numbers. Keras
can draw from a ``tf.random.Generator`` instead (``backend.RandomGenerator``, type ``stateful``),
whose state is a variable. Told so for all layers, it would write the type into every saved model,
which other versions of Keras refuse; so it is told so only for as long as a model is trained.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras.src import backend

# Operators that draw random numbers and keep their state to themselves.
STATEFUL = frozenset(
    """
    RandomUniform RandomUniformInt RandomStandardNormal TruncatedNormal
    ParameterizedTruncatedNormal RandomShuffle RandomGamma RandomPoisson RandomPoissonV2
    Multinomial PyFunc PyFuncStateless EagerPyFunc
    """.split()  # noqa: SIM905 - a list of strings takes three times the lines
)


@contextlib.contextmanager
def drawn_from_variables(model: tf_keras.Model, seed: int) -> Iterator[None]:
    """While this lasts, graphs that are traced draw from variables, which begin as the seed says.

    Args:
        model: The model; layers in wrappers, cells and nested models are found, too.
        seed: The training's. Each layer has numbers of its own.
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
    """In the order of the layers, each once. One without state stays as it is."""
    found: dict[int, backend.RandomGenerator] = {}
    for layer in model._flatten_layers():  # noqa: SLF001 - submodules fails for recurrent dropout
        source = getattr(layer, "_random_generator", None)
        if isinstance(source, backend.RandomGenerator) and source._rng_type != "stateless":  # noqa: SLF001
            found.setdefault(id(source), source)
    for source in found.values():
        if not hasattr(source, "_generator"):
            source._maybe_init()  # noqa: SLF001 - what it will have been is put back afterwards
    return list(found.values())


def _set(
    source: backend.RandomGenerator, kind: str, built: bool, generator: tf.random.Generator | None
) -> None:
    """Past ``__setattr__``, which would note the generator as a part of the model to save."""
    for name, value in (("_rng_type", kind), ("_built", built), ("_generator", generator)):
        object.__setattr__(source, name, value)
