"""Rows that are trained on, held out and tested on: checked, sampled, weighted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from job.datasets.checks import check_targets
from job.datasets.data import Dataset, Split
from job.datasets.hold_out import hold_out
from job.events import Journal
from job.manifest.job import JobConfig
from job.metrics.per_class import Labels
from job.objective.losses import Objectives
from job.result import TensorSpec
from job.worker.row_weights import check_class_weights, check_sample_weights, with_weights
from job.worker.training_plan import TrainingPlan, plan_training

# So many classes are named in a warning.
NAMED = 10


def split(
    job: JobConfig,
    dataset: Dataset,
    outputs: Sequence[TensorSpec],
    objectives: Objectives,
    journal: Journal,
) -> tuple[Dataset, TrainingPlan | None, dict[str, dict[str, float]]]:
    """Check the targets, hold rows out, and weigh the rows that are left.

    Args:
        job: What is asked.
        dataset: All rows; its arrays are changed in place.
        outputs: The model's outputs, in its order.
        objectives: Their losses.
        journal: Is told of classes that a split lacks.

    Returns:
        The splits, with targets of as many axes as the outputs (class indices have one less); how
        the model is trained, None where it is not; the class weights by output and class.

    Raises:
        InputError: Where targets or weights do not fit the model.
        StageError: Where the pruning schedule would never update a mask.
    """
    losses = [it.loss_name for it in objectives.values()]
    check_targets(dataset, outputs, losses)
    check_sample_weights(dataset.train)
    labels = [
        Labels.of(loss, (spec.shape[-1] or 0) if spec.shape else 1)
        for spec, loss in zip(outputs, losses, strict=True)
    ]
    plan = None
    if job.prune is not None:
        plan = plan_training(job.training, job.prune, len(dataset.train))
        pairs = zip(labels, dataset.train.targets, strict=True)
        keys = [key for label, targets in pairs for key in label.strata(targets)]
        dataset = hold_out(dataset, plan.held_out, keys, job.training.seed)
    names = [spec.name for spec in outputs]
    check_class_weights(job.training.class_weighted_outputs, names)
    for warning in missing_classes(dataset, labels, names):
        journal.warn(warning)
    ranks = [
        0 if loss == "sparse_categorical_crossentropy" else len(spec.shape) + 1
        for spec, loss in zip(outputs, losses, strict=True)
    ]
    dataset = dataset.with_target_ranks(ranks)
    asked = [job.training.class_weights_of(name) for name in names]
    axes = [max(1, len(spec.shape)) for spec in outputs]
    if job.prune is None:
        return replace(dataset, train=replace(dataset.train, weights=())), plan, {}
    weighted, used = with_weights(dataset, names, labels, asked, axes)
    return weighted, plan, used


def missing_classes(dataset: Dataset, labels: Sequence[Labels], names: Sequence[str]) -> list[str]:
    """Warnings where a split lacks classes that another has.

    Args:
        dataset: All splits.
        labels: Of each output, how its targets name classes.
        names: The outputs' names.
    """
    splits: dict[str, Split | None] = {
        "training": dataset.train,
        "held-out": dataset.validation,
        "test": dataset.test,
    }
    there = {name: split for name, split in splits.items() if split is not None}
    warnings = []
    for index, (label, output) in enumerate(zip(labels, names, strict=True)):
        if label.kind == "none":
            continue
        has = {name: label.counts(split.targets[index]) > 0 for name, split in there.items()}
        anywhere = np.any(list(has.values()), axis=0)
        of = f" of the output {output}" if len(names) > 1 else ""
        for name, found in has.items():
            lacking = np.flatnonzero(anywhere & ~found)
            if lacking.size:
                others = [
                    other for other in has if other != name and bool(has[other][lacking].any())
                ]
                warnings.append(
                    f"The {name} rows have none of {_listed(lacking)}{of}, which the "
                    f"{' and '.join(others)} rows have."
                )
    return warnings


def _listed(classes: NDArray[np.int64]) -> str:
    shown = ", ".join(str(it) for it in classes[:NAMED])
    more = f" and {classes.size - NAMED} more" if classes.size > NAMED else ""
    return f"the class {shown}" if classes.size == 1 else f"the classes {shown}{more}"
