"""Every file that a user could ship, measured: quality, encodings, latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from job.artifact import EncodingResult
from job.manifest.compress import ENCODINGS, CodecConfig
from job.metrics import collapse, promises
from job.metrics.artifact import (
    Advance,
    Measured,
    Ruler,
    measure_latency,
    measure_model,
    measure_tflite,
)
from job.metrics.constant import constant_metrics
from job.metrics.gates import losses_of_quality
from job.metrics.per_class import check_gates
from job.metrics.quality import keras_predictor
from job.metrics.usefulness import useless_outputs
from job.models import load, precision
from job.result import ArtifactResult
from job.resume.checkpoints import TAKEN, Form, Kept, digest, place
from job.stages.compress import compress
from job.worker import constrained
from job.worker.arrays import read_arrays, write_arrays
from job.worker.context import Work
from job.worker.doubts import warn_of_useless
from job.worker.load_inputs import Loaded
from job.worker.train import Pruned

# Pieces that are encodings begin so.
ENCODE = "encode "


def measure_baseline(work: Work, loaded: Loaded) -> Measured:
    """Before pruning, which changes this model's weights."""
    with work.journal.stage("baseline") as stage:
        measured = work.kept.piece(
            "baseline",
            digest(loaded.baseline.path),
            _measured_form(work, "baseline", loaded.ruler),
            lambda: _measure_baseline(loaded, stage.advance),
            stage,
        )
        check_gates(work.job.gates, measured.artifact, list(loaded.ruler.objectives))
        warn_of_useless(work, loaded, measured)
        return measured


def _measure_baseline(loaded: Loaded, advance: Advance) -> Measured:
    """The baseline, and what a constant answer would get in its place."""
    measured = measure_model(loaded.baseline, loaded.ruler, None, advance)
    targets = loaded.dataset.train.targets
    constants = constant_metrics(targets, loaded.baseline.outputs, loaded.ruler)
    artifact = measured.artifact.model_copy(update={"constant_metrics": constants})
    found = useless_outputs(artifact, loaded.ruler.objectives, loaded.ruler.rows)
    artifact = artifact.model_copy(update={"useless_outputs": found})
    return replace(measured, artifact=artifact)


def measure_made(
    work: Work, loaded: Loaded, pruned: Pruned, baseline: Measured, variants: Mapping[str, Path]
) -> list[ArtifactResult]:
    """Measure every file that was made, each against the stage before it."""
    made = []
    before = baseline
    work.encoder.add(loaded.baseline.path)  # not earlier: training needs the cores
    with work.journal.stage("evaluate") as stage:
        if not pruned.is_baseline:
            before = work.kept.piece(
                "evaluate prune",
                f"{digest(pruned.path)} {baseline.artifact.sha256}",
                _measured_form(work, "prune", loaded.ruler),
                lambda: _measure_pruned(loaded, pruned, baseline, stage.advance),
                stage,
            )
            made.append(before.artifact)
            for warning in losses_of_quality(baseline.artifact, before.artifact):
                work.journal.warn(f"{warning} Train for more steps, or prune less.")
            _warn_of_collapse(work, before.artifact, baseline.artifact)
        for name, path in variants.items():
            artifact = work.kept.piece(
                f"evaluate {name}",
                f"{digest(path)} {before.artifact.sha256}",
                ARTIFACT,
                partial(_measure_variant, path, name, loaded.ruler, before, stage.advance),
                stage,
            )
            found = promises.check(work.job.variants[name], path, artifact.inputs, artifact.outputs)
            found.extend(constrained.in_file(pruned.read.model, path))
            stage.decisions.extend(f"{name}: {text}" for text in found)
            if work.job.variants[name].type == "float32" and _is_exact(loaded):
                collapse.refuse_drift(name, artifact)
            _warn_of_collapse(work, artifact, before.artifact)
            made.append(artifact)
    return made


def _warn_of_collapse(work: Work, artifact: ArtifactResult, before: ArtifactResult) -> None:
    for text in collapse.warnings(artifact, before):
        work.journal.warn(text)


def _is_exact(loaded: Loaded) -> bool:
    """Whether the model computes in float32, and answers the same when it is asked twice."""
    if precision.computes_otherwise(loaded.file.original):
        return False
    rows = loaded.ruler.read(0, min(8, loaded.ruler.rows))[0]
    asked = [loaded.predict(rows) for _ in range(2)]
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*asked, strict=True))


def _measure_pruned(
    loaded: Loaded, pruned: Pruned, baseline: Measured, advance: Advance
) -> Measured:
    file = replace(
        loaded.baseline,
        stage="prune",
        path=pruned.path,
        model=pruned.read.original,
        predict=keras_predictor(pruned.read.original),
        reference_bytes=None,
        optimizer_bytes=0,
    )
    return measure_model(file, loaded.ruler, baseline, advance)


def _measure_variant(
    path: Path, name: str, ruler: Ruler, before: Measured, advance: Advance
) -> ArtifactResult:
    return measure_tflite(path, name, ruler, before, advance).artifact


def wait_for_encodings(work: Work, artifacts: Sequence[ArtifactResult]) -> list[ArtifactResult]:
    """Wait for the encodings that were begun when the files were made."""
    with work.journal.stage("compress") as stage:
        encodings = work.encoder.finish(stage.advance)
        stage.decisions.extend(work.encoder.left_out)
        for name in sorted(work.kept.taken):
            if name.startswith(ENCODE):
                stage.resumed(f"{name}: {TAKEN}")
        return [it.model_copy(update={"encoded": encodings[it.path]}) for it in artifacts]


def measure_latencies(
    work: Work, ruler: Ruler, artifacts: Sequence[ArtifactResult]
) -> list[ArtifactResult]:
    """Measured at the end, when nothing else is computing."""
    timed = []
    with work.journal.stage("latency") as stage:
        for done, artifact in enumerate(artifacts, 1):
            path = work.output / artifact.path
            model = (
                None
                if artifact.format == "tflite"
                else load.read(path, trust=work.job.model.trust).original
            )
            found = measure_latency(artifact, work.output, model, ruler)
            timed.append(artifact.model_copy(update={"latency_ms": found}))
            stage.advance(done, len(artifacts))
    return timed


def encode_once(kept: Kept, path: Path, codec: CodecConfig) -> EncodingResult:
    """An encoding beside its file: taken where a stopped run has left it, or else made."""

    def write(record: EncodingResult) -> tuple[EncodingResult, Sequence[Path]]:
        return record, [path.with_name(record.path)]

    def read(record: EncodingResult, files: Mapping[str, Path]) -> EncodingResult:
        place(files[record.path], path.with_name(record.path))
        return record

    name = f"{ENCODE}{path.name}{ENCODINGS[codec.type].suffix}"
    form = Form(EncodingResult, write, read)
    return kept.once(name, digest(path), form, lambda: compress(path, codec))


def _measured_form(work: Work, name: str, ruler: Ruler) -> Form[Measured, ArtifactResult]:
    """A record, and the outputs for the drift of what is measured later."""

    def write(measured: Measured) -> tuple[ArtifactResult, Sequence[Path]]:
        path = work.kept.folder / f"{name}-outputs.npz"
        write_arrays(path, list(measured.outputs.values()))
        return measured.artifact, [path]

    def read(record: ArtifactResult, files: Mapping[str, Path]) -> Measured:
        (path,) = files.values()
        outputs = [it.astype(np.float32, copy=False) for it in read_arrays(path)]
        return Measured(record, dict(zip(ruler.objectives, outputs, strict=True)))

    return Form(ArtifactResult, write, read)


def _alone(record: ArtifactResult, _: Mapping[str, Path]) -> ArtifactResult:
    return record


ARTIFACT = Form(ArtifactResult, lambda it: (it, []), _alone)
