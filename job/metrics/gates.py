"""Gates: what must hold for the results, judged by the measured figures.

Every artifact is judged by every gate that applies to it. The run chooses the smallest artifact
that passes all of them. A gate that names an artifact, or all of them by ``*``, must hold whichever
is chosen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from job.manifest.gates import (
    CONFIDENCE,
    BeatsConstantGate,
    GateConfig,
    MaxArenaGate,
    MaxBytesGate,
    MaxDropGate,
    MinAgreementGate,
    MinClassRecallGate,
    MinRatioGate,
    MinSnrGate,
    MinValueGate,
)
from job.manifest.keras_names import lower_is_better
from job.metrics.usefulness import advantage, lowest_recall
from job.result.figures import IntervalResult
from job.result.result import ArtifactResult, GateResult, metric_key

# Metrics are means of float32: differences below this are rounding, not quality.
TOLERANCE = 1e-6
# Without a gate, a warning is given for five points of a metric, or half as much error again.
LARGE_DROP = 0.05
LARGER_ERROR = 1.5
# Errors whose zero has no meaning (a negative log-likelihood without its constant terms): for them,
# half of the baseline's lead over a constant answer.
WITHOUT_ZERO = ("poisson",)
LARGE_SHARE = 0.5


def judge(gates: Sequence[GateConfig], artifacts: Sequence[ArtifactResult]) -> list[GateResult]:
    """Judge every gate on every artifact that it applies to: the one that it names, or all but one
    that the same gate names; the baseline is the first of ``artifacts``, those made from it follow.
    """
    return [
        _judge(one, artifacts[0], artifact)
        for gate in gates
        for artifact in artifacts[1:]
        if applies(gate, artifact)
        and (gate.artifact or gate.model_copy(update={"artifact": artifact.name}) not in gates)
        for one in _of_each_output(gate, artifacts[0], artifact)
    ]


def applies(gate: GateConfig, artifact: ArtifactResult) -> bool:
    """Whether a gate is for an artifact; the baseline is not judged."""
    has_figure = artifact.arena_bytes is not None or not isinstance(gate, MaxArenaGate)
    return has_figure and gate.artifact in (None, "*", artifact.name)


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
    passing = [it for it in _able(artifacts, verdicts) if it.name not in missed]
    return min(passing, key=lambda artifact: artifact.smallest[1], default=None)


def best(
    artifacts: Sequence[ArtifactResult], verdicts: Sequence[GateResult]
) -> ArtifactResult | None:
    """The chosen artifact; where none passes, the smallest of those that miss the fewest gates."""
    missed = Counter(it.artifact for it in verdicts if not it.passed)
    able = _able(artifacts, verdicts)
    return min(able, key=lambda found: (missed[found.name], found.smallest[1]), default=None)


def _able(
    artifacts: Sequence[ArtifactResult], verdicts: Sequence[GateResult]
) -> list[ArtifactResult]:
    """Those made from the baseline that can pass: a Keras file has no arena to fit into one."""
    arenas = [it.gate for it in verdicts if it.gate.get("type") == "max_arena_bytes"]
    needs_one = any(it.get("artifact") in (None, "*") for it in arenas)
    return [it for it in artifacts[1:] if it.arena_bytes is not None or not needs_one]


def is_missed(chosen: object | None, verdicts: Sequence[GateResult]) -> bool:
    """Whether a run misses its gates: no artifact passes, or a binding gate does not hold."""
    missed = [it for it in verdicts if not it.passed]
    return bool(missed) and (chosen is None or any(it.is_binding for it in missed))


def _of_each_output(
    gate: GateConfig, baseline: ArtifactResult, artifact: ArtifactResult
) -> Sequence[GateConfig]:
    """The gate itself; where several outputs have its figure, one gate for each of them."""
    if isinstance(gate, MinAgreementGate | MinSnrGate) and gate.output is None:
        return [
            gate.model_copy(update={"output": name})
            for name, it in artifact.fidelity.items()
            if isinstance(gate, MinSnrGate) or it.agreement is not None
        ]
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


def losses_of_quality(baseline: ArtifactResult, artifact: ArtifactResult) -> list[str]:
    """Messages for metrics that got much worse, since there may be no gate for them."""
    found = [] if baseline.metrics else list(_losses_of_fidelity(artifact))
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


def _losses_of_fidelity(artifact: ArtifactResult) -> Iterator[str]:
    """The same where there are no labels."""
    for name, found in artifact.fidelity.items():
        if found.agreement is not None and found.agreement < 1 - LARGE_DROP:
            share = f"{100 * found.agreement:.3g} %"
            yield f"{name} agrees with the baseline on {share} of the answers in {artifact.name}."
        elif found.agreement is None and found.snr_db is not None and found.snr_db < 0:
            yield (
                f"{name} of {artifact.name} differs from the baseline's by more than that varies "
                f"from row to row (signal-to-noise ratio {found.snr_db:.3g} dB)."
            )


def _constants(baseline: ArtifactResult) -> dict[str, float]:
    """The metrics of a constant answer, by the keys of ``metrics``."""
    names = list(baseline.constant_metrics)
    return {
        metric_key(metric, name, names): value
        for name, values in baseline.constant_metrics.items()
        for metric, value in values.items()
    }


def _judge(gate: GateConfig, baseline: ArtifactResult, artifact: ArtifactResult) -> GateResult:
    figure = _figure(gate, baseline, artifact)
    judged, bound = figure.value, None
    confidence = getattr(gate, "confidence", None) or CONFIDENCE
    found = next((it for it in figure.intervals if it.confidence == confidence), None)
    text, within = figure.text, None
    if getattr(gate, "confidence", None) is not None and figure.value is not None:
        bound = None if found is None else found.high if figure.at_most else found.low
        judged = math.nan if bound is None else bound
        end = "at most" if figure.at_most else "at least"
        text += (
            f" ({end} {judged:.4g} with {100 * confidence:g} % confidence)"
            if found
            else " (which has no interval)"
        )
    passed = figure.is_identical or (judged is not None and figure.passes(judged))
    if not passed and found is not None:
        within = found.low <= figure.limit <= found.high
        chance = f"{'within' if within else 'beyond'} chance"
        if bound is None:
            level = f"{100 * confidence:g} % interval"
            chance += f", the {level} is {found.low:.4g} to {found.high:.4g}"
        text += f" ({chance})"
    return GateResult(
        gate=gate.model_dump(mode="json"),
        artifact=artifact.name,
        value=figure.value,
        bound=bound,
        limit=figure.limit,
        passed=passed,
        within_chance=within,
        explanation=f"{artifact.name}: {text}{figure.asked}",
    )


@dataclass(frozen=True)
class _Figure:
    """What a gate judges."""

    value: float | None
    limit: float
    text: str
    asked: str
    """The limit, as the end of the sentence."""
    at_most: bool = False
    tolerance: float = TOLERANCE
    intervals: Sequence[IntervalResult] = ()
    is_identical: bool = False
    """Whether the file's outputs are the baseline's, which passes any gate on fidelity."""

    def passes(self, value: float) -> bool:
        """Whether a value is within the limit."""
        if self.at_most:
            return value <= self.limit + self.tolerance
        return value >= self.limit - self.tolerance


def _figure(gate: GateConfig, baseline: ArtifactResult, artifact: ArtifactResult) -> _Figure:
    match gate:
        case MaxDropGate():
            metric = _key(gate, baseline)
            before, after = baseline.metrics[metric], artifact.metrics[metric]
            value = after - before if lower_is_better(metric) else before - after
            text = f"{metric} {before:.4g} to {after:.4g}, {_change(value)}"
            drop = artifact.drops.get(metric)
            intervals = drop.intervals if drop else ()
            asked = f"; at most {gate.value:g} worse"
            return _Figure(value, gate.value, text, asked, at_most=True, intervals=intervals)
        case MinValueGate():
            metric = _key(gate, baseline)
            value, lower = artifact.metrics[metric], lower_is_better(metric)
            asked = f", {'at most' if lower else 'at least'} {gate.value:g}"
            intervals = artifact.intervals.get(metric, ())
            text = f"{metric} {value:.4g}"
            return _Figure(value, gate.value, text, asked, at_most=lower, intervals=intervals)
        case MinAgreementGate() | MinSnrGate():
            return _of_fidelity(gate, artifact)
        case BeatsConstantGate():
            value, text = advantage(gate, baseline, artifact)
            needed = f" by more than {gate.margin:g}" * (gate.margin > 0)
            asked = f"; it must be better{needed}"
            return _Figure(value, gate.margin, text, asked, tolerance=-TOLERANCE)
        case MinClassRecallGate():
            value, text = lowest_recall(gate, artifact)
            return _Figure(value, gate.value, f"{text} {value:.4g}", f", at least {gate.value:g}")
        case MaxBytesGate() | MaxArenaGate():
            value = _bytes(gate, artifact)
            of = " of memory for tensors" * isinstance(gate, MaxArenaGate)
            text, asked = f"{value:,.0f} bytes{of}", f", at most {gate.value:,}"
            return _Figure(value, gate.value, text, asked, at_most=True, tolerance=0)
        case MinRatioGate():
            value = baseline.reference / _bytes(gate, artifact)
            text, asked = f"{value:.2f} times smaller", f", at least {gate.value:g}"
            return _Figure(value, gate.value, text, asked, tolerance=0)


def _of_fidelity(gate: MinAgreementGate | MinSnrGate, artifact: ArtifactResult) -> _Figure:
    name = gate.output or next(iter(artifact.fidelity))
    found = artifact.fidelity[name]
    of = f" of {name}" if len(artifact.fidelity) > 1 else ""
    if isinstance(gate, MinAgreementGate):
        value, key, unit = found.agreement, "agreement", ""
        text = f"agreement with the baseline{of}"
    else:
        value, key, unit = found.snr_db, "snr_db", " dB"
        text = f"signal-to-noise ratio{of}"
    same = "no difference" if found.is_identical else "no signal to compare with"
    text += f" {value:.4g}{unit}" if value is not None else f": {same}"
    return _Figure(
        *(value, gate.value, text, f", at least {gate.value:g}{unit}"),
        intervals=found.intervals.get(key, ()),
        is_identical=found.is_identical,
    )


def _change(value: float) -> str:
    """How much worse a metric got, as a phrase; float32 rounding counts as unchanged."""
    if math.isnan(value):
        return "which is not a number"
    if abs(value) <= TOLERANCE:
        return "unchanged"
    return f"worse by {value:.4g}" if value > 0 else f"better by {-value:.4g}"


def _bytes(gate: MaxBytesGate | MaxArenaGate | MinRatioGate, artifact: ArtifactResult) -> float:
    if isinstance(gate, MaxArenaGate):
        return float(artifact.arena_bytes or 0)
    return float(artifact.smallest[1] if gate.of == "smallest_encoding" else artifact.bytes)
