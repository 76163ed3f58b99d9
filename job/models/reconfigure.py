"""A model rebuilt with a changed configuration and its weights: for any batch size, or in float32.

``Input(shape, batch_size=32)`` is often a habit, and nothing in the model depends on it. The new
model's outputs for batches of other sizes must be those of the model itself for the same rows in
batches of its own size.

A layer with the policy ``mixed_float16`` has float32 weights and computes in float16. Training it
needs loss scaling, its losses and metrics are rounded, and the converter leaves the casts in the
file. So such a model gets a copy in float32, which is pruned and converted; the weights are copied
back into the model itself, with its policy, when it is saved.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray

from job.errors import InputError
from job.models.compare import TOLERANCE, outputs_of
from job.models.layers import every_layer
from job.models.random_inputs import Array, on_random_inputs
from job.models.random_layers import is_random

# Keys of a configuration whose values are shapes with the batch.
SHAPES = ("batch_shape", "batch_input_shape", "build_input_shape", "batch_sizes")
BUILD = "build_config"
# The largest batch that is computed for the comparison.
MAX_ROWS = 4096
STATEFUL_HINT = "Build it with stateful=False, copy the weights, and save it again."
DEPENDS_HINT = (
    "Build the model without a batch size: -1 instead of the number in a reshape, tf.shape(x)[0] "
    "instead of x.shape[0]; copy the weights, and save it again."
)
FLOAT32 = "float32"
# Policies of layers that are replaced; policies of integers are those of indices.
MIXED = ("mixed_float16", "mixed_bfloat16")
OTHERS = ("float16", "bfloat16", "float64", *MIXED)
# Weights of these dtypes are too coarse for training, and can't store float32 values.
COARSE = ("float16", "bfloat16")


def free_batch(model: Any, where: str, *, trust: bool = False) -> tuple[Any, str]:
    """Remove a model's fixed batch size, if it has one.

    Args:
        model: A model of Keras 2 or 3 with a graph; its inputs are known.
        where: The file, for messages.
        trust: Whether code in it may run.

    Returns:
        The model, or a copy; and a note for the result, which is empty for the model itself.

    Raises:
        InputError: If its outputs depend on the batch size.
    """
    sizes = sorted({it.shape[0] for it in model.inputs if it.shape[0] is not None})
    if not sizes:
        return model, ""
    if len(sizes) > 1:
        raise InputError(
            f"The inputs have several fixed batch sizes: {', '.join(map(str, sizes))}.",
            where=where,
            hint=DEPENDS_HINT,
        )
    (size,) = sizes
    if size > MAX_ROWS:
        raise InputError(
            f"The model has the fixed batch size {size:,}; it can be removed up to {MAX_ROWS:,}.",
            where=where,
            hint=DEPENDS_HINT,
        )
    _refuse_stateful(model, size, where)
    try:
        freed = _rebuilt(model, size, trust=trust)
        found, why = _compare(model, freed, size)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - a graph can make TensorFlow raise anything
        found, why = float("nan"), _reason(error)
    if why or not found <= TOLERANCE:
        why = why or f"the outputs for batches of another size differ, by {found:.2g}"
        raise InputError(
            f"The model has the fixed batch size {size}, and it depends on it: {why}.",
            where=where,
            hint=DEPENDS_HINT,
        )
    how = f"are those of the model itself for its own batches (largest difference {found:.1g})"
    if isinstance(freed, tf_keras.Model) and is_random(freed):
        how = "have the right shapes; they are random"
    return freed, (
        f"the file's fixed batch size, {size}, was taken out, in the files that are made, too: "
        f"the outputs for batches of 1 and {size + 1} rows {how}"
    )


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


def _refuse_stateful(model: Any, size: int, where: str) -> None:
    for layer in every_layer(model):
        resets = hasattr(layer, "reset_states") or hasattr(layer, "reset_state")
        if hasattr(layer, "layers") or not resets or not getattr(layer, "stateful", False):
            continue
        raise InputError(
            f"The layer {layer.name} is stateful: its outputs depend on the previous batches, each "
            f"of exactly {size} rows.",
            where=f"{where}, layer {layer.name}",
            hint=STATEFUL_HINT,
        )


def _rebuilt(model: Any, size: int, *, trust: bool) -> Any:
    scope: Any = contextlib.nullcontext()
    if not isinstance(model, tf_keras.Model) and trust:
        from keras.src.saving.serialization_lib import SafeModeScope

        scope = SafeModeScope(safe_mode=False)
    with scope:
        freed = type(model).from_config(_without(model.get_config(), size))
    freed.set_weights(model.get_weights())
    return freed


def _without(config: Any, size: int, *, is_shape: bool = False) -> Any:
    """A configuration with None for the batch size in shapes."""
    if isinstance(config, dict):
        return {
            key: _without(value, size, is_shape=is_shape or key in SHAPES or key == BUILD)
            for key, value in config.items()
        }
    if not isinstance(config, list | tuple):
        return config
    if is_shape and config and isinstance(config[0], int):
        return type(config)([None if config[0] == size else config[0], *config[1:]])
    return type(config)(_without(value, size, is_shape=is_shape) for value in config)


def _compare(model: Any, freed: Any, size: int) -> tuple[float, str]:
    """The largest difference between the outputs for batches of the model's own size and of others,
    relative to the largest number over 1; or why there is none.
    """
    if isinstance(model, tf_keras.Model):
        model, freed = in_float32(model), in_float32(freed)

    def distance(rows: Sequence[Array]) -> tuple[float, str]:
        some = [it[np.arange(size + 1) % len(it)] for it in rows]
        first = outputs_of(model, [it[:size] for it in some])
        last = outputs_of(model, [it[1:] for it in some])
        wanted = [np.concatenate([a, b[-1:]]) for a, b in zip(first, last, strict=True)]
        worst = 0.0
        for count in (size + 1, 1):
            try:
                given = outputs_of(freed, [it[:count] for it in some])
            except Exception as error:  # noqa: BLE001 - as above
                return float("nan"), f"with a batch of {count} it fails ({_reason(error)})"
            for a, b in zip(wanted, given, strict=True):
                if a[:count].shape != b.shape:
                    shapes = f"{b.shape} instead of {a[:count].shape}"
                    return float("nan"), f"with a batch of {count} an output has the shape {shapes}"
                if not random and a.size:
                    far = _relative(a[:count].astype(np.float64), b.astype(np.float64))
                    worst = far if not far <= worst else worst  # NaN is the largest
        return worst, ""

    random = isinstance(freed, tf_keras.Model) and is_random(freed)
    if isinstance(model, tf_keras.Model):
        return on_random_inputs(freed, distance)
    with computing_in_float32(model), computing_in_float32(freed):
        return on_random_inputs(freed, distance)


def _relative(wanted: NDArray[np.float64], given: NDArray[np.float64]) -> float:
    """The largest difference, relative to the largest number if that is over 1: sums in another
    order differ by some of its last bits. NaN in both is equal.
    """
    far = np.where(np.isnan(wanted) & np.isnan(given), 0.0, np.abs(wanted - given))
    return float(far.max() / max(1.0, np.abs(np.nan_to_num(wanted)).max()))


def _reason(error: Exception) -> str:
    """The layer that an error names, and the line of its text with the cause."""
    text = str(error)
    layer = re.search(r"layer ['\"]?([\w./]+)['\"]?|calling (\w+)\.call", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [
        re.sub(r"\{\{.*?\}\}|\[Op:\w+\]", "", line).strip()
        for line in lines
        if not line.startswith(("Exception encountered", "Call arguments", "•", "Arguments"))
    ]
    what = next((line for line in causes if line), type(error).__name__)
    name = layer and (layer[1] or layer[2])
    return f"layer {name}: {what[:200]}" if name else what[:200]
