"""tfmot's masks are, step by step, those of the same formulas in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import tf_keras
from numpy.typing import NDArray

from job.events import Stage
from job.manifest.prune import PruneConfig
from job.models.prunable import plan_layers, results, targets
from job.stages.fine_tune import TrainingSettings, fine_tune
from job.stages.prune import (
    Window,
    check_reached,
    mask_weights,
    plan_window,
    wrap,
)
from job.stages.strip import strip
from tests.support.batches import InOrder, no_metrics

layers = tf_keras.layers
Floats = NDArray[np.float32]
POLYNOMIAL: dict[str, Any] = {"type": "polynomial_decay"}


def prune_config(**sections: Any) -> PruneConfig:
    return PruneConfig.model_validate(sections)


def dense_model(rows: int = 20, columns: int = 10) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(3)
    return tf_keras.Sequential(
        [layers.InputLayer((rows,)), layers.Dense(columns, name="dense")], name="tiny"
    )


@dataclass
class Watch:
    """The wrapper's variables after each step."""

    masks: list[Floats] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    kernels: list[Floats] = field(default_factory=list)


def train(
    model: tf_keras.Model,
    target: Mapping[str, float],
    config: PruneConfig,
    window: Window,
    steps: int,
) -> tuple[tf_keras.Model, Watch]:
    """Wrap and train for some steps; an epoch is one step, so that each can be examined."""
    wrapped = wrap(model, target, config, window)
    wrapped.compile(tf_keras.optimizers.SGD(0.05), "mean_squared_error")
    random = np.random.default_rng(5)
    x = random.normal(size=(steps * 8, *model.input_shape[1:])).astype("float32")
    y = random.normal(size=(steps * 8, *model.output_shape[1:])).astype("float32")
    watch = Watch()

    def end_step(_: Callable[[], None]) -> dict[str, float]:
        for wrapper in wrapped.submodules:
            if type(wrapper).__name__ == "PruneLowMagnitude":
                kernel, mask, threshold = wrapper.pruning_vars[0]
                watch.kernels.append(kernel.numpy())
                watch.masks.append(mask.numpy())
                watch.thresholds.append(float(threshold))
        return {}

    batches = InOrder(x, y, size=8, rows_of_epoch=8)
    fine_tune(
        wrapped, batches, TrainingSettings(1, steps), end_step, Stage("prune", lambda _: None)
    )
    mask_weights(wrapped)
    return wrapped, watch


def largest(magnitudes: Floats, sparsity: float) -> NDArray[np.bool_]:
    """True for the weights that stay: the largest ones, rounded as in Python, one at least."""
    kept = max(1, int(np.rint(magnitudes.size * (1 - sparsity))))
    order = np.argsort(magnitudes, axis=None)[::-1][:kept]
    mask = np.zeros(magnitudes.size, dtype=bool)
    mask[order] = True
    return mask.reshape(magnitudes.shape)


SCHEDULES: list[tuple[dict[str, Any], Window]] = [
    (POLYNOMIAL | {"initial_sparsity": 0.45, "final_sparsity": 0.8}, Window(0, 12, 3)),
    # It ends between two updates.
    (POLYNOMIAL | {"initial_sparsity": 0.1, "final_sparsity": 0.93, "power": 1}, Window(2, 11, 4)),
    (POLYNOMIAL | {"initial_sparsity": 0.0, "final_sparsity": 0.7, "power": 2}, Window(3, 9, 1)),
    ({"type": "constant", "target_sparsity": 0.33}, Window(0, 12, 5)),
    ({"type": "constant", "target_sparsity": 0.6}, Window(4, 10, 3)),
]


@pytest.mark.parametrize(("schedule", "window"), SCHEDULES)
def test_masks_follow_the_schedule_step_by_step(schedule: dict[str, Any], window: Window) -> None:
    """At the schedule's steps, and at no other, the smallest weights are masked, as many as
    Zhu and Gupta's formula says.
    """
    model = dense_model()
    before = model.get_layer("dense").kernel.numpy()
    final: float = schedule.get("final_sparsity") or schedule["target_sparsity"]
    _, watch = train(model, {"dense": final}, prune_config(schedule=schedule), window, 14)
    due = [
        t
        for t in range(1, 15)
        if window.begin_step <= t <= window.end_step
        and (t - window.begin_step) % window.frequency == 0
    ]
    thresholds = [0.0, *watch.thresholds]
    updated = [t for t in range(1, 15) if thresholds[t] != thresholds[t - 1]]
    assert updated == due
    assert window.updates == len(due)
    mask = np.ones_like(before, dtype=bool)
    for t, (kernel, found) in enumerate(
        zip([before, *watch.kernels[:-1]], watch.masks, strict=True), 1
    ):
        if t in due:
            span = (t - window.begin_step) / (window.end_step - window.begin_step)
            initial = schedule.get("initial_sparsity", final)
            asked = final + (initial - final) * (1 - span) ** schedule.get("power", 3)
            mask = largest(np.abs(kernel), asked)
        np.testing.assert_array_equal(found.astype(bool), mask, err_msg=f"step {t}")


def test_masked_weights_are_zero_at_the_end() -> None:
    """Though the optimizer changed them; mask_weights leaves the other weights."""
    schedule = {"type": "constant", "target_sparsity": 0.4}
    wrapped, watch = train(
        dense_model(), {"dense": 0.4}, prune_config(schedule=schedule), Window(0, 4, 2), 4
    )
    moved, mask = watch.kernels[-1], watch.masks[-1]
    assert np.count_nonzero(moved[mask == 0])
    np.testing.assert_array_equal(wrapped.layers[0].layer.kernel.numpy(), moved * mask)


@pytest.mark.parametrize("m_by_n", [(2, 4), (1, 4), (1, 2)])
def test_m_by_n_leaves_n_minus_m_weights_in_each_group_along_the_input(
    m_by_n: tuple[int, int],
) -> None:
    """Of every n consecutive weights along the input axis, the m smallest are zero."""
    tf_keras.utils.set_random_seed(4)
    model = tf_keras.Sequential(
        [
            layers.InputLayer((5, 5, 4)),
            layers.Conv2D(8, 3, name="conv"),
            layers.Flatten(),
            layers.Dense(7, name="dense"),
        ]
    )
    before = {name: model.get_layer(name).kernel.numpy() for name in ("conv", "dense")}
    config = prune_config(structure={"type": "m_by_n", "sparsity_m_by_n": m_by_n})
    wrapped, _ = train(
        model, dict.fromkeys(before, m_by_n[0] / m_by_n[1]), config, plan_window(config, 3), 3
    )
    stripped = strip(wrapped, model)
    m, n = m_by_n
    for name, original in before.items():
        found = np.moveaxis(stripped.get_layer(name).kernel.numpy(), -2, -1).reshape(-1, n)
        groups = np.abs(np.moveaxis(original, -2, -1).reshape(-1, n))
        np.testing.assert_array_equal((found == 0).sum(axis=1), m)
        np.testing.assert_array_equal(found == 0, groups.argsort(axis=1).argsort(axis=1) < m)


def test_m_by_n_does_not_need_the_schedule() -> None:
    """A begin_step beyond the training does not matter: the masks are set at step 1."""
    config = prune_config(
        schedule={"type": "constant", "begin_step": 1000}, structure={"type": "m_by_n"}
    )
    wrapped, _ = train(dense_model(), {"dense": 0.5}, config, plan_window(config, 3), 3)
    assert np.mean(wrapped.layers[0].layer.kernel.numpy() == 0) == 0.5


@pytest.mark.parametrize("pooling", ["AVG", "MAX"])
@pytest.mark.parametrize("size", [(1, 4), (2, 2), (4, 1)])
def test_blocks_are_zero_as_a_whole_and_are_the_smallest(
    size: tuple[int, int], pooling: str
) -> None:
    """Exactly the blocks with the smallest average (or largest) magnitude are zero."""
    model = dense_model(20, 12)
    before = np.abs(model.get_layer("dense").kernel.numpy())
    config = prune_config(
        schedule={"type": "constant", "target_sparsity": 0.7},
        structure={"type": "block", "block_size": size, "block_pooling_type": pooling},
    )
    wrapped, _ = train(model, {"dense": 0.7}, config, Window(1, 100, 100), 2)
    blocks = before.reshape(20 // size[0], size[0], 12 // size[1], size[1])
    pooled = blocks.mean(axis=(1, 3)) if pooling == "AVG" else blocks.max(axis=(1, 3))
    kept = np.kron(largest(pooled, 0.7), np.ones(size, dtype=bool))
    np.testing.assert_array_equal(wrapped.layers[0].layer.kernel.numpy() != 0, kept)


def test_each_layer_reaches_the_target_of_its_own_rule() -> None:
    """By rules, the schedule, or skipped, in nested models too."""
    tf_keras.utils.set_random_seed(6)
    inner = tf_keras.Sequential(
        [layers.InputLayer((20,)), layers.Dense(20, name="inner_dense")], name="inner"
    )
    model = tf_keras.Sequential(
        [
            layers.InputLayer((20,)),
            inner,
            layers.Dense(20, name="first"),
            layers.Dense(20, name="second"),
            layers.Dense(20, name="third"),
        ]
    )
    config = prune_config(
        schedule=POLYNOMIAL | {"initial_sparsity": 0.3, "final_sparsity": 0.5},
        layers=[
            {"name": "first", "target_sparsity": 0.9},
            {"name": "inner_*", "target_sparsity": 0.2},
            {"name": "third", "skip": True},
        ],
    )
    plans = plan_layers(model, config)
    before = {plan.name: plan.target_sparsity for plan in plans}
    assert before == {"inner/inner_dense": 0.2, "first": 0.9, "second": 0.5, "third": None}
    wrapped, _ = train(model, targets(plans, "m"), config, plan_window(config, 8), 8)
    found = results(plans, strip(wrapped, model))
    assert {it.name: it.achieved_sparsity for it in found} == pytest.approx(
        {"inner/inner_dense": 0.2, "first": 0.9, "second": 0.5, "third": 0.0}, abs=1e-9
    )
    assert check_reached(found) == []


def test_a_layer_that_is_used_twice_reaches_its_target() -> None:
    """Shared weights are pruned once."""
    tf_keras.utils.set_random_seed(8)
    shared = layers.Dense(10, name="shared")
    left, right = tf_keras.Input((20,)), tf_keras.Input((20,))
    model = tf_keras.Model([left, right], layers.Add()([shared(left), shared(right)]))
    config = prune_config(schedule={"type": "constant", "target_sparsity": 0.75})
    wrapped = wrap(model, {"shared": 0.75}, config, plan_window(config, 6))
    wrapped.compile("sgd", "mean_squared_error")
    x = np.random.default_rng(0).normal(size=(6, 20)).astype("float32")
    batches = InOrder((x, x), x[:, :10], size=1)
    fine_tune(wrapped, batches, TrainingSettings(6, 1), no_metrics, Stage("prune", lambda _: None))
    mask_weights(wrapped)
    assert np.mean(strip(wrapped, model).get_layer("shared").kernel.numpy() == 0) == 0.75


def test_a_layer_that_is_used_twice_is_pruned_no_faster() -> None:
    """A step counts once, in the layer itself and in a nested model that is used twice."""
    tf_keras.utils.set_random_seed(8)
    shared = layers.Dense(10, name="shared")
    inner = tf_keras.Sequential([layers.InputLayer((10,)), layers.Dense(10, name="in")], name="n")
    once = layers.Dense(10, name="once")
    left, right = tf_keras.Input((20,)), tf_keras.Input((20,))
    twice = [inner(shared(it)) for it in (left, right)]
    model = tf_keras.Model([left, right], once(layers.Add()(twice)))
    paths = ("shared", "n/in", "once")
    wrapped = wrap(model, dict.fromkeys(paths, 0.75), prune_config(), Window(0, 12, 1))
    wrapped.compile("sgd", "mean_squared_error")
    x = np.random.default_rng(0).normal(size=(7, 20)).astype("float32")
    batches = InOrder((x, x), x[:, :10], size=2)  # the last one has a single row
    fine_tune(wrapped, batches, TrainingSettings(4, 2), no_metrics, Stage("prune", lambda _: None))
    steps = [
        int(it.pruning_step)
        for it in wrapped.submodules
        if type(it).__name__ == "PruneLowMagnitude"
    ]
    assert steps == [8, 8, 8]


def test_a_layer_of_two_nested_models_is_pruned_in_both() -> None:
    """Though it has one path: else it would be trained without its mask where it has none."""
    tf_keras.utils.set_random_seed(8)
    shared = layers.Dense(10, name="shared")
    both = [
        tf_keras.Sequential([layers.InputLayer((10,)), shared], name=name) for name in ("a", "b")
    ]
    given = tf_keras.Input((10,))
    model = tf_keras.Model(given, both[1](both[0](given)))
    config = prune_config(schedule={"type": "constant", "target_sparsity": 0.75})
    wrapped, _ = train(model, {"a/shared": 0.75}, config, plan_window(config, 6), 6)
    found = [wrapped.get_layer(name).layers[-1] for name in ("a", "b")]
    assert found[0] is found[1]
    assert type(found[0]).__name__ == "PruneLowMagnitude"


def test_masks_are_applied_inside_wrappers() -> None:
    """In nested models, shared wrappers and both directions: each kernel has its own zeros, biases
    none; and the stripped model has the layers and the parameters that it had.
    """
    tf_keras.utils.set_random_seed(9)
    shared = layers.TimeDistributed(layers.Dense(10), name="shared")
    inner = tf_keras.Sequential([layers.InputLayer((6, 10)), shared], name="inner")
    both = layers.Bidirectional(layers.SimpleRNN(12, return_sequences=True), name="both")
    given = tf_keras.Input((6, 10))
    model = tf_keras.Model(given, both(inner(shared(given))))
    config = prune_config(schedule={"type": "constant", "target_sparsity": 0.7})
    plans = plan_layers(model, config)
    before = [it.numpy() for it in model.weights]
    wrapped, watch = train(model, targets(plans, "m"), config, plan_window(config, 6), 6)
    assert len(watch.masks) == 6 * 2
    stripped = strip(wrapped, model)
    assert [type(it) for it in stripped.layers] == [type(it) for it in model.layers]
    assert [it.shape for it in stripped.weights] == [it.shape for it in before]
    zeros = [np.mean(it.numpy() == 0) for it in stripped.weights if len(it.shape) == 2]
    assert zeros == pytest.approx([0.7] * 5, abs=0.005)
    assert not any((it.numpy() == 0).any() for it in stripped.weights if len(it.shape) == 1)
    assert [it.achieved_sparsity for it in results(plans, stripped)] == pytest.approx(
        [0.7, 0.7], abs=0.005
    )


def test_a_frozen_layer_stays_dense_though_another_has_its_name() -> None:
    """Branches made by one function have equal layer names; only the trained one is pruned."""

    def branch(trainable: bool) -> tf_keras.Model:
        dense = layers.Dense(20, name="dense", trainable=trainable)
        return tf_keras.Sequential([layers.InputLayer((20,)), dense], name=f"branch_{trainable}")

    given = tf_keras.Input((20,))
    model = tf_keras.Model(given, branch(trainable=True)(branch(trainable=False)(given)))
    config = prune_config()
    wanted = targets(plan_layers(model, config), "m")
    wrapped, _ = train(model, wanted, config, plan_window(config, 8), 8)
    stripped = strip(wrapped, model)
    kernels = [stripped.get_layer(f"branch_{it}").weights[0].numpy() for it in (True, False)]
    assert [np.mean(kernel == 0) for kernel in kernels] == [0.8, 0.0]
