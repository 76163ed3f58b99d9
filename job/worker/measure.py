"""Every file that a user could ship, measured: quality, encodings, latency; and how it is used.

The usage is there so that a reader of ``result.json`` needs no manifest: how an encoding is opened,
which package loads the file, what raw values are multiplied with, and whether it keeps a state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from job.manifest.compress import ENCODINGS, CodecConfig
from job.manifest.datasets import DatasetConfig
from job.manifest.job import JobConfig, StageName
from job.metrics import drift, gates, litert, promises
from job.metrics.artifact import (
    Evaluator,
    KerasFile,
    Measured,
    measure_latency,
    measure_model,
    measure_tflite,
)
from job.metrics.constant import constant_metrics
from job.metrics.per_class import check_gates
from job.metrics.quality import Advance, keras_predictor
from job.metrics.usefulness import useless_outputs
from job.models import load, reconfigure
from job.models.layers import layers_of
from job.result.artifact import (
    EncodingResult,
    PreprocessResult,
    TensorResult,
    UsageResult,
    file_digest,
)
from job.result.result import ArtifactResult, ratio
from job.result.specs import TensorSpec
from job.resume.checkpoints import RESTORED, Checkpoints
from job.rows.normalization import preprocessed
from job.rows.preprocess import matched
from job.stages.compress import compress
from job.worker.baseline_checks import warn_of_useless
from job.worker.checkpoint_formats import ARTIFACT, encoding_of, measured
from job.worker.context import Loaded, Work
from job.worker.layer_bits import model_bits
from job.worker.small import VariantFile
from job.worker.train import Pruned
from job.worker.variants import check_constraints

# Names of checkpoints that are encodings begin so.
ENCODE = "encode "
# Of a ratio in the result, after the point.
RATIO_DIGITS = 4
# What helps where a model got much worse, by the stage that made it.
LESS: dict[StageName, str] = {"prune": "prune less", "cluster": "ask for more clusters"}


def measure_baseline(work: Work, loaded: Loaded) -> Measured:
    """Before pruning, which changes this model's weights."""
    with work.journal.stage("baseline") as stage:
        found = work.checkpoints.restore_or_make(
            "baseline",
            file_digest(loaded.baseline.path)[1],
            measured(work.checkpoints.folder, "baseline", loaded.evaluator),
            lambda: _measure_baseline(loaded, stage.advance),
            stage,
        )
        check_gates(work.job.gates, found.artifact, loaded.evaluator.outputs)
        warn_of_useless(work, loaded, found)
        return found


def _measure_baseline(loaded: Loaded, advance: Advance) -> Measured:
    """The baseline, and the metrics of a constant answer."""
    baseline = _measure_model(loaded.baseline, loaded.evaluator, None, advance)
    if not loaded.evaluator.objectives:
        return baseline
    targets = loaded.dataset.train.targets or loaded.dataset.test.targets
    constants = constant_metrics(targets, loaded.baseline.outputs, loaded.evaluator)
    artifact = baseline.artifact.model_copy(update={"constant_metrics": constants})
    found = useless_outputs(artifact, loaded.evaluator.objectives, loaded.evaluator.samples.count)
    artifact = artifact.model_copy(update={"useless_outputs": found})
    return replace(baseline, artifact=artifact)


def measure_made(
    work: Work,
    loaded: Loaded,
    pruned: Pruned,
    clustered: Pruned,
    baseline: Measured,
    variants: Mapping[str, VariantFile],
) -> list[ArtifactResult]:
    """Measure every file that was made, each against the stage before it."""
    made = []
    before = baseline
    work.encoder.add(loaded.baseline.path)  # not earlier: training needs the cores
    with work.journal.stage("evaluate") as stage:
        models: dict[StageName, Pruned] = {"prune": pruned}
        if clustered is not pruned:
            models["cluster"] = clustered
        for made_by, model in models.items():
            if model.is_baseline:
                continue
            before = work.checkpoints.restore_or_make(
                f"evaluate {made_by}",
                f"{file_digest(model.path)[1]} {baseline.artifact.sha256}",
                measured(work.checkpoints.folder, made_by, loaded.evaluator),
                partial(_measure_keras, loaded, made_by, model, baseline, stage.advance),
                stage,
            )
            made.append(before.artifact)
            for warning in gates.losses_of_quality(baseline.artifact, before.artifact):
                advice = advice_on_statistics(work.job, loaded.file.model)
                work.journal.warn(f"{warning} Train for more steps, or {LESS[made_by]}.{advice}")
            work.journal.warn(*drift.warnings(before.artifact, baseline.artifact))
        for name, file in variants.items():
            path = file.path
            artifact = work.checkpoints.restore_or_make(
                f"evaluate {name}",
                f"{file_digest(path)[1]} {before.artifact.sha256} {baseline.artifact.sha256}",
                ARTIFACT,
                partial(
                    measure_tflite,
                    *(path, name, loaded.evaluator, before, baseline, stage.advance),
                ),
                stage,
            )
            artifact = file.described(artifact)
            found = promises.check(work.job.variants[name], path, artifact.inputs, artifact.outputs)
            is_trained = name in work.job.aware_variants
            found += check_constraints(clustered.read.model, path, is_trained=is_trained)
            stage.decide(*(f"{name}: {text}" for text in found))
            if work.job.variants[name].type == "float32" and _is_exact(loaded):
                drift.refuse_drift(name, artifact)
            work.journal.warn(*drift.warnings(artifact, before.artifact, is_trained=is_trained))
            made.append(artifact)
    return made


def advice_on_statistics(job: JobConfig, model: Any) -> str:
    """What else may help where a model learns its own outputs with other statistics than it has;
    empty where nothing does.
    """
    learns_itself = job.objective.type == "distill" and not job.has_train_targets
    if not learns_itself or job.training.freeze_batch_normalization:
        return ""
    if not any("BatchNormalization" in type(it).__name__ for _, it in layers_of(model)):
        return ""
    return (
        " Or set training.freeze_batch_normalization: with statistics of batches the training "
        "starts from other outputs than the model's."
    )


def _is_exact(loaded: Loaded) -> bool:
    """Whether the model computes in float32, and gives the same outputs twice."""
    if reconfigure.computes_otherwise(loaded.file.original):
        return False
    rows = loaded.evaluator.samples.read(0, min(8, loaded.evaluator.samples.count))[0]
    asked = [loaded.predict(rows) for _ in range(2)]
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*asked, strict=True))


def _measure_keras(
    loaded: Loaded, made_by: StageName, pruned: Pruned, baseline: Measured, advance: Advance
) -> Measured:
    file = replace(
        loaded.baseline,
        stage=made_by,
        path=pruned.path,
        model=pruned.read.original,
        predict=keras_predictor(pruned.read.original),
        reference_bytes=None,
        optimizer_bytes=0,
    )
    return _measure_model(file, loaded.evaluator, baseline, advance)


def _measure_model(
    file: KerasFile, evaluator: Evaluator, baseline: Measured | None, advance: Advance
) -> Measured:
    """The measurements of a Keras file, with the bits of its weights."""
    found = measure_model(file, evaluator, baseline, advance)
    bits = model_bits(file.model)
    return replace(found, artifact=found.artifact.model_copy(update={"layer_bits": bits}))


def wait_for_encodings(work: Work, artifacts: Sequence[ArtifactResult]) -> list[ArtifactResult]:
    """The artifacts, the baseline first, with their encodings, which run since the files were made,
    and with how many times smaller they are.
    """
    with work.journal.stage("compress") as stage:
        encodings = work.encoder.finish(stage.advance)
        stage.decide(*work.encoder.left_out)
        for name in sorted(work.checkpoints.restored):
            if name.startswith(ENCODE):
                stage.resumed(f"{name}: {RESTORED}")
        found = [it.model_copy(update={"encoded": encodings[it.path]}) for it in artifacts]
        return [
            it.model_copy(update={"times_smaller": round(ratio(found[0], it), RATIO_DIGITS)})
            for it in found
        ]


def measure_latencies(
    work: Work, evaluator: Evaluator, artifacts: Sequence[ArtifactResult]
) -> list[ArtifactResult]:
    """Measure latency at the end, when nothing else is computing."""
    timed = []
    with work.journal.stage("latency") as stage:
        for done, artifact in enumerate(artifacts, 1):
            path = work.output / artifact.path
            model = (
                None
                if artifact.format == "tflite"
                else load.read(path, trust=work.job.model.trust).original
            )
            found = measure_latency(artifact, work.output, model, evaluator)
            timed.append(artifact.model_copy(update={"latency_ms": found}))
            stage.advance(done, len(artifacts))
    return timed


def with_usage(
    artifacts: Sequence[ArtifactResult],
    folder: Path,
    inputs: Sequence[TensorSpec],
    dataset: DatasetConfig | None,
    *,
    is_keras3: bool,
) -> list[ArtifactResult]:
    """The artifacts with their usage.

    Args:
        artifacts: The artifacts.
        folder: Where their files are.
        inputs: The Keras model's inputs. Values for floating-point ones are scaled, integers are
            indices or raw pixels and are not; also where a ``.tflite`` takes another dtype.
        dataset: The manifest's, which says how values are scaled or preprocessed.
        is_keras3: Whether Keras 3 wrote the model.
    """
    scale = dataset.scale if dataset else 1.0
    factors = {
        it.name: scale if np.issubdtype(np.dtype(it.dtype), np.floating) else 1.0 for it in inputs
    }
    configs = matched(dataset.preprocess if dataset else (), inputs)
    named = zip(inputs, configs, strict=True)
    done = {spec.name: preprocessed(one, spec) for spec, one in named if one is not None}
    return [
        artifact.model_copy(
            update={
                "inputs": [_prepared(it, factors, done) for it in artifact.inputs],
                "encoded": {codec: _decoded(codec, it) for codec, it in artifact.encoded.items()},
                "usage": _usage(artifact, folder / artifact.path, is_keras3=is_keras3),
            }
        )
        for artifact in artifacts
    ]


def encode(checkpoints: Checkpoints, path: Path, codec: CodecConfig) -> EncodingResult:
    """An encoding beside its file: restored, or made."""
    name = f"{ENCODE}{path.name}{ENCODINGS[codec.type].suffix}"
    return checkpoints.restore_or_make_quietly(
        name, file_digest(path)[1], encoding_of(path), lambda: compress(path, codec)
    )


def _prepared(
    tensor: TensorResult, factors: dict[str, float], done: Mapping[str, PreprocessResult]
) -> TensorResult:
    if done:  # a file without names has the inputs in the model's order, or a single one
        alone = next(iter(done.values())) if len(factors) == 1 else None
        found = done.get(tensor.name, alone)
        if found is not None:
            return tensor.model_copy(update={"preprocess": found, "multiply_by": None})
    of_all = set(factors.values())
    # The file may have other names, which does not matter where all inputs have the same factor.
    factor = factors.get(tensor.name, of_all.pop() if len(of_all) == 1 else None)
    return tensor.model_copy(update={"multiply_by": factor})


def _decoded(codec: str, encoding: EncodingResult) -> EncodingResult:
    return encoding.model_copy(update={"decoder": ENCODINGS[codec].decoder})


def _usage(artifact: ArtifactResult, path: Path, *, is_keras3: bool) -> UsageResult:
    if artifact.format == "tflite":
        has_state = any(it.is_state for it in litert.tensors(path))
        return UsageResult(loader="ai_edge_litert", has_state=has_state)
    return UsageResult(loader="keras" if is_keras3 else "tf_keras")
