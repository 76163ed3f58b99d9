"""Models to ``.tflite`` and back to answers, as a job does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray

from job.manifest.quantize import QuantizeConfig
from job.metrics.litert import predictor
from job.models.layers import signature
from job.stages.prepare import prepare
from job.stages.quantize import quantize

Array = NDArray[np.generic]


def convert(
    model: tf_keras.Model, variant: QuantizeConfig, rows: Sequence[Array], path: Path
) -> None:
    """Prepare a model for the sizes of some rows, and convert it, calibrated on them."""
    inputs, outputs = signature(model, "here")
    sizes = [replace(it, shape=row.shape[1:]) for it, row in zip(inputs, rows, strict=True)]
    prepared, _ = prepare(model, sizes, outputs)
    quantize(prepared, variant, tuple(rows), path)


def answers(model: tf_keras.Model, path: Path, rows: Sequence[Array]) -> NDArray[np.floating]:
    """What the file made of a model with one output answers."""
    inputs, outputs = signature(model, "here")
    names = [it.name for it in inputs], [it.name for it in outputs]
    (answer,) = predictor(path, *names, 1)(tuple(rows))
    return answer


def fed_row(taken: Mapping[str, Any], x: Mapping[str, Any], row: int) -> dict[str, Any]:
    """One row of each input as a file takes it: quantized where that is ``int8``.

    Args:
        taken: The details of the inputs of its signature.
        x: (rows, ...) of each input, by name.
        row: Which row.
    """
    fed = {}
    for name, values in x.items():
        value = values[row : row + 1]
        if taken[name]["dtype"] is np.int8:
            scale, zero = taken[name]["quantization"]
            value = np.clip(np.rint(value / scale) + zero, -128, 127).astype(np.int8)
        fed[name] = value
    return fed


def real(values: Sequence[Array], given: Mapping[str, Any]) -> Any:
    """The rows of an output as real numbers; ``given`` are the details of that output."""
    found = np.concatenate(values).astype(np.float32)
    if given["dtype"] is np.int8:
        found = (found - given["quantization"][1]) * np.float32(given["quantization"][0])
    return found
