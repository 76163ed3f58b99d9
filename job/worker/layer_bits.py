"""How many bits a weight of each layer has in a file.

In a ``.tflite`` kernels belong to layers by their names, as the converter makes them of scopes
(``model/branch/dense/MatMul``); a packed file's kernels are known by their values
(``job/stages/kernels.py``). What belongs to no layer, or could belong to several, is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from job.metrics.sparsity import is_kernel, kernel_tensors
from job.models.kernel_axes import quantized_kernels
from job.models.layers import scope_name, users_name
from job.result.packed import PackedResult
from job.tflite import flat

Sizes = dict[str, Counter[int]]


def model_bits(model: Any) -> dict[str, int]:
    """By layer, the bits that most weights of its kernels have in a Keras model, of Keras 2 or 3,
    as it was read from its file.
    """
    found: Sizes = {}
    for path, layer in _layers(model, ""):
        for weight in filter(is_kernel, layer.weights):
            bits = 8 * tf.as_dtype(weight.dtype).size
            found.setdefault(path, Counter())[bits] += int(np.prod(weight.shape))
    return _of_most(found)


def _layers(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for layer in model.layers:
        path = f"{prefix}{users_name(layer.name)}"
        if hasattr(layer, "layers"):
            yield from _layers(layer, f"{path}/")
        else:
            yield path, layer


def tflite_bits(
    content: bytes,
    model_name: str,
    layers: Mapping[str, tf_keras.layers.Layer],
    packed: PackedResult | None,
) -> dict[str, int]:
    """By layer, the bits that most weights of its kernels have in a ``.tflite``.

    Args:
        content: The file.
        model_name: Of the Keras model that was converted.
        layers: Its layers, by the names or paths that the user knows.
        packed: What is known of the file's kernels, where they were packed.
    """
    found: Sizes = {}
    for it in packed.kernels if packed else ():
        # A kernel of an unknown layer is called what its operator is called.
        if it.layer in layers and it.layer != it.operator.lower():
            found.setdefault(it.layer, Counter())[it.bits] += it.elements
    if found:
        return _of_most(found)
    paths = {
        tuple(scope_name(part) for part in name.split("/")): name
        for name, layer in layers.items()
        if quantized_kernels(layer)
    }
    file = flat.read(content)
    seen: set[tuple[str, int]] = set()
    for tensor, result in kernel_tensors(file):
        layer = _named(tensor.name or b"", model_name, paths) or _named(result, model_name, paths)
        values = flat.constant(file, tensor)
        if layer is None or values is None or (layer, tensor.buffer) in seen:
            continue
        seen.add((layer, tensor.buffer))
        bits = flat.PACKED.get(tensor.type, 8 * values.dtype.itemsize)
        found.setdefault(layer, Counter())[bits] += values.size
    return _of_most(found)


def _of_most(found: Sizes) -> dict[str, int]:
    return {
        layer: max(bits, key=lambda width: (bits[width], width)) for layer, bits in found.items()
    }


def _named(names: bytes, model_name: str, paths: Mapping[tuple[str, ...], str]) -> str | None:
    """The one layer whose path is in a tensor's name; None where there is none, or several."""
    found: set[tuple[str, ...]] = set()
    for name in names.decode(errors="replace").split(";"):
        parts = name.split("/")
        if parts[0] == model_name:
            parts = parts[1:]
        there = [
            tuple(parts[start:end])
            for start in range(len(parts))
            for end in range(start + 1, len(parts) + 1)
        ]
        found |= {it for it in there if it in paths}
    # The layer "dense" is not in "branch/dense", which is another one.
    whole = [
        it
        for it in found
        if not any(other != it and other[len(other) - len(it) :] == it for other in found)
    ]
    return paths[whole[0]] if len(whole) == 1 else None
