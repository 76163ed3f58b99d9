"""The outcome of a batch: ``summary.json``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from job.result.record import Record

Status = Literal["succeeded", "gate_missed", "failed", "pending"]


class Row(Record):
    """A job of a batch."""

    name: str
    model: str = ""
    """Its URI, as the manifest or the discovery names it."""
    status: Status
    exit_code: int | None = None
    """What a run of this job alone would have ended with; null while it is pending."""
    reason: str = ""
    """Why it failed, or which gates were missed."""
    to_do: str = ""
    note: str = ""
    """Worth knowing first: that the baseline is no better than a constant answer."""
    bytes: int | None = None
    """Of the input model, without optimizer state and encoding."""
    artifact: str | None = None
    """The best one, its variant or its stage: the smallest that passes every gate that applies to
    it; if none does, the smallest of those that miss the fewest."""
    passes: bool | None = None
    """Whether that artifact passes them all."""
    report: str | None = None
    """Its page, relative to the batch's destination; null where it has none."""
    path: str | None = None
    """Its smallest file, relative to the batch's destination."""
    encoding: str | None = None
    """The codec of that file; ``file`` for none."""
    smallest_bytes: int | None = None
    ratio: float | None = None
    """How many times smaller than ``bytes``."""
    metric: str | None = None
    """The first metric of the first output."""
    baseline_quality: float | None = None
    quality: float | None = None
    drop: float | None = None
    """How much worse the metric got; negative where it got better."""
    agreement: float | None = None
    """The share of the baseline's answers that are unchanged; of several outputs the lowest."""
    snr_db: float | None = None
    """The signal-to-noise ratio against the baseline's outputs; of several outputs the lowest."""
    synthetic: bool = False
    """Whether the figures are of inputs that were drawn at random."""
    sparsity: float | None = None
    """The artifact's: the fraction of zeros in its kernels."""
    latency_ms: float | None = None
    """The artifact's median for one sample on one thread, in ``runtime``, beside other jobs."""
    runtime: str | None = None
    """``litert`` or ``tensorflow``, whose latencies do not compare."""
    seconds: float | None = None
    """Of work, including what was resumed from earlier runs; without ``waited_s``."""
    waited_s: float | None = None
    """Seconds that it waited for a worker."""
    run_id: str | None = None
    settings: dict[str, Any] = Field(default={})
    """What of its manifest differs from the defaults, by JSON path; without names and locations."""


class Totals(Record):
    """What the rows add up to."""

    jobs: int
    succeeded: int
    gate_missed: int
    failed: int
    pending: int
    bytes: int
    """Of the models of the jobs that have an artifact to ship: one that passes its gates."""
    smallest_bytes: int
    """Of those artifacts."""
    ratio: float | None
    """``bytes`` divided by ``smallest_bytes``."""
    seconds: float
    """Of work, the sum over all jobs."""
    waited_s: float = 0.0
    """Of all jobs, for a worker."""
    others: int = 0
    """Folders with results that belong to none of these jobs."""


class Summary(Record):
    """``summary.json``."""

    schema_version: Literal[1] = 1
    name: str
    """The batch's."""
    made_at: str
    """UTC, ISO 8601."""
    exit_code: int
    """Of a run of the batch with these rows, if nothing were pending."""
    totals: Totals
    jobs: list[Row] = Field(default=[])
    """Sorted by name."""
