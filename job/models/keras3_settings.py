"""The settings of a Keras 3 layer as those of the Keras 2 layer that behaves the same.

No setting is dropped. One that Keras 2 calls otherwise is renamed. One that it lacks has to be the
value that Keras 2 behaves as; where it is another, there is no such layer in Keras 2.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import tf_keras

from job.errors import InputError
from job.models.keras3_functions import activation, constraint, regularizer

# Keras 3's name -> that of Keras 2, by layer.
RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
# Of what is made again or copied: layers in layers, weights; precision is float32.
MADE = ("layer", "backward_layer", "cell", "cells", "dtype", "build_config", "function")
# They say how something is computed or drawn, and not what.
NO_MATTER = ("flash_attention", "lora_alpha", "seed", "use_cudnn", "vocabulary_size")
# They matter where another setting is on, which Keras 2 lacks as well.
WITH = {
    "bounding_box_format": "(boxes among the inputs)",
    "fill_mode": "pad_to_aspect_ratio",
    "fill_value": "pad_to_aspect_ratio",
}
# What Keras 2 lacks -> the values that it behaves as.
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
# Keras 2 has it among ``**kwargs``.
BY_KEYWORD = {"zero_output_for_mask": tf_keras.layers.RNN}
# On a CPU, Keras 2 can't compute these with the channels first; Keras 3 transposes.
CHANNELS_FIRST = ("Conv", "Depthwise", "Separable", "MaxPool", "AveragePool")


def keras2_settings(
    layer: keras.Layer, kind: type, make: Callable[[keras.Layer], Any]
) -> dict[str, Any] | str:
    """Arguments for a Keras 2 layer.

    Args:
        layer: The Keras 3 layer.
        kind: The Keras 2 class of the same name.
        make: Makes a Keras 2 layer of one of Keras 3.

    Returns:
        The arguments; or the setting by which no Keras 2 layer behaves the same, as ``key=value``.
    """
    known = parameters(kind)
    renamed = RENAMED.get(type(layer).__name__, {})
    settings = {}
    for key, value in layer.get_config().items():
        if key in MADE or key.endswith("initializer"):
            continue
        own = renamed.get(key, key)
        if own not in known:
            if not _is_kept(key, value):
                return f"{key}={value!r}"
            continue
        if key == "data_format" and value == "channels_first" and _needs_last(layer):
            return f"{key}={value!r}"
        settings[own] = _translated(layer, key, value, make)
    return settings


def parameters(kind: type) -> set[str]:
    """The arguments that a Keras 2 layer class knows."""
    known = {"name", "trainable"}
    for ancestor in kind.__mro__:
        if ancestor is tf_keras.layers.Layer:
            break
        known |= set(inspect.signature(ancestor.__init__).parameters)  # type: ignore[misc]  # of a class
    known |= {key for key, base in BY_KEYWORD.items() if issubclass(kind, base)}
    return known - {"self", "args", "kwargs"}


def _is_kept(key: str, value: Any) -> bool:
    """Whether a setting that Keras 2 lacks is what it behaves as."""
    return key in NO_MATTER or key in WITH or value in LACKING.get(key, ())


def _translated(
    layer: keras.Layer, key: str, value: Any, make: Callable[[keras.Layer], Any]
) -> Any:
    if key.endswith("activation"):
        found = getattr(layer, key)
        if isinstance(found, keras.layers.PReLU):
            raise InputError(
                f"The {key} of {layer.name} is the layer {found.name} (PReLU); Keras 3 does not "
                "keep the weights of such an activation in the file.",
                hint="Put it after the layer, as a layer of its own.",
            )
        return activation(found, make)
    if key.endswith("constraint"):
        return constraint(value)
    if key.endswith("regularizer"):
        return regularizer(value)
    return value


def _needs_last(layer: keras.Layer) -> bool:
    return type(layer).__name__.startswith(CHANNELS_FIRST)
