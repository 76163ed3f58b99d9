"""Pruning where layers share one sparsity: the smallest weights of all of them, by their scores."""

from __future__ import annotations

from collections.abc import Sequence

import tf_keras

from job.manifest.prune import PruneConfig
from job.models import prunable
from job.models.prunable import LayerPlan
from job.result.artifact import LayerResult
from job.result.training import EpochResult
from job.stages.projected_step import ProjectionSchedule
from job.stages.prune import TOLERANCE, Window
from job.worker.context import Loaded, Work
from job.worker.projected import (
    LayerTarget,
    ProjectedSettings,
    project_at_once,
    projected_training,
)
from job.worker.teach import Lesson
from job.worker.training_checkpoints import TrainingCheckpoints
from job.worker.training_plan import TrainingPlan


def train(
    work: Work,
    loaded: Loaded,
    plans: Sequence[LayerPlan],
    lesson: Lesson,
    saves: TrainingCheckpoints,
) -> tuple[list[EpochResult], int]:
    """Prune the loaded model while it is trained.

    Returns:
        The epochs, and the first one at whose end the sparsity is reached and masks are fixed.
    """
    config, plan = work.job.prune, loaded.plan
    assert config is not None
    assert plan is not None
    settings = settings_for(work, plan, schedule_of(config, plan.window))
    epochs = projected_training(
        loaded.file.model, _targets(plans), settings, lesson, saves.stage, saves
    )
    return epochs, settings.first_epoch


def prune_at_once(model: tf_keras.Model, plans: Sequence[LayerPlan], config: PruneConfig) -> None:
    """Prune a model without training, in place."""
    project_at_once(model, _targets(plans), config.allocation)


def settings_for(
    work: Work, plan: TrainingPlan, schedule: ProjectionSchedule, epochs: int | None = None
) -> ProjectedSettings:
    """A projected training with the settings that all trainings of a job share."""
    training, prune = work.job.training, work.job.prune
    stopping = training.early_stopping
    return ProjectedSettings(
        epochs=epochs or plan.epochs,
        steps_per_epoch=plan.steps_per_epoch,
        schedule=schedule,
        seed=training.order_seed,
        allocation=prune.allocation if prune and prune.allocation != "uniform" else "global",
        optimizer=training.optimizer,
        patience=None if stopping is None else stopping.patience,
        freezes=bool(training.freeze_batch_normalization),
    )


def schedule_of(config: PruneConfig, window: Window) -> ProjectionSchedule:
    """The manifest's schedule: after its last update of the masks they are fixed."""
    asked = config.schedule
    return ProjectionSchedule(
        begin_step=window.begin_step,
        end_step=window.reached_step,
        frozen_step=window.reached_step,
        frequency=window.frequency,
        # That of a constant one is its target from the start.
        initial_sparsity=1.0 if asked.type == "constant" else asked.initial_sparsity,
        power=1.0 if asked.type == "constant" else asked.power,
    )


def described(plans: Sequence[LayerPlan], config: PruneConfig) -> list[str]:
    """Which layers share which sparsity."""
    shared = [it.name for it in plans if _shares(it)]
    if not shared:
        return []
    text = (
        f"{len(shared)} layers share a sparsity of {prunable.default_target(config):g} "
        f"({config.allocation}); of each kernel at least the largest weight is left"
    )
    return [text]


def results(
    plans: Sequence[LayerPlan], found: Sequence[LayerResult], config: PruneConfig
) -> tuple[list[LayerResult], list[str]]:
    """The layers' results, without targets where they share one; a warning where that is missed."""
    target = prunable.default_target(config)
    shared = [_shares(plan) for plan in plans]
    weights = sum(it.prunable_weights for it, yes in zip(found, shared, strict=True) if yes)
    zeros = sum(
        it.achieved_sparsity * it.prunable_weights
        for it, yes in zip(found, shared, strict=True)
        if yes
    )
    reason = f"it shares a sparsity of {target:g} with other layers ({config.allocation})"
    results = [
        it.model_copy(update={"target_sparsity": None, "reason": f"{it.reason}; {reason}"})
        if yes
        else it
        for it, yes in zip(found, shared, strict=True)
    ]
    if not weights or abs(zeros / weights - target) <= max(TOLERANCE, len(plans) / weights):
        return results, []
    return results, [
        f"The layers that share a sparsity of {target:.4f} have one of {zeros / weights:.4f}."
    ]


def _targets(plans: Sequence[LayerPlan]) -> dict[str, LayerTarget]:
    return {
        it.name: LayerTarget(it.target_sparsity, is_allocated=_shares(it))
        for it in plans
        if it.target_sparsity is not None
    }


def _shares(plan: LayerPlan) -> bool:
    return plan.target_sparsity is not None and not plan.by_rule
