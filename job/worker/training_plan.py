"""How long the training is, when it prunes, and how many rows it holds out.

Masks are updated while the model trains, which then needs some hundreds of steps to recover. The
tutorial's two epochs are 844 steps for 54,000 images; for 350 rows they would be six. So where the
manifest has no epochs, there are as many as are needed; and where it has no end of the schedule,
that is before the end of a training of more epochs than the tutorial's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from job.manifest.prune import PruneConfig
from job.manifest.training import TrainingConfig
from job.rows.data import steps_per_epoch
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


@dataclass(frozen=True)
class Available:
    """The rows that there are to train on."""

    rows: int
    """With those that may be held out."""
    given: int = 0
    """Rows of a validation split that the data set has; 0 where it has none."""
    share: float | None = None
    """``dataset.split.validation``."""
    most: int | None = None
    """So many can be held out, where each class keeps a row to train on; None: not known yet."""


def plan_training(
    training: TrainingConfig,
    prune: PruneConfig | None,
    available: Available,
    *,
    trains_again: bool = False,
) -> TrainingPlan:
    """Plan a training.

    Args:
        training: The manifest's settings; those left out are planned.
        prune: The schedule; None where other trainings are all there is.
        available: The rows.
        trains_again: Whether there are other trainings (of a teacher, of clusters, for a grid),
            of which each has an epoch to choose.

    Raises:
        StageError: Where the schedule never updates a mask.
    """
    rows = available.rows
    if available.given:
        text = f"the data set has {available.given:,} rows for validation"
        return _plan(training, prune, rows, 0, text)

    def planned(held_out: int, why: str) -> TrainingPlan:
        if available.most is not None and held_out > available.most:
            held_out, why = available.most, f"{why}, and each class keeps a row to train on"
        return _plan(training, prune, rows, held_out, why)

    for share, name in (
        (available.share, "dataset.split.validation"),
        (training.validation_split, "validation_split"),
    ):
        if share is not None:
            return planned(int(rows * share), f"{name} is {share:g}")
    held_out = int(rows * VALIDATION_SPLIT)
    found = planned(held_out, "the best epoch after the schedule's end is published")
    has_choice = found.first_epoch < found.epochs or training.early_stopping or trains_again
    if held_out and has_choice:
        return found
    why = (
        "the schedule ends in the last epoch, so there is none to choose"
        if held_out
        else "a tenth of the rows is less than one"
    )
    return _plan(training, prune, rows, 0, why)


def _plan(
    training: TrainingConfig, prune: PruneConfig | None, rows: int, held_out: int, why: str
) -> TrainingPlan:
    trained = max(1, rows - held_out)
    steps = steps_per_epoch(trained, training.batch_size)
    epochs, reason = _epochs(training, prune, steps)
    total = epochs * steps
    held_text = f"{held_out:,} rows are held out: {why}"
    if prune is None:
        text = (
            f"{total} steps: {epochs} epochs ({reason}) of {trained:,} rows in batches of "
            f"{training.batch_size}"
        )
        return TrainingPlan(trained, held_out, epochs, steps, Window(0, 0, 1), 1, (text, held_text))
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
        decisions=(steps_text, held_text),
    )


def _epochs(training: TrainingConfig, prune: PruneConfig | None, steps: int) -> tuple[int, str]:
    """Epochs of ``steps`` steps each, and why so many."""
    if training.epochs is not None:
        return training.epochs, "as the manifest says"
    begin, end = (prune.schedule.begin_step, prune.schedule.end_step) if prune else (0, None)
    needed = ENOUGH_STEPS + begin
    why = f"at least {ENOUGH_STEPS} steps to prune and to heal"
    if isinstance(end, int) and math.ceil(end / PRUNED_AFTER) > needed:
        needed = math.ceil(end / PRUNED_AFTER)
        why = f"the schedule ends at step {end}, and what was cut has to heal"
    if TUTORIAL_EPOCHS * steps >= needed:
        return TUTORIAL_EPOCHS, "the tutorial's, which are enough"
    return -(-needed // steps), why
