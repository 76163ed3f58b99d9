"""The work in the child process: load, prune, strip, compress, quantize, measure.

Everything that it makes goes to one folder, which the parent publishes.
"""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

import tensorflow as tf
import tf_keras

from job import machine
from job.events import Journal
from job.manifest.job import JobConfig
from job.metrics import gates
from job.result import WorkResult
from job.resume.checkpoints import Checkpoints
from job.stages.compress import Encoder
from job.worker.context import Files, Work
from job.worker.load_inputs import load
from job.worker.measure import (
    encode,
    measure_baseline,
    measure_latencies,
    measure_made,
    wait_for_encodings,
    with_usage,
)
from job.worker.train import prune
from job.worker.variants import make_variants, try_variants


def transform(
    manifest: dict[str, Any], files: Files, checkpoints: Checkpoints, journal: Journal
) -> WorkResult:
    """Do the work, or what is left of it.

    Args:
        manifest: The manifest, with its defaults.
        files: The inputs, the model judged; and an empty folder, where the model files and their
            encodings go.
        checkpoints: Those of an earlier run of the same job.
        journal: Receives what happens.

    Raises:
        ParedownError: Where an input is refused or a stage fails.
        StoppedError: Where the training was asked to stop, and is saved.
    """
    job = JobConfig.model_validate(manifest)
    tf_keras.utils.set_random_seed(job.training.seed)
    tf.config.experimental.enable_op_determinism()
    with Encoder(job.codecs, machine.cores(), partial(encode, checkpoints)) as encoder:
        work = Work(job, files.output, journal, encoder, checkpoints)
        loaded = load(job, files, journal)
        how = try_variants(work, loaded)
        baseline = measure_baseline(work, loaded)
        pruned = prune(work, loaded)
        gc.collect()  # wrappers, masks and moments hold each other, five times the weights
        variants = make_variants(work, loaded, pruned, how)
        made = measure_made(work, loaded, pruned, baseline, variants)
        encoded = wait_for_encodings(work, [baseline.artifact, *made])
        timed = measure_latencies(work, loaded.evaluator, encoded)
        artifacts = with_usage(
            timed,
            files.output,
            loaded.baseline.inputs,
            job.dataset.scale,
            is_keras3=loaded.file.is_keras3,
        )
    return WorkResult(
        stages=journal.results(),
        objective={name: it.result() for name, it in loaded.evaluator.objectives.items()},
        epochs=pruned.record.epochs,
        layers=pruned.record.layers,
        artifacts=artifacts,
        gates=gates.judge(job.gates, artifacts),
        warnings=journal.warnings,
        training=pruned.record.training,
        resumed=sorted(checkpoints.restored),
    )
