"""One call of a layer in a model's graph, and the rules for what it does to axes.

The rules are for functions that move, select or reduce values along axes; layers share some.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from job.objective.values import INF, UNKNOWN, Values, hull, same_sums

# None is a size that is not known.
Shape = tuple[int | None, ...]


def is_symbolic(value: object) -> bool:
    """Whether a value is a tensor of a model's graph rather than a constant."""
    return hasattr(value, "_keras_history")


@dataclass(frozen=True)
class Call:
    """A call of a layer; shapes and axes include the batch's."""

    layer: Any
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    output: Any
    """One of the output tensors."""
    index: int
    """Which one."""
    of: Callable[[Any], Values]
    """Gives what is known of a tensor of the graph."""

    @property
    def tensors(self) -> list[Any]:
        """The input tensors of the graph, in order."""
        given = tf.nest.flatten([self.arguments, dict(self.keywords)])
        return [it for it in given if is_symbolic(it)]

    @property
    def given(self) -> list[Values]:
        """What is known of the input tensors."""
        return [self.of(it) for it in self.tensors]

    @property
    def first(self) -> Values:
        """What is known of the first input tensor."""
        tensors = self.tensors
        return self.of(tensors[0]) if tensors else UNKNOWN

    @property
    def before(self) -> Shape:
        """The shape of the first input tensor."""
        return tuple(self.tensors[0].shape)

    @property
    def after(self) -> Shape:
        """The shape of the output."""
        return tuple(self.output.shape)

    @property
    def last(self) -> int:
        """The last axis of the output."""
        return len(self.after) - 1

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument of the call, by position or by name: a constant or a tensor."""
        if name in self.keywords:
            return self.keywords[name]
        return self.arguments[position] if position < len(self.arguments) else default

    def axis(self, default: int = -1) -> int | None:
        """The argument ``axis``, of the first input tensor; None where it is not a single one."""
        found = self.argument(1, "axis")
        return single_axis(default if found is None else found, len(self.before))


Rule = Callable[[Call], Values]


def single_axis(given: Any, rank: int) -> int | None:
    """An axis, or a list of a single one, counted from 0; None for anything else."""
    axis = given[0] if isinstance(given, list | tuple) and len(given) == 1 else given
    return axis % max(1, rank) if isinstance(axis, int) else None


def reshaped(call: Call) -> Values:
    """The values in another shape; sums remain where an axis still has the same values."""
    found, before, after = call.first, call.before, call.after
    if found.axis is None:
        return found.moved(None)
    rest = before[found.axis + 1 :]
    for place in range(call.last, 0, -1):
        behind = after[place + 1 :]
        if after[place] == before[found.axis] and (behind == rest or _same_size(behind, rest)):
            return found.moved(place)
    return found.moved(None)


def _same_size(one: Shape, other: Shape) -> bool:
    if None in one or None in other:
        return False
    return math.prod(it or 0 for it in one) == math.prod(it or 0 for it in other)


def moved_to(call: Call, order: Sequence[int]) -> Values:
    """The first tensor with its axes in another order."""
    found = call.first
    return found if found.axis is None else found.moved(order.index(found.axis))


def selected(call: Call) -> Values:
    """Slices, gathered parts, tiles: sums along an axis that keeps its size remain."""
    found, axis = call.first, call.first.axis
    if axis is None:
        return found
    if len(call.before) == len(call.after) and call.before[axis] == call.after[axis]:
        return found
    fewer = len(call.before) > len(call.after) and axis == len(call.before) - 1
    if fewer and call.before[axis] == call.after[-1]:  # earlier axes were indexed away
        return found.moved(call.last)
    return found.bounds()


def _transposed(call: Call) -> Values:
    order = call.argument(1, "perm")
    return moved_to(call, list(range(len(call.before)))[::-1] if order is None else list(order))


def _with_new_axis(found: Values, axis: Any, rank: int) -> Values:
    """Values with a new axis, at the place ``axis`` of the output's ``rank``."""
    if found.axis is None or not isinstance(axis, int):
        return found.bounds()
    return found.moved(found.axis + (axis % rank <= found.axis))


def _expanded(call: Call) -> Values:
    return _with_new_axis(call.first, call.argument(1, "axis"), len(call.after))


def _stacked(call: Call) -> Values:
    return _with_new_axis(same_sums(call.given), call.argument(1, "axis", 0), len(call.after))


def _concatenated(call: Call) -> Values:
    axis = call.axis()
    return hull(call.given) if axis is None else same_sums(call.given, but=axis)


def _mean(call: Call) -> Values:
    found, axes = call.first, call.argument(1, "axis")
    if found.axis is None or axes is None or found.is_log:
        return found.bounds()
    reduced = {it % len(call.before) for it in ([axes] if isinstance(axes, int) else axes)}
    if found.axis in reduced:
        return found.bounds()
    if len(call.before) == len(call.after):
        return found
    return found.moved(found.axis - sum(it < found.axis for it in reduced))


def _sum(call: Call) -> Values:
    """The sum of a whole distribution is one; the sum of a part of it is in 0..1."""
    found = call.first
    if found.is_distribution and call.axis() == found.axis:
        return Values(0, 1, names=found.names)
    return Values(0, INF, names=found.names) if found.is_known and found.low >= 0 else UNKNOWN


def _resized(call: Call) -> Values:
    method = str(call.argument(2, "method", "bilinear")).lower()
    return selected(call) if method in ("bilinear", "nearest", "area") else UNKNOWN


# Functions whose output is a part of the input, or repeats it.
_SELECTING = (
    *("getitem", "gather", "slice", "strided_slice", "tile", "split"),
    *("unstack", "reverse", "broadcast_to"),
)
AXIS_RULES: dict[str, Rule] = {
    "reshape": reshaped,
    "transpose": _transposed,
    "squeeze": reshaped,
    **dict.fromkeys(_SELECTING, selected),
    "resize": _resized,
    "expand_dims": _expanded,
    "concat": _concatenated,
    "stack": _stacked,
    "reduce_mean": _mean,
    "reduce_max": lambda call: call.first.bounds(),
    "reduce_min": lambda call: call.first.bounds(),
    "reduce_sum": _sum,
}
