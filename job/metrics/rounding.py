"""How far a ``.tflite`` rounds a weight: whether what is true of the weight is true of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

Array = NDArray[np.generic]
# Of floats of 16 bits, relative to the largest weight.
FLOAT16 = 2.0**-10


def rounded(path: Path, weight: Array) -> tuple[float, float] | None:
    """Find a weight among the constants of a ``.tflite``.

    The converter changes the order of a weight's axes, so sorted values are compared: they are
    apart by no more than the values themselves, half a step of the quantization.

    Args:
        path: The file.
        weight: The weight, in any layout.

    Returns:
        The largest distance between the sorted values, and the least value in the file; None where
        the weight is not there: split into gates, or folded into another one.
    """
    interpreter = Interpreter(model_path=str(path))
    wanted = np.sort(weight.astype(np.float64), axis=None)
    for detail in interpreter.get_tensor_details():
        if int(np.prod(detail["shape"])) != weight.size:
            continue
        found = _real(interpreter, detail)
        if found is None:
            continue
        values, step = found
        far = float(np.abs(np.sort(values, axis=None) - wanted).max())
        if far <= 0.51 * step + FLOAT16 * float(np.abs(wanted).max()):
            return far, float(values.min())
    return None


def _real(
    interpreter: Interpreter, detail: dict[str, Any]
) -> tuple[NDArray[np.float64], float] | None:
    """A constant's real values and the largest step between two of them; None of other tensors."""
    try:
        values = np.asarray(interpreter.get_tensor(detail["index"]))
    except ValueError:  # it has no values before something is computed
        return None
    if values.dtype.kind not in "fi":
        return None
    parameters = detail["quantization_parameters"]
    scales = np.asarray(parameters["scales"], np.float64)
    if not scales.size:
        return values.astype(np.float64), 0.0
    points = np.asarray(parameters["zero_points"], np.float64)
    shape = [1] * values.ndim
    if scales.size > 1:
        shape[parameters["quantized_dimension"]] = scales.size
    real = (values - points.reshape(shape)) * scales.reshape(shape)
    return real, float(scales.max())
