"""distill: the pruned model learns the outputs of the model that came in, its teacher.

Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network"
(https://arxiv.org/abs/1503.02531). For distributions, with logits z divided by the temperature T:

    T^2 * KL(softmax(z_teacher / T) || softmax(z_student / T))

T^2 gives gradients of the same size for any T. Probabilities p are logits, too: softmax(log p) is
p, and sigmoid(log(p / (1 - p))) is p. For numbers it is the mean squared error divided by the
variance of the teacher's outputs, so that outputs of different units add up.

Keras gives a loss one array of targets for each output: the teacher's outputs, and behind them, on
the last axis, the labels where these count, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from job.objective.answers import Answer
from job.objective.losses import Objective

Array = NDArray[np.generic]
# Probabilities below this count as this, since their logarithm is not finite.
SMALLEST = 1e-7
# Outputs that are the same for every row have no variance to divide by.
LEAST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Distilled:
    """What an output is trained for, and judged by on held-out rows."""

    answer: Answer
    units: int
    """The output's values along its last axis."""
    variance: float
    """Of the teacher's outputs."""
    temperature: float
    label_weight: float
    supervised: Objective | None
    """The loss of the labels, where they count."""
    weight: float = 1.0
    """The loss's weight in the total."""
    loss_name: str = "distillation"

    def loss(self) -> tf_keras.losses.Loss:
        """A new Keras loss."""
        return Distillation(self)

    def metrics(self) -> list[tf_keras.metrics.Metric]:
        """None: the loss says how close the outputs are."""
        return []


class Distillation(tf_keras.losses.Loss):  # type: ignore[misc]  # tf_keras has no types
    """The loss of one output; ``call`` gives (rows, ...) without the last axis."""

    def __init__(self, of: Distilled) -> None:
        super().__init__(name="distillation")
        self._of = of
        self._labels = of.supervised.loss() if of.supervised and of.label_weight else None

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample, or each of its parts."""
        of = self._of
        if len(y_pred.shape) == 1:  # an output of one number for each row
            y_pred = y_pred[:, None]
        teacher = tf.cast(y_true[..., : of.units], y_pred.dtype)
        loss = _divergence(of, teacher, y_pred)
        if self._labels is None:
            return loss
        labels = self._labels.call(y_true[..., of.units :], y_pred)
        return (1 - of.label_weight) * loss + of.label_weight * labels


def _divergence(of: Distilled, teacher: Any, student: Any) -> Any:
    heat = of.temperature
    match of.answer.kind:
        case "softmax":
            wanted, given = (
                tf.nn.log_softmax(_logits(it, of.answer) / heat) for it in (teacher, student)
            )
            return heat**2 * tf.reduce_sum(tf.exp(wanted) * (wanted - given), axis=-1)
        case "sigmoid":
            wanted, given = (_logits(it, of.answer) / heat for it in (teacher, student))
            shares = tf.sigmoid(wanted)
            apart = tf.nn.sigmoid_cross_entropy_with_logits(shares, given)
            least = tf.nn.sigmoid_cross_entropy_with_logits(shares, wanted)
            return heat**2 * tf.reduce_mean(apart - least, axis=-1)
        case "numbers":
            spread = of.variance**0.5  # divided first: large numbers have no square
            return tf.reduce_mean(tf.square((student - teacher) / spread), axis=-1)


def _logits(values: Any, answer: Answer) -> Any:
    if answer.from_logits:
        return values
    if answer.kind == "softmax":
        return tf.math.log(tf.maximum(values, SMALLEST))
    inside = tf.clip_by_value(values, SMALLEST, 1 - SMALLEST)
    return tf.math.log(inside) - tf.math.log1p(-inside)


def variance(outputs: Array) -> float:
    """How much a teacher's outputs vary from row to row, over all positions: (rows, ...)."""
    values = outputs.astype(np.float64)
    return max(LEAST_VARIANCE, float(np.mean(np.var(values, axis=0))))


def with_labels(teacher: Sequence[Array], labels: Sequence[Array]) -> tuple[Array, ...]:
    """The targets of each output: the teacher's outputs, and behind them the labels.

    Args:
        teacher: (rows, ..., units) of each output, float32.
        labels: (rows, ..., k) of each output; empty where they do not count.
    """
    if not labels:
        return tuple(teacher)
    pairs = zip(teacher, labels, strict=True)
    return tuple(np.concatenate([a, b.astype(np.float32)], axis=-1) for a, b in pairs)


@dataclass(frozen=True)
class TaughtBatches:
    """Batches whose targets the teacher computes in the training graph, where its outputs for all
    rows would take too much memory.
    """

    batches: Any
    """Batches of inputs and labels; see ``rows/data.py``."""
    teacher: Callable[[Any], Sequence[tf.Tensor]]
    """The teacher's outputs, in order, for a batch of inputs."""

    def order(self, epoch: int) -> tf.Tensor:
        """The order of the rows in an epoch."""
        return self.batches.order(epoch)

    def take(self, order: tf.Tensor, step: tf.Tensor) -> tuple[Any, tuple[tf.Tensor, ...]]:
        """The batch of a step: inputs, and the teacher's outputs with the labels behind them."""
        inputs, labels = self.batches.take(order, step)
        outputs = [tf.stop_gradient(it) for it in self.teacher(inputs)]
        if labels:
            pairs = zip(outputs, labels, strict=True)
            outputs = [tf.concat([a, tf.cast(b, tf.float32)], axis=-1) for a, b in pairs]
        return inputs, tuple(outputs)

    def weights(self, order: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The weights of that batch's rows."""
        found: tuple[tf.Tensor, ...] = self.batches.weights(order, step)
        return found
