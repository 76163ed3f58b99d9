"""What a search tried, and what it chose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import field_validator

from job.manifest.quantize import WeightBits, WeightOnlyBits
from job.result.record import Record


@dataclass(frozen=True)
class Figure:
    """What a search judges its files by, in words."""

    heading: str
    """Of a column; empty where it is the metric itself, and so its name."""
    name: str
    written: str = "{:.4f}"

    def shown(self, value: float | None) -> str:
        """A value of it; None is an output without noise."""
        return "no noise" if value is None else self.written.format(value)


# By the type of a search's gate; see ``job/manifest/gates.py``.
FIGURES = {
    "max_drop": Figure("worse by", "worse by"),
    "min_value": Figure("", ""),
    "min_agreement": Figure("agreement", "agreement with the baseline"),
    "min_snr_db": Figure("SNR dB", "signal-to-noise ratio (dB)", "{:.1f}"),
}


class TrialSettings(Record):
    """The settings of a trial."""

    sparsity: float
    """The fraction of zeros of all kernels together."""
    wide: float = 0.0
    """The fraction of these weights in layers of ``wider_bits``, since they lose most; only where
    there is no sparsity."""
    weight_bits: WeightBits
    clusters: int | None
    """Distinct values of a kernel; null: any number."""
    epochs: int
    """Of the training that prunes, where there is sparsity; 0 where nothing is trained."""
    grid_epochs: int
    """Of the training with the values of the file: those of its grid, or clusters; 0 where there is
    none."""
    seed: int

    @property
    def all_epochs(self) -> int:
        """Of all trainings."""
        return self.epochs * self.is_pruned + self.grid_epochs

    @property
    def is_pruned(self) -> bool:
        """Whether weights are made zero."""
        return self.sparsity > 0

    @property
    def wider_bits(self) -> WeightOnlyBits:
        """Of the layers that lose most: 16, which is float16, beside 8 bits, and 8 beside 4."""
        return 16 if self.weight_bits == 8 else 8

    @property
    def wider(self) -> str:
        """The share of the weights in such layers, in words; empty where there are none."""
        kind = "float16" if self.wider_bits == 16 else f"{self.wider_bits} bits"
        return f"{100 * self.wide:.3g} % in {kind}" if self.wide else ""

    @property
    def described(self) -> str:
        """What a trial makes, in words."""
        parts = [f"{100 * self.sparsity:.4g} % zeros", f"{self.weight_bits} bits"]
        parts += [f"of which {self.wider}"] if self.wide else []
        parts += [f"{self.clusters} clusters"] if self.clusters else []
        return ", ".join(parts)

    @property
    def density(self) -> float:
        """The fraction of weights that are not zero, and beyond 1 of those in wider layers."""
        return 1 - self.sparsity + self.wide


class TrialResult(Record):
    """A trial: a file that was made with some settings, judged on held-out rows."""

    number: int
    """From 1 on, in the order in which they were made."""
    settings: TrialSettings
    failure: str = ""
    """Why no file was made, for instance since the training diverged; empty where one was. Such a
    trial has neither bytes nor figures."""
    bytes: int
    """Of the smallest encoding, or of the plain file, as the search's objective says."""
    sha256: str
    """Of the plain file, in hexadecimal."""
    value: float | None
    """The figure that is judged: how much worse the metric got, the metric itself, the agreement,
    or the signal-to-noise ratio. Null for one without noise."""
    bound: float | None = None
    """The end of its confidence interval that was judged, where the search has a confidence."""
    margin: float
    """How far it is within the limit; negative beyond it."""
    passed: bool
    metrics: dict[str, float] = {}
    seconds: float
    trained_s: float = 0.0
    """Seconds of these that it was trained."""
    is_on_front: bool = False
    """Whether no other trial is both smaller and better."""


class SearchResult(Record):
    """A search: what was asked, every trial, and the choice."""

    gate: dict[str, Any]
    """What files are judged by."""
    rows: int
    """Held-out rows that trials are judged on."""
    reference: str
    """What the figures are compared with, and why."""
    trials: list[TrialResult]
    chosen: int
    """The number of the trial whose settings the files are made with."""
    reason: str
    ended: str
    """Why no further trial was made."""
    sections: dict[str, Any]
    """The sections of a manifest that makes the same files without a search."""

    @field_validator("gate")
    @classmethod
    def _is_known(cls, gate: dict[str, Any]) -> dict[str, Any]:
        if gate.get("type") not in FIGURES:
            raise ValueError(f"a search has a gate of type {', '.join(FIGURES)}")
        return gate

    @property
    def figure(self) -> Figure:
        """What the trials are judged by."""
        return FIGURES[self.gate["type"]]


def with_front(trials: list[TrialResult]) -> list[TrialResult]:
    """The trials, each with whether it is on the Pareto front of bytes and margin."""
    made = [it for it in trials if not it.failure]
    return [
        it.model_copy(
            update={
                "is_on_front": not it.failure
                and not any(
                    other.bytes <= it.bytes
                    and other.margin >= it.margin
                    and (other.bytes, -other.margin) != (it.bytes, -it.margin)
                    for other in made
                )
            }
        )
        for it in trials
    ]
