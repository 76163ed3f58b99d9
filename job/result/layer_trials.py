"""What a sparsity or a bit width of one layer alone costs, and what that allows each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from job.result.record import Record

# Of the allowed loss, what one layer alone may cost.
SHARE = 0.5
# Metrics are float32: a drop of 0.01 may be 0.0100000501.
ROUNDING = 1e-6


class TrialResult(Record):
    """The model with one layer changed, and nothing trained."""

    sparsity: float | None = None
    """The fraction of zeros in each of the layer's kernels; null where bits were tried."""
    weight_bits: int | None = None
    """The width that its kernels were rounded to; null where a sparsity was tried."""
    drop: float | None
    """How much worse ``SensitivityResult.metric`` got, in its own units; below 0 where it got
    better. Null where the outputs were NaN or infinite."""
    metrics: dict[str, float] = {}
    """As in an artifact, on the rows of this measurement; empty where they have no labels."""
    agreement: float | None = None
    """With the unchanged model, as in an artifact's ``fidelity``; the lowest of the outputs."""
    snr_db: float | None = None
    """Of the outputs, in decibels; the lowest of the outputs. Null where they are identical."""


class LayerSensitivity(Record):
    """A layer that has kernels, and what was tried on it alone."""

    name: str
    """Its path: ``dense``, or ``branch/dense`` in a nested model."""
    type: str
    weights: int
    """Of its kernels."""
    share: float
    """Of all the model's parameters, those of this layer: its share of the file's bytes before
    anything is compressed."""
    sparsities: list[TrialResult] = []
    """From the lowest; empty where the layer can't be pruned."""
    weight_bits: list[TrialResult] = []
    """From the highest."""


class SensitivityResult(Record):
    """What each layer alone can lose."""

    split: Literal["validation", "training", "synthetic"]
    """Where the rows are from: held-out ones, a sample of the training rows, or drawn at random."""
    rows: int
    metric: str
    """What ``drop`` is of. With labels: a metric of the result, of several outputs the loss.
    Without: ``agreement`` with the unchanged model, or ``noise``, the mean squared difference from
    its outputs as a share of their variance."""
    baseline: float
    """The unchanged model's: on these rows; 1 for agreement and 0 for noise."""
    small_drop: float
    """What counts as a small loss where nothing else is stated: 0.01, or 5 % of a loss or an
    error."""
    metrics: dict[str, float] = {}
    """The unchanged model's, on these rows."""
    layers: list[LayerSensitivity]
    """In the model's order."""


@dataclass(frozen=True)
class Choice:
    """What a layer can lose by itself."""

    sparsity: float | None
    """The highest; None where even the lowest that was tried costs too much."""
    weight_bits: int | None
    """The lowest width; None where even the highest that was tried costs too much."""


def automatic(
    layers: Sequence[LayerSensitivity], max_drop: float, share: float = SHARE
) -> Mapping[str, Choice]:
    """Per layer the highest sparsity and the lowest width that alone cost little.

    Args:
        layers: The layers of a result.
        max_drop: The loss that is allowed in all, in the units of ``drop``.
        share: The part of it that one layer alone may cost.

    Returns:
        By layer name. A value counts only if all milder ones that were tried are within the limit,
        too: a lucky one between two bad ones is chance.
    """
    limit = max_drop * share + ROUNDING

    def last_within(trials: Sequence[TrialResult]) -> TrialResult | None:
        last = None
        for trial in trials:
            if trial.drop is None or trial.drop > limit:
                break
            last = trial
        return last

    chosen = {}
    for layer in layers:
        sparse, narrow = last_within(layer.sparsities), last_within(layer.weight_bits)
        chosen[layer.name] = Choice(
            sparsity=sparse.sparsity if sparse else None,
            weight_bits=narrow.weight_bits if narrow else None,
        )
    return chosen
