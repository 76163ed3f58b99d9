"""The losses and the metrics of a model's outputs, as Keras has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras

from job.result import ObjectiveResult

LOSSES: dict[str, Callable[..., tf_keras.losses.Loss]] = {
    "sparse_categorical_crossentropy": tf_keras.losses.SparseCategoricalCrossentropy,
    "categorical_crossentropy": tf_keras.losses.CategoricalCrossentropy,
    "binary_crossentropy": tf_keras.losses.BinaryCrossentropy,
    "mean_squared_error": tf_keras.losses.MeanSquaredError,
    "mean_absolute_error": tf_keras.losses.MeanAbsoluteError,
    "huber": tf_keras.losses.Huber,
    "log_cosh": tf_keras.losses.LogCosh,
    "mean_squared_logarithmic_error": tf_keras.losses.MeanSquaredLogarithmicError,
    "poisson": tf_keras.losses.Poisson,
    "hinge": tf_keras.losses.Hinge,
}

# accuracy means what Keras makes of it: it depends on how the targets are written.
ACCURACY: dict[str, type[tf_keras.metrics.Metric]] = {
    "sparse_categorical_crossentropy": tf_keras.metrics.SparseCategoricalAccuracy,
    "categorical_crossentropy": tf_keras.metrics.CategoricalAccuracy,
    "binary_crossentropy": tf_keras.metrics.BinaryAccuracy,
}

METRICS: dict[str, type[tf_keras.metrics.Metric]] = {
    "sparse_top_k_categorical_accuracy": tf_keras.metrics.SparseTopKCategoricalAccuracy,
    "top_k_categorical_accuracy": tf_keras.metrics.TopKCategoricalAccuracy,
    "auc": tf_keras.metrics.AUC,
    "precision": tf_keras.metrics.Precision,
    "recall": tf_keras.metrics.Recall,
    "mean_squared_error": tf_keras.metrics.MeanSquaredError,
    "mean_absolute_error": tf_keras.metrics.MeanAbsoluteError,
    "root_mean_squared_error": tf_keras.metrics.RootMeanSquaredError,
    "cosine_similarity": tf_keras.metrics.CosineSimilarity,
}

# The losses that a metric can be measured with: it needs targets written in the same way.
# Class indices have no distance, so no metric that is not named here goes with them.
_ONE_HOT = ("categorical_crossentropy", "binary_crossentropy")
_DISTANCES = tuple(name for name in LOSSES if name != "sparse_categorical_crossentropy")
MEANINGFUL: dict[str, tuple[str, ...]] = {
    "accuracy": tuple(ACCURACY),
    "sparse_top_k_categorical_accuracy": ("sparse_categorical_crossentropy",),
    "top_k_categorical_accuracy": ("categorical_crossentropy",),
    "auc": _ONE_HOT,
    "precision": _ONE_HOT,
    "recall": _ONE_HOT,
    "mean_squared_error": _DISTANCES,
    "mean_absolute_error": _DISTANCES,
    "root_mean_squared_error": _DISTANCES,
    "cosine_similarity": _DISTANCES,
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

    def result(self) -> ObjectiveResult:
        """What the result says of it."""
        return ObjectiveResult(
            loss=self.loss_name,
            from_logits=self.from_logits,
            weight=self.weight,
            metrics=list(self.metric_names),
            reason=self.reason,
        )

    def loss(self) -> tf_keras.losses.Loss:
        """A new Keras loss."""
        options = {} if self.from_logits is None else {"from_logits": self.from_logits}
        return LOSSES[self.loss_name](**options)

    def metrics(self) -> list[tf_keras.metrics.Metric]:
        """New Keras metrics, in order, each under its name in the manifest."""
        return [self._metric(name) for name in self.metric_names]

    def _metric(self, name: str) -> tf_keras.metrics.Metric:
        logits = self.from_logits is True
        options: dict[str, Any] = {}
        if name == "accuracy":
            if self.loss_name == "binary_crossentropy":
                options = {"threshold": 0.0 if logits else 0.5}
            return ACCURACY[self.loss_name](name=name, **options)
        if name == "auc":
            options = {"from_logits": logits}
        elif name in ("precision", "recall"):
            options = {"thresholds": 0.0 if logits else 0.5}
        return METRICS[name](name=name, **options)


# Output name -> its objective, in the model's order.
Objectives = Mapping[str, Objective]


def compile_options(model: tf_keras.Model, objectives: Objectives) -> dict[str, Any]:
    """What ``Model.compile`` takes of the objectives: alone, in a list or in a dict, as the model's
    outputs are.
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
