"""Quality of a file: its metrics on the test rows, and the drift of its outputs.

Keras models and ``.tflite`` files go through the same code on the same rows: a ``Predict`` gives
outputs for a batch of inputs, and Keras's own losses and metrics judge them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from job.errors import StageError
from job.metrics.objective import Objective
from job.result import DriftResult

Outputs = NDArray[np.floating]
Inputs = tuple[NDArray[np.generic], ...]

# (model inputs for some rows) -> outputs of those rows, as float32
Predict = Callable[[Inputs], Outputs]
# (first row, one past the last) -> (model inputs, targets)
ReadRows = Callable[[int, int], tuple[Inputs, NDArray[np.generic]]]

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


def answer(model: Any, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """What a Keras model, of Keras 2 or 3, answers; its inputs may be a list or a dict."""
    graph = getattr(model, "_functional", None) or model  # Keras 3 wraps the graph of a Sequential
    structure = graph.input
    if not tf.nest.is_nested(structure):
        return model(inputs[0], training=False)
    return model(tf.nest.pack_sequence_as(structure, inputs), training=False)


def keras_predictor(model: Any) -> Predict:
    """A Keras model's forward pass as one graph, for any number of rows."""
    specs = [tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype) for tensor in model.inputs]

    @tf.function(input_signature=[specs])
    def forward(inputs: list[tf.Tensor]) -> tf.Tensor:
        return tf.cast(answer(model, inputs), tf.float32)

    def predict(inputs: Inputs) -> Outputs:
        given = [
            tf.convert_to_tensor(array, spec.dtype)
            for array, spec in zip(inputs, specs, strict=True)
        ]
        outputs: Outputs = forward(given).numpy()
        return outputs

    return predict


def batch_rows(row_bytes: int) -> int:
    """How many rows to predict at once, for rows of ``row_bytes`` bytes."""
    return max(1, min(MAX_ROWS, MAX_BATCH_BYTES // max(1, row_bytes)))


def evaluate(
    predict: Predict,
    read: ReadRows,
    rows: int,
    objective: Objective,
    advance: Callable[[int, int], None],
) -> Quality:
    """Predict all rows in batches and judge them.

    Args:
        predict: The model or file.
        read: Where the rows come from.
        rows: How many there are.
        objective: Loss and metrics.
        advance: Is told how many rows are done, of how many.

    Returns:
        ``loss`` and the manifest's metrics, and the outputs that the drift is measured on.

    Raises:
        StageError: Where an output is no finite number.
    """
    loss = objective.loss()
    mean_loss = tf_keras.metrics.Mean(name="loss")
    metrics = objective.metrics()
    first_inputs, _ = read(0, 1)
    step = batch_rows(sum(array.nbytes for array in first_inputs))
    kept: list[Outputs] = []
    kept_bytes = 0
    for start in range(0, rows, step):
        inputs, targets = read(start, min(start + step, rows))
        outputs = predict(inputs)
        if not np.isfinite(outputs).all():
            raise StageError(
                "The outputs are NaN or infinite.",
                where=f"test rows {start} to {start + len(outputs) - 1}",
                hint="The weights are broken, or the inputs are of another scale than they know.",
            )
        mean_loss.update_state(loss(targets, outputs), sample_weight=len(targets))
        for metric in metrics:
            metric.update_state(targets, outputs)
        if kept_bytes < MAX_KEPT_BYTES:
            kept.append(outputs)
            kept_bytes += outputs.nbytes
        advance(min(start + step, rows), rows)
    values = {metric.name: float(metric.result()) for metric in [mean_loss, *metrics]}
    broken = [name for name, value in values.items() if not np.isfinite(value)]
    if broken:
        raise StageError(
            f"The metric {broken[0]} is {values[broken[0]]}: the outputs are out of all bounds.",
            hint="Check the weights, the scale of the inputs, and training.loss.",
        )
    return Quality(values, np.concatenate(kept))


def drift(against: str, before: Outputs, after: Outputs) -> DriftResult:
    """How far the outputs moved, in the outputs' own unit.

    Args:
        against: The artifact that ``before`` is of.
        before: (rows, ...) outputs of the stage before.
        after: The same rows' outputs now.
    """
    difference = np.abs(after.astype(np.float64) - before.astype(np.float64))
    return DriftResult(
        against=against,
        rows=len(difference),
        max_abs=float(difference.max()),
        mean_abs=float(difference.mean()),
    )
