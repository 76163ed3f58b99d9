"""Calls of ``tf_keras`` layers with masks, as Keras 3 makes them.

If a Keras 2 layer uses a mask differently from that of Keras 3, this is corrected here: by
operators around it, or by another softmax inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
import tf_keras

from job.models.keras3_adapters import is_masked, unmasked
from job.models.keras3_masks import ATTENTION_INPUTS, MERGING, Tensor, truth

Masks = Sequence[Tensor | None]


def mask_option(
    layer: keras.Layer, counterpart: tf_keras.layers.Layer, inputs: Tensor, masks: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The argument ``mask`` of a call of ``tf_keras``; None overrides a mask that Keras 2 attached.

    Raises:
        ValueError: If Keras 2's layer accepts no mask.
    """
    mask = masks.get("mask")
    if isinstance(layer, keras.layers.TimeDistributed) and not layer.layer._call_has_mask_arg:  # noqa: SLF001
        mask = None  # Keras 3 only uses it for the layer inside
    accepts_one = counterpart._expects_mask_arg  # noqa: SLF001 - Keras uses it, too
    if mask is not None:
        if not accepts_one:
            raise ValueError(f"{layer.name} is called with a mask; Keras 2's layer takes none.")
        if isinstance(layer, keras.layers.Attention):  # that of Keras 2 needs booleans
            mask = keras.tree.map_structure(lambda one: None if one is None else truth(one), mask)
        return {"mask": mask}
    return {"mask": None} if accepts_one and _any_masked(inputs) else {}


def masks_by_name(inputs: Tensor, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The masks of a call of a ``Keras3Layer``: all of Keras 3's, and none of Keras 2's."""
    return ({"mask": None} if _any_masked(inputs) else {}) | dict(masks)


def _any_masked(inputs: Tensor) -> bool:
    return any(is_masked(one) for one in tf.nest.flatten(inputs))


def attend(
    counterpart: tf_keras.layers.MultiHeadAttention,
    layer: keras.layers.MultiHeadAttention,
    query: Tensor,
    options: dict[str, Any],
    masks: Mapping[str, Tensor],
) -> Tensor:
    """Call a MultiHeadAttention of ``tf_keras`` with all masks combined.

    For a query that may attend to nothing, Keras 3 has one of two results: equal weights for
    everything, or zero if the layer itself computes the scores.
    """
    given = {name: unmasked(it) if name in ATTENTION_INPUTS else it for name, it in options.items()}
    mask = _attention_mask(masks)
    if mask is not None:
        given["attention_mask"] = mask
    outputs = counterpart(unmasked(query), **given)
    scores = layer.dropout > 0 or options.get("return_attention_scores") or len(query.shape) != 3
    if scores:
        counterpart._softmax = Softmax(counterpart._softmax.axis)  # noqa: SLF001 - not a setting
    else:
        counterpart._softmax.robust_masking = True  # noqa: SLF001 - as above
    return outputs


def _attention_mask(masks: Mapping[str, Tensor]) -> Tensor | None:
    """The combined mask of a MultiHeadAttention: which of S values each of T queries may use.

    The masks are those that exist of ``query_mask`` (batch, T), ``value_mask`` and ``key_mask``
    (batch, S), ``attention_mask`` (batch, T, S); the result broadcasts to (batch, T, S).
    """
    axes = {"query_mask": -1, "value_mask": -2, "key_mask": -2}
    found = None
    for name, mask in masks.items():
        part = truth(mask) if name == "attention_mask" else tf.expand_dims(truth(mask), axes[name])
        found = part if found is None else tf.logical_and(found, part)
    return found


def mergeable(layer: keras.Layer, inputs: Tensor) -> Tensor:
    """Inputs of ``tf_keras``: Keras 2 can't concatenate masked and unmasked steps along an axis."""
    if not isinstance(layer, keras.layers.Concatenate) or all(is_masked(one) for one in inputs):
        return inputs
    return [unmasked(one) for one in inputs]


def all_true(x: Tensor, rank: int) -> Tensor:
    """A mask of ``rank`` axes that masks nothing, for a tensor of ``tf_keras``."""
    while len(x.shape) > rank:
        x = x[..., 0]
    return tf.ones_like(x, tf.bool)


def _multiply(tensors: Sequence[Tensor], masks: Masks) -> Tensor:
    """Masked values count as one, and a product of masked values only is zero."""
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


def _extreme(function: Callable[..., Tensor]) -> Callable[[Sequence[Tensor], Masks], Tensor]:
    """The maximum or minimum of the values that are not masked."""

    def call(tensors: Sequence[Tensor], masks: Masks) -> Tensor:
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

    return call


MERGES: dict[type[keras.Layer], Callable[[Sequence[Tensor], Masks], Tensor]] = dict(
    zip(MERGING, (_multiply, _extreme(tf.maximum), _extreme(tf.minimum)), strict=True)
)


class Softmax(tf_keras.layers.Softmax):  # type: ignore[misc]  # it has no types
    """Keras 3's softmax: masked values are zero, also if all are masked."""

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """The softmax of the values that are not masked; ``mask`` broadcasts to ``inputs``."""
        if mask is None:
            return super().call(inputs)
        kept = mask if mask.dtype == tf.bool else tf.greater(mask, tf.cast(0.5, mask.dtype))
        outputs = super().call(tf.where(kept, inputs, tf.cast(-1e9, inputs.dtype)))
        return tf.where(kept, outputs, tf.zeros_like(outputs))
