"""The heavy half, in the child process: load, prune, strip, compress, quantize, measure.

The only module that knows all the stages. Everything it makes goes to one folder, which the
parent publishes.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from job import machine
from job.artifact import Record
from job.datasets.data import calibration_rows
from job.events import Journal
from job.manifest.job import JobConfig
from job.manifest.quantize import QuantizeConfig
from job.metrics import gates
from job.result import WorkResult
from job.resume.checkpoints import Form, Kept, digest, place
from job.stages.compress import Encoder
from job.stages.quantize import quantize
from job.worker import load_inputs, memory, padding
from job.worker.context import Work
from job.worker.convert import Conversion, attempt, is_certain, plan
from job.worker.load_inputs import Loaded
from job.worker.measure import (
    encode_once,
    measure_baseline,
    measure_latencies,
    measure_made,
    wait_for_encodings,
)
from job.worker.train import Pruned, prune
from job.worker.usage import with_usage


def transform(
    manifest: dict[str, Any], files: load_inputs.Files, kept: Kept, journal: Journal
) -> WorkResult:
    """Do the work, or what is left of it.

    Args:
        manifest: The manifest, with its defaults.
        files: The inputs, the model judged; and an empty folder, where the model files and their
            encodings go.
        kept: What a stopped run of the same job has left.
        journal: Is told what happens.

    Raises:
        ParedownError: Where an input is refused or a stage fails.
        StoppedError: Where the training was told to stop, and is saved.
    """
    job = JobConfig.model_validate(manifest)
    tf_keras.utils.set_random_seed(job.training.seed)
    tf.config.experimental.enable_op_determinism()
    with Encoder(job.codecs, machine.cores(), partial(encode_once, kept)) as encoder:
        work = Work(job, files.output, journal, encoder, kept)
        with journal.stage("load") as stage:
            loaded = load_inputs.load(job, files, stage, journal)
        too_large = memory.warning(loaded, is_trained=job.prune is not None)
        if too_large:
            journal.warn(too_large)
        conversion = _try_variants(work, loaded)
        baseline = measure_baseline(work, loaded)
        pruned = prune(work, loaded)
        gc.collect()  # wrappers, masks and moments hold each other, five times the weights
        variants = _quantize(work, loaded, pruned, conversion)
        made = measure_made(work, loaded, pruned, baseline, variants)
        encoded = wait_for_encodings(work, [baseline.artifact, *made])
        timed = measure_latencies(work, loaded.ruler, encoded)
        artifacts = with_usage(
            timed,
            files.output,
            loaded.baseline.inputs,
            job.dataset.scale,
            is_keras3=loaded.file.is_keras3,
        )
    return WorkResult(
        stages=journal.results(),
        objective={name: it.result() for name, it in loaded.ruler.objectives.items()},
        epochs=list(pruned.epochs),
        layers=list(pruned.layers),
        artifacts=artifacts,
        gates=gates.judge(job.gates, artifacts),
        warnings=journal.warnings,
        training=pruned.training,
        resumed=sorted(kept.taken),
    )


def _try_variants(work: Work, loaded: Loaded) -> Conversion:
    """Before anything is trained: what can't be converted is known in seconds."""
    model, outputs = loaded.file.model, loaded.baseline.outputs
    rows = loaded.dataset.train.model_inputs(slice(0, 2))
    if not work.job.variants:
        return Conversion(loaded.inputs, outputs, one_row=False)
    with work.journal.stage("try") as stage:
        for text in padding.check(work.job.variants, model, loaded.dataset):
            stage.decide(text)
        how = plan(model, loaded.inputs, outputs, rows)
        if is_certain(model):
            stage.decide("the model has only layers that every variant converts")
            return how
        for done, variant in enumerate(work.job.variants.values(), 1):
            attempt(model, how, variant, rows)
            stage.advance(done, len(work.job.variants))
        return how


def _quantize(work: Work, loaded: Loaded, pruned: Pruned, how: Conversion) -> dict[str, Path]:
    """Every variant of the pruned model: name -> file."""
    variants = work.job.variants
    files: dict[str, Path] = {}
    if not variants:
        work.journal.skip("quantize", "quantize asks for no variant")
        return files
    of = digest(pruned.path)
    with work.journal.stage("quantize") as stage:
        model = how.prepared(pruned.read.model)
        stage.decisions.extend(how.decided)
        for done, (name, config) in enumerate(variants.items(), 1):
            make = partial(_convert, work, loaded, model, name, config)
            files[name] = work.kept.piece(
                f"quantize {name}", of, _file_in(work.output), make, stage
            )
            work.encoder.add(files[name])
            stage.advance(done, len(variants))
    return files


def _convert(
    work: Work, loaded: Loaded, model: tf_keras.Model, name: str, config: QuantizeConfig
) -> Path:
    samples = getattr(config, "calibration_samples", 0)
    rows = calibration_rows(len(loaded.dataset.train), samples, work.job.training.seed)
    if len(rows) < samples:
        work.journal.warn(f"{name} is calibrated on all {len(rows)} training rows.")
    path = work.output / f"{name}.tflite"
    quantize(model, config, loaded.dataset.train.model_inputs(rows), path)
    return path


class _Nothing(Record):
    """A file says it all."""


def _file_in(folder: Path) -> Form[Path, _Nothing]:
    def read(_: _Nothing, files: Mapping[str, Path]) -> Path:
        ((name, file),) = files.items()
        return place(file, folder / name)

    return Form(_Nothing, lambda path: (_Nothing(), [path]), read)
