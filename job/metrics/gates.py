"""Gates: what must hold for the results, judged by the figures that were measured."""

from __future__ import annotations

from collections.abc import Sequence

from job.manifest.outputs import (
    GateConfig,
    MaxBytesGate,
    MaxDropGate,
    MinRatioGate,
    MinValueGate,
)
from job.manifest.training import LOWER_IS_BETTER
from job.result import ArtifactResult, GateResult

# Metrics are means of float32: differences below this are rounding, not quality.
TOLERANCE = 1e-6


def judge(gates: Sequence[GateConfig], artifacts: Sequence[ArtifactResult]) -> list[GateResult]:
    """Judge every gate.

    Args:
        gates: What is asked.
        artifacts: The baseline first, then what was made of it.
    """
    return [_judge(gate, artifacts[0], artifacts[1:]) for gate in gates]


def _judge(
    gate: GateConfig, baseline: ArtifactResult, made: Sequence[ArtifactResult]
) -> GateResult:
    artifact = (
        min(made, key=lambda it: it.smallest[1])
        if gate.artifact is None
        else next(it for it in made if it.name == gate.artifact)
    )
    match gate:
        case MaxDropGate():
            value = _drop(gate.metric, baseline, artifact)
            passed = value <= gate.value + TOLERANCE
            what = f"{gate.metric} drops by {value:.4g}, at most {gate.value:g} allowed"
        case MinValueGate():
            value = artifact.metrics[gate.metric]
            lower = gate.metric in LOWER_IS_BETTER
            passed = value <= gate.value + TOLERANCE if lower else value >= gate.value - TOLERANCE
            what = (
                f"{gate.metric} is {value:.4g}, {'at most' if lower else 'at least'} {gate.value:g}"
            )
        case MaxBytesGate():
            value = _bytes(gate, artifact)
            passed = value <= gate.value
            what = f"{value:.0f} bytes, at most {gate.value} allowed"
        case MinRatioGate():
            value = baseline.bytes / _bytes(gate, artifact)
            passed = value >= gate.value
            what = f"{value:.2f} times smaller, at least {gate.value:g} asked"
    return GateResult(
        gate=gate.model_dump(mode="json"),
        artifact=artifact.name,
        value=value,
        limit=gate.value,
        passed=passed,
        explanation=f"{artifact.name}: {what}",
    )


def _drop(metric: str, baseline: ArtifactResult, artifact: ArtifactResult) -> float:
    """By how much the metric got worse; negative where it got better."""
    change = baseline.metrics[metric] - artifact.metrics[metric]
    return -change if metric in LOWER_IS_BETTER else change


def _bytes(gate: MaxBytesGate | MinRatioGate, artifact: ArtifactResult) -> float:
    return float(artifact.smallest[1] if gate.of == "smallest_encoding" else artifact.bytes)
