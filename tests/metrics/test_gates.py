"""gates: every type at its limit, just inside it and just outside of it."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import TypeAdapter

from job.artifact import EncodingResult, TensorResult
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
from job.result import ArtifactResult, GateResult

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
    adapter: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)
    gate = adapter.validate_python({"type": kind, "value": value, **fields})
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
    """The limit itself passes, the next value does not; of losses and errors less is better."""
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
    """The limit itself passes; a ratio is against the plain file that came in."""
    found = judged(kind, passes, of=of, artifact=name)
    assert found.passed
    assert found.value == pytest.approx(value)
    assert not judged(kind, misses, of=of, artifact=name).passed


def gate(kind: str, value: float, **fields: Any) -> GateConfig:
    adapter: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)
    return adapter.validate_python({"type": kind, "value": value, **fields})


def test_without_an_artifact_every_one_is_judged_and_the_smallest_that_passes_is_chosen() -> None:
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


def test_a_gate_that_names_artifacts_must_hold_whichever_is_chosen() -> None:
    """``small`` loses five points: another is chosen, and the run misses its gate even so."""
    drop = gate("max_drop", 0.02, metric="accuracy")
    for artifact, missed, chosen in (
        (None, False, "dense"),
        ("dense", False, "small"),  # the gate is none of the smallest one's
        ("small", True, "dense"),
        ("*", True, "dense"),
    ):
        verdicts = judge([drop.model_copy(update={"artifact": artifact})], ARTIFACTS)
        found = choose(ARTIFACTS, verdicts)
        assert found is not None
        assert (is_missed(found, verdicts), found.name) == (missed, chosen)


def test_the_best_of_those_that_miss_is_the_smallest_with_the_fewest_misses() -> None:
    """What a table shows where nothing passes."""
    asked = [gate("min_value", 0.88, metric="accuracy"), gate("max_bytes", 10)]
    verdicts = judge(asked, ARTIFACTS)
    assert choose(ARTIFACTS, verdicts) is None
    found = best(ARTIFACTS, verdicts)
    assert found is not None
    assert found.name == "dense"
    assert best(ARTIFACTS[:1], []) is None


def test_what_did_not_change_is_said_to_be_unchanged() -> None:
    """And never better by -0."""
    for after, says in ((0.9, "unchanged"), (0.9 - 1e-8, "unchanged"), (0.91, "better by 0.01")):
        made = artifact("prune", 100, {}, None, accuracy=after)
        (found,) = judge([gate("max_drop", 0, metric="accuracy")], [ARTIFACTS[0], made])
        assert f", {says}; at most" in found.explanation
        assert found.passed


def test_a_star_is_every_file_that_was_made() -> None:
    """One result for each of them, in order; the baseline is none."""
    adapter: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)
    gate = {"type": "max_drop", "metric": "accuracy", "value": 0.02, "artifact": "*"}
    found = judge([adapter.validate_python(gate)], ARTIFACTS)
    assert [(it.artifact, it.passed) for it in found] == [
        ("prune", True),
        ("small", False),
        ("dense", True),
    ]


def test_an_optimizers_state_does_not_make_the_ratio_better() -> None:
    """Of a file of 1,000 bytes, 600 of them an optimizer's, 125 bytes are 3.2 times smaller."""
    baseline = ARTIFACTS[0].model_copy(update={"reference_bytes": 400})
    adapter: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)
    for value, passed in ((3.2, True), (3.21, False)):
        gate = adapter.validate_python({"type": "min_ratio", "value": value, "artifact": "small"})
        (found,) = judge([gate], [baseline, *ARTIFACTS[1:]])
        assert found.value == pytest.approx(3.2)
        assert found.passed is passed


def test_large_losses_of_quality_are_said_without_a_gate() -> None:
    """More than five points of a metric, or half as much error again; the loss alone is none."""
    before = artifact("baseline", 1, {}, accuracy=0.9, loss=0.5, mean_absolute_error=2.0)

    def said(**metrics: float) -> list[str]:
        good = {"accuracy": 0.9, "loss": 0.5, "mean_absolute_error": 2.0}
        return losses_of_quality(before, artifact("prune", 1, {}, None, **(good | metrics)))

    assert (LARGE_DROP, LARGER_ERROR) == (0.05, 1.5)
    assert (
        said() == said(accuracy=0.8501) == said(mean_absolute_error=2.999) == said(loss=9.0) == []
    )
    assert said(accuracy=1.0, mean_absolute_error=0.0) == []
    (text,) = said(accuracy=0.8499)
    assert text == "accuracy went from 0.9 to 0.8499 in prune."
    (text,) = said(mean_absolute_error=3.001)
    assert text == "mean_absolute_error went from 2 to 3.001 in prune."


def test_the_baseline_is_never_the_smallest() -> None:
    """What came in is no result, however small it is."""
    baseline = artifact("baseline", 10, {}, accuracy=1.0)
    adapter: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)
    gate = adapter.validate_python({"type": "min_ratio", "value": 1})
    found = judge([gate], [baseline, *ARTIFACTS[1:]])
    assert [it.artifact for it in found] == ["prune", "small", "dense"]
    assert not any(it.passed for it in found)
    assert choose([baseline, *ARTIFACTS[1:]], found) is None


def test_rounding_is_no_drop_and_nan_is_a_miss() -> None:
    """A float32's rounding passes a gate of 0; a metric that is no number passes none."""
    adapter: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)
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
        (found,) = judge([adapter.validate_python(document)], [ARTIFACTS[0], made])
        assert found.passed is passed, document


def test_gates_are_judged_each_for_itself_and_in_order() -> None:
    """As many results as gates; one miss does not end it."""
    adapter: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)
    gates = [
        adapter.validate_python({"type": "max_bytes", "value": value}) for value in (1, 500, 2)
    ]
    small = [it for it in judge(gates, ARTIFACTS) if it.artifact == "small"]
    assert [it.passed for it in small] == [False, True, False]
    assert judge([], ARTIFACTS) == []


def of_two(stage: Literal["baseline", "prune"], **metrics: float) -> ArtifactResult:
    """An artifact of the outputs digit and angle."""
    outputs = [TensorResult(name=name, dtype="float32", shape=[]) for name in ("digit", "angle")]
    return artifact(stage, 100, {}, None, **metrics).model_copy(update={"outputs": outputs})


BEFORE = {
    "loss": 1.0,
    "digit_loss": 0.5,
    "angle_loss": 2.0,
    "digit_accuracy": 0.9,
    "digit_sparse_top_k_categorical_accuracy": 1.0,
    "digit_mean_absolute_error": 0.1,
    "angle_mean_absolute_error": 3.0,
}
AFTER = BEFORE | {"loss": 1.5, "angle_loss": 4.0, "digit_accuracy": 0.8}
AFTER |= {"angle_mean_absolute_error": 5.0, "digit_mean_absolute_error": 0.05}


@pytest.mark.parametrize(
    ("metric", "output", "values"),
    [
        ("loss", None, {None: 0.5}),
        ("loss", "digit", {"digit": 0.0}),
        ("loss", "angle", {"angle": 2.0}),
        ("accuracy", None, {"digit": 0.1}),
        ("accuracy", "digit", {"digit": 0.1}),
        ("mean_absolute_error", None, {"digit": -0.05, "angle": 2.0}),
        ("mean_absolute_error", "angle", {"angle": 2.0}),
    ],
)
def test_a_gate_is_for_one_output_for_the_total_or_for_each(
    metric: str, output: str | None, values: dict[str | None, float]
) -> None:
    """Each result names its output; of losses and errors a rise is a drop, prefixed or not."""
    adapter: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)
    gate = adapter.validate_python(
        {"type": "max_drop", "metric": metric, "output": output, "value": 0.05, "artifact": "*"}
    )
    found = judge([gate], [of_two("baseline", **BEFORE), of_two("prune", **AFTER)])
    assert {it.gate["output"]: it.value for it in found} == pytest.approx(values)
    for it in found:
        assert it.passed is (it.value <= 0.05)
        name = it.gate["output"]
        assert it.explanation.startswith(f"prune: {name}_{metric}" if name else "prune: loss")


def test_a_least_value_of_an_outputs_error_is_a_largest_one() -> None:
    """For an output's accuracy it is the smallest."""
    adapter: TypeAdapter[GateConfig] = TypeAdapter(GateConfig)
    for metric, value, passed in (
        ("mean_absolute_error", 5.0, True),
        ("mean_absolute_error", 4.9, False),
        ("loss", 4.0, True),
        ("loss", 3.9, False),
    ):
        gate = {"type": "min_value", "metric": metric, "output": "angle", "value": value}
        (found,) = judge(
            [adapter.validate_python(gate)],
            [of_two("baseline", **BEFORE), of_two("prune", **AFTER)],
        )
        assert found.passed is passed
    gate = {"type": "min_value", "metric": "accuracy", "output": "digit", "value": 0.81}
    artifacts = [of_two("baseline", **BEFORE), of_two("prune", **AFTER)]
    assert not judge([adapter.validate_python(gate)], artifacts)[0].passed


def test_an_error_that_may_be_negative_is_compared_with_a_constant_answer() -> None:
    """A Poisson loss has no zero that means anything; half of what it was better by is much."""
    before = artifact("baseline", 1, {}, poisson=-2.0)
    constants = {"out": {"poisson": -1.0}}
    before = before.model_copy(update={"constant_metrics": constants})

    def said(value: float) -> list[str]:
        return losses_of_quality(before, artifact("prune", 1, {}, None, poisson=value))

    assert said(-2.0) == said(-2.5) == said(-1.51) == []
    assert said(-1.49) == ["poisson went from -2 to -1.49 in prune."]


def test_large_losses_of_quality_are_said_of_each_output() -> None:
    """Under the metric's whole name; the losses are none."""
    said = losses_of_quality(of_two("baseline", **BEFORE), of_two("prune", **AFTER))
    assert said == [
        "digit_accuracy went from 0.9 to 0.8 in prune.",
        "angle_mean_absolute_error went from 3 to 5 in prune.",
    ]
