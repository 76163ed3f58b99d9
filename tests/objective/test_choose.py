"""What is inferred from the last layer and the targets, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import tf_keras
from numpy.typing import NDArray

from job.errors import InputError
from job.manifest.gates import MaxDropGate
from job.manifest.training import TrainingConfig
from job.objective.choose import choose
from job.objective.losses import LOSSES, METRICS, Objective
from job.result.specs import TensorSpec

layers = tf_keras.layers
Targets = NDArray[np.generic]
RANDOM = np.random.default_rng(0)
INDICES = RANDOM.integers(0, 5, 40)
ONE_HOT = np.eye(5, dtype="float32")[INDICES]
MANY_HOT = RANDOM.integers(0, 2, (40, 5))
YES_NO = RANDOM.integers(0, 2, 40)
FRACTIONS = RANDOM.normal(size=(40, 5))
COUNTS = RANDOM.integers(0, 30, 40)


def model_of(*last: tf_keras.layers.Layer) -> tf_keras.Model:
    return tf_keras.Sequential([layers.InputLayer((4,)), *last])


def dense(units: int, activation: str | None = None) -> tf_keras.Model:
    return model_of(layers.Dense(units, activation=activation))


def specs(model: tf_keras.Model, *names: str) -> list[TensorSpec]:
    """The model's outputs, under these names."""
    return [
        TensorSpec(name, tuple(tensor.shape[1:]), "float32")
        for name, tensor in zip(names, model.outputs, strict=True)
    ]


def choose_one(
    config: TrainingConfig, model: tf_keras.Model, targets: Targets, gated: Sequence[str]
) -> Objective:
    """The objective of a model with one output, and a gate for each of these metrics."""
    gates = [
        MaxDropGate.model_validate({"type": "max_drop", "metric": metric, "value": 1})
        for metric in gated
    ]
    return choose(config, gates, model, specs(model, "out"), [targets])["out"]


SPARSE, ONE_OF, BINARY, SQUARES = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "binary_crossentropy",
    "mean_squared_error",
)
TABLE = [
    ("softmax", 5, INDICES, SPARSE, False),
    (None, 5, INDICES, SPARSE, True),
    (None, 5, INDICES[:, None], SPARSE, True),
    (None, 5, INDICES.astype("float32"), SPARSE, True),
    (None, 5, INDICES.astype("uint8"), SPARSE, True),
    ("softmax", 2, YES_NO, SPARSE, False),
    ("softmax", 5, ONE_HOT, ONE_OF, False),
    (None, 5, ONE_HOT.astype("int64"), ONE_OF, True),
    ("sigmoid", 5, MANY_HOT, BINARY, False),
    ("sigmoid", 5, ONE_HOT, BINARY, False),
    (None, 5, MANY_HOT, BINARY, True),
    ("sigmoid", 1, YES_NO, BINARY, False),
    ("sigmoid", 1, YES_NO.astype(bool)[:, None], BINARY, False),
    (None, 1, YES_NO.astype("float32"), BINARY, True),
    (None, 5, FRACTIONS, SQUARES, None),
    (None, 1, FRACTIONS[:, 0], SQUARES, None),
    ("relu", 1, COUNTS, SQUARES, None),
    ("sigmoid", 1, np.abs(FRACTIONS[:, :1]) / 9, SQUARES, None),
]


@pytest.mark.parametrize(("activation", "units", "targets", "loss", "from_logits"), TABLE)
def test_loss_and_metric_are_inferred(
    activation: str | None, units: int, targets: Targets, loss: str, from_logits: bool | None
) -> None:
    """From the kind and shape of the targets and the last activation; a reason is given."""
    found = choose_one(TrainingConfig(), dense(units, activation), targets, [])
    assert found.loss_name == loss
    assert found.from_logits is from_logits
    metric = "mean_absolute_error" if from_logits is None else "accuracy"
    assert found.metric_names == (metric,)
    assert "targets are" in found.reason
    assert metric in found.reason
    assert found.result().model_dump() == {
        "loss": loss,
        "from_logits": from_logits,
        "weight": 1.0,
        "options": {},
        "metrics": [metric],
        "reason": found.reason,
    }


def test_a_class_for_each_position_is_inferred() -> None:
    """Targets (rows, 6) for outputs (rows, 6, 3) are class indices, one for each position."""
    model = tf_keras.Sequential([layers.InputLayer((6, 4)), layers.Dense(3)])
    found = choose_one(TrainingConfig(), model, RANDOM.integers(0, 3, (40, 6)), [])
    assert (found.loss_name, found.from_logits) == (SPARSE, True)


def test_the_manifest_takes_precedence_over_inference() -> None:
    """Its loss, from_logits and metrics are used as they are, without duplicates."""
    config = TrainingConfig.model_validate(
        {
            "loss": {"type": SPARSE, "from_logits": False},
            "metrics": ["accuracy", "sparse_top_k_categorical_accuracy", "accuracy"],
        }
    )
    found = choose_one(config, dense(5), INDICES, [])
    assert (found.loss_name, found.from_logits) == (SPARSE, False)
    assert found.metric_names == ("accuracy", "sparse_top_k_categorical_accuracy")
    assert "manifest" in found.reason
    named = choose_one(TrainingConfig(loss=SPARSE), dense(5, "softmax"), INDICES, [])
    assert named.from_logits is False
    regression = choose_one(TrainingConfig(loss="huber"), dense(5), FRACTIONS, [])
    assert (regression.from_logits, regression.metric_names) == (None, ("mean_absolute_error",))


@pytest.mark.parametrize("loss", ["mean_squared_error", "huber", None])
def test_accuracy_of_a_regression_is_refused(loss: str | None) -> None:
    """Named or inferred, a loss without classes has no accuracy."""
    config = TrainingConfig.model_validate({"metrics": ["accuracy"], "loss": loss})
    with pytest.raises(InputError, match="accuracy has no meaning") as caught:
        choose_one(config, dense(5), FRACTIONS, [])
    assert caught.value.where == "training.metrics"


def test_the_metrics_of_gates_are_measured_too() -> None:
    """Each is added once; the loss is always measured; accuracy is still refused."""
    gated = ["loss", "sparse_top_k_categorical_accuracy", "accuracy"]
    found = choose_one(TrainingConfig(), dense(5), INDICES, gated)
    assert found.metric_names == ("accuracy", "sparse_top_k_categorical_accuracy")
    with pytest.raises(InputError, match="has no meaning") as caught:
        choose_one(TrainingConfig(), dense(5), FRACTIONS, gated)
    assert caught.value.where == "gates"


LABELS_OF = {
    SPARSE: INDICES,
    **dict.fromkeys([ONE_OF, "categorical_focal_crossentropy", "kl_divergence"], ONE_HOT),
    "categorical_hinge": ONE_HOT,
    **dict.fromkeys([BINARY, "binary_focal_crossentropy", "hinge", "squared_hinge"], MANY_HOT),
}


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("metric", ["accuracy", *sorted(METRICS)])
def test_a_metric_fits_a_loss_or_the_error_lists_those_that_do(metric: str, loss: str) -> None:
    """An accepted metric can be computed from such targets."""
    config = TrainingConfig.model_validate({"loss": loss, "metrics": [metric]})
    targets = LABELS_OF.get(loss, FRACTIONS)
    try:
        (made,) = choose_one(config, dense(5), targets, []).metrics()
    except InputError as error:
        listed = error.hint.split(": ")[1].rstrip(".").split(", ")
        assert metric not in listed
        choose_one(config.model_copy(update={"metrics": listed}), dense(5), targets, [])
        return
    made.update_state(targets, np.abs(FRACTIONS).astype("float32") / 9)
    assert np.isfinite(float(made.result()))


@pytest.mark.parametrize("metric", ["mean_squared_error", "auc", "top_k_categorical_accuracy"])
def test_class_indices_have_no_distance(metric: str) -> None:
    """Class 5 is not further from 1 than 2 is, so metrics of distance are refused."""
    config = TrainingConfig.model_validate({"metrics": [metric]})
    with pytest.raises(InputError, match=f"{metric} has no meaning"):
        choose_one(config, dense(5), INDICES, [])


def test_an_open_dimension_fits_any_size_of_targets() -> None:
    """With a class for each pixel of an image of any size."""
    given = tf_keras.Input((None, None, 2))
    model = tf_keras.Model(given, layers.Conv2D(5, 1)(given))
    pixels = RANDOM.integers(0, 5, (4, 6, 7))
    assert choose_one(TrainingConfig(), model, pixels, []).loss_name == SPARSE
    one_hot = np.eye(5)[pixels]
    assert choose_one(TrainingConfig(), model, one_hot, []).loss_name == ONE_OF
