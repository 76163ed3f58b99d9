"""tfmot's pruning wrapper, in which the layer keeps the mask of padded steps, and its own loss.

``Embedding(mask_zero=True)`` and ``Masking`` tell the layers after them which steps are padding.
tfmot's wrapper does not pass on the mask that its layer makes, so the layers after it are trained
on padding; and it gives a mask to layers that take none, which is a TypeError.

It also calls its layer's ``call`` and not the layer, so that Keras never adds the loss of the
layer's ``activity_regularizer``; in its place Keras then finds that of the layer's first call, a
tensor of another graph.
"""

from __future__ import annotations

import inspect

import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_wrapper


class PruneLowMagnitude(pruning_wrapper.PruneLowMagnitude):  # type: ignore[misc]  # it has no types
    """tfmot's wrapper, with the masks of the layer inside it."""

    def __init__(self, layer: tf_keras.layers.Layer, **options: object) -> None:
        super().__init__(layer, **options)
        self.supports_masking = layer.supports_masking
        self._takes_mask = "mask" in inspect.signature(layer.call).parameters

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: tf.Tensor | None = None,
        **options: object,
    ) -> tf.Tensor:
        """What the layer answers; in training the masks of its weights are updated, too."""
        if self._takes_mask:
            options["mask"] = mask
        outputs = super().call(inputs, training=training, **options)
        self.layer._handle_activity_regularization(inputs, outputs)  # noqa: SLF001 - as Layer.__call__
        return outputs

    def compute_mask(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor | None:
        """The layer's own."""
        return self.layer.compute_mask(inputs, mask)
