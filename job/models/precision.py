"""Models that compute in another precision than float32: worked on as the same model in float32.

A layer of the policy ``mixed_float16`` keeps its weights in float32 and computes in float16. To
train it takes loss scaling, its losses and metrics are rounded, and the converter leaves the casts
in the file. So such a model gets a twin in float32, which is pruned and converted; the weights go
back into the model itself, with its policy, when it is saved.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tf_keras

from job.errors import InputError

FLOAT32 = "float32"
# What layers may compute in; policies of integers are those of indices, and stay.
MIXED = ("mixed_float16", "mixed_bfloat16")
OTHERS = ("float16", "bfloat16", "float64", *MIXED)
# Weights of these are too coarse to be trained, and float32 ones do not fit in.
COARSE = ("float16", "bfloat16")


def refuse_coarse_weights(model: Any, where: str) -> None:
    """Check a model of Keras 2 or 3.

    Raises:
        InputError: Where weights are of 16 bits.
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
    """The same model in float32: itself where it is, else a twin with its weights."""
    layers = model._flatten_layers()  # noqa: SLF001 - submodules fails for recurrent dropout
    if not any(it.dtype_policy.name in OTHERS for it in layers):
        return model
    twin = type(model).from_config(_in_float32(model.get_config()))
    twin.set_weights(model.get_weights())
    return twin


def computes_otherwise(model: Any) -> bool:
    """Whether a layer of the model, of Keras 2 or 3, computes in another precision."""
    layers = [model, *model._flatten_layers()]  # noqa: SLF001 - public API has no walk
    return any(it.dtype_policy.name in OTHERS for it in layers)


def _in_float32(config: Any, key: str = "") -> Any:
    """A configuration, with float32 for every other ``dtype`` that is a float's."""
    if key == "dtype" and _policy(config) in OTHERS:
        return FLOAT32
    if isinstance(config, dict):
        return {name: _in_float32(value, name) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(value) for value in config)
    return config


def _policy(dtype: Any) -> str | None:
    """Its name: a policy is written as a name, or as an object with one."""
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name")
    return dtype if isinstance(dtype, str) else None


@contextlib.contextmanager
def computing_in_float32(model: Any) -> Iterator[None]:
    """Let a Keras 3 model of mixed precision compute in float32 while the context lasts."""
    layers = [model, *model._flatten_layers()]  # noqa: SLF001 - public API has no walk
    policies = [(it, it.dtype_policy) for it in layers if it.dtype_policy.name in MIXED]
    for layer, _ in policies:
        layer.dtype_policy = FLOAT32
    try:
        yield
    finally:
        for layer, policy in policies:
            layer.dtype_policy = policy
