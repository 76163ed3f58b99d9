"""The sparsity that pruning asks for over the steps, as the schedules give it that were used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from job.manifest.prune import PruneConfig
from job.models.layers import users_name
from job.models.prunable import LayerPlan
from job.result.training import ScheduleResult
from job.stages import projected_step
from job.stages.prune import Window, tfmot_schedule
from job.worker.allocate import schedule_of

MOST_POINTS = 60


def schedules(
    plans: Sequence[LayerPlan], config: PruneConfig, window: Window, trained_steps: int
) -> list[ScheduleResult]:
    """The schedules of a training, each with its layers.

    Args:
        plans: The layers.
        config: The manifest's ``prune``.
        window: The steps at which masks are updated.
        trained_steps: The steps of the epochs that were trained, which may be fewer than planned.
    """
    layers: dict[float, list[str]] = {}
    for plan in plans:
        if plan.target_sparsity is not None:
            layers.setdefault(plan.target_sparsity, []).append(users_name(plan.name))
    steps = _updates(config, window, trained_steps)
    return [
        ScheduleResult(layers=names, points=_points(config, window, target, steps))
        for target, names in layers.items()
    ]


def _updates(config: PruneConfig, window: Window, trained_steps: int) -> NDArray[np.int64]:
    """Steps at which masks were updated: all; else some, with the first and the last."""
    if config.structure.type == "m_by_n":  # tfmot sets these masks once
        return np.array([1])
    first = window.begin_step or window.frequency
    last = min(window.end_step, trained_steps)
    steps = np.arange(first, last + 1, window.frequency)
    if steps.size <= MOST_POINTS:
        return steps
    chosen = np.linspace(0, steps.size - 1, MOST_POINTS).round().astype(int)
    return np.asarray(steps[chosen], np.int64)


def _points(
    config: PruneConfig, window: Window, target: float, steps: NDArray[np.int64]
) -> list[tuple[int, float]]:
    if config.structure.type == "m_by_n" or config.schedule.type == "constant":
        found = np.full(steps.shape, target)
    elif config.allocation == "uniform":
        _, sparsities = tfmot_schedule(config, target, window)(tf.constant(steps))
        found = sparsities.numpy()
    else:
        asked = schedule_of(config, window)
        found = projected_step.sparsity_at(asked, target, tf.constant(steps)).numpy()
    return [(int(step), round(float(it), 6)) for step, it in zip(steps, found, strict=True)]
