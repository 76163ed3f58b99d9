"""Gates: what must hold for the results; and whether a model works at all. Judged by the figures.

Every artifact is judged by every gate that applies to it. The run chooses the smallest artifact
that passes all of them. A gate that names an artifact, or all of them by ``*``, must hold whichever
is chosen. Only the figures of a result are used, so the parent process may import this.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence

from job.artifact import ClassResult
from job.manifest.gates import (
    BeatsConstantGate,
    GateConfig,
    MaxBytesGate,
    MaxDropGate,
    MinClassRecallGate,
    MinRatioGate,
    MinValueGate,
)
from job.manifest.keras_names import lower_is_better
from job.result import ArtifactResult, GateResult, metric_key

# Metrics are means of float32: differences below this are rounding, not quality.
TOLERANCE = 1e-6
# Without a gate, a warning is given for five points of a metric, or half as much error again.
LARGE_DROP = 0.05
LARGER_ERROR = 1.5
# Errors whose zero has no meaning (a negative log-likelihood without its constant terms): for them,
# half of the baseline's lead over a constant answer.
WITHOUT_ZERO = ("poisson",)
LARGE_SHARE = 0.5
# The metrics that best tell whether a model works, in order.
TELLING = (
    "accuracy",
    "mean_absolute_error",
    "mean_squared_error",
    "root_mean_squared_error",
    "auc",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
)
# An accuracy must exceed the constant's by more than chance gives on so few test rows: two standard
# deviations, and never more than this.
MOST_CHANCE = 0.05


def judge(gates: Sequence[GateConfig], artifacts: Sequence[ArtifactResult]) -> list[GateResult]:
    """Judge every gate on every artifact that it applies to: the one that it names, or all.

    Args:
        gates: The manifest's gates.
        artifacts: The baseline first, then those made from it.
    """
    return [
        _judge(one, artifacts[0], artifact)
        for gate in gates
        for artifact in artifacts[1:]
        if applies(gate, artifact)
        for one in _of_each_output(gate, artifacts[0])
    ]


def applies(gate: GateConfig, artifact: ArtifactResult) -> bool:
    """Whether a gate is for an artifact; the baseline is not judged."""
    return gate.artifact in (None, "*", artifact.name)


def choose(
    artifacts: Sequence[ArtifactResult], verdicts: Sequence[GateResult]
) -> ArtifactResult | None:
    """The smallest artifact, in its smallest encoding, that passes every gate that applies to it;
    without gates the smallest. None where none passes.

    Args:
        artifacts: The baseline first, then those made from it.
        verdicts: The results of ``judge``.
    """
    missed = {it.artifact for it in verdicts if not it.passed}
    passing = [it for it in artifacts[1:] if it.name not in missed]
    return min(passing, key=lambda artifact: artifact.smallest[1], default=None)


def best(
    artifacts: Sequence[ArtifactResult], verdicts: Sequence[GateResult]
) -> ArtifactResult | None:
    """The chosen artifact; where none passes, the smallest of those that miss the fewest gates.
    None where there is only the baseline.
    """
    missed = Counter(it.artifact for it in verdicts if not it.passed)
    return min(
        artifacts[1:], key=lambda found: (missed[found.name], found.smallest[1]), default=None
    )


def is_binding(verdict: GateResult) -> bool:
    """Whether a gate must hold whichever artifact is chosen: it names one, or ``*``."""
    return verdict.gate.get("artifact") is not None


def is_missed(chosen: object | None, verdicts: Sequence[GateResult]) -> bool:
    """Whether a run misses its gates: no artifact passes, or a binding gate does not hold."""
    missed = [it for it in verdicts if not it.passed]
    return bool(missed) and (chosen is None or any(map(is_binding, missed)))


def losses_of_quality(baseline: ArtifactResult, artifact: ArtifactResult) -> list[str]:
    """Messages for metrics that got much worse, since there may be no gate for them."""
    found = []
    for metric, before in baseline.metrics.items():
        if metric == "loss" or metric.endswith("_loss"):
            continue
        after = artifact.metrics[metric]
        if not lower_is_better(metric):
            is_much = before - after > LARGE_DROP
        elif metric.endswith(WITHOUT_ZERO):
            constant = _constants(baseline).get(metric, math.inf)
            is_much = after - before > max(0.0, constant - before) * LARGE_SHARE + TOLERANCE
        else:
            is_much = after > LARGER_ERROR * before + TOLERANCE
        if is_much:
            found.append(f"{metric} went from {before:.4g} to {after:.4g} in {artifact.name}.")
    return found


def useless_outputs(baseline: ArtifactResult, names: Collection[str], rows: int) -> dict[str, str]:
    """The outputs that are no better than a constant answer: output -> the figures.

    Args:
        baseline: The original model, with the metrics of the constant answer.
        names: All outputs.
        rows: How many test rows there are.
    """
    found = {}
    for name, constants in baseline.constant_metrics.items():
        metric = first_metric(list(constants))
        value = baseline.metrics[metric_key(metric, name, names)]
        constant = constants[metric]
        if metric == "accuracy":
            chance = 2 * math.sqrt(max(0.0, constant * (1 - constant)) / max(1, rows))
            border = constant + min(MOST_CHANCE, chance)
            useless = value <= border
        else:
            border = constant
            useless = value >= constant if lower_is_better(metric) else value <= constant
        if useless:
            found[name] = f"{metric} {value:.4g}, where a constant answer gets {constant:.4g}"
            if constant < value <= border and metric == "accuracy":
                found[name] += f", and by chance up to {border:.4g} on {rows:,} rows"
    return found


def first_metric(metrics: Sequence[str]) -> str:
    """The metric that best tells whether a model works."""
    return next((it for it in TELLING if it in metrics), metrics[0])


def advantage(
    gate: BeatsConstantGate, baseline: ArtifactResult, artifact: ArtifactResult
) -> tuple[float, str]:
    """By how much baseline and artifact are better than the constant answer, and the figures: of
    both, and of all outputs that the gate is for, the worst.
    """
    names = list(baseline.constant_metrics)
    found = []
    for name, constants in baseline.constant_metrics.items():
        metric = gate.metric or first_metric(list(constants))
        if gate.output not in (None, name) or metric not in constants:
            continue
        key, constant = metric_key(metric, name, names), constants[metric]
        for one in (baseline, artifact):
            value = one.metrics[key]
            better = constant - value if lower_is_better(metric) else value - constant
            text = f"{key} of {one.name} {value:.4g}, of a constant answer {constant:.4g}"
            found.append((better, text))
    return min(found)


def lowest_recall(gate: MinClassRecallGate, artifact: ArtifactResult) -> tuple[float, str]:
    """The lowest recall of the classes that a gate is for, and which class has it."""
    asked = {
        name: it.recall
        for name, it in classes_of(gate, artifact).items()
        if it.recall is not None and gate.class_index in (None, int(name.rpartition("/")[2]))
    }
    name = min(asked, key=lambda one: asked[one])
    output, _, index = name.rpartition("/")
    of = f" of {output}" if len(artifact.per_class) > 1 else ""
    return asked[name], f"the recall of the class {index}{of}"


def classes_of(gate: MinClassRecallGate, artifact: ArtifactResult) -> dict[str, ClassResult]:
    """``output/class`` -> its figures, for the outputs that a gate is for."""
    return {
        f"{output}/{index}": it
        for output, classes in artifact.per_class.items()
        if gate.output in (None, output)
        for index, it in classes.items()
    }


def _of_each_output(gate: GateConfig, baseline: ArtifactResult) -> Sequence[GateConfig]:
    """The gate itself; where several outputs have its metric, one gate for each of them."""
    if not isinstance(gate, MaxDropGate | MinValueGate) or gate.output is not None:
        return [gate]
    if gate.metric in baseline.metrics:  # the metric of the only output, or the total of several
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


def _constants(baseline: ArtifactResult) -> dict[str, float]:
    """The metrics of a constant answer, by the keys of ``metrics``."""
    names = list(baseline.constant_metrics)
    return {
        metric_key(metric, name, names): value
        for name, values in baseline.constant_metrics.items()
        for metric, value in values.items()
    }


def _judge(gate: GateConfig, baseline: ArtifactResult, artifact: ArtifactResult) -> GateResult:
    match gate:
        case MaxDropGate():
            metric = _key(gate, baseline)
            before, after = baseline.metrics[metric], artifact.metrics[metric]
            value = after - before if lower_is_better(metric) else before - after
            passed = value <= gate.value + TOLERANCE
            what = (
                f"{metric} {before:.4g} to {after:.4g}, {_change(value)}; "
                f"at most {gate.value:g} worse"
            )
        case MinValueGate():
            metric = _key(gate, baseline)
            value, lower = artifact.metrics[metric], lower_is_better(metric)
            passed = value <= gate.value + TOLERANCE if lower else value >= gate.value - TOLERANCE
            what = f"{metric} {value:.4g}, {'at most' if lower else 'at least'} {gate.value:g}"
        case BeatsConstantGate():
            value, text = advantage(gate, baseline, artifact)
            passed = value > gate.margin + TOLERANCE
            needed = f" by more than {gate.margin:g}" * (gate.margin > 0)
            what = f"{text}; it must be better{needed}"
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


def _change(value: float) -> str:
    """How much worse a metric got, as a phrase; float32 rounding counts as unchanged."""
    if math.isnan(value):
        return "which is not a number"
    if abs(value) <= TOLERANCE:
        return "unchanged"
    return f"worse by {value:.4g}" if value > 0 else f"better by {-value:.4g}"


def _bytes(gate: MaxBytesGate | MinRatioGate, artifact: ArtifactResult) -> float:
    return float(artifact.smallest[1] if gate.of == "smallest_encoding" else artifact.bytes)
