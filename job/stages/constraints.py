"""Constraints of pruned weights (``NonNeg``, ``MaxNorm``), which must hold in the saved file.

Keras applies a constraint after each optimizer step. A mask is applied after that, and reduces
norms below what ``UnitNorm`` or ``MinMaxNorm`` demand; so constraints are applied once more after
the last mask. Those named here scale weights or set some to zero, so zeros remain; a kernel with
another constraint is not pruned at all (``prunable``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from job.errors import InputError, StageError

TOLERANCE = 1e-6
# MinMaxNorm with a rate under 1 goes only part of the way each time.
MAX_ROUNDS = 100

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Held:
    """How well a weight satisfies its constraint."""

    weight: str
    constraint: str
    excess: float
    """The largest violation, in the weight's or the norm's unit."""
    empty: int
    """Units of only zeros, though the constraint demands a norm."""
    trainable: bool

    @property
    def holds(self) -> bool:
        """Whether it is satisfied, not counting units of only zeros."""
        return self.excess <= TOLERANCE


def refuse_untrainable(model: tf_keras.Model, where: str) -> None:
    """Check that Keras can train with the constraints of a model.

    Raises:
        InputError: Where one of them creates variables in each step, which a graph can't.
    """
    for variable in constrained(model.trainable_variables):
        if isinstance(variable.constraint, tf_keras.constraints.RadialConstraint):
            raise InputError(
                f"Keras 2 can't train a weight with a RadialConstraint: {variable.name}. (It "
                "creates a new variable in each step.)",
                where=where,
                hint='Freeze the layer (trainable=False), or set "prune": null to quantize only.',
            )


def apply(model: tf_keras.Model, leave: Sequence[tf.Variable] = ()) -> None:
    """Apply the constraint of every trainable weight, but of those to ``leave``; zeros stay zeros.

    Raises:
        StageError: Where a constraint makes weights of zeros.
    """
    left = {id(variable) for variable in leave}
    for variable in constrained(model.trainable_variables):
        if id(variable) in left:
            continue
        before = np.asarray(variable.numpy())
        for _ in range(MAX_ROUNDS):
            bound = variable.constraint(tf.convert_to_tensor(variable))
            far = float(tf.reduce_max(tf.abs(bound - variable), None))
            if far <= TOLERANCE / 10:
                break
            variable.assign(bound)
        if _scales(variable.constraint) and np.any(variable.numpy()[before == 0] != 0):
            raise StageError(
                f"The constraint {describe(variable.constraint)} makes weights of zeros.",
                where=variable.name,
                hint="Leave the layer out with a rule in prune.layers that skips it.",
            )


def check(model: tf_keras.Model) -> list[Held]:
    """Check every constrained weight of a model that was read back from its file."""
    trained = {id(variable) for variable in model.trainable_variables}
    held = []
    for variable in constrained(model.variables):
        excess, empty = _excess(variable.constraint, np.asarray(variable.numpy(), np.float64))
        text = describe(variable.constraint)
        held.append(Held(variable.name, text, excess, empty, id(variable) in trained))
    return held


def report(held: Sequence[Held], file: str) -> tuple[list[str], list[str]]:
    """Decisions and warnings on constraints, for the result.

    Raises:
        StageError: Where a weight that was trained breaks its constraint.
    """
    broken = [it for it in held if it.trainable and not it.holds]
    if broken:
        first = broken[0]
        raise StageError(
            f"The weight breaks its constraint {first.constraint} by {first.excess:.2g} after "
            "pruning.",
            where=f"{file}, {first.weight}",
            hint="Leave the layer out with a rule in prune.layers that skips it.",
        )
    kept = [f"{it.weight} {it.constraint}" for it in held if it.holds and not it.empty]
    decisions = [f"constraints hold in {file}, after the masks: {'; '.join(kept)}"] if kept else []
    warnings = [
        f"{it.empty} units of {it.weight} are all zeros, so they have a norm of 0 and not what "
        f"{it.constraint} demands: prune the layer less, or skip it."
        for it in held
        if it.empty
    ]
    frozen = [
        f"The frozen weight {it.weight} broke its constraint {it.constraint} by {it.excess:.2g} as "
        "it came, and was left so."
        for it in held
        if not it.trainable and not it.holds
    ]
    return decisions, [*warnings, *frozen]


def constrained(variables: Sequence[tf.Variable]) -> list[tf.Variable]:
    """The variables that have a constraint."""
    return [it for it in variables if getattr(it, "constraint", None) is not None]


def _kind(constraint: Any) -> str:
    return type(constraint).__name__


def _scales(constraint: Any) -> bool:
    return _kind(constraint) in ("NonNeg", "MaxNorm", "UnitNorm", "MinMaxNorm")


def describe(constraint: Any) -> str:
    """A constraint for messages: ``MaxNorm(max_value=2, axis=0)``."""
    options: dict[str, Any] = getattr(constraint, "get_config", dict)()
    inner = ", ".join(f"{key}={value}" for key, value in options.items())
    return f"{_kind(constraint)}({inner})" if inner else _kind(constraint)


def _excess(constraint: Any, weight: Floats) -> tuple[float, int]:
    """By how much a weight violates its constraint, and how many units are empty."""
    kind = _kind(constraint)
    if kind == "NonNeg":
        return max(0.0, -float(weight.min(initial=0.0))), 0
    if not _scales(constraint):
        bound = constraint(tf.convert_to_tensor(weight.astype(np.float32))).numpy()
        return float(np.abs(bound - weight).max(initial=0.0)), 0
    axis = constraint.axis
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    norms = np.sqrt(np.square(weight).sum(axis=axes))
    least = float(getattr(constraint, "min_value", 1.0 if kind == "UnitNorm" else 0.0))
    most = float(getattr(constraint, "max_value", 1.0))
    empty = (norms == 0) & (least > 0)
    short = np.where(empty, 0.0, least - norms)
    scale = max(1.0, most)
    excess = max(float(short.max(initial=0.0)), float((norms - most).max(initial=0.0)))
    return max(0.0, excess) / scale, int(empty.sum())
