"""Losses and metrics are Keras's, for one output and for several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from job.objective.losses import LOSSES, METRICS, Objective, compile_options

layers = tf_keras.layers
RANDOM = np.random.default_rng(0)
INDICES = RANDOM.integers(0, 5, 40)
ONE_HOT = np.eye(5, dtype="float32")[INDICES]
FRACTIONS = RANDOM.normal(size=(40, 5))
SPARSE, ONE_OF, BINARY = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "binary_crossentropy",
)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_can_be_created(name: str) -> None:
    """And gives a number for outputs and targets of its shape."""
    logits = True if name in (SPARSE, ONE_OF, BINARY) else None
    objective = Objective(name, logits, (), "")
    targets: Any = INDICES if name == SPARSE else ONE_HOT
    value = float(objective.loss()(targets, np.abs(FRACTIONS).astype("float32")))
    assert np.isfinite(value)
    assert type(objective.loss()).__name__.lower() == name.replace("_", "")


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_has_its_name_in_the_manifest(name: str) -> None:
    """result.json and gates use that name; each call creates new metrics."""
    objective = Objective(BINARY, True, ("accuracy", name), "")
    made = objective.metrics()
    assert [it.name for it in made] == ["accuracy", name]
    assert objective.metrics()[1] is not made[1]


def model_of(kind: str) -> tf_keras.Model:
    """A model of two outputs in a list or a dict, of one in a dict, or of one alone."""
    given = tf_keras.Input((4,))
    zeta, alpha = layers.Dense(5)(given), layers.Dense(1)(given)
    structures = {
        "list": [zeta, alpha],
        "dict": {"zeta": zeta, "alpha": alpha},
        "dict of one": {"zeta": zeta},
        "alone": zeta,
    }
    return tf_keras.Model(given, structures[kind])


ZETA = Objective(SPARSE, True, ("accuracy",), "")
ALPHA = Objective("huber", None, ("mean_absolute_error", "mean_squared_error"), "", 3.0)


@pytest.mark.parametrize(
    ("kind", "objectives"),
    [
        ("list", {"zeta": ZETA, "alpha": ALPHA}),
        ("dict", {"alpha": ALPHA, "zeta": ZETA}),
        ("dict of one", {"zeta": ZETA}),
        ("alone", {"zeta": ZETA}),
    ],
)
def test_keras_gets_each_outputs_loss_and_metrics(
    kind: str, objectives: dict[str, Objective]
) -> None:
    """It computes the weighted total, and each output's figures under its name."""
    model = model_of(kind)
    model.output_names = list(objectives)
    model.compile("sgd", **compile_options(model, objectives))
    x = RANDOM.normal(size=(40, 4)).astype("float32")
    targets = {"zeta": INDICES, "alpha": FRACTIONS[:, :1].astype("float32")}
    y: Any = {name: targets[name] for name in objectives}
    if kind == "list":
        y = list(y.values())
    elif kind == "alone":
        y = INDICES
    answers = model(x)
    of = dict(zip(objectives, [answers] if kind == "alone" else [*_values(answers)], strict=True))
    losses = {name: float(it.loss()(targets[name], of[name])) for name, it in objectives.items()}
    found = model.evaluate(x, y, batch_size=40, verbose=0, return_dict=True)
    total = sum(it.weight * losses[name] for name, it in objectives.items())
    assert found["loss"] == pytest.approx(total, rel=1e-5)
    if len(objectives) == 1:
        assert set(found) == {"loss", "accuracy"}
        return
    assert found["alpha_loss"] == pytest.approx(losses["alpha"], rel=1e-5)
    assert found["zeta_loss"] == pytest.approx(losses["zeta"], rel=1e-5)
    wrong = np.abs(np.asarray(of["alpha"]) - targets["alpha"])
    assert found["alpha_mean_absolute_error"] == pytest.approx(wrong.mean(), rel=1e-5)
    assert set(found) == {
        *("loss", "zeta_loss", "alpha_loss", "zeta_accuracy"),
        *("alpha_mean_absolute_error", "alpha_mean_squared_error"),
    }


def _values(answers: Any) -> list[Any]:
    """In the order of the names: for a dict, of its keys."""
    return [answers[key] for key in sorted(answers)] if isinstance(answers, dict) else answers
