"""Layers that are called with masks: as Keras 3 calls them, of ``tf_keras``.

Where a layer of Keras 2 does something else with a mask than that of Keras 3, it is made up for
here: by operators around it, or by another softmax inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
import tf_keras

from job.models.keras3_masks import ATTENTION_INPUTS, Tensor, truth


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


def masks_by_name(inputs: Tensor, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The masks of a call of a ``Keras3Layer``: all of Keras 3's, and none of Keras 2's.

    Args:
        inputs: What it is called with.
        masks: Masks of the call, of ``tf_keras``, by the argument's name.
    """
    attached = [getattr(one, "_keras_mask", None) for one in tf.nest.flatten(inputs)]
    none = {"mask": None} if any(it is not None for it in attached) else {}
    return none | dict(masks)


def _for(layer: keras.Layer) -> Callable[[Tensor], Tensor]:
    """Attention of Keras 2 takes truth values only."""
    is_attention = isinstance(layer, keras.layers.Attention)
    return lambda one: truth(one) if is_attention and one is not None else one


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
    given = {name: unmasked(it) if name in ATTENTION_INPUTS else it for name, it in options.items()}
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
        truth(mask) if name == "attention_mask" else tf.expand_dims(truth(mask), axes[name])
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
