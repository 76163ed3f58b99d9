"""One Keras 3 layer, made again for Keras 2: with the same settings and the same outputs.

There are three ways, tried in this order: the Keras 2 layer of the same class, which tfmot knows; a
Keras 2 layer that calls the Keras 3 layer (``keras3_adapters``), if no layer of Keras 2 behaves the
same; a refusal with the reason.

No setting is dropped. If Keras 2 has another name for it, it is renamed. If Keras 2 lacks it, it
must have the value with which Keras 2 behaves the same; otherwise Keras 2 has no such layer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import tf_keras

from job.errors import InputError
from job.models.keras3_adapters import constraint, of_layer, regularizer
from job.models.layers import every_layer

Make = Callable[[keras.Layer], Any]

# Layers that can't be made, and why.
REFUSED = {
    "Pipeline": "holds a list of layers; put them into the model one after the other",
    "StringLookup": "takes texts, and numbers are supported; look them up outside of the model",
    "TextVectorization": "takes texts, and numbers are supported; do this outside of the model",
}
# Layers that behave differently in Keras 2: a RandomCrop of Keras 3 only crops in training.
DIFFERENT = ("RandomCrop",)

# Keras 3's name of a setting -> Keras 2's, by layer.
RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
# Not copied as settings: layers in layers, weights; the precision is float32.
MADE = ("layer", "backward_layer", "cell", "cells", "dtype", "build_config", "function")
# They decide how something is computed or drawn, not what.
NO_MATTER = ("flash_attention", "lora_alpha", "seed", "use_cudnn", "vocabulary_size")
# They only matter with another setting, which Keras 2 lacks as well.
WITH = {
    "bounding_box_format": "(boxes among the inputs)",
    "fill_mode": "pad_to_aspect_ratio",
    "fill_value": "pad_to_aspect_ratio",
}
# Settings that Keras 2 lacks -> the values with which it behaves the same.
LACKING: dict[str, tuple[Any, ...]] = {
    "antialias": (False,),
    "autocast": (True,),
    "data_format": (None, "channels_last"),
    "lora_rank": (None,),
    "oov_method": ("floormod",),
    "pad_to_aspect_ratio": (False,),
    "quantization_config": (None,),
    "rms_scaling": (False,),
    "salt": (None,),
    "sliding_window": (None,),
    "use_gate": (False,),
    "value_range": ((0, 255), [0, 255]),
}
# Keras 2 has them among ``**kwargs``.
BY_KEYWORD = {"zero_output_for_mask": tf_keras.layers.RNN}
# On a CPU, Keras 2 can't compute these with the channels first; Keras 3 can.
CHANNELS_FIRST = ("Conv", "Depthwise", "Separable", "MaxPool", "AveragePool")

# Activations that compute the same in both, Keras 3's name -> Keras 2's. hard_sigmoid is not one of
# them (its slope is 1/6 in Keras 3 and 0.2 in Keras 2), nor are those that Keras 2 lacks.
SAME_ACTIVATIONS = {
    name: {"silu": "swish"}.get(name, name)
    for name in (
        *("elu", "exponential", "gelu", "linear", "mish", "relu", "selu", "sigmoid", "silu"),
        *("softmax", "softplus", "softsign", "tanh"),
    )
}
_BY_FUNCTION = {getattr(keras.activations, key): name for key, name in SAME_ACTIVATIONS.items()}


def make(layer: keras.Layer, inner: Make, where: str) -> tf_keras.layers.Layer:
    """Make the Keras 2 layer of a built Keras 3 layer, without its weights.

    ``inner`` makes the layers inside it.

    Raises:
        InputError: If no Keras 2 layer can behave like it.
    """
    _refuse(layer, where)
    settings = _keras2_settings(layer, inner)
    if settings is None:
        return of_layer(layer)
    activity_regularizer = settings.pop("activity_regularizer", None)
    made = _made(layer, settings, inner)
    if activity_regularizer is not None:
        made.activity_regularizer = activity_regularizer
    return made


def parameters(kind: type) -> set[str]:
    """The arguments that a Keras 2 layer class has."""
    known = {"name", "trainable"}
    for ancestor in kind.__mro__:
        if ancestor is tf_keras.layers.Layer:
            break
        known |= set(inspect.signature(ancestor.__init__).parameters)  # type: ignore[misc]  # of a class
    known |= {key for key, base in BY_KEYWORD.items() if issubclass(kind, base)}
    return known - {"self", "args", "kwargs"}


def _made(layer: keras.Layer, settings: dict[str, Any], inner: Make) -> tf_keras.layers.Layer:
    kind = getattr(tf_keras.layers, type(layer).__name__)
    if isinstance(layer, keras.layers.Lambda):  # model.trust allows it
        return kind(**settings, function=layer.function)
    if isinstance(layer, keras.layers.Bidirectional):
        return _Bidirectional(inner(layer.forward_layer), inner(layer.backward_layer), settings)
    if isinstance(layer, keras.layers.StackedRNNCells):
        return kind([inner(cell) for cell in layer.cells], name=layer.name)
    if type(layer) is keras.layers.RNN:
        return kind(inner(layer.cell), **settings)
    if isinstance(layer, keras.layers.Wrapper):
        return kind(inner(layer.layer), **settings)
    return kind(**settings)


class _Bidirectional(tf_keras.layers.Bidirectional):  # type: ignore[misc]  # tf_keras ships no types
    """Keras's own, with two existing layers; Keras would make them from their settings."""

    def __init__(self, forward: Any, backward: Any, settings: dict[str, Any]) -> None:
        self._both: Callable[[], tuple[Any, Any]] = lambda: (forward, backward)
        super().__init__(forward, **settings)

    def _recreate_layer_from_config(self, layer: Any, go_backwards: bool = False) -> Any:  # noqa: ARG002 - Keras's
        return self._both()[go_backwards]


_Bidirectional.__name__ = "Bidirectional"


def _refuse(layer: keras.Layer, where: str) -> None:
    name = type(layer).__name__
    reason = REFUSED.get(name, "") if _is_keras(layer) else ""
    if getattr(layer, "lora_rank", None) or getattr(layer, "lora_enabled", False):
        reason = "has LoRA weights (lora_rank), beside a kernel that is frozen; merge them first"
    is_first = getattr(layer, "data_format", "") == "channels_first"
    if name.startswith("Conv") and is_first and not _is_plain_conv2d(layer):
        reason = (
            "has its channels first: Keras 3 computes that, and the converter to .tflite fails for "
            "such convolutions, but for a Conv2D without dilation; put the channels last"
        )
    mode = getattr(layer, "quantization_mode", None)
    if mode is not None:
        reason = f"is quantized ({mode}), and such weights can't be trained; use the float model"
    if reason:
        raise InputError(f"{layer.name} is a {name}, which {reason}.", where=where)
    for part in every_layer(layer):
        if part is not layer and part.activity_regularizer is not None:
            raise InputError(
                f"The layer {part.name} inside of {layer.name} ({name}) has an "
                "activity_regularizer, which Keras 2 weighs otherwise inside of other layers.",
                where=where,
                hint="Leave it out, or put it on a layer of the model itself.",
            )


def _is_plain_conv2d(layer: keras.Layer) -> bool:
    return type(layer) is keras.layers.Conv2D and layer.dilation_rate == (1, 1)


def _is_keras(layer: keras.Layer) -> bool:
    return type(layer) is getattr(keras.layers, type(layer).__name__, None)


def _keras2_settings(layer: keras.Layer, inner: Make) -> dict[str, Any] | None:
    """Arguments for the Keras 2 layer of the same class; None if none behaves the same."""
    name = type(layer).__name__
    kind = getattr(tf_keras.layers, name, None)
    if kind is None or not _is_keras(layer) or name in DIFFERENT:
        return None
    # Keras 2 accesses the layers inside these, so they must be its own.
    if any(_keras2_settings(part, _unchanged) is None for part in _accessed_parts(layer)):
        return None
    known = parameters(kind)
    renamed = RENAMED.get(name, {})
    settings = {}
    for key, value in layer.get_config().items():
        if key in MADE or key.endswith("initializer"):
            continue
        new_key = renamed.get(key, key)
        if new_key in known:
            if (key, value) == ("data_format", "channels_first") and name.startswith(
                CHANNELS_FIRST
            ):
                return None
            settings[new_key] = _translated(layer, key, value, inner)
        elif key not in NO_MATTER and key not in WITH and value not in LACKING.get(key, ()):
            return None
    return settings


def _accessed_parts(layer: keras.Layer) -> list[keras.Layer]:
    if isinstance(layer, keras.layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    if type(layer) is keras.layers.RNN:
        cell = layer.cell
        return list(cell.cells) if isinstance(cell, keras.layers.StackedRNNCells) else [cell]
    return [layer.layer] if isinstance(layer, keras.layers.SpectralNormalization) else []


def _unchanged(layer: keras.Layer) -> keras.Layer:
    return layer


def _translated(layer: keras.Layer, key: str, value: Any, inner: Make) -> Any:
    if key.endswith("constraint"):
        return constraint(value)
    if key.endswith("regularizer"):
        return regularizer(value)
    if not key.endswith("activation"):
        return value
    found = getattr(layer, key)
    if isinstance(found, keras.layers.PReLU):
        raise InputError(
            f"The {key} of {layer.name} is the layer {found.name} (PReLU); Keras 3 does not "
            "keep the weights of such an activation in the file.",
            hint="Put it after the layer, as a layer of its own.",
        )
    if isinstance(found, keras.layers.Softmax) and found.axis == -1:
        return "softmax"  # the loss is inferred from a name
    if isinstance(found, keras.Layer):
        return inner(found)
    # A function that Keras 2 lacks is used as it is: its operators are TensorFlow's.
    return _BY_FUNCTION.get(found, found)
