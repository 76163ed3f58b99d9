"""allowed: the names are those of the installed Keras, and none of them runs code."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import keras
import pytest
import tf_keras

from job.models.keras3_masks import MASK_OPS
from job.models.keras3_ops import OPS
from job.safety import allowed

# Base classes, which are no layers of a model; classes that hold other objects than layers.
ABSTRACT = {
    "AbstractRNNCell", "Constraint", "Initializer", "InputSpec", "Layer", "LearningRateSchedule",
    "Loss", "Metric", "MultiOptimizer", "Optimizer", "OptimizerMap", "Reduction", "Regularizer",
    "Wrapper",
}  # fmt: skip
ROOMS = ("layers", "initializers", "regularizers", "constraints", "optimizers", "losses", "metrics")


def names(module: ModuleType, is_kind: Any) -> set[str]:
    """The public names of a module of one kind."""
    return {name for name, it in vars(module).items() if is_kind(it) and not name.startswith("_")}


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("kit", [keras, tf_keras], ids=["keras", "tf_keras"])
def test_every_class_of_keras_is_listed_as_allowed_or_dangerous(kit: Any, room: str) -> None:
    """This test fails with a new Keras class, which has to be reviewed."""
    found = names(getattr(kit, room), inspect.isclass)
    assert found - allowed.CLASS_NAMES - allowed.CARRY_CODE - ABSTRACT == set()


def test_no_class_is_allowed_that_holds_code_or_is_not_in_keras() -> None:
    """Neither a Lambda, nor an unknown name, which would be a custom class."""
    assert allowed.CLASS_NAMES.isdisjoint(allowed.CARRY_CODE | ABSTRACT)
    rooms = [getattr(kit, room) for kit in (keras, tf_keras) for room in ROOMS]
    rooms += [tf_keras.optimizers.schedules]
    known = set().union(*(names(room, inspect.isclass) for room in rooms))
    known |= {it.__name__ for it in vars(keras.layers).values() if inspect.isclass(it)}  # in .h5
    structures = set(allowed.STRUCTURES.split()) | set(allowed.KERAS3_OPS.split())
    structures |= set(allowed.MASK_OPS.split())
    assert allowed.CLASS_NAMES - known - structures - allowed.CALL_FUNCTIONS == set()


@pytest.mark.parametrize("room", ["activations", "losses", "metrics"])
def test_functions_are_those_of_keras(room: str) -> None:
    """Except those that look up functions by name."""
    found = names(getattr(tf_keras, room), inspect.isfunction)
    assert found - allowed.FUNCTION_NAMES == {"deserialize", "get", "serialize"}


def test_operations_are_allowed_if_they_can_be_rebuilt() -> None:
    """Also those for masks."""
    assert set(OPS) == set(allowed.KERAS3_OPS.split()) <= allowed.CLASS_NAMES
    assert set(MASK_OPS) == set(allowed.MASK_OPS.split()) <= allowed.CLASS_NAMES
