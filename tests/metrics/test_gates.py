"""Every type of gate is judged at its limit, just inside and just outside."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import TypeAdapter

from job.manifest.gates import GateConfig
from job.metrics.gates import (
    LARGE_DROP,
    LARGER_ERROR,
    best,
    choose,
    is_missed,
    judge,
    losses_of_quality,
)
from job.result.artifact import EncodingResult
from job.result.result import ArtifactResult, GateResult

GATE: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)
SUFFIXES = {"zip": ".zip", "zopfli": ".zopfli.gz"}


def artifact(
    stage: Literal["baseline", "prune", "quantize"],
    size: int,
    encoded: dict[str, int],
    variant: str | None = None,
    **metrics: float,
) -> ArtifactResult:
    return ArtifactResult(
        stage=stage,
        variant=variant,
        format="tflite" if variant else "h5",
        path=f"{variant or stage}.{'tflite' if variant else 'h5'}",
        bytes=size,
        sha256="0" * 64,
        encoded={
            codec: EncodingResult(path=f"x.h5{SUFFIXES[codec]}", bytes=count, sha256="1" * 64)
            for codec, count in encoded.items()
        },
        sparsity=0,
        metrics=metrics,
    )


ARTIFACTS = [
    artifact("baseline", 1000, {"zip": 900}, accuracy=0.9, loss=0.5, mean_absolute_error=2.0),
    artifact(
        "prune", 1000, {"zip": 400, "zopfli": 300}, accuracy=0.89, loss=0.4, mean_absolute_error=3.0
    ),
    artifact(
        "quantize",
        240,
        {"zip": 130, "zopfli": 125},
        "small",
        accuracy=0.85,
        loss=0.75,
        mean_absolute_error=2.5,
    ),
    # The smallest file, whose encodings are not the smallest.
    artifact("quantize", 200, {"zip": 205}, "dense", accuracy=0.95, loss=0.1),
]


def judged(kind: str, value: float, **fields: Any) -> GateResult:
    gate = GATE.validate_python({"type": kind, "value": value, **fields})
    (found,) = judge([gate], ARTIFACTS)
    assert found.limit == value
    assert found.gate["type"] == kind
    return found


GATES = [
    # accuracy: 0.9 -> 0.89, 0.85, 0.95
    ("max_drop", "prune", "accuracy", 0.01, 0.0099, 0.01),
    ("max_drop", "small", "accuracy", 0.05, 0.0499, 0.05),
    ("max_drop", "dense", "accuracy", 0.0, None, -0.05),
    # loss: 0.5 -> 0.4, 0.75: a drop is a rise
    ("max_drop", "small", "loss", 0.25, 0.2499, 0.25),
    ("max_drop", "prune", "loss", 0.0, None, -0.1),
    ("max_drop", "prune", "mean_absolute_error", 1.0, 0.999, 1.0),
    ("min_value", "prune", "accuracy", 0.89, 0.8901, 0.89),
    ("min_value", "small", "loss", 0.75, 0.7499, 0.75),
    ("min_value", "small", "mean_absolute_error", 2.5, 2.499, 2.5),
]


@pytest.mark.parametrize(("kind", "name", "metric", "passes", "misses", "value"), GATES)
def test_metrics_are_judged_at_their_limit(
    kind: str, name: str, metric: str, passes: float, misses: float | None, value: float
) -> None:
    """The limit passes, the next value does not; for losses and errors, less is better."""
    found = judged(kind, passes, metric=metric, artifact=name)
    assert found.passed
    assert found.value == pytest.approx(value)
    assert found.artifact == name
    assert found.explanation.startswith(f"{name}: {metric}")
    if misses is not None:
        assert not judged(kind, misses, metric=metric, artifact=name).passed


SIZES = [
    ("max_bytes", "prune", "smallest_encoding", 300, 299, 300),
    ("max_bytes", "prune", "file", 1000, 999, 1000),
    ("max_bytes", "dense", "smallest_encoding", 200, 199, 200),
    ("min_ratio", "small", "smallest_encoding", 8.0, 8.01, 8.0),
    ("min_ratio", "dense", "file", 5.0, 5.01, 5.0),
    ("min_ratio", "prune", "file", 1.0, 1.01, 1.0),
]


@pytest.mark.parametrize(("kind", "name", "of", "passes", "misses", "value"), SIZES)
def test_sizes_are_judged_at_their_limit(
    kind: str, name: str, of: str, passes: float, misses: float, value: float
) -> None:
    """The limit passes; a ratio is against the original file."""
    found = judged(kind, passes, of=of, artifact=name)
    assert found.passed
    assert found.value == pytest.approx(value)
    assert not judged(kind, misses, of=of, artifact=name).passed


def gate(kind: str, value: float, **fields: Any) -> GateConfig:
    return GATE.validate_python({"type": kind, "value": value, **fields})


def test_the_smallest_artifact_that_passes_every_gate_is_chosen() -> None:
    """``small`` is 125 bytes encoded, ``dense`` 200, ``prune`` 300; accuracy 0.85, 0.95, 0.89."""
    for asked, chosen, passed in (
        ([], "small", []),
        ([gate("max_drop", 0.05, metric="accuracy")], "small", [True, True, True]),
        ([gate("max_drop", 0.02, metric="accuracy")], "dense", [True, False, True]),
        ([gate("max_bytes", 240, of="file")], "small", [False, True, True]),
        ([gate("max_drop", 0, metric="accuracy"), gate("max_bytes", 199)], None, None),
        ([gate("min_value", 0.99, metric="accuracy")], None, [False] * 3),
    ):
        verdicts = judge(asked, ARTIFACTS)
        found = choose(ARTIFACTS, verdicts)
        assert (found.name if found else None) == chosen
        assert is_missed(found, verdicts) is (chosen is None)
        if passed is not None:
            assert [it.passed for it in verdicts] == passed
    assert choose(ARTIFACTS[:1], []) is None


def test_a_file_without_an_arena_does_not_fit_into_one() -> None:
    """So the pruned Keras model is not chosen in place of a file that is too large."""
    small = ARTIFACTS[2].model_copy(update={"arena_bytes": 2_000})
    files = [*ARTIFACTS[:2], small]
    for most, chosen in ((2_000, "small"), (1_999, None)):
        verdicts = judge([gate("max_arena_bytes", most)], files)
        found = choose(files, verdicts)
        assert (found.name if found else None) == chosen
        assert is_missed(found, verdicts) is (chosen is None)
        assert [it.artifact for it in verdicts] == ["small"]
        shown = best(files, verdicts)
        assert shown is not None
        assert shown.name == "small"
    every = judge([gate("max_arena_bytes", 2_000, artifact="*")], files)
    assert choose(files, every) == small
    named = judge([gate("max_arena_bytes", 2_000, artifact="small")], files)
    assert choose([*ARTIFACTS[:2], ARTIFACTS[2]], named) is not None


def test_a_gate_that_names_artifacts_must_hold_whichever_is_chosen() -> None:
    """``small`` loses five points: another is chosen, but the run still misses its gate."""
    drop = gate("max_drop", 0.02, metric="accuracy")
    for artifact, missed, chosen in (
        (None, False, "dense"),
        ("dense", False, "small"),  # the gate is not for the smallest one
        ("small", True, "dense"),
        ("*", True, "dense"),
    ):
        verdicts = judge([drop.model_copy(update={"artifact": artifact})], ARTIFACTS)
        found = choose(ARTIFACTS, verdicts)
        assert found is not None
        assert (is_missed(found, verdicts), found.name) == (missed, chosen)


def test_where_none_passes_the_best_has_the_fewest_misses() -> None:
    """And is the smallest of those; tables show it."""
    asked = [gate("min_value", 0.88, metric="accuracy"), gate("max_bytes", 10)]
    verdicts = judge(asked, ARTIFACTS)
    assert choose(ARTIFACTS, verdicts) is None
    found = best(ARTIFACTS, verdicts)
    assert found is not None
    assert found.name == "dense"
    assert best(ARTIFACTS[:1], []) is None


def test_an_equal_metric_is_reported_as_unchanged() -> None:
    """Never as better by -0."""
    for after, says in ((0.9, "unchanged"), (0.9 - 1e-8, "unchanged"), (0.91, "better by 0.01")):
        made = artifact("prune", 100, {}, None, accuracy=after)
        (found,) = judge([gate("max_drop", 0, metric="accuracy")], [ARTIFACTS[0], made])
        assert f", {says}; at most" in found.explanation
        assert found.passed


def test_a_star_means_every_file_that_was_made() -> None:
    """There is one result for each, in order, and none for the baseline."""
    gate = {"type": "max_drop", "metric": "accuracy", "value": 0.02, "artifact": "*"}
    found = judge([GATE.validate_python(gate)], ARTIFACTS)
    assert [(it.artifact, it.passed) for it in found] == [
        ("prune", True),
        ("small", False),
        ("dense", True),
    ]


def test_an_optimizers_state_does_not_make_the_ratio_better() -> None:
    """For a file of 1,000 bytes, 600 of them an optimizer's, 125 bytes are 3.2 times smaller."""
    baseline = ARTIFACTS[0].model_copy(update={"reference_bytes": 400})
    for value, passed in ((3.2, True), (3.21, False)):
        gate = GATE.validate_python({"type": "min_ratio", "value": value, "artifact": "small"})
        (found,) = judge([gate], [baseline, *ARTIFACTS[1:]])
        assert found.value == pytest.approx(3.2)
        assert found.passed is passed


def test_large_losses_of_quality_are_reported_without_a_gate() -> None:
    """More than five points of a metric, or half as much error again; the loss does not count."""
    before = artifact("baseline", 1, {}, accuracy=0.9, loss=0.5, mean_absolute_error=2.0)

    def reported(**metrics: float) -> list[str]:
        good = {"accuracy": 0.9, "loss": 0.5, "mean_absolute_error": 2.0}
        return losses_of_quality(before, artifact("prune", 1, {}, None, **(good | metrics)))

    assert (LARGE_DROP, LARGER_ERROR) == (0.05, 1.5)
    assert (
        reported()
        == reported(accuracy=0.8501)
        == reported(mean_absolute_error=2.999)
        == reported(loss=9.0)
        == []
    )
    assert reported(accuracy=1.0, mean_absolute_error=0.0) == []
    (text,) = reported(accuracy=0.8499)
    assert text == "accuracy went from 0.9 to 0.8499 in prune."
    (text,) = reported(mean_absolute_error=3.001)
    assert text == "mean_absolute_error went from 2 to 3.001 in prune."


def test_the_baseline_is_never_chosen() -> None:
    """The original is not a result, however small it is."""
    baseline = artifact("baseline", 10, {}, accuracy=1.0)
    gate = GATE.validate_python({"type": "min_ratio", "value": 1})
    found = judge([gate], [baseline, *ARTIFACTS[1:]])
    assert [it.artifact for it in found] == ["prune", "small", "dense"]
    assert not any(it.passed for it in found)
    assert choose([baseline, *ARTIFACTS[1:]], found) is None


def test_rounding_passes_and_nan_misses() -> None:
    """Float32 rounding passes a gate of 0; NaN passes none."""
    cases = [
        ({"type": "max_drop", "metric": "accuracy", "value": 0}, 0.9 - 6e-8, True),
        ({"type": "max_drop", "metric": "accuracy", "value": 0}, 0.9 - 1e-4, False),
        ({"type": "max_drop", "metric": "accuracy", "value": 1}, float("nan"), False),
        ({"type": "min_value", "metric": "accuracy", "value": 0}, float("nan"), False),
        ({"type": "max_drop", "metric": "loss", "value": 9}, float("nan"), False),
        ({"type": "min_value", "metric": "loss", "value": 9}, float("nan"), False),
    ]
    for document, value, passed in cases:
        metrics = {str(document["metric"]): value}
        made = artifact("prune", 100, {}, None, **metrics)
        (found,) = judge([GATE.validate_python(document)], [ARTIFACTS[0], made])
        assert found.passed is passed, document


def test_gates_are_judged_independently_and_in_order() -> None:
    """There are as many results as gates; a miss does not stop it."""
    gates = [GATE.validate_python({"type": "max_bytes", "value": value}) for value in (1, 500, 2)]
    small = [it for it in judge(gates, ARTIFACTS) if it.artifact == "small"]
    assert [it.passed for it in small] == [False, True, False]
    assert judge([], ARTIFACTS) == []


def test_an_error_that_may_be_negative_is_compared_with_a_constant_answer() -> None:
    """The zero of a Poisson loss has no meaning; losing half of its lead is much."""
    before = artifact("baseline", 1, {}, poisson=-2.0)
    constants = {"out": {"poisson": -1.0}}
    before = before.model_copy(update={"constant_metrics": constants})

    def reported(value: float) -> list[str]:
        return losses_of_quality(before, artifact("prune", 1, {}, None, poisson=value))

    assert reported(-2.0) == reported(-2.5) == reported(-1.51) == []
    assert reported(-1.49) == ["poisson went from -2 to -1.49 in prune."]


def test_a_gate_for_all_is_not_said_again_of_a_file_that_it_names() -> None:
    """A search has both: the same verdict would stand in the result twice."""
    plain = {"type": "max_bytes", "value": 1000, "of": "file"}
    named = [GATE.validate_python(plain | {"artifact": it}) for it in (None, "small")]
    found = judge(named, ARTIFACTS)
    assert [(it.artifact, it.gate["artifact"]) for it in found] == [
        ("prune", None), ("dense", None), ("small", "small"),
    ]  # fmt: skip
    other = GATE.validate_python(plain | {"artifact": "small", "value": 999})
    assert len(judge([named[0], other], ARTIFACTS)) == 4


def test_a_value_that_no_model_has_is_refused() -> None:
    """A percentage in place of a fraction; an error may be as large as one likes."""
    gate = {"type": "min_value", "metric": "accuracy", "value": 97}
    with pytest.raises(ValueError, match="accuracy is at most 1, so 97 can't be reached"):
        GATE.validate_python(gate)
    GATE.validate_python(gate | {"value": 1})
    GATE.validate_python(gate | {"metric": "mean_squared_error"})
