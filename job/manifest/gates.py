"""Gates: what must hold for the results. They are judged in ``job/metrics/gates.py``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from job.manifest.fields import Config, Count, Name, OutputName, Positive
from job.manifest.keras_names import MetricName, lower_is_better

Metric = MetricName | Literal["loss"]
# Which bytes of a file count.
SizeOf = Literal["smallest_encoding", "file"]
# The level of the confidence intervals that every result has.
CONFIDENCE = 0.95


class _Gate(Config):
    artifact: Name | Literal["*"] | None = None
    """``prune``, a variant's name, or ``*``: that file, or each, must pass. Left out: every file is
    judged, and one that passes is enough; the smallest that does is ``chosen``."""


class _Measured(_Gate):
    confidence: float | None = Field(default=None, ge=0.5, le=0.999)
    """Left out: the measured value is judged. Else the worse end of its two-sided confidence
    interval of this level must pass: 0.95."""


class _MetricGate(_Measured):
    metric: Metric
    output: OutputName | None = None
    """For a model of several outputs, whose metric it is. Left out: of ``loss`` the weighted total,
    else each output that the metric is measured for."""


class MaxDropGate(_MetricGate):
    """At most this much worse than the baseline."""

    type: Literal["max_drop"]
    value: float = Field(ge=0)
    """In the metric's own unit: 0.01 is one point of accuracy."""


def check_reachable(metric: str, value: float) -> None:
    """Raise a ValueError where no model is as good as a value."""
    if value > 1 and not lower_is_better(metric):
        raise ValueError(f"{metric} is at most 1, so {value:g} can't be reached; 0.97 is 97 %")


def check_drop(metric: str, value: float) -> None:
    """Raise a ValueError where any model is within a drop."""
    if value >= 1 and not lower_is_better(metric):
        raise ValueError(f"{metric} is at most 1, so {value:g} allows any file; 0.01 is one point")


class MinValueGate(_MetricGate):
    """At least this good, whatever the baseline was; a loss or an error: at most this large."""

    type: Literal["min_value"]
    value: float

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        check_reachable(self.metric, self.value)
        return self


class BeatsConstantGate(_Gate):
    """Better than the best constant answer (the most common class, the mean or the median of the
    training targets, or of the test targets where only these are given), the model that came in as
    well as the file that was made of it.
    """

    type: Literal["beats_constant"]
    metric: Metric | None = None
    """Left out: of each output the accuracy, else an error, else an AUC; where it has none of them,
    its first metric."""
    output: OutputName | None = None
    """For a model of several outputs, whose metric it is; left out, each that has the metric."""
    margin: float = Field(default=0.0, ge=0)
    """Better by more than this, in the metric's own unit."""


class MinClassRecallGate(_Gate):
    """At least this fraction of each class's test rows is recognized."""

    type: Literal["min_class_recall"]
    value: float = Field(ge=0, le=1)
    class_index: int | None = Field(default=None, ge=0)
    """The class; left out, every class that has test rows."""
    output: OutputName | None = None
    """For a model of several outputs, whose classes; left out, each that has classes."""


class _FidelityGate(_Measured):
    output: OutputName | None = None
    """For a model of several outputs; left out, each that the figure is measured for."""


class MinAgreementGate(_FidelityGate):
    """At least this share of the baseline's answers is unchanged: the class with the highest
    probability, or whether a probability is over one half. It needs no labels.
    """

    type: Literal["min_agreement"]
    value: float = Field(ge=0, le=1)


class MinSnrGate(_FidelityGate):
    """At least this signal-to-noise ratio: the variance of the baseline's outputs against the mean
    squared difference from them. It needs no labels.
    """

    type: Literal["min_snr_db"]
    value: float
    """Decibels: 20 is a hundredth of the variance, 40 a ten-thousandth."""


class _SizeGate(_Gate):
    of: SizeOf = "smallest_encoding"
    """Which bytes count: those of the smallest encoding, or of the plain file."""


class MaxBytesGate(_SizeGate):
    """At most this large."""

    type: Literal["max_bytes"]
    value: Count
    """Bytes."""


class MaxArenaGate(_Gate):
    """At most so much memory for the tensors of a ``.tflite`` on a microcontroller."""

    type: Literal["max_arena_bytes"]
    value: Count
    """Bytes; the interpreter itself and scratch buffers need some more."""


class MinRatioGate(_SizeGate):
    """At least this many times smaller than the model file that came in."""

    type: Literal["min_ratio"]
    value: Positive


GateConfig = Annotated[
    MaxDropGate
    | MinValueGate
    | BeatsConstantGate
    | MinClassRecallGate
    | MinAgreementGate
    | MinSnrGate
    | MaxBytesGate
    | MaxArenaGate
    | MinRatioGate,
    Field(discriminator="type"),
]
