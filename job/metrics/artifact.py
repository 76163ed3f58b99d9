"""The measurement of a file by what it does after being read back from disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job.artifact import KerasFormat, LatencyResult, TensorResult, file_digest
from job.manifest.job import StageName
from job.metrics import latency, litert
from job.metrics.fidelity import drift
from job.metrics.per_class import listed
from job.metrics.quality import (
    Advance,
    Inputs,
    Output,
    Predict,
    Quality,
    ReadRows,
    evaluate,
    mean_of_passes,
)
from job.metrics.sparsity import kernels, model_sparsity, zero_fraction
from job.objective.losses import Objectives
from job.result import ArtifactResult, TensorSpec


@dataclass(frozen=True)
class Evaluator:
    """What every file is measured with: the same rows, the same metrics, the same threads."""

    read: ReadRows
    """Reads test rows."""
    rows: int
    objectives: Objectives
    """By the model's outputs, in its order."""
    input_names: Sequence[str]
    """The model's inputs, in the order that ``read`` gives."""
    threads: int
    named_classes: frozenset[int] = frozenset()
    """Classes that gates are for; their figures are always listed."""
    draws: int = 1
    """How many passes the metrics are averaged over, where outputs are random."""

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
    """The size that others are compared with, of the original file."""
    optimizer_bytes: int = 0
    """How much of the file is an optimizer's state."""


@dataclass(frozen=True)
class Measured:
    """A file's record, and its outputs, for the drift of files made from it."""

    artifact: ArtifactResult
    outputs: Mapping[str, Output]
    """By the outputs' names, in the model's order."""


def measure_model(
    file: KerasFile, evaluator: Evaluator, before: Measured | None, advance: Advance
) -> Measured:
    """Measure a Keras file.

    Args:
        file: The file, and the model that was read from it.
        evaluator: What it is measured with.
        before: The stage before, for the drift; None for the baseline.
        advance: Reports progress.
    """
    found = _evaluate(file.predict, evaluator, advance)
    classes, cut = listed(found.classes, evaluator.named_classes)
    size, digest = file_digest(file.path)
    artifact = ArtifactResult(
        stage=file.stage,
        format=file.format,
        path=file.path.name,
        bytes=size,
        sha256=digest,
        reference_bytes=file.reference_bytes,
        optimizer_bytes=file.optimizer_bytes,
        inputs=describe(file.inputs),
        outputs=describe(file.outputs),
        sparsity=model_sparsity(file.model),
        metrics=found.metrics,
        per_class=classes,
        classes_cut=cut,
        drift=drift(before.artifact.name, before.outputs, found.outputs) if before else None,
    )
    return Measured(artifact, dict(zip(evaluator.objectives, found.outputs, strict=True)))


def measure_tflite(
    path: Path, variant: str, evaluator: Evaluator, before: Measured, advance: Advance
) -> Measured:
    """Measure a ``.tflite``; the arguments are those of ``measure_model``."""
    predict = litert.predictor(
        path, evaluator.input_names, list(evaluator.objectives), evaluator.threads
    )
    found = _evaluate(predict, evaluator, advance)
    classes, cut = listed(found.classes, evaluator.named_classes)
    size, digest = file_digest(path)
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
    return Measured(artifact, dict(zip(evaluator.objectives, found.outputs, strict=True)))


def _evaluate(predict: Predict, evaluator: Evaluator, advance: Advance) -> Quality:
    def once(progress: Advance) -> Quality:
        return evaluate(predict, evaluator.read, evaluator.rows, evaluator.objectives, progress)

    return mean_of_passes(once, evaluator.draws, advance)


def measure_latency(
    artifact: ArtifactResult, folder: Path, model: Any, evaluator: Evaluator
) -> dict[str, LatencyResult]:
    """Latency of a file; ``model`` is the Keras model that was read from it, or None."""
    if model is not None:
        return latency.keras_latency(model, evaluator.sample(), evaluator.threads)
    names = list(evaluator.input_names)
    return latency.tflite_latency(
        folder / artifact.path, names, evaluator.sample(), evaluator.threads
    )


def describe(specs: Sequence[TensorSpec]) -> list[TensorResult]:
    """Inputs or outputs of a Keras model, for the result."""
    return [TensorResult(name=it.name, dtype=it.dtype, shape=[None, *it.shape]) for it in specs]
