"""plan_training: as many epochs as pruning and recovery need, and held-out rows where they help."""

from __future__ import annotations

from typing import Any

import pytest

from job.errors import StageError
from job.manifest.prune import PruneConfig
from job.manifest.training import TrainingConfig
from job.worker.training_plan import ENOUGH_STEPS, Available, TrainingPlan, plan_training


def plan(
    rows: int, training: dict[str, Any] | None = None, schedule: dict[str, Any] | None = None
) -> TrainingPlan:
    asked = {"schedule": {"type": "polynomial_decay"} | (schedule or {})}
    return plan_training(
        TrainingConfig.model_validate(training or {}),
        PruneConfig.model_validate(asked),
        Available(rows),
    )


def test_a_large_data_set_is_trained_as_in_the_tutorial() -> None:
    """Two epochs, the schedule to the last step; no epoch is to choose, so no row is held out."""
    found = plan(60_000)
    assert (found.epochs, found.steps, found.window.end_step) == (2, 938, 938)
    assert (found.rows, found.held_out, found.first_epoch) == (60_000, 0, 2)
    asked = plan(60_000, {"validation_split": 0.1})
    assert (asked.epochs, asked.steps, asked.held_out) == (2, 844, 6000)


@pytest.mark.parametrize("rows", [1, 9, 40, 350, 500, 5000, 20_000])
def test_small_data_sets_get_enough_steps_to_recover(rows: int) -> None:
    """At least some hundreds, of which the last quarter or so changes no mask."""
    found = plan(rows)
    assert ENOUGH_STEPS <= found.steps < ENOUGH_STEPS + found.steps_per_epoch
    assert found.window.end_step == pytest.approx(0.75 * found.steps, abs=1)
    has_choice = found.first_epoch < found.epochs
    assert found.held_out == (rows // 10 if has_choice else 0)
    assert has_choice == (rows < 20_000)
    assert found.rows + found.held_out == rows
    before = found.first_epoch - 1
    reached = found.window.reached_step
    assert before * found.steps_per_epoch < reached <= found.first_epoch * found.steps_per_epoch
    assert str(found.steps) in found.decisions[0]


@pytest.mark.parametrize("training", [{}, {"validation_split": 0.2}])
def test_rows_that_can_not_be_held_out_are_trained_on(training: dict[str, Any]) -> None:
    """Where each class keeps one: steps are of the rows that there are."""
    asked = TrainingConfig.model_validate({"batch_size": 9} | training)
    wanted = plan_training(asked, PruneConfig(), Available(30))
    found = plan_training(asked, PruneConfig(), Available(30, most=1))
    none = plan_training(asked, PruneConfig(), Available(30, most=0))
    assert (wanted.rows, wanted.steps_per_epoch) == (30 - wanted.held_out, 3)
    assert (found.rows, found.held_out, found.steps_per_epoch) == (29, 1, 4)
    assert "each class keeps a row to train on" in found.decisions[1]
    assert (none.rows, none.held_out, none.steps_per_epoch) == (30, 0, 4)


def test_epochs_cover_a_schedule_that_the_manifest_sets() -> None:
    """A schedule that begins or ends late needs more epochs; the manifest's numbers are kept."""
    assert plan(6000, schedule={"end_step": 3000}).steps >= 4000
    assert plan(6000, schedule={"begin_step": 1000}).steps >= 1000 + ENOUGH_STEPS
    assert plan(350, {"epochs": 2}).epochs == 2
    assert plan(350, {"epochs": 2}).window.end_step == 6
    half = plan(6000, {"epochs": 4}, {"end_step": 0.5})
    assert half.window.end_step == half.steps / 2
    whole = plan(6000, {"epochs": 4}, {"end_step": 1.0})
    assert whole.window.end_step == whole.steps
    assert whole.held_out == 0
    assert plan(6000, {"epochs": 4}, {"end_step": 150}).window.end_step == 150


def test_a_constant_sparsity_is_there_from_its_first_update_on() -> None:
    """Every epoch after it may be published, so rows are held out."""
    found = plan(60_000, {}, {"type": "constant", "frequency": 10})
    assert (found.first_epoch, found.held_out) == (1, 6000)


def test_a_fraction_that_ends_before_it_begins_never_fires() -> None:
    """Known as soon as the rows are."""
    with pytest.raises(StageError, match="never fires"):
        plan(1000, {"epochs": 2}, {"begin_step": 10, "end_step": 0.1})
