"""Weights between a Keras 3 model and its twin in Keras 2: by what they are, not by their order.

The order of a layer's weights differs between the two: Keras 2 lists what is trainable first, in a
wrapper too. So layers are paired by name, layers inside of them by their part, weights by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import tf_keras

from job.errors import InputError
from job.models.keras3_calls import Keras3Layer

# The attributes under which layers of both Keras hold other layers.
PARTS = (
    *("layer", "forward_layer", "backward_layer", "cell", "activation", "recurrent_activation"),
    *("_query_dense", "_key_dense", "_value_dense", "_output_dense"),
)

# Keras 3's name of a weight -> Keras 2's, by layer.
RENAMED = {
    "DepthwiseConv1D": {"kernel": "depthwise_kernel"},
    "DepthwiseConv2D": {"kernel": "depthwise_kernel"},
}

Pairs = Iterator[tuple[Any, Any]]


def pairs(its: Any, own: Any) -> Pairs:
    """Each weight of a Keras 3 layer or model, with that of its twin in Keras 2.

    Args:
        its: The Keras 3 layer or model.
        own: The twin.

    Raises:
        InputError: Where the layers do not have the same weights.
    """
    if isinstance(own, Keras3Layer):
        yield from own.pairs()
    elif isinstance(its, keras.Model):
        for layer in its.layers:
            if layer.weights:
                yield from pairs(layer, own.get_layer(layer.name))
    else:
        inside = list(_parts(its, own))
        for part, twin in inside:
            yield from pairs(part, twin)
        yield from _own(its, own, [part for part, _ in inside], [twin for _, twin in inside])


def _parts(its: Any, own: Any) -> Pairs:
    """The layers inside a layer that have weights."""
    if isinstance(its, keras.layers.StackedRNNCells):
        yield from zip(its.cells, own.cells, strict=True)
        return
    # Of a Bidirectional, ``layer`` is one of the two or a copy of it.
    skipped = "layer" if isinstance(its, keras.layers.Bidirectional) else ""
    for name in PARTS:
        part = getattr(its, name, None)
        if name != skipped and isinstance(part, keras.Layer) and part.weights:
            yield part, getattr(own, name)


def _own(its: Any, own: Any, parts: list[Any], twins: list[Any]) -> Pairs:
    """The weights that are a layer's own, by name."""
    renamed = RENAMED.get(type(its).__name__, {})
    left = {renamed.get(key, key): it for key, it in _by_name(its, parts).items()}
    right = _by_name(own, twins)
    if {key: tuple(it.shape) for key, it in left.items()} != {
        key: tuple(it.shape) for key, it in right.items()
    }:
        raise InputError(
            f"The layer {its.name} ({type(its).__name__}) has other weights in Keras 2: "
            f"{_described(right)}, not {_described(left)}.",
            hint="Replace that layer; tfmot works with Keras 2 alone.",
        )
    for key, variable in left.items():
        yield variable, right[key]


def _by_name(layer: Any, parts: list[Any]) -> dict[str, Any]:
    inside = {id(it) for part in parts for it in part.weights}
    mine = [it for it in layer.weights if id(it) not in inside]
    return {it.name.rpartition("/")[2].partition(":")[0]: it for it in mine}


def _described(weights: dict[str, Any]) -> str:
    return ", ".join(f"{key} {tuple(it.shape)}" for key, it in weights.items()) or "none"


def copy_to_keras2(its: keras.Model, own: tf_keras.Model) -> None:
    """Give the Keras 2 twin a model's weights."""
    for variable, twin in pairs(its, own):
        twin.assign(variable.numpy())
    _finalize(own)


def copy_to_keras3(own: tf_keras.Model, its: keras.Model) -> None:
    """Give a model the weights of its Keras 2 twin."""
    for variable, twin in pairs(its, own):
        variable.assign(twin.numpy())
    _finalize(its)


def _finalize(model: Any) -> None:
    """A Normalization computes with constants that it makes of its weights."""
    for layer in model._flatten_layers():  # noqa: SLF001 - public API has no walk
        if isinstance(layer, keras.layers.Normalization | tf_keras.layers.Normalization):
            layer.finalize_state()
