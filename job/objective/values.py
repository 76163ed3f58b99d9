"""What is known of a tensor's values without computing them: their range, and what sums to one.

This is enough to tell whether outputs are probabilities: a softmax is in 0..1 and sums to one along
an axis; the mean of two is such a distribution again; the product of two is still in 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

INF = math.inf
# The rounding error of float32 sums that should be one.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Values:
    """What is known of a tensor's values."""

    low: float
    high: float
    axis: int | None = None
    """The axis along which the values sum to ``total``; the batch's axis is 0."""
    total: float = 1.0
    is_log: bool = False
    """Whether they are logarithms: their exponentials then sum to ``total`` along ``axis``, or are
    independent probabilities where ``axis`` is None."""
    names: tuple[str, ...] = ()
    """The activations that they come from."""
    is_known: bool = True
    """False where there is no rule for an operation."""

    @property
    def in_unit(self) -> bool:
        """Whether all values are in 0..1."""
        return self.is_known and self.low >= 0 and self.high <= 1 + ROUNDING

    @property
    def is_distribution(self) -> bool:
        """Whether the values sum to one along ``axis``."""
        is_one = abs(self.total - 1) < ROUNDING
        return self.in_unit and self.axis is not None and is_one and not self.is_log

    def moved(self, axis: int | None) -> Values:
        """The same values, summing along another axis; None where they no longer do."""
        if axis is None and self.is_log:
            return replace(self, axis=None, is_log=False)
        return replace(self, axis=axis)

    def bounds(self) -> Values:
        """The range only."""
        return replace(self, axis=None, is_log=False)


UNKNOWN = Values(-INF, INF, is_known=False)
ANY_NUMBER = Values(-INF, INF)


def hull(parts: Sequence[Values]) -> Values:
    """The range that holds the values of all parts."""
    if not parts or not all(it.is_known for it in parts):
        return UNKNOWN
    return Values(min(it.low for it in parts), max(it.high for it in parts), names=_names(parts))


def same_sums(parts: Sequence[Values], *, but: int | None = None) -> Values:
    """The hull; where all parts sum along the same axis to the same total, so does the result.

    Args:
        parts: The values that are joined.
        but: The axis along which they are joined: sums along it grow.
    """
    found, first = hull(parts), parts[0]
    sums = {(it.axis, it.total, it.is_log) for it in parts}
    if not found.is_known or len(sums) > 1 or first.axis in (None, but):
        return found
    return replace(found, axis=first.axis, total=first.total, is_log=first.is_log)


def mean(parts: Sequence[Values]) -> Values:
    """The mean of several tensors of one shape."""
    found = same_sums(parts)
    return found.bounds() if found.is_log else found


def add(first: Values, second: Values) -> Values:
    """The sum of two tensors of one shape, or of a tensor and a constant."""
    if not (first.is_known and second.is_known):
        return UNKNOWN
    found = Values(first.low + second.low, first.high + second.high, names=_names([first, second]))
    both = first.axis is not None and first.axis == second.axis
    if both and not (first.is_log or second.is_log):
        return replace(found, axis=first.axis, total=first.total + second.total)
    return found


def scale(values: Values, factor: float, offset: float = 0.0) -> Values:
    """``factor * values + offset``, for constants."""
    if not values.is_known:
        return UNKNOWN
    if factor == 1 and offset == 0:
        return values
    ends = [_times(factor, end) + offset for end in (values.low, values.high)]
    found = Values(min(ends), max(ends), names=values.names)
    if offset == 0 and values.axis is not None and not values.is_log:
        return replace(found, axis=values.axis, total=values.total * factor)
    return found


def multiply(first: Values, second: Values) -> Values:
    """The product, value by value."""
    if not (first.is_known and second.is_known):
        return UNKNOWN
    pairs = product((first.low, first.high), (second.low, second.high))
    ends = [_times(a, b) for a, b in pairs]
    return Values(min(ends), max(ends), names=_names([first, second]))


def extreme(first: Values, second: Values, pick: Callable[[float, float], float]) -> Values:
    """The larger (``pick=max``) or smaller one, value by value; one may be a constant."""
    known = [it for it in (first, second) if it.is_known]
    if not known:
        return UNKNOWN
    low, high = pick(first.low, second.low), pick(first.high, second.high)
    if len(known) == 1 and (math.isinf(low) or math.isinf(high)):
        return UNKNOWN
    return Values(low, high, names=_names(known))


def exponential(values: Values) -> Values:
    """e to the power of the values; of log-probabilities, the probabilities."""
    if not values.is_known:
        return UNKNOWN
    if values.is_log:
        return Values(0, 1, axis=values.axis, names=values.names)
    return Values(_exp(values.low), _exp(values.high), names=(*values.names, "exp"))


def logarithm(values: Values) -> Values:
    """The natural logarithm; of probabilities, log-probabilities."""
    if not values.is_known:
        return UNKNOWN
    if values.in_unit:
        axis = values.axis if values.is_distribution else None
        return Values(-INF, 0, axis=axis, is_log=True, names=(*values.names, "log"))
    low = math.log(values.low) if values.low > 0 else -INF
    high = math.log(values.high) if 0 < values.high < INF else INF
    return Values(low, high, names=(*values.names, "log"))


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else INF


def _times(a: float, b: float) -> float:
    return 0.0 if 0 in (a, b) else a * b  # for bounds, 0 times infinity is 0


def _names(parts: Sequence[Values]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for it in parts for name in it.names))


# Activation, by its name in Keras 2 and 3 -> its lowest and highest value for any input.
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "sparse_sigmoid"), (0, 1)),
    **dict.fromkeys(("tanh", "hard_tanh", "softsign"), (-1, 1)),
    # In Keras 3, a sparsemax sums to one for a single class only.
    **dict.fromkeys(("relu", "softplus", "sparse_plus", "sparsemax"), (0, INF)),
    **dict.fromkeys(("squareplus", "exponential", "exp"), (0, INF)),
    "relu6": (0, 6),
    **dict.fromkeys(("elu", "celu"), (-1, INF)),
    "selu": (-1.76, INF),
    "gelu": (-0.18, INF),
    **dict.fromkeys(("silu", "swish"), (-0.28, INF)),
    **dict.fromkeys(("hard_silu", "hard_swish"), (-0.38, INF)),
    "mish": (-0.31, INF),
}
_UNBOUNDED = (
    *("linear", "leaky_relu", "glu", "tanh_shrink", "soft_shrink", "hard_shrink", "threshold"),
)


def activated(name: str, axis: int) -> Values:
    """The output of an activation, for any input.

    Args:
        name: Its name, as Keras writes functions: the class ``LeakyReLU`` is ``leaky_relu``.
        axis: The last axis, where the batch's is 0.
    """
    if name == "softmax":
        return Values(0, 1, axis=axis, names=(name,))
    if name == "log_softmax":
        return Values(-INF, 0, axis=axis, is_log=True, names=(name,))
    if name == "log_sigmoid":
        return Values(-INF, 0, is_log=True, names=(name,))
    if name in _RANGES:
        low, high = _RANGES[name]
        return Values(low, high, names=(name,))
    return ANY_NUMBER if name in _UNBOUNDED else replace(UNKNOWN, names=(name,))
