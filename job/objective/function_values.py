"""What is known of the values of TensorFlow functions that a model calls as layers (TFOpLambda).

``tf.nn.softmax(x)`` and ``1 - x`` in a functional model are such calls; so is each ``keras.ops``
function of a Keras 3 model, once it is rebuilt. A function without a rule makes the values
unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from job.objective.activations import activated
from job.objective.axis_values import ALONG_AXES
from job.objective.calls import Call, is_symbolic
from job.objective.ranges import (
    INF,
    UNKNOWN,
    Values,
    add,
    exponential,
    hull,
    largest,
    linear,
    logarithm,
    multiply,
    scale,
    smallest,
)

Rule = Callable[[Call], Values]
Pair = Callable[[Values, Values], Values]


def _value(call: Call, given: Any) -> tuple[Values, float | None]:
    """What is known of an argument, and its number where it is one."""
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


def _add(call: Call) -> Values:
    (first, one), (second, two) = _two(call)
    if one is not None:
        return scale(second, 1, one)
    return add(first, second) if two is None else scale(first, 1, two)


def _subtract(call: Call) -> Values:
    (first, one), (second, two) = _two(call)
    if one is not None:
        return scale(second, -1, one)
    return add(first, scale(second, -1)) if two is None else scale(first, 1, -two)


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


def _extreme(of: Pair) -> Rule:
    def rule(call: Call) -> Values:
        (first, _), (second, _) = _two(call)
        return of(first, second)

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


def _choose(call: Call) -> Values:
    chosen = [call.argument(1, "x"), call.argument(2, "y")]
    return hull([_value(call, it)[0] for it in chosen])


def _cast(call: Call) -> Values:
    kind = getattr(call.tensors[0], "dtype", None)
    if getattr(kind, "is_bool", False):
        return Values(0, 1, names=("bool",))
    return call.first if call.output.dtype.is_floating else call.first.bounds()


def _softmax(call: Call) -> Values:
    return Values(0, 1, axis=call.axis(), names=("softmax",))


def _log_softmax(call: Call) -> Values:
    return Values(-INF, 0, axis=call.axis(), is_log=True, names=("log_softmax",))


def _activation(name: str) -> Rule:
    return lambda call: activated(name, call.last)


def _leaky(_: Call) -> Values:
    return linear()


def _positive(found: Values) -> Values:
    if not found.is_known or found.low >= 0:
        return replace(found, is_log=False) if found.is_log else found
    return Values(0, max(-found.low, found.high), names=found.names)


def _unbounded_if_any(call: Call) -> Values:
    """Of weights that are constants or unbounded tensors, products are any number."""
    given = call.given
    open_ended = [it for it in given if it.is_known and it.low == -INF and it.high == INF]
    return linear() if open_ended and len(given) > 1 else UNKNOWN


COMPARISONS = (
    *("greater", "greater_equal", "less", "less_equal", "equal", "not_equal"),
    *("logical_and", "logical_or", "logical_not"),
)

RULES: dict[str, Rule] = {
    "add": _add,
    "subtract": _subtract,
    "sub": _subtract,
    "multiply": _multiply,
    "mul": _multiply,
    "divide": _divide,
    "truediv": _divide,
    "negative": lambda call: scale(call.first, -1),
    "pow": _power,
    "square": _square,
    "sqrt": _root,
    "exp": lambda call: exponential(call.first),
    "log": lambda call: logarithm(call.first),
    "abs": lambda call: _positive(call.first),
    "maximum": _extreme(largest),
    "minimum": _extreme(smallest),
    "clip_by_value": _clip,
    "where": _choose,
    "cast": _cast,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    **{
        name: _activation(name)
        for name in ("sigmoid", "tanh", "relu", "relu6", "softplus", "elu", "selu", "gelu", "silu")
    },
    "swish": _activation("silu"),
    "leaky_relu": _leaky,
    "bias_add": _leaky,
    "matmul": _unbounded_if_any,
    **dict.fromkeys(("identity", "stop_gradient"), lambda call: call.first),
    **ALONG_AXES,
    "one_hot": lambda _: Values(0, 1, names=("one_hot",)),
    **dict.fromkeys(COMPARISONS, lambda _: Values(0, 1, names=("bool",))),
}


def of_function(name: str, call: Call) -> Values:
    """What is known of a function's answer; its name is the one in the model's configuration."""
    rule = RULES.get(name.rpartition(".")[2])
    return UNKNOWN if rule is None else rule(call)
