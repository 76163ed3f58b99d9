"""The graph of a Keras 3 model, rebuilt in ``tf_keras`` call by call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tf_keras

from job.errors import InputError
from job.models.compare import Rows, first_different
from job.models.keras3_adapters import Keras3Layer, float_dtype
from job.models.keras3_layers import make
from job.models.keras3_masked_layers import (
    MERGES,
    Softmax,
    all_true,
    attend,
    mask_option,
    masks_by_name,
    mergeable,
)
from job.models.keras3_masks import MASK_OPS, Call, Scope, bind, hand_on
from job.models.keras3_ops import OPS
from job.models.layers import graph_of


def rebuild_graph(model: keras.Model, where: str) -> tuple[Graph, tf_keras.Model]:
    """Rebuild a model, without its weights.

    It is started again if a nested model needs an input for another mask. For ``Raises`` see
    ``keras3.rebuild``.
    """
    mask_inputs: dict[int, dict[int, int]] = {}
    while True:
        graph = Graph(where, mask_inputs)
        try:
            return graph, graph.model(model)
        except _MoreMasksError:
            continue


class _MoreMasksError(Exception):
    """A nested model that was made already is called with a mask that it has no input for."""


class Graph:
    """A graph while it is rebuilt; a layer or model that is used twice is made once.

    ``mask_inputs`` has, by the ``id`` of a nested model, the index of each input that has a mask in
    any call -> the mask's rank. New ones are added.
    """

    def __init__(self, where: str, mask_inputs: dict[int, dict[int, int]]) -> None:
        self._where = where
        self._made: dict[int, tf_keras.layers.Layer] = {}
        self._scopes: dict[int, Scope] = {}
        self._mask_inputs = mask_inputs

    def first_different(
        self, model: keras.Model, rebuilt: tf_keras.Model, rows: Rows | None
    ) -> str:
        """The first layer of the model, in the order of its calls, whose outputs differ."""
        graph = graph_of(model)
        tensors = self._scopes[id(model)].tensors
        calls = [node for node in _nodes(graph) if id(node.outputs[0]) in tensors]
        names = [node.operation.name for node in calls]
        before = keras.Model(graph.input, [node.outputs[0] for node in calls])
        after = tf_keras.Model(rebuilt.input, [tensors[id(node.outputs[0])] for node in calls])
        return first_different(names, before, after, rows)

    def model(self, model: keras.Model, *, nested: bool = False) -> tf_keras.Model:
        """The same model. A nested one has further inputs and outputs, for the masks of its inputs
        and outputs; then all are plain lists.
        """
        graph = graph_of(model)
        if not hasattr(graph, "_nodes_by_depth"):
            raise InputError(
                f"The model {model.name} has no graph: it is a subclassed or unbuilt model.",
                where=self._where,
                hint="Build it with the functional API, and save it again.",
            )
        scope = self._scopes[id(model)] = Scope()
        scope.tensors |= {
            id(tensor): tf_keras.Input(
                batch_shape=tensor.shape, dtype=float_dtype(tensor.dtype), name=_origin(tensor).name
            )
            for tensor in graph.inputs
        }
        masks = []
        for index, rank in self._mask_inputs.get(id(model), {}).items():
            of = graph.inputs[index]
            name = f"{_origin(of).name}_mask"
            masks.append(tf_keras.Input(batch_shape=of.shape[:rank], dtype="bool", name=name))
            scope.set_mask(of, scope.adopt(masks[-1]))
        for node in _nodes(graph):
            self._call(node, scope)
        ends = [
            keras.tree.map_structure(lambda tensor: scope.tensors[id(tensor)], structure)
            for structure in (graph._inputs_struct, graph._outputs_struct)  # noqa: SLF001 - no other way
        ]
        found = [scope.mask_of(tensor) for tensor in graph.outputs]
        if nested:
            scope.handed_on = [place for place, mask in enumerate(found) if mask is not None]
        if masks or scope.handed_on:
            mask_outputs = [self._rebuilt(found[place], scope) for place in scope.handed_on]
            inputs, outputs = map(keras.tree.flatten, ends)
            ends = [[*inputs, *masks], [*outputs, *mask_outputs]]
        return tf_keras.Model(*ends, name=model.name)

    def _call(self, node: Any, scope: Scope) -> None:
        operation = node.operation
        if not isinstance(operation, keras.Layer):
            given = (node.arguments.args, node.arguments.kwargs)
            arguments, options = self._rebuilt(given, scope)
            outputs = self._function(operation)(operation, *arguments, **options)
        else:
            call = bind(operation, node, scope)
            if isinstance(operation, keras.Model):
                outputs = self._call_model(operation, call, node.outputs, scope)
            else:
                outputs = self._call_layer(operation, call, scope)
                hand_on(operation, call, node.outputs, scope)
        for before, after in zip(node.outputs, keras.tree.flatten(outputs), strict=True):
            scope.tensors[id(before)] = after

    def _call_layer(self, layer: keras.Layer, call: Call, scope: Scope) -> Any:
        inputs = self._rebuilt(call.inputs, scope)
        options = self._options(layer, call, scope)
        masks = self._rebuilt(dict(call.masks), scope)
        if masks and type(layer) in MERGES:
            return MERGES[type(layer)](inputs, masks["mask"])
        if masks and type(layer) is keras.layers.Softmax:
            self._made.setdefault(id(layer), Softmax(layer.axis, name=layer.name))
        counterpart = self._layer(layer)
        if isinstance(counterpart, Keras3Layer):
            return counterpart(inputs, **options, **masks_by_name(inputs, masks))
        if isinstance(layer, keras.layers.MultiHeadAttention):
            return attend(counterpart, layer, inputs, options, masks)
        inputs = mergeable(layer, inputs)
        return counterpart(inputs, **options, **mask_option(layer, counterpart, inputs, masks))

    def _call_model(
        self, model: keras.Model, call: Call, answered: Sequence[Any], scope: Scope
    ) -> Any:
        """Call a nested model; it has inputs for the masks of all its calls."""
        given = keras.tree.flatten(call.inputs)
        masks = keras.tree.flatten(call.masks["mask"]) if call.masks else [None] * len(given)
        ranks = self._mask_inputs.setdefault(id(model), {})
        new = {index: len(mask.shape) for index, mask in enumerate(masks) if mask is not None}
        if not new.keys() <= ranks.keys():
            ranks = self._mask_inputs[id(model)] = new | ranks
            if id(model) in self._made:
                raise _MoreMasksError
        counterpart = self._layer(model)
        inside = self._scopes[id(model)]
        options = self._options(model, call, scope)
        if not ranks and not inside.handed_on:
            return counterpart(self._rebuilt(call.inputs, scope), **options)
        tensors = [scope.tensors[id(tensor)] for tensor in given]
        mask_inputs = [
            all_true(tensors[index], rank)
            if masks[index] is None
            else self._rebuilt(masks[index], scope)
            for index, rank in ranks.items()
        ]
        outputs = counterpart([*tensors, *mask_inputs], **options)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        for place, mask in zip(inside.handed_on, outputs[len(answered) :], strict=True):
            scope.set_mask(answered[place], scope.adopt(mask))
        for before, inner in zip(given, graph_of(model).inputs, strict=True):
            if inside.mask_of(inner) is None:  # attention inside the model has removed the mask
                scope.set_mask(before, None)
        return outputs[: len(answered)]

    def _options(self, layer: keras.Layer, call: Call, scope: Scope) -> dict[str, Any]:
        said = {key: it for key, it in call.options.items() if _is_explicit(layer, key, it)}
        return dict(self._rebuilt(said, scope))

    def _rebuilt(self, nested: Any, scope: Scope) -> Any:
        """The counterparts of tensors; a mask that Keras computes is computed here, too."""

        def counterpart(value: Any) -> Any:
            if isinstance(value, keras.KerasTensor) and id(value) not in scope.tensors:
                history = value._keras_history  # noqa: SLF001 - how Keras finds it too
                self._call(history.operation._inbound_nodes[history.node_index], scope)  # noqa: SLF001
            return scope.tensors.get(id(value), value)

        return keras.tree.map_structure(counterpart, nested)

    def _function(self, operation: keras.Operation) -> Callable[..., Any]:
        kind = type(operation).__name__
        function = MASK_OPS.get(kind) or OPS.get(kind)
        if function is None:
            raise InputError(
                f"The model calls keras.ops.{kind}, which is not known here.",
                where=f"{self._where}, layer {operation.name}",
                hint="Replace it with a layer; what calls functions can't be carried over.",
            )
        return function

    def _layer(self, layer: keras.Layer) -> tf_keras.layers.Layer:
        if id(layer) not in self._made:
            if isinstance(layer, keras.Model):
                made = self.model(layer, nested=True)
            else:
                made = make(layer, self._layer, self._where)
            self._made[id(layer)] = made
        return self._made[id(layer)]


def _is_explicit(layer: keras.Layer, key: str, value: Any) -> bool:
    """Whether an argument of a call is more than a default.

    Keras 3 stores ``training`` with every call and overrides it by the model's own; Keras 2 would
    use the stored one, with dropout that is off in training and a RandomFlip that is on after it.
    Only ``training=False`` for a layer with another default is meant, as for a backbone.
    """
    if key == "training":
        usual = inspect.signature(layer.call).parameters.get("training")
        return value is False and (usual is None or usual.default is not False)
    return value is not None


def _origin(tensor: Any) -> keras.Operation:
    return tensor._keras_history.operation  # noqa: SLF001 - how Keras finds it too


def _nodes(graph: keras.Model) -> Iterator[Any]:
    """The calls of the graph, in the order in which they can be made."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):  # noqa: SLF001 - no other way
        for node in graph._nodes_by_depth[depth]:  # noqa: SLF001 - as above
            if not isinstance(node.operation, keras.layers.InputLayer):
                yield node
