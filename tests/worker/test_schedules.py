"""The points of a schedule are those at which masks are updated, with tfmot's sparsities."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow_model_optimization as tfmot

from job.manifest.prune import PruneConfig
from job.models.prunable import LayerPlan
from job.stages.prune import plan_window
from job.worker.schedules import MOST_POINTS, schedules

sparsity = tfmot.sparsity.keras


def layer(name: str, target: float | None) -> LayerPlan:
    return LayerPlan(name, "Dense", 110, 100, target, "the schedule")


def points(steps: int, trained: int | None = None, **sections: Any) -> list[tuple[int, float]]:
    """Of one layer with a target of 0.8."""
    config = PruneConfig.model_validate(sections)
    window = plan_window(config, steps)
    (found,) = schedules([layer("a", 0.8)], config, window, trained or steps)
    return found.points


@pytest.mark.parametrize(
    ("steps", "schedule"),
    [
        (300, {"begin_step": 0}),
        (300, {"begin_step": 50, "end_step": 260, "frequency": 30, "power": 2.0}),
        (9, {"begin_step": 2, "end_step": 6, "frequency": 1}),
        (5_000, {"begin_step": 0, "frequency": 7}),
    ],
)
@pytest.mark.parametrize("allocation", ["uniform", "global"])
def test_points_are_tfmots(steps: int, schedule: dict[str, Any], allocation: str) -> None:
    """Each is an update of tfmot's class, which was called one step at a time; none is missing."""
    asked = {"type": "polynomial_decay", "initial_sparsity": 0.5, "final_sparsity": 0.8} | schedule
    config = PruneConfig.model_validate({"schedule": asked, "allocation": allocation})
    window = plan_window(config, steps)
    # Where layers share a sparsity, it is reached at the last update.
    end = window.end_step if allocation == "uniform" else window.reached_step
    own = sparsity.PolynomialDecay(
        *(0.5, 0.8, window.begin_step, end),
        power=schedule.get("power", 3),
        frequency=window.frequency,
    )
    found = points(steps, schedule=asked, allocation=allocation)
    for step, value in found:
        is_updated, expected = own(step)
        assert bool(is_updated)
        assert value == pytest.approx(float(expected), abs=2e-6)
    # Steps count from 1, and those of the last epochs are none of the schedule's.
    last = min(steps, end)
    updates = [it for it in range(1, min(last, 300) + 1) if bool(own(it)[0])]
    assert found[0][0] == updates[0]
    if len(found) < MOST_POINTS:
        assert [step for step, _ in found] == updates
    else:
        assert len(found) == MOST_POINTS
        assert found[-1][0] == window.reached_step


def test_a_constant_schedule_and_one_of_a_structure() -> None:
    """A constant one has its target at each update; 2 zeros of 4 are set once, at step 1."""
    constant = {"type": "constant", "target_sparsity": 0.8, "frequency": 100}
    assert points(500, schedule=constant) == [(it, 0.8) for it in (100, 200, 300, 400, 500)]
    structure = {"type": "m_by_n", "sparsity_m_by_n": [2, 4]}
    assert [step for step, _ in points(500, structure=structure)] == [1]


def test_layers_of_one_target_share_a_schedule_and_updates_end_with_the_training() -> None:
    """Rules give others; an early stop leaves the later updates out."""
    config = PruneConfig.model_validate({})
    plans = [layer("a", 0.8), layer("b", None), layer("c", 0.5), layer("branch/d", 0.8)]
    window = plan_window(config, 1000)
    found = schedules(plans, config, window, 500)
    assert [it.layers for it in found] == [["a", "branch/d"], ["c"]]
    assert [it.points[-1][0] for it in found] == [500, 500]
    assert schedules(plans, config, window, 1000)[1].points[-1] == (1000, 0.5)
