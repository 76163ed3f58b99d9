"""The values that activations answer with, by their names in Keras 2 and 3."""

from __future__ import annotations

from dataclasses import replace

from job.objective.ranges import INF, UNKNOWN, Values, linear

# Name -> the lowest and the highest value, whatever the input is.
RANGES = {
    "sigmoid": (0, 1),
    "hard_sigmoid": (0, 1),
    "sparse_sigmoid": (0, 1),
    "tanh": (-1, 1),
    "hard_tanh": (-1, 1),
    "softsign": (-1, 1),
    "relu": (0, INF),
    "relu6": (0, 6),
    "softplus": (0, INF),
    "sparse_plus": (0, INF),
    "sparsemax": (0, INF),  # that of Keras 3 sums up to one for a single class alone
    "squareplus": (0, INF),
    "exponential": (0, INF),
    "exp": (0, INF),
    "elu": (-1, INF),
    "celu": (-1, INF),
    "selu": (-1.76, INF),
    "gelu": (-0.18, INF),
    "silu": (-0.28, INF),
    "swish": (-0.28, INF),
    "hard_silu": (-0.38, INF),
    "hard_swish": (-0.38, INF),
    "mish": (-0.31, INF),
}
# They answer with any number.
UNBOUNDED = (
    *("linear", "leaky_relu", "glu", "tanh_shrink", "soft_shrink", "hard_shrink", "threshold"),
)
# The last axis sums up to one.
DISTRIBUTIONS = ("softmax",)


def activated(name: str, axis: int) -> Values:
    """What an activation answers with.

    Args:
        name: Its name; of a class, as Keras writes functions: ``LeakyReLU`` is ``leaky_relu``.
        axis: The last axis, counted with the batch's.
    """
    if name in DISTRIBUTIONS:
        return Values(0, 1, axis=axis, names=(name,))
    if name == "log_softmax":
        return Values(-INF, 0, axis=axis, is_log=True, names=(name,))
    if name == "log_sigmoid":
        return Values(-INF, 0, is_log=True, names=(name,))
    if name in RANGES:
        low, high = RANGES[name]
        return Values(low, high, names=(name,))
    return linear() if name in UNBOUNDED else replace(UNKNOWN, names=(name,))
