"""What is measured of a file: intervals, fidelity, drift, latency, classes."""

from __future__ import annotations

from typing import Literal

from job.result.record import Record


class OutputDrift(Record):
    """How far one output is from that of the stage before."""

    max_abs: float
    mean_abs: float
    rms: float | None = None
    """The root mean square."""
    spread: float | None = None
    """How much the stage before differs from row to row: a standard deviation."""
    spread_after: float | None = None
    """The same of this file; of a constant output it is 0."""
    correlation: float | None = None
    """Of the two, from -1 to 1; null where one is constant."""
    largest: float | None = None
    """The largest absolute value in the stage before."""
    moved_rows: int | None = None
    """The rows that moved by more than a thousandth of the spread."""


class DriftResult(OutputDrift):
    """How far a file's outputs are from those of the stage before, on the same test rows: the
    largest difference of all, and the mean of the outputs' means. The other figures are there where
    the model has one output.
    """

    against: str
    """The artifact that it is compared with."""
    rows: int
    outputs: dict[str, OutputDrift] = {}
    """By output, where there are several."""


class IntervalResult(Record):
    """A confidence interval."""

    low: float
    high: float
    confidence: float
    """The level: 0.95 is 95 %."""
    method: Literal["wilson", "paired_wald", "bootstrap"]
    """How it was computed; see ``job/metrics/interval.py``."""


class DropResult(Record):
    """How much worse a metric is than the baseline's, on the same rows: negative where it is
    better.
    """

    value: float
    intervals: list[IntervalResult]
    """Of the difference, by confidence; the first is of 0.95."""


class FidelityResult(Record):
    """How close an output is to the baseline's, on the same rows; no labels are needed. From logits
    of a softmax, which ignores it, each row's mean is subtracted first.
    """

    rows: int
    agreement: float | None = None
    """The share of answers that are the baseline's: the class with the highest probability, or
    whether a probability is over one half. Null where the output is no distribution."""
    cosine_similarity: float | None
    """The mean over rows, each with all its values; of an output of one value, that of all rows.
    Null where one is zero everywhere."""
    mean_squared_error: float
    snr_db: float | None
    """The signal-to-noise ratio: 10 log10 of the variance of the baseline's outputs over the mean
    squared error. Null where there is no error, or no variance."""
    is_identical: bool
    """Whether all values are equal."""
    intervals: dict[str, list[IntervalResult]] = {}
    """Of ``agreement`` and ``snr_db``, by confidence; the first is of 0.95."""
    synthetic: bool = False
    """Whether the rows were drawn at random, for a job without data."""


class LatencyResult(Record):
    """Milliseconds for one sample (batch 1), warm."""

    runtime: Literal["tensorflow", "litert"]
    """What ran the file: figures of two runtimes do not compare."""
    threads: int
    runs: int
    median: float
    p90: float


class ClassResult(Record):
    """A class in the test rows."""

    recall: float | None
    """Of its rows, the fraction that was recognized; null where it has none."""
    precision: float | None
    """Of the rows that were taken for it, the fraction that are of it; null where none was."""
    support: int
    """Its rows."""
