"""The loss and the metrics: those of the manifest, or what model and targets say they must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray

from job.errors import InputError
from job.manifest.training import CROSSENTROPIES, LossConfig, TrainingConfig
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
    """What the model is trained for and measured by."""

    loss_name: str
    from_logits: bool | None
    metric_names: tuple[str, ...]
    reason: str

    def result(self) -> ObjectiveResult:
        """What the result says of it."""
        return ObjectiveResult(
            loss=self.loss_name,
            from_logits=self.from_logits,
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


def choose(
    config: TrainingConfig,
    model: tf_keras.Model,
    targets: NDArray[np.generic],
    gated: Sequence[str],
) -> Objective:
    """Take the loss and the metrics from the manifest, or infer them.

    Args:
        config: What the manifest says; what it leaves out is inferred.
        model: For its last layer: the shape of its output and its activation.
        targets: (rows, ...), for their kind: class indices, one-hot rows, 0 and 1, or numbers.
        gated: Metrics that gates ask for; they are measured too.

    Raises:
        InputError: Where the manifest's metrics do not go with the loss.
    """
    ends_in = last_activation(model)
    given = LossConfig(type=config.loss) if isinstance(config.loss, str) else config.loss
    if given is None:
        name, why = _infer_loss(model, targets, ends_in)
        asked_logits = None
    else:
        name, why = given.type, "the manifest names the loss"
        asked_logits = given.from_logits
    logits = None
    if name in CROSSENTROPIES:
        logits = ends_in not in ("softmax", "sigmoid") if asked_logits is None else asked_logits
        if asked_logits is None:
            why += f"; the model ends in {ends_in}, so from_logits is {str(logits).lower()}"
    asked = [*(config.metrics or _infer_metrics(name)), *gated]
    metrics = tuple(dict.fromkeys(metric for metric in asked if metric != "loss"))
    for metric in metrics:
        if name not in MEANINGFUL.get(metric, LOSSES):
            raise InputError(
                f"The metric {metric} has no meaning for the loss {name} ({why}).",
                where="gates" if metric in gated else "training.metrics",
                hint=f"With {name} these can be measured: {', '.join(_meaningful(name))}.",
            )
    if config.metrics is None:
        why += f"; {', '.join(metrics)} goes with that loss"
    return Objective(name, logits, metrics, why)


def last_activation(model: tf_keras.Model) -> str:
    """The activation that the model's (first) output comes from: ``linear`` where there is none."""
    layer: tf_keras.layers.Layer = model
    while isinstance(layer, tf_keras.Model):
        layer = layer.outputs[0]._keras_history.layer  # noqa: SLF001 - how Keras finds it too
    if isinstance(layer, tf_keras.layers.Softmax):
        return "softmax"
    activation = getattr(layer, "activation", None)
    return getattr(activation, "__name__", "linear") if activation is not None else "linear"


def _infer_loss(
    model: tf_keras.Model, targets: NDArray[np.generic], ends_in: str
) -> tuple[str, str]:
    shape = tuple(model.outputs[0].shape[1:])
    units = shape[-1] if shape else 1
    kind = "whole numbers" if targets.dtype.kind in "biu" else "fractions"
    rows = targets.reshape(len(targets), -1)
    if targets.dtype.kind == "f" and bool((rows == np.rint(rows)).all()):
        kind = "whole numbers"
    binary = kind == "whole numbers" and bool(((rows == 0) | (rows == 1)).all())
    if (
        kind == "whole numbers"
        and units > 1
        and targets.shape[1:] in (shape[:-1], (*shape[:-1], 1))
    ):
        return (
            "sparse_categorical_crossentropy",
            f"the targets are class indices for the model's {units} outputs",
        )
    if binary and units > 1 and targets.shape[1:] == shape:
        one_hot = bool((targets.sum(axis=-1) == 1).all()) and ends_in != "sigmoid"
        if one_hot:
            return "categorical_crossentropy", "the targets are one-hot rows"
        return "binary_crossentropy", "the targets are 0 and 1, any number of them in a row"
    if binary and units == 1:
        return "binary_crossentropy", "the targets are 0 and 1 for one output"
    return "mean_squared_error", f"the targets are {kind}, one for each of the model's outputs"


def _meaningful(loss: str) -> list[str]:
    return [metric for metric in ("accuracy", *METRICS) if loss in MEANINGFUL.get(metric, LOSSES)]


def _infer_metrics(loss: str) -> tuple[str, ...]:
    return ("accuracy",) if loss in ACCURACY else ("mean_absolute_error",)
