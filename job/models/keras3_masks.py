"""Masks of Keras 3 models: which one each call gets, and how a ``tf_keras`` model computes it.

In Keras 3 a mask goes with a tensor (``_keras_mask``) from layer to layer while the model runs, and
a layer takes the mask of its inputs where the call gives none. Keras 2 does so too, by rules that
differ (merging layers, attention, encoders and decoders, nested models). So nothing is left to
Keras 2's rules: the walk over the graph works out the mask of each tensor by Keras 3's own methods
(``compute_mask``), and each layer of the rebuilt model is given its mask as an argument of the
call. Such an argument is a part of the graph, so it survives cloning, wrapping, and converting.

Sources: ``Layer.__call__`` in keras/src/layers/layer.py, steps 6 and 7, of Keras 3.15.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf
import tf_keras

# A tensor of a Keras 3 graph, or of a ``tf_keras`` graph; nested in lists, tuples and dicts.
Tensor = Any

# The operators that masks are computed with, beside those of keras3_ops.
MASK_OPS: dict[str, Callable[..., Any]] = {
    "All": lambda op, x: tf.reduce_all(_truth(x), axis=op.axis, keepdims=op.keepdims),
    "Any": lambda op, x: tf.reduce_any(_truth(x), axis=op.axis, keepdims=op.keepdims),
    "ConvertToTensor": lambda op, x: tf.cast(x, op.dtype) if op.dtype else x,
    "LogicalAnd": lambda _, x, y: tf.logical_and(_truth(x), _truth(y)),
    "LogicalNot": lambda _, x: tf.logical_not(_truth(x)),
    "LogicalOr": lambda _, x, y: tf.logical_or(_truth(x), _truth(y)),
    "LogicalXor": lambda _, x, y: tf.math.logical_xor(_truth(x), _truth(y)),
    "NotEqual": lambda _, x, y: tf.not_equal(x, y),
    "OnesLike": lambda op, x: tf.ones_like(x, op.dtype),
    "ZerosLike": lambda op, x: tf.zeros_like(x, op.dtype),
}

# What arguments that are masks are called.
_MASKS = ("mask", "query_mask", "value_mask", "key_mask", "attention_mask")
# The inputs of attention layers, whose masks Keras 3 takes off the tensors while it runs.
_ATTENTION_INPUTS = ("query", "value", "key")


@dataclass
class Scope:
    """What is known of the tensors of one graph while it is rebuilt, by ``id``."""

    tensors: dict[int, Tensor] = field(default_factory=dict)
    """Of Keras 3 -> their counterparts in ``tf_keras``."""
    masks: dict[int, Tensor] = field(default_factory=dict)
    """Of Keras 3 -> the mask that goes with it, a tensor of Keras 3."""
    handed_on: list[int] = field(default_factory=list)
    """The outputs of the graph whose masks are outputs, too; of a nested model."""
    alive: list[Tensor] = field(default_factory=list)
    """Tensors that nothing else holds, so that no other gets their ``id``."""

    def mask_of(self, nested: Tensor) -> Tensor:
        """The masks that go with tensors, in the same structure; None where there is none."""
        return keras.tree.map_structure(lambda one: self.masks.get(id(one)), nested)

    def set_mask(self, tensor: Tensor, mask: Tensor | None) -> None:
        """Let a mask go with a tensor from now on; with None it goes without."""
        if mask is None:
            self.masks.pop(id(tensor), None)
        else:
            self.masks[id(tensor)] = mask
            self.alive.append(mask)

    def adopt(self, tensor: Tensor) -> Tensor:
        """A tensor of Keras 3 that stands for one of ``tf_keras``."""
        stand_in = keras.KerasTensor(tuple(tensor.shape), tensor.dtype.name)
        self.tensors[id(stand_in)] = tensor
        self.alive.append(stand_in)
        return stand_in


@dataclass(frozen=True)
class Call:
    """A call of a Keras 3 layer, with the masks that it gets when the model runs."""

    first: str
    """The name of the first argument."""
    arguments: Mapping[str, Any]
    """All of them, defaults too: tensors of Keras 3, nested, or a setting."""
    options: Mapping[str, Any]
    """Those that the graph gives, but for the first one and for masks."""
    masks: Mapping[str, Tensor]
    """Those that are masks, and not all None."""
    previous: Tensor
    """The masks that the layer hands on, by its rules; nested."""

    @property
    def inputs(self) -> Tensor:
        """The first argument."""
        return self.arguments[self.first]


def bind(layer: keras.Layer, node: Any, scope: Scope) -> Call:
    """What a layer is called with: the graph's arguments, and the masks of its inputs.

    A mask that the graph names goes before those of the inputs. Keras looks for a mask of the
    inputs under the name ``mask`` where one argument holds tensors, and under ``<argument>_mask``
    where several do: an LSTM that is given an initial state gets none.
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
    if isinstance(layer, keras.layers.MultiHeadAttention):  # it asks the tensor in any case
        found["query_mask"] = scope.mask_of(arguments["query"])
    arguments |= found
    named = given.get("mask") if given.get("mask") is not None else found.get("mask")
    previous = scope.mask_of(arguments[first]) if named is None else named
    names = [name for name in arguments if name in _MASKS and name != first]
    masks = {name: arguments[name] for name in names if _some(arguments[name])}
    if type(layer) in MERGES and _some(previous):  # they ask the tensors, too
        masks["mask"] = previous
    options = {name: arguments[name] for name in arguments if name in in_graph - {first, *names}}
    return Call(first, arguments, options, masks, previous)


def hand_on(layer: keras.Layer, call: Call, outputs: Sequence[Tensor], scope: Scope) -> None:
    """Note the masks that go with the outputs of a layer, by the layer's own method."""
    if isinstance(layer, keras.layers.MultiHeadAttention):
        for name in _ATTENTION_INPUTS:
            if name in call.arguments:
                scope.set_mask(call.arguments[name], None)
    if not layer.supports_masking:
        return
    computed = layer.compute_mask(call.inputs, call.previous)
    if computed is None:
        return
    for output, mask in zip(outputs, keras.tree.flatten(computed), strict=False):
        scope.set_mask(output, mask)


def mask_option(
    layer: keras.Layer, twin: tf_keras.layers.Layer, inputs: Tensor, masks: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The argument ``mask`` of a call of ``tf_keras``; without one, Keras 2's own is kept away.

    Args:
        layer: The Keras 3 layer.
        twin: Its counterpart.
        inputs: What the counterpart is called with.
        masks: Masks of the call, of ``tf_keras``.

    Raises:
        ValueError: Where Keras 2's layer takes no mask.
    """
    mask = masks.get("mask")
    if isinstance(layer, keras.layers.TimeDistributed) and not layer.layer._call_has_mask_arg:  # noqa: SLF001
        mask = None  # Keras 3 uses it for the layer inside alone
    takes_one = twin._expects_mask_arg  # noqa: SLF001 - how Keras knows it too
    if mask is not None:
        if not takes_one:
            raise ValueError(f"{layer.name} is called with a mask; Keras 2's layer takes none.")
        return {"mask": keras.tree.map_structure(_for(layer), mask)}
    attached = [getattr(one, "_keras_mask", None) for one in tf.nest.flatten(inputs)]
    return {"mask": None} if takes_one and any(it is not None for it in attached) else {}


def _for(layer: keras.Layer) -> Callable[[Tensor], Tensor]:
    """Attention of Keras 2 takes truth values only."""
    is_attention = isinstance(layer, keras.layers.Attention)
    return lambda one: _truth(one) if is_attention and one is not None else one


def attend(
    twin: tf_keras.layers.MultiHeadAttention,
    layer: keras.layers.MultiHeadAttention,
    query: Tensor,
    options: dict[str, Any],
    masks: Mapping[str, Tensor],
) -> Tensor:
    """Call a MultiHeadAttention of ``tf_keras`` with one mask that holds all.

    Where a query may see nothing, Keras 3 has one of two answers: equal weights for everything, or,
    where it works out the scores itself, nothing at all.
    """
    given = {name: unmasked(it) if name in _ATTENTION_INPUTS else it for name, it in options.items()}
    mask = attention_mask(masks)
    if mask is not None:
        given["attention_mask"] = mask
    outputs = twin(unmasked(query), **given)
    scores = layer.dropout > 0 or options.get("return_attention_scores") or len(query.shape) != 3
    if scores:
        twin._softmax = Softmax(twin._softmax.axis)  # noqa: SLF001 - it is no setting
    else:
        twin._softmax.robust_masking = True  # noqa: SLF001 - as above
    return outputs


def attention_mask(masks: Mapping[str, Tensor]) -> Tensor | None:
    """The one mask of a MultiHeadAttention: which of S values each of T queries may see.

    Args:
        masks: Tensors of ``tf_keras``: ``query_mask`` (batch, T), ``value_mask`` and ``key_mask``
            (batch, S), ``attention_mask`` (batch, T, S); those that there are.

    Returns:
        A mask (batch, T, S), or of a shape that broadcasts to it.
    """
    axes = {"query_mask": -1, "value_mask": -2, "key_mask": -2}
    parts = [
        _truth(mask) if name == "attention_mask" else tf.expand_dims(_truth(mask), axes[name])
        for name, mask in masks.items()
    ]
    found = None
    for part in parts:
        found = part if found is None else tf.logical_and(found, part)
    return found


def unmasked(x: Tensor) -> Tensor:
    """A tensor of ``tf_keras`` without the mask that Keras 2 has attached to it."""
    return x if getattr(x, "_keras_mask", None) is None else tf.identity(x)


def mergeable(layer: keras.Layer, inputs: Tensor) -> Tensor:
    """Inputs of ``tf_keras``: Keras 2 can't concatenate masked and unmasked steps along an axis."""
    if not isinstance(layer, keras.layers.Concatenate):
        return inputs
    attached = [getattr(one, "_keras_mask", None) is not None for one in inputs]
    return inputs if all(attached) else [unmasked(one) for one in inputs]


def all_true(x: Tensor, rank: int) -> Tensor:
    """A mask of ``rank`` axes that masks nothing, for a tensor of ``tf_keras``."""
    while len(x.shape) > rank:
        x = x[..., 0]
    return tf.ones_like(x, tf.bool)


def multiply(tensors: Sequence[Tensor], masks: Sequence[Tensor | None]) -> Tensor:
    """``Multiply``: what is masked counts as one, and the product of masked ones is zero."""
    product, union = None, None
    for x, mask in zip(tensors, masks, strict=True):
        if mask is not None:
            wide = tf.expand_dims(mask, -1)
            x = tf.where(wide, x, tf.ones_like(x))  # noqa: PLW2901 - as the layer does
            union = wide if union is None else tf.logical_or(union, wide)
        product = x if product is None else tf.multiply(product, x)
    if all(mask is not None for mask in masks):
        product = tf.where(union, product, tf.zeros_like(product))
    return product


def maximum(tensors: Sequence[Tensor], masks: Sequence[Tensor | None]) -> Tensor:
    """``Maximum``: of what is not masked."""
    return _extreme(tf.maximum, tensors, masks)


def minimum(tensors: Sequence[Tensor], masks: Sequence[Tensor | None]) -> Tensor:
    """``Minimum``: of what is not masked."""
    return _extreme(tf.minimum, tensors, masks)


def _extreme(
    function: Callable[..., Tensor], tensors: Sequence[Tensor], masks: Sequence[Tensor | None]
) -> Tensor:
    output, known = None, None
    for x, mask in zip(tensors, masks, strict=True):
        wide = None if mask is None else tf.expand_dims(mask, -1)
        if output is None:
            output, known = x, wide
            continue
        if wide is not None:
            x = tf.where(wide, x, output)  # noqa: PLW2901 - as the layer does
        if known is not None:
            output = tf.where(known, output, x)
        both = wide is not None and known is not None
        known = tf.logical_or(known, wide) if both else None
        output = function(output, x)
    return output


# Layers that look at the masks of their inputs while they run, which those of Keras 2 do not.
MERGES: dict[type[keras.Layer], Callable[[Sequence[Tensor], Sequence[Tensor | None]], Tensor]] = {
    keras.layers.Multiply: multiply,
    keras.layers.Maximum: maximum,
    keras.layers.Minimum: minimum,
}


class Softmax(tf_keras.layers.Softmax):  # type: ignore[misc]  # it has no types
    """Keras 3's softmax: what is masked is zero, where everything is masked, too."""

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """The softmax of what is not masked; ``mask`` broadcasts to ``inputs``."""
        if mask is None:
            return super().call(inputs)
        kept = mask if mask.dtype == tf.bool else tf.greater(mask, tf.cast(0.5, mask.dtype))
        outputs = super().call(tf.where(kept, inputs, tf.cast(-1e9, inputs.dtype)))
        return tf.where(kept, outputs, tf.zeros_like(outputs))


def _truth(x: Tensor) -> Tensor:
    return x if getattr(x, "dtype", None) == tf.bool else tf.cast(x, tf.bool)


def _holds_tensors(value: Any) -> bool:
    flat = keras.tree.flatten(value)
    tensors = [one for one in flat if one is not None]
    nested = keras.tree.is_nested(value)
    return (bool(tensors) or nested) and bool(flat) and all(_is_tensor(one) for one in tensors)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, keras.KerasTensor | tf.Tensor)


def _some(value: Tensor) -> bool:
    return any(one is not None for one in keras.tree.flatten(value))
