"""How a baseline that is useless compares with a constant answer, for messages."""

from __future__ import annotations

from job.metrics.gates import first_metric
from job.result import ArtifactResult, metric_key


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
