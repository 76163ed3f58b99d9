"""prune: what is said where the target was missed."""

from __future__ import annotations

import numpy as np
import pytest

from job.errors import StageError
from job.models.prunable import plan_layers, results, targets
from job.stages.prune import Window, check_reached
from job.stages.strip import strip
from tests.stages.test_prune import dense_model, prune_config, train


def test_tied_weights_that_miss_the_target_are_warned_of_with_both_figures() -> None:
    """140 of 200 weights are equal, so 50 % can't be cut off: the warning says 30 % and 50 %."""
    model = dense_model()
    dense = model.get_layer("dense")
    tied = np.full(200, 0.2, "float32")
    tied[:60] = 0.1
    dense.set_weights([tied.reshape(20, 10), np.zeros(10, "float32")])
    config = prune_config(schedule={"type": "constant", "target_sparsity": 0.5})
    plans = plan_layers(model, config)
    wrapped, _ = train(model, targets(plans, "m"), config, Window(1, 100, 100), 1)
    (warning,) = check_reached(results(plans, strip(wrapped, model)))
    assert "dense" in warning
    assert "0.3000" in warning
    assert "0.5000" in warning


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_that_once_were_integers_are_pruned_as_far_as_ties_let_them(bits: int) -> None:
    """All are multiples of one step. tfmot keeps every weight of the threshold's magnitude, so it
    never prunes too much; where it prunes too little by more than the tolerance it is warned of.
    """
    model = dense_model(40, 40)
    kernel, bias = model.get_layer("dense").get_weights()
    step = np.abs(kernel).max() / (2 ** (bits - 1) - 1)
    kernel = np.rint(kernel / step) * step
    model.get_layer("dense").set_weights([kernel, bias])
    config = prune_config(schedule={"type": "constant", "target_sparsity": 0.5})
    plans = plan_layers(model, config)
    wrapped, _ = train(model, targets(plans, "m"), config, Window(1, 100, 100), 1)
    (found,) = results(plans, strip(wrapped, model))
    threshold = np.sort(np.abs(kernel), axis=None)[800]
    below = np.mean(np.abs(kernel) < threshold * 0.999)
    assert found.achieved_sparsity == pytest.approx(below)
    assert found.achieved_sparsity < 0.5
    warnings = check_reached([found])
    assert [f"{below:.4f}" in it and "0.5000" in it for it in warnings] == [True] * (bits == 4)


def test_a_model_in_which_nothing_was_pruned_is_an_error() -> None:
    """Where every layer kept its weights, the schedule never fired."""
    model = dense_model()
    plans = plan_layers(model, prune_config())
    with pytest.raises(StageError, match="No weight was pruned"):
        check_reached(results(plans, model))
