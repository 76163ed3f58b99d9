"""Small ``.tflite`` files, and what NumPy says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray
from pydantic import TypeAdapter

from job.manifest.quantize import QuantizeConfig
from job.stages.quantize import convert
from job.tflite import flat
from job.tflite.bits import LEVELS

layers = tf_keras.layers


def variant(kind: str, **options: Any) -> QuantizeConfig:
    adapter: TypeAdapter[QuantizeConfig] = TypeAdapter(QuantizeConfig)
    return adapter.validate_python({"type": kind, **options})


def on_grid(weights: NDArray[np.float32], bits: int, *, per_channel: bool) -> NDArray[np.float32]:
    """A kernel of Keras rounded to symmetric integers times a scale; ternary ones are sparse."""
    axes = tuple(range(weights.ndim - 1)) if per_channel else None
    largest = np.abs(weights).max(axis=axes, keepdims=True)
    if bits == 2:
        kept = np.abs(weights) > largest / 2
        return np.asarray(np.where(kept, np.sign(weights) * largest * 0.7, 0), np.float32)
    step = largest / LEVELS[bits]
    return np.asarray(np.rint(weights / step) * step, np.float32)


def small_model(bits: int, *, per_channel: bool = False) -> tf_keras.Model:
    """A convolution and a dense layer, whose kernels lie on grids."""
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((8, 8, 2), name="picture"),
            layers.Conv2D(6, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(5, name="dense"),
        ],
        name="small",
    )
    for name in ("conv", "dense"):
        kernel, bias = model.get_layer(name).get_weights()
        width = max(bits, 4) if name == "conv" else bits
        bias = np.linspace(-0.3, 0.3, bias.size)
        model.get_layer(name).set_weights([on_grid(kernel, width, per_channel=per_channel), bias])
    return model


def pictures(rows: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).uniform(0, 1, (rows, 8, 8, 2))
    return drawn.astype(np.float32)


def floats(model: tf_keras.Model) -> bytes:
    """Its float32 file."""
    return convert(model, variant("float32"), (), "floats")


def kernel_of(content: bytes, kind: str) -> tuple[Any, Any]:
    """The file as objects, and the weights' tensor of its only operator of a kind."""
    model = flat.read(content)
    (found,) = [
        graph.tensors[operator.inputs[1]]
        for graph, operator in flat.operators(model)
        if flat.kind(model, operator) == kind
    ]
    return model, found
