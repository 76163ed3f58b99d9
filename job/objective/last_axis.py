"""What the last axis of an output holds: classes, or positions such as a picture's columns.

With a binary loss, ``Dense(12, activation="sigmoid")`` answers for twelve classes of its own each.
A mask of 12 by 12 pixels, made by ``Reshape((12, 12))`` after a convolution with one filter, has a
last axis of the same size and no classes. Shapes do not tell, so the graph is followed back to the
layer whose features the values are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import tensorflow as tf
import tf_keras

from job.objective.calls import is_symbolic

LastAxis = Literal[
    "classes",
    "positions",  # each value is a decision of its own
    "unclear",  # the graph does not tell
]
# While the graph is followed, "one" is a last axis of size one: a single decision.
_Axis = Literal["classes", "positions", "unclear", "one"]
_Origin = tuple[int, int, int]

# Layers, and operations of TensorFlow and keras.ops, by their names in small letters.
RESHAPES = ("reshape", "flatten", "squeeze", "expand_dims", "expanddims", "expanddims_v2")
TRANSPOSES = ("permute", "transpose", "transpose_v2")
SLICES = ("getitem", "_slice_helper", "slice", "strided_slice")
MERGES = ("add", "average", "maximum", "minimum", "multiply", "subtract")
JOINS = ("concatenate", "concat", "stack")
# They change values, or sizes of other axes, and leave the last axis what it was.
KEEPS = (
    *("activation", "softmax", "relu", "elu", "leakyrelu", "prelu", "thresholdedrelu", "sigmoid"),
    *("tanh", "identity", "cast", "clip_by_value", "clip", "dropout", "gaussiannoise"),
    *("gaussiandropout", "alphadropout", "activityregularization", "masking", "rescaling"),
    *("batchnormalization", "layernormalization", "groupnormalization", "normalization"),
    *("repeatvector", "resizing", "centercrop", "randomflip", "randomcrop"),
)
KEEPS_STARTS = (
    *("spatialdropout", "cropping", "zeropadding", "upsampling", "averagepooling", "maxpooling"),
    *("globalaveragepooling", "globalmaxpooling", "adaptiveaveragepooling", "adaptivemaxpooling"),
)
# Layers with features of their own in the last axis.
MAKES = (
    *("dense", "einsumdense", "embedding", "simplernn", "gru", "lstm", "rnn", "bidirectional"),
    *("conv", "depthwiseconv", "separableconv", "locallyconnected", "convlstm"),
    *("attention", "additiveattention", "multiheadattention", "groupedqueryattention"),
)


def last_axis(output: Any) -> LastAxis:
    """What the last axis of an output holds, one of ``model.outputs``."""
    try:
        found = _Walk({}).of(output)
    except RecursionError:
        return "unclear"
    return "positions" if found == "one" else found


class _Walk:
    """The graph of one model, or of one call of a nested one."""

    def __init__(self, given: Mapping[_Origin, _Axis]) -> None:
        self._found = dict(given)

    def of(self, tensor: Any) -> _Axis:
        origin = _origin(tensor)
        if origin not in self._found:
            history = tensor._keras_history  # noqa: SLF001 - how Keras finds it too
            node = history.layer._inbound_nodes[history.node_index]  # noqa: SLF001 - as above
            given = tf.nest.flatten([list(node.call_args or ()), dict(node.call_kwargs or {})])
            inputs = [it for it in given if is_symbolic(it)]
            found = self._called(history.layer, inputs, tensor, node) if inputs else "unclear"
            is_one = found != "unclear" and tensor.shape[-1] == 1
            self._found[origin] = "one" if is_one else found
        return self._found[origin]

    def _called(
        self, layer: tf_keras.layers.Layer, inputs: Sequence[Any], output: Any, node: Any
    ) -> _Axis:
        if isinstance(layer, tf_keras.Model):
            given = zip(map(_origin, layer.inputs or ()), map(self.of, inputs), strict=False)
            index = output._keras_history.tensor_index  # noqa: SLF001 - as above
            return _of_model(layer, dict(given), index)
        layer, arguments = _original(layer, node)
        if _name(layer) == "timedistributed":
            layer = layer.layer
            if isinstance(layer, tf_keras.Model):
                return _of_model(layer, {}, 0)  # its rows are steps
        if _name(layer).removesuffix("transpose").rstrip("123d") in MAKES:
            return "classes" if _has_features_last(layer) else "positions"
        kinds = [self.of(it) for it in inputs]
        return _changed(_Call(layer, arguments, kinds, tuple(inputs[0].shape), tuple(output.shape)))


@dataclass(frozen=True)
class _Call:
    """A call that has no features of its own; shapes include the batch."""

    layer: Any
    arguments: Mapping[str, Any]
    kinds: Sequence[_Axis]
    """The last axis of each input."""
    before: tuple[int | None, ...]
    after: tuple[int | None, ...]


def _of_model(model: tf_keras.Model, given: Mapping[_Origin, _Axis], index: int) -> _Axis:
    return _Walk(given).of(model.outputs[index]) if getattr(model, "outputs", None) else "unclear"


def _changed(call: _Call) -> _Axis:
    name = _name(call.layer)
    if name in RESHAPES:
        return _reshaped(call)
    if name in TRANSPOSES:
        return _transposed(call)
    if name in SLICES:
        return _sliced(call)
    if name in JOINS:
        return _joined(call)
    if name in KEEPS or name.startswith(KEEPS_STARTS):
        return call.kinds[0] if _has_features_last(call.layer) else "unclear"
    is_by_value = len(call.kinds) == 1 and call.before == call.after and _is_operator(call.layer)
    is_same = len(set(call.kinds)) == 1 and (name in MERGES or is_by_value)
    return call.kinds[0] if is_same else "unclear"


def _original(layer: Any, node: Any) -> tuple[Any, Mapping[str, Any]]:
    """The Keras 3 layer or operation that a layer calls, and the named arguments of the call."""
    if hasattr(layer, "in_keras3"):
        return layer.in_keras3(), {}
    if type(layer).__name__ == "Keras3Operation":
        operation, _, named = layer.filled(node.call_args[0])
        return operation, named
    return layer, dict(node.call_kwargs or {})


def _name(layer: Any) -> str:
    kind = type(layer).__name__
    if kind == "SlicingOpLambda":
        return "getitem"
    if kind == "TFOpLambda":
        kind = str(layer.get_config()["function"]).rpartition(".")[2]
    return kind.lower()


def _is_operator(layer: Any) -> bool:
    """Whether it is an operation of TensorFlow's or of keras.ops that is called as a layer."""
    return type(layer).__name__ == "TFOpLambda" or not hasattr(layer, "trainable")


def _has_features_last(layer: Any) -> bool:
    return getattr(layer, "data_format", None) != "channels_first"


def _reshaped(call: _Call) -> _Axis:
    found = call.kinds[0]
    if found != "classes":
        return "positions" if found == "one" else found
    return "classes" if call.before[-1] == call.after[-1] else "unclear"


def _transposed(call: _Call) -> _Axis:
    order = getattr(call.layer, "dims", None) or getattr(call.layer, "axes", None)
    order = order or call.arguments.get("perm") or call.arguments.get("axes")
    found, rank = call.kinds[0], len(call.before)
    if order is None or found == "unclear":
        return "unclear"
    return found if order[-1] % rank == rank - 1 else "positions"


def _sliced(call: _Call) -> _Axis:
    found, before, after = call.kinds[0], call.before, call.after
    if len(before) == len(after) or found == "unclear":
        return found
    if found == "one" or (before[:-1] == after and before[-1] != after[-1]):
        return "positions"
    # An earlier axis was indexed away; with equal sizes, shapes do not tell which.
    return found if before[-1] == after[-1] and before[-1] not in before[:-1] else "unclear"


def _joined(call: _Call) -> _Axis:
    """Several heads of one class each make classes where they are joined along the last axis."""
    kinds = set(call.kinds)
    if len(call.before) != len(call.after):
        return "unclear"
    if kinds <= {"one", "classes"}:
        return "classes"
    return call.kinds[0] if len(kinds) == 1 else "unclear"


def _origin(tensor: Any) -> _Origin:
    history = tensor._keras_history  # noqa: SLF001 - how Keras finds it too
    return id(history.layer), history.node_index, history.tensor_index
