"""The measurement of a file by what it does after being read back from disk, and of how fast it is.

Latency is that of one sample (batch 1), warm, on one thread and on all. A ``.tflite`` runs in the
LiteRT interpreter, which takes the number of threads. TensorFlow fixes its number of threads once
per process, so for a Keras model "one thread" is the same process pinned to one core (within 2 % of
a session with one thread, where both were measured).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from job.artifact import KerasFormat, LatencyResult, TensorResult, file_digest
from job.manifest.job import StageName
from job.metrics import litert
from job.metrics.fidelity import drift
from job.metrics.per_class import listed
from job.metrics.quality import (
    Advance,
    Inputs,
    Output,
    Predict,
    Quality,
    ReadRows,
    answer,
    evaluate,
    mean_of_passes,
)
from job.metrics.sparsity import kernels, model_sparsity, zero_fraction
from job.objective.losses import Objectives
from job.result import ArtifactResult, TensorSpec

WARM_UP_RUNS = 3
# Runs are counted until one of these is reached, and at least MIN_RUNS.
MAX_RUNS = 100
MAX_SECONDS = 0.25
MIN_RUNS = 5


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
        return keras_latency(model, evaluator.sample(), evaluator.threads)
    names = list(evaluator.input_names)
    return tflite_latency(folder / artifact.path, names, evaluator.sample(), evaluator.threads)


def describe(specs: Sequence[TensorSpec]) -> list[TensorResult]:
    """Inputs or outputs of a Keras model, for the result."""
    return [TensorResult(name=it.name, dtype=it.dtype, shape=[None, *it.shape]) for it in specs]


def tflite_latency(
    path: Path, names: list[str], sample: Inputs, threads: int
) -> dict[str, LatencyResult]:
    """Milliseconds for one sample of a ``.tflite``.

    Args:
        path: The file.
        names: The Keras model's inputs, in the order of ``sample``.
        sample: One row for each input.
        threads: The number for ``all_threads``.
    """
    results = {}
    for label, count in (("one_thread", 1), ("all_threads", threads)):
        interpreter = litert.open_file(path, names, sample, count)
        for detail, array in zip(litert.ordered_inputs(interpreter, names), sample, strict=True):
            interpreter.set_tensor(detail["index"], litert.quantize(array, detail))
        results[label] = timed(interpreter.invoke, "litert", count)
    return results


def keras_latency(model: Any, sample: Inputs, threads: int) -> dict[str, LatencyResult]:
    """Milliseconds for one sample of a Keras model.

    Args:
        model: The model.
        sample: One row for each input, in the model's order.
        threads: The number for ``all_threads``.

    Returns:
        Without ``one_thread`` where the system can't pin a process to a core.
    """
    specs = [tf.TensorSpec(array.shape, array.dtype) for array in sample]

    @tf.function(input_signature=specs)
    def forward(*inputs: tf.Tensor) -> list[tf.Tensor]:
        return answer(model, inputs)

    run = forward.get_concrete_function()
    tensors = [tf.constant(array) for array in sample]
    results = {"all_threads": timed(lambda: run(*tensors), "tensorflow", threads)}
    if hasattr(os, "sched_setaffinity"):
        with _one_core():
            results["one_thread"] = timed(lambda: run(*tensors), "tensorflow", 1)
    return results


def timed(
    run: Callable[[], object], runtime: Literal["tensorflow", "litert"], threads: int
) -> LatencyResult:
    """Median and 90th percentile of repeated calls, in milliseconds."""
    for _ in range(WARM_UP_RUNS):
        run()
    times: list[float] = []
    while len(times) < MIN_RUNS or (len(times) < MAX_RUNS and sum(times) < MAX_SECONDS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    median, p90 = np.percentile(np.asarray(times) * 1e3, [50, 90])
    return LatencyResult(
        runtime=runtime,
        threads=threads,
        runs=len(times),
        median=round(float(median), 4),
        p90=round(float(p90), 4),
    )


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Pin all threads of this process to one core for the duration of the block."""
    cores = os.sched_getaffinity(0)
    _pin({min(cores)})
    try:
        yield
    finally:
        _pin(cores)


def _pin(cores: set[int]) -> None:
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # the thread has ended
            os.sched_setaffinity(int(thread.name), cores)
