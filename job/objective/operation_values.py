"""What is known of the values of Keras 3 operations that a layer of Keras 2 calls.

Most of ``keras.ops`` becomes a function of TensorFlow when a model is rebuilt. What does not, as
``1 - x`` and what Keras 2 lacks, stays the operation, whose settings are attributes of it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from job.objective.activations import activated
from job.objective.axis_values import moved_to
from job.objective.calls import Call
from job.objective.function_values import RULES
from job.objective.layer_values import LAYERS
from job.objective.ranges import UNKNOWN, Values

# Operation -> the function of TensorFlow that does the same, where it has another name.
FUNCTIONS = {
    "Absolute": "abs",
    "Amax": "reduce_max",
    "Amin": "reduce_min",
    "Clip": "clip_by_value",
    "Concatenate": "concat",
    "Flip": "reverse",
    "GetItem": "getitem",
    "Max": "reduce_max",
    "Mean": "reduce_mean",
    "Min": "reduce_min",
    "Repeat": "tile",
    "Sum": "reduce_sum",
    "Take": "gather",
    "TrueDivide": "truediv",
}
# Setting -> the argument of that function.
ARGUMENTS = {"x_min": "clip_value_min", "x_max": "clip_value_max", "axes": "perm"}
PLAIN = (int, float, str, list, tuple)


def of_operation(call: Call) -> Values:
    """What is known of an operation's answer.

    Args:
        call: With the operation as its layer.
    """
    kind = type(call.layer).__name__
    if kind in ("Swapaxes", "Moveaxis"):
        return moved_to(call, _order(call))
    if kind == "ReLU":
        return LAYERS[kind](call)
    if kind == "Average" and call.argument(1, "weights") is not None:
        return UNKNOWN
    name = FUNCTIONS.get(kind) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    rule = RULES.get("reduce_mean" if name == "average" else name)
    if rule is None:
        return activated(name, call.last)
    return rule(replace(call, keywords={**_settings(call.layer), **call.keywords}))


def _settings(operation: Any) -> dict[str, Any]:
    return {
        ARGUMENTS.get(name, name): value
        for name, value in vars(operation).items()
        if isinstance(value, PLAIN) and not name.startswith("_")
    }


def _order(call: Call) -> list[int]:
    """The axes of the input in the order that they have in the output."""
    operation, axes = call.layer, np.empty(tuple(range(1, len(call.before) + 1)), np.int8)
    if type(operation).__name__ == "Swapaxes":
        moved = np.swapaxes(axes, operation.axis1, operation.axis2)
    else:
        moved = np.moveaxis(axes, operation.source, operation.destination)
    return [size - 1 for size in moved.shape]
