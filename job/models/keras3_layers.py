"""One Keras 3 layer, made again for Keras 2: with the same settings and the same answers.

Three ways, in this order: the Keras 2 layer of the same class, which tfmot knows; a Keras 2 layer
that calls the Keras 3 layer (``keras3_calls``), where Keras 2 has no layer that behaves the same;
a refusal with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tf_keras

from job.errors import InputError
from job.models.keras3_calls import of_layer
from job.models.keras3_settings import keras2_settings

Make = Callable[[keras.Layer], Any]

# Layers that can't be made, and why.
REFUSED = {
    "Pipeline": "holds a list of layers; put them into the model one after the other",
    "StringLookup": "takes texts, and numbers are supported; look them up outside of the model",
    "TextVectorization": "takes texts, and numbers are supported; do this outside of the model",
}

# Keras 2 has them, and answers otherwise: a RandomCrop of Keras 3 crops in training alone.
DIFFERENT = ("RandomCrop",)


def make(layer: keras.Layer, inner: Make, where: str) -> tf_keras.layers.Layer:
    """Make a Keras 2 layer without its weights.

    Args:
        layer: A built Keras 3 layer that is no model.
        inner: Makes the layers inside it.
        where: The file, for messages.

    Raises:
        InputError: Where no Keras 2 layer can behave as it does.
    """
    _refuse(layer, where)
    kind = getattr(tf_keras.layers, type(layer).__name__, None)
    if kind is None or not _is_keras(layer) or not _has_known_parts(layer):
        return of_layer(layer)
    if type(layer).__name__ in DIFFERENT:
        return of_layer(layer)
    settings = keras2_settings(layer, kind, inner)
    if isinstance(settings, str):
        return of_layer(layer)
    regularizer = None
    if "activity_regularizer" in settings:
        regularizer = settings.pop("activity_regularizer")
    made = _made(layer, kind, settings, inner)
    if regularizer is not None:
        made.activity_regularizer = regularizer
    return made


def _made(
    layer: keras.Layer, kind: Any, settings: dict[str, Any], inner: Make
) -> tf_keras.layers.Layer:
    if isinstance(layer, keras.layers.Lambda):  # it was let in by model.trust
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
    """Keras's own, of two layers that are made already; it would make them from their settings."""

    def __init__(self, forward: Any, backward: Any, settings: dict[str, Any]) -> None:
        self._both: Callable[[], tuple[Any, Any]] = lambda: (forward, backward)
        super().__init__(forward, **settings)

    def _recreate_layer_from_config(self, layer: Any, go_backwards: bool = False) -> Any:  # noqa: ARG002 - Keras's
        return self._both()[go_backwards]


_Bidirectional.__name__ = "Bidirectional"


def _is_keras(layer: keras.Layer) -> bool:
    return type(layer) is getattr(keras.layers, type(layer).__name__, None)


def _has_known_parts(layer: keras.Layer) -> bool:
    """Whether the layers that Keras 2 has to look into are its own."""
    if isinstance(layer, keras.layers.Bidirectional):
        parts = [layer.forward_layer, layer.backward_layer]
    elif type(layer) is keras.layers.RNN:
        cell = layer.cell
        parts = cell.cells if isinstance(cell, keras.layers.StackedRNNCells) else [cell]
    elif isinstance(layer, keras.layers.SpectralNormalization):
        parts = [layer.layer]
    else:
        return True
    return all(_is_own(part) for part in parts)


def _is_own(layer: keras.Layer) -> bool:
    kind = getattr(tf_keras.layers, type(layer).__name__, None)
    if kind is None or not _is_keras(layer) or not _has_known_parts(layer):
        return False
    return not isinstance(keras2_settings(layer, kind, lambda it: it), str)


def _refuse(layer: keras.Layer, where: str) -> None:
    name = type(layer).__name__
    reason = REFUSED.get(name, "") if _is_keras(layer) else ""
    if getattr(layer, "lora_rank", None) or getattr(layer, "lora_enabled", False):
        reason = "has LoRA weights (lora_rank), beside a kernel that is frozen; merge them first"
    if name.startswith("Conv") and getattr(layer, "data_format", "") == "channels_first":
        reason = "has its channels first, which TensorFlow can't compute on a CPU"
    mode = getattr(layer, "quantization_mode", None)
    if mode is not None:
        reason = f"is quantized ({mode}), and such weights can't be trained; use the float model"
    if reason:
        raise InputError(f"{layer.name} is a {name}, which {reason}.", where=where)
    inside = [it for it in layer._flatten_layers(include_self=False)]  # noqa: SLF001, C416
    noted = [it for it in inside if it.activity_regularizer is not None]
    if noted:
        raise InputError(
            f"The layer {noted[0].name} inside of {layer.name} ({name}) has an "
            "activity_regularizer, which Keras 2 weighs otherwise inside of other layers.",
            where=where,
            hint="Leave it out, or put it on a layer of the model itself.",
        )
