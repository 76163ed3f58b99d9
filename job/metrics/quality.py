"""Quality of a file: its metrics on the test rows.

Keras models and ``.tflite`` files go through the same code on the same rows: a ``Predict`` gives
outputs for a batch of inputs, and Keras's losses and metrics judge them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from job.errors import StageError
from job.metrics.per_class import ClassCounts
from job.metrics.row_values import RowRecorder, RowValues, mean_rows, weighted
from job.objective.losses import Objective, Objectives
from job.result.result import metric_key

Array = NDArray[np.generic]
Output = NDArray[np.floating]
# One array for each input, or output, in the model's order.
Inputs = tuple[Array, ...]
Outputs = tuple[Output, ...]

# (model inputs for some rows) -> outputs of those rows, as float32
Predict = Callable[[Inputs], Outputs]
# (rows done, all rows) -> nothing: reports progress
Advance = Callable[[int, int], None]
# (first row, one past the last) -> (model inputs, targets of each output)
ReadRows = Callable[[int, int], tuple[Inputs, tuple[Array, ...]]]

# Rows in a batch, and bytes of inputs in a batch, at most.
MAX_ROWS = 500
MAX_BATCH_BYTES = 1 << 25
# For the drift, outputs of the first rows are retained, up to this size.
MAX_RETAINED_BYTES = 1 << 27


@dataclass(frozen=True)
class Samples:
    """Rows that a model is judged on."""

    read: ReadRows
    count: int
    weights: Sequence[Array | None] = ()
    """For each output, the weights of the rows in its loss; empty where all are 1."""


@dataclass(frozen=True)
class Quality:
    """The metrics of all rows, and the outputs of the first ones."""

    metrics: dict[str, float]
    outputs: Outputs
    classes: Mapping[str, ClassCounts] = field(default_factory=dict)
    """By output."""
    rows: Mapping[str, RowValues] = field(default_factory=dict)
    """By metric: what each row contributes; of those for which that is known."""


def answer(model: Any, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The outputs of a model of Keras 2 or 3, whose inputs and outputs may be lists or dicts."""
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


class _Judge:
    """Loss and metrics of one output, summed up batch by batch."""

    def __init__(self, name: str, objective: Objective, recorded_rows: int) -> None:
        self.name, self.weight = name, objective.weight
        self.mean_loss = tf_keras.metrics.Mean(name="loss")
        self.metrics = objective.metrics()
        self._loss = objective.loss()
        self.recorders: dict[str, RowRecorder] = {}
        if recorded_rows:
            recorded = {"loss": self._loss, **{it.name: it for it in self.metrics}}
            self.recorders = {of: RowRecorder(it, recorded_rows) for of, it in recorded.items()}

    def add(self, targets: Array, outputs: Output, weights: Array | None) -> None:
        """Judge a batch; ``weights`` are those of its rows in the loss."""
        if len(outputs.shape) == 1:  # one number for each row: means are over a last axis
            outputs, targets = outputs[:, None], targets.reshape(len(targets), -1)
        loss = self._loss(targets, outputs, sample_weight=weights)
        self.mean_loss.update_state(loss, sample_weight=len(targets))
        for metric in self.metrics:
            metric.update_state(targets, outputs)
        for recorder in self.recorders.values():
            recorder.add(targets, outputs)


def _metrics(judges: Sequence[_Judge]) -> dict[str, float]:
    """The weighted total, then each output's figures; for one output the total is its loss."""
    if not judges:
        return {}
    names = [it.name for it in judges]
    total = sum(it.weight * float(it.mean_loss.result()) for it in judges)
    own = [
        (metric_key(metric.name, it.name, names), float(metric.result()))
        for it in judges
        for metric in ([it.mean_loss, *it.metrics] if len(judges) > 1 else it.metrics)
    ]
    return {"loss": total, **dict(own)}


def _rows(judges: Sequence[_Judge], metrics: Mapping[str, float]) -> dict[str, RowValues]:
    """What each row contributes to the metrics, under their names."""
    names = [it.name for it in judges]
    found: dict[str, RowValues] = {}
    for judge in judges:
        for metric, recorder in judge.recorders.items():
            key = metric_key(metric, judge.name, names)
            rows = recorder.found(metrics[key])
            if rows is not None:
                found[key] = rows
    losses = [found.get(metric_key("loss", it.name, names)) for it in judges]
    if len(judges) > 1 and all(losses):
        weights = [it.weight for it in judges]
        found["loss"] = weighted([it for it in losses if it], weights)
    return found


def evaluate(
    predict: Predict,
    samples: Samples,
    objectives: Objectives,
    advance: Advance = lambda _, __: None,
    *,
    records_rows: bool = False,
) -> Quality:
    """Predict all rows in batches and judge them.

    Args:
        predict: The model or file.
        samples: The rows.
        objectives: Loss and metrics of each output.
        advance: Reports progress.
        records_rows: Whether to record what each row contributes, which is not weighted, and to
            count classes.

    Returns:
        ``loss`` and the manifest's metrics, none where there are no objectives; and the outputs
        that drift and fidelity are measured on.

    Raises:
        StageError: Where an output or a metric is not finite.
    """
    read, rows, weights = samples.read, samples.count, samples.weights
    recorded = rows if records_rows else 0
    judges = [_Judge(name, objective, recorded) for name, objective in objectives.items()]
    first_inputs, _ = read(0, 1)
    step = batch_rows(sum(array.nbytes for array in first_inputs))
    retained: list[Outputs] = []
    retained_bytes = 0
    counts: dict[str, ClassCounts] = {}
    for start in range(0, rows, step):
        inputs, targets = read(start, min(start + step, rows))
        outputs = predict(inputs)
        if not all(np.isfinite(it).all() for it in outputs):
            raise StageError(
                "The outputs are NaN or infinite.",
                where=f"rows {start} to {start + len(outputs[0]) - 1} of those it is measured on",
                hint="The weights are broken (a training that diverged?), or the inputs have "
                "another scale than in training.",
            )
        for judge, wanted, given, weigh in zip(
            judges, targets, outputs, weights or [None] * len(judges), strict=bool(judges)
        ):
            judge.add(wanted, given, None if weigh is None else weigh[start : start + step])
            if records_rows:
                if judge.name not in counts:
                    counts[judge.name] = ClassCounts(objectives[judge.name], _units(given))
                counts[judge.name].add(wanted, given)
        if retained_bytes < MAX_RETAINED_BYTES:
            retained.append(outputs)
            retained_bytes += sum(it.nbytes for it in outputs)
        advance(min(start + step, rows), rows)
    values = _metrics(judges)
    broken = [name for name, value in values.items() if not np.isfinite(value)]
    if broken:
        raise StageError(
            f"The metric {broken[0]} is {values[broken[0]]}: the outputs are far too large.",
            hint="Check the weights, the scale of the inputs, and training.loss.",
        )
    first = tuple(np.concatenate(parts) for parts in zip(*retained, strict=True))
    return Quality(values, first, counts, _rows(judges, values) if records_rows else {})


def _units(output: Output) -> int:
    return output.shape[-1] if output.ndim > 1 else 1


def mean_of_passes(once: Callable[[Advance], Quality], passes: int, advance: Advance) -> Quality:
    """Measure a model with random outputs several times.

    Args:
        once: Measures all rows, and reports progress to its argument.
        passes: How often.
        advance: Reports progress over all passes.

    Returns:
        The mean of each metric over the passes, and the mean outputs, for the drift.
    """
    found: list[Quality] = []
    for index in range(passes):

        def progress(done: int, rows: int, before: int = index) -> None:
            advance(before * rows + done, passes * rows)

        found.append(once(progress))
    if passes == 1:
        return found[0]
    metrics = {
        name: float(np.mean([quality.metrics[name] for quality in found]))
        for name in found[0].metrics
    }
    outputs = tuple(
        np.asarray(np.mean(several, axis=0, dtype=np.float64), np.float32)
        for several in zip(*(quality.outputs for quality in found), strict=True)
    )
    rows = {
        name: mean_rows([quality.rows[name] for quality in found])
        for name in found[0].rows
        if all(name in quality.rows for quality in found)
    }
    return replace(found[0], metrics=metrics, outputs=outputs, rows=rows)
