"""A model is compared with a constant answer, and judged class by class."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from job.manifest.gates import GateConfig
from job.metrics.gates import judge, useless_outputs
from job.metrics.usefulness import against_constant, is_within_chance
from job.result import ArtifactResult

GATE: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)


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
    """Or a named class only; a baseline that is no better fails the gate for every file."""
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


def test_a_baseline_that_is_no_better_than_a_constant_is_found() -> None:
    """It is at or below the constant's accuracy, or above it by no more than chance."""
    for accuracy, rows, is_useless in (
        (0.3, 9999, True),
        (0.4, 9999, True),
        (0.42, 100, True),
        (0.42, 9999, False),
        (0.9, 20, False),
    ):
        found = useless_outputs(artifact("baseline", accuracy, {}), ["out"], rows)
        assert bool(found) == is_useless
    assert "0.3, where a constant answer gets 0.4" in str(
        useless_outputs(artifact("baseline", 0.3, {}), ["out"], 9)
    )


def test_a_lead_within_chance_is_called_so() -> None:
    """It is not said to be no better, with figures that say it is."""
    for accuracy, rows, chance in ((0.42, 100, True), (0.4, 100, False), (0.3, 100, False)):
        made = artifact("baseline", accuracy, {})
        found = useless_outputs(made, ["out"], rows)
        made = made.model_copy(update={"useless_outputs": found})
        assert is_within_chance(made) is chance
        assert ("by chance up to 0.45 on 100 rows" in found["out"]) is chance
        assert ("by more than chance" in against_constant(made)) is chance
        assert ("no better" in against_constant(made)) is not chance
