"""What a row says of a result: the best artifact's figures, passed or not, and the settings."""

from __future__ import annotations

from typing import Any

from job.batch.rows import constant_note, figures, row_of, settings
from job.manifest.job import JobConfig
from job.result.figures import LatencyResult
from job.result.result import ChosenResult, GateResult, Result
from tests.support.published import make_result

LATENCY = LatencyResult(runtime="litert", threads=1, runs=10, median=0.25, p90=0.5)


def made(**update: Any) -> Result:
    """A result with the artifacts int8 (750 bytes zipped) and float16 (990 bytes)."""
    result = make_result()
    small = result.artifacts[1].model_copy(
        update={"sparsity": 0.75, "latency_ms": {"one_thread": LATENCY}}
    )
    larger = small.model_copy(update={"variant": "float16", "encoded": {}, "sparsity": 0.5})
    artifacts = [result.baseline, small, larger]
    return result.model_copy(update={"artifacts": artifacts, "gates": [], **update})


def verdict(artifact: str, passed: bool, named: str | None = None) -> GateResult:
    return GateResult(
        gate={"artifact": named},
        artifact=artifact,
        value=1,
        limit=1,
        passed=passed,
        explanation=f"{artifact}: it",
    )


def test_the_chosen_artifact_is_the_one_that_is_shown() -> None:
    """Not the smallest, which has missed a gate; and that is no reason of the row's."""
    chosen = ChosenResult(artifact="float16", path="int8.tflite", encoding="file", bytes=990)
    gates = [verdict("int8", passed=False), verdict("float16", passed=True)]
    row = row_of(made(chosen=chosen, gates=gates, status="succeeded"), "a")
    assert (row.status, row.exit_code, row.reason) == ("succeeded", 0, "")
    assert (row.artifact, row.passes, row.encoding) == ("float16", True, "file")
    assert (row.sparsity, row.latency_ms, row.runtime) == (0.5, 0.25, "litert")
    named = [verdict("int8", passed=False, named="int8"), verdict("float16", passed=True)]
    row = row_of(made(chosen=chosen, gates=named, status="gate_missed"), "a")
    assert (row.artifact, row.passes, row.exit_code) == ("float16", True, 5)
    assert row.reason == "gate missed: int8: it"


def test_where_none_passes_the_row_has_figures_all_the_same() -> None:
    """Of the smallest of those that miss the fewest; its own misses are the reason."""
    manifest = {"gates": [{"type": "min_value", "metric": "accuracy", "value": 0.99}]}
    gates = [verdict(name, passed=False) for name in ("int8", "float16")]
    result = made(manifest=manifest, gates=gates)
    row = row_of(result, "a")
    assert (row.artifact, row.passes, row.smallest_bytes) == ("int8", False, 750)
    assert (row.quality, row.metric, row.sparsity) == (0.98, "accuracy", 0.75)
    assert row.reason == "gate missed: int8: it"


def test_the_gates_of_a_search_count_where_none_passes() -> None:
    """They are not in the manifest."""
    manifest = {"gates": [{"type": "min_ratio", "value": 1}]}
    gates = [verdict(name, passed=False, named=name) for name in ("int8", "float16")]
    row = row_of(made(manifest=manifest, gates=gates), "a")
    assert (row.artifact, row.passes, row.status) == ("int8", False, "gate_missed")


def test_no_drop_is_zero() -> None:
    """And never -0.0."""
    result = made()
    same = result.artifacts[1].model_copy(update={"metrics": result.baseline.metrics})
    found = figures(result.model_copy(update={"artifacts": [result.baseline, same]}), "a")
    assert str(found["drop"]) == "0.0"


def test_settings_are_what_differs_from_the_defaults() -> None:
    """By their paths; names and places are none. A manifest of another version has none."""
    document = {
        "name": "a",
        "model": {"uri": "m.h5", "input_shapes": {"x": [8]}},
        "dataset": {"uri": "d.npz", "scale": 0.5},
        "training": {"epochs": 4, "batch_size": 128},
        "prune": {"schedule": {"type": "polynomial_decay", "final_sparsity": 0.9}},
        "quantize": [{"type": "int8"}],
        "cluster": {},
        "destination": {"uri": "elsewhere"},
    }
    manifest = JobConfig.model_validate(document).model_dump(mode="json")
    found = settings(made(manifest=manifest))
    assert found.pop("quantize")[0]["type"] == "int8"
    assert found.pop("model.input_shapes.x") == [8]
    assert found.pop("prune.schedule.type", "polynomial_decay") == "polynomial_decay"
    assert found == {
        "dataset.scale": 0.5,
        "training.epochs": 4,
        "prune.schedule.final_sparsity": 0.9,
        "cluster": {},
    }
    assert settings(made(manifest={"of": "another version"})) == {}


def test_a_baseline_at_a_constant_answer_is_noted() -> None:
    """As its run warned of it."""
    result = made()
    assert constant_note(result) == ""
    found = {"out": "accuracy 0.5, where a constant answer gets 0.6"}
    useless = result.baseline.model_copy(update={"useless_outputs": found})
    note = constant_note(result.model_copy(update={"artifacts": [useless]}))
    assert note == f"the baseline is no better than a constant answer ({found['out']})"
