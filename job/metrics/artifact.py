"""A file, measured by what it does after being read back from disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job.artifact import KerasFormat, LatencyResult, TensorResult
from job.manifest.job import StageName
from job.metrics import latency, litert
from job.metrics.draws import mean_of_passes
from job.metrics.kernels import kernels
from job.metrics.per_class import listed
from job.metrics.quality import Inputs, Output, Predict, Quality, ReadRows, drift, evaluate
from job.metrics.size import measure_size
from job.metrics.sparsity import model_sparsity, zero_fraction
from job.objective.losses import Objectives
from job.result import ArtifactResult, TensorSpec

Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class Ruler:
    """What every file is measured with: the same rows, the same metrics, the same threads."""

    read: ReadRows
    """Reads test rows."""
    rows: int
    objectives: Objectives
    """By the model's outputs, in the order of what is answered."""
    input_names: Sequence[str]
    """The model's inputs, in the order of what ``read`` gives."""
    threads: int
    named_classes: frozenset[int] = frozenset()
    """Classes that gates are for; their figures are listed in any case."""
    draws: int = 1
    """How many passes metrics are the mean of, where answers are random."""

    def sample(self) -> Inputs:
        """The first test row, as a batch of one."""
        return self.read(0, 1)[0]


@dataclass(frozen=True)
class KerasFile:
    """A model's file and the model that was read from it, of Keras 2 or 3."""

    stage: StageName
    path: Path
    format: KerasFormat
    model: Any
    predict: Predict
    """The model's forward pass; it follows the model's weights."""
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    reference_bytes: int | None = None
    """What sizes are compared with, of the file that came in."""
    optimizer_bytes: int = 0
    """What of the file is an optimizer's state."""


@dataclass(frozen=True)
class Measured:
    """A file's record, and its outputs for the drift of what is made of it."""

    artifact: ArtifactResult
    outputs: Mapping[str, Output]
    """By the outputs' names, in the model's order."""


def measure_model(
    file: KerasFile, ruler: Ruler, before: Measured | None, advance: Advance
) -> Measured:
    """Measure a Keras file.

    Args:
        file: The file, and the model that was read from it.
        ruler: What it is measured with.
        before: The stage before, for the drift; None for the baseline.
        advance: Is told how many rows are done.
    """
    found = _evaluate(file.predict, ruler, advance)
    classes, cut = listed(found.classes, ruler.named_classes)
    size, digest = measure_size(file.path)
    artifact = ArtifactResult(
        stage=file.stage,
        format=file.format,
        path=file.path.name,
        bytes=size,
        sha256=digest,
        reference_bytes=file.reference_bytes,
        optimizer_bytes=file.optimizer_bytes,
        inputs=_describe(file.inputs),
        outputs=_describe(file.outputs),
        sparsity=model_sparsity(file.model),
        metrics=found.metrics,
        per_class=classes,
        classes_cut=cut,
        drift=drift(before.artifact.name, before.outputs, found.outputs) if before else None,
    )
    return Measured(artifact, dict(zip(ruler.objectives, found.outputs, strict=True)))


def measure_tflite(
    path: Path, variant: str, ruler: Ruler, before: Measured, advance: Advance
) -> Measured:
    """Measure a ``.tflite``; the arguments are those of ``measure_model``."""
    predict = litert.predictor(path, ruler.input_names, list(ruler.objectives), ruler.threads)
    found = _evaluate(predict, ruler, advance)
    classes, cut = listed(found.classes, ruler.named_classes)
    size, digest = measure_size(path)
    inputs, outputs = litert.describe_file(path)
    artifact = ArtifactResult(
        stage="quantize",
        variant=variant,
        format="tflite",
        path=path.name,
        bytes=size,
        sha256=digest,
        inputs=inputs,
        outputs=outputs,
        sparsity=zero_fraction(kernels(path)),
        metrics=found.metrics,
        per_class=classes,
        classes_cut=cut,
        drift=drift(before.artifact.name, before.outputs, found.outputs),
    )
    return Measured(artifact, dict(zip(ruler.objectives, found.outputs, strict=True)))


def _evaluate(predict: Predict, ruler: Ruler, advance: Advance) -> Quality:
    def once(progress: Advance) -> Quality:
        return evaluate(predict, ruler.read, ruler.rows, ruler.objectives, progress)

    return mean_of_passes(once, ruler.draws, advance)


def measure_latency(
    artifact: ArtifactResult, folder: Path, model: Any, ruler: Ruler
) -> dict[str, LatencyResult]:
    """Latency of a file; ``model`` is the Keras model that was read from it, or None."""
    if model is not None:
        return latency.keras_latency(model, ruler.sample(), ruler.threads)
    names = list(ruler.input_names)
    return latency.tflite_latency(folder / artifact.path, names, ruler.sample(), ruler.threads)


def _describe(specs: Sequence[TensorSpec]) -> list[TensorResult]:
    return [TensorResult(name=it.name, dtype=it.dtype, shape=[None, *it.shape]) for it in specs]
