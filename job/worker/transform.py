"""The work in the child process: load, prune, strip, compress, quantize, measure.

Everything that it makes goes to one folder, which the parent publishes.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Mapping
from functools import partial
from typing import Any

import tensorflow as tf
import tf_keras

from job import machine
from job.events import Journal
from job.manifest.job import JobConfig
from job.metrics import gates
from job.result.result import WorkResult
from job.result.training import RunOfTrainingResult
from job.resume.checkpoints import Checkpoints
from job.stages.compress import Encoder
from job.worker.automatic import with_rules
from job.worker.aware import Trained, train_for_grids
from job.worker.clustering import Clustered, cluster
from job.worker.context import Files, Work
from job.worker.layer_figures import BaselineKernels, layer_results
from job.worker.load_inputs import load
from job.worker.measure import (
    encode,
    measure_baseline,
    measure_latencies,
    measure_made,
    wait_for_encodings,
    with_usage,
)
from job.worker.search import differs, search, with_held_out_rows
from job.worker.teach import Lessons
from job.worker.teacher import find_teacher
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
    job = with_held_out_rows(JobConfig.model_validate(manifest))
    tf_keras.utils.set_random_seed(job.training.seed)
    tf.config.experimental.enable_op_determinism()
    with (
        Encoder(job.codecs, machine.cores(), partial(encode, checkpoints)) as encoder,
        tempfile.TemporaryFile() as scratch,
    ):
        work = Work(job, files.output, journal, encoder, checkpoints)
        loaded = load(job, files, journal)
        how = try_variants(work, loaded)
        baseline = measure_baseline(work, loaded)
        before = BaselineKernels(scratch)
        if job.prune or job.cluster or job.search:
            before.save(loaded.file.model)
        work, sensitive = with_rules(work, loaded)
        found = None
        if job.search is None:
            teacher, taught = find_teacher(work, loaded)
        else:  # from here on it is the job that was found
            found = search(work, loaded, how, baseline)
            work, loaded, teacher, taught = found.work, found.loaded, found.teacher, found.taught
        lessons = Lessons(work, loaded, teacher)
        pruned = prune(work, loaded, lessons)
        gc.collect()  # wrappers, masks and moments hold each other, five times the weights
        clustered = cluster(work, loaded, pruned, lessons)
        trained = train_for_grids(work, clustered, lessons)
        gc.collect()
        variants = make_variants(work, loaded, clustered.model, how, trained)
        made = measure_made(work, loaded, pruned, clustered.model, baseline, variants)
        if found is not None:
            journal.warn(*differs(made[-1], found.chosen))
        encoded = wait_for_encodings(work, [baseline.artifact, *made])
        timed = measure_latencies(work, loaded.evaluator, encoded)
        artifacts = with_usage(
            timed,
            files.output,
            loaded.baseline.inputs,
            job.dataset,
            is_keras3=loaded.file.is_keras3,
        )
        layers = layer_results(work, pruned, clustered, before)
    return WorkResult(
        stages=journal.results(),
        objective={name: it.result() for name, it in loaded.objectives.items()},
        epochs=pruned.record.epochs,
        layers=layers,
        artifacts=artifacts,
        gates=gates.judge(work.job.gates, artifacts),
        warnings=journal.warnings,
        training=pruned.record.training,
        trained_for=pruned.record.trained_for,
        clusters=clustered.record.layers,
        trainings=_trainings(taught, clustered, trained),
        splits=dict(loaded.splits),
        class_names=list(loaded.class_names),
        sensitivity=sensitive,
        resumed=sorted(checkpoints.restored),
        search=None if found is None else found.result,
    )


def _trainings(
    teacher: RunOfTrainingResult | None, clustered: Clustered, variants: Mapping[str, Trained]
) -> dict[str, RunOfTrainingResult]:
    """The trainings beside the pruning, by what was trained."""
    found = {"teacher": teacher, "cluster": clustered.record.training}
    there = {name: it for name, it in found.items() if it is not None}
    return there | {name: it for name, (_, it) in variants.items()}
