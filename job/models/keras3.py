"""Keras 3 models: rebuilt as ``tf_keras`` models, which tfmot can prune, and written back.

tfmot works on Keras 2 alone and always will (tfmot issues 1119 and 1172). Loading a Keras 3 file
in ``tf_keras`` fails; rebuilding the model does not: its graph is walked, each layer is made again
from its configuration and called as it was called, and its weights are copied. The outputs are
compared, and a model that answers differently is refused.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import tf_keras

from job.errors import InputError
from job.models import precision
from job.models.budget import refuse_huge_answers
from job.models.compare import (
    TOLERANCE,
    answers,
    difference,
    first_different,
    graph_of,
    on_random_inputs,
)
from job.models.keras3_ops import OPS
from job.models.keras_file import write_judged
from job.models.names import in_users_names, take_scope_names
from job.safety.judge import Judged

# What only decides how a layer was made; the weights are copied anyway.
NOT_NEEDED = ("initializer", "regularizer", "constraint", "dtype", "build_config")
# The ops that a mask is worked out with; tf_keras does that by itself.
MASKING = ("NotEqual", "Any")


def read(judged: Judged, *, trust: bool) -> keras.Model:
    """A Keras 3 model from a file that was judged; ``trust`` lets its code run."""
    with tempfile.TemporaryDirectory() as scratch:
        if judged.format == "keras":
            path = write_judged(judged, Path(scratch))
        else:  # Keras goes by the name of a file
            path = Path(scratch) / "model.h5"
            path.symlink_to(judged.path.absolute())
        model = keras.models.load_model(path, compile=False, safe_mode=not trust)
        take_scope_names(model)
        return model


def write(original: keras.Model, pruned: tf_keras.Model, path: Path) -> None:
    """Save the pruned weights as a Keras 3 file.

    Args:
        original: The Keras 3 model; its weights are changed.
        pruned: The same model in ``tf_keras``, pruned.
        path: Where the file goes.
    """
    _copy(pruned, original)
    with in_users_names(original):
        original.save(path)


def rebuild(model: keras.Model, where: str) -> tf_keras.Model:
    """The same model in ``tf_keras`` and in float32: same layer names, same weights, same outputs.

    Args:
        model: A Keras 3 Sequential or functional model.
        where: The file, for messages.

    Raises:
        InputError: Where the model has no graph, a layer has no counterpart, or the outputs differ.
        Exception: What either Keras raises, where it can't make or call a model.
    """
    rebuilding = _Rebuilding(where)
    rebuilt = rebuilding.model(model)
    _copy(model, rebuilt)
    refuse_huge_answers(rebuilt, where)
    with precision.computing_in_float32(model):
        found = difference(model, rebuilt)
    if not found <= TOLERANCE:
        with precision.computing_in_float32(model):
            first = rebuilding.first_different(model, rebuilt)
        raise InputError(
            f"The model answers differently when it is rebuilt for Keras 2: by {found:.2g}. The "
            f"first layer that differs is {first}.",
            where=where,
            hint="Replace that layer; it can't be pruned by tfmot, which needs Keras 2.",
        )
    return rebuilt


class _Rebuilding:
    """One walk over a model; a layer or model that is used twice is made once."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._made: dict[int, tf_keras.layers.Layer] = {}
        self._tensors: dict[int, dict[int, Any]] = {}

    def first_different(self, model: keras.Model, rebuilt: tf_keras.Model) -> str:
        """The first layer of the model, in the order of its calls, that answers differently."""
        graph = graph_of(model)
        tensors = self._tensors[id(model)]
        calls = [node for node in _nodes(graph) if id(node.outputs[0]) in tensors]
        names = [node.operation.name for node in calls]
        before = keras.Model(graph.input, [node.outputs[0] for node in calls])
        after = tf_keras.Model(rebuilt.input, [tensors[id(node.outputs[0])] for node in calls])
        return on_random_inputs(
            model, lambda it: first_different(names, answers(before, it), answers(after, it))
        )

    def model(self, model: keras.Model) -> tf_keras.Model:
        graph = graph_of(model)
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
        self._tensors[id(model)] = tensors
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
        if isinstance(operation, keras.Layer):
            options = {key: it for key, it in options.items() if _is_said(operation, key, it)}
            outputs = self._layer(operation)(*arguments, **options)
        else:
            outputs = self._function(operation)(operation, *arguments, **options)
        for before, after in zip(node.outputs, keras.tree.flatten(outputs), strict=True):
            tensors[id(before)] = after

    def _function(self, operation: keras.Operation) -> Callable[..., Any]:
        kind = type(operation).__name__
        if kind not in OPS:
            raise InputError(
                f"The model calls keras.ops.{kind}, which is not known here.",
                where=f"{self._where}, layer {operation.name}",
                hint=f"Replace it with a layer. These are known: {', '.join(OPS)}.",
            )
        return OPS[kind]

    def _layer(self, layer: keras.Layer) -> tf_keras.layers.Layer:
        if id(layer) not in self._made:
            self._made[id(layer)] = self._make(layer)
        return self._made[id(layer)]

    def _make(self, layer: keras.Layer) -> tf_keras.layers.Layer:
        if isinstance(layer, keras.Model):
            return self.model(layer)
        kind = getattr(tf_keras.layers, type(layer).__name__, None)
        if kind is None:
            raise InputError(
                f"{layer.name} is a {type(layer).__name__}, which Keras 2 has no layer for.",
                where=self._where,
                hint="Replace it with a layer that both have; tfmot works with Keras 2 alone.",
            )
        config = _config(layer, kind)
        if isinstance(layer, keras.layers.Lambda):  # it was let in by model.trust
            return kind(**config | {"function": layer.function})
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


def _is_said(layer: keras.Layer, key: str, value: Any) -> bool:
    """Whether an argument of a call is more than a default.

    Keras 3 notes ``training`` with every call and overrules it by the model's own; Keras 2 would
    keep to it, with dropout that is off in training and a RandomFlip that is on after it. What is
    meant by ``training=False`` is a call of a layer whose default is another, as of a backbone.
    """
    if key == "training":
        usual = inspect.signature(layer.call).parameters.get("training")
        return value is False and (usual is None or usual.default is not False)
    return value is not None and key != "mask"


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
