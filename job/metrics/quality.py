"""Quality of a file: its metrics on the test rows, and the drift of its outputs.

Keras models and ``.tflite`` files go through the same code on the same rows: a ``Predict`` gives
outputs for a batch of inputs, and Keras's own losses and metrics judge them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from job.artifact import DriftResult
from job.errors import StageError
from job.metrics.drift import output_drift
from job.metrics.per_class import ClassCounts
from job.objective.losses import Objective, Objectives
from job.result import metric_key

Array = NDArray[np.generic]
Output = NDArray[np.floating]
# One array for each input, or output, in the model's order.
Inputs = tuple[Array, ...]
Outputs = tuple[Output, ...]

# (model inputs for some rows) -> outputs of those rows, as float32
Predict = Callable[[Inputs], Outputs]
# (first row, one past the last) -> (model inputs, targets of each output)
ReadRows = Callable[[int, int], tuple[Inputs, tuple[Array, ...]]]

# Rows in a batch, and bytes of inputs in a batch, at most.
MAX_ROWS = 500
MAX_BATCH_BYTES = 1 << 25
# Outputs are kept for the drift up to this size; beyond it, of the first rows only.
MAX_KEPT_BYTES = 1 << 27


@dataclass(frozen=True)
class Quality:
    """The metrics of all rows, and the outputs of the first ones."""

    metrics: dict[str, float]
    outputs: Outputs
    classes: Mapping[str, ClassCounts] = field(default_factory=dict)
    """By output."""


def answer(model: Any, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """What a Keras model, of Keras 2 or 3, answers; inputs and outputs may be lists or dicts."""
    graph = getattr(model, "_functional", None) or model  # Keras 3 wraps the graph of a Sequential
    structure = graph.input
    given = tf.nest.pack_sequence_as(structure, list(inputs))
    return list(tf.nest.flatten(model(given, training=False)))


def keras_predictor(model: Any) -> Predict:
    """A Keras model's forward pass as one graph, for any number of rows."""
    specs = [tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype) for tensor in model.inputs]

    @tf.function(input_signature=[specs])
    def forward(inputs: list[tf.Tensor]) -> list[tf.Tensor]:
        return [tf.cast(it, tf.float32) for it in answer(model, inputs)]

    def predict(inputs: Inputs) -> Outputs:
        given = [
            tf.convert_to_tensor(array, spec.dtype)
            for array, spec in zip(inputs, specs, strict=True)
        ]
        return tuple(it.numpy() for it in forward(given))

    return predict


def batch_rows(row_bytes: int) -> int:
    """How many rows to predict at once, for rows of ``row_bytes`` bytes."""
    return max(1, min(MAX_ROWS, MAX_BATCH_BYTES // max(1, row_bytes)))


@dataclass(frozen=True)
class _Judge:
    """Loss and metrics of one output, summed up batch by batch."""

    name: str
    weight: float
    loss: tf_keras.losses.Loss
    mean_loss: tf_keras.metrics.Mean
    metrics: Sequence[tf_keras.metrics.Metric]

    def add(self, targets: Array, outputs: Output, weights: Array | None) -> None:
        """Judge a batch; ``weights`` say how much its rows count in the loss."""
        loss = self.loss(targets, outputs, sample_weight=weights)
        self.mean_loss.update_state(loss, sample_weight=len(targets))
        for metric in self.metrics:
            metric.update_state(targets, outputs)


def _judge(name: str, objective: Objective) -> _Judge:
    mean = tf_keras.metrics.Mean(name="loss")
    return _Judge(name, objective.weight, objective.loss(), mean, objective.metrics())


def _metrics(judges: Sequence[_Judge]) -> dict[str, float]:
    """The weighted total, then each output's own figures; of one output the total is its loss."""
    names = [it.name for it in judges]
    total = sum(it.weight * float(it.mean_loss.result()) for it in judges)
    own = [
        (metric_key(metric.name, it.name, names), float(metric.result()))
        for it in judges
        for metric in ([it.mean_loss, *it.metrics] if len(judges) > 1 else it.metrics)
    ]
    return {"loss": total, **dict(own)}


def evaluate(
    predict: Predict,
    read: ReadRows,
    rows: int,
    objectives: Objectives,
    advance: Callable[[int, int], None],
    weights: Sequence[Array | None] = (),
) -> Quality:
    """Predict all rows in batches and judge them.

    Args:
        predict: The model or file.
        read: Where the rows come from.
        rows: How many there are.
        objectives: Loss and metrics of each output.
        advance: Is told how many rows are done, of how many.
        weights: Of each output, how much the rows count in its loss; empty where all count 1.

    Returns:
        ``loss`` and the manifest's metrics, and the outputs that the drift is measured on.

    Raises:
        StageError: Where an output is no finite number.
    """
    judges = [_judge(name, objective) for name, objective in objectives.items()]
    first_inputs, _ = read(0, 1)
    step = batch_rows(sum(array.nbytes for array in first_inputs))
    kept: list[Outputs] = []
    kept_bytes = 0
    counts: dict[str, ClassCounts] = {}
    for start in range(0, rows, step):
        inputs, targets = read(start, min(start + step, rows))
        outputs = predict(inputs)
        if not all(np.isfinite(it).all() for it in outputs):
            raise StageError(
                "The outputs are NaN or infinite.",
                where=f"test rows {start} to {start + len(outputs[0]) - 1}",
                hint="The weights are broken, or the inputs are of another scale than they know.",
            )
        for judge, wanted, given, weigh in zip(
            judges, targets, outputs, weights or [None] * len(judges), strict=True
        ):
            judge.add(wanted, given, None if weigh is None else weigh[start : start + step])
            if judge.name not in counts:
                counts[judge.name] = ClassCounts(objectives[judge.name], _units(given))
            counts[judge.name].add(wanted, given)
        if kept_bytes < MAX_KEPT_BYTES:
            kept.append(outputs)
            kept_bytes += sum(it.nbytes for it in outputs)
        advance(min(start + step, rows), rows)
    values = _metrics(judges)
    broken = [name for name, value in values.items() if not np.isfinite(value)]
    if broken:
        raise StageError(
            f"The metric {broken[0]} is {values[broken[0]]}: the outputs are out of all bounds.",
            hint="Check the weights, the scale of the inputs, and training.loss.",
        )
    first = tuple(np.concatenate(parts) for parts in zip(*kept, strict=True))
    return Quality(values, first, counts)


def _units(output: Output) -> int:
    return output.shape[-1] if output.ndim > 1 else 1


def drift(against: str, before: Mapping[str, Output], after: Outputs) -> DriftResult:
    """How far the outputs moved, in the outputs' own unit.

    Args:
        against: The artifact that ``before`` is of.
        before: Output name -> (rows, ...) of the stage before, in the model's order.
        after: The same rows' outputs now.
    """
    each = {
        name: output_drift(was, now) for (name, was), now in zip(before.items(), after, strict=True)
    }
    several = len(each) > 1
    one = {} if several else next(iter(each.values())).model_dump()
    return DriftResult(
        **one
        | {
            "against": against,
            "rows": len(after[0]),
            "max_abs": max(it.max_abs for it in each.values()),
            "mean_abs": sum(it.mean_abs for it in each.values()) / len(each),
            "outputs": each if several else {},
        }
    )
