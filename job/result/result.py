"""The frozen records of what happened, which ``result.json`` holds.

``result.json`` is written last, so its presence means that everything it names is there.
Sizes are bytes, times seconds or (``latency_ms``) milliseconds, sparsities fractions of zeros.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import Field

from job.manifest.job import StageName
from job.result.artifact import (
    CArrayResult,
    ClusterResult,
    EncodingResult,
    Format,
    LayerResult,
    ModelName,
    ObjectiveResult,
    TensorResult,
    UsageResult,
)
from job.result.fetched import InputResult
from job.result.figures import (
    ClassResult,
    DriftResult,
    DropResult,
    FidelityResult,
    IntervalResult,
    LatencyResult,
)
from job.result.layer_trials import SensitivityResult
from job.result.packed import PackedResult
from job.result.record import Record
from job.result.search import SearchResult
from job.result.training import (
    EpochResult,
    RunOfTrainingResult,
    SplitResult,
    TrainedForResult,
    TrainingResult,
)

RESULT_FILE = "result.json"
MANIFEST_FILE = "manifest.json"
FAILURE_FILE = "failure.json"
PAGE_FILE, CARD_FILE = "report.html", "report.md"


class ArtifactResult(Record):
    """A file that a user could ship, measured by what it does after being read back from disk."""

    stage: StageName
    variant: str | None = None
    format: Format
    path: ModelName
    """Relative to the destination."""
    bytes: int
    sha256: str
    optimizer_bytes: int = 0
    """What of ``bytes`` is an optimizer's state, which no file that is made here holds."""
    reference_bytes: int | None = None
    """Of the baseline, what sizes are compared with: the bytes of the model alone, unpacked,
    without an optimizer's state and a SavedModel's traces. Left out: ``bytes``."""
    encoded: dict[str, EncodingResult] = {}
    """By codec."""
    inputs: list[TensorResult] = []
    outputs: list[TensorResult] = []
    sparsity: float
    """Zeros among the weights of all kernels (two dimensions and more), pruned or not."""
    metrics: dict[str, float] = {}
    """On the test split, the same rows for every artifact. Of several outputs: ``loss`` is the
    weighted total, ``digit_loss`` and ``digit_accuracy`` are those of the output ``digit``."""
    intervals: dict[str, list[IntervalResult]] = {}
    """By metric: its confidence intervals over the test rows, the first of 0.95; left out for a
    metric whose value does not follow from what each row contributes."""
    drops: dict[str, DropResult] = {}
    """By metric: how much worse it is than the baseline's, with the intervals of the difference on
    the same rows; none for the baseline."""
    fidelity: dict[str, FidelityResult] = {}
    """By output: how close it is to the baseline's; none for the baseline."""
    per_class: dict[str, dict[str, ClassResult]] = {}
    """By output and class, on the test split. Where there are more classes than can be listed,
    those with the lowest recall; ``classes_cut`` says so."""
    classes_cut: dict[str, int] = {}
    """By output, how many classes are not listed in ``per_class``."""
    constant_metrics: dict[str, dict[str, float]] = {}
    """Of the baseline: by output and metric, what the best constant answer gets on the test split
    (of classes their shares in the training rows, of numbers the mean or the median)."""
    useless_outputs: dict[str, str] = {}
    """Of the baseline: the outputs that are no better than that answer, and in what."""
    drift: DriftResult | None = None
    latency_ms: dict[str, LatencyResult] = {}
    """``one_thread`` and ``all_threads``."""
    runtime: str | None = None
    """Of a ``.tflite``: the oldest runtime that is known to run it (``tflite-2.14``,
    ``litert-2.1``, ``litert-2.3``)."""
    arena_bytes: int | None = None
    """Of a ``.tflite``: the memory of its tensors on a microcontroller, an open batch as one row.
    An estimate: without the interpreter's own structures and the kernels' scratch buffers."""
    layer_bits: dict[str, int] = {}
    """By Keras layer: the bits of a weight of its kernels in this file, where they differ those of
    most weights; 32 and 16 are floats. A layer whose kernels can't be told in the file is left
    out."""
    times_smaller: float | None = None
    """The baseline's ``reference_bytes``, divided by the bytes of the smallest form; null in a
    result of an earlier version."""
    packed: PackedResult | None = None
    """Of a ``.tflite`` whose kernels were packed, or which was made slim."""
    c_array: CArrayResult | None = None
    """Where it was asked for."""
    usage: UsageResult | None = None
    """What a program needs to know to run the file, beside its inputs, outputs and encodings."""

    @property
    def name(self) -> str:
        """What gates and tables call it: the variant, or else the stage."""
        return self.variant or self.stage

    @property
    def reference(self) -> int:
        """The bytes that sizes are compared with."""
        return self.bytes if self.reference_bytes is None else self.reference_bytes

    @property
    def smallest(self) -> tuple[str, int]:
        """The smallest form's codec and bytes; codec ``file`` where no encoding is smaller."""
        forms = {"file": self.bytes} | {codec: it.bytes for codec, it in self.encoded.items()}
        return min(forms.items(), key=lambda form: form[1])

    @property
    def smallest_path(self) -> str:
        """The file of the smallest form, relative to the destination."""
        codec, _ = self.smallest
        return self.path if codec == "file" else self.encoded[codec].path


class StageResult(Record):
    """A stage: how long it took, and what was decided in it and why."""

    name: str
    seconds: float
    decisions: list[str] = []


class GateResult(Record):
    """A gate with the figure that it was judged by."""

    gate: dict[str, Any]
    artifact: str
    value: float | None
    """What was measured: the metric, the bytes, the ratio; for ``max_drop`` how much worse it got.
    Null for a signal-to-noise ratio without noise, or without a signal."""
    bound: float | None = None
    """Of a gate with a ``confidence``: the end of the interval that was judged."""
    limit: float
    passed: bool
    within_chance: bool | None = None
    """Of a missed gate on a figure with an interval: whether the limit is inside of it, so that
    more test rows might pass. Null for any other."""
    explanation: str

    @property
    def is_binding(self) -> bool:
        """Whether it must hold whichever artifact is chosen: its gate names one, or ``*``."""
        return self.gate.get("artifact") is not None


class ChosenResult(Record):
    """The run's answer: the smallest artifact that passes every gate that applies to it."""

    artifact: str
    """Its variant, or its stage: what gates and tables call it."""
    path: str
    """Its smallest form's file, relative to the destination."""
    encoding: str
    """The codec of that form; ``file`` where no encoding is smaller than the plain file."""
    bytes: int
    """Of that form."""


class WorkResult(Record):
    """What the child process did: the part of the result that needs TensorFlow to be made."""

    stages: list[StageResult]
    objective: dict[str, ObjectiveResult]
    """By output, in the model's order."""
    epochs: list[EpochResult]
    layers: list[LayerResult]
    artifacts: list[ArtifactResult]
    gates: list[GateResult]
    warnings: list[str]
    training: TrainingResult | None = None
    """Null where nothing was trained."""
    trained_for: TrainedForResult
    clusters: list[ClusterResult] = []
    """By layer; empty where nothing is clustered."""
    trainings: dict[str, RunOfTrainingResult] = {}
    """Beside the pruning: of the ``teacher``, of ``cluster``, and of variants by their names."""
    splits: dict[str, SplitResult]
    """``train``, ``validation`` where rows are held out, and ``test``."""
    class_names: list[str] = []
    """In the order of their indices, where the data set names classes."""
    sensitivity: SensitivityResult | None = None
    """Null where it was not asked for."""
    resumed: list[str] = []
    """What was taken from a run of the same job that was stopped."""
    search: SearchResult | None = None
    """What a search tried, and what it chose; null for a job without one."""


class Result(Record):
    """``result.json``."""

    schema_version: Literal[1] = 1
    name: str
    status: Literal["succeeded", "gate_missed", "failed"]
    run_id: str
    """A digest of what determines the outcome: manifest, inputs and versions."""
    started_at: str
    """UTC, ISO 8601."""
    seconds: float
    """Of work, until this was written: without ``waited_s``, with ``earlier_s``."""
    waited_s: float = 0.0
    """Seconds that this run waited: for a worker of its batch, or for another run that wrote to the
    same destination."""
    manifest: dict[str, Any]
    """With the defaults filled in; URIs as they were written."""
    inputs: dict[str, InputResult]
    versions: dict[str, str]
    environment: dict[str, Any]
    stages: list[StageResult]
    objective: dict[str, ObjectiveResult]
    """By output, in the model's order."""
    epochs: list[EpochResult]
    layers: list[LayerResult]
    artifacts: Annotated[list[ArtifactResult], Field(min_length=1)]
    """The baseline first."""
    gates: list[GateResult]
    """Every verdict: each gate on each artifact that it applies to."""
    chosen: ChosenResult | None = None
    """Null where no artifact passes every gate that applies to it."""
    warnings: list[str] = Field(default=[])
    training: TrainingResult | None = None
    """Null where nothing was trained."""
    trained_for: TrainedForResult | None = None
    """Null in a result of an earlier version."""
    clusters: list[ClusterResult] = []
    """By layer; empty where nothing is clustered."""
    trainings: dict[str, RunOfTrainingResult] = {}
    """Beside the pruning: of the ``teacher``, of ``cluster``, and of variants by their names."""
    splits: dict[str, SplitResult] = {}
    """``train``, ``validation`` where rows are held out, and ``test``."""
    class_names: list[str] = []
    """In the order of their indices, where the data set names classes."""
    sensitivity: SensitivityResult | None = None
    """What each layer alone can lose; null where it was not asked for."""
    resumed: list[str] = []
    """What was taken from a run of the same job that was stopped."""
    search: SearchResult | None = None
    """What a search tried, and what it chose; null for a job without one."""
    earlier_s: float = 0.0
    """Seconds that earlier runs of the same job, which were stopped, spent on that."""
    retries: dict[str, int] = {}
    """By operation, the requests to storage that were sent again, until this was written."""

    @property
    def baseline(self) -> ArtifactResult:
        """The model that came in."""
        return self.artifacts[0]

    @property
    def constant_metrics(self) -> dict[str, dict[str, float]]:
        """What the best constant answer gets: output -> metric -> value."""
        return self.baseline.constant_metrics

    @property
    def chosen_artifact(self) -> ArtifactResult | None:
        """The artifact that ``chosen`` names."""
        name = self.chosen.artifact if self.chosen else None
        return next((it for it in self.artifacts[1:] if it.name == name), None)


def metric_key(metric: str, output: str, outputs: Collection[str]) -> str:
    """What ``ArtifactResult.metrics`` calls a metric of an output: Keras's way, with the output's
    name where there are several.
    """
    return metric if len(outputs) == 1 else f"{output}_{metric}"


def ratio(baseline: ArtifactResult, artifact: ArtifactResult) -> float:
    """How many times smaller: the model that came in, plain and alone, against the smallest form of
    the artifact.
    """
    return baseline.reference / artifact.smallest[1]
