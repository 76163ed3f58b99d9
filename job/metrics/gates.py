"""Gates: what must hold for the results, judged by the figures that were measured."""

from __future__ import annotations

from collections.abc import Sequence

from job.manifest.keras_names import lower_is_better
from job.manifest.outputs import (
    BeatsConstantGate,
    GateConfig,
    MaxBytesGate,
    MaxDropGate,
    MinClassRecallGate,
    MinRatioGate,
    MinValueGate,
)
from job.metrics.constant import advantage
from job.metrics.per_class import lowest_recall
from job.result import ArtifactResult, GateResult, metric_key

# Metrics are means of float32: differences below this are rounding, not quality.
TOLERANCE = 1e-6


def judge(gates: Sequence[GateConfig], artifacts: Sequence[ArtifactResult]) -> list[GateResult]:
    """Judge every gate, on every artifact that it is for.

    Args:
        gates: What is asked.
        artifacts: The baseline first, then what was made of it.
    """
    return [
        _judge(one, artifacts[0], artifact)
        for gate in gates
        for artifact in _chosen(gate.artifact, artifacts[1:])
        for one in _of_each_output(gate, artifacts[0])
    ]


def keeps_all(
    gates: Sequence[GateConfig], baseline: ArtifactResult, artifact: ArtifactResult
) -> bool:
    """Whether an artifact, were it the one that is shipped, would pass every gate: those for all
    artifacts, for this one, and for whichever is the smallest.
    """
    return all(
        _judge(one, baseline, artifact).passed
        for gate in gates
        if gate.artifact in (None, "*", artifact.name)
        for one in _of_each_output(gate, baseline)
    )


def _of_each_output(gate: GateConfig, baseline: ArtifactResult) -> Sequence[GateConfig]:
    """The gate itself; a gate on a metric of several outputs once for each that has the metric."""
    if not isinstance(gate, MaxDropGate | MinValueGate) or gate.output is not None:
        return [gate]
    if gate.metric in baseline.metrics:  # of one output, or the total of several
        return [gate]
    names = [it.name for it in baseline.outputs]
    return [
        gate.model_copy(update={"output": name})
        for name in names
        if metric_key(gate.metric, name, names) in baseline.metrics
    ]


def _key(gate: MaxDropGate | MinValueGate, baseline: ArtifactResult) -> str:
    names = [it.name for it in baseline.outputs]
    return gate.metric if gate.output is None else metric_key(gate.metric, gate.output, names)


def losses_of_quality(baseline: ArtifactResult, artifact: ArtifactResult) -> list[str]:
    """Metrics that got much worse, in words: what nobody may have set a gate for."""
    found = []
    for metric, before in baseline.metrics.items():
        if metric == "loss" or metric.endswith("_loss"):
            continue
        after = artifact.metrics[metric]
        lower = lower_is_better(metric)
        collapsed = after > LARGER_ERROR * before if lower else before - after > LARGE_DROP
        if collapsed:
            found.append(f"{metric} went from {before:.4g} to {after:.4g} in {artifact.name}.")
    return found


# What is said even where no gate asks: five points of a metric, or half as much error again.
LARGE_DROP = 0.05
LARGER_ERROR = 1.5


def _chosen(name: str | None, made: Sequence[ArtifactResult]) -> Sequence[ArtifactResult]:
    if name == "*":
        return made
    if name is None:
        return [min(made, key=lambda it: it.smallest[1])]
    return [it for it in made if it.name == name]


def _judge(gate: GateConfig, baseline: ArtifactResult, artifact: ArtifactResult) -> GateResult:
    match gate:
        case MaxDropGate():
            metric = _key(gate, baseline)
            before, after = baseline.metrics[metric], artifact.metrics[metric]
            value = after - before if lower_is_better(metric) else before - after
            passed = value <= gate.value + TOLERANCE
            change = f"worse by {value:.4g}" if value > 0 else f"better by {-value:.4g}"
            what = f"{metric} {before:.4g} to {after:.4g}, {change}; at most {gate.value:g} worse"
        case MinValueGate():
            metric = _key(gate, baseline)
            value, lower = artifact.metrics[metric], lower_is_better(metric)
            passed = value <= gate.value + TOLERANCE if lower else value >= gate.value - TOLERANCE
            what = f"{metric} {value:.4g}, {'at most' if lower else 'at least'} {gate.value:g}"
        case BeatsConstantGate():
            value, text = advantage(gate, baseline, artifact)
            passed = value > gate.margin + TOLERANCE
            what = f"{text}; better by more than {gate.margin:g}"
        case MinClassRecallGate():
            value, text = lowest_recall(gate, artifact)
            passed = value >= gate.value - TOLERANCE
            what = f"{text} {value:.4g}, at least {gate.value:g}"
        case MaxBytesGate():
            value = _bytes(gate, artifact)
            passed = value <= gate.value
            what = f"{value:,.0f} bytes, at most {gate.value:,}"
        case MinRatioGate():
            value = baseline.reference / _bytes(gate, artifact)
            passed = value >= gate.value
            what = f"{value:.2f} times smaller, at least {gate.value:g}"
    return GateResult(
        gate=gate.model_dump(mode="json"),
        artifact=artifact.name,
        value=value,
        limit=gate.margin if isinstance(gate, BeatsConstantGate) else gate.value,
        passed=passed,
        explanation=f"{artifact.name}: {what}",
    )


def _bytes(gate: MaxBytesGate | MinRatioGate, artifact: ArtifactResult) -> float:
    return float(artifact.smallest[1] if gate.of == "smallest_encoding" else artifact.bytes)
