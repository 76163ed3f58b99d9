"""The losses and metrics of a model's outputs, as Keras computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import tensorflow as tf
import tf_keras

from job.manifest.keras_names import (
    BINARY,
    HINGES,
    ONE_HOT,
    ROWS_OF_CLASSES,
    KnownLoss,
    KnownMetric,
)
from job.objective.last_axis import LastAxis
from job.result.artifact import ObjectiveResult


def _keras_class(module: Any, name: str, **other: str) -> Any:
    """The class of a loss or metric: ``MeanSquaredError`` for ``mean_squared_error``."""
    words = name.split("_")
    return getattr(module, other.get(name, "".join(word.capitalize() for word in words)))


LOSSES: dict[str, Callable[..., tf_keras.losses.Loss]] = {
    name: _keras_class(tf_keras.losses, name, kl_divergence="KLDivergence")
    for name in get_args(KnownLoss)
}


def _same_side(targets: Any, outputs: Any, border: float, threshold: float) -> tf.Tensor:
    """1 where a target is above ``border`` and its output above ``threshold``, or neither is.

    For targets 0 and 1 this is what ``BinaryAccuracy`` counts. That compares targets with 0.0 and
    1.0, so labels of -1 and smoothed labels are wrong whatever the output is.
    """
    same = tf.equal(tf.cast(targets, tf.float32) > border, tf.cast(outputs, tf.float32) > threshold)
    return tf.cast(same, tf.float32)


def _by_side(name: str, border: float, threshold: float) -> tf_keras.metrics.Metric:
    return tf_keras.metrics.MeanMetricWrapper(
        _same_side, name=name, border=border, threshold=threshold
    )


# The meaning of accuracy depends on how the targets are written.
LabelKind = Literal["indices", "one_hot", "binary", "signs"]
ACCURACY: dict[str, LabelKind] = {
    "sparse_categorical_crossentropy": "indices",
    **dict.fromkeys(ROWS_OF_CLASSES, "one_hot"),
    **dict.fromkeys(BINARY, "binary"),
    **dict.fromkeys(HINGES, "signs"),
}
ACCURACIES: dict[str, LabelKind] = {
    "binary_accuracy": "binary",
    "categorical_accuracy": "one_hot",
    "sparse_categorical_accuracy": "indices",
}

METRICS: dict[str, type[tf_keras.metrics.Metric]] = {
    name: _keras_class(
        tf_keras.metrics, name, auc="AUC", kl_divergence="KLDivergence", log_cosh="LogCoshError"
    )
    for name in get_args(KnownMetric)
    if name != "accuracy" and name not in ACCURACIES
}

# The losses that a metric can be measured with: it needs targets written in the same way.
# Class indices have no distance, so no metric but those named here can be measured with them.
_CLASSES = (*ONE_HOT, *BINARY)
_DISTANCES = tuple(name for name in LOSSES if name != "sparse_categorical_crossentropy")
_BY_LOSS: dict[str, tuple[str, ...]] = {
    "sparse_top_k_categorical_accuracy": ("sparse_categorical_crossentropy",),
    "top_k_categorical_accuracy": ROWS_OF_CLASSES,
    "auc": _CLASSES,
    "precision": _CLASSES,
    "recall": _CLASSES,
    "kl_divergence": (*ONE_HOT, "kl_divergence"),
    "hinge": HINGES,
    "squared_hinge": HINGES,
    "categorical_hinge": (*ONE_HOT, "categorical_hinge"),
}
MEANINGFUL: dict[str, tuple[str, ...]] = {
    "accuracy": tuple(ACCURACY),
    **{
        name: tuple(loss for loss, written in ACCURACY.items() if written == labels)
        for name, labels in ACCURACIES.items()
    },
    **{name: _BY_LOSS.get(name, _DISTANCES) for name in METRICS},
}


@dataclass(frozen=True)
class Objective:
    """What an output is trained for and measured by."""

    loss_name: str
    from_logits: bool | None
    metric_names: tuple[str, ...]
    reason: str
    weight: float = 1.0
    """The loss's weight in the total."""
    options: Mapping[str, float] = field(default_factory=dict)
    """The loss's other settings, by their names in Keras."""
    labels: LabelKind | None = None
    """How classes are written in the targets; None where the loss determines it."""
    last_axis: LastAxis = "classes"
    """What the output's last axis holds; it matters for binary losses alone."""

    def result(self) -> ObjectiveResult:
        """The record for the result."""
        return ObjectiveResult(
            loss=self.loss_name,
            from_logits=self.from_logits,
            weight=self.weight,
            metrics=list(self.metric_names),
            reason=self.reason,
            options=dict(self.options),
        )

    def loss(self) -> tf_keras.losses.Loss:
        """A new Keras loss."""
        options: dict[str, Any] = dict(self.options)
        if self.from_logits is not None:
            options["from_logits"] = self.from_logits
        if self.loss_name == "binary_focal_crossentropy" and "alpha" in options:
            options["apply_class_balancing"] = True
        return LOSSES[self.loss_name](**options)

    def metrics(self) -> list[tf_keras.metrics.Metric]:
        """New Keras metrics, in order, under their names in the manifest."""
        return [self._metric(name) for name in self.metric_names]

    def _metric(self, name: str) -> tf_keras.metrics.Metric:
        logits = self.from_logits is True
        options: dict[str, Any] = {}
        if name == "accuracy" or name in ACCURACIES:
            labels = self.labels or ACCURACY[self.loss_name]
            return _accuracy(name, ACCURACIES.get(name, labels), logits=logits)
        if name == "auc":
            options = {"from_logits": logits}
        elif name in ("precision", "recall"):
            options = {"thresholds": 0.0 if logits else 0.5}
        return METRICS[name](name=name, **options)


def _accuracy(name: str, labels: LabelKind, *, logits: bool) -> tf_keras.metrics.Metric:
    match labels:
        case "indices":
            return tf_keras.metrics.SparseCategoricalAccuracy(name=name)
        case "one_hot":
            return tf_keras.metrics.CategoricalAccuracy(name=name)
        case "binary":
            return _by_side(name, 0.5, 0.0 if logits else 0.5)
        case "signs":
            return _by_side(name, 0.0, 0.0)


# Output name -> its objective, in the model's order.
Objectives = Mapping[str, Objective]


def compile_options(model: tf_keras.Model, objectives: Objectives) -> dict[str, Any]:
    """The arguments of ``Model.compile``, in the structure of the model's outputs: alone, in a list
    or in a dict.
    """

    def packed(values: Sequence[object]) -> object:
        return tf.nest.pack_sequence_as(model.output, values)

    listed = list(objectives.values())
    options = {
        "loss": packed([it.loss() for it in listed]),
        "metrics": packed([it.metrics() for it in listed]),
    }
    if any(it.weight != 1 for it in listed):
        options["loss_weights"] = packed([it.weight for it in listed])
    return options
