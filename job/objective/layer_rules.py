"""What is known of the values of a layer's outputs: a rule for each class of Keras's layers.

A layer without a rule, such as a custom one, makes the values unknown: then only the outputs on
rows of data tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial, reduce
from typing import Any

from job.objective.calls import Call, Rule, moved_to, reshaped, selected, single_axis
from job.objective.values import (
    ANY_NUMBER,
    INF,
    UNKNOWN,
    Values,
    activated,
    add,
    extreme,
    hull,
    mean,
    multiply,
    same_sums,
    scale,
)

ZERO = Values(0, 0)


def _unchanged(call: Call) -> Values:
    """Dropout and noise are off when a model is measured; a call that turns them on scales values
    up.
    """
    return UNKNOWN if call.keywords.get("training") is True else call.first


def _enlarged(call: Call) -> Values:
    way = getattr(call.layer, "interpolation", "nearest")
    return selected(call) if way in ("nearest", "bilinear", "area") else UNKNOWN


def _average_pooled(call: Call) -> Values:
    values, rank = call.first, len(call.before)
    if values.is_log:
        return values.bounds()
    if rank == len(call.after):
        return selected(call)
    is_first = getattr(call.layer, "data_format", "channels_last") == "channels_first"
    return values.moved(1) if values.axis == (1 if is_first else rank - 1) else values.bounds()


def _difference(call: Call) -> Values:
    first, second = call.given
    return add(first, scale(second, -1))


def _combined(way: Callable[[Values, Values], Values]) -> Rule:
    return lambda call: reduce(way, call.given)


def _concatenated(call: Call) -> Values:
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


def _softmax(call: Call) -> Values:
    axis = single_axis(call.layer.axis, len(call.after))
    return Values(0, 1, axis=axis, names=("softmax",))


def _attended(call: Call) -> Values:
    """Weighted means of the second input, with weights that sum to one."""
    given = call.given
    if getattr(call.layer, "dropout", 0) and call.keywords.get("training") is True:
        return UNKNOWN
    values = given[1] if len(given) > 1 and call.index == 0 else UNKNOWN
    return values.bounds() if values.axis != call.last or values.is_log else values


def of_activation(activation: Any, call: Call) -> Values:
    """The output of an activation, for any input: of a function, or of a layer that is one."""
    if activation is None:
        return ANY_NUMBER
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
    """The outputs, or the states, of a recurrent layer or of its cell."""
    cell = getattr(call.layer, "cell", call.layer)
    cell = cell.cells[-1] if type(cell).__name__ == "StackedRNNCells" else cell
    kind = type(cell).__name__
    if len(call.tensors) > 1:  # an initial state is given
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
    return ANY_NUMBER


def _many(names: str, rule: Rule) -> dict[str, Rule]:
    """One rule for many classes; a ``*`` is 1D, 2D and 3D."""
    ends = ("1D", "2D", "3D")
    listed = [name.replace("*", end) for name in names.split() for end in ends]
    return dict.fromkeys(listed, rule)


ACTIVATION_LAYERS: dict[str, Rule] = {
    "Softmax": _softmax,
    "ReLU": _clipped,
    "ELU": lambda call: Values(-abs(float(call.layer.alpha)), INF, names=("elu",)),
    "LeakyReLU": _any_number,
    "PReLU": _any_number,
    "ThresholdedReLU": lambda _: Values(0, INF, names=("relu",)),
}

LAYERS: dict[str, Rule] = {
    **ACTIVATION_LAYERS,
    **_many(
        "Dropout Identity GaussianNoise GaussianDropout AlphaDropout SpatialDropout* "
        "ActivityRegularization RandomFlip",
        _unchanged,
    ),
    **_many("Reshape Flatten", reshaped),
    "Permute": lambda call: moved_to(call, [0, *call.layer.dims]),
    "RepeatVector": lambda call: call.first.moved(None if call.first.axis is None else 2),
    **_many("Cropping* CenterCrop", selected),
    **_many("ZeroPadding* Masking", lambda call: hull([call.first, ZERO])),
    **_many("UpSampling* Resizing", _enlarged),
    **_many("AveragePooling* GlobalAveragePooling* AdaptiveAveragePooling*", _average_pooled),
    **_many("GlobalMaxPooling* MaxPooling* AdaptiveMaxPooling*", lambda call: call.first.bounds()),
    "Average": lambda call: mean(call.given),
    "Add": _combined(add),
    "Subtract": _difference,
    "Multiply": _combined(multiply),
    "Maximum": _combined(partial(extreme, pick=max)),
    "Minimum": _combined(partial(extreme, pick=min)),
    "Concatenate": _concatenated,
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
    """The output of ``Bidirectional``, of those of its two directions."""
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
