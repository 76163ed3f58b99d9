"""What the model is trained for: the targets, or the outputs of a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from job.events import Stage
from job.manifest.job import JobConfig
from job.manifest.objective import DistillConfig
from job.manifest.training import TrainingConfig
from job.metrics.quality import Inputs, Predict, Samples, answer, batch_rows, keras_predictor
from job.result.training import AnswerResult, TeacherResult, TrainedForResult
from job.rows.augment import check
from job.rows.batches import Augmentation, Batches, shuffled_batches
from job.rows.data import Split, calibration_rows
from job.stages.distill import Array, Distilled, TaughtBatches, variance, with_labels
from job.worker.checkpoint_formats import arrays_in
from job.worker.context import Loaded, Work

# The checkpoint of the teacher's outputs.
TEACHER = "teacher"
# So many rows are enough for the variance of outputs that are computed batch by batch.
SAMPLED_ROWS = 1000
LOSSES = {
    "softmax": "Kullback-Leibler divergence",
    "sigmoid": "Kullback-Leibler divergence of each value",
    "numbers": "mean squared error over variance",
}


@dataclass(frozen=True)
class Lesson:
    """What the model is trained for."""

    objectives: Mapping[str, Any]
    """By output, in the model's order: what is compiled, and what held-out rows are judged by."""
    batches: Batches | TaughtBatches
    held_out: Samples | None
    record: TrainedForResult


def why(job: JobConfig) -> str:
    """Why the objective is the one that it is."""
    if job.training.objective is not None:
        return "the manifest asks for it"
    if job.dataset is None:
        return "there are no data"
    if job.training.teacher is not None:
        return "a teacher is trained, and the training rows have targets"
    if job.keeps_outputs:
        return "the search is judged by the model's own outputs"
    if job.has_train_targets:
        return "the training rows have targets"
    return "the training rows have inputs and no targets"


@dataclass(frozen=True)
class Teacher:
    """The model whose outputs are learned: the baseline, or a copy of it that was trained."""

    model: Any
    predict: Predict
    of: str
    """What its outputs are determined by, beside the rows."""
    start: Sequence[Array] | None = None
    """The weights of the one that was trained, which other trainings start from."""


class Lessons:
    """What the trainings of a job are for: the same for each.

    Args:
        work: The job.
        loaded: Its inputs.
        teacher: The model whose outputs are learned, if any are.
    """

    def __init__(self, work: Work, loaded: Loaded, teacher: Teacher) -> None:
        self.teacher = teacher
        self.loaded = loaded
        self._work = work
        self._found: Lesson | None = None

    def get(self, stage: Stage) -> Lesson:
        """As the manifest's objective has it; called first before any weight changes."""
        if self._found is None:
            self._found = _lesson(self._work, self.loaded, stage, self.teacher)
        return self._found


def supervised(work: Work, loaded: Loaded, seed: int) -> Lesson:
    """To learn the targets of the training rows, which the seed puts into an order."""
    training, held_out = work.job.training, loaded.dataset.validation
    batches = shuffled_batches(
        loaded.dataset.train, training.batch_size, seed, _augmentation(training, loaded)
    )
    record = trained_for(work.job, loaded)
    return Lesson(loaded.objectives, batches, _samples(held_out) if held_out else None, record)


def _lesson(work: Work, loaded: Loaded, stage: Stage, teacher: Teacher) -> Lesson:
    objective, training = work.job.objective, work.job.training
    train, held_out = loaded.dataset.train, loaded.dataset.validation
    if not isinstance(objective, DistillConfig):
        return supervised(work, loaded, training.order_seed)
    taught, judged = (it and _labels(it, objective, loaded) for it in (train, held_out))
    assert taught is not None  # there are training rows
    splits = [taught, *([judged] if judged else [])]
    rows = sum(map(len, splits))
    size = rows * 4 * sum(it.size for it in loaded.first_outputs)
    augmentation = _augmentation(training, loaded)
    if size <= objective.cache_bytes and augmentation is None:
        outputs, computed = _computed_once(work, loaded, splits, teacher)
        border = len(taught)
        spreads = [variance(it[:border]) for it in outputs]
        batches = shuffled_batches(
            *(
                _with(taught, [it[:border] for it in outputs]),
                training.batch_size,
                training.order_seed,
            )
        )
        samples = None
        if judged:
            samples = _samples(_with(judged, [it[border:] for it in outputs]))
        how = TeacherResult(rows=computed, bytes=size, computed="once")
        stage.decide(f"the teacher's outputs for {rows:,} rows, {size:,} bytes, are computed once")
        return _distilled(work.job, loaded, spreads, batches, samples, how)
    model = _copy(teacher.model)
    predict = keras_predictor(model)
    chosen = calibration_rows(len(taught), SAMPLED_ROWS, training.seed)  # data are often sorted
    spreads = [variance(it) for it in outputs_of(predict, taught.some(chosen))]
    plain = shuffled_batches(taught, training.batch_size, training.order_seed, augmentation)
    how = TeacherResult(rows=0, bytes=size, computed="each batch")
    stage.decide(
        "the teacher's outputs are computed batch by batch, for images as they are augmented"
        if augmentation
        else f"the teacher's outputs for {rows:,} rows would take {size:,} bytes, more than "
        f"cache_bytes ({objective.cache_bytes:,}): they are computed batch by batch"
    )
    return _distilled(
        *(work.job, loaded, spreads, TaughtBatches(plain, _in_graph(model))),
        _taught_samples(judged, predict) if judged else None,
        how,
    )


def trained_for(
    job: JobConfig, loaded: Loaded, teacher: TeacherResult | None = None
) -> TrainedForResult:
    """The record of the objective."""
    objective = job.objective
    distill = objective if isinstance(objective, DistillConfig) else None
    return TrainedForResult(
        objective=objective.type,
        reason=why(job),
        temperature=distill and distill.temperature,
        label_weight=distill and distill.label_weight,
        outputs={
            name: AnswerResult(
                kind=it.kind,
                from_logits=it.from_logits,
                loss=LOSSES[it.kind] if distill else "",
                reason=it.reason,
            )
            for name, it in loaded.evaluator.answers.items()
        },
        teacher=teacher,
    )


def _distilled(
    job: JobConfig,
    loaded: Loaded,
    spreads: Sequence[float],
    batches: Batches | TaughtBatches,
    samples: Samples | None,
    how: TeacherResult,
) -> Lesson:
    config = job.objective
    assert isinstance(config, DistillConfig)
    supervised = loaded.objectives if config.label_weight else {}
    weights = job.training.loss_weights
    named = zip(loaded.evaluator.answers.items(), loaded.baseline.outputs, spreads, strict=True)
    objectives = {
        name: Distilled(
            answer=found,
            units=(spec.shape[-1] or 1) if spec.shape else 1,
            variance=spread,
            temperature=config.temperature,
            label_weight=config.label_weight,
            supervised=supervised.get(name),
            weight=supervised[name].weight if name in supervised else weights.get(name, 1.0),
        )
        for (name, found), spec, spread in named
    }
    return Lesson(objectives, batches, samples, trained_for(job, loaded, how))


def _augmentation(training: TrainingConfig, loaded: Loaded) -> Augmentation | None:
    """Which images are changed, where any are."""
    if training.augment is None:
        return None
    return Augmentation(check(training.augment, loaded.inputs), training.augment)


def _labels(split: Split, objective: DistillConfig, loaded: Loaded) -> Split:
    """The rows with the labels that count, each of its output's rank: none where none do."""
    if not objective.label_weight:
        return replace(split, targets=())
    ranks = [max(2, len(spec.shape) + 1) for spec in loaded.baseline.outputs]
    return split.with_target_ranks(ranks)


def _with(split: Split, outputs: Sequence[Array]) -> Split:
    """The rows with the teacher's outputs as targets, and the labels behind them."""
    return replace(split, targets=with_labels(outputs, split.targets))


def _samples(split: Split) -> Samples:
    return Samples(split.read, len(split), split.weights)


def _taught_samples(split: Split, predict: Predict) -> Samples:
    """The same, with targets that the teacher computes when they are read."""

    def read(start: int, stop: int) -> tuple[Inputs, tuple[Array, ...]]:
        inputs, labels = split.read(start, stop)
        return inputs, with_labels([_with_axis(it) for it in predict(inputs)], labels)

    return Samples(read, len(split), split.weights)


def _computed_once(
    work: Work, loaded: Loaded, splits: Sequence[Split], teacher: Teacher
) -> tuple[Sequence[Array], int]:
    """The teacher's outputs for the rows of all splits; and for how many rows they were computed
    now, and not by an earlier run.
    """
    computed = 0

    def compute() -> Sequence[Array]:
        nonlocal computed
        computed = sum(map(len, splits))
        parts = [outputs_of(teacher.predict, it) for it in splits]
        return [np.concatenate(it) for it in zip(*parts, strict=True)]

    rows = " ".join(it.sha256 for it in loaded.splits.values())
    found = work.checkpoints.restore_or_make(
        TEACHER,
        f"{teacher.of} {rows}",
        arrays_in(work.checkpoints.folder, TEACHER),
        compute,
        None,
    )
    return found, computed


def outputs_of(predict: Predict, split: Split) -> list[Array]:
    """A model's outputs for all rows of a split: (rows, ...) float32 of each output."""
    step = batch_rows(sum(it.nbytes for it in split.model_inputs(slice(0, 1))))
    parts = [
        predict(split.model_inputs(slice(start, start + step)))
        for start in range(0, len(split), step)
    ]
    return [_with_axis(np.concatenate(it)) for it in zip(*parts, strict=True)]


def _with_axis(values: Any) -> Any:
    """Outputs with a last axis, which those of one number for each row lack."""
    return values if len(values.shape) > 1 else values[:, None]


def _copy(model: Any) -> Any:
    """The teacher, with weights of its own: pruning changes those of a model of Keras 2. One of
    Keras 3 was rebuilt to be pruned, and stays as it is.
    """
    if not isinstance(model, tf_keras.Model):
        return model
    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.trainable = False
    return copy


def _in_graph(model: Any) -> Any:
    """The teacher as a function of a batch's inputs, which a training graph may call."""

    def teach(inputs: Any) -> list[tf.Tensor]:
        given = list(inputs) if isinstance(inputs, tuple) else [inputs]
        return [_with_axis(tf.cast(it, tf.float32)) for it in answer(model, given)]

    return teach
