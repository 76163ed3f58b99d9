"""The measurement of a file by what it does after being read back from disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from job.manifest.gates import CONFIDENCE
from job.manifest.job import StageName
from job.manifest.keras_names import lower_is_better
from job.metrics import latency, litert
from job.metrics.drift import drift
from job.metrics.fidelity import fidelity
from job.metrics.per_class import listed
from job.metrics.quality import (
    Advance,
    Inputs,
    Output,
    Predict,
    Quality,
    Samples,
    evaluate,
    mean_of_passes,
)
from job.metrics.row_values import RowValues
from job.metrics.sparsity import kernels, model_sparsity, zero_fraction
from job.objective.answers import Answer
from job.objective.losses import Objectives
from job.result.artifact import KerasFormat, TensorResult, file_digest
from job.result.figures import LatencyResult
from job.result.result import ArtifactResult
from job.result.specs import TensorSpec
from job.tflite.arena import arena_bytes
from job.tflite.runtimes import oldest_runtime


@dataclass(frozen=True)
class Evaluator:
    """What every file is measured with: the same rows, the same metrics, the same threads."""

    samples: Samples
    """The test rows."""
    objectives: Objectives
    """By the model's outputs, in its order; empty where the test rows have no labels."""
    answers: Mapping[str, Answer]
    """What each output's values are; by output, in the model's order."""
    input_names: Sequence[str]
    """The model's inputs, in the order that ``read`` gives."""
    threads: int
    named_classes: frozenset[int] = frozenset()
    """Classes that gates are for; their figures are always listed."""
    draws: int = 1
    """How many passes the metrics are averaged over, where outputs are random."""
    confidences: Sequence[float] = (CONFIDENCE,)
    """The levels of intervals, 0.95 first."""
    is_synthetic: bool = False
    """Whether the rows were drawn at random."""

    @property
    def outputs(self) -> list[str]:
        """The model's outputs, in its order."""
        return list(self.answers)

    def sample(self) -> Inputs:
        """The first test row, as a batch of one."""
        return self.samples.read(0, 1)[0]


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
    rows: Mapping[str, RowValues] = field(default_factory=dict)
    """By metric, for the drops of files made from it."""


def measure_model(
    file: KerasFile, evaluator: Evaluator, baseline: Measured | None, advance: Advance
) -> Measured:
    """Measure a Keras file.

    Args:
        file: The file, and the model that was read from it.
        evaluator: What it is measured with.
        baseline: What it was made of, for drift and fidelity; None for the baseline itself.
        advance: Reports progress.
    """
    found = _evaluate(file.predict, evaluator, advance)
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
        **_figures(found, evaluator, baseline, baseline),
    )
    outputs = dict(zip(evaluator.outputs, found.outputs, strict=True))
    return Measured(artifact, outputs, found.rows)


def measure_tflite(
    path: Path,
    variant: str,
    evaluator: Evaluator,
    before: Measured,
    baseline: Measured,
    advance: Advance,
) -> ArtifactResult:
    """Measure a ``.tflite``.

    Args:
        path: The file.
        variant: Its name.
        evaluator: What it is measured with.
        before: The stage before, for the drift.
        baseline: The model that came in, for drops and fidelity.
        advance: Reports progress.
    """
    predict = litert.predictor(path, evaluator.input_names, evaluator.outputs, evaluator.threads)
    found = _evaluate(predict, evaluator, advance)
    size, digest = file_digest(path)
    inputs, outputs = litert.describe_file(path, evaluator.input_names, evaluator.outputs)
    content = path.read_bytes()
    return ArtifactResult(
        stage="quantize",
        variant=variant,
        format="tflite",
        path=path.name,
        bytes=size,
        sha256=digest,
        inputs=inputs,
        outputs=outputs,
        sparsity=zero_fraction(kernels(path)),
        runtime=oldest_runtime(content)[0],
        arena_bytes=arena_bytes(content),
        **_figures(found, evaluator, before, baseline),
    )


def _figures(
    found: Quality, evaluator: Evaluator, before: Measured | None, baseline: Measured | None
) -> dict[str, Any]:
    """What a file's outputs and metrics say, as fields of its record."""
    classes, cut = listed(found.classes, evaluator.named_classes)
    levels = evaluator.confidences
    figures: dict[str, Any] = {
        "metrics": found.metrics,
        "intervals": {
            name: intervals
            for name, it in found.rows.items()
            if (intervals := [of for p in levels if (of := it.interval(p)) is not None])
        },
        "per_class": classes,
        "classes_cut": cut,
    }
    if before is not None:
        figures["drift"] = drift(before.artifact.name, before.outputs, found.outputs)
    if baseline is not None:
        figures["drops"] = {
            name: baseline.rows[name].drop(it, levels, lower_is_better=lower_is_better(name))
            for name, it in found.rows.items()
            if name in baseline.rows
        }
        figures["fidelity"] = fidelity(
            *(baseline.outputs, found.outputs, evaluator.answers, levels),
            synthetic=evaluator.is_synthetic,
        )
    return figures


def _evaluate(predict: Predict, evaluator: Evaluator, advance: Advance) -> Quality:
    def once(progress: Advance) -> Quality:
        return evaluate(
            *(predict, evaluator.samples, evaluator.objectives, progress),
            records_rows=True,
        )

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
