"""Constraints hold in the pruned model; those that zeros break are reported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras
from numpy.typing import NDArray

from job.errors import InputError, StageError
from job.events import Stage
from job.manifest.prune import PruneConfig
from job.models.prunable import plan_layers, targets
from job.stages import constraints
from job.stages.fine_tune import TrainingSettings, fine_tune
from job.stages.prune import mask_weights, plan_window, wrap
from job.stages.strip import strip
from tests.support.batches import InOrder, no_metrics

layers, rules = tf_keras.layers, tf_keras.constraints
Floats = NDArray[np.float32]


def model() -> tf_keras.Model:
    tf_keras.utils.set_random_seed(4)
    given = tf_keras.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, kernel_constraint=rules.MaxNorm(0.9, axis=[0, 1, 2]), name="conv")(
        given
    )
    x = layers.DepthwiseConv2D(3, depthwise_constraint=rules.NonNeg(), name="depthwise")(x)
    x = layers.Reshape((4, 6))(layers.MaxPooling2D(2)(x))
    x = layers.SimpleRNN(
        12,
        kernel_constraint=rules.UnitNorm(),
        recurrent_constraint=rules.MinMaxNorm(0.7, 0.8, rate=0.5),
        name="recurrent",
    )(x)
    x = layers.Dense(
        20, kernel_constraint=rules.NonNeg(), bias_constraint=rules.MaxNorm(0.05), name="monotone"
    )(x)
    return tf_keras.Model(given, layers.Dense(3, trainable=False, name="frozen")(x))


def norms(weight: Floats, axis: int | tuple[int, ...] = 0) -> Floats:
    found: Floats = np.sqrt(np.square(weight).sum(axis=axis))
    return found


def test_constraints_hold_after_the_last_mask() -> None:
    """Checked with NumPy; frozen weights are unchanged, bit by bit."""
    baseline = model()
    frozen = [it.tobytes() for it in baseline.get_layer("frozen").get_weights()]
    config = PruneConfig.model_validate(
        {"min_weights": 1, "schedule": {"type": "constant", "target_sparsity": 0.5}}
    )
    wanted = targets(plan_layers(baseline, config), "model.h5")
    wrapped = wrap(baseline, wanted, config, plan_window(config, 12))
    wrapped.compile(tf_keras.optimizers.SGD(0.5), "mse")
    random = np.random.default_rng(1)
    x = random.normal(size=(32, 8, 8, 2)).astype("float32")
    y = random.normal(size=(32, 3)).astype("float32")
    fine_tune(
        wrapped,
        InOrder(x, y, size=8),
        TrainingSettings(4, 3),
        no_metrics,
        Stage("p", lambda _: None),
    )
    mask_weights(wrapped)
    pruned = strip(wrapped, baseline)

    weights: dict[str, Any] = {it.name: it.get_weights() for it in pruned.layers}
    assert (norms(weights["conv"][0], (0, 1, 2)) <= 0.9 + 1e-6).all()
    assert (weights["depthwise"][0] >= 0).all()
    kernel, recurrent, _ = weights["recurrent"]
    np.testing.assert_allclose(norms(kernel)[norms(kernel) > 0], 1, atol=1e-6)
    kept = norms(recurrent)[norms(recurrent) > 0]
    assert (kept >= 0.7 - 1e-6).all()
    assert (kept <= 0.8 + 1e-6).all()
    assert (weights["monotone"][0] >= 0).all()
    assert norms(weights["monotone"][1]) <= 0.05 + 1e-6
    for of in (weights["conv"][0], kernel, recurrent, weights["monotone"][0]):
        assert np.mean(of == 0) == pytest.approx(0.5, abs=0.1)
    assert [it.tobytes() for it in weights["frozen"]] == frozen

    held = constraints.check(pruned)
    assert all(it.holds for it in held)
    decisions, warnings = constraints.report(held, "prune.h5")
    empty = int((norms(kernel) == 0).sum())
    assert "depthwise/depthwise_kernel:0 NonNeg" in decisions[0]
    assert bool(empty) == any(f"{empty} units of recurrent/" in text for text in warnings)


def dense(weight: Floats, rule: tf_keras.constraints.Constraint, trainable: bool) -> tf_keras.Model:
    layer = layers.Dense(
        weight.shape[1], use_bias=False, kernel_constraint=rule, trainable=trainable, name="dense"
    )
    made = tf_keras.Sequential([layers.InputLayer((weight.shape[0],)), layer])
    made.set_weights([weight])
    return made


def test_units_of_zeros_give_a_warning_and_broken_constraints_an_error() -> None:
    zeros = np.array([[0, 1], [0, 0]], np.float32)
    decisions, warnings = constraints.report(
        constraints.check(dense(zeros, rules.UnitNorm(), trainable=True)), "prune.h5"
    )
    assert decisions == []
    assert "1 units of dense/kernel:0 are all zeros" in warnings[0]
    negative = constraints.check(dense(-zeros, rules.NonNeg(), trainable=True))
    with pytest.raises(StageError, match="breaks its constraint NonNeg by 1"):
        constraints.report(negative, "prune.h5")
    frozen = constraints.check(dense(-zeros, rules.NonNeg(), trainable=False))
    assert "frozen weight dense/kernel:0 broke" in constraints.report(frozen, "prune.h5")[1][0]


def test_a_constraint_that_keras_can_not_train_with_is_refused() -> None:
    """``RadialConstraint`` creates a variable in each step; a frozen layer's is never applied."""
    rule = rules.RadialConstraint()
    for trainable in (True, False):
        layer = layers.Conv2D(4, 3, kernel_constraint=rule, trainable=trainable, name="radial")
        made = tf_keras.Sequential([layers.InputLayer((6, 6, 1)), layer, layers.Conv2D(2, 3)])
        if not trainable:
            constraints.refuse_untrainable(made, "model.h5")
            continue
        (plan, _) = plan_layers(made, PruneConfig(min_weights=1))
        assert "RadialConstraint and zeros can't both be had" in plan.reason
        with pytest.raises(InputError, match="RadialConstraint"):
            constraints.refuse_untrainable(made, "model.h5")
