"""The pruning schedule: its window of steps, and a warning where a target was missed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.errors import StageError
from job.manifest.prune import PruneConfig
from job.models.prunable import plan_layers, results, targets
from job.stages.prune import (
    MIN_UPDATES,
    SHARED_FREQUENCY,
    TFMOT_FREQUENCY,
    Window,
    check_reached,
    plan_window,
)
from job.stages.strip import strip
from tests.stages.test_prune import dense_model, prune_config, train

steps = st.integers(0, 300)
counts = st.integers(1, 150)


@given(begin=steps, end=steps, frequency=counts)
@settings(deadline=None)
def test_updates_are_those_that_counting_steps_gives(begin: int, end: int, frequency: int) -> None:
    """Steps count from 1 on."""
    due = [t for t in range(max(begin, 1), end + 1) if (t - begin) % frequency == 0]
    assert Window(begin, end, frequency).updates == len(due)


@given(begin=steps, end=st.none() | steps, frequency=st.none() | counts, total=st.integers(1, 500))
@settings(deadline=None)
def test_a_window_fires_or_is_refused(
    begin: int, end: int | None, frequency: int | None, total: int
) -> None:
    """There is a window exactly where a mask would be updated; defaults are computed."""
    if end is not None and end <= begin:
        end = begin + end + 1
    schedule = {"begin_step": begin, "end_step": end, "frequency": frequency}
    config = PruneConfig.model_validate({"schedule": {"type": "polynomial_decay"} | schedule})
    last = min(total if end is None else end, total)
    every = frequency or max(1, min(TFMOT_FREQUENCY, (last - begin) // MIN_UPDATES))
    due = [t for t in range(1, last + 1) if t >= begin and (t - begin) % every == 0]
    if not due or (end is None and total <= begin):
        with pytest.raises(StageError, match="never fires"):
            plan_window(config, total)
        return
    window = plan_window(config, total)
    assert window == Window(begin, total if end is None else end, every)
    assert Window(begin, last, every).updates == len(due)
    if frequency is None and last - begin >= MIN_UPDATES:
        assert len(due) >= MIN_UPDATES


@pytest.mark.parametrize("allocation", ["global", "lamp"])
def test_masks_of_a_shared_sparsity_are_updated_more_often(allocation: str) -> None:
    """Since pruned weights are trained, too, and would outgrow the others."""
    assert plan_window(PruneConfig(), 1000).frequency == TFMOT_FREQUENCY
    shared = PruneConfig.model_validate({"allocation": allocation})
    assert plan_window(shared, 1000).frequency == SHARED_FREQUENCY
    assert plan_window(shared, 20).frequency == 20 // MIN_UPDATES
    given = {"type": "polynomial_decay", "frequency": 50}
    asked = PruneConfig.model_validate({"allocation": allocation, "schedule": given})
    assert plan_window(asked, 1000).frequency == 50


def test_a_fraction_that_ends_before_the_schedule_begins_is_refused() -> None:
    """In steps, which the manifest does not know: they depend on the rows."""
    schedule = {"type": "polynomial_decay", "begin_step": 90, "end_step": 0.1}
    config = PruneConfig.model_validate({"schedule": schedule})
    with pytest.raises(StageError, match="begin at step 90 and end at step 9"):
        plan_window(config, 88)


def test_tied_weights_that_miss_the_target_give_a_warning() -> None:
    """140 of 200 weights are equal, so 50 % is impossible: the warning says 30 % and 50 %."""
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
def test_dequantized_weights_are_pruned_as_far_as_ties_allow(bits: int) -> None:
    """All are multiples of one step. tfmot retains every weight of the threshold's magnitude, so it
    never prunes too much; where it prunes too little by more than the tolerance, a warning says so.
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
    """The schedule never fired."""
    model = dense_model()
    plans = plan_layers(model, prune_config())
    with pytest.raises(StageError, match="No weight was pruned"):
        check_reached(results(plans, model))
