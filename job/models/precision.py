"""Models of another precision than float32: processed as the same model in float32.

A layer with the policy ``mixed_float16`` has float32 weights and computes in float16. Training it
needs loss scaling, its losses and metrics are rounded, and the converter leaves the casts in the
file. So such a model gets a copy in float32, which is pruned and converted; the weights are copied
back into the model itself, with its policy, when it is saved.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tf_keras

from job.errors import InputError
from job.models.layers import every_layer

FLOAT32 = "float32"
# Policies of layers that are replaced; policies of integers are those of indices.
MIXED = ("mixed_float16", "mixed_bfloat16")
OTHERS = ("float16", "bfloat16", "float64", *MIXED)
# Weights of these dtypes are too coarse for training, and can't store float32 values.
COARSE = ("float16", "bfloat16")


def refuse_coarse_weights(model: Any, where: str) -> None:
    """Check a model of Keras 2 or 3.

    Raises:
        InputError: If it has weights of 16 bits.
    """
    for weight in model.weights:
        dtype = getattr(weight.dtype, "name", weight.dtype)
        if dtype in COARSE:
            raise InputError(
                f"The weight {getattr(weight, 'path', weight.name)} is {dtype}; weights of float32 "
                "and float64 are supported.",
                where=where,
                hint="Save the model with the policy float32 or mixed_float16; what is smallest is "
                "decided by quantize.",
            )


def in_float32(model: tf_keras.Model) -> tf_keras.Model:
    """The same model in float32: itself, or a copy with its weights."""
    if not computes_otherwise(model):
        return model
    converted = type(model).from_config(_in_float32(model.get_config()))
    converted.set_weights(model.get_weights())
    return converted


def computes_otherwise(model: Any) -> bool:
    """Whether a layer of the model, of Keras 2 or 3, computes in another precision."""
    return any(it.dtype_policy.name in OTHERS for it in every_layer(model))


def _in_float32(config: Any, key: str = "") -> Any:
    """A configuration with float32 for every ``dtype`` in ``OTHERS``."""
    if key == "dtype" and _policy(config) in OTHERS:
        return FLOAT32
    if isinstance(config, dict):
        return {name: _in_float32(value, name) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(value) for value in config)
    return config


def _policy(dtype: Any) -> str | None:
    """The name of a policy, which is stored as a name or as an object with one."""
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name")
    return dtype if isinstance(dtype, str) else None


@contextlib.contextmanager
def computing_in_float32(model: Any) -> Iterator[None]:
    """Within the context, a Keras 3 model of mixed precision computes in float32."""
    mixed = [it for it in every_layer(model) if it.dtype_policy.name in MIXED]
    policies = [(it, it.dtype_policy) for it in mixed]
    for layer, _ in policies:
        layer.dtype_policy = FLOAT32
    try:
        yield
    finally:
        for layer, policy in policies:
            layer.dtype_policy = policy
