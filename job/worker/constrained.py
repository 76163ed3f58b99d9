"""Constraints in a ``.tflite``: they hold there as far as its weights are the model's."""

from __future__ import annotations

from pathlib import Path

import tf_keras

from job.errors import StageError
from job.metrics.litert import rounded
from job.stages.constraints import constrained, describe


def in_file(model: tf_keras.Model, path: Path) -> list[str]:
    """Look for each constrained weight in a ``.tflite`` that was made of a model.

    Returns:
        What the result says of each.

    Raises:
        StageError: Where a weight that may not be negative is.
    """
    found = []
    for variable in constrained(model.trainable_variables):
        text = f"{variable.name} {describe(variable.constraint)}"
        there = rounded(path, variable.numpy())
        if there is None:
            found.append(f"{text} is not checked: the weight is split, or folded into another")
            continue
        distance, least = there
        if type(variable.constraint).__name__ == "NonNeg" and least < 0:
            raise StageError(
                f"The weight {variable.name} is {least:.2g} in the file, and may not be negative.",
                where=path.name,
                hint="Leave this variant out.",
            )
        found.append(f"{text} holds, with weights that are rounded by at most {distance:.1g}")
    return found
