"""Recall and precision of each class are those that counting gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from job.errors import InputError
from job.manifest.gates import GateConfig
from job.metrics.per_class import ClassCounts, check_gates, listed
from job.objective.losses import Objective
from job.result.result import ArtifactResult
from tests.metrics.test_usefulness import artifact

GATE: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)


def objective(loss: str, *metrics: str, logits: bool | None = None) -> Objective:
    return Objective(loss, logits, metrics, "because")


def counted(made: Objective, targets: Any, outputs: Any) -> dict[str, Any]:
    outputs = np.asarray(outputs, "float32")
    counts = ClassCounts(made, outputs.shape[-1])
    for rows in (slice(0, 2), slice(2, None)):
        counts.add(np.asarray(targets)[rows], outputs[rows])
    found, cut = listed({"out": counts})
    assert cut == {}
    return {
        name: (it.recall, it.precision, it.support) for name, it in found.get("out", {}).items()
    }


def test_figures_of_classes_are_counted() -> None:
    """For class indices, one-hot rows, a class for each pixel; without rows there is no recall."""
    scores = np.array([[3, 1, 0, 0], [0, 2, 1, 0], [0, 2, 1, 0], [1, 0, 5, 0]])
    wanted = {"0": (1.0, 1.0, 1), "1": (0.5, 0.5, 2), "2": (0.0, 0.0, 1), "3": (None, None, 0)}
    labels = np.array([0, 1, 2, 1])
    sparse = objective("sparse_categorical_crossentropy", "accuracy", logits=True)
    assert counted(sparse, labels, scores) == wanted
    assert counted(sparse, labels[:, None], scores) == wanted
    rows = objective("categorical_crossentropy", "accuracy", logits=True)
    assert counted(rows, np.eye(4)[labels], scores) == wanted
    pixels = np.repeat(scores[:, None], 3, axis=1)
    found = counted(sparse, np.repeat(labels[:, None], 3, axis=1), pixels)
    assert found["1"] == (0.5, 0.5, 6)


def test_targets_of_minus_one_and_one_have_two_classes() -> None:
    """The output's sign tells which."""
    hinge = objective("hinge", "accuracy")
    wanted = np.array([[1], [-1], [-1], [1], [-1]])
    assert counted(hinge, wanted, [[0.3], [-1], [0.2], [-2], [-0.1]]) == {
        "0": (2 / 3, 2 / 3, 3),
        "1": (0.5, 0.5, 2),
    }


def test_binary_outputs_have_two_classes_and_multi_label_ones_one_for_each() -> None:
    """Split at the threshold of logits or of probabilities; a regression has no classes."""
    binary = objective("binary_crossentropy", "accuracy", logits=True)
    answers = [[0.3], [-1], [0.2], [-2]]
    assert counted(binary, [[1], [0], [0], [1]], answers) == {
        "0": (0.5, 0.5, 2),
        "1": (0.5, 0.5, 2),
    }
    several = objective("binary_crossentropy", "accuracy", logits=False)
    given = [[0.9, 0.1], [0.2, 0.7], [0.8, 0.4], [0.1, 0.9]]
    assert counted(several, [[1, 0], [1, 1], [1, 0], [0, 0]], given) == {
        "0": (2 / 3, 1.0, 3),
        "1": (1.0, 0.5, 1),
    }
    assert (
        counted(objective("mean_squared_error"), [[1.0, 2], [3, 4], [1, 1]], np.ones((3, 2))) == {}
    )


def test_the_columns_of_a_mask_are_no_classes() -> None:
    """Each of its pixels is a decision; where the graph does not tell, there are no figures."""
    made = objective("binary_crossentropy", "accuracy", logits=False)
    random = np.random.default_rng(0)
    targets, answers = random.integers(0, 2, (5, 4, 4)), random.random((5, 4, 4))
    found = counted(replace(made, last_axis="positions"), targets, answers)
    right = (answers > 0.5) == targets
    for name, (recall, precision, support) in found.items():
        of = targets == int(name)
        assert support == of.sum()
        assert recall == right[of].mean()
        assert precision == right[(answers > 0.5) == int(name)].mean()
    assert list(found) == ["0", "1"]
    assert counted(replace(made, last_axis="unclear"), targets, answers) == {}


def test_a_hinge_has_two_classes_split_at_zero() -> None:
    """Whether they are written as -1 and 1 or as 0 and 1."""
    made = objective("hinge", "accuracy")
    answers = [[0.3], [-1], [0.2], [-2]]
    wanted = {"0": (0.5, 0.5, 2), "1": (0.5, 0.5, 2)}
    for none in (-1, 0):
        assert counted(made, [[1], [none], [none], [1]], answers) == wanted


@pytest.mark.parametrize(
    ("gate", "what"),
    [
        ({"output": "other"}, "no output other"),
        ({"class_index": 7}, "There is no class 7"),
    ],
)
def test_gates_on_missing_classes_are_refused(gate: dict[str, Any], what: str) -> None:
    """Also where the class has no test rows, or the output has no classes."""
    asked = [GATE.validate_python({"type": "min_class_recall", "value": 0.5} | gate)]
    with pytest.raises(InputError, match=what):
        check_gates(asked, artifact("baseline", 0.5, {"0": 1.0}), ["out"])
    absent = {"0": {"recall": None, "precision": 1, "support": 0}}
    one = artifact("baseline", 0.5, {}).model_dump() | {"per_class": {"out": absent}}
    zero = [GATE.validate_python({"type": "min_class_recall", "value": 0.5, "class_index": 0})]
    with pytest.raises(InputError, match="class 0 has no test rows"):
        check_gates(zero, ArtifactResult.model_validate(one), ["out"])
    plain = [GATE.validate_python({"type": "min_class_recall", "value": 0.5})]
    with pytest.raises(InputError, match="No class has test rows"):
        check_gates(plain, ArtifactResult.model_validate(one), ["out"])
    with pytest.raises(InputError, match="has no classes"):
        check_gates(
            plain, artifact("baseline", 0.5, {}).model_copy(update={"per_class": {}}), ["out"]
        )
