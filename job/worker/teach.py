"""What the pruned model is trained for: the targets, or the outputs of the model that came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from job.artifact import AnswerResult, TeacherResult, TrainedForResult, file_digest
from job.datasets.data import Batches, Dataset, Split, shuffled_batches
from job.events import Stage
from job.manifest.job import JobConfig
from job.manifest.objective import DistillConfig
from job.metrics.quality import Predict, answer, batch_rows
from job.objective.losses import Objectives
from job.stages.distill import Distilled, TaughtBatches, variance, with_labels
from job.worker.checkpoint_formats import arrays_in
from job.worker.context import Loaded, Work

# The checkpoint of the teacher's outputs.
TEACHER = "teacher"
# So many rows are enough for the variance of outputs that are computed batch by batch.
SAMPLED_ROWS = 1000


@dataclass(frozen=True)
class Lesson:
    """What the model is trained for."""

    objectives: Mapping[str, Any]
    """By output, in the model's order: what is compiled, and what held-out rows are judged by."""
    batches: Batches | TaughtBatches
    held_out: Split | None
    record: TrainedForResult


def why(job: JobConfig) -> str:
    """Why the objective is the one that it is."""
    if job.training.objective is not None:
        return "the manifest asks for it"
    if job.dataset is None:
        return "there are no data"
    if job.dataset.train.targets is not None:
        return "the training rows have targets"
    return "the training rows have inputs and no targets"


def lesson(work: Work, loaded: Loaded, stage: Stage) -> Lesson:
    """What to train for, as the manifest's objective has it.

    Args:
        work: The job.
        loaded: Its inputs.
        stage: Reports what the teacher does.
    """
    objective, training = work.job.objective, work.job.training
    dataset = loaded.dataset
    if not isinstance(objective, DistillConfig):
        batches = shuffled_batches(dataset.train, training.batch_size, training.seed)
        record = trained_for(work.job, loaded)
        return Lesson(loaded.objectives, batches, dataset.validation, record)
    labels = dataset if objective.label_weight else _without_targets(dataset)
    rows = len(dataset.train) + (len(dataset.validation) if dataset.validation else 0)
    row_bytes = 4 * sum(_size(loaded, index) for index in range(len(loaded.baseline.outputs)))
    once = rows * row_bytes <= objective.cache_bytes
    source: Batches | TaughtBatches
    if once:
        taught, computed = _taught(work, loaded, labels, stage)
        source = shuffled_batches(taught.train, training.batch_size, training.seed)
        spreads = [
            variance(it[..., : _units(loaded, i)]) for i, it in enumerate(taught.train.targets)
        ]
        held_out = taught.validation
    else:
        computed = 0
        teacher = _teacher(loaded)
        plain = shuffled_batches(labels.train, training.batch_size, training.seed)
        source = TaughtBatches(plain, teacher, with_labels=bool(objective.label_weight))
        some = labels.train.rows(0, SAMPLED_ROWS)
        spreads = [variance(it) for it in outputs_of(loaded.baseline.predict, some)]
        held_out = labels.validation and _with_outputs(
            labels.validation,
            outputs_of(loaded.baseline.predict, labels.validation),
            objective,
            loaded,
        )
    objectives = _distilled(objective, loaded, spreads)
    result = TeacherResult(
        rows=computed, bytes=rows * row_bytes, computed="once" if once else "each batch"
    )
    stage.decide(
        f"the teacher's outputs for {rows:,} rows take {rows * row_bytes:,} bytes: they are "
        + ("computed once" if once else "more than cache_bytes, and computed batch by batch")
    )
    return Lesson(objectives, source, held_out, trained_for(work.job, loaded, result))


def trained_for(
    job: JobConfig, loaded: Loaded, teacher: TeacherResult | None = None
) -> TrainedForResult:
    """The record of the objective."""
    objective = job.objective
    distills = isinstance(objective, DistillConfig)
    return TrainedForResult(
        objective=objective.type,
        reason=why(job),
        temperature=objective.temperature if isinstance(objective, DistillConfig) else None,
        label_weight=objective.label_weight if isinstance(objective, DistillConfig) else None,
        outputs={
            name: AnswerResult(
                kind=it.kind,
                from_logits=it.from_logits,
                loss="" if not distills else _LOSSES[it.kind],
                reason=it.reason,
            )
            for name, it in loaded.evaluator.answers.items()
        },
        teacher=teacher,
    )


_LOSSES = {
    "softmax": "Kullback-Leibler divergence",
    "sigmoid": "Kullback-Leibler divergence of each value",
    "numbers": "mean squared error over variance",
}


def _without_targets(dataset: Dataset) -> Dataset:
    held_out = dataset.validation and replace(dataset.validation, targets=())
    return replace(dataset, train=replace(dataset.train, targets=()), validation=held_out)


def _units(loaded: Loaded, index: int) -> int:
    shape = loaded.baseline.outputs[index].shape
    return (shape[-1] or 1) if shape else 1


def _size(loaded: Loaded, index: int) -> int:
    """The numbers of one row of an output, with the sizes that its data give it."""
    first = loaded.first_outputs[index]
    return int(np.prod(first.shape[1:], dtype=np.int64))


def _taught(work: Work, loaded: Loaded, labels: Dataset, stage: Stage) -> tuple[Dataset, int]:
    """The training and held-out rows with the teacher's outputs as their targets; and for how many
    rows these were computed now.
    """
    parts = [labels.train, *([labels.validation] if labels.validation else [])]
    computed = 0

    def compute() -> Sequence[Any]:
        nonlocal computed
        computed = sum(map(len, parts))
        of_parts = [outputs_of(loaded.baseline.predict, part) for part in parts]
        return [np.concatenate(it) for it in zip(*of_parts, strict=True)]

    found = work.checkpoints.restore_or_make(
        TEACHER,
        f"{file_digest(loaded.baseline.path)[1]} {loaded.splits['train'].sha256}",
        arrays_in(work.checkpoints.folder, TEACHER),
        compute,
        stage,
    )
    border = len(labels.train)
    objective = work.job.objective
    assert isinstance(objective, DistillConfig)
    train = _with_outputs(labels.train, [it[:border] for it in found], objective, loaded)
    held_out = labels.validation and _with_outputs(
        labels.validation, [it[border:] for it in found], objective, loaded
    )
    return replace(labels, train=train, validation=held_out), computed


def _with_outputs(
    split: Split, outputs: Sequence[Any], objective: DistillConfig, loaded: Loaded
) -> Split:
    """Rows whose targets are the teacher's outputs, and the labels behind them if these count."""
    ranks = [len(spec.shape) + 1 for spec in loaded.baseline.outputs]
    teacher = [it if it.ndim > 1 else it[:, None] for it in outputs]
    labels = []
    if objective.label_weight:
        pairs = zip(split.targets, ranks, strict=True)
        labels = [it if it.ndim >= max(2, rank) else it[..., None] for it, rank in pairs]
    return replace(split, targets=with_labels(teacher, labels))


def outputs_of(predict: Predict, split: Split) -> list[Any]:
    """A model's outputs for all rows of a split: (rows, ...) float32 of each output."""
    row_bytes = sum(it.nbytes for it in split.model_inputs(slice(0, 1)))
    step = batch_rows(row_bytes)
    parts = [
        predict(split.model_inputs(slice(start, start + step)))
        for start in range(0, len(split), step)
    ]
    return [np.concatenate(it) for it in zip(*parts, strict=True)]


def _distilled(
    objective: DistillConfig, loaded: Loaded, spreads: Sequence[float]
) -> dict[str, Distilled]:
    supervised: Objectives = loaded.objectives if objective.label_weight else {}
    named = zip(loaded.evaluator.answers.items(), spreads, strict=True)
    return {
        name: Distilled(
            answer=found,
            units=_units(loaded, index),
            variance=spread,
            temperature=objective.temperature,
            label_weight=objective.label_weight,
            supervised=supervised.get(name),
            weight=supervised[name].weight if name in supervised else 1.0,
        )
        for index, ((name, found), spread) in enumerate(named)
    }


def _teacher(loaded: Loaded) -> Any:
    """The model that came in, as a function that a training graph may call: with weights of its
    own, since pruning changes those of the model that is loaded.
    """
    model = loaded.baseline.model
    if isinstance(model, tf_keras.Model):
        weights = model.get_weights()
        model = tf_keras.models.clone_model(model)
        model.set_weights(weights)
        model.trainable = False

    def teach(inputs: Any) -> list[tf.Tensor]:
        given = list(inputs) if isinstance(inputs, tuple) else [inputs]
        return [it if len(it.shape) > 1 else it[:, None] for it in answer(model, given)]

    return teach
