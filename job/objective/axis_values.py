"""What is known of values that are moved, picked or reduced along axes (TFOpLambda)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from job.objective.calls import Call
from job.objective.ranges import INF, UNKNOWN, Values, hull, reshaped, same_sums

Rule = Callable[[Call], Values]


def _reshape(call: Call) -> Values:
    return call.first.moved(reshaped(call.first.axis, call.before, call.after))


def _transpose(call: Call) -> Values:
    order = call.argument(1, "perm")
    return moved_to(call, list(range(len(call.before)))[::-1] if order is None else list(order))


def moved_to(call: Call, order: Sequence[int]) -> Values:
    """The first tensor with its axes in another order."""
    found = call.first
    return found if found.axis is None else found.moved(order.index(found.axis))


def _where_size_is_kept(call: Call) -> Values:
    """Slices, gathered parts, tiles: sums along an axis that keeps its size stay."""
    found = call.first
    axis, same_rank = found.axis, len(call.before) == len(call.after)
    kept = axis is not None and same_rank and call.before[axis] == call.after[axis]
    if kept or axis is None:
        return found
    fewer = len(call.before) > len(call.after) and axis == len(call.before) - 1
    if fewer and call.before[axis] == call.after[-1]:  # earlier axes were indexed away
        return found.moved(call.last)
    return found.bounds()


def _expand(call: Call) -> Values:
    found = call.first
    axis = call.argument(1, "axis")
    if found.axis is None or not isinstance(axis, int):
        return found.bounds()
    place = axis % len(call.after)
    return found.moved(found.axis + (place <= found.axis))


def _concat(call: Call) -> Values:
    axis = call.axis()
    return hull(call.given) if axis is None else same_sums(call.given, but=axis)


def _stack(call: Call) -> Values:
    found, axis = same_sums(call.given), call.argument(1, "axis", 0)
    if found.axis is None or not isinstance(axis, int):
        return found.bounds()
    return found.moved(found.axis + (axis % len(call.after) <= found.axis))


def _reduced(*, keeps_sums: bool) -> Rule:
    def rule(call: Call) -> Values:
        found, axes = call.first, call.argument(1, "axis")
        if found.axis is None or axes is None or not keeps_sums or found.is_log:
            return found.bounds()
        listed = [axes] if isinstance(axes, int) else list(axes)
        gone = {it % len(call.before) for it in listed}
        if found.axis in gone:
            return found.bounds()
        if len(call.before) == len(call.after):
            return found
        return found.moved(found.axis - sum(it < found.axis for it in gone))

    return rule


def _sum(call: Call) -> Values:
    """The sum of all of a distribution is one; of parts of it, in 0..1."""
    found, axis = call.first, call.axis(default=-1)
    if found.is_distribution and axis == found.axis:
        return Values(0, 1, names=found.names)
    return Values(0, INF, names=found.names) if found.is_known and found.low >= 0 else UNKNOWN


def _resize(call: Call) -> Values:
    method = str(call.argument(2, "method", "bilinear")).lower()
    return _where_size_is_kept(call) if method in ("bilinear", "nearest", "area") else UNKNOWN


# They answer with parts of what they are given, or repeat it.
PARTS = (
    *("getitem", "gather", "slice", "strided_slice", "tile", "split"),
    *("unstack", "reverse", "broadcast_to"),
)
ALONG_AXES: dict[str, Rule] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "squeeze": _reshape,
    **dict.fromkeys(PARTS, _where_size_is_kept),
    "resize": _resize,
    "expand_dims": _expand,
    "concat": _concat,
    "stack": _stack,
    "reduce_mean": _reduced(keeps_sums=True),
    "reduce_max": _reduced(keeps_sums=False),
    "reduce_min": _reduced(keeps_sums=False),
    "reduce_sum": _sum,
}
