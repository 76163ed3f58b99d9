"""What of a layer can be pruned: its kernels, those of the layers inside wrappers too.

tfmot knows the kernels of most of Keras's layers, but refuses ``TimeDistributed`` and
``Bidirectional``. It prunes any layer, though, that has a method ``get_prunable_weights`` (its
interface ``PrunableLayer``), so a wrapper gets one that names the kernels inside it.
"""

from __future__ import annotations

import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras.prune_registry import PruneRegistry

layers = tf_keras.layers

# Kernels that tfmot does not know; of recurrent layers they are the cell's.
MORE_KERNELS: dict[type[tf_keras.layers.Layer], tuple[str, ...]] = {
    layers.Conv1DTranspose: ("kernel",),
    layers.EinsumDense: ("kernel",),
    layers.ConvLSTM1D: ("kernel", "recurrent_kernel"),
    layers.ConvLSTM2D: ("kernel", "recurrent_kernel"),
    layers.ConvLSTM3D: ("kernel", "recurrent_kernel"),
}
# Constraints that scale weights, or set some to zero: what is zero stays zero.
KEEP_ZEROS = ("NonNeg", "MaxNorm", "UnitNorm", "MinMaxNorm")


def kernels(layer: tf_keras.layers.Layer) -> list[tf.Variable]:
    """The variables of a layer that can be pruned, each once; none of what is frozen.

    Args:
        layer: A layer that is built; of a wrapper or a model, the layers inside count.
    """
    if not layer.weights or not layer.trainable:
        return []
    inner = _inside(layer)
    if inner is not None:
        found = {id(it): it for part in inner for it in kernels(part)}
        return list(found.values())
    if hasattr(layer, "prunable_kernels"):  # a layer that calls one of Keras 3
        return list(layer.prunable_kernels())
    if type(layer) in MORE_KERNELS:
        owner = getattr(layer, "cell", layer)
        own = [getattr(owner, name) for name in MORE_KERNELS[type(layer)]]
        return [kernel for kernel in own if not _breaks(kernel)]
    if not PruneRegistry.supports(layer):
        return []
    found = PruneRegistry.make_prunable(layer).get_prunable_weights()
    return [kernel for kernel in found if not _breaks(kernel)]


def make_prunable(layer: tf_keras.layers.Layer) -> None:
    """Give a layer the method by which tfmot asks it what to prune."""
    layer.get_prunable_weights = lambda: kernels(layer)


def why_dense(layer: tf_keras.layers.Layer) -> list[str]:
    """Why weights of a layer, or of the layers inside it, can't be pruned; each reason once."""
    if not layer.weights:
        return []
    if not layer.trainable:
        return [f"this {type(layer).__name__} layer is frozen (trainable is false)"]
    inner = _inside(layer)
    if inner is not None:
        reasons = [reason for part in inner for reason in why_dense(part)]
        return list(dict.fromkeys(reasons))
    if kernels(layer):
        return []
    kind = type(layer).__name__
    broken = sorted({type(it.constraint).__name__ for it in layer.weights if _breaks(it)})
    if broken:
        return [f"{', '.join(broken)} and zeros can't both be had: it makes weights of zeros"]
    if PruneRegistry.supports(layer):
        return [f"tfmot leaves the weights of {kind} layers dense"]
    return [f"tfmot can't prune layers of the type {kind}"]


def _breaks(weight: tf.Variable) -> bool:
    """Whether a weight has a constraint that makes weights of zeros."""
    constraint = getattr(weight, "constraint", None)
    return constraint is not None and type(constraint).__name__ not in KEEP_ZEROS


def _inside(layer: tf_keras.layers.Layer) -> list[tf_keras.layers.Layer] | None:
    """The layers that a wrapper or a model is made of; None of any other layer."""
    if isinstance(layer, layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    if isinstance(layer, layers.Wrapper):
        return [layer.layer]
    if isinstance(layer, tf_keras.Model):
        return list(layer.layers)
    return None
