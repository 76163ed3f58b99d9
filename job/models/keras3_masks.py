"""Masks of Keras 3 models: which one each call gets, and how a ``tf_keras`` model computes it.

In Keras 3 a mask is attached to a tensor (``_keras_mask``) while the model runs, and a layer uses
the mask of its inputs if the call has none. Keras 2 does the same with different rules (for merging
layers, attention, encoders and decoders, nested models). So Keras 2's rules are not used: the mask
of each tensor is computed by Keras 3's own methods (``compute_mask``), and each layer of the
rebuilt model gets its mask as an argument of the call. Such an argument is a part of the graph, so
it is preserved by cloning, wrapping and converting.

Sources: ``Layer.__call__`` in keras/src/layers/layer.py, steps 6 and 7, of Keras 3.15.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

# A tensor of a Keras 3 graph, or of a ``tf_keras`` graph; nested in lists, tuples and dicts.
Tensor = Any

# The operators for masks, in addition to those of keras3_ops.
MASK_OPS: dict[str, Callable[..., Any]] = {
    "All": lambda op, x: tf.reduce_all(truth(x), axis=op.axis, keepdims=op.keepdims),
    "Any": lambda op, x: tf.reduce_any(truth(x), axis=op.axis, keepdims=op.keepdims),
    "ConvertToTensor": lambda op, x: tf.cast(x, op.dtype) if op.dtype else x,
    "LogicalAnd": lambda _, x, y: tf.logical_and(truth(x), truth(y)),
    "LogicalNot": lambda _, x: tf.logical_not(truth(x)),
    "LogicalOr": lambda _, x, y: tf.logical_or(truth(x), truth(y)),
    "LogicalXor": lambda _, x, y: tf.math.logical_xor(truth(x), truth(y)),
    "NotEqual": lambda _, x, y: tf.not_equal(x, y),
    "OnesLike": lambda op, x: tf.ones_like(x, op.dtype),
    "ZerosLike": lambda op, x: tf.zeros_like(x, op.dtype),
}

# Layers that use the masks of their inputs while they run; those of Keras 2 do not.
MERGING = (keras.layers.Multiply, keras.layers.Maximum, keras.layers.Minimum)
# The inputs of attention layers, from which Keras 3 removes the masks while it runs.
ATTENTION_INPUTS = ("query", "value", "key")
# The names of arguments that are masks.
_MASKS = ("mask", *(f"{name}_mask" for name in (*ATTENTION_INPUTS, "attention")))


@dataclass
class Scope:
    """The tensors of one graph while it is rebuilt, by ``id``."""

    tensors: dict[int, Tensor] = field(default_factory=dict)
    """A tensor of Keras 3 -> its counterpart in ``tf_keras``."""
    masks: dict[int, Tensor] = field(default_factory=dict)
    """A tensor of Keras 3 -> its mask, a tensor of Keras 3."""
    handed_on: list[int] = field(default_factory=list)
    """The outputs of a nested model's graph whose masks are outputs, too."""
    alive: list[Tensor] = field(default_factory=list)
    """Tensors without another reference, so that no other tensor gets their ``id``."""

    def mask_of(self, nested: Tensor) -> Tensor:
        """The masks of tensors, in the same structure; None for a tensor without one."""
        return keras.tree.map_structure(lambda one: self.masks.get(id(one)), nested)

    def set_mask(self, tensor: Tensor, mask: Tensor | None) -> None:
        """Attach a mask to a tensor; None removes it."""
        if mask is None:
            self.masks.pop(id(tensor), None)
        else:
            self.masks[id(tensor)] = mask
            self.alive.append(mask)

    def adopt(self, tensor: Tensor) -> Tensor:
        """A tensor of Keras 3 that represents one of ``tf_keras``."""
        stand_in = keras.KerasTensor(tuple(tensor.shape), tensor.dtype.name)
        self.tensors[id(stand_in)] = tensor
        self.alive.append(stand_in)
        return stand_in


@dataclass(frozen=True)
class Call:
    """A call of a Keras 3 layer, with its masks when the model runs."""

    first: str
    """The name of the first argument."""
    arguments: Mapping[str, Any]
    """All arguments, with defaults: tensors of Keras 3, nested, or a setting."""
    options: Mapping[str, Any]
    """The arguments in the graph, except for the first one and for masks."""
    masks: Mapping[str, Tensor]
    """The arguments that are masks, unless all in it are None."""
    previous: Tensor
    """The masks from which the layer computes those of its outputs; nested."""

    @property
    def inputs(self) -> Tensor:
        """The first argument."""
        return self.arguments[self.first]


def bind(layer: keras.Layer, node: Any, scope: Scope) -> Call:
    """The arguments of a layer's call: those in the graph, and the masks of its inputs.

    A mask in the graph has priority over those of the inputs. Keras passes a mask of the inputs as
    ``mask`` if one argument holds tensors, and as ``<argument>_mask`` if several do: an LSTM with
    an initial state gets none.
    """
    signature = inspect.signature(layer.call)
    given = {
        name: value
        for name, value in node.arguments.kwargs.items()
        if name in signature.parameters or name != "training"
    }
    bound = signature.bind(*node.arguments.args, **given)
    in_graph = set(bound.arguments)
    bound.apply_defaults()
    arguments = {
        name: value
        for name, value in bound.arguments.items()
        if signature.parameters[name].kind is not inspect.Parameter.VAR_KEYWORD
    }
    first, *_ = arguments
    holding = [name for name, value in arguments.items() if _holds_tensors(value)]
    found: dict[str, Tensor] = {}
    if len(holding) == 1 and "mask" in arguments and arguments["mask"] is None:
        found["mask"] = scope.mask_of(arguments[holding[0]])
    elif len(holding) > 1:
        for name in holding:
            mask = f"{name}_mask"
            if mask in arguments and arguments[mask] is None:
                found[mask] = scope.mask_of(arguments[name])
    if isinstance(layer, keras.layers.MultiHeadAttention):  # it always uses the attached mask
        found["query_mask"] = scope.mask_of(arguments["query"])
    arguments |= found
    named = given.get("mask") if given.get("mask") is not None else found.get("mask")
    previous = scope.mask_of(arguments[first]) if named is None else named
    names = [name for name in arguments if name in _MASKS and name != first]
    masks = {name: arguments[name] for name in names if _some(arguments[name])}
    if type(layer) in MERGING and _some(previous):  # they use the attached masks, too
        masks["mask"] = previous
    options = {name: arguments[name] for name in arguments if name in in_graph - {first, *names}}
    return Call(first, arguments, options, masks, previous)


def hand_on(layer: keras.Layer, call: Call, outputs: Sequence[Tensor], scope: Scope) -> None:
    """Compute the masks of a layer's outputs, with the layer's own method."""
    if isinstance(layer, keras.layers.MultiHeadAttention):
        for name in ATTENTION_INPUTS:
            if name in call.arguments:
                scope.set_mask(call.arguments[name], None)
    computed = _computed(layer, call)
    if computed is None:
        return
    for output, mask in zip(outputs, keras.tree.flatten(computed), strict=False):
        scope.set_mask(output, mask)


def _computed(layer: keras.Layer, call: Call) -> Tensor:
    if isinstance(layer, keras.layers.ReversibleEmbedding):  # it sets the mask while it runs
        if call.arguments["reverse"]:
            return None
        return keras.layers.Embedding.compute_mask(layer, call.inputs)
    return layer.compute_mask(call.inputs, call.previous) if layer.supports_masking else None


def truth(x: Tensor) -> Tensor:
    """A mask as booleans; zero is false."""
    return x if getattr(x, "dtype", None) == tf.bool else tf.cast(x, tf.bool)


def _holds_tensors(value: Any) -> bool:
    flat = keras.tree.flatten(value)
    tensors = [one for one in flat if one is not None]
    nested = keras.tree.is_nested(value)
    are_tensors = all(isinstance(one, keras.KerasTensor | tf.Tensor) for one in tensors)
    return (bool(tensors) or nested) and bool(flat) and are_tensors


def _some(value: Tensor) -> bool:
    return any(one is not None for one in keras.tree.flatten(value))
