"""Rows that are trained on, held out and tested on: checked, sampled, weighted.

The weights of samples and of classes are multiplied, as in Keras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job.errors import InputError
from job.events import Journal
from job.manifest.job import JobConfig
from job.metrics.per_class import Labels
from job.objective.losses import Objectives
from job.result.specs import TensorSpec
from job.rows.data import Dataset, Split, hold_out
from job.rows.validation import check_targets, refuse_unknown
from job.text import first_names
from job.worker.training_plan import Available, TrainingPlan, plan_training

# So many classes are named in a warning.
NAMED = 10
Array = NDArray[Any]
# Class index -> weight, or "balanced"; None for an output without class weights.
ClassWeights = Mapping[str, float] | str | None
WHERE = "training.class_weights"


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
        journal: Receives warnings of classes that a split lacks.

    Returns:
        The splits, with targets of as many axes as the outputs (class indices have one less); how
        the model is trained, None where it is not; the class weights by output and class.

    Raises:
        InputError: Where targets or weights do not fit the model.
        StageError: Where the pruning schedule would never update a mask.
    """
    losses = [it.loss_name for it in objectives.values()]
    check_targets(dataset, outputs, losses)
    labels = [
        Labels.of(it.loss_name, (spec.shape[-1] or 0) if spec.shape else 1, it.last_axis)
        for spec, it in zip(outputs, objectives.values(), strict=bool(objectives))
    ] or [Labels("none")] * len(outputs)
    plan = None
    if job.is_trained:
        asked = job.dataset.split if job.dataset else None
        available = Available(
            len(dataset.train),
            given=len(dataset.validation) if dataset.validation else 0,
            share=asked.validation if asked else None,
        )
        planned = partial(plan_training, job.training, job.prune, trains_again=job.trains_again)
        plan = planned(available)
        keys = []
        if asked is None or asked.stratify:
            pairs = zip(labels, dataset.train.targets, strict=bool(dataset.train.targets))
            keys = [key for label, targets in pairs for key in label.strata(targets)]
        if dataset.validation is None:
            seed = asked.seed if asked and asked.seed is not None else job.training.seed
            dataset = hold_out(dataset, plan.held_out, keys, seed)
            held = len(dataset.validation) if dataset.validation else 0
            if held < plan.held_out:
                journal.warn(
                    f"{held:,} rows are held out, not {plan.held_out:,}: each class keeps a row to "
                    "train on."
                )
                plan = planned(replace(available, most=held))
    names = [spec.name for spec in outputs]
    refuse_unknown(job.training.class_weighted_outputs, outputs, "output", WHERE)
    refuse_unknown(job.training.loss_weights, outputs, "output", "training.loss_weights")
    if dataset.train.targets and dataset.test.targets:
        journal.warn(*missing_classes(dataset, labels, names))
    ranks = [
        0 if loss == "sparse_categorical_crossentropy" else len(spec.shape) + 1
        for spec, loss in zip(outputs, losses, strict=bool(losses))
    ]
    dataset = dataset.with_target_ranks(ranks)
    weighed = [job.training.class_weights_of(name) for name in names]
    axes = [max(1, len(spec.shape)) for spec in outputs]
    if plan is None:
        return replace(dataset, train=replace(dataset.train, weights=())), plan, {}
    weighted, used = with_weights(dataset, names, labels, weighed, axes)
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
        if label.kind in ("none", "unclear"):
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
    shown = first_names(map(str, classes), NAMED)
    return f"the class {shown}" if classes.size == 1 else f"the classes {shown}"


def with_weights(
    dataset: Dataset,
    names: Sequence[str],
    labels: Sequence[Labels],
    asked: Sequence[ClassWeights],
    ranks: Sequence[int],
) -> tuple[Dataset, dict[str, dict[str, float]]]:
    """The data set with the weights of its rows, where any are asked for.

    Args:
        dataset: Training and held-out rows, and the weights of samples.
        names: The model's outputs.
        labels: Of each output, how its targets name classes.
        asked: Of each output, the class weights.
        ranks: Of each output, the axes of its loss, the rows' one counted.

    Returns:
        The same rows with weights (held-out ones too, since the best epoch is chosen by their
        loss), and the class weights that are used, by output.

    Raises:
        InputError: Where class weights are for classes that an output has not, or leave nothing.
    """
    used: dict[str, dict[str, float]] = {}
    tables: list[Array | None] = []
    for index, (name, label, given) in enumerate(zip(names, labels, asked, strict=True)):
        table = None
        if given is not None:
            of = f" ({name})" if len(names) > 1 else ""
            targets = dataset.train.targets[index]
            if label.kind == "binary" and targets.ndim > ranks[index] and targets.shape[-1] > 1:
                raise InputError(
                    f"The last axis of the output {name} holds {targets.shape[-1]} positions, and "
                    "Keras's loss is the mean over them, so their classes can't be weighed.",
                    where=WHERE + of,
                    hint="Give output and targets one more axis, of size one: Reshape((..., 1)).",
                )
            table = _table(given, label, targets, WHERE + of)
            used[name] = {str(it): float(weight) for it, weight in enumerate(table)}
        tables.append(table)
    if not dataset.train.weights and not used:
        return dataset, used

    def weighted(split: Split) -> Split:
        samples = split.weights or (None,) * len(names)
        targets = split.targets or (np.empty(0),) * len(names)  # no class counts then
        parts = zip(samples, tables, labels, targets, ranks, strict=True)
        return replace(split, weights=tuple(_of_rows(*part) for part in parts))

    held_out = dataset.validation
    return (
        replace(dataset, train=weighted(dataset.train), validation=held_out and weighted(held_out)),
        used,
    )


def _table(given: Mapping[str, float] | str, label: Labels, targets: Array, where: str) -> Array:
    """Class -> weight: (classes,) float32."""
    if label.kind in ("none", "several", "unclear"):
        what = "several classes in a row" if label.kind == "several" else "no classes"
        raise InputError(
            f"The output has {what}, so class weights have no meaning for it.",
            where=where,
            hint="Weigh rows by an array: dataset.train.weights.",
        )
    counts = label.counts(targets)
    if isinstance(given, str):
        there = counts > 0
        balanced = counts.sum() / (there.sum() * np.maximum(counts, 1))
        return np.where(there, balanced, 1.0).astype(np.float32)
    unknown = [it for it in given if int(it) >= label.classes]
    if unknown:
        raise InputError(
            f"There is no class {', '.join(unknown)}; the model has {label.classes} classes: "
            f"0 to {label.classes - 1}.",
            where=where,
            hint="Number the classes as the targets do.",
        )
    table = np.ones(label.classes, np.float32)
    for name, weight in given.items():
        table[int(name)] = weight
    if not table[counts > 0].any():
        raise InputError(
            "Every class of the training rows weighs 0: no row would count.",
            where=where,
            hint="Give one of them a weight.",
        )
    return table


def _of_rows(
    samples: Array | None, table: Array | None, label: Labels, targets: Array, rank: int
) -> Array | None:
    """(rows, ...) float32 that broadcasts with the loss of ``rank`` axes; None where all are 1."""
    weights: Array | None = None
    if table is not None:
        indices = label.indices(targets)
        sizes = indices.shape[:rank] if indices.ndim >= rank else indices.shape
        weights = table[indices].reshape(sizes + (1,) * (rank - len(sizes)))
    if samples is not None:
        rows = samples.astype(np.float32).reshape(-1, *(1 for _ in range(rank - 1)))
        weights = rows if weights is None else np.asarray(weights * rows)
    return weights
