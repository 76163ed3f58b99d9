"""The heavy half, in the child process: load, prune, strip, compress, quantize, measure.

The only module that knows all the stages. Everything it makes goes to one folder, which the
parent publishes.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from job import load_inputs, machine
from job.convert import Conversion, attempt, is_certain, plan
from job.datasets.data import (
    calibration_rows,
    shuffled_batches,
    steps_per_epoch,
)
from job.load_inputs import Loaded
from job.manifest.job import JobConfig
from job.manifest.prune import PruneConfig
from job.metrics import gates, promises
from job.metrics.artifact import (
    Measured,
    Ruler,
    measure_latency,
    measure_model,
    measure_tflite,
)
from job.metrics.gates import losses_of_quality
from job.metrics.objective import compile_options
from job.metrics.quality import evaluate, keras_predictor
from job.models import layers, load
from job.models.load import SUFFIXES, ModelFile
from job.progress import Journal, Stage
from job.result import (
    ArtifactResult,
    EpochResult,
    LayerResult,
    StageResult,
    WorkResult,
)
from job.safety.judge import Judged
from job.stages.compress import Encoder
from job.stages.fine_tune import fine_tune, make_optimizer
from job.stages.prune import check_reached, mask_weights, plan_window, wrap
from job.stages.quantize import quantize
from job.stages.strip import strip


@dataclass(frozen=True)
class Work:
    """What every step needs: what is asked, where files go, who is told."""

    job: JobConfig
    output: Path
    journal: Journal
    encoder: Encoder


@dataclass(frozen=True)
class Pruned:
    """The pruned model as it was read back from its file, and how it came to be."""

    read: ModelFile
    file: Path | None = None
    epochs: Sequence[EpochResult] = ()
    layers: Sequence[LayerResult] = ()


def transform(
    manifest: dict[str, Any],
    model: Judged,
    datasets: Sequence[Path],
    output: Path,
    journal: Journal,
) -> WorkResult:
    """Do the work.

    Args:
        manifest: The manifest, with its defaults.
        model: The model, judged.
        datasets: The data set's files, local paths, in the order in which they are joined.
        output: An empty folder; the model files and their encodings go here.
        journal: Is told what happens.

    Raises:
        ParedownError: Where an input is refused or a stage fails.
    """
    job = JobConfig.model_validate(manifest)
    tf_keras.utils.set_random_seed(job.training.seed)
    tf.config.experimental.enable_op_determinism()
    with Encoder(job.codecs, machine.cores()) as encoder:
        work = Work(job, output, journal, encoder)
        with journal.stage("load") as stage:
            files = load_inputs.Files(model, tuple(datasets), output)
            loaded = load_inputs.load(job, files, stage, journal)
        conversion = _try_variants(work, loaded)
        baseline = _measure_baseline(work, loaded)
        pruned = _prune(work, loaded)
        gc.collect()  # wrappers, masks and moments hold each other, five times the weights
        variants = _quantize(work, loaded, pruned, conversion)
        measured = [baseline, *_evaluate(work, loaded, pruned, baseline, variants)]
        artifacts = _latency(work, loaded.ruler, _encodings(work, measured))
    return WorkResult(
        stages=[
            StageResult(name=it.name, seconds=round(it.seconds, 3), decisions=it.decisions)
            for it in journal.stages
        ],
        objective={name: it.result() for name, it in loaded.ruler.objectives.items()},
        epochs=list(pruned.epochs),
        layers=list(pruned.layers),
        artifacts=artifacts,
        gates=gates.judge(job.gates, artifacts),
        warnings=journal.warnings,
    )


def _try_variants(work: Work, loaded: Loaded) -> Conversion:
    """Before anything is trained: what can't be converted is known in seconds."""
    model, outputs = loaded.file.model, loaded.baseline.outputs
    rows = loaded.dataset.train.model_inputs(slice(0, 2))
    if not work.job.variants:
        return Conversion(loaded.inputs, outputs, one_row=False)
    with work.journal.stage("try") as stage:
        how = plan(model, loaded.inputs, outputs, rows)
        if is_certain(model):
            stage.decide("the model has only layers that every variant converts")
            return how
        for done, variant in enumerate(work.job.variants.values(), 1):
            attempt(model, how, variant, rows)
            stage.advance(done, len(work.job.variants))
        return how


def _measure_baseline(work: Work, loaded: Loaded) -> Measured:
    """Before pruning, which changes this model's weights."""
    with work.journal.stage("baseline") as stage:
        return measure_model(loaded.baseline, loaded.ruler, None, stage.advance)


def _prune(work: Work, loaded: Loaded) -> Pruned:
    """Prune while fine-tuning, strip, save, and read back."""
    config = work.job.prune
    if config is None:
        work.journal.skip("prune", "prune is null; the model is not fine-tuned either")
        return Pruned(loaded.file)
    with work.journal.stage("prune") as stage:
        plans = layers.plan_layers(loaded.file.model, config)
        targets = layers.targets(plans, work.job.model.uri)
        for rule in layers.unmatched_rules(plans, config):
            work.journal.warn(f"No layer fits the rule {rule.model_dump(exclude_none=True)}.")
        wrapped, epochs = _fine_tune(work, loaded, targets, config, stage)
    with work.journal.stage("strip") as stage:
        file = work.output / f"prune{SUFFIXES[loaded.file.format]}"
        reloaded = load.save(strip(wrapped, loaded.file.model), loaded.file, file)
        work.encoder.add(file)
        found = layers.results(plans, reloaded.model)
        for warning in check_reached(found):
            work.journal.warn(warning)
        stage.decide(f"no wrapper is left; {len(found)} layers have the parameters they had")
        return Pruned(reloaded, file, epochs, found)


def _fine_tune(
    work: Work, loaded: Loaded, targets: dict[str, float], config: PruneConfig, stage: Stage
) -> tuple[tf_keras.Model, list[EpochResult]]:
    training, dataset, objectives = work.job.training, loaded.dataset, loaded.ruler.objectives
    steps = steps_per_epoch(len(dataset.train), training.batch_size)
    total = steps * training.epochs
    window = plan_window(config, total)
    stage.decide(
        f"{total} steps: {training.epochs} epochs of {len(dataset.train):,} rows in batches of "
        f"{training.batch_size}; masks are updated every {window.frequency} steps from "
        f"{window.begin_step} to {window.end_step}"
    )
    if window.end_step > total:
        work.journal.warn(
            f"The pruning schedule ends at step {window.end_step}, after the training's last "
            f"({total}): the sparsity asked for is not reached."
        )
    wrapped = wrap(loaded.file.model, targets, config, window)
    wrapped.output_names = list(objectives)  # Keras calls metrics by them
    optimizer = make_optimizer(training.optimizer, total)
    wrapped.compile(optimizer, **compile_options(wrapped, objectives))

    def end_epoch() -> dict[str, float]:
        mask_weights(wrapped)
        held_out = dataset.validation
        if held_out is None:
            return {}
        # The wrapped model shares its weights with the loaded one.
        return evaluate(loaded.predict, held_out.read, len(held_out), objectives, _quiet).metrics

    batches = shuffled_batches(dataset.train, training.batch_size, training.seed)
    return wrapped, fine_tune(wrapped, batches, steps, training, end_epoch, stage)


def _quiet(_: int, __: int) -> None:
    """Progress that nobody needs to see."""


def _quantize(work: Work, loaded: Loaded, pruned: Pruned, how: Conversion) -> dict[str, Path]:
    """Every variant of the pruned model: name -> file."""
    variants = work.job.variants
    files: dict[str, Path] = {}
    if not variants:
        work.journal.skip("quantize", "quantize asks for no variant")
        return files
    with work.journal.stage("quantize") as stage:
        model = how.prepared(pruned.read.model)
        stage.decisions.extend(how.decided)
        for done, (name, config) in enumerate(variants.items(), 1):
            samples = getattr(config, "calibration_samples", 0)
            rows = calibration_rows(len(loaded.dataset.train), samples, work.job.training.seed)
            if len(rows) < samples:
                work.journal.warn(f"{name} is calibrated on all {len(rows)} training rows.")
            files[name] = work.output / f"{name}.tflite"
            calibration = loaded.dataset.train.model_inputs(rows)
            quantize(model, config, calibration, files[name])
            work.encoder.add(files[name])
            stage.advance(done, len(variants))
    return files


def _evaluate(
    work: Work, loaded: Loaded, pruned: Pruned, baseline: Measured, variants: dict[str, Path]
) -> list[Measured]:
    """Measure every file that was made, each against the stage before it."""
    measured = []
    before = baseline
    work.encoder.add(loaded.baseline.path)  # not earlier: training needs the cores
    with work.journal.stage("evaluate") as stage:
        if pruned.file is not None:
            file = replace(
                loaded.baseline,
                path=pruned.file,
                model=pruned.read.original,
                predict=keras_predictor(pruned.read.original),
                reference_bytes=None,
                optimizer_bytes=0,
            )
            before = measure_model(file, loaded.ruler, baseline, stage.advance)
            measured.append(before)
            for warning in losses_of_quality(baseline.artifact, before.artifact):
                work.journal.warn(f"{warning} Train for more steps, or prune less.")
        for name, path in variants.items():
            it = measure_tflite(path, name, loaded.ruler, before, stage.advance)
            found = promises.check(
                work.job.variants[name], path, it.artifact.inputs, it.artifact.outputs
            )
            stage.decisions.extend(f"{name}: {text}" for text in found)
            measured.append(it)
    return measured


def _encodings(work: Work, measured: Sequence[Measured]) -> list[ArtifactResult]:
    """Wait for the encodings that were begun when the files were made."""
    with work.journal.stage("compress") as stage:
        encodings = work.encoder.finish(stage.advance)
        stage.decisions.extend(work.encoder.left_out)
        return [
            it.artifact.model_copy(update={"encoded": encodings[it.artifact.path]})
            for it in measured
        ]


def _latency(work: Work, ruler: Ruler, artifacts: Sequence[ArtifactResult]) -> list[ArtifactResult]:
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
