"""Whether a model works at all: its metrics against those of a constant answer, and class by class.

This uses only the figures of a result, so the parent process may import it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from job.manifest.gates import BeatsConstantGate, MinClassRecallGate
from job.manifest.keras_names import lower_is_better
from job.result.figures import ClassResult
from job.result.result import ArtifactResult, metric_key

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


def is_within_chance(baseline: ArtifactResult) -> bool:
    """Whether all useless outputs are better than the constant answer, by no more than chance."""
    names = list(baseline.constant_metrics)

    def is_better(name: str) -> bool:
        constants = baseline.constant_metrics.get(name, {})
        if not constants or first_metric(list(constants)) != "accuracy":
            return False  # only an accuracy has a margin for chance
        return baseline.metrics[metric_key("accuracy", name, names)] > constants["accuracy"]

    return bool(baseline.useless_outputs) and all(map(is_better, baseline.useless_outputs))


def against_constant(baseline: ArtifactResult) -> str:
    """What the useless outputs of a baseline are, as a part of a sentence."""
    if is_within_chance(baseline):
        return "not better than a constant answer by more than chance"
    return "no better than a constant answer"


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
