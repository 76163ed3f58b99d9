"""Models with random outputs, and models that inference changes.

With ``Dropout`` that is called with ``training=True`` (Monte Carlo dropout), likewise
``GaussianNoise``, or a sampling with ``tf.random.normal``, two outputs for one row differ. So
models are compared with equal draws, and metrics are those of random outputs.
``BatchNormalization`` that is called with ``training=True`` is not random: its outputs depend on
the other rows of their batch, and each call changes its averages; no metric of such a model means
anything.

This is found in the graph of the model's inference, so it does not matter how the layers are called
or nested.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow.python.eager import context
from tf_keras.src import backend

from job.errors import InputError
from job.models.layers import every_layer

SEED = 20240628
# Operators whose numbers differ from run to run. Those with a seed as an input ("Stateless") are
# not among them: if their seed comes from a generator, another operator here reads it.
RANDOM = re.compile(
    r"Random(?!Dataset|Seed)\w*|(Parameterized)?TruncatedNormal|Multinomial"
    r"|Stateful(Uniform|StandardNormal|TruncatedNormal|RandomBinomial)\w*|Rng(ReadAnd)?Skip\w*"
)
ASSIGNS = re.compile(r"Assign(Add|Sub)?Variable\w*|ResourceScatter\w*|Assign(Add|Sub)?")
# Parts of a configuration that may do either; only then is the graph traced.
SUSPECT = re.compile(r"'training': (?!False|None)|random\.|nn\.dropout|'Lambda'|'stateful': True")


@dataclass(frozen=True)
class Effects:
    """The side effects of an inference, as the names of the operators that have them."""

    random: tuple[str, ...] = ()
    """Operators that draw random numbers."""
    assigning: tuple[str, ...] = ()
    """Operators that change a variable of the model."""


def is_random(model: tf_keras.Model) -> bool:
    """Whether a Keras 2 model's outputs for one row differ from call to call."""
    return bool(effects(model).random)


def effects(model: tf_keras.Model) -> Effects:
    """The side effects of a Keras 2 model's inference; only suspect models are traced."""
    if not _is_suspect(model):
        return Effects()
    specs = [tf.TensorSpec([None, *it.shape[1:]], it.dtype) for it in model.inputs]

    @tf.function(input_signature=[specs])
    def infer(inputs: list[tf.Tensor]) -> list[tf.Tensor]:
        given = tf.nest.pack_sequence_as(model.input, inputs)
        return list(tf.nest.flatten(model(given, training=False)))

    definition = infer.get_concrete_function().graph.as_graph_def()
    inner = [node for function in definition.library.function for node in function.node_def]
    nodes = [*definition.node, *inner]
    # Metrics update their own variables, which are not weights of the model.
    counted = {it.name for it in every_layer(model) if type(it).__name__ == "AddMetric"}
    own = [node for node in nodes if counted.isdisjoint(node.name.split("/"))]
    return Effects(_named(nodes, RANDOM), _named(own, ASSIGNS))


def refuse_changing(model: tf_keras.Model, where: str) -> Effects:
    """Check that inference does not change a Keras 2 model.

    Returns:
        The other side effects of its inference.

    Raises:
        InputError: If it changes variables.
    """
    found = effects(model)
    if found.assigning:
        raise InputError(
            f"Inference changes the model (at {', '.join(found.assigning[:3])}), and its outputs "
            "depend on the other rows and batches: no metric of it would mean anything.",
            where=where,
            hint="Call BatchNormalization and its like without training=True, and save the model "
            "again; a layer that is frozen (trainable=False) may be called so.",
        )
    return found


def note(found: Effects, draws: int) -> str:
    """A warning about a random model; empty for any other."""
    if not found.random:
        return ""
    passes = f"the mean over {draws} passes" if draws > 1 else "of one pass"
    return (
        f"The model answers at random (at {', '.join(found.random[:3])}): its metrics and those of "
        f"all files made from it are those of random outputs, {passes} (model.draws), and drift "
        "includes the randomness. Saved and loaded models are compared with equal draws."
    )


@contextlib.contextmanager
def equal_draws(model: Any) -> Iterator[None]:
    """Within the context, a Keras 2 model draws the same numbers each time, outside graphs.

    One of Keras 3 is ignored, since it is not random if ``training`` is false.
    """
    if not isinstance(model, tf_keras.Model) or not _is_suspect(model):
        yield
        return
    seed, before = context.global_seed(), []
    tf.random.set_seed(SEED)
    for index, source in enumerate(_sources(model)):
        generator = getattr(source, "_generator", None)
        state = None if generator is None else generator.state.numpy()
        before.append((source, source._seed, generator, state))  # noqa: SLF001 - no other way
        if source._seed is not None:  # noqa: SLF001 - each draw increments it
            source._seed = SEED + index  # noqa: SLF001 - as above
        if generator is not None:
            generator.reset_from_seed(SEED + index)
    try:
        yield
    finally:
        for source, own, generator, state in before:
            source._seed = own  # noqa: SLF001 - as above
            if generator is not None:
                generator.state.assign(state)
        tf.random.set_seed(seed)


def _is_suspect(model: tf_keras.Model) -> bool:
    try:
        config = str(model.get_config())
    except (TypeError, ValueError, NotImplementedError):  # a part of it can't be serialized
        return True
    return SUSPECT.search(config) is not None


def _sources(model: tf_keras.Model) -> list[backend.RandomGenerator]:
    found: dict[int, backend.RandomGenerator] = {}
    for layer in every_layer(model):
        source = getattr(layer, "_random_generator", None)
        if isinstance(source, backend.RandomGenerator):
            source._maybe_init()  # noqa: SLF001 - it creates the generator
            found.setdefault(id(source), source)
    return list(found.values())


def _named(nodes: list[Any], kinds: re.Pattern[str]) -> tuple[str, ...]:
    """Where operators of some kinds are in the model, each place once."""
    places = [
        "/".join(node.name.split("/")[1:-1]) or node.name
        for node in nodes
        if kinds.fullmatch(node.op)
    ]
    return tuple(dict.fromkeys(places))
