"""What is known of the values of functions: of TensorFlow (TFOpLambda), and of Keras 3.

``tf.nn.softmax(x)`` and ``1 - x`` in a functional model are calls of layers. Most of ``keras.ops``
becomes such a function of TensorFlow when a model is rebuilt. The rest, such as ``1 - x`` and what
Keras 2 lacks, remains a Keras 3 operation, whose settings are its attributes. A function without a
rule makes the values unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from job.objective.calls import AXIS_RULES, Call, Rule, is_symbolic, moved_to
from job.objective.layer_rules import LAYERS
from job.objective.values import (
    ANY_NUMBER,
    INF,
    UNKNOWN,
    Values,
    activated,
    add,
    exponential,
    extreme,
    hull,
    logarithm,
    multiply,
    scale,
)


def _value(call: Call, given: Any) -> tuple[Values, float | None]:
    """What is known of an argument, and its value where it is a number."""
    if is_symbolic(given):
        return call.of(given), None
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        return UNKNOWN, None
    if not array.size:
        return UNKNOWN, None
    number = float(array) if array.ndim == 0 else None
    return Values(float(array.min()), float(array.max())), number


def _two(call: Call) -> tuple[tuple[Values, float | None], tuple[Values, float | None]]:
    return _value(call, call.argument(0, "x")), _value(call, call.argument(1, "y"))


def _sum(sign: int) -> Rule:
    def rule(call: Call) -> Values:
        (first, one), (second, two) = _two(call)
        if two is not None:
            return scale(first, 1, sign * two)
        second = scale(second, sign)
        return add(first, second) if one is None else scale(second, 1, one)

    return rule


def _multiply(call: Call) -> Values:
    (first, one), (second, two) = _two(call)
    if one is not None:
        return scale(second, one)
    return multiply(first, second) if two is None else scale(first, two)


def _divide(call: Call) -> Values:
    (first, _), (second, two) = _two(call)
    if two is not None:
        return scale(first, 1 / two) if two else UNKNOWN
    if not (first.is_known and second.is_known) or first.low < 0 or second.low <= 0:
        return UNKNOWN
    names = tuple(dict.fromkeys((*first.names, *second.names)))
    return Values(first.low / second.high, first.high / second.low, names=names)


def _power(call: Call) -> Values:
    (first, _), (_, two) = _two(call)
    if two is None or two <= 0 or not first.is_known or first.low < 0:
        return UNKNOWN
    return Values(first.low**two, INF if first.high == INF else first.high**two, names=first.names)


def _square(call: Call) -> Values:
    found = call.first
    return multiply(found, found) if found.is_known and found.low >= 0 else UNKNOWN


def _root(call: Call) -> Values:
    found = call.first
    if not found.is_known or found.low < 0:
        return UNKNOWN
    high = INF if found.high == INF else found.high**0.5
    return Values(found.low**0.5, high, names=found.names)


def _extreme(pick: Callable[[float, float], float]) -> Rule:
    def rule(call: Call) -> Values:
        (first, _), (second, _) = _two(call)
        return extreme(first, second, pick)

    return rule


def _clip(call: Call) -> Values:
    low, high = call.argument(1, "clip_value_min"), call.argument(2, "clip_value_max")
    if is_symbolic(low) or is_symbolic(high):
        return UNKNOWN
    before = call.first
    if before.is_known and before.low >= low and before.high <= high:
        return before
    ends = [float(min(max(end, low), high)) for end in (before.low, before.high)]
    return Values(ends[0], ends[1], names=(*before.names, "clip"))


def _where(call: Call) -> Values:
    return hull([_value(call, call.argument(1, "x"))[0], _value(call, call.argument(2, "y"))[0]])


def _cast(call: Call) -> Values:
    kind = getattr(call.tensors[0], "dtype", None)
    if getattr(kind, "is_bool", False):
        return Values(0, 1, names=("bool",))
    return call.first if call.output.dtype.is_floating else call.first.bounds()


def _softmax(call: Call) -> Values:
    return Values(0, 1, axis=call.axis(), names=("softmax",))


def _activation(name: str) -> Rule:
    return lambda call: activated(name, call.last)


def _absolute(call: Call) -> Values:
    found = call.first
    if not found.is_known or found.low >= 0:
        return replace(found, is_log=False) if found.is_log else found
    return Values(0, max(-found.low, found.high), names=found.names)


def _product_of_matrices(call: Call) -> Values:
    """Any number, where an input is: weights are constants, or tensors without bounds."""
    given = call.given
    open_ended = [it for it in given if it.is_known and it.low == -INF and it.high == INF]
    return ANY_NUMBER if open_ended and len(given) > 1 else UNKNOWN


_COMPARISONS = (
    *("greater", "greater_equal", "less", "less_equal", "equal", "not_equal"),
    *("logical_and", "logical_or", "logical_not"),
)
_ACTIVATIONS = ("sigmoid", "tanh", "relu", "relu6", "softplus", "elu", "selu", "gelu", "silu")

RULES: dict[str, Rule] = {
    "add": _sum(1),
    **dict.fromkeys(("subtract", "sub"), _sum(-1)),
    **dict.fromkeys(("multiply", "mul"), _multiply),
    **dict.fromkeys(("divide", "truediv"), _divide),
    "negative": lambda call: scale(call.first, -1),
    "pow": _power,
    "square": _square,
    "sqrt": _root,
    "exp": lambda call: exponential(call.first),
    "log": lambda call: logarithm(call.first),
    "abs": _absolute,
    "maximum": _extreme(max),
    "minimum": _extreme(min),
    "clip_by_value": _clip,
    "where": _where,
    "cast": _cast,
    "softmax": _softmax,
    "log_softmax": lambda call: Values(
        -INF, 0, axis=call.axis(), is_log=True, names=("log_softmax",)
    ),
    **{name: _activation(name) for name in _ACTIVATIONS},
    "swish": _activation("silu"),
    **dict.fromkeys(("leaky_relu", "bias_add"), lambda _: ANY_NUMBER),
    "matmul": _product_of_matrices,
    **dict.fromkeys(("identity", "stop_gradient"), lambda call: call.first),
    **AXIS_RULES,
    "one_hot": lambda _: Values(0, 1, names=("one_hot",)),
    **dict.fromkeys(_COMPARISONS, lambda _: Values(0, 1, names=("bool",))),
}


def of_function(name: str, call: Call) -> Values:
    """The output of a function of TensorFlow, by its name in the model's configuration."""
    rule = RULES.get(name.rpartition(".")[2])
    return UNKNOWN if rule is None else rule(call)


# Operation of Keras 3 -> the function of TensorFlow that does the same, where its name differs.
_FUNCTIONS = {
    "Absolute": "abs",
    "Amax": "reduce_max",
    "Amin": "reduce_min",
    "Average": "reduce_mean",
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
# Setting of an operation -> the argument of that function.
_ARGUMENTS = {"x_min": "clip_value_min", "x_max": "clip_value_max", "axes": "perm"}


def of_operation(call: Call) -> Values:
    """The output of a Keras 3 operation.

    Args:
        call: The call, with the operation as its layer.
    """
    kind = type(call.layer).__name__
    if kind in ("Swapaxes", "Moveaxis"):
        return moved_to(call, _order(call))
    if kind == "ReLU":
        return LAYERS[kind](call)
    if kind == "Average" and call.argument(1, "weights") is not None:
        return UNKNOWN
    name = _FUNCTIONS.get(kind) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    if name not in RULES:
        return activated(name, call.last)
    settings = {
        _ARGUMENTS.get(name, name): value
        for name, value in vars(call.layer).items()
        if isinstance(value, int | float | str | list | tuple) and not name.startswith("_")
    }
    return RULES[name](replace(call, keywords={**settings, **call.keywords}))


def _order(call: Call) -> list[int]:
    """The axes of the input in the order that they have in the output."""
    operation, axes = call.layer, np.empty(tuple(range(1, len(call.before) + 1)), np.int8)
    if type(operation).__name__ == "Swapaxes":
        moved = np.swapaxes(axes, operation.axis1, operation.axis2)
    else:
        moved = np.moveaxis(axes, operation.source, operation.destination)
    return [size - 1 for size in moved.shape]
