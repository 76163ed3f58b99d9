"""How long the training is, when it prunes, and how many rows it holds out.

Masks are updated while the model trains, which then needs some hundreds of steps to recover. The
tutorial's two epochs are 844 steps for 54,000 images; for 350 rows they would be six. So where the
manifest has no epochs, there are as many as are needed; and where it has no end of the schedule,
that is before the end of a training of more epochs than the tutorial's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from job.datasets.data import steps_per_epoch
from job.manifest.prune import PruneConfig
from job.manifest.training import TrainingConfig
from job.stages.prune import Window, plan_window

TUTORIAL_EPOCHS = 2
# Fewer steps are too few to prune and to recover: see `benchmarks/small_data.py`.
ENOUGH_STEPS = 400
# Where the schedule ends in a training of more than the tutorial's epochs, as a share of its steps.
PRUNED_AFTER = 0.75
VALIDATION_SPLIT = 0.1


@dataclass(frozen=True)
class TrainingPlan:
    """The training, as it follows from the manifest and the number of rows."""

    rows: int
    """Rows that are trained on."""
    held_out: int
    """Rows that are held out."""
    epochs: int
    steps_per_epoch: int
    window: Window
    first_epoch: int
    """The first epoch at whose end the sparsity is reached, from 1 on."""
    decisions: tuple[str, ...]

    @property
    def steps(self) -> int:
        """Of all epochs."""
        return self.steps_per_epoch * self.epochs


def plan_training(training: TrainingConfig, prune: PruneConfig, rows: int) -> TrainingPlan:
    """Plan a training.

    Args:
        training: The manifest's settings; those left out are planned.
        prune: The schedule.
        rows: The training rows, with those that may be held out.

    Raises:
        StageError: Where the schedule never updates a mask.
    """
    share = training.validation_split
    if share is not None:
        return _plan(training, prune, rows, int(rows * share), f"validation_split is {share:g}")
    held_out = int(rows * VALIDATION_SPLIT)
    found = _plan(
        training, prune, rows, held_out, "the best epoch after the schedule's end is published"
    )
    if held_out and (found.first_epoch < found.epochs or training.early_stopping):
        return found
    return _plan(
        *(training, prune, rows, 0),
        "the schedule ends in the last epoch, so there is none to choose"
        if held_out
        else "a tenth of the rows is less than one",
    )


def _plan(
    training: TrainingConfig, prune: PruneConfig, rows: int, held_out: int, why: str
) -> TrainingPlan:
    trained = max(1, rows - held_out)
    steps = steps_per_epoch(trained, training.batch_size)
    epochs, reason = _epochs(training, prune, steps)
    total = epochs * steps
    window = plan_window(prune, total, PRUNED_AFTER if epochs > TUTORIAL_EPOCHS else 1.0)
    reached = min(window.reached_step, total)
    if prune.structure.type == "m_by_n":
        reached = 1
    elif prune.schedule.type == "constant":
        reached = window.begin_step or window.frequency
    steps_text = (
        f"{total} steps: {epochs} epochs ({reason}) of {trained:,} rows in batches of "
        f"{training.batch_size}; masks are updated every {window.frequency} steps from "
        f"{window.begin_step} to {window.end_step}"
    )
    return TrainingPlan(
        rows=trained,
        held_out=held_out,
        epochs=epochs,
        steps_per_epoch=steps,
        window=window,
        first_epoch=min(epochs, -(-reached // steps)),
        decisions=(steps_text, f"{held_out:,} rows are held out: {why}"),
    )


def _epochs(training: TrainingConfig, prune: PruneConfig, steps: int) -> tuple[int, str]:
    """Epochs of ``steps`` steps each, and why so many."""
    if training.epochs is not None:
        return training.epochs, "as the manifest says"
    begin, end = prune.schedule.begin_step, prune.schedule.end_step
    needed = ENOUGH_STEPS + begin
    why = f"at least {ENOUGH_STEPS} steps to prune and to heal"
    if isinstance(end, int) and math.ceil(end / PRUNED_AFTER) > needed:
        needed = math.ceil(end / PRUNED_AFTER)
        why = f"the schedule ends at step {end}, and what was cut has to heal"
    if TUTORIAL_EPOCHS * steps >= needed:
        return TUTORIAL_EPOCHS, "the tutorial's, which are enough"
    return -(-needed // steps), why
