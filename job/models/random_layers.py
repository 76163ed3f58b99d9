"""Models that answer at random, or whose answers change the model.

``Dropout`` that was called with ``training=True`` (Monte Carlo dropout), ``GaussianNoise``
likewise, a sampling with ``tf.random.normal``: two answers to one row differ, so models are
compared with equal draws, and metrics are those of random answers. ``BatchNormalization`` that was
called with ``training=True`` is not random: its answers depend on the other rows of their batch,
and each changes its averages; no metric of such a model means anything.

What a model does is read off the graph of its inference, so it does not matter how the layers are
called or nested.
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

SEED = 20240628
# Operators whose numbers differ from run to run. Those with a seed as their input ("Stateless") do
# so where the seed comes from a generator, which is another operator here.
RANDOM = re.compile(
    r"Random(?!Dataset|Seed)\w*|(Parameterized)?TruncatedNormal|Multinomial"
    r"|Stateful(Uniform|StandardNormal|TruncatedNormal|RandomBinomial)\w*|Rng(ReadAnd)?Skip\w*"
)
ASSIGNS = re.compile(r"Assign(Add|Sub)?Variable\w*|ResourceScatter\w*|Assign(Add|Sub)?")
# What there is in the configuration of a model that may do either; the graph is looked at then.
SUSPECT = re.compile(r"'training': (?!False|None)|random\.|nn\.dropout|'Lambda'|'stateful': True")


@dataclass(frozen=True)
class Effects:
    """What an inference does beside computing, as the names of the operators that do it."""

    random: tuple[str, ...] = ()
    """Those that draw random numbers."""
    assigning: tuple[str, ...] = ()
    """Those that change a variable of the model."""


def is_random(model: tf_keras.Model) -> bool:
    """Whether a Keras 2 model answers one row differently from call to call."""
    return bool(effects(model).random)


def effects(model: tf_keras.Model) -> Effects:
    """Look at the graph of a Keras 2 model's inference.

    Args:
        model: A model with a graph. Where nothing in its configuration is suspect, it is not
            traced.
    """
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
    counted = {  # metrics count what they see, and are none of the model's weights
        it.name
        for it in model._flatten_layers()  # noqa: SLF001 - submodules fails for recurrent dropout
        if type(it).__name__ == "AddMetric"
    }
    own = [node for node in nodes if counted.isdisjoint(node.name.split("/"))]
    return Effects(_named(nodes, RANDOM), _named(own, ASSIGNS))


def refuse_changing(model: tf_keras.Model, where: str) -> Effects:
    """Check that answers leave a Keras 2 model as it is.

    Returns:
        What else its inference does.

    Raises:
        InputError: Where they change its variables.
    """
    found = effects(model)
    if found.assigning:
        raise InputError(
            f"The model changes itself with every answer (at {', '.join(found.assigning[:3])}), "
            "and an answer depends on the rows and batches beside it: no figure of it would mean "
            "anything.",
            where=where,
            hint="Call BatchNormalization and its like without training=True, and save the model "
            "again; a layer that is frozen (trainable=False) may be called so.",
        )
    return found


def note(found: Effects, draws: int) -> str:
    """What the user should know of a random model; empty of any other."""
    if not found.random:
        return ""
    passes = f"the mean over {draws} passes" if draws > 1 else "of one pass"
    return (
        f"The model answers at random (at {', '.join(found.random[:3])}): its metrics and those of "
        f"all files made of it are of random answers, {passes} (model.draws), and drift includes "
        "what is drawn. Saved and loaded models are compared with equal draws."
    )


@contextlib.contextmanager
def equal_draws(model: Any) -> Iterator[None]:
    """While this lasts, what a Keras 2 model draws is the same as at the last time, outside graphs.

    Args:
        model: A model; nothing is done for one of Keras 3, which is not random where ``training``
            is false.
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
        if source._seed is not None:  # noqa: SLF001 - it is counted up with every draw
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
    except (TypeError, ValueError, NotImplementedError):  # it has what no configuration can hold
        return True
    return SUSPECT.search(config) is not None


def _sources(model: tf_keras.Model) -> list[backend.RandomGenerator]:
    found: dict[int, backend.RandomGenerator] = {}
    for layer in model._flatten_layers():  # noqa: SLF001 - submodules fails for recurrent dropout
        source = getattr(layer, "_random_generator", None)
        if isinstance(source, backend.RandomGenerator):
            source._maybe_init()  # noqa: SLF001 - so that it has the generator that it will use
            found.setdefault(id(source), source)
    return list(found.values())


def _named(nodes: list[Any], kinds: re.Pattern[str]) -> tuple[str, ...]:
    """The operators of some kinds: where they are in the model, each place once."""
    places = [
        "/".join(node.name.split("/")[1:-1]) or node.name
        for node in nodes
        if kinds.fullmatch(node.op)
    ]
    return tuple(dict.fromkeys(places))
