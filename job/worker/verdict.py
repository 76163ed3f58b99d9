"""Whether the file of a trial is within the loss, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from job.manifest.gates import MaxDropGate, MinAgreementGate, MinSnrGate
from job.manifest.keras_names import lower_is_better
from job.result.figures import FidelityResult
from job.result.result import ArtifactResult
from job.worker.judgement import Judgement, MetricGate, metric_keys

# Beyond any ratio and any drop that can be measured; infinity is no number of JSON.
MOST_DECIBELS = 1000.0
MOST_DROP = 1e9


@dataclass(frozen=True)
class Verdict:
    """A file on the held-out rows."""

    value: float | None
    """The gate's figure; None for a signal-to-noise ratio without noise."""
    bound: float | None
    """The end of its interval that counts; None where the value itself does."""
    margin: float
    """How far within the limit, in the figure's unit; negative beyond it."""


def judge(artifact: ArtifactResult, judgement: Judgement) -> Verdict:
    """Judge a file that was measured on the held-out rows; of several outputs the worst counts."""
    gate = judgement.gate
    if isinstance(gate, MetricGate):
        keys = metric_keys(gate.metric, judgement.baseline.artifact)
        of_metric = _drop if isinstance(gate, MaxDropGate) else _value
        verdicts = [of_metric(artifact, judgement, key) for key in keys]
        return min(verdicts, key=lambda verdict: verdict.margin)
    found = [_of_output(it, gate) for it in artifact.fidelity.values()]
    return min((it for it in found if it is not None), key=lambda verdict: verdict.margin)


def _of_output(found: FidelityResult, gate: MinAgreementGate | MinSnrGate) -> Verdict | None:
    """An output's verdict; None where it is no distribution, and agreement is asked for."""
    name = "agreement" if isinstance(gate, MinAgreementGate) else "snr_db"
    value: float | None = getattr(found, name)
    if value is None:
        if name == "agreement":
            return None
        margin = MOST_DECIBELS if found.is_identical else -MOST_DECIBELS  # or it does not vary
        return Verdict(None, None, margin)
    if gate.confidence is None:
        return Verdict(value, None, value - gate.value)
    levels = found.intervals.get(name, [])
    lows = [it.low for it in levels if it.confidence == gate.confidence]
    bound = max(-MOST_DECIBELS, lows[0]) if lows else -MOST_DECIBELS  # too few rows to tell
    return Verdict(value, bound, bound - gate.value)


def _drop(artifact: ArtifactResult, judgement: Judgement, metric: str) -> Verdict:
    """How much worse than the baseline a file is."""
    confidence, limit = judgement.gate.confidence, judgement.gate.value
    value = artifact.metrics[metric]
    sign = -1.0 if lower_is_better(metric) else 1.0
    reference = judgement.references.get(metric)
    if reference is None:
        drop = sign * (judgement.baseline.artifact.metrics[metric] - value)
        paired = artifact.drops[metric].intervals if metric in artifact.drops else []
        highs = [it.high for it in paired if it.confidence == confidence]
    else:
        drop = sign * (reference - value)
        highs = [sign * (reference - it) for it in _worse_ends(artifact, metric, confidence)]
    return _verdict(drop, highs, confidence, lambda worst: limit - worst)


def _value(artifact: ArtifactResult, judgement: Judgement, metric: str) -> Verdict:
    """How good a file is, whatever the baseline is."""
    confidence, limit = judgement.gate.confidence, judgement.gate.value
    sign = -1.0 if lower_is_better(metric) else 1.0
    ends = _worse_ends(artifact, metric, confidence)
    return _verdict(
        artifact.metrics[metric], ends, confidence, lambda worst: sign * (worst - limit)
    )


def _verdict(
    value: float,
    ends: Sequence[float],
    confidence: float | None,
    margin: Callable[[float], float],
) -> Verdict:
    """A metric's verdict by itself, or by the worse end of its interval, if there is one."""
    if confidence is None:
        return Verdict(value, None, margin(value))
    if not ends:  # the rows do not tell
        return Verdict(value, None, -MOST_DROP)
    return Verdict(value, ends[0], margin(ends[0]))


def _worse_ends(artifact: ArtifactResult, metric: str, confidence: float | None) -> list[float]:
    """The worse end of a metric's own interval of a level, if it has one."""
    own = artifact.intervals.get(metric, [])
    found = [it for it in own if it.confidence == confidence]
    return [it.high if lower_is_better(metric) else it.low for it in found]
