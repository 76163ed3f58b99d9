"""prunable: the plan for each layer, its target sparsity or the reason why it is not pruned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from job.errors import InputError
from job.manifest.prune import PruneConfig
from job.models.layers import layers_of
from job.models.prunable import (
    LayerPlan,
    default_target,
    plan_layers,
    results,
    targets,
    unmatched,
)

layers = tf_keras.layers


def config(**sections: Any) -> PruneConfig:
    return PruneConfig.model_validate(sections)


def plans_of(model: tf_keras.Model, **sections: Any) -> dict[str, LayerPlan]:
    return {plan.name: plan for plan in plan_layers(model, config(**sections))}


def only(layer: tf_keras.layers.Layer, *shape: int, **sections: Any) -> LayerPlan:
    """The plan of the one layer with weights."""
    model = tf_keras.Sequential([layers.InputLayer(shape), layer])
    (plan,) = plan_layers(model, config(**sections))
    return plan


def test_layers_that_tfmot_prunes_get_the_schedules_target() -> None:
    """Dense, convolution and recurrent kernels; biases are not prunable."""
    for layer, shape, prunable, parameters in (
        (layers.Dense(20), (10,), 200, 220),
        (layers.Conv2D(8, 3), (6, 6, 4), 288, 296),
        (layers.Conv1D(8, 3), (6, 4), 96, 104),
        (layers.LSTM(8), (6, 4), 4 * 8 * (4 + 8), 4 * 8 * (4 + 8) + 32),
        (layers.SeparableConv2D(16, 3), (6, 6, 4), 64, 36 + 64 + 16),
        (layers.TimeDistributed(layers.Dense(20)), (5, 10), 200, 220),
        (layers.Bidirectional(layers.LSTM(8)), (6, 4), 768, 832),
    ):
        plan = only(layer, *shape)
        assert (plan.target_sparsity, plan.reason) == (0.8, "the schedule"), plan
        assert plan.type == type(layer).__name__
        assert (plan.prunable_weights, plan.parameters) == (prunable, parameters)


@pytest.mark.parametrize(
    ("layer", "shape", "reason"),
    [
        (layers.DepthwiseConv2D(3), (9, 9, 16), "DepthwiseConv2D"),
        (layers.BatchNormalization(), (100,), "BatchNormalization"),
        (layers.TimeDistributed(layers.DepthwiseConv1D(3)), (5, 9, 20), "DepthwiseConv1D"),
        (layers.Bidirectional(layers.GRU(8), trainable=False), (6, 4), "frozen"),
        (layers.TimeDistributed(layers.Dense(9, trainable=False)), (5, 20), "frozen"),
        (layers.TimeDistributed(layers.Dense(7)), (5, 9), "fewer than min_weights (64)"),
        (layers.Dense(20, trainable=False), (10,), "frozen"),
        (layers.Dense(7), (9,), "63 prunable weights, fewer than min_weights (64)"),
    ],
)
def test_layers_that_are_not_pruned_have_a_reason(
    layer: tf_keras.layers.Layer, shape: tuple[int, ...], reason: str
) -> None:
    """Not supported, nothing to prune, frozen, or too small."""
    plan = only(layer, *shape)
    assert plan.target_sparsity is None
    assert reason in plan.reason
    assert plan.parameters == layer.count_params()


def test_a_layer_with_exactly_min_weights_is_pruned() -> None:
    assert only(layers.Dense(8), 8).target_sparsity == 0.8
    assert only(layers.Dense(8), 8, min_weights=65).target_sparsity is None
    assert only(layers.Dense(1), 1, min_weights=0).target_sparsity == 0.8


def test_the_first_matching_rule_is_used() -> None:
    """Rules match by pattern, by type, or by both; they also override min_weights."""
    model = tf_keras.Sequential(
        [
            layers.InputLayer((8, 8, 4)),
            layers.Conv2D(8, 3, name="block_1_conv"),
            layers.Conv2D(8, 3, name="block_2_conv"),
            layers.Flatten(),
            layers.Dense(20, name="block_2_dense"),
            layers.Dense(20, name="head"),
            layers.Dense(2, name="tiny"),
        ]
    )
    rules = [
        {"name": "block_2_*", "type": "Dense", "target_sparsity": 0.95},
        {"name": "block_2_*", "skip": True},
        {"type": "Conv2D", "target_sparsity": 0.3},
        {"name": "[t]iny", "target_sparsity": 0.1},
        {"name": "BLOCK*", "target_sparsity": 0.99},
    ]
    found = plans_of(model, layers=rules)
    assert {name: plan.target_sparsity for name, plan in found.items()} == {
        "block_1_conv": 0.3,
        "block_2_conv": None,
        "block_2_dense": 0.95,
        "head": 0.8,
        "tiny": 0.1,
    }
    assert found["block_2_conv"].reason == "a rule skips it (name block_2_*)"
    assert found["block_2_dense"].reason == "a rule fits it (name block_2_*, type Dense)"
    assert found["head"].reason == "the schedule"
    asked = config(layers=rules)
    kinds = {name: plan.type for name, plan in found.items()}
    assert unmatched(asked.rules, kinds, "prune.layers") == [
        "prune.layers.4 fits no layer (name BLOCK*)."
    ]


def test_a_rule_can_not_prune_a_layer_that_tfmot_can_not() -> None:
    """The reason is tfmot's, not the rule."""
    rule = {"type": "BatchNormalization", "target_sparsity": 0.5}
    plan = only(layers.BatchNormalization(), 100, layers=[rule])
    assert plan.target_sparsity is None
    assert "dense" in plan.reason
    skipped = only(layers.BatchNormalization(), 100, layers=[{"name": "*", "skip": True}])
    assert skipped.reason == "a rule skips it (name *)"


def test_rules_and_structures_apply_to_wrappers() -> None:
    """A rule to the wrapper's name and type; a structure to the kernels inside."""
    skip = [{"type": "TimeDistributed", "skip": True}]
    dense = layers.TimeDistributed(layers.Dense(20))
    assert only(dense, 5, 12, layers=skip).reason == "a rule skips it (type TimeDistributed)"
    block = {"type": "block", "block_size": [1, 4]}
    assert only(dense, 5, 12, structure=block).target_sparsity == 0.8
    conv = layers.TimeDistributed(layers.Conv2D(8, 3))
    assert "3x3x4x8" in only(conv, 2, 6, 6, 4, structure=block).reason
    m_by_n = {"type": "m_by_n", "sparsity_m_by_n": [1, 4]}
    lstm = layers.Bidirectional(layers.LSTM(8))
    assert only(lstm, 6, 4, structure=m_by_n).target_sparsity == 0.25
    odd = only(layers.Bidirectional(layers.LSTM(8)), 6, 3, structure=m_by_n)
    assert "3x32 and 8x32" in odd.reason


def test_dense_layers_inside_a_pruned_wrapper_are_reported() -> None:
    """Each reason once, after why the rest is pruned; only the rest is counted."""
    frame = tf_keras.Sequential(
        [
            layers.InputLayer((9,)),
            layers.Dense(10, trainable=False),
            layers.Dense(10, trainable=False),
            layers.BatchNormalization(),
            layers.Dense(20),
        ]
    )
    plan = only(layers.TimeDistributed(frame), 5, 9)
    assert (plan.target_sparsity, plan.prunable_weights) == (0.8, 200)
    assert plan.reason == (
        "the schedule; but inside it: this Dense layer is frozen (trainable is false); "
        "tfmot leaves the weights of BatchNormalization layers dense"
    )


def test_blocks_are_for_kernels_of_two_dimensions() -> None:
    """A convolution is not pruned, and its kernel's shape is in the reason."""
    block = {"type": "block", "block_size": [1, 4]}
    plan = only(layers.Conv2D(8, 3), 6, 6, 4, structure=block)
    assert plan.target_sparsity is None
    assert "3x3x4x8" in plan.reason
    assert only(layers.Dense(20), 10, structure=block).target_sparsity == 0.8
    assert only(layers.Dense(1), 100, structure=block).target_sparsity is None


@pytest.mark.parametrize(
    ("layer", "shape", "fits"),
    [
        (layers.Conv2D(30, 3), (9, 9, 1), False),
        (layers.Conv2D(30, 3), (9, 9, 4), True),
        (layers.Dense(30), (30,), False),
        (layers.Dense(30), (32,), True),
        (layers.Conv1D(30, 3), (9, 4), False),
    ],
)
def test_m_by_n_needs_an_input_axis_that_n_divides(
    layer: tf_keras.layers.Layer, shape: tuple[int, ...], fits: bool
) -> None:
    """One channel can't have 2 zeros in every 4; the target is m/n, whatever the schedule says."""
    plan = only(layer, *shape, structure={"type": "m_by_n", "sparsity_m_by_n": [1, 4]})
    assert plan.target_sparsity == (0.25 if fits else None)
    assert fits or "input axis that 4 divides" in plan.reason


def test_the_default_target_is_the_schedules_or_the_structures() -> None:
    """final_sparsity, target_sparsity, or m/n."""
    assert default_target(config()) == 0.8
    assert default_target(config(schedule={"type": "constant", "target_sparsity": 0.3})) == 0.3
    m_by_n = {"type": "m_by_n", "sparsity_m_by_n": [2, 8]}
    assert default_target(config(structure=m_by_n)) == 0.25


def nested_model() -> tf_keras.Model:
    """A frozen backbone two models deep, used twice, and a head."""
    core = tf_keras.Sequential(
        [layers.InputLayer((16,)), layers.Dense(16, name="core")], name="inner"
    )
    backbone = tf_keras.Sequential([core, layers.Dense(16, name="neck")], name="backbone")
    backbone.build((None, 16))
    left, right = tf_keras.Input((16,)), tf_keras.Input((16,))
    merged = layers.Add()([backbone(left), backbone(right)])
    return tf_keras.Model([left, right], layers.Dense(8, name="head")(merged))


def test_two_layers_of_one_name_keep_their_own_plans() -> None:
    """Nested models made by one function have layers of equal names; a frozen one is not pruned."""

    def branch(trainable: bool) -> tf_keras.Model:
        dense = layers.Dense(16, name="dense", trainable=trainable)
        name = f"branch_{trainable}"
        return tf_keras.Sequential([layers.InputLayer((16,)), dense], name=name)

    given = tf_keras.Input((16,))
    model = tf_keras.Model(given, branch(True)(branch(False)(given)))
    plans = plan_layers(model, config())
    assert [plan.target_sparsity for plan in plans] == [None, 0.8]
    kernel = model.get_layer("branch_True").layers[-1].weights[0]
    kernel.assign(kernel.numpy() * (np.arange(256).reshape(16, 16) % 2))
    assert [it.achieved_sparsity for it in results(plans, model)] == [0.0, 0.5]


def test_targets_are_those_of_the_layers_to_be_pruned() -> None:
    """Name -> sparsity; if there is none, every layer's reason is in the error."""
    model = nested_model()
    plans = plan_layers(model, config(layers=[{"name": "neck", "skip": True}]))
    assert targets(plans, "m.h5") == {"backbone/inner/core": 0.8, "head": 0.8}
    with pytest.raises(InputError, match="No layer") as caught:
        targets(plan_layers(model, config(min_weights=1000)), "m.h5")
    assert caught.value.where == "m.h5"
    for name in ("core", "neck", "head"):
        assert f"{name} (Dense): it has" in caught.value.what
    with pytest.raises(InputError, match="it has no weights"):
        targets([], "m.h5")


def test_results_have_the_achieved_sparsity() -> None:
    """For each planned layer: the zeros among its prunable weights, pruned or not."""
    model = nested_model()
    plans = plan_layers(model, config(layers=[{"name": "neck", "skip": True}]))
    core = dict(layers_of(model))["backbone/inner/core"]
    kernel = core.kernel.numpy()
    kernel[:4] = 0
    core.set_weights([kernel, np.zeros(16)])
    found = {it.name: it for it in results(plans, model)}
    core_found = found["backbone/inner/core"]
    assert core_found.achieved_sparsity == 0.25
    assert core_found.target_sparsity == 0.8
    assert core_found.pruned
    assert (
        core_found.parameters,
        core_found.prunable_weights,
    ) == (272, 256)
    assert found["backbone/neck"].achieved_sparsity == 0
    assert not found["backbone/neck"].pruned
    assert found["backbone/neck"].reason == "a rule skips it (name neck)"


def test_layers_of_nested_models_are_found_once() -> None:
    """At every depth, in the model's order; models themselves are not layers."""
    model = nested_model()
    paths = [path for path, it in layers_of(model) if it.weights]
    assert paths == ["backbone/inner/core", "backbone/neck", "head"]
    assert not any(isinstance(it, tf_keras.Model) for _, it in layers_of(model))
    shared, given = layers.Dense(16, name="shared"), tf_keras.Input((16,))
    left, right = (tf_keras.Sequential([layers.InputLayer((16,)), shared]) for _ in range(2))
    both = tf_keras.Model(given, right(left(given)))
    assert [it.name for _, it in layers_of(both) if it.weights] == ["shared"]
    model.get_layer("backbone").trainable = False
    found = plans_of(model)
    assert {name for name, plan in found.items() if plan.target_sparsity} == {"head"}
    assert "frozen" in found["backbone/inner/core"].reason
