"""allowed: the names are those of the installed Keras, and nothing that runs code is among them."""

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
def test_every_class_of_keras_is_allowed_or_named_as_dangerous(kit: Any, room: str) -> None:
    """A class that a new Keras brings has to be looked at: this test then fails."""
    found = names(getattr(kit, room), inspect.isclass)
    assert found - allowed.CLASS_NAMES - allowed.CARRY_CODE - ABSTRACT == set()


def test_nothing_is_allowed_that_carries_code_or_that_keras_has_not() -> None:
    """Neither a Lambda, nor a name that no Keras knows, which would be somebody else's."""
    assert allowed.CLASS_NAMES.isdisjoint(allowed.CARRY_CODE | ABSTRACT)
    rooms = [getattr(kit, room) for kit in (keras, tf_keras) for room in ROOMS]
    rooms += [tf_keras.optimizers.schedules]
    known = set().union(*(names(room, inspect.isclass) for room in rooms))
    structures = set(allowed.STRUCTURES.split()) | set(allowed.KERAS3_OPS.split())
    structures |= set(allowed.MASK_OPS.split())
    assert allowed.CLASS_NAMES - known - structures - allowed.CALL_FUNCTIONS == set()


@pytest.mark.parametrize("room", ["activations", "losses", "metrics"])
def test_functions_are_those_of_keras(room: str) -> None:
    """What looks functions up by a name of the file's is none of them."""
    found = names(getattr(tf_keras, room), inspect.isfunction)
    assert found - allowed.FUNCTION_NAMES == {"deserialize", "get", "serialize"}


def test_every_operation_that_is_rebuilt_is_allowed() -> None:
    """And every one that is allowed can be rebuilt, those that masks are computed with, too."""
    assert set(OPS) == set(allowed.KERAS3_OPS.split()) <= allowed.CLASS_NAMES
    assert set(MASK_OPS) == set(allowed.MASK_OPS.split()) <= allowed.CLASS_NAMES
