"""The teacher: the model that came in, or a dense copy of it that is trained further first.

A model that was trained for a short time learns more while it is pruned than it loses. A teacher
that has learned that already gives the small model a better start and better targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from job.events import Stage
from job.manifest.training import CosineDecayConfig, TeacherConfig
from job.metrics.quality import evaluate, keras_predictor
from job.models import load
from job.models.kernel_axes import quantized_kernels
from job.models.layers import layers_of
from job.result.artifact import file_digest
from job.result.record import Record
from job.result.training import RunOfTrainingResult
from job.resume.checkpoints import CheckpointFormat
from job.stages import constraints
from job.stages.fine_tune import regularized
from job.stages.projected_step import ProjectionSchedule
from job.stages.training_state import LOSS
from job.worker.allocate import settings_for
from job.worker.checkpoint_formats import Array, read_arrays, write_arrays
from job.worker.context import Loaded, Work
from job.worker.projected import projected_training, run_of
from job.worker.teach import Teacher, supervised
from job.worker.training_checkpoints import TRAINING, TrainingCheckpoints

# The checkpoint of its weights.
TRAINED_TEACHER = "trained teacher"


class TeacherRecord(Record):
    """How a teacher was trained."""

    training: RunOfTrainingResult
    is_better: bool
    """Than the baseline, on held-out rows; where none are held out, it is taken to be."""


def find_teacher(work: Work, loaded: Loaded) -> tuple[Teacher, RunOfTrainingResult | None]:
    """The teacher, trained where the manifest asks for it; and how it was trained."""
    of = file_digest(loaded.baseline.path)[1]
    baseline = Teacher(loaded.baseline.model, loaded.baseline.predict, of)
    config = work.job.training.teacher
    if config is None or loaded.plan is None:
        return baseline, None
    arrays, record = work.checkpoints.restore_or_make(
        TRAINED_TEACHER,
        of,
        _format(work.checkpoints.folder),
        lambda: _train(work, loaded, config, of),
        None,
        replaces=f"{TRAINING} teacher",
    )
    if not record.is_better:
        return baseline, record.training
    model = load.read(loaded.baseline.path, trust=work.job.model.trust).model
    model.set_weights(list(arrays))
    trained = Teacher(model, keras_predictor(model), f"{of} trained {config.epochs}", arrays)
    return trained, record.training


def start_from_teacher(model: Any, teacher: Teacher, stage: Stage) -> None:
    """Give a baseline the weights of the teacher that was trained from it; what is zero in its
    kernels, which may have been pruned before, stays so.
    """
    if teacher.start is None:
        return
    kernels = [kernel for _, layer in layers_of(model) for kernel in quantized_kernels(layer)]
    zeros = [kernel.numpy() == 0 for kernel in kernels]
    model.set_weights(list(teacher.start))
    for kernel, is_zero in zip(kernels, zeros, strict=True):
        kernel.assign(np.where(is_zero, 0, kernel.numpy()))
    stage.decide("it starts from the teacher's weights")


def _train(
    work: Work, loaded: Loaded, config: TeacherConfig, of: str
) -> tuple[Sequence[Array], TeacherRecord]:
    assert loaded.plan is not None
    training = work.job.training
    with work.journal.stage("teacher") as stage:
        model = load.read(loaded.baseline.path, trust=work.job.model.trust).model
        constraints.refuse_untrainable(model, work.job.model.uri)
        optimizer = training.optimizer
        if optimizer.learning_rate_schedule is None:
            cosine = CosineDecayConfig(type="cosine_decay")
            optimizer = optimizer.model_copy(update={"learning_rate_schedule": cosine})
            stage.decide("its learning rate falls to 0 as a cosine")
        plain = settings_for(work, loaded.plan, ProjectionSchedule(), config.epochs)
        settings = replace(plain, optimizer=optimizer, seed=training.seed)
        lesson = supervised(work, loaded, training.seed)
        penalties = regularized(model)
        if penalties:
            stage.decide(f"its loss has the penalties of {', '.join(penalties)} in it")
        before = None
        if lesson.held_out is not None:
            predict = keras_predictor(model)
            before = evaluate(predict, lesson.held_out, lesson.objectives).metrics["loss"]
        saves = TrainingCheckpoints(work, stage, of, f"{TRAINING} teacher")
        history = projected_training(model, {}, settings, lesson, stage, saves)
        found = run_of(history, settings)
        stage.decide(f"epoch {found.published_epoch} is the teacher: {found.reason}")
        is_better = True
        if before is not None:
            after = history[found.published_epoch - 1].metrics[LOSS]
            is_better = after < before
            than = f"than the baseline's ({after:.4g}, and {before:.4g})"
            stage.decide(
                f"its loss on held-out rows is {'lower' if is_better else 'not lower'} {than}"
            )
            if not is_better:
                work.journal.warn(
                    f"The teacher's loss on held-out rows is not lower {than}: the baseline is the "
                    "teacher, and what is trained starts from it. Train it for more epochs, or "
                    "with a lower learning rate."
                )
        else:
            stage.decide("no rows are held out, so it is not compared with the baseline")
        arrays = [it.numpy() for it in model.weights]
        return arrays, TeacherRecord(training=found, is_better=is_better)


def _format(
    folder: Path,
) -> CheckpointFormat[tuple[Sequence[Array], TeacherRecord], TeacherRecord]:
    def write(value: tuple[Sequence[Array], TeacherRecord]) -> tuple[TeacherRecord, Sequence[Path]]:
        path = folder / "trained-teacher.npz"
        write_arrays(path, value[0])
        return value[1], [path]

    def read(
        record: TeacherRecord, files: Mapping[str, Path]
    ) -> tuple[Sequence[Array], TeacherRecord]:
        (path,) = files.values()
        return read_arrays(path), record

    return CheckpointFormat(TeacherRecord, write, read)
