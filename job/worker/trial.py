"""One trial of a search: settings -> a job (``trial_job.py``) -> a file, judged on held-out rows.

A trial is what an ordinary job of its settings does, with no other code: so the settings that were
chosen, written as a manifest, make the same bytes again.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tf_keras

from job.errors import StageError
from job.events import Journal
from job.manifest.job import JobConfig
from job.metrics.artifact import measure_tflite
from job.metrics.gates import TOLERANCE
from job.models.kernel_axes import kernel_sizes
from job.result.artifact import file_digest
from job.result.search import TrialResult, TrialSettings
from job.resume.checkpoints import Checkpoints
from job.stages.compress import Encoder
from job.worker.aware import train_for_grids
from job.worker.clustering import cluster
from job.worker.context import Loaded, Work
from job.worker.convert import Conversion
from job.worker.judgement import Judgement, smallest_bytes
from job.worker.teach import Lessons, Teacher
from job.worker.train import prune
from job.worker.training_plan import Available, plan_training
from job.worker.trial_job import settings_of, small_layers
from job.worker.variants import make_variants
from job.worker.verdict import MOST_DROP, judge
from job.worker.weight_noise import noisiest


@dataclass(frozen=True)
class Bench:
    """What every trial is made with."""

    work: Work
    """The job with the search."""
    loaded: Loaded
    how: Conversion
    teacher: Teacher
    judgement: Judgement
    noisiest: Sequence[str] = ()
    """The layers in the order in which they have more bits."""


def run_trial(bench: Bench, asked: TrialSettings, number: int) -> TrialResult:
    """Make a file with some settings, and judge it; the model's weights are left as they were.

    A stage that fails (a training that diverges) fails with these settings, and may not with
    others: the trial has not passed then, and says why.
    """
    started = time.perf_counter()
    # The original of another library or precision is what files are saved with, and the teacher.
    file = bench.loaded.file
    before = [(model, model.get_weights()) for model in (file.original, file.model)]
    try:
        return _judged(bench, asked, number, started)
    except StageError as error:
        return TrialResult(
            number=number,
            settings=asked,
            failure=error.what,
            bytes=0,
            sha256="",
            value=None,
            margin=-MOST_DROP,
            passed=False,
            seconds=round(time.perf_counter() - started, 3),
        )
    finally:
        for model, weights in before:
            model.set_weights(weights)
        gc.collect()  # graphs and moments hold each other


def _judged(bench: Bench, asked: TrialSettings, number: int, started: float) -> TrialResult:
    judgement = bench.judgement
    with tempfile.TemporaryDirectory(prefix="trial-") as folder:
        path, trained_s = _make(bench, asked, Path(folder))
        size = smallest_bytes(path, bench.work.job, judgement.objective)
        artifact = measure_tflite(
            *(path, path.stem, judgement.evaluator, judgement.baseline, judgement.baseline),
            lambda _, __: None,
        )
        digest = file_digest(path)[1]
    verdict = judge(artifact, judgement)
    return TrialResult(
        number=number,
        settings=asked,
        bytes=size,
        sha256=digest,
        value=verdict.value,
        bound=verdict.bound,
        margin=verdict.margin,
        passed=verdict.margin >= -TOLERANCE,
        metrics=artifact.metrics,
        seconds=round(time.perf_counter() - started, 3),
        trained_s=round(trained_s, 3),
    )


def _make(bench: Bench, asked: TrialSettings, folder: Path) -> tuple[Path, float]:
    """The file of a trial, by the stages of an ordinary job, which report and save nothing; and the
    seconds of its trainings.
    """
    model = bench.loaded.file.model
    wide = noisiest(model, bench.noisiest, asked.wide)
    names = small_layers(model), wide, kernel_sizes(model)
    job = settings_of(bench.work.job, asked, *names)
    output, saved = folder / "output", folder / "checkpoints"
    for it in (output, saved):
        it.mkdir()
    silent = Journal(lambda _: None)
    checkpoints = Checkpoints(saved, silent, float("inf"))
    trial = replace(
        bench.work,
        job=job,
        output=output,
        journal=silent,
        checkpoints=checkpoints,
        is_trial=True,
        encoder=Encoder((), 1),  # the files of a trial are not published
    )
    tf_keras.utils.set_random_seed(job.training.seed)
    loaded = replace(bench.loaded, plan=planned_for(job, bench.loaded))
    lessons = Lessons(trial, loaded, bench.teacher)
    started = time.perf_counter()
    pruned = prune(trial, loaded, lessons)
    clustered = cluster(trial, loaded, pruned, lessons)
    trained = train_for_grids(trial, clustered, lessons)
    trained_s = time.perf_counter() - started
    (made,) = make_variants(trial, loaded, clustered.model, bench.how, trained).values()
    return made.path, trained_s


def planned_for(job: JobConfig, loaded: Loaded) -> Any:
    """How long a job of other settings trains; None where nothing is trained."""
    if loaded.plan is None:
        return None
    rows, validation = loaded.plan.rows + loaded.plan.held_out, loaded.dataset.validation
    given = len(validation) if validation is not None and not loaded.plan.held_out else 0
    share = job.dataset.split.validation if job.dataset and job.dataset.split else None
    available = Available(rows, given, share, most=loaded.plan.held_out)
    return plan_training(job.training, job.prune, available, trains_again=job.trains_again)
