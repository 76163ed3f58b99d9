"""keras_names: Keras's names for losses and metrics, all of them."""

from __future__ import annotations

from typing import get_args

import keras
import pytest
import tf_keras

from job.manifest.gates import MaxDropGate
from job.manifest.keras_names import (
    LOSS_ALIASES,
    METRIC_ALIASES,
    KnownLoss,
    KnownMetric,
    loss_name,
    lower_is_better,
    metric_name,
)
from job.manifest.training import TrainingConfig

# What both Keras versions export as losses and is none that is known here: they exist in Keras 3
# alone, or are no losses.
NOT_LOSSES = {
    *("Loss", "Reduction", "deserialize", "get", "serialize"),
    *("CTC", "Circle", "Dice", "Tversky", "CategoricalGeneralizedCrossEntropy"),
    *("ctc", "circle", "dice", "tversky", "categorical_generalized_cross_entropy"),
}


@pytest.mark.parametrize("library", [tf_keras, keras])
def test_every_loss_that_keras_exports_is_known(library: object) -> None:
    """By its function's name, its class's name and its short names."""
    names = {it for it in dir(library.losses) if not it.startswith("_")}  # type: ignore[attr-defined]
    unknown = {it for it in names - NOT_LOSSES if loss_name(it) not in get_args(KnownLoss)}
    assert unknown == set()


def test_each_alias_is_the_same_loss_in_keras() -> None:
    """Keras makes the same of the alias and of the long name."""
    for alias, name in LOSS_ALIASES.items():
        if hasattr(tf_keras.losses, alias):
            made, wanted = tf_keras.losses.get(alias), tf_keras.losses.get(name)
            kind = getattr(made, "fn", made)
            assert getattr(kind, "__name__", "") == wanted.__name__, alias
    for alias, name in METRIC_ALIASES.items():
        assert name in get_args(KnownMetric), alias


def test_the_manifest_is_written_with_the_long_names() -> None:
    """Wherever a loss or a metric stands."""
    config = TrainingConfig.model_validate(
        {
            "loss": {"a": "MSE", "b": {"type": "Huber", "delta": 2}, "c": "bce"},
            "metrics": {"a": ["mae", "RootMeanSquaredError"], "c": ["acc", "AUC"]},
        }
    )
    found = config.model_dump(mode="json")
    assert found["loss"]["a"] == "mean_squared_error"
    assert (found["loss"]["b"]["type"], found["loss"]["b"]["delta"]) == ("huber", 2)
    assert found["loss"]["c"] == "binary_crossentropy"
    assert found["metrics"]["a"] == ["mean_absolute_error", "root_mean_squared_error"]
    assert found["metrics"]["c"] == ["accuracy", "auc"]
    gate = MaxDropGate.model_validate({"type": "max_drop", "metric": "mape", "value": 1})
    assert gate.metric == "mean_absolute_percentage_error"
    assert metric_name("huver") == "huver"


@pytest.mark.parametrize("metric", get_args(KnownMetric))
def test_errors_fall_and_the_others_rise(metric: str) -> None:
    """As the metric's class in Keras says, where it says it; also of a named output."""
    rises = ("accuracy", "auc", "precision", "recall", "cosine_similarity")
    assert lower_is_better(metric) is not metric.endswith(rises)
    assert lower_is_better(f"digit_{metric}") is lower_is_better(metric)
