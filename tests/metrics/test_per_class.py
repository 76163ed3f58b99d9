"""Recall and precision of classes, the constant answer, and the gates on both, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from job.errors import InputError
from job.manifest.gates import GateConfig
from job.metrics.artifact import Ruler
from job.metrics.constant import constant_metrics
from job.metrics.gates import judge
from job.metrics.per_class import ClassCounts, check_gates, listed
from job.metrics.usefulness import useless_outputs
from job.objective.losses import Objective
from job.result import ArtifactResult, TensorSpec

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


def test_figures_of_classes_are_those_that_counting_gives() -> None:
    """Class indices, one-hot rows, a class for each pixel; a class without rows has no recall."""
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
    """Told apart by the sign of the output; the constant answer is the more common one."""
    hinge = objective("hinge", "accuracy")
    wanted = np.array([[1], [-1], [-1], [1], [-1]])
    assert counted(hinge, wanted, [[0.3], [-1], [0.2], [-2], [-0.1]]) == {
        "0": (2 / 3, 2 / 3, 3),
        "1": (0.5, 0.5, 2),
    }
    assert constants(hinge, [[-1], [-1], [1]], [[-1], [1], [-1]], (1,))["accuracy"] == (
        pytest.approx(2 / 3)
    )


def test_binary_outputs_have_two_classes_and_several_have_one_for_each() -> None:
    """By the threshold of logits or of probabilities; a regression has none."""
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


def test_hinges_have_two_classes_on_the_sides_of_zero() -> None:
    """Whether they are written as -1 and 1 or as 0 and 1."""
    made = objective("hinge", "accuracy")
    answers = [[0.3], [-1], [0.2], [-2]]
    wanted = {"0": (0.5, 0.5, 2), "1": (0.5, 0.5, 2)}
    for none in (-1, 0):
        assert counted(made, [[1], [none], [none], [1]], answers) == wanted
        found = constants(made, [[1], [none], [none]], [[1], [none], [none], [none]], (1,))
        assert (found["accuracy"], found["loss"]) == (0.75, 0.5)


def test_the_constant_answer_to_soft_rows_is_their_mean() -> None:
    """And not the shares of the most likely classes."""
    made = objective("kl_divergence", "accuracy")
    rows = np.array([[0.6, 0.4], [0.8, 0.2]])
    found = constants(made, rows, rows, (2,))
    assert found["loss"] == pytest.approx(np.mean(np.sum(rows * np.log(rows / [0.7, 0.3]), -1)))


def constants(made: Objective, train: Any, test: Any, shape: tuple[int, ...]) -> dict[str, float]:
    test = np.asarray(test)

    def read(start: int, stop: int) -> Any:
        return (np.zeros((len(test[start:stop]), 1)),), (test[start:stop],)

    ruler = Ruler(read, len(test), {"out": made}, ["in"], 1)
    spec = TensorSpec("out", shape, "float32")
    return constant_metrics([np.asarray(train)], [spec], ruler)["out"]


def test_the_constant_answer_is_what_numpy_says() -> None:
    """Of classes the most common one and its share's entropy; of numbers the mean or the median."""
    train, test = [0, 1, 1, 1, 2], np.array([1, 1, 0, 2])
    for logits in (True, False):
        made = objective("sparse_categorical_crossentropy", "accuracy", logits=logits)
        found = constants(made, train, test, (3,))
        assert found["accuracy"] == 0.5
        entropy = -np.mean(np.log(np.array([0.2, 0.6, 0.2])[test]))
        assert found["loss"] == pytest.approx(entropy, rel=1e-4)
    binary = objective("binary_crossentropy", "accuracy", "auc", logits=False)
    found = constants(binary, [[1], [1], [0]], [[1], [0], [0]], (1,))
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["auc"] == pytest.approx(0.5)
    numbers = objective("mean_squared_error", "mean_absolute_error")
    known, asked = np.array([[0.0], [1], [10]]), np.array([[0.0], [1], [2]])
    found = constants(numbers, known, asked, (1,))
    both = [np.mean(known), np.median(known)]
    assert found["loss"] == pytest.approx(min(np.mean((asked - it) ** 2) for it in both))
    assert found["mean_absolute_error"] == pytest.approx(
        min(np.mean(abs(asked - it)) for it in both)
    )


def artifact(name: str, accuracy: float, recall: dict[str, float]) -> ArtifactResult:
    return ArtifactResult.model_validate(
        {
            "stage": "baseline" if name == "baseline" else "quantize",
            "variant": None if name == "baseline" else name,
            "format": "tflite",
            "path": f"{name}.tflite",
            "bytes": 10,
            "sha256": "",
            "sparsity": 0,
            "metrics": {"accuracy": accuracy, "loss": 1.0},
            "per_class": {
                "out": {
                    it: {"recall": value, "precision": 1, "support": 5}
                    for it, value in recall.items()
                }
            },
            "constant_metrics": {"out": {"loss": 2.0, "accuracy": 0.4}}
            if name == "baseline"
            else {},
        }
    )


def test_gates_judge_the_worst_class_and_the_constant_answer() -> None:
    """A named class alone; a baseline that is no better fails the gate for every file."""
    made = artifact("int8", 0.8, {"0": 0.9, "1": 0.2})

    def passes(baseline: float, **gate: Any) -> tuple[bool, float]:
        asked = [GATE.validate_python(gate)]
        (found,) = judge(asked, [artifact("baseline", baseline, {"0": 1.0, "1": 1.0}), made])
        return found.passed, round(found.value, 6)

    assert passes(0.9, type="min_class_recall", value=0.2) == (True, 0.2)
    assert passes(0.9, type="min_class_recall", value=0.3) == (False, 0.2)
    assert passes(0.9, type="min_class_recall", value=0.3, class_index=0) == (True, 0.9)
    assert passes(0.9, type="beats_constant") == (True, 0.4)
    assert passes(0.9, type="beats_constant", margin=0.5) == (False, 0.4)
    assert passes(0.4, type="beats_constant") == (False, 0.0)
    assert passes(0.9, type="beats_constant", metric="loss", output="out") == (True, 1.0)


def test_a_useless_baseline_is_found() -> None:
    """At or below the constant's accuracy, or above it by no more than chance."""
    made = {"out": objective("sparse_categorical_crossentropy", "accuracy")}
    for accuracy, rows, is_useless in (
        (0.3, 9999, True),
        (0.4, 9999, True),
        (0.42, 100, True),
        (0.42, 9999, False),
        (0.9, 20, False),
    ):
        found = useless_outputs(artifact("baseline", accuracy, {}), made, rows)
        assert bool(found) == is_useless
    assert "0.3, where a constant answer gets 0.4" in str(
        useless_outputs(artifact("baseline", 0.3, {}), made, 9)
    )


@pytest.mark.parametrize(
    ("gate", "what"),
    [
        ({"output": "other"}, "no output other"),
        ({"class_index": 7}, "There is no class 7"),
    ],
)
def test_gates_on_classes_that_are_not_there_are_refused(gate: dict[str, Any], what: str) -> None:
    """Before anything is trained."""
    asked = [GATE.validate_python({"type": "min_class_recall", "value": 0.5} | gate)]
    with pytest.raises(InputError, match=what):
        check_gates(asked, artifact("baseline", 0.5, {"0": 1.0}), ["out"])
    absent = {"0": {"recall": None, "precision": 1, "support": 0}}
    one = artifact("baseline", 0.5, {}).model_dump() | {"per_class": {"out": absent}}
    zero = [GATE.validate_python({"type": "min_class_recall", "value": 0.5, "class_index": 0})]
    with pytest.raises(InputError, match="class 0 has no test rows"):
        check_gates(zero, ArtifactResult.model_validate(one), ["out"])
    plain = [GATE.validate_python({"type": "min_class_recall", "value": 0.5})]
    with pytest.raises(InputError, match="has no classes"):
        check_gates(
            plain, artifact("baseline", 0.5, {}).model_copy(update={"per_class": {}}), ["out"]
        )
