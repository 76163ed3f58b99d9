"""Keras 3 models: rebuilt as ``tf_keras`` models, which tfmot can prune, and written back.

tfmot works on Keras 2 alone and always will (tfmot issues 1119 and 1172). Loading a Keras 3 file
in ``tf_keras`` fails; rebuilding the model does not: its graph is walked, each layer is made again
from its configuration and called as it was called, and its weights are copied. The outputs are
compared, and a model that answers differently is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tf_keras

from job.errors import InputError
from job.models import precision

# Outputs of the rebuilt model may differ by this much, for sums in another order.
TOLERANCE = 1e-5
SEED = 20240628
# What a None dimension is for the comparison.
SOME_SIZE = 32

# What only decides how a layer was made; the weights are copied anyway.
NOT_NEEDED = ("initializer", "regularizer", "constraint", "dtype", "build_config")
# The ops that a mask is worked out with; tf_keras does that by itself.
MASKING = ("NotEqual", "Any")


def read(path: Path) -> keras.Model:
    """A Keras 3 model from its file, which has been judged.

    Raises:
        InputError: Where Keras can't rebuild the model.
    """
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # noqa: BLE001 - Keras raises whatever the config makes it stumble over
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"Keras 3 can't load the model: {type(error).__name__}: {reason[:300]}",
            where=str(path),
            hint="Check that keras.models.load_model loads it; it may be corrupt.",
        ) from None


def write(original: keras.Model, pruned: tf_keras.Model, path: Path) -> None:
    """Save the pruned weights as a Keras 3 file.

    Args:
        original: The Keras 3 model; its weights are changed.
        pruned: The same model in ``tf_keras``, pruned.
        path: Where the file goes.
    """
    _copy(pruned, original)
    original.save(path)


def rebuild(model: keras.Model, where: str) -> tf_keras.Model:
    """The same model in ``tf_keras`` and in float32: same layer names, same weights, same outputs.

    Args:
        model: A Keras 3 Sequential or functional model.
        where: The file, for messages.

    Raises:
        InputError: Where the model has no graph, a layer has no counterpart, or the outputs differ.
    """
    try:
        rebuilt = _Rebuilding(where).model(model)
        _copy(model, rebuilt)
        with precision.computing_in_float32(model):
            difference = _difference(model, rebuilt)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - either Keras raises whatever it stumbles over
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"The model can't be rebuilt for Keras 2: {type(error).__name__}: {reason[:300]}",
            where=where,
            hint="Check that Keras 3 loads the file and runs the model; it may be corrupt.",
        ) from None
    if not difference <= TOLERANCE:
        raise InputError(
            f"The model answers differently when it is rebuilt for Keras 2: by {difference:.2g}.",
            where=where,
            hint="Report the model's layers; it can't be pruned by tfmot, which needs Keras 2.",
        )
    return rebuilt


class _Rebuilding:
    """One walk over a model; a layer or model that is used twice is made once."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._made: dict[int, tf_keras.layers.Layer] = {}

    def model(self, model: keras.Model) -> tf_keras.Model:
        graph = getattr(model, "_functional", None) or model
        if not hasattr(graph, "_nodes_by_depth"):
            raise InputError(
                f"The model {model.name} has no graph: it is a subclassed or unbuilt model.",
                where=self._where,
                hint="Build it with the functional API, and save it again.",
            )
        tensors = {
            id(it): tf_keras.Input(
                batch_shape=it.shape,
                dtype=precision.FLOAT32 if it.dtype in precision.OTHERS else it.dtype,
                name=_origin(it).name,
            )
            for it in graph.inputs
        }
        for node in _nodes(graph):
            self._call(node, tensors)
        ends = [
            keras.tree.map_structure(lambda it: tensors[id(it)], structure)
            for structure in (graph._inputs_struct, graph._outputs_struct)  # noqa: SLF001 - no other way
        ]
        return tf_keras.Model(*ends, name=model.name)

    def _call(self, node: Any, tensors: dict[int, Any]) -> None:
        operation = node.operation
        if type(operation).__name__ in MASKING:
            return
        given = (node.arguments.args, node.arguments.kwargs)
        arguments, options = keras.tree.map_structure(lambda it: tensors.get(id(it), it), given)
        options = {key: it for key, it in options.items() if it is not None and key != "mask"}
        outputs = self._layer(operation)(*arguments, **options)
        for before, after in zip(node.outputs, keras.tree.flatten(outputs), strict=True):
            tensors[id(before)] = after

    def _layer(self, layer: keras.Operation) -> tf_keras.layers.Layer:
        if id(layer) not in self._made:
            self._made[id(layer)] = self._make(layer)
        return self._made[id(layer)]

    def _make(self, layer: keras.Operation) -> tf_keras.layers.Layer:
        if isinstance(layer, keras.Model):
            return self.model(layer)
        kind = getattr(tf_keras.layers, type(layer).__name__, None)
        if kind is None or not isinstance(layer, keras.Layer):
            raise InputError(
                f"{layer.name} is a {type(layer).__name__}, which Keras 2 has no layer for.",
                where=self._where,
                hint="Replace it with a layer that both have; tfmot works with Keras 2 alone.",
            )
        config = _config(layer, kind)
        if isinstance(layer, keras.layers.Bidirectional):
            config["backward_layer"] = self._make(layer.backward_layer)
            return kind(self._make(layer.forward_layer), **config)
        if isinstance(layer, keras.layers.StackedRNNCells):
            return kind([self._make(cell) for cell in layer.cells], name=layer.name)
        if "cell" in config:
            config["cell"] = self._make(layer.cell)
        if isinstance(layer, keras.layers.Wrapper):
            return kind(self._make(layer.layer), **config)
        return kind(**config)


def _origin(tensor: Any) -> keras.Operation:
    return tensor._keras_history.operation  # noqa: SLF001 - how Keras finds it too


def _nodes(graph: keras.Model) -> Iterator[Any]:
    """The calls of the graph, in the order in which they can be made."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):  # noqa: SLF001 - no other way
        for node in graph._nodes_by_depth[depth]:  # noqa: SLF001 - as above
            if not isinstance(node.operation, keras.layers.InputLayer):
                yield node


def _config(layer: keras.Layer, kind: type) -> dict[str, Any]:
    """The part of a layer's configuration that its Keras 2 class knows."""
    known = {"name", "trainable"}
    for ancestor in kind.__mro__:
        if ancestor is tf_keras.layers.Layer:
            break
        known |= set(inspect.signature(ancestor.__init__).parameters)  # type: ignore[misc]  # of a class
    return {
        key: value
        for key, value in layer.get_config().items()
        if key in known and key != "layer" and not key.endswith(NOT_NEEDED)
    }


def _copy(source: Any, target: Any) -> None:
    """Copy the weights layer by layer; the two models have the same layers by name."""
    for layer in source.layers:
        if not layer.weights:
            continue
        twin = target.get_layer(layer.name)
        if isinstance(layer, keras.Model | tf_keras.Model):
            _copy(layer, twin)
        else:
            twin.set_weights(layer.get_weights())


def _difference(model: keras.Model, rebuilt: tf_keras.Model) -> float:
    """The largest difference between the outputs, on seeded random inputs; NaN counts as one."""
    random = np.random.default_rng(SEED)
    limit = _smallest_vocabulary(model)

    def some(tensor: Any) -> np.ndarray:
        shape = [2, *(size or SOME_SIZE for size in tensor.shape[1:])]
        if limit is not None:
            return random.integers(0, limit, shape).astype(tensor.dtype)
        return random.random(shape).astype(tensor.dtype)

    graph = getattr(model, "_functional", None) or model
    inputs = keras.tree.map_structure(some, graph.input)
    before, after = model(inputs, training=False), rebuilt(inputs, training=False)
    pairs = zip(keras.tree.flatten(before), keras.tree.flatten(after), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def _smallest_vocabulary(model: keras.Model) -> int | None:
    """The smallest ``input_dim`` of the model's Embeddings, None where it has none."""
    sizes = [
        it.input_dim
        for it in model._flatten_layers()  # noqa: SLF001 - public API has no walk
        if isinstance(it, keras.layers.Embedding)
    ]
    return min(sizes, default=None)
