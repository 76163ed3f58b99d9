"""What is known of the values of a layer's outputs: a rule for each class of Keras's layers.

A layer without a rule (attention over something else, a custom one) makes the values unknown:
the outputs alone then tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from job.objective.activations import activated
from job.objective.calls import Call
from job.objective.ranges import (
    INF,
    UNKNOWN,
    Values,
    add,
    hull,
    largest,
    linear,
    mean,
    multiply,
    reshaped,
    same_sums,
    scale,
    smallest,
)

Rule = Callable[[Call], Values]
ZERO = Values(0, 0)


def _kept(call: Call) -> Values:
    """Dropout and noise are off when a model is measured; where a call switches them on, values
    grow.
    """
    return UNKNOWN if call.keywords.get("training") is True else call.first


def _reshaped(call: Call) -> Values:
    return call.first.moved(reshaped(call.first.axis, call.before, call.after))


def _permuted(call: Call) -> Values:
    order = [0, *call.layer.dims]
    axis = call.first.axis
    return call.first.moved(None if axis is None else order.index(axis))


def _repeated(call: Call) -> Values:
    return call.first.moved(None if call.first.axis is None else 2)


def _without_axes(call: Call) -> Values:
    """What shrinks or grows along axes: sums along another one stay."""
    return _where_size_is_kept(call, call.first)


def _where_size_is_kept(call: Call, values: Values) -> Values:
    axis = values.axis
    same_rank = len(call.before) == len(call.after)
    kept = axis is not None and same_rank and call.before[axis] == call.after[axis]
    return values if kept else values.bounds()


def _padded(call: Call) -> Values:
    return hull([call.first, ZERO])


def _enlarged(call: Call) -> Values:
    way = getattr(call.layer, "interpolation", "nearest")
    return _without_axes(call) if way in ("nearest", "bilinear", "area") else UNKNOWN


def _average_pooled(call: Call) -> Values:
    values = call.first
    if values.is_log:
        return values.bounds()
    if len(call.before) == len(call.after):
        return _where_size_is_kept(call, values)
    channels = _channel_axis(call.layer, len(call.before))
    return values.moved(1) if values.axis == channels else values.bounds()


def _channel_axis(layer: Any, rank: int) -> int:
    return 1 if getattr(layer, "data_format", "channels_last") == "channels_first" else rank - 1


def _bounds(call: Call) -> Values:
    return call.first.bounds()


def _sum(call: Call) -> Values:
    given = call.given
    total = given[0]
    for it in given[1:]:
        total = add(total, it)
    return total


def _product(call: Call) -> Values:
    given = call.given
    total = given[0]
    for it in given[1:]:
        total = multiply(total, it)
    return total


def _difference(call: Call) -> Values:
    first, second = call.given
    return add(first, scale(second, -1))


def _extreme(of: Callable[[Values, Values], Values]) -> Rule:
    def rule(call: Call) -> Values:
        given = call.given
        found = given[0]
        for it in given[1:]:
            found = of(found, it)
        return found

    return rule


def _side_by_side(call: Call) -> Values:
    return same_sums(call.given, but=call.layer.axis % len(call.before))


def _rescaled(call: Call) -> Values:
    factor, offset = call.layer.scale, call.layer.offset
    if isinstance(factor, int | float) and isinstance(offset, int | float):
        return scale(call.first, factor, offset)
    return UNKNOWN


def _unit_norm(call: Call) -> Values:
    low = 0 if call.first.is_known and call.first.low >= 0 else -1
    return Values(low, 1, names=("UnitNormalization",))


def _clipped(call: Call) -> Values:
    layer = call.layer
    slope = float(layer.negative_slope or 0)
    high = INF if layer.max_value is None else float(layer.max_value)
    return Values(-INF if slope else 0, high, names=("relu",))


def _elu(call: Call) -> Values:
    return Values(-abs(float(call.layer.alpha)), INF, names=("elu",))


def _softmax(call: Call) -> Values:
    axis = call.layer.axis
    axis = axis[0] if isinstance(axis, list | tuple) and len(axis) == 1 else axis
    whole = axis % len(call.after) if isinstance(axis, int) else None
    return Values(0, 1, axis=whole, names=("softmax",))


def _attended(call: Call) -> Values:
    """Weighted means of the second input, with weights that sum up to one."""
    given = call.given
    if getattr(call.layer, "dropout", 0) and call.keywords.get("training") is True:
        return UNKNOWN
    values = given[1] if len(given) > 1 and call.index == 0 else UNKNOWN
    return values.bounds() if values.axis != call.last or values.is_log else values


def of_activation(activation: Any, call: Call) -> Values:
    """What an activation makes of any number: a function, or a layer that is one."""
    if activation is None:
        return linear()
    kind = type(activation).__name__
    if kind in ACTIVATION_LAYERS:
        return ACTIVATION_LAYERS[kind](replace(call, layer=activation))
    name = getattr(activation, "__name__", None) or getattr(activation, "name", None) or kind
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name)).lower().removesuffix("_v2")
    return activated(snake, call.last)


def _activated(call: Call) -> Values:
    found = of_activation(call.layer.activation, call)
    if type(call.layer).__name__ != "Activation":
        return found
    is_linear = getattr(call.layer.activation, "__name__", "") == "linear"
    return call.first if is_linear else found


def _recurrent(call: Call) -> Values:
    """The outputs, and the states, of a recurrent layer or of its cell."""
    cell = getattr(call.layer, "cell", call.layer)
    cell = cell.cells[-1] if type(cell).__name__ == "StackedRNNCells" else cell
    kind = type(cell).__name__
    if len(call.tensors) > 1:  # an initial state of the user's
        return UNKNOWN
    found = of_activation(getattr(cell, "activation", None), call)
    if kind in ("SimpleRNNCell", "SimpleRNN"):
        return found
    gate = of_activation(getattr(cell, "recurrent_activation", None), call)
    if not gate.in_unit or not found.is_known:
        return UNKNOWN
    if kind in ("GRUCell", "GRU"):
        return hull([found, ZERO])
    # The outputs of an LSTM are a gate times the activation; its second state is a sum.
    return multiply(gate, found) if call.index < 2 else UNKNOWN


def _discrete(call: Call) -> Values:
    is_hot = getattr(call.layer, "output_mode", "int") in ("one_hot", "multi_hot")
    return Values(0, 1, names=("one_hot",)) if is_hot else UNKNOWN


def _any_number(_: Call) -> Values:
    return linear()


def _many(names: str, rule: Rule) -> dict[str, Rule]:
    ends = ("1D", "2D", "3D")
    listed = [name.replace("*", end) for name in names.split() for end in ends]
    return dict.fromkeys(listed, rule)


ACTIVATION_LAYERS: dict[str, Rule] = {
    "Softmax": _softmax,
    "ReLU": _clipped,
    "ELU": _elu,
    "LeakyReLU": _any_number,
    "PReLU": _any_number,
    "ThresholdedReLU": lambda _: Values(0, INF, names=("relu",)),
}

LAYERS: dict[str, Rule] = {
    **ACTIVATION_LAYERS,
    **_many(
        "Dropout Identity GaussianNoise GaussianDropout AlphaDropout SpatialDropout* "
        "ActivityRegularization RandomFlip",
        _kept,
    ),
    **_many("Reshape Flatten", _reshaped),
    "Permute": _permuted,
    "RepeatVector": _repeated,
    **_many("Cropping* CenterCrop", _without_axes),
    **_many("ZeroPadding* Masking", _padded),
    **_many("UpSampling* Resizing", _enlarged),
    **_many("AveragePooling* GlobalAveragePooling* AdaptiveAveragePooling*", _average_pooled),
    **_many("GlobalMaxPooling* MaxPooling* AdaptiveMaxPooling*", _bounds),
    "Average": lambda call: mean(call.given),
    "Add": _sum,
    "Subtract": _difference,
    "Multiply": _product,
    "Maximum": _extreme(largest),
    "Minimum": _extreme(smallest),
    "Concatenate": _side_by_side,
    "Rescaling": _rescaled,
    "UnitNormalization": _unit_norm,
    **_many("Attention AdditiveAttention", _attended),
    **_many("CategoryEncoding Discretization", _discrete),
    **_many(
        "Dense Activation EinsumDense Conv* Conv*Transpose DepthwiseConv* SeparableConv* "
        "LocallyConnected*",
        _activated,
    ),
    **_many("SimpleRNN GRU LSTM RNN SimpleRNNCell GRUCell LSTMCell ConvLSTM*", _recurrent),
    **_many(
        "BatchNormalization LayerNormalization GroupNormalization Normalization Embedding "
        "SpectralNormalization MultiHeadAttention RMSNormalization GroupedQueryAttention",
        _any_number,
    ),
}


def merged(way: str | None, parts: list[Values], last: int) -> Values:
    """What ``Bidirectional`` makes of its two directions."""
    match way:
        case "ave":
            return mean(parts)
        case "sum":
            return add(*parts)
        case "mul":
            return multiply(*parts)
        case "concat":
            return same_sums(parts, but=last)
    return hull(parts)
