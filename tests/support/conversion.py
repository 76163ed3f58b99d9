"""Models to ``.tflite`` and back to answers, as a job does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import tf_keras
from numpy.typing import NDArray

from job.manifest.quantize import QuantizeConfig
from job.metrics.litert import predictor
from job.models.layers import signature
from job.stages.quantize import prepare, quantize

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
